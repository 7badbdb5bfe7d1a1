"""The trace that docs/telemetry.md shows: redis-py, a server with all tiers, both over OTLP."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.telemetry.views import SpanView
from tools.showcase import BEGIN, DOCUMENT, END, ROOT_NAME, STEPS, Run, is_set_up, run, written
from tools.trace_tree import duration, render, tree_of, without_times

PHASES = ["ferrite.resp.parse", "ferrite.command.dispatch"]
REPLY = ["ferrite.response.serialize", "ferrite.tcp.write"]
LOOKUP = "ferrite.index.lookup"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run of all its commands."""
    return run(tmp_path_factory.mktemp("showcase"))


def commands(shown: Run) -> list[SpanView]:
    """The server's spans of the commands that were meant."""
    return [span for span in shown.spans if span.kind == "SERVER" and not is_set_up(span)]


def named(shown: Run, title: str) -> list[SpanView]:
    """The server's spans of one step, in the order in which they arrived."""
    by_id = {span.span_id: span for span in shown.spans}

    def step(span: SpanView) -> str:
        while span.parent_id and by_id[span.parent_id].name != ROOT_NAME:
            span = by_id[span.parent_id]
        return span.name

    return [span for span in commands(shown) if step(span) == title]


def below(shown: Run, span: SpanView) -> list[SpanView]:
    """The phases of a command."""
    return [one for one in shown.spans if one.parent_id == span.span_id and one.kind == "INTERNAL"]


def storage(shown: Run, span: SpanView) -> list[tuple[str, str, bool]]:
    """What a command did in which tier, and whether that one had the value."""
    found = [one.attributes for one in below(shown, span) if ".storage." in one.name]
    names = ("operation", "tier", "cache_hit")
    rows = [[one[f"ferrite.storage.{name}"] for name in names] for one in found]
    return [(row[0], row[1], row[2]) for row in rows]


def test_100_of_100_commands_arrive(shown: Run) -> None:
    """Each command once, under the step that ran it, and no span twice."""
    assert sum(len(step.commands) for step in STEPS) == 100
    assert len(commands(shown)) == 100
    for step in STEPS:
        assert Counter(span.name for span in named(shown, step.title)) == Counter(step.commands)
    assert len({span.span_id for span in shown.spans}) == len(shown.spans)


@pytest.mark.seed(
    "traceparent",
)
def test_the_parent_of_each_command_is_its_clients_span(shown: Run) -> None:
    """Its own, that of its pipeline, or EXEC's; only HELLO begins a trace, and says so once."""
    by_id = {span.span_id: span for span in shown.spans}
    roots = [span for span in shown.spans if span.kind == "SERVER" and not span.parent_id]
    assert [span.name for span in roots] == ["HELLO"]
    for span in shown.spans:
        if span.kind != "SERVER" or span in roots:
            continue
        parent = by_id[span.parent_id]
        if parent.kind == "SERVER":
            assert parent.name == "EXEC"
        else:
            assert parent.kind == "CLIENT"
            assert parent.resource["service.name"] == "application"
            assert span.flags & 0x300 == 0x300  # the parent is of another process
        assert span.trace_id == parent.trace_id == by_id[shown.root_id].trace_id
        assert span.resource["service.name"] == "ferrite"


def test_client_spans_have_the_commands_that_they_name(shown: Run) -> None:
    """A client span of one command has that one, one of a pipeline or a transaction all of it."""
    for client in (span for span in shown.spans if span.kind == "CLIENT"):
        served = [span for span in commands(shown) if span.parent_id == client.span_id]
        executed = {span.span_id for span in served if span.name == "EXEC"}
        served += [span for span in commands(shown) if span.parent_id in executed]
        names = [span.name for span in served if span.name not in ("MULTI", "EXEC")]
        assert " ".join(names).startswith(client.name)


def test_every_command_has_its_stages(shown: Run) -> None:
    """All phases in their order, one after the other within the command's time."""
    for span in commands(shown):
        parts = below(shown, span)
        parts = [one for one in parts if one.name != "ferrite.command.wait"]
        names = [one.name for one in parts if ".storage." not in one.name]
        has_key = LOOKUP in names
        assert names == [*PHASES, *([LOOKUP] if has_key else []), *REPLY]
        assert has_key is (span.attributes.get("ferrite.command.key") is not None)
        frame = [one for one in parts if one.name != LOOKUP and ".storage." not in one.name]
        times = [time for one in frame for time in (one.start, one.end)]
        assert times == sorted(times)
        assert all(span.start <= one.start <= one.end <= span.end for one in parts)


