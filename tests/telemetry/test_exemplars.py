"""Exemplars: durations of commands lead to traces that a receiver has, by every way of metrics."""

from __future__ import annotations

import itertools
import math
import subprocess
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
from opentelemetry.sdk.metrics.export import AggregationTemporality
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from ferrite_py.exemplars import Exemplar, placed
from ferrite_py.measure import BOUNDS, OPERATION_DURATION, ROWS, SCALE, Histogram, Measurement
from ferrite_py.telemetry.metrics import Points
from tests.support.process import command, environment
from tests.support.served import Served
from tests.support.servers import free_port
from tests.telemetry.page import OPENMETRICS, ask
from tests.telemetry.receiver import Receiver, bad_request, partial_success
from tests.telemetry.tracing import CALLER, commands, on_wire
from tests.telemetry.views import MetricView, SpanView

DEADLINE_S = 20.0
DURATION = "ferrite.command.duration"
BUCKET = "ferrite_command_duration_bucket"
SECOND = 10**9


def serve(
    folder: Path,
    receiver: Receiver,
    *more: str,
    environ: dict[str, str] | None = None,
    config: Path | None = None,
) -> Served:
    """A server whose spans arrive soon and whose metrics arrive at the stop."""
    return Served(
        folder,
        "telemetry.enabled=yes",
        f"telemetry.endpoint={receiver.grpc_endpoint}",
        "telemetry.logs_enabled=no",
        "telemetry.batch_timeout_ms=20",
        "telemetry.metrics_export_interval=1h",
        "telemetry.detail=command",
        *more,
        environ=environ,
        config=config,
    )


def samples_of(port: int) -> list[Sample]:
    """The buckets of durations on a page in OpenMetrics."""
    answer = ask(port, "/metrics", accept=OPENMETRICS)
    assert "openmetrics" in answer.headers["content-type"]
    parse: Callable[[str], Iterable[Metric]] = text_string_to_metric_families
    families = parse(answer.body.decode())
    return [one for family in families for one in family.samples if one.name == BUCKET]


def shown(port: int) -> list[Sample]:
    """The buckets that have an exemplar."""
    return [one for one in samples_of(port) if one.exemplar is not None]


def until(port: int, is_enough: Callable[[set[str]], bool]) -> list[Sample]:
    """Ask for the page until the commands that have exemplars are enough."""
    end = time.monotonic() + DEADLINE_S
    while True:
        found = shown(port)
        if is_enough({one.labels["command"] for one in found}):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.02)


def by_id(spans: list[SpanView]) -> dict[tuple[str, str], SpanView]:
    """Spans by what an exemplar says of them."""
    return {(span.trace_id, span.span_id): span for span in spans}


def bound_below(le: str) -> float:
    """Where the bucket begins that ends there."""
    bounds: tuple[float, ...] = (0.0, *BOUNDS, math.inf)
    return bounds[bounds.index(float(le)) - 1]


@pytest.mark.parametrize("transport", ["reactors", "streams"])
def test_a_page_leads_to_traces_that_arrived(
    tmp_path: Path, receiver: Receiver, transport: str
) -> None:
    """Value and time are the command's, its bucket has counted it, and its span arrived."""
    made = serve(tmp_path, receiver, f"server.transport={transport}")
    for number in range(300):
        made.client.command("SET", f"key:{number}", "x" * number)
        made.client.command("GET", f"key:{number}")
    made.client.command("CONFIG", "GET", "maxmemory")
    made.client.command("INCR", "key:1")

    found = until(made.metrics, {"SET", "GET", "CONFIG GET", "INCR"}.__le__)
    counts = {
        (one.labels["command"], one.labels["le"]): one.value for one in samples_of(made.metrics)
    }
    made.close()

    spans = by_id(receiver.spans())
    for one in found:
        exemplar, le = one.exemplar, one.labels["le"]
        assert exemplar is not None
        assert set(exemplar.labels) == {"trace_id", "span_id"}
        span = spans[exemplar.labels["trace_id"], exemplar.labels["span_id"]]
        assert span.name == one.labels["command"]
        assert bound_below(le) < exemplar.value <= float(le)
        names = [repr(bound) for bound in BOUNDS] + ["+Inf"]
        at = names.index(le)
        below = counts[one.labels["command"], names[at - 1]] if at else 0
        assert counts[one.labels["command"], le] > below
        assert exemplar.timestamp is not None
        # The parser's moments are exact, those of floats are not.
        moment = exemplar.timestamp.sec * SECOND + exemplar.timestamp.nsec  # type: ignore[union-attr]
        assert span.start <= moment <= span.end
        assert exemplar.value * SECOND <= (span.end - span.start) * 1.01 + 1
    assert len({one.labels["le"] for one in found if one.labels["command"] == "GET"}) >= 1


