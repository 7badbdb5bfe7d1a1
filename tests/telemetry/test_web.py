"""The administrators' HTTP, without a server behind it: what it answers, and its bounds."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ferrite_py._native import Server
from ferrite_py.config import Config
from ferrite_py.errors import StartupError
from ferrite_py.measure import Meter
from ferrite_py.services import engine_options
from ferrite_py.standing import Standing
from ferrite_py.web import app, listener
from ferrite_py.web.binding import bind, place_of
from ferrite_py.web.listener import Web
from tests.support.servers import free_port
from tests.telemetry.page import OPENMETRICS, Answer, Page, ask


class Slow:
    """A native server that answers when it is let."""

    def __init__(self, native: Server) -> None:
        self.native = native
        self.go = threading.Event()
        self.go.set()
        self.asked = 0

    def metrics(self) -> tuple[int, int, int, Any]:
        """Count, wait, and answer."""
        self.asked += 1
        assert self.go.wait(20)
        return self.native.metrics()

    def connection_count(self) -> int:
        """Wait and answer."""
        assert self.go.wait(20)
        return self.native.connection_count()


class Site:
    """A listener in this test's loop, asked from threads."""

    def __init__(self, web: Web, port: int, engine: Slow, standing: Standing) -> None:
        self.web, self.port, self.engine, self.standing = web, port, engine, standing
        self.meter: Meter

    async def ask(self, path: str, **options: str) -> Answer:
        """Ask it."""
        return await asyncio.to_thread(ask, self.port, path, **options)


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """A listener over a real native server without connections."""
    native = Server(engine_options(Config()))
    engine = Slow(native)
    standing = Standing()
    standing.enter_engine(engine)
    standing.phase = "serving"
    meter = Meter(engine, 0.0)
    port = free_port()
    bound = bind("127.0.0.1", port)
    assert place_of(bound) == f"127.0.0.1:{port}"
    web = Web(bound, meter, standing)
    made = Site(web, port, engine, standing)
    made.meter = meter
    web.open()
    try:
        yield made
    finally:
        engine.go.set()
        await web.close()
        native.close()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is true."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0)


def run(check: Callable[[Site], Any]) -> None:
    """Run a coroutine function over a site."""

    async def inside() -> None:
        async with site() as made:
            await check(made)

    asyncio.run(inside())


def test_the_page_in_both_formats() -> None:
    """The header Accept chooses; both say the same of the engine."""

    async def check(made: Site) -> None:
        text = await made.ask("/metrics")
        opened = await made.ask("/metrics", accept=OPENMETRICS)

        assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert opened.headers["content-type"].startswith("application/openmetrics-text")
        assert opened.body.endswith(b"# EOF\n")
        one, other = Page(text.body.decode()), Page(opened.body.decode(), is_open=True)
        names = {name for name, _ in one.samples if name.startswith(("ferrite_", "cache_"))}
        assert names == {
            name for name, _ in other.samples if name.startswith(("ferrite_", "cache_"))
        }
        assert one.types["ferrite_memory_used"] == "gauge"

    run(check)


def test_methods_and_paths() -> None:
    """HEAD is GET without a body; other methods are 405, other paths 404; / names the paths."""

    async def check(made: Site) -> None:
        for path in ("/metrics", "/health", "/ready"):
            head, post = await made.ask(path, method="HEAD"), await made.ask(path, method="POST")
            assert (200, b"") == (head.status, head.body)
            assert int(head.headers["content-length"]) > 0
            assert (405, {"GET", "HEAD"}) == (post.status, set(post.headers["allow"].split(", ")))
        assert (await made.ask("/nothing")).status == 404
        assert b"/metrics" in (await made.ask("/")).body

    run(check)


def test_ready_tells_why_not() -> None:
    """While starting and stopping, and with a disk in trouble, it is 503 with reasons."""

    async def check(made: Site) -> None:
        assert {"ready": True, "reasons": []} == (await made.ask("/ready")).json

        trouble: list[dict[str, str] | None] = [{"reason": "disk_full", "message": "no space"}]
        made.standing.watch(lambda: trouble[0])
        answer = await made.ask("/ready")
        assert (503, {"ready": False, "reasons": trouble}) == (answer.status, answer.json)

        trouble[0] = None
        made.standing.phase = "stopping"
        answer = await made.ask("/ready")
        assert answer.status == 503
        assert ["stopping"] == [one["reason"] for one in answer.json["reasons"]]

    run(check)


