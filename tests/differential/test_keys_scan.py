"""KEYS patterns and SCAN."""

from __future__ import annotations

import itertools

import pytest

from tests.support.both import Both
from tests.support.client import RawClient
from tests.support.match import anything

NAMES: list[str | bytes] = [
    "", "a", "b", "ab", "abc", "abd", "a*c", "a?c", "a[c", "a]c", "a\\c", "hello", "hallo", "hxllo",
    "h-llo", "h^llo", "HELLO", "key:1", "key:2", "key:10", "foo bar", "*", "?", "[", "]", "^", "-",
    b"\x00", b"\xff\xfe", b"a\x00b", "caf\u00e9", "[abc]", "a\nb", "!",
]  # fmt: skip
PATTERNS: list[str | bytes] = [
    "*", "", "?", "??", "a*", "*c", "*b*", "a?c", "a\\*c", "a\\?c", "a\\[c", "h[ae]llo", "h[^e]llo",
    "h[a-z]llo", "h[z-a]llo", "h[^a-z]llo", "h[-]llo", "h[\\-x]llo", "h[\\^]llo", "[", "[a", "a[",
    "a[b", "[]", "[]a", "[^]", "[^a", "\\", "a\\", "\\a", "**", "***a***", "*?*", "key:[0-9]",
    "key:[0-9]*", "key:*[!0]", "[[]", "[]]", "*[*", "\\[abc\\]", "[a-c]", "[a-]", "[-a]", "hell\\o",
    "HEL*", "h*l*o", "*\xe9", b"\xff*", b"*\x00*", "a*b*c*d", "?" * 5, "*" * 40 + "z", "a\nb", "!",
    "[!a]", "[\\]]", "[a\\]b]c", "nothing",
]  # fmt: skip


def test_keys_patterns(both: Both) -> None:
    """Every pattern selects the same keys."""
    both.run_many([("SET", name, "v") for name in NAMES])
    both.run_many([("KEYS", pattern) for pattern in PATTERNS])
    both.run_many([("SCAN", "0", "COUNT", "1000", "MATCH", pattern) for pattern in PATTERNS])
    both.run_many([("KEYS",), ("KEYS", "a", "b"), ("SELECT", "1"), ("KEYS", "*")])


def test_patterns_over_an_alphabet_of_their_own_signs(both2: Both) -> None:
    """All patterns of up to three signs against all keys of up to two."""
    signs = "a*?[]^-\\"
    keys = [k for n in range(3) for k in map("".join, itertools.product("ab-^]\\*", repeat=n))]
    patterns = [p for n in (1, 2, 3) for p in map("".join, itertools.product(signs, repeat=n))]
    both2.run_many([("MSET", *(word for key in keys for word in (key, "v")))])
    both2.run_many([("KEYS", pattern) for pattern in patterns])


def test_long_pattern_of_stars_ends(both2: Both) -> None:
    """A pattern made to backtrack does not hang the server."""
    both2.run_many([("SET", "a" * 30, "v"), ("KEYS", "a*" * 12 + "b"), ("KEYS", "*a" * 12)])


def test_scan_errors_and_empty(both: Both) -> None:
    """Bad cursors, counts and options; an empty database answers cursor zero."""
    both.script("""
        SCAN 0
        SCAN
        SCAN x
        SCAN ""
        SCAN -1
        SCAN 1.5
        SCAN 99999999999999999999999
        SCAN 18446744073709551616
        SCAN 0 COUNT
        SCAN 0 COUNT 0
        SCAN 0 COUNT -1
        SCAN 0 COUNT x
        SCAN 0 COUNT 9223372036854775808
        SCAN 0 MATCH
        SCAN 0 TYPE
        SCAN 0 FOO
        SCAN 0 FOO bar
        SCAN 0 MATCH a COUNT
        SCAN 0 COUNT 10 NOVALUES
        SCAN 0 match * count 10 type string
        SCAN 0 TYPE nosuchtype
        SCAN 0 MATCH a MATCH b
        SCAN 0 COUNT 1 COUNT 100
        SET k v
        SCAN 0 COUNT 100
        SCAN 0 TYPE string COUNT 100
        SCAN 0 TYPE STRING COUNT 100
        SCAN 0 TYPE list COUNT 100
        SCAN 0 TYPE nosuchtype COUNT 100
        SCAN 0 MATCH k TYPE string COUNT 100
        SCAN 0 MATCH x COUNT 100
        PEXPIREAT k 1
        SCAN 0 COUNT 100
    """)


