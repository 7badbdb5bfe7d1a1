"""AUTH, requirepass, and what may be done without a password."""

from __future__ import annotations

import pytest

from tests.support.both import Both, Newer

PASSWORD = "secret word"


def test_auth_without_a_password_set(both: Both) -> None:
    """While there is no password, AUTH with one says so; the default user takes any."""
    both.script("""
        AUTH
        AUTH x
        AUTH default x
        AUTH default ""
        AUTH nobody x
        AUTH a b c
        AUTH ""
        PING
    """)


BEFORE_AUTH = [
    "PING", "GET k", "SET k v", "GET", "NOSUCH", "NOSUCH a b", "CLIENT ID", "CLIENT SETNAME x",
    "CLIENT", "CONFIG GET port", "COMMAND COUNT", "MULTI", "EXEC", "DISCARD", "WATCH k",
    "SELECT 1", "INFO", "ECHO x", "TIME", "HELLO 9",
    "HELLO 3 AUTH default wrong", "HELLO 3 AUTH nobody wrong", "HELLO 3 AUTH default", "AUTH",
    "AUTH wrong", "AUTH default wrong", "AUTH nobody wrong", "AUTH a b c", "RESET", "MONITOR",
    "SHUTDOWN", "DEBUG SLEEP 0", "CLIENT NOSUCH", "PING a b", "LOLWUT", "FLUSHALL", "UNWATCH",
    "ROLE",
]  # fmt: skip


@pytest.mark.parametrize("command", BEFORE_AUTH)
def test_what_an_unauthenticated_client_gets(both2: Both, command: str) -> None:
    """Almost everything is refused, in Redis's order of checks."""
    with both2.settings(requirepass=PASSWORD):
        both2.client("fresh").script(command)


@pytest.mark.parametrize("words", [("HELLO",), ("HELLO", "3"), ("HELLO", "2", "SETNAME", "x")])
def test_hello_needs_auth(both2: Both, words: tuple[str, ...]) -> None:
    """HELLO without AUTH says how to do better."""
    text = (
        b"-NOAUTH HELLO must be called with the client already authenticated, otherwise the "
        b"HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and "
        b"select the RESP protocol version at the same time\r\n"
    )
    newer = Newer(text, "7.0 leaves <proto> out (redis/redis pull request 11809)")
    with both2.settings(requirepass=PASSWORD):
        both2.client("fresh").run(*words, in72=newer)


def test_auth_opens_the_door(both2: Both) -> None:
    """AUTH in both forms, HELLO with AUTH, RESET closing the door again."""
    with both2.settings(requirepass=PASSWORD):
        both2.client("one").script(f"""
            GET k
            AUTH wrong
            GET k
            AUTH "{PASSWORD}"
            GET k
            AUTH wrong
            GET k
            AUTH default "{PASSWORD}"
            AUTH nobody "{PASSWORD}"
            RESET
            GET k
        """)
        both2.client("two").script(f"""
            AUTH default "{PASSWORD}"
            SET k v
        """)
        three = both2.client("three")
        three.send(f'HELLO 3 AUTH default wrong\r\nPING\r\nAUTH "{PASSWORD}"\r\nPING\r\n'.encode())
        three.compare_until(b"+PONG\r\n", "HELLO with a wrong password")
        for client in both2.client("four").clients:
            reply = client.command("HELLO", "3", "AUTH", "default", PASSWORD, "SETNAME", "x")
            assert reply.node.kind == "%"
        both2.client("four").script("""
            GET k
            CLIENT GETNAME
        """)


def test_connections_from_before_the_password_stay(both2: Both) -> None:
    """Setting a password does not throw out those who are in."""
    both2.run("PING")
    with both2.settings(requirepass=PASSWORD):
        both2.script("""
            SET k v
            GET k
            CONFIG GET requirepass
        """)


def test_unauthenticated_limits(both2: Both) -> None:
    """Before AUTH a request may have ten arguments of 16 KiB at most."""
    with both2.settings(requirepass=PASSWORD):
        for index, data in enumerate(
            (
                b"*10\r\n" + b"$1\r\na\r\n" * 10 + b"PING\r\nQUIT\r\n",
                b"*11\r\n" + b"$1\r\na\r\n" * 11,
                b"*1\r\n$16384\r\n" + b"x" * 16384 + b"\r\nQUIT\r\n",
                b"*1\r\n$16385\r\n" + b"x" * 16385 + b"\r\n",
            )
        ):
            pair = both2.client(f"limit {index}")
            pair.send(data)
            pair.compare_end(f"request {index}")


def test_passwords_are_long_and_binary(both2: Both) -> None:
    """A long password with odd characters works."""
    password = "p\u00e4ss\tword " * 20
    with both2.settings(requirepass=password):
        both2.client("fresh").run_many([("AUTH", password[:-1]), ("AUTH", password), ("PING",)])
