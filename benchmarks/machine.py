"""Facts about the machine that a figure depends on; no names of hosts, users or folders."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path


def field_of(text: str, name: str, separator: str) -> str:
    """Return the value of the first "name<separator>value" line, or "unknown"."""
    for line in text.splitlines():
        key, found, value = line.partition(separator)
        if found and key.strip() == name:
            return value.strip().strip('"')
    return "unknown"


def _compiler() -> str:
    program = shutil.which(os.environ.get("CC", "cc"))
    if program is None:
        return "none"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0] if done.stdout else "unknown"


def facts() -> dict[str, str]:
    """Return processor, cores, memory, kernel, system, Python and compiler as text."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    memory_kb = int(field_of(Path("/proc/meminfo").read_text(), "MemTotal", ":").split()[0])
    release = Path("/etc/os-release")
    system = field_of(release.read_text(), "PRETTY_NAME", "=") if release.exists() else "unknown"
    virtual = " hypervisor " in cpuinfo or "hypervisor" in field_of(cpuinfo, "flags", ":").split()
    return {
        "processor": field_of(cpuinfo, "model name", ":"),
        "cores": str(len(os.sched_getaffinity(0))),
        "virtual": "yes" if virtual else "no",
        "memory": f"{memory_kb / 1024 / 1024:.0f} GiB",
        "kernel": platform.release(),
        "system": system,
        "python": platform.python_version(),
        "compiler": _compiler(),
    }
