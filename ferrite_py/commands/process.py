"""What the operating system says of this process, and sizes as people read them."""

import ctypes
import hashlib
import importlib.util
import os
from functools import cache
from pathlib import Path


def resident_bytes() -> int:
    """Resident memory of the process now; 0 where /proc does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def anonymous_bytes() -> int | None:
    """Resident memory that is of no file: heap, mappings, stacks; None where /proc has none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    kib = next((line.split()[1] for line in lines if line.startswith("RssAnon:")), None)
    return None if kib is None else int(kib) * 1024


def system_memory_bytes() -> int:
    """Physical memory of the machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def executable() -> str:
    """The program that runs: the interpreter."""
    try:
        return str(Path("/proc/self/exe").readlink())
    except OSError:
        return ""


@cache
def build_id() -> str:
    """A digest of the native module, which tells two builds of one version apart."""
    found = importlib.util.find_spec("ferrite_py._native")
    if found is None or found.origin is None:
        return ""
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()[:16]


def size_text(size: float) -> str:
    """Bytes in the largest unit that leaves a whole part, as INFO writes them: `1.50M`."""
    if size < 1024:
        return f"{int(size)}B"
    for unit in "KMGTP":
        size /= 1024
        if size < 1024 or unit == "P":
            break
    return f"{size:.2f}{unit}"


_MALLOC_FIELDS = (
    "arena",
    "ordblks",
    "smblks",
    "hblks",
    "hblkhd",
    "usmblks",
    "fsmblks",
    "uordblks",
    "fordblks",
    "keepcost",
)


class _MallocInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33 and newer; see mallinfo(3)."""

    _fields_ = [(name, ctypes.c_size_t) for name in _MALLOC_FIELDS]


def malloc_info() -> dict[str, int] | None:
    """What the C allocator says of itself; None where it says nothing."""
    library = ctypes.CDLL(None)
    try:
        ask = library.mallinfo2
    except AttributeError:
        return None
    ask.restype = _MallocInfo
    ask.argtypes = []
    found = ask()
    return {name: int(getattr(found, name)) for name in _MALLOC_FIELDS}
