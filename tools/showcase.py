"""One trace of 100 commands, from redis-py through every tier, as it arrives over OTLP.

python -m tools.showcase            run it, and print the tree
python -m tools.showcase --write    also put it into docs/telemetry.md, if more than times changed

Needs the extra `test`: the receiver, redis-py and its instrumentor.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

from ferrite_py.client import FerriteInstrumentor
from ferrite_py.telemetry import rare
from tests.support.process import Process
from tests.telemetry.receiver import Receiver
from tests.telemetry.views import SpanView
from tools.trace_tree import render, tree_of, without_times

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "telemetry.md"
BEGIN = "<!-- showcase: written by `python -m tools.showcase --write` -->"
END = "<!-- end of showcase -->"
ROOT_NAME = "request"

SETTINGS = (
    "storage.segment_size=64kb",
    "storage.hybridlog_mutable_size=256kb",
    "storage.hybridlog_readonly_size=64kb",
    "server.enable_debug_command=yes",
    "telemetry.enabled=yes",
    "telemetry.metrics_enabled=no",
    "telemetry.logs_enabled=no",
    "telemetry.detail=full",
    "telemetry.batch_timeout_ms=20",
)
OF_SERVER = {kind.name for kind in rare.KINDS}
"""Spans of what the server does by itself: when it does that is not the application's."""

SET_UP = ("HELLO", "CLIENT", "UNKNOWN")
"""Commands with which redis-py sets a connection up, by their first words; it tries some that it
only hopes for."""

Client = redis.Redis
VALUE = "v" * 1000


@dataclass(frozen=True)
class Step:
    """Some commands, and the names of the spans that the server must make of them."""

    title: str
    run: Callable[[Client], object]
    commands: tuple[str, ...]


def _key(number: int) -> str:
    return f"user:{number}:profile"


def _set(client: Client) -> None:
    for number in range(43):
        client.set(_key(number), VALUE)


def _get(client: Client) -> None:
    for number in range(20):
        client.get(_key(number))


def _set_again(client: Client) -> None:
    for number in range(5):
        client.set(_key(number), VALUE.upper())


def _pipeline(client: Client) -> None:
    pipeline = client.pipeline(transaction=False)
    for number in range(10):
        pipeline.get(_key(number))
    pipeline.execute()


def _transaction(client: Client) -> None:
    pipeline = client.pipeline(transaction=True)
    pipeline.incr("visits")
    pipeline.incr("visits", 2)
    pipeline.get("visits")
    pipeline.execute()


def _keys(client: Client) -> None:
    client.expire(_key(1), 3600)
    client.ttl(_key(1))
    client.type(_key(1))
    client.exists(_key(1), _key(2), "user:99:none")
    client.getrange(_key(1), 0, 9)
    client.delete(_key(42))


def _fail(client: Client, *words: str) -> None:
    with contextlib.suppress(redis.ResponseError):
        client.execute_command(*words)  # type: ignore[no-untyped-call]
        raise AssertionError(f"{words} was no error")


def _move(client: Client, order: str, *keys: str) -> None:
    client.execute_command("DEBUG", "TIER", order)  # type: ignore[no-untyped-call]
    for key in keys:
        client.get(key)


STEPS = (
    Step("new values", _set, ("SET",) * 43),
    Step("reads from memory", _get, ("GET",) * 20),
    Step("writes in place", _set_again, ("SET",) * 5),
    Step("a pipeline", _pipeline, ("GET",) * 10),
    Step("a transaction", _transaction, ("MULTI", "INCRBY", "INCRBY", "GET", "EXEC")),
    Step("keys", _keys, ("EXPIRE", "TTL", "TYPE", "EXISTS", "GETRANGE", "DEL")),
    Step("several keys", lambda client: client.mget(_key(1), _key(2), "user:99:none"), ("MGET",)),
    Step("a miss", lambda client: client.get("user:99:none"), ("GET",)),
    Step("an error", lambda client: _fail(client, "INCR", _key(1)), ("INCR",)),
    Step("refused before it ran", lambda client: _fail(client, "GET"), ("GET",)),
    Step(
        "a command of the control plane",
        lambda client: client.config_get("maxmemory"),
        ("CONFIG GET",),
    ),
    Step(
        "a read of a mapped file",
        lambda client: _move(client, "MAP", _key(29)),
        ("DEBUG TIER", "GET"),
    ),
    Step(
        "a read from disk, and from the read cache after it",
        lambda client: _move(client, "DISK", _key(30), _key(30)),
        ("DEBUG TIER", "GET", "GET"),
    ),
    Step("a value on disk is changed", lambda client: client.append(_key(31), "more"), ("APPEND",)),
)
"""100 commands, beside those that set the connection up."""


@dataclass(frozen=True)
class Run:
    """What arrived of a run."""

    spans: tuple[SpanView, ...]
    root_id: str

    @property
    def tree(self) -> str:
        """The trace as text, without the commands that set the connection up."""
        shown = [span for span in self.spans if not is_set_up(span)]
        return render(tree_of(shown, self.root_id))


def is_set_up(span: SpanView) -> bool:
    """Whether a span is that of a command which sets a connection up."""
    return span.kind == "SERVER" and span.name.split(" ")[0] in SET_UP


def run(folder: Path) -> Run:
    """Serve from a folder, run all steps, and return what arrived when both sides had ended."""
    with Receiver() as receiver:
        endpoint = receiver.grpc_endpoint
        data = f"storage.data_dir={folder / 'data'}"
        server = Process(folder, *SETTINGS, data, f"telemetry.endpoint={endpoint}")
        try:
            with _application(endpoint) as tracer:
                root_id = _call(tracer, server.port)
            server.stop()
        finally:
            server.kill()
        return Run(tuple(span for span in receiver.spans() if span.name not in OF_SERVER), root_id)


@contextlib.contextmanager
def _application(endpoint: str) -> Iterator[Tracer]:
    """Tracing as an application sets it up; at the end its spans have been sent."""
    provider = TracerProvider(
        resource=Resource({"service.name": "application"}), shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    instrumentors = (RedisInstrumentor(), FerriteInstrumentor())
    instrumentors[0].instrument(tracer_provider=provider)
    instrumentors[1].instrument()
    try:
        yield provider.get_tracer("application")
    finally:
        for one in instrumentors:
            one.uninstrument()
        provider.shutdown()


def _call(tracer: Tracer, port: int) -> str:
    client = redis.Redis(port=port, protocol=3)
    with tracer.start_as_current_span(ROOT_NAME) as root:
        for step in STEPS:
            with tracer.start_as_current_span(step.title):
                step.run(client)
    client.close()
    return f"{root.get_span_context().span_id:016x}"


def written(document: str, tree: str) -> str:
    """The document with this tree; as it was when nothing but times differs."""
    before, begin, rest = document.partition(BEGIN)
    shown, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT} lacks the line {BEGIN if not begin else END}")
    block = f"\n```text\n{tree}\n```\n"
    if without_times(shown) == without_times(block):
        return document
    return f"{before}{BEGIN}{block}{END}{after}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.showcase", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put it into docs/telemetry.md")
    is_written = parser.parse_args(argv).write
    with tempfile.TemporaryDirectory() as folder:
        tree = run(Path(folder)).tree
    print(tree)
    if is_written:
        before = DOCUMENT.read_text(encoding="utf-8")
        after = written(before, tree)
        if after != before:
            DOCUMENT.write_text(after, encoding="utf-8")
            print(f"wrote {DOCUMENT}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
