"""Nothing but the server's own log comes out of it, whatever the libraries have to say."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.certificates import make_certificates
from tests.support.process import Process
from tests.support.waiting import until
from tests.telemetry.receiver import Receiver
from tests.telemetry.tracing import traced

DETECTOR = """
import sys
from ferrite_py import cli

class Broken:
    def load(self):
        raise OSError("the detector is broken")

import importlib.metadata, opentelemetry.util._importlib_metadata as found
real = found.entry_points
def entry_points(**wanted):
    return [Broken()] if wanted.get("name") == "process" else real(**wanted)
found.entry_points = entry_points
sys.exit(cli.main(sys.argv[1:]))
"""


def stray(server: Process) -> list[str]:
    """The lines that are no objects of the log."""
    lines = server.log().splitlines()
    return [line for line in lines if not line.startswith("{") or not json.loads(line)]


def test_grpc_writes_no_lines_of_its_own(tmp_path: Path) -> None:
    """Of a certificate that it does not trust it would tell at each attempt to connect."""
    folders = [tmp_path / "receiver", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    shown, trusted = map(make_certificates, folders)
    environ = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(trusted.cert)}
    with Receiver(tls=shown) as receiver:
        server = Process(tmp_path, *traced(receiver), "logging.format=json", environ=environ)
        with server.client() as client:
            client.command("PING")
        until(lambda: "the receiver does not take traces" in server.log(), server.log())
        server.stop()

    assert stray(server) == []


def test_grpc_writes_them_where_they_are_asked_for(tmp_path: Path) -> None:
    """Its own variable goes over that."""
    certificates = make_certificates(tmp_path)
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n", "utf-8")
    environ = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(broken), "GRPC_VERBOSITY": "ERROR"}
    with Receiver(tls=certificates) as receiver:
        server = Process(tmp_path, *traced(receiver), "logging.format=json", environ=environ)
        with server.client() as client:
            client.command("PING")
        until(lambda: bool(stray(server)), server.log())
        server.stop()

    assert any("Could not load any root certificate" in line for line in stray(server))


def test_what_the_sdk_says_while_it_is_imported(tmp_path: Path, receiver: Receiver) -> None:
    """A detector of the resource that cannot be loaded is a line of the log, with its traceback."""
    environ = {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "process"}
    server = Process(
        tmp_path, *traced(receiver), "logging.format=json", environ=environ, code=DETECTOR
    )
    server.stop()

    assert stray(server) == []
    assert "Failed to load resource detector 'process', skipping" in server.log()
    assert "the detector is broken" in server.log()
