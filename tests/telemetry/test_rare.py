"""Spans of what is no command, as a receiver gets them from a running server."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource

from ferrite_py._native import Server, Stream
from ferrite_py.config import Config, Sources
from ferrite_py.measure import Meter
from ferrite_py.services import engine_options
from ferrite_py.telemetry import export, rare
from tests.support.process import Process
from tests.telemetry.receiver import Receiver
from tests.telemetry.views import SpanView, spans_of

SMALL = {
    "storage.segment_size": "64kb",
    "storage.hybridlog_mutable_size": "256kb",
    "storage.hybridlog_readonly_size": "64kb",
    "server.enable_debug_command": "yes",
}
VALUE = "v" * 1000
NAMES = {kind.name for kind in rare.KINDS}

Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path, receiver: Receiver) -> Iterator[Start]:
    """Start a server with a data folder and small budgets; settings by their names."""
    started: list[Process] = []

    def begin(**settings: str) -> Process:
        given = {
            **SMALL,
            "storage.data_dir": str(tmp_path / "data"),
            "telemetry.enabled": "yes",
            "telemetry.endpoint": receiver.grpc_endpoint,
            "telemetry.metrics_enabled": "no",
            "telemetry.logs_enabled": "no",
            "telemetry.batch_timeout_ms": "20",
            **{name.replace("__", "."): text for name, text in settings.items()},
        }
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Process(folder, *(f"{name}={text}" for name, text in given.items())))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


def write(server: Process, count: int = 1000) -> None:
    """Write so many values of a thousand bytes."""
    with server.client() as client:
        client.pipeline([("SET", f"k{number}", VALUE) for number in range(count)])


def named(receiver: Receiver, name: str) -> list[SpanView]:
    """Wait for a span of this name; all that are there then."""
    return receiver.wait_for_spans(1, lambda span: span.name == name)


@pytest.mark.seed("ferrite.epoch.advance")
def test_segments_on_their_way_down(start: Start, receiver: Receiver) -> None:
    """Flushes and demotions, with what changed the epoch below the command or job it was in."""
    server = start()
    write(server)
    with server.client() as client:
        client.command("DEBUG", "TIER", "DISK")
    server.stop()

    spans = {span.span_id: span for span in receiver.spans()}
    by_name = {name: [one for one in spans.values() if one.name == name] for name in NAMES}
    flushes = by_name["ferrite.segment.flush"]
    assert {span.kind for span in flushes} == {"INTERNAL"}
    assert all(span.attributes["ferrite.segment.bytes"] > 0 for span in flushes)
    assert {span.status for span in flushes} == {"UNSET"}
    demoted = sum(
        one.attributes["ferrite.segment.count"] for one in by_name["ferrite.segment.demote"]
    )
    assert demoted > 0
    advances = by_name["ferrite.epoch.advance"]
    tiers = [one.attributes["ferrite.storage.tier"] for one in advances]
    assert set(tiers) == {"sealed", "read_only", "disk"}
    epochs = [one.attributes["ferrite.storage.epoch"] for one in advances]
    assert len(set(epochs)) == len(epochs)
    for span in advances:
        if span.attributes["ferrite.storage.tier"] == "read_only":
            parent = spans[span.parent_id]
            assert parent.name == "ferrite.segment.flush"
            assert parent.trace_id == span.trace_id
            assert parent.start <= span.start <= span.end <= parent.end
            number = "ferrite.segment.number"
            assert parent.attributes[number] == span.attributes[number]
        else:
            parent = spans[span.parent_id] if span.parent_id else span
            assert parent.trace_id == span.trace_id
    commands = [spans[one.parent_id].name for one in advances if one.parent_id]
    assert "SET" in commands
    assert "ferrite.segment.demote" in commands
    for span in flushes:
        assert span.resource["service.name"] == "ferrite"
        assert span.scope == "ferrite_py"


def test_start_and_stop(start: Start, receiver: Receiver) -> None:
    """What a stop saved the next start has read; both told with the native side's times."""
    server = start()
    write(server, 100)
    server.stop()
    [saved] = [span for span in receiver.spans() if span.name == "ferrite.checkpoint"]
    server = start()
    [found] = named(receiver, "ferrite.recovery")
    server.stop()

    assert saved.attributes["ferrite.checkpoint.result"] == "saved"
    assert saved.attributes["ferrite.checkpoint.keys"] == 100
    assert found.attributes["ferrite.recovery.found"] == "loaded"
    assert found.attributes["ferrite.recovery.keys"] == 100
    assert (
        found.attributes["ferrite.segment.bytes"] == saved.attributes["ferrite.segment.bytes"] > 0
    )
    assert saved.start < saved.end < found.start < found.end
    assert "ferrite.recovery.aside" not in found.attributes


