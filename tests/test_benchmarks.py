"""The helpers of the benchmarks: statistics, parsing, the page. Nothing here is timed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy", reason="the bench extra is not installed")
pytest.importorskip("matplotlib", reason="the bench extra is not installed")

from benchmarks import (  # noqa: E402
    expiry,
    generators,
    harness,
    page,
    proc,
    profile,
    servers,
    stats,
    throughput,
)

REPORT = """\
====== SET ======
  50000 requests completed in 0.07 seconds

Latency by percentile distribution:
0.000% <= 0.264 milliseconds (cumulative count 1)
50.000% <= 0.935 milliseconds (cumulative count 25000)
99.805% <= 2.991 milliseconds (cumulative count 49904)
99.902% <= 3.023 milliseconds (cumulative count 49952)
100.000% <= 3.063 milliseconds (cumulative count 50000)

Cumulative distribution of latencies:
99.999% <= 9.103 milliseconds (cumulative count 49999)

Summary:
  throughput summary: 684931.50 requests per second
  latency summary (msec):
          avg       min       p50       p95       p99       max
        1.050     0.264     0.935     1.951     2.519     3.063
"""


def test_spread_gives_middle_and_range() -> None:
    """The middle is the median, not the mean, so that one bad round does not move it."""
    found = stats.spread([9.0, 1.0, 2.0])

    assert stats.Spread(median=2.0, low=1.0, high=9.0, count=3) == found
    assert found.relative == pytest.approx(4.0)


def test_spread_of_nothing_is_an_error() -> None:
    """A missing measurement must not become a figure."""
    with pytest.raises(ValueError, match="no values"):
        stats.spread([])


def test_paired_ratio_cancels_drift() -> None:
    """A machine that becomes twice as slow between rounds leaves the ratio alone."""
    assert stats.paired_ratio([1.0, 2.0, 4.0], [2.0, 4.0, 8.0]) == pytest.approx(0.5)


@pytest.mark.parametrize(("values", "references"), [([1.0], []), ([], []), ([1.0], [0.0])])
def test_paired_ratio_needs_pairs(values: list[float], references: list[float]) -> None:
    """Lists that do not match, or a zero to divide by, are errors."""
    with pytest.raises(ValueError, match="ratio"):
        stats.paired_ratio(values, references)


def test_worst_lag_forgives_the_slack_and_no_more() -> None:
    """What is gone within the slack is not late; what is still there afterwards is."""
    times = [0.0, 1.0, 2.0, 3.0, 4.0]
    ideal = [100.0, 50.0, 0.0, 0.0, 0.0]

    assert stats.worst_lag(times, [100, 100, 50, 0, 0], ideal, slack_s=1.0) == 0
    assert stats.worst_lag(times, [100, 100, 50, 30, 0], ideal, slack_s=1.0) == pytest.approx(30)


def test_busiest_finds_the_worst_second() -> None:
    """The busiest second counts, not the mean over all of them."""
    times = [0.0, 0.5, 1.0, 1.5, 2.0]
    cpu = [0.0, 0.0, 0.1, 0.5, 0.5]

    assert expiry.busiest(times, cpu, window_s=1.0) == pytest.approx(0.5)


def test_busiest_of_a_short_watch_is_zero() -> None:
    """A watch shorter than the window has no figure to give."""
    assert expiry.busiest([0.0, 0.5], [0.0, 0.5], window_s=1.0) == 0


def test_redis_benchmark_report_is_read() -> None:
    """Rate and latencies come from the right table, in microseconds."""
    found = generators.parse_redis_benchmark(REPORT)

    expected = generators.RedisBenchmark(
        ops_per_second=684931.5, p50_us=935.0, p99_us=2519.0, p999_us=3023.0, max_us=3063.0
    )
    assert dataclasses.astuple(expected) == pytest.approx(dataclasses.astuple(found))


def test_redis_benchmark_report_that_is_cut_is_refused() -> None:
    """A report that ends early is an error, never a partial figure."""
    with pytest.raises(ValueError, match="not a complete"):
        generators.parse_redis_benchmark(REPORT.partition("Summary")[0])


def test_load_arguments_leave_defaults_out() -> None:
    """Numbers and switches become options; zero and False mean "not given"."""
    words = generators.Load(clients=2, rate=0, keys=10, random=True).arguments()

    expected = "--clients 2 --keys 10 --value-min 64 --value-max 64 --random"
    assert expected.split() == words


def test_info_lines_become_fields() -> None:
    """Headings are dropped, and a value may contain colons."""
    text = "# Stats\r\nengine_step_max_us:17\r\naddress:127.0.0.1:1\r\n\r\n"

    assert {"engine_step_max_us": "17", "address": "127.0.0.1:1"} == servers.parse_info(text)


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1", "7.0.15"),
        ("memcached 1.6.18", "1.6.18"),
        ("ferrite-py 0.2.0", "0.2.0"),
    ],
)
def test_version_is_found(line: str, version: str) -> None:
    """Every server says its version in its own way."""
    assert version == servers.short_version(line)


def test_stand_in_needs_a_place_for_the_port() -> None:
    """A command that would ignore the chosen port is refused before anything starts."""
    with pytest.raises(servers.BenchmarkError, match="port"):
        servers.stand_in("redis-server --port 1")


def test_proc_files_are_read() -> None:
    """Units are nanoseconds and bytes, and a name with spaces or brackets does no harm."""
    stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 6 5 0 0 20 0 5 0 1 2 3"
    sched = "x (1, #threads: 5)\n---\nse.sum_exec_runtime      :       122.730281\n"

    assert 11 * 10_000_000 == proc.parse_stat_cpu_ns(stat)
    assert proc.parse_sched_runtime_ns(sched) == 122_730_281
    assert proc.parse_sched_runtime_ns("nothing") is None
    assert proc.parse_status_bytes("VmRSS:\t 5 kB\nRssAnon:\t   3 kB\n", "RssAnon") == 3072


def test_large_values_get_fewer_keys() -> None:
    """Data stays within its bound whatever the value size."""
    assert throughput.keys_for(64, 5_000_000) == 5_000_000
    assert throughput.keys_for(65536, 1_000_000) == 4096


def _sample(server: str, number: int, cpu: float) -> harness.Row:
    scenario: harness.Row = {"command": "SET", "pipeline": 1, "value_bytes": 64, "keys": 10}
    figures: harness.Row = {"ops_per_second": 1.0, "p50_us": 1.0, "p99_us": 1.0, "p999_us": 1.0}
    return scenario | figures | {"server": server, "round": number, "cpu_us_per_op": cpu}


def test_throughput_summary_and_claims() -> None:
    """Ratios pair the rounds with the reference's, and the worst command is judged."""
    samples = [_sample("ref", 0, 4.0), _sample("sub", 0, 3.0)]
    samples += [_sample("ref", 1, 8.0), _sample("sub", 1, 6.0)]
    others = [{**sample, "pipeline": depth} for sample in samples for depth in (16, 64)]

    summary = throughput.summarise([*samples, *others], "ref")
    found = throughput.claims(summary, "sub")

    assert summary[1]["cpu_ratio"] == pytest.approx(0.75)
    assert [claim.met for claim in found] == [True, False, False]


