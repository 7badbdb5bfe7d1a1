"""Rates of counters and histograms of durations."""

from __future__ import annotations

import pytest

from ferrite_py.rates import Durations, Rates, bucket_of, longest_of, percentile_ns


def test_a_rate_is_the_mean_of_its_samples() -> None:
    """Each sample counts what came since the one before."""
    rates = Rates(("commands",))
    assert rates.per_second("commands") == 0

    for now, total in ((10.0, 0), (10.1, 10), (10.2, 40)):
        rates.sample(now, {"commands": total, "other": 1})

    assert rates.per_second("commands") == pytest.approx(200)


def test_old_samples_are_forgotten() -> None:
    """Only the last 16 count."""
    rates = Rates(("n",))
    for step in range(40):
        rates.sample(float(step), {"n": min(step, 20) * 100})

    assert rates.per_second("n") == 0


def test_a_reset_counter_gives_no_rate() -> None:
    """CONFIG RESETSTAT does not make a negative rate."""
    rates = Rates(("n",))
    for now, total in ((0.0, 0), (1.0, 100), (2.0, 5), (3.0, 105)):
        rates.sample(now, {"n": total})

    assert rates.per_second("n") == 100


def test_durations() -> None:
    """Calls are counted in a histogram, unless durations are not tracked."""
    durations = Durations()
    for nanoseconds in (0, 31, 32, 1024, 1 << 60):
        durations.add("get", nanoseconds, is_tracked=True)
    durations.add("get", 7, is_tracked=False)

    found = durations.of("get")

    assert found is not None
    assert found.nanoseconds == 31 + 32 + 1024 + (1 << 60) + 7
    assert found.histogram == {0: 3, 160: 1, 1023: 1}
    durations.reset()
    assert durations.of("get") is None


def test_buckets() -> None:
    """Buckets follow each other without gaps, each at most 1/32 of its durations wide."""
    for bucket in range(1, 1024):
        shortest = longest_of(bucket - 1) + 1
        assert bucket_of(shortest) == bucket == bucket_of(longest_of(bucket))
        assert (longest_of(bucket) - shortest) * 32 <= shortest


def test_percentiles() -> None:
    """A percentile is the longest duration of the bucket where its rank falls."""
    assert percentile_ns({}, 50) == 0
    histogram = {bucket_of(1000): 99, bucket_of(1_000_000): 1}

    assert 1000 <= percentile_ns(histogram, 0) == percentile_ns(histogram, 50) < 1032
    assert percentile_ns(histogram, 99) == percentile_ns(histogram, 50)
    assert 1_000_000 <= percentile_ns(histogram, 99.9) < 1_031_250
