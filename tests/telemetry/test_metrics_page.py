"""The page of a running server: it says what INFO says, and what Ferrite promises."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import Process, run_to_end
from tests.support.served import Served
from tests.support.servers import TRANSPORTS, free_port
from tests.telemetry.page import ask, page_of
from tests.telemetry.receiver import Receiver, bad_request, partial_success, unavailable


@pytest.fixture(params=TRANSPORTS)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A server in memory, with a limit."""
    made = Served(tmp_path, f"server.transport={request.param}", "storage.max_memory=64mb")
    yield made
    made.close()


def test_the_page_says_what_info_says(served: Served) -> None:
    """Counters on the page are INFO's, taken after it, but for the INFO itself."""
    for number in range(50):
        served.client.command("SET", f"key:{number}", "x" * 100)
        served.client.command("GET", f"key:{number}")
        served.client.command("GET", f"nokey:{number}")
    served.client.command("INCR", "key:1")
    served.client.command("GET", "too", "many")
    stats, clients, keyspace = (served.info(name) for name in ("stats", "clients", "keyspace"))
    calls = served.info("commandstats")

    page = page_of(served.metrics)

    assert page.value("ferrite_commands_total", command="SET") == 50
    assert page.value("ferrite_commands_total", command="GET") == 100
    assert f"calls={50}," in calls["cmdstat_set"]
    assert page.value("cache_hits_total") == int(stats["keyspace_hits"]) == 50
    assert page.value("cache_misses_total") == int(stats["keyspace_misses"]) == 50
    assert page.value("ferrite_connections_active") == int(clients["connected_clients"])
    assert page.value("ferrite_connections_total") == int(stats["total_connections_received"])
    assert f"keys={page.value('ferrite_keys_total', db='0'):g}," in keyspace["db0"]
    assert page.value("ferrite_command_failures_total", command="INCR") == 1
    assert page.value("ferrite_command_rejections_total", command="GET") == 1
    assert page.value("ferrite_errors_total", code="ERR") == int(stats["total_error_replies"]) == 2
    assert page.value("ferrite_memory_max") == 64 << 20
    assert 0 < page.value("ferrite_memory_used") < 64 << 20
    assert page.value("ferrite_network_bytes_received_total") > 50 * 100
    assert page.value("ferrite_network_bytes_sent_total") > 50 * 100


def test_operations_are_the_commands_on_keys(served: Served) -> None:
    """Each command counts for what it does with its keys; those without keys for nothing."""
    for words in (
        ["GET", "a"], ["MGET", "a", "b"], ["EXISTS", "a"], ["TTL", "a"],
        ["SET", "a", "1"], ["INCR", "a"], ["APPEND", "a", "1"],
        ["GETDEL", "a"], ["DEL", "a", "b"],
        ["PING"], ["CONFIG", "GET", "maxmemory"], ["INFO"],
    ):  # fmt: skip
        served.client.command(*words)

    found = page_of(served.metrics).of("cache_operations_total")

    assert {dict(labels)["operation"]: value for labels, value in found.items()} == {
        "get": 4, "set": 3, "delete": 2,
    }  # fmt: skip


def test_the_counts_of_commands_agree_with_their_histograms(served: Served) -> None:
    """Each command's histogram has as many durations as it has calls; buckets never fall."""
    for number in range(200):
        served.client.command("SET", f"key:{number}", "x")
    served.client.command("CLIENT", "LIST")
    served.client.command("CONFIG", "GET", "maxmemory")

    page = page_of(served.metrics)

    calls = page.of("ferrite_commands_total")
    assert page.of("ferrite_command_duration_count") == calls
    assert {"SET", "CLIENT LIST", "CONFIG GET"} <= {dict(one)["command"] for one in calls}
    for labels in calls:
        name = dict(labels)["command"]
        buckets = {
            float(dict(one)["le"]): value
            for one, value in page.of("ferrite_command_duration_bucket").items()
            if dict(one)["command"] == name
        }
        ordered = [buckets[bound] for bound in sorted(buckets)]
        assert ordered == sorted(ordered)
        assert ordered[-1] == calls[labels]
        total = page.value("ferrite_command_duration_sum", command=name)
        assert total <= sum(bound * count for bound, count in buckets.items())


