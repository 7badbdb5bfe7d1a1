"""Looking into a tiered store: OBJECT TIER, DEBUG TIER, INFO hybridlog, and memory that adds up."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferrite_py import disk_watch
from ferrite_py._native import Server as Native
from ferrite_py._native import Stream
from ferrite_py.commands import tiers
from ferrite_py.commands.families import TABLE
from ferrite_py.commands.reply import CommandError
from ferrite_py.commands.runner import Runner
from ferrite_py.config import Config, Sources, with_values
from ferrite_py.rates import Durations, Rates
from ferrite_py.services import Identity, Services, Settings, engine_options
from tests.support.client import RawClient
from tests.support.info import info
from tests.support.resp import encode, parse
from tests.support.servers import TRANSPORTS, Server, free_port

KEYS = 500
VALUE = "v" * 1000


def serve(transport: str, **settings: object) -> Iterator[Server]:
    """A server with little memory and the settings; `__` stands for the dot."""
    port = free_port()
    values = {
        "server.transport": transport,
        "server.enable_debug_command": "yes",
        "storage.segment_size": "64kb",
        **{name.replace("__", "."): value for name, value in settings.items()},
    }
    command = [sys.executable, "-m", "ferrite_py", "--bind", "127.0.0.1", "--port", str(port)]
    for name, value in values.items():
        command += ["--set", f"{name}={value}"]
    server = Server(f"ferrite-py ({transport})", command, port)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module", params=TRANSPORTS)
def tiered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with a data folder, in memory of 4 MiB for new data."""
    folder = tmp_path_factory.mktemp("tiers") / "data"
    yield from serve(
        request.param,
        storage__data_dir=folder,
        storage__max_memory="64mb",
        storage__hybridlog_mutable_size="4mb",
    )


@pytest.fixture
def client(tiered: Server) -> Iterator[RawClient]:
    """A connection to it, with KEYS keys in memory, statistics at zero, and no file left."""
    tiered.prepare()
    with tiered.client() as one:
        deadline = time.monotonic() + 20
        while info(one, "hybridlog")["file_count"] != "0":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for number in range(KEYS):
            assert one.command("SET", f"key:{number}", VALUE).raw == b"+OK\r\n"
        assert one.command("CONFIG", "RESETSTAT").raw == b"+OK\r\n"
        yield one


def send_down(client: RawClient, order: str) -> None:
    """DEBUG TIER, which answers when it is done."""
    assert client.command("DEBUG", "TIER", order).raw == b"+OK\r\n"


def place(client: RawClient, key: str) -> dict[bytes, object]:
    """What OBJECT TIER answers, as a dictionary."""
    node = client.command("OBJECT", "TIER", key).node
    return {name: value.plain() for name, value in node.pairs().items()}


def tier_of(client: RawClient, key: str) -> object:
    """The tier of a key."""
    return place(client, key)[b"tier"]


def test_a_key_on_its_way_down_and_up(client: RawClient) -> None:
    """Each tier is told, with the place, and what of it is only probable."""
    new = place(client, "key:3")
    send_down(client, "SEAL")
    assert tier_of(client, "key:3") in (b"sealed", b"read_only")
    send_down(client, "map")
    mapped = place(client, "key:3")
    send_down(client, "Disk")
    cold = place(client, "key:3")
    assert client.command("GET", "key:3").node.text == VALUE
    copy = place(client, "key:3")

    assert (new[b"tier"], mapped[b"tier"], cold[b"tier"]) == (b"mutable", b"read_only", b"disk")
    where = [new[b"segment"], new[b"offset"]]
    assert [mapped[b"segment"], mapped[b"offset"]] == where
    assert [cold[b"segment"], cold[b"offset"]] == where
    assert copy[b"tier"] == b"read_cache"
    assert copy[b"home"] == where
    assert [one[b"certain"] for one in (new, mapped, cold, copy)] == [1, 1, 0, 1]
    assert [one[b"bytes"] for one in (new, mapped, copy)] == [new[b"bytes"]] * 3
    assert int(str(new[b"bytes"])) >= len(VALUE)
    assert cold[b"bytes"] is cold[b"frequency"] is None
    assert client.command("OBJECT", "TIER", "none").node.null


