"""When two replies count as the same. Everything is compared byte for byte unless named here."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.support import payload
from tests.support.client import Argument, Reply
from tests.support.resp import Node, to_bytes

Match = Callable[[Reply, Reply], bool]

_CLOCK_MS = 3000
_LARGE = 100_000


def exact(one: Reply, two: Reply) -> bool:
    """The same bytes, and the same end of the connection."""
    return one.raw == two.raw and one.node == two.node


def anything(_one: Reply, _two: Reply) -> bool:
    """The test judges the replies itself."""
    return True


def same_shape(one: Reply, two: Reply) -> bool:
    """The same types at the same places; the scalars may differ."""
    return _shape(one.node) == _shape(two.node)


def unordered(one: Reply, two: Reply) -> bool:
    """The same members in any order."""
    return one.node.kind == two.node.kind and _sorted(one.node) == _sorted(two.node)


def unordered_pairs(one: Reply, two: Reply) -> bool:
    """The same fields and values, the fields in any order."""
    if one.node.kind not in "%*" or one.node.kind != two.node.kind:
        return exact(one, two)
    ours, theirs = one.node.pairs(), two.node.pairs()
    return ours.keys() == theirs.keys() and all(ours[k].plain() == theirs[k].plain() for k in ours)


def near(tolerance: int) -> Match:
    """Positive integers may differ by `tolerance`, for a clock that runs; all else is exact."""

    def match(one: Reply, two: Reply) -> bool:
        if one.node.kind == two.node.kind == ":":
            ours, theirs = one.node.integer, two.node.integer
            if ours > 0 and theirs > 0:
                return abs(ours - theirs) <= tolerance
        return exact(one, two)

    return match


def clock_inside(one: Reply, two: Reply) -> bool:
    """Exact, but large integers inside arrays may differ as TTL replies in EXEC do."""
    return _alike(one.node, two.node)


def scan_page(one: Reply, two: Reply) -> bool:
    """A cursor that is zero on both sides or on neither; the members in any order when it is."""
    if one.node.kind != "*" or len(one.node.items) != 2:
        return exact(one, two)
    if len(two.node.items) != 2:
        return False
    ends = [node.items[0].data == b"0" for node in (one.node, two.node)]
    return _sorted(one.node.items[1]) == _sorted(two.node.items[1]) if all(ends) else True


def masked(*patterns: bytes) -> Match:
    """Equal after every match of the patterns is replaced; a bulk's length line does not count."""
    compiled = [re.compile(pattern) for pattern in patterns]

    def mask(node: Node) -> object:
        if node.items or node.kind in "*%~>":
            return node.kind, [mask(item) for item in node.items]
        data = node.data
        for pattern in compiled:
            data = pattern.sub(b"<masked>", data)
        return node.kind, node.null, data

    def match(one: Reply, two: Reply) -> bool:
        return mask(one.node) == mask(two.node)

    return match


def _shape(node: Node) -> object:
    if node.items or node.kind in "*%~>":
        return node.kind, [_shape(item) for item in node.items]
    return node.kind, node.null


def _sorted(node: Node) -> list[str]:
    return sorted(repr(item.plain()) for item in node.items)


def _alike(one: Node, two: Node) -> bool:
    if one.kind != two.kind or one.null != two.null or len(one.items) != len(two.items):
        return False
    if one.kind == ":" and min(one.integer, two.integer) > _LARGE:
        return abs(one.integer - two.integer) <= _CLOCK_MS
    pairs = zip(one.items, two.items, strict=True)
    return one.data == two.data and all(_alike(ours, theirs) for ours, theirs in pairs)


def same_dump(one: Reply, two: Reply) -> bool:
    """The same serialized value; each server writes its own RDB version (7.2: 11, 7.0: 10).

    Two compressors may find different repetitions, so compressed values are compared unpacked.
    """
    if one.node.kind != "$" or one.node.null or two.node.null:
        return exact(one, two)
    bodies = [payload.unpacked(payload.body(reply.node.data)) for reply in (one, two)]
    return one.node.kind == two.node.kind and bodies[0] == bodies[1]


_BY_COMMAND: dict[bytes, Match] = {
    b"TTL": near(2),
    b"EXPIRETIME": near(2),
    b"PTTL": near(_CLOCK_MS),
    b"PEXPIRETIME": near(_CLOCK_MS),
    b"KEYS": unordered,
    b"SCAN": scan_page,
    b"EXEC": clock_inside,
    b"DUMP": same_dump,
    b"TIME": same_shape,
    b"LASTSAVE": same_shape,
}


def usual(arguments: tuple[Argument, ...]) -> Match:
    """The comparison that a command's reply calls for when the test does not choose one."""
    name = to_bytes(arguments[0]).upper() if arguments else b""
    return _BY_COMMAND.get(name, exact)