@pytest.mark.parametrize(
    ("title", "command", "expected"),
    [
        ("new values", "SET", [("write", "mutable", False)]),
        ("writes in place", "SET", [("write", "mutable", True)]),
        ("reads from memory", "GET", [("read", "mutable", True)]),
        ("a pipeline", "GET", [("read", "mutable", True)]),
        ("several keys", "MGET", [("read", "mutable", True)]),
        ("a miss", "GET", []),
        ("an error", "INCR", []),
        ("refused before it ran", "GET", []),
        ("a command of the control plane", "CONFIG GET", []),
        (
            "a read of a mapped file",
            "GET",
            [("read", "mutable", False), ("read", "read_only", True)],
        ),
        ("a value on disk is changed", "APPEND", [("write", "mutable", False)]),
    ],
)
@pytest.mark.seed(
    "mutable",
    "read_only",
)
def test_tiers(shown: Run, title: str, command: str, expected: list[tuple[str, str, bool]]) -> None:
    """Each command of a step tells the tiers that it was about."""
    found = [span for span in named(shown, title) if span.name == command]

    assert found
    assert [storage(shown, span) for span in found] == [expected] * len(found)


@pytest.mark.seed(
    "disk",
)
def test_the_disk_and_the_read_cache(shown: Run) -> None:
    """The first read is from disk and has waited; the second is from the cache and has not."""
    title = "a read from disk, and from the read cache after it"
    from_disk, from_cache = (span for span in named(shown, title) if span.name == "GET")

    assert storage(shown, from_disk) == [("read", "mutable", False), ("read", "disk", True)]
    assert storage(shown, from_cache) == [("read", "mutable", False), ("read", "read_cache", True)]
    assert from_disk.attributes["ferrite.storage.disk_reads"] == 1
    assert from_disk.attributes["ferrite.command.wait_us"] > 0
    assert "ferrite.storage.disk_reads" not in from_cache.attributes
    [appended] = named(shown, "a value on disk is changed")
    assert appended.attributes["ferrite.storage.disk_reads"] == 1


def test_results(shown: Run) -> None:
    """Misses, errors and refused commands are told apart."""
    [miss], [error], [refused] = (
        named(shown, title) for title in ("a miss", "an error", "refused before it ran")
    )

    assert (miss.status, miss.attributes["ferrite.command.result"]) == ("UNSET", "NIL")
    assert (error.status, error.message) == ("ERROR", "ERR")
    assert "ferrite.command.rejected" not in error.attributes
    assert refused.attributes["ferrite.command.rejected"] is True
    [several] = named(shown, "several keys")
    assert (several.attributes["cache.hits"], several.attributes["cache.misses"]) == (2, 1)
    assert "v" * 20 not in str(commands(shown))


def test_the_documentation_shows_it(shown: Run) -> None:
    """What docs/telemetry.md has is this run, but for its times."""
    text = DOCUMENT.read_text(encoding="utf-8")

    block = text.partition(BEGIN)[2].partition(END)[0]
    assert without_times(block) == without_times(f"\n```text\n{shown.tree}\n```\n")
    assert written(text, shown.tree) == text


def test_a_tree_of_text() -> None:
    """Siblings that differ in their times only are one line; a document changes only for more."""

    def client(number: int, name: str, took: int) -> SpanView:
        return SpanView(name, "CLIENT", "t", f"{number}", "0", number, number + took, {})

    root = SpanView("request", "INTERNAL", "t", "0", "", 0, 2_345_678, {})
    spans = [root, client(3, "SET", 7), client(1, "GET", 1500), client(2, "GET", 90)]

    tree = render(tree_of(spans, "0"))

    lines = [" ".join(line.split()) for line in tree.splitlines()]
    assert lines == ["request 2.3 ms", "├─ GET × 2 1.5 us client", "└─ SET 7 ns client"]
    assert [duration(number) for number in (0, 94, 10**9)] == ["0 ns", "94 ns", "1 s"]
    document = written(f"a\n{BEGIN}\n{END}\nb", tree)
    assert document == f"a\n{BEGIN}\n```text\n{tree}\n```\n{END}\nb"
    slower = tree.replace("2.3 ms", "14 ms")
    assert written(document, slower) == document
    assert written(document, tree.replace("SET", "DEL")) != document
