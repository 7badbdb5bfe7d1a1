"""The instrumentor: what an application calls, or `opentelemetry-instrument` finds."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferrite_py.client.patches import Patches

_logger = logging.getLogger(__name__)
_REDIS_MIN = (5, 0, 1)


class FerriteInstrumentor:
    """Has redis-py send the current trace context in front of its commands.

    Only to servers that asked for it in their reply to HELLO; to any other goes what went before.
    It behaves as OpenTelemetry's instrumentors do, of which there is one for each library, without
    needing the package that they are built on.
    """

    _instance: FerriteInstrumentor | None = None

    _patches: Patches | None

    def __new__(cls) -> FerriteInstrumentor:
        """Return the one instrumentor."""
        if cls._instance is None:
            cls._instance = super().__new__(cls)
            cls._instance._patches = None
        return cls._instance

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether instrument() is in effect."""
        return self._patches is not None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed for this to have an effect, as requirements."""
        return (f"redis >= {'.'.join(map(str, _REDIS_MIN))}",)

    def instrument(self, *, resp2_hello: bool = True, **kwargs: Any) -> None:
        """Begin; best before the first connection, since a server is asked when one is made.

        Args:
            resp2_hello: on connections that speak RESP2, ask the server with `HELLO 2`. Without it
                those send no trace context; RESP3 connections say HELLO anyway.
            kwargs: what OpenTelemetry hands to all instrumentors. `skip_dep_check` has its meaning,
                the others (such as `tracer_provider`) none, since no spans are made here.

        Raises:
            ModuleNotFoundError: redis-py is not installed.
        """
        if self._patches is not None:
            _logger.warning("redis-py is instrumented for ferrite-py already")
            return
        import redis

        if redis.VERSION < _REDIS_MIN and not kwargs.get("skip_dep_check"):
            needed = ", ".join(self.instrumentation_dependencies())
            _logger.error(
                "redis-py %s is too old (%s): not instrumented", redis.__version__, needed
            )
            return
        from ferrite_py.client.patches import Patches

        self._patches = Patches(resp2_hello=resp2_hello)
        self._patches.apply()

    def uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - as all instrumentors
        """End; connections stay usable and send what redis-py sends."""
        if self._patches is None:
            _logger.warning("redis-py is not instrumented for ferrite-py")
            return
        self._patches.remove()
        self._patches = None
