"""Measurements that Python makes itself: rates of counters, and how long its commands take."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from ferrite_py.measure import SCALE, ZERO_SECONDS

SAMPLES = 16
SAMPLE_SECONDS = 0.1


Histogram = Mapping[int, int]
"""How many durations were counted by bucket, as the native server's `event/exponential.h` does it:

bucket n is from 2**(n/32) to 2**((n+1)/32) seconds.
"""

_STEPS = 1 << SCALE
_ZERO = math.floor(math.log2(ZERO_SECONDS) * _STEPS) - 1


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


class Exceeded:
    """How long used memory has been above its limit; `sample` is called about every 100 ms."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._now = 0.0
        self._total_s = 0.0

    def sample(self, now: float, used: int, limit: int) -> None:
        """Take what is used at `now` (seconds of a monotonic clock), in bytes; 0 is no limit."""
        self._now = now
        if limit and used > limit:
            self._since = now if self._since is None else self._since
        elif self._since is not None:
            self._total_s += now - self._since
            self._since = None

    @property
    def current_ms(self) -> int:
        """How long it has been above the limit, as of the last sample; 0 when it is not."""
        return 0 if self._since is None else round((self._now - self._since) * 1000)

    @property
    def total_ms(self) -> int:
        """All times together, the current one too, since the start or the last reset."""
        return round(self._total_s * 1000) + self.current_ms

    def reset(self) -> None:
        """Begin anew, as Redis's CONFIG RESETSTAT does: the current time, too, counts from now."""
        self._total_s = 0.0
        if self._since is not None:
            self._since = self._now


@dataclass(slots=True)
class Duration:
    """How long the calls of one command took."""

    nanoseconds: int = 0
    histogram: dict[int, int] = field(default_factory=dict)


class Durations:
    """How long Python's commands took, by name; the native server counts only their calls."""

    def __init__(self) -> None:
        self._by_name: dict[str, Duration] = {}

    def add(self, name: str, nanoseconds: int, *, is_tracked: bool) -> None:
        """Count one call, in the histogram only if durations are tracked."""
        found = self._by_name.setdefault(name, Duration())
        found.nanoseconds += nanoseconds
        if is_tracked:
            bucket = bucket_of(nanoseconds)
            found.histogram[bucket] = found.histogram.get(bucket, 0) + 1

    def of(self, name: str) -> Duration | None:
        """What was counted for a command since the start or the last `reset`."""
        return self._by_name.get(name)

    def reset(self) -> None:
        """Forget everything."""
        self._by_name.clear()


def bucket_of(nanoseconds: int) -> int:
    """The bucket of a duration; the first one is that of what counts as zero."""
    return max(_ZERO, math.floor(math.log2(max(nanoseconds, 1) / 1e9) * _STEPS))


def bound_of(bucket: int) -> float:
    """Where a bucket ends, in nanoseconds."""
    return float(2.0 ** ((bucket + 1) / _STEPS) * 1e9)


def percentile_ns(histogram: Histogram, percent: float) -> float:
    """The duration in nanoseconds that `percent` of the counted calls did not exceed.

    As in Redis it is the longest one of the bucket where the rank falls, so the error is below
    2.2 %. 0 when nothing was counted.
    """
    wanted = max(1, int(sum(histogram.values()) * percent / 100 + 0.5))
    seen = 0
    for bucket, count in sorted(histogram.items()):
        seen += count
        if seen >= wanted:
            return bound_of(bucket)
    return 0
