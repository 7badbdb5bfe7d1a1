"""What telemetry costs: each way to have it on, against a server without, in one run.

A block starts all servers anew. In a round of it each variant has its turn between two turns of the
server without telemetry, and is compared with the mean of the two: a machine that becomes slower
meanwhile cancels out. Blocks go on until the 95 % intervals are narrower than the targets, or there
have been as many, or has gone as much time, as the mode allows.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import collector, stats, telemetryserver
from benchmarks.collector import Collector
from benchmarks.generators import Load
from benchmarks.harness import Claim, Context, Row
from benchmarks.servers import Server
from benchmarks.stats import Interval
from benchmarks.telemetryserver import OFF, VARIANTS, Variant, load_of, measure, memory

FIXED_RATE = 0
"""In place of a pipeline: RATE commands/s, which leave both cores some time."""

RATE = 50_000
PIPELINES = (1, 16, FIXED_RATE)
P99_BOUND_MS = 0.08
MEMORY_BOUND_MIB = 60.0
CONTROL_WIDTH = 0.3
"""How narrow the interval of a variant without a target has to be, in percent."""

RELATIVE = {
    "serving": "serving_us_per_op",
    "process": "process_us_per_op",
    "throughput": "ops_per_second",
}
"""Differences in percent: their name, and the figure that is compared."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much the mode measures: rounds of a block and commands of a turn by pipeline, blocks.

    Commands are counted, not seconds: what a turn costs beside them, such as its connections, has
    the same share in all turns. Two processes of one program differ by more than two turns of one
    process do: so there are many blocks, and few rounds in each.
    """

    rounds: dict[int, int]
    operations: dict[int, int]
    blocks_min: int
    blocks_max: int
    seconds_max: float
    """After which no block begins, beyond the least; that one block takes is reckoned in."""


def plan_of(context: Context) -> Plan:
    """Return the plan of the mode."""
    plans = {
        "quick": Plan({1: 4, 16: 2, 0: 2}, {1: 35_000, 16: 280_000, 0: 13_000}, 1, 1, 60.0),
        "default": Plan({1: 3, 16: 1, 0: 1}, {1: 52_000, 16: 560_000, 0: 22_000}, 3, 30, 660.0),
        "full": Plan({1: 4, 16: 2, 0: 2}, {1: 52_000, 16: 870_000, 0: 22_000}, 6, 150, 7200.0),
    }
    return plans[context.mode]


@contextlib.contextmanager
def _servers(context: Context, receiver: Collector) -> Iterator[dict[str, Server]]:
    with contextlib.ExitStack() as stack:
        found = {}
        for variant in (OFF, *VARIANTS):
            found[variant.name] = stack.enter_context(
                telemetryserver.running(context.subject, variant, receiver.ports, context.cores)
            )
        yield found


def turns(number: int) -> list[Variant]:
    """Return the turns of a round: every variant between two turns of OFF, another one first."""
    first = number % len(VARIANTS)
    order = [*VARIANTS[first:], *VARIANTS[:first]]
    return [OFF, *(one for variant in order for one in (variant, OFF))]


def _load(pipeline: int, operations: int) -> Load:
    if pipeline == FIXED_RATE:
        return load_of(1, operations, rate=RATE)
    return load_of(pipeline, operations)


def _round(
    found: dict[str, Server], number: int, load: tuple[int, int], receiver: Collector, core: int
) -> list[Row]:
    """Run a round's turns; each row tells also how many commands' spans arrived meanwhile."""
    rows: list[Row] = []
    for place, variant in enumerate(turns(number)):
        before = receiver.counts().commands
        row = measure(found[variant.name], _load(*load), core)
        arrived = receiver.counts().commands - before
        head: Row = {"part": "cost", "variant": variant.name, "round": number, "place": place}
        rows.append(head | {"pipeline": load[0], "arrived": arrived} | row)
    return rows


def _memory_rows(found: dict[str, Server], pipeline: int) -> list[Row]:
    rows: list[Row] = []
    for name, server in found.items():
        resident, anonymous = memory(server)
        head: Row = {"part": "memory", "variant": name, "pipeline": pipeline}
        rows.append(head | {"resident_mib": resident, "anonymous_mib": anonymous})
    return rows


def _block(
    context: Context, number: int, pipelines: Sequence[int], receiver: Collector
) -> list[Row]:
    """Start all servers, run the rounds of a block; the orders of turns differ between blocks."""
    plan, rows = plan_of(context), list[Row]()
    with _servers(context, receiver) as found:
        for name in (one.name for one in VARIANTS if one.share == 1.0):
            telemetryserver.check_exports(found[name], receiver)
        for pipeline in pipelines:
            load = (pipeline, plan.operations[pipeline])
            rounds = plan.rounds[pipeline]
            for one in range(number * rounds, (number + 1) * rounds):
                rows += _round(found, one, load, receiver, context.cores.generator)
            rows += _memory_rows(found, pipeline)
    return [{"block": number, **row} for row in rows]


def run(context: Context, pipelines: Sequence[int]) -> list[Row]:
    """Measure until the plan is satisfied; return all samples."""
    if not pipelines:
        return []
    plan = plan_of(context)
    samples: list[Row] = []
    began = time.monotonic()
    with collector.running(context.cores.generator) as receiver:
        for number in range(plan.blocks_max):
            context.progress.step(f"cost, block {number + 1} of at most {plan.blocks_max}")
            samples += _block(context, number, pipelines, receiver)
            took = time.monotonic() - began
            is_over = took + took / (number + 1) > plan.seconds_max
            is_enough = is_over or 1 not in pipelines or is_narrow(samples)
            if number + 1 >= plan.blocks_min and is_enough:
                break
    return samples


# What follows from the samples


def _number(row: Row, name: str) -> float:
    return float(str(row[name]))


def differences(samples: Sequence[Row], variant: str, pipeline: int) -> list[list[Row]]:
    """Return by block how each turn of the variant differs from the turns of OFF around it.

    Names of RELATIVE are in percent; p99_ms is in milliseconds.
    """
    by_place = {
        (row["block"], row["round"], row["place"]): row
        for row in samples
        if row["part"] == "cost" and row["pipeline"] == pipeline
    }
    blocks: dict[object, list[Row]] = {}
    for (block, number, place), row in by_place.items():
        if row["variant"] != variant:
            continue
        assert isinstance(place, int)
        around = [by_place[block, number, place + step] for step in (-1, 1)]
        found: Row = {}
        for name, field in RELATIVE.items():
            base = sum(_number(one, field) for one in around) / 2
            found[name] = 100 * (_number(row, field) / base - 1)
        base = sum(_number(one, "p99_us") for one in around) / 2
        found["p99_ms"] = (_number(row, "p99_us") - base) / 1e3
        blocks.setdefault(block, []).append(found)
    return list(blocks.values())


def interval(samples: Sequence[Row], variant: str, pipeline: int, name: str) -> Interval:
    """Return a difference of a variant with its 95 % interval."""
    blocks = differences(samples, variant, pipeline)
    return stats.clustered_interval([[_number(row, name) for row in rows] for rows in blocks])


def is_narrow(samples: Sequence[Row]) -> bool:
    """Return whether every variant's interval of serving CPU, unpipelined, is below its target.

    What insight costs has none, and waits for nothing: its interval is told as it is.
    """
    return all(
        interval(samples, one.name, 1, "serving").width < (one.bound or CONTROL_WIDTH)
        for one in VARIANTS
        if one.insight
    )


def added_memory(samples: Sequence[Row], variant: str) -> tuple[float, float]:
    """Return by how much more is resident than without telemetry, and anonymous of it, MiB.

    It is the highest of all blocks.
    """
    rows = [row for row in samples if row["part"] == "memory"]
    off = {(row["pipeline"], row["block"]): row for row in rows if row["variant"] == OFF.name}
    chosen = [row for row in rows if row["variant"] == variant]
    resident, anonymous = (
        max(
            _number(row, name) - _number(off[row["pipeline"], row["block"]], name) for row in chosen
        )
        for name in ("resident_mib", "anonymous_mib")
    )
    return resident, anonymous


def arrived_share(samples: Sequence[Row], variant: str, pipeline: int) -> float:
    """Return how many of the commands' spans arrived, as a share of the commands of all turns."""
    rows = [
        row
        for row in samples
        if row["part"] == "cost" and (row["variant"], row["pipeline"]) == (variant, pipeline)
    ]
    return sum(_number(row, "arrived") for row in rows) / sum(
        _number(row, "operations") for row in rows
    )


