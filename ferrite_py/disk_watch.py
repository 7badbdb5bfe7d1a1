"""The operator's log of the data folder: what it refuses, what it takes again, what is lost."""

import errno
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

log = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
QUIET_SECONDS = 600.0
"""What is so again within this time of the last look that found it so is not told again."""

_STATES = ("ok", "full", "failed")

Fault = tuple[int, int, int, int, str | None]
"""Segment, generation, byte, errno, and the cause where errno does not say it."""


def disk_state(tiers: Mapping[str, Any]) -> str:
    """What the disk said last: ok, full (there is no room for another file), or failed."""
    return _STATES[tiers["disk_state"]]


def full_reason(tiers: Mapping[str, Any]) -> str:
    """Why the disk is full."""
    if tiers["out_of_files"]:
        return "as many segment files are open as the limit of open files allows"
    if tiers["no_space"]:
        return f"the disk of storage.data_dir is full: {os.strerror(tiers['no_space'])}"
    return "storage.max_disk is reached"


def full_by(tiers: Mapping[str, Any]) -> str:
    """Which budget is full: max_disk, open_files, or the disk itself; empty while none is."""
    if disk_state(tiers) != "full":
        return ""
    if tiers["out_of_files"]:
        return "open_files"
    return "disk" if tiers["no_space"] else "max_disk"


def last_error(tiers: Mapping[str, Any]) -> str:
    """The last error of the disk and the file that it was about; empty for none."""
    if not tiers["error_code"]:
        return ""
    name = f"{tiers['error_segment']:08x}-{tiers['error_generation']:08x}.seg"
    return f"{name}: {os.strerror(tiers['error_code'])}"


class Disk(Protocol):
    """The part of the native server that tells of its disk."""

    def tiers(self) -> dict[str, Any]:
        """One snapshot of the tiers."""

    def take_faults(self) -> list[Fault]:
        """What could not be read and was not told yet."""


class DiskWatch:
    """Writes a line when the state of the disk changes, and one for each record that is lost."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._state = "ok"
        self._reason = ""
        self._flushes = 0
        self._error = ""
        self._unlocked = False
        self._quiet_until = float("-inf")
        self._untold = 0
        self._next = 0.0

    def look(self, now: float) -> None:
        """Look, if it is time to; `now` is in seconds of a monotonic clock."""
        if now < self._next:
            return
        self._next = now + LOOK_SECONDS
        tiers = self._disk.tiers()
        if not tiers["tiered"]:
            self._next = float("inf")
            return
        self._tell_state(tiers)
        self._tell_evicting(tiers, now)
        self._tell_faults(self._disk.take_faults(), tiers["faults_untold"])
        if tiers["lock_failures"] and not self._unlocked:
            self._unlocked = True
            log.warning(
                "mapped files cannot all be locked in memory: the limit of locked memory"
                " (RLIMIT_MEMLOCK) is below storage.hybridlog_readonly_size"
            )

    def trouble(self) -> dict[str, str] | None:
        """What is wrong with the disk, as the last look found it; None when it takes data."""
        if self._state == "ok":
            return None
        return {"reason": self._reason, "message": self._error}

    def _tell_state(self, tiers: Mapping[str, Any]) -> None:
        state = _serious_state(tiers)
        self._reason = "disk_full" if state == "full" else "disk_failed"
        self._error = last_error(tiers) if state == "failed" else full_reason(tiers)
        if state == self._state:
            return
        self._state = state
        flushes, self._flushes = self._flushes, tiers["flushes"]
        if state == "ok":
            log.info(_why_ok(tiers, flushes))
        elif state == "full":
            log.error("%s: writes are refused when memory is full", self._error)
        else:
            log.error(
                "the disk does not take data: %s; writes are refused when memory is full",
                last_error(tiers),
            )

    def _tell_evicting(self, tiers: Mapping[str, Any], now: float) -> None:
        """A disk without room costs a cache keys, which nobody may have meant."""
        if not tiers["disk_room"] or not tiers["can_evict"]:
            return
        if now >= self._quiet_until:
            log.warning(
                "the disk of storage.data_dir is full: keys are evicted so that its files stay"
                " below %d bytes",
                tiers["disk_room"],
            )
        self._quiet_until = now + QUIET_SECONDS

    def _tell_faults(self, faults: Sequence[Fault], untold: int) -> None:
        for segment, generation, offset, code, cause in faults:
            name = f"{segment:08x}-{generation:08x}.seg"
            log.error("%s: %s, byte %d: %s", _what(cause), name, offset, _why(code, cause))
        if untold > self._untold:
            log.error("and %d more places in segment files cannot be read", untold - self._untold)
        self._untold = untold


def _serious_state(tiers: Mapping[str, Any]) -> str:
    """The disk's state; that of a cache may be full as long as there is something to evict.

    Whether a write was refused is not asked: where nobody writes because this server is not ready,
    none is.
    """
    state = disk_state(tiers)
    return "ok" if state == "full" and tiers["can_evict"] else state


def _why_ok(tiers: Mapping[str, Any], flushes: int) -> str:
    """Why the disk is no trouble any more; `flushes` is how many there were when it was."""
    if disk_state(tiers) != "ok":
        return "the disk is full, and there are keys to evict again"
    if tiers["flushes"] == flushes:
        return "nothing waits for the disk any more"
    return "the disk takes data again"


def _what(cause: str | None) -> str:
    return "a record cannot be read" if cause is None else "a segment file is damaged"


def _why(code: int, cause: str | None) -> str:
    if code == errno.EBADMSG:
        return cause or "a wrong checksum"
    return os.strerror(code) if cause is None else f"{cause}: {os.strerror(code)}"
