"""Where signals go: what can never work ends the start, and what is given is what is done."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from ferrite_py import cli
from ferrite_py.collector import ways, wrong_endpoints, wrong_files
from ferrite_py.config import Sources
from ferrite_py.errors import ConfigError
from ferrite_py.telemetry.environment import environment
from ferrite_py.telemetry.export import read_sdk
from ferrite_py.telemetry.transport import Outcome, trace_transport
from tests.support.certificates import Certificates, make_certificates
from tests.support.process import Process
from tests.telemetry.exporting import request_of, telemetry
from tests.telemetry.receiver import Receiver
from tests.telemetry.tracing import traced

BEGIN = "OTEL_EXPORTER_OTLP"
CA, KEY, CERT = f"{BEGIN}_CERTIFICATE", f"{BEGIN}_CLIENT_KEY", f"{BEGIN}_CLIENT_CERTIFICATE"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """What both sides show and trust."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def refused(endpoint: str, protocol: str) -> bool:
    """Whether an endpoint is told to be wrong, without a password in it."""
    sources = Sources(
        None,
        {},
        {
            "telemetry.enabled": "yes",
            "telemetry.endpoint": endpoint,
            "telemetry.protocol": protocol,
        },
    )
    try:
        sources.load()
    except ConfigError as error:
        line = str(error)
    else:
        return False
    assert "telemetry.endpoint: " in line
    assert "s3cret" not in line
    return True


@pytest.mark.parametrize(
    ("endpoint", "grpc", "http"),
    [
        ("http://h:4317", False, False),
        ("HTTPS://h/prefix", False, False),
        ("http://[::1]:4317", False, False),
        ("h:4317", False, True),
        ("h", False, True),
        ("[::1]:4317", False, True),
        ("unix:/run/otel.sock", False, True),
        ("unix:///run/otel.sock", False, True),
        ("dns:///h:4317", False, True),
        ("dns://10.0.0.1/h:4317", True, True),
        ("ipv4:10.0.0.1:4317", False, True),
        ("ftp://me:s3cret@h", True, True),
        ("http://", True, True),
        ("http://h:99999", True, True),
        ("http://h:0", True, True),
        ("http://h:abc", True, True),
        ("http://[::1", True, True),
        ("http://me:s3cret@h:1", True, False),
        ("http://me:s3cret/x@h:1", True, True),
        ("http://h:1/?token=s3cret", False, True),
    ],
)
def test_endpoints_that_can_never_work(endpoint: str, grpc: bool, http: bool) -> None:
    """They are told by what gives them; what gRPC itself calls a place is gRPC's to judge."""
    assert (refused(endpoint, "grpc"), refused(endpoint, "http")) == (grpc, http)


def test_an_endpoint_of_one_signal() -> None:
    """Its variable is named, unless the signal is off; a query may be in it."""
    environ = {
        f"{BEGIN}_LOGS_ENDPOINT": "http://h:abc",
        f"{BEGIN}_TRACES_ENDPOINT": "http://h/v1?a=b",
    }
    on = telemetry(None, enabled="yes", protocol="http", endpoint="http://h:1")
    off = replace(on, logs_enabled=False)

    [line] = wrong_endpoints(on, environ)

    assert line.startswith(f"{BEGIN}_LOGS_ENDPOINT: its host or its port cannot be read")
    assert list(wrong_endpoints(off, environ)) == []


