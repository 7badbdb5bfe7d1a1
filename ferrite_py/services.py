"""What the packages of the control plane share: one frozen object that the server makes.

The packages in the middle (`listen`, `commands`, ...) never import each other; what one needs of
the rest of the server comes from here.
"""

import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ferrite_py import logs
from ferrite_py._native import Server
from ferrite_py.config import (
    Config,
    OutputLimit,
    Sources,
    TlsConfig,
    apply_runtime,
    changed_names,
    conflict,
    with_values,
)
from ferrite_py.config_rewrite import rewrite
from ferrite_py.errors import ConfigError, ParameterError, StartupError
from ferrite_py.file_limit import raise_file_limit, segment_files_max
from ferrite_py.keep import Keep
from ferrite_py.rates import Durations, Exceeded, Rates

log = logging.getLogger(__name__)


SAMPLES_MAX = 64
"""Keys that an eviction compares at most: native/store/evict.c."""


def engine_options(config: Config) -> dict[str, Any]:
    """What the engine takes of the configuration; sizes in bytes."""
    server, storage = config.server, config.storage
    limits = server.client_output_buffer_limit
    return {
        "databases": storage.databases,
        "memory_max": storage.max_memory,
        "policy": storage.eviction_policy,
        "samples": min(storage.maxmemory_samples, SAMPLES_MAX),
        "lfu_log_factor": storage.lfu_log_factor,
        "lfu_decay_minutes": storage.lfu_decay_time,
        "segment_size": storage.segment_size,
        "data_dir": os.fsencode(storage.data_dir),
        "mutable_size": storage.hybridlog_mutable_size,
        "readonly_size": storage.hybridlog_readonly_size,
        "cache_size": storage.read_cache_size,
        "disk_max": storage.max_disk,
        "files_max": segment_files_max(server.max_connections) if storage.data_dir else 0,
        "serves_damaged": storage.damaged_files == "serve",
        "lock_memory": storage.lock_memory,
        "gone_size": config.insight.miss_table_size if config.insight.miss_reasons else 0,
        "disk_depth": storage.disk_queue_depth,
        "disk_engine": storage.disk_engine.encode(),
        "bulk_len_max": server.proto_max_bulk_len,
        "query_buffer_max": server.client_query_buffer_limit,
        "output_limits": [_triple(limits.normal), _triple(limits.replica), _triple(limits.pubsub)],
        "clients_memory_max": server.max_memory_clients.resolve(storage.max_memory),
        "timeout_seconds": server.timeout,
        "slowlog_threshold_us": server.slowlog_log_slower_than,
        "slowlog_max": min(server.slowlog_max_len, 2**32 - 1),
        "latency_threshold_ms": min(server.latency_monitor_threshold, 2**32 - 1),
        "expire_effort": storage.active_expire_effort,
        "hz": server.hz,
        "hll_sparse_bytes_max": storage.hll_sparse_max_bytes,
        "latency_tracking": server.latency_tracking,
        "metrics": config.metrics.enabled
        or (config.telemetry.enabled and config.telemetry.metrics_enabled),
        "insight_hot_keys": config.insight.hot_keys,
        "insight_hot_half_life_s": config.insight.hot_keys_half_life,
        "insight_curve": config.insight.curve,
        "insight_curve_half_life_s": config.insight.curve_half_life,
        "insight_prefixes": config.insight.prefixes,
        "insight_prefix_patterns": config.telemetry.record_keys == "pattern",
        "insight_prefix_separator": ord(config.insight.prefix_separator),
        "insight_prefix_parts": config.insight.prefix_parts,
        "insight_prefix_count": config.insight.prefix_count,
        "flush_async": storage.lazyfree_lazy_user_flush,
        "debug_enabled": server.enable_debug_command,
        "requirepass": server.requirepass.encode("utf-8", "surrogateescape"),
    }


def _triple(limit: OutputLimit) -> tuple[int, int, int]:
    return limit.hard_bytes, limit.soft_bytes, limit.soft_seconds


class Engine(Protocol):
    """The part of the native server that takes a changed configuration."""

    def set_options(self, options: dict[str, Any], /) -> None:
        """Set all options at once. Raises ValueError for those it cannot take."""


