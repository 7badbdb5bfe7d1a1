"""The parts of the benchmark of telemetry: what is run, and what is kept of those that are not."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Context, Row
from benchmarks.servers import BenchmarkError

COSTS = {"unpipelined": 1, "pipelined": 16, "rate": 0}
"""Parts that are differences to telemetry off, with their pipelines."""

FAULTS = ("dead", "hang", "error")
PARTS = (*COSTS, "exact", *FAULTS)


def chosen(context: Context) -> tuple[str, ...]:
    """Return the parts that are to be run, in order: all unless some are named.

    Raises:
        BenchmarkError: there is no such part.
    """
    for name in context.parts:
        if name not in PARTS:
            raise BenchmarkError(f"no part {name!r} of telemetry; there are {', '.join(PARTS)}")
    return tuple(name for name in PARTS if name in context.parts or not context.parts)


def part_of(sample: Row) -> str:
    """Return the part that a sample belongs to."""
    if sample["part"] in ("cost", "memory"):
        return next(name for name, one in COSTS.items() if one == sample["pipeline"])
    return "exact" if sample["part"] == "exact" else str(sample["fault"])


def kept(folder: Path, run_now: Sequence[str]) -> tuple[list[Row], Row]:
    """Return the samples of earlier runs of other parts, and by part when that was."""
    path = folder / "data" / "telemetry.json"
    if not path.exists():
        return [], {}
    document = json.loads(path.read_text(encoding="utf-8"))
    samples = [row for row in document["samples"] if part_of(row) not in run_now]
    names = {part_of(row) for row in samples}
    return samples, {name: document["parameters"].get(name) for name in PARTS if name in names}


def blocks(samples: Sequence[Row]) -> str:
    """Return in how many blocks each cost was measured."""
    found = {
        name: len(
            {row["block"] for row in samples if row["part"] == "cost" and part_of(row) == name}
        )
        for name in COSTS
    }
    return " and ".join(f"{count} {name}" for name, count in found.items() if count) or "none"


def taken(context: Context, run_now: Sequence[str], commit: str) -> Row:
    """Return for each part that was run how and when, and of which build; `commit` may be ""."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    build = " ".join(filter(None, (context.subject.name, context.subject.version, commit)))
    return dict.fromkeys(run_now, f"{context.mode} at {now} of {build}")
