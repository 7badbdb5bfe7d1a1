"""Metrics at one moment: histograms whose buckets are OTLP's, and the native server's counters."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ferrite_py._native import Server
from ferrite_py.config import Config
from ferrite_py.measure import (
    BY_ID,
    ROWS,
    Histogram,
    Meter,
)
from ferrite_py.services import engine_options

SEED = {
    "ferrite.commands.total": ("counter", "{commands}", ("command",)),
    "ferrite.command.duration": ("histogram", "s", ("command",)),
    "ferrite.memory.used": ("gauge", "By", ()),
    "ferrite.memory.max": ("gauge", "By", ()),
    "ferrite.connections.active": ("gauge", "{connections}", ()),
    "ferrite.connections.total": ("counter", "{connections}", ()),
    "ferrite.cache.hit.rate": ("gauge", "1", ()),
    "ferrite.cache.hits.total": ("counter", "{hits}", ()),
    "ferrite.cache.misses.total": ("counter", "{misses}", ()),
    "ferrite.hybridlog.tier.size": ("gauge", "By", ("tier",)),
    "ferrite.keys.total": ("gauge", "{keys}", ("db",)),
    "ferrite.keys.expired.total": ("counter", "{keys}", ()),
    "ferrite.keys.evicted.total": ("counter", "{keys}", ()),
    "ferrite.network.bytes.received": ("counter", "By", ()),
    "ferrite.network.bytes.sent": ("counter", "By", ()),
    "ferrite.replication.lag": ("gauge", "By", ("replica",)),
    "ferrite.aof.sync.duration": ("histogram", "s", ()),
    "ferrite.epoch.current": ("gauge", "{epoch}", ()),
}
"""The metrics that Ferrite's documentation promises."""


@pytest.fixture
def native() -> Iterator[Server]:
    """A server without connections."""
    server = Server(engine_options(Config()))
    yield server
    server.close()


@pytest.mark.seed(
    "ferrite.replication.lag",
    "ferrite.aof.sync.duration",
)
def test_the_table_begins_with_the_metrics_of_ferrite() -> None:
    """Names, instruments, units and labels are those that are promised."""
    found = {row.name: (row.instrument, row.unit, row.labels) for row in ROWS[: len(SEED)]}

    assert found == SEED


def test_every_value_belongs_to_a_row_and_has_its_labels(native: Server) -> None:
    """A measurement has a list for each row; each sample has a value for each label."""
    measurement = Meter(native, 0.0).take()

    assert {row.name for row in ROWS} == set(measurement.samples)
    wrong = [
        (row.name, labels)
        for row in ROWS
        for labels, _ in measurement.samples[row.name]
        if len(labels) != len(row.labels)
    ]
    assert wrong == []


def test_what_does_not_exist_has_no_values(native: Server) -> None:
    """Replicas, an append-only file, a limit and a ratio of nothing are absent, not zero."""
    samples = Meter(native, 0.0).take().samples

    names = ("ferrite.replication.lag", "ferrite.aof.sync.duration", "ferrite.memory.max")
    assert [[], [], []] == [samples[name] for name in names]
    assert samples["ferrite.cache.hit.rate"] == []


def test_what_grows_begins_anew_when_its_statistics_do(native: Server) -> None:
    """CONFIG RESETSTAT moves the beginning of counters, not of totals."""
    meter = Meter(native, 0.0)
    before = meter.take()

    native.reset_statistics()
    after = meter.take()

    counter, total = BY_ID["COMMANDS"], BY_ID["DISK_READS"]
    assert before.since(counter) == before.started == after.since(total)
    assert after.started <= after.since(counter) <= after.now


def test_a_meter_that_has_left_the_engine_has_its_last_values() -> None:
    """Afterwards nothing asks the native server, which may be closed; the process goes on."""
    native = Server(engine_options(Config()))
    meter = Meter(native, 0.0)
    meter.leave_engine()
    native.close()

    before = time.time_ns()
    first, second = meter.take(), meter.take()

    assert before <= first.now <= second.now <= time.time_ns()
    assert first.samples["ferrite.memory.used"] == second.samples["ferrite.memory.used"] != []
    uptimes = [one.samples["process.uptime"][0][1] for one in (first, second)]
    assert uptimes[0] < uptimes[1]  # type: ignore[operator]


