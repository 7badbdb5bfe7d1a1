"""Server CPU per GET by where the key is: mutable, mapped from its file, copied, on disk."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import generators, servers, stats, tierserver
from benchmarks.generators import Load
from benchmarks.harness import Claim, Context, Row
from benchmarks.servers import BenchmarkError, Server
from benchmarks.tierserver import Findings, counters, grown

ROOM = "1gb"
PIPELINES = {1: 64, 16: 8}  # pipeline: connections
TIERS = ("mutable", "read_only", "disk", "read_cache")
PROBES = 64
AWAY_BOUND = 0.01
READ_ONLY_BOUND, DISK_BOUND_US = 1.3, 15.0


def check_place(server: Server, keys: int, tier: str) -> None:
    """Raise BenchmarkError unless sampled keys are in `tier`."""
    found = tierserver.tiers_of(server, tierserver.pool_of(keys, PROBES))
    if found != {tier: PROBES}:
        raise BenchmarkError(f"keys should be in {tier}, but are in {found}")


def measure(context: Context, server: Server, tier: str, load: Load) -> Row:
    """Run the load; return the server's CPU per GET.

    Raises:
        BenchmarkError: over 1 % of the GETs found their key elsewhere.
    """
    before, cpu = counters(server), server.cpu_ns()
    result = generators.run_load(server, load, context.cores.generator)
    cpu, after = server.cpu_ns() - cpu, counters(server)
    tierserver.check_values(server, result)
    there = grown(before, after, f"{tier}_hits") / result["ops"]
    if abs(there - 1) > AWAY_BOUND:
        raise BenchmarkError(f"{there:.1%} of {result['ops']:,} GETs were counted for {tier}")
    return {
        "part": "cost",
        "tier": tier,
        "pipeline": load.pipeline,
        "ops": result["ops"],
        "ops_per_second": result["ops_per_second"],
        "cpu_us_per_op": cpu / 1e3 / result["ops"],
        "p50_us": result["p50_us"],
        "p99_us": result["p99_us"],
    }


def measure_memory(
    context: Context, server: Server, keys: int, tier: str, seconds: float
) -> list[Row]:
    """Read random keys that are all in one tier of memory."""
    check_place(server, keys, tier)
    rows = []
    for pipeline, clients in PIPELINES.items():
        options = {"clients": clients, "pipeline": pipeline, "random": True}
        load = tierserver.reads(keys, milliseconds=round(seconds * 1000), **options)
        rows.append(measure(context, server, tier, load))
    return rows


def measure_disk(context: Context, server: Server, keys: int) -> list[Row]:
    """Read every key once, in no order of theirs, from a store that has all of them on disk."""
    rows = []
    for pipeline, clients in PIPELINES.items():
        server.command("DEBUG", "TIER", "DISK")
        server.command("DEBUG", "TIER", "TRIM")
        check_place(server, keys, "disk")
        load = tierserver.reads(keys, clients=clients, pipeline=pipeline, count=keys)
        rows.append(measure(context, server, "disk", load))
    return rows


def measure_round(context: Context, keys: int, seconds: float) -> list[Row]:
    """Fill a server that has room for all in each tier, and send the data down tier by tier."""
    room = dict.fromkeys(
        ("hybridlog_mutable_size", "hybridlog_readonly_size", "read_cache_size"), ROOM
    )
    size = keys * tierserver.VALUE_BYTES
    with (
        tierserver.data_folder(context, size) as folder,
        servers.running(
            context.subject, context.cores.server, tierserver.settings(folder, **room)
        ) as server,
    ):
        tierserver.fill(context, server, keys)
        rows = measure_memory(context, server, keys, "mutable", seconds)
        server.command("DEBUG", "TIER", "MAP")
        rows += measure_memory(context, server, keys, "read_only", seconds)
        rows += measure_disk(context, server, keys)
        # What has been read twice is kept; a key that is read once may leave the cache again.
        again = tierserver.reads(keys, clients=8, pipeline=16, count=keys)
        for _ in range(2):
            generators.run_load(server, again, context.cores.generator)
        return rows + measure_memory(context, server, keys, "read_cache", seconds)


def _figures(samples: Sequence[Row], tier: str, pipeline: int, name: str) -> list[float]:
    rows = (r for r in samples if (r["tier"], r["pipeline"]) == (tier, pipeline))
    return [float(str(row[name])) for row in rows]


def run(context: Context, findings: Findings) -> None:
    """Measure all tiers, each round with a server of its own."""
    keys = context.pick(50_000, 200_000, 400_000)
    seconds, rounds = context.pick(1, 2, 5), context.pick(1, 3, 5)
    samples: list[Row] = []
    for number in range(rounds):
        context.progress.step(f"CPU per GET by tier, round {number + 1}")
        samples += [row | {"round": number} for row in measure_round(context, keys, seconds)]
    findings.samples += samples
    for pipeline in PIPELINES:
        base = _figures(samples, "mutable", pipeline, "cpu_us_per_op")
        for tier in TIERS:
            cost = _figures(samples, tier, pipeline, "cpu_us_per_op")
            spread = stats.spread(cost)
            row: Row = {"part": "cost", "tier": tier, "pipeline": pipeline}
            row |= {"cpu_us_per_op": spread.median, "low": spread.low, "high": spread.high}
            row["x_mutable"] = stats.paired_ratio(cost, base)
            for name in ("ops_per_second", "p50_us", "p99_us"):
                row[name] = stats.median(_figures(samples, tier, pipeline, name))
            findings.summary.append(row)
            what = f"server CPU per GET, {tier}, pipeline {pipeline}"
            if tier == "read_only":
                ratio = float(str(row["x_mutable"]))
                findings.claims.append(Claim(what, ratio, READ_ONLY_BOUND, "× mutable"))
            elif tier == "disk":
                findings.claims.append(Claim(what, spread.median, DISK_BOUND_US, "µs"))
