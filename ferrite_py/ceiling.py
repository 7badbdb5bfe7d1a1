"""Whether storage.max_memory can be held: what is warned of before, at and after the start."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ferrite_py.config import Config, StorageConfig

log = logging.getLogger(__name__)

_LEAST_POOL = 2 << 20  # native/store/tier.c: what the tiers get however low the limit is
_LEAST_LOG = 2 * (64 << 10)  # native/store/evict.c: room for two of the smallest segments
_IN_MEMORY = ("mutable", "sealed", "read_only", "read_cache")
_SIZES = ("hybridlog_mutable_size", "hybridlog_readonly_size", "read_cache_size")


@dataclass(frozen=True, slots=True)
class Own:
    """What a server takes beside the data, in bytes."""

    accounted: int
    """Of what the data plane allocates: buffers, tables, index."""
    resident: int
    """Of the process's resident memory; Python is in it too."""


class Engine(Protocol):
    """The part of the native server that tells of its memory."""

    def statistics(self) -> dict[str, Any]:
        """One snapshot of the statistics."""

    def tiers(self) -> dict[str, Any]:
        """One snapshot of the tiers."""


def own_of(statistics: Mapping[str, Any], tiers: Mapping[str, Any], resident: int) -> Own:
    """What a process that has so many bytes resident takes beside the data."""
    data = sum(int(tiers[name]["bytes"]) for name in _IN_MEMORY)
    accounted = max(0, int(statistics["used_memory"]) - data)
    return Own(accounted, max(accounted, resident - data))


def too_low(storage: StorageConfig, own: Own) -> str:
    """Why max_memory cannot be held by a server that takes so much itself; empty if it can.

    With a data folder the limit is for the whole process, without for what the data plane has.
    """
    if storage.max_memory == 0:
        return ""
    if storage.data_dir:
        taken, least, whose = own.resident, _LEAST_POOL, "the process takes"
    else:
        taken, least, whose = own.accounted, _LEAST_LOG, "buffers and tables take"
    if storage.max_memory >= taken + least:
        return ""
    needed = "it will be passed" if storage.data_dir else "writes will be refused"
    return (
        f"storage.max_memory is {_text(storage.max_memory)}, but {whose} {_text(taken)} beside the"
        f" data: {needed}"
    )


def too_large_sizes(storage: StorageConfig) -> str:
    """What is said of sizes of tiers that max_memory cannot hold; empty if it can."""
    if not storage.data_dir or storage.max_memory == 0:
        return ""
    sizes = {name: int(getattr(storage, name)) for name in _SIZES}
    sizes["hybridlog_mutable_size"] += sizes["hybridlog_mutable_size"] // 4  # what is being written
    wanted = sum(sizes.values())
    if wanted <= storage.max_memory:
        return ""
    names = " and ".join(f"storage.{name}" for name, size in sizes.items() if size)
    limit = _text(storage.max_memory)
    return (
        f"{names} would take {_text(wanted)}, but storage.max_memory is {limit}: they become"
        " smaller, in proportion"
    )


def _text(size: int) -> str:
    """Bytes in the largest unit that leaves a whole part."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}".replace(".0 ", " ")
    return f"{size} bytes"


class CeilingWatch:
    """Warns of a limit that cannot be held, whenever it is another one."""

    def __init__(self, engine: Engine, resident: Callable[[], int]) -> None:
        """`resident` tells the resident bytes of this process."""
        self._engine = engine
        self._resident = resident
        self._seen: tuple[int, ...] | None = None

    def look(self, config: Config) -> None:
        """Look at a configuration that is in force now."""
        storage = config.storage
        now = (storage.max_memory, *(int(getattr(storage, name)) for name in _SIZES))
        is_first, is_same = self._seen is None, self._seen == now
        self._seen = now
        if is_same or storage.max_memory == 0:
            return
        statistics, tiers = self._engine.statistics(), self._engine.tiers()
        low = too_low(storage, own_of(statistics, tiers, self._resident()))
        if not low and not is_first and not storage.data_dir:
            low = _below_use(storage, int(statistics["used_memory"]))
        for line in (low, too_large_sizes(storage)):
            if line:
                log.warning("%s", line)


def _below_use(storage: StorageConfig, used: int) -> str:
    """What is said of a limit that the data are beyond already; empty if they are not."""
    if used <= storage.max_memory:
        return ""
    refuses = storage.eviction_policy == "noeviction"
    follows = "writes are refused until data go" if refuses else "keys are evicted"
    return (
        f"storage.max_memory is {_text(storage.max_memory)}, less than the {_text(used)} in use:"
        f" {follows}"
    )
