"""Accepting: who may connect, and how the connection is set up before a transport carries it."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Sequence
from functools import partial

from ferrite_py.listen.carrier import PROTECTED, TOO_MANY, Accepted, Carrier, Rules, Transport
from ferrite_py.listen.reactors import Reactors
from ferrite_py.listen.sockets import Bound
from ferrite_py.services import Services

log = logging.getLogger(__name__)

ACCEPTS_PER_WAKE = 16
"""Connections taken before other events get their turn."""

PAUSE_SECONDS = 0.1
"""How long a listener rests when the process has no descriptors left."""

KEEPALIVE_PROBES = 3

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def refusal(*, room: int, is_protected: bool, peer: str, is_unix: bool) -> bytes | None:
    """What a newcomer is told before it is turned away; None for one that may come in.

    Args:
        room: how many more connections there may be.
        is_protected: protected mode is on and there is no password.
        peer: its address without the port.
        is_unix: it came through a unix socket, so from this machine.
    """
    if room <= 0:
        return TOO_MANY
    if is_protected and not is_unix and not is_loopback(peer):
        return PROTECTED
    return None


def is_loopback(peer: str) -> bool:
    """Whether an IP address belongs to the machine's own loopback interface."""
    peer = peer.removeprefix("::ffff:")
    return peer == "::1" or peer.startswith("127.")


class Listener:
    """Accepts on one listening socket and hands the connections to a carrier.

    What reactors carry is accepted natively, a bounded number at a time: accepting shares their
    core, and a storm of connections must not keep those who are connected waiting.
    """

    def __init__(self, bound: Bound, carrier: Carrier | Reactors, gate: "Gate") -> None:
        self._bound = bound
        self._carrier = carrier
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._is_open = False

    def start(self) -> None:
        """Begin to accept."""
        self._is_open = True
        self._loop.add_reader(self._bound.socket.fileno(), self._accept_some)

    def stop(self) -> None:
        """Take no more connections; the socket is closed by its owner."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._bound.socket.fileno())
        if self._pause is not None:
            self._pause.cancel()

    def _accept_some(self) -> None:
        if isinstance(self._carrier, Reactors):
            rules = self._gate.rules(self._carrier)
            taken, exhausted = self._carrier.admit(self._bound, rules, ACCEPTS_PER_WAKE)
            if taken:
                self._gate.note_accepted()
        else:
            exhausted = self._accept_here(self._carrier)
        if exhausted:
            self._rest(exhausted)

    def _accept_here(self, carrier: Carrier) -> int:
        """Accept for asyncio; the errno of what has run out, or 0."""
        for _ in range(ACCEPTS_PER_WAKE):
            try:
                connection, peer = self._bound.socket.accept()
            except (BlockingIOError, InterruptedError):
                return 0
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    return error.errno
                continue  # this peer has gone already
            self._gate.admit(connection, peer, self._bound, carrier)
        return 0

    def _rest(self, error: int) -> None:
        """Leave newcomers in the kernel's queue for a moment: trying at once would only spin."""
        self._gate.note_exhausted(error)
        self._loop.remove_reader(self._bound.socket.fileno())
        self._pause = self._loop.call_later(PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        if self._is_open:
            self._loop.add_reader(self._bound.socket.fileno(), self._accept_some)


class Gate:
    """Decides who may come in, over all listeners; counts the refused."""

    def __init__(self, services: Services, transports: Sequence[Transport]) -> None:
        self._services = services
        self._transports = transports
        self._is_exhausted = False

    def admit(
        self, connection: socket.socket, peer: object, bound: Bound, carrier: Carrier
    ) -> None:
        """Set a connection up and hand it on, or turn it away."""
        self.note_accepted()
        rules = self.rules(None)
        is_unix = bound.kind == "unix"
        message = refusal(
            room=rules.connections_max,
            is_protected=rules.refuses_strangers,
            peer=str(peer[0]) if isinstance(peer, tuple) else "",
            is_unix=is_unix,
        )
        if message is not None:
            self._turn_away(connection, message, is_tls=bound.kind == "tls")
            return
        try:
            accepted = _set_up(connection, peer, bound, rules.keepalive_s)
        except OSError as error:
            log.debug("a connection was lost while it was set up: %s", error)
            connection.close()
            return
        carrier.carry(accepted)

    def rules(self, counting: Transport | None) -> Rules:
        """Who may come in now; the connections of `counting` are not taken off the limit."""
        server = self._services.settings.config.server
        others = sum(one.connections for one in self._transports if one is not counting)
        return Rules(
            connections_max=server.max_connections - others,
            refuses_strangers=server.protected_mode and not server.requirepass,
            keepalive_s=server.tcp_keepalive,
        )

    def note_accepted(self) -> None:
        """Remember that there are descriptors again."""
        self._is_exhausted = False

    def note_exhausted(self, error: int) -> None:
        """Say once that descriptors have run out, until a connection is accepted again."""
        if not self._is_exhausted:
            log.warning("cannot accept connections for now: %s", os.strerror(error))
        self._is_exhausted = True

    def _turn_away(self, connection: socket.socket, message: bytes, *, is_tls: bool) -> None:
        self._services.native.count_rejected()
        with connection:
            connection.setblocking(False)
            try:
                # In front of a TLS handshake the text could not be read.
                if not is_tls:
                    connection.send(message)
                    connection.shutdown(socket.SHUT_WR)
            except OSError as error:
                log.debug("a client that was turned away was not told: %s", error)


def _set_up(connection: socket.socket, peer: object, bound: Bound, keepalive_s: int) -> Accepted:
    """Set the options of an accepted socket and name its ends. Raises OSError."""
    connection.setblocking(False)
    if bound.kind == "unix":
        name = f"{bound.place}:0"
        return Accepted(connection, name, name, is_unix=True)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keepalive_s:
        _keep_alive(connection, keepalive_s)
    here = connection.getsockname()
    return Accepted(connection, address_text(peer), address_text(here), is_unix=False)


def _keep_alive(connection: socket.socket, idle_s: int) -> None:
    """Ask after `idle_s` of silence, then three times within as long again."""
    set_option = partial(connection.setsockopt, socket.IPPROTO_TCP)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # The kernel takes at most 32767 seconds.
    set_option(socket.TCP_KEEPIDLE, min(idle_s, 32767))
    set_option(socket.TCP_KEEPINTVL, min(max(1, idle_s // KEEPALIVE_PROBES), 32767))
    set_option(socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def address_text(address: object) -> str:
    """A socket address as `ip:port`, an IPv6 one in brackets."""
    assert isinstance(address, tuple)
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
