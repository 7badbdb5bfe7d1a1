"""The benchmark of telemetry: its receiver, its statistics, its tables. Nothing is timed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy", reason="the bench extra is not installed")
pytest.importorskip("matplotlib", reason="the bench extra is not installed")

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from benchmarks import (
    collector,
    page,
    page_telemetry,
    plots_telemetry,
    proc,
    servers,
    stats,
    telemetrycost,
    telemetryloss,
    telemetryparts,
    telemetryserver,
)
from benchmarks.collector import Collector
from benchmarks.harness import Context, PlainProgress, Row
from benchmarks.servers import BenchmarkError, Kind

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
def receiver() -> Iterator[Collector]:
    """A collector of its own."""
    with collector.running(proc.choose_cores().generator) as running:
        yield running


class Sender:
    """Sends requests over one connection."""

    def __init__(self, port: int) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._export = self.channel.unary_unary(
            METHOD,
            request_serializer=None,
            response_deserializer=ExportTraceServiceResponse.FromString,
        )

    def send(self, request: bytes, timeout_s: float = 20.0, *, patient: bool = False) -> Any:
        """Send, and return the answer. Raises grpc.RpcError."""
        metadata = (("x-some", "header"),)
        return self._export(request, timeout=timeout_s, metadata=metadata, wait_for_ready=patient)


@pytest.fixture
def sender(receiver: Collector) -> Iterator[Sender]:
    """A client of the collector's port for traces."""
    made = Sender(receiver.ports[0])
    yield made
    made.channel.close()


def request_of(commands: int, others: int) -> bytes:
    """A request with so many spans of kind SERVER, and of others, in several scopes."""
    server = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="GET", kind=Span.SPAN_KIND_SERVER)
    inner = Span(trace_id=b"t" * 16, span_id=b"s" * 8, kind=Span.SPAN_KIND_INTERNAL)
    inner.start_time_unix_nano = 1
    request = ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(scope_spans=[ScopeSpans(spans=[server] * commands), ScopeSpans()]),
            ResourceSpans(schema_url="u", scope_spans=[ScopeSpans(spans=[inner] * others)]),
        ]
    )
    data: bytes = request.SerializeToString()
    return data


def test_collector_counts_spans_and_commands(receiver: Collector, sender: Sender) -> None:
    """Also those of a request that is longer than the first window of HTTP/2."""
    large = request_of(40_000, 20_000)
    assert len(large) > 1_000_000

    sender.send(request_of(3, 2))
    sender.send(large)
    sender.send(b"")

    counts = receiver.counts()
    assert (counts.requests, counts.commands, counts.spans) == (3, 40_003, 60_005)
    assert (counts.others, counts.refused) == (0, 0)
    assert counts.bytes > len(large)


def test_collector_keeps_other_signals_apart(receiver: Collector) -> None:
    """What comes to the second port is a request, and no spans."""
    other = Sender(receiver.ports[1])
    try:
        other.send(request_of(1, 0))
    finally:
        other.channel.close()

    counts = receiver.counts()
    assert (counts.others, counts.requests, counts.spans) == (1, 0, 0)


def test_collector_fails_as_told(receiver: Collector, sender: Sender) -> None:
    """It errs, hangs and is dead, counts nothing of that, and works again on the same port."""
    for behaviour, code in (
        ("error", grpc.StatusCode.UNAVAILABLE),
        ("hang", grpc.StatusCode.DEADLINE_EXCEEDED),
        ("dead", grpc.StatusCode.UNAVAILABLE),
    ):
        receiver.behave(behaviour)  # type: ignore[arg-type]
        with pytest.raises(grpc.RpcError) as failed:
            sender.send(request_of(1, 0), timeout_s=0.5)
        assert failed.value.code() is code
    assert receiver.counts().spans == 0
    assert receiver.counts().refused >= 1

    ports = receiver.behave("take").ports
    again = Sender(ports[0])
    again.send(request_of(2, 0), patient=True)
    again.channel.close()
    assert ports == receiver.ports
    assert receiver.counts().commands == 2


def test_collector_tells_what_is_malformed(receiver: Collector, sender: Sender) -> None:
    """Bytes that are cut short must not pass for no spans."""
    sender.send(request_of(5, 5)[:-3])

    with pytest.raises(BenchmarkError, match="malformed"):
        receiver.counts()


