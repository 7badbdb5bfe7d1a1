"""The container, docker-compose.yaml and the files under deploy/ fit each other and the server.

No container engine is needed: schemas and the files themselves are what is asked.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house.sources import ROOT
from tests.support.servers import TRANSPORTS, subject_server
from tests.support.stack import COMPOSE, DASHBOARDS, DEPLOY, read, services

YAML_FILES = [COMPOSE, *sorted(DEPLOY.rglob("*.y*ml"))]
# Images that hold one binary and no shell: nothing in them can ask for their health.
WITHOUT_HEALTHCHECK = {"otel-collector"}


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
