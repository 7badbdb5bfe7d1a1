"""fio: what the disk itself gives when the segment files are read at random."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from benchmarks import proc
from benchmarks.servers import BenchmarkError

ENGINES = ("io_uring", "libaio", "psync")


def installed() -> bool:
    """Whether fio can be run here."""
    return shutil.which("fio") is not None


def command(folder: Path, depth: int, seconds: int, engine: str) -> list[str]:
    """Return the command line: random 4 KiB reads of all files below `folder`, without cache."""
    return [
        *("fio", "--name=segments", f"--opendir={folder}", "--readonly", "--direct=1", "--bs=4k"),
        *("--rw=randread", "--file_service_type=random", "--allow_file_create=0", "--thread"),
        *(f"--iodepth={depth}", f"--ioengine={engine}", "--time_based", f"--runtime={seconds}"),
        *("--invalidate=0", "--output-format=json"),
    ]


def parse_rate(text: str) -> float:
    """Return the reads per second of fio's JSON report.

    Raises:
        ValueError: it is no such report, or nothing was read.
    """
    start = text.find("{")
    report = json.loads(text[start:] if start >= 0 else "")
    rate = sum(float(job["read"]["iops"]) for job in report["jobs"])
    if rate <= 0 or any(job["error"] for job in report["jobs"]):
        raise ValueError("fio read nothing")
    return rate


def read_rate(folder: Path, depth: int, seconds: int, core: int) -> float:
    """Return how many 4 KiB reads per second fio gets at the queue depth, from one core.

    Raises:
        BenchmarkError: fio fails with every engine.
    """
    message = ""
    for engine in ENGINES if depth > 1 else reversed(ENGINES):
        with proc.pinned(core):
            done = subprocess.run(
                command(folder, depth, seconds, engine),
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds + 120,
            )
        try:
            return parse_rate(done.stdout)
        except (ValueError, KeyError):
            message = (done.stderr or done.stdout).strip()[-300:]
    raise BenchmarkError(f"fio: {message}")
