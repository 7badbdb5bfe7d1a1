"""Every metric at one moment: the engine's counters and what Python adds to them.

The table is `native/event/events.def`. OTLP and /metrics are made from what `Meter.take` returns,
and INFO from the same counters, so that they agree.
"""

import math
import os
import resource
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from pathlib import Path
from typing import Any, Protocol

from ferrite_py._native import metric_rows
from ferrite_py.exemplars import Exemplars, ExemplarSource

SCALE = 5
"""Of every histogram: each power of two has 2**SCALE buckets."""

UNIT_SECONDS = 2.0**-30
"""The native server's unit of durations."""

_UNIT_INDEX = 30 * 2**SCALE
"""What is counted by the native server in its unit has bucket indices that are less by so much."""

ZERO_SECONDS = 2.0**-27
"""What is shorter is counted as zero."""


BOUNDS = tuple(2.0**power for power in (*range(-23, -6), -5, -3, -1, 1, 3))
"""Where the explicit buckets of durations end, in seconds: 119 ns to 8 s, fourteen of them below
1 ms.

They are powers of two, since the buckets that are counted end there: no count is an estimate.
"""


SIZES = tuple(2.0**power for power in range(3, 30))
"""The same of sizes, in bytes: 8 bytes to 512 MiB."""


OPERATION_DURATION = "db.server.operation.duration"
"""The durations of commands once more, under the name of OpenTelemetry's conventions."""

OPERATION_NAME = "db.operation.name"
"""What those conventions call the command."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one metric is."""

    id: str
    name: str
    """As OTLP has it: `ferrite.memory.used`."""
    instrument: str
    """counter (grows since the start or CONFIG RESETSTAT), total (since the start), gauge or
    histogram."""
    unit: str
    labels: tuple[str, ...]
    help: str
    in_python: bool
    """Whether it is filled in here, not by the native server."""

    @property
    def grows(self) -> bool:
        """Whether it is a sum that only grows."""
        return self.instrument in ("counter", "total")

    @property
    def bounds(self) -> tuple[float, ...]:
        """Of a histogram, where its explicit buckets end."""
        return SIZES if self.unit == "By" else BOUNDS


@dataclass(frozen=True, slots=True)
class Histogram:
    """Durations by the buckets of an exponential histogram of OpenTelemetry, base 2, scale 5.

    Bucket `i` of `counts` has the index `first + i`; index `n` is from 2**(n/32) to 2**((n+1)/32)
    seconds. Of sizes, all of it is bytes instead, and zero is up to 8.
    """

    sum_seconds: float
    zero: int
    """How many were shorter than ZERO_SECONDS."""
    first: int
    counts: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return self.zero + sum(self.counts)

    def up_to(self, seconds: Sequence[float]) -> list[int]:
        """How many lie in buckets that end at or below each of some bounds, which ascend.

        Exact where a bound is one of a bucket: a power of two, or of the 32nd root of two.
        """
        found: list[int] = []
        total, at = self.zero, 0
        for bound in seconds:
            # Logarithms of what is not a power of two may be a little less than exact.
            end = math.floor(math.log2(bound) * 2**SCALE + 1e-6) - self.first
            if end > at:
                total += sum(self.counts[at:end])
                at = end
            found.append(total)
        return found

    def reduced(self, most: int) -> "Reduced":
        """The same at the highest scale at which there are at most so many buckets.

        Each step down merges buckets by two; none is split.
        """
        scale, first, counts = SCALE, self.first, self.counts
        while len(counts) > most:
            even = counts if first % 2 == 0 else (0, *counts)
            even = even if len(even) % 2 == 0 else (*even, 0)
            counts = tuple(map(add, even[::2], even[1::2]))
            scale, first = scale - 1, first // 2
        return Reduced(scale, first, counts)

    def since(self, before: "Histogram") -> "Histogram":
        """What was counted since an earlier moment of the same histogram.

        Of one that has begun anew meanwhile some count, or the sum, is less than nothing.
        """
        first = min(self.first, before.first) if before.counts else self.first
        old = dict(enumerate(before.counts, before.first))
        new = dict(enumerate(self.counts, self.first))
        last = max(self.first + len(self.counts), before.first + len(before.counts))
        counts = tuple(new.get(i, 0) - old.get(i, 0) for i in range(first, last))
        return Histogram(
            self.sum_seconds - before.sum_seconds, self.zero - before.zero, first, counts
        )


@dataclass(frozen=True, slots=True)
class Reduced:
    """Buckets of a scale: index `n` is from 2**(n / 2**scale) to 2**((n+1) / 2**scale) seconds."""

    scale: int
    first: int
    counts: tuple[int, ...]


Value = int | float | Histogram
Labels = tuple[str, ...]
Samples = Sequence[tuple[Labels, Value]]


@dataclass(frozen=True, slots=True)
class Started:
    """A value that began to grow by itself, later than others of its row."""

    value: Value
    start: int
    """When, Unix nanoseconds."""


Given = Value | Started
GivenSamples = Sequence[tuple[Labels, Given]]


@dataclass(frozen=True, slots=True)
class Measurement:
    """All values of one moment; times in Unix nanoseconds."""

    started: int
    counted_since: int
    """The start, or the last CONFIG RESETSTAT."""
    now: int
    samples: Mapping[str, Samples]
    """By the row's name; of metrics that have nothing to tell an empty list."""
    exemplars: Exemplars = field(default_factory=dict)
    """Commands that `ferrite.command.duration` has counted."""
    starts: Mapping[tuple[str, Labels], int] = field(default_factory=dict)
    """When values began that began by themselves, by the row's name and labels."""

    def since(self, row: Row, labels: Labels = ()) -> int:
        """Since when the sums of a row have been growing, or the one with these labels."""
        is_reset = row.instrument in ("counter", "histogram")
        since = self.counted_since if is_reset else self.started
        return max(since, self.starts.get((row.name, labels), since))