def test_the_plain_text_has_none(tmp_path: Path, receiver: Receiver) -> None:
    """The format does not know them; its readers would refuse the page."""
    made = serve(tmp_path, receiver)
    made.client.command("PING")
    until(made.metrics, {"PING"}.__le__)

    text = ask(made.metrics, "/metrics").body.decode()

    assert BUCKET in text
    assert "trace_id" not in text
    assert [line for line in text.splitlines() if " # " in line and line[0] != "#"] == []
    made.close()


def check_points(views: list[MetricView], spans: dict[tuple[str, str], SpanView]) -> set[str]:
    """Compare what points of durations have with the spans that arrived; the commands of them."""
    commands = set()
    for view in views:
        if view.name not in (DURATION, OPERATION_DURATION):
            assert view.exemplars == ()
            continue
        name = view.attributes.get("command", view.attributes.get("db.operation.name"))
        for one in view.exemplars:
            assert (len(one.trace_id), len(one.span_id)) == (16, 8)
            span = spans[one.trace_id.hex(), one.span_id.hex()]
            assert span.name == name
            assert span.start <= one.time_unix_nano <= span.end
            # Measurements are of a millisecond.
            point = view.value
            assert point.start_time_unix_nano <= one.time_unix_nano
            assert one.time_unix_nano < point.time_unix_nano + SECOND
            assert counted(view, one.as_double) > 0
            commands.add(name)
    return commands


def counted(view: MetricView, seconds: float) -> int:
    """What the buckets have counted in which a duration lies."""
    point = view.value
    if view.kind == "histogram":
        at = bisect_left(list(point.explicit_bounds), seconds)
        return int(point.bucket_counts[at])
    if seconds < 2.0**-27:
        return int(point.zero_count)
    at = math.ceil(math.log2(seconds) * 2**point.scale) - 1 - point.positive.offset
    return int(point.positive.bucket_counts[at])


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("aggregation", ["explicit", "base2_exponential"])
@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_otlp_leads_to_traces_that_arrived(
    tmp_path: Path, receiver: Receiver, protocol: str, aggregation: str, temporality: str
) -> None:
    """Points of both kinds have them, under both names, cumulative and as deltas."""
    preference = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    default = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
    made = serve(
        tmp_path,
        receiver,
        f"telemetry.protocol={protocol}",
        f"telemetry.endpoint={receiver.endpoint(protocol)}",
        environ={preference: temporality, default: f"{aggregation}_bucket_histogram"},
    )
    for number in range(50):
        made.client.command("SET", f"key:{number}", "x")
        made.client.command("GET", f"key:{number}")

    made.close()

    views = receiver.metrics()
    kinds = {view.kind for view in views if view.name == DURATION}
    assert kinds == {"histogram" if aggregation == "explicit" else "exponential_histogram"}
    assert check_points(views, by_id(receiver.spans())) >= {"SET", "GET"}
    twins = [
        {one.span_id for view in views if view.attributes == wanted for one in view.exemplars}
        for wanted in (
            {"command": "SET"},
            {"db.system.name": "ferrite", "db.operation.name": "SET"},
        )
    ]
    assert twins[0] == twins[1] != set()


