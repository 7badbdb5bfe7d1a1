"""Sending over the official exporters' connections: every answer a receiver can give."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ferrite_py.errors import StartupError
from ferrite_py.telemetry.environment import environment
from ferrite_py.telemetry.transport import GrpcTransport, Outcome, trace_transport
from tests.support.certificates import make_certificates
from tests.telemetry.exporting import PROTOCOLS, request_of, telemetry, transport_to
from tests.telemetry.receiver import (
    Receiver,
    bad_request,
    exhausted,
    hanging,
    partial_success,
    slow,
    unavailable,
)

TIMEOUT_S = 10.0


class Tap:
    """Passes one connection on to an endpoint and counts what is sent to it."""

    def __init__(self, endpoint: str) -> None:
        self._target = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.count = 0
        self._threads = [threading.Thread(target=self._run, daemon=True)]

    def __enter__(self) -> Tap:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for thread in self._threads:
            thread.join(5.0)

    def _run(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            server = socket.create_connection(self._target)
            back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
            self._threads.append(back)
            back.start()
            self._copy(client, server)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), source:
            while data := source.recv(65536):
                self.count += len(data) if target.getpeername() == self._target else 0
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_request_arrives_with_its_headers(protocol: str) -> None:
    """Bytes come in as they were made, with the headers of the settings."""
    with Receiver() as receiver:
        transport = transport_to(receiver, protocol, headers="Authorization=Bearer t0ken%2C,x-a=b")

        answer = transport.send(request_of(3), TIMEOUT_S)

        [arrival] = receiver.arrivals("traces")
        assert answer.outcome is Outcome.TAKEN
        assert len(receiver.spans()) == 3
        assert arrival.transport == protocol
        assert arrival.headers["authorization"] == "Bearer t0ken,"
        assert arrival.headers["x-a"] == "b"
        assert not arrival.is_compressed
        assert arrival.message == ExportTraceServiceRequest.FromString(request_of(3))
        transport.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("has_isal", [False, True])
def test_compression(protocol: str, has_isal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With gzip requests are compressed; by isal where it is installed."""
    used: list[int] = []

    class Isal:
        @staticmethod
        def compress(data: bytes, compresslevel: int) -> bytes:
            used.append(compresslevel)
            return gzip.compress(data)

    def load(name: str) -> Any:
        if has_isal:
            return Isal
        raise ImportError(name)

    monkeypatch.setattr("ferrite_py.telemetry.transport.importlib.import_module", load)
    with Receiver() as receiver, Tap(receiver.endpoint(protocol)) as tap:
        transport = transport_to(receiver, protocol, compression="gzip", endpoint=tap.endpoint)

        answer = transport.send(request_of(200), TIMEOUT_S)

        assert answer.outcome is Outcome.TAKEN
        assert receiver.arrivals("traces")[0].is_compressed == (protocol == "http")
        assert tap.count < len(request_of(200)) / 4
        assert len(receiver.spans()) == 200
        assert used == ([0] if has_isal and protocol == "http" else [])
        transport.close()