ROWS: tuple[Row, ...] = tuple(
    Row(id_, name, instrument, unit, tuple(filter(None, labels.split(","))), text, in_python)
    for id_, name, instrument, unit, labels, text, in_python in metric_rows()
)
"""The table, in its order."""

BY_ID: Mapping[str, Row] = {row.id: row for row in ROWS}

_Taken = tuple[int, int, int, list[list[tuple[tuple[str, ...], Any]]]]

Source = Callable[[], Iterable[tuple[str, GivenSamples]]]
"""Gives values of rows that are filled in by Python, by the row's id."""


_Engine = tuple[_Taken, list[tuple[str, GivenSamples]]]
"""What the native server said of its rows, and what was asked of it for others."""


class Native(Protocol):
    """The part of the native server that knows the values."""

    def metrics(self) -> _Taken:
        """One snapshot of all of them."""


class Meter:
    """Takes all metrics at once."""

    def __init__(self, native: Native | None, started: float) -> None:
        """Name the native server, if there is one yet, and when we started (monotonic seconds)."""
        self._native = native
        self._started = started
        self._sources: list[Source] = [self._process]
        self._engine_sources: list[Source] = []
        self._exemplars: ExemplarSource = dict
        self._open = threading.Lock()
        self._last: _Engine | None = None

    def add_source(self, source: Source) -> None:
        """Ask this one as well, each time; it must be quick and may be called by any thread."""
        self._sources.append(source)

    def add_engine_source(self, source: Source) -> None:
        """The same for one that asks the native server, which is not asked after its end."""
        self._engine_sources.append(source)

    def show_exemplars(self, source: ExemplarSource) -> None:
        """Ask this one for exemplars, each time; any thread may call it, also without an engine."""
        self._exemplars = source

    def take(self) -> Measurement:
        """All values of now; the engine's, once it was left, are its last. From any thread."""
        exemplars = self._exemplars()  # before what counts them
        with self._open:
            (started_ms, since_ms, now_ms, lists), added = self._last or self._take_engine()
            # What is not the engine's goes on after its end, and so does the time.
            now = time.time_ns() if self._last else now_ms * 10**6
        samples: dict[str, Samples] = {
            row.name: [(_labels(row, labels), _value(row, value)) for labels, value in values]
            for row, values in zip(ROWS, lists, strict=True)
        }
        own = (pair for source in self._sources for pair in source())
        starts: dict[tuple[str, Labels], int] = {}
        for id_, values in (*added, *own):
            name = BY_ID[id_].name
            samples[name] = [*samples[name], *_plain(name, values, starts)]
        return Measurement(started_ms * 10**6, since_ms * 10**6, now, samples, exemplars, starts)

    def enter_engine(self, native: Native) -> None:
        """The native server is there: its rows have values from now on."""
        with self._open:
            self._native = native

    def leave_engine(self) -> None:
        """Take the engine's values for the last time; it is not asked any more after that."""
        with self._open:
            self._last = self._last or self._take_engine()

    def _take_engine(self) -> _Engine:
        if self._native is None:
            now_ms = time.time_ns() // 10**6
            started_ms = now_ms - int((time.monotonic() - self._started) * 1000)
            return (started_ms, started_ms, now_ms, [[] for _ in ROWS]), []
        added = [pair for source in self._engine_sources for pair in source()]
        return self._native.metrics(), added

    def _process(self) -> Iterable[tuple[str, Samples]]:
        """What the system says of this process."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        yield "UPTIME", [((), time.monotonic() - self._started)]
        yield "CPU_TIME", [(("user",), used.ru_utime), (("system",), used.ru_stime)]
        yield "PAGING_FAULTS", [(("minor",), used.ru_minflt), (("major",), used.ru_majflt)]
        yield (
            "CONTEXT_SWITCHES",
            [(("voluntary",), used.ru_nvcsw), (("involuntary",), used.ru_nivcsw)],
        )
        yield from _from_proc()


def _from_proc() -> Iterable[tuple[str, Samples]]:
    """What /proc tells; nothing where there is none."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
        status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
        files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path.iterdir makes an object of each
    except OSError:
        return
    page = os.sysconf("SC_PAGE_SIZE")
    yield "PROCESS_VIRTUAL", [((), int(pages[0]) * page)]
    yield "PROCESS_MEMORY", [((), int(pages[1]) * page)]
    yield "PROCESS_FILES", [((), files)]
    threads = [line.split()[1] for line in status.splitlines() if line.startswith("Threads:")]
    yield "PROCESS_THREADS", [((), int(count)) for count in threads]


def _plain(name: str, given: GivenSamples, starts: dict[tuple[str, Labels], int]) -> Samples:
    """The values of a row; when some of them began is noted."""
    found: list[tuple[Labels, Value]] = []
    for labels, value in given:
        if isinstance(value, Started):
            starts[name, labels] = value.start
            found.append((labels, value.value))
        else:
            found.append((labels, value))
    return found


def _labels(row: Row, labels: Labels) -> Labels:
    """Commands by the names that their spans have: `GET`, `CLIENT LIST`."""
    if row.labels[:1] != ("command",):
        return labels
    return (labels[0].upper().replace("|", " "), *labels[1:])


def _value(row: Row, value: Any) -> Value:
    if row.instrument != "histogram":
        number: int | float = value
        return number
    units, zero, first, counts = value
    if row.unit == "By":
        return Histogram(units, zero, first + _UNIT_INDEX, tuple(counts))
    return Histogram(units * UNIT_SECONDS, zero, first, tuple(counts))
