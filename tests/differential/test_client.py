"""CLIENT and its subcommands."""

from __future__ import annotations

import time

import pytest

from tests.support.both import Both, Newer
from tests.support.match import anything

# Fields of CLIENT LIST whose values are the same on both servers.
FIXED = ("name", "db", "sub", "psub", "ssub", "multi", "cmd", "user", "redir", "resp", "flags")
# Redis 7.2 ends the line with these two; 7.0 does not know them (CLIENT SETINFO is new in 7.2).
ONLY_72 = ("lib-name", "lib-ver")


def fields(line: str) -> dict[str, str]:
    """One line of CLIENT LIST as names and values, in order."""
    return dict(word.split("=", 1) for word in line.strip().split(" "))


def compare_info(both: Both, name: str = "main") -> dict[str, str]:
    """CLIENT INFO on both servers: the same fields in the same order, the same fixed values."""
    pair = both.client(name)
    theirs, ours = (fields(c.command("CLIENT", "INFO").node.text) for c in pair.clients)
    assert list(theirs) == [field for field in ours if field not in ONLY_72]
    assert {f: theirs[f] for f in FIXED} == {f: ours[f] for f in FIXED}
    assert set(ours) >= set(ONLY_72) or not both.subject.is_72
    numbers = set(ours) - set(FIXED) - {"addr", "laddr", "events", *ONLY_72}
    assert all(ours[field].lstrip("-").isdigit() for field in numbers), ours
    return ours


def test_info_fields(both: Both) -> None:
    """CLIENT INFO follows the connection's name, database, transaction and protocol."""
    pair = both.client()
    compare_info(both)
    both.script("""
        CLIENT SETNAME me
        SELECT 3
    """)
    info = compare_info(both)
    assert (info["name"], info["db"], info["resp"]) == ("me", "3", str(both.protocol))
    assert info["addr"].rpartition(":")[2] == str(pair.subject.socket.getsockname()[1])
    assert info["laddr"].rpartition(":")[2] == str(both.subject.address[1])


def test_info_inside_a_transaction(both: Both) -> None:
    """Flags and the number of queued commands show a transaction."""
    other = both.client("other")
    ids = both.client().ids()
    both.script("""
        WATCH k
        MULTI
        GET a
        GET b
    """)
    for client, server_id in zip(other.clients, ids, strict=True):
        line = fields(client.command("CLIENT", "LIST", "ID", server_id).node.text)
        assert (line["flags"], line["multi"], line["cmd"]) == ("x", "2", "get")
    both.run("EXEC")


def test_flags(both: Both) -> None:
    """CLIENT LIST shows a monitor as O and a client that is not evicted as e."""
    monitor, other = both.client("monitor"), both.client("other")
    ids = monitor.ids()
    monitor.run("MONITOR")
    other.run("CLIENT", "NO-EVICT", "ON")
    compare_info(both, "other")
    for client, server_id in zip(other.clients, ids, strict=True):
        assert "O" in fields(client.command("CLIENT", "LIST", "ID", server_id).node.text)["flags"]


def test_setname_getname(both: Both) -> None:
    """Names: printable without spaces; empty removes."""
    both.script("""
        CLIENT GETNAME
        CLIENT SETNAME me
        CLIENT GETNAME
        CLIENT SETNAME "with space"
        CLIENT SETNAME "new\\nline"
        CLIENT SETNAME "tab\\t"
        CLIENT SETNAME "\\x00"
        CLIENT SETNAME "\\xff"
        CLIENT SETNAME "!~"
        CLIENT GETNAME
        CLIENT SETNAME ""
        CLIENT GETNAME
        CLIENT SETNAME
        CLIENT SETNAME a b
        CLIENT GETNAME x
        client setname lower
        CLIENT GETNAME
    """)


def test_id(both: Both) -> None:
    """Ids are numbers that grow."""
    first, second = both.client("first").ids(), both.client("second").ids()

    assert int(second[1]) > int(first[1])
    both.run("CLIENT", "ID", "x")


