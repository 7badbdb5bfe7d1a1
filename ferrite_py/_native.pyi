"""The data plane: sessions, commands and the store, in C. See native/python/."""

from collections.abc import Sequence
from typing import Any, Final, final

__all__ = [
    "Encoder",
    "PythonRequest",
    "Reactor",
    "Server",
    "Stream",
    "inspect_segment",
    "metric_rows",
    "version",
]

version: Final[str]

def metric_rows() -> list[tuple[str, str, str, str, str, str, bool]]:
    """List all metrics: the table of `native/event/events.def`.

    Each is id, name, instrument ("counter", "total", "gauge", "histogram"), unit, labels separated
    by commas, help, and whether Python fills it in.
    """

def inspect_segment(fd: int, size: int, with_records: bool, /) -> dict[str, Any]:
    """Check an open segment file of `size` bytes: trailer, footer, and with_records every record.

    Keys of the result: head (None when the trailer is damaged, else a dict with version, number,
    generation, sequence, used, record_bytes, record_bytes_max, records, expires, deadline_min,
    deadline_max, created_ms, seed_check; bytes and Unix milliseconds), keyspaces (dict of footer
    entries by id), records_sound (records read, with the right checksum), damage (list of offset,
    cause and errno or 0; at most 1000), damage_count (of all).
    """

_Note = tuple[int, int, bool, str, str, int, int, bytes, bytes, bytes, int]
"""A command for the log: its number, result, whether a rule of retention holds for it, trace and
span id, microseconds from its turn to its end and from its arrival to its turn, the bytes of key,
client's address and error code, and the Unix nanoseconds at which it ended."""

@final
class Encoder:
    """Spans of commands as OTLP: constant parts, and requests made of records with them."""

    def __new__(
        cls, parts: dict[str, Any], server: Server = ..., exemplars: bool = False
    ) -> Encoder:
        """Keep the constant parts, as `ferrite_py.telemetry.format` makes them.

        `server` is the one to collect from; it must stay open while anybody collects. With
        `exemplars` some of the commands are remembered, for `exemplars()`.

        Keys: resource, scope (bytes), commands (tuple of span and name by number), unknown (the
        same of one), parts, results (tuples of bytes), slots (tuple of tuples of bytes), text_max
        (characters). Raises KeyError, TypeError or ValueError.
        """

    def waiting(self) -> int:
        """Commands that were recorded and not collected. RuntimeError if the server is closed."""

    def taken(self) -> int:
        """Commands that were collected, or lost by a `collect` that raised."""

    def is_pressed(self) -> bool:
        """Whether a queue, of commands or of rare events, is half full. RuntimeError as above."""

    def collect(
        self,
        detail: int,
        threshold_ns: int,
        commands_max: int,
        bytes_max: int,
        notes: int,
        notes_max: int,
        /,
    ) -> tuple[bytes, int, int, int, list[_Note]] | None:
        """Take and encode what was recorded, up to so many commands and bytes of a request.

        The request, of how many records, commands and spans it is, and what the log may tell of
        its commands: of none (notes 0), of those that a rule of retention kept (1), or of all (2),
        of `notes_max` and 256 KiB of records at most. None when nothing was recorded. Gives the GIL
        back. One thread collects. Raises MemoryError, and RuntimeError when the server is closed.
        """

    def look(self, notes: int, notes_max: int, /) -> list[_Note]:
        """What the log may tell of commands that wait to be collected; of each once.

        `collect` does not tell of them again. Not while another thread collects. Gives the GIL
        back. Raises MemoryError, and RuntimeError when the server is closed.
        """

    def notes_left_out(self) -> int:
        """Commands so far that the log was to be told of and that were over those bounds."""

    def confirm(self) -> None:
        """Say that the receiver has what was collected last: its spans may be exemplars."""

    def exemplars(self) -> list[tuple[int, int, int, str, str]]:
        """Commands whose spans the receiver has, each the newest of its number and its magnitude.

        Each is number, duration in units of 2**-30 s (what is less was cut off), the Unix
        nanoseconds at which it ended, trace and span id. Any thread, also when the server is
        closed. None without `exemplars`.
        """

    def events_waiting(self) -> int:
        """Rare events that were recorded and not taken. RuntimeError if the server is closed."""

    def events(
        self,
    ) -> list[tuple[int, int, int, bytes, int, int, bool, tuple[int, ...], str, bytes, int]]:
        """Take some of the rare events that wait; one thread, which is the one that collects.

        Each is its kind (native/event/rare.h), when it began and ended (Unix nanoseconds), trace
        id, span id, the parent's span id or 0, whether it was sampled (else a rule of retention
        kept it), its numbers, its tracestate, its text, and the port that belongs to it where that
        is the address of a peer, else 0. RuntimeError if the server is closed.
        """

    def encode(
        self, records: bytes, detail: int, threshold_ns: int, clock: tuple[int, int, float], /
    ) -> tuple[bytes, int, int]:
        """Encode given records: the request, and of how many commands and spans it is.

        detail is 0 (command), 1 (phases) or 2 (full); clock is ticks, the Unix nanoseconds at those
        ticks, and nanoseconds per tick. Raises ValueError for bytes that are no records.
        """

