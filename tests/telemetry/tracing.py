"""A server whose commands are traced to a receiver, and a caller: what tests of traces share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.support.client import RawClient
from tests.support.process import Process
from tests.telemetry.receiver import Receiver
from tests.telemetry.views import SpanView

CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
"""A trace id, and the id of the span in it that calls."""


class Server(Process):
    """A server whose clients are closed with it."""

    def __init__(self, folder: Path, *settings: str, config: Path | None = None) -> None:
        self._clients: list[RawClient] = []
        super().__init__(folder, *settings, config=config)

    def client(self) -> RawClient:
        """A new connection over TCP."""
        self._clients.append(super().client())
        return self._clients[-1]

    def kill(self) -> None:
        """End it by force, if it still runs, and close its clients."""
        for client in self._clients:
            client.close()
        super().kill()


Start = Callable[..., Server]


def traced(receiver: Receiver, **settings: str) -> list[str]:
    """Settings of a server whose traces alone are exported."""
    given = {
        "enabled": "yes",
        "connection_rate_max": "0",
        "endpoint": receiver.grpc_endpoint,
        "metrics_enabled": "no",
        "logs_enabled": "no",
        "batch_timeout_ms": "20",
        "detail": "command",
        **settings,
    }
    return [f"telemetry.{name}={text}" for name, text in given.items()]


def on_wire(*words: str, flags: str) -> bytes:
    """A command with a caller in front of it."""
    parts = ["traceparent", f"00-{CALLER[0]}-{CALLER[1]}-{flags}"]
    head, tail = (
        b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in group)
        for group in (parts, words)
    )
    return b"|1\r\n" + head + b"*%d\r\n" % len(words) + tail


def commands(receiver: Receiver, count: int) -> list[SpanView]:
    """Wait for so many commands' spans; all of them."""
    return receiver.wait_for_spans(count, lambda span: span.kind == "SERVER")


def below(receiver: Receiver, span: SpanView) -> list[SpanView]:
    """The spans below one, in order."""
    return [one for one in receiver.spans() if one.parent_id == span.span_id]


def calls(client: RawClient) -> int:
    """All calls that commandstats knows, those of commands that were refused among them."""
    text = client.command("INFO", "commandstats").raw
    fields = re.findall(rb"calls=(\d+),.*?rejected_calls=(\d+)", text)
    return sum(int(ran) + int(rejected) for ran, rejected in fields)