def test_list_filters(both: Both) -> None:
    """CLIENT LIST by id and by type, and its errors."""
    pair, other = both.client(), both.client("other")
    ids, others = pair.ids(), other.ids()
    for client, mine, its in zip(pair.clients, ids, others, strict=True):
        lines = client.command("CLIENT", "LIST", "ID", its, mine, "999999", its).node.text
        assert [fields(line)["id"] for line in lines.splitlines()] == [its, mine, its]
        everyone = client.command("CLIENT", "LIST").node.text
        assert {mine, its} <= {fields(line)["id"] for line in everyone.splitlines()}
        normal = client.command("CLIENT", "LIST", "TYPE", "normal").node.text
        assert {mine, its} <= {fields(line)["id"] for line in normal.splitlines()}
    both.script("""
        CLIENT LIST ID 999999
        CLIENT LIST ID
        CLIENT LIST ID x
        CLIENT LIST ID -1
        CLIENT LIST ID 0
        CLIENT LIST ID 1.5
        CLIENT LIST TYPE
        CLIENT LIST TYPE nosuch
        CLIENT LIST TYPE pubsub
        CLIENT LIST TYPE replica
        CLIENT LIST TYPE slave
        CLIENT LIST TYPE master
        CLIENT LIST TYPE PUBSUB
        CLIENT LIST FOO
        CLIENT LIST TYPE normal x
        CLIENT LIST ID 1 TYPE normal
        CLIENT INFO x
    """)


def test_list_of_many_ids(both: Both) -> None:
    """In the order in which they were asked for, twice what is named twice, nothing for nobody."""
    pairs = [both.client(f"c{i}") for i in range(6)]
    for pair in pairs:
        pair.run("CLIENT", "SETNAME", pair.name)
    ids = [pair.ids() for pair in pairs]
    asked = [5, 0, 3, 3, 0, 1]
    names = []
    for side, client in enumerate(both.client().clients):
        numbers = [ids[i][side] for i in asked]
        reply = client.command("CLIENT", "LIST", "ID", "99999999", *numbers, "-4", *numbers)
        names.append([fields(line)["name"] for line in reply.node.text.splitlines()])
    assert names[0] == names[1] == [f"c{i}" for i in asked * 2]


def test_buffers_of_the_client_that_asks(both: Both) -> None:
    """The request that runs counts with its arguments; a client that is idle holds none."""
    other = both.client("other")
    other.run("PING")
    ids = other.ids()
    for client, idle_id in zip(both.client().clients, ids, strict=True):
        line = fields(client.command("CLIENT", "INFO").node.text)
        assert (line["qbuf"], line["argv-mem"]) == ("26", "10")
        assert int(line["tot-mem"]) > 26
        idle = fields(client.command("CLIENT", "LIST", "ID", idle_id).node.text)
        assert (idle["qbuf"], idle["argv-mem"]) == ("0", "0")
        assert int(idle["tot-mem"]) > 0


def test_kill_by_id_and_address(both: Both) -> None:
    """A killed connection is closed; the reply counts, or is OK in the old form."""
    pair = both.client()
    for index, form in enumerate(("ID", "ADDR", "old")):
        victim = both.client(f"victim {index}")
        ids = victim.ids()
        addresses = victim.addresses()
        if form == "ID":
            pair.run_each(ids, "CLIENT", "KILL", "ID", "{}")
        elif form == "ADDR":
            pair.run_each(addresses, "CLIENT", "KILL", "ADDR", "{}")
        else:
            pair.run_each(addresses, "CLIENT", "KILL", "{}")
        victim.compare_end(f"killed by {form}")
    both.script("""
        CLIENT KILL ID 999999
        CLIENT KILL ADDR 127.0.0.1:1
        CLIENT KILL 127.0.0.1:1
        CLIENT KILL LADDR 127.0.0.1:1
        CLIENT KILL TYPE pubsub
        CLIENT KILL USER default ID 999999
        CLIENT KILL USER nobody
        CLIENT KILL ID x
        CLIENT KILL ID 0
        CLIENT KILL ID -1
        CLIENT KILL ID
        CLIENT KILL
        CLIENT KILL TYPE nosuch
        CLIENT KILL SKIPME maybe
        CLIENT KILL SKIPME
        CLIENT KILL FOO bar
        CLIENT KILL ID 1 FOO
        CLIENT KILL ID 999999 SKIPME yes
        CLIENT KILL ID 999999 TYPE normal
        PING
    """)


