"""Every setting of the server, declared once: one field of the section that it belongs to.

The example file, the reference in `docs/`, the environment name, the flag and the CONFIG parameter
all follow from the fields; `python -m tools.generate` writes the files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from ferrite_py.config_kinds import (
    INT32_MAX,
    INT64_MAX,
    UINT32_MAX,
    Boolean,
    Choice,
    Duration,
    FileMode,
    Integer,
    Kind,
    Size,
    Text,
    Words,
)
from ferrite_py.config_limits import (
    MemoryBound,
    OutputLimits,
    OutputLimitTable,
    Percentiles,
    SizeOrPercent,
)
from ferrite_py.config_sources import Setting

T = TypeVar("T")

EVICTION_POLICIES = (
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
)
# Redis has no "error": it shows as the nearest level, and its "verbose" is our "debug".
_REDIS_LEVELS = (("debug", "debug"), ("verbose", "debug"), ("notice", "info"), ("warning", "warn"))
# As Python's logging names them, and so the variables of many servers; nothing is above "error".
_LEVEL_ALIASES = (("warning", "warn"), ("critical", "error"))


def setting(
    default: T,
    kind: Kind[T],
    meaning: str,
    *,
    redis: str = "",
    runtime: bool = False,
    secret: bool = False,
    flag: str = "",
    otel: str = "",
    otel_read: Callable[[str], str | None] = str,
    otel_counts: Callable[[Mapping[str, str]], bool] | None = None,
    hide: Callable[[str], str] | None = None,
) -> T:
    """Declare a field together with all that is to be known of it; see `Setting`."""
    made = partial(
        Setting,
        kind=kind,
        default=default,
        meaning=meaning,
        redis=redis,
        runtime=runtime,
        secret=secret,
        flag=flag,
        otel=otel,
        otel_read=otel_read,
        otel_counts=otel_counts,
        hide=hide,
    )
    declared: T = field(default=default, metadata={"setting": made})
    return declared


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Connections: where they come in, who may connect, and what each may use."""

    bind: tuple[str, ...] = setting(
        ("127.0.0.1", "-::1"),
        Words(),
        "Addresses to listen on. One that starts with - may be missing on this machine.",
        redis="bind",
        flag="--bind",
    )
    port: int = setting(
        6379, Integer(0, 65535), "TCP port; 0 switches TCP off.", redis="port", flag="--port"
    )
    unix_socket: str = setting(
        "",
        Text(),
        "Path of a unix socket to listen on as well; empty for none.",
        redis="unixsocket",
    )
    unix_socket_permissions: int = setting(
        0,
        FileMode(),
        "Permission bits of the unix socket; 0 leaves them to the umask.",
        redis="unixsocketperm",
    )
    transport: str = setting(
        "reactors",
        Choice(("reactors", "streams")),
        "What carries the bytes: native threads, or asyncio. TLS is always carried by asyncio.",
    )
    io_threads: int = setting(
        1, Integer(1, 64), "Native threads that serve connections.", redis="io-threads"
    )
    max_connections: int = setting(
        10_000,
        Integer(1, UINT32_MAX),
        "Connections at one time; more are told so and closed.",
        redis="maxclients",
        runtime=True,
    )
    tcp_backlog: int = setting(
        511,
        Integer(1, 65535),
        "Connections that may wait to be accepted; the kernel's somaxconn bounds it as well.",
        redis="tcp-backlog",
    )
    tcp_keepalive: int = setting(
        300,
        Duration("s"),
        "Silence after which TCP asks whether the peer is alive, in seconds; 0 for never.",
        redis="tcp-keepalive",
        runtime=True,
    )
    timeout: int = setting(
        0,
        Duration("s"),
        "Silence after which an idle client is closed, in seconds; 0 for never.",
        redis="timeout",
        runtime=True,
    )
    shutdown_timeout: int = setting(
        10,
        Duration("s"),
        "How long a stop waits for requests that are under way, in seconds.",
        redis="shutdown-timeout",
        runtime=True,
    )
    protected_mode: bool = setting(
        True,
        Boolean(),
        "While there is no password, refuse clients from other machines.",
        redis="protected-mode",
        runtime=True,
    )
    requirepass: str = setting(
        "",
        Text(),
        "Password of the default user; empty for none. A flag would show it to other users.",
        redis="requirepass",
        runtime=True,
        secret=True,
    )
    proto_max_bulk_len: int = setting(
        512 << 20,
        Size(low=1 << 20),
        "Largest single argument of a request, in bytes.",
        redis="proto-max-bulk-len",
        runtime=True,
    )
    client_query_buffer_limit: int = setting(
        1 << 30,
        Size(low=1 << 20),
        "Largest unfinished request of one client, in bytes; beyond it the client is closed.",
        redis="client-query-buffer-limit",
        runtime=True,
    )
    client_output_buffer_limit: OutputLimits = setting(  # noqa: RUF009 - it is frozen
        OutputLimits(),
        OutputLimitTable(),
        "Replies that a client of each class may leave unread: it is closed above the hard limit,"
        " or after so many seconds above the soft one. 0 is no limit; classes not named keep"
        " theirs.",
        redis="client-output-buffer-limit",
        runtime=True,
    )
    max_memory_clients: MemoryBound = setting(  # noqa: RUF009 - it is frozen
        MemoryBound(0),
        SizeOrPercent(),
        "Memory of all clients' buffers, in bytes or as a percentage of storage.max_memory; beyond"
        " it the largest clients are closed. 0 is no limit; less than 128kb is taken for 128kb.",
        redis="maxmemory-clients",
        runtime=True,
    )
    hz: int = setting(
        10,
        Integer(1, 500, redis_clamps=True),
        "How often per second the server looks after idle clients and its statistics.",
        redis="hz",
        runtime=True,
    )
    slowlog_log_slower_than: int = setting(
        10_000,
        Duration("us", low=-1, high=INT64_MAX),
        "Commands that take longer enter the slow log, in microseconds; 0 for all, -1 for none.",
        redis="slowlog-log-slower-than",
        runtime=True,
    )
    slowlog_max_len: int = setting(
        128,
        Integer(0, INT64_MAX),
        "Entries that the slow log keeps.",
        redis="slowlog-max-len",
        runtime=True,
    )
    latency_tracking: bool = setting(
        True,
        Boolean(),
        "Whether durations are counted by command, for LATENCY HISTOGRAM and INFO latencystats.",
        redis="latency-tracking",
        runtime=True,
    )
    latency_tracking_info_percentiles: tuple[float, ...] = setting(
        (50.0, 99.0, 99.9),
        Percentiles(),
        "The percentiles of durations that INFO latencystats shows.",
        redis="latency-tracking-info-percentiles",
        runtime=True,
    )
    latency_monitor_threshold: int = setting(
        0,
        Duration("ms", high=INT64_MAX),
        "Events that take at least so long enter the latency history, in milliseconds; 0 for none.",
        redis="latency-monitor-threshold",
        runtime=True,
    )
    enable_debug_command: bool = setting(
        False,
        Boolean(),
        "Whether clients may use DEBUG, which is for tests and can stop the server from answering.",
        redis="enable-debug-command",
    )


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """What is kept, how much of it, and what goes first."""

    databases: int = setting(
        16,
        Integer(1, 1024),
        "Number of databases that SELECT can choose from.",
        redis="databases",
    )
    max_memory: int = setting(
        0,
        Size(),
        "Memory for keys and values, in bytes; 0 is no limit.",
        redis="maxmemory",
        runtime=True,
    )
    data_dir: str = setting(
        "",
        Text(),
        "Folder on a disk for what does not fit into memory; empty to keep all data in memory. One"
        " server at a time may use it.",
        redis="dir",
        flag="--data-dir",
    )
    hybridlog_mutable_size: int = setting(
        0,
        Size(low=256 << 10, zero_word="auto"),
        "With data_dir: memory for the newest data, which are changed in place; auto is a share of"
        " what max_memory leaves for data. Sizes that are set become smaller, in proportion, when"
        " it does not leave as much.",
        redis="hybridlog-mutable-size",
        runtime=True,
    )
    hybridlog_readonly_size: int = setting(
        0,
        Size(low=64 << 10, zero_word="auto"),
        "With data_dir: memory for what has been written to disk and is still in memory.",
        redis="hybridlog-readonly-size",
        runtime=True,
    )
    read_cache_size: int = setting(
        0,
        Size(low=128 << 10, zero_word="auto"),
        "With data_dir: memory for copies of what is read from disk.",
        redis="read-cache-size",
        runtime=True,
    )
    max_disk: int = setting(
        0,
        Size(),
        "With data_dir: disk space for data, in bytes; 0 is no limit but the disk's.",
        redis="max-disk",
        runtime=True,
    )
    lock_memory: bool = setting(
        True,
        Boolean(),
        "With data_dir: keep mapped files in memory (mlock) as far as RLIMIT_MEMLOCK allows; what"
        " it does not allow is mapped all the same.",
        redis="lock-memory",
        runtime=True,
    )
    disk_queue_depth: int = setting(
        256,
        Integer(1, 4096),
        "With data_dir: disk reads that may be under way at a time; further ones wait.",
    )
    disk_engine: str = setting(
        "auto",
        Choice(("auto", "io_uring", "threads")),
        "With data_dir: how the disk is read; auto takes io_uring where the system allows it.",
    )
    damaged_files: str = setting(
        "refuse",
        Choice(("refuse", "serve")),
        "With data_dir: what a start does when segment files are lost or not whole; serve: the"
        " others are served, keys of such files answer errors until they are written or deleted.",
    )
    eviction_policy: str = setting(
        "noeviction",
        Choice(EVICTION_POLICIES),
        "What goes when max_memory is reached; with noeviction, writes are refused.",
        redis="maxmemory-policy",
        runtime=True,
    )
    maxmemory_samples: int = setting(
        5,
        Integer(1, INT32_MAX),
        "Keys that an eviction compares; more choose better and cost more. More than 64 count as"
        " 64.",
        redis="maxmemory-samples",
        runtime=True,
    )
    lfu_log_factor: int = setting(
        10,
        Integer(0, INT32_MAX),
        "How slowly a key's frequency counter grows.",
        redis="lfu-log-factor",
        runtime=True,
    )
    lfu_decay_time: int = setting(
        1,
        Duration("m"),
        "Time after which a key's frequency counter loses one, in minutes; 0 for never.",
        redis="lfu-decay-time",
        runtime=True,
    )
    hll_sparse_max_bytes: int = setting(
        3000,
        Size(high=UINT32_MAX),
        "Length beyond which a HyperLogLog takes its dense form, in bytes.",
        redis="hll-sparse-max-bytes",
        runtime=True,
    )
    segment_size: int = setting(
        0,
        Size(low=64 << 10, high=32 << 20, zero_word="auto", power_of_two=True),
        "The unit in which the log takes and frees memory, in bytes; auto follows max_memory.",
    )
    active_expire_effort: int = setting(
        1,
        Integer(1, 10),
        "How hard the server looks for expired keys that nobody reads.",
        redis="active-expire-effort",
        runtime=True,
    )
    lazyfree_lazy_user_flush: bool = setting(
        False,
        Boolean(),
        "Whether FLUSHALL and FLUSHDB without SYNC or ASYNC free all memory in the background. "
        "SYNC frees at once what takes less than a millisecond.",
        redis="lazyfree-lazy-user-flush",
        runtime=True,
    )


