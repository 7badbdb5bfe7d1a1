"""The receiver of the tests takes what a plain client sends, and fails as it is told to."""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.telemetry.receiver import (
    HOST,
    Receiver,
    bad_request,
    hanging,
    partial_success,
    slow,
    unavailable,
)

Send = Callable[[str, bytes], tuple[Any, Any]]
PROTOCOLS = ("grpc", "http")

STUBS: dict[str, Any] = {
    "traces": (
        trace_service_pb2_grpc.TraceServiceStub,
        trace_service_pb2.ExportTraceServiceRequest,
    ),
    "metrics": (
        metrics_service_pb2_grpc.MetricsServiceStub,
        metrics_service_pb2.ExportMetricsServiceRequest,
    ),
    "logs": (logs_service_pb2_grpc.LogsServiceStub, logs_service_pb2.ExportLogsServiceRequest),
}


def request_of(signal: str) -> Any:
    """A request with one item whose name is `x`."""
    request = STUBS[signal][1]()
    if signal == "traces":
        group = request.resource_spans.add()
        span = group.scope_spans.add().spans.add(name="x", trace_id=b"t" * 16, span_id=b"s" * 8)
        span.attributes.add(key="a").value.int_value = 7
    elif signal == "metrics":
        group = request.resource_metrics.add()
        metric = group.scope_metrics.add().metrics.add(name="x", unit="By")
        metric.gauge.data_points.add(as_int=5)
    else:
        group = request.resource_logs.add()
        group.scope_logs.add().log_records.add(severity_text="INFO").body.string_value = "x"
    group.resource.attributes.add(key="service.name").value.string_value = "test"
    return request


def send_grpc(receiver: Receiver, signal: str, timeout_s: float = 10) -> tuple[str, Any]:
    """Send one request; the code's name and the response."""
    with grpc.insecure_channel(receiver.grpc_endpoint.removeprefix("http://")) as channel:
        try:
            stub = STUBS[signal][0](channel)
            metadata = (("authorization", "Bearer x"),)
            return "OK", stub.Export(request_of(signal), metadata=metadata, timeout=timeout_s)
        except grpc.RpcError as error:
            return error.code().name, None


def send_http(receiver: Receiver, signal: str, timeout_s: float = 10) -> tuple[int, bytes]:
    """Send one request, compressed; the status and the body. 0 when there is no answer."""
    port = int(receiver.http_endpoint.rpartition(":")[2])
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    body = gzip.compress(request_of(signal).SerializeToString())
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    try:
        connection.request("POST", f"/v1/{signal}", body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_all_signals_arrive(protocol: str) -> None:
    """Spans, metrics and logs come in whole, with their headers, over both protocols."""
    send: Any = send_grpc if protocol == "grpc" else send_http

    with Receiver() as receiver:
        for signal in STUBS:
            assert send(receiver, signal)[0] in ("OK", 200)
        [span], [metric], [log] = receiver.spans(), receiver.metrics(), receiver.logs()

        assert (span.name, span.trace_id, span.span_id) == ("x", "74" * 16, "73" * 8)
        assert (span.attributes, span.resource) == ({"a": 7}, {"service.name": "test"})
        assert (metric.name, metric.unit, metric.kind, metric.value) == ("x", "By", "gauge", 5)
        assert (log.body, log.severity) == ("x", "INFO")
        assert {one.transport for one in receiver.arrivals()} == {protocol}
        if protocol == "grpc":
            assert receiver.arrivals("logs")[0].headers["authorization"] == "Bearer x"
        else:
            assert receiver.arrivals("logs")[0].is_compressed


def test_faults_over_grpc() -> None:
    """Each fault is what its name says."""
    with Receiver() as receiver:
        receiver.behave(unavailable())
        assert send_grpc(receiver, "traces")[0] == "UNAVAILABLE"
        receiver.behave(bad_request())
        assert send_grpc(receiver, "traces")[0] == "INVALID_ARGUMENT"
        receiver.behave(hanging())
        assert send_grpc(receiver, "traces", timeout_s=0.2)[0] == "DEADLINE_EXCEEDED"
        assert receiver.spans() == []
        assert len(receiver.arrivals("traces", taken=False)) == 3

        receiver.behave(slow(0.05))
        assert send_grpc(receiver, "traces")[0] == "OK"
        receiver.behave(partial_success(3))
        response = send_grpc(receiver, "traces")[1]
        assert response.partial_success.rejected_spans == 3

        receiver.refuse()
        assert send_grpc(receiver, "traces", timeout_s=5)[0] == "UNAVAILABLE"
        receiver.listen()
        receiver.behave()
        assert send_grpc(receiver, "traces")[0] == "OK"
        assert len(receiver.wait_for_spans(3)) == 3


def test_faults_over_http() -> None:
    """Each fault is what its name says."""
    with Receiver() as receiver:
        receiver.behave(unavailable(retry_after_s=1))
        assert send_http(receiver, "traces")[0] == 503
        receiver.behave(bad_request())
        assert send_http(receiver, "traces")[0] == 400
        receiver.behave(hanging())
        assert send_http(receiver, "traces", timeout_s=0.2)[0] == 0
        assert receiver.spans() == []

        receiver.behave(slow(0.05))
        assert send_http(receiver, "traces")[0] == 200
        receiver.behave(partial_success(3))
        body = send_http(receiver, "traces")[1]
        response = trace_service_pb2.ExportTraceServiceResponse.FromString(body)
        assert response.partial_success.rejected_spans == 3

        receiver.refuse()
        assert send_http(receiver, "traces", timeout_s=5)[0] == 0
        receiver.listen()
        receiver.behave()
        assert send_http(receiver, "traces")[0] == 200
        assert len(receiver.wait_for_spans(3)) == 3


def test_waiting_for_too_much_fails() -> None:
    """A wait that is not met says what there is."""
    with Receiver() as receiver:
        send_http(receiver, "traces")
        with pytest.raises(AssertionError, match=r"not enough arrived.*'traces': 1"):
            receiver.wait_for_spans(2, deadline_s=0.05)
