"""Run the load generators: redis-benchmark, and the purpose-made ones of this folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks import proc
from benchmarks.servers import ROOT, BenchmarkError, Server

BUILD = ROOT / "build" / "benchmarks"
SOURCES = Path(__file__).resolve().parent
_FLAGS = "-D_GNU_SOURCE -O2 -std=gnu11 -Wall -Wextra -Wconversion -Wshadow -Werror"


def compiled(name: str) -> Path:
    """Compile benchmarks/<name>.c when it is newer than its program; return the program.

    Raises:
        BenchmarkError: there is no compiler, or it refuses.
    """
    source, program = SOURCES / f"{name}.c", BUILD / name
    newest = max(path.stat().st_mtime for path in (source, *SOURCES.glob("*.h")))
    if program.exists() and program.stat().st_mtime >= newest:
        return program
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    BUILD.mkdir(parents=True, exist_ok=True)
    command = [compiler, *_FLAGS.split(), "-o", str(program), str(source), "-lm"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise BenchmarkError(f"cannot compile {name}.c:\n{result.stderr}")
    return program


@dataclass(frozen=True, slots=True)
class Load:
    """Options of the load generator (see load.c); 0 means "not given".

    Times are milliseconds, sizes bytes, rate requests/s, zipf hundredths of the exponent. `rate`
    makes an open loop, whose latencies count from the intended send time; without it `pipeline`
    requests per connection are in flight. With `derived` values follow from their key, and replies
    are compared: "wrong" counts those that differ.
    """

    clients: int = 50
    pipeline: int = 0
    rate: int = 0
    count: int = 0
    milliseconds: int = 0
    keys: int = 1_000_000
    value_min: int = 64
    value_max: int = 64
    ttl_min_ms: int = 0
    ttl_max_ms: int = 0
    expire_from_unix_ms: int = 0
    expire_until_unix_ms: int = 0
    reads_percent: int = 0
    windows: int = 0
    window_ms: int = 0
    seed: int = 0
    zipf: int = 0
    ranks: int = 0
    scatter: bool = False
    derived: bool = False
    refill: bool = False
    random: bool = False
    prefill: bool = False
    sleep: bool = False  # between requests, for a core that is shared; run with precedence there

    def arguments(self) -> list[str]:
        """Return the command-line arguments; what is 0 or False is left to the generator."""
        words: list[str] = []
        for option in fields(self):
            value = getattr(self, option.name)
            name = "--" + option.name.replace("_", "-")
            if value is True:
                words.append(name)
            elif value is not False and value != 0:
                words += [name, str(value)]
        return words


@contextlib.contextmanager
def json_lines(
    command: Sequence[str], core: int, *, urgent: bool = False
) -> Iterator[Iterator[dict[str, Any]]]:
    """Start `command` on `core`; give its lines of JSON as they come; end it at the end.

    Args:
        command: program and arguments.
        core: where to pin it.
        urgent: whether it takes precedence over what else computes on that core.

    Raises:
        BenchmarkError: it ended with an error.
    """
    with proc.pinned(core), proc.urgent() if urgent else contextlib.nullcontext():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        yield (json.loads(line) for line in process.stdout)
        process.stdout.read()
        message = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0:
            raise BenchmarkError(f"{Path(command[0]).name}: {message}")
    finally:
        proc.stop(process, deadline_s=2.0)
        process.stdout.close()
        process.stderr.close()


def load_command(server: Server, load: Load) -> list[str]:
    """Return the command that puts `load` on `server`."""
    command = [str(compiled("load")), "--port", str(server.port), *load.arguments()]
    return [*command, "--memcached"] if server.kind.dialect == "memcached" else command


def run_load(
    server: Server, load: Load, core: int, *, has_precedence: bool = True
) -> dict[str, Any]:
    """Run the generator to its end; return its result, with all windows under "windows".

    Args:
        server: what to load.
        load: with what.
        core: where the generator runs.
        has_precedence: whether a load that sleeps goes before what else computes there. Where
            latency does not matter it need not, and a receiver on that core is not starved.

    Raises:
        BenchmarkError: the generator failed, or the server answered with errors.
    """
    windows = []
    result: dict[str, Any] = {}
    command = load_command(server, load)
    with json_lines(command, core, urgent=load.sleep and has_precedence) as lines:
        for line in lines:
            if line["type"] == "window":
                windows.append(line)
            elif line["type"] == "result":
                result = line
    check_result(server, result)
    return {**result, "windows": windows}


def check_result(server: Server, result: dict[str, Any]) -> None:
    """Raise BenchmarkError when the generator gave no result, or the server errors."""
    if not result:
        raise BenchmarkError(f"no result from the load on {server.kind.name}")
    if result["errors"]:
        raise BenchmarkError(
            f"{server.kind.name}: {result['errors']} errors, first: {result['first_error']}"
        )


@dataclass(frozen=True, slots=True)
class RedisBenchmark:
    """What redis-benchmark measured; latencies in microseconds."""

    ops_per_second: float
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float


_RATE = re.compile(r"throughput summary: ([0-9.]+) requests per second")
_SUMMARY = re.compile(r"avg\s+min\s+p50\s+p95\s+p99\s+max\s+([0-9. ]+)")
_SHARE = re.compile(r"([0-9.]+)% <= ([0-9.]+) milliseconds \(cumulative count \d+\)")


def parse_redis_benchmark(text: str) -> RedisBenchmark:
    """Read redis-benchmark's report (run with --precision 3).

    Its percentile lines halve the rest each time, so p99.9 is the first line at or above 99.9 %.

    Raises:
        ValueError: the report is not complete.
    """
    rate, summary = _RATE.search(text), _SUMMARY.search(text)
    by_percentile = text.partition("Latency by percentile")[2].partition("Cumulative")[0]
    shares = [(float(share), float(ms)) for share, ms in _SHARE.findall(by_percentile)]
    if rate is None or summary is None or not shares:
        raise ValueError("not a complete redis-benchmark report")
    _, _, p50, _, p99, largest = (float(number) * 1e3 for number in summary.group(1).split()[:6])
    p999 = next(ms for share, ms in shares if share >= 99.9) * 1e3
    return RedisBenchmark(float(rate.group(1)), p50, p99, p999, largest)


def run_redis_benchmark(server: Server, arguments: Sequence[str], core: int) -> RedisBenchmark:
    """Run redis-benchmark with `arguments` against `server` from `core`.

    Raises:
        BenchmarkError: it is not installed, fails, or the server answers with errors.
    """
    program = shutil.which("redis-benchmark")
    if program is None:
        raise BenchmarkError("redis-benchmark is missing: apt-get install redis-tools")
    command = [program, "-p", str(server.port), "--precision", "3", *arguments]
    with proc.pinned(core):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    try:
        return parse_redis_benchmark(done.stdout)
    except ValueError as error:
        tail = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise BenchmarkError(f"redis-benchmark on {server.kind.name}: {tail}") from error
