"""What Ferrite's documentation of OpenTelemetry names, and for each name the test that needs it.

`test_covered.py` holds this to the tests: each exists, and its source or the tables that it takes
from its module have the name. `make generate` writes the table into docs/telemetry.md.
"""

from __future__ import annotations

from typing import NamedTuple


class Covered(NamedTuple):
    """One name and its test; the file is below `tests/`."""

    what: str
    name: str
    file: str
    test: str


_TRACES = "telemetry/test_traces.py"
_CONFIG = "test_config_telemetry.py"
_COMMAND = "test_a_command_has_every_attribute"
_REFERENCE = "test_the_full_reference_loads"
_VARIABLES = "test_variables_of_opentelemetry"
_EXAMPLE = "test_a_get_from_the_read_only_tier"
_ENCODER = "telemetry/test_encoder.py"

COVERED = (
    *(
        Covered("option", name, _CONFIG, _REFERENCE)
        for name in (
            "enabled",
            "endpoint",
            "protocol",
            "service_name",
            "service_version",
            "service_namespace",
            "sample_rate",
            "traces_enabled",
            "metrics_enabled",
            "logs_enabled",
            "metrics_export_interval",
            "batch_size",
            "batch_timeout_ms",
            "resource_attributes",
            "headers",
        )
    ),
    *(
        Covered("variable", name, _CONFIG, _VARIABLES)
        for name in (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "OTEL_SERVICE_NAME",
            "OTEL_RESOURCE_ATTRIBUTES",
            "OTEL_TRACES_SAMPLER_ARG",
            "OTEL_EXPORTER_OTLP_HEADERS",
        )
    ),
    Covered("variable", "OTEL_TRACES_SAMPLER", "telemetry/test_environment.py", "test_samplers"),
    *(
        Covered("attribute", name, _TRACES, _COMMAND)
        for name in (
            "db.system",
            "db.operation",
            "db.statement",
            "ferrite.command.name",
            "ferrite.command.key",
            "ferrite.command.result",
            "ferrite.command.args_count",
            "ferrite.storage.operation",
            "ferrite.storage.tier",
            "ferrite.storage.cache_hit",
            "ferrite.storage.bytes",
            "ferrite.storage.epoch",
            "net.peer.ip",
            "net.peer.port",
            "ferrite.connection.id",
            "ferrite.replication.role",
        )
    ),
    *(
        Covered("span", name, _TRACES, _COMMAND)
        for name in (
            "ferrite.resp.parse",
            "ferrite.command.dispatch",
            "ferrite.index.lookup",
            "ferrite.storage.write",
            "ferrite.response.serialize",
            "ferrite.tcp.write",
        )
    ),
    Covered("span", "ferrite.storage.read", _ENCODER, _EXAMPLE),
    Covered("span", "ferrite.command", _TRACES, "test_semconv_chooses_the_names"),
    *(
        Covered("key of a log line", name, "test_logs.py", "test_json_leads_to_a_trace")
        for name in ("timestamp", "level", "target", "message", "trace_id", "span_id", "fields")
    ),
    *(
        Covered(
            "field of a log line",
            name,
            "telemetry/test_lines.py",
            "test_lines_lead_to_exported_traces",
        )
        for name in ("command", "key", "duration_us", "result", "client_addr")
    ),
    *(
        Covered("flag", name, _CONFIG, "test_flags")
        for name in (
            "--disable-observability",
            "--disable-metrics",
            "--disable-logging",
            "--enable-tracing",
            "--event-bus-queue-size",
            "--otlp-endpoint",
            "--prometheus-port",
        )
    ),
)
