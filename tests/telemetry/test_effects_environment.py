"""What OpenTelemetry's variables are for, seen by a receiver: each changes what arrives."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.process import Process
from tests.telemetry.receiver import Receiver, hanging
from tests.telemetry.tracing import CALLER, commands, on_wire, traced


def test_variables_of_signals_that_are_off_are_not_looked_at(
    tmp_path: Path, receiver: Receiver
) -> None:
    """The server starts and sends what is on."""
    environ = {
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json",
        "OTEL_METRICS_EXPORTER": "zipkin",
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "soon",
    }
    server = Process(tmp_path, *traced(receiver), environ=environ)
    with server.client() as client:
        client.command("PING")
    server.stop()

    assert [span.name for span in receiver.spans()] == ["PING"]


@pytest.mark.seed(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_AUTH_TOKEN",
)
def test_opentelemetrys_variables_go_over_the_file(tmp_path: Path, receiver: Receiver) -> None:
    """Endpoint, protocol, service, attributes, ratio and headers are the environment's."""
    config = tmp_path / "ferrite.toml"
    config.write_text(
        """
[telemetry]
enabled = true
endpoint = "http://127.0.0.1:1"
protocol = "grpc"
service_name = "of-the-file"
sample_rate = 0.0
metrics_enabled = false
logs_enabled = false
batch_timeout_ms = 20
connection_rate_max = 0
[telemetry.resource_attributes]
"deployment.environment" = "of-the-file"
[telemetry.headers]
"X-Token" = "Bearer ${OTEL_AUTH_TOKEN}"
"Authorization" = "of-the-file"
""",
        encoding="utf-8",
    )
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "cache",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=production,service.instance.id=i-7",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "1.0",
        "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer token123",
        "OTEL_AUTH_TOKEN": "t0ken",
    }
    server = Process(tmp_path, config=config, environ=environ)
    with server.client() as client:
        client.command("PING")
        [span] = commands(receiver, 1)
    server.stop()

    [arrival] = receiver.arrivals("traces")
    assert arrival.transport == "http"
    assert span.resource["service.name"] == "cache"
    assert span.resource["deployment.environment"] == "production"
    assert span.resource["service.instance.id"] == "i-7"
    assert arrival.headers["authorization"] == "Bearer token123"
    assert arrival.headers["x-token"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("sampler", "names"), [("always_on", ["PING"]), ("parentbased_always_on", []), ("", [])]
)
@pytest.mark.seed(
    "OTEL_TRACES_SAMPLER",
)
def test_the_sampler_of_the_environment(
    tmp_path: Path, receiver: Receiver, sampler: str, names: list[str]
) -> None:
    """A caller that did not sample is overruled by `always_on` only."""
    settings = traced(receiver, retain_slower_than="-1")
    server = Process(tmp_path, *settings, environ={"OTEL_TRACES_SAMPLER": sampler})
    with server.client() as client:
        client.send(on_wire("PING", flags="00"))
        client.read()
    server.stop()

    assert [span.name for span in receiver.spans()] == names


def test_resource_detectors_of_the_environment(tmp_path: Path, receiver: Receiver) -> None:
    """`process` tells which process it is; what the settings say of the resource stays."""
    environ = {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "aws_ecs, process"}
    settings = traced(receiver, resource_attributes="process.command=cache")
    server = Process(tmp_path, *settings, environ=environ)
    with server.client() as client:
        client.command("PING")
        [span] = commands(receiver, 1)
    server.stop()

    assert span.resource["process.pid"] == server.process.pid
    assert span.resource["process.runtime.name"] == "cpython"
    assert span.resource["process.command"] == "cache"
    assert span.resource["service.name"] == "ferrite"
    assert "aws_ecs is passed over; it is not installed" in server.log()


def test_the_time_of_a_batch_is_the_environments(tmp_path: Path, receiver: Receiver) -> None:
    """A receiver that hangs costs the commands of that time, and not ten seconds or a minute."""
    receiver.behave(hanging())
    environ = {"OTEL_BSP_EXPORT_TIMEOUT": "1500", "OTEL_EXPORTER_OTLP_TIMEOUT": "900"}
    server = Process(tmp_path, *traced(receiver), environ=environ)
    end = time.monotonic() + 20  # an attempt would take 900
    with server.client() as client:
        client.command("PING")
        while "1 not taken by the receiver" not in server.log():
            assert time.monotonic() < end, server.log()
            time.sleep(0.02)
        receiver.behave()
        client.command("ECHO", "x")
        assert [span.name for span in commands(receiver, 1)] == ["ECHO"]
    server.stop()


@pytest.mark.parametrize(
    ("propagators", "is_joined", "tenant"),
    [
        ("", True, "acme"),
        ("tracecontext", True, None),
        ("baggage", False, None),
        ("b3,none", False, None),
    ],
)
def test_propagators_say_what_is_taken_of_callers(
    tmp_path: Path, receiver: Receiver, propagators: str, is_joined: bool, tenant: str | None
) -> None:
    """Without `tracecontext` every trace begins here, and HELLO asks for none."""
    settings = traced(receiver, baggage_keys="tenant")
    server = Process(tmp_path, *settings, environ={"OTEL_PROPAGATORS": propagators})
    trace_id, span_id = CALLER
    with server.client() as client:
        with_baggage = b"|2\r\n+baggage\r\n+tenant=acme\r\n"
        client.send(on_wire("GET", "k", flags="01").replace(b"|1\r\n", with_baggage))
        assert client.read().raw == b"$-1\r\n"
        asked = b"traceparent" in client.command("HELLO", "3").raw
        client.command("TRACEPARENT", f"00-{trace_id}-{span_id}-01")
        client.command("GET", "k")
    server.stop()

    spans = [span for span in receiver.spans() if span.name == "GET"]
    assert asked is is_joined
    for span in spans:
        assert (span.trace_id == trace_id) is is_joined
        assert span.parent_id == (span_id if is_joined else "")
    assert [span.attributes.get("tenant") for span in spans] == [tenant, None]


def test_a_flag_goes_over_the_sampler_of_the_environment(
    tmp_path: Path, receiver: Receiver
) -> None:
    """`--set telemetry.sample_rate=0` is none, though the variable says all."""
    settings = traced(receiver, retain_slower_than="-1", sample_rate="0.0")
    server = Process(tmp_path, *settings, environ={"OTEL_TRACES_SAMPLER": "parentbased_always_on"})
    with server.client() as client:
        client.command("PING")
    server.stop()

    assert receiver.spans() == []
