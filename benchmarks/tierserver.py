"""What the benchmarks of tiers share: data folder, server, resident memory, counters, loads."""

from __future__ import annotations

import contextlib
import math
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import redis

from benchmarks import generators, proc
from benchmarks.generators import Load
from benchmarks.harness import Claim, Context, Row
from benchmarks.servers import BenchmarkError, Server, Settings, SkippedError

VALUE_BYTES = 1024
SAMPLE_S = 0.05
SERIES_S = 1.0
START_DEADLINE_S = 180.0
STOP_DEADLINE_S = 180.0
FREE_FACTOR = 4
NO_DISKS = ("tmpfs", "ramfs", "overlay")


@dataclass(slots=True)
class Findings:
    """What the parts have found so far; a part that fails leaves a note and no figures."""

    samples: list[Row] = field(default_factory=list)
    summary: list[Row] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Run a part; its failure is noted, and the next part goes on."""
        try:
            yield
        except (BenchmarkError, redis.RedisError, OSError, subprocess.SubprocessError) as error:
            self.notes.append(f"**{name} failed**: {error}".replace("\n", " "))
            print(self.notes[-1], flush=True)


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system that `path` is on, from the text of /proc/mounts."""
    found, longest = "unknown", -1
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split()
        if path.is_relative_to(point) and len(point) >= longest:
            found, longest = kind, len(point)
    return found


@contextlib.contextmanager
def data_folder(context: Context, data_bytes: int) -> Iterator[Path]:
    """Make a folder for `data_bytes` of data on a disk; remove it at the end.

    Raises:
        SkippedError: it would be in memory, or there is too little room.
    """
    base = (context.data_dir or Path(tempfile.gettempdir())).resolve()
    kind = file_system(base, Path("/proc/mounts").read_text(encoding="utf-8"))
    if kind in NO_DISKS:
        raise SkippedError(f"{base} is on {kind}, not on a disk: pass --data-dir")
    free = shutil.disk_usage(base).free
    if free < FREE_FACTOR * data_bytes:
        need = FREE_FACTOR * data_bytes / 1024**3
        raise SkippedError(f"{base} has {free / 1024**3:.1f} GiB free, {need:.1f} are needed")
    with tempfile.TemporaryDirectory(prefix="ferrite-tiers-", dir=base) as folder:
        yield Path(folder) / "data"


def settings(folder: Path, **values: str | int) -> Settings:
    """Return the settings of a server over the data folder; `values` are those of [storage]."""
    words: list[str] = []
    for name, value in {"data_dir": str(folder), **values}.items():
        words += ["--set", f"storage.{name}={value}"]
    return Settings(
        debug=True,
        arguments=tuple(words),
        start_deadline_s=START_DEADLINE_S,
        stop_deadline_s=STOP_DEADLINE_S,
    )


def stop_cleanly(server: Server) -> float:
    """Ask the server to end; return the seconds that it took.

    Raises:
        BenchmarkError: it did not end in time, or with an error.
    """
    begin = time.monotonic()
    server.process.terminate()
    try:
        status = server.process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"no stop within {STOP_DEADLINE_S:.0f} s") from error
    if status != 0:
        raise BenchmarkError(f"stopped with status {status}: {server.log_tail()}")
    return time.monotonic() - begin


# ---- counters ------------------------------------------------------------------------------------


def counters(server: Server, section: str = "hybridlog") -> dict[str, float]:
    """Return the numbers of a section of INFO.

    Raises:
        BenchmarkError: the server has no tiers to tell of.
    """
    found: dict[str, float] = {}
    for name, value in server.info(section).items():
        with contextlib.suppress(ValueError):
            found[name] = float(value)
    if section == "hybridlog" and not found.get("hybridlog_tiered"):
        raise BenchmarkError("INFO hybridlog says nothing of tiers")
    return found


def grown(before: Mapping[str, float], after: Mapping[str, float], name: str) -> float:
    """Return by how much a counter grew."""
    return after[name] - before[name]


def tiers_of(server: Server, keys: list[int]) -> dict[str, int]:
    """Return in which tiers the keys are, and how many of them in each ("none" for no key)."""
    found: dict[str, int] = {}
    for key in keys:
        reply = server.command("OBJECT", "TIER", f"key:{key:012d}")
        if isinstance(reply, list):
            reply = dict(zip(reply[::2], reply[1::2], strict=True))
        tier = str(reply["tier"]) if reply else "none"
        found[tier] = found.get(tier, 0) + 1
    return found


