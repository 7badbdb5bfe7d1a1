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

RESULTS = ("OK", "NIL", "GONE", "ERR", "ERR")
"""By fe_trace_result; commands that were refused before they ran are errors as well."""

REJECTED = "ferrite.command.rejected"
RETAINED = "ferrite.trace.retained"
ROLE = "ferrite.replication.role"
OPERATION = "ferrite.storage.operation"
TIER = "ferrite.storage.tier"
CACHE_HIT = "ferrite.storage.cache_hit"


class Detail(IntEnum):
    """What spans a command has; `telemetry.detail`."""

    COMMAND = 0
    PHASES = 1
    FULL = 2


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one attribute."""

    meaning: str
    always: tuple[str, ...] = ()
    ferrite: tuple[str, ...] = ()
    stable: tuple[str, ...] = ()

    def under(self, semconv: str) -> tuple[str, ...]:
        """Those that `telemetry.semconv` asks for."""
        old = self.ferrite if semconv in ("ferrite", "dup") else ()
        new = self.stable if semconv in ("stable", "dup") else ()
        return self.always + old + new


COMMAND_SYSTEM = Names("always `ferrite`", ferrite=("db.system",), stable=("db.system.name",))
COMMAND_OPERATION = Names(
    "the command: `GET`, `CONFIG GET`",
    always=("ferrite.command.name",),
    ferrite=("db.operation",),
    stable=("db.operation.name",),
)
SERVER_ADDRESS = Names(
    "the server's address that the client came to; `server.bind` as it stands where it is only one",
    stable=("server.address",),
)
SERVER_PORT = Names("its port; absent of a unix socket", stable=("server.port",))
PEER_ADDRESS = Names(
    "the client's address, or the path of its socket",
    ferrite=("net.peer.ip",),
    stable=("network.peer.address",),
)
PEER_PORT = Names("the client's port", ferrite=("net.peer.port",), stable=("network.peer.port",))
RESULT = Names(
    "`OK`, `NIL` for a null reply, `ERR`, `GONE` where the client had gone before it was answered",
    always=("ferrite.command.result",),
)

SLOTS = (
    Names("arguments, the command among them", always=("ferrite.command.args_count",)),
    Names("the first key, as `telemetry.record_keys` says", always=("ferrite.command.key",)),
    Names(
        "the command line; `?` stands for every argument but the key",
        ferrite=("db.statement",),
        stable=("db.query.text",),
    ),
    Names("number of the database", stable=("db.namespace",)),
    Names(
        "the error's first word: `ERR`, `WRONGTYPE`",
        stable=("db.response.status_code", "error.type"),
    ),
    PEER_ADDRESS,
    PEER_PORT,
    Names("number of the connection, as `CLIENT LIST` has it", always=("ferrite.connection.id",)),
    Names("whether the cache had all keys that were looked up", always=("cache.hit",)),
    Names("keys that it had, of several", always=("cache.hits",)),
    Names("keys that it had not, of several", always=("cache.misses",)),
    Names(
        "commands read at once or in the transaction; keys of one that looks up several",
        always=("db.operation.batch.size",),
    ),
    Names("kept by a rule of retention, though not sampled", always=(RETAINED,)),
    Names("records that it waited for", always=("ferrite.storage.disk_reads",)),
    Names("bytes of the request", always=("ferrite.request.bytes",)),
    Names("bytes of the reply", always=("ferrite.response.bytes",)),
    Names(
        "bytes of the value; on the command's span where several of them share it",
        always=("ferrite.storage.bytes",),
    ),
    Names("epoch: how often a segment has changed its tier", always=("ferrite.storage.epoch",)),
    Names(
        "microseconds that the command waited: for the disk, a time, Python",
        always=("ferrite.command.wait_us",),
    ),
    SERVER_ADDRESS,
    SERVER_PORT,
    Names(
        "what for: `pause` (CLIENT PAUSE, another's EXEC), `room` (the disk to catch up), `disk`,"
        " `time` (WAIT, DEBUG SLEEP), `python`; of several, separated by commas",
        always=("ferrite.command.wait_reason",),
    ),
)
"""Attributes whose values are in the record, as fe_otlp_slot numbers them."""


COMMAND_CONSTANTS = (
    COMMAND_SYSTEM,
    COMMAND_OPERATION,
    RESULT,
    Names("true where the command was refused before it ran", always=(REJECTED,)),
    Names("always `primary`; there is no replication yet", always=(ROLE,)),
)
STORAGE_CONSTANTS = (
    Names("`read` or `write`", always=(OPERATION,)),
    Names("`mutable`, `read_only`, `read_cache` or `disk`", always=(TIER,)),
    Names(
        "whether this tier had the value; of a write: whether its record kept its place",
        always=(CACHE_HIT,),
    ),
)
"""Attributes whose values are the same for a command or a tier."""


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
    Part("ferrite.command.wait"),
)
"""As fe_otlp_part numbers them."""


def operation_name(registered: str) -> str:
    """The name of a command as spans have it: "CONFIG GET" for the registry's "config|get"."""
    return registered.replace("|", " ").upper()