class Settings:
    """The configuration in force. A change reaches everything that depends on it, or nothing."""

    def __init__(self, config: Config, path: Path | None, sources: Sources, engine: Engine) -> None:
        self._config = config
        self._changed: frozenset[str] = frozenset()
        self._sources = sources
        self._engine = engine
        self._prepare_tls: Callable[[TlsConfig], Callable[[], None]] | None = None
        self._followers: list[Callable[[Config], None]] = []
        self.path = path

    def tell(self, follower: Callable[[Config], None]) -> None:
        """Name what is to hear of each configuration that is put in force; it must not fail."""
        self._followers.append(follower)

    def renew_tls_with(self, prepare: Callable[[TlsConfig], Callable[[], None]]) -> None:
        """Name what reads the TLS files and returns what puts them in force.

        It may raise StartupError, naming the file.
        """
        self._prepare_tls = prepare

    @property
    def config(self) -> Config:
        """The values that count now."""
        return self._config

    def change(self, config: Config, *, renew_tls: bool = False) -> None:
        """Put another configuration in force, with TLS files read anew if wanted.

        Raises ConfigError for TLS files that cannot be used and ParameterError for whatever else
        cannot be; then nothing has changed.
        """
        put_tls = self._prepared_tls(config, renew_tls)
        wanted = config.server.max_connections
        possible = raise_file_limit(wanted, segments=bool(config.storage.data_dir))
        if wanted > self._config.server.max_connections and possible < wanted:
            raise ParameterError(
                "CONFIG SET failed (possibly related to argument 'maxclients') - The operating"
                " system is not able to handle the specified number of clients, try with"
                f" {possible}"
            )
        try:
            self._engine.set_options(engine_options(config))
        except (ValueError, OverflowError) as error:
            raise ParameterError(f"CONFIG SET failed - {error}") from error
        self._changed |= changed_names(self._config, config)
        self._config = config
        logs.set_level(config.logging.level)
        put_tls()
        for follower in self._followers:
            follower(config)

    def _prepared_tls(self, config: Config, is_wanted: bool) -> Callable[[], None]:
        """Read the TLS files if they are wanted or named otherwise than before."""
        if self._prepare_tls is None or (config.tls == self._config.tls and not is_wanted):
            return lambda: None
        contradiction = conflict(config)
        if contradiction is not None:
            raise ConfigError(": ".join(contradiction))
        try:
            return self._prepare_tls(config.tls)
        except StartupError as error:
            raise ConfigError(str(error)) from error

    def reload(self) -> tuple[frozenset[str], frozenset[str]]:
        """Read the sources and the TLS files again; put in force what a running server can take.

        Returns the names of the settings that changed, and of those that need a restart. Raises
        ConfigError, and then nothing has changed.
        """
        loaded, _ = fit_connections(self._sources.load().config)
        running, need_restart = apply_runtime(self._config, loaded)
        if conflict(running) is not None:
            # The files belong to settings of TLS that need a restart: they come with those.
            need_restart |= changed_names(self._config, replace(self._config, tls=loaded.tls))
            running = replace(running, tls=self._config.tls)
        changed = changed_names(self._config, running)
        self.change(running, renew_tls=True)
        return changed, need_restart

    def rewrite(self, path: Path) -> None:
        """Write what was changed in the running server to the file. Raises ConfigError."""
        rewrite(path, self._config, self._changed, self._sources.environ)


def fit_connections(config: Config) -> tuple[Config, int]:
    """The configuration with no more connections than the system has files for.

    Also returns how many were wanted; 0 when all fit.
    """
    wanted = config.server.max_connections
    possible = raise_file_limit(wanted, segments=bool(config.storage.data_dir))
    if possible == wanted:
        return config, 0
    return with_values(config, {"server.max_connections": possible}), wanted


class ReplicationId:
    """What INFO shows as `master_replid`; DEBUG CHANGE-REPL-ID takes another."""

    def __init__(self) -> None:
        self.text = secrets.token_hex(20)

    def change(self) -> None:
        """Take another one."""
        self.text = secrets.token_hex(20)


@dataclass(frozen=True, slots=True)
class Identity:
    """What is fixed for the life of this process."""

    started: float = field(default_factory=time.monotonic)
    run_id: str = field(default_factory=lambda: secrets.token_hex(20))
    replication: ReplicationId = field(default_factory=ReplicationId)
    startup_memory: int = 0
    """Bytes that the empty engine took."""


@dataclass(frozen=True, slots=True)
class Services:
    """What every part of the control plane may use."""

    native: Server
    settings: Settings
    identity: Identity
    rates: Rates
    durations: Durations
    stop: Callable[[str], None]
    """Begin to stop the server; the text says why, for the log."""
    exceeded: Exceeded = field(default_factory=Exceeded)
    keep: Keep = field(default_factory=Keep)
    """What a stop does with the data folder."""
