"""The socket of the administrators' HTTP; what answers on it takes long to import and is apart."""

import socket

from ferrite_py.errors import StartupError

_BACKLOG = 64


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises StartupError."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, number)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(_BACKLOG)
        except OSError:
            found.close()
            raise
    except OSError as error:
        why = error.strerror or error
        raise StartupError(
            f"cannot serve metrics on {host} port {port}: {why}"
            " (metrics.port, --prometheus-port; metrics.port = 0 for none)"
        ) from error
    found.setblocking(False)
    return found


def place_of(bound: socket.socket) -> str:
    """Where it listens."""
    host, port = bound.getsockname()[:2]
    return f"{f'[{host}]' if ':' in host else host}:{port}"