@final
class Server:
    """One server: the engine, the command table and the queue of commands for Python.

    All methods may be called from any thread. Methods that take the engine's lock give the GIL back
    while they wait for it.
    """

    def __new__(cls, options: dict[str, Any]) -> Server:
        """Open an engine with `options`, a dict of every name that `OPTION_NAMES` lists.

        Raises KeyError (naming the option), TypeError, ValueError or MemoryError.
        """

    def set_options(self, options: dict[str, Any]) -> None:
        """Set all options at once; those that are fixed must be unchanged."""

    def register(self, row: dict[str, Any]) -> None:
        """Add a command that Python answers, before the first connection.

        Keys: name, arity, flags (sequence of names as in COMMAND INFO), categories (sequence of ACL
        categories without "@"), group, since, complexity, summary, syntax, container (bool), secret
        (bool). Raises ValueError when the name exists or its container does not.
        """

    def commands(self) -> list[dict[str, Any]]:
        """Describe every command and subcommand, in order of registration, parents first.

        Keys as in `register`, plus: keys (list of dicts flags, first, last, step), tips (separated
        by spaces), python (bool), number (that records carry, in order of registration), and the
        statistics calls, microseconds, rejected, failed.
        """

    def latencies(self) -> dict[str, dict[int, int]]:
        """Of each command whose durations were counted: how many by bucket (`rates.Histogram`)."""

    def tiers(self) -> dict[str, Any]:
        """One consistent snapshot of the tiers: a dict by tier's name, counters and gauges."""

    def curve(self, sizes: Sequence[int], /) -> dict[str, Any] | None:
        """Points of the hit-ratio curve, of at most 1024 sizes in bytes; None when it is off.

        Keys: ratios (list of the shares of reads that caches of these sizes would have answered),
        reads (that count, less what has decayed), seconds (the same of the time), rate (the share
        of keys that is sampled), keys (that are sampled now). Raises ValueError or OverflowError.
        """

    def hot_keys(self, by: int, /) -> list[tuple[int, bytes, bool, float, float]] | None:
        """The keys with the most of 0 uses, 1 bytes, 2 microseconds, 3 reads from disk; or None.

        None is when they are off. Each is database, name, whether the name is cut, amount per
        second and its error at most; at most 128, the first first. Raises ValueError for another
        number.
        """

    def prefixes(self, by_pattern: bool, /) -> dict[str, Any] | None:
        """The ledger of prefixes, or the one of their patterns; None when it is off.

        Keys: uses (of all prefixes), since_ms and now_ms (Unix milliseconds), interval (of so many
        uses of keys one is looked at, now), room (for prefixes), disk_bytes (of records only on
        disk), disk_bytes_known (of them, those of which prefixes are known), and prefixes, a list
        of: name,
        whether it is cut, since when it is there (Unix milliseconds), uses, those before it came in
        at most, the variance that sampling has given to uses, disk reads, hits in mutable,
        read_only, read_cache and disk, misses, those by reason (of MISSES), bytes read by tier,
        bytes written, bytes that lie in each tier, by which each of these may be wrong, and
        durations as in `metrics`.
        """

    def reset_prefixes(self) -> None:
        """Begin both ledgers anew."""

    def shown_name(self, name: bytes, mode: str, /) -> bytes | None:
        """What of a key or prefix may be shown, by `telemetry.record_keys`; None: nothing."""

    def metrics(self) -> tuple[int, int, int, list[list[tuple[tuple[str, ...], Any]]]]:
        """The values of all metrics, of one moment: INFO's counters, and histograms.

        Unix milliseconds of the start, of the last `reset_statistics` (or the start) and of now;
        for each row of `metric_rows` a list of label values and value: a number, or of a histogram
        the sum in 2**-30 seconds, how many were shorter than 2**-27 s, the index of the first
        bucket as OTLP counts it at scale 5, and the counts of the buckets from it on. Of sizes (By)
        a byte takes the place of 2**-30 seconds.
        """

    def take_faults(self) -> list[tuple[int, int, int, int, str | None]]:
        """What could not be read from segment files and was not told yet.

        Each is the file's segment and generation, the byte in it, errno (EBADMSG for damage), and
        the cause where errno does not say it: of anything but a record. When many come at once
        some are only counted: `faults_untold` of `tiers`.
        """

    def set_telemetry(self, options: dict[str, Any], /) -> None:
        """Say which commands are recorded, and what of them; all keys are demanded.

        traces (bool: commands are recorded at all), ignores_callers (bool: every trace begins here,
        whoever a request names, and HELLO does not ask for it), bound (int: a trace that begins
        here is sampled when the low 64 bits of its id are below; 0 is never, 2**64 always),
        parent_based (bool: the
        caller's flag decides where there is a caller), retain_errors, retain_disk_reads,
        retain_unsampled (bool), retain_slower_than (microseconds, -1: none), retain_bound (int:
        `bound` for what is not sampled and kept by no rule), retain_rate_max (of what rules keep, a
        second; 0: no limit), record_keys ("off", "pattern", "hashed" or "full"), baggage_keys
        (names separated by commas), names_place (bool: clients that came to another address than
        place, such as "127.0.0.1:6379", have theirs in the record; before they come),
        connection_rate_max (spans of connections a second, 0: none), queue_size (records of 256
        bytes, texts and all, that each serving thread's queue has room for, when it records first).
        Raises KeyError, TypeError, ValueError or MemoryError.
        """

    def telemetry_counts(self) -> dict[str, int]:
        """How much was recorded.

        records, dropped (the ring was full), declined (over retain_rate_max), waiting_bytes (to be
        drained), ring_bytes (of all rings); of rare events events_dropped (the ring was full) and
        events_left_out (connections over connection_rate_max, others over retain_rate_max).
        """

    def telemetry_drain_raw(self) -> bytes:
        """Take all records that wait, as native/event/record.h lays them out, one behind another.

        Only one thread may drain at a time.
        """

    def order_tiers(self, order: str) -> bool:
        """DEBUG TIER: do a step of an order; whether there is more to do. Call again until not.

        seal, map, disk: send what was written so far down to that tier, at least; the background
        threads do their part in between. compact: rewrite every file that holds garbage. trim:
        empty the read cache. forget: remove keys whose records are damaged. end: compact and forget
        are over, finished or not; whoever gave one has to say so. Raises ValueError for another
        order, and RuntimeError without a data folder.
        """

    def command_keys(self, args: Sequence[bytes]) -> list[tuple[int, list[str]]] | None:
        """Positions and flag names of the keys of a whole command; None when it is unknown.

        Raises ValueError when the number of arguments does not fit.
        """

    def statistics(self) -> dict[str, Any]:
        """One consistent snapshot of all counters and gauges.

        Looks at every connection under the engine's lock: not for what is asked all the time.
        """

    def counters(self) -> dict[str, int]:
        """The counters of which INFO shows rates, and `used_memory`, whose peak is noted; cheap."""

    def heap(self) -> tuple[int, int] | None:
        """Bytes that blocks take, and that the kernel was asked for; None if nobody can tell."""

    def error_counts(self) -> dict[str, int]:
        """Error replies by their first word."""

    def databases(self) -> list[tuple[int, int, int]]:
        """Of each database: keys, keys with a deadline, their average TTL in milliseconds."""

    def reset_statistics(self) -> None: ...
    def start_workers(self) -> None:
        """Start the background threads; from now on the data folder changes. Raises OSError."""

    def stop_workers(self) -> None: ...
    def found(self) -> dict[str, Any] | None:
        """What the data folder held; None without one.

        Keys: found ("empty", "loaded", or "unclean": it was set aside), aside (the new name of its
        folder log, or ""), keys, segments, segment_bytes, index_bytes, orphans (files removed),
        saved_ms (Unix milliseconds), took_ms.
        """

    def prepare_save(self) -> bool:
        """Have what is in memory only written, while clients are served; whether that goes on.

        To be called again, a little later, until it does not; then `save` has little left to do.
        Past every bound on files. Raises OSError when the disk does not take the data: the server
        can go on as if it had not been asked. May block for the disk; gives the GIL back.
        """

    def save(self, version: str, /) -> dict[str, Any] | None:
        """Write all data to the data folder; only `close` may follow, or another try.

        All reactors are joined and all streams closed before; stops the workers. The result has
        the keys of `found`; None when there is nothing to save to, or nothing has changed since the
        start. Raises OSError when the data could not be written: if that stays so, they
        are lost to the next start. Gives the GIL back.
        """

    def discard(self) -> None:
        """Remove the data of the data folder at `close`, instead of a save."""

    def notify_fd(self) -> int:
        """Return an eventfd that is readable when `take_requests` or `take_woken` has something."""

    def disk_fd(self) -> int:
        """Return a descriptor that is readable when `take_records` has something; -1 for none."""

    def take_records(self) -> None:
        """Take what was read from disk; reactors do so themselves."""

    def take_requests(self) -> list[PythonRequest]:
        """Take the commands that wait for Python; also clears the eventfd."""

    def take_woken(self) -> Stream | None:
        """Take the stream that has waited longest to be resumed; call it after `take_requests`."""

    def count_rejected(self) -> None:
        """Count a connection that was refused before it became a session."""

    def connection_count(self) -> int: ...
    def set_expire_paused(self, paused: bool) -> None:
        """DEBUG SET-ACTIVE-EXPIRE: stop (or go on with) the background expiry."""

    def check(self) -> str | None:
        """Walk the store and check its invariants; None, or what is wrong. Blocks the engine."""

    def close(self) -> None:
        """Free everything. All reactors are joined and all streams closed before."""

