"""The configuration as OpenTelemetry's SDK reads it: from its environment variables.

`Config` has taken what it knows of those variables already, so that its values go over them here;
a variable that it does not know (of one signal, of TLS, of limits) stays as it is. The SDK's
objects are made while the result is in force, without arguments, so that they read it themselves.
"""

import contextlib
import math
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from ferrite_py import __version__
from ferrite_py.collector import PREFIX, ways
from ferrite_py.config import TelemetryConfig
from ferrite_py.config_otel import (
    DETECTORS,
    EXPORT_TIMEOUT,
    EXPORTERS,
    HISTOGRAMS,
    KNOWN,
    LIMITS,
    PROPAGATORS,
    SAMPLERS,
    SIGNALS,
    WHOLE_NUMBERS,
    detectors,
    is_count,
    may_say,
    whole,
)
from ferrite_py.config_telemetry import OTLP_PROTOCOLS
from ferrite_py.errors import StartupError
from ferrite_py.hidden import without_secrets

ALWAYS = 1 << 64
"""The bound of a sampler that takes every trace id; one below which no id is takes none."""

TIMEOUT_MS_FROM = 1000.0
"""The SDK reads timeouts in seconds, the specification has them in milliseconds: from here on a
number is taken for those."""

NO_LIMIT_S = 86_400.0
"""What no limit to the time of a request is (a timeout of 0): sockets take no infinite one."""

_SPAN_DELAY, _SPAN_BATCH = "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
_LOG_DELAY, _LOG_BATCH = "OTEL_BLRP_SCHEDULE_DELAY", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"
_LOG_QUEUE = "OTEL_BLRP_MAX_QUEUE_SIZE"
_SDK_QUEUE = 2048


def environment(
    config: TelemetryConfig,
    environ: Mapping[str, str],
    instance_id: str,
    *,
    is_rate_ours: bool = False,
) -> dict[str, str]:
    """The variables as the SDK is to see them.

    Args:
        config: the settings in force.
        environ: the process's own environment.
        instance_id: what service.instance.id is when nothing else is given.
        is_rate_ours: whether our variable or a flag gives the sample rate, over OTEL_TRACES_*.
    """
    values = _given(environ)
    # gRPC's C code would write lines of its own to standard error, for each attempt to connect.
    values.setdefault("GRPC_VERBOSITY", "NONE")
    values |= {
        "OTEL_SDK_DISABLED": "false" if config.enabled else "true",
        "OTEL_EXPORTER_OTLP_PROTOCOL": OTLP_PROTOCOLS[config.protocol],
        "OTEL_RESOURCE_ATTRIBUTES": _joined(_resource(config, instance_id)),
        "OTEL_METRIC_EXPORT_INTERVAL": str(round(config.metrics_export_interval * 1000)),
        _SPAN_DELAY: str(config.batch_timeout_ms),
        _SPAN_BATCH: str(config.batch_size),
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": config.metrics_temporality,
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": HISTOGRAMS[
            config.metrics_histograms
        ],
        "OTEL_METRICS_EXEMPLAR_FILTER": config.exemplars,
    }
    if config.endpoint:
        values["OTEL_EXPORTER_OTLP_ENDPOINT"] = config.endpoint
    if config.headers:
        values["OTEL_EXPORTER_OTLP_HEADERS"] = _joined(dict(config.headers))
    # The SDK puts this variable over the attribute of the resource; the one that was given counts.
    if config.service_name != TelemetryConfig().service_name or not _names_service(config):
        values["OTEL_SERVICE_NAME"] = config.service_name
    _put_compression(values, config)
    _put_sampler(values, config, is_rate_ours=is_rate_ours)
    _put_timeouts(values, config.signals)
    _put_detectors(values)
    _put_ways(values, config)
    _check_numbers(values, config.signals)
    if config.logs_enabled:
        _put_log_batches(values, config)
    return values


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what is empty of OpenTelemetry's: to it that is not set."""
    return {
        name: text for name, text in environ.items() if text.strip() or not name.startswith("OTEL_")
    }


