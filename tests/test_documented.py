"""What the documents show is there: settings with their values, commands, fields of INFO."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ferrite_py import cli
from ferrite_py.commands import tiers
from ferrite_py.config import CATALOGUE
from ferrite_py.telemetry.names import COMMAND_CONSTANTS, PARTS, SLOTS, STORAGE_CONSTANTS
from tests.house.sources import ROOT
from tests.house.test_documents import DOCUMENTS

WRITTEN_BY_HAND = [path for path in DOCUMENTS if path.name != "configuration.md"]

PURPOSES = ("recount", "expire", "refill", "compact", "evict")
"""What segment files are walked for."""

NAMES_OF_SPANS = {part.name.removeprefix("ferrite.") for part in PARTS} | {
    name
    for names in (*COMMAND_CONSTANTS, *SLOTS, *STORAGE_CONSTANTS)
    for name in names.under("dup")
}
"""They begin as settings do: `server.address`."""


def settings_in(text: str) -> list[tuple[str, str]]:
    """The settings in code spans, each with the value that is shown, or an empty text."""
    sections = "|".join(CATALOGUE.sections)
    found = re.findall(rf"`((?:{sections})\.[a-z_]+)(?: = ([^`]+))?`", text)
    return [(name, value) for name, value in found if name not in NAMES_OF_SPANS]


def commands_in(text: str) -> Iterator[list[str]]:
    """The arguments of `ferrite-py` in code spans and blocks; of `a|b` each by itself."""
    blocks = "\n".join(re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL))
    shown = re.findall(r"`ferrite-py( [^`]+)?`", text)
    shown += re.findall(r"^(?:\$ )?ferrite-py( .+)$", blocks, re.MULTILINE)
    shown += re.findall(r"docker compose run --rm ferrite-py( [^`\n]+)", text)
    for arguments in shown:
        words = shlex.split(re.sub(r"[\[\]]", "", arguments), comments=True)
        choices = max([word.count("|") + 1 for word in words], default=1)
        for at in range(choices):
            yield [word.split("|")[at] if "|" in word else word for word in words]


@pytest.mark.parametrize("path", WRITTEN_BY_HAND, ids=lambda path: str(path.relative_to(ROOT)))
def test_settings_exist_and_take_the_value(path: Path) -> None:
    """A reader can write each line into a file."""
    for name, value in settings_in(path.read_text(encoding="utf-8")):
        setting = CATALOGUE.find(name)
        assert setting is not None, name
        if value:
            setting.kind.parse(tomllib.loads(f"value = {value}")["value"], setting.default)


def refusal(arguments: list[str]) -> str:
    """What the command line says of arguments that it does not take; empty when it does."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
            cli._parser().parse_args(arguments)
    except SystemExit as end:
        return told.getvalue() if end.code else ""
    return ""


@pytest.mark.parametrize("path", WRITTEN_BY_HAND, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_taken(path: Path) -> None:
    """Every `ferrite-py ...` is one that the command line knows; prose leaves out the folder."""
    for arguments in commands_in(path.read_text(encoding="utf-8")):
        has_folder = any(not word.startswith("-") for word in arguments[1:])
        is_short = arguments[:1] == ["inspect"] and not has_folder
        assert refusal([*arguments, "DATA_DIR"] if is_short else arguments) == "", arguments


def test_settings_and_commands_are_found() -> None:
    """In spans and in blocks; what is no command or setting is left alone."""
    text = (
        "`ferrite-py config check|show`, `storage.data_dir` and `metrics.port = 0`\n"
        "`server.address`, `ferrite-py.toml`\n"
        "```sh\n$ ferrite-py doctor  # a word\nferrite-py manifest\n```\n"
        "`docker compose run --rm ferrite-py inspect /data`\n"
    )
    checks = [["config", "check"], ["config", "show"]]

    assert [*checks, ["doctor"], ["manifest"], ["inspect", "/data"]] == [*commands_in(text)]
    assert [("storage.data_dir", ""), ("metrics.port", "0")] == settings_in(text)
    assert "invalid choice: 'manifest'" in refusal(["manifest"])


class Once(dict[str, Any]):
    """A snapshot of tiers in which everything has happened once, so that no field is left out."""

    def __missing__(self, name: str) -> Any:
        if name == "read_latency":
            return {1: 1}
        return Once() if name in tiers.NAMES else 1


def documented_fields() -> set[str]:
    """The fields that docs/operations.md explains, with its placeholders filled in."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = text.split("### Tiers: what to watch")[1].split("\n### ")[0]
    first_columns = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    names = re.findall(r"`([^`]+)`", " ".join(first_columns))
    return {
        name.replace("<tier>", tier).replace("<purpose>", purpose)
        for name in names
        for tier in tiers.NAMES
        for purpose in PURPOSES
    }


def test_every_field_of_the_tiers_is_documented() -> None:
    """INFO hybridlog has what docs/operations.md explains, and nothing else."""
    found = [name for name, _ in tiers.hybridlog_fields(Once())]

    assert len(found) > 80
    assert documented_fields() == set(found)
