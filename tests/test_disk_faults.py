"""A disk that refuses, a file cut short: what clients and operators are told, and healing.

The faults are the kernel's: a limit of file sizes (EFBIG), a truncated file (SIGBUS, short reads).
"""

from __future__ import annotations

import errno
import logging
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ferrite_py.disk_watch import LOOK_SECONDS, QUIET_SECONDS, DiskWatch, Fault, full_by
from tests.support.client import RawClient
from tests.support.info import info
from tests.support.process import Process
from tests.support.waiting import until

VALUE = "x" * 1000
MUTABLE_KIB = 512
BEYOND = 4 * MUTABLE_KIB
"""So many keys never fit into the mutable memory."""
REFUSED = "writes are refused when memory is full"
LOCKED = (
    "mapped files cannot all be locked in memory: the limit of locked memory (RLIMIT_MEMLOCK)"
    " is below storage.hybridlog_readonly_size"
)


def settings(folder: Path, *more: str) -> list[str]:
    """Of a server with little memory over a data folder."""
    return [
        f"storage.data_dir={folder / 'data'}",
        f"storage.hybridlog_mutable_size={MUTABLE_KIB}kb",
        "storage.segment_size=64kb",
        "server.enable_debug_command=yes",
        *more,
    ]


@pytest.fixture(params=["reactors", "streams"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Process]:
    """A server over each transport, its data below tmp_path."""
    process = Process(tmp_path, *settings(tmp_path, f"server.transport={request.param}"))
    try:
        yield process
        process.stop()
    finally:
        process.kill()


@pytest.fixture
def client(server: Process) -> Iterator[RawClient]:
    """A connection to it."""
    with server.client() as one:
        yield one


def set_key(client: RawClient, number: int) -> bytes:
    """SET, and what it answered."""
    return client.command("SET", f"key:{number}", VALUE + str(number)).raw


def write_until_refused(client: RawClient) -> tuple[int, bytes]:
    """How many keys were taken before a write was refused, and what was answered then."""
    for number in range(BEYOND):
        reply = set_key(client, number)
        if reply != b"+OK\r\n":
            return number, reply
    raise AssertionError("no write was refused")


def check_values(client: RawClient, count: int) -> None:
    """Every key that was acknowledged has its value."""
    replies = client.pipeline([("GET", f"key:{number}") for number in range(count)])
    assert [reply.node.text for reply in replies] == [VALUE + str(n) for n in range(count)]


def limit_file_size(process: Process, size: int) -> None:
    """The kernel refuses writes behind this many bytes of a file of the process."""
    _, hard = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (size, hard))


def test_a_disk_that_refuses(server: Process, client: RawClient) -> None:
    """Writes answer MISCONF once memory is full, reads go on, it is told, and it heals."""
    limit_file_size(server, 4096)

    count, refusal = write_until_refused(client)

    assert refusal.startswith(b"-MISCONF"), refusal
    assert b"File too large" in refusal
    assert count * len(VALUE) > MUTABLE_KIB * 1024
    check_values(client, count)
    assert client.command("DEL", "none").raw.startswith(b"-MISCONF")
    assert client.command("PING").raw == b"+PONG\r\n"
    fields = info(client, "hybridlog")
    assert fields["disk_state"] == "failed"
    assert fields["disk_last_error"].endswith(".seg: File too large")
    assert int(fields["disk_errors"]) >= 1
    assert int(fields["writers_refused"]) >= 1
    until(lambda: "the disk does not take data" in server.log(), "the log says so")

    limit_file_size(server, resource.RLIM_INFINITY)
    until(lambda: set_key(client, count) == b"+OK\r\n", "it heals")

    assert info(client, "hybridlog")["disk_state"] == "ok"
    check_values(client, count + 1)
    until(lambda: "the disk takes data again" in server.log(), "the log says so")
    assert client.command("DEBUG", "CHECK-STORE").raw == b"+OK\r\n"


