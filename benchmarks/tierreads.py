"""Zipf reads over data on disk: beside fio, beside hot keys, beside redis-server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import fio, generators, proc, servers, stats, tierserver
from benchmarks.generators import Load
from benchmarks.harness import Claim, Context, Row
from benchmarks.servers import BenchmarkError, Server, Settings
from benchmarks.tierserver import Findings, counters, grown

Started = AbstractContextManager[Server]

ZIPF = 99
DEPTHS = (1, 4, 16, 64, 256)
CLIENTS_MIN, CLIENTS_PER_DEPTH = 64, 4
RATE_BOUND = 0.9
FULL_CORE = 0.97

HOT_RANKS = 1000
HOT_RATE = 2000
HOT_CLIENTS = 4
BACKGROUND_CLIENTS = 64
BACKGROUND_SHARE = 0.5
HOT_BOUND = 1.5

MISS_S = 1e-3
REQUEST_CLIENTS = 50


# ---- misses beside fio ---------------------------------------------------------------------------


def zipf_reads(keys: int, clients: int, **options: Any) -> Load:
    """Return a closed loop of Zipf reads, one request in flight on each connection."""
    return tierserver.reads(
        keys, clients=clients, pipeline=1, random=True, zipf=ZIPF, seed=clients + 1, **options
    )


def clients_for(depth: int) -> int:
    """Return how many connections keep a disk queue of that depth full beside their hits."""
    return max(CLIENTS_MIN, CLIENTS_PER_DEPTH * depth)


def measure_depth(context: Context, server: Server, keys: int, depth: int, seconds: float) -> Row:
    """Read from a server whose disk queue is bounded; return what came from disk, and its cost."""
    clients, core = clients_for(depth), context.cores.server
    warm = zipf_reads(keys, clients, milliseconds=round(seconds * 1000))
    tierserver.check_values(server, generators.run_load(server, warm, context.cores.generator))
    load = replace(warm, seed=warm.seed + 1)
    before, cpu, busy = counters(server), server.cpu_ns(), proc.core_busy_s(core)
    with tierserver.watched_queue(server) as queue:
        result = generators.run_load(server, load, context.cores.generator)
    cpu_s, busy_s = (server.cpu_ns() - cpu) / 1e9, proc.core_busy_s(core) - busy
    after = counters(server)
    tierserver.check_values(server, result)
    took, misses = result["seconds"], grown(before, after, "disk_reads")
    return {
        "part": "depth",
        "depth": depth,
        "connections": clients,
        "ops_per_second": result["ops_per_second"],
        "misses_per_second": misses / took,
        "hit_ratio": 1 - misses / result["ops"],
        "queue": queue.mean,
        "core_share": cpu_s / took,
        "others_share": max(0.0, busy_s - cpu_s) / took,
        "generator_share": result["cpu_seconds"] / took,
        "cpu_us_per_op": cpu_s * 1e6 / result["ops"],
        "p50_us": result["p50_us"],
        "p99_us": result["p99_us"],
        "max_us": result["max_us"],
    }


def judge_depth(row: Row, rate: float | None) -> Row:
    """Add what fio gets at the same queue depth, and what was the limit."""
    ratio = None if rate is None else float(str(row["misses_per_second"])) / rate
    limit = "neither disk nor core"
    if float(str(row["core_share"])) >= FULL_CORE:
        limit = "one core is full"
    elif ratio is not None and ratio >= RATE_BOUND:
        limit = "the disk"
    elif float(str(row["generator_share"])) >= FULL_CORE:
        limit = "the generator"
    elif float(str(row["core_share"])) + float(str(row["others_share"])) >= FULL_CORE:
        limit = "the core, which others used too"
    return row | {"fio_per_second": rate, "x_fio": ratio, "limit": limit}


def summarise_depths(samples: Sequence[Row]) -> list[Row]:
    """Return medians over the rounds, one row for each depth."""
    rows: list[Row] = []
    for depth in DEPTHS:
        chosen = [row for row in samples if row["depth"] == depth]
        if not chosen:
            continue
        row: Row = {name: chosen[-1][name] for name in ("part", "depth", "connections", "limit")}
        for name in chosen[0]:
            found = [row[name] for row in chosen if isinstance(row[name], float)]
            if found:
                row[name] = stats.median([float(str(value)) for value in found])
        rows.append(row)
    return rows


def depth_claims(rows: Sequence[Row]) -> list[Claim]:
    """Return one target for each depth: the rate of fio, or a full core, whichever is nearer."""
    claims = []
    for row in rows:
        text = f"misses served, disk queue of {row['depth']} (limit: {row['limit']})"
        full = row["limit"] == "one core is full"
        unit = "of one core" if full else "× fio at that depth"
        measured = row["core_share"] if full else row.get("x_fio")
        number = float(str(measured)) if measured is not None else None
        claims.append(Claim(text, number, RATE_BOUND, unit, at_least=True))
    return claims


def run_depths(
    context: Context, started: Callable[..., Started], folder: Path, keys: int, findings: Findings
) -> None:
    """Measure all depths beside fio; each needs a start, which is when the depth is set.

    Args:
        context: as for all benchmarks.
        started: starts a server over the folder with further settings of [storage].
        folder: the data folder.
        keys: how many keys are in it.
        findings: where the figures go.

    Raises:
        BenchmarkError: keys were lost in a restart.
    """
    seconds, rounds = context.pick(2, 5, 10), context.pick(1, 2, 3)
    rows: list[Row] = []
    for number in range(rounds):
        for depth in DEPTHS:
            context.progress.step(f"fio and Zipf reads, disk queue of {depth}, round {number + 1}")
            rate = None
            if fio.installed():
                rate = fio.read_rate(folder / "log", depth, seconds, context.cores.server)
            with started(disk_queue_depth=depth) as server:
                if server.key_count() != keys:
                    raise BenchmarkError(f"{server.key_count():,} keys after a start")
                row = judge_depth(measure_depth(context, server, keys, depth, seconds), rate)
                tierserver.stop_cleanly(server)
            rows.append(row | {"round": number})
    if not fio.installed():
        findings.notes.append("fio is not installed: misses are not compared with it.")
    findings.samples += rows
    summary = summarise_depths(rows)
    findings.summary += summary
    findings.claims += depth_claims(summary)


# ---- hot keys beside misses ----------------------------------------------------------------------

HOT_STATES: dict[str, dict[str, Any] | None] = {
    "alone": None,
    "beside reads of memory": {"ranks": HOT_RANKS},
    "beside disk reads": {},
    "beside all disk reads that go": {"rate": 0, "pipeline": 1},
}


def _hot(keys: int, **options: Any) -> Load:
    return tierserver.reads(
        keys,
        **{"clients": HOT_CLIENTS, "rate": HOT_RATE, "ranks": HOT_RANKS, "random": True, **options},
    )


def measure_hot(
    context: Context, server: Server, keys: int, state: str, rate: int, seconds: float, number: int
) -> Row:
    """Read hot keys at a fixed rate on connections of their own, with the state's load beside.

    Each round reads other keys beside them: `number` is part of the seed.
    """
    options = HOT_STATES[state]
    hot = _hot(keys, milliseconds=round(seconds * 1000), sleep=True)
    background: list[dict[str, Any]] = []
    thread = None
    if options is not None:
        lasting = round((seconds + 1.0) * 1000)
        base = tierserver.reads(
            keys,
            clients=BACKGROUND_CLIENTS,
            rate=rate,
            random=True,
            milliseconds=lasting,
            seed=100 * (number + 1) + list(HOT_STATES).index(state),
        )
        # Asleep between requests, but without precedence: the hot client shares the core with it.
        load = replace(base, sleep="rate" not in options, **options)
        command = generators.load_command(server, load)

        def run() -> None:
            with generators.json_lines(command, context.cores.generator) as lines:
                background.extend(line for line in lines if line["type"] == "result")

        thread = threading.Thread(target=run)
        thread.start()
    try:
        before, cpu = counters(server), server.cpu_ns()
        result = generators.run_load(server, hot, context.cores.generator)
        after, cpu = counters(server), server.cpu_ns() - cpu
    finally:
        if thread is not None:
            thread.join()
    tierserver.check_values(server, result)
    if thread is not None and not (background and background[0]["errors"] == 0):
        raise BenchmarkError(f"the load beside the hot client failed: {background}")
    row: Row = {"part": "hot", "state": state}
    row["disk_reads_per_second"] = grown(before, after, "disk_reads") / result["seconds"]
    row["other_per_second"] = background[0]["ops_per_second"] if background else 0.0
    row["core_share"] = cpu / 1e9 / result["seconds"]
    return row | {name: result[name] for name in ("p50_us", "p99_us", "p999_us", "max_us")}


def run_hot(context: Context, server: Server, keys: int, findings: Findings) -> None:
    """Measure the hot client in all states, in alternating rounds."""
    seconds, rounds = context.pick(2, 4, 10), context.pick(1, 3, 5)
    warm = _hot(keys, rate=0, pipeline=4, count=HOT_RANKS * 20)
    tierserver.check_values(server, generators.run_load(server, warm, context.cores.generator))
    probe = tierserver.reads(
        keys, clients=BACKGROUND_CLIENTS, pipeline=1, random=True, milliseconds=1000
    )
    most = generators.run_load(server, probe, context.cores.generator)["ops_per_second"]
    rate = max(100, round(most * BACKGROUND_SHARE))
    rows: list[Row] = []
    for number in range(rounds):
        context.progress.step(f"hot keys beside others, round {number + 1}")
        for state in HOT_STATES:
            found = measure_hot(context, server, keys, state, rate, seconds, number)
            rows.append({**found, "round": number})
    findings.samples += rows
    p99 = {s: [float(str(r["p99_us"])) for r in rows if r["state"] == s] for s in HOT_STATES}
    for state in HOT_STATES:
        chosen = [row for row in rows if row["state"] == state]
        row: Row = {"part": "hot", "state": state}
        for name in (n for n in chosen[0] if isinstance(chosen[0][n], float)):
            row[name] = stats.median([float(str(r[name])) for r in chosen])
        row["x_alone"] = stats.paired_ratio(p99[state], p99["alone"])
        findings.summary.append(row)
    misses = p99["beside disk reads"]
    for other, unit in (
        ("alone", "× without any other load"),
        ("beside reads of memory", "× beside as many reads of memory"),
    ):
        text = f"p99 of hot keys beside {rate:,} uniform reads/s from disk"
        findings.claims.append(Claim(text, stats.paired_ratio(misses, p99[other]), HOT_BOUND, unit))


# ---- requests beside redis -----------------------------------------------------------------------


def _request_row(server: str, result: Mapping[str, Any], misses: float, disk_reads: float) -> Row:
    count, took = result["ops"], result["seconds"]
    return {
        "part": "requests",
        "server": server,
        "requests": count,
        "hit_ratio": 1 - misses / count,
        "memory_ratio": 1 - (misses + disk_reads) / count,
        "misses": misses,
        "disk_reads": disk_reads,
        "seconds": took,
        "charged_s": took + misses * MISS_S,
        "all_charged_s": took + (misses + disk_reads) * MISS_S,
    }


def _requests(context: Context, server: Server, keys: int, count: int, **more: Any) -> Any:
    """Send a fifth of the requests to warm up, then all of them; return counters around them."""
    warm = zipf_reads(keys, REQUEST_CLIENTS, count=count // 5, **more)
    generators.run_load(server, warm, context.cores.generator)
    load = replace(warm, count=count, seed=warm.seed + 1)
    tiered = server.kind.dialect == "ferrite"
    before = counters(server) if tiered else {"disk_reads": 0.0}
    result = generators.run_load(server, load, context.cores.generator)
    after = counters(server) if tiered else before
    return result, grown(before, after, "disk_reads")


def run_requests(
    context: Context, server: Server, keys: int, memory: int, findings: Findings
) -> None:
    """Send the same requests to the tiered server, and to redis-server as a cache."""
    count = context.pick(500_000, 2_000_000, 10_000_000)
    context.progress.step(f"{server.kind.name}: {count:,} requests")
    result, disk_reads = _requests(context, server, keys, count)
    tierserver.check_values(server, result)
    rows = [_request_row(server.kind.name, result, 0.0, disk_reads)]
    arguments = ("--maxmemory", str(memory), "--maxmemory-policy", "allkeys-lru")
    with servers.running(
        context.reference, context.cores.server, Settings(arguments=arguments)
    ) as cache:
        context.progress.step(f"{cache.kind.name}: {count:,} requests, cache-aside")
        tierserver.fill(context, cache, keys)
        result, _ = _requests(context, cache, keys, count, refill=True)
        if result["wrong"]:
            raise BenchmarkError(f"{cache.kind.name}: {result['wrong']} wrong values")
        rows.append(_request_row(cache.kind.name, result, result["misses"], 0.0))
    findings.samples += rows
    findings.summary += rows
