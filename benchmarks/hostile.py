"""Hostile clients: thousands of misbehaving connections beside a healthy one.

Half-open, one byte a second, and giant lengths, on loopback only and bounded in time. The healthy
client's p99 is measured without and with the attack, and the server's memory before, during and
after it.

Healthy and hostile clients share a core: the healthy one has precedence, where that is allowed, and
the hostile ones run at the lowest policy, for each server alike. What the hostile ones then really
did a second is in each row, and how late the healthy client itself was (`late_p99_us`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import generators, harness, proc, servers, stats
from benchmarks.generators import Load
from benchmarks.harness import Claim, Context, Outcome, Row
from benchmarks.servers import BenchmarkError, Kind, Server

RATE = 10_000
FILES_SPARE = 512
P99_BOUND = 2.0
KIB_PER_CONNECTION_BOUND = 32.0
AFTER_S = 2.0
WARM_UP_S = 1.0
STATES = ("normal", "attacked", "afterwards")
ACTS = ("connects", "sends")


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


def _row(kind: Kind, state: str, number: int, result: dict[str, Any], memory: Sequence[int]) -> Row:
    names = ("ops_per_second", "p50_us", "p99_us", "p999_us", "max_us", "late_p99_us")
    row: Row = {"server": kind.name, "state": state, "round": number}
    return row | {name: result[name] for name in names} | {"memory_bytes": max(memory)}


def _attack(context: Context, server: Server, connections: int, seconds: float, number: int) -> Row:
    """Measure the healthy client while the hostile ones are there."""
    program = str(generators.compiled("hostile"))
    lasting_ms = round((seconds + 1.0) * 1000)
    command = [program, str(server.port), str(connections), str(lasting_ms)]
    with generators.json_lines(command, context.cores.generator) as attack:
        ready = last = next(attack)
        row = _row(server.kind, "attacked", number, *_healthy(context, server, seconds))
        for line in attack:
            last = line
    acts: Row = {f"{name}_per_second": (last[name] - ready[name]) / last["at_s"] for name in ACTS}
    return row | acts | {"hostile_open": last["open"], "refused": last["closed_by_server"]}


def measure(
    context: Context, kind: Kind, connections: int, seconds: float, rounds: int
) -> list[Row]:
    """Measure normal and under attack in turn, and once more when all is over."""
    settings = servers.Settings(clients_max=connections + FILES_SPARE // 2)
    rows: list[Row] = []
    with servers.running(kind, context.cores.server, settings) as server:
        _healthy(context, server, WARM_UP_S)
        for number in range(rounds):
            context.progress.step(f"{kind.name}: {connections:,} hostile connections")
            rows.append(_row(kind, "normal", number, *_healthy(context, server, seconds)))
            rows.append(_attack(context, server, connections, seconds, number))
            time.sleep(AFTER_S)
        rows.append(_row(kind, "afterwards", rounds - 1, *_healthy(context, server, seconds)))
    return rows


def connections_allowed(wanted: int) -> int:
    """Return how many connections a process may hold here, at most `wanted`."""
    return min(wanted, proc.raise_file_limit() - FILES_SPARE)


def summarise(server: str, rows: Sequence[Row], connections: int) -> Row:
    """Return medians over the rounds; memory is that of the first normal and the worst attack."""

    def figures(state: str, name: str) -> list[float]:
        return [float(str(row[name])) for row in rows if row["state"] == state]

    row: Row = {
        "server": server,
        "connections": min(figures("attacked", "hostile_open")),
        "refused": sum(figures("attacked", "refused")),
    }
    for name in ACTS:
        row[f"{name}_per_second"] = stats.median(figures("attacked", f"{name}_per_second"))
    for state in STATES:
        row[f"p99_us_{state}"] = stats.median(figures(state, "p99_us"))
        row[f"late_p99_us_{state}"] = stats.median(figures(state, "late_p99_us"))
    normal, attacked = (
        figures("normal", "memory_bytes")[0],
        max(figures("attacked", "memory_bytes")),
    )
    return row | {
        "p99_ratio": stats.median(figures("attacked", "p99_us"))
        / stats.median(figures("normal", "p99_us")),
        "memory_mib_normal": normal / 1024**2,
        "memory_mib_attacked": attacked / 1024**2,
        "memory_mib_afterwards": figures("afterwards", "memory_bytes")[-1] / 1024**2,
        "kib_per_connection": (attacked - normal) / 1024 / connections,
    }


def run(context: Context) -> Outcome:
    """Attack the reference and the subject."""
    wanted = context.pick(1_000, 10_000, 10_000)
    connections = connections_allowed(wanted)
    if connections <= 0:
        raise BenchmarkError("the limit of open files is too low: ulimit -n 12000")
    seconds = float(context.pick(2, 4, 15))
    rounds = context.pick(1, 3, 3)
    context.progress.begin("hostile", 2 * rounds)
    samples: list[Row] = []
    summary: list[Row] = []
    for kind in context.rivals:
        rows = measure(context, kind, connections, seconds, rounds)
        samples += rows
        summary.append(summarise(kind.name, rows, connections))
    subject = summary[-1]
    text = f"under {connections:,} hostile connections"
    claims = [
        Claim(
            f"healthy client's p99 {text}", float(str(subject["p99_ratio"])), P99_BOUND, "× normal"
        ),
        Claim(
            f"memory {text}",
            float(str(subject["kib_per_connection"])),
            KIB_PER_CONNECTION_BOUND,
            "KiB each",
        ),
    ]
    notes = [] if connections == wanted else [f"{wanted:,} wanted; limited by open files."]
    parameters: Row = {"connections": connections, "seconds": seconds, "rounds": rounds}
    parameters["rate"] = RATE
    parameters["client_has_precedence"] = proc.may_be_urgent()
    return Outcome("hostile", parameters, samples, summary, claims, notes)


if __name__ == "__main__":
    sys.exit(harness.main(run))
