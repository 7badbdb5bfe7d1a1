"""The settings of telemetry: what is recorded, kept, and sent where; and the page of metrics."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ferrite_py.config_kinds import (
    UINT32_MAX,
    BadValueError,
    Boolean,
    Choice,
    Duration,
    Integer,
    Text,
    Words,
)
from ferrite_py.config_otel import (
    ALL_EXEMPLARS,
    EXEMPLAR_FILTERS,
    HISTOGRAMS,
    SIGNALS,
    TEMPORALITIES,
    read_histograms,
    read_temporality,
    takes_ratio,
)
from ferrite_py.config_sections import setting
from ferrite_py.config_tables import Fraction, Pairs, Seconds, Table
from ferrite_py.hidden import without_secrets

OTLP_PROTOCOLS = {"grpc": "grpc", "http": "http/protobuf"}
"""Our names of the protocols, and OpenTelemetry's."""

GRPC_NAMES = re.compile(
    r"(?!https?://)[a-z][a-z0-9+.-]*:(?!//[^/?#])(?=\D)|ipv[46]:(?!//)", re.IGNORECASE
)
"""How gRPC's own names of places begin, such as `unix:` and `dns:///`; what follows is gRPC's. With
a host behind two slashes it is none: the SDK takes that for the place."""

SEMCONV_OPT_IN = {"database": "stable", "database/dup": "dup"}
"""What OTEL_SEMCONV_STABILITY_OPT_IN may say of databases, and what it means here."""


OWN_ATTRIBUTES = ("cache.", "db.", "error.", "ferrite.", "net.", "network.", "server.")
"""What the names of attributes begin with that the server gives to spans of commands."""


class _BaggageNames(Words):
    """Names of members of baggage, none of which could be an attribute of our own."""

    __slots__ = ()

    def parse(self, value: object, base: tuple[str, ...]) -> tuple[str, ...]:
        """Read a list of names. Raises BadValueError: a span must have each attribute once."""
        names = super().parse(value, base)
        if any(name.startswith(OWN_ATTRIBUTES) for name in names):
            begins = ", ".join(OWN_ATTRIBUTES)
            message = f"names that begin with none of {begins} (the server's own attributes)"
            raise BadValueError(message, f"argument must be {message}")
        return names


def _protocol(text: str) -> str:
    names = {otel: ours for ours, otel in OTLP_PROTOCOLS.items()}
    return names.get(text.strip().lower(), text)


def _unless_disabled(text: str) -> str | None:
    return "false" if text.strip().lower() == "true" else None


def _unless_none(text: str) -> str | None:
    return "false" if text.strip().lower() == "none" else None


def _milliseconds(text: str) -> str:
    return f"{text.strip()}ms"


def _semconv(text: str) -> str | None:
    words = [word.strip() for word in text.split(",")]
    found = [meaning for word, meaning in SEMCONV_OPT_IN.items() if word in words]
    return found[-1] if found else None


def _exemplar_filter(text: str) -> str | None:
    word = text.strip().lower().replace(ALL_EXEMPLARS, "trace_based")
    return word if word in EXEMPLAR_FILTERS else None


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """The page that Prometheus reads, on a port of its own."""

    enabled: bool = setting(
        True,
        Boolean(),
        "Whether durations are counted for /metrics, and /metrics, /health and /ready are served"
        " over HTTP.",
    )
    bind: str = setting(
        "127.0.0.1", Text(), "Address of that port; nobody is asked for a password there."
    )
    port: int = setting(9090, Integer(0, 65535), "That port; 0 for none: only counted.")