def test_deltas_of_a_running_server(tmp_path: Path, receiver: Receiver) -> None:
    """No exemplar comes twice, and each ended within the time of its point."""
    made = serve(
        tmp_path,
        receiver,
        "telemetry.metrics_export_interval=100ms",
        environ={"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"},
    )

    def told() -> list[MetricView]:
        return [view for view in receiver.metrics() if view.name == DURATION and view.exemplars]

    end = time.monotonic() + DEADLINE_S
    while len({view.value.time_unix_nano for view in told()}) < 3:
        assert time.monotonic() < end
        made.client.command("SET", "key", "x")
    made.close()

    spans = by_id(receiver.spans())
    assert "SET" in check_points(receiver.metrics(), spans)
    ids = [one.span_id for view in told() for one in view.exemplars]
    assert len(set(ids)) == len(ids)


def test_what_was_not_sampled_never_shows(tmp_path: Path, receiver: Receiver) -> None:
    """Of commands that nobody exports only those show that their caller sampled, or that failed."""
    made = serve(tmp_path, receiver, "telemetry.sample_rate=0.0", "telemetry.retain_slower_than=-1")
    for number in range(200):
        made.client.command("SET", f"key:{number}", "x")
        made.client.send(on_wire("GET", f"key:{number}", flags="00" if number % 50 else "01"))
        made.client.read()
    made.client.command("INCR", "key:1")

    found = until(made.metrics, {"GET", "INCR"}.__le__)
    made.close()

    spans = by_id(receiver.spans())
    assert sorted(span.name for span in spans.values()) == ["GET"] * 4 + ["INCR"]
    assert {one.labels["command"] for one in found} == {"GET", "INCR"}
    exemplars = [(one.labels["command"], one.exemplar.labels) for one in found if one.exemplar]
    assert all((labels["trace_id"], labels["span_id"]) in spans for _, labels in exemplars)
    assert {labels["trace_id"] for name, labels in exemplars if name == "GET"} == {CALLER[0]}
    assert check_points(receiver.metrics(), spans) == {"GET", "INCR"}


@pytest.mark.parametrize("fault", [bad_request(), partial_success(1)], ids=["refused", "partial"])
def test_what_the_receiver_has_not_taken_never_shows(
    tmp_path: Path, receiver: Receiver, fault: object
) -> None:
    """A trace that was lost, or may be, is no exemplar; the next one is."""
    made = serve(tmp_path, receiver)
    receiver.behave(fault)  # type: ignore[arg-type]
    made.client.command("ECHO", "lost")
    receiver.wait(lambda _: receiver.arrivals("traces", taken=None) != [])
    receiver.behave()
    made.client.command("SET", "key", "x")

    found = until(made.metrics, {"SET"}.__le__)

    assert {one.labels["command"] for one in found} == {"SET"}
    made.close()


def test_transactions_and_waits(tmp_path: Path, receiver: Receiver) -> None:
    """Commands of a transaction have exemplars; EXEC and what slept have not.

    Their spans are longer than what their histograms count.
    """
    made = serve(tmp_path, receiver, "server.enable_debug_command=yes")
    made.client.command("DEBUG", "SLEEP", "0.05")
    for words in (("MULTI",), ("SET", "key", "x"), ("EXEC",), ("PING",)):
        made.client.command(*words)
    commands(receiver, 5)

    found = until(made.metrics, {"PING", "SET", "MULTI"}.__le__)

    names = {one.labels["command"] for one in samples_of(made.metrics)}
    assert {"EXEC", "DEBUG"} <= names
    assert {"EXEC", "DEBUG"}.isdisjoint(one.labels["command"] for one in found)
    made.close()


