"""The hit-ratio curve of a real server: INFO mrc, MRC, and the switch of both."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import RawClient
from tests.support.info import info
from tests.support.servers import TRANSPORTS, Server, free_port, subject_server
from tests.telemetry.page import page_of
from tests.test_tiers import send_down, serve

KEYS = 50_000
READS = 120_000
VALUE = "v" * 200
BATCH = 500


@pytest.fixture(scope="module", params=TRANSPORTS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of this module's own."""
    server = subject_server(request.param)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def client(server: Server) -> Iterator[RawClient]:
    """A connection, with nothing counted, where nothing decays while a slow machine runs a test."""
    server.prepare()
    with server.client() as one:
        one.command("CONFIG", "SET", "insight-curve-half-life", "0")
        one.command("CONFIG", "SET", "insight-curve", "no")
        one.command("CONFIG", "SET", "insight-curve", "yes")
        yield one


def read_curve(client: RawClient, *sizes: object) -> tuple[dict[bytes, object], dict[int, float]]:
    """What MRC answers, and its points."""
    found = {
        name: value.plain()
        for name, value in client.command("MRC", *map(str, sizes)).node.pairs().items()
    }
    points = found.pop(b"curve")
    assert isinstance(points, list)
    return found, {size: float(ratio) for size, ratio in points}


def read_tiers(client: RawClient) -> dict[str, tuple[int, float]]:
    """What MRC tells of tiers: bytes, and the share of reads."""
    shares = client.command("MRC").node.pairs()[b"tiers"].pairs()
    return {
        name.decode(): (share.items[0].integer, float(share.items[1].text))
        for name, share in shares.items()
    }


def run_all(client: RawClient, commands: list[tuple[str | int, ...]]) -> None:
    """Run commands, many at a time; none may fail."""
    for start in range(0, len(commands), BATCH):
        replies = client.pipeline(commands[start : start + BATCH])
        assert not any(reply.node.is_error for reply in replies)


def fill(client: RawClient) -> None:
    """KEYS keys."""
    run_all(client, [("SET", f"key:{number}", VALUE) for number in range(KEYS)])


def test_the_curve_of_reads_of_all_keys_alike_is_a_straight_line(client: RawClient) -> None:
    """A cache of a share of the data answers that share; the sample is of about 390 keys."""
    fill(client)
    random.seed(1)
    run_all(client, [("GET", f"key:{random.randrange(KEYS)}") for _ in range(READS)])

    head, points = read_curve(client)
    memory = int(str(head[b"memory"]))
    fields = info(client, "mrc")

    assert head[b"reads"] == READS
    for multiple in (0.25, 0.5, 0.75):
        assert points[int(memory * multiple)] == pytest.approx(multiple, abs=0.2)
    assert points[int(memory * 2)] > 0.9
    ratios = list(points.values())
    assert ratios == sorted(ratios)
    assert fields["mrc_memory"] == str(memory)
    assert fields["mrc_0.5x"] == f"bytes={memory // 2},hit_ratio={points[memory // 2]:.4f}"
    assert fields["mrc_tier_mutable_hit_ratio"] == fields["mrc_1x"].rpartition("=")[2]
    assert read_tiers(client) == {"mutable": (memory, points[memory])}
    assert int(fields["mrc_more_bytes"]) == int(memory * 1.25) - memory
    assert float(fields["mrc_more_disk_reads_saved_per_sec"]) == 0


def tier_metrics(port: int) -> dict[str, float]:
    """The shares of tiers on the page."""
    found = page_of(port).of("ferrite_mrc_tier_hit_ratio")
    return {dict(labels)["tier"]: value for labels, value in found.items()}


