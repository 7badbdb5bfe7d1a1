"""What accepting and the transports agree on: an accepted connection, and who carries it."""

import socket
from dataclasses import dataclass
from typing import Protocol


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
