"""COMMAND: what the server says about its own commands."""

from ferrite_py.commands.describe import Catalogue, Row, categories, key_access
from ferrite_py.commands.help import help_lines
from ferrite_py.commands.registry import Call, command
from ferrite_py.commands.reply import CommandError, Reply, Set, Simple, text_of
from ferrite_py.config_redis import glob_matches

_FLAGS = ("loading", "stale")


def _catalogue(call: Call) -> Catalogue:
    tips = {name: one.tips for name, one in call.table.commands.items() if one.tips}
    return Catalogue(call.services.native.commands(), tips)


@command(
    "command",
    arity=-1,
    group="server",
    since="2.8.13",
    complexity="O(N) with N the number of commands",
    summary="Describes all commands of the server.",
    flags=_FLAGS,
    categories=("connection",),
    tips=("nondeterministic_output_order",),
)
async def command_all(call: Call) -> Reply:
    """Answer the entries of all commands."""
    catalogue = _catalogue(call)
    return [catalogue.info(row) for row in catalogue.tops]


@command(
    "command|count",
    arity=2,
    group="server",
    since="2.8.13",
    summary="Answers the number of commands.",
    flags=_FLAGS,
    categories=("connection",),
)
async def command_count(call: Call) -> Reply:
    """Answer how many commands there are, subcommands not counted."""
    return len(_catalogue(call).tops)


@command(
    "command|info",
    arity=-2,
    group="server",
    since="2.8.13",
    complexity="O(N) with N the number of commands asked for",
    summary="Describes the named commands, or all.",
    syntax="[command-name [command-name ...]]",
    flags=_FLAGS,
    categories=("connection",),
    tips=("nondeterministic_output_order",),
)
async def command_info(call: Call) -> Reply:
    """Answer an entry for each name, null for those that are unknown."""
    catalogue = _catalogue(call)
    names = [text_of(argument).lower() for argument in call.args[2:]]
    if not names:
        return [catalogue.info(row) for row in catalogue.tops]
    rows = [catalogue.rows.get(name) for name in names]
    return [None if row is None else catalogue.info(row) for row in rows]


@command(
    "command|docs",
    arity=-2,
    group="server",
    since="7.0.0",
    complexity="O(N) with N the number of commands asked for",
    summary="Answers the documentation of the named commands, or of all.",
    syntax="[command-name [command-name ...]]",
    flags=_FLAGS,
    categories=("connection",),
    tips=("nondeterministic_output_order",),
)
async def command_docs(call: Call) -> Reply:
    """Answer a map from the names that are known to their documentation."""
    catalogue = _catalogue(call)
    names = [text_of(argument).lower() for argument in call.args[2:]]
    rows = catalogue.tops
    if names:
        rows = [catalogue.rows[name] for name in names if name in catalogue.rows]
    return {row["name"]: catalogue.docs(row) for row in rows}


@command(
    "command|list",
    arity=-2,
    group="server",
    since="7.0.0",
    complexity="O(N) with N the number of commands",
    summary="Lists the names of all commands, or of those that a filter selects.",
    syntax="[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
    flags=_FLAGS,
    categories=("connection",),
    tips=("nondeterministic_output_order",),
)
async def command_list(call: Call) -> Reply:
    """List names; those of subcommands are written container|subcommand."""
    catalogue = _catalogue(call)
    words = [text_of(argument) for argument in call.args[2:]]
    if not words:
        return list(catalogue.rows)
    if len(words) != 3 or words[0].lower() != "filterby":
        raise CommandError("ERR syntax error")
    return [name for name, row in catalogue.rows.items() if _selects(words[1], words[2], row)]


def _selects(kind: str, value: str, row: Row) -> bool:
    if kind.lower() == "module":
        return False  # there are no modules
    if kind.lower() == "aclcat":
        return value.lower() in categories(row)
    if kind.lower() == "pattern":
        return glob_matches(value.lower(), row["name"])
    raise CommandError("ERR syntax error")


@command(
    "command|getkeys",
    arity=-4,
    group="server",
    since="2.8.13",
    complexity="O(N) with N the number of arguments",
    summary="Picks the keys out of a whole command.",
    syntax="command [arg [arg ...]]",
    flags=_FLAGS,
    categories=("connection",),
)
async def command_getkeys(call: Call) -> Reply:
    """Answer the keys of the command that follows."""
    return [call.args[2 + place] for place, _ in _keys(call)]


@command(
    "command|getkeysandflags",
    arity=-4,
    group="server",
    since="7.0.0",
    complexity="O(N) with N the number of arguments",
    summary="Picks the keys out of a whole command, with what it does to each.",
    syntax="command [arg [arg ...]]",
    flags=_FLAGS,
    categories=("connection",),
)
async def command_getkeysandflags(call: Call) -> Reply:
    """Answer pairs of a key and its flags."""
    return [
        [call.args[2 + place], Set([Simple(flag) for flag in flags])]
        for place, flags in _keys(call)
    ]


def _keys(call: Call) -> list[tuple[int, list[str]]]:
    """The places and flags of the keys in the command that the call asks about."""
    words = call.args[2:]
    row = _catalogue(call).find([text_of(word) for word in words])
    if row is None:
        raise CommandError("ERR Invalid command specified")
    if not row["keys"]:
        raise CommandError("ERR The command has no key arguments")
    try:
        found = call.services.native.command_keys(words)
    except ValueError as error:
        text = "ERR Invalid number of arguments specified for command"
        raise CommandError(text) from error
    if not found:
        raise CommandError("ERR Invalid arguments specified for command")
    return [(place, key_access(row["name"], words, flags)) for place, flags in found]


@command(
    "command|help",
    arity=2,
    group="server",
    since="5.0.0",
    summary="Lists the subcommands.",
    flags=_FLAGS,
    categories=("connection",),
)
async def command_help(call: Call) -> Reply:
    """List the subcommands."""
    return help_lines("command", call.services.native.commands())
