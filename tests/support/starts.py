"""Servers that one test starts after one another over one data folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.process import Process

Start = Callable[..., Process]


@contextmanager
def starting(work: Path, data: Path, settings: Sequence[str]) -> Iterator[Start]:
    """A function that starts one, with further settings; all are ended by force in the end."""
    started: list[Process] = []

    def make(*more: str) -> Process:
        folder = work / f"server{len(started)}"
        folder.mkdir()
        started.append(Process(folder, f"storage.data_dir={data}", *settings, *more))
        return started[-1]

    try:
        yield make
    finally:
        for server in started:
            server.kill()
