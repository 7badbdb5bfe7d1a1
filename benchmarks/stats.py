"""Statistics of repeated measurements: medians, spread, paired ratios. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Spread:
    """Middle and range of repeated measurements of one figure, in the figure's own unit."""

    median: float
    low: float
    high: float
    count: int

    @property
    def relative(self) -> float:
        """Width of the range as a share of the median; 0 when the median is 0."""
        return (self.high - self.low) / self.median if self.median else 0.0


def spread(values: Sequence[float]) -> Spread:
    """Return median, smallest and largest of `values`.

    Raises:
        ValueError: `values` is empty.
    """
    if not values:
        raise ValueError("no values to summarise")
    array = np.asarray(values, dtype=np.float64)
    return Spread(
        median=float(np.median(array)),
        low=float(array.min()),
        high=float(array.max()),
        count=len(values),
    )


def median(values: Sequence[float]) -> float:
    """Return the median of `values`, which are not empty."""
    return spread(values).median


def paired_ratio(values: Sequence[float], references: Sequence[float]) -> float:
    """Return the median of the round-by-round ratios values[i] / references[i].

    Rounds alternate between servers, so a pair saw the same state of the machine; a slow drift of
    its speed cancels out, which the ratio of two medians would keep.

    Raises:
        ValueError: the lengths differ, there is no pair, or a reference is 0.
    """
    if len(values) != len(references) or not values:
        raise ValueError("ratios need as many values as references, at least one")
    if any(reference == 0 for reference in references):
        raise ValueError("a reference of 0 has no ratio")
    return median([value / base for value, base in zip(values, references, strict=True)])


def worst_lag(
    times_s: Sequence[float], counts: Sequence[float], expected_at: Sequence[float], slack_s: float
) -> float:
    """Return by how much `counts` exceed what was expected `slack_s` earlier, at worst.

    Args:
        times_s: sample times in seconds, ascending.
        counts: what was seen at those times.
        expected_at: what ideally is left at those times (never rising).
        slack_s: allowed delay in seconds.

    Returns:
        The largest positive excess, or 0. Times before the first sample take the first expectation.
    """
    allowed = np.interp(np.asarray(times_s) - slack_s, times_s, expected_at)
    excess = np.asarray(counts, dtype=np.float64) - allowed
    return float(max(excess.max(initial=0.0), 0.0))
