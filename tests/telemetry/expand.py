"""An independent expansion of wide records into spans, to hold the encoder in C to.

It follows native/event/record.h and docs/telemetry.md, not the C.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.telemetry.views import LinkView, SpanView

ALIGN = 32
LAYOUT = struct.Struct("<IHBBHBBI16sQQQ7IIIIIIQHHHHHHHH")
assert LAYOUT.size == 128
UNKNOWN = 0xFFFF
OK, NIL, GONE, ERROR, REJECTED = range(5)
SAMPLED, RETAINED, REMOTE, LOCAL, IN_EXEC, PYTHON, WAITED, DISK, PIPELINED, WRITE, READ = (
    1 << bit for bit in range(11)
)
BLOCKED, PAUSED, ROOM = (1 << bit for bit in range(11, 14))
REASONS = ((PAUSED, "pause"), (ROOM, "room"), (DISK, "disk"), (BLOCKED, "time"), (PYTHON, "python"))
MUTABLE, READ_ONLY, CACHE, ON_DISK, WROTE_IN_PLACE, WROTE_NEW = (1 << bit for bit in range(6))
HITS = MUTABLE | READ_ONLY | CACHE | ON_DISK
TIERS = ((READ_ONLY, "read_only"), (CACHE, "read_cache"), (ON_DISK, "disk"))
ADDRESS, KEY, ERROR_CODE, TRACESTATE, BAGGAGE, SERVER, THRESHOLD = range(1, 8)
RECEIVED, PARSED, BEGUN, LOCATED, ENDED, SETTLED, WRITTEN = range(7)
MASK = 2**64 - 1


@dataclass(frozen=True)
class Record:
    """A wide record; texts are bytes by type."""

    command: int = 0
    kind: int = 1
    result: int = OK
    flags: int = SAMPLED
    tiers: int = 0
    shift: int = 0
    argc: int = 1
    trace_id: bytes = b"\x01" * 16
    span_id: int = 1
    parent_id: int = 0
    start: int = 0
    stages: tuple[int, ...] = (0,) * 7
    waited: int = 0
    value_bytes: int = 0
    request_bytes: int = 0
    reply_bytes: int = 0
    epoch: int = 0
    connection: int = 0
    hits: int = 0
    misses: int = 0
    db: int = 0
    disk_reads: int = 0
    batch_index: int = 0
    batch_size: int = 1
    key_index: int = 0
    texts: dict[int, bytes] = field(default_factory=dict)

    def pack(self) -> bytes:
        """The record as it lies in a ring."""
        tail = b"".join(
            struct.pack("<BBH", kind, 0, len(text)) + text + b"\0" * (-len(text) % 4)
            for kind, text in self.texts.items()
        )
        size = -(-(LAYOUT.size + len(tail)) // ALIGN) * ALIGN
        head = LAYOUT.pack(
            size,
            self.command,
            self.kind,
            self.result,
            self.flags,
            self.tiers,
            self.shift,
            self.argc,
            self.trace_id,
            self.span_id,
            self.parent_id,
            self.start,
            *self.stages,
            self.waited,
            self.value_bytes,
            self.request_bytes,
            self.reply_bytes,
            self.epoch,
            self.connection,
            self.hits,
            self.misses,
            self.db,
            self.disk_reads,
            self.batch_index,
            self.batch_size,
            len(tail),
            self.key_index,
        )
        return (head + tail).ljust(size, b"\0")


@dataclass(frozen=True)
class Meaning:
    """What records do not say."""

    commands: tuple[str, ...]
    semconv: str = "dup"
    detail: str = "full"
    threshold_ns: int = 0
    clock: tuple[int, int, float] = (0, 0, 1.0)
    address: str = "127.0.0.1"
    port: int = 6379
    text_max: int = 2**32 - 1
    resource: dict[str, Any] = field(default_factory=dict)
    scope: str = "ferrite_py"

    @property
    def has_old(self) -> bool:
        """Whether Ferrite's names are sent."""
        return self.semconv in ("ferrite", "dup")

    @property
    def has_new(self) -> bool:
        """Whether the stable conventions' names are sent."""
        return self.semconv in ("stable", "dup")


