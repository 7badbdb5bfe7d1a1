"""Measurements that Python makes itself: rates of counters, and how long its commands take."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

SAMPLES = 16
SAMPLE_SECONDS = 0.1


BUCKETS = 32
"""Of a histogram: bucket i counts durations from 2**i nanoseconds to below twice that."""


class Rates:
    """The last 16 rates of some counters that only grow; `sample` is called about every 100 ms."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._last: tuple[float, dict[str, int]] | None = None
        self._rates = {name: deque[float](maxlen=SAMPLES) for name in names}

    def sample(self, now: float, counters: Mapping[str, int]) -> None:
        """Take the counters at `now` (seconds of a monotonic clock).

        A counter that went back, because statistics were reset, gives no rate this time.
        """
        values = {name: counters[name] for name in self._rates}
        if self._last is not None and now > self._last[0]:
            before, old = self._last
            for name, value in values.items():
                if value >= old[name]:
                    self._rates[name].append((value - old[name]) / (now - before))
        self._last = now, values

    def per_second(self, name: str) -> float:
        """The mean of the samples; 0 before there are any."""
        rates = self._rates[name]
        return sum(rates) / len(rates) if rates else 0.0


@dataclass(slots=True)
class Duration:
    """How long the calls of one command took."""

    nanoseconds: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * BUCKETS)


class Durations:
    """How long Python's commands took, by name; the native server counts only their calls."""

    def __init__(self) -> None:
        self._by_name: dict[str, Duration] = {}

    def add(self, name: str, nanoseconds: int) -> None:
        """Count one call."""
        found = self._by_name.setdefault(name, Duration())
        found.nanoseconds += nanoseconds
        found.buckets[min(max(nanoseconds, 1).bit_length(), BUCKETS) - 1] += 1

    def of(self, name: str) -> Duration | None:
        """What was counted for a command since the start or the last `reset`."""
        return self._by_name.get(name)

    def reset(self) -> None:
        """Forget everything."""
        self._by_name.clear()


def percentile_ns(buckets: list[int], percent: float) -> float:
    """The duration in nanoseconds below which `percent` of the counted calls were.

    Within its bucket a call is taken to lie as far up as its rank says, so the error is below the
    width of the bucket. 0 when nothing was counted.
    """
    wanted = sum(buckets) * percent / 100
    seen = 0
    for at, count in enumerate(buckets):
        if count and seen + count >= wanted:
            return float((1 << at) * (1 + (wanted - seen) / count))
        seen += count
    return 0.0
