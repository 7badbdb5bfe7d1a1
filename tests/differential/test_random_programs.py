"""Random programs: whatever the sequence, both servers answer the same.

`--hypothesis-profile=long` runs thousands of them from new seeds.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.both import Both
from tests.support.programs import (
    BITMAPS,
    KEYS,
    STRINGS,
    TRANSACTIONS,
    Command,
    Conversation,
    programs,
)
from tests.support.resp import encode

PROTOCOLS = (2, 3)


def fresh(both: Both) -> None:
    """Empty servers and new connections for the next program."""
    both.close()
    for server in both.servers:
        server.prepare()


def run_all(both: Both, program: list[Command], protocol: int) -> None:
    """Run the program step by step, then compare everything that is left."""
    fresh(both)
    conversation = Conversation(both, both.client("main", protocol))
    for command in program:
        conversation.run(command)
    compare_contents(both)


def compare_contents(both: Both) -> None:
    """The same keys, values, encodings and deadlines in every database."""
    pair = both.client("at the end", 2)
    for database in ("0", "1", "2", "15"):
        pair.run("SELECT", database)
        keys = sorted(node.data for node in pair.run("KEYS", "*").items)
        for command in ("GET", "PEXPIRETIME", "STRLEN"):
            pair.run_many([(command, key) for key in keys])
        pair.run_many([("OBJECT", "ENCODING", key) for key in keys])
        pair.run("DBSIZE")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(program=programs(STRINGS))
def test_strings(both2: Both, protocol: int, program: list[Command]) -> None:
    """Programs of string commands."""
    run_all(both2, program, protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(program=programs(BITMAPS, "SET {k} {v}|GET {k}|DEL {k}|APPEND {k} {v}"))
def test_bitmaps_and_hyperloglogs(both2: Both, protocol: int, program: list[Command]) -> None:
    """Programs of bitmap and HyperLogLog commands."""
    run_all(both2, program, protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(program=programs(KEYS, "SET {k} {v}|SET {k} {v} EX {s}|GET {k}|MSET {k} {v} {k} {v}"))
def test_keys_and_databases(both2: Both, protocol: int, program: list[Command]) -> None:
    """Programs of key commands over several databases."""
    run_all(both2, program, protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(program=programs(STRINGS, BITMAPS, KEYS, TRANSACTIONS))
def test_everything(both2: Both, protocol: int, program: list[Command]) -> None:
    """Programs of all commands, transactions begun and ended anywhere."""
    run_all(both2, program, protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(
    program=programs(STRINGS, BITMAPS, KEYS, TRANSACTIONS, length=60),
    sizes=st.lists(st.integers(1, 400), max_size=30),
)
def test_pipelines_in_random_pieces(
    both2: Both, protocol: int, program: list[Command], sizes: list[int]
) -> None:
    """A whole program in one pipeline, cut into random pieces."""
    fresh(both2)
    pair = both2.client("main", protocol)
    conversation = Conversation(both2, pair)
    data = b"".join(encode(*command) for command in program)
    pair.reference.send(data)
    for size in sizes:
        pair.subject.send(data[:size])
        data = data[size:]
    pair.subject.send(data)
    for command in program:
        conversation.check(command)
    compare_contents(both2)


STEPS = st.tuples(
    st.integers(0, 2), programs(STRINGS, BITMAPS, KEYS, TRANSACTIONS, TRANSACTIONS, length=3)
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(steps=st.lists(STEPS, min_size=1, max_size=25))
def test_three_clients_in_turn(
    both2: Both, protocol: int, steps: list[tuple[int, list[Command]]]
) -> None:
    """Three connections take turns: what one watches the others change."""
    fresh(both2)
    talks = [Conversation(both2, both2.client(f"client {i}", protocol)) for i in range(3)]
    for index, program in steps:
        for command in program:
            talks[index].run(command)
    compare_contents(both2)
