"""What INFO tells too is on the page with the same value: a tiered server after some of everything.

A server's own threads may change something between two looks, so there are two of INFO, and what is
on the page between them is compared when both agree; what grows with each look lies between them.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.served import Served
from tests.support.servers import TRANSPORTS
from tests.support.waiting import DEADLINE_S, until
from tests.telemetry.page import Page, page_of

VALUE = "x" * 1000
Info = dict[str, str]
Series = tuple[str, frozenset[tuple[str, str]]]


def series(name: str, **labels: str) -> Series:
    """A name on the page with its labels."""
    return name, frozenset(labels.items())


def labelled(name: str, label: str, fields: dict[str, str]) -> dict[Series, tuple[str, ...]]:
    """Of one metric the value of a label: the fields of INFO that it is the sum of."""
    return {series(name, **{label: value}): tuple(told.split()) for value, told in fields.items()}


TIERS = {
    "mutable": "mutable",
    "read_only": "sealed read_only",
    "read_cache": "read_cache",
    "disk": "disk",
}
REASONS = ("expired", "evicted", "deleted", "flushed")


def by_tier(name: str, part: str) -> dict[Series, tuple[str, ...]]:
    """A metric of tiers: what INFO calls it for each."""
    fields = {
        tier: " ".join(f"{one}_{part}" for one in ours.split()) for tier, ours in TIERS.items()
    }
    return labelled(name, "tier", fields)


PLAIN = {
    "cache_hits_total": "keyspace_hits",
    "cache_misses_total": "keyspace_misses",
    "ferrite_cache_hits_total": "mutable_hits",
    "ferrite_cache_gone_size": "misses_table_bytes",
    "ferrite_cache_gone_forgotten_total": "misses_table_forgotten",
    "ferrite_compaction_disk_errors_total": "compaction_errors",
    "ferrite_compaction_disk_read_bytes_total": "compaction_read_bytes",
    "ferrite_compaction_moved_bytes_total": "compacted_bytes",
    "ferrite_compaction_segments_total": "compacted_segments",
    "ferrite_connections_active": "connected_clients",
    "ferrite_connections_blocked": "blocked_clients",
    "ferrite_connections_monitors": "monitors",
    "ferrite_connections_rejected_total": "rejected_connections",
    "ferrite_connections_total": "total_connections_received",
    "ferrite_disk_damaged_segments": "damaged_segments",
    "ferrite_disk_errors_total": "disk_errors",
    "ferrite_disk_files": "file_count",
    "ferrite_disk_files_size": "file_bytes",
    "ferrite_disk_page_errors_total": "mapped_page_errors",
    "ferrite_disk_read_bytes_total": "disk_read_bytes",
    "ferrite_disk_reads_active": "disk_reads_in_flight",
    "ferrite_disk_reads_failed_total": "disk_reads_failed",
    "ferrite_disk_reads_joined_total": "disk_reads_joined",
    "ferrite_disk_reads_queued": "disk_reads_waiting",
    "ferrite_disk_reads_retried_total": "disk_reads_retried",
    "ferrite_disk_reads_total": "disk_reads",
    "ferrite_disk_records_lost_total": "disk_records_lost",
    "ferrite_epoch_current": "epoch",
    "ferrite_errors_total": "total_error_replies",
    "ferrite_hybridlog_flushed_bytes_total": "flushed_bytes_total",
    "ferrite_index_buckets": "index_buckets",
    "ferrite_index_overflow": "index_overflow_buckets",
    "ferrite_index_size": "index_bytes",
    "ferrite_keys_evicted_total": "evicted_keys",
    "ferrite_keys_expired_total": "expired_keys",
    "ferrite_memory_max": "maxmemory",
    "ferrite_read_cache_carried_total": "carried_total",
    "ferrite_read_cache_drops_total": "read_cache_drops",
    "ferrite_read_cache_ghost_hits_total": "read_cache_ghost_hits",
    "ferrite_read_cache_put_bytes_total": "read_cache_put_bytes",
    "ferrite_read_cache_puts_total": "read_cache_puts",
    "ferrite_read_cache_second_chances_total": "read_cache_kept",
    "ferrite_recovery_keys": "data_found_keys",
    "ferrite_storage_appended_bytes_total": "appended_bytes_total",
    "ferrite_storage_changes_total": "rdb_changes_since_last_save",
    "ferrite_storage_expired_unreclaimed": "expired_unreclaimed_bytes",
    "ferrite_storage_flush_behind": "flush_behind",
    "ferrite_storage_compaction_behind": "compaction_behind",
    "ferrite_storage_writers_refused_total": "writers_refused",
    "ferrite_storage_writers_slowed_total": "writers_slowed",
}
"""Of one value each; a metric with a label that INFO does not tell apart is summed."""

QUIET: dict[Series, tuple[str, ...]] = {
    **by_tier("ferrite_hybridlog_tier_size", "bytes"),
    **by_tier("ferrite_hybridlog_tier_live", "live_bytes"),
    **by_tier("ferrite_hybridlog_tier_segments", "segments"),
    **by_tier("ferrite_cache_tier_hits_total", "hits"),
    **labelled("ferrite_hybridlog_tier_budget", "tier", {
        "mutable": "mutable_budget", "read_only": "read_only_budget",
        "read_cache": "read_cache_budget", "disk": "disk_budget",
    }),
    **labelled("ferrite_hybridlog_migrations_total", "migration", {
        one: f"{one}_total" for one in ("sealed", "flushed", "demoted", "removed")
    }),
    **labelled("ferrite_storage_writes_total", "placement", {
        one: one for one in ("in_place", "appended")
    }),
    **labelled("ferrite_index_resizes_total", "direction", {
        "split": "index_splits", "merge": "index_merges",
    }),
    **labelled("ferrite_compaction_disk_segments_total", "purpose", {
        one: f"compaction_{one}_segments"
        for one in ("recount", "expire", "refill", "compact", "evict")
    }),
    **labelled("ferrite_compaction_disk_keys_total", "outcome", {
        one: f"compaction_{one}_keys" for one in ("moved", "expired", "evicted")
    }),
    **labelled("ferrite_compaction_disk_bytes_total", "outcome", {
        one: f"compaction_{one}_bytes" for one in ("moved", "expired", "evicted", "swept")
    }),
    **labelled("ferrite_connections_killed_total", "reason", {
        "output_limit": "client_output_buffer_limit_disconnections",
        "query_limit": "client_query_buffer_limit_disconnections",
        "memory_limit": "evicted_clients",
        "idle": "timeout_disconnections",
        "protocol_error": "protocol_errors",
    }),
    **labelled("ferrite_cache_miss_reasons_total", "reason", {
        one: f"misses_{one}" for one in ("never_seen", *REASONS)
    }),
    **labelled("ferrite_cache_gone_keys", "reason", {
        one: f"misses_table_{one}" for one in REASONS
    }),
}  # fmt: skip
"""Of one value for each label."""

GROWING = {
    "ferrite_commands_total": "total_commands_processed",
    "ferrite_memory_peak": "used_memory_peak",
    "ferrite_network_bytes_received_total": "total_net_input_bytes",
    "ferrite_network_bytes_sent_total": "total_net_output_bytes",
    "ferrite_network_receives_total": "total_reads_processed",
    "ferrite_network_sends_total": "total_writes_processed",
}
"""Each look at INFO adds to them."""

STEPS = ("index", "expire", "compact", "tier", "frozen", "fetch", "batch")
MEMORY = {
    "ferrite_memory_used": "used_memory",
    "ferrite_connections_memory": "mem_clients_normal",
}
CLASSES = ("log", "index", "client", "engine", "scratch")
SPARE = 128 << 10
"""Bytes that buffers of INFO's own replies may take and give back."""

