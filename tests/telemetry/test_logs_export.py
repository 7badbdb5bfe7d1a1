"""The server's log over OTLP."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from pathlib import Path

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExportResult

from ferrite_py.logs import LEVELS, set_level
from ferrite_py.telemetry.logs import END_S, QUIET_S, Counting, Queue, Quiet, translated
from tests.support.process import Process
from tests.telemetry.exporting import PROTOCOLS
from tests.telemetry.receiver import Receiver, bad_request, unavailable


def record_of(message: str, **extra: object) -> logging.LogRecord:
    """A message of the package."""
    record = logging.LogRecord("ferrite_py.x", logging.WARNING, "f", 1, message, (), None)
    record.__dict__.update(extra)
    return record


def started(folder: Path, receiver: Receiver, protocol: str, *settings: str) -> Process:
    """A server that exports its log, and no traces."""
    names = [
        "telemetry.enabled=yes",
        "telemetry.traces_enabled=no",
        f"telemetry.endpoint={receiver.endpoint(protocol)}",
        f"telemetry.protocol={protocol}",
        "telemetry.batch_timeout_ms=20",
    ]
    return Process(folder, *names, *settings)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_messages_of_a_server_arrive(tmp_path: Path, protocol: str) -> None:
    """What the log says from the start to the stop, with the service's resource."""
    with Receiver() as receiver:
        server = started(tmp_path, receiver, protocol)
        try:
            receiver.wait(lambda one: any("Ready" in str(log.body) for log in one.logs()))
            server.stop()
        finally:
            server.kill()

        found = {log.body: log for log in receiver.logs()}
        ready = found["Ready to accept connections"]
        assert (ready.severity, ready.severity_number) == ("INFO", 9)
        assert ready.scope == "ferrite_py.server"
        assert ready.resource["service.name"] == "ferrite"
        assert ready.time > 10**18
        assert "stopping: received SIGTERM" in found
        assert receiver.spans() == []


@pytest.mark.seed(
    "telemetry.logs_enabled",
)
def test_logs_enabled_is_a_switch(tmp_path: Path) -> None:
    """Without it nothing of the log is sent."""
    with Receiver() as receiver:
        server = started(tmp_path, receiver, "grpc", "telemetry.logs_enabled=no")
        server.stop()
        server.kill()

        assert receiver.arrivals("logs", taken=None) == []


def test_a_receiver_that_is_away_is_told_once(tmp_path: Path) -> None:
    """The SDK's complaints enter the log once a minute, and the stop keeps its deadline."""
    with Receiver() as receiver:
        receiver.behave(unavailable())
        server = started(tmp_path, receiver, "grpc", "telemetry.shutdown_flush_timeout=300ms")
        receiver.wait(lambda one: len(one.arrivals("logs", taken=False)) >= 2)
        began = time.monotonic()
        server.stop()
        took_s = time.monotonic() - began
        server.kill()

        assert took_s < 0.3 + END_S + 3

        lines = [line for line in server.log().splitlines() if "while exporting logs" in line]
        assert len(lines) == 1


def test_fields_trace_and_exception_are_kept() -> None:
    """The structured part is attributes, the trace is the record's own."""
    try:
        raise ValueError("bad")
    except ValueError:
        info = sys.exc_info()
    record = record_of(
        "m", fields={"port": 7, "path": Path("x")}, trace=("ab" * 16, "cd" * 8), exc_info=info
    )

    log = translated(record)

    assert (log.body, log.severity_text) == ("m", "WARN")
    assert log.attributes is not None
    assert (log.attributes["port"], log.attributes["path"]) == (7, "x")
    assert log.attributes["exception.type"] == "ValueError"
    assert "ValueError: bad" in str(log.attributes["exception.stacktrace"])
    assert (log.trace_id, log.span_id) == (int("ab" * 16, 16), int("cd" * 8, 16))


def test_quiet_lets_each_kind_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the text before its arguments are filled in; again after a minute."""
    quiet = Quiet()
    now = [1000.0]
    monkeypatch.setattr("ferrite_py.telemetry.logs.time.monotonic", lambda: now[0])

    assert [quiet.filter(record_of(text)) for text in ("a", "a", "b")] == [True, False, True]
    now[0] += QUIET_S + 1
    assert quiet.filter(record_of("a"))
    debug = record_of("a")
    debug.levelno = logging.DEBUG
    assert quiet.filter(debug)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_complaints_are_lines_of_the_log_without_logs_over_otlp(
    tmp_path: Path, protocol: str
) -> None:
    """What the exporter of metrics says is as JSON as all else, and once a minute."""
    with Receiver() as receiver:
        receiver.behave(bad_request())
        server = started(
            tmp_path,
            receiver,
            protocol,
            "telemetry.logs_enabled=no",
            "telemetry.metrics_export_interval=30ms",
            "logging.format=json",
        )
        try:
            receiver.wait(lambda one: len(one.arrivals("metrics", taken=False)) >= 5)
            server.stop()
        finally:
            server.kill()

    lines = [json.loads(line) for line in server.log().splitlines()]
    told = [line["message"] for line in lines if line["target"].startswith("opentelemetry.")]
    assert len([text for text in told if "export" in text and "metrics" in text]) == 1
    assert len([one for one in lines if "metrics were not exported" in one["message"]]) == 1


def test_debug_reaches_the_sdk() -> None:
    """At debug its own messages are wanted too; else warnings, and not those below ours."""
    sdk = logging.getLogger("opentelemetry.exporter.otlp")
    before = [(one, one.level) for one in map(logging.getLogger, ("ferrite_py", "opentelemetry"))]
    try:
        levels = {}
        for name in LEVELS:
            set_level(name)
            levels[name] = sdk.getEffectiveLevel()
    finally:
        for logger, level in before:
            logger.setLevel(level)

    assert levels == {
        "debug": logging.DEBUG,
        "info": logging.WARNING,
        "warn": logging.WARNING,
        "error": logging.ERROR,
    }


class Stuck:
    """An exporter that waits to be let go, and fails then."""

    def __init__(self) -> None:
        self.is_asked, self.go = threading.Event(), threading.Event()

    def export(self, batch: object) -> LogRecordExportResult:  # noqa: ARG002
        """Wait."""
        self.is_asked.set()
        assert self.go.wait(20)
        return LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        """Nothing is open."""


def test_messages_that_are_lost_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Those that the queue had no room for, and those of requests that failed."""
    inner = Stuck()
    exporter = Counting(inner)
    queue = Queue(exporter, max_queue_size=4, max_export_batch_size=4)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(queue)
    logger = provider.get_logger("x")

    with caplog.at_level(logging.WARNING, "ferrite_py"):
        for _ in range(4):
            logger.emit(LogRecord(body="m"))
        assert inner.is_asked.wait(20)
        for _ in range(7):
            logger.emit(LogRecord(body="m"))
        assert queue.dropped == 3
        inner.go.set()
        provider.shutdown()

    assert (exporter.exported, exporter.failed, exporter.lost) == (0, 2, 8)
    assert [line for line in caplog.messages if "log were not exported" in line] == [
        "messages of the log were not exported; 4 so far"
    ]
