"""Start, ask and stop the servers under test: pinned, without persistence, on a free port."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import redis

from benchmarks import proc

Dialect = Literal["redis", "ferrite", "memcached", "bare"]

ROOT = Path(__file__).resolve().parent.parent
START_DEADLINE_S = 20.0
STOP_DEADLINE_S = 20.0


class BenchmarkError(Exception):
    """A benchmark cannot give its figure; the text says why."""


class SkippedError(BenchmarkError):
    """A benchmark needs a tool that this machine lacks and that the others do without."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A server that can be started.

    Attributes:
        name: its name in results, such as "redis-server" or "ferrite-py".
        dialect: which options and protocol it takes.
        command: program and arguments; "{port}" stands for the port.
        version: what it says of itself.
    """

    name: str
    dialect: Dialect
    command: tuple[str, ...]
    version: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What a benchmark asks of a server beyond the defaults.

    Attributes:
        clients_max: connections that it has to allow, None for its default.
        debug: whether DEBUG must answer.
        memory_mb: memory that memcached may use, MiB (the others are not limited).
        arguments: further arguments, in the server's own syntax.
        start_deadline_s: how long its first answer may take.
        stop_deadline_s: how long it may take to end, before it is killed.
    """

    clients_max: int | None = None
    debug: bool = False
    memory_mb: int = 1024
    arguments: tuple[str, ...] = ()
    start_deadline_s: float = START_DEADLINE_S
    stop_deadline_s: float = STOP_DEADLINE_S


def _settings_arguments(kind: Kind, settings: Settings) -> list[str]:
    arguments: list[str] = []
    clients = settings.clients_max
    if kind.dialect == "redis":
        arguments += ["--maxclients", str(clients)] if clients else []
        arguments += ["--enable-debug-command", "yes"] if settings.debug else []
    elif kind.dialect == "ferrite":
        arguments += ["--set", f"server.max_connections={clients}"] if clients else []
        arguments += ["--set", "server.enable_debug_command=yes"] if settings.debug else []
    elif kind.dialect == "memcached":
        arguments += ["-m", str(settings.memory_mb)]
        arguments += ["-c", str(clients)] if clients else []
    return [*arguments, *settings.arguments]


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Server:
    """A running server; `start_up_ms` is the time from its start to the first answer."""

    kind: Kind
    process: subprocess.Popen[bytes]
    port: int
    start_up_ms: float
    client: redis.Redis | None = field(repr=False)
    log: Path

    def log_tail(self) -> str:
        """Return the last lines that it logged."""
        return _tail(self.log)

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def cpu_ns(self) -> int:
        """Return the CPU time of the whole process so far, nanoseconds."""
        return proc.cpu_ns(self.pid)

    def anonymous_bytes(self) -> int:
        """Return the resident anonymous memory, bytes."""
        return proc.anonymous_bytes(self.pid)

    def command(self, *arguments: str | int) -> Any:
        """Run a command over a connection of its own, and return the reply.

        Raises:
            redis.ResponseError: the server answered with an error.
            BenchmarkError: the server does not speak RESP.
        """
        if self.client is None:
            raise BenchmarkError(f"{self.kind.name} does not take RESP commands")
        return self.client.execute_command(*arguments)  # type: ignore[no-untyped-call]

    def info(self, section: str) -> dict[str, str]:
        """Return the fields of a section of INFO."""
        return parse_info(self.command("INFO", section))

    def used_memory(self) -> int:
        """Return the memory that the server itself accounts for, bytes."""
        if self.client is None:
            return int(memcached_stats(self.port)["bytes"])
        return int(self.info("memory")["used_memory"])

    def key_count(self) -> int:
        """Return how many keys the server says it has."""
        if self.client is None:
            return int(memcached_stats(self.port)["curr_items"])
        return int(self.command("DBSIZE"))

    def settled_anonymous_bytes(self, deadline_s: float = 15.0) -> int:
        """Wait until the anonymous memory stands still for a second, then return it in bytes.

        Background work (rehashing, returning pages) ends some time after the last request.
        """
        end = time.monotonic() + deadline_s
        before = self.anonymous_bytes()
        while True:
            time.sleep(1.0)
            now = self.anonymous_bytes()
            if abs(now - before) <= before * 0.001 or time.monotonic() > end:
                return now
            before = now


def parse_info(reply: Any) -> dict[str, str]:
    """Return the name:value lines of an INFO reply, text or parsed already, as text."""
    if isinstance(reply, dict):
        return {str(name): str(value) for name, value in reply.items()}
    text = reply.decode() if isinstance(reply, bytes) else str(reply)
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, separator, value in pairs if separator}


