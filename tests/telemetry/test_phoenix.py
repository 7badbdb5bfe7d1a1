"""A trace in a real backend: Arize Phoenix takes it over OTLP, and its API finds the spans.

Skipped unless PHOENIX_PYTHON names the interpreter of an environment with `arize-phoenix`, which is
no dependency of anything here: it takes 850 MB. docs/testing.md says how to run it.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import Process
from tests.support.servers import free_port
from tests.telemetry.exporting import PROTOCOLS
from tests.telemetry.tracing import CALLER

PYTHON = os.environ.get("PHOENIX_PYTHON", "")
START_S, ARRIVAL_S, STOP_S = 120.0, 30.0, 20.0
PARTS = [
    "ferrite.command.dispatch",
    "ferrite.index.lookup",
    "ferrite.resp.parse",
    "ferrite.response.serialize",
    "ferrite.storage.write",
    "ferrite.tcp.write",
]

pytestmark = pytest.mark.skipif(not PYTHON, reason="PHOENIX_PYTHON names no interpreter")


class Phoenix:
    """A running Phoenix, its database in `folder`."""

    def __init__(self, folder: Path) -> None:
        ports = {"http": free_port(), "grpc": free_port()}
        self.endpoints = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        environ = {
            **os.environ,
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(ports["http"]),
            "PHOENIX_GRPC_PORT": str(ports["grpc"]),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        }
        self._log = (folder / "phoenix.log").open("wb")
        self._process = subprocess.Popen(
            [PYTHON, "-m", "phoenix.server.main", "serve"],
            env=environ,
            cwd=folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait_until_ready(folder / "phoenix.log")
        except BaseException:
            self.close()
            raise

    def _wait_until_ready(self, log: Path) -> None:
        end = time.monotonic() + START_S
        while self.spans() is None:
            assert self._process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < end, log.read_text("utf-8")
            time.sleep(0.2)

    def spans(self) -> list[dict[str, Any]] | None:
        """All spans that its API tells of; None while it does not answer."""
        url = f"{self.endpoints['http']}/v1/projects/default/spans?limit=1000"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found: list[dict[str, Any]] = json.load(answer)["data"]
        except (OSError, http.client.HTTPException):
            return None
        return found

    def wait_for(self, trace_id: str, name: str, parts: int) -> list[dict[str, Any]]:
        """Wait for a span with so many children; all spans of its trace."""
        end = time.monotonic() + ARRIVAL_S
        while True:
            spans = [one for one in self.spans() or () if one["context"]["trace_id"] == trace_id]
            ids = [one["context"]["span_id"] for one in spans if one["name"] == name]
            if sum(one["parent_id"] in ids for one in spans) >= parts:
                return spans
            assert time.monotonic() < end, spans
            time.sleep(0.1)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    """One for all tests here."""
    made = Phoenix(tmp_path_factory.mktemp("phoenix"))
    yield made
    made.close()


@pytest.mark.parametrize(("protocol", "digit"), list(zip(PROTOCOLS, "12", strict=True)))
def test_a_trace_is_found(phoenix: Phoenix, tmp_path: Path, protocol: str, digit: str) -> None:
    """The command is a child of its caller's span, with its attributes and a span for each part."""
    trace_id, caller_id = digit + CALLER[0][1:], CALLER[1]
    settings = {
        "enabled": "yes",
        "endpoint": phoenix.endpoints[protocol],
        "protocol": protocol,
        "detail": "full",
        "batch_timeout_ms": "20",
        "metrics_enabled": "no",
        "logs_enabled": "no",
    }
    server = Process(tmp_path, *(f"telemetry.{name}={text}" for name, text in settings.items()))
    try:
        with server.client() as client:
            client.command("TRACEPARENT", f"00-{trace_id}-{caller_id}-01")
            client.command("SET", "user:123", "secret")
        spans = phoenix.wait_for(trace_id, "SET", len(PARTS))
        server.stop()
    finally:
        server.kill()

    [command] = [span for span in spans if span["name"] == "SET"]
    below = [one for one in spans if one["parent_id"] == command["context"]["span_id"]]
    assert command["parent_id"] == caller_id
    assert command["attributes"]["db.operation.name"] == "SET"
    assert command["attributes"]["db.query.text"] == "SET user:* ?"
    assert sorted(one["name"] for one in below) == PARTS
    assert "secret" not in json.dumps(spans)
