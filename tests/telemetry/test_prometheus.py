"""Prometheus itself: what it scrapes, and the queries that Ferrite's documentation shows.

Needs Debian's package `prometheus` (server and promtool); skipped without it.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.served import Served
from tests.support.servers import free_port
from tests.telemetry.page import ask
from tests.telemetry.receiver import Receiver

DEADLINE_S = 30.0

QUERIES = {
    "commands per second": "sum(rate(ferrite_commands_total[1m])) by (command)",
    "p99": "histogram_quantile(0.99,"
    " sum(rate(ferrite_command_duration_bucket[5m])) by (le, command))",
    "hit rate": "ferrite_cache_hit_rate",
    "tiers": "ferrite_hybridlog_tier_size",
    "memory": "ferrite_memory_used / ferrite_memory_max * 100",
}
"""As they stand there, character by character but for line breaks."""

KNOWN_LINTS = (
    # Ferrite's own name of a gauge.
    'ferrite_keys_total non-counter metrics should not have "_total" suffix',
    # The name of OpenTelemetry's conventions.
    'process_thread_count non-histogram and non-summary metrics should not have "_count" suffix',
)

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (package prometheus)"
)
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed (package prometheus)"
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server over tiers that has done some of everything."""
    made = Served(
        tmp_path / "server",
        f"storage.data_dir={tmp_path / 'data'}",
        "storage.segment_size=64kb",
        "storage.max_memory=64mb",
        "server.enable_debug_command=yes",
    )
    for number in range(100):
        made.client.command("SET", f"key:{number}", "x" * 3000)
    made.client.command("DEBUG", "TIER", "DISK")
    for number in range(20):
        made.client.command("GET", f"key:{number}")
        made.client.command("SET", "hot", "x")
        made.client.command("GET", "hot")
    made.client.command("GET", "nokey")
    made.client.command("INCR", "key:1")
    yield made
    made.close()


@needs_promtool
def test_promtool_finds_nothing_that_is_not_ferrites_own(served: Served) -> None:
    """The page is well-formed, and its names and units are as Prometheus wants them."""
    page = ask(served.metrics, "/metrics").body

    result = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, check=False
    )

    lines = (result.stdout + result.stderr).decode().splitlines()
    assert [line for line in lines if line and line not in KNOWN_LINTS] == []


class Prometheus:
    """A Prometheus that scrapes one port twice a second."""

    def __init__(self, folder: Path, target: int, *flags: str) -> None:
        self.port = free_port()
        config = folder / "prometheus.yml"
        config.write_text(
            "global:\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\n"
            "scrape_configs:\n  - job_name: ferrite\n    static_configs:\n"
            f'      - targets: ["127.0.0.1:{target}"]\n',
            encoding="utf-8",
        )
        with (folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    *flags,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now; none while Prometheus is not there yet."""
        found = self._ask("query", query=expression)
        series: list[dict[str, Any]] = found["result"] if found else []
        return series

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression that have exemplars of the last minute, with these."""
        now = time.time()
        span = {"start": f"{now - 60}", "end": f"{now + 60}"}
        found: list[dict[str, Any]] = self._ask("query_exemplars", query=expression, **span) or []
        return found

    def _ask(self, what: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{query}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found = json.load(answer)
        except OSError:
            return None
        assert found["status"] == "success", found
        return found["data"]

    def wait_for(self, expression: str, least: int = 1) -> list[dict[str, Any]]:
        """Ask until there are so many series."""
        end = time.monotonic() + DEADLINE_S
        while len(found := self.query(expression)) < least:
            assert time.monotonic() < end, f"{expression} has no value: {found}"
            time.sleep(0.1)
        return found

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@needs_prometheus
def test_the_queries_of_ferrites_documentation(served: Served, tmp_path: Path) -> None:
    """Each has values over a scrape of the server, with the labels that panels show."""
    prometheus = Prometheus(tmp_path, served.metrics)
    try:
        prometheus.wait_for('count_over_time(ferrite_commands_total{command="GET"}[1m]) >= 2')
        for _ in range(200):
            served.client.command("GET", "hot")
        prometheus.wait_for('sum(rate(ferrite_commands_total{command="GET"}[1m])) > 0')
        found = {name: prometheus.wait_for(query) for name, query in QUERIES.items()}

        commands = {one["metric"]["command"]: float(one["value"][1]) for one in found["p99"]}
        assert {"GET", "SET"} <= commands.keys()
        assert 0 < commands["GET"] < 1
        assert {"GET", "SET"} <= {one["metric"]["command"] for one in found["commands per second"]}
        assert 0 < float(found["hit rate"][0]["value"][1]) < 1
        tiers = {one["metric"]["tier"] for one in found["tiers"]}
        assert tiers == {"mutable", "read_only", "read_cache", "disk"}
        used = float(found["memory"][0]["value"][1])
        assert 0 < used < 100
        assert math.isfinite(used)
        up = prometheus.query("up")
        assert [one["value"][1] for one in up] == ["1"]
    finally:
        prometheus.stop()


@needs_prometheus
def test_prometheus_keeps_exemplars(tmp_path: Path) -> None:
    """What the dashboard asks for has exemplars that lead to traces of the receiver."""
    with Receiver() as receiver:
        served = Served(
            tmp_path / "server",
            "telemetry.enabled=yes",
            f"telemetry.endpoint={receiver.grpc_endpoint}",
            "telemetry.metrics_enabled=no",
            "telemetry.logs_enabled=no",
            "telemetry.batch_timeout_ms=20",
        )
        flags = ["--enable-feature=exemplar-storage"]
        prometheus = Prometheus(tmp_path, served.metrics, *flags)
        try:
            served.client.command("SET", "key", "x")
            end = time.monotonic() + DEADLINE_S
            while not (found := prometheus.exemplars(QUERIES["p99"])):
                assert time.monotonic() < end
                time.sleep(0.1)
        finally:
            prometheus.stop()
        served.close()
        spans = {(span.trace_id, span.span_id): span.name for span in receiver.spans()}

    assert {one["seriesLabels"]["command"] for one in found} == {"SET"}
    for one in found:
        for exemplar in one["exemplars"]:
            labels = exemplar["labels"]
            assert spans[labels["trace_id"], labels["span_id"]] == "SET"
            assert 0 < float(exemplar["value"]) <= float(one["seriesLabels"]["le"])
