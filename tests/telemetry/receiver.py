"""An OTLP receiver for tests: real gRPC and real HTTP, all three signals, and faults on demand.

    with Receiver() as receiver:
        ... export to receiver.grpc_endpoint or receiver.http_endpoint ...
        spans = receiver.wait_for_spans(2)

Everything that arrives is kept, as the messages of opentelemetry-proto and as the plain views of
`tests.telemetry.views`. Its threads only store and notify: a test waits on what has arrived, never
on time.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import DebugInfo, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.support.certificates import Certificates
from tests.telemetry.views import LogView, MetricView, SpanView, logs_of, metrics_of, spans_of

DEADLINE_S = 20.0
HOST = "127.0.0.1"
SIGNALS = ("traces", "metrics", "logs")

_REQUESTS: dict[str, Any] = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "logs": logs_service_pb2.ExportLogsServiceRequest,
}
_RESPONSES: dict[str, Any] = {
    "traces": trace_service_pb2.ExportTraceServiceResponse,
    "metrics": metrics_service_pb2.ExportMetricsServiceResponse,
    "logs": logs_service_pb2.ExportLogsServiceResponse,
}
_REJECTED = {
    "traces": "rejected_spans",
    "metrics": "rejected_data_points",
    "logs": "rejected_log_records",
}


@dataclass(frozen=True)
class Fault:
    """What the receiver does instead of taking a request; made by the functions below."""

    name: str = "none"
    seconds: float = 0.0
    grpc_code: grpc.StatusCode = grpc.StatusCode.OK
    http_code: int = 200
    retry_after_s: int = 0
    retry_info_s: int = 0
    is_bare: bool = False
    rejected: int = 0


def slow(seconds: float) -> Fault:
    """Take each request, but answer only after so long."""
    return Fault("slow", seconds=seconds)


def hanging() -> Fault:
    """Read each request and never answer, until the fault is changed or the receiver closed."""
    return Fault("hanging")


def unavailable(retry_after_s: int = 0) -> Fault:
    """Say UNAVAILABLE or 503, which a sender tries again; over HTTP with Retry-After if given."""
    return Fault(
        "unavailable",
        grpc_code=grpc.StatusCode.UNAVAILABLE,
        http_code=503,
        retry_after_s=retry_after_s,
    )


def bad_request() -> Fault:
    """Say INVALID_ARGUMENT or 400, which a sender must not try again."""
    return Fault("bad_request", grpc_code=grpc.StatusCode.INVALID_ARGUMENT, http_code=400)


def exhausted(retry_info_s: int = 0, *, is_bare: bool = False) -> Fault:
    """Say RESOURCE_EXHAUSTED over gRPC, with RetryInfo if given; over HTTP 429.

    It is one of the status's details, as a collector sends it, unless it is bare: a trailer.
    """
    return Fault(
        "exhausted",
        grpc_code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        http_code=429,
        retry_info_s=retry_info_s,
        is_bare=is_bare,
    )


def partial_success(rejected: int) -> Fault:
    """Take each request, and say that so many of its items were rejected; 0 is a warning."""
    return Fault("partial_success", rejected=rejected)


NO_FAULT = Fault()


@dataclass(frozen=True)
class Arrival:
    """One request as it came in; `signal` is traces, metrics or logs."""

    signal: str
    transport: str
    message: Any
    headers: dict[str, str]
    size: int
    """Bytes of the message, not compressed."""
    is_compressed: bool = False
    """Whether it came compressed over HTTP; gRPC does not tell."""
    was_taken: bool = True
    """Whether the sender was told that it was taken."""


@dataclass
class _State:
    fault: Fault = NO_FAULT
    is_closed: bool = False
    arrivals: list[Arrival] = field(default_factory=list)


class Receiver:
    """Listens on a free port for each of gRPC and HTTP until it is closed.

    With certificates it speaks TLS only, and wants the same one of its clients. gRPC may be at a
    place of its own, such as `unix:///path`.
    """

    def __init__(self, tls: Certificates | None = None, grpc_place: str = "") -> None:
        self._tls = tls
        self._grpc_place = grpc_place
        self._changed = threading.Condition()
        self._state = _State()
        self._grpc_port = 0
        self._http_port = 0
        self._grpc: Any = None
        self._http: _HttpServer | None = None
        self.listen()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def grpc_endpoint(self) -> str:
        """The URL for OTLP over gRPC."""
        return f"{self._scheme}://{HOST}:{self._grpc_port}"

    @property
    def http_endpoint(self) -> str:
        """The URL for OTLP over HTTP, without a signal's path."""
        return f"{self._scheme}://{HOST}:{self._http_port}"

    @property
    def _scheme(self) -> str:
        return "http" if self._tls is None else "https"

    def endpoint(self, protocol: str) -> str:
        """The URL of a protocol as `telemetry.protocol` names it."""
        return self.grpc_endpoint if protocol == "grpc" else self.http_endpoint

    # What it does

    def behave(self, fault: Fault = NO_FAULT) -> None:
        """Meet requests with this fault from now on; those that hang are let go."""
        with self._changed:
            self._state.fault = fault
            self._changed.notify_all()

    def listen(self) -> None:
        """Begin to listen, again on the same ports after `refuse`."""
        pool = futures.ThreadPoolExecutor(8)
        # Without SO_REUSEPORT a second server on the port is an error and takes no connections.
        self._grpc = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        for signal, add in (
            ("traces", trace_service_pb2_grpc.add_TraceServiceServicer_to_server),
            ("metrics", metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server),
            ("logs", logs_service_pb2_grpc.add_LogsServiceServicer_to_server),
        ):
            add(_Service(self, signal), self._grpc)
        place = self._grpc_place or f"{HOST}:{self._grpc_port}"
        if self._tls is None:
            self._grpc_port = self._grpc.add_insecure_port(place)
        else:
            self._grpc_port = self._grpc.add_secure_port(place, _credentials(self._tls))
        self._grpc.start()
        self._http = _HttpServer((HOST, self._http_port), self, self._tls)
        self._http_port = self._http.server_address[1]

    def refuse(self) -> None:
        """Close the listening sockets and all connections: senders are refused."""
        if self._grpc is not None:
            self._grpc.stop(None).wait()
            self._grpc = None
        if self._http is not None:
            self._http.stop()
            self._http = None

    def close(self) -> None:
        """Let go of what hangs, and stop."""
        with self._changed:
            self._state.is_closed = True
            self._changed.notify_all()
        self.refuse()

    def clear(self) -> None:
        """Forget what has arrived."""
        with self._changed:
            self._state.arrivals.clear()

    # What has arrived

    def arrivals(self, signal: str | None = None, *, taken: bool | None = True) -> list[Arrival]:
        """The requests so far: of one signal or all, those that were taken or not or both."""
        with self._changed:
            return [
                one
                for one in self._state.arrivals
                if signal in (None, one.signal) and taken in (None, one.was_taken)
            ]

    def messages(self, signal: str) -> list[Any]:
        """The messages of a signal that were taken."""
        return [one.message for one in self.arrivals(signal)]

    def spans(self) -> list[SpanView]:
        """All spans that were taken, in the order of arrival."""
        return [span for message in self.messages("traces") for span in spans_of(message)]

    def metrics(self) -> list[MetricView]:
        """All metrics that were taken, in the order of arrival: one view for each data point."""
        return [metric for message in self.messages("metrics") for metric in metrics_of(message)]

    def logs(self) -> list[LogView]:
        """All log records that were taken, in the order of arrival."""
        return [log for message in self.messages("logs") for log in logs_of(message)]

    def wait(self, is_enough: Callable[[Receiver], bool], deadline_s: float = DEADLINE_S) -> None:
        """Wait until a condition holds of what has arrived. Raises AssertionError."""
        end = time.monotonic() + deadline_s
        while not is_enough(self):
            with self._changed:
                seen = len(self._state.arrivals)
                left = end - time.monotonic()
                if left <= 0:
                    counts = {signal: len(self.arrivals(signal)) for signal in SIGNALS}
                    raise AssertionError(f"not enough arrived in {deadline_s} s: {counts}")
                self._changed.wait_for(lambda: len(self._state.arrivals) != seen, min(left, 0.5))  # noqa: B023

    def wait_for_spans(
        self,
        count: int,
        matching: Callable[[SpanView], bool] = lambda _: True,
        deadline_s: float = DEADLINE_S,
    ) -> list[SpanView]:
        """Wait until so many spans have arrived that match; all of those."""

        def found() -> list[SpanView]:
            return [span for span in self.spans() if matching(span)]

        self.wait(lambda _: len(found()) >= count, deadline_s)
        return found()

    # For its servers

    def take(self, arrival: Arrival) -> Fault:
        """Note a request and return what to answer; hangs or waits when that is the fault."""
        with self._changed:
            fault = self._state.fault
            taken = fault.name in ("none", "slow", "partial_success")
            self._state.arrivals.append(replace(arrival, was_taken=taken))
            self._changed.notify_all()
            if fault.name in ("slow", "hanging"):
                limit = fault.seconds if fault.name == "slow" else None
                self._changed.wait_for(
                    lambda: self._state.fault is not fault or self._state.is_closed, limit
                )
        return fault


