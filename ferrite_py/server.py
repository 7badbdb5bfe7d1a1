"""The life of the server, from the first socket to the last reply.

Start-up: the port of metrics, which answers while the engine opens, then the engine, the sockets,
Python's commands, the transports, the workers, the listeners.
Shutdown is the same in reverse, within `server.shutdown_timeout`.
"""

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from ferrite_py import __version__, event_bus, logs
from ferrite_py._native import Server
from ferrite_py.ceiling import CeilingWatch
from ferrite_py.certificates import Certificates
from ferrite_py.commands import process
from ferrite_py.commands.families import TABLE
from ferrite_py.commands.insight_metrics import insight_source
from ferrite_py.commands.runner import Runner
from ferrite_py.config import Config, Sources
from ferrite_py.disk_watch import DiskWatch
from ferrite_py.errors import ConfigError, StartupError
from ferrite_py.keep import INSIST_SECONDS, Keep, tell_found
from ferrite_py.listen.accept import Gate, Listener
from ferrite_py.listen.carrier import Carrier, Transport
from ferrite_py.listen.reactors import Reactors
from ferrite_py.listen.sockets import Bound, bind_all
from ferrite_py.listen.streams import StreamCarrier, Streams
from ferrite_py.measure import Meter
from ferrite_py.notify import Notifier, notifier_of
from ferrite_py.rates import SAMPLE_SECONDS, Durations, Rates
from ferrite_py.services import Identity, Services, Settings, engine_options, fit_connections
from ferrite_py.standing import Standing
from ferrite_py.web.binding import bind, place_of

if TYPE_CHECKING:
    from ferrite_py.web.listener import Web

if TYPE_CHECKING:
    from ferrite_py.telemetry.export import Exporting

log = logging.getLogger(__name__)

RATED = ("commands", "net_in", "net_out")
"""The counters of which INFO shows a rate."""

QUICK_SECONDS = 0.2
"""Metrics and signs of life are answered while the data are read, if that takes longer."""

EXIT_AT_ONCE = 1
"""The exit status after a second signal."""

EXIT_NOT_SAVED = 1
"""The exit status when the data could not be saved."""


def run(config: Config, config_path: Path | None, sources: Sources) -> int:
    """Serve until a signal or SHUTDOWN; the exit status. Raises StartupError.

    Args:
        config: the configuration to start with.
        config_path: the file that it was read from, for CONFIG REWRITE and INFO.
        sources: where SIGHUP reads it again.
    """
    logs.set_up(config.logging)
    for warning in sources.warnings():
        log.warning("%s", warning)
    if (crowded := event_bus.warning(config, sources.environ)) is not None:
        log.warning("%s", crowded)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, config_path, sources))


async def _serve(config: Config, config_path: Path | None, sources: Sources) -> int:
    notifier = notifier_of(os.environ)
    config, wanted = fit_connections(config)
    if wanted:
        log.warning(
            "the limit of open files allows %d connections, not %d; raise it (ulimit -n)",
            config.server.max_connections,
            wanted,
        )
    keep = Keep()
    stopping = Stop()
    started = time.monotonic()
    desk = Desk(config, started)
    try:
        native = await _loaded(config, desk, notifier)
        with _engine(native, config, keep), _bound(config) as bound:
            for row in TABLE.rows():
                native.register(row)
            services = Services(
                native=native,
                settings=Settings(config, config_path, sources, native),
                identity=Identity(
                    started=started, startup_memory=native.statistics()["used_memory"]
                ),
                rates=Rates(RATED),
                durations=Durations(),
                stop=stopping.ask,
                keep=keep,
            )
            front = Front(services, bound)
            desk.enter_engine(services, front)
            await _live(Life(services, front, desk, stopping, notifier), sources)
    finally:
        desk.release()
    log.info("stopped")
    return EXIT_NOT_SAVED if keep.has_failed else 0


async def _loaded(config: Config, desk: "Desk", notifier: Notifier) -> Server:
    """Open the engine, which reads the data folder, in a thread of its own. Raises StartupError.

    The desk answers meanwhile, if it takes long; when it does not, clients wait for nothing else.
    """
    loop = asyncio.get_running_loop()
    _handle_signals_while_loading(notifier)
    if config.storage.data_dir:
        notifier.status(f"reading {config.storage.data_dir}")
    answering = loop.call_later(QUICK_SECONDS, desk.open)
    try:
        with ThreadPoolExecutor(1, "ferrite-open") as opener:
            return await loop.run_in_executor(opener, Server, engine_options(config))
    except (MemoryError, OSError, ValueError) as error:
        raise StartupError(f"cannot open the engine: {error or 'out of memory'}") from error
    finally:
        answering.cancel()