def test_durations_have_the_name_of_the_conventions_too(tmp_path: Path) -> None:
    """On the same page with the same buckets; not where only Ferrite's names are wanted."""
    for semconv in ("dup", "stable", "ferrite"):
        served = Served(tmp_path / semconv, f"telemetry.semconv={semconv}")
        served.client.command("CLIENT", "LIST")
        page = page_of(served.metrics)
        served.close()

        ours, theirs = "ferrite_command_duration", "db_server_operation_duration"
        assert page.value(f"{ours}_count", command="CLIENT LIST") == 1
        if semconv == "ferrite":
            assert theirs not in page.types
            continue
        assert page.types[theirs] == "histogram"
        for suffix in ("_bucket", "_count", "_sum"):
            assert page.of(theirs + suffix) == {
                frozenset(
                    ("db_operation_name" if name == "command" else name, text)
                    for name, text in labels
                ): value
                for labels, value in page.of(ours + suffix).items()
            }


STAGES = ("receive", "parse", "queue", "dispatch", "lookup", "execute", "serialise", "write")


def test_stages_are_measured_in_some_groups(served: Served) -> None:
    """One group in 16 has all stages, as far as the transport knows them; together they are less.

    A client that waits for each reply makes a group of each command.
    """
    for _ in range(20 * 16):
        served.client.command("GET", "key")

    page = page_of(served.metrics)

    counts = {
        dict(labels)["stage"]: value
        for labels, value in page.of("ferrite_command_stage_duration_count").items()
    }
    transport = ("receive", "write") if served.is_native else ()
    expected = [one for one in STAGES if one not in ("receive", "write")] + [*transport]
    assert set(counts) == set(expected)
    assert all(19 <= counts[stage] <= 22 for stage in expected), counts
    assert page.value("ferrite_command_stage_duration_sum", stage="execute") > 0


def test_sizes_of_values_are_measured_in_some_groups(served: Served) -> None:
    """One group in 16: a value of 1024 bytes is in the bucket that ends there, one more is not."""
    for size in (1024, 1025):
        served.client.command("SET", f"key:{size}", "x" * size)
        served.client.command("CONFIG", "RESETSTAT")
        for _ in range(10 * 16):
            served.client.command("GET", f"key:{size}")
        for _ in range(10 * 16):
            served.client.command("SET", "other", "x" * size)
        served.client.command("MGET", f"key:{size}", "other")

        page = page_of(served.metrics)

        for operation in ("get", "set"):
            count = page.value("cache_value_size_count", operation=operation)
            assert 9 <= count <= 12
            assert page.value("cache_value_size_sum", operation=operation) == count * size
            below = page.value("cache_value_size_bucket", operation=operation, le="1024.0")
            assert below == (count if size == 1024 else 0)
            assert page.value("cache_value_size_bucket", operation=operation, le="512.0") == 0
            assert page.value("cache_value_size_bucket", operation=operation, le="2048.0") == count


def test_what_writes_no_value_has_no_size(served: Served) -> None:
    """A deadline, a name or a bit changes, in place or with the record moved: no empty values."""
    served.client.command("SET", "key", "x" * 1000)
    served.client.command("CONFIG", "RESETSTAT")
    for _ in range(3 * 16):
        served.client.command("SET", "key", "x" * 1000)
        served.client.command("EXPIRE", "key", "100")
        served.client.command("EXPIRE", "key", "200")
        served.client.command("PERSIST", "key")
        served.client.command("SETBIT", "key", "1", "1")
        served.client.command("RENAME", "key", "name")
        served.client.command("RENAME", "name", "key")

    page = page_of(served.metrics)

    count = page.value("cache_value_size_count", operation="set")
    assert count > 0
    assert page.value("cache_value_size_sum", operation="set") == count * 1000


