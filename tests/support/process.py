"""One ferrite-py process for tests of its life; it says itself when it is ready.

The process is told a socket in the way of systemd (NOTIFY_SOCKET), so that nobody has to poll.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.client import RawClient
from tests.support.servers import SUBJECT_VARIABLE, TIER_VARIABLE, free_port

DEADLINE_S = 15.0

_THEIRS = ("FERRITE_", "OTEL_", "GRPC_", "SSL_CERT_")
_OF_THE_TESTS = (SUBJECT_VARIABLE, TIER_VARIABLE)


def reaches_a_server(name: str) -> bool:
    """Whether a variable may change what a server or one of its libraries does."""
    theirs = name.startswith(_THEIRS) or name.endswith("_CA_BUNDLE")
    return theirs and name not in _OF_THE_TESTS


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what reaches a server, and with `extra`."""
    kept = {name: value for name, value in os.environ.items() if not reaches_a_server(name)}
    return {**kept, "FERRITE_METRICS_PORT": "0", **extra}


def command(*arguments: str) -> list[str]:
    """The command line of the server under test."""
    return [sys.executable, "-m", "ferrite_py", *arguments]


def run_to_end(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected to end by itself."""
    return subprocess.run(
        command(*arguments),
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


class Process:
    """A running server on a free port of 127.0.0.1, its files in `folder`."""

    def __init__(
        self,
        folder: Path,
        *settings: str,
        config: Path | None = None,
        environ: Mapping[str, str] | None = None,
        code: str = "",
        is_awaited: bool = True,
        flags: Sequence[str] = (),
    ) -> None:
        """Start it with settings such as `server.timeout=5` and wait until it is ready.

        `code` is run in place of the server's own start, and is to call it. `flags` stand before
        all other words of the command line.
        """
        self.port = free_port()
        self.log_file = folder / "server.log"
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.settimeout(DEADLINE_S)
        self._notices.bind(str(folder / "notify"))
        arguments = [*flags, "--bind", "127.0.0.1", "--port", str(self.port)]
        arguments += [word for setting in settings for word in ("--set", setting)]
        arguments += ["--config", str(config)] if config is not None else []
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments] if code else command(*arguments),
                env=environment({"NOTIFY_SOCKET": str(folder / "notify"), **(environ or {})}),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        # A test that fails before it ends its server would leave it behind.
        atexit.register(self.kill)
        if not is_awaited:
            return
        try:
            self.wait_for_notice("READY=1")
        except TimeoutError:
            self.kill()
            raise AssertionError(f"the server is not ready: {self.log()}") from None

    def wait_for_notice(self, line: str) -> str:
        """Wait until the server tells the service manager this line; the whole notice."""
        while True:
            notice = self._notices.recv(4096).decode()
            if line in notice.splitlines():
                return notice

    def client(self) -> RawClient:
        """A new connection over TCP."""
        return RawClient(("127.0.0.1", self.port))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait until it has ended; its exit status."""
        return self.process.wait(DEADLINE_S)

    def log(self) -> str:
        """What it printed."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End it; an exit status other than 0 fails the test."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            assert self.wait() == 0, self.log()
        finally:
            self.kill()

    def kill(self) -> None:
        """End it by force, if it still runs, and close the socket of its notices."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._notices.close()
        atexit.unregister(self.kill)
