"""Latency while the index grows under millions of inserts, and while FLUSHALL ASYNC drops them all.

Requests are offered at a fixed rate and their latency counts from the intended send time, so a
pause of the server is charged to every request that it kept waiting. The longest step under the
engine's lock is asked of the server itself (engine_step_max_us of INFO stats), where it offers
that. The latency monitor is on in all servers: ours takes a step's processor time then.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import generators, harness, servers, stats
from benchmarks.generators import Load
from benchmarks.harness import Claim, Context, Outcome, Row
from benchmarks.servers import Kind, Server

GROW_RATE = 80_000
FLUSH_RATE = 20_000
FLUSH_AT_S = 2.0
FLUSH_WINDOW_MS = 250
STEP_BOUND_US = 1000.0
PHASES = ("growth", "flush")


STEPS = ("engine_step_max_us", "engine_step_max_cpu_us")


def engine_steps(server: Server) -> dict[str, float | None]:
    """Return the longest step since CONFIG RESETSTAT, by the wall clock and in processor time.

    None where the server does not say.
    """
    said = server.info("stats")
    return {name: float(said[name]) if name in said else None for name in STEPS}


def _rows(server: Server, phase: str, number: int, result: dict[str, Any]) -> list[Row]:
    names = ("ops", "ops_per_second", "p50_us", "p99_us", "p999_us", "p9999_us", "max_us")
    common: Row = {"server": server.kind.name, "phase": phase, "round": number}
    whole: Row = {**common, "part": "whole", **engine_steps(server)}
    rows: list[Row] = [whole | {name: result[name] for name in names}]
    for window in result["windows"]:
        rows.append({**common, "part": "window", "at_s": window["at_s"]})
        rows[-1] |= {name: window[name] for name in ("seconds", "p50_us", "p99_us", "max_us")}
    return rows


def measure_growth(context: Context, server: Server, keys: int) -> dict[str, Any]:
    """Insert `keys` new keys at GROW_RATE; return the generator's result."""
    load = Load(rate=GROW_RATE, count=keys, keys=keys, window_ms=1000)
    return generators.run_load(server, load, context.cores.generator)


def measure_flush(context: Context, server: Server, keys: int, seconds: float) -> dict[str, Any]:
    """Offer reads and writes at FLUSH_RATE; flush everything after FLUSH_AT_S."""
    load = Load(
        rate=FLUSH_RATE,
        milliseconds=round(seconds * 1000),
        keys=keys,
        reads_percent=50,
        window_ms=FLUSH_WINDOW_MS,
        random=True,
    )
    replies: list[float] = []

    def flush() -> None:
        begin = time.monotonic()
        server.command("FLUSHALL", "ASYNC")
        replies.append((time.monotonic() - begin) * 1e6)

    timer = threading.Timer(FLUSH_AT_S, flush)
    timer.start()
    try:
        result = generators.run_load(server, load, context.cores.generator)
    finally:
        timer.join()
    return {**result, "flush_reply_us": replies[0] if replies else None}


def measure(context: Context, kind: Kind, keys: int, flush_s: float, number: int) -> list[Row]:
    """Run both phases on a fresh server."""
    with servers.running(kind, context.cores.server) as server:
        server.command("CONFIG", "SET", "latency-monitor-threshold", "1")
        server.command("CONFIG", "RESETSTAT")
        context.progress.step(f"{kind.name}: {keys:,} inserts")
        rows = _rows(server, "growth", number, measure_growth(context, server, keys))
        server.command("CONFIG", "RESETSTAT")
        context.progress.step(f"{kind.name}: FLUSHALL ASYNC")
        result = measure_flush(context, server, keys, flush_s)
        flush_rows = _rows(server, "flush", number, result)
        flush_rows[0]["flush_reply_us"] = result["flush_reply_us"]
        return rows + flush_rows


