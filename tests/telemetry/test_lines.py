"""Lines of the log about commands: they lead to traces, and there are not too many."""

from __future__ import annotations

import json
import logging
import time
from datetime import datetime
from pathlib import Path

import pytest

from ferrite_py.logs import JsonFormatter
from ferrite_py.telemetry.drain import RETRY_S_MAX
from ferrite_py.telemetry.lines import (
    ALL,
    LINES_PER_S,
    NONE,
    REPORT_S,
    RETAINED,
    CommandLines,
    Note,
)
from ferrite_py.telemetry.logs import translated
from tests.support.process import Process
from tests.support.servers import free_port
from tests.telemetry.receiver import Receiver

ENDED = 1_700_000_000_999_999_999
"""When the commands of these tests ended, in Unix nanoseconds."""


def note(number: int = 0, *, retained: bool = True) -> Note:
    """A command for the log."""
    texts = b"user:\xff", b"10.0.0.1:5", b""
    return (number, 0, retained, "ab" * 16, "cd" * 8, 45, 6, *texts, ENDED)


@pytest.mark.parametrize(("level", "wanted"), [("info", 1), ("debug", 3), ("warn", 0)])
@pytest.mark.seed(
    "logging.level",
    "logging.format",
    "log.level",
    "log.target",
    "log.message",
    "log.trace_id",
    "log.span_id",
    "log.fields",
    "log.fields.command",
    "log.fields.key",
    "log.fields.duration_us",
    "log.fields.result",
    "log.fields.client_addr",
)
def test_lines_lead_to_exported_traces(tmp_path: Path, level: str, wanted: int) -> None:
    """At info what was kept, at debug all, each with the ids of a span that arrived."""
    with Receiver() as receiver:
        settings = {
            "telemetry.enabled": "yes",
            "telemetry.logs_enabled": "no",
            "telemetry.endpoint": receiver.grpc_endpoint,
            "telemetry.batch_timeout_ms": "300",  # after which the lines are written
            "telemetry.record_keys": "full",
            "telemetry.connection_rate_max": "0",
            "telemetry.retain_slower_than": "-1",
            "logging.format": "json",
            "logging.level": level,
        }
        server = Process(tmp_path, *(f"{name}={text}" for name, text in settings.items()))
        try:
            with server.client() as client:
                client.command("SET", "user:123", "v")
                client.command("INCR", "user:123")
                client.command("GET", "user:123")
            spans = receiver.wait_for_spans(3, lambda span: span.kind == "SERVER")
            server.stop()
        finally:
            server.kill()

    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    told = [line for line in lines if line["message"] == "Command executed"]
    ids = {(span.trace_id, span.span_id) for span in spans}
    assert len(told) == wanted
    assert all((line["trace_id"], line["span_id"]) in ids for line in told)
    spans_by_id = {span.span_id: span for span in spans}
    for line in told:
        span = spans_by_id[line["span_id"]]
        told_ms = round(datetime.fromisoformat(line["timestamp"]).timestamp() * 1000)
        assert span.start // 10**6 <= told_ms <= span.end // 10**6
        if line["fields"]["command"] == "INCR":
            assert (line["level"], line["fields"]["result"]) == ("INFO", "ERR")
        else:
            assert (line["level"], line["fields"]["result"]) == ("DEBUG", "OK")
        assert line["target"] == "ferrite_py.commands"
        assert line["fields"]["key"] == "user:123"
        assert line["fields"]["duration_us"] >= 0
        assert 0 <= line["fields"]["queued_us"] * 1000 <= span.end - span.start
        assert line["fields"]["client_addr"].startswith("127.0.0.1:")


