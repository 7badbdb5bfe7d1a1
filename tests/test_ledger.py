"""What is told of the ledger of prefixes: quantiles, and names as they may be shown."""

from __future__ import annotations

from typing import Any

import pytest

from ferrite_py.ledger import ledger_of, quantile_seconds, shown_ledger
from ferrite_py.measure import SCALE, UNIT_SECONDS, ZERO_SECONDS, Histogram


class Native:
    """A native server with a ledger that was made up."""

    def __init__(self, *prefixes: tuple[Any, ...], room: int = 4, disk: float = 0.0) -> None:
        self._prefixes = list(prefixes)
        self._disk = disk
        self._room = room

    def prefixes(self, by_pattern: bool, /) -> dict[str, Any] | None:
        """As the server's; the one by pattern is empty."""
        return {
            "uses": 100.0, "since_ms": 1000, "now_ms": 3500, "interval": 2, "room": self._room,
            "disk_bytes": self._disk, "disk_bytes_known": self._disk / 4,
            "prefixes": [] if by_pattern else self._prefixes,
        }  # fmt: skip

    def shown_name(self, name: bytes, mode: str, /) -> bytes | None:
        """The first byte in mode "first"; what begins with x never."""
        if name.startswith(b"x"):
            return None
        return name[:1] if mode == "first" else name


def prefix(name: bytes, uses: float, error: float, durations: tuple[Any, ...]) -> tuple[Any, ...]:
    """One prefix as the native server tells it."""
    hits, misses = (uses, 1.0, 0.0, 2.0), (1.0, 0.0, 0.5, 0.0, 0.0)
    return (
        name,
        False,
        1200,
        uses,
        error,
        4.0,
        3.0,
        hits,
        2.0,
        misses,
        (4.0, 0.0, 0.0, 6.0),
        20.0,
        (7.0, 0.0, 0.0, 8.0),
        (0.5, 0.0, 0.0, 1.0),
        durations,
    )


def test_quantiles_are_the_upper_ends_of_buckets() -> None:
    """Exact by rank; what is shorter than all buckets counts as zero."""
    octave = 2**SCALE
    histogram = Histogram(0.0, 10, -octave, (80, *[0] * (octave - 1), 10))

    assert quantile_seconds(histogram, 0.1) == ZERO_SECONDS
    assert quantile_seconds(histogram, 0.5) == pytest.approx(0.5 * 2 ** (1 / octave))
    assert quantile_seconds(histogram, 0.9) == pytest.approx(0.5 * 2 ** (1 / octave))
    assert quantile_seconds(histogram, 0.91) == pytest.approx(2 ** (1 / octave))
    assert quantile_seconds(histogram, 1.0) == pytest.approx(2 ** (1 / octave))
    assert quantile_seconds(Histogram(0.0, 0, 0, ()), 0.99) is None


def test_the_ledger_as_a_whole() -> None:
    """Those with the most uses first; what is not there has no more than the least that is."""
    found = ledger_of(
        Native(prefix(b"a", 5, 7, (1, 0, 0, [])), prefix(b"b", 9, 0, (1, 0, 0, [])), room=2)
    )
    assert found is not None
    assert [one.name for one in found.prefixes] == [b"b", b"a"]
    assert (found.error, found.seconds, found.interval, found.uses) == (9, 2.5, 2, 100)
    twice = ledger_of(Native(prefix(b"a", 5, 7, (1, 0, 0, [])), prefix(b"a", 1, 9, (1, 0, 0, []))))
    assert twice is not None
    assert [one.error for one in twice.prefixes] == [9]  # it left its place while they were copied
    half_full = ledger_of(Native(prefix(b"a", 5, 0, (1, 0, 0, []))))
    assert half_full is not None
    assert half_full.error == 0
    assert half_full.disk_known == 1
    on_disk = ledger_of(Native(room=1, disk=80.0))
    assert on_disk is not None
    assert on_disk.disk_known == 0.25


def test_names_are_told_once_and_as_they_may_be_shown() -> None:
    """What must not be shown is left out; of what looks the same, the one with the most uses."""
    native = Native(
        prefix(b"u1", 5, 1, (2, 1, 3, [1, 2])),
        prefix(b"u2", 6, 6, (4, 2, 1, [7])),
        prefix(b"x", 9, 9, (0, 0, 0, [])),
    )

    shown = shown_ledger(native, "first")
    assert shown is not None
    ledger, found = shown

    assert len(ledger.prefixes) == 3
    assert list(found) == ["u"]
    one = found["u"]
    assert (one.name, one.since_ms, one.uses, one.error, one.is_sure) == (b"u2", 1200, 6, 6, False)
    assert one.all_hits == 9
    assert one.unexplained == 0.5
    assert (one.bytes_read, one.all_bytes) == (10, 30)
    assert (one.bytes_by, one.bytes_error_by) == ((7, 0, 0, 8), (0.5, 0, 0, 1))
    assert one.sampling_error == pytest.approx(4)
    assert one.durations == Histogram(4 * UNIT_SECONDS, 2, 1, (7,))
    full, by_pattern = shown_ledger(native, "full"), shown_ledger(native, "pattern")
    assert full is not None
    assert [(name, one.is_sure) for name, one in full[1].items()] == [("u2", False), ("u1", True)]
    assert by_pattern is not None
    assert by_pattern[1] == {}
