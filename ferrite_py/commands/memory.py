"""MEMORY STATS, DOCTOR and MALLOC-STATS; the rest of MEMORY is the native server's."""

from collections.abc import Iterator

from ferrite_py.ceiling import own_of, too_low
from ferrite_py.commands import process
from ferrite_py.commands.facts import Facts, facts_of
from ferrite_py.commands.info_memory import memory_of
from ferrite_py.commands.registry import Call, command
from ferrite_py.commands.reply import Reply, Verbatim
from ferrite_py.commands.tiers import IN_MEMORY, Tiers

_TIPS = ("nondeterministic_output", "request_policy:all_shards", "response_policy:special")
_SMALL_BYTES = 5 << 20
_CLIENT_BYTES = 200 << 10
_READ_ONLY_SLACK = 16 << 20
_EXPIRED_BYTES = 32 << 20
_DEADLINE_BYTES = 8
"""What a key with an expiry takes more in the log."""


@command(
    "memory|stats",
    arity=2,
    group="server",
    since="4.0.0",
    summary="Answers how the server's memory is used.",
    tips=_TIPS,
)
async def memory_stats(call: Call) -> Reply:
    """Answer a map of names and numbers; sizes in bytes."""
    facts = facts_of(call.services)
    found = memory_of(facts)
    databases = call.services.native.databases()
    keys = sum(count for count, _, _ in databases)
    index = facts.number("index_bytes")
    answer: dict[str, Reply] = {
        "peak.allocated": found.peak,
        "total.allocated": found.used,
        "startup.allocated": found.startup,
        "replication.backlog": 0,
        "clients.slaves": 0,
        "clients.normal": facts.number("clients_memory"),
        "cluster.links": 0,
        "aof.buffer": 0,
    }
    for number, (count, expires, _) in enumerate(databases):
        if count:
            # All databases share one index: each has the part that its keys take.
            answer[f"db.{number}"] = {
                "overhead.hashtable.main": index * count // keys,
                "overhead.hashtable.expires": expires * _DEADLINE_BYTES,
            }
    if facts.tiers["tiered"]:
        answer["hybridlog"] = {f"{name}.bytes": facts.tiers[name]["bytes"] for name in IN_MEMORY}
    answer |= {
        "overhead.total": found.overhead,
        "keys.count": keys,
        "keys.bytes-per-key": max(0, found.used - found.startup) // keys if keys else 0,
        "dataset.bytes": found.dataset,
        "dataset.percentage": found.dataset_percent,
        "expired.unreclaimed": facts.number("expired_unreclaimed_bytes"),
        "peak.percentage": found.peak_percent,
        **_allocator(facts),
        "fragmentation": found.fragmentation,
        "fragmentation.bytes": found.resident - found.used,
    }
    return answer


def _allocator(facts: Facts) -> dict[str, Reply]:
    """The C library's heap, as in INFO memory; nothing where it does not tell."""
    heap = facts.services.native.heap()
    if heap is None:
        return {}
    allocated, active = heap
    return {
        "allocator.allocated": allocated,
        "allocator.active": active,
        "allocator-fragmentation.ratio": active / max(1, allocated),
        "allocator-fragmentation.bytes": active - allocated,
    }


@command(
    "memory|doctor",
    arity=2,
    group="server",
    since="4.0.0",
    summary="Looks for trouble with memory and says what to do.",
    tips=_TIPS,
)
async def memory_doctor(call: Call) -> Reply:
    """Answer a report for people."""
    return Verbatim(diagnose(facts_of(call.services)))


def diagnose(facts: Facts) -> str:
    """The report of MEMORY DOCTOR."""
    if memory_of(facts).used < _SMALL_BYTES:
        return "There is hardly any data in this server, so its memory says nothing yet.\n"
    findings = list(_findings(facts))
    if not findings:
        return "The memory of this server looks healthy.\n"
    lines = [f"{len(findings)} finding{'s' * (len(findings) > 1)} about the memory of this server:"]
    lines += [f" * {finding}" for finding in findings]
    return "\n\n".join(lines) + "\n"


