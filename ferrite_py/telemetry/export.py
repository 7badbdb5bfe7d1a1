"""What is exported over OTLP, from the start of the server to its stop."""

import contextlib
import ipaddress
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

from ferrite_py import event_bus
from ferrite_py._native import Encoder, Server
from ferrite_py.collector import files_passed_over, wrong_files
from ferrite_py.config import Config, ServerConfig, Sources, TelemetryConfig, TlsConfig
from ferrite_py.config_otel import (
    ALL_EXEMPLARS,
    DETECTORS,
    KNOWN,
    PROPAGATORS,
    detectors,
    without_effect,
)
from ferrite_py.errors import StartupError
from ferrite_py.exemplars import Exemplar, Exemplars
from ferrite_py.measure import UNIT_SECONDS, Meter, Samples
from ferrite_py.telemetry.drain import EMPTY, Batch, Counts, Drain
from ferrite_py.telemetry.environment import (
    Sampler,
    bound_of,
    check_sampler,
    environment,
    export_timeout_s,
    exporter_of,
    has_endpoint,
    in_force,
    lowered,
    propagators_of,
    protocol_of,
    shown_endpoint,
)
from ferrite_py.telemetry.format import TEXT_MAX, Place, make_format
from ferrite_py.telemetry.lines import NONE, CommandLines, Note
from ferrite_py.telemetry.logs import Logs, hear_complaints
from ferrite_py.telemetry.metrics import MetricsExport
from ferrite_py.telemetry.names import Detail, operation_name
from ferrite_py.telemetry.rare import Event
from ferrite_py.telemetry.rare import request_of as rare_request
from ferrite_py.telemetry.transport import short, trace_transport
from ferrite_py.yielding import step_back, yielding

log = logging.getLogger(__name__)

REQUEST_BYTES_MAX = 3 << 20
"""gRPC takes messages of 4 MiB."""

EVENTS_MAX = 1024
"""Rare events of one request, about 0.4 MB of spans beside REQUEST_BYTES_MAX of commands."""

TRANSACTION = "exec"
"""Its duration is that of its own step, and its span the whole transaction: it has no exemplars."""

UNIT_LONGER = UNIT_SECONDS * (1 + 2.0**-44)
"""A unit of durations, a little longer: what has so many whole ones is counted in the bucket that
begins there, and the buckets of a receiver begin just above."""

LAST_EXPORT_S = 0.2
"""What is left for metrics and logs when traces have taken all of the time."""


@dataclass(frozen=True, slots=True)
class Sdk:
    """What the SDK has read of the environment."""

    values: Mapping[str, str]
    resource: Resource
    sampler: Sampler
    text_max: int
    """Characters of an attribute's text."""
    propagators: frozenset[str]
    """What is taken from callers: of `tracecontext` and `baggage`."""


def read_sdk(
    config: TelemetryConfig,
    environ: Mapping[str, str],
    instance_id: str,
    *,
    is_rate_ours: bool = False,
) -> Sdk:
    """Let the SDK read the settings and the environment. Raises StartupError."""
    for line in wrong_files(config, environ):
        raise StartupError(line)
    values = environment(config, environ, instance_id, is_rate_ours=is_rate_ours)
    check_sampler(values)
    try:
        with in_force(values):
            provider = TracerProvider(shutdown_on_exit=False)
            limit = SpanLimits().max_span_attribute_length
    except Exception as error:
        # The SDK raises what int() and its parsers raise; most name the variable.
        raise StartupError(f"OpenTelemetry's variables: {error}") from error
    propagators = propagators_of(values)
    _warn(config, environ, propagators)
    return Sdk(
        values,
        provider.resource,
        lowered(provider.sampler.get_description()),
        TEXT_MAX if limit is None else limit,
        propagators & frozenset(PROPAGATORS),
    )


