"""The thread that sends: batches, faults of the receiver, losses, and the stop."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ferrite_py.telemetry import drain as drains
from ferrite_py.telemetry.drain import Batch, Counts, Drain
from ferrite_py.telemetry.transport import Answer, Outcome
from tests.telemetry.exporting import PROTOCOLS, FilledSource, numbers, transport_to
from tests.telemetry.receiver import (
    Fault,
    Receiver,
    bad_request,
    hanging,
    partial_success,
    slow,
    unavailable,
)

LONG_S = 3600.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver without a fault."""
    with Receiver() as made:
        yield made


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other quickly."""
    monkeypatch.setattr(drains, "PAUSE_S_FIRST", 0.01)
    monkeypatch.setattr(drains, "PAUSE_S_MAX", 0.05)
    monkeypatch.setattr(drains, "POLL_S", 0.005)


def started(
    receiver: Receiver,
    source: FilledSource,
    *,
    protocol: str = "grpc",
    batch_size: int = 100,
    batch_timeout_s: float = 0.02,
) -> Drain:
    """A drain that runs."""
    drain = Drain(source, transport_to(receiver, protocol), batch_size, batch_timeout_s)
    drain.start()
    return drain


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the drain does and tells nobody."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def sent(receiver: Receiver) -> list[int]:
    """The numbers of the commands that arrived."""
    return numbers([span.span_id for span in receiver.spans()])


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
@pytest.mark.parametrize("fault", ["unavailable", "refusing", "hanging"])
def test_recovery_without_a_restart(
    receiver: Receiver, protocol: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the receiver is back, what has waited arrives, once, in order."""
    source = FilledSource()
    transport = transport_to(receiver, protocol)
    monkeypatch.setattr(transport, "timeout_s", 0.3)
    if fault == "refusing":
        receiver.refuse()
    else:
        receiver.behave(unavailable() if fault == "unavailable" else hanging())
    drain = Drain(source, transport, 100, 0.02)
    drain.start()

    source.add(150)
    until(lambda: drain.counts.retries >= 2)
    if fault == "refusing":
        receiver.listen()
    receiver.behave()
    receiver.wait_for_spans(150)

    drain.stop(5.0)
    assert sent(receiver) == list(range(1, 151))
    assert drain.counts.failed == 0


