"""Hostile clients: thousands of misbehaving connections beside a healthy one.

Half-open, one byte a second, and giant lengths, on loopback only and bounded in time. The healthy
client's p99 is measured without and with the attack, and the server's memory before, during and
after it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import generators, harness, proc, servers
from benchmarks.generators import Load
from benchmarks.harness import Claim, Context, Outcome, Row
from benchmarks.servers import BenchmarkError, Kind, Server

RATE = 10_000
FILES_SPARE = 512
P99_BOUND = 2.0
KIB_PER_CONNECTION_BOUND = 32.0
AFTER_S = 2.0


def _healthy(context: Context, server: Server, seconds: float) -> tuple[dict[str, Any], list[int]]:
    """Offer healthy traffic; return the result, and the server's memory sampled meanwhile."""
    load = Load(
        rate=RATE,
        milliseconds=round(seconds * 1000),
        reads_percent=80,
        keys=100_000,
        window_ms=250,
        random=True,
        sleep=True,
    )
    memory, result = [server.anonymous_bytes()], dict[str, Any]()
    command = generators.load_command(server, load)
    with generators.json_lines(command, context.cores.generator, urgent=True) as lines:
        for line in lines:
            memory.append(server.anonymous_bytes())
            if line["type"] == "result":
                result = line
    generators.check_result(server, result)
    return result, memory


def _row(kind: Kind, state: str, result: dict[str, Any], memory: Sequence[int]) -> Row:
    names = ("ops_per_second", "p50_us", "p99_us", "p999_us", "max_us")
    row: Row = {"server": kind.name, "state": state}
    return row | {name: result[name] for name in names} | {"memory_bytes": max(memory)}


def measure(context: Context, kind: Kind, connections: int, seconds: float) -> list[Row]:
    """Measure normal, under attack, and afterwards."""
    core = context.cores.generator
    settings = servers.Settings(clients_max=connections + FILES_SPARE // 2)
    with servers.running(kind, context.cores.server, settings) as server:
        _healthy(context, server, 1.0)
        context.progress.step(f"{kind.name}: normal")
        rows = [_row(kind, "normal", *_healthy(context, server, seconds))]

        context.progress.step(f"{kind.name}: {connections:,} hostile connections")
        lasting_ms = round((seconds + 1.0) * 1000)
        program = str(generators.compiled("hostile"))
        command = [program, str(server.port), str(connections), str(lasting_ms)]
        with generators.json_lines(command, core) as attack:
            ready = next(attack)
            attacked = _row(kind, "attacked", *_healthy(context, server, seconds))
            last = ready
            for line in attack:
                last = line
        attacked |= {"hostile_open": last["open"], "refused": last["closed_by_server"]}
        rows.append(attacked)

        context.progress.step(f"{kind.name}: afterwards")
        time.sleep(AFTER_S)
        rows.append(_row(kind, "afterwards", *_healthy(context, server, min(seconds, 2.0))))
    return rows


def connections_allowed(wanted: int) -> int:
    """Return how many connections a process may hold here, at most `wanted`."""
    return min(wanted, proc.raise_file_limit() - FILES_SPARE)


def _figure(row: Row, name: str) -> float:
    return float(str(row[name]))


def run(context: Context) -> Outcome:
    """Attack the reference and the subject."""
    wanted = context.pick(1_000, 10_000, 10_000)
    connections = connections_allowed(wanted)
    if connections <= 0:
        raise BenchmarkError("the limit of open files is too low: ulimit -n 12000")
    seconds = float(context.pick(2, 6, 15))
    context.progress.begin("hostile", 6)
    samples: list[Row] = []
    summary: list[Row] = []
    for kind in context.rivals:
        rows = measure(context, kind, connections, seconds)
        samples += rows
        normal, attacked, afterwards = rows
        growth = _figure(attacked, "memory_bytes") - _figure(normal, "memory_bytes")
        summary.append(
            {
                "server": kind.name,
                "connections": attacked["hostile_open"],
                "refused": attacked["refused"],
                "p99_us_normal": normal["p99_us"],
                "p99_us_attacked": attacked["p99_us"],
                "p99_us_afterwards": afterwards["p99_us"],
                "p99_ratio": _figure(attacked, "p99_us") / _figure(normal, "p99_us"),
                "memory_mib_normal": _figure(normal, "memory_bytes") / 1024**2,
                "memory_mib_attacked": _figure(attacked, "memory_bytes") / 1024**2,
                "memory_mib_afterwards": _figure(afterwards, "memory_bytes") / 1024**2,
                "kib_per_connection": growth / 1024 / connections,
            }
        )
    subject = summary[-1]
    text = f"under {connections:,} hostile connections"
    claims = [
        Claim(f"healthy client's p99 {text}", _figure(subject, "p99_ratio"), P99_BOUND, "× normal"),
        Claim(
            f"memory {text}",
            _figure(subject, "kib_per_connection"),
            KIB_PER_CONNECTION_BOUND,
            "KiB each",
        ),
    ]
    notes = [] if connections == wanted else [f"{wanted:,} wanted; limited by open files."]
    parameters: Row = {"connections": connections, "seconds": seconds, "rate": RATE}
    parameters["client_has_precedence"] = proc.may_be_urgent()
    return Outcome("hostile", parameters, samples, summary, claims, notes)


if __name__ == "__main__":
    sys.exit(harness.main(run))
