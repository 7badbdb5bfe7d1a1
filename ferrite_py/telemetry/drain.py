"""The thread that takes what was recorded and sends it.

    serving threads -> rings -> Source.collect (native, without the GIL) -> Transport.send

A second thread lets the log tell of what waits in the rings while the first is held up.

One request is under way at a time. While the receiver is away, it is sent again and again with
growing pauses; the rings fill meanwhile, and what does not fit is lost there. So memory is bounded
by the rings and one request, the serving threads never wait, and what is lost is counted.
"""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from ferrite_py.telemetry.partial import Warnings
from ferrite_py.telemetry.transport import Answer, Outcome, Transport
from ferrite_py.yielding import give_way

log = logging.getLogger(__name__)

POLL_S = 0.025
"""How often the rings are looked at. Serving threads tell nobody of what they record: a system call
for each would cost them more than the record."""

PAUSE_S_FIRST, PAUSE_S_MAX = 0.25, 5.0
JITTER = 0.2
RETRY_S_MAX = 60.0
"""How long a request is sent again before it is given up; what the receiver itself asks to be left
alone for does not count."""

WAIT_S_MAX = 300.0
"""A receiver that wants to be left alone for longer is asked again after so long."""

END_S = 1.0
"""How long a stop waits after its deadline for what it has cut off."""

LOOK_S = 0.25
"""How often somebody looks whether the thread that sends is held up."""

HELD_UP_S = 0.5
"""So long after its last look at the rings it is: what waits there is then told to the log."""

REPORT_S = 60.0
"""Losses enter the log once in so long."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A request and of how much it is."""

    request: bytes
    commands: int
    spans: int
    events: int = 0
    """What is no command and has a span."""
    lost_events: int = 0
    """Events that were taken as well and could not be encoded ..."""
    mistake: str = ""
    """... and why; "" when nothing went wrong."""


EMPTY = Batch(b"", 0, 0)


class Source(Protocol):
    """What has been recorded."""

    def waiting(self) -> int:
        """Commands that wait to be collected."""

    def events_waiting(self) -> int:
        """What is no command and waits."""

    def taken(self) -> int:
        """Commands that were collected so far, or lost on the way to a batch."""

    def is_pressed(self) -> bool:
        """Whether a queue is half full: a batch is due, however small."""

    def collect(self) -> Batch | None:
        """Take commands, up to a batch; None when there are none."""

    def look(self) -> None:
        """Let the log tell of what waits, before it is collected."""

    def confirm(self) -> None:
        """Hear that the receiver has all of what was collected last."""

    def dropped(self) -> int:
        """Commands that were lost so far because nobody collected in time."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the commands since the start."""

    commands: int = 0
    """Whose spans were taken by the receiver."""
    spans: int = 0
    bytes: int = 0
    requests: int = 0
    refused: int = 0
    """Requests that were refused or given up."""
    retries: int = 0
    """Attempts that were followed by another."""
    failed: int = 0
    """Commands whose request was refused or given up."""
    failed_events: int = 0
    """The same of what is no command."""
    rejected: int = 0
    """Spans of requests that were taken, which the receiver said it did not take."""
    errors: int = 0
    """Mistakes of the exporter."""
    lost: int = 0
    """Commands that were lost by one."""
    lost_events: int = 0
    stopped: int = 0
    """Commands that were left at the stop, the request under way among them."""
    stopped_events: int = 0

    def plus(self, **changes: int) -> "Counts":
        """The counts with so much added."""
        return replace(self, **{name: getattr(self, name) + by for name, by in changes.items()})


