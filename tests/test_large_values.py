"""Values that are much larger than a segment and than the mutable tier, on their way down and up.

The same with 512 MB and a limit of 1.5 GB takes a minute and 2 GB, and is run by hand.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.client import RawClient
from tests.support.info import info
from tests.support.servers import TRANSPORTS, Server
from tests.support.waiting import until
from tests.test_tiers import send_down, serve

MB = 1 << 20
SIZE = 16 * MB
VALUE = b"".join(number.to_bytes(8, "little") * 512 for number in range(SIZE // 4096))


@pytest.fixture(scope="module", params=TRANSPORTS)
def small(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server whose memory for new data is a fourth of one value."""
    yield from serve(
        request.param,
        storage__data_dir=tmp_path_factory.mktemp("large") / "data",
        storage__max_memory="160mb",
        storage__hybridlog_mutable_size="4mb",
        storage__hybridlog_readonly_size="4mb",
    )


@pytest.fixture
def client(small: Server) -> Iterator[RawClient]:
    """A connection to it; the store is whole afterwards."""
    small.prepare()
    with small.client() as one:
        assert one.command("SET", "big", VALUE).raw == b"+OK\r\n"
        yield one
        assert one.command("DEBUG", "CHECK-STORE").raw == b"+OK\r\n"


def cold(client: RawClient) -> None:
    """All data are only on disk afterwards."""
    send_down(client, "DISK")
    send_down(client, "TRIM")
    found = info(client, "hybridlog")
    assert found["mutable_records"] == found["read_only_records"] == "0"
    assert found["read_cache_records"] == "0"


def test_a_large_value_is_read_back(client: RawClient) -> None:
    """GET, parts of it, STRLEN, and a DUMP that restores."""
    cold(client)
    assert client.command("GET", "big").node.plain() == VALUE
    cold(client)
    assert client.command("GETRANGE", "big", str(SIZE - 9), "-1").node.plain() == VALUE[-9:]
    cold(client)
    assert client.command("STRLEN", "big").node.plain() == SIZE
    cold(client)
    dump = client.command("DUMP", "big").node.plain()
    assert isinstance(dump, bytes)
    assert client.command("RESTORE", "again", "0", dump).raw == b"+OK\r\n"
    cold(client)
    assert client.command("GET", "again").node.plain() == VALUE


def test_a_large_value_is_changed_where_it_is_cold(client: RawClient) -> None:
    """APPEND, SETRANGE, COPY, RENAME and a deadline; each on what is only on disk."""
    expected = bytearray(VALUE)
    expected[100:105] = b"hello"
    expected += b"tail"
    cold(client)
    assert client.command("SETRANGE", "big", "100", "hello").node.plain() == SIZE
    cold(client)
    assert client.command("APPEND", "big", "tail").node.plain() == SIZE + 4
    cold(client)
    assert client.command("COPY", "big", "copy").node.plain() == 1
    cold(client)
    assert client.command("RENAME", "copy", "moved").raw == b"+OK\r\n"
    cold(client)
    assert client.command("EXPIRE", "big", "1000").node.plain() == 1
    cold(client)
    assert client.command("GET", "moved").node.plain() == bytes(expected)
    assert client.command("GETDEL", "big").node.plain() == bytes(expected)
    assert client.command("DBSIZE").node.plain() == 1


def test_a_large_value_takes_the_place_of_a_cold_one(client: RawClient) -> None:
    """Its bytes are kept while the command waits for the old value."""
    other = VALUE[::-1]
    cold(client)
    assert client.command("SET", "big", other, "GET").node.plain() == VALUE
    cold(client)
    assert client.command("SETNX", "big", VALUE).node.plain() == 0
    assert client.command("GET", "big").node.plain() == other
    cold(client)
    assert client.command("SETEX", "big", "1000", VALUE).raw == b"+OK\r\n"
    assert client.command("MSET", "a", "b", "big", other).raw == b"+OK\r\n"
    assert client.command("GET", "big").node.plain() == other


CHANGES = [
    ("SETRANGE", "big", "100", "hello"),
    ("APPEND", "big", "tail"),
    ("SETBIT", "big", "0", "1"),
    ("EXPIRE", "big", "1000"),
    ("SET", "big", "short"),
    ("SET", "big", VALUE[::-1]),
    ("GETDEL", "big"),
    ("RENAME", "big", "other"),
    ("FLUSHALL",),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change[0]}{len(change[-1])}")
