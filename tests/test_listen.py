"""Who may connect, how a connection is set up, and how sockets are bound: without a server."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from ferrite_py.config import Config, with_values
from ferrite_py.errors import StartupError
from ferrite_py.listen import accept
from ferrite_py.listen.accept import address_text, is_loopback, refusal
from ferrite_py.listen.carrier import PROTECTED, TOO_MANY
from ferrite_py.listen.sockets import bind_all
from tests.support.servers import free_port


@pytest.mark.parametrize(
    ("connected", "is_protected", "peer", "is_unix", "expected"),
    [
        (0, True, "127.0.0.1", False, None),
        (0, True, "127.9.9.9", False, None),
        (0, True, "::1", False, None),
        (0, True, "", True, None),
        (0, True, "10.0.0.7", False, PROTECTED),
        (0, True, "2001:db8::1", False, PROTECTED),
        (0, True, "128.0.0.1", False, PROTECTED),
        (0, False, "10.0.0.7", False, None),
        (2, False, "127.0.0.1", False, None),
        (3, False, "127.0.0.1", False, TOO_MANY),
        (3, True, "10.0.0.7", False, TOO_MANY),
        (3, True, "", True, TOO_MANY),
    ],
)
def test_refusal(
    connected: int, is_protected: bool, peer: str, is_unix: bool, expected: bytes | None
) -> None:
    """Too many are refused; in protected mode, strangers."""
    message = refusal(
        room=3 - connected,
        is_protected=is_protected,
        peer=peer,
        is_unix=is_unix,
    )

    assert expected == message


def test_refusals_are_errors_of_the_protocol() -> None:
    """A client can read them: one line, an error, with what to do about it."""
    for message in (TOO_MANY, PROTECTED):
        assert message.startswith(b"-")
        assert message.endswith(b"\r\n")
        assert message.count(b"\n") == 1
    assert PROTECTED.startswith(b"-DENIED ferrite-py is running in protected mode")
    assert b"requirepass" in PROTECTED


def test_loopback() -> None:
    """IPv4 addresses inside IPv6 count as what they are."""
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("::ffff:10.0.0.1")
    assert not is_loopback("12.7.0.0")


def test_address_text() -> None:
    """IPv6 addresses are in brackets, as CLIENT LIST shows them."""
    assert address_text(("10.0.0.1", 7)) == "10.0.0.1:7"
    assert address_text(("::1", 7, 0, 0)) == "[::1]:7"


def test_keep_alive_is_set() -> None:
    """The kernel asks after the silence, and three times within as long again."""
    with socket.socket() as one:
        accept._keep_alive(one, 300)

        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 300
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 100
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3


@pytest.mark.parametrize("seconds", [1, 2, 2_147_483_647])
def test_keep_alive_takes_every_setting(seconds: int) -> None:
    """Times below three seconds and beyond the kernel's bounds are no error."""
    with socket.socket() as one:
        accept._keep_alive(one, seconds)

        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) >= 1


def _config(**values: object) -> Config:
    return with_values(Config(), {f"server.{name}": value for name, value in values.items()})


def test_bind_all() -> None:
    """Every address is bound, optional ones that do not exist are left out."""
    port = free_port()
    bound = bind_all(_config(bind=("127.0.0.1", "-192.0.2.1", "127.0.0.2"), port=port))
    try:
        assert [one.place for one in bound] == [f"127.0.0.1:{port}", f"127.0.0.2:{port}"]
        assert {one.kind for one in bound} == {"tcp"}
        for one in bound:
            assert not one.socket.getblocking()
            assert one.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    finally:
        for one in bound:
            one.close()


def test_both_wildcards() -> None:
    """IPv4 and IPv6 wildcards do not get in each other's way."""
    bound = bind_all(_config(bind=("*", "-::*"), port=free_port()))
    try:
        families = [one.socket.family for one in bound]
        assert families[0] == socket.AF_INET
        assert set(families) <= {socket.AF_INET, socket.AF_INET6}
    finally:
        for one in bound:
            one.close()


def test_what_was_bound_is_closed_when_one_fails(tmp_path: Path) -> None:
    """A failure leaves no socket behind."""
    port = free_port()
    missing = str(tmp_path / "missing" / "socket")

    with pytest.raises(StartupError, match=r"server\.unix_socket"):
        bind_all(_config(bind=("127.0.0.1",), port=port, unix_socket=missing))

    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_a_unix_socket_that_was_replaced_is_left_alone(tmp_path: Path) -> None:
    """At the end only the server's own file is removed."""
    path = tmp_path / "socket"
    [bound] = bind_all(_config(port=0, unix_socket=str(path)))
    path.unlink()
    path.write_text("another's", encoding="utf-8")

    bound.close()

    assert path.read_text(encoding="utf-8") == "another's"
