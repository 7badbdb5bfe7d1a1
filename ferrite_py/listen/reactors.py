"""The native transport: sockets go to threads that never take the GIL."""

import asyncio
import logging
import os

from ferrite_py._native import Reactor, Server
from ferrite_py.errors import StartupError
from ferrite_py.listen.carrier import Accepted

log = logging.getLogger(__name__)


class Reactors:
    """A fixed number of native threads; each connection stays with the one it was given to."""

    def __init__(self, native: Server, threads: int) -> None:
        """Start the threads. Raises StartupError."""
        self._reactors: list[Reactor] = []
        try:
            for number in range(threads):
                self._reactors.append(Reactor(native, number))
        except OSError as error:
            for reactor in self._reactors:
                reactor.drain(0)
                reactor.join()
            raise StartupError(f"server.io_threads: {error}") from error

    @property
    def connections(self) -> int:
        """How many connections the threads have, those that wait to be taken included."""
        return sum(reactor.connections for reactor in self._reactors)

    def carry(self, accepted: Accepted) -> None:
        """Hand the socket to the thread that has the fewest."""
        reactor = min(self._reactors, key=lambda one: one.connections)
        fd = accepted.socket.detach()
        try:
            reactor.adopt(fd, accepted.addr, accepted.laddr, accepted.is_unix)
        except OSError as error:
            os.close(fd)
            log.warning("closed a new connection from %s: %s", accepted.addr, error)

    async def drain(self, deadline_s: float) -> None:
        """Let every thread answer what it has received, and wait until all have ended."""
        for reactor in self._reactors:
            reactor.drain(max(0, int(deadline_s * 1000)))
        # The threads may need Python's answers, so the loop goes on meanwhile.
        await asyncio.gather(*(asyncio.to_thread(one.join) for one in self._reactors))
