"""Telling systemd how far the server is: the sd_notify protocol, without its library.

Each message is one datagram to the socket that the manager names in NOTIFY_SOCKET; see the manual
page sd_notify(3). Without that variable nothing is sent.
"""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends states to the service manager; `address` is empty when there is none."""

    address: str

    def ready(self, status: str = "") -> bool:
        """Say that the server accepts connections, with a line for people if there is one."""
        return self._send("READY=1", status)

    def reloading(self) -> bool:
        """Say that the configuration is being read again; `ready` says that this is over."""
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", "")

    def stopping(self, status: str = "") -> bool:
        """Say that the server has begun to stop."""
        return self._send("STOPPING=1", status)

    def status(self, status: str) -> bool:
        """Set the line that `systemctl status` shows."""
        return self._send("", status)

    def _send(self, state: str, status: str) -> bool:
        """Send one datagram; False if there is no manager, or it cannot be reached.

        A server does not stop serving because nobody listens to its progress.
        """
        if not self.address:
            return False
        line = f"STATUS={' '.join(status.split())}" if status else ""
        message = "\n".join(filter(None, (state, line)))
        # A leading @ stands for the NUL that begins a name in Linux's abstract namespace.
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.connect(address)
                sender.sendall(message.encode("utf-8"))
        except OSError:
            return False
        return True


def notifier_of(environ: Mapping[str, str]) -> Notifier:
    """The notifier for the environment that a service manager gave; unix addresses only."""
    address = environ.get("NOTIFY_SOCKET", "")
    return Notifier(address if address.startswith(("/", "@")) else "")