def test_lines_are_switched(tmp_path: Path) -> None:
    """Without `command_lines` (`--disable-logging`) there are none, though spans are exported."""
    with Receiver() as receiver:
        server = Process(
            tmp_path,
            "telemetry.enabled=yes",
            f"telemetry.endpoint={receiver.grpc_endpoint}",
            "telemetry.batch_timeout_ms=20",
            "telemetry.connection_rate_max=0",
            "telemetry.command_lines=no",
            "logging.level=debug",
        )
        try:
            with server.client() as client:
                client.command("SET", "off", "v")
                receiver.wait_for_spans(1, lambda span: span.kind == "SERVER")
                client.command("CONFIG", "SET", "telemetry-command-lines", "yes")
                client.command("GET", "off")
                receiver.wait_for_spans(3, lambda span: span.kind == "SERVER")
            server.stop()
        finally:
            server.kill()

    told = [line for line in server.log().splitlines() if "Command executed" in line]
    assert not any("command=SET" in line for line in told)
    assert any("command=GET" in line for line in told)


def test_lines_do_not_wait_for_a_receiver(tmp_path: Path) -> None:
    """While a request is tried again and again, the log tells of what waits behind it; once."""
    server = Process(
        tmp_path,
        "telemetry.enabled=yes",
        f"telemetry.endpoint=http://127.0.0.1:{free_port()}",
        "telemetry.batch_timeout_ms=20",
        "telemetry.logs_enabled=no",
        "telemetry.metrics_enabled=no",
        "telemetry.shutdown_flush_timeout=0",
    )
    try:
        with server.client() as client:
            for number in range(1, 4):
                client.command("INCR", f"k{number}", "wrong")
                wait_for_lines(server, number)
    finally:
        server.stop()
        server.kill()

    assert server.log().count("command=INCR") == 3


def wait_for_lines(server: Process, count: int) -> None:
    """Wait for lines about INCR: not as long as a request is tried again."""
    end = time.monotonic() + RETRY_S_MAX / 2
    while server.log().count("command=INCR") < count:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_lines_have_the_time_of_the_command(caplog: pytest.LogCaptureFixture) -> None:
    """In the log and over OTLP, to the nanosecond, not that at which they are written."""
    with caplog.at_level(logging.DEBUG, "ferrite_py.commands"):
        CommandLines(["get"]).write([note()])

    [record] = caplog.records
    assert json.loads(JsonFormatter().format(record))["timestamp"] == "2023-11-14T22:13:20.999Z"
    assert translated(record).timestamp == ENDED


def test_lines_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """So many a second; the rest is counted and told later."""
    now = [10.0]
    lines = CommandLines(["get", "config|get"], lambda: now[0])

    with caplog.at_level(logging.DEBUG, "ferrite_py.commands"):
        lines.write([note()] * 70)
        lines.write([note(1)] * 70)
        now[0] += 1
        lines.write([note(99, retained=False)])
        now[0] += REPORT_S
        lines.write([])

    records = [one for one in caplog.records if one.message == "Command executed"]
    assert len(records) == LINES_PER_S + 1
    assert records[0].__dict__["fields"]["key"] == "user:\ufffd"
    assert records[-2].__dict__["fields"]["command"] == "CONFIG GET"
    assert records[-1].__dict__["fields"]["command"] == "UNKNOWN"
    assert caplog.records[-1].message == "40 lines about commands were left out; traces have them"


def test_there_is_room_for_so_many(caplog: pytest.LogCaptureFixture) -> None:
    """In each second anew; what was left out for want of it counts as well."""
    now = [10.0]
    lines = CommandLines(["get"], lambda: now[0])

    with caplog.at_level(logging.INFO, "ferrite_py.commands"):
        rooms = [lines.room]
        lines.write([note()] * 70)
        rooms.append(lines.room)
        lines.write([note()] * 30, 500)
        rooms.append(lines.room)
        now[0] += 1
        rooms.append(lines.room)
        now[0] += REPORT_S
        lines.write([])

    assert rooms == [LINES_PER_S, LINES_PER_S - 70, 0, LINES_PER_S]
    assert caplog.records[-1].message == "500 lines about commands were left out; traces have them"


def test_the_level_chooses(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is asked for that would not be written."""
    lines = CommandLines(["get"])
    for level, choice in ((logging.DEBUG, ALL), (logging.INFO, RETAINED), (logging.WARNING, NONE)):
        with caplog.at_level(level, "ferrite_py.commands"):
            assert lines.choice == choice