ROUNDED = {
    "ferrite_hybridlog_write_amplification": "write_amplification",
    "ferrite_hybridlog_space_amplification": "space_amplification",
    "ferrite_cache_gone_error": "misses_false_attribution",
}
"""Told by INFO with three digits behind the point, or more."""


def told(page: Page, name: str) -> float:
    """The sum of all values of a name; there is one at least."""
    values = page.of(name)
    assert values, name
    return sum(values.values())


@pytest.fixture(params=TRANSPORTS)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A server with tiers and each limit that INFO tells."""
    made = Served(
        tmp_path,
        f"server.transport={request.param}",
        f"storage.data_dir={tmp_path / 'data'}",
        "storage.segment_size=64kb",
        "storage.max_memory=64mb",
        "storage.max_disk=1gb",
        "server.enable_debug_command=yes",
    )
    try:
        yield made
        made.close()
    finally:
        made.process.kill()


def run(served: Served, *words: str) -> str:
    """A command, which may answer an error: its reply as text."""
    return served.client.command(*words).raw.decode(errors="replace")


def everything(served: Served) -> Info:
    """All fields of INFO."""
    return served.info("everything")


def write_and_read(served: Served) -> None:
    """Keys in all tiers, found and missed; overwritten, deleted, expired, moved."""
    for number in range(300):
        assert run(served, "SET", f"key:{number}", VALUE) == "+OK\r\n"
    run(served, "DEBUG", "SET-ACTIVE-EXPIRE", "0")
    for name in ("short", "short:cold"):
        run(served, "SET", name, "x", "PX", "1")
    until(lambda: run(served, "EXISTS", "short") == ":0\r\n", "a key expires")
    run(served, "DEBUG", "TIER", "DISK")
    for number in (1, 1, 1, 2, 2, 300):
        run(served, "GET", f"key:{number}")
    assert run(served, "GET", "short:cold") == "$-1\r\n"
    run(served, "DEL", *(f"key:{number}" for number in range(50, 250)))
    run(served, "DEBUG", "TIER", "COMPACT")
    run(served, "GET", "key:100")
    for number in range(400, 500):
        run(served, "SET", f"key:{number}", VALUE)
    run(served, "DEBUG", "TIER", "MAP")
    run(served, "GET", "key:410")
    run(served, "SET", "hot", "x")
    run(served, "SET", "hot", "y")
    run(served, "GET", "hot")


def damage_a_file(served: Served, folder: Path) -> None:
    """One byte of a record on disk changes; who asks for it learns of it."""
    run(served, "DEBUG", "TIER", "DISK")
    before = set(folder.glob("*.seg"))
    for number in range(100):
        run(served, "SET", f"victim:{number}", VALUE)
    run(served, "DEBUG", "TIER", "DISK")
    file = min(set(folder.glob("*.seg")) - before)
    with file.open("r+b") as segment:
        segment.seek(60)
        byte = segment.read(1)[0]
        segment.seek(60)
        segment.write(bytes([byte ^ 1]))
    replies = [run(served, "GET", f"victim:{number}") for number in range(100)]
    assert [reply[:6] for reply in replies if reply.startswith("-")] == ["-IOERR"]


def misbehave(served: Served) -> None:
    """Errors, commands that are refused, and a client that speaks no protocol."""
    run(served, "INCR", "key:1")
    run(served, "GET", "too", "many")
    run(served, "CONFIG", "SET", "slowlog-log-slower-than", "0")
    run(served, "PING")
    run(served, "CONFIG", "SET", "slowlog-log-slower-than", "-1")
    with socket.create_connection(("127.0.0.1", served.process.port), timeout=10) as other:
        other.sendall(b"*1\r\n$-5\r\n")
        assert b"Protocol error" in other.recv(4096)


@pytest.fixture
def loaded(served: Served, tmp_path: Path) -> Iterator[Served]:
    """The same after a bit of everything; one client waits, and one is in MONITOR."""
    write_and_read(served)
    damage_a_file(served, tmp_path / "data" / "log")
    misbehave(served)
    with ExitStack() as open_:
        waiting, watching = (open_.enter_context(served.process.client()) for _ in range(2))
        waiting.socket.sendall(b"WAIT 1 0\r\n")
        assert watching.command("MONITOR").raw == b"+OK\r\n"
        until(lambda: everything(served)["blocked_clients"] == "1", "a client waits")
        yield served


def look(served: Served) -> tuple[Info, Page, Info]:
    """INFO, the page and INFO again, when nothing of what is compared has changed meanwhile."""
    names = {field for fields in QUIET.values() for field in fields} | set(PLAIN.values())
    deadline = time.monotonic() + DEADLINE_S
    while True:
        before, page, after = everything(served), page_of(served.metrics), everything(served)
        changed = {name for name in names if before[name] != after[name]}
        if not changed:
            return before, page, after
        assert time.monotonic() < deadline, changed


def test_what_info_tells_is_on_the_page(loaded: Served) -> None:
    """Each metric that is a field of INFO has its value."""
    before, page, _ = look(loaded)

    found = {name: told(page, name) for name in PLAIN}
    assert found == {name: float(before[field]) for name, field in PLAIN.items()}
    one_by_one = {key: page.samples[key] for key in QUIET}
    assert one_by_one == {
        key: sum(float(before[field]) for field in fields) for key, fields in QUIET.items()
    }
    for name, field in ROUNDED.items():
        assert told(page, name) == pytest.approx(float(before[field]), abs=0.0006), name
    both = [*found.values(), *one_by_one.values()]
    assert sum(value > 0 for value in both) > len(both) / 2, "little has happened"
    shown = {
        "ferrite_disk_damaged_segments", "ferrite_disk_reads_failed_total",
        "ferrite_connections_blocked", "ferrite_connections_monitors", "ferrite_disk_reads_total",
        "ferrite_keys_expired_total", "ferrite_epoch_current", "ferrite_read_cache_puts_total",
    }  # fmt: skip
    assert [name for name in shown if not found[name]] == []


def test_what_grows_with_each_look_lies_between_two(loaded: Served) -> None:
    """Commands, bytes, steps of the engine; and memory, but for the buffers of the looks."""
    before, page, after = look(loaded)

    for name, field in GROWING.items():
        assert float(before[field]) <= told(page, name) <= float(after[field]), name
    for step in STEPS:
        count = page.value("ferrite_engine_steps_total", step=step)
        assert float(before[f"step_{step}_count"]) <= count <= float(after[f"step_{step}_count"])
        for name, field in (
            ("ferrite_engine_step_time_total", f"step_{step}_us_total"),
            ("ferrite_engine_step_max", f"step_{step}_us_max"),
        ):
            microseconds = page.value(name, step=step) * 1e6
            assert float(before[field]) - 0.01 <= microseconds <= float(after[field]) + 1, field
    memory = {series(name): field for name, field in MEMORY.items()}
    memory |= {
        series("ferrite_memory_class_used", **{"class": one}): f"memory_{one}" for one in CLASSES
    }
    for key, field in memory.items():
        low, high = sorted(float(one[field]) for one in (before, after))
        assert low - SPARE <= page.samples[key] <= high + SPARE, field


def test_states_and_commands_are_those_of_info(loaded: Served) -> None:
    """The disk's state, the start, calls and errors of each command, the slow log, databases."""
    before, page, _ = look(loaded)

    states = page.of("ferrite_disk_state")
    assert {dict(labels)["state"]: value for labels, value in states.items()} == {
        "ok": 1,
        "full": 0,
        "failed": 0,
    }
    assert before["disk_state"] == "ok"
    assert page.value("ferrite_disk_ok") == 1
    took_s = page.value("ferrite_recovery_duration")
    assert took_s == pytest.approx(float(before["data_found_ms"]) / 1000)
    assert page.value("ferrite_recovery_set_aside") == 0
    assert before["data_set_aside"] == ""
    assert page.value("ferrite_slowlog_length") == int(run(loaded, "SLOWLOG", "LEN")[1:]) > 0
    assert page.value("ferrite_commands_python_waiting") == 0
    assert before["db0"].startswith(f"keys={page.value('ferrite_keys_total', db='0'):.0f},")
    load = page.value("ferrite_index_load")
    slots = page.value("ferrite_index_buckets") * 8
    assert load == pytest.approx(page.value("ferrite_keys_total", db="0") / slots)
    for command in ("GET", "SET", "DEL", "INCR"):
        stats = dict(part.split("=") for part in before[f"cmdstat_{command.lower()}"].split(","))
        assert page.value("ferrite_commands_total", command=command) == int(stats["calls"])
        failed = page.value("ferrite_command_failures_total", command=command)
        assert failed == int(stats["failed_calls"])
        rejected = page.value("ferrite_command_rejections_total", command=command)
        assert rejected == int(stats["rejected_calls"])
    for code in ("ERR", "IOERR"):
        counted = page.value("ferrite_errors_total", code=code)
        assert before[f"errorstat_{code}"] == f"count={counted:.0f}"


