"""The native transport: sockets go to threads that never take the GIL."""

import asyncio
import logging

from ferrite_py._native import Reactor, Server, admit
from ferrite_py.errors import StartupError
from ferrite_py.listen.carrier import PROTECTED, TOO_MANY, Rules
from ferrite_py.listen.sockets import Bound

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

    def admit(self, bound: Bound, rules: Rules, most: int) -> tuple[int, int]:
        """Accept at most `most` connections, each for the thread that has the fewest.

        Returns:
            How many were accepted, those that were turned away included, and the errno of lacking
            descriptors or memory that ended it, or 0.
        """
        is_unix = bound.kind == "unix"
        admitted, refused, lost, exhausted = admit(
            bound.socket.fileno(),
            f"{bound.place}:0" if is_unix else None,
            tuple(self._reactors),
            most,
            max(0, rules.connections_max),
            rules.refuses_strangers,
            rules.keepalive_s,
            (TOO_MANY, PROTECTED),
        )
        if lost:
            log.warning("closed %d new connections: out of memory", lost)
        return admitted + refused + lost, exhausted

    async def drain(self, deadline_s: float) -> None:
        """Let every thread answer what it has received, and wait until all have ended."""
        for reactor in self._reactors:
            reactor.drain(max(0, int(deadline_s * 1000)))
        # The threads may need Python's answers, so the loop goes on meanwhile.
        await asyncio.gather(*(asyncio.to_thread(one.join) for one in self._reactors))
