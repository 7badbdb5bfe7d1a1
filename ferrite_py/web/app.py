"""What the administrators' HTTP answers. No socket is touched here."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ferrite_py.measure import Meter
from ferrite_py.web.prometheus import Page
from ferrite_py.yielding import step_back

HEALTH_SECONDS = 2.0
"""How long the engine may take for a sign of life."""

_INDEX = "ferrite-py: /metrics for Prometheus, /health (is it alive), /ready (may it be used)\n"
_NOT_STORED = {"Cache-Control": "no-store"}


class State(Protocol):
    """What the rest of the server tells of itself; each may be called from any thread."""

    @property
    def has_engine(self) -> bool:
        """Whether the engine may be asked: not while it reads or writes all of its data."""

    def touch_engine(self) -> None:
        """Enter the engine and leave it; returns when that has been possible."""

    def troubles(self) -> list[dict[str, str]]:
        """Why the server should get no traffic now; each has the keys reason and message."""


class Admin:
    """The handlers.

    What needs the engine runs in threads of its own, one for pages and one for signs of life:
    neither the loop nor each other waits for it. Whoever asks meanwhile gets the same answer.
    """

    def __init__(self, meter: Meter, state: State, semconv: str) -> None:
        self._meter = meter
        self._state = state
        self._page = Page(semconv)
        self._pages = ThreadPoolExecutor(1, "ferrite-metrics", step_back)
        self._signs = ThreadPoolExecutor(1, "ferrite-health")
        self._page_of: dict[str, asyncio.Future[tuple[bytes, str]]] = {}
        self._sign: asyncio.Future[None] | None = None

    def close(self) -> None:
        """End the threads; one that hangs in the engine is not waited for."""
        self._pages.shutdown(wait=False, cancel_futures=True)
        self._signs.shutdown(wait=False, cancel_futures=True)

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._index),
                Route("/metrics", self._metrics),
                Route("/health", self._health),
                Route("/ready", self._ready),
            ]
        )

    @staticmethod
    async def _index(_request: Request) -> Response:
        return PlainTextResponse(_INDEX)

    async def _metrics(self, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        under_way = self._page_of.get(accept)
        if under_way is None:
            loop = asyncio.get_running_loop()
            under_way = loop.run_in_executor(self._pages, self._render, accept)
            self._page_of[accept] = under_way
            under_way.add_done_callback(lambda _: self._page_of.pop(accept, None))
        body, content_type = await asyncio.shield(under_way)
        return Response(body, headers={"Content-Type": content_type, **_NOT_STORED})

    def _render(self, accept: str) -> tuple[bytes, str]:
        return self._page.render(self._meter.take(), accept)

    async def _health(self, _request: Request) -> Response:
        if not self._state.has_engine or await self._gives_sign(self._state.touch_engine):
            return JSONResponse({"status": "ok"}, headers=_NOT_STORED)
        message = f"the engine has not answered for {HEALTH_SECONDS:g} seconds"
        return JSONResponse({"status": "failed", "message": message}, 503, headers=_NOT_STORED)

    async def _gives_sign(self, touch: Callable[[], None]) -> bool:
        """Whether the engine answers in time; an earlier question that hangs is not asked again."""
        if self._sign is None or self._sign.done():
            self._sign = asyncio.get_running_loop().run_in_executor(self._signs, touch)
        done, _ = await asyncio.wait([self._sign], timeout=HEALTH_SECONDS)
        return bool(done) and self._sign.exception() is None

    async def _ready(self, _request: Request) -> Response:
        troubles = self._state.troubles()
        body = json.dumps({"ready": not troubles, "reasons": troubles})
        status = 503 if troubles else 200
        return Response(body, status, headers=_NOT_STORED, media_type="application/json")
