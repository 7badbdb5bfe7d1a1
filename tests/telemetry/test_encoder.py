"""The encoder in C against the official protobuf classes and an independent expansion."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ferrite_py._native import Encoder
from ferrite_py.config import load
from ferrite_py.telemetry.export import place_of
from ferrite_py.telemetry.format import Place, make_format
from ferrite_py.telemetry.names import Detail
from tests.telemetry import expand
from tests.telemetry.expand import Expansion, Meaning, Record
from tests.telemetry.views import SpanView, spans_of

COMMANDS = ("get", "set", "config|get", "mget", "a-name-that-is-long" * 4)
RESOURCE: dict[str, Any] = {
    "service.name": "ferrite",
    "process.pid": 7,
    "ratio": 0.5,
    "is": True,
    "argv": ["a", "b"],
}


def request_of(meaning: Meaning, records: list[Record]) -> tuple[bytes, int, int]:
    """What the encoder makes of records: the request, commands and spans."""
    encoder = Encoder(
        make_format(
            meaning.resource,
            "",
            meaning.commands,
            semconv=meaning.semconv,
            place=Place(meaning.address, meaning.port),
            text_max=meaning.text_max,
        )
    )
    detail = Detail[meaning.detail.upper()]
    packed = b"".join(record.pack() for record in records)
    return encoder.encode(packed, detail, meaning.threshold_ns, meaning.clock)


def encoded(meaning: Meaning, records: list[Record]) -> list[SpanView]:
    """The spans of records, by way of C and the official parser."""
    request, _, _ = request_of(meaning, records)
    return list(spans_of(ExportTraceServiceRequest.FromString(request)))


def expanded(meaning: Meaning, records: list[Record]) -> list[SpanView]:
    """The spans of records, by way of Python."""
    expansion = Expansion(meaning)
    return [span for record in records for span in expansion.spans(record)]


u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
small = st.one_of(st.integers(0, 3), u16)
addresses = st.sampled_from(
    [b"", b"127.0.0.1:50312", b"[::1]:7", b"::1:99", b"/tmp/s.sock:0", b"h:", b":7", b"h:99999"]
)
texts = st.fixed_dictionaries(
    {},
    optional={
        expand.ADDRESS: addresses,
        expand.SERVER: addresses,
        expand.KEY: st.binary(max_size=128),
        expand.ERROR_CODE: st.sampled_from([b"ERR", b"WRONGTYPE", b"\xff", b""]),
        expand.TRACESTATE: st.sampled_from([b"", b"a=1,b=2", b"x" * 900]),
        expand.THRESHOLD: st.one_of(
            st.integers(1, 2**56 - 1).map(lambda number: number.to_bytes(8, "little")),
            st.sampled_from([(0xC << 52).to_bytes(8, "little"), b"short"]),
        ),
        expand.BAGGAGE: st.sampled_from(
            [b"", b"tenant=a%20b,region=eu", b"x=%zz%4,,=v,y", b"t=%ff" + b"%41" * 300]
        ),
    },
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Any record, with stages in order."""
    shift = draw(st.integers(0, 8))
    stages = sorted(draw(st.lists(st.integers(0, 2**31), min_size=7, max_size=7)))
    if draw(st.booleans()):
        stages = [stage % 1000 for stage in stages]
        stages.sort()
    return Record(
        command=draw(st.one_of(st.integers(0, len(COMMANDS)), st.just(expand.UNKNOWN))),
        kind=draw(st.sampled_from([1, 1, 1, 1, 0])),
        result=draw(st.integers(0, 4)),
        flags=draw(st.integers(0, 2**14 - 1)) | draw(st.sampled_from([expand.SAMPLED, 0])),
        tiers=draw(st.integers(0, 63)),
        shift=shift,
        argc=draw(st.integers(1, 20)),
        trace_id=draw(st.binary(min_size=16, max_size=16)),
        span_id=draw(st.integers(1, 2**64 - 1)),
        parent_id=draw(st.one_of(st.just(0), u64)),
        start=draw(st.one_of(st.integers(10**15, 10**15 + 1), st.integers(10**12, 10**16))),
        stages=tuple(stages),
        waited=draw(st.one_of(st.just(0), u32)),
        value_bytes=draw(st.one_of(st.just(0), u32)),
        request_bytes=draw(u32),
        reply_bytes=draw(u32),
        epoch=draw(u32),
        connection=draw(st.one_of(st.integers(0, 2), st.integers(0, 2**63 - 1))),
        hits=draw(small),
        misses=draw(small),
        db=draw(u16),
        disk_reads=draw(small),
        batch_index=draw(st.integers(0, 3)),
        batch_size=draw(st.integers(0, 4)),
        key_index=draw(st.integers(0, 3)),
        texts=draw(texts),
    )


@given(
    st.lists(records(), max_size=6),
    st.sampled_from(["stable", "ferrite", "dup"]),
    st.sampled_from(["command", "phases", "full"]),
    st.sampled_from([0, 1000, 10**9]),
    st.sampled_from([2**32 - 1, 5]),
)
def test_random_records(
    records: list[Record], semconv: str, detail: str, threshold_ns: int, text_max: int
) -> None:
    """Any records, encoded in C and read by the official parser, are the spans of Python."""
    meaning = Meaning(
        COMMANDS,
        semconv=semconv,
        detail=detail,
        threshold_ns=threshold_ns,
        clock=(10**15, 1_700_000_000_000_000_000, 0.4166),
        text_max=text_max,
        resource=RESOURCE,
    )

    assert expanded(meaning, records) == encoded(meaning, records)


