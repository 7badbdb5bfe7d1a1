"""SLOWLOG TRACES and LATENCY TRACES lead to spans that a receiver has."""

from __future__ import annotations

from tests.support.client import RawClient
from tests.support.resp import Node
from tests.telemetry.receiver import Receiver
from tests.telemetry.tracing import CALLER, Start, commands, on_wire


def ids_of(trace_id: Node, span_id: Node) -> tuple[str, str] | None:
    """Trace id and span id of a reply; None for two nulls."""
    assert trace_id.null is span_id.null
    return None if trace_id.null else (trace_id.text, span_id.text)


def slow_commands(client: RawClient) -> dict[str, tuple[str, str] | None]:
    """Ids by command; each was run once."""
    names = {
        entry.items[0].integer: entry.items[3].items[0].text
        for entry in client.command("SLOWLOG", "GET", "-1").node.items
    }
    ids = {
        entry.items[0].integer: ids_of(entry.items[1], entry.items[2])
        for entry in client.command("SLOWLOG", "TRACES", "-1").node.items
    }
    found = {name: ids[number] for number, name in names.items()}
    assert len(found) == len(names)
    return found


def test_slow_commands_lead_to_their_spans(start: Start, receiver: Receiver) -> None:
    """Those with a caller, without one, and failed ones; what nobody recorded leads nowhere."""
    server = start("server.slowlog_log_slower_than=0", detail="command", retain_slower_than="-1")
    client = server.client()
    client.command("SET", "key", "value")
    client.send(on_wire("GET", "key", flags="01"))
    client.read()
    client.command("INCR", "key")
    client.command("CONFIG", "SET", "telemetry-sample-rate", "0")
    client.command("ECHO", "x")

    found = slow_commands(client)
    server.stop()

    spans = {span.name: (span.trace_id, span.span_id) for span in commands(receiver, 3)}
    assert {name: found[name] for name in ("SET", "GET", "INCR")} == {
        name: spans[name] for name in ("SET", "GET", "INCR")
    }
    assert spans["GET"][0] == CALLER[0]
    assert found["ECHO"] is None
    assert "ECHO" not in spans


def test_latency_events_lead_to_their_spans(start: Start, receiver: Receiver) -> None:
    """The event of a command has the ids of that command."""
    server = start(
        "server.latency_monitor_threshold=500ms",
        "server.enable_debug_command=yes",
        detail="command",
    )
    client = server.client()
    client.command("DEBUG", "SLEEP", "0.6")

    [event] = client.command("LATENCY", "TRACES", "command").node.items
    server.stop()

    [span] = receiver.wait_for_spans(1, lambda span: span.name == "DEBUG")
    assert event.items[1].integer >= 500
    assert ids_of(event.items[2], event.items[3]) == (span.trace_id, span.span_id)
    assert span.end - span.start >= 500_000_000
