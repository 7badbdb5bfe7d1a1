"""Sending encoded requests, one attempt each, through the official exporters' own connections.

The exporters are made without arguments, so that endpoint, TLS, headers, timeout and compression
are as they read them. Their `export` takes span objects, retries by itself and forgets what the
receiver said of it; here bytes go over the same channel or session, and the answer is given back.
What is private of them is named in one place each, and `tests/telemetry/test_transport.py` fails
when it moves.
"""

import gzip
import importlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from ferrite_py.errors import StartupError
from ferrite_py.hidden import masked
from ferrite_py.telemetry.environment import exporter_of, in_force, protocol_of

EXPORT_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RECONNECT_MS_MAX = 5000
"""gRPC's own pause between two attempts to connect grows to two minutes without this."""

RETRYABLE_STATUS = frozenset({429, 502, 503, 504})
_REASON_CHARS_MAX = 200
GIVEN_UP = "given up at the stop"


class Outcome(Enum):
    """What became of a request."""

    TAKEN = "taken"
    AGAIN = "again"
    """It may be sent again."""
    REFUSED = "refused"
    """It must not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said, or why it said nothing."""

    outcome: Outcome
    reason: str = ""
    rejected: int = 0
    """Spans of a taken request that it did not take after all (partial_success)."""
    wait_s: float | None = None
    """How long it wants to be left alone; None if it did not say."""


class Transport(Protocol):
    """Sends requests to one receiver."""

    timeout_s: float
    """The time for one attempt that the operator has set."""

    def send(self, request: bytes, timeout_s: float) -> Answer:
        """Send a request and wait for the answer."""

    def close(self) -> None:
        """Give up what is under way, from any thread, and close the connection."""


def short(text: str) -> str:
    """What somebody else wrote as one line that is not too long, without secrets."""
    line = " ".join(masked(text).split())
    return line if len(line) <= _REASON_CHARS_MAX else line[: _REASON_CHARS_MAX - 3] + "..."


def _taken(response: Any) -> Answer:
    partial = response.partial_success
    return Answer(Outcome.TAKEN, short(partial.error_message), partial.rejected_spans)


class GrpcTransport:
    """OTLP over gRPC; made while the environment is in force."""

    def __init__(self, compression: str) -> None:
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        kinds = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}
        options: Any = (("grpc.max_reconnect_backoff_ms", RECONNECT_MS_MAX),)
        self._exporter: Any = OTLPSpanExporter(
            compression=kinds.get(compression, grpc.Compression.NoCompression),
            channel_options=options,
        )
        channel: Any = self._exporter._channel
        self._call: Any = channel.unary_unary(
            EXPORT_METHOD,
            request_serializer=None,
            response_deserializer=ExportTraceServiceResponse.FromString,
        )
        self._error: type[Exception] = grpc.RpcError
        self._retryable: Any = self._exporter._retryable_error_codes
        # What is exhausted may recover only if the receiver says when: so OTLP has it.
        self._exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
        self.timeout_s = float(self._exporter._timeout)
        self._is_closed = False

    def send(self, request: bytes, timeout_s: float) -> Answer:
        """Send a request and wait for the answer."""
        if self._is_closed:
            return Answer(Outcome.REFUSED, "closed")
        try:
            # A future would cost a thread that is started for each request, to wait for it.
            return _taken(self._call(request, metadata=self._exporter._headers, timeout=timeout_s))
        except self._error as error:
            return self._failed(error)
        except ValueError as error:  # what gRPC raises of a channel that was closed just before
            return self._refused(error)

    def _refused(self, error: ValueError) -> Answer:
        if self._is_closed:
            return Answer(Outcome.REFUSED, GIVEN_UP)
        raise error

    def _failed(self, error: Any) -> Answer:
        if self._is_closed:
            return Answer(Outcome.REFUSED, GIVEN_UP)
        code = error.code()
        wait_s = _retry_info(error.trailing_metadata())
        may_try = code in self._retryable and (code is not self._exhausted or wait_s is not None)
        outcome = Outcome.AGAIN if may_try else Outcome.REFUSED
        return Answer(outcome, short(f"{code.name}: {error.details()}"), wait_s=wait_s)

    def close(self) -> None:
        """Give up what is under way, from any thread, and close the connection."""
        self._is_closed = True
        self._exporter.shutdown()