def _warn(config: TelemetryConfig, environ: Mapping[str, str], propagators: frozenset[str]) -> None:
    """Tell of words that are right by the specification and mean nothing here."""
    for word in sorted(propagators - {*PROPAGATORS, "none"}):
        log.warning("OTEL_PROPAGATORS: %s is passed over; clients send tracecontext", word)
    if "baggage" in propagators and "tracecontext" not in propagators:
        log.warning("OTEL_PROPAGATORS: baggage comes with trace contexts; none is taken")
    for signal in config.signals:
        name = f"OTEL_{signal.upper()}_EXPORTER"
        for word in KNOWN[name].passed_over(environ.get(name, "")):
            log.warning("%s: %s is passed over; there are otlp, console, none", name, word)
    if environ.get("OTEL_METRICS_EXEMPLAR_FILTER", "").strip().lower() == ALL_EXEMPLARS:
        log.warning("OTEL_METRICS_EXEMPLAR_FILTER: always_on is taken for trace_based")
    for word in detectors(environ)[1]:
        log.warning("%s: %s is passed over; it is not installed", DETECTORS, word)
    for line in files_passed_over(config, environ):
        log.warning("%s", line)
    for line in without_effect(environ, config.signals):
        log.warning("%s", line)


EVERY_ADDRESS = ("0.0.0.0", "::", "*", "::*")


def place_of(server: ServerConfig, tls: TlsConfig) -> Place:
    """Where clients find the server: the only address, or the first of several, if it is one.

    There is none where the server listens on all that the machine has, and where the first of
    several is a name: each connection's own address is told then.
    """
    ports = [port for port in (server.port, tls.port) if port]
    if not server.bind or not ports:
        return Place(server.unix_socket, 0)
    address = server.bind[0].removeprefix("-")
    is_only = len(server.bind) * len(ports) == 1 and not server.unix_socket
    if address in EVERY_ADDRESS or not (is_only or _is_number(address)):
        return Place("", 0, is_only=False)
    return Place(address, ports[0], is_only=is_only)


def _is_number(address: str) -> bool:
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(address)) == address
    return False


class RecordedCommands:
    """What the native server has recorded, as batches of spans."""

    def __init__(
        self,
        native: Server,
        parts: dict[str, Any],
        resource: Resource,
        names: Sequence[str],
        config: TelemetryConfig,
    ) -> None:
        self._native = native
        self._resource = resource
        self._encoder = Encoder(parts, native, exemplars=config.exemplars != "always_off")
        self._names = names
        self._lines = CommandLines(names)
        self._left_out = 0
        self._batch_size = config.batch_size
        self._semconv = config.semconv
        self.follow(config)

    def follow(self, config: TelemetryConfig) -> None:
        """Take another detail from the next batch on; any thread."""
        self._detail = (Detail[config.detail.upper()], config.phase_threshold * 1000)
        self._has_lines = config.command_lines

    def waiting(self) -> int:
        """Commands that wait to be collected."""
        return self._encoder.waiting()

    def events_waiting(self) -> int:
        """Rare events that wait."""
        return self._encoder.events_waiting()

    def taken(self) -> int:
        """Commands that do not wait any more."""
        return self._encoder.taken()

    def is_pressed(self) -> bool:
        """Whether a queue is half full."""
        return self._encoder.is_pressed()

    def collect(self) -> Batch | None:
        """Take a batch of commands, and the rare events; a mistake with these costs no others."""
        commands = self._commands()
        batch = commands or EMPTY
        events: list[Event] = []
        try:
            self._take_events(events)
            more = rare_request(events, self._resource, self._semconv) if events else b""
        except Exception as error:
            log.debug("events cannot be encoded", exc_info=True)
            mistake = f"{type(error).__name__}: {error}"
            return replace(batch, lost_events=len(events), mistake=mistake)
        if not events:
            return commands
        # Two messages, one behind the other, are one with the lists of both.
        spans = batch.spans + len(events)
        return Batch(batch.request + more, batch.commands, spans, len(events))

    def _commands(self) -> Batch | None:
        detail, threshold_ns = self._detail
        choice = self._lines.choice if self._has_lines else NONE
        found = self._encoder.collect(
            detail, threshold_ns, self._batch_size, REQUEST_BYTES_MAX, choice, self._lines.room
        )
        if found is None:
            return None
        request, _, commands, spans, notes = found
        if choice != NONE:
            self._write(notes)
        return Batch(request, commands, spans)

    def _write(self, notes: list[Note]) -> None:
        left_out = self._encoder.notes_left_out()
        try:
            self._lines.write(notes, left_out - self._left_out)
            self._left_out = left_out
        except Exception:  # the spans go all the same
            log.debug("telling the log failed", exc_info=True)

    def _take_events(self, events: list[Event]) -> None:
        """Take what waits, and no more than the queue holds: the request stays bounded."""
        while len(events) < EVENTS_MAX and (some := self._encoder.events()):
            events += some

    def look(self) -> None:
        """Let the log tell of what waits."""
        if self._has_lines and self._lines.choice != NONE:
            self._write(self._encoder.look(self._lines.choice, self._lines.room))

    def confirm(self) -> None:
        """The receiver has what was collected last: it may be told of as exemplars."""
        self._encoder.confirm()

    def exemplars(self) -> Exemplars:
        """Commands that the receiver has; any thread."""
        found: dict[tuple[str, ...], list[Exemplar]] = {}
        for number, units, time_ns, trace_id, span_id in self._encoder.exemplars():
            name = self._names[number]
            if name != TRANSACTION:
                one = Exemplar(units * UNIT_LONGER, time_ns, trace_id, span_id)
                found.setdefault((operation_name(name),), []).append(one)
        return found

    def dropped(self) -> int:
        """Commands that had no room in a ring."""
        return self._native.telemetry_counts()["dropped"]


