"""Records of a running server: one span for each command that is counted, however it ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.process import Process
from tests.telemetry.receiver import Receiver
from tests.telemetry.tracing import calls, commands
from tests.telemetry.views import SpanView

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
CALLER = f"00-{TRACE}-{SPAN}-01"
Start = Callable[..., Process]


@pytest.fixture(params=["reactors", "streams"])
def start(request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver) -> Iterator[Start]:
    """Start a server of one transport that exports all of its commands."""
    started: list[Process] = []

    def begin(*settings: str) -> Process:
        names = [
            "telemetry.enabled=yes",
            f"telemetry.endpoint={receiver.endpoint('grpc')}",
            "telemetry.batch_timeout_ms=20",
            "telemetry.connection_rate_max=0",
            "telemetry.record_keys=full",
            f"server.transport={request.param}",
        ]
        started.append(Process(tmp_path, *names, *settings))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


def names(spans: list[SpanView]) -> Counter[str]:
    """How many spans have which name."""
    return Counter(span.name for span in spans)


def attribute(text: bytes) -> bytes:
    """A request with the caller before it."""
    return b"|1\r\n$11\r\ntraceparent\r\n$55\r\n" + CALLER.encode() + b"\r\n" + text


def test_each_counted_command_is_one_span(start: Start, receiver: Receiver) -> None:
    """Pipelines, transactions, refusals, waits and commands of Python; unknown ones beside them."""
    server = start()
    with server.client() as client:
        client.send(b"SET k v\r\nINCR k\r\nGET\r\nNOSUCH x\r\nWAIT 1 5\r\nCONFIG GET port\r\n")
        client.send(b"MULTI\r\nGET k\r\nLPUSH\r\nEXEC\r\n")
        client.send(b"MULTI\r\nGET k\r\nCONFIG GET port\r\nGET k\r\nEXEC\r\n")
        for _ in range(15):
            client.read()
        total = calls(client)

        # NOSUCH and LPUSH are no commands here; and INFO is counted when it has answered.
        expected = total + 2 + 1
        spans = commands(receiver, expected)
        server.stop()

    assert len(commands(receiver, expected)) == expected
    found = names(spans)
    assert found["GET"] == 3
    assert found["CONFIG GET"] == 2
    assert found["EXEC"] == 2
    assert found["WAIT"] == 1
    execs = [span.span_id for span in spans if span.name == "EXEC"]
    children = Counter(span.parent_id for span in spans if span.parent_id)
    assert list(children) == execs[1:]
    assert children[execs[1]] == 3


def test_both_ways_name_the_caller(start: Start, receiver: Receiver) -> None:
    """An attribute is about one command; TRACEPARENT about the next one, or a whole transaction."""
    server = start()
    with server.client() as client:
        assert b"traceparent" in client.command("HELLO", "3").raw
        client.send(attribute(b"GET a\r\n") + b"GET a\r\n")
        client.send(f"TRACEPARENT {CALLER}\r\nSTRLEN b\r\nSTRLEN b\r\n".encode())
        client.send(f"TRACEPARENT {CALLER}\r\nMULTI\r\nINCR c\r\nEXEC\r\nTTL c\r\n".encode())
        for _ in range(10):
            client.read()

        spans = commands(receiver, 11)

    parents: dict[str, list[str]] = {}
    for span in sorted(spans, key=lambda one: one.start):
        parents.setdefault(span.name, []).append(span.parent_id)
    execution = next(span for span in spans if span.name == "EXEC")
    assert parents == {
        "HELLO": [""],
        "GET": [SPAN, ""],
        "TRACEPARENT": [SPAN, SPAN],
        "STRLEN": [SPAN, ""],
        "MULTI": [SPAN],
        "EXEC": [SPAN],
        "INCR": [execution.span_id],
        "TTL": [""],
    }
    assert {span.trace_id for span in spans if span.parent_id} == {TRACE}
    server.stop()


def test_what_waited_for_the_disk_is_one_span_each(
    start: Start, receiver: Receiver, tmp_path: Path
) -> None:
    """Commands that run again when their keys have been read are counted and recorded once."""
    keys = [f"k{i}" for i in range(20)]
    server = start(
        f"storage.data_dir={tmp_path / 'data'}",
        "server.enable_debug_command=yes",
        "storage.max_memory=64mb",
    )
    with server.client() as client:
        for key in keys:
            client.command("SET", key, "v" * 100)
        assert client.command("DEBUG", "TIER", "disk").raw == b"+OK\r\n"
        before = calls(client)

        client.pipeline([["GET", key] for key in keys[:10]])
        client.send(b"MULTI\r\n" + b"".join(b"STRLEN %s\r\n" % k.encode() for k in keys[10:]))
        client.command("EXEC")
        for _ in range(11):
            client.read()
        after = calls(client)
        spans = commands(receiver, after + 1)

    found = names(spans)
    assert after - before == 1 + 10 + 1 + 10 + 1  # the first INFO, GETs, MULTI, STRLENs, EXEC
    assert (found["GET"], found["STRLEN"], found["EXEC"], found["MULTI"]) == (10, 10, 1, 1)
    assert len(spans) == after + 1
    waits = [span for span in spans if span.name == "GET"]
    assert all(span.attributes["cache.hit"] for span in waits)
    assert any(span.attributes.get("ferrite.storage.disk_reads", 0) for span in waits)
    server.stop()
