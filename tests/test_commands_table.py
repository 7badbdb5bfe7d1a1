"""The table of commands: what Python declares, and what COMMAND tells about all."""

from __future__ import annotations

import types

import pytest

from ferrite_py._native import Server
from ferrite_py.commands.describe import Catalogue, categories, key_access, key_range
from ferrite_py.commands.families import TABLE
from ferrite_py.commands.help import help_lines
from ferrite_py.commands.registry import Call, collect, command, container
from ferrite_py.commands.reply import Reply, Simple
from ferrite_py.commands.syntax import parse_syntax
from ferrite_py.config import Config
from ferrite_py.services import engine_options


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """All commands, as a server has them."""
    native = Server(engine_options(Config()))
    for row in TABLE.rows():
        native.register(row)
    return Catalogue(native.commands(), {})


def test_every_row_can_be_described(catalogue: Catalogue) -> None:
    """The syntax of every row is readable, and says arguments when the arity demands some."""
    for name, row in catalogue.rows.items():
        arguments = parse_syntax(name, row["syntax"], len(row["keys"]))
        words = 1 + name.count("|")
        is_bare = not arguments and abs(row["arity"]) > words and not catalogue.children(name)
        assert not is_bare, name
        assert row["summary"].endswith("."), name
        catalogue.info(row)
        catalogue.docs(row)


def test_every_key_of_a_row_is_documented(catalogue: Catalogue) -> None:
    """A row with key specifications names its keys."""
    for name, row in catalogue.rows.items():
        if not row["keys"] or catalogue.children(name):
            continue
        assert "key_spec=0" in repr(parse_syntax(name, row["syntax"], len(row["keys"]))), name


def test_subcommands_are_listed_with_their_parent(catalogue: Catalogue) -> None:
    """Those of containers and of commands that answer alone too."""
    assert {"command|docs", "config|get"} <= catalogue.rows.keys()
    assert next(row["name"] for row in catalogue.children("config")) == "config|get"


def test_find(catalogue: Catalogue) -> None:
    """Names are found as the server finds them."""
    for words, name in (
        (["GET", "x"], "get"),
        (["Config", "GET", "x"], "config|get"),
        (["command"], "command"),
        (["command", "COUNT"], "command|count"),
    ):
        row = catalogue.find(words)
        assert row is not None
        assert row["name"] == name
    for words in (["nosuch"], ["config", "nosuch"], ["config|get", "x"], [""]):
        assert catalogue.find(words) is None


def _row(*flags: str, own: tuple[str, ...] = ()) -> dict[str, object]:
    return {"flags": list(flags), "categories": list(own)}


def test_categories() -> None:
    """Flags imply categories; without fast a command is slow."""
    assert categories(_row("write", "fast", own=("string",))) == ["write", "string", "fast"]
    assert categories(_row("readonly")) == ["read", "slow"]
    assert categories(_row("admin")) == ["admin", "slow", "dangerous"]
    assert categories(_row("blocking")) == ["slow", "blocking"]


def _spec(first: int, last: int, step: int = 1) -> dict[str, int]:
    return {"first": first, "last": last, "step": step}


def test_key_range() -> None:
    """One range describes the keys as far as it can."""
    assert key_range([]) == (0, 0, 0)
    assert key_range([_spec(1, 0)]) == (1, 1, 1)
    assert key_range([_spec(1, -1, 2)]) == (1, -1, 2)
    assert key_range([_spec(2, 0), _spec(3, -1)]) == (2, -1, 1)
    assert key_range([_spec(1, 0), _spec(2, 0)]) == (1, 2, 1)
    assert key_range([_spec(1, 0), _spec(5, 0)]) == (1, 1, 1)


def test_key_access() -> None:
    """Arguments decide where a row says that they do."""
    flags = ["RW", "access", "update", "variable_flags"]

    assert key_access("set", [b"set", b"k", b"v"], flags) == ["OW", "update"]
    assert key_access("set", [b"set", b"k", b"v", b"GET"], flags) == ["RW", "access", "update"]
    assert key_access("bitfield", [b"bitfield", b"k", b"GET"], flags) == ["RO", "access"]
    assert key_access("bitfield", [b"bitfield", b"k", b"Set"], flags) == ["RW", "access", "update"]
    assert key_access("get", [b"get", b"k"], ["RO"]) == ["RO"]


def test_help_lines() -> None:
    """Every subcommand with its arguments, then HELP itself, as Redis writes it."""
    rows = [
        {"name": "a", "syntax": "", "summary": "No."},
        {"name": "a|x", "syntax": "b", "summary": "Yes."},
        {"name": "a|help", "syntax": "", "summary": "No."},
        {"name": "ab|y", "syntax": "", "summary": "No."},
    ]

    lines = help_lines("a", rows)

    assert lines == [
        Simple("A <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"),
        Simple("X b"),
        Simple("    Yes."),
        Simple("HELP"),
        Simple("    Print this help."),
    ]


def test_collect_puts_containers_first() -> None:
    """The native registry needs a container before its subcommands."""
    module = types.ModuleType("family")

    @command("box|open", arity=2, group="server", since="7.2.0", summary="Opens.")
    async def opener(call: Call) -> Reply:
        return call.database

    vars(module).update(
        opener=opener, box=container("box", group="server", since="7.2.0", summary="A box.")
    )

    rows = collect([module]).rows()

    assert [row["name"] for row in rows] == ["box", "box|open"]
    assert [row["container"] for row in rows] == [True, False]


def test_one_name_twice_is_refused() -> None:
    """Two commands of one name are a mistake of ours."""
    modules = [types.ModuleType(name) for name in ("one", "two")]
    for module in modules:
        vars(module)["box"] = container("box", group="server", since="7.2.0", summary="A box.")

    with pytest.raises(AssertionError, match="twice"):
        collect(modules)
