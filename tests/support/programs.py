"""Random programs: sequences of commands over few keys and values, for Hypothesis.

A command is a template whose words in braces are drawn from small alphabets, so that commands meet
the keys that others wrote, and errors are as frequent as successes. Nothing depends on a clock:
deadlines are far away or have passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.support.both import Both, Pair, shown
from tests.support.client import Argument, Reply
from tests.support.match import usual
from tests.support.resp import Node, encode, to_bytes
from tests.support.script import values

Command = tuple[Argument, ...]

_HLL_EMPTY = b"HYLL\x01" + b"\x00" * 10 + b"\x80" + b"\x7f\xff"
ALPHABETS: dict[str, Sequence[Argument]] = {
    "k": ["a", "b", "c", "d", "e", "", "key:\u00e4"],
    "v": [
        *values("0 1 -1 10 12345 3.5 hello 9223372036854775807 -9223372036854775808 abcabcabcabc"),
        "", " 1", "x" * 44, "y" * 60, b"\x00\xff\x80", b"\xf0", _HLL_EMPTY, "caf\u00e9",
    ],
    "n": values("0 1 -1 2 7 10 -5 100 9223372036854775807 -9223372036854775808 abc 1.5"),
    "f": values("0 1 -1 0.1 1.5 -2.75 1e3 1e20 abc inf nan 3.14159265358979"),
    "i": values("0 1 2 3 5 -1 -2 -3 8 100 -100 abc"),
    "s": values("100000 500000 1000000 0 -1 abc 9223372036854775807"),
    "ms": values("100000000 500000000 0 -1 abc 9223372036854775807"),
    "at": values("4102444800 4202444800 1 0 -1 abc 9223372036854775807"),
    "atms": values("4102444800123 4202444800000 1 0 -1 abc 9223372036854775807"),
    # SET with a time in the past leaves a key that a background cycle removes at its own time.
    "later": values("4102444800 4202444800 0 -1 abc 9223372036854775807"),
    "laterms": values("4102444800123 4202444800000 0 -1 abc 9223372036854775807"),
    "when": values("NX XX GT LT nx foo"),
    # Beside a relative time: of two equal ones, a tick of either clock would decide GT and LT.
    "there": values("NX XX nx foo"),
    "db": values("0 0 0 1 1 2 15 16 x"),
    "o": values("0 1 7 8 9 15 23 64 100 -1 abc"),
    "bit": values("0 1 1 0 2 x"),
    "type": values("u1 u4 u8 i8 i5 u16 i32 u63 i64 u64 x"),
    "over": values("WRAP SAT FAIL foo"),
    "unit": values("BYTE BIT bit foo"),
    "op": values("AND OR XOR NOT foo"),
    "e": values("a b c d e f g h i j"),
    "pattern": ["*", "a*", "?", "[a-c]", "key:*", "", "nothing"],
    "sync": ["SYNC", "ASYNC"],
}  # fmt: skip

STRINGS = """
GET {k}|SET {k} {v}|SET {k} {v}|SET {k} {v}|SET {k} {v} NX|SET {k} {v} XX|SET {k} {v} GET
SET {k} {v} NX GET|SET {k} {v} XX GET|SET {k} {v} KEEPTTL|SET {k} {v} EX {s}|SET {k} {v} PX {ms}
SET {k} {v} EXAT {later}|SET {k} {v} PXAT {laterms}|SET {k} {v} EX {s} NX GET|SET {k} {v} {when}
GETEX {k}|GETEX {k} EX {s}|GETEX {k} PX {ms}|GETEX {k} EXAT {at}|GETEX {k} PXAT {atms}
GETEX {k} PERSIST|GETDEL {k}|GETSET {k} {v}|SETNX {k} {v}|SETEX {k} {s} {v}|PSETEX {k} {ms} {v}
APPEND {k} {v}|APPEND {k} {v}|STRLEN {k}|GETRANGE {k} {i} {i}|SUBSTR {k} {i} {i}
SETRANGE {k} {o} {v}|MGET {k} {k} {k}|MSET {k} {v} {k} {v}|MSET {k} {v} {k}|MSETNX {k} {v} {k} {v}
INCR {k}|INCR {k}|DECR {k}|INCRBY {k} {n}|DECRBY {k} {n}|INCRBYFLOAT {k} {f}
LCS {k} {k}|LCS {k} {k} LEN|LCS {k} {k} IDX|LCS {k} {k} IDX MINMATCHLEN {n} WITHMATCHLEN
"""
BITMAPS = """
SETBIT {k} {o} {bit}|SETBIT {k} {o} {bit}|GETBIT {k} {o}|BITCOUNT {k}|BITCOUNT {k} {i} {i}
BITCOUNT {k} {i} {i} {unit}|BITCOUNT {k} {i}|BITPOS {k} {bit}|BITPOS {k} {bit} {i}
BITPOS {k} {bit} {i} {i}|BITPOS {k} {bit} {i} {i} {unit}|BITOP {op} {k} {k}|BITOP {op} {k} {k} {k}
BITFIELD {k} GET {type} {o}|BITFIELD {k} SET {type} {o} {n}|BITFIELD {k} INCRBY {type} {o} {n}
BITFIELD {k} OVERFLOW {over} INCRBY {type} {o} {n} GET {type} {o}|BITFIELD_RO {k} GET {type} {o}
BITFIELD_RO {k} SET {type} {o} {n}|PFADD {k} {e} {e} {e}|PFADD {k}|PFADD {k} {e}|PFCOUNT {k}
PFCOUNT {k} {k}|PFMERGE {k} {k}|PFMERGE {k}
"""
KEYS = """
DEL {k}|DEL {k} {k}|UNLINK {k} {k}|EXISTS {k} {k} {k}|TOUCH {k} {k}|TYPE {k}|RENAME {k} {k}
RENAMENX {k} {k}|COPY {k} {k}|COPY {k} {k} REPLACE|COPY {k} {k} DB {db}|COPY {k} {k} DB {db} REPLACE
MOVE {k} {db}|EXPIRE {k} {s}|EXPIRE {k} {s} {there}|PEXPIRE {k} {ms}|PEXPIRE {k} {ms} {there}
EXPIREAT {k} {at}|EXPIREAT {k} {at} {when}|PEXPIREAT {k} {atms}|PEXPIREAT {k} {atms} {when}
EXPIRE {k} {s} {there} {there}|PERSIST {k}|TTL {k}|PTTL {k}|EXPIRETIME {k}|PEXPIRETIME {k}
KEYS {pattern}|SCAN 0 COUNT 1000|SCAN 0 COUNT 1000 MATCH {pattern}|SCAN 0 COUNT 1000 TYPE string
DUMP {k}|OBJECT ENCODING {k}|OBJECT FREQ {k}|RESTORE {k} 0 {v}|DBSIZE|SELECT {db}|SELECT {db}
SWAPDB {db} {db}|FLUSHDB {sync}|FLUSHALL|FLUSHDB|PING|PING {v}|ECHO {v}|ECHO|NOSUCH {k} {v}|GET
OBJECT NOSUCH {k}|COMMAND GETKEYS SET {k} {v}|CLIENT GETNAME|CLIENT SETNAME {k}|CONFIG GET timeout
"""
TRANSACTIONS = """
MULTI|MULTI|EXEC|EXEC|EXEC|DISCARD|WATCH {k}|WATCH {k} {k}|UNWATCH|RESET|HELLO 2|HELLO 3|HELLO x
"""


def _templates(text: str) -> list[str]:
    return [part.strip() for line in text.strip().splitlines() for part in line.split("|")]


def _fill(template: str) -> st.SearchStrategy[Command]:
    words = []
    for word in template.split():
        drawn = ALPHABETS[word[1:-1]] if word.startswith("{") else [word]
        words.append(st.sampled_from(drawn))
    return st.tuples(*words)


def commands(*families: str) -> st.SearchStrategy[Command]:
    """One command of the families, each template as likely as the others."""
    return st.one_of([_fill(template) for text in families for template in _templates(text)])


def programs(*families: str, length: int = 40) -> st.SearchStrategy[list[Command]]:
    """A program: single commands, and transactions that are complete."""
    single = commands(*families).map(lambda command: [command])
    block = st.lists(commands(*families), max_size=6).map(
        lambda inner: [("MULTI",), *inner, ("EXEC",)]
    )
    pieces = st.lists(st.one_of(single, single, single, block), min_size=1, max_size=length)
    return pieces.map(lambda parts: [command for part in parts for command in part])


@dataclass
class Conversation:
    """One pair of connections and what it has queued, so that EXEC is compared in its parts."""

    both: Both
    pair: Pair
    queued: list[Command] | None = None
    sent: list[Command] = field(default_factory=list)

    def run(self, command: Command) -> None:
        """Send one command and compare its reply."""
        for client in self.pair.clients:
            client.send(encode(*command))
        self.check(command)

    def check(self, command: Command) -> None:
        """Compare the next reply, which is that of `command`."""
        self.sent.append(command)
        theirs = self.both.read(self.pair.reference, self.both.reference)
        ours = self.both.read(self.pair.subject, self.both.subject)
        if not self._match(command, theirs, ours):
            lines = "\n".join(f"    {shown(sent)}" for sent in self.sent)
            self.both.fail(
                f"after, on {self.pair.name}:\n{lines}", [(shown(command), theirs, ours)]
            )
        self._follow(command, ours.node)

    def _match(self, command: Command, theirs: Reply, ours: Reply) -> bool:
        name = to_bytes(command[0]).upper()
        if name == b"HELLO" and not ours.node.is_error:
            return theirs.node.kind == ours.node.kind
        nodes = (theirs.node, ours.node)
        if name != b"EXEC" or not all(n.kind == "*" and not n.null for n in nodes):
            return usual(command)(theirs, ours)
        assert self.queued is not None, "EXEC answered an array without MULTI"
        inner = [list(node.items) for node in nodes]
        if not len(inner[0]) == len(inner[1]) == len(self.queued):
            return False
        triples = zip(self.queued, *inner, strict=True)
        return all(self._match(c, Reply(b"", one), Reply(b"", two)) for c, one, two in triples)

    def _follow(self, command: Command, reply: Node) -> None:
        name = to_bytes(command[0]).upper()
        if reply.data == b"QUEUED":
            assert self.queued is not None, "a command was queued without MULTI"
            self.queued.append(command)
        elif name == b"MULTI" and not reply.is_error:
            self.queued = []
        elif name in (b"EXEC", b"DISCARD", b"RESET"):
            self.queued = None
