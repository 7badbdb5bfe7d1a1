"""The server's log over OTLP: the SDK's provider and batches, and a handler of our own.

(The SDK's own handler is deprecated, and would name attributes after Python's log records.)
"""

import copy
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    ConsoleLogRecordExporter,
    LogRecordExporter,
    LogRecordExportResult,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import TraceFlags

from ferrite_py import logs
from ferrite_py.config_otel import SIGNALS
from ferrite_py.errors import StartupError
from ferrite_py.hidden import masked
from ferrite_py.measure import Samples
from ferrite_py.telemetry.environment import exporter_of, in_force, protocol_of
from ferrite_py.telemetry.partial import Rejections
from ferrite_py.telemetry.transport import short

log = logging.getLogger(__name__)

SEVERITIES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warn": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
}
QUIET_S = 60.0
END_S = 1.0
"""How long a stop waits after its deadline for what it has cut off."""


class OtlpHandler(logging.Handler):
    """Gives the messages of the package to a provider of loggers."""

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one message; what cannot be is reported as `logging` does."""
        try:
            self._provider.get_logger(record.name).emit(translated(record))
        except Exception:
            self.handleError(record)


def translated(record: logging.LogRecord) -> LogRecord:
    """A message as OpenTelemetry has it: its fields and its exception are attributes."""
    level = logs.level_of(record)
    attributes: dict[str, Any] = {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in logs.fields_of(record).items()
    }
    if record.exc_info and record.exc_info[0] is not None:
        attributes["exception.type"] = record.exc_info[0].__name__
        attributes["exception.message"] = str(record.exc_info[1])
        attributes["exception.stacktrace"] = logging.Formatter().formatException(record.exc_info)
    trace_id, span_id = logs.trace_of(record)
    return LogRecord(
        timestamp=logs.unix_ns_of(record),
        observed_timestamp=time.time_ns(),
        trace_id=int(trace_id or "0", 16),
        span_id=int(span_id or "0", 16),
        trace_flags=TraceFlags(TraceFlags.SAMPLED if trace_id else TraceFlags.DEFAULT),
        severity_text=level.upper(),
        severity_number=SEVERITIES.get(level, SeverityNumber.UNSPECIFIED),
        body=record.getMessage(),
        attributes=attributes,
    )


class Quiet(logging.Filter):
    """Lets each kind of warning through once a minute; a receiver that is away makes many."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the message is to be written."""
        if record.levelno < logging.WARNING:
            return True
        now = time.monotonic()
        args = record.args if isinstance(record.args, tuple) else ()
        kind = (record.msg, *(one for one in args if one in SIGNALS))
        if now - self._told.get(kind, now - 2 * QUIET_S) < QUIET_S:
            return False
        self._told[kind] = now
        return True


class Complaints(logging.Handler):
    """Passes what the SDK says on to where the server's own log goes, but not over OTLP."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message; a library may have put a URL with a secret into it."""
        text = record.getMessage()
        if (shown := masked(text)) != text:
            record = copy.copy(record)
            record.msg, record.args = shown, ()
        for handler in logging.getLogger(logs.ROOT).handlers:
            if not isinstance(handler, OtlpHandler):
                handler.handle(record)


def hear_complaints() -> None:
    """From now on the SDK's complaints, of any signal, enter our log, sparingly."""
    handler = Complaints()
    handler.addFilter(Quiet())
    logger = logging.getLogger(logs.SDK)
    logger.handlers = [handler]
    logger.propagate = False


class Counting(LogRecordExporter):
    """Hands messages to the official exporter, and counts what becomes of them."""

    def __init__(self, inner: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._inner = inner
        self._clock = clock
        self._told: float | None = None
        self.exported = 0
        """Requests that the receiver has taken."""
        self.failed = 0
        """Requests that it has not, whatever was tried."""
        self.lost = 0
        """Messages in those."""

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Export, with the exporter's own retries."""
        result: LogRecordExportResult = LogRecordExportResult.FAILURE
        try:
            result = self._inner.export(batch)
        finally:
            if result is LogRecordExportResult.SUCCESS:
                self.exported += 1
            else:
                self._fail(len(batch))
        return result

    def _fail(self, count: int) -> None:
        self.failed += 1
        self.lost += count
        now = self._clock()
        if self._told is None or now - self._told >= QUIET_S:
            self._told = now
            log.warning("messages of the log were not exported; %d so far", self.lost)

    def shutdown(self) -> None:
        """Give up what is under way, and close the connection."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is buffered here."""
        return bool(self._inner.force_flush(timeout_millis))


class Queue(BatchLogRecordProcessor):
    """The SDK's queue of messages, which counts those that push out an older one."""

    dropped = 0

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a message; `logging` lets in one thread at a time."""
        queue = self._batch_processor
        if len(queue._queue) >= queue._max_queue_size:
            self.dropped += 1
        super().on_emit(log_record)


class Logs:
    """Messages on their way to the collector."""

    def __init__(self, values: Mapping[str, str], resource: Resource) -> None:
        """Make the parts that can fail. Raises StartupError."""
        self._rejections = Rejections("logs")
        try:
            with in_force(values):
                self._provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
                exporter = _exporter(values)
                if exporter_of("logs", values) == "otlp":
                    is_grpc = protocol_of("logs", values) == "grpc"
                    self._rejections.listen_to(exporter, is_grpc=is_grpc)
                self._exporter = Counting(exporter)
                self._queue = Queue(self._exporter)
        except StartupError:
            raise
        except Exception as error:
            raise StartupError(f"cannot export logs: {short(str(error))}") from error
        self._provider.add_log_record_processor(self._queue)
        self._handler = OtlpHandler(self._provider)

    def outcome(self) -> Iterable[tuple[str, Samples]]:
        """What became of messages, for the metrics."""
        yield "EXPORTED", [(("logs",), self._exporter.exported)]
        yield "EXPORT_FAILURES", [(("logs",), self._exporter.failed)]
        yield "EXPORT_REJECTED", [(("logs",), self._rejections.count)]
        lost = [(("queue_full",), self._queue.dropped), (("not_taken",), self._exporter.lost)]
        yield "LOGS_LOST", lost

    def start(self) -> None:
        """Export messages from now on."""
        logs.add_handler(self._handler)

    def stop(self, deadline_s: float) -> None:
        """Send what is left within a deadline."""
        logs.remove_handler(self._handler)
        # None of the SDK's own deadlines holds while an exporter waits between two attempts.
        flush = threading.Thread(target=self._provider.shutdown, name="logs", daemon=True)
        flush.start()
        flush.join(deadline_s)
        if flush.is_alive():
            self._exporter.shutdown()
            flush.join(END_S)


def _exporter(values: Mapping[str, str]) -> Any:
    if exporter_of("logs", values) == "console":
        return ConsoleLogRecordExporter()
    if protocol_of("logs", values) == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as Grpc

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as Http

    from ferrite_py.telemetry.session import own_session

    return Http(session=own_session("logs"))