class Traces:
    """Traces of commands: what is recorded, and the thread that sends it."""

    def __init__(self, native: Server, config: Config, sdk: Sdk) -> None:
        """Make the parts that can fail. Raises StartupError."""
        self._native = native
        self._sdk = sdk
        self._sample_rate = config.telemetry.sample_rate
        self._config = config.telemetry
        self._queue_size = event_bus.commands_each(config)
        transport = trace_transport(sdk.values)
        rows = sorted(native.commands(), key=lambda row: int(row["number"]))
        assert [row["number"] for row in rows] == list(range(len(rows)))
        names = [str(row["name"]) for row in rows]
        self._place = place_of(config.server, config.tls)
        parts = make_format(
            dict(sdk.resource.attributes),
            sdk.resource.schema_url,
            names,
            semconv=config.telemetry.semconv,
            place=self._place,
            text_max=sdk.text_max,
        )
        self._source = RecordedCommands(native, parts, sdk.resource, names, config.telemetry)
        timeout_s = config.telemetry.batch_timeout_ms / 1000
        self._drain = Drain(
            self._source,
            transport,
            config.telemetry.batch_size,
            timeout_s,
            export_timeout_s=export_timeout_s(sdk.values),
        )

    @property
    def counts(self) -> Counts:
        """What became of the commands so far."""
        return self._drain.counts

    def exemplars(self) -> Exemplars:
        """Commands that the receiver has, for metrics; any thread."""
        return self._source.exemplars()

    def start(self) -> None:
        """Record commands from now on, and send them."""
        self._native.set_telemetry(self._options(self._config))
        self._drain.start()

    def follow(self, config: TelemetryConfig) -> None:
        """Put changed settings in force."""
        self._source.follow(config)
        self._native.set_telemetry(self._options(config))

    def stop(self, deadline_s: float) -> None:
        """Send what is left; no thread serves any more."""
        self._drain.stop(deadline_s)

    def _options(self, config: TelemetryConfig) -> dict[str, Any]:
        """What `Server.set_telemetry` takes."""
        sampler = self._sdk.sampler
        has_baggage = "baggage" in self._sdk.propagators
        if config.sample_rate != self._sample_rate:
            sampler = Sampler(bound_of(config.sample_rate), parent_based=True)
        return {
            "traces": True,
            "ignores_callers": "tracecontext" not in self._sdk.propagators,
            "bound": sampler.bound,
            "parent_based": sampler.parent_based,
            "retain_errors": config.retain_errors,
            "retain_disk_reads": config.retain_disk_reads,
            "retain_unsampled": config.retain_unsampled,
            "retain_slower_than": config.retain_slower_than,
            "connection_rate_max": config.connection_rate_max,
            "retain_bound": bound_of(config.retain_ratio),
            "retain_rate_max": config.retain_rate_max,
            "record_keys": config.record_keys,
            "baggage_keys": ",".join(config.baggage_keys) if has_baggage else "",
            "names_place": not self._place.is_only and config.semconv != "ferrite",
            "place": self._place.text,
            "queue_size": self._queue_size,
        }


def _has_a_way(signal: str, values: Mapping[str, str]) -> bool:
    exporter = exporter_of(signal, values)
    return exporter == "console" or (exporter == "otlp" and has_endpoint(signal, values))