def _check_numbers(values: dict[str, str], signals: Sequence[str]) -> None:
    for name, signals_of in LIMITS.items():
        if name in values and not is_count(values[name]):
            if any(signal in signals for signal in signals_of):
                raise StartupError(f"{name}: {values[name]!r} is no whole number")
            del values[name]  # the SDK reads those of spans also where there are none
    for name, signal in WHOLE_NUMBERS.items():
        if signal in signals and name in values and not may_say(name, values[name]):
            raise StartupError(f"{name}: {values[name]!r} is no {whole(name)}")


def _put_log_batches(values: dict[str, str], config: TelemetryConfig) -> None:
    """Batches of the log are those of traces where its own variables do not say otherwise."""
    values.setdefault(_LOG_DELAY, str(config.batch_timeout_ms))
    values.setdefault(_LOG_BATCH, str(config.batch_size))
    values.setdefault(_LOG_QUEUE, str(max(_SDK_QUEUE, int(values[_LOG_BATCH]))))


def _names_service(config: TelemetryConfig) -> bool:
    return any(name == "service.name" for name, _ in config.resource_attributes)


def _resource(config: TelemetryConfig, instance_id: str) -> dict[str, str]:
    found = {
        "service.version": config.service_version or __version__,
        "service.instance.id": instance_id,
        "host.name": socket.gethostname(),
    }
    if config.service_namespace:
        found["service.namespace"] = config.service_namespace
    return found | dict(config.resource_attributes)


def _joined(items: Mapping[str, str]) -> str:
    """Pairs as the SDK reads them: it decodes a value only when all of it is encoded."""
    return ",".join(f"{name}={quote(text, safe='')}" for name, text in items.items())


def _put_compression(values: dict[str, str], config: TelemetryConfig) -> None:
    """The gRPC exporters refuse the word `none`, which the specification has."""
    values["OTEL_EXPORTER_OTLP_COMPRESSION"] = config.compression
    names = [f"OTEL_EXPORTER_OTLP_{signal.upper()}_COMPRESSION" for signal in SIGNALS]
    for name in ("OTEL_EXPORTER_OTLP_COMPRESSION", *names):
        if values.get(name, "").strip().lower() in ("none", ""):
            values.pop(name, None)


def _put_sampler(values: dict[str, str], config: TelemetryConfig, *, is_rate_ours: bool) -> None:
    """A sampler and its argument are one setting; what goes over the argument goes over both."""
    name, argument = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
    if values.get(name) and not is_rate_ours:
        return
    values[name] = "parentbased_traceidratio"
    values[argument] = repr(config.sample_rate)


def _put_ways(values: dict[str, str], config: TelemetryConfig) -> None:
    """Say for each signal over gRPC what the specification says, and the SDK does not do.

    The SDK lets the variable of endpoints without a scheme go over a scheme, and takes the files of
    TLS from variables of one signal or from those of all, never from both.
    """
    for signal, way in ways(config, values).items():
        begin = f"{PREFIX}_{signal.upper()}"
        if not way.is_grpc:
            continue
        if way.endpoint.lower().startswith(("http://", "https://")):
            values[f"{begin}_INSECURE"] = "false" if way.has_tls else "true"
        files = (way.certificate, way.client_key, way.client_certificate)
        for name, path in files:
            if name.startswith(PREFIX):
                what = name.removeprefix(begin).removeprefix(PREFIX)
                values[f"{begin}{what}"] = path


def _put_detectors(values: dict[str, str]) -> None:
    """Without those that are not installed: the SDK writes a traceback for each."""
    known, unknown = detectors(values)
    if unknown:
        values[DETECTORS] = ",".join(known)


def _put_timeouts(values: dict[str, str], signals: Sequence[str]) -> None:
    names = [f"OTEL_EXPORTER_OTLP_{signal.upper()}_TIMEOUT" for signal in signals]
    for name in ("OTEL_EXPORTER_OTLP_TIMEOUT", *names):
        text = values.get(name, "").strip()
        if not text:
            values.pop(name, None)
            continue
        try:
            number = float(text)
        except ValueError as error:
            raise StartupError(f"{name}: {text!r} is no number of seconds") from error
        seconds = number / 1000 if number >= TIMEOUT_MS_FROM else number
        values[name] = str(min(seconds, NO_LIMIT_S) if seconds else NO_LIMIT_S)