@dataclass(frozen=True, slots=True)
class Life:
    """A server whose engine is open, with what tells it to stop and whom to tell of it."""

    services: Services
    front: "Front"
    desk: "Desk"
    stopping: "Stop"
    notifier: Notifier


async def _live(life: Life, sources: Sources) -> None:
    """Serve until the wish to stop; then stop in order. Raises StartupError."""
    services, front, desk = life.services, life.front, life.desk
    exporting = None
    try:
        exporting = _exporting(services, sources, desk.meter)
        with _signals(life.stopping, services, life.notifier):
            if exporting is not None:
                exporting.start()
            front.open()
            desk.serve()
            desk.when_open(partial(_watch_ceiling, services))
            _announce(services.settings.config, front.bound, life.notifier)
            log.info("stopping: %s", await life.stopping.wait())
            life.notifier.stopping()
            desk.standing.phase = "stopping"
            await front.close(services.settings.config.server.shutdown_timeout)
            front.release()
            await asyncio.to_thread(desk.leave_engine)
            patience_s = services.settings.config.server.shutdown_timeout
            await asyncio.to_thread(services.keep.finish, services.native, patience_s)
            if exporting is not None:
                await asyncio.to_thread(exporting.finish)
            await desk.close()
    finally:
        front.release()
        desk.leave_engine()  # whoever comes now must not ask it: it is going to be closed
        if exporting is not None:
            exporting.finish()


def _watch_ceiling(services: Services) -> None:
    """Warn of a limit of memory that cannot be held: now that all is loaded, and at a change."""
    ceiling = CeilingWatch(services.native, process.resident_bytes)
    ceiling.look(services.settings.config)
    services.settings.tell(ceiling.look)


class Stop:
    """The wish to stop; the first reason counts."""

    def __init__(self) -> None:
        self._reason: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def ask(self, reason: str) -> None:
        """Begin to stop."""
        if not self._reason.done():
            self._reason.set_result(reason)

    @property
    def is_asked(self) -> bool:
        """Whether the server is stopping."""
        return self._reason.done()

    async def wait(self) -> str:
        """Wait for the wish; its reason."""
        return await self._reason


@contextlib.contextmanager
def _engine(native: Server, config: Config, keep: Keep) -> Iterator[None]:
    """The engine is saved, if it is not yet, and closed when nothing uses it any more."""
    try:
        tell_found(native, config.storage.data_dir)
        yield
    finally:
        keep.finish(native)
        native.close()


@contextlib.contextmanager
def _bound(config: Config) -> Iterator[list[Bound]]:
    bound = bind_all(config)
    try:
        yield bound
    finally:
        for one in bound:
            one.close()


def _exporting(services: Services, sources: Sources, meter: Meter) -> "Exporting | None":
    """What is exported over OTLP; None when telemetry is off. Raises StartupError."""
    config = services.settings.config
    if not config.telemetry.enabled:
        return None
    # A server that exports nothing starts without these packages.
    from ferrite_py.telemetry.export import Exporting

    made = Exporting(services.native, config, sources, services.identity.run_id, meter)
    services.settings.tell(made.follow)
    return made


