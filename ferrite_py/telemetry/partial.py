"""What a receiver says of a request that it has taken: items that it rejected, and warnings.

OTLP has both in `partial_success`. The official exporters pass it over, so that their answers are
read on the way to them; what is private of them is named here alone, and
`tests/telemetry/test_partial.py` fails when it moves.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from ferrite_py.telemetry.transport import short

log = logging.getLogger(__name__)

REPORT_S = 60.0
"""Rejections enter the log once in so long, and warnings too."""

_RESPONSES: dict[str, Any] = {
    "metrics": ExportMetricsServiceResponse,
    "logs": ExportLogsServiceResponse,
}
_REJECTED = {
    "metrics": ("rejected_data_points", "data points of metrics"),
    "logs": ("rejected_log_records", "messages of the log"),
}
"""For a signal the field that counts what was rejected, and what that is."""


class Warnings:
    """Tells the log what a receiver warns of though it rejects nothing, now and then."""

    def __init__(self, signal: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._signal = signal
        self._clock = clock
        self._told: float | None = None

    def hear(self, message: str) -> None:
        """A warning, "" for none."""
        now = self._clock()
        if message and (self._told is None or now - self._told >= REPORT_S):
            self._told = now
            log.warning("the receiver of %s warns: %s", self._signal, message)


class Rejections:
    """Counts what a receiver of metrics or logs rejects, and tells the log now and then."""

    def __init__(self, signal: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._signal = signal
        self._clock = clock
        self._warnings = Warnings(signal, clock)
        self._told: float | None = None
        self.count = 0
        """Data points or messages so far."""

    def hear(self, response: Any) -> None:
        """The answer to a request that was taken."""
        field, items = _REJECTED[self._signal]
        partial = response.partial_success
        rejected, message = getattr(partial, field), short(partial.error_message)
        if not rejected:
            self._warnings.hear(message)
            return
        self.count += rejected
        now = self._clock()
        if self._told is None or now - self._told >= REPORT_S:
            self._told = now
            because = f": {message}" if message else ""
            log.warning(
                "the receiver rejects %s; %d so far, the last time %d%s",
                items,
                self.count,
                rejected,
                because,
            )

    def listen_to(self, exporter: Any, *, is_grpc: bool) -> None:
        """Hear all answers that an official exporter gets from now on."""
        if is_grpc:
            stub = exporter._stub
            # It makes another one, of a new channel, when a receiver was away.
            exporter._stub = lambda channel: _Heard(stub(channel), self.hear)
            exporter._client = _Heard(exporter._client, self.hear)
        else:
            submit = exporter._client._submit
            exporter._client._submit = lambda *given: self._heard(submit(*given))

    def _heard(self, result: Any) -> Any:
        status = result.status_code
        if status is not None and 200 <= status < 300:
            # A receiver may answer with JSON, or with nothing of sense.
            with contextlib.suppress(Exception):
                self.hear(_RESPONSES[self._signal].FromString(result.content()))
        return result


class _Heard:
    """A client of gRPC whose answers are heard as well."""

    def __init__(self, client: Any, hear: Callable[[Any], None]) -> None:
        self._client = client
        self._hear = hear

    def Export(self, **given: Any) -> Any:  # noqa: N802 - the service's name
        """Send a request and wait for the answer."""
        response = self._client.Export(**given)
        self._hear(response)
        return response
