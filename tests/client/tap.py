"""A proxy in front of a server that keeps what clients sent, connection by connection."""

from __future__ import annotations

import socket
import threading


class Tap:
    """Listens on a free port, for the server at `address`."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: list[bytearray] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._run(self._accept)

    def sent(self) -> list[bytes]:
        """What each connection sent so far, in the order of the connections."""
        return [bytes(stream) for stream in self._streams]

    def close(self) -> None:
        """Close every connection, and wait for the threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in self._sockets:
            each.close() if each.fileno() < 0 else _shut(each)
        for thread in list(self._threads):
            thread.join()
        for each in [self._listener, *self._sockets]:
            each.close()

    def _run(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._address)
            self._sockets += [client, server]
            stream = bytearray()
            self._streams.append(stream)
            self._run(_pass, client, server, stream)
            self._run(_pass, server, client, bytearray())


def _pass(source: socket.socket, target: socket.socket, seen: bytearray) -> None:
    """Pass bytes on until either side ends; what is passed on has been seen before."""
    try:
        while data := source.recv(65536):
            seen += data
            target.sendall(data)
    except OSError:
        pass
    _shut(target)


def _shut(each: socket.socket) -> None:
    try:
        each.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
