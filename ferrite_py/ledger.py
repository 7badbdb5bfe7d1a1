"""The ledger of prefixes as it is told: by PREFIXES, INFO prefixes and metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ferrite_py.measure import SCALE, UNIT_SECONDS, ZERO_SECONDS, Histogram

TIERS = ("mutable", "read_only", "read_cache", "disk")
REASONS = ("never_seen", "expired", "evicted", "deleted", "flushed")
_DEVIATIONS = 2
"""Of what sampling adds, which the told error covers: 19 times in 20 it is less."""


class Native(Protocol):
    """The part of the native server that keeps the ledger."""

    def prefixes(self, by_pattern: bool, /) -> dict[str, Any] | None:
        """All of it, or of the one by pattern; None when it is off."""

    def shown_name(self, name: bytes, mode: str, /) -> bytes | None:
        """What of a name may be shown."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """What is done with keys that begin with `name`, since it came into the ledger."""

    name: bytes
    is_cut: bool
    since_ms: int
    """When it came in, Unix milliseconds."""
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
    bytes_read_by: tuple[float, ...]
    """By tier, as TIERS has them."""
    bytes_written: float
    bytes_by: tuple[float, ...]
    """Bytes of its records that lie in each tier now, names and all: an estimate. As TIERS."""
    bytes_error_by: tuple[float, ...]
    """How far each of them may be off; of what was sampled, 19 times in 20."""
    durations: Histogram

    @property
    def all_hits(self) -> float:
        """Those of all tiers."""
        return sum(self.hits)

    @property
    def bytes_read(self) -> float:
        """Those of all tiers."""
        return sum(self.bytes_read_by)

    @property
    def all_bytes(self) -> float:
        """Read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def sampling_error(self) -> float:
        """How far `uses` may be off since not every use is looked at; 0 while every one is."""
        return _DEVIATIONS * math.sqrt(self.variance)

    @property
    def is_sure(self) -> bool:
        """Whether more is known of it than not, which stays so while it is in the ledger.

        A ledger with more prefixes than room changes at its end all the time; few of those that
        come and go ever get so far.
        """
        return self.uses > self.error

    @property
    def unexplained(self) -> float:
        """Misses whose reason nobody knows."""
        return max(0.0, self.misses - sum(self.misses_by))


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
    disk_bytes: float
    """Of records that are only on disk."""
    disk_bytes_known: float
    """Of them, those that `bytes_by` counts: of the others nobody knows the prefix."""

    @property
    def disk_known(self) -> float:
        """Which share of the bytes on disk that is; 1 without any."""
        return self.disk_bytes_known / self.disk_bytes if self.disk_bytes else 1.0

    @property
    def error(self) -> float:
        """Uses that a prefix has at most which is not in the ledger."""
        if len(self.prefixes) < self.room:
            return 0.0
        return min(one.uses + one.error for one in self.prefixes)


def ledger_of(native: Native, *, by_pattern: bool = False) -> Ledger | None:
    """The ledger, or the one in which prefixes of one pattern are one; None when it is off."""
    found = native.prefixes(by_pattern)
    if found is None:
        return None
    # One that left its place and came to another while they were copied is there twice.
    by_name = {one.name: one for one in map(_prefix, found["prefixes"])}
    prefixes = sorted(by_name.values(), key=lambda one: one.uses, reverse=True)
    seconds = max(0, found["now_ms"] - found["since_ms"]) / 1000
    rest = (found[name] for name in ("interval", "room", "disk_bytes", "disk_bytes_known"))
    return Ledger(tuple(prefixes), found["uses"], seconds, *rest)


def shown_ledger(native: Native, mode: str) -> tuple[Ledger, dict[str, Prefix]] | None:
    """The ledger, and its prefixes by what telemetry.record_keys (`mode`) lets be shown of them.

    What looks the same has been counted together: added up here, sums would fall as soon as one
    part of them left the ledger.
    """
    by_pattern = mode == "pattern"
    ledger = ledger_of(native, by_pattern=by_pattern)
    if ledger is None:
        return None
    found: dict[str, Prefix] = {}
    for one in ledger.prefixes:
        name = one.name if by_pattern else native.shown_name(one.name, mode)
        if name is not None:
            found.setdefault(name.decode("utf-8", "backslashreplace"), one)
    return ledger, found


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
