"""Running Python's commands: one task for each request, owned here until it has answered."""

import asyncio
import logging
import time
from collections.abc import Iterable

from ferrite_py._native import PythonRequest
from ferrite_py.commands.registry import Call, Table
from ferrite_py.commands.reply import CommandError, Failure, Reply, encode
from ferrite_py.services import Services

log = logging.getLogger(__name__)

INTERNAL_ERROR = Failure("ERR internal error")


class Runner:
    """Answers the requests that the native server hands to Python."""

    def __init__(self, services: Services, table: Table) -> None:
        self._services = services
        self._table = table
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, requests: Iterable[PythonRequest]) -> None:
        """Begin to answer these; replies may come in any order, sessions keep theirs."""
        for request in requests:
            task = asyncio.get_running_loop().create_task(self._answer(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Cancel what is still running and wait for its end; for after the last connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, request: PythonRequest) -> None:
        begin = time.perf_counter_ns()
        try:
            reply = await self._run(request)
            data = encode(reply, request.resp)
        except Exception:
            # One broken command must not take the session or the server with it.
            log.exception("command %s failed", request.name)
            reply = INTERNAL_ERROR
            data = encode(reply, request.resp)
        self._services.durations.add(
            request.name,
            time.perf_counter_ns() - begin,
            is_tracked=self._services.settings.config.server.latency_tracking,
        )
        request.answer(data, isinstance(reply, Failure))

    async def _run(self, request: PythonRequest) -> Reply:
        """Run the command; the errors that it answers on purpose become replies."""
        call = Call(
            services=self._services,
            table=self._table,
            args=tuple(request.args),
            client_id=request.client_id,
            database=request.database,
            resp=request.resp,
            in_exec=request.in_exec,
            reveal=request.reveal,
        )
        try:
            return await self._table.commands[request.name].run(call)
        except CommandError as error:
            return Failure(str(error))
