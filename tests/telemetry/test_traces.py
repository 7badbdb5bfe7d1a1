"""Traces of a running server: its commands as spans, over both protocols, exactly counted."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.client import RawClient
from tests.telemetry.exporting import PROTOCOLS
from tests.telemetry.receiver import Receiver
from tests.telemetry.tracing import Server, Start, below, commands

SEED_COMMAND = {
    "db.system": "ferrite",
    "db.operation": "SET",
    "db.statement": "SET user:123 ?",
    "ferrite.command.name": "SET",
    "ferrite.command.key": "user:123",
    "ferrite.command.result": "OK",
    "ferrite.command.args_count": 3,
    "net.peer.ip": "127.0.0.1",
    "ferrite.replication.role": "primary",
}
STABLE_COMMAND = {
    "db.system.name": "ferrite",
    "db.operation.name": "SET",
    "db.query.text": "SET user:123 ?",
    "db.namespace": "0",
    "network.peer.address": "127.0.0.1",
    "server.address": "127.0.0.1",
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("transport", ["reactors", "streams"])
@pytest.mark.seed(
    "db.system",
    "db.operation",
    "db.statement",
    "ferrite.command.name",
    "ferrite.command.key",
    "ferrite.command.result",
    "ferrite.command.args_count",
    "ferrite.storage.operation",
    "ferrite.storage.tier",
    "ferrite.storage.cache_hit",
    "ferrite.storage.bytes",
    "ferrite.storage.epoch",
    "net.peer.ip",
    "net.peer.port",
    "ferrite.connection.id",
    "ferrite.replication.role",
    "ferrite.resp.parse",
    "ferrite.command.dispatch",
    "ferrite.index.lookup",
    "ferrite.storage.write",
    "ferrite.response.serialize",
    "ferrite.tcp.write",
    "telemetry.enabled",
    "telemetry.endpoint",
    "telemetry.protocol",
)
def test_a_command_has_every_attribute(
    start: Start, receiver: Receiver, protocol: str, transport: str
) -> None:
    """Ferrite's names and those of the stable conventions, over both transports and protocols."""
    server = start(f"server.transport={transport}", protocol=protocol, detail="full")
    client = server.client()
    assert client.command("SET", "user:123", '{"name":"Alice"}').raw == b"+OK\r\n"

    [span] = commands(receiver, 1)

    assert (span.name, span.kind, span.status, span.parent_id) == ("SET", "SERVER", "UNSET", "")
    expected = SEED_COMMAND | STABLE_COMMAND
    assert expected == {name: span.attributes[name] for name in expected}
    assert span.attributes["net.peer.port"] == span.attributes["network.peer.port"]
    assert span.attributes["net.peer.port"] > 0
    assert span.attributes["ferrite.connection.id"] > 0
    assert span.attributes["server.port"] == server.port
    assert "Alice" not in str(span)
    names = [one.name for one in below(receiver, span)]
    assert names == [
        "ferrite.resp.parse",
        "ferrite.command.dispatch",
        "ferrite.index.lookup",
        "ferrite.storage.write",
        "ferrite.response.serialize",
        "ferrite.tcp.write",
    ]
    storage = below(receiver, span)[3].attributes
    assert storage["ferrite.storage.operation"] == "write"
    assert storage["ferrite.storage.tier"] == "mutable"
    assert storage["ferrite.storage.cache_hit"] is False
    assert storage["ferrite.storage.bytes"] == len('{"name":"Alice"}')
    assert storage["ferrite.storage.epoch"] == 0  # no segment has changed its tier
    server.stop()


@pytest.mark.parametrize("transport", ["reactors", "streams"])
def test_a_span_names_the_address_that_its_client_came_to(
    start: Start, receiver: Receiver, tmp_path: Path, transport: str
) -> None:
    """Each of several listening addresses, and a unix socket, is the server's to its clients."""
    path = tmp_path / "f.sock"
    binds = "server.bind=127.0.0.1 127.0.0.2"
    server = start(binds, f"server.unix_socket={path}", f"server.transport={transport}")
    for number, address in enumerate(("127.0.0.1", "127.0.0.2")):
        with RawClient((address, server.port)) as client:
            client.command("GET", f"k{number}")
    with RawClient(str(path)) as client:
        client.command("GET", "k2")

    spans = commands(receiver, 3)

    found = {
        span.attributes["ferrite.command.key"]: (
            span.attributes["server.address"],
            span.attributes.get("server.port"),
        )
        for span in spans
    }
    assert found == {
        "k0": ("127.0.0.1", server.port),
        "k1": ("127.0.0.2", server.port),
        "k2": (str(path), None),
    }
    server.stop()


