"""How the server stands: whether it may be asked, and whether it should get traffic."""

from collections.abc import Callable
from typing import Literal, Protocol

Phase = Literal["loading", "serving", "stopping", "saving"]

_PHASES = {
    "loading": ("loading", "the server is starting and reads its data"),
    "stopping": ("stopping", "the server is stopping"),
    "saving": ("stopping", "the server is stopping and writes its data"),
}


class Engine(Protocol):
    """The part of the native server that gives a sign of life."""

    def connection_count(self) -> int:
        """Enter the engine and leave it."""


class Standing:
    """The phase of the server's life, and what is wrong with it now."""

    def __init__(self) -> None:
        self.phase: Phase = "loading"
        self._engine: Engine | None = None
        self._watches: list[Callable[[], dict[str, str] | None]] = []

    def watch(self, trouble: Callable[[], dict[str, str] | None]) -> None:
        """Ask this one, too, what is wrong: a reason and a message, or None. It must be quick."""
        self._watches.append(trouble)

    def enter_engine(self, engine: Engine) -> None:
        """There is an engine now."""
        self._engine = engine

    @property
    def has_engine(self) -> bool:
        """Whether the engine may be asked: not while it reads or writes all of its data."""
        return self._engine is not None and self.phase != "saving"

    def touch_engine(self) -> None:
        """Enter the engine and leave it; returns when that has been possible."""
        assert self._engine is not None
        self._engine.connection_count()

    def troubles(self) -> list[dict[str, str]]:
        """Why the server should get no traffic now; each has the keys reason and message."""
        found = [trouble for watch in self._watches if (trouble := watch()) is not None]
        if self.phase == "serving":
            return found
        reason, message = _PHASES[self.phase]
        return [{"reason": reason, "message": message}, *found]
