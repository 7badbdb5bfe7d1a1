"""The files of the stack: compose file, collectors, dashboards, rules, and what these ask for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.house.sources import NATIVE, ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = ROOT / "docker-compose.yaml"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
PARTS = ("bucket", "sum", "count")
"""What Prometheus makes of a histogram."""

ONLY_ON_THE_PAGE = {"process_start_time_seconds"}
"""Asked for by the alert of an unclean start, which without it does not end after an hour."""


def read(path: Path) -> Any:
    """The content of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def services() -> dict[str, Any]:
    """The services of the compose file."""
    found: dict[str, Any] = read(COMPOSE)["services"]
    return found


def collectors() -> Iterator[tuple[str, dict[str, Any]]]:
    """The configurations of collectors: that of the stack, and that of the operator."""
    yield "stack", read(DEPLOY / "otel-collector.yaml")
    yield "kubernetes", read(DEPLOY / "kubernetes" / "otel-collector.yaml")["spec"]["config"]


def dashboard_expressions() -> dict[str, str]:
    """Every PromQL expression of the dashboards, by its panel, with the variables filled in."""
    found = {}
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                if target["datasource"]["type"] == "prometheus":
                    text = target["expr"].replace("$job", "ferrite-py").replace("$instance", ".*")
                    found[f"{panel['title']} {target['refId']}"] = text
    return found


def rules() -> list[dict[str, Any]]:
    """The recording and alert rules."""
    groups = read(DEPLOY / "prometheus-rules.yml")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def table() -> set[str]:
    """The names on /metrics, as the server's table of metrics and its rules of names give them."""
    text = (NATIVE / "event" / "events.def").read_text(encoding="utf-8")
    names = set()
    for name, kind in re.findall(r'^FE_METRIC\w*\(\w+, "([^"]+)", (\w+),', text, re.MULTILINE):
        plain = name.replace(".", "_")
        if kind == "HISTOGRAM":
            names |= {f"{plain}_{part}" for part in PARTS}
        elif kind in ("COUNTER", "TOTAL"):
            names.add(plain if plain.endswith("_total") else f"{plain}_total")
        else:
            names.add(plain)
    return names


def metrics_in(expression: str) -> set[str]:
    """The names of our metrics in an expression, those that a rule records included."""
    return set(re.findall(r"\b(?:ferrite|cache|process)[_:][a-z0-9_:]+", expression))


def asked() -> set[str]:
    """The names that the dashboard and the rules ask for, but those that rules record."""
    expressions = [*dashboard_expressions().values(), *(rule["expr"] for rule in rules())]
    recorded = {rule.get("record") for rule in rules()}
    return set().union(*map(metrics_in, expressions)) - recorded


def promtool(*args: str) -> None:
    """Run promtool; what it refuses is the message."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    result = subprocess.run(["promtool", *args], capture_output=True, text=True, check=False)
    assert 0 == result.returncode, result.stdout + result.stderr