def pool_of(keys: int, count: int) -> list[int]:
    """Return `count` key numbers, evenly spread over all."""
    return [number * keys // count for number in range(count)]


# ---- load ----------------------------------------------------------------------------------------


def values(keys: int, **options: Any) -> Load:
    """Return a load on keys whose values follow from them."""
    base = Load(keys=keys, value_min=VALUE_BYTES, value_max=VALUE_BYTES, derived=True, scatter=True)
    return replace(base, **options)


def reads(keys: int, **options: Any) -> Load:
    """Return a load of GETs, each reply compared with what was written."""
    return values(keys, reads_percent=100, **options)


def fill(context: Context, server: Server, keys: int) -> dict[str, Any]:
    """Write every key once, in order."""
    load = values(keys, clients=8, pipeline=16, count=keys, scatter=False)
    return generators.run_load(server, load, context.cores.generator)


def check_values(server: Server, result: Mapping[str, Any]) -> None:
    """Raise BenchmarkError when a value was missing or not what was written."""
    if result["wrong"] or result["misses"]:
        raise BenchmarkError(
            f"{server.kind.name}: {result['misses']} values missing, {result['wrong']} wrong "
            f"({result['first_error']})"
        )


@dataclass(slots=True)
class Queue:
    """Disk reads that a server had waiting or in flight, sampled while a load ran."""

    samples: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Mean of the samples; NaN without any."""
        return sum(self.samples) / len(self.samples) if self.samples else math.nan


@contextlib.contextmanager
def watched_queue(server: Server) -> Iterator[Queue]:
    """Sample the server's queue of disk reads ten times a second."""
    queue, end = Queue(), threading.Event()

    def watch() -> None:
        with contextlib.suppress(redis.RedisError, BenchmarkError, OSError):
            while not end.wait(0.1):
                now = counters(server)
                queue.samples.append(now["disk_reads_waiting"] + now["disk_reads_in_flight"])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield queue
    finally:
        end.set()
        thread.join()


# ---- memory --------------------------------------------------------------------------------------

FIELDS = {"rss": "VmRSS", "anonymous": "RssAnon", "file": "RssFile", "peak": "VmHWM"}


class Resident:
    """Resident memory of servers, one after the other, sampled by a thread, by phase.

    `series` keeps the largest sample of each second; `peaks` the largest of each phase; `high` what
    the kernel itself kept as the high-water mark, which also sees what is between two samples.
    """

    def __init__(self, limit: int) -> None:
        """Compare with `limit` bytes."""
        self.limit = limit
        self.series: list[Row] = []
        self.peaks: dict[str, dict[str, int]] = {}
        self.high = 0
        self.phase = "start"
        self._begin = time.monotonic()

    @contextlib.contextmanager
    def watching(self, server: Server) -> Iterator[None]:
        """Sample the server's memory while this is open."""
        end = threading.Event()
        thread = threading.Thread(target=self._watch, args=(server.pid, end))
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def _watch(self, pid: int, end: threading.Event) -> None:
        path = Path(f"/proc/{pid}/status")
        while not end.wait(SAMPLE_S):
            try:
                text = path.read_text(encoding="utf-8")
                found = {
                    name: proc.parse_status_bytes(text, field) for name, field in FIELDS.items()
                }
            except (OSError, KeyError):  # it has ended
                return
            self._add(found)

    def _add(self, found: dict[str, int]) -> None:
        self.high = max(self.high, found["peak"])
        now, phase = time.monotonic() - self._begin, self.phase
        if found["rss"] > self.peaks.get(phase, {"rss": 0})["rss"]:
            self.peaks[phase] = found
        last = self.series[-1] if self.series else None
        second = math.floor(now / SERIES_S)
        if last is None or last["phase"] != phase or last["second"] != second:
            self.series.append({"part": "resident", "phase": phase, "second": second, **found})
        elif found["rss"] > float(str(last["rss"])):
            last |= found

    def rows(self) -> list[Row]:
        """Return a row for each phase, for the table."""
        return [
            {
                "part": "memory",
                "phase": phase,
                "resident_mib": peak["rss"] / 1024**2,
                "anonymous_mib": peak["anonymous"] / 1024**2,
                "file_mib": peak["file"] / 1024**2,
                "ratio": peak["rss"] / self.limit,
            }
            for phase, peak in self.peaks.items()
        ]