def _wholes(samples: Sequence[Row], server: str, phase: str, name: str) -> list[float]:
    rows = (r for r in samples if (r["server"], r["phase"], r["part"]) == (server, phase, "whole"))
    return [float(value) for row in rows if isinstance(value := row[name], int | float)]


def summarise(samples: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Return one row per server and phase: medians over the rounds."""
    summary: list[Row] = []
    for phase in PHASES:
        for server in names:
            row: Row = {"server": server, "phase": phase}
            for name in ("ops_per_second", "p50_us", "p99_us", "p999_us", "p9999_us", "max_us"):
                row[name] = stats.median(_wholes(samples, server, phase, name))
            for name in STEPS:
                steps = _wholes(samples, server, phase, name)
                row[name] = max(steps) if steps else None
            summary.append(row)
    return summary


def claims(summary: Sequence[Row], reference: str, subject: str, keys: int) -> list[Claim]:
    """Return the targets of both phases."""
    rows = {(str(row["server"]), str(row["phase"])): row for row in summary}
    found = []
    for phase in PHASES:
        what = f"{keys:,} inserts" if phase == "growth" else f"FLUSHALL ASYNC of {keys:,} keys"
        mine, theirs = rows[subject, phase], rows[reference, phase]
        for name, label in zip(STEPS, ("wall clock", "processor time"), strict=True):
            step = mine[name]
            measured = step if isinstance(step, float) else None
            found.append(
                Claim(f"longest engine step, {label}, {what}", measured, STEP_BOUND_US, "µs")
            )
        for name, label in (("p9999_us", "p99.99"), ("max_us", "maximum")):
            ratio = float(str(mine[name])) / float(str(theirs[name]))
            found.append(Claim(f"client's {label}, {what}", ratio, 1.0, "× redis-server"))
    return found


def bare_gaps(context: Context, seconds: float) -> Row:
    """Return the longest gaps of a loop that does nothing, on the server's core."""
    context.progress.step(f"a bare loop for {seconds:.0f} s")
    command = [str(generators.compiled("gaps")), str(seconds)]
    with generators.json_lines(command, context.cores.server) as lines:
        (line,) = [line for line in lines if line["type"] == "result"]
    return {"gap_wall_us": line["wall_us"], "gap_cpu_us": line["cpu_us"]}


def gaps_note(gaps: Row, seconds: float) -> str:
    """Say what the machine itself does to the longest step."""
    return (
        f"A loop that only reads clocks had gaps of up to {float(str(gaps['gap_cpu_us'])):,.0f} µs "
        f"of processor time ({float(str(gaps['gap_wall_us'])):,.0f} µs on the wall clock) in "
        f"{seconds:.0f} s on the server's core: longest steps of that size say nothing of the "
        "server. `bench_store growth` takes the least of several rounds instead."
    )


def run(context: Context) -> Outcome:
    """Run both phases on the reference and the subject, in alternating rounds."""
    keys = context.pick(400_000, 4_000_000, 20_000_000)
    rounds = 1  # the full size takes nine minutes
    flush_s = float(context.pick(4, 8, 12))
    bare_s = float(context.pick(3, 10, 60))
    context.progress.begin("latency", rounds * 4 + 1)
    gaps = bare_gaps(context, bare_s)
    samples: list[Row] = []
    for number in range(rounds):
        for kind in context.rivals:
            samples += measure(context, kind, keys, flush_s, number)
    names = [kind.name for kind in context.rivals]
    summary = summarise(samples, names)
    found = claims(summary, context.reference.name, context.subject.name, keys)
    parameters: Row = {
        "keys": keys,
        "rounds": rounds,
        "insert_rate": GROW_RATE,
        "flush_rate": FLUSH_RATE,
        "flush_at_s": FLUSH_AT_S,
    }
    parameters |= gaps
    return Outcome("latency", parameters, samples, summary, found, [gaps_note(gaps, bare_s)])


if __name__ == "__main__":
    sys.exit(harness.main(run))