class Drain:
    """Sends what a source gives until it is stopped."""

    def __init__(
        self,
        source: Source,
        transport: Transport,
        batch_size: int,
        batch_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        export_timeout_s: float | None = None,
    ) -> None:
        """Make it; `export_timeout_s` ends attempts as well, and goes over RETRY_S_MAX."""
        self._source = source
        self._transport = transport
        self._batch_size = batch_size
        self._batch_timeout_s = batch_timeout_s
        self._clock = clock
        self._export_timeout_s = export_timeout_s
        self._losses = _Losses(clock)
        self._trouble = _Trouble(clock)
        self._warnings = Warnings("traces", clock)
        self._stopping = threading.Event()
        self._deadline = 0.0
        self._lock = threading.Lock()  # of the source, and of what follows
        self._is_abandoned = False
        self._not_before = 0.0  # the receiver wants to be left alone until then
        self._counts = Counts()
        self._under_way = EMPTY
        self._looked = clock()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._teller = threading.Thread(target=self._tell, name="telemetry-log", daemon=True)

    @property
    def counts(self) -> Counts:
        """What became of the commands so far; any thread."""
        return self._counts

    def start(self) -> None:
        """Begin to collect and send."""
        self._thread.start()
        self._teller.start()

    def stop(self, deadline_s: float) -> None:
        """Send what is left within a deadline, and end; the source is not used after that."""
        self._deadline = self._clock() + deadline_s
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(deadline_s)
            self._transport.close()
            self._thread.join(END_S)
            self._teller.join(END_S)
        with self._lock:
            self._is_abandoned = True
            left = self._source.waiting() + self._under_way.commands
            events = self._source.events_waiting() + self._under_way.events
            self._counts = self._counts.plus(stopped=left, stopped_events=events)
        self._losses.add("left at the stop", left)
        self._losses.add("events left at the stop", events)
        self._losses.report(self._source.dropped(), at_once=True)

    # The thread

    def _run(self) -> None:
        give_way()
        oldest: float | None = None
        while not self._stopping.is_set():
            oldest = self._step(oldest)
            self._stopping.wait(POLL_S)
        with self._noted():
            while self._may_send_still() and self._send_one():
                pass

    def _tell(self) -> None:
        """Let no line of the log wait for a receiver that is away, hangs, or wants to be left."""
        give_way()
        while not self._stopping.wait(LOOK_S):
            if self._clock() - self._looked < HELD_UP_S:
                continue
            with self._lock:
                if self._is_abandoned:
                    return  # the source may be closed by now
                try:
                    self._source.look()
                except Exception:  # lines less, and the export goes on
                    log.debug("telling the log failed", exc_info=True)

    def _step(self, oldest: float | None) -> float | None:
        """Send what is due, and tell the log what was lost."""
        found = None
        with self._noted():
            if self._is_held():
                found = oldest
            else:
                self._looked = self._clock()
                found = self._look(oldest)
            self._losses.report(self._source.dropped())
        return found

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """Count what is raised and go on: a batch without memory, say, must not end the export."""
        try:
            yield
        except Exception as error:
            with self._lock:
                if self._is_abandoned:
                    return  # the source may be closed by now
                counts, events = self._counts, self._under_way.events
                # Whatever became of them: they are not in the queue any more, and nowhere else.
                lost = self._source.taken() - counts.commands - counts.failed - counts.lost
                self._counts = counts.plus(errors=1, lost=lost, lost_events=events)
                self._under_way = EMPTY
            log.debug("collecting failed", exc_info=True)
            self._losses.add("errors of the exporter", 1, f"{type(error).__name__}: {error}")
            self._losses.add("lost by them", lost)

    def _count(self, *, is_end: bool = False, **changes: int) -> bool:
        """Add to the counts; False when the stop has counted the request under way as left.

        With `is_end` no request is under way any more.
        """
        with self._lock:
            if self._is_abandoned:
                return False
            self._counts = self._counts.plus(**changes)
            if is_end:
                self._under_way = EMPTY
            return True

    def _is_held(self) -> bool:
        """Whether the receiver wants to be left alone now; what is recorded waits in the rings."""
        return self._clock() < self._not_before

    def _may_send_still(self) -> bool:
        """While stopping: whether there is time for a request, once the receiver wants one."""
        pause_s = max(self._not_before - self._clock(), 0.0)
        if self._clock() + pause_s >= self._deadline:
            return False
        time.sleep(pause_s)
        return True

    def _look(self, oldest: float | None) -> float | None:
        """Send what is due; since when the oldest that is not has waited."""
        waiting = self._waiting()
        now = self._clock()
        oldest = now if oldest is None else oldest
        is_due = waiting > 0 and now - oldest >= self._batch_timeout_s
        while waiting >= self._batch_size or is_due or self._source.is_pressed():
            if not self._send_one() or self._stopping.is_set() or self._is_held():
                return None
            waiting = self._waiting()
            is_due = False
            oldest = self._clock()
        return oldest if waiting > 0 else None

    def _waiting(self) -> int:
        return self._source.waiting() + self._source.events_waiting()

    def _send_one(self) -> bool:
        """Collect a batch and send it; False when there is none."""
        with self._lock:
            self._looked = self._clock()
            batch = None if self._is_abandoned else self._source.collect()
            self._under_way = batch or EMPTY
        if batch is None:
            return False
        if batch.mistake:
            self._count(errors=1, lost_events=batch.lost_events)
            self._losses.add("errors of the exporter", 1, batch.mistake)
            self._losses.add("events lost by them", batch.lost_events)
        if batch.spans > 0:
            self._deliver(batch)
        return batch.spans > 0

    def _deliver(self, batch: Batch) -> None:
        began, attempt = self._clock(), 0
        retry_s = RETRY_S_MAX if self._export_timeout_s is None else self._export_timeout_s
        while True:
            answer = self._attempt(batch, began)
            if answer.outcome is Outcome.TAKEN:
                self._taken(batch, answer)
                return
            self._trouble.meet(answer.reason)
            pause_s = self._pause(answer, attempt)
            if answer.wait_s is not None:
                self._not_before = self._clock() + pause_s
                began += pause_s
            is_late = self._clock() + pause_s - began > retry_s
            if answer.outcome is Outcome.REFUSED or is_late or not self._wait(pause_s):
                self._lost(batch, answer)
                return
            attempt += 1
            self._count(retries=1)
            self._losses.report(self._source.dropped())

    def _attempt(self, batch: Batch, began: float) -> Answer:
        timeout_s = self._transport.timeout_s
        if self._export_timeout_s is not None:
            left_s = began + self._export_timeout_s - self._clock()
            timeout_s = min(timeout_s, max(left_s, 0.001))
        if self._stopping.is_set():
            timeout_s = min(timeout_s, max(self._deadline - self._clock(), 0.001))
        try:
            return self._transport.send(batch.request, timeout_s)
        except Exception as error:  # a library's mistake must not end the export
            log.debug("sending failed", exc_info=True)
            return Answer(Outcome.REFUSED, f"{type(error).__name__}: {error}")

    @staticmethod
    def _pause(answer: Answer, attempt: int) -> float:
        if answer.wait_s is not None:
            return min(max(answer.wait_s, PAUSE_S_FIRST), WAIT_S_MAX)
        pause_s = min(PAUSE_S_FIRST * 2.0**attempt, PAUSE_S_MAX)
        jitter: float = random.uniform(1 - JITTER, 1 + JITTER)
        return pause_s * jitter

    def _wait(self, pause_s: float) -> bool:
        """Wait between two attempts; False when there is no time for another."""
        if not self._stopping.wait(pause_s):
            return True
        left_s = self._deadline - self._clock()
        if left_s <= pause_s:
            return False
        time.sleep(pause_s)  # stopping already: the event would not wait
        return True

    def _taken(self, batch: Batch, answer: Answer) -> None:
        is_counted = self._count(
            is_end=True,
            commands=batch.commands,
            spans=batch.spans,
            bytes=len(batch.request),
            requests=1,
            rejected=answer.rejected,
        )
        if not is_counted:
            return
        self._trouble.end()
        log.debug(
            "sent %d commands as %d spans, %d bytes",
            batch.commands,
            batch.spans,
            len(batch.request),
        )
        if answer.rejected:
            self._losses.add("spans rejected by the receiver", answer.rejected, answer.reason)
        else:
            self._warnings.hear(answer.reason)
            self._source.confirm()

    def _lost(self, batch: Batch, answer: Answer) -> None:
        changes = {"failed": batch.commands, "failed_events": batch.events, "refused": 1}
        if not self._count(is_end=True, **changes):
            return
        self._losses.add("not taken by the receiver", batch.commands, answer.reason)
        self._losses.add("events not taken by the receiver", batch.events, answer.reason)