def test_each_tier_in_memory_has_its_share_of_the_reads(tmp_path: Path) -> None:
    """Two halves of the data in two tiers answer half of the reads each, told in three ways."""
    port = free_port()
    settings = {
        "storage__data_dir": tmp_path / "data",
        "storage__max_memory": "256mb",
        "storage__hybridlog_mutable_size": "64mb",
        "storage__hybridlog_readonly_size": "64mb",
        "insight__curve_half_life": "0",
        "metrics__port": port,
    }
    for server in serve("reactors", **settings):
        with server.client() as client:
            run_all(client, [("SET", f"key:{number}", VALUE) for number in range(KEYS // 2)])
            send_down(client, "MAP")
            run_all(client, [("SET", f"key:{number}", VALUE) for number in range(KEYS // 2, KEYS)])
            random.seed(1)
            run_all(client, [("GET", f"key:{random.randrange(KEYS)}") for _ in range(READS)])

            tiers, log, fields = read_tiers(client), info(client, "hybridlog"), info(client, "mrc")
            head, points = read_curve(client)

            assert set(tiers) == {"mutable", "read_only"}
            for name, (size, ratio) in tiers.items():
                assert size == int(log[f"{name}_live_bytes"])
                assert ratio == pytest.approx(0.5, abs=0.2)
                assert fields[f"mrc_tier_{name}_hit_ratio"] == f"{ratio:.4f}"
            together = sum(ratio for _, ratio in tiers.values())
            assert together == pytest.approx(points[int(str(head[b"memory"]))])
            assert tier_metrics(port) == pytest.approx(
                {name: ratio for name, (_, ratio) in tiers.items()}
            )

            send_down(client, "DISK")
            run_all(client, [("GET", f"key:{number}") for number in range(1000)])
            assert set(read_tiers(client)) == set(tier_metrics(port)) == {"read_cache"}


def test_reads_are_counted_exactly_by_key(client: RawClient) -> None:
    """In pipelines, with many keys, in transactions; writes are none, RESETSTAT begins anew."""
    client.command("SET", "a", "1")
    client.command("GET", "a")
    client.command("MGET", "a", "b", "c")
    client.command("MULTI")
    client.command("GET", "a")
    client.command("EXISTS", "a", "b")
    client.command("SET", "b", "1")
    client.command("EXEC")

    before, _ = read_curve(client)
    client.command("CONFIG", "RESETSTAT")
    after, points = read_curve(client)

    assert (before[b"reads"], after[b"reads"]) == (7, 0)
    assert set(points.values()) == {0.0}


@pytest.mark.parametrize("end", ["FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "DEL"])
def test_no_memory_brings_back_what_was_deleted(client: RawClient, end: str) -> None:
    """Reads of keys that the client removed are misses at every size."""
    fill(client)
    client.command("CONFIG", "RESETSTAT")

    if end == "DEL":
        run_all(client, [("DEL", f"key:{number}") for number in range(KEYS)])
    else:
        client.command(*end.split())
    run_all(client, [("GET", f"key:{number}") for number in range(KEYS)])

    head, points = read_curve(client, "1gb")
    assert head[b"reads"] == KEYS
    assert points[1 << 30] < 0.3


def test_what_was_read_before_hits_in_a_large_memory(client: RawClient) -> None:
    """The same reads of keys that are there."""
    fill(client)
    client.command("CONFIG", "RESETSTAT")

    run_all(client, [("GET", f"key:{number}") for number in range(KEYS)])

    _, points = read_curve(client, 1 << 20, "1gb")
    assert points[1 << 20] < 0.3
    assert points[1 << 30] > 0.95


def test_sizes_that_are_none_are_refused(client: RawClient) -> None:
    """Bytes or text with a unit, and not too many."""
    assert list(read_curve(client, 4096, "2mb")[1]) == [4096, 2 << 20]
    assert client.command("MRC", "much").node.text.startswith("ERR a size must be")
    assert client.command("MRC", "0").node.is_error
    assert client.command("MRC", *["1mb"] * 129).node.text == "ERR at most 128 sizes"


def test_the_curve_can_be_turned_off_and_takes_no_memory_then(client: RawClient) -> None:
    """CONFIG SET insight-curve; what was counted is forgotten."""
    client.command("GET", "a")
    on = memory_of_engine(client)
    client.command("CONFIG", "SET", "insight-curve", "no")

    assert info(client, "mrc") == {"mrc_enabled": "0"}
    assert "insight-curve" in client.command("MRC").node.text
    assert on - memory_of_engine(client) > 1 << 20
    client.command("CONFIG", "SET", "insight-curve", "yes")
    assert read_curve(client)[0][b"reads"] == 0
    assert read_tiers(client) == {}


def memory_of_engine(client: RawClient) -> int:
    """Bytes of the engine's tables."""
    return int(info(client, "ferrite")["memory_engine"])


def hot_keys(client: RawClient, *words: str) -> list[dict[bytes, object]]:
    """What HOTKEYS answers."""
    items = client.command("HOTKEYS", *words).node.items
    return [{name: value.plain() for name, value in one.pairs().items()} for one in items]


def test_the_hot_keys_by_rate_bytes_and_processor_time(client: RawClient) -> None:
    """One is read most, another is largest; the switch works in the running server."""
    assert "insight-hot-keys" in client.command("HOTKEYS").node.text
    client.command("CONFIG", "SET", "insight-hot-keys", "yes")
    client.command("SET", "large", "v" * 1_000_000)
    run_all(client, [("GET", "often" if number % 2 else number) for number in range(20_000)])
    client.command("GET", "large")

    rated = hot_keys(client, "COUNT", "3")
    sized = hot_keys(client, "BY", "BYTES", "COUNT", "1")
    timed = hot_keys(client, "by", "cpu")

    assert len(rated) == 3
    assert rated[0][b"key"] == b"often"
    assert float(str(rated[0][b"per_second"]).strip("b'")) > 0
    assert sized[0][b"key"] == b"large"
    assert len(timed) == 10
    for words in (("BY",), ("BY", "luck"), ("COUNT", "0"), ("COUNT", "129")):
        assert client.command("HOTKEYS", *words).node.is_error
    client.command("CONFIG", "SET", "insight-hot-keys", "no")
    assert client.command("HOTKEYS").node.is_error
