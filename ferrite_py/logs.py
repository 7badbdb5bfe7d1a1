"""The server's own log: standard logging, as one JSON object a line or as text for people.

A message's structured part goes into `extra={"fields": {...}}`; both forms show it.
"""

import json
import logging
import sys
import time
from logging.handlers import WatchedFileHandler

from ferrite_py.config import LoggingConfig
from ferrite_py.errors import StartupError

ROOT = "ferrite_py"
"""The logger above all others of this package."""

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
"""The names that the configuration uses."""

_NAMES = {number: name for name, number in LEVELS.items()}


class JsonFormatter(logging.Formatter):
    """One JSON object for each message; times are UTC, in RFC 3339."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        entry: dict[str, object] = {
            "time": _utc(record),
            "level": _level(record),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= _fields(record)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class PrettyFormatter(logging.Formatter):
    """Local time, level, message, and the fields as `name=value`; tracebacks follow on lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines when there is a traceback, without the last end."""
        local = time.localtime(record.created)
        clock = f"{time.strftime('%Y-%m-%d %H:%M:%S', local)}.{int(record.msecs):03d}"
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        # A message is one line, whatever a client wrote into it.
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        line = f"{clock} {_level(record):<5} {message}{fields}"
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return line


def _utc(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"


def _level(record: logging.LogRecord) -> str:
    return _NAMES.get(record.levelno, record.levelname.lower())


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}


def set_up(config: LoggingConfig) -> None:
    """Send the package's messages where the configuration says, replacing an earlier set-up.

    A log file that another program has renamed is opened anew by itself. Raises StartupError when
    the file cannot be opened.
    """
    handler = _handler(config.file)
    handler.setFormatter(JsonFormatter() if config.format == "json" else PrettyFormatter())
    # asyncio reports here what no task of ours has caught.
    for name in (ROOT, "asyncio"):
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
    try:
        return WatchedFileHandler(file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise StartupError(f"logging.file: cannot open {file}: {error.strerror}") from error


def set_level(level: str) -> None:
    """Write messages from this level on; one of LEVELS."""
    logging.getLogger(ROOT).setLevel(LEVELS[level])
