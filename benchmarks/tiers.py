"""Data ten times larger than memory: load, restart, reads from disk, updates; and memory meanwhile.

One server with a data folder and a limit of memory is loaded, stopped, started, and every value is
read back and compared. Then Zipf reads are put beside fio on the same files, hot keys beside reads
from disk, the server beside redis-server as a cache; then keys are updated at random. Resident
memory, with mapped file pages, is sampled all the time. Server CPU per GET by tier is taken from
small servers.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import (
    fio,
    generators,
    harness,
    servers,
    tiercost,
    tierreads,
    tierserver,
    tierwrites,
)
from benchmarks.harness import Claim, Context, Outcome, Row
from benchmarks.servers import BenchmarkError, Server, SkippedError
from benchmarks.tierserver import VALUE_BYTES, Findings, Resident

MIB = 1024**2
RESIDENT_BOUND = 1.1
READERS = {"clients": 16, "pipeline": 16}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of values, keys, and the limit of memory in bytes."""

    data: int
    memory: int

    @property
    def keys(self) -> int:
        """How many keys hold the data."""
        return self.data // VALUE_BYTES


def sizes(context: Context) -> Sizes:
    """Return the sizes of the mode."""
    return Sizes(
        context.pick(512 * MIB, 2048 * MIB, 5120 * MIB),
        context.pick(64 * MIB, 256 * MIB, 256 * MIB),
    )


@contextlib.contextmanager
def _started(
    context: Context, size: Sizes, folder: Path, resident: Resident, **values: int
) -> Iterator[Server]:
    """Start a server over the folder, and watch its memory."""
    options = tierserver.settings(folder, max_memory=size.memory, **values)
    core = context.cores.server
    with servers.running(context.subject, core, options) as server, resident.watching(server):
        yield server


def load_and_stop(context: Context, size: Sizes, folder: Path, resident: Resident) -> Row:
    """Write all keys to a new server, and stop it."""
    context.progress.step(f"{size.keys:,} keys written")
    resident.phase = "load"
    with _started(context, size, folder, resident) as server:
        cpu = server.cpu_ns()
        result = tierserver.fill(context, server, size.keys)
        cpu = server.cpu_ns() - cpu
        count = server.key_count()
        resident.phase = "stop"
        context.progress.step("stop")
        stop_s = tierserver.stop_cleanly(server)
    return {
        "part": "restart",
        "keys": size.keys,
        "keys_before": count,
        "load_s": result["seconds"],
        "load_per_second": result["ops_per_second"],
        "load_cpu_us": cpu / 1e3 / size.keys,
        "load_p99_us": result["p99_us"],
        "load_max_us": result["max_us"],
        "stop_s": stop_s,
    }


def read_back(context: Context, server: Server, size: Sizes) -> Row:
    """Read every key once, in no order of theirs; return what was missing or wrong."""
    context.progress.step("every key read and compared")
    begin, cpu = time.monotonic(), server.cpu_ns()
    load = tierserver.reads(size.keys, count=size.keys, **READERS)
    result = generators.run_load(server, load, context.cores.generator)
    return {
        "read_s": time.monotonic() - begin,
        "read_per_second": result["ops_per_second"],
        "read_cpu_us": (server.cpu_ns() - cpu) / 1e3 / size.keys,
        "missing": result["misses"],
        "wrong": result["wrong"],
    }


def after_restart(
    context: Context, size: Sizes, server: Server, row: Row, findings: Findings
) -> None:
    """Count and compare the keys of a server that was started on a loaded folder."""
    row |= {"start_s": server.start_up_ms / 1e3, "keys_after": server.key_count()}
    found = read_back(context, server, size)
    row |= found
    bad = float(str(found["missing"])) + float(str(found["wrong"]))
    findings.samples.append(row)
    findings.summary.append(row)
    findings.claims.append(
        Claim(f"values missing or wrong after a restart, of {size.keys:,}", bad, 0.0, "keys")
    )
    if found["missing"]:
        findings.notes.append(
            f"{found['missing']:,} keys did not survive the restart; for what follows all "
            "were written again."
        )
        complete(context, size, server)


def complete(context: Context, size: Sizes, server: Server) -> None:
    """Write all keys again when some are missing."""
    if server.key_count() != size.keys:
        context.progress.step("keys are missing: all written again")
        tierserver.fill(context, server, size.keys)


def measure_loaded(
    context: Context, size: Sizes, folder: Path, resident: Resident, findings: Findings
) -> None:
    """Load, start again, and run the parts that need the whole data set."""

    def started(**values: int) -> tierreads.Started:
        return _started(context, size, folder, resident, **values)

    row = load_and_stop(context, size, folder, resident)
    resident.phase = "start"
    context.progress.step("start")
    with started() as server:
        resident.phase = "read back"
        after_restart(context, size, server, row, findings)
        tierserver.stop_cleanly(server)
    resident.phase = "Zipf reads"
    with findings.part("Zipf reads"):
        tierreads.run_depths(context, started, folder, size.keys, findings)
    with started() as server:
        complete(context, size, server)
        resident.phase = "hot keys"
        with findings.part("hot keys"):
            tierreads.run_hot(context, server, size.keys, findings)
        resident.phase = "requests"
        with findings.part("requests"):
            tierreads.run_requests(context, server, size.keys, size.memory, findings)
        resident.phase = "updates"
        with findings.part("updates"):
            tierwrites.run(context, server, size.keys, findings)
        resident.phase = "last stop"
        with findings.part("last stop"):
            tierserver.stop_cleanly(server)


def resident_claim(size: Sizes, resident: Resident) -> Claim:
    """Return the target of resident memory, by what the kernel kept as the highest."""
    text = f"resident memory at its highest, {size.data // MIB:,} MiB of data"
    worst = max([resident.high, *(int(peak["rss"]) for peak in resident.peaks.values())])
    return Claim(text, worst / size.memory, RESIDENT_BOUND, f"× {size.memory // MIB} MiB")


def _steps(context: Context) -> int:
    depths = context.pick(1, 2, 3) * len(tierreads.DEPTHS)
    return depths + context.pick(1, 3, 5) * 2 + 8


def run(context: Context) -> Outcome:
    """Run all parts; one that fails is noted."""
    if context.subject.dialect != "ferrite":
        raise SkippedError("the subject has no data folder")
    size, findings = sizes(context), Findings()
    resident = Resident(size.memory)
    context.progress.begin("tiers", _steps(context))
    with tierserver.data_folder(context, size.data) as folder, findings.part("load and restart"):
        measure_loaded(context, size, folder, resident, findings)
    with findings.part("CPU per GET by tier"):
        tiercost.run(context, findings)
    if not findings.summary:
        raise BenchmarkError("; ".join(findings.notes))
    if resident.peaks:
        findings.claims.insert(0, resident_claim(size, resident))
        findings.summary += resident.rows()
        findings.samples += resident.series
    parameters: Row = {
        "data MiB": size.data // MIB,
        "memory MiB": size.memory // MIB,
        "keys": size.keys,
        "value bytes": VALUE_BYTES,
        "Zipf": tierreads.ZIPF / 100,
        "fio": fio.installed(),
    }
    return Outcome(
        "tiers", parameters, findings.samples, findings.summary, findings.claims, findings.notes
    )


if __name__ == "__main__":
    sys.exit(harness.main(run))
