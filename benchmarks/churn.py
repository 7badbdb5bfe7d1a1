"""Churn: overwrites with changing sizes (16 B to 1 KiB) neither grow memory nor slow down."""

from __future__ import annotations

import sys
from typing import Any

from benchmarks import generators, harness, servers
from benchmarks.generators import Load
from benchmarks.harness import Claim, Context, Outcome, Row
from benchmarks.servers import Kind

KEYS = 1_000_000
VALUE_MIN, VALUE_MAX = 16, 1024
PIPELINE = 16
WINDOWS = 10
MEMORY_BOUND = 1.3
REFERENCE_MAX = 20_000_000
THROUGHPUT_BOUND = 0.9


def measure(context: Context, kind: Kind, count: int, keys: int) -> list[Row]:
    """Fill, then overwrite `count` times; return one row for each tenth.

    Memory is sampled at the end of each tenth, with the load still running.
    """
    load = Load(
        pipeline=PIPELINE,
        count=count,
        keys=keys,
        value_min=VALUE_MIN,
        value_max=VALUE_MAX,
        windows=WINDOWS,
        random=True,
        prefill=True,
    )
    rows: list[Row] = []
    result: dict[str, Any] = {}
    with servers.running(kind, context.cores.server) as server:
        empty = server.anonymous_bytes()
        command = generators.load_command(server, load)
        with generators.json_lines(command, context.cores.generator) as lines:
            cpu_before = 0
            for line in lines:
                cpu_now = server.cpu_ns()
                if line["type"] == "window":
                    memory = server.anonymous_bytes() - empty
                    cpu_us = (cpu_now - cpu_before) / 1e3 / line["ops"]
                    rows.append(_row(kind.name, line, memory, cpu_us))
                elif line["type"] == "result":
                    result = line
                cpu_before = cpu_now
        generators.check_result(server, result)
        memory = server.settled_anonymous_bytes() - empty
        last = {**rows[-1], "tenth": "settled", "memory_bytes": memory}
        rows.append({**last, "memory_ratio": memory / result["live_bytes"]})
    return rows


def _row(server: str, line: dict[str, Any], memory: int, cpu_us: float) -> Row:
    return {
        "server": server,
        "tenth": str(line["index"] + 1),
        "ops_per_second": line["ops_per_second"],
        "cpu_us_per_op": cpu_us,
        "p99_us": line["p99_us"],
        "max_us": line["max_us"],
        "memory_bytes": memory,
        "live_bytes": line["live_bytes"],
        "memory_ratio": memory / line["live_bytes"],
    }


def _figure(row: Row, name: str) -> float:
    return float(str(row[name]))


def run(context: Context) -> Outcome:
    """Run the overwrites on the reference and the subject."""
    count = context.pick(2_000_000, 20_000_000, 200_000_000)
    keys = KEYS if context.mode != "quick" else KEYS // 10
    context.progress.begin("churn", 2)
    samples: list[Row] = []
    summary: list[Row] = []
    for kind in context.rivals:
        # No claim is about the reference, and 200 million would take it a quarter of an hour.
        own = count if kind == context.subject else min(count, REFERENCE_MAX)
        context.progress.step(f"{kind.name}: {own:,} overwrites")
        rows = measure(context, kind, own, keys)
        samples += rows
        first, last, settled = rows[0], rows[WINDOWS - 1], rows[-1]
        summary.append(
            {
                "server": kind.name,
                "overwrites": own,
                "ops_per_second_first": first["ops_per_second"],
                "ops_per_second_last": last["ops_per_second"],
                "last_over_first": _figure(last, "ops_per_second")
                / _figure(first, "ops_per_second"),
                "cpu_us_per_op_first": first["cpu_us_per_op"],
                "cpu_us_per_op_last": last["cpu_us_per_op"],
                "live_mib": _figure(settled, "live_bytes") / 1024**2,
                "memory_mib": _figure(settled, "memory_bytes") / 1024**2,
                "memory_ratio": settled["memory_ratio"],
            }
        )
    subject = summary[-1]
    claims = [
        Claim(
            f"memory after {count:,} overwrites",
            _figure(subject, "memory_ratio"),
            MEMORY_BOUND,
            "× live data",
        ),
        Claim(
            "throughput of the last tenth",
            _figure(subject, "last_over_first"),
            THROUGHPUT_BOUND,
            "× first tenth",
            at_least=True,
        ),
    ]
    parameters: Row = {"overwrites": count, "keys": keys, "pipeline": PIPELINE}
    notes = ["Live data is the bytes of keys and values alone, without records or index."]
    return Outcome("churn", parameters, samples, summary, claims, notes)


if __name__ == "__main__":
    sys.exit(harness.main(run))
