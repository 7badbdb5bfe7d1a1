"""The tiers of the store, as INFO and MEMORY show them; TIER FORGET gives up what is damaged.

DEBUG TIER moves data between them, for tests.
"""

import asyncio
import os
import resource
import time
from collections.abc import Mapping
from typing import Any, Protocol

from ferrite_py.commands.help import help_lines
from ferrite_py.commands.registry import Call, command, container
from ferrite_py.commands.reply import OK, CommandError, Reply, Simple, text_of
from ferrite_py.disk_watch import disk_state, full_by, full_reason, last_error
from ferrite_py.rates import percentile_ns

Fields = list[tuple[str, object]]
Tiers = Mapping[str, Any]
"""What `Server.tiers` returns."""

NAMES = ("mutable", "sealed", "read_only", "disk", "read_cache")
IN_MEMORY = ("mutable", "sealed", "read_only", "read_cache")
"""Those whose bytes are memory of the process; `read_only` is mapped from files."""

_ORDERS = ("seal", "map", "disk", "compact", "trim")
_POLL_SECONDS = 0.003
DISK_PATIENCE_SECONDS = 3.0
"""For how long the disk may refuse before an order is given up; it is tried again every second."""
_MAKE_ROOM = ("compact", "forget")
"""Orders that a full disk does not hold up, as long as they get on."""


class Orders(Protocol):
    """The part of the native server that orders need."""

    def tiers(self) -> dict[str, Any]:
        """One snapshot of the tiers."""

    def order_tiers(self, order: str, /) -> bool:
        """Do a step of an order; whether there is more to do."""


def memory_bytes(tiers: Tiers) -> int:
    """Memory of all tiers together: what holds data."""
    return sum(int(tiers[name]["bytes"]) for name in IN_MEMORY)


def hybridlog_fields(tiers: Tiers) -> Fields:
    """The fields of INFO's section; of a store without a data folder those of its one tier."""
    if not tiers["tiered"]:
        return [("hybridlog_tiered", 0), *_tier(tiers, "mutable")]
    return [
        ("hybridlog_tiered", 1),
        *(field for name in NAMES for field in _tier(tiers, name)),
        *_budgets(tiers),
        *_migrations(tiers),
        *_read_cache(tiers),
        *_amplification(tiers),
        *_reclaiming(tiers),
        *_disk(tiers),
        ("writers_slowed", tiers["writers_slowed"]),
        ("writers_slowed_compaction", tiers["writers_slowed_compaction"]),
        ("writers_refused", tiers["writers_refused"]),
        ("flush_behind", int(tiers["flush_behind"])),
        ("compaction_behind", int(tiers["compaction_behind"])),
        ("index_over_limit", int(tiers["index_over"])),
        ("epoch", tiers["switches"]),
        ("index_short_tags", tiers["short_tags"]),
        ("unsettled_keys", tiers["unsettled"]),
    ]


def _tier(tiers: Tiers, name: str) -> Fields:
    parts = ("segments", "bytes", "live_bytes", "records", "hits")
    return [(f"{name}_{part}", tiers[name][part]) for part in parts]


def _budgets(tiers: Tiers) -> Fields:
    return [
        ("mutable_budget", tiers["mutable_budget"]),
        ("read_only_budget", tiers["read_only_budget"]),
        ("read_cache_budget", tiers["read_cache_budget"]),
        ("disk_budget", tiers["disk_max"]),
    ]


def _migrations(tiers: Tiers) -> Fields:
    return [
        ("sealed_total", tiers["seals"]),
        ("flushed_total", tiers["flushes"]),
        ("flushed_bytes_total", tiers["flushed_bytes"]),
        ("demoted_total", tiers["demotions"]),
        ("carried_total", tiers["cache_carried"]),
        ("removed_total", tiers["removals"]),
        ("map_failures", tiers["map_failures"]),
        ("locked_total", tiers["locks"]),
        ("lock_failures", tiers["lock_failures"]),
        ("mapped_page_errors", tiers["page_faults"]),
        ("major_faults", resource.getrusage(resource.RUSAGE_SELF).ru_majflt),
    ]


