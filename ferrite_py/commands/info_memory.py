"""INFO memory: what the engine has accounted, and what the process takes."""

from dataclasses import dataclass

from ferrite_py.commands import process
from ferrite_py.commands.facts import Facts, Fields, present
from ferrite_py.commands.tiers import memory_bytes, memory_fields

# True of a server without scripts and functions; monitoring reads them by name.
_NO_SCRIPTS = (
    "used_memory_vm_eval", "used_memory_lua", "used_memory_scripts_eval", "used_memory_scripts",
    "used_memory_vm_functions", "used_memory_functions", "used_memory_vm_total",
    "number_of_cached_scripts", "number_of_functions", "number_of_libraries",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Memory:
    """How the memory is used, in bytes; all derived from one snapshot."""

    used: int
    peak: int
    resident: int
    startup: int
    overhead: int

    @property
    def dataset(self) -> int:
        """Keys and values in memory, copies too, with the garbage that is not reclaimed yet."""
        return self.used - self.overhead

    @property
    def dataset_percent(self) -> float:
        """Of what was taken since the start, the share that is data."""
        return min(100.0, 100.0 * self.dataset / max(1, self.used - self.startup))

    @property
    def peak_percent(self) -> float:
        """What is used now, of the most that ever was."""
        return 100.0 * self.used / max(1, self.peak)

    @property
    def fragmentation(self) -> float:
        """Resident memory for each byte that is used."""
        return self.resident / max(1, self.used)


def memory_of(facts: Facts) -> Memory:
    """Take the memory's figures from a snapshot."""
    used = facts.number("used_memory")
    return Memory(
        used=used,
        peak=max(used, facts.number("memory_peak")),
        resident=process.resident_bytes(),
        startup=facts.services.identity.startup_memory,
        overhead=used - memory_bytes(facts.tiers),
    )


def memory(facts: Facts) -> Fields:
    """Memory of the engine and of the process."""
    found, limit = memory_of(facts), facts.config.storage.max_memory
    system = process.system_memory_bytes()
    return [
        ("used_memory", found.used),
        ("used_memory_human", process.size_text(found.used)),
        ("used_memory_rss", found.resident),
        ("used_memory_rss_human", process.size_text(found.resident)),
        ("used_memory_peak", found.peak),
        ("used_memory_peak_human", process.size_text(found.peak)),
        ("used_memory_peak_perc", f"{found.peak_percent:.2f}%"),
        ("used_memory_overhead", found.overhead),
        ("used_memory_startup", found.startup),
        ("used_memory_dataset", found.dataset),
        ("used_memory_dataset_perc", f"{found.dataset_percent:.2f}%"),
        ("total_system_memory", system),
        ("total_system_memory_human", process.size_text(system)),
        *((name, 0) for name in _NO_SCRIPTS),
        ("used_memory_lua_human", process.size_text(0)),
        ("used_memory_vm_total_human", process.size_text(0)),
        ("used_memory_scripts_human", process.size_text(0)),
        ("maxmemory", limit),
        ("maxmemory_human", process.size_text(limit)),
        ("maxmemory_policy", facts.config.storage.eviction_policy),
        *_allocator(facts, found.resident),
        ("mem_fragmentation_ratio", f"{found.fragmentation:.2f}"),
        ("mem_fragmentation_bytes", found.resident - found.used),
        ("mem_not_counted_for_evict", 0),
        ("mem_replication_backlog", 0),
        ("mem_total_replication_buffers", 0),
        ("mem_clients_slaves", 0),
        ("mem_clients_normal", facts.number("clients_memory")),
        ("mem_cluster_links", 0),
        ("mem_aof_buffer", 0),
        ("mem_allocator", "libc"),
        ("active_defrag_running", 0),
        *present(facts, {
            "lazyfree_pending_objects": "lazyfree_pending",
            "lazyfreed_objects": "lazyfreed",
            "mem_lent_values": "lent_values",
            "mem_held_mappings": "held_mappings",
            "mem_held_bytes": "held_bytes",
        }),
        *memory_fields(facts.tiers),
    ]  # fmt: skip


def _allocator(facts: Facts, resident: int) -> Fields:
    """The C library's heap, Python's part included, and the mappings of log and index.

    Resident of it is what the process has in memory that is of no file, the threads' stacks too.
    What else of the process is: code, and segment files that are mapped.
    """
    heap = facts.services.native.heap()
    if heap is None:
        return []
    allocated, active = heap
    fields: Fields = [
        ("allocator_allocated", allocated),
        ("allocator_active", active),
        ("allocator_frag_ratio", f"{active / max(1, allocated):.2f}"),
        ("allocator_frag_bytes", active - allocated),
    ]
    anonymous = process.anonymous_bytes()
    if anonymous is None:
        return fields
    return [
        *fields,
        ("allocator_resident", anonymous),
        ("allocator_rss_ratio", f"{anonymous / max(1, active):.2f}"),
        ("allocator_rss_bytes", anonymous - active),
        ("rss_overhead_ratio", f"{resident / max(1, anonymous):.2f}"),
        ("rss_overhead_bytes", resident - anonymous),
    ]
