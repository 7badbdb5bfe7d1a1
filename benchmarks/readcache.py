"""The read cache, simulated: disk reads and flash writes of ways to divide and order the memory.

Nothing is timed and no server runs: benchmarks/readcache.c replays the loads of
benchmarks/traces.py (published statistics of key-value caches, named there) against models, with a
memory of 5 % and 10 % of the data. A disk read is a read of a key that exists, was written before,
and is not in memory. The same seed gives the same figures.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import generators, harness, traces
from benchmarks.harness import Claim, Context, Outcome, Row
from benchmarks.servers import BenchmarkError

SEED = 1
SEGMENTS = 64
GRANULE = 64
MEMORY_PERCENT = (5, 10)
JUDGED = ("zipf", "scan", "one-hit", "shift")
FIFO, COPY, LRU, CHOSEN = "FIFO", "copy to tail", "LRU", "read cache"
COPIED = "copy to tail 50/50"
READS_BOUND, WORST_BOUND = 0.85, 1.02

Options = dict[str, float]


@dataclass(frozen=True, slots=True)
class Variant:
    """A model to replay.

    Attributes:
        group: what it varies, for the table.
        name: unique.
        options: of readcache.c; `ghost` is here a multiple of the records that fit in memory.
        segments: how many segments the memory has.
    """

    group: str
    name: str
    options: Options = field(default_factory=dict)
    segments: int = SEGMENTS

    def spec(self, records: int) -> str:
        """Return the argument for readcache.c, for a memory that holds `records` records."""
        values = {**self.options}
        if "ghost" in values:
            values["ghost"] = values["ghost"] * records
        return f"{self.name}:" + ",".join(f"{key}={int(value)}" for key, value in values.items())


BASE: Options = {
    "mutable": 20,
    "frozen": 10,
    "small": 10,
    "ghost": 1,
    "regret": 1,
    "warm": 2,
    "walk": 4,
}


def _without(*names: str) -> Options:
    return {key: value for key, value in BASE.items() if key not in names}


def variants() -> list[Variant]:
    """Return all models: the known ways, the chosen one, and what each of its choices is worth."""
    found = [
        Variant("known", "never promote", {"admit": 0}),
        Variant("known", FIFO, {"admit": 4}),
        Variant("known", COPY, {"admit": 3}),
        *(
            Variant("known", f"{COPY} {a}/{100 - a}", {"mutable": a, "frozen": 100 - a, "admit": 5})
            for a in (90, 50, 10)
        ),
        Variant("known", LRU, {"lru": 1}),
        Variant("chosen", CHOSEN, BASE),
    ]
    splits = ((50, 0), (20, 30), (30, 10), (30, 0), (10, 20), (20, 0), (10, 10), (10, 0), (5, 5))
    for a, b in splits:
        options = {**BASE, "mutable": a, "frozen": b}
        found.append(Variant("split", f"{a}/{b}/{100 - a - b}", options))
    clock = _without("small", "ghost", "regret")
    found += [
        Variant("order", "FIFO, all admitted", {**clock, "reinsert": 9}),
        Variant("order", "CLOCK, all admitted", clock),
        Variant("order", "small ring, no ghost", _without("ghost", "regret")),
        Variant("admission", "CLOCK, ghost only", {**_without("small"), "admit": 2}),
        Variant("admission", "nothing from disk", {**clock, "admit": 0}),
        Variant("admission", "small 5 %", {**BASE, "small": 5}),
        Variant("admission", "small 20 %", {**BASE, "small": 20}),
        Variant("admission", "ghost ½×", {**BASE, "ghost": 0.5}),
        Variant("admission", "ghost 2×", {**BASE, "ghost": 2}),
        Variant("admission", "ghost without MAIN's", _without("regret")),
        Variant("marks", "1 bit", {**BASE, "max": 1}),
        Variant("marks", "3 bits", {**BASE, "max": 7}),
        Variant("marks", "cleared when moved", {**BASE, "keep": 0}),
        Variant("marks", "two reads to be carried", {**BASE, "carry": 2}),
        Variant("marks", "everything carried", {**BASE, "carry": 0}),
        Variant("marks", "two reads to leave small", {**BASE, "promote": 2}),
        Variant("marks", "updates begin cold", _without("warm")),
        Variant("walk", "any length", _without("walk")),
        Variant("walk", "1 segment", {**BASE, "walk": 1}),
        Variant("segments", "16 segments", BASE, segments=16),
        Variant("segments", "256 segments", BASE, segments=256),
    ]
    return found


def replay(
    path: Path, trace: traces.Trace, percent: int, chosen: Sequence[Variant]
) -> list[dict[str, Any]]:
    """Return the counts of each variant on the trace kept at `path`.

    The memory is `percent` of the data.

    Raises:
        BenchmarkError: the simulator refuses.
    """
    memory = trace.data_bytes * percent // 100
    records = int(memory / trace.mean_bytes)
    found: dict[str, dict[str, Any]] = {}
    for segments in sorted({variant.segments for variant in chosen}):
        specs = [variant.spec(records) for variant in chosen if variant.segments == segments]
        segment = max(GRANULE, memory // segments // GRANULE * GRANULE)
        for counts in simulate(path, memory, segment, trace.warm, specs):
            found[counts["policy"]] = counts
    return [found[variant.name] for variant in chosen]


def simulate(
    path: Path, memory: int, segment: int, warm: int, specs: Sequence[str]
) -> list[dict[str, Any]]:
    """Run readcache.c; see its first comment for the arguments.

    Raises:
        BenchmarkError: the simulator refuses.
    """
    numbers = {"memory": memory, "segment": segment, "warm": warm}
    words = [word for name, value in numbers.items() for word in (f"--{name}", str(value))]
    command = [str(generators.compiled("readcache")), "--trace", str(path), *words, *specs]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise BenchmarkError(f"readcache: {result.stderr.strip()}")
    return [json.loads(line) for line in result.stdout.splitlines()]


def _sample(load: str, percent: int, variant: Variant, counts: dict[str, Any]) -> Row:
    copied = counts["carried_bytes"] + counts["admitted_bytes"] + counts["reinserted_bytes"]
    figures: Row = {key: value for key, value in counts.items() if key != "policy"}
    return {
        "load": load,
        "memory_percent": percent,
        "group": variant.group,
        "variant": variant.name,
        "disk_reads_per_read": counts["disk_reads"] / counts["reads"],
        "flash_per_client_byte": counts["flash_bytes"] / counts["client_bytes"],
        "copied_bytes_per_read": copied / counts["reads"],
        **figures,
    }


def _mean(values: Iterable[float]) -> float:
    """Return the geometric mean of positive values."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def _figures(samples: Sequence[Row], variant: str, name: str, loads: Sequence[str]) -> list[float]:
    rows = [row for row in samples if row["variant"] == variant and row["load"] in loads]
    return [float(str(row[name])) for row in rows]


