"""COMMAND: what each server says about every command that ferrite-py has."""

from __future__ import annotations

import pytest

from tests.support.both import Both
from tests.support.match import anything
from tests.support.resp import Node
from tests.support.script import values

# Commands that Redis 7.2 added, which the reference does not know.
ONLY_72 = {
    "client|setinfo",
    "client|no-touch",
    "waitaof",
    "cluster|myshardid",
    "tfunction",
    "tfcall",
}
# ferrite-py's own, which Redis does not have: what its tests use of DEBUG, where a key is, traces,
# insight, and what becomes of damage.
OWN_PREFIXES = (
    *("debug|", "object|tier", "traceparent", "slowlog|traces", "latency|traces"),
    *("mrc", "misses", "hotkeys", "prefixes", "tier"),
)
# Commands whose flags and categories changed in 7.2: WAIT is no longer NOSCRIPT there, and not yet
# BLOCKING, which came after 7.2 (redis/redis pull requests 11568 and 12977).
CHANGED_72: dict[str, tuple[set[str], set[str]]] = {"wait": (set(), {"@slow", "@connection"})}
PROMISED = values(
    """
    append decr decrby get getdel getex getrange getset incr incrby incrbyfloat lcs mget mset
    msetnx psetex set setex setnx setrange strlen substr bitcount bitfield bitfield_ro bitop
    bitpos getbit setbit pfadd pfcount pfmerge copy del dump exists expire expireat expiretime
    keys move object persist pexpire pexpireat pexpiretime pttl randomkey rename renamenx
    restore scan touch ttl type unlink wait multi exec discard watch unwatch auth client echo
    hello ping quit reset select command config dbsize debug flushall flushdb info lastsave
    latency lolwut memory monitor role shutdown slowlog swapdb time
    """
)


def describe(node: Node) -> dict[str, object]:
    """One entry of COMMAND without its tips, which 7.2 revised; sets for what has no order."""
    name, arity, flags, first, last, step, categories, _tips, specs, _subcommands = node.items
    return {
        "name": name.text,
        "arity": arity.integer,
        "flags": {flag.text for flag in flags.items},
        "keys": (first.integer, last.integer, step.integer),
        "categories": {category.text for category in categories.items},
        "specs": [key_spec(spec) for spec in specs.items],
    }


def key_spec(node: Node) -> object:
    """A key specification without its note."""
    fields = {key.decode(): value for key, value in node.pairs().items() if key != b"notes"}
    return {
        "flags": {flag.text for flag in fields.pop("flags").items},
        **{name: value.plain() for name, value in fields.items()},
    }


def all_commands(both: Both) -> dict[str, Node]:
    """Every entry of COMMAND on the subject, subcommands included, by name."""
    found: dict[str, Node] = {}
    for entry in both.client().subject.command("COMMAND").node.items:
        found[entry.items[0].text] = entry
        found |= {sub.items[0].text: sub for sub in entry.items[9].items}
    return found


def shared_commands(both: Both) -> dict[str, Node]:
    """The entries whose commands both servers have."""
    found = all_commands(both)
    return {
        name: node
        for name, node in found.items()
        if name not in ONLY_72 and not name.startswith(OWN_PREFIXES)
    }


def test_every_command_has_redis_row(both: Both) -> None:
    """Arity, flags, key positions, ACL categories and key specifications are Redis's."""
    ours = shared_commands(both)
    names = list(ours)
    theirs = both.client().reference.command("COMMAND", "INFO", *names).node.items

    wrong = []
    for name, node in zip(names, theirs, strict=True):
        if node.null:
            wrong.append(f"{name} is no command of Redis")
            continue
        wanted, found = describe(node), describe(ours[name])
        if name in CHANGED_72 and both.subject.is_72:
            wanted["flags"], wanted["categories"] = CHANGED_72[name]
        wrong += [
            f"{name} {field}: {found[field]}, Redis has {wanted[field]}"
            for field in wanted
            if found[field] != wanted[field]
        ]

    assert wrong == []


