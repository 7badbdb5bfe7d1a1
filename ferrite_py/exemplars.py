"""Exemplars: commands whose traces are at the receiver, next to the buckets that counted them."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

MILLISECOND = 10**6
"""In nanoseconds: what the times of measurements are cut off to."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One command."""

    seconds: float
    time: int
    """When it ended, Unix nanoseconds."""
    trace_id: str
    """In hexadecimal digits, as is the next."""
    span_id: str


Exemplars = Mapping[tuple[str, ...], Sequence[Exemplar]]
"""By the labels of `ferrite.command.duration`."""

ExemplarSource = Callable[[], Exemplars]


def placed(
    exemplars: Iterable[Exemplar], bounds: Sequence[float], up_to: Sequence[int], since: int
) -> list[Exemplar | None]:
    """The newest exemplar of each bucket, among those that it can have counted.

    Args:
        exemplars: in any order.
        bounds: where all buckets but the last end, in seconds; the bounds belong to them.
        up_to: what all buckets up to each of them have counted, the last among them.
        since: when the counting began, Unix nanoseconds.
    """
    found: list[Exemplar | None] = [None] * len(up_to)
    for one in sorted(exemplars, key=lambda one: one.time):
        bucket = bisect_left(bounds, one.seconds)
        below = up_to[bucket - 1] if bucket else 0
        if one.time >= since and up_to[bucket] > below:
            found[bucket] = one
    return found