def test_times_lie_inside_of_each_other(start: Start, receiver: Receiver) -> None:
    """Phases follow each other within their command, at the time of the machine."""
    server = start(detail="full")
    client = server.client()
    for _ in range(5):
        client.command("GET", "k")

    for span in commands(receiver, 5):
        parts = below(receiver, span)
        times = [time for part in parts for time in (part.start, part.end)]
        assert times == sorted(times)
        assert span.start <= times[0]
        assert times[-1] == span.end
    server.stop()


@pytest.mark.parametrize(
    ("semconv", "name", "present", "absent"),
    [
        ("ferrite", "ferrite.command", SEED_COMMAND, STABLE_COMMAND),
        ("stable", "SET", STABLE_COMMAND, ["db.system", "db.operation", "db.statement"]),
    ],
)
@pytest.mark.seed(
    "ferrite.command",
)
def test_semconv_chooses_the_names(
    start: Start,
    receiver: Receiver,
    semconv: str,
    name: str,
    present: dict[str, object],
    absent: list[str],
) -> None:
    """One set of names alone, if wanted."""
    server = start(semconv=semconv)
    server.client().command("SET", "user:123", "v")

    [span] = commands(receiver, 1)

    assert span.name == name
    assert present == {key: span.attributes[key] for key in present}
    assert set(absent) & span.attributes.keys() == set()
    server.stop()


def test_errors_and_misses(start: Start, receiver: Receiver) -> None:
    """An error is the span's status; a miss is none; values and passwords never appear."""
    server = start()
    client = server.client()
    client.command("SET", "text", "secret-value")
    client.command("INCR", "text")
    client.command("GET", "nothing")
    client.command("GET")
    client.command("AUTH", "secret-password")
    client.command("NOSUCH", "secret-argument")

    _, incr, get, short, auth, unknown = commands(receiver, 6)

    assert (incr.name, incr.status, incr.message) == ("INCR", "ERROR", "ERR")
    assert incr.attributes["error.type"] == incr.attributes["db.response.status_code"] == "ERR"
    assert incr.attributes["ferrite.command.result"] == "ERR"
    assert (get.status, get.attributes["ferrite.command.result"]) == ("UNSET", "NIL")
    assert get.attributes["cache.hit"] is False
    assert short.attributes["ferrite.command.rejected"] is True
    assert (auth.name, auth.status) == ("AUTH", "ERROR")
    assert unknown.name == "UNKNOWN"
    assert "secret" not in str(receiver.spans())
    server.stop()