def test_looking_changes_nothing(client: RawClient) -> None:
    """Nothing is read from disk, counted or touched, whatever the tier; a map in RESP3."""
    send_down(client, "DISK")
    client.command("GET", "key:1")
    client.command("GET", "key:1")
    before = info(client, "hybridlog", "stats")
    places = [place(client, f"key:{number}") for number in range(KEYS)]
    again = [place(client, f"key:{number}") for number in range(KEYS)]
    after = info(client, "hybridlog", "stats")

    assert places == again
    # A key whose place in the index looks the same by chance is read, and kept, too.
    copies = int(after["read_cache_records"])
    assert 1 <= copies <= 3
    assert [one[b"tier"] for one in places].count(b"disk") == KEYS - copies
    names = ("disk_reads", "read_cache_puts", "keyspace_hits", "keyspace_misses", "disk_hits")
    assert [before[name] for name in names] == [after[name] for name in names]
    client.command("HELLO", "3")
    assert client.command("OBJECT", "TIER", "key:2").node.kind == "%"


def test_hits_by_tier(client: RawClient) -> None:
    """Every hit is counted once, where the record was; those of all tiers are keyspace_hits."""
    client.command("GET", "key:0")
    send_down(client, "MAP")
    client.command("MGET", "key:1", "key:2", "none")
    send_down(client, "DISK")
    for _ in range(3):
        client.command("GET", "key:9")
    client.command("EXISTS", "key:8", "key:8")
    found = info(client, "hybridlog", "stats")

    hits = {name: int(found[f"{name}_hits"]) for name in tiers.NAMES}
    assert hits == {"mutable": 1, "sealed": 0, "read_only": 2, "disk": 2, "read_cache": 3}
    assert int(found["keyspace_hits"]) == sum(hits.values())
    assert found["keyspace_misses"] == "1"


def test_records_by_tier_and_how_long_the_disk_took(client: RawClient) -> None:
    """Each key counts once where its record is, copies beside it; reads of the disk are timed."""

    def records() -> dict[str, int]:
        found = info(client, "hybridlog")
        return {name: int(found[f"{name}_records"]) for name in tiers.NAMES}

    nowhere = dict.fromkeys(tiers.NAMES, 0)
    assert records() == {**nowhere, "mutable": KEYS}
    assert "disk_read_usec_p50" not in info(client, "hybridlog")
    send_down(client, "MAP")
    assert records() == {**nowhere, "read_only": KEYS}
    send_down(client, "DISK")
    for number in range(10):
        client.command("GET", f"key:{number}")
    copies = records()["read_cache"]
    # A key whose place in the index looks the same by chance is read, and kept, too.
    assert 10 <= copies <= 12
    assert records() == {**nowhere, "disk": KEYS, "read_cache": copies}
    client.command("DEL", "key:0", "key:2")
    client.command("SET", "key:1", "new")
    left = {**nowhere, "mutable": 1, "disk": KEYS - 3, "read_cache": copies - 3}
    assert records() == left

    found = info(client, "hybridlog")
    names = ("disk_read_usec_p50", "disk_read_usec_p99", "disk_read_usec_max")
    times = [float(found[name]) for name in names]
    assert 0 < times[0] <= times[1] <= times[2]
    client.command("CONFIG", "RESETSTAT")
    assert "disk_read_usec_max" not in info(client, "hybridlog")