def test_the_mutable_region_and_the_cache_are_told_apart(served: Served) -> None:
    """In memory a hit of the cache is one of the mutable region; a miss is a miss of both."""
    served.client.command("SET", "key", "x")
    for name in ("key", "key", "key", "nokey"):
        served.client.command("GET", name)

    page = page_of(served.metrics)

    assert page.value("ferrite_cache_hits_total") == 3
    assert page.value("ferrite_cache_misses_total") == 1
    assert page.value("ferrite_cache_hit_rate") == 0.75
    assert page.value("ferrite_cache_tier_hits_total", tier="mutable") == 3
    assert not page.has("ferrite_replication_lag")
    assert "ferrite_aof_sync_duration" not in page.types


def test_resetting_the_statistics_begins_anew(served: Served) -> None:
    """CONFIG RESETSTAT sets counters back, as in INFO, and leaves gauges."""
    served.client.command("SET", "key", "x")
    served.client.command("CONFIG", "RESETSTAT")
    served.client.command("PING")

    page = page_of(served.metrics)

    assert not page.has("ferrite_commands_total", command="SET")
    assert page.value("ferrite_commands_total", command="PING") == 1
    assert page.value("ferrite_keys_total", db="0") == 1


def test_tiers_have_sizes_hits_and_migrations(tmp_path: Path) -> None:
    """With a data folder each tier tells its bytes and what it answered, and the disk its reads."""
    served = Served(
        tmp_path,
        f"storage.data_dir={tmp_path / 'data'}",
        "storage.segment_size=64kb",
        "server.enable_debug_command=yes",
    )
    for number in range(100):
        served.client.command("SET", f"key:{number}", "x" * 3000)
    served.client.command("DEBUG", "TIER", "DISK")
    served.client.command("GET", "key:1")
    served.client.command("GET", "key:1")
    hybridlog = served.info("hybridlog")

    page = page_of(served.metrics)

    assert page.value("ferrite_hybridlog_tier_size", tier="disk") == int(hybridlog["disk_bytes"])
    assert page.value("ferrite_cache_tier_hits_total", tier="disk") == 1
    assert page.value("ferrite_cache_tier_hits_total", tier="read_cache") == 1
    assert page.value("ferrite_cache_tier_misses_total", tier="mutable") == 2
    assert page.value("ferrite_cache_hit_rate") == 0
    assert page.value("cache_hits_total") == 2
    assert page.value("ferrite_epoch_current") == int(hybridlog["epoch"]) > 0
    flushed = page.value("ferrite_hybridlog_migrations_total", migration="flushed")
    assert flushed == int(hybridlog["flushed_total"]) > 0
    assert page.value("ferrite_disk_reads_total") == int(hybridlog["disk_reads"]) == 1
    assert page.value("ferrite_disk_read_duration_count") == 1
    assert page.value("ferrite_disk_ok") == 1
    waits = page.value("ferrite_command_stage_duration_sum", stage="disk_wait")
    assert page.value("ferrite_command_stage_duration_count", stage="disk_wait") == 1
    assert 0 < waits < page.value("ferrite_command_duration_sum", command="GET")
    by_tier = page.of("ferrite_command_tier_duration_count")
    assert by_tier == {
        frozenset({("command", "GET"), ("tier", tier)}): 1 for tier in ("read_cache", "disk")
    }
    of_disk = page.value("ferrite_command_tier_duration_sum", command="GET", tier="disk")
    of_cache = page.value("ferrite_command_tier_duration_sum", command="GET", tier="read_cache")
    whole = page.value("ferrite_command_duration_sum", command="GET")
    assert of_disk > waits
    assert of_disk + of_cache == pytest.approx(whole)
    served.close()


