"""Rates per second of counters that only grow, averaged over the last samples as Redis does."""

from collections import deque
from collections.abc import Mapping

SAMPLES = 16
SAMPLE_SECONDS = 0.1


class Rates:
    """The last 16 rates of some counters; somebody calls `sample` about every 100 ms."""

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