@given(st.lists(records(), max_size=4))
def test_bytes_are_those_of_the_official_writer(records: list[Record]) -> None:
    """Lengths are as short as can be: nothing changes when the official classes write it anew."""
    request, commands, spans = request_of(Meaning(COMMANDS, resource=RESOURCE), records)
    parsed = ExportTraceServiceRequest.FromString(request)

    assert len(parsed.SerializeToString()) == len(request)
    kept = [one for one in records if one.kind]
    assert commands == len(kept)
    assert spans == len(list(spans_of(parsed)))


@pytest.mark.seed(
    "ferrite.storage.read",
)
def test_a_get_from_the_read_only_tier() -> None:
    """The example of the documentation: looked for in memory, read from the mapped file."""
    record = Record(
        flags=expand.SAMPLED | expand.READ | expand.REMOTE,
        tiers=expand.READ_ONLY,
        argc=2,
        key_index=1,
        hits=1,
        parent_id=0xB7AD6B7169203331,
        trace_id=bytes.fromhex("0af7651916cd43dd8448eb211c80319c"),
        span_id=5,
        stages=(10, 20, 30, 40, 50, 60, 70),
        value_bytes=1229,
        connection=42,
        texts={expand.ADDRESS: b"192.168.1.10:54321", expand.KEY: b"user:456"},
    )

    command, *below = encoded(Meaning(COMMANDS), [record])

    assert (command.name, command.kind, command.parent_id) == ("GET", "SERVER", "b7ad6b7169203331")
    assert command.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert command.attributes["db.system"] == "ferrite"
    assert command.attributes["db.operation"] == "GET"
    assert command.attributes["db.statement"] == "GET user:456"
    assert command.attributes["net.peer.ip"] == "192.168.1.10"
    assert command.attributes["net.peer.port"] == 54321
    assert {span.parent_id for span in below} == {command.span_id}
    assert [span.name for span in below] == [
        "ferrite.resp.parse",
        "ferrite.command.dispatch",
        "ferrite.index.lookup",
        "ferrite.storage.read",
        "ferrite.storage.read",
        "ferrite.response.serialize",
        "ferrite.tcp.write",
    ]
    looked, read = below[3:5]
    assert looked.attributes["ferrite.storage.tier"] == "mutable"
    assert looked.attributes["ferrite.storage.cache_hit"] is False
    assert read.attributes == {
        "ferrite.storage.operation": "read",
        "ferrite.storage.tier": "read_only",
        "ferrite.storage.cache_hit": True,
        "ferrite.storage.bytes": 1229,
        "ferrite.storage.epoch": 0,
    }


def test_bytes_that_are_no_records() -> None:
    """Damaged input is refused, and nothing is read beyond it."""
    encoder = Encoder(make_format({}, "", COMMANDS, semconv="dup", place=Place("h", 1)))
    whole = Record(texts={expand.KEY: b"k" * 40}).pack()

    for bad in (whole[:-32], whole[:100], b"\0" * 128, whole[:2] + b"\xff" + whole[3:]):
        with pytest.raises(ValueError, match="no sound record at byte 0"):
            encoder.encode(bad, 2, 0, (0, 0, 1.0))


def test_a_format_that_is_wrong() -> None:
    """What is missing or of the wrong form is named."""
    good = make_format({}, "", COMMANDS, semconv="dup", place=Place("h", 1))

    for name in good:
        with pytest.raises(KeyError, match=name):
            Encoder({key: value for key, value in good.items() if key != name})
    with pytest.raises(ValueError, match="'parts' must be a tuple of 13"):
        Encoder({**good, "parts": good["parts"][1:]})
    with pytest.raises(TypeError):
        Encoder({**good, "resource": "text"})


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"server.bind": "127.0.0.1"}, Place("127.0.0.1", 6379)),
        ({"server.bind": "cache.example"}, Place("cache.example", 6379)),
        ({}, Place("127.0.0.1", 6379, is_only=False)),
        ({"server.bind": "-fd00::7 ::1"}, Place("fd00::7", 6379, is_only=False)),
        ({"server.bind": "localhost ::1"}, Place("", 0, is_only=False)),
        ({"server.bind": "0.0.0.0"}, Place("", 0, is_only=False)),
        ({"server.bind": "-::*"}, Place("", 0, is_only=False)),
        (
            {"server.bind": "127.0.0.1", "server.port": "0", "tls.port": "6380"},
            Place("127.0.0.1", 6380),
        ),
        (
            {"server.bind": "127.0.0.1", "tls.port": "6380"},
            Place("127.0.0.1", 6379, is_only=False),
        ),
        (
            {"server.bind": "127.0.0.1", "server.unix_socket": "/run/f.sock"},
            Place("127.0.0.1", 6379, is_only=False),
        ),
        ({"server.port": "0", "server.unix_socket": "/run/f.sock"}, Place("/run/f.sock", 0)),
    ],
)
def test_the_place_is_where_most_come(flags: dict[str, str], expected: Place) -> None:
    """A wildcard is no address, and a name is one only where there is no other."""
    files = {"tls.cert_file": "c.pem", "tls.key_file": "k.pem", "tls.client_auth": "no"}
    config = load(None, {}, flags | (files if "tls.port" in flags else {}))

    assert place_of(config.server, config.tls) == expected


def test_a_place_that_is_not_known_is_left_out() -> None:
    """There is no empty address and no port 0."""
    names = []
    for place in (Place("", 0), Place("h", 1)):
        parts = make_format({}, "", ("get",), semconv="dup", place=place)
        span = Span.FromString(parts["commands"][0][0] + parts["place"])
        names.append({one.key for one in span.attributes})

    assert names[1] - names[0] == {"server.address", "server.port"}
