"""The settings as the SDK reads them, and its samplers as the native server has them."""

from __future__ import annotations

import logging
import math
import os

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider, sampling

from ferrite_py import __version__
from ferrite_py.config import Sources
from ferrite_py.config_otel import WITHOUT_EFFECT
from ferrite_py.errors import ConfigError, StartupError
from ferrite_py.telemetry.environment import (
    ALWAYS,
    NO_LIMIT_S,
    Sampler,
    check_sampler,
    environment,
    export_timeout_s,
    exporter_of,
    in_force,
    lowered,
    protocol_of,
    shown_endpoint,
)
from ferrite_py.telemetry.export import read_sdk
from ferrite_py.telemetry.transport import Outcome
from tests.telemetry.exporting import PROTOCOLS, request_of, telemetry, transport_to
from tests.telemetry.receiver import Receiver


def values_of(environ: dict[str, str] | None = None, **settings: str) -> dict[str, str]:
    """The variables that flags and an environment give."""
    config = telemetry(environ, **settings)
    sources = Sources(None, environ or {}, {f"telemetry.{name}": "" for name in settings})
    is_rate_ours = sources.goes_over_otel("telemetry.sample_rate")
    return environment(config, environ or {}, "instance-1", is_rate_ours=is_rate_ours)


def resource_of(environ: dict[str, str] | None = None, **settings: str) -> dict[str, object]:
    """The resource that the SDK makes of them."""
    with in_force(values_of(environ, **settings)):
        return dict(Resource.create().attributes)


def sampler_of(environ: dict[str, str] | None = None, **settings: str) -> Sampler:
    """The sampler that the SDK makes of them, lowered."""
    values = values_of(environ, **settings)
    check_sampler(values)
    with in_force(values):
        return lowered(TracerProvider(shutdown_on_exit=False).sampler.get_description())


def test_resource_of_the_settings() -> None:
    """Service, its version and namespace, and all attributes, whatever their characters."""
    found = resource_of(
        service_name="cache",
        service_namespace="production",
        resource_attributes="deployment.environment=production,note=a%2C b%3D%25%20c",
    )

    assert found["service.name"] == "cache"
    assert found["service.version"] == __version__
    assert found["service.namespace"] == "production"
    assert found["service.instance.id"] == "instance-1"
    assert found["deployment.environment"] == "production"
    assert found["note"] == "a, b=% c"
    assert found["telemetry.sdk.language"] == "python"
    assert resource_of(service_version="1.0.0")["service.version"] == "1.0.0"


def test_resource_of_the_environment() -> None:
    """OpenTelemetry's variables go over the settings; an attribute may name the service."""
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,service.instance.id=i-0abc123"}

    assert resource_of(environ)["service.name"] == "a"
    assert resource_of(environ)["service.instance.id"] == "i-0abc123"
    assert resource_of({**environ, "OTEL_SERVICE_NAME": "b"})["service.name"] == "b"


@pytest.mark.parametrize(
    ("environ", "settings", "expected"),
    [
        ({}, {}, Sampler(ALWAYS, parent_based=True)),
        ({}, {"sample_rate": "0.1"}, Sampler(round(0.1 * ALWAYS), parent_based=True)),
        ({}, {"sample_rate": "0"}, Sampler(0, parent_based=True)),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.25"}, {}, Sampler(ALWAYS // 4, parent_based=True)),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, {}, Sampler(ALWAYS, parent_based=False)),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, {}, Sampler(0, parent_based=False)),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
            {},
            Sampler(ALWAYS // 2, parent_based=False),
        ),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
            {},
            Sampler(ALWAYS // 2, parent_based=True),
        ),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, {}, Sampler(0, parent_based=True)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, {}, Sampler(ALWAYS, parent_based=True)),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, {}, Sampler(ALWAYS, parent_based=False)),
        (
            {"OTEL_TRACES_SAMPLER": "always_off", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
            {"sample_rate": "0.25"},
            Sampler(ALWAYS // 4, parent_based=True),
        ),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_always_on"},
            {"sample_rate": "0.25"},
            Sampler(ALWAYS // 4, parent_based=True),
        ),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_always_on", "OTEL_TRACES_SAMPLER_ARG": "abc"},
            {},
            Sampler(ALWAYS, parent_based=True),
        ),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "FERRITE_TELEMETRY_SAMPLE_RATE": "0.25"},
            {},
            Sampler(ALWAYS // 4, parent_based=True),
        ),
        (
            {
                "OTEL_TRACES_SAMPLER": "always_off",
                "OTEL_TRACES_SAMPLER_ARG": "0.25",
                "FERRITE_TELEMETRY_SAMPLE_RATE": "0.25",
            },
            {},
            Sampler(ALWAYS // 4, parent_based=True),
        ),
    ],
)
def test_samplers(environ: dict[str, str], settings: dict[str, str], expected: Sampler) -> None:
    """Every sampler of the SDK is lowered; the settings' ratio is under the caller's decision."""
    assert expected == sampler_of(environ, **settings)


