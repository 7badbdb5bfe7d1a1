"""Which commands of a running server are kept: samplers, rules of retention, queues, and counts."""

from __future__ import annotations

import re

import pytest

from tests.telemetry.receiver import Receiver, hanging
from tests.telemetry.tracing import Start, below, calls, commands


def test_spans_and_drops_are_the_calls(start: Start, receiver: Receiver) -> None:
    """Every call of commandstats is a span, or is counted as dropped; the stop flushes the rest."""
    server = start("server.io_threads=2", batch_timeout_ms="3600000", detail="command")
    clients = [server.client() for _ in range(4)]
    for client in clients:
        client.send(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n" * 2500)
    for client in clients:
        for _ in range(2500):
            client.read()
        client.command("GET")

    counted = calls(clients[0])
    server.stop()

    spans = receiver.spans()
    assert counted == 10004
    assert len(spans) == counted + 1  # the INFO that counted
    assert len({span.span_id for span in spans}) == len(spans)
    assert "lost" not in server.log()


def test_a_small_queue_drops_and_tells(start: Start, receiver: Receiver) -> None:
    """What had no room in the rings is the difference, and is in the log."""
    receiver.behave(hanging())
    server = start(event_bus_queue_size="128", batch_size="16", shutdown_flush_timeout="100ms")
    client = server.client()
    client.send(b"*1\r\n$4\r\nPING\r\n" * 5000)
    for _ in range(5000):
        client.read()
    counted = calls(client)
    server.stop()

    told = [int(number) for number in re.findall(r"(\d+) (?:no room|left|not taken)", server.log())]
    assert sum(told) + len(receiver.spans()) == counted + 1
    assert sum(told) > 4000


def test_the_queue_holds_as_many_commands_as_it_says(start: Start, receiver: Receiver) -> None:
    """With keys of a hundred bytes too, none is dropped."""
    server = start(event_bus_queue_size="1024", batch_size="65536", batch_timeout_ms="1h")
    client = server.client()
    client.send(b"*2\r\n$3\r\nGET\r\n$100\r\n%s\r\n" % (b"k" * 100) * 1024)
    for _ in range(1024):
        client.read()

    server.stop()

    assert len([span for span in receiver.spans() if span.name == "GET"]) == 1024
    assert "no room" not in server.log()


def test_config_set_changes_what_is_recorded(start: Start, receiver: Receiver) -> None:
    """The sample rate, the detail and what is said of keys change in a running server."""
    server = start()
    client = server.client()

    assert client.command("CONFIG", "SET", "telemetry-sample-rate", "0").raw == b"+OK\r\n"
    client.command("PING")
    assert client.command("CONFIG", "SET", "telemetry-sample-rate", "1").raw == b"+OK\r\n"
    client.command("CONFIG", "SET", "telemetry-record-keys", "off")
    client.command("CONFIG", "SET", "telemetry-detail", "full")
    client.command("GET", "user:1")
    found = client.command("CONFIG", "GET", "telemetry-sample-rate")

    spans = receiver.wait_for_spans(1, lambda span: span.name == "GET")
    names = [span.name for span in receiver.spans()]
    assert found.raw == b"*2\r\n$21\r\ntelemetry-sample-rate\r\n$1\r\n1\r\n"
    assert "PING" not in names
    assert spans[0].attributes["db.statement"] == "GET ?"
    assert "ferrite.command.key" not in spans[0].attributes
    assert "ferrite.resp.parse" in [span.name for span in below(receiver, spans[0])]
    server.stop()


@pytest.mark.seed(
    "telemetry.sample_rate",
)
def test_errors_are_kept_though_nothing_is_sampled(start: Start, receiver: Receiver) -> None:
    """Tail retention marks what it keeps."""
    server = start(sample_rate="0", retain_slower_than="-1")
    client = server.client()
    client.command("PING")
    client.command("GET")

    [span] = commands(receiver, 1)

    assert (span.name, span.attributes["ferrite.trace.retained"]) == ("GET", True)
    assert span.flags & 1 == 0
    server.stop()


def test_a_ratio_is_told_where_the_trace_begins(start: Start, receiver: Receiver) -> None:
    """`ot=th:` and `rv:` in every span of what begins here; a caller's tracestate as it came."""
    server = start(sample_rate="0.999999", detail="full", retain_slower_than="-1")
    client = server.client()
    client.pipeline([("GET", "k")] * 20)
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    client.command("TRACEPARENT", caller, "ot=th:4,a=1")
    client.command("GET", "called")

    receiver.wait_for_spans(2, lambda span: span.trace_id == caller[3:35] and span.kind == "SERVER")
    spans = receiver.spans()
    called = {span.trace_state for span in spans if span.trace_id == caller[3:35]}
    ours = [span for span in spans if span.trace_id != caller[3:35]]
    assert called == {"ot=th:4,a=1"}
    assert {span.kind for span in ours} == {"SERVER", "INTERNAL"}
    for span in ours:
        [threshold, randomness] = span.trace_state.removeprefix("ot=th:").split(";rv:")
        rejected = int(threshold.ljust(14, "0"), 16)
        assert rejected == 2**56 - (round(0.999999 * 2**64) >> 8)
        assert int(randomness, 16) == (2**64 - 1 - int(span.trace_id[16:], 16)) >> 8 >= rejected
    server.stop()


def test_errors_count_once(start: Start, receiver: Receiver) -> None:
    """All errors are kept whatever the ratio is: those that it chose stand for no others."""
    server = start(sample_rate="0.5", retain_slower_than="-1", retain_rate_max="0")
    client = server.client()
    client.pipeline([("GET", "k"), ("GET",)] * 200)
    server.stop()

    spans = [span for span in receiver.spans() if span.kind == "SERVER"]
    failed = [span for span in spans if span.status == "ERROR"]
    served = [span for span in spans if span.status != "ERROR"]
    assert len(failed) == 200
    assert {span.flags & 1 for span in failed} == {0, 1}
    assert {span.trace_state for span in failed} == {""}
    assert all(span.trace_state.startswith("ot=th:8;rv:") for span in served)
    assert 0 < len(served) < 200


def test_a_ratio_of_the_rest(start: Start, receiver: Receiver) -> None:
    """It keeps by the trace id what is not sampled, tells the ratio, and changes at runtime."""
    server = start(sample_rate="0", retain_slower_than="-1", retain_ratio="0.5")
    client = server.client()
    client.pipeline([("GET", "k")] * 400)
    client.command("CONFIG", "SET", "telemetry-retain-ratio", "0")
    client.pipeline([("PING",), ("GET",)] * 10)
    server.stop()

    spans = [span for span in receiver.spans() if span.kind == "SERVER"]
    kept = [span for span in spans if span.name == "GET" and span.status != "ERROR"]
    assert 100 < len(kept) < 300  # ten deviations to each side
    for span in kept:
        assert int(span.trace_id[16:], 16) < 2**63
        assert span.trace_state.startswith("ot=th:8;rv:")
        assert (span.flags & 1, span.attributes["ferrite.trace.retained"]) == (0, True)
    assert {span.trace_state for span in spans if span.status == "ERROR"} == {""}
    assert "PING" not in {span.name for span in spans}


def test_nothing_is_told_where_all_are_sampled(start: Start, receiver: Receiver) -> None:
    """Without a ratio there is no threshold to tell."""
    server = start()
    server.client().command("GET", "k")

    [span] = commands(receiver, 1)

    assert (span.trace_state, span.flags & 1) == ("", 1)
    server.stop()


def test_the_parent_of_what_is_kept_arrives(start: Start, receiver: Receiver) -> None:
    """A command that failed in a transaction comes with its EXEC, though nothing is sampled."""
    server = start(sample_rate="0", retain_slower_than="-1")
    client = server.client()
    client.command("SET", "k", "text")
    client.command("MULTI")
    client.command("INCR", "k")
    client.command("EXEC")

    incr, executed = commands(receiver, 2)

    assert (incr.name, executed.name) == ("INCR", "EXEC")
    assert (incr.parent_id, incr.trace_id) == (executed.span_id, executed.trace_id)
    assert executed.attributes["ferrite.trace.retained"] is True
    server.stop()
