"""Lines of the log about commands: those that a rule of retention kept, and at debug all.

Only what is recorded for the exporter is told of, so that a line leads to a trace, unless the
receiver does not take it. Lines come with the batch, or before it while the receiver is away, and
have the time at which the command ended.
"""

import logging
import time
from collections.abc import Callable, Sequence

from ferrite_py.telemetry.names import RESULTS, operation_name

log = logging.getLogger("ferrite_py.commands")

Note = tuple[int, int, bool, str, str, int, int, bytes, bytes, bytes, int]
"""A command as `_native.Encoder.collect` tells of it; the last is when it ended, in Unix ns."""

LINES_PER_S = 100
"""A log that takes more would cost more than the commands."""

REPORT_S = 60.0
NONE, RETAINED, ALL = range(3)
MESSAGE = "Command executed"


class CommandLines:
    """Writes what commands did, so many lines a second at most."""

    def __init__(
        self, commands: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._names = [operation_name(name) for name in commands]
        self._clock = clock
        self._second = 0
        self._lines = 0
        self._left_out = 0
        self._reported = clock()

    @property
    def choice(self) -> int:
        """Which commands are wanted now."""
        if log.isEnabledFor(logging.DEBUG):
            return ALL
        return RETAINED if log.isEnabledFor(logging.INFO) else NONE

    @property
    def room(self) -> int:
        """Lines that may still be written in this second."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        return max(LINES_PER_S - self._lines, 0)

    def write(self, notes: Sequence[Note], left_out: int = 0) -> None:
        """Write a line for each command, as far as there is room in this second.

        `left_out`: commands that were left out before, for want of it.
        """
        room = self.room
        self._left_out += left_out
        for note in notes[:room]:
            self._write(note)
        self._lines += len(notes[:room])
        self._left_out += len(notes[room:])
        self._report()

    def _write(self, note: Note) -> None:
        number, result, is_retained, trace_id, span_id, micros, queued, *texts, ended = note
        key, address, error = texts
        fields: dict[str, object] = {
            "command": self._names[number] if number < len(self._names) else "UNKNOWN",
            "duration_us": micros,
            "queued_us": queued,
            "result": error.decode("utf-8", "replace") or RESULTS[result],
        }
        if key:
            fields["key"] = key.decode("utf-8", "replace")
        if address:
            fields["client_addr"] = address.decode("utf-8", "replace")
        level = logging.INFO if is_retained else logging.DEBUG
        if not log.isEnabledFor(level):
            return
        extra = {"trace": (trace_id, span_id), "fields": fields, "unix_ns": ended}
        record = log.makeRecord(log.name, level, __file__, 0, MESSAGE, (), None, extra=extra)
        record.created, record.msecs = ended // 1000 / 1e6, ended // 1_000_000 % 1000
        log.handle(record)

    def _report(self) -> None:
        now = self._clock()
        if self._left_out and now - self._reported >= REPORT_S:
            log.info("%d lines about commands were left out; traces have them", self._left_out)
            self._left_out, self._reported = 0, now
