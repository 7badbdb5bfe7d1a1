"""Deep pipelines, many connections, large values."""

from __future__ import annotations

import pytest

from tests.support.both import Both
from tests.support.resp import encode

MIB = 1 << 20


def test_pipeline_of_ten_thousand(both: Both) -> None:
    """Ten thousand commands in one piece are answered in order."""
    commands: list[tuple[str, ...]] = []
    for i in range(2500):
        key = f"key:{i % 100}"
        commands += [("SET", key, str(i)), ("GET", key), ("INCR", key), ("ECHO", str(i))]
    both.run_many(commands)


def test_pipeline_across_python_commands(both2: Both) -> None:
    """Commands that are answered elsewhere keep their place in the order of replies."""
    commands: list[tuple[str, ...]] = []
    for i in range(300):
        commands += [("SET", "k", str(i)), ("CONFIG", "GET", "timeout"), ("GET", "k")]
        commands += [("COMMAND", "GETKEYS", "GET", str(i)), ("INCR", "k"), ("CLIENT", "GETNAME")]
    both2.run_many(commands)


def test_many_connections_with_pipelines(both2: Both) -> None:
    """Thirty connections with replies under way at the same time."""
    pairs = [both2.client(f"c{i}") for i in range(30)]
    for i, pair in enumerate(pairs):
        pair.send(b"".join(encode("APPEND", f"own:{i}", f"{n},") for n in range(100)))
    for i, pair in enumerate(pairs):
        for n in range(100):
            pair.compare(f"APPEND {n} on connection {i}")
    both2.run_many([("GET", f"own:{i}") for i in range(30)])


def test_counter_shared_by_connections(both2: Both) -> None:
    """Increments from many connections add up."""
    pairs = [both2.client(f"c{i}") for i in range(20)]
    for pair in pairs:
        pair.send(encode("INCR", "n") * 200)
    for pair in pairs:
        for client in pair.clients:
            values = [client.read().node.integer for _ in range(200)]
            assert values == sorted(set(values))
    assert both2.run("GET", "n").data == b"4000"


@pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, 3 * MIB])
def test_values_of_mebibytes(both: Both, size: int) -> None:
    """Values of about a mebibyte, written, grown, read in part and whole."""
    value = bytes(i % 253 for i in range(1009)) * (size // 1009 + 1)
    both.run_many([
        ("SET", "k", value[:size]), ("STRLEN", "k"), ("GET", "k"), ("GETRANGE", "k", "-10", "-1"),
        ("APPEND", "k", "tail"), ("GETRANGE", "k", str(size - 3), "-1"), ("SETRANGE", "k", "5",
        "x"), ("COPY", "k", "l"), ("GET", "l"), ("BITCOUNT", "k"), ("GETDEL", "k"), ("DBSIZE",),
    ])  # fmt: skip


def test_value_of_64_mebibytes(both2: Both) -> None:
    """One value of 64 MiB, there and back."""
    value = bytes(range(256)) * (64 * MIB // 256)

    both2.run("SET", "k", value)
    both2.run("STRLEN", "k")
    assert both2.run("GET", "k").data == value
    both2.run("GETRANGE", "k", str(len(value) - 8), "-1")
    both2.run("DEL", "k")


@pytest.mark.memory_only("writes half a gigabyte for each command")
def test_the_last_bit_of_the_largest_value(both2: Both) -> None:
    """SETBIT at 2^32 - 1 makes a value of 512 MiB, the largest there is."""
    both2.script("""
        SETBIT k 4294967295 1
        STRLEN k
        GETBIT k 4294967295
        BITCOUNT k -1 -1
        GETRANGE k 536870910 -1
        APPEND k x
        SETRANGE k 536870911 xy
        DEL k
    """)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 255, 256, 257, 4095, 4096, 65535, 65536, 70000])
def test_keys_of_every_size(both: Both, size: int) -> None:
    """Long keys are keys like others."""
    key = "k" * size
    both.run_many([
        ("SET", key, "v"), ("GET", key), ("EXPIRE", key, "100000"), ("TTL", key), ("APPEND", key,
        "w"), ("RENAME", key, "short"), ("RENAME", "short", key), ("KEYS", "*"), ("SCAN", "0"),
        ("RANDOMKEY",), ("GETDEL", key), ("EXISTS", key),
    ])  # fmt: skip


def test_many_keys(both2: Both) -> None:
    """Thirty thousand keys: the index grows, everything stays, half of it goes."""
    both2.run_many([("SET", f"k{i}", f"value {i}") for i in range(30_000)])
    both2.run_many([("GET", f"k{i}") for i in range(0, 30_000, 7)])
    both2.run_many([("DEL", f"k{i}") for i in range(0, 30_000, 2)])
    both2.run_many([("EXISTS", f"k{i}") for i in range(1000)])
    both2.run("DBSIZE")
    both2.run_many([("SET", f"k{i}", f"longer value {i}") for i in range(0, 30_000, 3)])
    both2.run_many([("GET", f"k{i}") for i in range(0, 30_000, 11)])
    both2.run("DBSIZE")
