"""The thread that sends: batches, the stop, and mistakes of its own parts."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from ferrite_py.telemetry import drain as drains
from ferrite_py.telemetry.drain import Batch, Counts, Drain
from ferrite_py.telemetry.transport import Answer, Outcome
from tests.support.waiting import until
from tests.telemetry.exporting import PROTOCOLS, FilledSource, sent, started, transport_to
from tests.telemetry.receiver import (
    Receiver,
    hanging,
)

LONG_S = 3600.0
pytestmark = pytest.mark.usefixtures("short_pauses")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_everything_arrives_in_batches(receiver: Receiver, protocol: str) -> None:
    """Full batches go at once, the rest when it has waited long enough; nothing twice."""
    source = FilledSource()
    drain = started(receiver, source, protocol=protocol)

    source.add(950)
    receiver.wait_for_spans(950)

    drain.stop(5.0)
    assert sent(receiver) == list(range(1, 951))
    sizes = [len(one.message.resource_spans[0].scope_spans[0].spans) for one in receiver.arrivals()]
    assert sizes == [100] * 9 + [50]
    assert (drain.counts.commands, drain.counts.requests, drain.counts.failed) == (950, 10, 0)
    assert source.confirmed == 10


def test_what_waits_is_told_while_a_request_hangs(receiver: Receiver) -> None:
    """The log hears of it though the thread that sends waits for an answer."""
    source = FilledSource()
    receiver.behave(hanging())
    drain = started(receiver, source)

    source.add(1)
    until(lambda: source.waiting() == 0)
    looks = source.looks
    until(lambda: source.looks > looks)

    drain.stop(0.0)
    assert drain.counts.commands == 0


def test_a_batch_that_is_not_full_waits(receiver: Receiver) -> None:
    """Nothing is sent before the batch is full or its time has come; the stop sends it."""
    source = FilledSource()
    drain = started(receiver, source, batch_timeout_s=LONG_S)

    source.add(99)
    time.sleep(0.1)  # many looks at the source; a batch that went too early would arrive later too
    before = receiver.arrivals()
    source.add(1)
    receiver.wait_for_spans(100)
    source.add(7)
    drain.stop(5.0)

    assert before == []
    assert len(receiver.spans()) == 107


def test_half_a_queue_is_a_batch(receiver: Receiver) -> None:
    """A queue that is smaller than a batch is emptied in time."""
    source = FilledSource(batch_size=1000, room=300)
    drain = started(receiver, source, batch_size=1000, batch_timeout_s=LONG_S)

    source.add(149)
    source.add(1)
    receiver.wait_for_spans(150)
    source.add(149)
    drain.stop(5.0)

    sizes = [len(one.message.resource_spans[0].scope_spans[0].spans) for one in receiver.arrivals()]
    assert sizes == [150, 149]
    assert (len(receiver.spans()), source.dropped()) == (299, 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_stop_has_a_deadline(
    receiver: Receiver, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver that hangs holds up the stop no longer than that; what is left is told."""
    source = FilledSource()
    receiver.behave(hanging())
    drain = started(receiver, source, protocol=protocol)
    source.add(250)
    receiver.wait(lambda one: len(one.arrivals("traces", taken=False)) == 1)

    with caplog.at_level(logging.WARNING, "ferrite_py"):
        began = time.monotonic()
        drain.stop(0.3)
        took_s = time.monotonic() - began

    assert took_s < 0.3 + drains.END_S + 2.0
    assert receiver.spans() == []
    counted = [int(word) for word in caplog.text.split() if word.isdigit() and int(word) >= 100]
    assert sum(counted) == 250
    assert drain.counts.failed + drain.counts.stopped == 250
    assert drain.counts.stopped >= 150


def test_what_the_stop_has_counted_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that nothing can cut off is among what is left; its late answer is not heard."""
    monkeypatch.setattr(drains, "END_S", 0.0)
    source, begun, go = FilledSource(), threading.Event(), threading.Event()

    class Stuck:
        timeout_s = 1.0

        def send(self, request: bytes, timeout_s: float) -> Answer:  # noqa: ARG002
            begun.set()
            assert go.wait(20)
            return Answer(Outcome.TAKEN)

        def close(self) -> None:
            """It does not hear of it."""

    drain = Drain(source, Stuck(), 100, LONG_S)
    drain.start()
    source.add(100)
    assert begun.wait(20)
    source.add(50)
    drain.stop(0.0)
    before = drain.counts
    go.set()
    drain._thread.join(20)

    assert not drain._thread.is_alive()
    assert drain.counts == before == Counts(stopped=150)
    assert source.confirmed == 0


def test_a_transport_that_raises_does_not_end_the_thread(receiver: Receiver) -> None:
    """A mistake of a library loses a batch, not the export."""
    source = FilledSource()
    transport = transport_to(receiver, "http")

    class Broken:
        timeout_s = 1.0
        calls = 0

        def send(self, request: bytes, timeout_s: float) -> Answer:
            self.calls += 1
            if self.calls == 1:
                raise ZeroDivisionError
            return transport.send(request, timeout_s)

        def close(self) -> None:
            transport.close()

    drain = Drain(source, Broken(), 100, 0.02)
    drain.start()
    source.add(200)
    receiver.wait_for_spans(100)
    drain.stop(5.0)

    assert (drain.counts.failed, drain.counts.commands) == (100, 100)


def test_a_source_that_raises_does_not_end_the_thread(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that has no memory is counted and told; those after it go on, and so does the log."""
    source = FilledSource()
    collect, calls = source.collect, []

    def failing() -> Batch | None:
        calls.append(1)
        if len(calls) <= 2:
            raise MemoryError("no room for a batch")
        return collect()

    monkeypatch.setattr(source, "collect", failing)
    drain = started(receiver, source)
    with caplog.at_level(logging.WARNING, "ferrite_py"):
        source.add(200)
        receiver.wait_for_spans(200)
        drain.stop(5.0)

    assert (drain.counts.errors, drain.counts.commands) == (2, 200)
    told = [line for line in caplog.messages if "errors of the exporter" in line]
    assert sum(int(line.split(": ")[1].split(" ")[0]) for line in told) == 2
    assert "MemoryError: no room for a batch" in told[0]


def test_what_a_mistake_has_lost_is_counted(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that was taken out of the queue and never made: by how many commands it was."""
    source = FilledSource()
    collect, calls = source.collect, []

    def failing() -> Batch | None:
        batch = collect()
        calls.append(batch)
        if len(calls) == 1:
            raise MemoryError("no room for a batch")
        return batch

    monkeypatch.setattr(source, "collect", failing)
    drain = started(receiver, source, batch_timeout_s=LONG_S)
    with caplog.at_level(logging.WARNING, "ferrite_py"):
        source.add(150)
        until(lambda: drain.counts.errors == 1)
        source.add(50)
        receiver.wait_for_spans(100)
        drain.stop(5.0)

    assert (drain.counts.lost, drain.counts.commands, drain.counts.stopped) == (100, 100, 0)
    assert "1 errors of the exporter, 100 lost by them" in caplog.text