def test_kill_and_oneself(both: Both) -> None:
    """SKIPME protects the caller; without it the caller gets its reply and is closed."""
    pair = both.client()
    ids = pair.ids()
    pair.run_each(ids, "CLIENT", "KILL", "ID", "{}")
    both.run("PING")
    pair.run_each(ids, "CLIENT", "KILL", "ID", "{}", "SKIPME", "no")
    pair.compare_end("after killing oneself")
    old = both.client("old form")
    addresses = old.addresses()
    old.run_each(addresses, "CLIENT", "KILL", "{}")
    old.compare_end("after killing oneself in the old form")


def test_kill_while_commands_wait(both: Both) -> None:
    """A client that is killed in a transaction leaves it undone."""
    victim = both.client("victim")
    ids = victim.ids()
    victim.script("""
        WATCH k
        MULTI
        SET k v
    """)
    both.client().run_each(ids, "CLIENT", "KILL", "ID", "{}")
    victim.compare_end("killed inside MULTI")
    both.run("EXISTS", "k")


def test_pause_write(both: Both) -> None:
    """PAUSE WRITE holds back writers, not readers, until UNPAUSE."""
    writer, reader = both.client("writer"), both.client("reader")
    transaction = both.client("transaction")
    transaction.script("""
        MULTI
        SET t 1
    """)
    both.run("CLIENT", "PAUSE", "100000", "WRITE")
    writer.send(b"SET k v\r\nGET k\r\n")
    transaction.send(b"EXEC\r\n")
    reader.script("""
        GET k
        EXISTS t
        PING
    """)
    writer.assert_silent("SET while writes are paused")
    transaction.assert_silent("EXEC of writes while they are paused")

    both.run("CLIENT", "UNPAUSE")

    writer.compare("SET after the pause")
    writer.compare("GET after the pause")
    transaction.compare("EXEC after the pause")


@pytest.mark.parametrize(
    "held", ["PFCOUNT h", "DEL k", "FLUSHALL", "PFADD h x", "EXPIRE k 10", "INCR n", "SWAPDB 0 1"]
)
def test_pause_write_holds(both2: Both, held: str) -> None:
    """Commands that write, or may, wait for the end of the pause."""
    both2.run("CLIENT", "PAUSE", "100000", "write")
    try:
        writer = both2.client("writer")
        writer.send(held.encode() + b"\r\n")
        writer.assert_silent(held)
    finally:
        both2.run("CLIENT", "UNPAUSE")
    writer.compare(held)


def test_pause_all_ends_by_itself(both2: Both) -> None:
    """PAUSE holds back everything for its time."""
    other = both2.client("other")
    both2.run("CLIENT", "PAUSE", "120")
    begin = time.monotonic()

    other.run("PING")

    assert time.monotonic() - begin > 0.08


def test_pause_errors(both: Both) -> None:
    """PAUSE and UNPAUSE check their arguments."""
    both.script("""
        CLIENT PAUSE
        CLIENT PAUSE x
        CLIENT PAUSE -1
        CLIENT PAUSE 1.5
        CLIENT PAUSE 10 FOO
        CLIENT PAUSE 10 WRITE x
        CLIENT PAUSE 9223372036854775808
        CLIENT PAUSE 0
        CLIENT UNPAUSE
        CLIENT UNPAUSE x
    """)