def test_max_disk(tmp_path: Path) -> None:
    """The files may take no more: writes are refused as out of memory; deleting makes room."""
    process = Process(tmp_path, *settings(tmp_path, "storage.max_disk=512kb"))
    try:
        with process.client() as client:
            count, refusal = write_until_refused(client)

            named = b"OOM command not allowed: storage.max_disk is reached\r\n"
            assert refusal == b"-" + named
            assert client.command("MULTI").raw == b"+OK\r\n"
            assert client.command("SET", "a", "b").raw == b"-" + named
            assert client.command("EXEC").raw.startswith(b"-EXECABORT")
            for removal in (("DEL", "none"), ("UNLINK", "none"), ("EXPIRE", "none", "-1")):
                assert client.command(*removal).raw == b":0\r\n"
            assert client.command("GETDEL", "none").node.null
            check_values(client, count)
            fields = info(client, "hybridlog")
            assert (fields["disk_state"], fields["disk_full_by"]) == ("full", "max_disk")
            assert int(fields["file_bytes"]) <= 512 * 1024
            until(lambda: "storage.max_disk is reached" in process.log(), "the log says so")

            assert client.command("FLUSHALL").raw == b"+OK\r\n"
            until(lambda: set_key(client, 0) == b"+OK\r\n", "there is room again")
            check_values(client, 1)
            assert client.command("DEBUG", "CHECK-STORE").raw == b"+OK\r\n"
        process.stop()
    finally:
        process.kill()


@pytest.mark.parametrize("tier", ["MAP", "DISK"])
def test_files_that_are_cut_short(
    server: Process, client: RawClient, tmp_path: Path, tier: str
) -> None:
    """A key whose page is gone answers IOERR; the server and all other keys live on."""
    for number in range(100):
        assert set_key(client, number) == b"+OK\r\n"
    assert client.command("DEBUG", "TIER", tier).raw == b"+OK\r\n"
    assert client.command("SET", "later", "1").raw == b"+OK\r\n"
    for file in (tmp_path / "data" / "log").glob("*.seg"):
        os.truncate(file, 4096)

    replies = client.pipeline([("GET", f"key:{number}") for number in range(100)])

    lost = [number for number, reply in enumerate(replies) if reply.raw.startswith(b"-IOERR")]
    assert 80 < len(lost) < 100
    for number, reply in enumerate(replies):
        assert number in lost or reply.node.text == VALUE + str(number)
    assert client.command("GET", "later").raw == b"$1\r\n1\r\n"
    fields = info(client, "hybridlog")
    assert int(fields["disk_reads_failed"]) >= len(lost)
    if tier == "MAP":
        assert int(fields["mapped_page_errors"]) >= 1
    until(lambda: "a record cannot be read" in server.log(), "the log says so")
    assert set_key(client, lost[0]) == b"+OK\r\n"
    assert client.command("DEL", f"key:{lost[1]}", f"key:{lost[2]}").raw.startswith(b":")
    assert client.command("GET", f"key:{lost[0]}").node.text == VALUE + str(lost[0])
    assert client.command("GET", f"key:{lost[1]}").node.null
    assert client.command("FLUSHALL").raw == b"+OK\r\n"


def test_damaged_records_are_counted_and_given_up_by_order(
    server: Process, client: RawClient, tmp_path: Path
) -> None:
    """The file is told and counted; TIER FORGET keeps what is sound and frees the file."""
    for number in range(100):
        assert set_key(client, number) == b"+OK\r\n"
    assert client.command("DEBUG", "TIER", "DISK").raw == b"+OK\r\n"
    file = min((tmp_path / "data" / "log").glob("*.seg"))
    with file.open("r+b") as segment:
        segment.seek(60)
        byte = segment.read(1)[0]
        segment.seek(60)
        segment.write(bytes([byte ^ 1]))

    replies = client.pipeline([("GET", f"key:{number}") for number in range(100)])
    (lost,) = [n for n, reply in enumerate(replies) if reply.raw.startswith(b"-IOERR")]
    assert info(client, "hybridlog")["damaged_segments"] == "1"
    until(lambda: f"a record cannot be read: {file.name}" in server.log(), "the log says so")
    assert client.command("TIER", "FORGET").raw == b"+OK\r\n"
    found = info(client, "hybridlog")
    assert (found["damaged_segments"], found["disk_records_lost"]) == ("0", "1")
    assert not file.exists()
    for number in range(100):
        node = client.command("GET", f"key:{number}").node
        assert node.null if number == lost else node.text == VALUE + str(number)
    assert client.command("DEBUG", "CHECK-STORE").raw == b"+OK\r\n"


def test_damage_is_given_up_without_debug(tmp_path: Path) -> None:
    """The order is an administrator's, of a server that takes none of DEBUG."""
    process = Process(tmp_path, *settings(tmp_path, "server.enable_debug_command=no"))
    try:
        with process.client() as client:
            assert client.command("DEBUG", "TIER", "FORGET").raw.startswith(b"-ERR DEBUG command")
            assert client.command("TIER", "FORGET").raw == b"+OK\r\n"
            assert client.command("TIER", "FORGET", "x").raw.startswith(b"-ERR wrong number")
            helped = [line.text for line in client.command("TIER", "HELP").node.items]
            assert "FORGET" in helped
            (row,) = client.command("COMMAND", "INFO", "tier|forget").node.items
            assert {"admin", "noscript"} <= {flag.text for flag in row.items[2].items}
            assert {"@admin", "@dangerous"} <= {one.text for one in row.items[6].items}
        process.stop()
    finally:
        process.kill()