def _read_cache(tiers: Tiers) -> Fields:
    return [
        ("read_cache_puts", tiers["cache_puts"]),
        ("read_cache_put_bytes", tiers["cache_put_bytes"]),
        ("read_cache_kept", tiers["cache_kept"]),
        ("read_cache_drops", tiers["cache_drops"]),
        ("read_cache_refused", tiers["cache_refused"]),
        ("read_cache_ghost_hits", tiers["cache_ghost_hits"]),
        ("read_cache_ghost_capacity", tiers["cache_ghost_entries"]),
    ]


def _amplification(tiers: Tiers) -> Fields:
    """Ratios; left out while there is nothing to divide by."""
    fields: Fields = [
        ("appended_bytes_total", tiers["appended_bytes"]),
        ("file_count", tiers["files"]),
        ("file_bytes", tiers["file_bytes"]),
        ("file_dead_bytes", tiers["file_dead_bytes"]),
    ]
    if tiers["appended_bytes"]:
        ratio = tiers["flushed_bytes"] / tiers["appended_bytes"]
        fields.append(("write_amplification", f"{ratio:.3f}"))
    live = tiers["read_only"]["live_bytes"] + tiers["disk"]["live_bytes"]
    if live:
        fields.append(("space_amplification", f"{tiers['file_bytes'] / live:.3f}"))
    return fields