def _findings(facts: Facts) -> Iterator[str]:
    found = memory_of(facts)
    if found.peak > found.used * 3 // 2:
        yield (
            f"Peak: at some time {process.size_text(found.peak)} were used, now it is"
            f" {process.size_text(found.used)}. The process may keep some of the difference;"
            " MEMORY PURGE asks the allocator to give it back."
        )
    if found.fragmentation > 1.4 and found.resident - found.used > 10 << 20:
        yield (
            f"Fragmentation: {found.fragmentation:.2f} bytes are resident for each byte used."
            " MEMORY PURGE may help; so does a restart."
        )
    log_bytes, live_bytes = facts.number("log_bytes"), facts.number("log_live_bytes")
    if log_bytes > 32 << 20 and log_bytes > live_bytes * 3 // 2:
        yield (
            f"Garbage: the log holds {process.size_text(log_bytes)} for"
            f" {process.size_text(live_bytes)} of live records. Compaction is behind the writes."
        )
    expired = facts.number("expired_unreclaimed_bytes")
    if expired > _EXPIRED_BYTES and expired > facts.number("log_bytes") // 4:
        yield (
            f"Expired: about {process.size_text(expired)} of the data are past their deadline, and"
            " their room is not reclaimed yet. Raise storage.active_expire_effort if it stays so."
        )
    own = own_of(facts.statistics, facts.tiers, found.resident)
    if low := too_low(facts.config.storage, own):
        yield f"Limit: {low}."
    yield from _tier_findings(facts.tiers)
    clients = facts.number("clients")
    if clients and facts.number("clients_memory") // clients > _CLIENT_BYTES:
        yield (
            "Clients: their buffers are large,"
            f" {process.size_text(facts.number('clients_memory') / clients)} each on average. Look"
            " for readers that do not keep up (CLIENT LIST, omem), and bound them with"
            " client-output-buffer-limit and maxmemory-clients."
        )


def _tier_findings(found: Tiers) -> Iterator[str]:
    if found["index_over"]:
        yield (
            "Index: what is in no tier (index, buffers, the process itself) leaves no memory for"
            " data, and writes are refused. Raise storage.max_memory, or keep fewer keys."
        )
    resident, budget = found["read_only"]["bytes"], found["read_only_budget"]
    if budget and resident > budget + budget // 4 + _READ_ONLY_SLACK:
        yield (
            f"Read-only tier: {process.size_text(resident)} are mapped where"
            f" {process.size_text(budget)} should be. It is not given up as fast as it grows."
        )
    if found["flush_behind"]:
        yield (
            "Flush: the disk takes less than clients write, and writers wait. See"
            " INFO hybridlog (sealed_bytes, disk_state)."
        )
    if found["compaction_behind"]:
        yield (
            "Compaction: so much on disk is garbage that writers wait until there is less. See"
            " INFO hybridlog (file_dead_bytes, space_amplification)."
        )


@command(
    "memory|malloc-stats",
    arity=2,
    group="server",
    since="4.0.0",
    complexity="Depends on how much memory the allocator manages.",
    summary="Answers what the memory allocator says of itself.",
    tips=_TIPS,
)
async def memory_malloc_stats(call: Call) -> Reply:  # noqa: ARG001 - commands have one signature
    """Answer the figures of the C library's allocator, one on a line."""
    found = process.malloc_info()
    if found is None:
        return "Stats not supported for the current allocator"
    meanings = {
        "arena": "bytes taken with brk and in arenas",
        "hblks": "regions mapped one by one",
        "hblkhd": "bytes in them",
        "uordblks": "bytes in use",
        "fordblks": "bytes free",
        "ordblks": "free chunks",
        "keepcost": "bytes that could be given back at the top",
    }
    return Verbatim("".join(f"{name}: {found[name]} ({text})\n" for name, text in meanings.items()))
