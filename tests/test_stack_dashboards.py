"""Dashboards and rules of the stack ask for what the server has, and are as Grafana wants them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from ferrite_py.web.prometheus import EXEMPLAR_LABELS
from tests.house.sources import ROOT
from tests.support.stack import (
    DASHBOARDS,
    DEPLOY,
    ONLY_ON_THE_PAGE,
    asked,
    dashboard_expressions,
    metrics_in,
    promtool,
    read,
    table,
)


def test_prometheus_takes_its_files() -> None:
    """The configuration, and the rules that it names, pass promtool."""
    promtool("check", "config", str(DEPLOY / "prometheus.yml"))


def test_prometheus_takes_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    """Each passes promtool as a rule."""
    expressions = dashboard_expressions()
    parsed = [
        {"record": f"panel:{at}", "expr": expr} for at, expr in enumerate(expressions.values())
    ]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": parsed}]}))

    promtool("check", "rules", str(path))

    assert len(parsed) > 20


@pytest.mark.parametrize(("panel", "expression"), list(dashboard_expressions().items()))
def test_the_server_has_every_metric_of_the_dashboard(panel: str, expression: str) -> None:
    """A panel that asks for a name which nobody exports would stay empty."""
    names = metrics_in(expression)

    assert names, panel
    assert names - table() == set()


def test_the_server_has_every_metric_of_the_rules() -> None:
    """Rules ask for what the server exports, or for what another rule records."""
    assert len(asked()) > 25
    assert asked() - table() == ONLY_ON_THE_PAGE


def test_dashboards_use_provisioned_data_sources() -> None:
    """Panels, exemplars, logs and traces refer to each other by ids that exist."""
    path = DEPLOY / "grafana" / "provisioning" / "datasources" / "datasources.yaml"
    sources = read(path)["datasources"]
    known = {source["uid"] for source in sources}
    panels = [panel for path in DASHBOARDS for panel in json.loads(path.read_text())["panels"]]
    by_panels = {panel["datasource"]["uid"] for panel in panels if "datasource" in panel}
    by_sources = set(re.findall(r"datasourceUid: (\S+)", path.read_text(encoding="utf-8")))

    assert {"prometheus", "jaeger", "loki"} == known
    assert by_panels <= known
    assert {"jaeger", "loki"} == by_sources
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_a_dot_in_a_panel_opens_its_trace() -> None:
    """Prometheus keeps exemplars, Grafana finds the trace by the server's label, panels ask."""
    prometheus = read(ROOT / "docker-compose.yaml")["services"]["prometheus"]["command"]
    path = DEPLOY / "grafana" / "provisioning" / "datasources" / "datasources.yaml"
    sources = {source["uid"]: source for source in read(path)["datasources"]}
    asking = {
        target["expr"]
        for path in DASHBOARDS
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
        for target in panel.get("targets", ())
        if target.get("exemplar")
    }

    assert "--enable-feature=exemplar-storage" in prometheus
    assert read(DEPLOY / "prometheus.yml")["storage"]["exemplars"]["max_exemplars"] > 0
    [link] = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert link["name"] in EXEMPLAR_LABELS
    assert sources[link["datasourceUid"]]["type"] == "jaeger"
    assert len(asking) == 1
    assert all("ferrite_command_duration_bucket{" in expr for expr in asking)