def _off_median(samples: Sequence[Row], pipeline: int, name: str) -> float:
    return stats.median(
        [
            _number(row, name)
            for row in samples
            if row["part"] == "cost" and (row["variant"], row["pipeline"]) == (OFF.name, pipeline)
        ]
    )


def summarise(samples: Sequence[Row]) -> list[Row]:
    """Return the table: the baseline, then a row for each variant, for each pipeline there is.

    Samples that are kept of an earlier run may not have every variant.
    """
    summary: list[Row] = []
    there = {(row["pipeline"], row["variant"]) for row in samples if row["part"] == "cost"}
    for pipeline in PIPELINES:
        if (pipeline, OFF.name) in there:
            summary.append(_baseline(samples, pipeline))
        found = [one for one in VARIANTS if (pipeline, one.name) in there]
        summary += [_summary_row(samples, variant, pipeline) for variant in found]
    return summary


def _baseline(samples: Sequence[Row], pipeline: int) -> Row:
    row: Row = {"part": f"off-{pipeline}", "variant": OFF.name, "pipeline": pipeline}
    for name in ("serving_us_per_op", "process_us_per_op", "ops_per_second", "p99_us"):
        row[name] = _off_median(samples, pipeline, name)
    return row


def _summary_row(samples: Sequence[Row], variant: Variant, pipeline: int) -> Row:
    row: Row = {"part": f"cost-{pipeline}", "variant": variant.name, "pipeline": pipeline}
    row["pairs"] = sum(len(one) for one in differences(samples, variant.name, pipeline))
    for name in (*RELATIVE, "p99_ms"):
        found = interval(samples, variant.name, pipeline, name)
        row |= {name: found.middle, f"{name}_low": found.low, f"{name}_high": found.high}
    row["resident_mib"], row["anonymous_mib"] = added_memory(samples, variant.name)
    row["arrived"] = arrived_share(samples, variant.name, pipeline) if variant.share else None
    row["bound"] = variant.bound if pipeline == 1 else None
    return row


def claims(summary: Sequence[Row]) -> list[Claim]:
    """Return the targets: CPU of the serving thread, p99 and memory, unpipelined."""
    rows = [row for row in summary if row["part"] == "cost-1"]
    if not rows:
        return []
    found = [
        Claim(
            f"telemetry, serving thread's CPU per command, {row['variant']}",
            _number(row, "serving"),
            float(bound),
            "% more",
        )
        for row in rows
        if isinstance(bound := row["bound"], float)
    ]
    off = {one.name for one in VARIANTS if not one.signals}
    on = [row for row in rows if row["variant"] not in off]
    late = max(on, key=lambda row: _number(row, "p99_ms"))
    large = max(on, key=lambda row: _number(row, "resident_mib"))
    text = f"telemetry, p99 of 50 connections, worst ({late['variant']})"
    found.append(Claim(text, _number(late, "p99_ms"), P99_BOUND_MS, "ms more"))
    text = f"telemetry, resident memory, worst ({large['variant']})"
    found.append(Claim(text, _number(large, "resident_mib"), MEMORY_BOUND_MIB, "MiB more"))
    return found