def test_a_folder_that_is_set_aside(start: Start, receiver: Receiver, tmp_path: Path) -> None:
    """A server that did not end cleanly left files that the next one does not serve: an error."""
    server = start()
    write(server)
    named(receiver, "ferrite.segment.flush")
    server.kill()
    server = start()
    [found] = named(receiver, "ferrite.recovery")
    server.stop()

    assert (found.status, found.message) == ("ERROR", "unclean")
    assert (tmp_path / "data" / str(found.attributes["ferrite.recovery.aside"])).is_dir()


def test_compaction_on_disk(start: Start, receiver: Receiver) -> None:
    """A walk over a segment that is mostly garbage tells what it has read and moved."""
    server = start()
    write(server)
    with server.client() as client:
        client.command("DEBUG", "TIER", "DISK")
        client.pipeline([("DEL", f"k{number}") for number in range(1000) if number % 10])
        client.command("DEBUG", "TIER", "COMPACT")
    spans = receiver.wait_for_spans(
        1,
        lambda span: (
            span.attributes.get("ferrite.compaction.purpose") == "compact"
            and span.attributes["ferrite.compaction.moved"] > 0
        ),
    )
    server.stop()

    for span in spans:
        assert span.name == "ferrite.compaction"
        assert span.attributes["ferrite.compaction.read"] > 0
        assert span.attributes["ferrite.segment.number"] > 0
        assert span.start < span.end


def test_eviction_at_the_limit_of_the_disk(start: Start, receiver: Receiver) -> None:
    """Rounds that make room say how much they have evicted."""
    server = start(
        storage__max_disk="1mb", storage__eviction_policy="allkeys-lru", storage__max_memory="64mb"
    )
    write(server, 5000)
    server.stop()

    spans = [span for span in receiver.spans() if span.attributes.get("ferrite.compaction.purpose")]
    assert {span.name for span in spans} == {"ferrite.compaction"}
    assert sum(span.attributes["ferrite.compaction.evicted"] for span in spans) > 1_000_000


@pytest.mark.parametrize("transport", ["reactors", "streams"])
def test_a_connection(start: Start, receiver: Receiver, transport: str) -> None:
    """From the accept to the end, with its commands and bytes."""
    server = start(server__transport=transport)
    with server.client() as client:
        number = int(client.command("CLIENT", "ID").raw[1:])
        info = client.command("CLIENT", "INFO").raw.decode()
        client.command("PING")
    [span] = named(receiver, "ferrite.connection")
    [ping] = [one for one in receiver.spans() if one.name == "PING"]
    server.stop()

    assert (span.kind, span.parent_id) == ("INTERNAL", "")
    assert span.attributes["ferrite.connection.id"] == number
    assert span.attributes["ferrite.connection.commands"] == 3
    assert span.attributes["ferrite.connection.received"] > len("PING")
    assert span.attributes["ferrite.connection.sent"] > len("+PONG")
    assert span.attributes["ferrite.connection.end"] == "closed"
    port = int(info.split(" addr=127.0.0.1:")[1].split()[0])
    for one in (span, ping):
        for address in ("net.peer.ip", "network.peer.address"):
            assert one.attributes[address] == "127.0.0.1"
        for name in ("net.peer.port", "network.peer.port"):
            assert one.attributes[name] == port
    assert span.start < ping.start < ping.end < span.end


@pytest.mark.parametrize(
    ("semconv", "name"), [("stable", "network.peer.address"), ("ferrite", "net.peer.ip")]
)
def test_the_peer_has_the_names_of_its_commands(
    start: Start, receiver: Receiver, tmp_path: Path, semconv: str, name: str
) -> None:
    """Under `semconv`; a unix socket has a path and no port."""
    path = str(tmp_path / "socket")
    server = start(telemetry__semconv=semconv, server__unix_socket=path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"PING\r\n")
        assert client.recv(7) == b"+PONG\r\n"
    [span] = named(receiver, "ferrite.connection")
    server.stop()

    [ping] = [one for one in receiver.spans() if one.kind == "SERVER"]
    for one in (span, ping):
        peer = {key: value for key, value in one.attributes.items() if ".peer." in key}
        assert peer == {name: path}


