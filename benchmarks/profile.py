"""Where the server's CPU time goes: a sampling profile by layer, for GET and SET at each depth.

Needs perf. Functions of the data plane are assigned to the folder of native/ that defines them
(what the compiler inlined counts for the caller; of static functions that share a name, the first
folder's counts), everything else to the library it is in.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks import generators, harness, proc, servers, throughput
from benchmarks.harness import Context, Outcome, Row
from benchmarks.servers import ROOT, Server, SkippedError
from benchmarks.throughput import Scenario

FREQUENCY_HZ = 1999
COMMANDS = ("GET", "SET")
TOP_SYMBOLS = 12
SEPARATOR = ";"
_DEFINITION = re.compile(r"^[a-z][\w \t*]*?\b(\w+)\([^;]*$", re.MULTILINE)


def functions_by_layer(root: Path) -> dict[str, str]:
    """Return the folder of native/ that defines each function; what is not shipped is left out."""
    found: dict[str, str] = {}
    for source in sorted([*root.glob("*/*.c"), *root.glob("*/*.h")]):
        if source.parent.name in ("bench", "fuzz", "tests"):
            continue
        for name in _DEFINITION.findall(source.read_text(encoding="utf-8")):
            found.setdefault(name, source.parent.name)
    return found


def group_of(library: str, symbol: str, layers: dict[str, str]) -> str:
    """Return the group that a line of the profile belongs to."""
    if symbol.startswith("[k]") or "kernel" in library or library.startswith("["):
        return "vdso" if "vdso" in library else "kernel"
    if library.startswith("_native"):
        name = symbol.removeprefix("[.]").strip().partition(".")[0]
        return f"native/{layers[name]}" if name in layers else "native"
    if "libc" in library or "ld-linux" in library:
        return "libc"
    return "python" if "python" in library or "uvloop" in library else Path(library).name


def parse_report(text: str) -> list[tuple[float, str, str]]:
    """Return share (0 to 1), library and symbol of each line of perf's report."""
    rows = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(SEPARATOR)]
        if len(fields) == 3 and fields[0].endswith("%"):
            rows.append((float(fields[0].rstrip("%")) / 100, fields[1], fields[2]))
    return rows


def _perf() -> str:
    program = shutil.which("perf")
    if program is None:
        raise SkippedError("perf is missing: apt-get install linux-perf")
    return program


def record(server: Server, scenario: Scenario, count: int, core: int) -> tuple[float, str]:
    """Sample the server under `count` operations; return CPU µs per operation and perf's report.

    Raises:
        SkippedError: perf may not sample here.
    """
    perf = _perf()
    with tempfile.TemporaryDirectory(prefix="ferrite-bench-") as folder:
        data = str(Path(folder) / "perf.data")
        command = [perf, "record", "-e", "cpu-clock", "-F", str(FREQUENCY_HZ), "-o", data]
        with proc.pinned(core):
            sampler = subprocess.Popen(
                [*command, "-p", str(server.pid)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        before = server.cpu_ns()
        arguments = throughput.redis_benchmark_arguments(scenario, count)
        generators.run_redis_benchmark(server, arguments, core)
        cpu_us = (server.cpu_ns() - before) / 1e3 / count
        sampler.send_signal(signal.SIGINT)
        sampler.wait(20)
        report = [perf, "report", "-i", data, "--stdio", "--no-children", "-t", SEPARATOR]
        done = subprocess.run(
            [*report, "-F", "overhead,dso,symbol"], capture_output=True, text=True, check=False
        )
    if not parse_report(done.stdout):
        raise SkippedError("perf gave no samples; see /proc/sys/kernel/perf_event_paranoid")
    return cpu_us, done.stdout


def rows_of(scenario: Scenario, cpu_us: float, report: str, layers: dict[str, str]) -> list[Row]:
    """Return the largest symbols of the report, each with its group and CPU µs per operation."""
    lines = parse_report(report)
    whole = sum(share for share, _, _ in lines)
    by_group: defaultdict[str, float] = defaultdict(float)
    for share, library, symbol in lines:
        by_group[group_of(library, symbol, layers)] += share / whole
    common: Row = {"command": scenario.command, "pipeline": scenario.pipeline}
    rows: list[Row] = [
        {**common, "kind": "group", "name": group, "share": share, "cpu_us_per_op": share * cpu_us}
        for group, share in sorted(by_group.items(), key=lambda item: -item[1])
    ]
    for share, library, symbol in lines[:TOP_SYMBOLS]:
        name = symbol.partition("]")[2].strip()
        group = group_of(library, symbol, layers)
        row: Row = {"kind": "symbol", "name": name, "group": group, "share": share / whole}
        rows.append({**common, **row, "cpu_us_per_op": share / whole * cpu_us})
    return rows


def summarise(samples: Sequence[Row]) -> list[Row]:
    """Return one row per traffic: CPU time and the share of each group."""
    summary: list[Row] = []
    for command in COMMANDS:
        for pipeline in throughput.PIPELINES:
            key = (command, pipeline, "group")
            rows = [r for r in samples if (r["command"], r["pipeline"], r["kind"]) == key]
            total = sum(float(str(row["cpu_us_per_op"])) for row in rows)
            shares = ", ".join(
                f"{row['name']} {float(str(row['share'])):.0%}"
                for row in rows
                if float(str(row["share"])) >= 0.01
            )
            head: Row = {"command": command, "pipeline": pipeline, "cpu_us_per_op": total}
            summary.append({**head, "shares": shares})
    return summary


def run(context: Context) -> Outcome:
    """Profile the subject."""
    _perf()
    seconds = float(context.pick(1, 2, 5))
    layers = functions_by_layer(ROOT / "native")
    samples: list[Row] = []
    core = context.cores.generator
    context.progress.begin("profile", len(COMMANDS) * len(throughput.PIPELINES))
    with servers.running(context.subject, context.cores.server) as server:
        fill = generators.Load(pipeline=32, prefill=True)
        generators.run_load(server, fill, core)
        for command in COMMANDS:
            for pipeline in throughput.PIPELINES:
                scenario = Scenario(command, pipeline, 64, 1_000_000)
                context.progress.step(scenario.label())
                count = throughput.calibrated_count(server, scenario, seconds, core)
                cpu_us, report = record(server, scenario, count, core)
                samples += rows_of(scenario, cpu_us, report, layers)
    parameters: Row = {"seconds": seconds, "frequency_hz": FREQUENCY_HZ}
    return Outcome("profile", parameters, samples, summarise(samples))


if __name__ == "__main__":
    sys.exit(harness.main(run))
