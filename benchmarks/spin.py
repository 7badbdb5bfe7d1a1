"""Latency with a Python thread computing inside the server: does a request wait for the GIL?

The server is asked to compute at full speed in a Python thread (DEBUG PYTHON-SPIN), and that
thread is pinned to the generator's core, so it takes none of the server's. 20,000 requests/s are
offered. Because the generator then shares its core, a control does the same with a process outside
the server: what both have in common is the price of the shared core, not of the GIL. The generator
takes precedence on its core where the system allows it (recorded as generator_has_precedence).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import redis

from benchmarks import generators, harness, proc, servers, stats
from benchmarks.generators import Load
from benchmarks.harness import Claim, Context, Outcome, Row
from benchmarks.servers import BenchmarkError, Kind, Server

RATE = 20_000
P50_BOUND = 1.2
WATCH_S = 0.3
BUSY_SHARE = 0.5
STATES = ("idle", "outside", "inside")


def _load(context: Context, server: Server, seconds: float) -> dict[str, Any]:
    load = Load(
        rate=RATE,
        milliseconds=round(seconds * 1000),
        reads_percent=90,
        keys=100_000,
        random=True,
        sleep=True,
    )
    return generators.run_load(server, load, context.cores.generator)


@contextlib.contextmanager
def _outside(core: int) -> Iterator[None]:
    with proc.pinned(core):
        process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        proc.stop(process, deadline_s=1.0)


def pin_busy_thread(pid: int, core: int) -> int | None:
    """Pin the thread that computes all the time to `core`; return its id, None if none does."""
    before = {thread.tid: thread.cpu_ns for thread in proc.threads(pid)}
    time.sleep(WATCH_S)
    busiest = max(proc.threads(pid), key=lambda thread: thread.cpu_ns - before.get(thread.tid, 0))
    used = busiest.cpu_ns - before.get(busiest.tid, 0)
    if used < BUSY_SHARE * WATCH_S * 1e9:
        return None
    os.sched_setaffinity(busiest.tid, {core})
    return busiest.tid


def _inside(context: Context, server: Server, seconds: float) -> dict[str, Any]:
    spin_s = int(seconds + WATCH_S + 2)
    try:
        server.command("DEBUG", "PYTHON-SPIN", spin_s)
    except redis.ResponseError as error:
        raise BenchmarkError(f"{server.kind.name} cannot spin: {error}") from error
    begin = time.monotonic()
    if pin_busy_thread(server.pid, context.cores.generator) is None:
        raise BenchmarkError(f"{server.kind.name}: no thread computes after DEBUG PYTHON-SPIN")
    result = _load(context, server, seconds)
    time.sleep(max(0.0, begin + spin_s + 0.5 - time.monotonic()))
    return result


def _measure_state(context: Context, server: Server, state: str, seconds: float) -> dict[str, Any]:
    if state == "outside":
        with _outside(context.cores.generator):
            return _load(context, server, seconds)
    return (_load if state == "idle" else _inside)(context, server, seconds)


def measure(context: Context, kind: Kind, rounds: int, seconds: float) -> tuple[list[Row], str]:
    """Alternate between the states; return the rows, and why a state is missing if one is."""
    rows: list[Row] = []
    problem = ""
    states = list(STATES)
    with servers.running(kind, context.cores.server, servers.Settings(debug=True)) as server:
        for number in range(rounds):
            for state in tuple(states):
                context.progress.step(f"{kind.name}, {state}")
                try:
                    result = _measure_state(context, server, state, seconds)
                except BenchmarkError as error:
                    problem = str(error)
                    states.remove(state)
                    continue
                names = ("ops_per_second", "p50_us", "p99_us", "p999_us", "max_us")
                row: Row = {"server": kind.name, "state": state, "round": number}
                rows.append(row | {name: result[name] for name in names})
    return rows, problem


def _middle(rows: Sequence[Row], name: str) -> float:
    return stats.median([float(str(row[name])) for row in rows])


def summarise(samples: Sequence[Row]) -> list[Row]:
    """Return medians for each server and state, with the ratio of its p50 to the idle one."""
    summary: list[Row] = []
    for server in dict.fromkeys(str(row["server"]) for row in samples):
        idle_p50 = 0.0
        for state in STATES:
            rows = [row for row in samples if (row["server"], row["state"]) == (server, state)]
            if not rows:
                continue
            idle_p50 = _middle(rows, "p50_us") if state == "idle" else idle_p50
            row: Row = {"server": server, "state": state}
            row |= {name: _middle(rows, name) for name in ("p50_us", "p99_us", "p999_us", "max_us")}
            row["p50_ratio"] = _middle(rows, "p50_us") / idle_p50
            summary.append(row)
    return summary


def run(context: Context) -> Outcome:
    """Measure the reactors, and the streams transport beside them."""
    rounds = context.pick(1, 3, 5)
    seconds = float(context.pick(2, 3, 5))
    kinds = [context.subject]
    if context.subject.dialect == "ferrite":
        kinds.append(servers.streams_of(context.subject))
    context.progress.begin("spin", len(kinds) * rounds * len(STATES))
    samples: list[Row] = []
    notes: list[str] = []
    for kind in kinds:
        rows, problem = measure(context, kind, rounds, seconds)
        samples += rows
        notes += [problem] if problem else []
    summary = summarise(samples)
    ratios = [
        float(str(row["p50_ratio"]))
        for row in summary
        if (row["server"], row["state"]) == (context.subject.name, "inside")
    ]
    text = "p50 with a Python thread computing in the server, 20,000 requests/s"
    claims = [Claim(text, ratios[0] if ratios else None, P50_BOUND, "× without")]
    parameters: Row = {"rate": RATE, "rounds": rounds, "seconds_per_round": seconds}
    parameters["generator_has_precedence"] = proc.may_be_urgent()
    return Outcome("spin", parameters, samples, summary, claims, notes)


if __name__ == "__main__":
    sys.exit(harness.main(run))
