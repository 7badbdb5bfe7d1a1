"""The container, docker-compose.yaml and the files under deploy/ fit each other and the server.

No container engine is needed: schemas, promtool and the files themselves are what is asked.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ferrite_py.measure import ROWS
from ferrite_py.web.prometheus import EXEMPLAR_LABELS
from tests.house.sources import NATIVE, ROOT
from tests.support.servers import TRANSPORTS, subject_server
from tests.telemetry.test_prometheus import QUERIES

DEPLOY = ROOT / "deploy"
COMPOSE = ROOT / "docker-compose.yaml"
YAML_FILES = [COMPOSE, *sorted(DEPLOY.rglob("*.y*ml"))]
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
# Exporters that current collectors no longer have, and their deprecated names.
GONE = {"logging", "loki", "jaeger", "otlp", "otlphttp"}
# Images that hold one binary and no shell: nothing in them can ask for their health.
WITHOUT_HEALTHCHECK = {"otel-collector"}


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
            names |= {f"{plain}_{part}" for part in ("bucket", "sum", "count")}
        elif kind in ("COUNTER", "TOTAL"):
            names.add(plain if plain.endswith("_total") else f"{plain}_total")
        else:
            names.add(plain)
    return names


ONLY_ON_THE_PAGE = {"process_start_time_seconds"}
"""Asked for by the alert of an unclean start, which without it does not end after an hour."""


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


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_files_can_be_read(path: Path) -> None:
    """Each is one document with something in it."""
    assert read(path)


def test_the_compose_file_follows_its_schema() -> None:
    """The schema of the Compose specification, as check-jsonschema brings it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]

    result = subprocess.run([*command, str(COMPOSE)], capture_output=True, text=True, check=False)

    assert 0 == result.returncode, result.stdout + result.stderr


def test_what_is_mounted_exists() -> None:
    """The engine would make a folder of a missing file, and the service would not start."""
    mounts = [mount for service in services().values() for mount in service.get("volumes", ())]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    volumes = {mount.split(":")[0] for mount in mounts if not mount.startswith("./")}

    assert len(files) >= 7
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert volumes == set(read(COMPOSE)["volumes"])


def test_images_are_pinned() -> None:
    """Each image names a version, or is built here."""
    images = [service["image"] for service in services().values() if "build" not in service]

    assert len(images) == 5
    assert [image for image in images if not re.search(r":v?\d+\.\d+\.\d+$", image)] == []


def test_services_have_health_checks() -> None:
    """Each does, in the compose file or in our image, but one whose image has no tool for it."""
    without = {
        name
        for name, service in services().items()
        if "healthcheck" not in service and "build" not in service
    }

    assert WITHOUT_HEALTHCHECK == without
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_ports_are_those_of_this_machine_only() -> None:
    """Nothing here asks for a password, so nothing is published beyond the loopback interface."""
    ports = [port for service in services().values() for port in service.get("ports", ())]

    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_server_takes_its_file() -> None:
    """deploy/ferrite.toml is sound, with telemetry on and sent to the collector of the stack."""
    path = DEPLOY / "ferrite.toml"
    command = [sys.executable, "-m", "ferrite_py", "config", "check", "--config", str(path)]

    result = subprocess.run(command, capture_output=True, text=True, check=False)

    settings = tomllib.loads(path.read_text(encoding="utf-8"))
    assert 0 == result.returncode, result.stdout + result.stderr
    assert settings["telemetry"]["enabled"]
    host, port = settings["telemetry"]["endpoint"].removeprefix("http://").split(":")
    protocols = read(DEPLOY / "otel-collector.yaml")["receivers"]["otlp"]["protocols"]
    assert host in services()
    assert f"0.0.0.0:{port}" == protocols["grpc"]["endpoint"]


