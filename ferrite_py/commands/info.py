"""INFO: the server's numbers, by section. A field whose value nobody measures is left out."""

import os
import platform
import resource
import struct
import time
from collections.abc import Callable, Iterable, Sequence

from ferrite_py import __version__
from ferrite_py.commands import process
from ferrite_py.commands.facts import Facts, Fields, facts_of, present
from ferrite_py.commands.info_memory import memory
from ferrite_py.commands.insight import hot_key_fields, mrc_fields
from ferrite_py.commands.prefixes import prefix_fields
from ferrite_py.commands.registry import Call, command
from ferrite_py.commands.reply import Reply, Verbatim, text_of
from ferrite_py.commands.tiers import hybridlog_fields
from ferrite_py.config import Config
from ferrite_py.rates import percentile_ns

REDIS_VERSION = "7.2.0"
"""The level of Redis that this server speaks."""

STEP_KINDS = ("index", "expire", "compact", "tier", "frozen", "fetch", "batch")
_KIB = 1024
# True of a server without scripts, functions, replicas, defragmentation and tracking, until it has
# them, whose expiry ends by records, not by time, which takes dumps of strings only, and whose
# clients have no reply buffer that is fitted to them; monitoring reads them by name.
_NEVER = (
    "pubsub_channels", "pubsub_patterns", "pubsubshard_channels", "latest_fork_usec", "total_forks",
    "migrate_cached_sockets", "slave_expires_tracked_keys", "active_defrag_hits",
    "active_defrag_misses", "active_defrag_key_hits", "active_defrag_key_misses",
    "total_active_defrag_time", "current_active_defrag_time", "tracking_total_keys",
    "tracking_total_items", "tracking_total_prefixes", "unexpected_error_replies",
    "expired_time_cap_reached_count", "dump_payload_sanitizations", "reply_buffer_shrinks",
    "reply_buffer_expands",
)  # fmt: skip
# True of a server that forks no child and reads neither a dump file nor an append-only file.
_NO_CHILD = (
    "current_cow_peak", "current_cow_size", "current_cow_size_age", "current_save_keys_processed",
    "current_save_keys_total", "rdb_last_cow_size", "rdb_last_load_keys_expired",
    "rdb_last_load_keys_loaded", "aof_rewrites", "aof_rewrites_consecutive_failures",
    "aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size",
)  # fmt: skip
_NEVER_DENIED = ("acl_access_denied_cmd", "acl_access_denied_key", "acl_access_denied_channel")


