"""Parts of an export without a server: settings, transports, and a source that a test fills."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ferrite_py._native import Encoder
from ferrite_py.config import TelemetryConfig
from ferrite_py.config import load as load_config
from ferrite_py.telemetry.drain import Batch, Drain
from ferrite_py.telemetry.environment import environment
from ferrite_py.telemetry.format import Place, make_format
from ferrite_py.telemetry.transport import Transport, trace_transport
from tests.telemetry.expand import Record
from tests.telemetry.receiver import Receiver

PROTOCOLS = ("grpc", "http")


def telemetry(environ: dict[str, str] | None = None, **settings: str) -> TelemetryConfig:
    """Settings of `[telemetry]` over an environment."""
    flags = {f"telemetry.{key}": text for key, text in settings.items()}
    return load_config(None, environ or {}, flags).telemetry


def transport_to(
    receiver: Receiver, protocol: str, environ: dict[str, str] | None = None, **settings: str
) -> Transport:
    """A transport of traces to the receiver."""
    given = {"endpoint": receiver.endpoint(protocol), "protocol": protocol, **settings}
    config = telemetry(environ, **given)
    return trace_transport(environment(config, environ or {}, "id"))


def request_of(count: int, first: int = 1) -> bytes:
    """A request of so many commands, a span each, whose ids are numbers from `first` on."""
    records = b"".join(Record(span_id=first + i).pack() for i in range(count))
    parts = make_format({"service.name": "test"}, "", ("get",), semconv="dup", place=Place("h", 1))
    return Encoder(parts).encode(records, 0, 0, (0, 10**18, 1.0))[0]


class FilledSource:
    """Commands that a test adds; a bounded queue as the rings are."""

    def __init__(self, batch_size: int = 100, room: int = 1_000_000) -> None:
        self._lock = threading.Lock()
        self._next = 1
        self._waiting = 0
        self._dropped = 0
        self.looks = 0
        self.confirmed = 0
        """How often the receiver had taken a batch."""
        self._batch_size = batch_size
        self._room = room

    def add(self, count: int) -> None:
        """Record so many commands, those that have room."""
        with self._lock:
            taken = min(count, self._room - self._waiting)
            self._waiting += taken
            self._dropped += count - taken

    def waiting(self) -> int:
        """Commands that wait to be collected."""
        with self._lock:
            return self._waiting

    def events_waiting(self) -> int:
        """There are none."""
        return 0

    def taken(self) -> int:
        """Commands that were collected."""
        with self._lock:
            return self._next - 1

    def is_pressed(self) -> bool:
        """Whether the queue is half full."""
        return self.waiting() * 2 >= self._room

    def collect(self) -> Batch | None:
        """Take commands, up to a batch."""
        with self._lock:
            count = min(self._waiting, self._batch_size)
            first = self._next
            self._waiting -= count
            self._next += count
        return Batch(request_of(count, first), count, count) if count else None

    def look(self) -> None:
        """Count it."""
        self.looks += 1

    def confirm(self) -> None:
        """The receiver has the batch."""
        self.confirmed += 1

    def dropped(self) -> int:
        """Commands that had no room."""
        with self._lock:
            return self._dropped


def numbers(ids: Sequence[str]) -> list[int]:
    """Ids of spans as the numbers that `request_of` made them of."""
    return sorted(int(one, 16) for one in ids)


def sent(receiver: Receiver) -> list[int]:
    """The numbers of the commands that arrived."""
    return numbers([span.span_id for span in receiver.spans()])


def started(
    receiver: Receiver,
    source: FilledSource,
    *,
    protocol: str = "grpc",
    batch_size: int = 100,
    batch_timeout_s: float = 0.02,
) -> Drain:
    """A drain that runs."""
    drain = Drain(source, transport_to(receiver, protocol), batch_size, batch_timeout_s)
    drain.start()
    return drain