def _reclaiming(tiers: Tiers) -> Fields:
    """Jobs over segments that have a file."""
    purposes = ("recount", "expire", "refill", "compact", "evict")
    return [
        *((f"compaction_{purpose}_segments", tiers[f"jobs_{purpose}"]) for purpose in purposes),
        ("compaction_read_bytes", tiers["jobs_read_bytes"]),
        ("compaction_moved_keys", tiers["moved_keys"]),
        ("compaction_moved_bytes", tiers["moved_bytes"]),
        ("compaction_expired_keys", tiers["expired_keys"]),
        ("compaction_expired_bytes", tiers["expired_bytes"]),
        ("compaction_evicted_keys", tiers["evicted_keys"]),
        ("compaction_evicted_bytes", tiers["evicted_bytes"]),
        ("compaction_swept_bytes", tiers["swept_bytes"]),
        ("compaction_refilled_tags", tiers["refilled_tags"]),
        ("damaged_segments", tiers["damaged_segments"]),
        ("compaction_damaged_records", tiers["damaged_records"]),
        ("compaction_damaged_blocks", tiers["damaged_blocks"]),
        ("compaction_errors", tiers["job_errors"]),
        ("compaction_last_fault", last_fault(tiers)),
        ("compaction_last_fault_time", tiers["fault_ms"] // 1000),
    ]


def _disk(tiers: Tiers) -> Fields:
    return [
        ("disk_state", disk_state(tiers)),
        ("disk_full_by", full_by(tiers)),
        ("disk_room", tiers["disk_room"]),
        ("disk_engine", tiers["disk_engine"]),
        ("disk_direct", tiers["direct"]),
        ("disk_write_back", "sync_file_range" if tiers["hands_over"] else "fdatasync"),
        ("disk_queue_depth", tiers["reads_max"]),
        ("disk_reads_waiting", tiers["reads_waiting"]),
        ("disk_reads_in_flight", tiers["reads_in_flight"]),
        ("disk_reads", tiers["reads"]),
        ("disk_read_bytes", tiers["read_bytes"]),
        *_read_latency(tiers),
        ("disk_reads_put_off", tiers["reads_put_off"]),
        ("disk_reads_joined", tiers["reads_joined"]),
        ("disk_reads_continued", tiers["reads_continued"]),
        ("disk_reads_retried", tiers["reads_retried"]),
        ("disk_reads_failed", tiers["reads_failed"]),
        ("disk_records_lost", tiers["records_lost"]),
        ("disk_settled_same", tiers["settled_same"]),
        ("disk_settled_other", tiers["settled_other"]),
        ("disk_errors", tiers["disk_errors"]),
        ("disk_last_error", last_error(tiers)),
        ("disk_last_error_time", tiers["error_ms"] // 1000),
    ]


def _read_latency(tiers: Tiers) -> Fields:
    """How long the disk took for a read, in microseconds; left out before the first one."""
    counts = tiers["read_latency"]
    if not counts:
        return []
    longest = tiers["read_latency_max_ns"]
    fields: Fields = []
    for percent in (50, 99):
        took = min(percentile_ns(counts, percent), longest)
        fields.append((f"disk_read_usec_p{percent}", f"{took / 1000:.3f}"))
    return [*fields, ("disk_read_usec_max", f"{longest / 1000:.3f}")]


def last_fault(tiers: Tiers) -> str:
    """The last damage, or error, that a job met: file, byte and cause; empty for none."""
    if not tiers["fault_segment"]:
        return ""
    name = f"{tiers['fault_segment']:08x}-{tiers['fault_generation']:08x}.seg"
    why = f": {os.strerror(tiers['fault_code'])}" if tiers["fault_code"] else ""
    return f"{name} at {tiers['fault_offset']}: {tiers['fault_cause']}{why}"


def memory_fields(tiers: Tiers) -> Fields:
    """What INFO memory says of the tiers; nothing of a store without a data folder."""
    if not tiers["tiered"]:
        return []
    return [(f"mem_tier_{name}", tiers[name]["bytes"]) for name in IN_MEMORY]


@command(
    "debug|tier",
    arity=3,
    group="server",
    since="7.2.0",
    complexity="O(N) with N the bytes that move",
    summary="Sends data down, compacts or empties the read cache.",
    syntax="<SEAL | MAP | DISK | COMPACT | TRIM>",
    flags=("admin", "noscript", "protected"),
)
async def debug_tier(call: Call) -> Reply:
    """Do what the order says, until it is done."""
    order = text_of(call.args[2]).lower()
    if order not in _ORDERS:
        raise CommandError("ERR DEBUG TIER takes SEAL, MAP, DISK, COMPACT or TRIM")
    return await _carry_out(call.services.native, order)


tier = container(
    "tier",
    group="server",
    since="7.2.0",
    summary="Looks after the data folder.",
)


@command(
    "tier|forget",
    arity=2,
    group="server",
    since="7.2.0",
    complexity="O(N) with N the bytes of the damaged files",
    summary="Gives up records that are damaged on disk; moves what is sound in their files.",
    flags=("admin", "noscript", "no_multi"),
)
async def tier_forget(call: Call) -> Reply:
    """Give up what is known to be damaged now.

    Not within EXEC, which would keep all other clients waiting while files are rewritten. No
    "write" command: those are refused on a full disk, where this one makes room.
    """
    return await _carry_out(call.services.native, "forget")


@command(
    "tier|help",
    arity=2,
    group="server",
    since="7.2.0",
    summary="Lists the subcommands.",
    flags=("loading", "stale"),
)
async def tier_help(call: Call) -> Reply:
    """List the subcommands."""
    return help_lines("tier", call.services.native.commands())


async def _carry_out(native: Orders, order: str) -> Reply:
    """Give the order again and again, until the background threads have done their part of it.

    While others write, new data come in between, and the end is put off. However it ends, it is
    withdrawn. FORGET says how many damaged files it could not empty.
    """
    if not native.tiers()["tiered"]:
        raise CommandError("ERR this server has no data folder (storage.data_dir)")
    try:
        await _obey(native, order)
    finally:
        native.order_tiers("end")
    left = native.tiers()["damaged_segments"] if order == "forget" else 0
    return Simple(f"OK, {left} damaged files are left") if left else OK


def _got_on(tiers: Tiers) -> tuple[int, ...]:
    """What changes while files are read, emptied and removed."""
    names = ("moved_bytes", "records_lost", "jobs_compact", "jobs_read_bytes", "removals")
    return tuple(int(tiers[name]) for name in names)


async def _obey(native: Orders, order: str) -> None:
    healthy, before = time.monotonic(), _got_on(native.tiers())
    while native.order_tiers(order):
        await asyncio.sleep(_POLL_SECONDS)
        tiers = native.tiers()
        now = _got_on(tiers)
        makes_room = order in _MAKE_ROOM and disk_state(tiers) == "full" and now != before
        before = now
        if disk_state(tiers) == "ok" or makes_room:
            healthy = time.monotonic()
        elif time.monotonic() - healthy > DISK_PATIENCE_SECONDS:
            why = last_error(tiers) if disk_state(tiers) == "failed" else full_reason(tiers)
            raise CommandError(f"IOERR the disk does not take the data: {why}")
