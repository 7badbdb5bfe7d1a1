"""Statistics of repeated measurements: medians, spread, paired ratios. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % confidence interval, in the figure's own unit."""

    middle: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """From the lower to the upper end."""
        return self.high - self.low


RESAMPLES = 2000
TRIMMED = 0.2
"""Share cut off at each end, so that a round which something disturbed does not move the mean."""


def trimmed_mean(values: Any) -> float:
    """Return the mean without the smallest and largest values."""
    cut = int(len(values) * TRIMMED)
    return float(np.sort(values)[cut : len(values) - cut].mean())


def clustered_interval(groups: Sequence[Sequence[float]], seed: int = 1) -> Interval:
    """Return the trimmed mean of repeated measurements that came in groups, and its interval.

    Measurements of one group have something in common, such as the processes that they were made
    with. So groups are drawn again, and in each the measurements (bootstrap). One group alone
    stands for itself: the interval then knows nothing of what another would have given.

    Raises:
        ValueError: there is no measurement, or a group without one.
    """
    if not groups or not all(groups):
        raise ValueError("no values to summarise")
    random = np.random.default_rng(seed)
    arrays = [np.asarray(group, dtype=np.float64) for group in groups]
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = [arrays[number] for number in random.integers(len(arrays), size=len(arrays))]
        values = [one[random.integers(len(one), size=len(one))] for one in drawn]
        means[i] = trimmed_mean(np.concatenate(values))
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(trimmed_mean(np.concatenate(arrays)), float(low), float(high))
