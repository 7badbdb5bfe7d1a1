"""The server's own log in both forms."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferrite_py import logs
from ferrite_py.config import LoggingConfig
from ferrite_py.errors import StartupError


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The loggers as they were, after the test."""
    loggers = [logging.getLogger(name) for name in (logs.ROOT, "asyncio")]
    before = [(one.handlers, one.propagate, one.level) for one in loggers]
    yield
    for one, (handlers, propagate, level) in zip(loggers, before, strict=True):
        for handler in one.handlers:
            handler.close()
        one.handlers, one.propagate = handlers, propagate
        one.setLevel(level)


def write(tmp_path: Path, form: str, level: str = "info") -> tuple[logging.Logger, Path]:
    """A logger of the package that writes to a file."""
    file = tmp_path / "log"
    logs.set_up(LoggingConfig(level=level, format=form, file=str(file)))
    return logging.getLogger(f"{logs.ROOT}.test"), file


@pytest.mark.seed(
    "log.timestamp",
)
def test_json(tmp_path: Path) -> None:
    """One object a line: message, fields and traceback."""
    log, file = write(tmp_path, "json")
    log.info("two\nlines é", extra={"fields": {"port": 7, "path": Path("x")}})
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("failed")

    first, second = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())

    assert (first["level"], first["message"]) == ("INFO", "two\nlines é")
    assert (first["target"], first["fields"]) == ("ferrite_py.test", {"port": 7, "path": "x"})
    assert first["timestamp"].endswith("Z")
    assert "trace_id" not in first
    assert (second["level"], second["message"]) == ("ERROR", "failed")
    assert "fields" not in second
    assert "ValueError: no" in second["exception"]


def test_json_leads_to_a_trace(tmp_path: Path) -> None:
    """A message about a traced command names its trace and span."""
    log, file = write(tmp_path, "json")
    log.info(
        "Command executed", extra={"trace": ("ab" * 16, "cd" * 8), "fields": {"command": "SET"}}
    )

    [line] = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())

    assert (line["trace_id"], line["span_id"]) == ("ab" * 16, "cd" * 8)
    assert list(line) == [
        "timestamp",
        "level",
        "target",
        "message",
        "trace_id",
        "span_id",
        "fields",
    ]


def test_pretty(tmp_path: Path) -> None:
    """A message is one line, whatever is in it; its fields follow."""
    log, file = write(tmp_path, "pretty")
    log.warning("a\r\nb", extra={"fields": {"port": 7}})

    [line] = file.read_text(encoding="utf-8").splitlines()

    assert line.endswith(" warn  a\\r\\nb port=7")


def test_levels(tmp_path: Path) -> None:
    """Less important messages are left out, and the level can change."""
    log, file = write(tmp_path, "pretty", "error")
    log.warning("before")
    logs.set_level("debug")
    log.debug("after")

    assert [line.rpartition(" ")[2] for line in file.read_text().splitlines()] == ["after"]


def test_a_renamed_file_is_opened_anew(tmp_path: Path) -> None:
    """Log rotation needs no signal."""
    log, file = write(tmp_path, "pretty")
    log.info("old")
    file.rename(tmp_path / "log.1")
    log.info("new")

    assert file.read_text().endswith("new\n")
    assert (tmp_path / "log.1").read_text().endswith("old\n")


@pytest.mark.parametrize("file", ["-", ""])
def test_standard_output_is_a_file(capsys: pytest.CaptureFixture[str], file: str) -> None:
    """`-` is standard output, for lines of both forms; without a file it is standard error."""
    log = logging.getLogger(f"{logs.ROOT}.test")
    logs.set_up(LoggingConfig(file=file, format="json"))
    log.info("one", extra={"trace": ("ab" * 16, "cd" * 8), "fields": {"command": "SET"}})
    logs.set_up(LoggingConfig(file=file, format="pretty"))
    log.info("two", extra={"fields": {"port": 7}})

    output = capsys.readouterr()
    written, other = (output.out, output.err) if file else (output.err, output.out)
    first, second = written.splitlines()
    assert json.loads(first)["fields"] == {"command": "SET"}
    assert json.loads(first)["trace_id"] == "ab" * 16
    assert second.endswith(" info  two port=7")
    assert other == ""


def test_no_character_is_too_much_for_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its encoding has not is escaped, as on standard error."""
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding="ascii"))
    logs.set_up(LoggingConfig(file="-"))

    logging.getLogger(f"{logs.ROOT}.test").info("größe \udcff")

    assert b"gr\\xf6\\xdfe \\udcff" in output.getvalue()


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """One line that names the setting and the file."""
    with pytest.raises(StartupError, match=r"logging\.file: cannot open .*missing"):
        logs.set_up(LoggingConfig(file=str(tmp_path / "missing" / "log")))
