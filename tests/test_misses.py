"""The reasons of misses: MISSES, INFO misses and /metrics, by every command that ends a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.served import Served
from tests.telemetry.page import page_of

REASONS = ("never_seen", "expired", "evicted", "deleted", "flushed")
TIERS = ("memory", "disk")


class Misses(Served):
    """A server that is asked why keys are missing."""

    def __init__(self, folder: Path, *settings: str) -> None:
        super().__init__(folder, "server.enable_debug_command=yes", *settings)

    def fill(self, keys: int) -> list[str]:
        """Write so many keys of 1000 bytes; of 200 of them, those that are gone."""
        value = "v" * 1000
        for start in range(0, keys, 100):
            numbers = range(start, min(start + 100, keys))
            replies = self.client.pipeline(
                [("SET", f"key:{number}", value, "EX", 10000 + number) for number in numbers]
            )
            assert not any(reply.node.is_error for reply in replies)
        names = [f"key:{number}" for number in range(0, keys, keys // 200)]
        found = self.client.pipeline([("EXISTS", name) for name in names])
        return [name for name, reply in zip(names, found, strict=True) if not reply.node.integer]

    def misses(self) -> dict[str, float]:
        """The reply of MISSES."""
        pairs = self.client.command("MISSES").node.pairs()
        return {name.decode(): float(value.plain()) for name, value in pairs.items()}  # type: ignore[arg-type]

    def reason(self, key: str) -> str:
        """Why GET does not find the key; empty when it does."""
        before = self.misses()
        found = self.run("GET", key)
        after = self.misses()
        grown = [reason for reason in REASONS if after[reason] != before[reason]]
        assert len(grown) == (found is None)
        return grown[0] if grown else ""


@pytest.fixture(params=TIERS)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Misses]:
    """A server in memory, and one whose data are sent to disk by `down`."""
    disk = (f"storage.data_dir={tmp_path / 'data'}", "storage.segment_size=64kb")
    made = Misses(tmp_path, *(disk if request.param == "disk" else ()))
    yield made
    made.close()


@pytest.fixture
def down(request: pytest.FixtureRequest, served: Misses) -> Callable[[], None]:
    """Sends all data to disk, where there is one."""
    has_disk = request.node.callspec.params["served"] == "disk"

    def send() -> None:
        if has_disk:
            assert served.run("DEBUG", "TIER", "DISK") == b"OK"
            assert served.run("DEBUG", "TIER", "TRIM") == b"OK"

    return send


ENDS = {
    "deleted": (
        [("DEL", "k")], [("UNLINK", "k")], [("GETDEL", "k")], [("RENAME", "k", "other")],
        [("RENAMENX", "k", "fresh")], [("MOVE", "k", 1)], [("EXPIRE", "k", -1)],
        [("GETEX", "k", "EXAT", 1)], [("MULTI",), ("DEL", "k"), ("EXEC",)],
    ),
    "flushed": (
        [("FLUSHALL",)], [("FLUSHALL", "ASYNC")], [("FLUSHDB", "SYNC")], [("FLUSHDB", "ASYNC")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "commands"),
    [(reason, commands) for reason, ends in ENDS.items() for commands in ends],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value[-2:][0])),
)
def test_each_command_that_ends_a_key(
    served: Misses, down: Callable[[], None], reason: str, commands: list[tuple[str | int, ...]]
) -> None:
    """A miss after it has its reason, until the key is written again."""
    served.run("SET", "k", "v")
    assert served.reason("k") == ""
    assert served.reason("stranger") == "never_seen"
    down()

    for words in commands:
        served.run(*words)

    assert served.reason("k") == reason
    assert served.reason("k") == reason
    served.run("SET", "k", "v")
    assert served.reason("k") == ""


def test_what_expires_says_so(served: Misses, down: Callable[[], None]) -> None:
    """Whoever finds it: the look-up, or the step."""
    served.run("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    served.run("SET", "k", "v", "PX", 1)
    down()
    served.run("DEBUG", "SLEEP", "0.01")

    assert served.reason("k") == "expired"


def test_all_misses_have_a_reason_and_three_views_agree(served: Misses) -> None:
    """MISSES, INFO and the page say the same; RESET is MISSES' alone, RESETSTAT everybody's."""
    for number in range(50):
        served.run("SET", f"key:{number}", "v")
        served.run("GET", f"nokey:{number}")
        served.run("DEL", f"key:{number}")
        served.run("MGET", f"key:{number}", f"gone:{number}")
    served.run("EXISTS", "key:1")
    served.run("STRLEN", "key:2")

    counts, info, page = served.misses(), served.info("misses"), page_of(served.metrics)
    misses = int(served.info("stats")["keyspace_misses"])
    assert sum(counts[reason] for reason in REASONS) == misses == 50 + 2 * 50 + 2
    assert counts["deleted"] == 52
    for reason in REASONS:
        assert counts[reason] == float(info[f"misses_{reason}"])
        assert counts[reason] == page.value("ferrite_cache_miss_reasons_total", reason=reason)
    assert counts["table_bytes"] == 1 << 20 == page.value("ferrite_cache_gone_size")
    assert counts["table_capacity"] == 458752
    assert counts["table_keys"] == 50 == page.value("ferrite_cache_gone_keys", reason="deleted")
    assert 0 < counts["false_attribution"] < 1e-6
    assert page.value("ferrite_cache_gone_error") == pytest.approx(counts["false_attribution"])

    assert served.run("MISSES", "RESET") == b"OK"
    assert [0] * 5 == [served.misses()[reason] for reason in REASONS]
    assert served.misses()["table_keys"] == 50
    assert served.info("misses")["misses_deleted"] == "52"
    assert served.run("CONFIG", "RESETSTAT") == b"OK"
    assert served.info("misses")["misses_deleted"] == "0"
    assert served.client.command("MISSES", "NOW").raw == b"-ERR syntax error\r\n"


def test_the_switch_works_in_a_running_server(served: Misses) -> None:
    """Off, there is no table and nothing is counted; on again, it begins with an empty one."""
    served.run("SET", "k", "v")
    served.run("DEL", "k")
    assert served.run("CONFIG", "SET", "insight-miss-reasons", "no") == b"OK"
    served.run("GET", "k")
    counts = served.misses()
    assert [0] * 5 == [counts[reason] for reason in REASONS]
    assert counts["table_bytes"] == 0
    assert not page_of(served.metrics).has("ferrite_cache_gone_size")

    assert served.run("CONFIG", "SET", "insight-miss-reasons", "yes") == b"OK"
    assert served.run("CONFIG", "SET", "insight-miss-table-size", "64kb") == b"OK"
    assert served.misses()["table_bytes"] == 64 << 10
    assert served.reason("k") == "never_seen"
    served.run("SET", "k", "v")
    served.run("DEL", "k")
    assert served.reason("k") == "deleted"


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_eviction_from_memory(tmp_path: Path, policy: str) -> None:
    """Each key that maxmemory took says so; the table is a 64th of it."""
    served = Misses(tmp_path, "storage.max_memory=8mb", f"storage.eviction_policy={policy}")
    gone = served.fill(12000)

    assert len(gone) > 20
    assert {"evicted"} == {served.reason(key) for key in gone}
    assert served.misses()["table_bytes"] == 128 << 10
    served.close()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_eviction_from_disk(tmp_path: Path, policy: str) -> None:
    """The same of what max_disk took, which is known by the footers of files."""
    served = Misses(
        tmp_path,
        f"storage.data_dir={tmp_path / 'data'}",
        "storage.segment_size=64kb",
        "storage.max_memory=64mb",
        "storage.hybridlog_mutable_size=256kb",
        "storage.hybridlog_readonly_size=64kb",
        "storage.read_cache_size=128kb",
        "storage.max_disk=1mb",
        f"storage.eviction_policy={policy}",
    )
    gone = served.fill(4000)

    assert len(gone) > 20
    assert {"evicted"} == {served.reason(key) for key in gone}
    served.close()