def test_entry_types(both: Both) -> None:
    """The types of an entry's elements are the same in both protocols."""
    pair = both.client()
    theirs, ours = (c.command("COMMAND", "INFO", "set", "config").node for c in pair.clients)
    for one, two in zip(theirs.items, ours.items, strict=True):
        assert [item.kind for item in one.items] == [item.kind for item in two.items]
    specs = [node.items[0].items[8].items[0] for node in (theirs, ours)]
    kinds = [{name: value.kind for name, value in spec.pairs().items()} for spec in specs]
    assert kinds[0] | kinds[1] == kinds[0], "a kind differs, or there is more than Redis has"
    assert set(kinds[0]) - set(kinds[1]) <= {b"notes"}


def test_implemented_commands_cover_the_release(both2: Both) -> None:
    """What this release promises is there."""
    assert set(PROMISED) - set(all_commands(both2)) == set()


def test_count_and_list(both: Both) -> None:
    """COUNT is the number of commands without subcommands; LIST has both."""
    known = set(all_commands(both))
    listed = {node.text for node in both.run("COMMAND", "LIST", match=anything).items}
    count = both.run("COMMAND", "COUNT", match=anything).integer

    assert listed == known
    assert count == len([name for name in known if "|" not in name])
    both.script("""
        COMMAND COUNT x
        COMMAND LIST x
        COMMAND LIST FILTERBY
        COMMAND LIST FILTERBY FOO x
        COMMAND LIST FILTERBY ACLCAT
        COMMAND LIST FILTERBY ACLCAT nosuch
        COMMAND LIST FILTERBY PATTERN nosuch*
        COMMAND LIST FILTERBY MODULE nosuch
        COMMAND LIST FILTERBY PATTERN a b
    """)


CATEGORIES = (
    "read", "write", "string", "bitmap", "hyperloglog", "keyspace", "connection", "transaction",
    "admin", "dangerous", "fast", "slow", "blocking", "pubsub", "list", "hash", "set",
)  # fmt: skip


@pytest.mark.parametrize("category", CATEGORIES)
def test_list_by_category(both2: Both, category: str) -> None:
    """FILTERBY ACLCAT selects the same of the commands that both servers have."""
    known = set(shared_commands(both2)) - set(CHANGED_72)
    pair = both2.client()
    replies = [
        client.command("COMMAND", "LIST", "FILTERBY", "ACLCAT", category) for client in pair.clients
    ]

    theirs, ours = ({node.text for node in reply.node.items} for reply in replies)
    assert theirs & known == ours & known


@pytest.mark.parametrize(
    "pattern", ["get*", "*set*", "config|*", "*|*", "s?lect", "GET*", "client*"]
)
def test_list_by_pattern(both2: Both, pattern: str) -> None:
    """FILTERBY PATTERN selects the same of the commands that both servers have."""
    known = set(shared_commands(both2))
    pair = both2.client()
    replies = [
        client.command("COMMAND", "LIST", "filterby", "pattern", pattern) for client in pair.clients
    ]

    theirs, ours = ({node.text for node in reply.node.items} for reply in replies)
    assert theirs & known == ours & known


def test_info_of_unknown_and_odd_names(both: Both) -> None:
    """INFO answers null for what it does not know."""
    both.script("""
        COMMAND INFO nosuch
        COMMAND INFO nosuch|sub
        COMMAND INFO get|sub
        COMMAND INFO config|nosuch
        COMMAND INFO ""
        COMMAND INFO nosuch nosuch2
        COMMAND DOCS nosuch
        COMMAND DOCS nosuch config|nosuch
        COMMAND NOSUCH
    """)
    upper = both.run("COMMAND", "INFO", "GET", "Config|GET", match=anything).items
    assert [entry.items[0].text for entry in upper] == ["get", "config|get"]