def test_a_ratio_takes_the_traces_that_the_sdk_takes() -> None:
    """The bound is the SDK's own."""
    for ratio in (0.0, 1e-9, 0.1, 1 / 3, 0.999, 1.0):
        sampler = sampling.TraceIdRatioBased(ratio)
        assert sampler.bound == lowered(sampler.get_description()).bound


def test_samplers_that_cannot_be() -> None:
    """What the SDK only warns of is an error at the start that names it."""
    with pytest.raises(StartupError, match="there is no sampler 'jaeger_remote'; there are always"):
        sampler_of({"OTEL_TRACES_SAMPLER": "jaeger_remote"})
    with pytest.raises(ConfigError, match=r'SAMPLER_ARG: telemetry\.sample_rate = "2": '):
        sampler_of({"OTEL_TRACES_SAMPLER_ARG": "2"})


def test_a_sampler_that_cannot_be_lowered() -> None:
    """A parent-based sampler with delegates of its own is named."""
    odd = sampling.ParentBased(sampling.ALWAYS_ON, remote_parent_sampled=sampling.ALWAYS_OFF)

    with pytest.raises(StartupError, match=r"the sampler ParentBased\{root:AlwaysOnSampler,remote"):
        lowered(str(odd.get_description()))  # type: ignore[no-untyped-call]


def test_what_the_settings_do_not_know_stays() -> None:
    """Variables of one signal, of TLS and of limits reach the SDK as they are."""
    environ = {
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://logs:4317",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "100",
        "OTEL_BLRP_MAX_QUEUE_SIZE": "4096",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
    }

    values = values_of(environ)

    assert environ == {name: values[name] for name in environ}


def test_variables_that_follow_from_settings() -> None:
    """Intervals, batches and protocol are the SDK's spelling of the settings."""
    values = values_of(
        metrics_export_interval="2500ms", batch_size="4000", batch_timeout_ms="1s", protocol="http"
    )

    expected = {
        "OTEL_METRIC_EXPORT_INTERVAL": "2500",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4000",
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "4000",
        "OTEL_BLRP_SCHEDULE_DELAY": "1000",
        "OTEL_BLRP_MAX_QUEUE_SIZE": "4000",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SDK_DISABLED": "true",
    }
    assert expected == {name: values[name] for name in expected}
    assert protocol_of("traces", values) == "http"
    assert protocol_of("logs", {**values, "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"}) == "grpc"


def test_kinds_of_metrics_are_words_of_the_sdk() -> None:
    """Temporality and histograms: a variable goes over the file; its words are read in any case."""
    temporality = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    histograms = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
    exponential = "base2_exponential_bucket_histogram"

    def told(environ: dict[str, str] | None = None, **settings: str) -> tuple[str, str]:
        values = values_of(environ, **settings)
        return values[temporality].lower(), values[histograms]

    assert told() == ("cumulative", "explicit_bucket_histogram")
    assert told(metrics_temporality="delta", metrics_histograms="exponential") == (
        "delta",
        exponential,
    )
    environ = {temporality: "LowMemory", histograms: exponential.upper()}
    assert told(environ) == ("lowmemory", exponential)


def test_in_force_only_for_a_while() -> None:
    """The process's own variables are back afterwards, also after an error."""
    before = dict(os.environ)

    def fail() -> None:
        with in_force({"OTEL_SERVICE_NAME": "x"}):
            seen.update(os.environ)
            raise ZeroDivisionError

    seen: dict[str, str] = {}
    with pytest.raises(ZeroDivisionError):
        fail()

    assert seen == {"OTEL_SERVICE_NAME": "x"}
    assert dict(os.environ) == before


def test_an_empty_variable_is_not_set() -> None:
    """As the specification has it, and as compose files write it."""
    names = [
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
        "OTEL_BLRP_SCHEDULE_DELAY",
        "OTEL_BLRP_MAX_QUEUE_SIZE",
        "OTEL_TRACES_SAMPLER",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
    ]

    assert values_of(dict.fromkeys(names, "")) == values_of({})


@pytest.mark.parametrize("text", ["abc", "0", "-1", "1.5"])
@pytest.mark.parametrize("name", ["MAX_EXPORT_BATCH_SIZE", "SCHEDULE_DELAY", "MAX_QUEUE_SIZE"])
def test_a_number_that_is_none_is_named(name: str, text: str) -> None:
    """One line, not a traceback."""
    with pytest.raises(StartupError, match=f"OTEL_BLRP_{name}: '{text}' is no whole number"):
        values_of({f"OTEL_BLRP_{name}": text})
    assert values_of({f"OTEL_BLRP_{name}": text}, logs_enabled="no")


