"""The names of spans and attributes, in the order in which native/event/otlp.h numbers them.

An attribute has the name that Ferrite's documentation gives it, the one of OpenTelemetry's stable
conventions for databases, or both; `telemetry.semconv` says which are sent. Names that begin with
`ferrite.` and `cache.` have no other and are always sent.
"""

from dataclasses import dataclass
from enum import IntEnum

SYSTEM = "ferrite"
"""The value of db.system and db.system.name."""

SCOPE = "ferrite_py"
COMMAND_SPAN = "ferrite.command"
"""The name of a command's span under `semconv = "ferrite"`; else it is the command's."""

RESULTS = ("OK", "NIL", "ERR", "ERR")
"""By fe_trace_result; commands that were refused before they ran are errors as well."""

REJECTED = "ferrite.command.rejected"
ROLE = "ferrite.replication.role"


class Detail(IntEnum):
    """What spans a command has; `telemetry.detail`."""

    COMMAND = 0
    PHASES = 1
    FULL = 2


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one attribute."""

    always: tuple[str, ...] = ()
    ferrite: tuple[str, ...] = ()
    stable: tuple[str, ...] = ()

    def under(self, semconv: str) -> tuple[str, ...]:
        """Those that `telemetry.semconv` asks for."""
        old = self.ferrite if semconv in ("ferrite", "dup") else ()
        new = self.stable if semconv in ("stable", "dup") else ()
        return self.always + old + new


COMMAND_SYSTEM = Names(ferrite=("db.system",), stable=("db.system.name",))
COMMAND_OPERATION = Names(
    always=("ferrite.command.name",), ferrite=("db.operation",), stable=("db.operation.name",)
)
SERVER_ADDRESS = Names(stable=("server.address",))
SERVER_PORT = Names(stable=("server.port",))
RESULT = Names(always=("ferrite.command.result",))

SLOTS = (
    Names(always=("ferrite.command.args_count",)),
    Names(always=("ferrite.command.key",)),
    Names(ferrite=("db.statement",), stable=("db.query.text",)),
    Names(stable=("db.namespace",)),
    Names(stable=("db.response.status_code", "error.type")),
    Names(ferrite=("net.peer.ip",), stable=("network.peer.address",)),
    Names(ferrite=("net.peer.port",), stable=("network.peer.port",)),
    Names(always=("ferrite.connection.id",)),
    Names(always=("cache.hit",)),
    Names(always=("cache.hits",)),
    Names(always=("cache.misses",)),
    Names(always=("db.operation.batch.size",)),
    Names(always=("ferrite.trace.retained",)),
    Names(always=("ferrite.storage.disk_reads",)),
    Names(always=("ferrite.request.bytes",)),
    Names(always=("ferrite.response.bytes",)),
    Names(always=("ferrite.storage.bytes",)),
    Names(always=("ferrite.storage.epoch",)),
    Names(always=("ferrite.command.wait_us",)),
)
"""Attributes whose values are in the record, as fe_otlp_slot numbers them."""


@dataclass(frozen=True, slots=True)
class Part:
    """A span below the command's; with a tier it is of the storage."""

    name: str
    operation: str = ""
    tier: str = ""
    cache_hit: bool = False
    """Whether this tier had the value."""


PARTS = (
    Part("ferrite.resp.parse"),
    Part("ferrite.command.dispatch"),
    Part("ferrite.index.lookup"),
    Part("ferrite.storage.read", "read", "mutable", cache_hit=False),
    Part("ferrite.storage.read", "read", "mutable", cache_hit=True),
    Part("ferrite.storage.read", "read", "read_only", cache_hit=True),
    Part("ferrite.storage.read", "read", "read_cache", cache_hit=True),
    Part("ferrite.storage.read", "read", "disk", cache_hit=True),
    Part("ferrite.storage.write", "write", "mutable", cache_hit=True),
    Part("ferrite.storage.write", "write", "mutable", cache_hit=False),
    Part("ferrite.response.serialize"),
    Part("ferrite.tcp.write"),
)
"""As fe_otlp_part numbers them."""


def operation_name(registered: str) -> str:
    """The name of a command as spans have it: "CONFIG GET" for the registry's "config|get"."""
    return registered.replace("|", " ").upper()
