"""The thread that sends, when the receiver fails: it tries again, gives up, tells and counts."""

from __future__ import annotations

import itertools
import logging
import time

import pytest

from ferrite_py.telemetry import drain as drains
from ferrite_py.telemetry.drain import Drain
from ferrite_py.telemetry.transport import Answer, Outcome
from tests.support.waiting import until
from tests.telemetry.exporting import PROTOCOLS, FilledSource, sent, started, transport_to
from tests.telemetry.receiver import (
    Fault,
    Receiver,
    bad_request,
    hanging,
    partial_success,
    slow,
    unavailable,
)

pytestmark = pytest.mark.usefixtures("short_pauses")


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


def test_a_warning_of_the_receiver_is_told(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A message with nothing rejected is one; it is told once a minute, and nothing is lost."""
    source = FilledSource()
    receiver.behave(partial_success(0))
    drain = started(receiver, source)

    with caplog.at_level(logging.WARNING, "ferrite_py"):
        source.add(300)
        receiver.wait_for_spans(300)
        drain.stop(5.0)

    assert caplog.messages == ["the receiver of traces warns: rejected by the test"]
    assert (drain.counts.requests, drain.counts.rejected, source.confirmed) == (3, 0, 3)


def test_a_slow_receiver(receiver: Receiver) -> None:
    """It gets everything, later."""
    source = FilledSource()
    receiver.behave(slow(0.1))
    drain = started(receiver, source)

    source.add(300)
    receiver.wait_for_spans(300)

    drain.stop(5.0)
    assert sent(receiver) == list(range(1, 301))


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
