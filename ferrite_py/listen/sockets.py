"""Binding: from the configured addresses to listening sockets, and their removal."""

import contextlib
import errno
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ferrite_py.config import Config
from ferrite_py.errors import StartupError

Kind = Literal["tcp", "tls", "unix"]

# What an address that this machine does not have answers; one marked as optional may.
_ABSENT = (
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
    errno.EPROTONOSUPPORT,
    errno.ENOPROTOOPT,
)


@dataclass(frozen=True, slots=True)
class Bound:
    """A listening socket; `inode` tells a unix socket's file from one that replaced it."""

    socket: socket.socket
    kind: Kind
    place: str
    inode: int = 0

    def close(self) -> None:
        """Stop listening, and remove a unix socket's file if it is still this one."""
        self.socket.close()
        if self.kind == "unix":
            with contextlib.suppress(OSError):
                if Path(self.place).lstat().st_ino == self.inode:
                    Path(self.place).unlink()


def bind_all(config: Config) -> list[Bound]:
    """Listen wherever the configuration says. Raises StartupError, and then nowhere."""
    bound: list[Bound] = []
    try:
        for kind, key, port in _ports(config):
            bound += _bind_port(config, kind, key, port)
        if config.server.unix_socket:
            bound.append(_bind_unix(config))
    except BaseException:
        for one in bound:
            one.close()
        raise
    return bound


def _ports(config: Config) -> list[tuple[Kind, str, int]]:
    ports: list[tuple[Kind, str, int]] = [
        ("tcp", "server.port", config.server.port),
        ("tls", "tls.port", config.tls.port),
    ]
    return [entry for entry in ports if entry[2]]


def _bind_port(config: Config, kind: Kind, key: str, port: int) -> list[Bound]:
    bound: list[Bound] = []
    try:
        for address in config.server.bind:
            one = _bind_address(address, port, kind, key, config.server.tcp_backlog)
            if one is not None:
                bound.append(one)
        if not bound and config.server.bind:
            names = ", ".join(config.server.bind)
            raise StartupError(f"server.bind: none of {names} is an address of this machine")
    except BaseException:
        for one in bound:
            one.close()
        raise
    return bound


def _bind_address(address: str, port: int, kind: Kind, key: str, backlog: int) -> Bound | None:
    """Listen on one address; None when it is optional and not on this machine."""
    host = address.removeprefix("-")
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return Bound(_listen(_wildcard(host), port, backlog), kind, place)
    except OSError as error:
        is_absent = error.errno in _ABSENT or isinstance(error, socket.gaierror)
        if address.startswith("-") and is_absent:
            return None
        raise StartupError(f"cannot listen on {place}: {_explain(error, key)}") from error


def _wildcard(host: str) -> str:
    return {"*": "0.0.0.0", "::*": "::"}.get(host, host)


def _listen(host: str, port: int, backlog: int) -> socket.socket:
    """Bind and listen. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(backlog)
    except BaseException:
        made.close()
        raise
    return made


def _explain(error: OSError, key: str) -> str:
    reason = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        return f"{reason}; stop the server that uses it, or change {key}"
    if error.errno == errno.EACCES:
        return f"{reason}; use a port from 1024 for {key}, or grant CAP_NET_BIND_SERVICE"
    return f"{reason}; correct server.bind"


def _bind_unix(config: Config) -> Bound:
    path = Path(config.server.unix_socket)
    place = f"unix socket {path}"
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        _remove_stale(path)
        made.bind(str(path))
        # Nobody can connect before listen(), so the mode is right from the first connection on.
        if config.server.unix_socket_permissions:
            path.chmod(config.server.unix_socket_permissions)
        made.listen(config.server.tcp_backlog)
        return Bound(made, "unix", str(path), path.lstat().st_ino)
    except OSError as error:
        made.close()
        reason = error.strerror or str(error)
        raise StartupError(f"server.unix_socket: cannot listen on {place}: {reason}") from error
    except StartupError:
        made.close()
        raise


def _remove_stale(path: Path) -> None:
    """Remove the socket of a server that has ended. Raises StartupError when it is not one."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartupError(f"server.unix_socket: {path} exists and is not a socket; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        answer = probe.connect_ex(str(path))
    if answer != errno.ECONNREFUSED:
        reason = (
            "another server listens on it" if answer in (0, errno.EAGAIN) else os.strerror(answer)
        )
        raise StartupError(f"server.unix_socket: {path}: {reason}; change the path")
    path.unlink()