def test_the_time_of_a_batch() -> None:
    """As the specification has it, in milliseconds; what is none ends the start."""
    name = "OTEL_BSP_EXPORT_TIMEOUT"

    assert export_timeout_s(values_of({name: "2500"})) == 2.5
    assert export_timeout_s(values_of({name: " "})) is None
    assert export_timeout_s(values_of({name: "0"})) == math.inf
    with pytest.raises(StartupError, match=f"{name}: '9999.*' is no whole number"):
        values_of({name: "9" * 5000})
    with pytest.raises(StartupError, match=f"{name}: '2.5s' is no whole number"):
        values_of({name: "2.5s"})
    assert values_of({name: "2.5s"}, traces_enabled="no")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("text", ["0", "0.0", "inf", "1e300"])
@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT"])
def test_no_limit_to_the_time_of_a_request(protocol: str, text: str, name: str) -> None:
    """A timeout of 0 is none, as the specification has it; a socket takes no endless one."""
    values = values_of({name: text})

    assert float(values[name]) == NO_LIMIT_S
    environ = {"OTEL_EXPORTER_OTLP_TIMEOUT": text}
    with Receiver() as receiver:
        transport = transport_to(receiver, protocol, environ)
        answer = transport.send(request_of(1), transport.timeout_s)
        transport.close()
    assert answer.outcome is Outcome.TAKEN, answer.reason


def test_what_the_sdk_cannot_read_ends_the_start_with_a_line() -> None:
    """Limits that are no numbers, which only the SDK reads."""
    environ = {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "long"}

    with pytest.raises(StartupError, match="OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"):
        read_sdk(telemetry(environ), environ, "id")


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        ({}, "http://h:4317"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t:1/v1/traces"}, "https://t:1/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://me:s3cret@t:1"}, "https://***@t:1"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t:1/a?k=s3cret"}, "https://t:1/a?***"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
    ],
)
def test_the_log_says_where_traces_go(environ: dict[str, str], shown: str) -> None:
    """What is of traces alone goes before what is of all signals; a password is not told."""
    assert shown == shown_endpoint("traces", values_of(environ, endpoint="http://h:4317"))


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, []),
        ({"OTEL_PROPAGATORS": "b3,tracecontext,none"}, ["b3 is passed over"]),
        ({"OTEL_PROPAGATORS": "baggage"}, ["baggage comes with trace contexts; none is taken"]),
        ({"OTEL_METRICS_EXPORTER": "otlp, Prometheus"}, ["Prometheus is passed over"]),
        ({"OTEL_METRICS_EXEMPLAR_FILTER": "always_on"}, ["always_on is taken for trace_based"]),
        (
            {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel,aws_ecs"},
            ["aws_ecs is passed over; it is not installed"],
        ),
        ({"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "*"}, []),
        (
            {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "abc"},
            ["SAMPLER_ARG: without effect; always_on takes none"],
        ),
    ],
)
def test_what_means_nothing_here_is_told(
    caplog: pytest.LogCaptureFixture, environ: dict[str, str], told: list[str]
) -> None:
    """A warning that names the variable; what is sent is what counts here."""
    with caplog.at_level(logging.WARNING, "ferrite_py"):
        sdk = read_sdk(telemetry(environ), environ, "id")

    assert len(caplog.messages) == len(told)
    for message, part in zip(caplog.messages, told, strict=True):
        assert part in message
        assert message.split(":")[0] in environ
    assert exporter_of("metrics", sdk.values) == "otlp"
    assert sdk.values["OTEL_METRICS_EXEMPLAR_FILTER"] == "trace_based"


def test_variables_without_effect_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """Each with its reason, unless it is of a signal that is off; those with an effect are not."""
    effective = ("OTEL_BSP_EXPORT_TIMEOUT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT")
    environ = dict.fromkeys([*WITHOUT_EFFECT, *effective], "5")
    off = {"traces_enabled": "no", "logs_enabled": "no"}

    with caplog.at_level(logging.WARNING, "ferrite_py"):
        read_sdk(telemetry(environ), environ, "id")
        told = [message.split(":")[0] for message in caplog.messages]
        caplog.clear()
        read_sdk(telemetry(environ, **off), environ, "id")
        of_metrics = [message.split(":")[0] for message in caplog.messages]

    assert told == list(WITHOUT_EFFECT)
    assert of_metrics == [
        name for name, (signal, _) in WITHOUT_EFFECT.items() if signal in ("", "metrics")
    ]
    empty = dict.fromkeys(WITHOUT_EFFECT, "")
    with caplog.at_level(logging.WARNING, "ferrite_py"):
        caplog.clear()
        read_sdk(telemetry(empty), empty, "id")
    assert caplog.messages == []
