"""The server's log over OTLP: the SDK's provider and batches, and a handler of our own.

(The SDK's own handler is deprecated, and would name attributes after Python's log records.)
"""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, ConsoleLogRecordExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import TraceFlags

from ferrite_py import logs
from ferrite_py.errors import StartupError
from ferrite_py.telemetry.environment import exporter_of, in_force, protocol_of

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
        timestamp=int(record.created * 1e9),
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
    """Lets each kind of message through once a minute; a receiver that is away makes many."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the message is to be written."""
        now = time.monotonic()
        if now - self._told.get(record.msg, now - 2 * QUIET_S) < QUIET_S:
            return False
        self._told[record.msg] = now
        return True


class Logs:
    """Messages on their way to the collector."""

    def __init__(self, values: Mapping[str, str], resource: Resource) -> None:
        """Make the parts that can fail. Raises StartupError."""
        try:
            with in_force(values):
                self._provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
                self._exporter = _exporter(values)
                processor = BatchLogRecordProcessor(self._exporter)
        except StartupError:
            raise
        except Exception as error:
            raise StartupError(f"cannot export logs: {error}") from error
        self._provider.add_log_record_processor(processor)
        self._handler = OtlpHandler(self._provider)

    def start(self) -> None:
        """Export messages from now on; the SDK's complaints enter our log, sparingly."""
        logs.add_handler(self._handler)
        logger = logging.getLogger("opentelemetry")
        logger.handlers = [
            one for one in logging.getLogger(logs.ROOT).handlers if one is not self._handler
        ]
        logger.propagate = False
        for name in list(logging.Logger.manager.loggerDict):
            if name.startswith("opentelemetry."):
                logging.getLogger(name).addFilter(Quiet())

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

    return Http()
