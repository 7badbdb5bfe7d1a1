"""What becomes of the data of a data folder when the server starts and when it stops.

A stop writes everything to the folder, however long that takes: a save that is cut off is none.
Only SHUTDOWN NOSAVE empties the folder instead.
"""

import logging
import time
from typing import Any

from ferrite_py import __version__
from ferrite_py._native import Server

log = logging.getLogger(__name__)


class Keep:
    """Whether the data are to be kept, and whether they have been."""

    def __init__(self) -> None:
        self.is_wanted = True
        self.is_saving = False
        self.has_failed = False

    def finish(self, native: Server) -> None:
        """Save or discard what has changed; nothing when that is done. Blocks.

        All connections are closed before, and only the engine's `close` may follow. What went wrong
        is in the log, and in `has_failed`.
        """
        if not self.is_wanted:
            native.discard()
            return
        self.is_saving = True
        try:
            report = native.save(__version__)
        except OSError as error:
            self.has_failed = True
            log.error("the data were not saved and are lost to the next start: %s", error)
        else:
            if report is not None:
                log.info("saved %s in %s", _amount(report), _seconds(report))
        finally:
            self.is_saving = False


def tell_found(native: Server, folder: str) -> None:
    """Say in the log what the data folder held when it was opened."""
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