def test_a_restored_frequency_counts_on_the_way_down(client: RawClient) -> None:
    """Files do not keep counters: a restored key that is used often goes to the read cache."""
    client.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
    try:
        dump = client.command("DUMP", "key:0").node.plain()
        assert isinstance(dump, bytes)
        for name, frequency in (("often", "200"), ("now and then", "6"), ("never", "0")):
            client.command("RESTORE", name, "0", dump, "FREQ", frequency)
            assert client.command("OBJECT", "FREQ", name).node.plain() == int(frequency)
        send_down(client, "DISK")
        tiers_of = [tier_of(client, name) for name in ("often", "now and then", "never", "key:1")]
        assert tiers_of == [b"read_cache", b"read_cache", b"disk", b"disk"]
        assert client.command("OBJECT", "FREQ", "often").node.plain() == 8
        assert client.command("OBJECT", "FREQ", "never").node.plain() == 5
    finally:
        client.command("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_the_read_cache_is_emptied(client: RawClient) -> None:
    """Its copies are gone, its memory too; what they are copies of can be read."""
    send_down(client, "DISK")
    for number in range(KEYS):
        client.command("GET", f"key:{number}")
    full = info(client, "hybridlog")
    send_down(client, "TRIM")
    empty = info(client, "hybridlog")

    assert int(full["read_cache_live_bytes"]) > KEYS * len(VALUE)
    assert empty["read_cache_bytes"] == empty["read_cache_live_bytes"] == "0"
    assert int(empty["read_cache_budget"]) > 0
    assert tier_of(client, "key:7") == b"disk"
    assert client.command("GET", "key:7").node.text == VALUE
    assert client.command("DEBUG", "CHECK-STORE").raw == b"+OK\r\n"


def test_numbers_follow_the_data(client: RawClient) -> None:
    """Bytes, files and migrations before and after everything was sent to disk."""
    before = info(client, "hybridlog")
    send_down(client, "DISK")
    after = info(client, "hybridlog")

    def number(name: str) -> int:
        return int(after[name]) - int(before[name])

    data = KEYS * len(VALUE)
    assert int(before["mutable_live_bytes"]) > data
    assert after["mutable_bytes"] == after["sealed_bytes"] == after["read_only_bytes"] == "0"
    assert number("disk_live_bytes") == int(before["mutable_live_bytes"])
    segments = number("disk_segments")
    assert segments >= data // (64 << 10)
    assert number("flushed_total") == number("demoted_total") == segments
    assert number("epoch") == 3 * segments
    assert number("removed_total") == 0
    assert number("flushed_bytes_total") == number("file_bytes") > data
    assert after["disk_state"] == "ok"
    assert after["disk_last_error"] == ""
    assert after["disk_engine"] in ("io_uring", "threads")
    assert 1.0 <= float(after["space_amplification"]) < 1.5
    assert 0.5 < float(after["write_amplification"]) < 1.5


def test_memory_adds_up(client: RawClient) -> None:
    """What is mapped counts as used; what is on disk does not. The parts of MEMORY STATS add up."""
    send_down(client, "MAP")
    mapped = info(client, "memory")
    stats = client.command("MEMORY", "STATS").node.pairs()
    send_down(client, "DISK")
    cold = info(client, "memory")

    read_only = int(mapped["mem_tier_read_only"])
    assert read_only > KEYS * len(VALUE)
    assert int(mapped["used_memory_dataset"]) >= read_only
    assert int(mapped["used_memory_rss"]) > read_only
    assert int(cold["mem_tier_read_only"]) == 0
    assert int(cold["used_memory_dataset"]) < read_only
    total = stats[b"overhead.total"].integer + stats[b"dataset.bytes"].integer
    assert total == stats[b"total.allocated"].integer
    assert stats[b"hybridlog"].pairs()[b"read_only.bytes"].integer == read_only
    assert client.command("MEMORY", "DOCTOR").node.text


def test_the_section_is_shown_when_there_is_a_disk(client: RawClient) -> None:
    """By default, and in the groups; no field is told twice."""
    for words in ((), ("all",), ("everything",), ("hybridlog",)):
        text = client.command("INFO", *words).node.text
        assert text.count("# Hybridlog") == 1
        names = [line.partition(":")[0] for line in text.splitlines() if ":" in line]
        assert len(names) == len(set(names))


def test_orders_keep_their_place(client: RawClient) -> None:
    """In a pipeline and inside of a transaction, replies are in order and all commands run."""
    requests = [
        ("SET", "a", "1"), ("DEBUG", "TIER", "DISK"), ("OBJECT", "TIER", "none"), ("GET", "a"),
        ("MULTI",), ("SET", "b", "2"), ("DEBUG", "TIER", "DISK"), ("GET", "b"), ("EXEC",),
    ]  # fmt: skip
    client.send(b"".join(encode(*words) for words in requests))
    replies = [client.read().node.plain() for _ in requests]

    assert replies[:5] == [b"OK", b"OK", None, b"1", b"OK"]
    assert replies[-1] == [b"OK", b"OK", b"2"]


def test_debug_of_what_is_on_disk(client: RawClient) -> None:
    """DEBUG names no keys, so nothing is read for it; what is there is left alone."""
    assert client.command("DEBUG", "OBJECT", "key:1").raw.startswith(b"+Value at:")
    send_down(client, "DISK")

    assert client.command("DEBUG", "OBJECT", "key:1").raw.startswith(b"-ERR the key is on disk")
    assert client.command("DEBUG", "OBJECT", "none").raw == b"-ERR no such key\r\n"
    assert client.command("DEBUG", "POPULATE", str(2 * KEYS), "key").raw == b"+OK\r\n"
    # A name whose tag is that of a key on disk is left alone too.
    assert KEYS < client.command("DBSIZE").node.integer <= 2 * KEYS
    assert client.command("GET", "key:1").node.text == VALUE


def test_garbage_is_compacted_by_order(client: RawClient) -> None:
    """None is left in files, though it was too little to be compacted by itself; all values are."""
    send_down(client, "DISK")
    for number in range(0, KEYS, 10):
        client.command("SET", f"key:{number}", f"new {number}")
    for number in range(3, KEYS, 10):
        client.command("DEL", f"key:{number}")
    send_down(client, "DISK")
    before = info(client, "hybridlog")
    send_down(client, "COMPACT")
    after = info(client, "hybridlog")

    assert int(before["file_dead_bytes"]) > 50 * len(VALUE)
    assert after["file_dead_bytes"] == "0"
    moved = int(after["compaction_moved_keys"]) - int(before["compaction_moved_keys"])
    assert moved >= KEYS * 7 // 10
    assert int(after["removed_total"]) > int(before["removed_total"])
    assert client.command("DBSIZE").node.integer == KEYS - KEYS // 10
    for number in range(KEYS):
        wanted = f"new {number}" if number % 10 == 0 else VALUE
        node = client.command("GET", f"key:{number}").node
        assert node.null if number % 10 == 3 else node.text == wanted
    assert client.command("DEBUG", "CHECK-STORE").raw == b"+OK\r\n"


def test_wrong_orders(client: RawClient) -> None:
    """A word that is none, and too many."""
    assert client.command("DEBUG", "TIER", "UP").raw.startswith(b"-ERR DEBUG TIER takes SEAL")
    assert client.command("DEBUG", "TIER", "MAP", "x").node.is_error
    assert b"TIER <SEAL|MAP|DISK|COMPACT|TRIM>" in client.command("DEBUG", "HELP").raw


@pytest.mark.parametrize("order", ["SEAL", "TRIM"])
def test_a_store_in_memory(order: str) -> None:
    """Without a data folder there is one tier, nothing to send anywhere, and no section to show."""
    for server in serve("reactors"):
        with server.client() as client:
            client.command("SET", "key", VALUE)
            client.command("GET", "key")
            fields = info(client, "hybridlog")
            refused = client.command("DEBUG", "TIER", order).raw

            assert tier_of(client, "key") == b"mutable"
            assert refused == b"-ERR this server has no data folder (storage.data_dir)\r\n"
            assert "hybridlog_tiered" not in info(client)
            assert fields["hybridlog_tiered"] == "0"
            assert fields["mutable_hits"] == "1"
            assert int(fields["mutable_live_bytes"]) >= len(VALUE)
            assert "disk_state" not in fields


def test_debug_tier_is_refused_where_debug_is(tmp_path: Path) -> None:
    """As every word of DEBUG, without enable_debug_command."""
    settings = {"server__enable_debug_command": "no", "storage__data_dir": tmp_path / "data"}
    for server in serve("reactors", **settings):
        with server.client() as client:
            assert b"not allowed" in client.command("DEBUG", "TIER", "DISK").raw


def test_an_order_that_the_disk_does_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """max_disk is reached: an error that says so, when it has been tried long enough."""
    monkeypatch.setattr(tiers, "DISK_PATIENCE_SECONDS", 0.05)
    config = with_values(
        Config(),
        {
            "storage.data_dir": str(tmp_path / "data"),
            "storage.max_disk": 4096,
            "server.enable_debug_command": True,
        },
    )
    native = Native(engine_options(config))
    for row in TABLE.rows():
        native.register(row)
    services = Services(
        native=native,
        settings=Settings(config, None, Sources(None, {}, {}), native),
        identity=Identity(),
        rates=Rates(()),
        durations=Durations(),
        stop=lambda _why: None,
    )
    runner, stream = Runner(services, TABLE), Stream(native, "1.1.1.1:1", "1.1.1.1:2", False, -1)

    async def ask(*words: str) -> bytes:
        output = stream.feed(encode(*words), 0)
        runner.start(native.take_requests())
        while stream.waits:
            await asyncio.sleep(0.001)
            while (woken := native.take_woken()) is not None:
                output += woken.resume(0)
        return output

    async def talk() -> list[bytes]:
        return [
            await ask("SET", "a", VALUE),
            await ask("DEBUG", "TIER", "DISK"),
            await ask("INFO", "hybridlog"),
        ]

    native.start_workers()
    try:
        _, refused, told = asyncio.run(talk())
        assert refused == b"-IOERR the disk does not take the data: storage.max_disk is reached\r\n"
        assert "disk_state:full" in parse(told).text
        assert stream.feed(encode("GET", "a"), 0) == b"$1000\r\n" + VALUE.encode() + b"\r\n"
    finally:
        stream.close()
        native.close()


def test_the_last_error_names_file_and_cause() -> None:
    """As an operator looks for it."""
    found = {"error_code": 5, "error_segment": 26, "error_generation": 2}

    assert disk_watch.last_error(found) == "0000001a-00000002.seg: Input/output error"
    assert disk_watch.last_error({"error_code": 0}) == ""


def test_the_last_fault_names_the_byte() -> None:
    """Damage has a place; an error of the disk has a code as well."""
    found = {"fault_segment": 1, "fault_generation": 2, "fault_offset": 77, "fault_cause": "cut"}

    assert tiers.last_fault(found | {"fault_code": 0}) == "00000001-00000002.seg at 77: cut"
    assert tiers.last_fault(found | {"fault_code": 5}).endswith(" at 77: cut: Input/output error")
    assert tiers.last_fault({"fault_segment": 0}) == ""


class BusyOrder:
    """A native server whose order takes `polls` calls, on a disk in `state`."""

    def __init__(self, state: int, polls: int, gets_on: bool) -> None:
        self._state, self._left, self._gets_on = state, polls, gets_on
        self.removals = 0
        self.ended = 0

    def tiers(self) -> dict[str, object]:
        """One snapshot."""
        names = ("moved_bytes", "records_lost", "jobs_compact", "jobs_read_bytes")
        return {
            "tiered": True,
            "disk_state": self._state,
            "error_code": 0,
            "damaged_segments": 0,
            "out_of_files": 0,
            "no_space": 0,
            "removals": self.removals,
            **dict.fromkeys(names, 0),
        }

    def order_tiers(self, order: str, /) -> bool:
        """A step of it."""
        if order == "end":
            self.ended += 1
            return False
        self._left -= 1
        self.removals += self._gets_on
        return self._left > 0


FULL, FAILED = 1, 2
POLLS = 50


def give_order(native: BusyOrder, order: str) -> str:
    """What the client is told, when it is an error."""
    try:
        asyncio.run(tiers._carry_out(native, order))
    except CommandError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("order", ["forget", "compact"])
def test_an_order_that_makes_room_goes_on_at_a_full_disk(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as it gets on; a disk that fails, or nothing that goes, ends it as any other."""
    monkeypatch.setattr(tiers, "DISK_PATIENCE_SECONDS", POLLS * tiers._POLL_SECONDS / 5)
    for state, gets_on, done in [
        (FULL, True, True), (FULL, False, False), (FAILED, True, False),
    ]:  # fmt: skip
        native = BusyOrder(state, POLLS, gets_on)
        told = give_order(native, order)
        assert (told == "") == done, (state, gets_on, told)
        assert native.ended == 1
    assert "max_disk is reached" in give_order(BusyOrder(FULL, POLLS, True), "disk")
