"""How large the queues of the event bus are, where commands wait for export.

They are memory of the server, and so part of `storage.max_memory`: unless the configuration says
how many commands they hold, they take a small share of it, so that no server becomes too small for
its data by being observed.
"""

from collections.abc import Mapping

from ferrite_py.config import Config

COMMAND_BYTES = 256
"""Memory of one command that waits: `RECORD_ROOM` of native/python/recording.c."""

COMMANDS_USUAL = 65_536
"""Room of each queue where memory is no concern."""

COMMANDS_MIN = 256
"""Room of each queue where there is next to none; a power of two."""

SHARE = 16
"""The queues take at most a 16th of `storage.max_memory`, as far as `COMMANDS_MIN` allows."""

LARGE_SHARE = 4
"""Queues that take more than a quarter of it are warned of."""

_MIB = 1 << 20
_QUEUE_BYTES_MIN = 16_384  # of native/event/ring.h


def queues(config: Config) -> int:
    """How many there are: one for each thread that serves, asyncio's streams among them."""
    has_streams = config.server.transport == "streams" or config.tls.port != 0
    return config.server.io_threads * (config.server.transport == "reactors") + has_streams


def commands_each(config: Config) -> int:
    """How many commands each queue has room for."""
    if config.telemetry.event_bus_queue_size:
        return config.telemetry.event_bus_queue_size
    if not config.storage.max_memory:
        return COMMANDS_USUAL
    room = config.storage.max_memory // SHARE // queues(config) // COMMAND_BYTES
    power = 1 << (room.bit_length() - 1) if room else 0
    return min(max(power, COMMANDS_MIN), COMMANDS_USUAL)


def bytes_of_all(config: Config) -> int:
    """The memory that all queues take: each is a power of two."""
    wanted = max(commands_each(config) * COMMAND_BYTES, _QUEUE_BYTES_MIN)
    return (1 << (wanted - 1).bit_length()) * queues(config)


def is_small(config: Config) -> bool:
    """Whether the queues are smaller than usual for the sake of `storage.max_memory`."""
    return not config.telemetry.event_bus_queue_size and commands_each(config) < COMMANDS_USUAL


def is_used(config: Config, environ: Mapping[str, str]) -> bool:
    """Whether commands are recorded at all."""
    telemetry = config.telemetry
    text = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    words = {word.strip() for word in (text or "otlp").split(",")}
    has_exporter = not words.isdisjoint(("otlp", "console"))
    return telemetry.enabled and telemetry.traces_enabled and has_exporter


def told(config: Config) -> str:
    """The queues' memory and what it is a part of, for people."""
    taken, limit = bytes_of_all(config) / _MIB, config.storage.max_memory / _MIB
    return (
        f"the queues of the event bus take {taken:.4g} MiB of storage.max_memory ({limit:.4g} MiB)"
    )


def warning(config: Config, environ: Mapping[str, str]) -> str | None:
    """What to say where the queues leave little of `storage.max_memory`; else None."""
    taken, limit = bytes_of_all(config), config.storage.max_memory
    if not is_used(config, environ) or limit == 0 or taken * LARGE_SHARE <= limit:
        return None
    effect = "too much for data" if taken < limit else "all of it: every write will be refused"
    return f'telemetry.event_bus_queue_size: {told(config)}, {effect}; "auto" is a 16th'