def ratios(
    samples: Sequence[Row], variant: str, reference: str, loads: Sequence[str]
) -> list[float]:
    """Return disk reads of a variant over those of another, one for each load and memory."""
    ours = _figures(samples, variant, "disk_reads", loads)
    theirs = _figures(samples, reference, "disk_reads", loads)
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def summarise(samples: Sequence[Row], chosen: Sequence[Variant]) -> list[Row]:
    """Return one row for each variant: geometric means over the judged loads and memories."""
    rows: list[Row] = []
    for variant in chosen:
        name = variant.name
        copies = _figures(samples, name, "copied_bytes_per_read", JUDGED)
        walks = _figures(samples, name, "walk_segments_max", JUDGED)
        row: Row = {"group": variant.group, "variant": name}
        row["x_fifo"] = _mean(ratios(samples, name, FIFO, JUDGED))
        row["x_copy"] = _mean(ratios(samples, name, COPIED, JUDGED))
        row["x_copy_worst"] = max(ratios(samples, name, COPIED, JUDGED))
        row["x_chosen"] = _mean(ratios(samples, name, CHOSEN, JUDGED))
        row["x_chosen_write_heavy"] = _mean(ratios(samples, name, CHOSEN, ["write-heavy"]))
        row["flash_per_client_byte"] = _mean(
            _figures(samples, name, "flash_per_client_byte", JUDGED)
        )
        row["copied_bytes_per_read"] = sum(copies) / len(copies)
        row["walk_segments_max"] = max(walks)
        rows.append(row)
    return rows


def judge(samples: Sequence[Row]) -> list[Claim]:
    """Return the targets: 15 % fewer disk reads than the known ways, and nowhere 2 % more."""
    over_fifo = ratios(samples, CHOSEN, FIFO, JUDGED)
    over_copy = ratios(samples, CHOSEN, COPIED, JUDGED)
    text = "disk reads of the simulated read cache, mean of 8 cases"
    return [
        Claim(text, _mean(over_fifo), READS_BOUND, "× FIFO"),
        Claim(text, _mean(over_copy), READS_BOUND, "× copy to tail"),
        Claim("the worst of the 8 cases", max(over_fifo + over_copy), WORST_BOUND, "× either"),
    ]


def run(context: Context) -> Outcome:
    """Make each load, replay it against every variant, and forget it."""
    scale = context.pick(15, 30, 100) / 100
    chosen = variants()
    context.progress.begin("readcache", len(traces.LOADS) * len(MEMORY_PERCENT))
    samples: list[Row] = []
    parameters: Row = {"scale": scale, "seed": SEED, "segments": SEGMENTS}
    with tempfile.TemporaryDirectory() as folder:
        for load in traces.LOADS:
            trace = traces.make(load, scale, SEED)
            path = Path(folder) / "trace"
            trace.operations.tofile(path)
            parameters[f"{load} MiB"] = round(trace.data_bytes / 1024**2, 1)
            for percent in MEMORY_PERCENT:
                context.progress.step(f"{load}, memory {percent} %: {len(chosen)} variants")
                counts = replay(path, trace, percent, chosen)
                pairs = zip(chosen, counts, strict=True)
                samples += [_sample(load, percent, variant, found) for variant, found in pairs]
    note = (
        "× columns are geometric means of disk reads over four loads (zipf, scan, one-hit, shift) "
        "and two sizes of memory (5 % and 10 % of the data). FIFO admits what it reads from disk; "
        f"“{COPIED}” halves the memory and also copies what is read in the read-only half. Splits "
        "are mutable / read-only / read cache. What follows “chosen” differs from it as it says."
    )
    summary = summarise(samples, chosen)
    return Outcome("readcache", parameters, samples, summary, judge(samples), [note])


if __name__ == "__main__":
    sys.exit(harness.main(run))
