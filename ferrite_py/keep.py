"""What becomes of the data of a data folder when the server starts and when it stops.

Before a stop everything is written while clients are still served: a disk that takes no more then
keeps the server up. A stop writes what has come since and the index, however long that takes: a
save that is cut off is none. Only SHUTDOWN NOSAVE empties the folder instead.
"""

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import Any, Protocol

from ferrite_py import __version__
from ferrite_py._native import Server
from ferrite_py.unclean import set_aside

log = logging.getLogger(__name__)

POLL_SECONDS = 0.02
RETRY_SECONDS = 1.0

INSIST_SECONDS = 10.0
"""A signal so soon after one that failed gives the data up if they still cannot be saved."""


class Store(Protocol):
    """The part of the native server that is written before a stop."""

    def prepare_save(self) -> bool:
        """Whether there is more to wait for. Raises OSError."""


class Keep:
    """Whether the data are to be kept, and whether they have been."""

    def __init__(self) -> None:
        self.is_wanted = True
        self.is_preparing = False
        self.is_saving = False
        self.is_retrying = False
        self.has_failed = False
        self._given_up = threading.Event()
        self._turn = asyncio.Lock()
        self._is_finished = False

    async def prepare(self, native: Store) -> bool:
        """Have everything written while clients are served; whether that worked.

        If not, the log says why, and nothing has changed: the server is to go on.
        """
        async with self._turn:
            self.is_preparing = True
            try:
                while self._is_awaited and await asyncio.to_thread(native.prepare_save):
                    await self._pause()
            except OSError as error:
                log.error(
                    "the data cannot be saved, so the server goes on: %s; make room and stop it"
                    " again. SHUTDOWN FORCE, or two signals within %d s, give the data up",
                    error,
                    INSIST_SECONDS,
                )
                return False
            finally:
                self.is_preparing = False
        return True

    async def _pause(self) -> None:
        await asyncio.sleep(POLL_SECONDS)

    @property
    def _is_awaited(self) -> bool:
        return self.is_wanted and not self._given_up.is_set()

    def give_up(self) -> None:
        """Whatever cannot be saved now is lost: nothing is waited for."""
        self._given_up.set()

    def finish(self, native: Server, patience_s: float = 0) -> None:
        """Save or discard what has changed; nothing when that is done. Blocks.

        A save that fails is tried again for `patience_s` seconds. All connections are closed
        before, and only the engine's `close` may follow. What went wrong is in the log, and in
        `has_failed`.
        """
        if self._is_finished:
            return
        self._is_finished = True
        if not self.is_wanted:
            native.discard()
            return
        self.is_saving = True
        try:
            report = self._save(native, patience_s)
        except OSError as error:
            self.has_failed = True
            log.error("the data were not saved and are lost to the next start: %s", error)
        else:
            if report is not None:
                log.info("saved %s in %s", _amount(report), _seconds(report))
        finally:
            self.is_saving = False

    def _save(self, native: Server, patience_s: float) -> dict[str, Any] | None:
        """Try until it works, or there is no more time. Raises OSError."""
        until = time.monotonic() + patience_s
        while True:
            try:
                return native.save(__version__)
            except OSError as error:
                if self._given_up.is_set() or time.monotonic() >= until:
                    raise
                if not self.is_retrying:
                    log.error("the data cannot be saved, trying for %d s: %s", patience_s, error)
                self.is_retrying = True
            self._given_up.wait(RETRY_SECONDS)


def tell_found(native: Server, folder: str) -> None:
    """Say in the log what the data folder held when it was opened."""
    _tell_loaded(native, folder)
    count, size = set_aside(Path(folder)) if folder else (0, 0)
    if count > 0:
        log.warning(
            "what unclean stops have left takes %.1f MiB in %s: %d folders log.unclean-*, which"
            " storage.max_disk does not count, and which nobody removes but you",
            size / 2**20,
            folder,
            count,
        )


def _tell_loaded(native: Server, folder: str) -> None:
    report = native.found()
    if report is None or report["found"] == "empty":
        return
    if report["found"] == "unclean":
        log.warning(
            "the last server in %s did not stop cleanly: its %d segment files are set aside in"
            " %s/%s; starting empty",
            folder,
            report["segments"],
            folder,
            report["aside"],
        )
        return
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(report["saved_ms"] / 1000))
    log.info("loaded %s in %s, saved %s", _amount(report), _seconds(report), when)
    if report["orphans"]:
        log.warning("removed %d segment files that nothing named", report["orphans"])


def _amount(report: dict[str, Any]) -> str:
    mib = (report["segment_bytes"] + report["index_bytes"]) / 2**20
    return f"{report['keys']} keys, {mib:.1f} MiB in {report['segments']} segments"


def _seconds(report: dict[str, Any]) -> str:
    return f"{report['took_ms'] / 1000:.3f} s"