def test_a_reply_stays_what_it_was(
    small: Server, client: RawClient, change: tuple[str | bytes, ...]
) -> None:
    """A reader that takes its time gets the value of its turn, whatever others do meanwhile."""
    with small.client() as slow:
        slow.send(b"PING\r\nGET big\r\nGET big\r\n")
        assert slow.read().raw == b"+PONG\r\n"  # the first GET has run, or runs next
        assert slow.read_exactly(10) == b"$%d\r" % SIZE
        client.command(*change)
        client.command("SET", "filler", VALUE)
        rest = slow.read_exactly(SIZE + 3)
        assert rest == b"\n" + VALUE + b"\r\n"
        after = slow.read().node.plain()
    assert after != VALUE or change[0] == "EXPIRE"
    assert client.command("GET", "big").node.plain() == after


def test_readers_that_go_leave_nothing_behind(small: Server, client: RawClient) -> None:
    """Values that were being sent are given back with the connections."""
    for _ in range(4):
        with small.client() as gone:
            gone.send(b"GET big\r\n")
            assert gone.read_exactly(2) == b"$1"
        client.command("SET", "big", VALUE)
    client.command("FLUSHALL")
    deadline = time.monotonic() + 30
    while int(info(client, "memory")["used_memory"]) > 2 * SIZE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def held(client: RawClient) -> tuple[int, int]:
    """Replies that are sent from values, and bytes that wait for those alone."""
    memory = info(client, "memory")
    return int(memory["mem_lent_values"]), int(memory["mem_held_bytes"])


def test_what_is_kept_for_readers_is_told(small: Server, client: RawClient) -> None:
    """A value that nobody but a slow reader has any more, until it has been read."""
    is_lent = "reactor" in small.name
    assert held(client) == (0, 0)
    with small.client() as slow:
        slow.send(b"GET big\r\n")
        assert slow.read_exactly(2) == b"$1"
        assert held(client) == (is_lent, 0)
        client.command("DEL", "big")
        assert (held(client)[1] > SIZE) is is_lent
        assert slow.read_exactly(SIZE + 11)[-2:] == b"\r\n"
    until(lambda: held(client) == (0, 0), "the reply has been sent")


def test_an_argument_that_is_too_long_for_the_limit_is_refused(
    small: Server, client: RawClient
) -> None:
    """It is told before the argument is sent, and nothing of it is kept."""
    with small.client() as one:
        one.send(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\nv" % (81 * MB))
        said = one.read().raw
        assert said.startswith(b"-OOM an argument of %d bytes is more than" % (81 * MB))
        assert b"half of %d bytes" % (160 * MB) in said
        assert one.read_to_end() == b""
    assert client.command("GET", "big").node.plain() == VALUE


def test_the_last_bit(client: RawClient) -> None:
    """SETBIT of a far bit, cold, and counted."""
    last = str(SIZE * 8 - 1)
    assert client.command("SETBIT", "bits", last, "1").node.plain() == 0
    cold(client)
    assert client.command("SETBIT", "bits", "7", "1").node.plain() == 0
    cold(client)
    assert client.command("BITCOUNT", "bits").node.plain() == 2
    assert client.command("GETBIT", "bits", last).node.plain() == 1
    assert client.command("BITPOS", "bits", "1").node.plain() == 7


def test_reads_keep_a_large_value_without_copying_it(client: RawClient) -> None:
    """Read often, it stays in memory while others come and go."""
    cold(client)
    for _ in range(4):
        assert client.command("STRLEN", "big").node.plain() == SIZE
    before = info(client, "hybridlog")
    for number in range(8):
        client.command("SET", f"other:{number}", VALUE)
    send_down(client, "DISK")
    for number in range(8):
        assert client.command("STRLEN", f"other:{number}").node.plain() == SIZE
    assert client.command("GET", "big").node.plain() == VALUE
    after = info(client, "hybridlog")
    assert int(after["disk_reads"]) > int(before["disk_reads"])
    assert after["disk_reads_failed"] == "0"