@final
class PythonRequest:
    """A command that waits for Python's answer. Answer it exactly once."""

    @property
    def name(self) -> str:
        """The row's name, lower case, such as "config|get"."""

    @property
    def args(self) -> list[bytes]:
        """All arguments, the command's name first."""

    @property
    def client_id(self) -> int: ...
    @property
    def database(self) -> int: ...
    @property
    def resp(self) -> int:
        """Protocol version of the reply: 2 or 3."""

    @property
    def in_exec(self) -> bool: ...
    def answer(self, reply: bytes, failed: bool) -> None:
        """Send whole reply bytes; `failed` says that they are an error.

        Raises RuntimeError the second time.
        """

    def reveal(self, position: int) -> None:
        """Let MONITOR and SLOWLOG show an argument of a secret command, by its position in `args`.

        Raises RuntimeError after the answer.
        """

@final
class Reactor:
    """A native thread that serves connections without the GIL."""

    def __new__(cls, server: Server, number: int) -> Reactor:
        """Start the thread. Raises OSError."""

    def drain(self, deadline_ms: int) -> None:
        """Ask it to answer what was received and to end; returns at once."""

    def join(self) -> None:
        """Wait until the thread has ended; the GIL is given back."""

    @property
    def connections(self) -> int: ...

def admit(
    fd: int,
    name: str | None,
    reactors: tuple[Reactor, ...],
    most: int,
    connections_max: int,
    refuses_strangers: bool,
    keepalive_s: int,
    replies: tuple[bytes, bytes],
    /,
) -> tuple[int, int, int, int]:
    """Accept connections and hand each to the reactor that has the fewest; gives the GIL back.

    Args:
        fd: the listening socket, non-blocking.
        name: what CLIENT LIST shows for both ends of a unix socket; None for TCP.
        reactors: who serves them.
        most: how many to take at most.
        connections_max: how many the reactors may have together.
        refuses_strangers: whether clients of other machines are turned away.
        keepalive_s: silence before the kernel asks for a peer; 0 for never.
        replies: what is said when there are too many, and to strangers.

    Returns:
        How many were admitted, were refused (and counted as rejected), and were lost for lack of
        memory; then the errno of lacking descriptors or memory that ended it, or 0.
    """