def test_damage_is_not_given_up_within_exec(client: RawClient) -> None:
    """All others would wait for files to be rewritten; the transaction is refused as a whole."""
    assert client.command("MULTI").raw == b"+OK\r\n"
    refused = client.command("TIER", "FORGET").raw
    assert refused == b"-ERR Command not allowed inside a transaction\r\n"
    assert client.command("EXEC").raw.startswith(b"-EXECABORT")
    assert client.command("DEBUG", "TIER", "FORGET").raw.startswith(b"-ERR DEBUG TIER takes SEAL")
    assert client.command("TIER", "FORGET").raw == b"+OK\r\n"


def test_an_order_says_which_damage_it_could_not_mend(
    server: Process, client: RawClient, tmp_path: Path
) -> None:
    """Without the end of its file nothing of it can be moved; its keys can be read as ever."""
    for number in range(100):
        assert set_key(client, number) == b"+OK\r\n"
    assert client.command("DEBUG", "TIER", "DISK").raw == b"+OK\r\n"
    file = min((tmp_path / "data" / "log").glob("*.seg"))
    with file.open("r+b") as segment:
        segment.seek(-20, os.SEEK_END)
        byte = segment.read(1)[0]
        segment.seek(-20, os.SEEK_END)
        segment.write(bytes([byte ^ 1]))
    assert client.command("DEL", "key:0").raw == b":1\r\n"

    assert client.command("DEBUG", "TIER", "COMPACT").raw == b"+OK\r\n"
    until(lambda: f"a segment file is damaged: {file.name}" in server.log(), "the log says so")
    assert "Input/output error" not in server.log()
    assert client.command("TIER", "FORGET").raw == b"+OK, 1 damaged files are left\r\n"
    assert file.exists()
    for number in range(1, 100):
        assert client.command("GET", f"key:{number}").node.text == VALUE + str(number)


def test_mapped_files_are_locked_where_the_limit_allows(tmp_path: Path) -> None:
    """What is over the limit of locked memory is mapped all the same, and counted."""
    process = Process(tmp_path, *settings(tmp_path))
    try:
        with process.client() as client:
            for number in range(100):
                assert set_key(client, number) == b"+OK\r\n"
            assert client.command("DEBUG", "TIER", "MAP").raw == b"+OK\r\n"
            fields = info(client, "hybridlog")
            assert int(fields["read_only_segments"]) > 0
            assert int(fields["locked_total"]) + int(fields["lock_failures"]) == int(
                fields["flushed_total"]
            )
            locked = Path(f"/proc/{process.process.pid}/status").read_text(encoding="ascii")
            kib = int(locked.split("VmLck:")[1].split()[0])
            assert (kib > 0) == (int(fields["locked_total"]) > 0)
            assert int(fields["major_faults"]) >= 0
            check_values(client, 100)
        process.stop()
    finally:
        process.kill()


FAULTS: list[Fault] = [
    (10, 2, 4096, errno.EBADMSG, None),
    (10, 2, 8192, errno.EIO, None),
    (10, 2, 12288, errno.EBADMSG, "footer: bad"),
    (10, 2, 16384, errno.EIO, "no more"),
]


class FakeDisk:
    """What a disk tells."""

    def __init__(self) -> None:
        self.state = 0
        self.lock_failures = 0
        self.tiered = True
        self.faults: list[Fault] = []
        self.untold = 0
        self.out_of_files = 0
        self.no_space = 0
        self.room = 0
        self.can_evict = 0
        self.flushes = 0
        self.error_code = errno.EIO

    def tiers(self) -> dict[str, Any]:
        """As the native server."""
        return {
            "tiered": self.tiered,
            "disk_state": self.state,
            "error_code": self.error_code,
            "can_evict": self.can_evict,
            "flushes": self.flushes,
            "error_segment": 7,
            "error_generation": 1,
            "lock_failures": self.lock_failures,
            "faults_untold": self.untold,
            "out_of_files": self.out_of_files,
            "no_space": self.no_space,
            "disk_room": self.room,
        }

    def take_faults(self) -> list[Fault]:
        """As the native server."""
        taken, self.faults = self.faults, []
        return taken


