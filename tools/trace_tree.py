"""Spans as a tree of text: what called what, how long it took, and what each found where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ferrite_py.telemetry.names import SCOPE
from tests.telemetry.views import Attributes, SpanView

WIDTH = 56
"""Columns of a span's name, its branches included."""

_TIME = re.compile(r" *\d[\d.]* (?:ns|us|ms|s)\b")


@dataclass(frozen=True)
class Node:
    """A span and those below it, in the order in which they began."""

    span: SpanView
    below: tuple[Node, ...]


def tree_of(spans: Iterable[SpanView], root_id: str) -> Node:
    """The tree below one span. Raises KeyError when that span is not there."""
    by_id: dict[str, SpanView] = {}
    below: dict[str, list[SpanView]] = {}
    for span in spans:
        by_id[span.span_id] = span
        below.setdefault(span.parent_id, []).append(span)

    def node(span: SpanView) -> Node:
        children = sorted(below.get(span.span_id, ()), key=_order)
        return Node(span, tuple(node(child) for child in children))

    return node(by_id[root_id])


def _order(span: SpanView) -> tuple[bool, int]:
    """Phases before what EXEC ran; a server's own spans arrive in their order, a client's do not.

    Phases may begin at once, so that their times would not order them.
    """
    is_servers = span.scope == SCOPE
    return span.kind == "SERVER", 0 if is_servers else span.start


def render(root: Node) -> str:
    """The tree as lines; siblings that differ in their times only are one, with their number."""
    return "\n".join(_lines(root, "", "", 1))


def without_times(text: str) -> str:
    """A rendered tree without durations: what two runs of the same commands have in common."""
    return "\n".join(line.rstrip() for line in _TIME.sub("", text).splitlines())


def duration(nanoseconds: int) -> str:
    """A duration with two digits that count."""
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 1000), ("ns", 1)):
        if nanoseconds >= size:
            value = float(f"{nanoseconds / size:.2g}")
            return f"{value:g} {unit}"
    return "0 ns"


def _lines(node: Node, branch: str, indent: str, times: int) -> Iterator[str]:
    count = f" × {times}" if times > 1 else ""
    name = f"{branch}{_name(node.span)}{count}"
    took = duration(node.span.end - node.span.start)
    yield f"{name:<{WIDTH}} {took:>7}  {_facts(node.span)}".rstrip()
    groups = _grouped(node.below)
    for at, (child, number) in enumerate(groups):
        is_last = at == len(groups) - 1
        yield from _lines(
            child,
            indent + ("└─ " if is_last else "├─ "),
            indent + ("   " if is_last else "│  "),
            number,
        )


def _grouped(nodes: Iterable[Node]) -> list[tuple[Node, int]]:
    groups: list[tuple[Node, int]] = []
    shapes: list[str] = []
    for node in nodes:
        shape = without_times(render(node))
        if shapes and shapes[-1] == shape:
            groups[-1] = (groups[-1][0], groups[-1][1] + 1)
        else:
            groups.append((node, 1))
            shapes.append(shape)
    return groups


def _name(span: SpanView) -> str:
    if span.kind == "SERVER":
        return str(span.attributes["db.query.text"])
    return span.name.removeprefix("ferrite.")


def _facts(span: SpanView) -> str:
    if span.kind == "CLIENT":
        return "client"
    if span.kind == "SERVER":
        return ", ".join(["server", *_command_facts(span.attributes, span.message)])
    return _storage_facts(span.attributes)


def _command_facts(found: Attributes, code: str) -> Iterator[str]:
    yield str(found["ferrite.command.result"]) + (f" {code}" if code else "")
    if found.get("ferrite.command.rejected"):
        yield "refused"
    if "cache.hits" in found:
        yield f"hits {found['cache.hits']}, misses {found['cache.misses']}"
    elif "cache.hit" in found:
        yield "hit" if found["cache.hit"] else "miss"
    if "db.operation.batch.size" in found and "cache.hits" not in found:
        yield f"{found['db.operation.batch.size']} together"
    reads = found.get("ferrite.storage.disk_reads", 0)
    if reads:
        yield f"disk reads {reads}"


def _storage_facts(found: Attributes) -> str:
    if "ferrite.storage.tier" not in found:
        return ""
    is_write = found["ferrite.storage.operation"] == "write"
    words = ("in place", "appended") if is_write else ("found", "not here")
    outcome = words[0] if found["ferrite.storage.cache_hit"] else words[1]
    size = found.get("ferrite.storage.bytes")
    return f"{found['ferrite.storage.tier']}: {outcome}" + (f", {size} bytes" if size else "")
