"""Random updates over data on disk: amplification, the longest step and the longest stall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmarks import generators, proc, tierserver
from benchmarks.harness import Claim, Context, Row
from benchmarks.latency import engine_steps
from benchmarks.servers import Server
from benchmarks.tierserver import Findings, counters, grown

RATE = 10_000
CLIENTS = 8
AMPLIFICATION_BOUND = 3.0
STEP_BOUND_US = 1000.0
GAUGES = ("file_bytes", "file_dead_bytes", "write_amplification", "space_amplification")


def longest_steps(server: Server) -> str:
    """Return which kinds of steps took longest in processor time, as text."""
    said = server.info("ferrite")
    suffix = "_cpu_us_max"
    found = {
        name.removeprefix("step_").removesuffix(suffix): int(value)
        for name, value in said.items()
        if name.startswith("step_") and name.endswith(suffix)
    }
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return ", ".join(f"{kind} {microseconds} µs" for kind, microseconds in ordered)


def _window(server: Server, line: dict[str, Any], before: dict[str, float]) -> Row:
    now = counters(server)
    row: Row = {"part": "window", "at_s": line["at_s"], "ops_per_second": line["ops_per_second"]}
    row |= {name: line[name] for name in ("p50_us", "p99_us", "max_us")}
    row |= {name: now.get(name) for name in GAUGES}
    row["writers_slowed"] = grown(before, now, "writers_slowed")
    return row


def explain_stall(windows: Sequence[Row]) -> str:
    """Return when the longest stall was, and whether writers waited for the flush then."""
    worst = max(range(len(windows)), key=lambda i: float(str(windows[i]["max_us"])))
    row = windows[worst]
    slowed = float(str(row["writers_slowed"]))
    slowed -= float(str(windows[worst - 1]["writers_slowed"])) if worst > 0 else 0.0
    return (
        f"The longest stall, {float(str(row['max_us'])) / 1e3:.1f} ms, was around second "
        f"{float(str(row['at_s'])):.0f}; in that second writers waited {slowed:,.0f} times because "
        "flushing was behind."
    )


def machine_note(reading: dict[str, Any], stolen_s: float) -> str:
    """Say what the machine itself added to steps and stalls."""
    return (
        "A thread that only read clocks, on the server's core while that was idle, had gaps of up "
        f"to {reading['cpu_us']:,.0f} µs of its own processor time meanwhile, "
        f"{reading['over_1_ms']} of them over 1 ms: interrupts, those of the disk and the network "
        "above all, count as the time of whoever runs, and so are in the longest step too. The "
        f"host took {stolen_s:.1f} s from that core."
    )


def _update(
    context: Context, server: Server, keys: int, seconds: int, before: dict[str, float]
) -> tuple[dict[str, Any], list[Row], dict[str, Any]]:
    """Return the generator's result and windows, and what an idle thread on the core read."""
    result: dict[str, Any] = {}
    windows: list[Row] = []
    load = tierserver.values(
        keys, clients=CLIENTS, rate=RATE, milliseconds=seconds * 1000, random=True, window_ms=1000
    )
    command = generators.load_command(server, load)
    clock = [str(generators.compiled("gaps")), str(seconds), "idle"]
    with (
        generators.json_lines(clock, context.cores.server) as readings,
        generators.json_lines(command, context.cores.generator) as lines,
    ):
        for line in lines:
            if line["type"] == "window":
                windows.append(_window(server, line, before))
            elif line["type"] == "result":
                result = line
        (reading,) = readings
    generators.check_result(server, result)
    return result, windows, reading


def run(context: Context, server: Server, keys: int, findings: Findings) -> None:
    """Overwrite random keys at a fixed rate; then read every key and compare."""
    seconds = context.pick(20, 60, 600)
    context.progress.step(f"{RATE:,} updates/s for {seconds} s")
    server.command("CONFIG", "SET", "latency-monitor-threshold", "1")
    server.command("CONFIG", "RESETSTAT")
    before, cpu = counters(server), server.cpu_ns()
    stolen = proc.core_stolen_s(context.cores.server)
    result, windows, reading = _update(context, server, keys, seconds, before)
    stolen = proc.core_stolen_s(context.cores.server) - stolen
    cpu, after = server.cpu_ns() - cpu, counters(server)
    steps, kinds = engine_steps(server), longest_steps(server)
    appended = grown(before, after, "appended_bytes_total")
    written = grown(before, after, "flushed_bytes_total") / appended if appended else math.nan
    spaces = [s for row in windows if (s := row["space_amplification"]) is not None]
    space = max((float(str(value)) for value in spaces), default=math.nan)
    row: Row = {
        "part": "updates",
        "seconds": result["seconds"],
        "ops_per_second": result["ops_per_second"],
        "write_amplification": written,
        "space_amplification": space,
        "space_amplification_last": spaces[-1] if spaces else None,
        "cpu_us_per_op": cpu / 1e3 / result["ops"],
        "writers_slowed": grown(before, after, "writers_slowed"),
        **steps,
        "idle_thread_gap_cpu_us": reading["cpu_us"],
        "stolen_s": stolen,
        **{name: result[name] for name in ("p50_us", "p99_us", "p999_us", "max_us")},
    }
    findings.samples += windows
    findings.summary.append(row)
    findings.notes += [explain_stall(windows), f"Longest steps while updating, by kind: {kinds}."]
    findings.notes.append(machine_note(reading, stolen))
    text = f"of {RATE:,} random updates/s for {seconds} s"
    step = steps["engine_step_max_cpu_us"]
    findings.claims += [
        Claim(f"write amplification {text}", written, AMPLIFICATION_BOUND, "× appended"),
        Claim(f"space amplification {text}, at worst", space, AMPLIFICATION_BOUND, "× live"),
        Claim(f"longest engine step, processor time, {text}", step, STEP_BOUND_US, "µs"),
    ]
    context.progress.step("every key after the updates")
    check = tierserver.reads(keys, clients=16, pipeline=16, count=keys)
    tierserver.check_values(server, generators.run_load(server, check, context.cores.generator))
