"""What Linux knows about a process: CPU time in nanoseconds, anonymous memory, cores, limits."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CLOCK_OF_PROCESS = 2
_NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cores:
    """The core for the server and the one for the generator; equal when there is only one."""

    server: int
    generator: int


def choose_cores() -> Cores:
    """Return the first two cores that this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(server=allowed[0], generator=allowed[min(1, len(allowed) - 1)])


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Pin the calling thread, and with it every process that it starts meanwhile, to `core`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def urgent() -> Iterator[bool]:
    """Give the calling thread, and what it starts meanwhile, precedence over ordinary threads.

    A generator that shares its core with computing threads must run the moment that a request is
    due, or its own delay is counted as the server's. Gives False where that is not
    allowed.
    """
    before, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, before, parameter)


def may_be_urgent() -> bool:
    """Return whether `urgent` has an effect here."""
    with urgent() as allowed:
        return allowed


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one, for children too; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cpu_ns(pid: int) -> int:
    """Return the CPU time of all threads of the process, also of those that ended, in nanoseconds.

    Reads the process's own CPU-time clock, whose number is made from the process id as
    clock_getcpuclockid(3) makes it; /proc/<pid>/stat counts in ticks of 10 ms, too coarse here.
    """
    return time.clock_gettime_ns((~pid << 3) | _CLOCK_OF_PROCESS)


def _core_ticks(text: str, core: int) -> list[int]:
    for line in text.splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            return [int(tick) for tick in ticks]
    raise KeyError(core)


def parse_core_busy_s(text: str, core: int) -> float:
    """Return for how many seconds a core was not idle since boot, from the text of /proc/stat.

    Raises:
        KeyError: there is no such core.
    """
    user, nice, system, _idle, _iowait, irq, softirq = _core_ticks(text, core)[:7]
    return (user + nice + system + irq + softirq) * _NS_PER_TICK / 1e9


def core_busy_s(core: int) -> float:
    """Return for how many seconds the core was not idle since boot, whoever used it."""
    return parse_core_busy_s(Path("/proc/stat").read_text(encoding="utf-8"), core)


def parse_core_stolen_s(text: str, core: int) -> float:
    """Return for how many seconds the host ran others on a core, from the text of /proc/stat.

    Raises:
        KeyError: there is no such core.
    """
    return _core_ticks(text, core)[7] * _NS_PER_TICK / 1e9


def core_stolen_s(core: int) -> float:
    """Return for how many seconds since boot the host of a virtual machine ran others on a core."""
    return parse_core_stolen_s(Path("/proc/stat").read_text(encoding="utf-8"), core)


def parse_sched_runtime_ns(text: str) -> int | None:
    """Return se.sum_exec_runtime of a /proc/<pid>/task/<tid>/sched file in nanoseconds."""
    for line in text.splitlines():
        if line.startswith("se.sum_exec_runtime"):
            return round(float(line.rpartition(":")[2]) * 1e6)
    return None


def parse_stat_cpu_ns(text: str) -> int:
    """Return utime + stime of a /proc/<pid>/stat line in nanoseconds (ticks of 10 ms)."""
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _NS_PER_TICK


def _thread_cpu_ns(folder: Path) -> int:
    """Take the finest source that this kernel offers: schedstat, sched, then stat."""
    schedstat = folder / "schedstat"
    if schedstat.exists():
        return int(schedstat.read_text().split()[0])
    sched = folder / "sched"
    if sched.exists():
        runtime = parse_sched_runtime_ns(sched.read_text())
        if runtime is not None:
            return runtime
    return parse_stat_cpu_ns((folder / "stat").read_text())


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread of a process and the CPU time that it has used, in nanoseconds."""

    tid: int
    name: str
    cpu_ns: int


def threads(pid: int) -> list[Thread]:
    """Return the live threads of the process; one that ends meanwhile is left out."""
    found = []
    for folder in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            name = (folder / "comm").read_text().strip()
            found.append(Thread(int(folder.name), name, _thread_cpu_ns(folder)))
    return found


def parse_status_bytes(text: str, field: str) -> int:
    """Return a "<field>:  <n> kB" line of /proc/<pid>/status in bytes.

    Raises:
        KeyError: the field is missing.
    """
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise KeyError(field)


def anonymous_bytes(pid: int) -> int:
    """Return the resident anonymous memory of the process in bytes."""
    return parse_status_bytes(Path(f"/proc/{pid}/status").read_text(), "RssAnon")


def stop(process: subprocess.Popen[bytes], deadline_s: float) -> None:
    """Ask the process to end, and end it when it has not within `deadline_s`."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(deadline_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