def test_the_log_tells_each_change_once(caplog: pytest.LogCaptureFixture) -> None:
    """Not each second again; and each record that is lost, by file and byte."""
    caplog.set_level(logging.INFO)
    disk = FakeDisk()
    watch = DiskWatch(disk)

    for second, (state, lock_failures) in enumerate([(0, 0), (2, 0), (2, 3), (1, 4), (0, 4)]):
        disk.state, disk.lock_failures, disk.flushes = state, lock_failures, int(state == 0)
        disk.faults = FAULTS[: second == 4 and len(FAULTS)]
        disk.untold = 3 if second == 4 else 0
        watch.look(second * LOOK_SECONDS)
        watch.look((second + 0.5) * LOOK_SECONDS)

    assert caplog.messages == [
        "the disk does not take data: 00000007-00000001.seg: Input/output error; " + REFUSED,
        LOCKED,
        "storage.max_disk is reached: " + REFUSED,
        "the disk takes data again",
        "a record cannot be read: 0000000a-00000002.seg, byte 4096: a wrong checksum",
        "a record cannot be read: 0000000a-00000002.seg, byte 8192: Input/output error",
        "a segment file is damaged: 0000000a-00000002.seg, byte 12288: footer: bad",
        "a segment file is damaged: 0000000a-00000002.seg, byte 16384: no more: Input/output error",
        "and 3 more places in segment files cannot be read",
    ]


def test_too_many_files_are_not_called_a_full_disk() -> None:
    """The operator has to raise another limit."""
    disk = FakeDisk()
    disk.state, disk.out_of_files = 1, 1
    watch = DiskWatch(disk)

    watch.look(0)

    trouble = watch.trouble()
    assert trouble is not None
    assert trouble["reason"] == "disk_full"
    assert "limit of open files" in trouble["message"]


def test_a_cache_that_evicts_may_be_full(caplog: pytest.LogCaptureFixture) -> None:
    """It is in trouble only while it has nothing to evict, or when the disk fails."""
    caplog.set_level(logging.INFO)
    disk = FakeDisk()
    watch = DiskWatch(disk)

    reasons = []
    for second, (state, can_evict) in enumerate([(1, 1), (1, 0), (1, 0), (1, 1), (2, 1)]):
        disk.state, disk.can_evict = state, can_evict
        watch.look(second * LOOK_SECONDS)
        trouble = watch.trouble()
        reasons.append(trouble and trouble["reason"])

    assert reasons == [None, "disk_full", "disk_full", None, "disk_failed"]
    assert caplog.messages[:2] == [
        f"storage.max_disk is reached: {REFUSED}",
        "the disk is full, and there are keys to evict again",
    ]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_without_room_is_full_and_not_failed(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named; the reason is the same as at max_disk."""
    disk = FakeDisk()
    disk.state, disk.no_space, disk.room = 1, code, 4096
    watch = DiskWatch(disk)

    watch.look(0)

    named = f"the disk of storage.data_dir is full: {os.strerror(code)}"
    assert watch.trouble() == {"reason": "disk_full", "message": named}
    assert caplog.messages == [f"{named}: {REFUSED}"]
    assert full_by(disk.tiers()) == "disk"


def test_what_a_disk_without_room_costs_a_cache_is_told_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody may have meant it to evict; once is enough while it goes on."""
    disk = FakeDisk()
    disk.can_evict = 1
    watch = DiskWatch(disk)
    told = "the disk of storage.data_dir is full: keys are evicted so that its files stay below "

    again = 3 * LOOK_SECONDS + QUIET_SECONDS
    for now, room in [(0.0, 0), (1.0, 4096), (2.0, 0), (3.0, 8192), (again, 16384)]:
        disk.room, disk.state, disk.no_space = room, room == 8192, errno.ENOSPC
        watch.look(now)
        assert watch.trouble() is None

    assert caplog.messages == [f"{told}4096 bytes", f"{told}16384 bytes"]


def test_a_dead_disk_that_nothing_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    """What it refused was flushed: it has taken nothing, so the log does not say that it has."""
    caplog.set_level(logging.INFO)
    disk = FakeDisk()
    watch = DiskWatch(disk)
    disk.flushes = 5

    for second, state in enumerate([2, 2, 0]):
        disk.state = state
        watch.look(second * LOOK_SECONDS)

    assert caplog.messages[1:] == ["nothing waits for the disk any more"]


def test_a_store_in_memory_is_not_looked_at_again() -> None:
    """There is nothing to watch."""
    disk = FakeDisk()
    disk.tiered = False
    watch = DiskWatch(disk)

    watch.look(0)
    disk.tiers = None  # type: ignore[assignment]
    watch.look(1e9)