@pytest.mark.parametrize(
    ("protocol", "over", "endpoint", "more", "wrong"),
    [
        ("http/protobuf", "grpc", "collector:4317", {}, ""),
        ("grpc", "http", "http://me:pw@h:4318", {}, ""),
        ("http/protobuf", "grpc", "https://h:1", {KEY: "key"}, f"{KEY}: gRPC needs {CERT} as well"),
        ("grpc", "http", "https://h:1", {KEY: "key"}, ""),
    ],
)
@pytest.mark.parametrize("is_flag", [True, False])
def test_what_goes_over_the_protocol_of_all_signals(
    certificates: Certificates,
    protocol: str,
    over: str,
    endpoint: str,
    more: dict[str, str],
    wrong: str,
    *,
    is_flag: bool,
) -> None:
    """Our variable and a flag decide how an endpoint and its files are judged."""
    flags = {"telemetry.enabled": "yes", "telemetry.endpoint": endpoint}
    environ = {f"{BEGIN}_PROTOCOL": protocol, **dict.fromkeys(more, str(certificates.key))}
    if is_flag:
        flags["telemetry.protocol"] = over
    else:
        environ["FERRITE_TELEMETRY_PROTOCOL"] = over

    config = Sources(None, environ, flags).load().config.telemetry

    assert list(wrong_files(config, environ)) == ([wrong] if wrong else [])
    assert {way.is_grpc for way in ways(config, environ).values()} == {over == "grpc"}
    own = environ | {f"{BEGIN}_LOGS_PROTOCOL": protocol}
    assert ways(config, own)["logs"].is_grpc is (protocol == "grpc")


@pytest.mark.parametrize("endpoint", ["http://h:99999", "http://", "http://h/?a=b"])
def test_the_start_and_config_check_say_the_same_of_an_endpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], endpoint: str
) -> None:
    """One line, and status 1."""
    settings = [
        "telemetry.enabled=yes",
        "telemetry.protocol=http",
        f"telemetry.endpoint={endpoint}",
    ]
    words = [word for setting in settings for word in ("--set", setting)]

    status = cli.main(["config", "check", *words])
    server = Process(tmp_path, *settings, is_awaited=False)

    assert (status, server.wait()) == (1, 1)
    assert server.log() == capsys.readouterr().err
    assert server.log().startswith("ferrite-py: telemetry.endpoint: ")
    assert server.log().count("\n") == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({CERT: "cert"}, f"{CERT}: gRPC needs {KEY} as well"),
        ({KEY: "key"}, f"{KEY}: gRPC needs {CERT} as well"),
        (
            {f"{BEGIN}_LOGS_CLIENT_KEY": "key"},
            f"{BEGIN}_LOGS_CLIENT_KEY: gRPC needs {BEGIN}_LOGS_CL",
        ),
        ({CERT: "cert", KEY: "missing"}, f"{KEY}: cannot read "),
        ({CERT: "missing", KEY: "key"}, f"{CERT}: cannot read "),
        ({CA: "missing"}, f"{CA}: cannot read "),
        ({CA: "key"}, f"{CA}: there is no certificate in "),
    ],
)
def test_files_that_grpc_cannot_use_end_the_start(
    tmp_path: Path,
    certificates: Certificates,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    message: str,
) -> None:
    """With one line and status 1, as `config check`; gRPC would end the process by SIGABRT."""
    files = {"cert": certificates.cert, "key": certificates.key, "missing": tmp_path / "missing"}
    environ = {CA: str(certificates.cert), **{name: str(files[one]) for name, one in given.items()}}
    settings = ["telemetry.enabled=yes", "telemetry.endpoint=https://127.0.0.1:1"]

    server = Process(tmp_path, *settings, environ=environ, is_awaited=False)
    status = server.wait()
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    words = [word for setting in settings for word in ("--set", setting)]
    checked = cli.main(["config", "check", *words])

    assert (status, checked) == (1, 1), server.log()
    assert server.log().startswith(f"ferrite-py: {message}")
    assert server.log().count("\n") == 1
    assert server.log() == capsys.readouterr().err


