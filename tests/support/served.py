"""A running server with one connection and a page of metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.client import RawClient
from tests.support.info import info as info_of
from tests.support.process import Process
from tests.support.servers import free_port


class Served:
    """A server, a connection, and the port of its metrics."""

    def __init__(
        self,
        folder: Path,
        *settings: str,
        environ: dict[str, str] | None = None,
        config: Path | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.is_native = "server.transport=streams" not in settings
        self.metrics = free_port()
        page = f"metrics.port={self.metrics}"
        self.process = Process(folder, page, *settings, environ=environ, config=config)
        self.client: RawClient = self.process.client()

    def run(self, *words: str | int) -> Any:
        """One command, its reply as plain objects."""
        return self.client.command(*words).node.plain()

    def info(self, section: str) -> dict[str, str]:
        """The fields of a section of INFO."""
        return info_of(self.client, section)

    def close(self) -> None:
        """End it."""
        self.client.close()
        self.process.stop()