def _credentials(tls: Certificates) -> Any:
    """For gRPC: our certificate, and the one that clients must show."""
    cert = tls.cert.read_bytes()
    pairs = [(tls.key.read_bytes(), cert)]
    return grpc.ssl_server_credentials(pairs, cert, require_client_auth=True)


def _context(tls: Certificates) -> ssl.SSLContext:
    """The same for HTTP."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tls.cert))
    context.load_cert_chain(tls.cert, tls.key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _details(fault: Fault) -> tuple[str, bytes]:
    """The trailer that says more of a fault: how long to leave the receiver alone, if it has that.

    A google.rpc.Status has it behind another detail.
    """
    info = RetryInfo()
    info.retry_delay.seconds = fault.retry_info_s
    if fault.is_bare:
        return "google.rpc.retryinfo-bin", info.SerializeToString()
    status = Status(code=fault.grpc_code.value[0], message="told to by the test")
    status.details.add().Pack(DebugInfo(detail="none"))
    if fault.retry_info_s:
        status.details.add().Pack(info)
    return "grpc-status-details-bin", status.SerializeToString()


def _response(signal: str, fault: Fault) -> Any:
    response: Any = _RESPONSES[signal]()
    if fault.name == "partial_success":
        setattr(response.partial_success, _REJECTED[signal], fault.rejected)
        response.partial_success.error_message = "rejected by the test"
    return response


class _Service:
    """The gRPC service of one signal."""

    def __init__(self, receiver: Receiver, signal: str) -> None:
        self._receiver = receiver
        self._signal = signal

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        """Answer one request."""
        headers = {key: str(value) for key, value in context.invocation_metadata()}
        arrival = Arrival(self._signal, "grpc", request, headers, request.ByteSize())
        fault = self._receiver.take(arrival)
        if fault.name == "hanging":
            context.abort(grpc.StatusCode.CANCELLED, "let go")
        if fault.grpc_code is not grpc.StatusCode.OK:
            context.set_trailing_metadata((_details(fault),))
            context.abort(fault.grpc_code, "told to by the test")
        return _response(self._signal, fault)


class _HttpServer(ThreadingHTTPServer):
    """OTLP over HTTP; connections stay open between requests, as a collector keeps them."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], receiver: Receiver, tls: Certificates | None
    ) -> None:
        super().__init__(address, _HttpHandler)
        if tls is not None:
            self.socket = _context(tls).wrap_socket(self.socket, server_side=True)
        self.receiver = receiver
        self.connections: set[Any] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop to listen and cut all connections."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in list(self.connections):
            connection.close_connection = True
            with contextlib.suppress(OSError):  # the sender was quicker
                connection.connection.shutdown(socket.SHUT_RDWR)


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HttpServer

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self)

    def finish(self) -> None:
        self.server.connections.discard(self)
        super().finish()

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True  # cut by `stop`, or by a sender that gave up

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        signal = path.removeprefix("/v1/")
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if path != f"/v1/{signal}" or signal not in SIGNALS:
            self._answer(404, b"")
            return
        if self.headers.get("Content-Type") != "application/x-protobuf":
            self._answer(415, b"")
            return
        try:
            plain = _decompressed(body, self.headers.get("Content-Encoding", ""))
            message = _REQUESTS[signal].FromString(plain)
        except (DecodeError, OSError, zlib.error, EOFError) as error:
            self._answer(400, str(error).encode())
            return
        headers = {key.lower(): value for key, value in self.headers.items()}
        is_compressed = "content-encoding" in headers
        arrival = Arrival(signal, "http", message, headers, len(plain), is_compressed)
        fault = self.server.receiver.take(arrival)
        if fault.name == "hanging":
            self.close_connection = True
            return
        self._answer(
            fault.http_code, _response(signal, fault).SerializeToString(), fault.retry_after_s
        )

    def _answer(self, code: int, body: bytes, retry_after_s: int = 0) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        if retry_after_s:
            self.send_header("Retry-After", str(retry_after_s))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def _decompressed(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "deflate":
        return zlib.decompress(body)
    return body
