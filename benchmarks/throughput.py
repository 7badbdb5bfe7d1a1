"""Throughput, latency and server CPU per operation, side by side, as redis-benchmark drives them.

The judge is the server's CPU time per operation: unlike throughput it does not depend on how fast
the generator is, and unlike latency it does not depend on how many clients wait. Rounds alternate
between the servers; ratios are medians of round-by-round ratios to redis-server.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import generators, harness, servers, stats
from benchmarks.generators import Load
from benchmarks.harness import Claim, Context, Outcome, Row
from benchmarks.servers import Kind, Server

CLIENTS = 50
KEYS_PER_MULTI = 10
PIPELINES = (1, 16, 64)
BOUNDS = {1: 0.90, 16: 0.35, 64: 0.25}
JUDGED = ("SET", "GET", "INCR", "MSET")
MEMCACHED_COMMANDS = ("GET", "SET")
DATA_BYTES_MAX = 256 * 1024 * 1024
WARM_UP_OPS = 20_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of traffic: a command, its pipeline depth, bytes of each value, number of keys."""

    command: str
    pipeline: int
    value: int
    keys: int

    def label(self) -> str:
        """Return a short text for the progress bar."""
        return f"{self.command} P{self.pipeline} {self.value} B"


def redis_benchmark_arguments(scenario: Scenario, count: int) -> list[str]:
    """Return redis-benchmark's arguments for `count` operations of the scenario."""
    common = ["-c", str(CLIENTS), "-n", str(count), "-P", str(scenario.pipeline)]
    common += ["-r", str(scenario.keys), "-d", str(scenario.value)]
    key = "key:__rand_int__"
    if scenario.command == "MGET":
        return [*common, "MGET", *[key] * KEYS_PER_MULTI]
    if scenario.command == "SETEX":
        return [*common, "SETEX", key, "3600", "x" * scenario.value]
    name = "ping_mbulk" if scenario.command == "PING" else scenario.command.lower()
    return [*common, "-t", name]


