"""Rates of counters and histograms of durations."""

from __future__ import annotations

import pytest

from ferrite_py.rates import Durations, Exceeded, Rates, bound_of, bucket_of, percentile_ns


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


def test_time_above_the_limit() -> None:
    """From the sample that was above it to the one that is not; a reset forgets what is over."""
    exceeded = Exceeded()
    for now, used, limit in ((1.0, 5, 0), (2.0, 5, 5), (3.0, 6, 5), (3.5, 7, 5)):
        exceeded.sample(now, used, limit)
    assert (exceeded.current_ms, exceeded.total_ms) == (500, 500)

    exceeded.sample(4.0, 5, 5)
    exceeded.sample(5.0, 9, 5)
    exceeded.sample(5.2, 9, 5)
    assert (exceeded.current_ms, exceeded.total_ms) == (200, 1200)

    exceeded.reset()
    assert (exceeded.current_ms, exceeded.total_ms) == (0, 0)
    exceeded.sample(5.3, 9, 5)
    assert (exceeded.current_ms, exceeded.total_ms) == (100, 100)
    exceeded.sample(5.4, 5, 5)
    assert (exceeded.current_ms, exceeded.total_ms) == (0, 200)


def test_durations() -> None:
    """Calls are counted in a histogram, unless durations are not tracked."""
    durations = Durations()
    for nanoseconds in (0, 31, 32, 1024, 1 << 60):
        durations.add("get", nanoseconds, is_tracked=True)
    durations.add("get", 7, is_tracked=False)

    found = durations.of("get")

    assert found is not None
    assert found.nanoseconds == 31 + 32 + 1024 + (1 << 60) + 7
    assert sum(found.histogram.values()) == 5
    assert {bucket_of(0): 1, bucket_of(1024): 1}.items() <= found.histogram.items()
    durations.reset()
    assert durations.of("get") is None


def test_buckets() -> None:
    """32 of them are a power of two of seconds, and each is 2.2 % wide; the first is for zero."""
    second = bucket_of(1_000_000_000)
    assert (second, bound_of(second - 1)) == (0, 1e9)
    for nanoseconds in (8, 9, 500, 12_345, 7_654_321, 10**12):
        bucket = bucket_of(nanoseconds)
        assert bound_of(bucket - 1) <= nanoseconds < bound_of(bucket)
        assert bound_of(bucket) < bound_of(bucket - 1) * 1.022
    assert bucket_of(0) == bucket_of(7) == bucket_of(8) - bucket_of(8) % 32 - 1


def test_percentiles() -> None:
    """A percentile is the longest duration of the bucket where its rank falls."""
    assert percentile_ns({}, 50) == 0
    histogram = {bucket_of(1000): 99, bucket_of(1_000_000): 1}

    assert 1000 <= percentile_ns(histogram, 0) == percentile_ns(histogram, 50) < 1022
    assert percentile_ns(histogram, 99) == percentile_ns(histogram, 50)
    assert 1_000_000 <= percentile_ns(histogram, 99.9) < 1_022_000