def test_a_port_of_metrics_in_use(tmp_path: Path) -> None:
    """The server does not start: one line, status 1."""
    served = Served(tmp_path)

    result = run_to_end("--port", str(free_port()), "--prometheus-port", str(served.metrics))

    assert (1, "") == (result.returncode, result.stdout)
    last = result.stderr.splitlines()[-1]
    assert "Address already in use" in last
    assert "metrics.port" in last
    served.close()


def test_without_the_page_nothing_of_it_is_imported() -> None:
    """The server's own modules do not take the time and memory of packages for the page."""
    code = (
        "import sys, ferrite_py.server;"
        "print({'prometheus_client', 'starlette', 'uvicorn'} & set(sys.modules))"
    )

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout == "set()\n"


@pytest.mark.parametrize(
    "text",
    ["import nothing_of_that_name", "def Config(*_, **__): raise TypeError('no such option')"],
)
def test_a_page_that_cannot_be_served_is_told_and_refused(tmp_path: Path, text: str) -> None:
    """Packages that are missing or do not fit: clients are served, and the stop is clean."""
    (tmp_path / "uvicorn.py").write_text(f"class Server: pass\n{text}\n", encoding="utf-8")
    port = free_port()
    process = Process(tmp_path, f"metrics.port={port}", environ={"PYTHONPATH": str(tmp_path)})
    try:
        end = time.monotonic() + 20
        while not _refuses(port):
            assert time.monotonic() < end, process.log()
            time.sleep(0.02)
        assert "metrics cannot be served: " in process.log()
        with process.client() as client:
            assert client.command("PING").raw == b"+PONG\r\n"
        process.stop()
        assert process.log().splitlines()[-1].endswith("stopped")
    finally:
        process.kill()


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    except ConnectionRefusedError:
        return True
    return False


def test_port_0_is_no_page(tmp_path: Path) -> None:
    """The server starts and does not speak of a page."""
    process = Process(tmp_path, "metrics.port=0")

    assert "metrics at" not in process.log()
    process.stop()


def test_health_and_readiness_of_a_running_server(served: Served) -> None:
    """A server that serves is alive and ready."""
    assert ask(served.metrics, "/health").json == {"status": "ok"}
    assert ask(served.metrics, "/ready").json == {"ready": True, "reasons": []}


SIGNALS = ("traces", "metrics", "logs")


def test_what_a_receiver_does_not_take_is_counted(tmp_path: Path) -> None:
    """Of each signal the requests that failed, and what was lost with them; then what succeeds."""
    with Receiver() as receiver:
        receiver.behave(bad_request())
        served = Served(
            tmp_path,
            "telemetry.enabled=yes",
            f"telemetry.endpoint={receiver.grpc_endpoint}",
            "telemetry.batch_timeout_ms=20",
            "telemetry.metrics_export_interval=50ms",
        )

        def wait_for(metric: str, label: str, values: tuple[str, ...]) -> None:
            end = time.monotonic() + 20
            while not all(
                page_of(served.metrics).value(metric, **{label: one}) > 0 for one in values
            ):
                assert time.monotonic() < end, metric
                served.client.command("PING")

        try:
            wait_for("ferrite_telemetry_export_failures_total", "signal", SIGNALS)
            wait_for("ferrite_telemetry_lost_total", "reason", ("not_taken",))
            wait_for("ferrite_telemetry_logs_lost_total", "reason", ("not_taken",))
            receiver.behave(partial_success(1))
            wait_for("ferrite_telemetry_export_rejected_total", "signal", SIGNALS)
            receiver.behave(unavailable())
            wait_for("ferrite_telemetry_export_retries_total", "signal", ("traces",))
            receiver.behave()
            wait_for("ferrite_telemetry_exports_total", "signal", ("traces", "metrics"))
        finally:
            served.close()
