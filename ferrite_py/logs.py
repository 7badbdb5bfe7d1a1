"""The server's own log: standard logging, as one JSON object a line or as text for people.

A message's structured part goes into `extra={"fields": {...}}`, which both forms show, and the
trace that it is about into `extra={"trace": (trace_id, span_id)}`.
"""

import io
import json
import logging
import sys
import time
from logging.handlers import WatchedFileHandler

from ferrite_py.config import LoggingConfig
from ferrite_py.errors import StartupError

ROOT = "ferrite_py"
"""The logger above all others of this package."""

SDK = "opentelemetry"
"""The logger above all others of OpenTelemetry's SDK and exporters."""

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
"""The names that the configuration uses."""

STDOUT = "-"
"""The name of a file that stands for standard output."""

_NAMES = {number: name for name, number in LEVELS.items()}


class JsonFormatter(logging.Formatter):
    """One JSON object for each message, with Ferrite's keys; times are UTC, in RFC 3339.

    `trace_id` and `span_id` are there when the message is about a command that was traced.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        entry: dict[str, object] = {
            "timestamp": _utc(record),
            "level": level_of(record).upper(),
            "target": record.name,
            "message": record.getMessage(),
        }
        trace_id, span_id = trace_of(record)
        if trace_id:
            entry |= {"trace_id": trace_id, "span_id": span_id}
        fields = fields_of(record)
        if fields:
            entry["fields"] = fields
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class PrettyFormatter(logging.Formatter):
    """Local time, level, message, and the fields as `name=value`; tracebacks follow on lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines when there is a traceback, without the last end."""
        local = time.localtime(record.created)
        clock = f"{time.strftime('%Y-%m-%d %H:%M:%S', local)}.{int(record.msecs):03d}"
        fields = "".join(f" {name}={value}" for name, value in fields_of(record).items())
        # A message is one line, whatever a client wrote into it.
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        line = f"{clock} {level_of(record):<5} {message}{fields}"
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return line


def _utc(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"


def level_of(record: logging.LogRecord) -> str:
    """The level as the configuration names it."""
    return _NAMES.get(record.levelno, record.levelname.lower())


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """The structured part of a message."""
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}


def trace_of(record: logging.LogRecord) -> tuple[str, str]:
    """The trace and span that a message is about, in hexadecimal digits; empty for none."""
    trace = getattr(record, "trace", None)
    return trace if isinstance(trace, tuple) else ("", "")


def unix_ns_of(record: logging.LogRecord) -> int:
    """When it was, exactly where that is known."""
    found = getattr(record, "unix_ns", None)
    return found if isinstance(found, int) else int(record.created * 1e9)


def add_handler(handler: logging.Handler) -> None:
    """Send the package's messages to another handler as well."""
    logging.getLogger(ROOT).addHandler(handler)


def remove_handler(handler: logging.Handler) -> None:
    """Undo `add_handler`."""
    logging.getLogger(ROOT).removeHandler(handler)


def set_up(config: LoggingConfig) -> None:
    """Send the package's messages where the configuration says, replacing an earlier set-up.

    A log file that another program has renamed is opened anew by itself. Raises StartupError when
    the file cannot be opened.
    """
    handler = _handler(config.file)
    handler.setFormatter(JsonFormatter() if config.format == "json" else PrettyFormatter())
    # asyncio reports here what no task of ours has caught, and the SDK what it meets when it is
    # imported; later that goes by way of `hear_complaints`.
    for name in (ROOT, "asyncio", SDK):
        logger = logging.getLogger(name)
        for old in logger.handlers:
            old.close()
        logger.handlers = [handler]
        logger.propagate = False
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    set_level(config.level)


def _handler(file: str) -> logging.Handler:
    if not file:
        return logging.StreamHandler(sys.stderr)
    if file == STDOUT:
        # As standard error and files do; a line that cannot be encoded would be lost.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        return logging.StreamHandler(sys.stdout)
    try:
        return WatchedFileHandler(file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise StartupError(f"logging.file: cannot open {file}: {error.strerror}") from error


def set_level(level: str) -> None:
    """Write messages from this level on; one of LEVELS. Of the SDK's, warnings unless at debug."""
    number = LEVELS[level]
    logging.getLogger(ROOT).setLevel(number)
    of_sdk = number if number == logging.DEBUG else max(number, logging.WARNING)
    logging.getLogger(SDK).setLevel(of_sdk)