@dataclass(frozen=True, slots=True)
class LoggingConfig:
    """The server's own log."""

    level: str = setting(
        "info",
        Choice(("debug", "info", "warn", "error"), _REDIS_LEVELS, _LEVEL_ALIASES),
        "The least important messages that are written. warning is warn, and critical is error.",
        redis="loglevel",
        runtime=True,
        flag="--log-level",
    )
    format: str = setting(
        "pretty",
        Choice(("json", "pretty")),
        "One JSON object a line for machines, or text for people.",
    )
    file: str = setting(
        "",
        Text(),
        "File that messages are appended to; empty for standard error, - for standard output.",
        redis="logfile",
    )


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Encrypted connections, on a port of their own."""

    port: int = setting(
        0, Integer(0, 65535), "TCP port for TLS; 0 switches TLS off.", redis="tls-port"
    )
    cert_file: str = setting(
        "",
        Text(),
        "The server's certificate and those that vouch for it, as PEM.",
        redis="tls-cert-file",
        runtime=True,
    )
    key_file: str = setting(
        "", Text(), "The certificate's private key, as PEM.", redis="tls-key-file", runtime=True
    )
    ca_file: str = setting(
        "",
        Text(),
        "Certificates of those whose word for a client is taken, as PEM.",
        redis="tls-ca-cert-file",
        runtime=True,
    )
    client_auth: str = setting(
        "yes",
        Choice(("no", "optional", "yes")),
        "Whether clients must show a certificate; anything but no needs ca_file.",
        redis="tls-auth-clients",
    )