def utf8(data: bytes, limit: int = 2**32) -> str:
    """Text of which each byte that is not UTF-8 is U+FFFD."""
    out: list[str] = []
    at = 0
    while at < len(data) and len(out) < limit:
        for size in (1, 2, 3, 4):
            try:
                out.append(data[at : at + size].decode("utf-8"))
            except UnicodeDecodeError:
                continue
            at += size
            break
        else:
            out.append("\ufffd")
            at += 1
    return "".join(out)


def part_id(span_id: int, part: int) -> str:
    """The id of a span below the command's."""
    x = (span_id + (part + 1) * 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
    return f"{(x ^ x >> 31) or 1:016x}"


def state_of(record: Record) -> str:
    """The tracestate: the caller's, or how a trace that begins here was sampled."""
    told = record.texts.get(TRACESTATE, b"")
    threshold = record.texts.get(THRESHOLD, b"")
    if told or len(threshold) != 8:
        return utf8(told)
    digits = f"{int.from_bytes(threshold, 'little'):014x}".rstrip("0") or "0"
    low = int.from_bytes(record.trace_id[8:], "big")
    return f"ot=th:{digits};rv:{(MASK - low) >> 8:014x}"


def reasons_of(record: Record) -> str:
    """What a command that waited has waited for."""
    flags = record.flags & (~PYTHON if record.result == REJECTED else MASK)
    return ",".join(word for flag, word in REASONS if flags & flag)


def percent_decoded(data: bytes) -> bytes:
    """Percent-encoding undone where it is sound."""
    out = bytearray()
    at = 0
    digits = b"0123456789abcdefABCDEF"
    while at < len(data):
        pair = data[at + 1 : at + 3]
        if data[at : at + 1] == b"%" and len(pair) == 2 and all(one in digits for one in pair):
            out.append(int(pair, 16))
            at += 3
        else:
            out.append(data[at])
            at += 1
    return bytes(out)


class Expansion:
    """Spans of the records of one ring, in their order."""

    def __init__(self, meaning: Meaning) -> None:
        self._meaning = meaning
        self._first: tuple[tuple[int, int], LinkView] | None = None

    def spans(self, record: Record) -> Iterator[SpanView]:
        """The spans of one record."""
        if record.kind != 1:
            return
        times = self._times(record)
        yield self._command(record, times)
        if self._meaning.detail != "command":
            yield from self._parts(record, times)

    def _ns(self, ticks: int) -> int:
        base_ticks, base_ns, rate = self._meaning.clock
        return base_ns + int(float(ticks - base_ticks) * rate)

    def _duration(self, ticks: int) -> float:
        return float(ticks) * self._meaning.clock[2]

    def _times(self, record: Record) -> tuple[int, ...]:
        times = [self._ns(record.start)]
        for offset in record.stages:
            times.append(max(times[-1], self._ns(record.start + (offset << record.shift))))
        return tuple(times)

    def _span(
        self, record: Record, name: str, kind: str, span_id: str, parent: int, **rest: Any
    ) -> SpanView:
        flags = 0x100 | (1 if record.flags & SAMPLED else 0)
        is_remote = kind == "SERVER" and record.flags & REMOTE
        return SpanView(
            name,
            kind,
            record.trace_id.hex(),
            span_id,
            f"{parent:016x}" if parent else "",
            flags=flags | (0x200 if is_remote else 0),
            trace_state=state_of(record),
            scope=self._meaning.scope,
            resource=self._meaning.resource,
            **rest,
        )

    def _command(self, record: Record, times: tuple[int, ...]) -> SpanView:
        meaning = self._meaning
        is_known = record.command < len(meaning.commands)
        registered = meaning.commands[record.command] if is_known else "unknown"
        name = registered.replace("|", " ").upper()
        code = record.texts.get(ERROR_CODE, b"")
        has_failed = record.result in (ERROR, REJECTED)
        return self._span(
            record,
            "ferrite.command" if meaning.semconv == "ferrite" else name,
            "SERVER",
            f"{record.span_id:016x}",
            record.parent_id,
            start=times[0],
            end=times[-1],
            attributes=self._attributes(record, registered, name),
            status="ERROR" if has_failed else "UNSET",
            message=utf8(code, meaning.text_max) if has_failed else "",
            links=self._links(record),
        )

    def _links(self, record: Record) -> tuple[LinkView, ...]:
        if record.flags & IN_EXEC or not record.flags & PIPELINED:
            return ()
        pipeline = (record.connection, record.start)
        if record.batch_index == 0:
            link = LinkView(record.trace_id.hex(), f"{record.span_id:016x}", {})
            self._first = (pipeline, link)
            return ()
        if self._first is None or self._first[0] != pipeline:
            return ()
        return (self._first[1],)

    def _attributes(self, record: Record, registered: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "ferrite.command.name": name,
            "ferrite.command.result": ("OK", "NIL", "GONE", "ERR", "ERR")[record.result],
            "ferrite.command.args_count": record.argc,
            "ferrite.connection.id": record.connection,
            "ferrite.replication.role": "primary",
        }
        found |= self._both(name, "db.operation", "db.operation.name")
        found |= self._both("ferrite", "db.system", "db.system.name")
        if self._meaning.has_new:
            found["db.namespace"] = str(record.db)
            found |= self._place(record)
        if record.result == REJECTED:
            found["ferrite.command.rejected"] = True
        found |= self._cache(record)
        if record.disk_reads:
            found["ferrite.storage.disk_reads"] = record.disk_reads
        if record.flags & WAITED:
            waited_us = self._duration(record.waited << record.shift) / 1000
            found["ferrite.command.wait_us"] = int(waited_us)
            if reasons_of(record):
                found["ferrite.command.wait_reason"] = utf8(
                    reasons_of(record).encode(), self._meaning.text_max
                )
        if record.tiers.bit_count() > 1:
            found["ferrite.storage.bytes"] = record.value_bytes
        if record.flags & RETAINED and not record.flags & SAMPLED:
            found["ferrite.trace.retained"] = True
        return found | self._texts(record, registered, name)

    def _place(self, record: Record) -> dict[str, Any]:
        here = record.texts.get(SERVER, b"")
        if not here:
            return {"server.address": self._meaning.address, "server.port": self._meaning.port}
        host, port = self._peer(here)
        found: dict[str, Any] = {"server.address": utf8(host, self._meaning.text_max)}
        return found | ({"server.port": port} if port else {})

    def _both(self, value: Any, old: str, *new: str) -> dict[str, Any]:
        if value is None:
            return {}
        found = {old: value} if self._meaning.has_old else {}
        return found | (dict.fromkeys(new, value) if self._meaning.has_new else {})

    def _cache(self, record: Record) -> dict[str, Any]:
        keys = record.hits + record.misses
        found: dict[str, Any] = {"cache.hit": record.misses == 0} if keys else {}
        if keys > 1:
            found |= {"cache.hits": record.hits, "cache.misses": record.misses}
        is_batch = record.flags & (PIPELINED | IN_EXEC) and record.batch_size > 1
        size = record.batch_size if is_batch else keys
        return found | ({"db.operation.batch.size": size} if size > 1 else {})

    def _texts(self, record: Record, registered: str, name: str) -> dict[str, Any]:
        limit = self._meaning.text_max
        found: dict[str, Any] = {}
        key = record.texts.get(KEY, b"")
        indexes = range(2 if "|" in registered else 1, min(record.argc, 16))
        shown = (key if index == record.key_index and key else b"?" for index in indexes)
        words = [name.encode(), *shown]
        words += [b"..."] if record.argc > 16 else []
        statement = utf8(b" ".join(words)[:512], limit)
        found |= self._both(statement, "db.statement", "db.query.text")
        if key:
            found["ferrite.command.key"] = utf8(key, limit)
        address = record.texts.get(ADDRESS, b"")
        if address:
            host, port = self._peer(address)
            found |= self._both(utf8(host, limit), "net.peer.ip", "network.peer.address")
            if port:
                found |= self._both(port, "net.peer.port", "network.peer.port")
        code = record.texts.get(ERROR_CODE, b"")
        if code and record.result in (ERROR, REJECTED) and self._meaning.has_new:
            text = utf8(code, limit)
            found |= {"db.response.status_code": text, "error.type": text}
        for member in record.texts.get(BAGGAGE, b"").split(b","):
            member_name, equals, value = member.partition(b"=")
            if member_name and equals:
                found[utf8(member_name)] = utf8(percent_decoded(value), limit)
        return found

    @staticmethod
    def _peer(address: bytes) -> tuple[bytes, int]:
        if address.startswith(b"/"):
            return address.removesuffix(b":0"), 0
        host, colon, port = address.rpartition(b":")
        is_port = host and colon and port.isdigit() and int(port) <= 65535
        if not is_port:
            return address, 0
        if len(host) > 2 and host.startswith(b"[") and host.endswith(b"]"):
            host = host[1:-1]
        return host, int(port)

    def _parts(self, record: Record, times: tuple[int, ...]) -> Iterator[SpanView]:
        at = times[1:]
        waited = int(self._duration(record.waited << record.shift))
        begun, located = at[BEGUN], at[LOCATED]
        woken = begun + waited if waited <= located - begun else begun
        yield from self._phase(
            record, 0, "resp.parse", at[RECEIVED], at[PARSED], "request", record.request_bytes
        )
        yield from self._phase(record, 1, "command.dispatch", at[PARSED], begun)
        if record.key_index and record.flags & SAMPLED:
            yield from self._phase(record, 2, "index.lookup", woken, located)
        yield from self._storage(record, at, waited)
        yield from self._wait(record, at, waited)
        yield from self._phase(record, 10, "response.serialize", at[ENDED], at[SETTLED])
        yield from self._phase(
            record, 11, "tcp.write", at[SETTLED], at[WRITTEN], "response", record.reply_bytes
        )

    def _wait(self, record: Record, at: tuple[int, ...], waited: int) -> Iterator[SpanView]:
        reasons = reasons_of(record)
        if not record.flags & WAITED or (reasons == "disk" and record.tiers & ON_DISK):
            return
        if self._meaning.detail != "full" and waited < self._meaning.threshold_ns:
            return
        begin = at[BEGUN] if record.flags & (PAUSED | ROOM | DISK) else at[LOCATED]
        attributes = {}
        if reasons:
            text = utf8(reasons.encode(), self._meaning.text_max)
            attributes["ferrite.command.wait_reason"] = text
        times = begin, min(begin + waited, at[ENDED])
        yield self._below(record, 12, "command.wait", times, **attributes)

    def _below(
        self, record: Record, part: int, name: str, times: tuple[int, int], **attributes: Any
    ) -> SpanView:
        return self._span(
            record,
            f"ferrite.{name}",
            "INTERNAL",
            part_id(record.span_id, part),
            record.span_id,
            start=times[0],
            end=times[1],
            attributes=attributes,
        )

    def _phase(
        self,
        record: Record,
        part: int,
        name: str,
        start: int,
        end: int,
        counted: str = "",
        count: int = 0,
    ) -> Iterator[SpanView]:
        if self._meaning.detail != "full" and end - start < self._meaning.threshold_ns:
            return
        attributes = {f"ferrite.{counted}.bytes": count} if counted else {}
        yield self._below(record, part, name, (start, end), **attributes)

    def _storage(self, record: Record, at: tuple[int, ...], waited: int) -> Iterator[SpanView]:
        ran = (at[LOCATED], at[ENDED])
        read_from, read_until = ran
        if record.flags & DISK:
            read_from, read_until = at[BEGUN], min(at[BEGUN] + waited, at[ENDED])
        has_one = record.tiers.bit_count() <= 1

        def tier(
            part: int, name: str, *, hit: bool, times: tuple[int, int], has_bytes: bool
        ) -> SpanView:
            operation = "write" if part in (8, 9) else "read"
            attributes: dict[str, Any] = {
                "ferrite.storage.operation": operation,
                "ferrite.storage.tier": name,
                "ferrite.storage.cache_hit": hit,
                "ferrite.storage.epoch": record.epoch,
            }
            if has_bytes:
                attributes["ferrite.storage.bytes"] = record.value_bytes
            return self._below(record, part, f"storage.{operation}", times, **attributes)

        if record.tiers & HITS:
            if record.tiers & MUTABLE:
                yield tier(4, "mutable", hit=True, times=ran, has_bytes=has_one)
            else:
                yield tier(3, "mutable", hit=False, times=(read_from, read_from), has_bytes=False)
            for part, (bit, name) in enumerate(TIERS, 5):
                if record.tiers & bit:
                    times = (read_from, read_until) if bit == ON_DISK else ran
                    yield tier(part, name, hit=True, times=times, has_bytes=has_one)
        is_told = has_one and record.value_bytes > 0
        if record.tiers & WROTE_IN_PLACE:
            yield tier(8, "mutable", hit=True, times=ran, has_bytes=is_told)
        if record.tiers & WROTE_NEW:
            yield tier(9, "mutable", hit=False, times=ran, has_bytes=is_told)
