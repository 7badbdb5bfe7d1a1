"""What settings, OpenTelemetry's variables and metrics are for, seen by a receiver.

Each is given a value that no default has, and what arrives is wrong without it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import Process, run_to_end
from tests.support.resp import parse
from tests.telemetry.receiver import Receiver, hanging
from tests.telemetry.views import MetricView, SpanView, metrics_of

CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NEVER_MS = "3600000"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver without a fault."""
    with Receiver() as made:
        yield made


def on_wire(*words: str, flags: str) -> bytes:
    """A command with a caller in front of it."""
    parts = ["traceparent", f"00-{CALLER[0]}-{CALLER[1]}-{flags}"]
    head, tail = (
        b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in group)
        for group in (parts, words)
    )
    return b"|1\r\n" + head + b"*%d\r\n" % len(words) + tail


def served(receiver: Receiver, count: int) -> list[SpanView]:
    """Wait for so many commands; all of them."""
    return receiver.wait_for_spans(count, lambda span: span.kind == "SERVER")


def traced(receiver: Receiver, **settings: str) -> list[str]:
    """Settings of a server whose traces alone are exported."""
    given = {
        "enabled": "yes",
        "connection_rate_max": "0",
        "endpoint": receiver.grpc_endpoint,
        "metrics_enabled": "no",
        "logs_enabled": "no",
        "batch_timeout_ms": "20",
        "detail": "command",
        **settings,
    }
    return [f"telemetry.{name}={text}" for name, text in given.items()]


@pytest.mark.seed(
    "traceparent",
)
def test_the_callers_span_is_the_parent(tmp_path: Path, receiver: Receiver) -> None:
    """`traceparent` makes the command part of the caller's trace; the next one is not."""
    server = Process(tmp_path, *traced(receiver))
    with server.client() as client:
        client.send(on_wire("PING", flags="01"))
        client.read()
        client.command("ECHO", "x")
        ping, echo = served(receiver, 2)

    assert (ping.trace_id, ping.parent_id) == CALLER
    assert (echo.name, echo.parent_id) == ("ECHO", "")
    server.stop()


@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.seed(
    "telemetry.traces_enabled",
)
def test_traces_are_switched(tmp_path: Path, receiver: Receiver, is_on: bool) -> None:
    """`traces_enabled` decides whether spans are sent, whatever else is."""
    server = Process(tmp_path, *traced(receiver, traces_enabled="yes" if is_on else "no"))
    with server.client() as client:
        client.command("PING")
    server.stop()

    assert [span.name for span in receiver.spans()] == ["PING"] * is_on


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
    "telemetry.batch_size",
)
def test_batches_are_as_large_as_said(tmp_path: Path, receiver: Receiver) -> None:
    """Of `batch_size` commands the spans are sent at once, though no time is over."""
    settings = traced(receiver, batch_size="7", batch_timeout_ms=NEVER_MS)
    server = Process(tmp_path, *settings)
    with server.client() as client:
        client.pipeline([("PING",)] * 70)
        spans = served(receiver, 70)
    server.stop()

    sizes = [
        sum(len(scope.spans) for group in message.resource_spans for scope in group.scope_spans)
        for message in receiver.messages("traces")
    ]
    assert len(spans) == 70
    assert max(sizes) == 7


