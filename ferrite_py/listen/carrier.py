"""What accepting and the transports agree on: who may come in, and who carries them."""

import socket
from dataclasses import dataclass
from typing import Protocol

TOO_MANY = b"-ERR max number of clients reached\r\n"
PROTECTED = (
    b"-DENIED ferrite-py is running in protected mode: no password is set, so it answers only"
    b" clients of its own machine. To let others in, set server.requirepass in the configuration"
    b" (or CONFIG SET requirepass from the server's machine). If the network itself keeps strangers"
    b" away, switch this off with server.protected_mode = false (CONFIG SET protected-mode no).\r\n"
)


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may come in now.

    Attributes:
        connections_max: how many connections the transport may have.
        refuses_strangers: protected mode is on and there is no password, so that only clients of
            this machine are answered.
        keepalive_s: silence before the kernel asks whether a peer is there; 0 for never.
    """

    connections_max: int
    refuses_strangers: bool
    keepalive_s: int


@dataclass(frozen=True, slots=True, eq=False)
class Accepted:
    """A connected, non-blocking socket, and both ends as CLIENT LIST shows them."""

    socket: socket.socket
    addr: str
    laddr: str
    is_unix: bool


class Carrier(Protocol):
    """Takes the connections of a listener."""

    def carry(self, accepted: Accepted) -> None:
        """Take over a connection and its closing."""


class Transport(Protocol):
    """Carries bytes between connections and sessions."""

    @property
    def connections(self) -> int:
        """How many connections it has now, those that it is still setting up included."""

    async def drain(self, deadline_s: float) -> None:
        """Answer what has been received, send it, and close; after the deadline close as it is."""
