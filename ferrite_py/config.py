"""Every setting of the server, declared once, and loading them.

A setting is one field below. The example file, the reference in `docs/`, the environment name, the
flag and the CONFIG parameter all follow from it; `python -m tools.generate` writes the files.

Precedence: the defaults, then the file, then `FERRITE_<SECTION>_<KEY>`, then the flags. Values are
checked here, once; what reads a `Config` can rely on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

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
    OutputLimit,
    OutputLimits,
    OutputLimitTable,
    SizeOrPercent,
)
from ferrite_py.config_sources import (
    Assignment,
    Catalogue,
    Setting,
    parse_assignment,
    read_environment,
    read_file,
    read_flags,
)
from ferrite_py.errors import ConfigError

__all__ = [
    "CATALOGUE",
    "Config",
    "Loaded",
    "LoggingConfig",
    "MemoryBound",
    "OutputLimit",
    "OutputLimits",
    "ServerConfig",
    "Sources",
    "StorageConfig",
    "TlsConfig",
    "apply_runtime",
    "changed_names",
    "load",
    "with_values",
]

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


def setting(
    default: T,
    kind: Kind[T],
    meaning: str,
    *,
    redis: str = "",
    runtime: bool = False,
    secret: bool = False,
    flag: str = "",
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
        " it the largest clients are closed. 0 is no limit.",
        redis="maxmemory-clients",
        runtime=True,
    )
    hz: int = setting(
        10,
        Integer(1, 500),
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
        Integer(1, 10_000),
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
    eviction_policy: str = setting(
        "noeviction",
        Choice(EVICTION_POLICIES),
        "What goes when max_memory is reached; with noeviction, writes are refused.",
        redis="maxmemory-policy",
        runtime=True,
    )
    maxmemory_samples: int = setting(
        5,
        Integer(1, 64),
        "Keys that an eviction compares; more choose better and cost more.",
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
        "Whether FLUSHALL and FLUSHDB without SYNC or ASYNC free the memory in the background.",
        redis="lazyfree-lazy-user-flush",
        runtime=True,
    )


@dataclass(frozen=True, slots=True)
class LoggingConfig:
    """The server's own log."""

    level: str = setting(
        "info",
        Choice(("debug", "info", "warn", "error"), _REDIS_LEVELS),
        "The least important messages that are written.",
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
        "", Text(), "File that messages are appended to; empty for standard error.", redis="logfile"
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
    )
    key_file: str = setting(
        "", Text(), "The certificate's private key, as PEM.", redis="tls-key-file"
    )
    ca_file: str = setting(
        "",
        Text(),
        "Certificates of those whose word for a client is taken, as PEM.",
        redis="tls-ca-cert-file",
    )
    client_auth: str = setting(
        "yes",
        Choice(("no", "optional", "yes")),
        "Whether clients must show a certificate; anything but no needs ca_file.",
        redis="tls-auth-clients",
    )


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, one part for each section of the file."""

    server: ServerConfig = ServerConfig()
    storage: StorageConfig = StorageConfig()
    logging: LoggingConfig = LoggingConfig()
    tls: TlsConfig = TlsConfig()

    def value(self, name: str) -> Any:
        """The value of a setting by its dotted name."""
        section, _, key = name.partition(".")
        return getattr(getattr(self, section), key)


def _settings() -> tuple[Setting, ...]:
    defaults = Config()
    sections = [(section.name, getattr(defaults, section.name)) for section in fields(Config)]
    return tuple(
        declared.metadata["setting"](section=section, key=declared.name)
        for section, values in sections
        for declared in fields(values)
    )


CATALOGUE = Catalogue(_settings())
"""All settings, in the order of the fields."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and for each setting that is not at its default what set it."""

    config: Config
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a configuration comes from, so that a reload can read it again."""

    path: Path | None
    environ: Mapping[str, str]
    flags: Mapping[str, str]

    def load(self) -> Loaded:
        """Read all layers. Raises ConfigError, naming the place and the key."""
        assignments = read_file(self.path, CATALOGUE) if self.path is not None else []
        assignments += read_environment(self.environ, CATALOGUE)
        assignments += read_flags(self.flags, CATALOGUE)
        return combine(assignments)


def load(path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]) -> Config:
    """Load the configuration; `flags` are texts by dotted name, such as `server.port`.

    Raises ConfigError, naming the place and the key.
    """
    return Sources(path, environ, flags).load().config


def combine(assignments: list[Assignment]) -> Loaded:
    """Lay assignments over the defaults, later ones over earlier ones. Raises ConfigError."""
    values = {known.name: known.default for known in CATALOGUE.settings}
    origins: dict[str, str] = {}
    for assignment in assignments:
        name = assignment.setting.name
        values[name] = parse_assignment(assignment, values[name])
        origins[name] = assignment.origin
    config = with_values(Config(), values)
    conflict = _conflict(config)
    if conflict is not None:
        name, message = conflict
        place = f"{origins[name]}: " if name in origins else ""
        raise ConfigError(f"{place}{name}: {message}")
    return Loaded(config, origins)


def _conflict(config: Config) -> tuple[str, str] | None:
    """A setting that contradicts another, and what is wrong; None if all agree."""
    server, tls = config.server, config.tls
    is_tcp = bool(server.bind) and (server.port or tls.port)
    if not is_tcp and not server.unix_socket:
        message = "nothing to listen on; set server.port, tls.port or server.unix_socket"
        return "server.bind" if not server.bind else "server.port", message
    if tls.port == 0:
        return None
    if tls.port == server.port:
        return "tls.port", f"{tls.port} is server.port as well; choose another"
    if not tls.cert_file or not tls.key_file:
        missing = "tls.key_file" if tls.cert_file else "tls.cert_file"
        return "tls.port", f"TLS needs {missing} as well"
    if tls.client_auth != "no" and not tls.ca_file:
        message = f'"{tls.client_auth}" needs tls.ca_file, or set it to "no"'
        return "tls.client_auth", message
    return None


def with_values(config: Config, values: Mapping[str, object]) -> Config:
    """The configuration with other values, by dotted name; they must have been parsed."""
    parts: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        parts.setdefault(section, {})[key] = value
    changes: dict[str, Any] = {
        section: replace(getattr(config, section), **part) for section, part in parts.items()
    }
    return replace(config, **changes)


def changed_names(before: Config, after: Config) -> frozenset[str]:
    """The dotted names of the settings in which the two differ."""
    return frozenset(
        known.name
        for known in CATALOGUE.settings
        if before.value(known.name) != after.value(known.name)
    )


def apply_runtime(running: Config, loaded: Config) -> tuple[Config, frozenset[str]]:
    """What a reload gives: `running` with what a running server can take from `loaded`.

    The names beside it are the settings that differ and need a restart.
    """
    changed = changed_names(running, loaded)
    known = [known for known in CATALOGUE.settings if known.name in changed]
    values = {one.name: loaded.value(one.name) for one in known if one.runtime}
    return with_values(running, values), changed - values.keys()
