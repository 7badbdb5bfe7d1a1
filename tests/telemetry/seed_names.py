"""What Ferrite's documentation of OpenTelemetry names, and the tests that are marked with it.

A test with `@pytest.mark.seed("db.system", ...)` fails when that attribute, metric, setting or
variable is not there or has no effect. `test_seed_names.py` wants a test for each name;
`make generate` writes the table into docs/telemetry.md.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]

NAMES = {
    "option": (
        "telemetry.enabled",
        "telemetry.endpoint",
        "telemetry.protocol",
        "telemetry.service_name",
        "telemetry.service_version",
        "telemetry.service_namespace",
        "telemetry.sample_rate",
        "telemetry.traces_enabled",
        "telemetry.metrics_enabled",
        "telemetry.logs_enabled",
        "telemetry.metrics_export_interval",
        "telemetry.batch_size",
        "telemetry.batch_timeout_ms",
        "telemetry.resource_attributes",
        "telemetry.headers",
        "logging.level",
        "logging.format",
    ),
    "variable": (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_SERVICE_NAME",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_AUTH_TOKEN",
    ),
    "flag": (
        "--disable-observability",
        "--disable-metrics",
        "--disable-logging",
        "--enable-tracing",
        "--event-bus-queue-size",
        "--otlp-endpoint",
        "--prometheus-port",
    ),
    "resource attribute": (
        "service.name",
        "service.version",
        "service.namespace",
        "service.instance.id",
        "deployment.environment",
        "host.name",
    ),
    "trace context": ("traceparent",),
    "span": (
        "ferrite.command",
        "ferrite.resp.parse",
        "ferrite.command.dispatch",
        "ferrite.index.lookup",
        "ferrite.storage.read",
        "ferrite.storage.write",
        "ferrite.response.serialize",
        "ferrite.tcp.write",
        "ferrite.epoch.advance",
        "ferrite.aof.append",
    ),
    "attribute of a command": (
        "db.system",
        "db.operation",
        "db.statement",
        "ferrite.command.name",
        "ferrite.command.key",
        "ferrite.command.result",
        "ferrite.command.args_count",
    ),
    "attribute of storage": (
        "ferrite.storage.operation",
        "ferrite.storage.tier",
        "ferrite.storage.cache_hit",
        "ferrite.storage.bytes",
        "ferrite.storage.epoch",
    ),
    "tier": ("mutable", "read_only", "disk"),
    "attribute of the network": (
        "net.peer.ip",
        "net.peer.port",
        "ferrite.connection.id",
        "ferrite.replication.role",
        "ferrite.replication.offset",
    ),
    "metric": (
        "ferrite.commands.total",
        "ferrite.command.duration",
        "ferrite.memory.used",
        "ferrite.memory.max",
        "ferrite.connections.active",
        "ferrite.connections.total",
        "ferrite.cache.hit.rate",
        "ferrite.cache.hits.total",
        "ferrite.cache.misses.total",
        "ferrite.hybridlog.tier.size",
        "ferrite.keys.total",
        "ferrite.keys.expired.total",
        "ferrite.keys.evicted.total",
        "ferrite.network.bytes.received",
        "ferrite.network.bytes.sent",
        "ferrite.replication.lag",
        "ferrite.aof.sync.duration",
        "ferrite.epoch.current",
    ),
    "part of a log line": (
        "log.timestamp",
        "log.level",
        "log.target",
        "log.message",
        "log.trace_id",
        "log.span_id",
        "log.fields",
        "log.fields.command",
        "log.fields.key",
        "log.fields.duration_us",
        "log.fields.result",
        "log.fields.client_addr",
    ),
}
"""By kind. The flags are those of the documentation's other half, on the server's switches."""

MISSING = {
    "ferrite.replication.offset": "there is no replication yet",
    "ferrite.aof.append": "there is no append-only file yet",
}
"""What is not there, and why; no test may be marked with it."""

WITHOUT_VALUES = {
    "ferrite.replication.lag": "without values: there is no replication yet",
    "ferrite.aof.sync.duration": "without values: there is no append-only file yet",
}
"""Metrics that are known and have nothing to count."""


def marks(folder: Path = TESTS) -> dict[str, list[str]]:
    """The tests that are marked with each name, as pytest calls them, below a folder."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.seed(" not in text:
            continue
        for test, name in _marked(ast.parse(text)):
            found.setdefault(name, []).append(f"{path.relative_to(folder)}::{test}")
    return found


def _marked(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.seed":
                    for argument in call.args:
                        yield node.name, str(ast.literal_eval(argument))