@contextlib.contextmanager
def in_force(values: Mapping[str, str]) -> Iterator[None]:
    """Make these the process's variables for a while: the SDK reads nothing else."""
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(values)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def protocol_of(signal: str, values: Mapping[str, str]) -> str:
    """`grpc` or `http` for a signal. Raises StartupError for what cannot be spoken."""
    name = f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL"
    text = values.get(name) or values["OTEL_EXPORTER_OTLP_PROTOCOL"]
    for ours, otel in OTLP_PROTOCOLS.items():
        if text.strip().lower() in (ours, otel):
            return ours
    raise StartupError(f"{name}: {text!r} is not spoken here; there are grpc and http/protobuf")


def exporter_of(signal: str, values: Mapping[str, str]) -> str:
    """`otlp`, `console` or `none` for a signal. Raises StartupError for another."""
    name = f"OTEL_{signal.upper()}_EXPORTER"
    words = [word.strip().lower() for word in (values.get(name) or "otlp").split(",")]
    wrong = KNOWN[name].wrong(",".join(words))
    if wrong is not None:
        raise StartupError(f"{name}: there is no exporter {wrong!r}; there are otlp, console, none")
    return next(exporter for exporter in EXPORTERS if exporter in words)


def propagators_of(values: Mapping[str, str]) -> frozenset[str]:
    """The words of OTEL_PROPAGATORS; without it those that it stands for."""
    words = (values.get("OTEL_PROPAGATORS") or "").lower().split(",")
    return frozenset(word.strip() for word in words if word.strip()) or frozenset(PROPAGATORS)


def export_timeout_s(values: Mapping[str, str]) -> float | None:
    """How long a batch of spans may be on its way, all attempts included; None if nobody says.

    0 is no limit, as the specification has it.
    """
    text = values.get(EXPORT_TIMEOUT)
    if not text:
        return None
    return int(text) / 1000 or math.inf


def has_endpoint(signal: str, values: Mapping[str, str]) -> bool:
    """Whether something says where a signal goes."""
    return bool(
        values.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
        or values.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    )


def shown_endpoint(signal: str, values: Mapping[str, str]) -> str:
    """Where a signal goes, for the log: without a name, a password and a query."""
    exporter = exporter_of(signal, values)
    endpoint = values.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT") or values.get(
        "OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    if exporter != "otlp" or not endpoint:
        return exporter
    return without_secrets(endpoint)


@dataclass(frozen=True, slots=True)
class Sampler:
    """A sampler as the native server has it."""

    bound: int
    """Traces that begin here are sampled when the low 64 bits of their id are below."""
    parent_based: bool
    """Whether the caller decides where there is one."""


_RATIO = re.compile(r"TraceIdRatioBased\{(.*)\}")
_PARENT_BASED = re.compile(
    r"ParentBased\{root:(.*),remoteParentSampled:AlwaysOnSampler"
    r",remoteParentNotSampled:AlwaysOffSampler,localParentSampled:AlwaysOnSampler"
    r",localParentNotSampled:AlwaysOffSampler\}"
)


def lowered(description: str) -> Sampler:
    """The sampler that the SDK describes with `get_description`.

    Raises StartupError for one that the native server cannot do.
    """
    parent_based = _PARENT_BASED.fullmatch(description)
    root = parent_based[1] if parent_based else description
    if root == "AlwaysOnSampler":
        return Sampler(ALWAYS, parent_based is not None)
    if root == "AlwaysOffSampler":
        return Sampler(0, parent_based is not None)
    if ratio := _RATIO.fullmatch(root):
        return Sampler(bound_of(float(ratio[1])), parent_based is not None)
    raise StartupError(f"the sampler {description} cannot be used; there are {', '.join(SAMPLERS)}")


def bound_of(ratio: float) -> int:
    """The bound of a ratio, as the SDK's TraceIdRatioBased has it."""
    return round(ratio * ALWAYS)


def check_sampler(values: Mapping[str, str]) -> None:
    """Raise StartupError for a sampler that the SDK would only warn of."""
    name = values["OTEL_TRACES_SAMPLER"]
    if name.lower() not in SAMPLERS:
        message = f"OTEL_TRACES_SAMPLER: there is no sampler {name!r}; there are "
        raise StartupError(message + ", ".join(SAMPLERS))
