"""Declaring a command that Python answers: one decorated coroutine is all there is to add.

    @command("config|get", arity=-3, flags=(...), ...)
    async def config_get(call: Call) -> Reply: ...

The decorator makes a `Command` of it; `collect` finds those of a module. An import registers
nothing: the server hands the rows to the native registry before it listens.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from ferrite_py.commands.reply import Reply
from ferrite_py.services import Services


@dataclass(frozen=True, slots=True)
class Call:
    """One request: all its arguments, the command's name first, and where it comes from."""

    services: Services
    table: "Table"
    args: tuple[bytes, ...]
    client_id: int
    database: int
    resp: int
    in_exec: bool
    reveal: Callable[[int], None]
    """Lets MONITOR and SLOWLOG show an argument of a secret command, by its position in `args`."""


@dataclass(frozen=True, slots=True)
class Command:
    """What the registry knows of a command, and the coroutine that answers it."""

    run: Callable[[Call], Awaitable[Reply]]
    name: str
    arity: int
    flags: tuple[str, ...]
    categories: tuple[str, ...]
    group: str
    since: str
    complexity: str
    summary: str
    syntax: str
    is_container: bool
    is_secret: bool
    tips: tuple[str, ...]

    def row(self) -> dict[str, Any]:
        """The row as the native registry takes it."""
        return {
            "name": self.name,
            "arity": self.arity,
            "flags": self.flags,
            "categories": self.categories,
            "group": self.group,
            "since": self.since,
            "complexity": self.complexity,
            "summary": self.summary,
            "syntax": self.syntax,
            "container": self.is_container,
            "secret": self.is_secret,
        }


def command(
    name: str,
    *,
    arity: int,
    group: str,
    since: str,
    summary: str,
    complexity: str = "O(1)",
    syntax: str = "",
    flags: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
    secret: bool = False,
    tips: tuple[str, ...] = (),
) -> Callable[[Callable[[Call], Awaitable[Reply]]], Command]:
    """Declare a command. The names and meanings are those of the native row, command/command.h."""

    def declare(run: Callable[[Call], Awaitable[Reply]]) -> Command:
        return Command(
            run=run,
            name=name,
            arity=arity,
            flags=flags,
            categories=categories,
            group=group,
            since=since,
            complexity=complexity,
            summary=summary,
            syntax=syntax,
            is_container=False,
            is_secret=secret,
            tips=tips,
        )

    return declare


def container(
    name: str,
    *,
    group: str,
    since: str,
    summary: str,
    complexity: str = "Depends on subcommand.",
    categories: tuple[str, ...] = (),
) -> Command:
    """Declare a command that has only subcommands."""
    return Command(
        run=_never_called,
        name=name,
        arity=-2,
        flags=(),
        categories=categories,
        group=group,
        since=since,
        complexity=complexity,
        summary=summary,
        syntax="",
        is_container=True,
        is_secret=False,
        tips=(),
    )


async def _never_called(call: Call) -> Reply:
    raise AssertionError(f"a container was called: {call.args[0]!r}")


@dataclass(frozen=True, slots=True)
class Table:
    """The commands that Python answers, by name, containers before their subcommands."""

    commands: dict[str, Command] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """The rows in the order in which the native registry must get them."""
        return [one.row() for one in self.commands.values()]


def collect(modules: Iterable[ModuleType]) -> Table:
    """The commands of all modules; two of one name are a mistake of ours."""
    found: dict[str, Command] = {}
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, Command):
                assert value.name not in found, f"{value.name} is declared twice"
                found[value.name] = value
    tops = {name: one for name, one in found.items() if "|" not in name}
    return Table(tops | found)