def server(facts: Facts) -> Fields:
    """The process, its versions and where it listens."""
    config, identity = facts.config, facts.services.identity
    uptime = int(facts.now - identity.started)
    path = facts.services.settings.path
    threads = config.server.io_threads if config.server.transport == "reactors" else 1
    return [
        ("redis_version", REDIS_VERSION),
        ("ferrite_version", __version__),
        # Redis writes zeros for a build that does not come from its own repository.
        ("redis_git_sha1", "00000000"),
        ("redis_git_dirty", 0),
        ("redis_build_id", process.build_id()),
        ("redis_mode", "standalone"),
        ("os", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("arch_bits", struct.calcsize("P") * 8),
        ("python_version", platform.python_version()),
        ("multiplexing_api", "epoll"),
        ("monotonic_clock", "POSIX clock_gettime"),
        ("atomicvar_api", "c11-builtin"),
        ("process_id", os.getpid()),
        ("process_supervised", "systemd" if os.environ.get("NOTIFY_SOCKET") else "no"),
        ("run_id", identity.run_id),
        ("tcp_port", config.server.port or config.tls.port),
        ("server_time_usec", time.time_ns() // 1000),
        ("uptime_in_seconds", uptime),
        ("uptime_in_days", uptime // 86400),
        ("hz", config.server.hz),
        ("configured_hz", config.server.hz),
        ("lru_clock", facts.number("now_ms") // 1000 & 0xFFFFFF),
        ("executable", process.executable()),
        ("config_file", path.resolve() if path is not None else ""),
        ("io_threads_active", int(threads > 1)),
        *((f"listener{i}", text) for i, text in enumerate(_listeners(config))),
    ]


def _listeners(config: Config) -> Iterable[str]:
    bind = "".join(f",bind={address}" for address in config.server.bind)
    if config.server.port:
        yield f"name=tcp{bind},port={config.server.port}"
    if config.tls.port:
        yield f"name=tls{bind},port={config.tls.port}"
    if config.server.unix_socket:
        yield f"name=unix,bind={config.server.unix_socket}"


def clients(facts: Facts) -> Fields:
    """Connections; there are no replicas, cluster links or tracking clients."""
    return [
        ("connected_clients", facts.number("clients")),
        ("cluster_connections", 0),
        ("maxclients", facts.config.server.max_connections),
        *present(facts, {
            "client_recent_max_input_buffer": "client_max_input",
            "client_recent_max_output_buffer": "client_max_output",
            "blocked_clients": "blocked_clients",
        }),
        ("tracking_clients", 0),
        *present(facts, {"clients_in_timeout_table": "timed_clients"}),
        ("total_blocking_keys", 0),
        ("total_blocking_keys_on_nokey", 0),
    ]  # fmt: skip


def _found(facts: Facts) -> Fields:
    """What the data folder held at the start; nothing without one."""
    found = facts.services.native.found()
    if found is None:
        return []
    return [
        ("data_found", found["found"]),
        ("data_found_keys", found["keys"]),
        ("data_found_ms", found["took_ms"]),
        ("data_set_aside", found["aside"]),
    ]


def persistence(facts: Facts) -> Fields:
    """Saves happen at a stop: none has run, and none has failed; no child writes any."""
    return [
        *_found(facts),
        ("loading", 0),
        ("async_loading", 0),
        ("rdb_changes_since_last_save", facts.number("changes")),
        ("rdb_bgsave_in_progress", 0),
        ("rdb_last_save_time", facts.number("started_ms") // 1000),
        ("rdb_last_bgsave_status", "ok"),
        ("rdb_last_bgsave_time_sec", -1),
        ("rdb_current_bgsave_time_sec", -1),
        ("rdb_saves", 0),
        *((name, 0) for name in _NO_CHILD),
        ("current_fork_perc", "0.00"),
        ("aof_enabled", 0),
        ("aof_rewrite_in_progress", 0),
        ("aof_rewrite_scheduled", 0),
        ("aof_last_rewrite_time_sec", -1),
        ("aof_current_rewrite_time_sec", -1),
        ("aof_last_bgrewrite_status", "ok"),
        ("aof_last_write_status", "ok"),
    ]


def stats(facts: Facts) -> Fields:
    """Counters since the start or the last CONFIG RESETSTAT, and rates of the last 1.6 seconds."""
    rates = facts.services.rates
    counted = {
        "expired_keys": "expired_keys",
        "evicted_keys": "evicted_keys",
        "evicted_clients": "memory_kills",
        "keyspace_hits": "hits",
        "keyspace_misses": "misses",
    }
    exceeded = facts.services.exceeded
    absent = ("sync_full", "sync_partial_ok", "sync_partial_err")
    return [
        ("total_connections_received", facts.number("connections")),
        ("total_commands_processed", facts.number("commands")),
        ("instantaneous_ops_per_sec", round(rates.per_second("commands"))),
        ("total_net_input_bytes", facts.number("net_in")),
        ("total_net_output_bytes", facts.number("net_out")),
        ("total_net_repl_input_bytes", 0),
        ("total_net_repl_output_bytes", 0),
        ("instantaneous_input_kbps", f"{rates.per_second('net_in') / _KIB:.2f}"),
        ("instantaneous_output_kbps", f"{rates.per_second('net_out') / _KIB:.2f}"),
        ("instantaneous_input_repl_kbps", "0.00"),
        ("instantaneous_output_repl_kbps", "0.00"),
        ("rejected_connections", facts.number("connections_rejected")),
        *((name, 0) for name in absent),
        *((field, facts.number(name)) for field, name in counted.items()),
        ("total_eviction_exceeded_time", exceeded.total_ms),
        ("current_eviction_exceeded_time", exceeded.current_ms),
        ("expire_cycle_cpu_milliseconds", facts.number("step_expire_us_total") // 1000),
        *((name, 0) for name in _NEVER),
        ("total_error_replies", facts.number("error_replies")),
        *present(facts, {
            "total_reads_processed": "reads",
            "total_writes_processed": "writes",
        }),
        ("acl_access_denied_auth", facts.services.native.error_counts().get("WRONGPASS", 0)),
        *((name, 0) for name in _NEVER_DENIED),
        ("client_query_buffer_limit_disconnections", facts.number("query_kills")),
        ("client_output_buffer_limit_disconnections", facts.number("output_kills")),
        ("timeout_disconnections", facts.number("timeout_kills")),
        ("protocol_errors", facts.number("protocol_errors")),
        ("engine_step_max_us", max(facts.number(f"step_{kind}_us_max") for kind in STEP_KINDS)),
        ("engine_step_max_cpu_us",
         max(facts.number(f"step_{kind}_cpu_us_max") for kind in STEP_KINDS)),
    ]  # fmt: skip


def replication(facts: Facts) -> Fields:
    """A master without replicas and without a backlog."""
    return [
        ("role", "master"),
        ("connected_slaves", 0),
        ("master_failover_state", "no-failover"),
        ("master_replid", facts.services.identity.replication.text),
        ("master_replid2", "0" * 40),
        ("master_repl_offset", 0),
        ("second_repl_offset", -1),
        ("repl_backlog_active", 0),
        ("repl_backlog_size", 0),
        ("repl_backlog_first_byte_offset", 0),
        ("repl_backlog_histlen", 0),
    ]


def cpu(_facts: Facts) -> Fields:
    """Processor time in seconds; the main thread is the one that runs Python's loop."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    main = resource.getrusage(resource.RUSAGE_THREAD)
    return [
        ("used_cpu_sys", f"{own.ru_stime:.6f}"),
        ("used_cpu_user", f"{own.ru_utime:.6f}"),
        ("used_cpu_sys_children", f"{children.ru_stime:.6f}"),
        ("used_cpu_user_children", f"{children.ru_utime:.6f}"),
        ("used_cpu_sys_main_thread", f"{main.ru_stime:.6f}"),
        ("used_cpu_user_main_thread", f"{main.ru_utime:.6f}"),
    ]


def modules(_facts: Facts) -> Fields:
    """There are none."""
    return []


def commandstats(facts: Facts) -> Fields:
    """Calls and times of every command that was asked for."""
    fields: Fields = []
    for row in facts.services.native.commands():
        calls, rejected, failed = row["calls"], row["rejected"], row["failed"]
        if not calls and not rejected:
            continue
        python = facts.services.durations.of(row["name"])
        usec = python.nanoseconds // 1000 if python is not None else row["microseconds"]
        text = f"calls={calls},usec={usec},usec_per_call={usec / max(1, calls):.2f}"
        text += f",rejected_calls={rejected},failed_calls={failed}"
        fields.append((f"cmdstat_{row['name']}", text))
    return fields


def errorstats(facts: Facts) -> Fields:
    """Error replies by their first word."""
    counts = facts.services.native.error_counts()
    return [(f"errorstat_{name}", f"count={count}") for name, count in counts.items()]


def latencystats(facts: Facts) -> Fields:
    """Percentiles of every command's time, in microseconds; nothing while they are not tracked."""
    server = facts.config.server
    if not server.latency_tracking:
        return []
    fields: Fields = []
    for name, native in facts.services.native.latencies().items():
        python = facts.services.durations.of(name)
        histogram = python.histogram if python is not None else native
        parts = [
            f"p{percent_text(percent)}={percentile_ns(histogram, percent) / 1000:.3f}"
            for percent in server.latency_tracking_info_percentiles
        ]
        fields.append((f"latency_percentiles_usec_{name}", ",".join(parts)))
    return fields


def percent_text(percent: float) -> str:
    """A percentile as INFO names it: without zeros at its end."""
    return f"{percent:f}".rstrip("0").rstrip(".")


def cluster(_facts: Facts) -> Fields:
    """This server is alone."""
    return [("cluster_enabled", 0)]


def keyspace(facts: Facts) -> Fields:
    """The databases that have keys."""
    return [
        (f"db{number}", f"keys={keys},expires={expires},avg_ttl={ttl_ms}")
        for number, (keys, expires, ttl_ms) in enumerate(facts.services.native.databases())
        if keys
    ]


def ferrite(facts: Facts) -> Fields:
    """The engine: the log, the index, and how long the lock was held at a time."""
    names = (
        "log_bytes", "log_live_bytes", "log_segments", "in_place", "appended",
        "compacted_segments", "compacted_bytes", "expired_unreclaimed_bytes", "index_bytes",
        "index_buckets", "index_overflow_buckets", "index_splits", "index_merges", "memory_log",
        "memory_index", "memory_client", "memory_engine", "memory_scratch", "monitors",
        "python_waiting",
    )  # fmt: skip
    steps = [
        f"step_{kind}_{part}"
        for kind in STEP_KINDS
        for part in ("count", "us_total", "us_max", "cpu_us_max")
    ]
    return [
        ("transport", facts.config.server.transport),
        ("io_threads", facts.config.server.io_threads),
        *((name, facts.number(name)) for name in (*names, *steps)),
    ]


def hybridlog(facts: Facts) -> Fields:
    """The tiers of the store: sizes, hits, what moves between them, the disk."""
    return hybridlog_fields(facts.tiers)


def mrc(facts: Facts) -> Fields:
    """The hit-ratio curve: what a memory of another size would do."""
    return mrc_fields(facts)


def hotkeys(facts: Facts) -> Fields:
    """The keys that take most uses, bytes, processor time and reads from disk."""
    return hot_key_fields(facts)


def prefixes(facts: Facts) -> Fields:
    """What is done with keys, by their prefix."""
    return prefix_fields(facts)


def misses(facts: Facts) -> Fields:
    """Why look-ups found nothing, and the table of keys that are gone, which tells it."""
    reasons = ("never_seen", "expired", "evicted", "deleted", "flushed")
    table = ("bytes", "capacity", "keys", *reasons[1:], "pending", "forgotten")
    return [
        *((f"misses_{reason}", facts.number(f"misses_{reason}")) for reason in reasons),
        *((f"misses_table_{name}", facts.number(f"gone_{name}")) for name in table),
        ("misses_false_attribution", f"{facts.statistics['gone_error']:.6f}"),
    ]


SECTIONS: dict[str, tuple[str, Callable[[Facts], Fields]]] = {
    "server": ("Server", server),
    "clients": ("Clients", clients),
    "memory": ("Memory", memory),
    "persistence": ("Persistence", persistence),
    "stats": ("Stats", stats),
    "replication": ("Replication", replication),
    "cpu": ("CPU", cpu),
    "modules": ("Modules", modules),
    "commandstats": ("Commandstats", commandstats),
    "errorstats": ("Errorstats", errorstats),
    "latencystats": ("Latencystats", latencystats),
    "cluster": ("Cluster", cluster),
    "keyspace": ("Keyspace", keyspace),
    "hybridlog": ("Hybridlog", hybridlog),
    "mrc": ("Mrc", mrc),
    "misses": ("Misses", misses),
    "hotkeys": ("Hotkeys", hotkeys),
    "prefixes": ("Prefixes", prefixes),
    "ferrite": ("Ferrite", ferrite),
}
"""Each section's title and what makes its fields, in the order of the reply."""

_EXTRA = (
    "commandstats", "latencystats", "hybridlog", "mrc", "misses", "hotkeys", "prefixes", "ferrite",
)  # fmt: skip
"""Sections that are shown only when they are asked for; `hybridlog` also when there is a disk."""


def chosen_sections(words: Sequence[str], *, is_tiered: bool = False) -> list[str]:
    """The names of the sections that the arguments of INFO ask for, in the order of the reply."""
    extra = set(_EXTRA) - ({"hybridlog"} if is_tiered else set())
    groups = {
        "default": set(SECTIONS) - extra,
        "all": set(SECTIONS) - {"ferrite"},
        "everything": set(SECTIONS),
    }
    wanted: set[str] = set()
    for word in words or ("default",):
        wanted |= groups.get(word.lower(), {word.lower()})
    return [name for name in SECTIONS if name in wanted]


def render(names: Iterable[str], facts: Facts) -> str:
    """The text of the sections, an empty line between them."""
    texts: list[str] = []
    for name in names:
        title, make = SECTIONS[name]
        lines = [f"# {title}", *(f"{field}:{value}" for field, value in make(facts))]
        texts.append("".join(f"{line}\r\n" for line in lines))
    return "\r\n".join(texts)


@command(
    "info",
    arity=-1,
    group="server",
    since="1.0.0",
    summary="Answers what the server knows about itself, by section.",
    syntax="[section [section ...]]",
    flags=("loading", "stale"),
    categories=("dangerous",),
    tips=("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
)
async def info(call: Call) -> Reply:
    """Answer the sections that the arguments name."""
    facts = facts_of(call.services)
    words = [text_of(word) for word in call.args[1:]]
    return Verbatim(render(chosen_sections(words, is_tiered=facts.tiers["tiered"]), facts))
