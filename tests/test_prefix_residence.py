"""Where the bytes of prefixes lie, as a real server with a data folder tells it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_prefixes import ON, Prefixes, parts_of, send_to_disk

LYING = {"blob": (3, 100_000), "user": (400, 1000), "item": (2000, 50)}
"""Keys and bytes of each value, in the order in which they are written: of the first, each use is
looked at."""


@pytest.fixture
def tiered(tmp_path: Path) -> Iterator[Prefixes]:
    """A server with a data folder, whose ledger is on."""
    made = Prefixes(tmp_path, f"storage.data_dir={tmp_path / 'data'}", *ON)
    yield made
    made.close()


def least_of(prefix: str) -> tuple[int, int]:
    """What its records take at least, and at most: name, value, and 8 to 40 bytes."""
    count, size = LYING[prefix]
    plain = count * (size + len(prefix) + 6)
    return plain + 8 * count, plain + 40 * count


def check_lying(served: Prefixes, tier: str) -> None:
    """All of it lies in this tier; metrics and INFO say the same."""
    page, info = served.page(), served.info("prefixes")
    lines = [parts_of(value) for name, value in info.items() if name.startswith("prefix_")]
    found = served.prefixes()
    assert set(found) == set(LYING)
    for prefix, one in found.items():
        told, errors = one["bytes_by_tier"], one["bytes_error_by_tier"]
        low, high = least_of(prefix)
        assert low <= told[tier] <= high, (prefix, told)
        assert all(told[other] == 0 for other in told if other != tier), told
        assert set(errors.values()) == {0}
        labels = {"prefix": prefix, "tier": tier}
        assert page.value("ferrite_prefix_resident_bytes", **labels) == told[tier]
        assert page.value("ferrite_prefix_resident_error", **labels) == 0
        line = next(line for line in lines if line["name"] == prefix)
        assert int(line[f"bytes_{tier}"]) == told[tier]
        assert line[f"bytes_error_{tier}"] == "0"


def write_lying(served: Prefixes) -> None:
    """As LYING has it."""
    served.run_all([
        ("SET", f"{prefix}:{number:05}", "v" * size)
        for prefix, (count, size) in LYING.items() for number in range(count)
    ])  # fmt: skip


def test_where_the_bytes_of_prefixes_lie(tiered: Prefixes) -> None:
    """In memory, in files that are mapped, and on disk only; exact while nothing has died there."""
    write_lying(tiered)
    check_lying(tiered, "mutable")
    assert tiered.run("DEBUG", "TIER", "MAP") == b"OK"
    check_lying(tiered, "read_only")
    send_to_disk(tiered)
    check_lying(tiered, "disk")
    assert {float(one["disk_known"]) for one in tiered.prefixes().values()} == {1.0}
    assert tiered.info("prefixes")["prefixes_disk_known"] == "1.0000"
    assert tiered.page().value("ferrite_prefix_disk_known") == 1

    tiered.run_all([("GET", f"user:{number:05}") for number in range(100)])
    tiered.run("SET", "item:99999", "v" * 5000)
    found = tiered.prefixes()
    cached, (low, high) = found["user"]["bytes_by_tier"], least_of("user")
    assert low / 4 <= cached["read_cache"] <= high / 4
    assert low <= cached["disk"] <= high
    assert 5000 < found["item"]["bytes_by_tier"]["mutable"] < 5100


def test_what_dies_on_disk_is_told_with_an_error(tiered: Prefixes) -> None:
    """Nobody reads files to see of which prefix it was: the estimate says how far off it may be."""
    write_lying(tiered)
    send_to_disk(tiered)
    before = {prefix: one["bytes_by_tier"]["disk"] for prefix, one in tiered.prefixes().items()}
    for start in range(0, 1000, 100):
        numbers = range(start, start + 100)
        tiered.run("DEL", *(f"item:{number:05}" for number in numbers))
    send_to_disk(tiered)

    found = tiered.prefixes("COUNT", 3)
    for prefix, one in found.items():
        truth = before[prefix] / (2 if prefix == "item" else 1)
        told, error = one["bytes_by_tier"]["disk"], one["bytes_error_by_tier"]["disk"]
        assert abs(told - truth) <= error + 1, (prefix, told, truth)


def test_files_that_were_written_while_it_was_off_are_unknown(tiered: Prefixes) -> None:
    """As they are after a start; the share that is known says so."""
    tiered.run("CONFIG", "SET", "insight-prefixes", "no")
    write_lying(tiered)
    send_to_disk(tiered)
    tiered.run("CONFIG", "SET", "insight-prefixes", "yes")
    tiered.run("SET", "user:00000", "v" * 1000)

    one = tiered.prefixes()["user"]

    assert 1000 < one["bytes_by_tier"]["mutable"] < 1050
    assert one["bytes_by_tier"]["disk"] == 0
    assert float(one["disk_known"]) == 0
    assert tiered.info("prefixes")["prefixes_disk_known"] == "0.0000"
    assert tiered.page().value("ferrite_prefix_disk_known") == 0
