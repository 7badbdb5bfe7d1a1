"""HELP of a container, made from the rows of its subcommands."""

from collections.abc import Iterable, Mapping
from typing import Any

from ferrite_py.commands.reply import Reply, Simple


def help_lines(container: str, rows: Iterable[Mapping[str, Any]]) -> Reply:
    """The lines of `<container> HELP`: every subcommand with its arguments and what it does."""
    lines = [f"{container.upper()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
    for row in rows:
        parent, _, name = row["name"].partition("|")
        if parent == container and name and name != "help":
            lines += [f"{name.upper()} {row['syntax']}".rstrip(), f"    {row['summary']}"]
    lines += ["HELP", "    Print this help."]
    return [Simple(line) for line in lines]