def keys_for(value: int, wanted: int) -> int:
    """Return how many keys of `value` bytes to use so that the data stays within DATA_BYTES_MAX."""
    return min(wanted, DATA_BYTES_MAX // value) if value > 256 else wanted


def groups(context: Context) -> list[list[Scenario]]:
    """Return the scenarios of the mode; those of one group share their servers and data."""
    quick = context.mode == "quick"
    extra = () if quick else ("MGET", "SETEX")
    commands = ("PING", "SET", "GET", "INCR", "MSET", *extra)
    main = [Scenario(command, p, 64, 1_000_000) for command in commands for p in PIPELINES]
    sizes = (16, 1024, 65536) if quick else (16, 256, 1024, 4096, 16384, 65536)
    by_size = [
        [
            Scenario(command, p, size, keys_for(size, 1_000_000))
            for command in ("SET", "GET")
            for p in ((16,) if quick else (1, 16))
        ]
        for size in sizes
    ]
    large = [Scenario(c, p, 64, 5_000_000) for c in ("SET", "GET", "INCR") for p in PIPELINES]
    return [main, *by_size, *([large] if context.mode == "full" else [])]


def contenders(context: Context) -> list[Kind]:
    """Return reference, subject, the subject's streams transport, and the other stock servers."""
    streams = [servers.streams_of(context.subject)] if context.subject.dialect == "ferrite" else []
    return [*context.rivals, *streams, *context.others, _bare_loop()]


def _bare_loop() -> Kind:
    """Return bare.c: what the kernel takes for carrying a PING and its reply."""
    program = str(generators.compiled("bare"))
    return Kind("bare loop", "bare", (program, "{port}"), "-")


def takes_part(kind: Kind, scenario: Scenario) -> bool:
    """Return whether the server knows the command: memcached has two of them, a bare loop one."""
    if kind.dialect == "bare":
        return scenario.command == "PING"
    return kind.dialect != "memcached" or scenario.command in MEMCACHED_COMMANDS


@contextlib.contextmanager
def _filled(
    kinds: Sequence[Kind], scenario: Scenario, core: int, from_core: int
) -> Iterator[list[Server]]:
    memory_mb = max(1024, scenario.keys * (scenario.value + 256) * 2 // 1024**2)
    with contextlib.ExitStack() as stack:
        started = []
        for kind in kinds:
            settings = servers.Settings(memory_mb=memory_mb)
            server = stack.enter_context(servers.running(kind, core, settings))
            started.append(server)
            if kind.dialect == "bare":
                continue
            fill = Load(
                clients=CLIENTS,
                pipeline=32 if scenario.value <= 4096 else 2,
                keys=scenario.keys,
                value_min=scenario.value,
                value_max=scenario.value,
                prefill=True,
            )
            generators.run_load(server, fill, from_core)
        yield started


def _measure(server: Server, scenario: Scenario, count: int, core: int) -> Row:
    before = server.cpu_ns()
    if server.kind.dialect == "memcached":
        load = Load(
            clients=CLIENTS,
            pipeline=scenario.pipeline,
            count=count,
            keys=scenario.keys,
            value_min=scenario.value,
            value_max=scenario.value,
            reads_percent=100 if scenario.command == "GET" else 0,
            random=True,
        )
        found = generators.run_load(server, load, core)
        rate, p50, p99 = found["ops_per_second"], found["p50_us"], found["p99_us"]
        p999, largest = found["p999_us"], found["max_us"]
    else:
        arguments = redis_benchmark_arguments(scenario, count)
        result = generators.run_redis_benchmark(server, arguments, core)
        rate, p50, p99 = result.ops_per_second, result.p50_us, result.p99_us
        p999, largest = result.p999_us, result.max_us
    return {
        "command": scenario.command,
        "pipeline": scenario.pipeline,
        "value_bytes": scenario.value,
        "keys": scenario.keys,
        "server": server.kind.name,
        "operations": count,
        "ops_per_second": rate,
        "p50_us": p50,
        "p99_us": p99,
        "p999_us": p999,
        "max_us": largest,
        "cpu_us_per_op": (server.cpu_ns() - before) / 1e3 / count,
    }


def _count_for(rate: float, seconds: float, pipeline: int) -> int:
    """Return the operations of `seconds` at `rate`, a whole number of pipelines per client."""
    step = CLIENTS * pipeline
    return max(step * 4, round(rate * seconds / step) * step)


def calibrated_count(server: Server, scenario: Scenario, seconds: float, core: int) -> int:
    """Warm up, and return how many operations take about `seconds`."""
    warm_up = _count_for(WARM_UP_OPS, 1.0, scenario.pipeline)
    rate = _measure(server, scenario, warm_up, core)["ops_per_second"]
    assert isinstance(rate, float)
    return _count_for(rate, seconds, scenario.pipeline)


def _run_scenario(
    context: Context, started: Sequence[Server], scenario: Scenario, rounds: int, seconds: float
) -> list[Row]:
    present = [server for server in started if takes_part(server.kind, scenario)]
    core = context.cores.generator
    context.progress.step(scenario.label())
    counts = {}
    for server in present:
        counts[server.kind.name] = calibrated_count(server, scenario, seconds, core)
    rows = []
    for number in range(rounds):
        for server in present:
            row = _measure(server, scenario, counts[server.kind.name], core)
            rows.append({"round": number, **row})
    return rows


def _numbers(rows: Sequence[Row], name: str) -> list[float]:
    return [float(value) for row in rows if isinstance(value := row[name], int | float)]


def summarise(samples: Sequence[Row], reference: str) -> list[Row]:
    """Return one row per scenario and server: medians, spread, ratio to the reference."""
    identity = ("command", "pipeline", "value_bytes", "keys")
    by_scenario: dict[tuple[object, ...], dict[str, list[Row]]] = {}
    for sample in samples:
        scenario = tuple(sample[name] for name in identity)
        by_server = by_scenario.setdefault(scenario, {})
        by_server.setdefault(str(sample["server"]), []).append(sample)

    summary: list[Row] = []
    for by_server in by_scenario.values():
        base = _numbers(by_server[reference], "cpu_us_per_op")
        for server, rows in by_server.items():
            cpu = stats.spread(_numbers(rows, "cpu_us_per_op"))
            row: Row = {name: rows[0][name] for name in identity}
            row |= {
                "server": server,
                "cpu_us_per_op": cpu.median,
                "cpu_us_low": cpu.low,
                "cpu_us_high": cpu.high,
                "cpu_ratio": stats.paired_ratio(_numbers(rows, "cpu_us_per_op"), base),
            }
            for name in ("ops_per_second", "p50_us", "p99_us", "p999_us"):
                row[name] = stats.median(_numbers(rows, name))
            summary.append(row)
    return summary


def claims(summary: Sequence[Row], subject: str) -> list[Claim]:
    """Return the target of each pipeline depth beside the worst ratio of the judged commands."""
    found = []
    for pipeline in PIPELINES:
        ratios = [
            (ratio, str(row["command"]))
            for row in summary
            if row["server"] == subject
            and row["pipeline"] == pipeline
            and row["value_bytes"] == 64
            and row["command"] in JUDGED
            and isinstance(ratio := row["cpu_ratio"], float)
        ]
        worst, command = max(ratios)
        text = f"server CPU per operation, P {pipeline}, worst of SET GET INCR MSET ({command})"
        found.append(Claim(text, worst, BOUNDS[pipeline], "× redis-server"))
    return found


def run(context: Context) -> Outcome:
    """Run all scenarios of the mode."""
    plan = groups(context)
    kinds = contenders(context)
    rounds = context.pick(2, 3, 5)
    seconds = {"quick": 0.3, "default": 0.8, "full": 2.0}[context.mode]
    context.progress.begin("throughput", sum(len(group) for group in plan))
    samples: list[Row] = []
    for number, group in enumerate(plan):
        present = kinds if number == 0 else [*context.rivals]
        with _filled(present, group[0], context.cores.server, context.cores.generator) as started:
            for scenario in group:
                samples += _run_scenario(context, started, scenario, rounds, seconds)
    summary = summarise(samples, context.reference.name)
    parameters: Row = {"clients": CLIENTS, "rounds": rounds, "seconds_per_round": seconds}
    notes = [
        "MSET and MGET carry 10 keys; they count as one operation.",
        "memcached is driven by benchmarks/load.c, which sends and waits as redis-benchmark does.",
        "bare loop (benchmarks/bare.c) only receives and sends: the floor under every server here.",
    ]
    found = claims(summary, context.subject.name)
    return Outcome("throughput", parameters, samples, summary, found, notes)


if __name__ == "__main__":
    sys.exit(harness.main(run))