def test_what_must_not_be_sent_again_is_counted(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused request is lost, and the log says how much and why; the next ones go on."""
    source = FilledSource()
    receiver.behave(bad_request())
    drain = started(receiver, source)

    with caplog.at_level(logging.WARNING, "ferrite_py"):
        source.add(100)
        until(lambda: drain.counts.failed == 100)
        receiver.behave()
        source.add(50)
        receiver.wait_for_spans(50)
        drain.stop(5.0)

    assert (drain.counts.commands, drain.counts.refused) == (50, 1)
    assert sent(receiver) == list(range(101, 151))
    assert "100 not taken by the receiver" in caplog.text
    assert "INVALID_ARGUMENT" in caplog.text


def test_a_full_queue_is_counted_and_told_once(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """While the receiver is away the queue fills; what does not fit is counted, and told once."""
    source = FilledSource(room=300)
    receiver.behave(unavailable())
    drain = started(receiver, source)

    with caplog.at_level(logging.WARNING, "ferrite_py"):
        for _ in range(20):
            source.add(100)
            time.sleep(0.01)
        until(lambda: drain.counts.retries >= 3)
        lines = [line for line in caplog.messages if "lost" in line]
        receiver.behave()
        drain.stop(5.0)

    assert len(lines) <= 1
    assert drain.counts.commands + source.dropped() == 2000
    assert len(receiver.spans()) == drain.counts.commands
    told = sum(
        int(one.getMessage().split(": ")[1].split(" ")[0])
        for one in caplog.records
        if "no room in the queue" in one.getMessage()
    )
    assert told == source.dropped()


def test_trouble_is_told_at_once_and_its_end(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """The first request that is not taken is a line, with the reason; no other for a minute."""
    source = FilledSource()
    receiver.behave(unavailable())
    drain = started(receiver, source)

    with caplog.at_level(logging.DEBUG, "ferrite_py"):
        source.add(100)
        until(lambda: drain.counts.retries >= 3)
        before = list(caplog.messages)
        receiver.behave()
        receiver.wait_for_spans(100)
        drain.stop(5.0)

    assert len(before) == 1
    assert before[0].startswith("the receiver does not take traces: UNAVAILABLE")
    assert caplog.messages.count("the receiver takes traces again") == 1
    assert any(line.startswith("sent 100 commands as 100 spans, ") for line in caplog.messages)


def test_partial_success_is_read(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """What the receiver says it did not take is counted and told."""
    source = FilledSource()
    receiver.behave(partial_success(3))
    drain = started(receiver, source)

    with caplog.at_level(logging.WARNING, "ferrite_py"):
        source.add(100)
        receiver.wait_for_spans(100)
        drain.stop(5.0)

    assert (drain.counts.commands, drain.counts.rejected) == (100, 3)
    assert "3 spans rejected by the receiver; the last reason: rejected by the test" in caplog.text


def test_a_slow_receiver(receiver: Receiver) -> None:
    """It gets everything, later."""
    source = FilledSource()
    receiver.behave(slow(0.1))
    drain = started(receiver, source)

    source.add(300)
    receiver.wait_for_spans(300)

    drain.stop(5.0)
    assert sent(receiver) == list(range(1, 301))


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


def test_a_request_is_given_up_after_a_while(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request does not block those behind it for ever."""
    monkeypatch.setattr(drains, "RETRY_S_MAX", 0.2)
    source = FilledSource()
    receiver.behave(unavailable())
    drain = started(receiver, source)

    source.add(100)
    until(lambda: drain.counts.failed == 100)

    assert drain.counts.retries > 0
    drain.stop(5.0)


@pytest.mark.parametrize("fault", [unavailable(), hanging()], ids=lambda fault: fault.name)
def test_a_request_is_given_up_after_the_time_that_is_set(receiver: Receiver, fault: Fault) -> None:
    """Before the usual time, and in the middle of an attempt that would last longer."""
    source = FilledSource()
    transport = transport_to(receiver, "grpc", {"OTEL_EXPORTER_OTLP_TIMEOUT": "900"})
    receiver.behave(fault)
    drain = Drain(source, transport, 100, 0.02, export_timeout_s=1.5)
    drain.start()

    source.add(100)
    until(lambda: drain.counts.failed == 100)
    receiver.behave()
    source.add(100)
    receiver.wait_for_spans(100)

    drain.stop(5.0)
    assert (drain.counts.commands, drain.counts.failed) == (100, 100)


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


def test_pauses_grow_with_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pause is longer, up to a bound; a receiver's own wish goes before that."""
    monkeypatch.undo()
    again = Answer(Outcome.AGAIN)

    pauses = [Drain._pause(again, attempt) for attempt in range(10)]

    for attempt, pause_s in enumerate(pauses):
        plain = min(drains.PAUSE_S_FIRST * 2**attempt, drains.PAUSE_S_MAX)
        assert plain * (1 - drains.JITTER) <= pause_s <= plain * (1 + drains.JITTER)
    assert len(set(pauses[5:])) == 5
    assert Drain._pause(Answer(Outcome.AGAIN, wait_s=2.5), 0) == 2.5
    assert Drain._pause(Answer(Outcome.AGAIN, wait_s=0.0), 0) == drains.PAUSE_S_FIRST
    assert Drain._pause(Answer(Outcome.AGAIN, wait_s=1e9), 0) == drains.WAIT_S_MAX


def test_a_receiver_that_wants_to_be_left_alone_is(receiver: Receiver) -> None:
    """With Retry-After of a minute it gets one request, and nothing is given up meanwhile."""
    source = FilledSource()
    receiver.behave(unavailable(retry_after_s=60))
    drain = started(receiver, source, protocol="http")

    source.add(300)
    receiver.wait(lambda one: len(one.arrivals("traces", taken=False)) >= 1)
    time.sleep(0.3)  # a sender that goes on needs a few milliseconds for each of the three

    assert len(receiver.arrivals("traces", taken=False)) == 1
    assert drain.counts.failed == 0
    drain.stop(0.1)


def test_the_time_that_a_receiver_asks_for_is_no_delay(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request is tried again after it, though it is longer than requests are tried for."""
    monkeypatch.setattr(drains, "RETRY_S_MAX", 0.5)
    source = FilledSource()
    receiver.behave(unavailable(retry_after_s=1))
    drain = started(receiver, source, protocol="http")

    began = time.monotonic()
    source.add(100)
    receiver.wait(lambda one: len(one.arrivals("traces", taken=False)) >= 1)
    receiver.behave()
    receiver.wait_for_spans(100)
    took_s = time.monotonic() - began

    assert took_s >= 1.0
    drain.stop(5.0)
    assert (drain.counts.commands, drain.counts.failed) == (100, 0)


class Throttling:
    """A transport whose receiver always wants to be left alone for a while."""

    timeout_s = 1.0

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self.times: list[float] = []

    def send(self, request: bytes, timeout_s: float) -> Answer:  # noqa: ARG002
        """Say so."""
        self.times.append(time.monotonic())
        return Answer(Outcome.AGAIN, "throttled", wait_s=self._wait_s)

    def close(self) -> None:
        """Nothing is open."""


def test_the_next_request_waits_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for holds for the request after one that is given up."""
    monkeypatch.setattr(drains, "RETRY_S_MAX", -1.0)
    source, transport = FilledSource(), Throttling(0.2)
    drain = Drain(source, transport, 100, 0.02)
    drain.start()

    source.add(400)
    until(lambda: len(transport.times) >= 4)
    drain.stop(0.0)

    gaps = [later - one for one, later in itertools.pairwise(transport.times)]
    assert drain.counts.failed >= 300
    assert min(gaps) >= 0.19
