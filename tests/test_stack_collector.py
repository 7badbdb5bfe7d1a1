"""The collectors, that of the stack and that of the operator: names, lines, and what is dropped."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from ferrite_py.measure import ROWS
from tests.house.sources import ROOT
from tests.support.stack import (
    DEPLOY,
    ONLY_ON_THE_PAGE,
    PARTS,
    asked,
    collectors,
    metrics_in,
    read,
    table,
)
from tests.telemetry.test_prometheus import QUERIES

# Exporters that current collectors no longer have, and their deprecated names.
GONE = {"logging", "loki", "jaeger", "otlp", "otlphttp"}


@pytest.mark.parametrize(("name", "config"), list(collectors()), ids=lambda value: str(value)[:10])
def test_the_collector_uses_what_it_defines(name: str, config: dict[str, Any]) -> None:
    """Every part of a pipeline is configured and used, and none has been removed since."""
    used: dict[str, set[str]] = {"receivers": set(), "processors": set(), "exporters": set()}
    for pipeline in config["service"]["pipelines"].values():
        for kind, names in used.items():
            names.update(pipeline[kind])

    assert {"traces", "metrics", "logs"} == set(config["service"]["pipelines"])
    for kind, names in used.items():
        assert set(config[kind]) == names, f"{name}: {kind}"
    assert {part.split("/")[0] for part in config["exporters"]} & GONE == set()
    assert set(config["service"].get("extensions", ())) == set(config.get("extensions", ()))


def test_the_collector_keeps_the_names_of_metrics() -> None:
    """Queries run on what comes by way of the collector too: no second prefix, no units."""
    exporter = read(DEPLOY / "otel-collector.yaml")["exporters"]["prometheus"]

    assert "namespace" not in exporter
    assert exporter["add_metric_suffixes"] is False


COUNTERS_END_IN_TOTAL = re.compile(
    r'set\(metric\.name, Concat\(\[metric\.name, "total"\], "\."\)\)'
    r" where metric\.type == METRIC_DATA_TYPE_SUM and metric\.is_monotonic == true"
    r' and not IsMatch\(metric\.name, "(?P<has_one>[^"]+)"\)'
)


def by_collector(config: dict[str, Any]) -> set[str]:
    """The names that Prometheus sees of what the server sends to a collector.

    Both exporters make underscores of dots and add nothing with `add_metric_suffixes` off: neither
    unit nor `_total`, nor does the text format (a counter without it is of unknown type in
    OpenMetrics). So the names are those that the processor leaves.
    """
    metrics = config["service"]["pipelines"]["metrics"]
    [exporter] = metrics["exporters"]
    assert config["exporters"][exporter]["add_metric_suffixes"] is False
    assert "namespace" not in config["exporters"][exporter]
    assert "transform/counters" in metrics["processors"]
    [statement] = config["processors"]["transform/counters"]["metric_statements"]
    rule = COUNTERS_END_IN_TOTAL.fullmatch(statement)
    assert rule, statement
    names = set()
    for row in ROWS:
        name = row.name
        if row.grows and not re.search(rule["has_one"], name):
            name += ".total"
        plain = name.replace(".", "_")
        is_histogram = row.instrument == "histogram"
        names |= {f"{plain}_{part}" for part in PARTS} if is_histogram else {plain}
    return names


@pytest.mark.parametrize(("name", "config"), list(collectors()), ids=lambda value: str(value)[:10])
def test_names_are_the_same_by_way_of_a_collector(name: str, config: dict[str, Any]) -> None:
    """The queries of Ferrite's documentation, of the dashboard and of the rules run on both."""
    of_seed = set().union(*map(metrics_in, QUERIES.values()))
    found = by_collector(config)

    assert found == table(), name
    assert "cache_hits_total" in found
    assert len(of_seed) > 5
    assert (of_seed | asked()) - ONLY_ON_THE_PAGE <= found


def test_only_what_the_server_sends_is_dropped() -> None:
    """By its service's name: applications have metrics of the same names."""
    jobs = {job["job_name"]: job for job in read(DEPLOY / "prometheus.yml")["scrape_configs"]}
    [rule] = jobs["otel-collector"]["metric_relabel_configs"]
    settings = tomllib.loads((DEPLOY / "ferrite.toml").read_text(encoding="utf-8"))
    exporter = read(DEPLOY / "otel-collector.yaml")["exporters"]["prometheus"]

    # The collector makes a label of the resource's service.name.
    assert exporter["resource_to_telemetry_conversion"]["enabled"]
    assert (["service_name"], "drop") == (rule["source_labels"], rule["action"])
    assert re.fullmatch(rule["regex"], settings["telemetry"]["service_name"])
    assert not re.fullmatch(rule["regex"], "shop")


LOGQL = '{service_name="ferrite"} | json | trace_id != "" | line_format "{{.message}}"'
"""The query of Ferrite's documentation."""

LINES_ARE_JSON = (
    'set(log.body, {"message": log.body, "fields": log.attributes})'
    ' where resource.attributes["service.name"] == "ferrite" and IsString(log.body)'
)
"""Loki stores a body that is a map as one line of JSON, and a trace id beside the line as it is."""


@pytest.mark.parametrize(("name", "config"), list(collectors()), ids=lambda value: str(value)[:10])
def test_lines_are_what_the_log_query_asks_for(name: str, config: dict[str, Any]) -> None:
    """`| json` finds `message` in each line of the service that it selects."""
    logs = config["service"]["pipelines"]["logs"]["processors"]
    settings = tomllib.loads((DEPLOY / "ferrite.toml").read_text(encoding="utf-8"))["telemetry"]

    assert config["processors"]["transform/lines"]["log_statements"] == [LINES_ARE_JSON], name
    assert "transform/lines" in logs
    assert LOGQL.startswith(f'{{service_name="{settings["service_name"]}"}}')
    assert LOGQL in (ROOT / "docs" / "stack.md").read_text(encoding="utf-8")