def test_reads_from_disk(tmp_path: Path, receiver: Receiver) -> None:
    """A command that waited for the disk has the duration with its wait."""
    made = serve(
        tmp_path,
        receiver,
        f"storage.data_dir={tmp_path / 'data'}",
        "storage.segment_size=64kb",
        "server.enable_debug_command=yes",
        "telemetry.sample_rate=0.0",
        "telemetry.retain_slower_than=-1",
    )
    for number in range(50):
        made.client.command("SET", f"key:{number}", "x" * 3000)
    made.client.command("DEBUG", "TIER", "DISK")
    for number in range(20):
        made.client.command("GET", f"key:{number}")

    found = until(made.metrics, {"GET"}.__le__)
    made.close()

    spans = by_id(receiver.spans())
    assert {one.labels["command"] for one in found} == {"GET"}
    for one in found:
        assert one.exemplar is not None
        span = spans[one.exemplar.labels["trace_id"], one.exemplar.labels["span_id"]]
        waited = span.attributes["ferrite.command.wait_us"]
        assert waited / 1e6 <= one.exemplar.value <= (span.end - span.start) / SECOND * 1.01
    assert "GET" in check_points(receiver.metrics(), spans)


def test_statistics_that_were_reset(tmp_path: Path, receiver: Receiver) -> None:
    """CONFIG RESETSTAT takes the exemplars of what is not counted any more."""
    made = serve(tmp_path, receiver)
    made.client.command("ECHO", "x")
    until(made.metrics, {"ECHO"}.__le__)
    time.sleep(0.002)  # measurements are of a millisecond

    made.client.command("CONFIG", "RESETSTAT")
    made.client.command("PING")

    found = until(made.metrics, {"PING"}.__le__)
    assert "ECHO" not in {one.labels["command"] for one in found}
    made.close()


# OTEL_METRICS_EXEMPLAR_FILTER ---------------------------------------------------------------------

FILTER = "OTEL_METRICS_EXEMPLAR_FILTER"


@pytest.mark.parametrize(
    ("environ", "settings"),
    [
        ({FILTER: "always_off"}, ()),
        ({FILTER: "ALWAYS_OFF"}, ("telemetry.retain_errors=yes",)),
        ({}, ("telemetry.exemplars=always_off",)),
        ({FILTER: "trace_based", "FERRITE_TELEMETRY_EXEMPLARS": "always_off"}, ()),
        ({}, ("telemetry.traces_enabled=no",)),
    ],
)
def test_none_are_wanted(
    tmp_path: Path, receiver: Receiver, environ: dict[str, str], settings: tuple[str, ...]
) -> None:
    """With `always_off`, by the variable or the setting, and without traces there are none."""
    made = serve(tmp_path, receiver, *settings, environ=environ)
    made.client.command("PING")
    if "telemetry.traces_enabled=no" not in settings:
        commands(receiver, 1)
        made.client.command("PING")
        commands(receiver, 2)  # the first batch was taken before the second was sent
    found = shown(made.metrics)

    made.close()

    assert found == []
    assert [view for view in receiver.metrics() if view.exemplars] == []
    assert any(view.name == DURATION for view in receiver.metrics())


@pytest.mark.parametrize("word", ["", "trace_based", "always_on"])
def test_trace_based_is_the_default(tmp_path: Path, receiver: Receiver, word: str) -> None:
    """An empty variable counts as not set; the variable goes over the file."""
    config = tmp_path / "ferrite.toml"
    config.write_text(f'[telemetry]\nexemplars = "{"always_off" if word else "trace_based"}"\n')
    made = serve(tmp_path, receiver, environ={FILTER: word}, config=config)
    made.client.command("PING")

    until(made.metrics, {"PING"}.__le__)

    made.close()


