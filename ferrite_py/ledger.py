"""The ledger of prefixes as it is told: by PREFIXES, INFO prefixes and metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ferrite_py.measure import SCALE, UNIT_SECONDS, ZERO_SECONDS, Histogram

TIERS = ("mutable", "read_only", "read_cache", "disk")
REASONS = ("never_seen", "expired", "evicted", "deleted", "flushed")
_DEVIATIONS = 2
"""Of what sampling adds, which the told error covers: 19 times in 20 it is less."""


class Native(Protocol):
    """The part of the native server that keeps the ledger."""

    def prefixes(self) -> dict[str, Any] | None:
        """All of it; None when it is off."""

    def shown_name(self, name: bytes, mode: str, /) -> bytes | None:
        """What of a name may be shown."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """What is done with keys that begin with `name`, since it came into the ledger."""

    name: bytes
    is_cut: bool
    uses: float
    error: float
    """Uses before it came in, at most."""
    variance: float
    disk_reads: float
    hits: tuple[float, ...]
    """By tier, as TIERS has them."""
    misses: float
    misses_by: tuple[float, ...]
    """By reason, as REASONS has them; of all only while reasons are told."""
    bytes_read: float
    bytes_written: float
    durations: Histogram

    @property
    def all_hits(self) -> float:
        """Those of all tiers."""
        return sum(self.hits)

    @property
    def all_bytes(self) -> float:
        """Read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def sampling_error(self) -> float:
        """How far `uses` may be off since not every use is looked at; 0 while every one is."""
        return _DEVIATIONS * math.sqrt(self.variance)

    @property
    def unexplained(self) -> float:
        """Misses whose reason nobody knows."""
        return max(0.0, self.misses - sum(self.misses_by))

    def with_(self, other: Prefix) -> Prefix:
        """Both together."""
        return replace(
            self,
            is_cut=self.is_cut or other.is_cut,
            uses=self.uses + other.uses,
            error=self.error + other.error,
            variance=self.variance + other.variance,
            disk_reads=self.disk_reads + other.disk_reads,
            hits=_sums(self.hits, other.hits),
            misses=self.misses + other.misses,
            misses_by=_sums(self.misses_by, other.misses_by),
            bytes_read=self.bytes_read + other.bytes_read,
            bytes_written=self.bytes_written + other.bytes_written,
            durations=_together(self.durations, other.durations),
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """All that was counted since the beginning."""

    prefixes: tuple[Prefix, ...]
    """Those with the most uses first."""
    uses: float
    """Of all prefixes, in the ledger or not."""
    seconds: float
    """Since it began."""
    interval: int
    """Of so many uses of keys one is looked at now."""
    room: int

    @property
    def error(self) -> float:
        """Uses that a prefix has at most which is not in the ledger."""
        if len(self.prefixes) < self.room:
            return 0.0
        return min(one.uses + one.error for one in self.prefixes)


def ledger_of(native: Native) -> Ledger | None:
    """The ledger; None when it is off."""
    found = native.prefixes()
    if found is None:
        return None
    prefixes = [_prefix(item) for item in found["prefixes"]]
    prefixes.sort(key=lambda one: one.uses, reverse=True)
    seconds = max(0, found["now_ms"] - found["since_ms"]) / 1000
    return Ledger(tuple(prefixes), found["uses"], seconds, found["interval"], found["room"])


def shown(native: Native, prefixes: Iterable[Prefix], mode: str) -> dict[str, Prefix]:
    """The prefixes by what of them telemetry.record_keys (`mode`) lets be shown.

    Those that look the same are one.
    """
    found: dict[str, Prefix] = {}
    for one in prefixes:
        name = native.shown_name(one.name, mode)
        if name is None:
            continue
        text = name.decode("utf-8", "backslashreplace")
        found[text] = found[text].with_(one) if text in found else one
    return found


def quantile_seconds(histogram: Histogram, share: float) -> float | None:
    """The upper end of the bucket, 2 % wide, that holds the quantile; None without durations."""
    wanted = math.ceil(share * histogram.count)
    if wanted == 0:
        return None
    total = histogram.zero
    if total >= wanted:
        return ZERO_SECONDS
    for index, count in enumerate(histogram.counts, histogram.first):
        total += count
        if total >= wanted:
            return float(2.0 ** ((index + 1) / 2**SCALE))
    return None


def _prefix(item: tuple[Any, ...]) -> Prefix:
    *fields, (units, zero, first, counts) = item
    make: Callable[..., Prefix] = Prefix
    return make(*fields, Histogram(units * UNIT_SECONDS, zero, first, tuple(counts)))


def _sums(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _together(one: Histogram, other: Histogram) -> Histogram:
    if not (one.counts and other.counts):
        base = one if one.counts else other
        first, counts = base.first, base.counts
    else:
        first = min(one.first, other.first)
        last = max(one.first + len(one.counts), other.first + len(other.counts))
        sums = [0] * (last - first)
        for part in (one, other):
            for index, count in enumerate(part.counts, part.first - first):
                sums[index] += count
        counts = tuple(sums)
    return Histogram(one.sum_seconds + other.sum_seconds, one.zero + other.zero, first, counts)