def test_addresses_are_services_of_the_stack() -> None:
    """What Prometheus scrapes, and what the collector and Grafana call, is there by that name."""
    scraped = read(DEPLOY / "prometheus.yml")["scrape_configs"]
    targets = [
        target for job in scraped for part in job["static_configs"] for target in part["targets"]
    ]
    sources = read(DEPLOY / "grafana" / "provisioning" / "datasources" / "datasources.yaml")
    urls = [source["url"] for source in sources["datasources"]]
    exporters = read(DEPLOY / "otel-collector.yaml")["exporters"]
    urls += [each["endpoint"] for name, each in exporters.items() if "/" in name]
    hosts = {re.sub(r"^\w+://", "", address).split(":")[0] for address in targets + urls}
    metrics = tomllib.loads((DEPLOY / "ferrite.toml").read_text(encoding="utf-8"))["metrics"]

    assert hosts <= set(services())
    assert {"ferrite-py", "otel-collector", "jaeger", "loki", "prometheus"} == hosts
    assert f"ferrite-py:{metrics['port']}" in targets


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


PARTS = ("bucket", "sum", "count")


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


def metrics_in(expression: str) -> set[str]:
    """The names of our metrics in an expression, those that a rule records included."""
    return set(re.findall(r"\b(?:ferrite|cache|process)[_:][a-z0-9_:]+", expression))


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


def test_the_names_of_the_service_agree() -> None:
    """Who looks for traces and lines of the server finds those of the stack's service."""
    service = tomllib.loads((DEPLOY / "ferrite.toml").read_text(encoding="utf-8"))["telemetry"][
        "service_name"
    ]
    values = read(DEPLOY / "kubernetes" / "values.yaml")["ferrite"]["config"]["telemetry"]
    dashboards = [json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS]
    links = [link["url"] for one in dashboards for link in one["links"]]
    lines = [
        target["expr"]
        for one in dashboards
        for panel in one["panels"]
        for target in panel.get("targets", ())
        if target["datasource"]["type"] == "loki"
    ]

    assert service == values["service_name"]
    assert [url for url in links if "/search?" in url] == [
        f"http://localhost:16686/search?service={service}"
    ]
    assert len(lines) == 2
    assert all(expr.startswith(f'{{service_name="{service}"}} | json') for expr in lines)


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


QUEUE_FULL = 'ferrite_telemetry_lost_total{instance="a",reason="queue_full"}'
RATE_LIMIT = 'ferrite_telemetry_lost_total{instance="a",reason="rate_limit"}'
LOGS_LOST = 'ferrite_telemetry_logs_lost_total{instance="a",reason="queue_full"}'
FAILURES = 'ferrite_telemetry_export_failures_total{instance="a",signal="logs"}'


@pytest.mark.parametrize(
    ("series", "fires"),
    [
        ({QUEUE_FULL: "0+60x40"}, True),
        ({FAILURES: "0+60x40"}, True),
        ({LOGS_LOST: "0+60x40"}, True),
        ({QUEUE_FULL: "0x40", FAILURES: "0+60x40"}, True),
        ({RATE_LIMIT: "0+60x40"}, False),
        ({QUEUE_FULL: "0x40", FAILURES: "0x40"}, False),
    ],
)
def test_the_alert_of_lost_telemetry(tmp_path: Path, series: dict[str, str], fires: bool) -> None:
    """It fires for either kind of loss, also where the other has no series; not for a cap."""
    summary = "Spans, metrics or logs of a do not arrive"
    expected = {"instance": "a", "severity": "warning", "summary": summary}

    alert(tmp_path, "FerriteLosesTelemetry", series, expected if fires else None)


def alert(
    tmp_path: Path,
    name: str,
    series: dict[str, str],
    expected: dict[str, str] | None,
    minutes: int = 30,
) -> None:
    """Have promtool evaluate an alert after minutes of series; `expected`: what it is to say."""
    fired = []
    if expected is not None:
        labels = {key: value for key, value in expected.items() if key != "summary"}
        annotations = {"summary": expected["summary"]}
        fired = [{"exp_labels": labels, "exp_annotations": annotations}]
    test = {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "alert_rule_test": [{"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": fired}],
    }
    rules_path = str(DEPLOY / "prometheus-rules.yml")
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [rules_path], "tests": [test]}))

    promtool("test", "rules", str(path))