def test_a_queue_smaller_than_a_batch_loses_nothing(tmp_path: Path, receiver: Receiver) -> None:
    """Commands go when their thread's queue is half full, though no batch is and no time is over.

    The queue has room for 4,096 of them without texts, as a batch has, and for fewer with.
    """
    settings = traced(receiver, event_bus_queue_size="2048", batch_timeout_ms=NEVER_MS)
    server = Process(tmp_path, *settings)
    queue = 2048 * 256 // 128
    with server.client() as client:
        for sent in range(1000, 8001, 1000):
            client.pipeline([("PING",)] * 1000)
            served(receiver, sent - queue // 2)
    server.stop()

    assert len(served(receiver, 8000)) == 8000
    assert len(receiver.messages("traces")) > 2


def test_what_is_left_at_the_stop_is_lost_in_the_metrics(
    tmp_path: Path, receiver: Receiver
) -> None:
    """With a receiver of traces that hangs: what has arrived and what was lost are all commands."""
    settings = traced(
        receiver,
        metrics_enabled="yes",
        metrics_export_interval="1h",
        batch_size="100",
        shutdown_flush_timeout="300ms",
    )
    with Receiver() as other:
        environ = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": other.grpc_endpoint}
        server = Process(tmp_path, *settings, environ=environ)
        with server.client() as client:
            client.command("PING")
            served(receiver, 1)
            receiver.behave(hanging())
            client.pipeline([("PING",)] * 1000)
        server.stop()
        lost = {
            str(metric.attributes["reason"]): metric.value
            for metric in other.metrics()
            if metric.name == "ferrite.telemetry.lost"
        }

    assert len(receiver.spans()) + sum(lost.values()) == 1001
    assert lost["stopped"] >= 900


@pytest.mark.seed(
    "telemetry.batch_timeout_ms",
)
def test_what_is_no_batch_waits_as_long_as_said(tmp_path: Path, receiver: Receiver) -> None:
    """30 commands that each wait for the span of the one before: 30 times the timeout."""
    server = Process(tmp_path, *traced(receiver, batch_timeout_ms="20"))
    began = time.monotonic()
    with server.client() as client:
        for number in range(30):
            client.command("PING")
            served(receiver, number + 1)
    took_s = time.monotonic() - began
    server.stop()

    assert took_s < 60  # it would be 150 with the default


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
        [span] = served(receiver, 1)
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
    environ = {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "process"}
    settings = traced(receiver, resource_attributes="process.command=cache")
    server = Process(tmp_path, *settings, environ=environ)
    with server.client() as client:
        client.command("PING")
        [span] = served(receiver, 1)
    server.stop()

    assert span.resource["process.pid"] == server.process.pid
    assert span.resource["process.runtime.name"] == "cpython"
    assert span.resource["process.command"] == "cache"
    assert span.resource["service.name"] == "ferrite"


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
        assert [span.name for span in served(receiver, 1)] == ["ECHO"]
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


def test_names_of_baggage_that_are_too_long_change_nothing(
    tmp_path: Path, receiver: Receiver
) -> None:
    """CONFIG SET takes as much as the server has room for, and refuses more with a reason."""
    longest = ["a" * 511, "b" * 511]
    server = Process(tmp_path, *traced(receiver))
    with server.client() as client:
        taken = client.command("CONFIG", "SET", "telemetry-baggage-keys", " ".join(longest))
        refused = client.command("CONFIG", "SET", "telemetry-baggage-keys", "c" * 1024)
        found = client.command("CONFIG", "GET", "telemetry-baggage-keys").raw
    server.stop()

    assert taken.raw == b"+OK\r\n"
    assert b"at most 1023 bytes" in refused.raw
    assert " ".join(longest).encode() in found
    started = run_to_end("--set", f"telemetry.baggage_keys={'c' * 1024}")
    assert started.returncode != 0
    assert "Traceback" not in started.stderr
    assert "telemetry.baggage_keys" in started.stderr


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


class Metrics:
    """A server of 64 MiB whose metrics are exported all the time."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self._receiver = receiver
        settings = {
            "telemetry.enabled": "yes",
            "telemetry.endpoint": receiver.grpc_endpoint,
            "telemetry.traces_enabled": "no",
            "telemetry.logs_enabled": "no",
            "telemetry.metrics_export_interval": "50ms",
            "storage.data_dir": str(folder / "data"),
            "storage.segment_size": "64kb",
            "storage.max_memory": "64mb",
            "server.enable_debug_command": "yes",
        }
        self.process = Process(folder, *(f"{name}={text}" for name, text in settings.items()))
        self.client = self.process.client()

    def info(self, section: str) -> dict[str, str]:
        """The fields of a section of INFO."""
        text = parse(self.client.command("INFO", section).raw).text
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def after_now(self) -> list[MetricView]:
        """The values of an export that began after this call."""
        # One may be under way: the second one from now began later.
        wanted = len(self._receiver.arrivals("metrics")) + 2
        self._receiver.wait(lambda one: len(one.arrivals("metrics")) >= wanted)
        return list(metrics_of(self._receiver.messages("metrics")[-1]))

    def close(self) -> None:
        """End it."""
        self.client.close()
        self.process.stop()


@pytest.fixture
def metrics(tmp_path: Path, receiver: Receiver) -> Iterator[Metrics]:
    """A running server with tiers."""
    made = Metrics(tmp_path, receiver)
    yield made
    made.process.kill()


def value(views: list[MetricView], name: str, **labels: str) -> float:
    """The number of one data point, or the count of a histogram."""
    [found] = [one for one in views if one.name == name and one.attributes == labels]
    return float(found.value.count if found.kind == "histogram" else found.value)


@pytest.mark.seed(
    "ferrite.commands.total",
    "ferrite.command.duration",
    "ferrite.cache.hits.total",
    "ferrite.cache.misses.total",
    "ferrite.cache.hit.rate",
    "ferrite.connections.active",
    "ferrite.connections.total",
    "ferrite.keys.total",
    "ferrite.memory.max",
    "ferrite.memory.used",
    "ferrite.hybridlog.tier.size",
    "ferrite.epoch.current",
    "ferrite.network.bytes.received",
    "ferrite.network.bytes.sent",
    "telemetry.metrics_export_interval",
)
def test_metrics_are_what_happened(metrics: Metrics) -> None:
    """Commands, look-ups, connections, keys and bytes; nothing is a constant."""
    client = metrics.client
    for number in range(40):
        client.command("SET", f"key:{number}", "x" * 3000)
    client.command("DEBUG", "TIER", "DISK")
    client.command("SET", "hot", "x")
    for name in ("hot", "hot", "hot", "key:1", "nokey"):
        client.command("GET", name)
    with metrics.process.client() as second:
        second.command("SELECT", "3")
        second.command("SET", "other", "x")
        tiers, before = metrics.info("hybridlog"), metrics.info("memory")

        views = metrics.after_now()

        memory = sorted(int(one["used_memory"]) for one in (before, metrics.info("memory")))

    assert value(views, "ferrite.commands.total", command="SET") == 42
    assert value(views, "ferrite.command.duration", command="SET") == 42
    assert value(views, "ferrite.cache.hits.total") == 3
    assert value(views, "ferrite.cache.misses.total") == 2
    assert value(views, "ferrite.cache.hit.rate") == 0.6
    assert value(views, "ferrite.connections.active") == 2
    assert value(views, "ferrite.connections.total") == 2
    assert value(views, "ferrite.keys.total", db="0") == 41
    assert value(views, "ferrite.keys.total", db="3") == 1
    assert value(views, "ferrite.memory.max") == 64 << 20
    # What moved to the disk may be given back in between.
    used = value(views, "ferrite.memory.used")
    assert memory[0] - 65536 < used < memory[1] + 65536
    assert value(views, "ferrite.hybridlog.tier.size", tier="disk") == int(tiers["disk_bytes"]) > 0
    assert value(views, "ferrite.epoch.current") == int(tiers["epoch"]) > 0
    received = value(views, "ferrite.network.bytes.received")
    sent = value(views, "ferrite.network.bytes.sent")
    assert 40 * 3000 < received < 45 * 3200
    assert 3000 < sent < 40 * 3000
    metrics.close()


@pytest.mark.seed(
    "ferrite.keys.expired.total",
)
def test_keys_that_are_gone(metrics: Metrics) -> None:
    """Those whose time had come and those that made room are counted apart, as INFO does."""
    client = metrics.client
    client.command("SET", "short", "x", "PX", "1")
    end = time.monotonic() + 20
    while client.command("EXISTS", "short").raw != b":0\r\n":
        assert time.monotonic() < end

    views = metrics.after_now()

    assert value(views, "ferrite.keys.expired.total") == 1
    assert value(views, "ferrite.keys.evicted.total") == 0
    metrics.close()


@pytest.mark.seed(
    "ferrite.keys.evicted.total",
)
def test_keys_that_made_room(tmp_path: Path, receiver: Receiver) -> None:
    """With a limit and a policy that evicts, what was evicted is counted."""
    settings = [
        "telemetry.enabled=yes",
        f"telemetry.endpoint={receiver.grpc_endpoint}",
        "telemetry.traces_enabled=no",
        "telemetry.metrics_export_interval=1h",
        "storage.max_memory=16mb",
    ]
    server = Process(tmp_path, *settings)
    with server.client() as client:
        client.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        for first in range(0, 4000, 100):
            client.pipeline(
                ("SET", f"key:{number}", "x" * 10_000) for number in range(first, first + 100)
            )
        text = parse(client.command("INFO", "stats").raw).text
    server.stop()

    told = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    views = receiver.metrics()
    assert value(views, "ferrite.keys.evicted.total") == int(told["evicted_keys"]) > 0
    assert value(views, "ferrite.keys.expired.total") == 0