def test_health_is_a_sign_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that hangs is told in time, and recovers; while saving nobody asks it."""
    monkeypatch.setattr(app, "HEALTH_SECONDS", 0.05)

    async def check(made: Site) -> None:
        assert (await made.ask("/health")).json == {"status": "ok"}

        made.engine.go.clear()
        hung = await made.ask("/health")
        assert (503, "failed") == (hung.status, hung.json["status"])
        made.standing.phase = "saving"
        assert (await made.ask("/health")).status == 200

        made.standing.phase = "serving"
        made.engine.go.set()
        await asyncio.get_running_loop().run_in_executor(None, made.engine.connection_count)
        monkeypatch.setattr(app, "HEALTH_SECONDS", 20.0)
        assert (await made.ask("/health")).status == 200

    run(check)


def test_scrapers_that_come_together_get_one_page() -> None:
    """While a page is being made, whoever asks for the same waits for it."""

    async def check(made: Site) -> None:
        made.engine.go.clear()
        asking = [asyncio.create_task(made.ask("/metrics")) for _ in range(4)]
        await until(lambda: len(made.web._server.server_state.tasks) == 4)
        made.engine.go.set()
        answers = await asyncio.gather(*asking)

        assert made.engine.asked == 1
        assert {200} == {answer.status for answer in answers}

    run(check)


def test_a_server_that_ends_shows_its_last_page() -> None:
    """While the engine is being saved nobody asks it, and the page has its last values."""

    async def check(made: Site) -> None:
        await made.ask("/metrics")
        made.meter.leave_engine()
        asked = made.engine.asked

        assert (await made.ask("/metrics")).status == 200
        assert made.engine.asked == asked

    run(check)


def test_a_connection_that_says_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects and never sends a request is cut off after a while."""
    monkeypatch.setattr(listener, "AGE_SECONDS", 0.05)

    async def check(made: Site) -> None:
        with socket.create_connection(("127.0.0.1", made.port), timeout=10) as silent:
            silent.sendall(b"GET /metrics HT")

            assert await asyncio.to_thread(silent.recv, 1) == b""

    run(check)


def test_too_many_at_a_time_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit of connections a request is 503; up to it none is."""
    monkeypatch.setattr(listener, "CONNECTIONS_MAX", 4)

    async def check(made: Site) -> None:
        connections = made.web._server.server_state.connections
        held = [socket.create_connection(("127.0.0.1", made.port)) for _ in range(3)]
        await until(lambda: len(connections) == 3)

        assert (await made.ask("/health")).status == 200
        await until(lambda: len(connections) == 3)
        held.append(socket.create_connection(("127.0.0.1", made.port)))
        await until(lambda: len(connections) == 4)
        assert (await made.ask("/health")).status == 503
        for one in held:
            one.close()

    run(check)


def test_a_listener_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its port refuses then, and the stop of the server does not fail of it."""

    async def fail(*_: object) -> None:
        raise ValueError("no such option")

    monkeypatch.setattr(listener._Server, "serve", fail)

    async def check(made: Site) -> None:
        await until(lambda: caplog.messages != [])

        assert caplog.messages == ["metrics are not served any more: no such option"]
        with pytest.raises(ConnectionRefusedError):
            await made.ask("/health")

    run(check)


def test_a_port_in_use_and_a_foreign_address() -> None:
    """The error names the place, the cause, and the settings."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StartupError, match=f"on 127.0.0.1 port {port}: Address already in use"):
            bind("127.0.0.1", port)
    with pytest.raises(StartupError, match=r"192\.0\.2\.1 .*metrics\.port"):
        bind("192.0.2.1", 9090)
    with pytest.raises(StartupError, match="no such host"):
        bind("no such host", 9090)