DAMAGED = 'ferrite_disk_damaged_segments{instance="a"}'


@pytest.mark.parametrize(
    ("series", "fires"),
    [
        ({DAMAGED: "0x20 1x20"}, True),
        ({DAMAGED: "0x40", 'ferrite_disk_page_errors_total{instance="a"}': "0x20 2x20"}, True),
        ({'ferrite_compaction_disk_errors_total{instance="a"}': "0x20 1x20"}, True),
        ({'ferrite_disk_reads_failed_total{instance="a"}': "0x20 1x20"}, True),
        ({DAMAGED: "0x40", 'ferrite_disk_page_errors_total{instance="a"}': "2x40"}, False),
    ],
)
def test_the_alert_of_damage(tmp_path: Path, series: dict[str, str], fires: bool) -> None:
    """It fires for each way to meet it, and ends with it."""
    summary = "a cannot read all of its data folder; its log names the files"
    expected = {"instance": "a", "severity": "critical", "summary": summary}

    alert(tmp_path, "FerriteDataDamaged", series, expected if fires else None)


@pytest.mark.parametrize(
    ("aside", "started", "fires"),
    [
        ("1x120", "3600x120", True),
        ("0x120", "3600x120", False),
        ("1x120", "0x120", False),
        ("1x120", "0x79 4800x40", True),
        ("1x120", None, True),
    ],
    ids=["new", "clean", "old", "again", "unknown"],
)
def test_the_alert_of_an_unclean_start(
    tmp_path: Path, aside: str, started: str | None, fires: bool
) -> None:
    """It is there after such a start, also after the second in a row, and ends an hour later."""
    series = {'ferrite_recovery_set_aside{instance="a"}': aside}
    if started is not None:
        series['process_start_time_seconds{instance="a"}'] = started
    summary = "a was not stopped cleanly: what it held was set aside at the start"
    expected = {"instance": "a", "severity": "warning", "summary": summary}

    alert(tmp_path, "FerriteDataSetAside", series, expected if fires else None, minutes=90)


def test_the_alert_of_the_disk_says_its_state(tmp_path: Path) -> None:
    """One alert, with the state that the disk is in."""
    series = {
        f'ferrite_disk_state{{instance="a",state="{state}"}}': f"{int(state == 'full')}x40"
        for state in ("ok", "full", "failed")
    }
    summary = "The disk of a is full: it does not take what is written"
    expected = {"instance": "a", "state": "full", "severity": "critical", "summary": summary}

    alert(tmp_path, "FerriteDiskTrouble", series, expected)


@pytest.mark.parametrize(("values", "fires"), [("1x40", True), ("0x27 1x12", False)])
def test_the_alert_of_a_slow_disk(tmp_path: Path, values: str, fires: bool) -> None:
    """Writers that wait now and then are no alert."""
    series = {'ferrite_storage_flush_behind{instance="a"}': values}
    summary = "Writers of a wait for its disk more than half of the time"
    expected = {"instance": "a", "severity": "warning", "summary": summary}

    alert(tmp_path, "FerriteDiskBehind", series, expected if fires else None)


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


def test_the_image_is_built_from_what_is_here() -> None:
    """Each file that the Dockerfile copies exists, and nothing runs as root."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [
        line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line
    ]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()

    assert [name for names in copied for name in names if not (ROOT / name).exists()] == []
    assert [name for names in copied for name in names if name in ignored] == []
    user = [line.split()[1] for line in lines if line.startswith("USER")]
    assert ["10001"] == user
    assert len([line for line in lines if line.startswith("FROM")]) == 2


def test_the_health_check_of_the_image() -> None:
    """It is well with a server that answers, and not without one."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    command = json.loads(re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.MULTILINE)[1])  # type: ignore[index]
    server = subject_server(TRANSPORTS[0])

    def check() -> int:
        code = command[2].replace("6379", str(server.address[1]))
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        return run.returncode

    server.start()
    running = check()
    server.stop()

    assert (0, 1) == (running, check())