class Front:
    """Everything between the listening sockets and the engine."""

    def __init__(self, services: Services, bound: list[Bound]) -> None:
        """Make the parts that can fail. Raises StartupError."""
        config = services.settings.config
        self._services = services
        self.bound = bound
        self._loop = asyncio.get_running_loop()
        self._tls = Certificates(config.tls) if config.tls.port else None
        if self._tls is not None:
            services.settings.renew_tls_with(self._tls.prepare)
        self._runner = Runner(services, TABLE)
        self._streams = Streams(services.native)
        self._reactors: Reactors | None = None
        self._listeners: list[Listener] = []
        self._sampling: asyncio.TimerHandle | None = None
        self._disk_watch = DiskWatch(services.native)

    def open(self) -> None:
        """Start the threads and begin to accept. Raises StartupError."""
        native, server = self._services.native, self._services.settings.config.server
        try:
            native.start_workers()
        except OSError as error:
            raise StartupError(f"cannot start the background threads: {error}") from error
        self._loop.add_reader(native.notify_fd(), self._on_notify)
        transports: list[Transport] = [self._streams]
        if server.transport == "reactors":
            self._reactors = Reactors(native, server.io_threads)
            transports.append(self._reactors)
        elif native.disk_fd() >= 0:
            self._loop.add_reader(native.disk_fd(), native.take_records)
        gate = Gate(self._services, transports)
        self._listeners = [Listener(one, self._carrier_of(one), gate) for one in self.bound]
        self._sample()
        for listener in self._listeners:
            listener.start()

    async def close(self, deadline_s: float) -> None:
        """Take no more connections, answer what was received, and end the threads."""
        for listener in self._listeners:
            listener.stop()
        for one in self.bound:
            one.close()
        native = self._services.native
        if self._reactors is not None and native.disk_fd() >= 0:
            # A reactor without connections ends at once, while streams may wait for the disk.
            self._loop.add_reader(native.disk_fd(), native.take_records)
        transports = [one for one in (self._reactors, self._streams) if one is not None]
        await asyncio.gather(*(transport.drain(deadline_s) for transport in transports))
        await self._runner.finish()
        await asyncio.to_thread(native.stop_workers)

    def release(self) -> None:
        """Leave nothing in the loop, however far `open` and `close` came."""
        for listener in self._listeners:
            listener.stop()
        if self._sampling is not None:
            self._sampling.cancel()
        self._streams.stop_cron()
        self._loop.remove_reader(self._services.native.notify_fd())
        if self._services.native.disk_fd() >= 0:
            self._loop.remove_reader(self._services.native.disk_fd())

    def trouble(self) -> dict[str, str] | None:
        """What is wrong with the disk; None when it takes data."""
        return self._disk_watch.trouble()

    def _carrier_of(self, bound: Bound) -> Carrier | Reactors:
        if bound.kind == "tls":
            return StreamCarrier(self._streams, self._tls)
        return self._reactors or StreamCarrier(self._streams, None)

    def _on_notify(self) -> None:
        # The first call clears the event: what comes after it rings again.
        self._runner.start(self._services.native.take_requests())
        self._streams.wake()

    def _sample(self) -> None:
        now, counters = self._loop.time(), self._services.native.counters()
        limit = self._services.settings.config.storage.max_memory
        self._services.rates.sample(now, counters)
        self._services.exceeded.sample(now, counters["used_memory"], limit)
        self._disk_watch.look(self._loop.time())
        self._sampling = self._loop.call_later(SAMPLE_SECONDS, self._sample)


class Desk:
    """Where administrators look: metrics, health and readiness over HTTP."""

    def __init__(self, config: Config, started: float) -> None:
        """Bind the port, if there is to be one. Raises StartupError."""
        metrics = config.metrics
        self._semconv = config.telemetry.semconv
        self.standing = Standing()
        self.meter = Meter(None, started)
        self._bound = bind(metrics.bind, metrics.port) if metrics.enabled and metrics.port else None
        self._web: Web | None = None
        self._opening: asyncio.Task[None] | None = None

    def enter_engine(self, services: Services, front: Front) -> None:
        """The engine is open, and may be asked until it is left."""
        self.standing.watch(front.trouble)
        self.standing.enter_engine(services.native)
        self.meter.add_engine_source(insight_source(services))
        self.meter.enter_engine(services.native)

    def open(self) -> None:
        """Begin to answer, soon; nothing if that has begun."""
        if self._bound is not None and self._opening is None:
            opened = self._open_web(self._bound)
            self._opening = asyncio.get_running_loop().create_task(opened, name="metrics-start")

    def serve(self) -> None:
        """The server is there for clients now."""
        self.standing.phase = "serving"
        self.open()

    def when_open(self, told: Callable[[], None]) -> None:
        """Call once what is to be loaded is; at once when nothing is."""
        if self._opening is None:
            told()
        else:
            self._opening.add_done_callback(lambda task: None if task.cancelled() else told())

    async def _open_web(self, bound: socket.socket) -> None:
        # Clients do not wait for these packages; a scraper that comes early waits in the backlog.
        try:
            listener = await asyncio.to_thread(importlib.import_module, "ferrite_py.web.listener")
            web = listener.Web(bound, self.meter, self.standing, self._semconv)
        except Exception as error:  # whatever it is, the server serves without its page
            log.error("metrics cannot be served: %s: %s", type(error).__name__, error)
            bound.close()  # who asks is refused, and does not wait for an answer
            return
        self._web = web
        web.open()
        log.info("metrics at http://%s/metrics", place_of(bound))

    def leave_engine(self) -> None:
        """Ask nothing of the engine any more: it will be written to disk and closed. May wait."""
        self.standing.phase = "saving"
        self.meter.leave_engine()

    async def close(self) -> None:
        """Answer what was asked, and end."""
        if self._opening is not None:
            await self._opening
        if self._web is not None:
            await self._web.close()

    def release(self) -> None:
        """Leave nothing in the loop, however far `open` and `close` came."""
        if self._opening is not None:
            self._opening.cancel()
        if self._web is not None:
            self._web.release()
        elif self._bound is not None:
            self._bound.close()