def test_files_that_nobody_needs(tmp_path: Path, certificates: Certificates) -> None:
    """Without TLS and of a signal that is off; over HTTP a certificate may have its key inside."""
    missing = {CA: str(tmp_path / "missing")}
    cert = {CERT: str(certificates.cert)}
    given = {"enabled": "yes", "endpoint": "https://h:1"}
    logs = {f"{BEGIN}_LOGS_CERTIFICATE": str(tmp_path / "missing")}

    def wrong(environ: dict[str, str], **settings: str) -> int:
        return len(list(wrong_files(telemetry(None, **{**given, **settings}), environ)))

    assert (wrong(missing), wrong(missing, endpoint="http://h:1")) == (1, 0)
    assert (wrong(logs), wrong(logs, logs_enabled="no")) == (1, 0)
    assert (wrong(cert), wrong(cert, protocol="http")) == (1, 0)
    assert (wrong(missing, protocol="http"), wrong({CA: str(tmp_path)}, protocol="http")) == (1, 0)
    folder = {CERT: str(tmp_path)}
    assert (wrong({CA: str(tmp_path)}), wrong(folder, protocol="http")) == (1, 1)


@pytest.mark.parametrize("name", [f"{BEGIN}_INSECURE", f"{BEGIN}_TRACES_INSECURE"])
@pytest.mark.parametrize("text", ["false", "maybe", "true"])
def test_the_scheme_goes_over_the_variable(name: str, text: str) -> None:
    """INSECURE is about endpoints without a scheme: to http:// no TLS is spoken."""
    with Receiver() as receiver:
        config = telemetry(None, enabled="yes", endpoint=receiver.grpc_endpoint)
        transport = trace_transport(environment(config, {name: text}, "id"))

        answer = transport.send(request_of(1), 10.0)
        transport.close()

    assert answer.outcome is Outcome.TAKEN, answer.reason


def test_grpc_takes_its_own_names_of_places(tmp_path: Path) -> None:
    """With an empty host, too: spans arrive over a unix socket."""
    place = f"unix://{tmp_path}/s"
    with Receiver(grpc_place=place) as receiver:
        config = telemetry(None, enabled="yes", endpoint=place)
        environ = {f"{BEGIN}_INSECURE": "true"}
        transport = trace_transport(environment(config, environ, "id"))

        answer = transport.send(request_of(1), 10.0)
        transport.close()

    assert answer.outcome is Outcome.TAKEN, answer.reason
    assert len(receiver.spans()) == 1


def test_all_signals_follow_the_scheme(tmp_path: Path, receiver: Receiver) -> None:
    """Metrics and logs too."""
    settings = traced(receiver, metrics_enabled="yes", logs_enabled="yes")
    server = Process(tmp_path, *settings, environ={f"{BEGIN}_INSECURE": "no"})
    with server.client() as client:
        client.command("PING")

    server.stop()

    assert receiver.spans()
    assert receiver.metrics()
    assert receiver.logs()


@pytest.mark.parametrize("what", ["missing", ""])
def test_authorities_that_grpc_does_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """Of gRPC's own variable gRPC takes the authorities that it brings: a warning, no end."""
    roots = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
    environ = {roots: str(tmp_path / what)}
    config = telemetry(None, enabled="yes", endpoint="https://h:1")

    with caplog.at_level(logging.WARNING, "ferrite_py"):
        read_sdk(config, environ, "id")

    [line] = caplog.messages
    assert line.startswith(f"{roots}: cannot read {tmp_path}")
    (tmp_path / "empty").touch()
    environ[roots] = str(tmp_path / "empty")
    assert list(wrong_files(config, environ)) == [
        f"{roots}: there is no certificate in {tmp_path}/empty (PEM)"
    ]


def test_files_of_one_signal_and_of_all(certificates: Certificates) -> None:
    """The authority of all and the key of one are used together, as the specification has it."""
    environ = {
        CA: str(certificates.cert),
        f"{BEGIN}_TRACES_CLIENT_KEY": str(certificates.key),
        f"{BEGIN}_TRACES_CLIENT_CERTIFICATE": str(certificates.cert),
    }
    with Receiver(tls=certificates) as receiver:
        config = telemetry(None, enabled="yes", endpoint=receiver.grpc_endpoint)
        transport = trace_transport(environment(config, environ, "id"))

        answer = transport.send(request_of(1), 10.0)
        transport.close()

    assert answer.outcome is Outcome.TAKEN, answer.reason
    assert ways(config, environ)["traces"].client_key[1] == str(certificates.key)