def test_reply_modes(both: Both) -> None:
    """ON, OFF and SKIP decide what is answered."""
    both.script("""
        CLIENT REPLY ON
        CLIENT REPLY
        CLIENT REPLY FOO
        CLIENT REPLY ON x
    """)
    pair = both.client()
    for commands in (
        b"CLIENT REPLY OFF\r\nSET a 1\r\nGET a\r\nNOSUCH\r\nGET\r\nCLIENT REPLY ON\r\nGET a\r\n",
        b"CLIENT REPLY SKIP\r\nSET a 2\r\nGET a\r\n",
        b"CLIENT REPLY SKIP\r\nNOSUCH\r\nPING\r\n",
        b"CLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nPING\r\n",
        b"CLIENT REPLY OFF\r\nMULTI\r\nSET a 3\r\nEXEC\r\nCLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\n",
        b"client reply skip\r\nclient reply on\r\n",
        b"CLIENT REPLY OFF\r\nCLIENT REPLY FOO\r\nCLIENT REPLY OFF\r\nCLIENT REPLY ON\r\n",
    ):
        pair.send(commands + b"ECHO end-of-it\r\n")
        pair.compare_until(b"$9\r\nend-of-it\r\n", f"{commands!r}")


def test_no_evict(both: Both) -> None:
    """NO-EVICT is ON or OFF."""
    both.script("""
        CLIENT NO-EVICT ON
        CLIENT NO-EVICT off
        CLIENT NO-EVICT
        CLIENT NO-EVICT maybe
        CLIENT NO-EVICT ON ON
    """)


NEW_IN_72 = "the subcommand is new in Redis 7.2; 7.0 answers that it is unknown"


def test_setinfo_of_72(both2: Both) -> None:
    """CLIENT SETINFO names the library that the client uses."""
    for arguments, expected in (
        (("LIB-NAME", "ferrite"), b"+OK\r\n"),
        (("lib-ver", "1.2.3"), b"+OK\r\n"),
        (("lib-name", "a b"), _setinfo_error(b"lib-name")),
        (("lib-ver", "1\n2"), _setinfo_error(b"lib-ver")),
        (("lib-foo", "x"), b"-ERR Unrecognized option 'lib-foo'\r\n"),
        (("lib-name",), b"-ERR wrong number of arguments for 'client|setinfo' command\r\n"),
        ((), b"-ERR wrong number of arguments for 'client|setinfo' command\r\n"),
    ):
        both2.run("CLIENT", "SETINFO", *arguments, in72=Newer(expected, NEW_IN_72))
    if both2.subject.is_72:
        info = compare_info(both2)
        assert (info["lib-name"], info["lib-ver"]) == ("ferrite", "1.2.3")


def _setinfo_error(name: bytes) -> bytes:
    text = b"-ERR %b cannot contain spaces, newlines or special characters.\r\n"
    return text % name


def test_no_touch_of_72(both2: Both) -> None:
    """CLIENT NO-TOUCH is ON or OFF."""
    wrong_number = b"-ERR wrong number of arguments for 'client|no-touch' command\r\n"
    for arguments, expected in (
        (("ON",), b"+OK\r\n"),
        (("off",), b"+OK\r\n"),
        (("maybe",), b"-ERR syntax error\r\n"),
        ((), wrong_number),
    ):
        both2.run("CLIENT", "NO-TOUCH", *arguments, in72=Newer(expected, NEW_IN_72))


def test_getredir_and_trackinginfo(both: Both) -> None:
    """What is not built yet answers an error, what is built answers as Redis does."""
    for subcommand in ("GETREDIR", "TRACKINGINFO"):
        reply = both.run("CLIENT", subcommand, match=anything)
        theirs = both.reference.admin.command("CLIENT", subcommand)
        known = b"unknown subcommand" not in reply.data
        assert not known or theirs.node.kind in (reply.kind, "*")


def test_unblock(both: Both) -> None:
    """UNBLOCK of a client that is not blocked, and its errors."""
    pair = both.client()
    pair.run_each(both.client("other").ids(), "CLIENT", "UNBLOCK", "{}")
    both.script("""
        CLIENT UNBLOCK 999999
        CLIENT UNBLOCK x
        CLIENT UNBLOCK
        CLIENT UNBLOCK 1 FOO
        CLIENT UNBLOCK 999999 TIMEOUT
        CLIENT UNBLOCK 999999 error
    """)