def test_collector_settles_and_waits(receiver: Collector, sender: Sender) -> None:
    """Both return what has arrived; one that waits in vain returns as well."""
    sender.send(request_of(4, 0))

    assert receiver.settled(0.1).commands == 4
    assert receiver.wait_for(lambda now: now.commands == 4, 20.0).commands == 4
    assert receiver.wait_for(lambda now: now.commands == 5, 0.1).commands == 4


def test_variants_are_arguments() -> None:
    """Off is everything off; others have their signals and share, and the collector's ports."""
    kind = Kind("ferrite-py", "ferrite", ("ferrite-py",), "1")
    tenth = next(one for one in telemetryserver.VARIANTS if one.name == "traces, 10 %")

    off = telemetryserver.kind_of(kind, telemetryserver.OFF, (1, 2))
    on = telemetryserver.kind_of(kind, tenth, (1, 2))

    assert off.command[-1] == "--disable-observability"
    without = telemetryserver.kind_of(kind, telemetryserver.WITHOUT_INSIGHT, (1, 2))
    assert without.command == (
        *off.command, "--set", "insight.curve=false", "--set", "insight.miss_reasons=false"
    )  # fmt: skip
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:1" in on.command
    for word in (
        "telemetry.endpoint=http://127.0.0.1:2",
        "telemetry.sample_rate=0.1",
        "telemetry.traces_enabled=true",
        "telemetry.metrics_enabled=false",
        "telemetry.logs_enabled=false",
        "metrics.enabled=false",
    ):
        assert word in on.command


def test_dropped_is_read_from_the_page() -> None:
    """Losses of sampled commands only; a page without them is told apart from one with a zero."""
    page_text = (
        "# TYPE ferrite_telemetry_lost_total counter\n"
        'ferrite_telemetry_lost_total{reason="queue_full"} 10.0\n'
        'ferrite_telemetry_lost_total{reason="not_taken"} 2.0\n'
        'ferrite_telemetry_lost_total{reason="rate_limit"} 7.0\n'
    )

    assert telemetryserver.parse_dropped(page_text) == 12
    assert telemetryserver.parse_dropped("up 1\n") is None


def test_interval_holds_what_groups_differ_by() -> None:
    """Groups that disagree make it wide, however many values each has; one outlier does not."""
    agreeing = stats.clustered_interval([[1.0, 2.0, 3.0] * 10] * 4)
    differing = stats.clustered_interval([[value] * 30 for value in (1.0, 2.0, 3.0, 2.0)])
    disturbed = stats.clustered_interval([[*[2.0] * 29, 1000.0]])

    assert agreeing.middle == differing.middle == 2.0
    assert agreeing.low <= 2.0 <= agreeing.high
    assert differing.width > 2 * agreeing.width
    assert disturbed.high == 2.0


@pytest.mark.parametrize("groups", [[], [[]], [[1.0], []]])
def test_interval_of_nothing_is_an_error(groups: list[list[float]]) -> None:
    """A missing measurement must not become a figure."""
    with pytest.raises(ValueError, match="no values"):
        stats.clustered_interval(groups)


def test_every_variant_stands_between_two_turns_off() -> None:
    """In each round, and each of them is the first once."""
    rounds = [telemetrycost.turns(i) for i in range(len(telemetryserver.VARIANTS))]

    for one in rounds:
        assert one[::2] == [telemetryserver.OFF] * (len(telemetryserver.VARIANTS) + 1)
        assert sorted(v.name for v in one[1::2]) == sorted(v.name for v in telemetryserver.VARIANTS)
    assert len({one[1].name for one in rounds}) == len(rounds)


def cost_of(variant: telemetryserver.Variant, factor: float) -> float:
    """What a command costs: `factor` times as much with telemetry, a tenth less without insight."""
    return factor if variant.signals else 1.0 if variant.insight else 0.9


def cost_samples(factor: float, blocks: int = 2) -> list[Row]:
    """Samples of a machine that slows down evenly, where variants differ by `cost_of`."""
    rows: list[Row] = []
    speed = 1.0
    for block in range(blocks):
        for pipeline in telemetrycost.PIPELINES:
            for place, variant in enumerate(telemetrycost.turns(block)):
                speed += 0.01
                cost = speed * cost_of(variant, factor)
                head: Row = {"part": "cost", "block": block, "round": 0, "place": place}
                head |= {"variant": variant.name, "pipeline": pipeline, "arrived": 50}
                rows.append(
                    head
                    | {"operations": 100, "ops_per_second": 1e6, "serving_us_per_op": cost}
                    | {"process_us_per_op": 2 * cost, "p50_us": 10.0, "p99_us": 100.0 * cost}
                )
            for variant in (telemetryserver.OFF, *telemetryserver.VARIANTS):
                size = 150.0 if variant.signals else 100.0
                head = {"part": "memory", "block": block, "pipeline": pipeline}
                head |= {"variant": variant.name}
                rows.append(head | {"resident_mib": size, "anonymous_mib": size / 2})
    return rows


