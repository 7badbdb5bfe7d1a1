"""The notices to systemd."""

import socket
from pathlib import Path

import pytest

from ferrite_py.notify import notifier_of


@pytest.mark.parametrize("is_abstract", [False, True])
def test_notices_reach_the_manager(tmp_path: Path, is_abstract: bool) -> None:
    """Each notice is one datagram, to a path or to a name of the abstract namespace."""
    name = f"@{tmp_path}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(5)
        manager.bind(name.replace("@", "\0", 1))
        notifier = notifier_of({"NOTIFY_SOCKET": name})

        sent = [
            notifier.ready("port 1\nREADY=0"),
            notifier.status("busy"),
            notifier.stopping(),
        ]
        received = [manager.recv(100) for _ in sent]

    assert sent == [True, True, True]
    assert received == [b"READY=1\nSTATUS=port 1 READY=0", b"STATUS=busy", b"STOPPING=1"]


def test_nobody_to_notify_is_no_error(tmp_path: Path) -> None:
    """Without a manager, or with one that is gone, nothing is sent and nothing fails."""
    assert not notifier_of({}).ready()
    assert not notifier_of({"NOTIFY_SOCKET": "vsock:2:1"}).ready()
    assert not notifier_of({"NOTIFY_SOCKET": str(tmp_path / "gone")}).stopping()
