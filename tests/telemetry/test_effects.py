"""What settings are for, seen by a receiver.

Each is given a value that no default has, and what arrives is wrong without it.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.process import Process, run_to_end
from tests.telemetry.receiver import Receiver, hanging
from tests.telemetry.tracing import CALLER, commands, on_wire, traced

NEVER_MS = "3600000"


@pytest.mark.seed(
    "traceparent",
)
def test_the_callers_span_is_the_parent(tmp_path: Path, receiver: Receiver) -> None:
    """`traceparent` makes the command part of the caller's trace; the next one is not."""
    server = Process(tmp_path, *traced(receiver))
    with server.client() as client:
        client.send(on_wire("PING", flags="01"))
        client.read()
        client.command("ECHO", "x")
        ping, echo = commands(receiver, 2)

    assert (ping.trace_id, ping.parent_id) == CALLER
    assert (echo.name, echo.parent_id) == ("ECHO", "")
    server.stop()


@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.seed(
    "telemetry.traces_enabled",
)
def test_traces_are_switched(tmp_path: Path, receiver: Receiver, is_on: bool) -> None:
    """`traces_enabled` decides whether spans are sent, whatever else is."""
    server = Process(tmp_path, *traced(receiver, traces_enabled="yes" if is_on else "no"))
    with server.client() as client:
        client.command("PING")
    server.stop()

    assert [span.name for span in receiver.spans()] == ["PING"] * is_on


@pytest.mark.seed(
    "telemetry.batch_size",
)
def test_batches_are_as_large_as_said(tmp_path: Path, receiver: Receiver) -> None:
    """Of `batch_size` commands the spans are sent at once, though no time is over."""
    settings = traced(receiver, batch_size="7", batch_timeout_ms=NEVER_MS)
    server = Process(tmp_path, *settings)
    with server.client() as client:
        client.pipeline([("PING",)] * 70)
        spans = commands(receiver, 70)
    server.stop()

    sizes = [
        sum(len(scope.spans) for group in message.resource_spans for scope in group.scope_spans)
        for message in receiver.messages("traces")
    ]
    assert len(spans) == 70
    assert max(sizes) == 7


def test_a_queue_smaller_than_a_batch_loses_nothing(tmp_path: Path, receiver: Receiver) -> None:
    """Commands go when their thread's queue is half full, though no batch is and no time is over.

    The queue has room for 4,096 of them without texts, as a batch has, and for fewer with.
    """
    settings = traced(receiver, event_bus_queue_size="2048", batch_timeout_ms=NEVER_MS)
    server = Process(tmp_path, *settings)
    queue = 2048 * 256 // 128
    with server.client() as client:
        for sent in range(1000, 8001, 1000):
            client.pipeline([("PING",)] * 1000)
            commands(receiver, sent - queue // 2)
    server.stop()

    assert len(commands(receiver, 8000)) == 8000
    assert len(receiver.messages("traces")) > 2


def test_what_is_left_at_the_stop_is_lost_in_the_metrics(
    tmp_path: Path, receiver: Receiver
) -> None:
    """With a receiver of traces that hangs: what has arrived and what was lost are all commands."""
    settings = traced(
        receiver,
        metrics_enabled="yes",
        metrics_export_interval="1h",
        batch_size="100",
        shutdown_flush_timeout="300ms",
    )
    with Receiver() as other:
        environ = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": other.grpc_endpoint}
        server = Process(tmp_path, *settings, environ=environ)
        with server.client() as client:
            client.command("PING")
            commands(receiver, 1)
            receiver.behave(hanging())
            client.pipeline([("PING",)] * 1000)
        server.stop()
        lost = {
            str(metric.attributes["reason"]): metric.value
            for metric in other.metrics()
            if metric.name == "ferrite.telemetry.lost"
        }

    assert len(receiver.spans()) + sum(lost.values()) == 1001
    assert lost["stopped"] >= 900


@pytest.mark.seed(
    "telemetry.batch_timeout_ms",
)
def test_what_is_no_batch_waits_as_long_as_said(tmp_path: Path, receiver: Receiver) -> None:
    """30 commands that each wait for the span of the one before: 30 times the timeout."""
    server = Process(tmp_path, *traced(receiver, batch_timeout_ms="20"))
    began = time.monotonic()
    with server.client() as client:
        for number in range(30):
            client.command("PING")
            commands(receiver, number + 1)
    took_s = time.monotonic() - began
    server.stop()

    assert took_s < 60  # it would be 150 with the default


def test_names_of_baggage_that_are_too_long_change_nothing(
    tmp_path: Path, receiver: Receiver
) -> None:
    """CONFIG SET takes as much as the server has room for, and refuses more with a reason."""
    longest = ["a" * 511, "b" * 511]
    server = Process(tmp_path, *traced(receiver))
    with server.client() as client:
        taken = client.command("CONFIG", "SET", "telemetry-baggage-keys", " ".join(longest))
        refused = client.command("CONFIG", "SET", "telemetry-baggage-keys", "c" * 1024)
        found = client.command("CONFIG", "GET", "telemetry-baggage-keys").raw
    server.stop()

    assert taken.raw == b"+OK\r\n"
    assert b"at most 1023 bytes" in refused.raw
    assert " ".join(longest).encode() in found
    started = run_to_end("--set", f"telemetry.baggage_keys={'c' * 1024}")
    assert started.returncode != 0
    assert "Traceback" not in started.stderr
    assert "telemetry.baggage_keys" in started.stderr