def test_functions_are_found_with_their_layer(tmp_path: Path) -> None:
    """Definitions count, also static or over two lines; declarations and calls do not."""
    folder = tmp_path / "store"
    folder.mkdir()
    text = (
        "int fe_index_get(int a,\n    int b)\n{\n    call(a);\n}\nstatic char *slot(void)\n{\n}\n"
    )
    (folder / "index.c").write_text(text + "int declared(void);\n")

    assert {"fe_index_get": "store", "slot": "store"} == profile.functions_by_layer(tmp_path)


@pytest.mark.parametrize(
    ("library", "symbol", "group"),
    [
        ("[kernel.kallsyms]", "[k] tcp_ack", "kernel"),
        ("[vdso]", "[.] __vdso_gettimeofday", "vdso"),
        ("_native.abi3.so", "[.] slot.constprop.0", "native/store"),
        ("libc.so.6", "[.] memcpy", "libc"),
        ("python3.11", "[.] _PyEval_EvalFrameDefault", "python"),
        ("libother.so.1", "[.] thing", "libother.so.1"),
    ],
)
def test_profile_lines_find_their_group(library: str, symbol: str, group: str) -> None:
    """Our functions go to their folder, also under a name that the compiler has changed."""
    assert group == profile.group_of(library, symbol, {"slot": "store"})


def test_profile_report_is_read() -> None:
    """Comments and blank lines are passed over; shares are fractions."""
    text = "# Overhead;Object;Symbol\n\n 29.50%;libc.so.6;[.] memcpy\n"

    assert [(0.295, "libc.so.6", "[.] memcpy")] == profile.parse_report(text)


def test_claims_point_both_ways() -> None:
    """A bound is a ceiling unless it is a floor, and no measurement is no verdict."""
    ceiling = harness.Claim("a", 1.0, 2.0, "x")

    assert ceiling.met
    assert not dataclasses.replace(ceiling, at_least=True).met
    assert dataclasses.replace(ceiling, measured=None).met is None


def test_page_shows_verdicts_and_dashes() -> None:
    """The page names every target with its verdict; what was not measured is a dash."""
    document: dict[str, Any] = {
        "benchmark": "startup",
        "mode": "quick",
        "taken_at": "2026-01-01 00:00 UTC",
        "machine": {"cores": "2"},
        "versions": {"redis-server": "7.0.15"},
        "parameters": {"rounds": 1},
        "summary": [{"server": "redis-server", "start_up_ms": 12.34, "empty_mib": None}],
        "claims": [dataclasses.asdict(harness.Claim("memory", 0.5, 0.62, "× r")) | {"met": True}],
        "notes": [],
    }

    text = page.render([document], {"startup": []})

    assert "| memory | 0.5 × r | ≤ 0.62 | met | quick |" in text
    assert "| redis-server | 12.3 | – | – | – |" in text


def test_this_process_has_cpu_time_and_memory() -> None:
    """The readers work on a live process of this kernel: the test itself."""
    import os

    assert proc.cpu_ns(os.getpid()) > 0
    assert proc.anonymous_bytes(os.getpid()) > 0
    assert os.getpid() in {thread.tid for thread in proc.threads(os.getpid())}