@dataclass
class _Trouble:
    """Tells the log when a receiver does not take a request, and when it takes one again."""

    clock: Callable[[], float]
    is_told: bool = False
    told: float | None = None

    def meet(self, reason: str) -> None:
        """A request was not taken; nothing need be lost yet."""
        now = self.clock()
        if self.told is None or now - self.told >= REPORT_S:
            self.told, self.is_told = now, True
            log.warning("the receiver does not take traces: %s", reason)

    def end(self) -> None:
        """A request was taken."""
        if self.is_told:
            self.is_told = False
            log.info("the receiver takes traces again")


@dataclass
class _Losses:
    """Counts what is lost, by cause, and tells the log of it now and then."""

    clock: Callable[[], float]
    causes: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    dropped: int = 0
    reported: float | None = None

    def add(self, cause: str, count: int, reason: str = "") -> None:
        """Note a loss."""
        if count:
            self.causes[cause] = self.causes.get(cause, 0) + count
            self.reason = reason or self.reason

    def report(self, dropped: int, *, at_once: bool = False) -> None:
        """Tell of what was lost since the last time, unless that is not long ago."""
        now = self.clock()
        if self.reported is not None and now - self.reported < REPORT_S and not at_once:
            return
        self.add("no room in the queue", dropped - self.dropped)
        self.dropped = dropped
        if not self.causes:
            return
        self.reported = now
        text = ", ".join(f"{count} {cause}" for cause, count in self.causes.items())
        because = f"; the last reason: {self.reason}" if self.reason else ""
        log.warning("traces of commands were lost: %s%s", text, because)
        self.causes = {}
        self.reason = ""