@final
class Stream:
    """A session whose bytes are carried by Python (TLS, or any platform)."""

    def __new__(
        cls, server: Server, addr: str, laddr: str, unix_socket: bool, fd: int
    ) -> Stream: ...
    def feed(self, data: bytes | bytearray | memoryview, unsent: int) -> bytes:
        """Serve received bytes; return reply bytes to send (may be empty).

        `unsent` is how many bytes of earlier replies the transport still holds.
        """

    def resume(self, unsent: int) -> bytes:
        """Look again after `take_woken`, when `due_ms` has passed or output was sent."""

    def wait_no_more(self, unsent: int) -> bytes:
        """Answer a command that waits for a time at once, for the server stops; like `resume`."""

    def cron(self, unsent: int) -> None:
        """Check timeouts and limits; call about once a second."""

    @property
    def wants_input(self) -> bool: ...
    @property
    def closing(self) -> bool:
        """Whether to close once everything has been sent."""

    @property
    def cut_off(self) -> bool:
        """Whether to close at once, without sending what waits."""

    @property
    def waits(self) -> bool:
        """Whether the session waits for Python (its own or another's in EXEC) or for the disk."""

    @property
    def due_ms(self) -> int:
        """Milliseconds of the monotonic clock at which to call `resume`; 0 for none."""

    def close(self) -> None: ...
