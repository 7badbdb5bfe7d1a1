"""Rates of counters and histograms of durations."""

from __future__ import annotations

import pytest

from ferrite_py.rates import BUCKETS, Durations, Rates, percentile_ns


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
    """Calls are counted by powers of two of nanoseconds, the last bucket takes the rest."""
    durations = Durations()
    for nanoseconds in (0, 1, 2, 3, 1024, 1 << 60):
        durations.add("get", nanoseconds)

    found = durations.of("get")

    assert found is not None
    assert found.nanoseconds == 1 + 2 + 3 + 1024 + (1 << 60)
    assert [found.buckets[i] for i in (0, 1, 10, BUCKETS - 1)] == [2, 2, 1, 1]
    durations.reset()
    assert durations.of("get") is None


def test_percentiles() -> None:
    """A percentile lies in the bucket where its rank falls."""
    buckets = [0] * BUCKETS
    assert percentile_ns(buckets, 50) == 0
    buckets[10], buckets[20] = 99, 1

    assert 1024 < percentile_ns(buckets, 50) < 2048
    assert percentile_ns(buckets, 99) == 2048
    assert 1 << 20 < percentile_ns(buckets, 99.9) <= 1 << 21
