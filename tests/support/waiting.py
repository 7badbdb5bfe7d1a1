"""Waiting for what a thread or a server does in its own time and tells nobody."""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE_S = 20.0
_PAUSE_S = 0.01


def until(done: Callable[[], bool], what: str = "it is done") -> None:
    """Ask until something is so; the test fails with `what` when that takes too long."""
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(_PAUSE_S)