def test_a_filter_that_is_not_there(receiver: Receiver) -> None:
    """It ends the start with one line that names the variable; without telemetry nobody minds."""
    word = "sometimes"

    def run(*flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command("--port", str(free_port()), *flags),
            env=environment({FILTER: word}),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    ended = run("--otlp-endpoint", receiver.grpc_endpoint)
    other = run("--set", "tls.port=1", "--set", "tls.cert_file=/nowhere")

    assert ended.returncode == 1
    message = f'{FILTER}: "{word}": expected one of trace_based, always_off, always_on'
    assert message in ended.stderr + ended.stdout
    assert FILTER not in other.stderr + other.stdout


# Which exemplar stands where ----------------------------------------------------------------------


def exemplar(seconds: float, moment: int, number: int = 1) -> Exemplar:
    """An exemplar whose ids are a number."""
    return Exemplar(seconds, moment, f"{number:032x}", f"{number:016x}")


def test_the_newest_of_each_bucket() -> None:
    """Bounds belong to the bucket that ends there; empty buckets and what is too old have none."""
    bounds = (1.0, 2.0, 4.0)
    given = [
        exemplar(2.0, 20),
        exemplar(1.5, 10),
        exemplar(0.5, 4),
        exemplar(3.0, 30),
        exemplar(9.0, 5),
    ]

    found = placed(given, bounds, [1, 3, 3, 4], since=5)

    assert found == [None, given[0], None, given[4]]


def measured(start: int, now: int, counts: tuple[int, ...], *exemplars: Exemplar) -> Measurement:
    """Durations of PING: so many in each power of two from 1 s on; times in seconds."""
    samples: dict[str, list[tuple[tuple[str, ...], Histogram]]] = {row.name: [] for row in ROWS}
    rest = [0] * (2**SCALE - 1)
    buckets = tuple(itertools.chain.from_iterable((count, *rest) for count in counts))
    samples[DURATION] = [(("PING",), Histogram(1.0, 0, 0, buckets))]
    return Measurement(0, start * SECOND, now * SECOND, samples, {("PING",): exemplars})


def points_of(points: Points, measurement: Measurement) -> list[tuple[float, int]]:
    """The exemplars of PING's point: value and number."""
    [found] = [one for one in points.metrics(measurement) if one.name == DURATION]
    [point] = found.data.data_points
    return [(one.value, one.span_id) for one in point.exemplars]  # type: ignore[misc]


@pytest.mark.parametrize("is_exponential", [False, True])
def test_a_delta_has_what_ended_in_it(is_exponential: bool) -> None:
    """Not what an earlier one has told, nor what is older; after a reset it begins anew."""
    delta: dict[type, AggregationTemporality] = {HistogramInstrument: AggregationTemporality.DELTA}
    points = Points(delta, semconv="ferrite", is_exponential=is_exponential)
    first = measured(10, 20, (1, 0), exemplar(1.1, 15 * SECOND, 1))
    assert points_of(points, first) == [(1.1, 1)]
    points.keep(first)

    late = exemplar(3.0, 19 * SECOND, 2)  # of a batch that was taken after the first delta
    assert points_of(points, measured(10, 30, (2, 1), *first.exemplars["PING",], late)) == []
    new = exemplar(1.2, 25 * SECOND, 3)
    second = measured(10, 30, (2, 0), new)
    assert points_of(points, second) == [(1.2, 3)]
    # It was not taken by the receiver: the same is part of the next.
    third = measured(10, 40, (3, 0), new)
    assert points_of(points, third) == [(1.2, 3)]
    points.keep(third)

    last = measured(45, 50, (1, 0), exemplar(1.3, 44 * SECOND, 4))
    assert points_of(points, last) == []
    last = measured(45, 50, (1, 0), exemplar(1.3, 46 * SECOND, 5))
    assert points_of(points, last) == [(1.3, 5)]


def test_what_is_cumulative_has_the_newest() -> None:
    """The same is told again until a newer one has taken its place."""
    points = Points({}, semconv="ferrite", is_exponential=False)
    old, new = exemplar(1.1, 15 * SECOND, 1), exemplar(1.2, 25 * SECOND, 2)
    for measurement, expected in (
        (measured(10, 20, (1, 0), old), [(1.1, 1)]),
        (measured(10, 30, (1, 0), old), [(1.1, 1)]),
        (measured(10, 30, (2, 0), new), [(1.2, 2)]),
    ):
        assert points_of(points, measurement) == expected
        points.keep(measurement)
