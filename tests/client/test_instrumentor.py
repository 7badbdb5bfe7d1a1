"""The instrumentor as OpenTelemetry's tools see it, and that it can be taken away again."""

from __future__ import annotations

import logging
import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest
import redis
import redis.asyncio.connection
import redis.connection
from opentelemetry.trace import Tracer

from ferrite_py.client import FerriteInstrumentor
from tests.client.clients import Kind
from tests.client.fake import FakeServer

METHODS = ("on_connect", "on_connect_check_health", "send_packed_command", "pack_commands")
CLASSES = (redis.connection.AbstractConnection, redis.asyncio.connection.AbstractConnection)


def methods() -> list[object]:
    """The methods of redis-py that may be replaced."""
    return [owner.__dict__.get(name) for owner in CLASSES for name in METHODS]


def test_it_is_found_by_its_entry_point() -> None:
    """`opentelemetry-instrument` finds it under the group of all instrumentors."""
    found = {point.name: point for point in entry_points(group="opentelemetry_instrumentor")}

    assert FerriteInstrumentor is found["ferrite"].load()


def test_there_is_one() -> None:
    """Whoever makes an instrumentor gets the one whose state counts."""
    assert FerriteInstrumentor() is FerriteInstrumentor()


def test_the_arguments_of_all_instrumentors_are_taken() -> None:
    """What `opentelemetry-instrument` hands to every instrumentor does no harm."""
    instrumentor = FerriteInstrumentor()
    instrumentor.instrument(tracer_provider=None, skip_dep_check=True)
    instrumentor.uninstrument()

    assert list(instrumentor.instrumentation_dependencies()) == ["redis >= 5.0.1"]


def test_uninstrument_brings_the_methods_back() -> None:
    """redis-py is what it was before."""
    before = methods()

    FerriteInstrumentor().instrument()
    during = methods()
    FerriteInstrumentor().uninstrument()

    assert 6 == sum(new is not old for new, old in zip(during, before, strict=True))
    assert before == methods()


def test_twice_is_said_and_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A second instrument() or uninstrument() warns."""
    instrumentor = FerriteInstrumentor()
    with caplog.at_level(logging.WARNING):
        instrumentor.instrument()
        during = methods()
        instrumentor.instrument()
        assert during == methods()
        instrumentor.uninstrument()
        instrumentor.uninstrument()

    assert not instrumentor.is_instrumented_by_opentelemetry
    assert 2 == len(caplog.records)


def test_an_old_redis_py_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One whose connections we do not know stays as it is, and the log says why."""
    monkeypatch.setattr(redis, "VERSION", (4, 6, 0))
    before = methods()

    FerriteInstrumentor().instrument()

    assert before == methods()
    assert "too old" in caplog.text


def test_connections_stay_usable_without_it(server: FakeServer, tracer: Tracer) -> None:
    """One that sent attributes stops; with the next instrument() it asks its server anew."""
    instrumentor = FerriteInstrumentor()
    client = Kind(False, 3, "python").client(server.port)
    with tracer.start_as_current_span("request"):
        instrumentor.instrument()
        client.get("marked")
        instrumentor.uninstrument()
        client.get("plain")
        instrumentor.instrument()
        client.get("not asked yet")
        client.connection_pool.disconnect()
        client.get("marked")
        instrumentor.uninstrument()
    client.connection_pool.disconnect()

    marks = [(each.args[1], bool(each.attribute)) for each in server.named("GET")]
    assert [
        (b"marked", True),
        (b"plain", False),
        (b"not asked yet", False),
        (b"marked", True),
    ] == marks


def test_a_wrapper_around_ours_keeps_working(server: FakeServer, tracer: Tracer) -> None:
    """When somebody wrapped our method since, it stays below theirs and does nothing more."""
    owner: Any = redis.connection.AbstractConnection
    name = "send_packed_command"
    original = owner.send_packed_command
    FerriteInstrumentor().instrument()
    ours = owner.send_packed_command

    def theirs(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    setattr(owner, name, theirs)
    FerriteInstrumentor().uninstrument()
    client = Kind(False, 3, "python").client(server.port)
    with tracer.start_as_current_span("request"):
        client.get("a")
    client.connection_pool.disconnect()
    kept = owner.send_packed_command
    setattr(owner, name, original)

    assert theirs is kept
    assert [{}] == [each.attribute for each in server.requests if each.name == "GET"]


def test_it_needs_neither_the_server_nor_the_native_module() -> None:
    """An application imports what it uses: the client without redis-py and without the server."""
    code = (
        "import sys; sys.modules['ferrite_py._native'] = None; import ferrite_py.client; "
        "print(sorted(n for n in sys.modules if n.startswith(('ferrite_py', 'redis', 'uvloop'))))"
    )

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    loaded = [
        "ferrite_py",
        "ferrite_py._native",
        "ferrite_py.client",
        "ferrite_py.client.instrumentor",
    ]
    assert f"{loaded}\n" == result.stdout
