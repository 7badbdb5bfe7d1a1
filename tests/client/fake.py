"""A server of the tests: it answers a few commands and remembers the bytes of each request."""

from __future__ import annotations

import socketserver
import threading
from dataclasses import dataclass
from io import BufferedIOBase

# What HELLO answers: attributes are taken, or unknown; HELLO is unknown; AUTH comes first; nothing.
TAKES, STOCK, OLD, NOAUTH, HANGS = "takes", "stock", "old", "noauth", "hangs"
_ALL_SLOTS = b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$40\r\n%b\r\n"
_READ_ONE = (
    b"*10\r\n$3\r\n%b\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0\r\n"
)
_UNKNOWN = b"-ERR unknown command '%b'\r\n"
_NOAUTH = b"-NOAUTH Authentication required.\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """One request: the fields of the attribute in front of it, its arguments, and all its bytes."""

    attribute: dict[str, str]
    args: tuple[bytes, ...]
    raw: bytes
    connection: int

    @property
    def name(self) -> str:
        """The command's name."""
        return self.args[0].decode().upper()

    @property
    def traceparent(self) -> str | None:
        """The value of the attribute, or None without one."""
        return self.attribute.get("traceparent")


class _Recorder:
    """Reads requests, and keeps the bytes of the one that is being read."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._raw = bytearray()

    def request(self, connection: int) -> Request | None:
        """Read one request; None at the end of the stream."""
        self._raw.clear()
        attribute: dict[str, str] = {}
        line = self._line()
        if line[:1] == b"|":
            words = [self._bulk().decode() for _ in range(2 * int(line[1:]))]
            attribute = dict(zip(words[0::2], words[1::2], strict=True))
            line = self._line()
        if not line:
            return None
        assert line[:1] == b"*", f"not a request: {line!r}"
        args = tuple(self._bulk() for _ in range(int(line[1:])))
        return Request(attribute, args, bytes(self._raw), connection)

    def _line(self) -> bytes:
        line = self._stream.readline()
        self._raw += line
        return line.rstrip(b"\r\n")

    def _bulk(self) -> bytes:
        head = self._line()
        assert head[:1] == b"$", f"not a bulk string: {head!r}"
        data = self._stream.read(int(head[1:]) + 2)
        self._raw += data
        return data[:-2]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class FakeServer:
    """Listens on a free port; `hello` decides what it answers to HELLO, and may be changed."""

    def __init__(self, hello: str) -> None:
        self.hello = hello
        self.requests: list[Request] = []
        self._connections = 0
        self._lock = threading.Lock()
        fake = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                fake._serve(self)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and wait for the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def named(self, *names: str) -> list[Request]:
        """The requests with one of these names, in their order."""
        return [request for request in self.requests if request.name in names]

    def _serve(self, handler: socketserver.StreamRequestHandler) -> None:
        with self._lock:
            self._connections += 1
            connection = self._connections
        recorder = _Recorder(handler.rfile)
        answers = _Answers(self)
        try:
            while (request := recorder.request(connection)) is not None:
                self.requests.append(request)
                reply = answers.to(request)
                if reply is None:
                    return
                handler.wfile.write(reply)
        except ConnectionError:
            return


class _Answers:
    """The replies of one connection."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._queued: int | None = None
        self._may = server.hello != NOAUTH
        self._protocol = 2

    def to(self, request: Request) -> bytes | None:
        """The reply; None closes the connection, which the command CLOSE asks for."""
        name = request.name
        if name == "CLOSE":
            return None
        if name == "AUTH":
            self._may = True
            return b"+OK\r\n"
        if not self._may:
            return _NOAUTH
        if name == "HELLO":
            return self._hello(request)
        if self._queued is not None and name != "EXEC":
            self._queued += 1
            return b"+QUEUED\r\n"
        if name == "MULTI":
            self._queued = 0
            return b"+OK\r\n"
        if name == "EXEC":
            queued, self._queued = self._queued or 0, None
            return b"*%d\r\n" % queued + b"+OK\r\n" * queued
        return self._plain(request)

    def _hello(self, request: Request) -> bytes:
        if self._server.hello == OLD:
            return _UNKNOWN % b"HELLO"
        if self._server.hello == HANGS:
            return b""
        protocol = self._protocol = int(request.args[1])
        head = b"%" if protocol == 3 else b"*"
        entries = [b"$6\r\nserver\r\n$5\r\nredis\r\n", b"$5\r\nproto\r\n:%d\r\n" % protocol]
        entries.append(b"$7\r\nversion\r\n$5\r\n7.4.0\r\n$2\r\nid\r\n:7\r\n")
        count = 4
        if self._server.hello == TAKES:
            count += 1
            entries.append(b"$11\r\ntraceparent\r\n*2\r\n$9\r\nattribute\r\n$7\r\ncommand\r\n")
        return head + b"%d\r\n" % (count if protocol == 3 else 2 * count) + b"".join(entries)

    def _plain(self, request: Request) -> bytes:
        match request.name:
            case "GET":
                return b"_\r\n" if self._protocol == 3 else b"$-1\r\n"
            case "PING":
                return b"+PONG\r\n"
            case "SUBSCRIBE":
                name = request.args[1]
                head = b">" if self._protocol == 3 else b"*"
                return head + b"3\r\n$9\r\nsubscribe\r\n$%d\r\n%b\r\n:1\r\n" % (len(name), name)
            case "CLUSTER":
                return _ALL_SLOTS % (self._server.port, b"f" * 40)
            case "COMMAND":
                return b"*2\r\n" + _READ_ONE % b"get" + _READ_ONE % b"set"
            case "INFO":
                return b"$17\r\ncluster_enabled:1\r\n"
            case "NOSUCH":
                return _UNKNOWN % b"nosuch"
        return b"+OK\r\n"
