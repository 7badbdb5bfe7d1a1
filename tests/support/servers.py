"""Server processes for tests: the stock redis-server, and the server under test.

The server under test is ferrite-py from the same Python environment. The environment variable
FERRITE_TEST_SUBJECT replaces it: `host:port` is a server that already runs, anything else is a
command line to which `--port` and `--bind` are added (`redis-server --save ''` checks the suite
itself).

FERRITE_TEST_TIER (or pytest --tier) is `map` or `disk`: the server under test gets a data folder,
and before each command all of its data are sent down to that tier.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.client import NoReplyError, RawClient
from tests.support.resp import encode, parse

SUBJECT_VARIABLE = "FERRITE_TEST_SUBJECT"
TIER_VARIABLE = "FERRITE_TEST_TIER"
TIERS = ("map", "disk")
TRANSPORTS = ("reactors", "streams")
_READY_TRIES = 500
_READY_PAUSE_S = 0.02
_STOP_TIMEOUT_S = 10.0
_RESTARTS_MAX = 40


class ServerFailedError(Exception):
    """A server could not be started or is gone; the message carries its log."""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A server that tests talk to; `command` is None when somebody else runs it."""

    def __init__(self, name: str, command: list[str] | None, port: int) -> None:
        self.name = name
        self.address = ("127.0.0.1", port)
        self.version = ""
        self.is_ferrite = False
        self.tier = ""
        self._command = command
        self._folder = Path(tempfile.mkdtemp(prefix="ferrite-test-"))
        self._log = self._folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._admin: RawClient | None = None
        self._starts = 0

    @property
    def is_72(self) -> bool:
        """Whether the server speaks at the level of Redis 7.2."""
        major, minor = self.version.split(".")[:2]
        return (int(major), int(minor)) >= (7, 2)

    @property
    def pid(self) -> int:
        """The process, for tests that send signals."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_foreign(self) -> bool:
        """Whether somebody else runs the server, so that it must not be stopped."""
        return self._command is None

    def wait(self) -> int:
        """Wait until the process ends by itself; its exit status."""
        assert self._process is not None
        return self._process.wait(_STOP_TIMEOUT_S)

    def log(self) -> str:
        """The end of what the server printed."""
        if not self._log.exists():
            return "(no log)"
        return self._log.read_text(errors="replace")[-4000:]

    def listen_on_unix_socket(self, path: str) -> None:
        """Listen on a unix socket as well; only before the start."""
        assert self._command is not None
        assert self._starts == 0
        if any("ferrite" in word for word in self._command):
            self._command += ["--set", f"server.unix_socket={path}"]
        else:
            self._command += ["--unixsocket", path]

    def keep_data_in(self, tier: str) -> None:
        """Have a data folder with small segments, and data in one tier of it; before the start."""
        assert self._command is not None
        assert tier in TIERS, f"{TIER_VARIABLE}: no tier is called {tier!r}"
        self.tier = tier
        for setting in (
            f"storage.data_dir={self._folder / 'data'}",
            "storage.segment_size=64kb",
            "storage.hybridlog_mutable_size=64mb",
            f"storage.hybridlog_readonly_size={'64mb' if tier == 'map' else '64kb'}",
            "storage.read_cache_size=1mb",
        ):
            self._command += ["--set", setting]

    def demote(self) -> None:
        """Send all data down to the tier that was asked for, and empty the read cache."""
        if not self.tier:
            return
        orders = ("MAP",) if self.tier == "map" else ("DISK", "TRIM")
        self.admin.send(b"".join(encode("DEBUG", "TIER", order) for order in orders))
        replies = [self.admin.read() for _ in orders]
        assert all(reply.raw == b"+OK\r\n" for reply in replies), f"DEBUG TIER: {replies}"

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self._starts += 1
        if self._command is not None:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    env={**os.environ, "FERRITE_METRICS_PORT": "0"},
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
        self._wait_until_ready()

    def stop(self) -> None:
        """End the process, by force when it does not end by itself, and remove its folder."""
        self._kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def prepare(self) -> None:
        """Empty the server for the next test; a server that died or hangs is started again."""
        try:
            assert self._admin is not None
            reply = self._admin.command("FLUSHALL")
            if reply.raw == b"+OK\r\n":
                return
            reason = f"FLUSHALL answered {reply}"
        except (OSError, NoReplyError) as error:
            reason = f"FLUSHALL failed: {error}"
        if self._command is None or self._starts > _RESTARTS_MAX:
            raise ServerFailedError(f"{self.name}: {reason}\n{self.log()}")
        self._kill()
        self.start()

    def is_alive(self) -> bool:
        """Whether the process runs; a server of somebody else counts as running."""
        return self._process is None or self._process.poll() is None

    def client(self) -> RawClient:
        """A new connection."""
        return RawClient(self.address)

    @property
    def admin(self) -> RawClient:
        """The suite's own connection, for settings and for waiting; always RESP2, database 0."""
        assert self._admin is not None
        return self._admin

    def _wait_until_ready(self) -> None:
        last = "no try yet"
        for _ in range(_READY_TRIES):
            if not self.is_alive():
                assert self._process is not None
                code = self._process.returncode
                raise ServerFailedError(
                    f"{self.name} ended with status {code} at start; command: {self._command}\n"
                    f"{self.log()}"
                )
            try:
                self._admin = RawClient(self.address)
                self._read_identity()
            except (OSError, AssertionError) as error:
                last = str(error)
                time.sleep(_READY_PAUSE_S)
            else:
                return
        raise ServerFailedError(f"{self.name} at {self.address} is not ready: {last}\n{self.log()}")

    def _read_identity(self) -> None:
        assert self._admin is not None
        self._admin.send(encode("INFO", "server"))
        info = parse(self._admin.read().raw).text
        fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
        assert "redis_version" in fields, f"INFO server has no redis_version: {info!r}"
        self.version = fields["redis_version"]
        self.is_ferrite = "ferrite_version" in fields

    def _kill(self) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def reference_server() -> Server:
    """The stock redis-server, without persistence."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise ServerFailedError(
            "redis-server is not installed and every differential test needs it: "
            "apt-get install redis-server"
        )
    port = free_port()
    options = (
        "--save '' --appendonly no --bind 127.0.0.1 --enable-debug-command yes --loglevel warning"
    )
    return Server("redis-server", [binary, *shlex.split(options), "--port", str(port)], port)


def subject_server(transport: str) -> Server:
    """The server under test, over one transport."""
    chosen = os.environ.get(SUBJECT_VARIABLE, "").strip()
    if chosen:
        return _chosen_server(chosen)
    port = free_port()
    command = [sys.executable, "-m", "ferrite_py", "--bind", "127.0.0.1", "--port", str(port)]
    command += ["--set", f"server.transport={transport}"]
    command += ["--set", "server.enable_debug_command=yes"]
    tier = os.environ.get(TIER_VARIABLE, "").strip()
    server = Server(f"ferrite-py ({transport}{', ' if tier else ''}{tier})", command, port)
    if tier:
        server.keep_data_in(tier)
    return server


def subject_transports() -> tuple[str, ...]:
    """The transports that the suite runs over; a server chosen by the environment has just one."""
    return ("chosen",) if os.environ.get(SUBJECT_VARIABLE, "").strip() else TRANSPORTS


def _chosen_server(chosen: str) -> Server:
    host, _, port_text = chosen.rpartition(":")
    if port_text.isdigit() and " " not in chosen:
        server = Server(f"server at {chosen}", None, int(port_text))
        server.address = (host or "127.0.0.1", int(port_text))
        return server
    port = free_port()
    command = [*shlex.split(chosen), "--port", str(port), "--bind", "127.0.0.1"]
    return Server(f"chosen server ({chosen})", command, port)