def test_connections_over_the_rate_are_counted(start: Start, receiver: Receiver) -> None:
    """Of many connections so many a second become spans; the others are told by the metric."""
    server = start(
        telemetry__connection_rate_max="1",
        telemetry__metrics_enabled="yes",
        telemetry__metrics_export_interval="1h",
    )
    for _ in range(200):
        with server.client() as client:
            client.command("PING")
    server.stop()

    spans = [span for span in receiver.spans() if span.name == "ferrite.connection"]
    [left_out] = [
        metric.value
        for metric in receiver.metrics()
        if metric.name == "ferrite.telemetry.events.lost"
        and metric.attributes == {"reason": "rate_limit"}
    ][-1:]
    assert len(spans) + left_out == 200
    assert left_out > 0


def test_a_mistake_with_events_costs_no_commands(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are counted as lost; the commands of the same request arrive."""

    def fail(*_: object) -> bytes:
        raise OverflowError("no such number")

    monkeypatch.setattr(export, "rare_request", fail)
    flags = {
        "telemetry.enabled": "yes",
        "telemetry.endpoint": receiver.grpc_endpoint,
        "telemetry.metrics_enabled": "no",
        "telemetry.logs_enabled": "no",
        "telemetry.batch_timeout_ms": "3600000",
    }
    sources = Sources(None, {}, flags)
    native = Server(engine_options(Config()))
    exporting = export.Exporting(native, sources.load().config, sources, "id", Meter(native, 0.0))
    exporting.start()
    for _ in range(3):
        stream = Stream(native, "127.0.0.1:1", "127.0.0.1:2", False, -1)
        assert stream.feed(b"PING\r\n", 0)
        stream.close()
    exporting.finish()
    traces = exporting.traces
    native.close()

    assert [span.name for span in receiver.spans()] == ["PING"] * 3
    assert traces is not None
    counts = traces.counts
    assert (counts.commands, counts.lost_events, counts.errors, counts.lost) == (3, 3, 1, 0)


def test_all_that_wait_go_with_one_request(start: Start, receiver: Receiver) -> None:
    """They do not wait for as many requests as there are dozens of them."""
    server = start(telemetry__connection_rate_max="1000000", telemetry__batch_timeout_ms="3600000")
    for _ in range(300):
        with server.client() as client:
            client.command("PING")
    server.stop()

    requests = [
        sum(span.name == "ferrite.connection" for span in spans_of(message))
        for message in receiver.messages("traces")
    ]
    assert max(requests) == sum(requests) == 300


def test_a_queue_that_is_half_full_is_sent(start: Start, receiver: Receiver) -> None:
    """Events go though there are few commands and no time is over; none is lost."""
    server = start(telemetry__connection_rate_max="1000000", telemetry__batch_timeout_ms="3600000")
    for sent in range(100, 1501, 100):
        for _ in range(100):
            server.client().close()
        seen = max(sent - 512, 0)
        receiver.wait_for_spans(seen, lambda span: span.name == "ferrite.connection")
    server.stop()

    assert len(named(receiver, "ferrite.connection")) == 1500


@pytest.mark.parametrize(
    "switch",
    [
        {"telemetry__traces_enabled": "no"},
        {"telemetry__enabled": "no"},
        {"telemetry__sample_rate": "0", "telemetry__retain_slower_than": "-1"},
    ],
)
def test_without_traces_there_are_none(
    start: Start, receiver: Receiver, switch: dict[str, str]
) -> None:
    """Nothing of segments and connections; only the stop is always told, where traces are on."""
    server = start(**switch)
    write(server)
    server.stop()

    allowed = ["ferrite.checkpoint"] if "telemetry__sample_rate" in switch else []
    assert [span.name for span in receiver.spans()] == allowed


def test_words_are_as_many_as_the_numbers_that_they_stand_for() -> None:
    """An event of each kind becomes a span, whatever its numbers are in their range."""
    resource = Resource({"service.name": "test"})
    for number, kind in enumerate(rare.KINDS):
        size = max([len(words) for _, words in kind.words.values()], default=1)
        for value in range(size):
            numbers = [0] * 8
            for place, (_, words) in kind.words.items():
                numbers[place] = min(value, len(words) - 1)
            head = (number, 1, 2, b"\1" * 16, 7, 0, False)
            event = (*head, tuple(numbers), "ot=th:8;rv:1", b"x", 1)
            assert kind.name.encode() in rare.request_of([event], resource, "dup")
