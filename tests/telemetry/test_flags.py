"""The flags of observability on a live server: what arrives, what is served, what is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.process import Process
from tests.support.servers import free_port
from tests.telemetry.page import ask
from tests.telemetry.receiver import Receiver

SIGNALS = {"traces", "metrics", "logs"}
EXPORT = {"grpc", "opentelemetry"}
PAGE = {"prometheus_client", "starlette", "uvicorn"}
EXPORTERS = {
    "traces": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "metrics": "opentelemetry.exporter.otlp.proto.grpc.metric_exporter",
    "logs": "opentelemetry.exporter.otlp.proto.grpc._log_exporter",
}
IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +([\w.]+)$", re.MULTILINE)
"""A line of what PYTHONPROFILEIMPORTTIME writes."""


class Served:
    """A server that the environment has switched off and flags on, behind the flag of the test."""

    def __init__(self, folder: Path, receiver: Receiver, flags: list[str]) -> None:
        self._page = free_port()
        on = ["--enable-tracing", "--otlp-endpoint", receiver.grpc_endpoint]
        on += ["--prometheus-port", str(self._page)]
        self.process = Process(
            folder,
            "telemetry.metrics_export_interval=1h",  # they are sent at the stop
            "telemetry.shutdown_flush_timeout=1m",
            "telemetry.connection_rate_max=0",
            "server.slowlog_log_slower_than=0",
            "logging.level=debug",
            flags=[*flags, *on],
            environ={
                "FERRITE_TELEMETRY_ENABLED": "no",
                "FERRITE_TELEMETRY_TRACES_ENABLED": "no",
                "FERRITE_METRICS_ENABLED": "no",
                "PYTHONPROFILEIMPORTTIME": "1",
            },
        )

    def is_page_there(self) -> bool:
        """Whether metrics are answered; else nobody listens."""
        try:
            return ask(self._page, "/metrics").status == 200
        except ConnectionRefusedError:
            return False

    def is_grpc_mapped(self) -> bool:
        """Whether the library of gRPC takes memory."""
        maps = Path(f"/proc/{self.process.process.pid}/maps").read_text(encoding="utf-8")
        return "cygrpc" in maps

    def is_command_measured(self) -> bool:
        """Whether anything is known of the way of a command, besides what SLOWLOG GET tells."""
        with self.process.client() as client:
            client.command("SET", "user:1", "value")
            [entry] = client.command("SLOWLOG", "TRACES", "-1").node.items
        _, trace_id, span_id, times = entry.items
        known = [not one.null for one in (trace_id, span_id, times.items[1], times.items[5])]
        assert known in ([True] * 4, [False] * 4)
        return known[0]


@pytest.mark.parametrize(
    ("flags", "signals", "has_page"),
    [
        ([], SIGNALS, True),
        (["--disable-observability"], set(), False),
        (["--disable-metrics"], {"traces", "logs"}, False),
        (["--disable-logging"], {"traces", "metrics"}, True),
    ],
    ids=["nothing", "observability", "metrics", "logging"],
)
@pytest.mark.seed(
    "--disable-observability",
    "--disable-metrics",
    "--disable-logging",
    "--enable-tracing",
    "--otlp-endpoint",
    "--prometheus-port",
)
def test_what_is_switched_off_costs_nothing(
    tmp_path: Path, flags: list[str], signals: set[str], has_page: bool
) -> None:
    """It is not sent, not served, not measured, and its packages are not loaded."""
    with Receiver() as receiver:
        served = Served(tmp_path, receiver, flags)
        try:
            is_measured = served.is_command_measured()
            is_page_there = served.is_page_there()
            is_grpc_mapped = served.is_grpc_mapped()
            served.process.stop()
        finally:
            served.process.kill()
        arrived = {one.signal for one in receiver.arrivals(taken=None)}

    log = served.process.log()
    modules = set(IMPORTED.findall(log))
    packages = {name.partition(".")[0] for name in modules}
    assert "ferrite_py" in packages  # imports are told at all
    assert arrived == signals
    assert is_page_there is has_page
    assert packages & (EXPORT | PAGE) == (EXPORT if signals else set()) | (
        PAGE if has_page else set()
    )
    assert {name for name, module in EXPORTERS.items() if module in modules} == signals
    assert is_grpc_mapped is bool(signals)
    assert is_measured is ("traces" in signals)
    assert ("Command executed" in log) is ({"traces", "logs"} <= signals)