@pytest.mark.parametrize(
    "variable", ["OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"]
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_compression_none_of_the_specification(protocol: str, variable: str) -> None:
    """The word `none` is taken, though the gRPC exporter alone refuses it."""
    with Receiver() as receiver:
        transport = transport_to(receiver, protocol, {variable: "none"})
        assert transport.send(request_of(1), TIMEOUT_S).outcome is Outcome.TAKEN
        transport.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_may_be_sent_again(protocol: str) -> None:
    """Unavailable, refused and hanging receivers are tried again; a bad request is not."""
    with Receiver() as receiver:
        transport = transport_to(receiver, protocol)

        receiver.behave(unavailable(retry_after_s=3))
        again = transport.send(request_of(1), TIMEOUT_S)
        receiver.behave(bad_request())
        refused = transport.send(request_of(1), TIMEOUT_S)
        receiver.behave(hanging())
        late = transport.send(request_of(1), 0.2)
        receiver.behave(slow(0.05))
        taken = transport.send(request_of(1), TIMEOUT_S)
        receiver.behave(partial_success(1))
        partial = transport.send(request_of(1), TIMEOUT_S)
        receiver.refuse()
        gone = transport.send(request_of(1), 2.0)
        receiver.listen()
        receiver.behave()
        back = [transport.send(request_of(1), TIMEOUT_S).outcome]
        while Outcome.TAKEN not in back and len(back) < 1000:
            time.sleep(0.02)  # gRPC connects again by its own clock
            back.append(transport.send(request_of(1), TIMEOUT_S).outcome)

        assert (again.outcome, again.wait_s) == (Outcome.AGAIN, 3 if protocol == "http" else None)
        assert "UNAVAILABLE" in again.reason or "503" in again.reason
        assert refused.outcome is Outcome.REFUSED
        assert "INVALID_ARGUMENT" in refused.reason or "400" in refused.reason
        assert (late.outcome, taken.outcome) == (Outcome.AGAIN, Outcome.TAKEN)
        assert (partial.outcome, partial.rejected) == (Outcome.TAKEN, 1)
        assert partial.reason == "rejected by the test"
        assert gone.outcome is Outcome.AGAIN
        assert Outcome.TAKEN in back
        transport.close()


@pytest.mark.parametrize(
    ("wait_s", "is_bare", "outcome"),
    [(0, False, Outcome.REFUSED), (2, False, Outcome.AGAIN), (2, True, Outcome.AGAIN)],
)
def test_what_is_exhausted_recovers_if_the_receiver_says_so(
    wait_s: int, is_bare: bool, outcome: Outcome
) -> None:
    """RESOURCE_EXHAUSTED may be sent again only with RetryInfo: it may be the request's size."""
    with Receiver() as receiver:
        receiver.behave(exhausted(retry_info_s=wait_s, is_bare=is_bare))
        transport = transport_to(receiver, "grpc")

        answer = transport.send(request_of(1), TIMEOUT_S)
        transport.close()

    assert (answer.outcome, answer.wait_s) == (outcome, wait_s or None)
    assert answer.reason.startswith("RESOURCE_EXHAUSTED")


@pytest.mark.parametrize(
    ("protocol", "timeout_s"),
    [("grpc", 60.0), ("http", 0.5)],  # a session of HTTP cannot be cut: the attempt's time ends it
)
def test_close_ends_what_is_under_way(protocol: str, timeout_s: float) -> None:
    """Closing from another thread does not wait for a receiver that hangs, and ends sending."""
    with Receiver() as receiver:
        receiver.behave(hanging())
        transport = transport_to(receiver, protocol)
        answers: list[Outcome] = []
        thread = threading.Thread(
            target=lambda: answers.append(transport.send(request_of(1), timeout_s).outcome)
        )
        thread.start()
        receiver.wait(lambda one: len(one.arrivals("traces", taken=False)) == 1)

        transport.close()

        thread.join(20.0)
        assert not thread.is_alive()
        assert answers[0] is not Outcome.TAKEN
        assert transport.send(request_of(1), 1.0).outcome is Outcome.REFUSED


def test_a_close_just_before_a_call() -> None:
    """A closed channel is refused by an error of gRPC's own; it is no mistake of the exporter."""
    with Receiver() as receiver:
        transport = transport_to(receiver, "grpc")
        assert isinstance(transport, GrpcTransport)
        call = transport._call

        def close_and_call(*arguments: object, **options: object) -> object:
            transport.close()
            return call(*arguments, **options)

        transport._call = close_and_call
        answer = transport.send(request_of(1), 1.0)

    assert (answer.outcome, answer.reason) == (Outcome.REFUSED, "given up at the stop")


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    """OTEL_TRACES_EXPORTER=console prints the spans."""
    transport = trace_transport(environment(telemetry(), {"OTEL_TRACES_EXPORTER": "console"}, "id"))

    assert transport.send(request_of(1), 1.0).outcome is Outcome.TAKEN

    assert 'name: "GET"' in capsys.readouterr().out
    transport.close()


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: there is no exporter 'zipkin'"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json' is not spoken here",
        ),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "OTEL_EXPORTER_OTLP_TIMEOUT: 'soon' is no number"),
    ],
)
def test_variables_that_are_wrong(environ: dict[str, str], message: str) -> None:
    """What cannot be done is said with the variable's name."""
    with pytest.raises(StartupError, match=message):
        trace_transport(environment(telemetry(environ={}), environ, "id"))


@pytest.mark.parametrize(
    ("variable", "protocol"),
    [("OTEL_EXPORTER_OTLP_TIMEOUT", "grpc"), ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "http")],
)
@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("2500", 2.5)])
def test_timeouts(variable: str, protocol: str, text: str, seconds: float) -> None:
    """Seconds as the SDK reads them; a number of a thousand and more is the specification's."""
    with Receiver() as receiver:
        transport = transport_to(receiver, protocol, {variable: text})
        assert transport.timeout_s == seconds
        transport.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_variables_of_one_signal(protocol: str) -> None:
    """Endpoint, headers and protocol of traces go over those of all signals."""
    with Receiver() as receiver:
        path = "/v1/traces" if protocol == "http" else ""
        environ = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiver.endpoint(protocol) + path,
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-signal=traces",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc" if protocol == "grpc" else "http/protobuf",
        }
        other = "http" if protocol == "grpc" else "grpc"
        config = telemetry(endpoint="http://127.0.0.1:1", protocol=other, headers="x-signal=all")
        transport = trace_transport(environment(config, environ, "id"))

        assert transport.send(request_of(1), TIMEOUT_S).outcome is Outcome.TAKEN
        assert receiver.arrivals("traces")[0].headers["x-signal"] == "traces"
        transport.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tls(tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver's certificate must be of the CA that is given, and ours is shown to it."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they count where no other is given
        monkeypatch.delenv(name, raising=False)
    folders = [tmp_path / "receiver", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    trusted, other = map(make_certificates, folders)
    ca = "OTEL_EXPORTER_OTLP_CERTIFICATE"
    ours = {
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(trusted.cert),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(trusted.key),
    }

    def outcome_with(environ: dict[str, str]) -> Outcome:
        transport = transport_to(receiver, protocol, environ)
        answer = transport.send(request_of(1), TIMEOUT_S)
        transport.close()
        return answer.outcome

    with Receiver(tls=trusted) as receiver:
        assert outcome_with({ca: str(trusted.cert)}) is Outcome.AGAIN
        assert outcome_with({ca: str(other.cert), **ours}) is Outcome.AGAIN
        assert outcome_with(ours) is Outcome.AGAIN
        assert receiver.arrivals(taken=None) == []
        assert outcome_with({ca: str(trusted.cert), **ours}) is Outcome.TAKEN
        assert len(receiver.spans()) == 1