def test_differences_cancel_an_even_drift() -> None:
    """Each turn is compared with the mean of its neighbours."""
    samples = cost_samples(1.02)

    for variant in telemetryserver.VARIANTS:
        found = telemetrycost.interval(samples, variant.name, 1, "serving")
        assert found.middle == pytest.approx(100 * (cost_of(variant, 1.02) - 1))
        assert found.width == pytest.approx(0.0, abs=1e-9)
    assert telemetrycost.is_narrow(samples)
    assert telemetrycost.added_memory(samples, telemetryserver.ALL.name) == (50.0, 25.0)


def test_wide_intervals_ask_for_more_blocks() -> None:
    """Blocks that disagree by more than a target are not enough."""
    samples = cost_samples(1.02, 1)
    samples += [{**row, "block": 1} for row in cost_samples(1.05, 1)]

    assert not telemetrycost.is_narrow(samples)


def test_the_row_of_insight_waits_for_nothing_and_is_not_judged() -> None:
    """A server without insight shows what that costs; telemetry is judged by other rows."""
    samples = cost_samples(0.5, 2)
    name = telemetryserver.WITHOUT_INSIGHT.name
    for row in samples:
        if row["part"] == "cost" and row["variant"] == name:
            row |= {"p99_us": 1e9, "serving_us_per_op": 10.0 if row["block"] else 1.0}

    assert telemetrycost.interval(samples, name, 1, "serving").width > 50
    assert telemetrycost.is_narrow(samples)
    claims = telemetrycost.claims(telemetrycost.summarise(samples))
    assert not any(name in claim.text for claim in claims)
    assert all(claim.met for claim in claims if "p99" in claim.text)


def test_a_variant_that_was_not_measured_has_no_row() -> None:
    """Samples of an earlier run, which did not have it, are shown all the same."""
    name = telemetryserver.WITHOUT_INSIGHT.name
    rows = telemetrycost.summarise(cost_samples(1.02))
    kept = [row for row in cost_samples(1.02) if row["variant"] != name]

    assert [row for row in rows if row["variant"] != name] == telemetrycost.summarise(kept)


def loss_samples() -> list[Row]:
    """Two loads and three faults, of which the second half does not end well."""
    rows: list[Row] = []
    for load, dropped in (("as fast as it goes", 30), ("50,000 commands/s", 0)):
        head: Row = {"part": "exact", "load": load, "ops_per_second": 5e4, "executed": 100}
        rows.append(head | {"arrived": 100 - dropped, "dropped": dropped, "missing": 0})
    for fault, _ in telemetryloss.FAULTS:
        for half in (0, 1):
            for pair in range(4):
                for fails in (False, True):
                    speed = 1000.0 * (0.98 if fails else 1.0)
                    size = 60.0 + (pair if fails else 0)
                    head = {"part": "turn", "fault": fault, "half": half, "pair": pair}
                    rows.append(
                        head
                        | {"fails": fails, "ops_per_second": speed, "serving_us_per_op": 2.0}
                        | {"resident_mib": size}
                    )
            head = {"part": "fault", "fault": fault, "half": half, "before_mib": 58.0}
            rows.append(head | {"dropped": 10, "recovery_s": 2.0 + half, "recovered": half == 0})
    return rows


def test_loss_and_failures_are_judged() -> None:
    """What is missing, what is dropped, how slow, how large, and how often all was well again."""
    summary = telemetryloss.summarise(loss_samples())
    claims = telemetryloss.claims(summary)

    fault = summary[-1]
    assert (fault["throughput"], fault["grown_mib"], fault["late_mib"]) == (98.0, 5.0, 2.0)
    assert (fault["dropped"], fault["recovery_s"], fault["recovered"]) == (20, 3.0, 1)
    assert [claim.met for claim in claims] == [True, True, False, True, False]