@dataclass(frozen=True, slots=True)
class TelemetryConfig:
    """OpenTelemetry: traces, metrics and logs over OTLP. Another name of the section is `[otel]`.

    Where a variable of OpenTelemetry is named, it goes over the file as our own does.
    """

    enabled: bool = setting(
        False,
        Boolean(),
        "The master switch of all that is exported over OTLP.",
        otel="OTEL_SDK_DISABLED",
        otel_read=_unless_disabled,
    )
    endpoint: str = setting(
        "",
        Text(),
        "URL of the collector, such as http://localhost:4317 for grpc or http://localhost:4318"
        " for http; tracing needs it.",
        hide=without_secrets,
        otel="OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    protocol: str = setting(
        "grpc",
        Choice(tuple(OTLP_PROTOCOLS)),
        "How the collector is spoken to; http is protobuf over HTTP.",
        otel="OTEL_EXPORTER_OTLP_PROTOCOL",
        otel_read=_protocol,
    )
    service_name: str = setting(
        "ferrite", Text(), "The resource's service.name.", otel="OTEL_SERVICE_NAME"
    )
    service_version: str = setting(
        "", Text(), "The resource's service.version; empty for the version of this server."
    )
    service_namespace: str = setting(
        "", Text(), "The resource's service.namespace; empty for none."
    )
    sample_rate: float = setting(
        1.0,
        Fraction(),
        "Share of the traces that begin here which is sampled: 1.0 is all, 0.0 is none. A caller's"
        " own decision goes before it. OTEL_TRACES_SAMPLER chooses another sampler.",
        redis="telemetry-sample-rate",
        runtime=True,
        otel="OTEL_TRACES_SAMPLER_ARG",
        otel_counts=takes_ratio,
    )
    traces_enabled: bool = setting(
        True,
        Boolean(),
        "Whether traces are recorded and exported.",
        otel="OTEL_TRACES_EXPORTER",
        otel_read=_unless_none,
    )
    metrics_enabled: bool = setting(
        True,
        Boolean(),
        "Whether metrics are exported over OTLP.",
        otel="OTEL_METRICS_EXPORTER",
        otel_read=_unless_none,
    )
    logs_enabled: bool = setting(
        True,
        Boolean(),
        "Whether the server's log is exported over OTLP.",
        otel="OTEL_LOGS_EXPORTER",
        otel_read=_unless_none,
    )
    command_lines: bool = setting(
        True,
        Boolean(),
        "Whether the log has lines about commands: those whose trace was kept, and at debug all;"
        " while traces are exported.",
        redis="telemetry-command-lines",
        runtime=True,
    )
    metrics_export_interval: float = setting(
        60.0,
        Seconds(),
        "Time between two exports of metrics, in seconds.",
        otel="OTEL_METRIC_EXPORT_INTERVAL",
        otel_read=_milliseconds,
    )
    metrics_temporality: str = setting(
        "cumulative",
        Choice(TEMPORALITIES),
        "What sums and histograms over OTLP count from: the start, or the export before; lowmemory"
        " is deltas of histograms only.",
        otel="OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        otel_read=read_temporality,
    )
    metrics_histograms: str = setting(
        "explicit",
        Choice(tuple(HISTOGRAMS)),
        "Histograms over OTLP: with the buckets of /metrics, or exponential.",
        otel="OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        otel_read=read_histograms,
    )
    exemplars: str = setting(
        "trace_based",
        Choice(EXEMPLAR_FILTERS),
        "Whether durations of commands, on /metrics and over OTLP, lead to traces that were"
        " exported.",
        otel="OTEL_METRICS_EXEMPLAR_FILTER",
        otel_read=_exemplar_filter,
    )
    batch_size: int = setting(
        4096,
        Integer(1, 65536),
        "Commands of which the spans are sent at once, at most. Each request interrupts the"
        " threads that serve where there are not more cores than those: fewer and larger ones are"
        " less often felt.",
        otel="OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    )
    batch_timeout_ms: int = setting(
        5000,
        Duration("ms", low=1, high=3_600_000),
        "Time after which a batch that is not full is sent, in milliseconds.",
        otel="OTEL_BSP_SCHEDULE_DELAY",
    )
    resource_attributes: Pairs = setting(  # noqa: RUF009 - it is frozen
        (),
        Table(),
        "Attributes of the resource, for all signals; ${NAME} stands for a variable. A table"
        " [telemetry.resource_attributes] does as well.",
        otel="OTEL_RESOURCE_ATTRIBUTES",
    )
    headers: Pairs = setting(  # noqa: RUF009 - it is frozen
        (),
        Table(lower=True),
        "Headers of each request to the collector, such as Authorization; ${NAME} stands for a"
        " variable. A table [telemetry.headers] does as well.",
        secret=True,
        otel="OTEL_EXPORTER_OTLP_HEADERS",
    )
    compression: str = setting(
        "none",
        Choice(("none", "gzip")),
        "How requests to the collector are compressed.",
        otel="OTEL_EXPORTER_OTLP_COMPRESSION",
    )
    semconv: str = setting(
        "dup",
        Choice(("stable", "ferrite", "dup")),
        "Names of spans and attributes: those of OpenTelemetry's stable conventions, those of"
        " Ferrite, or both.",
        otel="OTEL_SEMCONV_STABILITY_OPT_IN",
        otel_read=_semconv,
    )
    detail: str = setting(
        "phases",
        Choice(("command", "phases", "full")),
        "Spans of a command: only its own, with the tiers and phases that took long, or with all"
        " of its phases.",
        redis="telemetry-detail",
        runtime=True,
    )
    phase_threshold: int = setting(
        100,
        Duration("us"),
        "With detail = phases: phases that take at least so long are spans, in microseconds.",
        redis="telemetry-phase-threshold",
        runtime=True,
    )
    record_keys: str = setting(
        "pattern",
        Choice(("off", "pattern", "hashed", "full")),
        "What spans say of keys: nothing, user:* for user:123 (addresses, tokens and numbers are"
        " hidden, words are not), a hash, or the key.",
        redis="telemetry-record-keys",
        runtime=True,
    )
    baggage_keys: tuple[str, ...] = setting(
        (),
        _BaggageNames(bytes_max=1023),
        "Members of the caller's baggage that become attributes of spans, under their own names;"
        " none may begin as those of the server's own attributes do (db., ferrite., ...).",
        redis="telemetry-baggage-keys",
        runtime=True,
    )
    retain_errors: bool = setting(
        True,
        Boolean(),
        "Keep the trace of every command that failed, though it was not sampled.",
        redis="telemetry-retain-errors",
        runtime=True,
    )
    retain_slower_than: int = setting(
        10_000,
        Duration("us", low=-1),
        "Keep the trace of every command that took longer from its arrival to its reply, its waits"
        " included, though it was not sampled, in microseconds; -1 for none.",
        redis="telemetry-retain-slower-than",
        runtime=True,
    )
    retain_disk_reads: bool = setting(
        True,
        Boolean(),
        "Keep the trace of every command that read from disk, though it was not sampled.",
        redis="telemetry-retain-disk-reads",
        runtime=True,
    )
    retain_unsampled: bool = setting(
        False,
        Boolean(),
        "Keep such traces also where the caller decided not to sample; those spans are marked.",
        redis="telemetry-retain-unsampled",
        runtime=True,
    )
    retain_ratio: float = setting(
        0.0,
        Fraction(),
        "Share of all other traces that is kept at its end, by the trace id as with sample_rate:"
        " what is not above that keeps nothing more. Their spans are not marked as sampled.",
        redis="telemetry-retain-ratio",
        runtime=True,
    )
    retain_rate_max: int = setting(
        1000,
        Integer(0, UINT32_MAX),
        "Traces that are kept though they were not sampled, those of retain_ratio apart, per"
        " second, at most; 0 is no limit.",
        redis="telemetry-retain-rate-max",
        runtime=True,
    )
    connection_rate_max: int = setting(
        10,
        Integer(0, UINT32_MAX),
        "Connections per second that become spans when they end, at most, of those that are"
        " sampled; 0 is none.",
        redis="telemetry-connection-rate-max",
        runtime=True,
    )
    event_bus_queue_size: int = setting(
        0,
        Integer(64, 1 << 22, zero_word="auto"),
        "Commands that the queue of each thread that serves has room for while they wait for export"
        " (256 bytes each: fewer with keys of more than 100 bytes, more with short ones); what has"
        " no room is dropped and counted. The memory is part of storage.max_memory: auto is 65536,"
        " or as many as fit into a 16th of that, and 256 at least.",
        flag="--event-bus-queue-size",
        otel="OTEL_BSP_MAX_QUEUE_SIZE",
    )
    shutdown_flush_timeout: int = setting(
        3000,
        Duration("ms", high=3_600_000),
        "How long a stop waits for what is still to be exported, in milliseconds.",
    )

    @property
    def signals(self) -> tuple[str, ...]:
        """Those that are exported, if anything says where to."""
        switches = (self.traces_enabled, self.metrics_enabled, self.logs_enabled)
        return tuple(signal for signal, is_on in zip(SIGNALS, switches, strict=True) if is_on)


def telemetry_conflict(config: TelemetryConfig) -> tuple[str, str] | None:
    """A setting of telemetry that contradicts another, and what is wrong; None if all agree."""
    endpoint = without_secrets(config.endpoint)
    if not endpoint:
        return None
    has_scheme = endpoint.lower().startswith(("http://", "https://"))
    if config.protocol == "http" and not has_scheme:
        return "telemetry.endpoint", f'"{endpoint}" must begin with http:// or https://'
    if "://" in endpoint and not has_scheme and not GRPC_NAMES.match(config.endpoint):
        message = f'"{endpoint}" must begin with http:// or https://, or be host:port for TLS'
        return "telemetry.endpoint", message
    return None


def missing_endpoint(config: TelemetryConfig, environ: Mapping[str, str]) -> str | None:
    """What is wrong when traces are to be exported and nothing says where to; None if all is well.

    There is no local fallback for traces, so that a server without an endpoint must not start.
    """
    if not (config.enabled and config.traces_enabled) or config.endpoint:
        return None
    exporters = environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if "otlp" not in exporters or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return None
    return (
        "tracing is enabled, and nothing says where traces go; set telemetry.endpoint"
        " (--otlp-endpoint URL, OTEL_EXPORTER_OTLP_ENDPOINT), or telemetry.traces_enabled = false"
    )