def test_docs(both: Both) -> None:
    """DOCS of every command: group and version as in Redis, a summary of its own."""
    ours = all_commands(both)
    parents = [name for name in ours if "|" not in name]
    theirs = both.client().reference.command("COMMAND", "DOCS", *parents).node.pairs()
    found = both.client().subject.command("COMMAND", "DOCS", *parents).node
    assert found.kind == ("%" if both.protocol == 3 else "*")

    assert {key.decode() for key in found.pairs()} == set(parents)
    for name, node in found.pairs().items():
        if name.decode() in ONLY_72 or name.decode().startswith(OWN_PREFIXES):
            continue
        fields, wanted = node.pairs(), theirs[name].pairs()
        assert fields[b"summary"].data, name
        for field in (b"since", b"group"):
            assert fields[field].data == wanted[field].data, (name, field)
        _compare_subcommands(fields, wanted)


def _compare_subcommands(fields: dict[bytes, Node], wanted: dict[bytes, Node]) -> None:
    if b"subcommands" not in fields or b"subcommands" not in wanted:
        return
    theirs = wanted[b"subcommands"].pairs()
    for name, node in fields[b"subcommands"].pairs().items():
        if name.decode() not in ONLY_72 and not name.decode().startswith(OWN_PREFIXES):
            assert node.pairs()[b"since"].data == theirs[name].pairs()[b"since"].data, name


GETKEYS = """
GET k
SET k v
SET k v GET
SET k v NX EX 10
MSET a 1 b 2 c 3
MSETNX a 1 b 2
MGET a b c
DEL a b
UNLINK a
EXISTS a a b
TOUCH a
RENAME a b
COPY a b DB 1
MOVE a 1
BITOP AND d a b c
BITFIELD k GET u8 0
BITFIELD k SET u8 0 1
BITFIELD_RO k GET u8 0
PFADD h a
PFCOUNT a b
PFMERGE d a b
LCS a b LEN
WATCH a b
OBJECT ENCODING k
OBJECT HELP
MEMORY USAGE k
DUMP k
RESTORE k 0 x
EXPIRE k 10
GETEX k PERSIST
INCRBYFLOAT k 1
SETRANGE k 0 x
KEYS *
SCAN 0
PING
EXEC
CONFIG GET x
CLIENT LIST
NOSUCH a
NOSUCH
GET
GET a b
MSET a
SET k
FLUSHALL
SELECT 1
"""


@pytest.mark.parametrize("subcommand", ["GETKEYS", "GETKEYSANDFLAGS", "getkeys"])
def test_getkeys(both: Both, subcommand: str) -> None:
    """The keys of a command, with their access, and errors for commands without keys."""
    lines = [f"COMMAND {subcommand} {line}" for line in GETKEYS.strip().splitlines()]
    both.script("\n".join([*lines, f"COMMAND {subcommand}"]))


def test_arity_is_enforced(both: Both) -> None:
    """Every command with too few or too many arguments answers Redis's arity error."""
    commands: list[tuple[str, ...]] = []
    for name, node in sorted(shared_commands(both).items()):
        arity = node.items[1].integer
        words = name.split("|")
        if name == "shutdown":
            continue
        if abs(arity) > len(words):
            commands.append((*words, *("x",) * (abs(arity) - 1 - len(words))))
        if arity > 0:
            commands.append((*words, *("x",) * (arity + 1 - len(words))))
    replies = both.run_many(commands)

    assert len(replies) > 80
    errors = [reply for reply in replies if reply.is_error]
    assert len(errors) == len(replies)


def test_commands_that_are_not_built_are_unknown(both2: Both) -> None:
    """What Redis has and this server not yet is an unknown command, not something half built."""
    known = set(all_commands(both2))
    names = [n.text for n in both2.client().reference.command("COMMAND", "LIST").node.items]
    missing = sorted(name for name in names if "|" not in name and name not in known)

    for name in missing:
        reply = both2.client().subject.command(name, "a", "b")
        expected = f"-ERR unknown command '{name}', with args beginning with: 'a' 'b' \r\n"
        assert reply.raw == expected.encode()
