"""The port of the administrators' HTTP: uvicorn in the server's own loop, with bounds.

At most CONNECTIONS_MAX are answered at a time. Each is asked to end after AGE_SECONDS, which a
scraper does not notice, and cut off after twice that, however slowly its peer sends or reads.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn

from ferrite_py.measure import Meter
from ferrite_py.web.app import Admin, State

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 32
AGE_SECONDS = 30.0
STOP_SECONDS = 1.0
"""How long a stop waits for answers that are on their way."""

_HEADERS_MAX = 16 * 1024


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the server's own."""
        yield


class Web:
    """The listener's life: made, opened, closed; the socket that it is given is closed with it."""

    def __init__(
        self, bound: socket.socket, meter: Meter, state: State, semconv: str = "dup"
    ) -> None:
        self._socket = bound
        self._admin = Admin(meter, state, semconv)
        self._server = _Server(
            uvicorn.Config(
                self._admin.application(),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=CONNECTIONS_MAX + 1,  # the one that asks counts
                timeout_keep_alive=int(AGE_SECONDS),
                timeout_graceful_shutdown=int(STOP_SECONDS),
                h11_max_incomplete_event_size=_HEADERS_MAX,
            )
        )
        self._serving: asyncio.Task[None] | None = None
        self._watching: asyncio.TimerHandle | None = None
        self._ages: dict[object, float] = {}

    def open(self) -> None:
        """Begin to answer."""
        self._serving = asyncio.get_running_loop().create_task(self._serve(), name="metrics")
        self._watch()

    async def _serve(self) -> None:
        try:
            await self._server.serve([self._socket])
        except Exception as error:  # the server goes on, and its stop must not fail of this
            log.error("metrics are not served any more: %s", error)
            self._socket.close()

    async def close(self) -> None:
        """Answer what was asked, and end."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving
            self._serving = None
        self.release()

    def release(self) -> None:
        """Leave nothing behind, however far `open` and `close` came."""
        if self._watching is not None:
            self._watching.cancel()
        if self._serving is not None:
            self._serving.cancel()
        self._socket.close()
        self._admin.close()

    def _watch(self) -> None:
        """Look at the age of connections, about every ten seconds."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        connections = self._server.server_state.connections
        self._ages = {one: self._ages.get(one, now) for one in connections}
        for one in list(connections):
            age = now - self._ages[one]
            if age > 2 * AGE_SECONDS:
                one.transport.abort()
            elif age > AGE_SECONDS:
                one.shutdown()
        self._watching = loop.call_later(AGE_SECONDS / 3, self._watch)