def _retry_info(metadata: Any) -> float | None:
    """The pause that a RetryInfo among the trailers asks for, in seconds.

    It is one of the details of a google.rpc.Status, or, of a few receivers, a trailer of its own.
    """
    rpc = importlib.import_module("google.rpc.error_details_pb2")
    status = importlib.import_module("google.rpc.status_pb2")

    for key, value in metadata or ():
        info: Any = rpc.RetryInfo()
        with suppress(Exception):  # bytes that are no message
            if key == "grpc-status-details-bin":
                details = status.Status.FromString(value).details
                if not any(detail.Unpack(info) for detail in details):
                    continue
            elif key == "google.rpc.retryinfo-bin":
                info.ParseFromString(value)
            else:
                continue
            return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return None


class HttpTransport:
    """OTLP over HTTP; made while the environment is in force."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.common.http import Compression, _extract_retry_after
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        from ferrite_py.telemetry.session import own_session

        self._exporter: Any = OTLPSpanExporter(session=own_session("traces"))
        self._client: Any = self._exporter._client
        self._retry_after: Any = _extract_retry_after
        self.timeout_s = float(self._client._timeout)
        is_gzip = self._client._compression is Compression.GZIP
        self._compress = _fast_gzip() if is_gzip else self._client._compress
        self._is_closed = False

    def send(self, request: bytes, timeout_s: float) -> Answer:
        """Send a request and wait for the answer."""
        if self._is_closed:
            return Answer(Outcome.REFUSED, "closed")
        result: Any = self._client._submit(self._compress(request), timeout_s)
        status = result.status_code
        if status is None:
            # Whatever it is, of the network or of TLS, it may be mended without a restart.
            return Answer(Outcome.AGAIN, short(str(result.error)))
        if 200 <= status < 300:
            return self._read(result)
        outcome = Outcome.AGAIN if status in RETRYABLE_STATUS else Outcome.REFUSED
        wait_s = self._retry_after(result) if outcome is Outcome.AGAIN else None
        return Answer(outcome, short(f"{status} {result.reason}"), wait_s=wait_s)

    @staticmethod
    def _read(result: Any) -> Answer:
        try:
            return _taken(ExportTraceServiceResponse.FromString(result.content()))
        except Exception:  # a receiver that answers with JSON, or with nothing of sense
            return Answer(Outcome.TAKEN)

    def close(self) -> None:
        """Give up what is under way, as far as the session can, and close the connection."""
        self._is_closed = True
        self._exporter.shutdown()


def _fast_gzip() -> Callable[[bytes], bytes]:
    """Compression at the lowest level: by isal, if it is installed, else by zlib."""
    try:
        igzip = importlib.import_module("isal.igzip")
    except ImportError:
        return lambda data: gzip.compress(data, compresslevel=1, mtime=0)
    return lambda data: bytes(igzip.compress(data, compresslevel=0))


class ConsoleTransport:
    """Prints requests as text to standard output."""

    timeout_s = 10.0

    def send(self, request: bytes, timeout_s: float) -> Answer:  # noqa: ARG002 - of all transports
        """Print a request."""
        print(ExportTraceServiceRequest.FromString(request), flush=True)
        return Answer(Outcome.TAKEN)

    def close(self) -> None:
        """There is nothing to close."""


def trace_transport(values: Mapping[str, str]) -> Transport:
    """What sends traces, as the variables say. Raises StartupError, naming what is wrong."""
    if exporter_of("traces", values) == "console":
        return ConsoleTransport()
    protocol = protocol_of("traces", values)
    compression = (
        values.get("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION")
        or values.get("OTEL_EXPORTER_OTLP_COMPRESSION")
        or "none"
    )
    try:
        with in_force(values):
            return GrpcTransport(compression) if protocol == "grpc" else HttpTransport()
    except Exception as error:
        # The exporters raise what their libraries raise, of files, URLs and options.
        raise StartupError(f"cannot export traces: {short(str(error))}") from error