def metrics_export(config: TelemetryConfig, sdk: Sdk, meter: Meter) -> MetricsExport | None:
    """What exports metrics from now on; None when they are not to be. Raises StartupError."""
    if not config.metrics_enabled or not _has_a_way("metrics", sdk.values):
        return None
    kind = exporter_of("metrics", sdk.values)
    protocol = protocol_of("metrics", sdk.values)
    try:
        with in_force(sdk.values):
            return MetricsExport(
                meter, sdk.resource, kind=kind, protocol=protocol, semconv=config.semconv
            )
    except Exception as error:
        # The exporters raise what their libraries raise, of files, URLs and options.
        raise StartupError(f"cannot export metrics: {short(str(error))}") from error


class Exporting:
    """Everything that is exported."""

    def __init__(
        self,
        native: Server,
        config: Config,
        sources: Sources,
        instance_id: str,
        meter: Meter,
    ) -> None:
        """Make the parts that can fail. Raises StartupError."""
        hear_complaints()
        self.sdk = read_sdk(
            config.telemetry,
            sources.environ,
            instance_id,
            is_rate_ours=sources.goes_over_otel("telemetry.sample_rate"),
        )
        self._flush_s = config.telemetry.shutdown_flush_timeout / 1000
        self._is_finished = False
        self._native = native
        yielding(lambda: self._make(config, meter))
        # Its thread takes the engine's values.
        self.metrics = yielding(
            lambda: metrics_export(config.telemetry, self.sdk, meter), step_back
        )
        meter.add_source(self._outcome)

    def _make(self, config: Config, meter: Meter) -> None:
        """Make what sends traces and logs; the threads of the libraries begin with that."""
        values = self.sdk.values
        self.traces: Traces | None = None
        if config.telemetry.traces_enabled and exporter_of("traces", values) != "none":
            self.traces = Traces(self._native, config, self.sdk)
            meter.show_exemplars(self.traces.exemplars)
            log.info("traces of commands go to %s", shown_endpoint("traces", values))
            if event_bus.is_small(config):
                each = event_bus.commands_each(config)
                log.info("%s: %d commands for each thread", event_bus.told(config), each)
        self.logs: Logs | None = None
        if config.telemetry.logs_enabled and _has_a_way("logs", values):
            self.logs = Logs(values, self.sdk.resource)
        has_metrics = config.telemetry.metrics_enabled and _has_a_way("metrics", values)
        if self.traces is None and self.logs is None and not has_metrics:
            log.info("telemetry is enabled, and nothing says where to; see telemetry.endpoint")

    def _outcome(self) -> Iterable[tuple[str, Samples]]:
        """What became of traces and logs, for the metrics."""
        if self.logs is not None:
            yield from self.logs.outcome()
        if self.traces is None:
            return
        counts, recorded = self.traces.counts, self._native.telemetry_counts()
        yield "EXPORTED", [(("traces",), counts.requests)]
        yield "EXPORT_FAILURES", [(("traces",), counts.refused + counts.errors)]
        yield "EXPORT_RETRIES", [(("traces",), counts.retries)]
        yield "EXPORT_REJECTED", [(("traces",), counts.rejected)]
        yield (
            "EVENTS_LOST",
            [
                (("queue_full",), recorded["dropped"]),
                (("not_taken",), counts.failed),
                (("rate_limit",), recorded["declined"]),
                (("error",), counts.lost),
                (("stopped",), counts.stopped),
            ],
        )
        yield (
            "RARE_LOST",
            [
                (("queue_full",), recorded["events_dropped"]),
                (("not_taken",), counts.failed_events),
                (("rate_limit",), recorded["events_left_out"]),
                (("error",), counts.lost_events),
                (("stopped",), counts.stopped_events),
            ],
        )

    def start(self) -> None:
        """Begin to record and to send."""
        if self.logs is not None:
            self.logs.start()
        if self.traces is not None:
            self.traces.start()

    def follow(self, config: Config) -> None:
        """Put changed settings in force."""
        if self.traces is not None:
            self.traces.follow(config.telemetry)

    def finish(self) -> None:
        """Send what is left, within `telemetry.shutdown_flush_timeout`; no thread serves any more.

        Nothing of the native server is used after that. Later calls do nothing.
        """
        if self._is_finished:
            return
        self._is_finished = True
        end = time.monotonic() + self._flush_s
        if self.traces is not None:
            self.traces.stop(self._flush_s)
        if self.metrics is not None:
            self.metrics.stop(max(end - time.monotonic(), LAST_EXPORT_S))
        if self.logs is not None:
            self.logs.stop(max(end - time.monotonic(), LAST_EXPORT_S))
