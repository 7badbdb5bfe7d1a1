"""What COMMAND INFO and COMMAND DOCS say of a row, as reply values: pure functions.

A row is an entry of the native server's `commands()`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ferrite_py.commands.reply import Reply, Set, Simple
from ferrite_py.commands.syntax import Argument, parse_syntax

Row = Mapping[str, Any]

# The order in which Redis lists them.
_CATEGORIES = (
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap",
    "hyperloglog", "geo", "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous",
    "connection", "transaction", "scripting",
)  # fmt: skip
# Flags that steer the server and that Redis's COMMAND keeps to itself.
_NOT_SHOWN = frozenset(("protected", "may_replicate"))


class Catalogue:
    """All commands of the server, by name, with what the subcommands of each are."""

    def __init__(self, rows: Sequence[Row], tips: Mapping[str, Sequence[str]]) -> None:
        """Index the rows; `tips` has those that the native rows cannot carry, by name."""
        parents = {row["name"] for row in rows if row["container"] or row["python"]}
        # A word that Python adds to DEBUG, which is one command with a handler, is not listed.
        listed = [
            row for row in rows if "|" not in row["name"] or row["name"].split("|")[0] in parents
        ]
        self.rows = {row["name"]: row for row in listed}
        self._tips = tips
        self._children: dict[str, list[Row]] = {}
        for row in listed:
            parent, bar, _ = row["name"].partition("|")
            if bar:
                self._children.setdefault(parent, []).append(row)

    @property
    def tops(self) -> list[Row]:
        """The commands that are no subcommands."""
        return [row for name, row in self.rows.items() if "|" not in name]

    def children(self, name: str) -> list[Row]:
        """The subcommands of a command."""
        return self._children.get(name, [])

    def find(self, words: Sequence[str]) -> Row | None:
        """The row for a request's words, as the server itself would find it."""
        name = words[0].lower()
        row = self.rows.get(name) if "|" not in name else None
        if row is not None and self.children(name) and len(words) > 1:
            return self.rows.get(f"{name}|{words[1].lower()}")
        return row

    def info(self, row: Row) -> Reply:
        """The entry of COMMAND INFO, ten elements, subcommands nested."""
        first, last, step = key_range(row["keys"])
        children = [self.info(child) for child in self.children(row["name"])]
        tips = self._tips.get(row["name"]) or row.get("tips", "").split()
        return [
            row["name"],
            row["arity"],
            Set([Simple(flag) for flag in row["flags"] if flag not in _NOT_SHOWN]),
            first,
            last,
            step,
            Set([Simple(f"@{category}") for category in categories(row)]),
            Set(list(tips)),
            Set([_key_spec(spec) for spec in row["keys"]]),
            list(children) if children else Set([]),
        ]

    def docs(self, row: Row) -> Reply:
        """The map of COMMAND DOCS, subcommands nested."""
        described: dict[str, Reply] = {
            "summary": row["summary"],
            "since": row["since"],
            "group": row["group"],
        }
        if row["complexity"]:
            described["complexity"] = row["complexity"]
        arguments = parse_syntax(row["name"], row["syntax"], len(row["keys"]))
        if arguments:
            described["arguments"] = [_argument(argument) for argument in arguments]
        children = self.children(row["name"])
        if children:
            described["subcommands"] = {child["name"]: self.docs(child) for child in children}
        return described


def categories(row: Row) -> list[str]:
    """The ACL categories of a row: its own, and those that follow from its flags."""
    flags = set(row["flags"])
    found = set(row["categories"])
    if "write" in flags:
        found.add("write")
    if "readonly" in flags and "scripting" not in found:
        found.add("read")
    if "admin" in flags:
        found |= {"admin", "dangerous"}
    found |= flags & {"pubsub", "blocking"}
    found.add("fast" if "fast" in flags else "slow")
    return [name for name in _CATEGORIES if name in found]


def key_range(specs: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
    """The first key, the last and the step that describe a row's keys as far as a range can."""
    if not specs:
        return 0, 0, 0
    if len(specs) == 1:
        spec = specs[0]
        return spec["first"], _last(spec), spec["step"]
    first = last = 0
    for spec in specs:
        if spec["step"] != 1 or (last and last != spec["first"] - 1):
            continue
        first = first or spec["first"]
        last = _last(spec)
    return (first, last, 1) if first else (0, 0, 0)


def key_access(name: str, words: Sequence[bytes], flags: Sequence[str]) -> list[str]:
    """The flags of a whole command's keys, where its arguments decide about them.

    SET reads the old value only with GET; BITFIELD writes only with SET or INCRBY.
    """
    if "variable_flags" not in flags:
        return list(flags)
    options = {word.lower() for word in words[2:]}
    if name == "set":
        return ["RW", "access", "update"] if b"get" in options else ["OW", "update"]
    if name == "bitfield" and not options & {b"set", b"incrby"}:
        return ["RO", "access"]
    return [flag for flag in flags if flag != "variable_flags"]


def _last(spec: Mapping[str, Any]) -> int:
    last: int = spec["last"]
    return last if last < 0 else spec["first"] + last


def _key_spec(spec: Mapping[str, Any]) -> Reply:
    notes = {}
    if "variable_flags" in spec["flags"]:
        notes["notes"] = "Some arguments change the access; COMMAND GETKEYSANDFLAGS tells."
    return {
        **notes,
        "flags": Set([Simple(flag) for flag in spec["flags"]]),
        "begin_search": {"type": "index", "spec": {"index": spec["first"]}},
        "find_keys": {
            "type": "range",
            "spec": {"lastkey": spec["last"], "keystep": spec["step"], "limit": 0},
        },
    }


def _argument(argument: Argument) -> Reply:
    described: dict[str, Reply] = {"name": argument.name, "type": argument.kind}
    if not argument.arguments:
        described["display_text"] = argument.name
    if argument.key_spec >= 0:
        described["key_spec_index"] = argument.key_spec
    if argument.token:
        described["token"] = argument.token
    flags = [
        name
        for name, is_set in (
            ("optional", argument.is_optional),
            ("multiple", argument.is_multiple),
            ("multiple_token", argument.repeats_token),
        )
        if is_set
    ]
    if flags:
        described["flags"] = Set([Simple(flag) for flag in flags])
    if argument.arguments:
        described["arguments"] = [_argument(inner) for inner in argument.arguments]
    return described