def memcached_stats(port: int) -> dict[str, str]:
    """Return memcached's general statistics."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"stats\r\n")
        received = b""
        while not received.endswith(b"END\r\n"):
            received += connection.recv(65536)
    lines = (line.split(" ", 2) for line in received.decode().splitlines() if " " in line)
    return {name: value for _, name, value in lines}


def _answers(port: int, dialect: Dialect) -> bool:
    request, expected = (
        (b"PING\r\n", b"+PONG") if dialect != "memcached" else (b"version\r\n", b"V")
    )
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0) as probe:
        probe.settimeout(1.0)
        probe.sendall(request)
        return probe.recv(64).startswith(expected)
    return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:])


def _wait_for_answer(
    process: subprocess.Popen[bytes], kind: Kind, port: int, log: Path, deadline_s: float
) -> float:
    """Return the milliseconds until the server first answers."""
    begin = time.monotonic()
    while time.monotonic() - begin < deadline_s:
        if _answers(port, kind.dialect):
            return (time.monotonic() - begin) * 1e3
        if process.poll() is not None:
            break
        time.sleep(0.0005)
    raise BenchmarkError(f"{kind.name} does not answer on its port:\n{_tail(log)}")


@contextlib.contextmanager
def running(kind: Kind, core: int, settings: Settings | None = None) -> Iterator[Server]:
    """Start the server pinned to `core` in an empty folder; stop it at the end.

    Raises:
        BenchmarkError: it does not answer within settings.start_deadline_s.
    """
    settings = settings or Settings()
    port = free_port()
    arguments = [word.replace("{port}", str(port)) for word in kind.command]
    arguments += _settings_arguments(kind, settings)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ferrite-bench-")))
        log = folder / "server.log"
        with log.open("wb") as output, proc.pinned(core):
            process = subprocess.Popen(arguments, cwd=folder, stdout=output, stderr=output)
        stack.callback(proc.stop, process, settings.stop_deadline_s)
        start_up_ms = _wait_for_answer(process, kind, port, log, settings.start_deadline_s)
        client = None
        if kind.dialect != "memcached":
            client = redis.Redis(port=port, socket_timeout=120.0, decode_responses=True)
            stack.callback(client.close)
        yield Server(kind, process, port, start_up_ms, client, log)


def _first_line(*command: str) -> str:
    output = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return (output.stdout or output.stderr).strip().splitlines()[0]


def short_version(line: str) -> str:
    """Return the version number in a server's version line ("Redis server v=7.0.15 sha=…")."""
    for word in line.replace("v=", "").split():
        if word[0].isdigit():
            return word
    return line


def _installed(name: str, dialect: Dialect, *arguments: str) -> list[Kind]:
    program = shutil.which(name)
    if program is None:
        return []
    flag = "-V" if dialect == "memcached" else "--version"
    version = short_version(_first_line(program, flag))
    return [Kind(name, dialect, (program, *arguments), version)]


_REDIS_ARGUMENTS = ("--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
_MEMCACHED_ARGUMENTS = ("-p", "{port}", "-l", "127.0.0.1", "-U", "0", "-t", "1", "-u", "nobody")


def stock_servers() -> list[Kind]:
    """Return the stock servers that are installed; redis-server, the reference, comes first.

    Raises:
        BenchmarkError: redis-server is not installed.
    """
    found = _installed("redis-server", "redis", *_REDIS_ARGUMENTS)
    if not found:
        raise BenchmarkError("redis-server is missing: apt-get install redis-server redis-tools")
    found += _installed("valkey-server", "redis", *_REDIS_ARGUMENTS)
    found += _installed("memcached", "memcached", *_MEMCACHED_ARGUMENTS)
    return found


def stand_in(command: str) -> Kind:
    """Return the server of a --subject-command text, which holds "{port}".

    Raises:
        BenchmarkError: the text has no "{port}".
    """
    words = tuple(shlex.split(command))
    if not any("{port}" in word for word in words):
        raise BenchmarkError("--subject-command needs {port} where the port goes")
    stock = any(Path(word).name in ("redis-server", "valkey-server") for word in words)
    return Kind(
        "subject", "redis" if stock else "ferrite", words, _first_line(words[0], "--version")
    )


def ferrite() -> Kind:
    """Return ferrite-py of this tree, on its default transport, the native reactors.

    Raises:
        BenchmarkError: it is not built.
    """
    local = ROOT / ".venv" / "bin" / "ferrite-py"
    program = str(local) if local.exists() else shutil.which("ferrite-py")
    if program is None:
        raise BenchmarkError("ferrite-py is not built: run `make build`, or pass --subject-command")
    command = (program, "--port", "{port}", "--bind", "127.0.0.1", "--set", "metrics.port=0")
    return Kind("ferrite-py", "ferrite", command, short_version(_first_line(program, "--version")))


def commit() -> str:
    """Return which commit of this tree is measured, in short; "" without git.

    What was changed since in the server's own folders is told by a "+".
    """
    if shutil.which("git") is None:
        return ""
    git = ("git", "-C", str(ROOT))
    head = subprocess.run(
        (*git, "rev-parse", "--short", "HEAD"), capture_output=True, text=True, check=False
    )
    if head.returncode != 0:
        return ""
    sources = ("ferrite_py", "native", "pyproject.toml")
    changes = subprocess.run((*git, "diff", "--quiet", "HEAD", "--", *sources), check=False)
    return head.stdout.strip() + ("+" if changes.returncode else "")


def streams_of(kind: Kind) -> Kind:
    """Return the same ferrite-py on its asyncio transport."""
    command = (*kind.command, "--set", "server.transport=streams")
    return Kind(f"{kind.name} (streams)", kind.dialect, command, kind.version)