def walk(client: RawClient, *options: str) -> list[bytes]:
    """Everything that one full SCAN returns, repeats included."""
    cursor = b"0"
    found: list[bytes] = []
    for _ in range(100_000):
        cursor_node, members = client.command("SCAN", cursor, *options).node.items
        found += [member.data for member in members.items]
        cursor = cursor_node.data
        if cursor == b"0":
            return found
    raise AssertionError("SCAN does not end")


@pytest.mark.parametrize(
    "options", [(), ("COUNT", "1"), ("COUNT", "100"), ("MATCH", "key:1*"), ("TYPE", "string")]
)
def test_scan_returns_every_key(both: Both, options: tuple[str, ...]) -> None:
    """A full SCAN returns exactly the keys that match."""
    both.run_many([("SET", f"key:{i}", "v") for i in range(1500)])
    pair = both.client()

    theirs, ours = (set(walk(client, *options)) for client in pair.clients)

    assert theirs == ours


def test_scan_guarantee_while_keys_come_and_go(both2: Both) -> None:
    """Keys that are there from beginning to end are returned, whatever happens to others."""
    stable = {f"stable:{i}".encode() for i in range(500)}
    both2.run_many([("SET", name, "v") for name in stable])
    both2.run_many([("SET", f"passing:{i}", "v") for i in range(2000)])
    subject, other = both2.client().subject, both2.client("other").subject
    cursor, found, step = b"0", set(), 0

    while True:
        cursor_node, members = subject.command("SCAN", cursor, "COUNT", "20").node.items
        found |= {member.data for member in members.items}
        cursor = cursor_node.data
        if cursor == b"0":
            break
        other.pipeline([("SET", f"new:{step}:{i}", "v") for i in range(40)])
        other.pipeline([("DEL", f"passing:{step * 20 + i}") for i in range(20)])
        step += 1
        assert step < 10_000

    assert stable <= found


def test_scan_survives_a_shrinking_database(both2: Both) -> None:
    """Deleting most keys in the middle of a SCAN neither loses a stable key nor hangs it."""
    stable = {f"stable:{i}".encode() for i in range(50)}
    both2.run_many([("SET", name, "v") for name in stable])
    both2.run_many([("SET", f"passing:{i}", "v") for i in range(5000)])
    subject = both2.client().subject
    cursor, members = subject.command("SCAN", "0", "COUNT", "200").node.items
    found = {member.data for member in members.items}
    subject.pipeline([("DEL", f"passing:{i}") for i in range(5000)])

    for _ in range(10_000):
        if cursor.data == b"0":
            break
        cursor, members = subject.command("SCAN", cursor.data).node.items
        found |= {member.data for member in members.items}

    assert cursor.data == b"0"
    assert stable <= found


def test_any_cursor_is_accepted(both: Both) -> None:
    """A cursor that no SCAN returned is answered with a page, not an error."""
    both.run_many([("SET", f"k{i}", "v") for i in range(100)])

    for cursor in ("1", "77", "1234567", "9223372036854775807", "18446744073709551615", "+1", " 1"):
        reply = both.run("SCAN", cursor, match=anything)
        theirs = both.reference.admin.command("SCAN", cursor)
        assert theirs.node.kind == reply.kind, cursor