def test_what_nobody_knows_of_is_missing() -> None:
    """Spans too many are as wrong as spans too few."""
    assert telemetryloss.Tally(executed=10, arrived=7, dropped=2).missing == 1
    assert telemetryloss.Tally(executed=10, arrived=11, dropped=0).missing == -1


def test_page_and_plot_take_the_summary() -> None:
    """Every column finds its figure in some row, and what the plot draws is there."""
    samples = cost_samples(1.02)
    summary = [*telemetrycost.summarise(samples), *telemetryloss.summarise(loss_samples())]

    for part in page_telemetry.TELEMETRY:
        chosen = [row for row in summary if row["part"] == part.name]
        for column in part.columns:
            assert any(row.get(column.name) is not None for row in chosen), column
    text = page._part_tables(page_telemetry.TELEMETRY, summary)
    assert "| traces, 100 % | 2 | +2.00 |" in text
    figure = plots_telemetry.telemetry({"summary": summary})
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == [variant.name for variant in telemetryserver.VARIANTS]


def test_parts_that_are_not_run_are_kept(tmp_path: Path) -> None:
    """What was found of them before, and when; what is run again is not there twice."""
    samples = [*cost_samples(1.02), *loss_samples()]
    parameters = {"dead": "full at some time", "exact": "quick at another"}
    data = tmp_path / "data"
    data.mkdir()
    document = {"parameters": parameters, "samples": samples}
    (data / "telemetry.json").write_text(json.dumps(document), encoding="utf-8")

    found, times = telemetryparts.kept(tmp_path, ["unpipelined", "exact", "hang"])

    assert {telemetryparts.part_of(row) for row in found} == {"pipelined", "rate", "dead", "error"}
    assert {telemetryparts.part_of(row) for row in samples} == set(telemetryparts.PARTS)
    assert times["dead"] == "full at some time"
    assert "exact" not in times
    assert telemetryparts.kept(tmp_path / "none", ["exact"]) == ([], {})


def test_parts_say_how_and_of_which_build() -> None:
    """Those that are kept may be of another than those beside them."""
    kind = Kind("ferrite-py", "ferrite", ("ferrite-py",), "1.2.3")
    cores = proc.choose_cores()
    context = Context("quick", kind, kind, (), cores, PlainProgress())

    named = telemetryparts.taken(context, ["exact", "dead"], "abc1234+")

    assert set(named) == {"exact", "dead"}
    exact, dead = str(named["exact"]), telemetryparts.taken(context, ["dead"], "")["dead"]
    assert exact.startswith("quick at 20")
    assert exact.endswith(" of ferrite-py 1.2.3 abc1234+")
    assert str(dead).endswith(" of ferrite-py 1.2.3")
    assert re.fullmatch(r"([0-9a-f]{4,}\+?)?", servers.commit())


def test_each_cost_has_its_own_blocks() -> None:
    """A part that was measured more often does not lend its count to others."""
    samples = [
        row
        for row in cost_samples(1.02, 3)
        if int(str(row["block"])) < int(str(row["pipeline"])) + 1
    ]

    assert telemetryparts.blocks(samples) == "2 unpipelined and 3 pipelined and 1 rate"
    assert telemetryparts.blocks(loss_samples()) == "none"


@pytest.mark.parametrize("name", telemetryparts.PARTS)
def test_every_part_stands_alone(name: str) -> None:
    """Its summary, its targets and the page need no other."""
    samples = [*cost_samples(1.02), *loss_samples()]
    alone = [row for row in samples if telemetryparts.part_of(row) == name]

    summary = [*telemetrycost.summarise(alone), *telemetryloss.summarise(alone)]
    claims = [*telemetrycost.claims(summary), *telemetryloss.claims(summary)]

    assert summary
    assert bool(claims) == (name not in ("pipelined", "rate"))
    assert page._part_tables(page_telemetry.TELEMETRY, summary)
    assert plots_telemetry.telemetry({"summary": summary})


def test_claims_name_every_bound() -> None:
    """One for each variant that has one, then p99 and memory at their worst."""
    claims = telemetrycost.claims(telemetrycost.summarise(cost_samples(1.02)))

    bounded = [one for one in telemetryserver.VARIANTS if one.bound is not None]
    assert [claim.bound for claim in claims] == [one.bound for one in bounded] + [0.08, 60.0]
    assert [claim.met for claim in claims] == [True, False, False, True, False, True, True]