def test_removals_are_told_by_where_they_were(loaded: Served) -> None:
    """Together those of INFO: one key expired in memory, one when it was read from disk."""
    before, page, _ = look(loaded)

    found = page.of("ferrite_storage_removals_total")
    assert {tuple(sorted(labels)): value for labels, value in found.items()} == {
        (("reason", "expired"), ("tier", "memory")): 1,
        (("reason", "expired"), ("tier", "disk")): 1,
        (("reason", "evicted"), ("tier", "memory")): 0,
        (("reason", "evicted"), ("tier", "disk")): 0,
    }
    assert before["expired_keys"] == "2"

    run(loaded, "CONFIG", "RESETSTAT")
    after, page, _ = look(loaded)
    assert page.of("ferrite_storage_removals_total") == found
    assert after["expired_keys"] == "0"


def test_what_was_not_saved_is_told(tmp_path: Path) -> None:
    """A server that was killed leaves data that the next one sets aside, and says so."""
    settings = (f"storage.data_dir={tmp_path / 'data'}", "storage.segment_size=64kb")
    debug = "server.enable_debug_command=yes"
    first = Served(tmp_path / "first", *settings, debug)
    for number in range(100):
        run(first, "SET", f"key:{number}", VALUE)
    run(first, "DEBUG", "TIER", "DISK")
    first.client.close()
    first.process.kill()
    second = Served(tmp_path / "second", *settings)
    aside = page_of(second.metrics)
    for number in range(30):
        run(second, "SET", f"key:{number}", VALUE)
    second.close()
    third = Served(tmp_path / "third", *settings)
    loaded = page_of(third.metrics)
    third.close()

    name = "ferrite_recovery_set_aside"
    assert (aside.value(name), loaded.value(name)) == (1, 0)
    name = "ferrite_recovery_keys"
    assert (aside.value(name), loaded.value(name)) == (0, 30)


def test_removals_of_a_store_in_memory_have_one_tier(tmp_path: Path) -> None:
    """It has no disk to tell of."""
    served = Served(tmp_path, "storage.max_memory=16mb", "storage.eviction_policy=allkeys-lru")
    for first in range(0, 4000, 100):
        served.client.pipeline(
            ("SET", f"key:{number}", VALUE * 10) for number in range(first, first + 100)
        )
    before = served.info("stats")["evicted_keys"]
    page = page_of(served.metrics)
    after = served.info("stats")["evicted_keys"]
    served.close()

    found = {
        (dict(one)["tier"], dict(one)["reason"]): value
        for one, value in page.of("ferrite_storage_removals_total").items()
    }
    assert set(found) == {("memory", "evicted"), ("memory", "expired")}
    assert found["memory", "expired"] == 0
    assert 0 < int(before) <= found["memory", "evicted"] <= int(after)
    absent = {"ferrite_disk_state", "ferrite_recovery_keys", "ferrite_hybridlog_migrations_total"}
    assert absent & {name for name, _ in page.samples} == set()