def test_a_meter_without_an_engine_yet_tells_of_the_process(native: Server) -> None:
    """What needs the engine has no values until it is there; nothing asks for them."""
    meter = Meter(None, time.monotonic() - 5)
    asked: list[str] = []
    meter.add_engine_source(lambda: [asked.append("x") or ("EXPORTED", [(("traces",), 3)])])  # type: ignore[func-returns-value]

    before = meter.take()
    assert asked == []
    assert before.samples["ferrite.memory.used"] == []
    assert before.samples["ferrite.telemetry.exports"] == []
    assert before.samples["process.uptime"] != []
    assert before.now - 6 * 10**9 < before.started < before.now - 4 * 10**9

    meter.enter_engine(native)
    after = meter.take()
    assert after.samples["ferrite.memory.used"] != []
    assert after.samples["ferrite.telemetry.exports"] == [(("traces",), 3)]


def test_sources_add_to_each_other(native: Server) -> None:
    """Two sources may tell of the same metric, each with its own labels."""
    meter = Meter(native, 0.0)
    meter.add_source(lambda: [("EXPORTED", [(("traces",), 3)])])
    meter.add_source(lambda: [("EXPORTED", [(("logs",), 4)])])

    samples = meter.take().samples["ferrite.telemetry.exports"]

    assert [(("traces",), 3), (("logs",), 4)] == samples


def test_the_process_is_measured(native: Server) -> None:
    """What the system says of the process comes with the rest."""
    samples = Meter(native, 0.0).take().samples

    modes = dict(samples["process.cpu.time"])
    assert modes[("user",)] > 0  # type: ignore[operator]
    assert samples["process.memory.usage"][0][1] > 1 << 20  # type: ignore[operator]
    assert samples["process.unix.file_descriptor.count"][0][1] >= 3  # type: ignore[operator]
    assert samples["process.thread.count"][0][1] >= 1  # type: ignore[operator]
    resident, virtual = (
        samples[name][0][1] for name in ("process.memory.usage", "process.memory.virtual")
    )
    assert virtual > resident  # type: ignore[operator]
    faults = dict(samples["process.paging.faults"])
    assert set(faults) == {("minor",), ("major",)}
    assert faults[("minor",)] > 100  # type: ignore[operator]
    switches = dict(samples["process.context_switches"])
    assert set(switches) == {("voluntary",), ("involuntary",)}
    assert sum(switches.values()) > 0  # type: ignore[arg-type]


def test_cumulative_counts_at_bounds_of_buckets() -> None:
    """What lies at or below a bound is counted; bucket -33 ends at half a second, -1 at one."""
    histogram = Histogram(3.0, 2, -33, (5, *[1] * 32, 7))

    assert [2, 7, 39, 46] == histogram.up_to([0.25, 0.5, 1.0, 2.0])
    assert [7 + n for n in range(32)] == histogram.up_to([2.0 ** (n / 32 - 1) for n in range(32)])
    assert histogram.count == 46


@pytest.mark.parametrize("first", [-5, -4, 0, 3])
@pytest.mark.parametrize("length", [0, 1, 8, 9, 63, 1000])
def test_fewer_buckets_hold_the_same(first: int, length: int) -> None:
    """Each bucket goes to that of the lower scale which holds it, with the least steps down."""
    counts = tuple(range(1, length + 1))

    found = Histogram(1.0, 0, first, counts).reduced(8)

    steps = 5 - found.scale
    expected: dict[int, int] = {}
    for index, count in enumerate(counts, first):
        expected[index >> steps] = expected.get(index >> steps, 0) + count
    got = {i: count for i, count in enumerate(found.counts, found.first) if count}
    assert got == expected
    assert len(found.counts) <= 8
    one_less = {index >> (steps - 1) for index in range(first, first + length)} if steps else ()
    assert steps == 0 or len(one_less) > 8


def test_the_difference_of_two_histograms() -> None:
    """Buckets that were not there before count from zero."""
    before = Histogram(1.0, 1, 4, (3, 4))
    after = Histogram(2.5, 1, 2, (9, 0, 3, 5, 6))

    since = after.since(before)

    assert Histogram(1.5, 0, 2, (9, 0, 0, 1, 6)) == since
    assert after.since(Histogram(0.0, 0, 0, ())) == after
    assert Histogram(0.5, 0, 1, (4,)).since(Histogram(1.0, 0, 2, (3, 4))).counts == (4, -3, -4)