def test_pipelines_and_transactions(start: Start, receiver: Receiver) -> None:
    """Commands read at once link to the first; those of a transaction are below its EXEC."""
    server = start()
    client = server.client()
    client.send(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n" * 3)
    for _ in range(3):
        client.read()
    client.command("MULTI")
    client.command("SET", "a", "1")
    client.command("MGET", "a", "b")
    client.command("EXEC")

    spans = commands(receiver, 7)

    first, second, third = spans[:3]
    assert first.links == ()
    for span in (second, third):
        [link] = span.links
        assert (link.trace_id, link.span_id) == (first.trace_id, first.span_id)
    assert {span.attributes["db.operation.batch.size"] for span in spans[:3]} == {3}
    [executed] = [span for span in spans if span.name == "EXEC"]
    inside = [span for span in spans if span.parent_id == executed.span_id]
    assert [span.name for span in inside] == ["SET", "MGET"]
    assert {span.trace_id for span in inside} == {executed.trace_id}
    assert (inside[1].attributes["cache.hits"], inside[1].attributes["cache.misses"]) == (1, 1)
    server.stop()


def test_a_key_on_disk(start: Start, receiver: Receiver, tmp_path: Path) -> None:
    """It is looked for in memory, read from disk, and from the read cache after that."""
    settings = [
        f"storage.data_dir={tmp_path / 'data'}",
        "storage.segment_size=64kb",
        "storage.hybridlog_mutable_size=256kb",
        "storage.hybridlog_readonly_size=64kb",
        "server.enable_debug_command=yes",
    ]
    server = start(*settings, detail="full")
    client = server.client()
    client.command("SET", "k", "v" * 1000)
    for order in ("DISK", "TRIM"):
        assert client.command("DEBUG", "TIER", order).raw == b"+OK\r\n"
    commands(receiver, 3)
    receiver.clear()
    assert client.command("GET", "k").raw == b"$1000\r\n" + b"v" * 1000 + b"\r\n"
    assert client.command("GET", "k").raw == b"$1000\r\n" + b"v" * 1000 + b"\r\n"

    from_disk, from_cache = commands(receiver, 2)

    for span, tier in ((from_disk, "disk"), (from_cache, "read_cache")):
        looked, read = [
            one.attributes for one in below(receiver, span) if one.name == "ferrite.storage.read"
        ]
        assert looked["ferrite.storage.tier"] == "mutable"
        assert looked["ferrite.storage.cache_hit"] is False
        assert read["ferrite.storage.tier"] == tier
        assert read["ferrite.storage.cache_hit"] is True
        assert span.attributes["cache.hit"] is True
    assert from_disk.attributes["ferrite.storage.disk_reads"] == 1
    assert from_disk.attributes["ferrite.command.wait_us"] > 0
    server.stop()


def test_a_wait_says_what_for(start: Start, receiver: Receiver) -> None:
    """CLIENT PAUSE, WAIT and the control plane hold commands up."""
    server = start(detail="full")
    client = server.client()
    client.pipeline([("CLIENT", "PAUSE", "500", "WRITE"), ("SET", "k", "v")])
    client.command("WAIT", "1", "5")
    client.command("CONFIG", "GET", "port")

    commands(receiver, 4)
    for name, reason in (("SET", "pause"), ("WAIT", "time"), ("CONFIG GET", "python")):
        [span] = [one for one in receiver.spans() if one.name == name]
        [wait] = [one for one in below(receiver, span) if one.name == "ferrite.command.wait"]
        assert span.attributes["ferrite.command.wait_reason"] == reason
        assert wait.attributes == {"ferrite.command.wait_reason": reason}
        assert span.start <= wait.start < wait.end <= span.end
    server.stop()


def test_a_peer_on_a_unix_socket_is_its_path(
    start: Start, receiver: Receiver, tmp_path: Path
) -> None:
    """There is no port, and nothing is made up for it."""
    path = str(tmp_path / "s")
    server = start(f"server.unix_socket={path}")
    with RawClient(path) as client:
        client.command("PING")

        [span] = commands(receiver, 1)

    assert span.attributes["net.peer.ip"] == span.attributes["network.peer.address"] == path
    assert "net.peer.port" not in span.attributes
    assert "network.peer.port" not in span.attributes
    server.stop()


@pytest.mark.seed(
    "service.name",
    "service.version",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "host.name",
    "telemetry.service_name",
    "telemetry.service_version",
    "telemetry.service_namespace",
    "telemetry.resource_attributes",
    "telemetry.headers",
)
def test_resource_and_headers(tmp_path: Path, receiver: Receiver) -> None:
    """All that a file says of the service reaches the receiver."""
    config = tmp_path / "ferrite.toml"
    config.write_text(
        f"""
[telemetry]
enabled = true
endpoint = "{receiver.grpc_endpoint}"
service_name = "cache-7"
service_version = "1.0.0"
service_namespace = "production"
batch_timeout_ms = 20
[telemetry.resource_attributes]
"deployment.environment" = "production"
"host.name" = "ferrite-prod-01"
"service.instance.id" = "i-0abc123"
[telemetry.headers]
"Authorization" = "Bearer ${{PATH}}"
""",
        encoding="utf-8",
    )
    server = Server(tmp_path, config=config)
    try:
        server.client().command("PING")
        [span] = commands(receiver, 1)
        assert span.resource["service.name"] == "cache-7"
        assert span.resource["service.version"] == "1.0.0"
        assert span.resource["service.namespace"] == "production"
        assert span.resource["deployment.environment"] == "production"
        assert span.resource["host.name"] == "ferrite-prod-01"
        assert span.resource["service.instance.id"] == "i-0abc123"
        assert span.scope == "ferrite_py"
        header = receiver.arrivals("traces")[0].headers["authorization"]
        assert header.startswith("Bearer /")
        server.signal(signal.SIGHUP)
        server.wait_for_notice("READY=1")
        server.stop()
    finally:
        server.kill()


def test_without_telemetry_its_packages_are_not_loaded() -> None:
    """A server that exports nothing starts without them."""
    code = "import sys, ferrite_py.server; print([m for m in sys.modules if 'opentelemetry' in m])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert result.stdout.strip() == "[]"