def _handle_signals_while_loading(notifier: Notifier) -> None:
    """Until `_signals`: nothing was changed yet, so an end needs no order."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_end_while_loading, notifier, number.name)
    message = "SIGHUP while the data are being read: the configuration is not read again"
    loop.add_signal_handler(signal.SIGHUP, log.warning, message)


def _on_end_while_loading(notifier: Notifier, name: str) -> None:
    notifier.stopping()
    log.info("received %s before the server was ready: ending, the data are as they were", name)
    sys.stderr.flush()
    os._exit(0)


@contextlib.contextmanager
def _signals(stopping: Stop, services: Services, notifier: Notifier) -> Iterator[None]:
    """Handle SIGTERM, SIGINT and SIGHUP."""
    loop = asyncio.get_running_loop()
    ends = (signal.SIGTERM, signal.SIGINT)
    end = End(stopping, services, notifier)
    for number in ends:
        loop.add_signal_handler(number, end.on_signal, number.name)
    loop.add_signal_handler(signal.SIGHUP, _reload, services, notifier)
    try:
        yield
    finally:
        for number in (*ends, signal.SIGHUP):
            loop.remove_signal_handler(number)


class End:
    """What the signals that end a server do."""

    def __init__(self, stopping: Stop, services: Services, notifier: Notifier) -> None:
        self._stopping = stopping
        self._services = services
        self._notifier = notifier
        self._asking: asyncio.Task[None] | None = None
        self._failed_at = float("-inf")

    def on_signal(self, name: str) -> None:
        """SIGTERM or SIGINT, the first or a later one."""
        keep = self._services.keep
        if keep.is_retrying and keep.is_saving:
            log.warning("%s while the data cannot be saved: giving them up", name)
            keep.give_up()
        elif keep.is_saving or (self._asking is not None and not self._asking.done()):
            log.warning("%s while the data are being saved: ending after that", name)
        elif self._stopping.is_asked:
            log.warning("%s while stopping: ending at once", name)
            sys.stderr.flush()
            os._exit(EXIT_AT_ONCE)
        elif self._services.settings.config.storage.data_dir:
            self._asking = asyncio.get_running_loop().create_task(self._ask(name), name="stop")
        else:
            self._stopping.ask(f"received {name}")

    async def _ask(self, name: str) -> None:
        keep = self._services.keep
        insists = time.monotonic() - self._failed_at < INSIST_SECONDS
        if not await keep.prepare(self._services.native):
            self._failed_at = time.monotonic()
            if not insists:
                self._notifier.status("cannot stop: the data cannot be saved, see the log")
                return
            keep.give_up()
        self._stopping.ask(f"received {name}")


def _reload(services: Services, notifier: Notifier) -> None:
    """Read the configuration again; a wrong one changes nothing."""
    notifier.reloading()
    try:
        changed, need_restart = services.settings.reload()
    except ConfigError as error:
        for line in str(error).splitlines():
            log.error("the configuration was not reloaded: %s", line)
    else:
        log.info("reloaded the configuration; changed: %s", _listed(changed))
        if need_restart:
            log.warning("these changes need a restart: %s", _listed(need_restart))
    notifier.ready()


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _announce(config: Config, bound: list[Bound], notifier: Notifier) -> None:
    places = ", ".join(f"{one.place} ({one.kind})" for one in bound)
    log.info("ferrite-py %s, process %d, listening on %s", __version__, os.getpid(), places)
    if config.server.protected_mode and not config.server.requirepass:
        log.debug("protected mode: only clients of this machine are answered")
    log.info("Ready to accept connections")
    notifier.ready(f"listening on {places}")
