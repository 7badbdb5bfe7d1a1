"""The benchmark of data larger than memory: its load, parsing and verdicts. Nothing is timed."""

from __future__ import annotations

import json
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy", reason="the bench extra is not installed")
pytest.importorskip("matplotlib", reason="the bench extra is not installed")

from benchmarks import columns, fio, generators, page, proc, tierreads, tierserver
from benchmarks.harness import Row

KEYS = 500


class Memory(socketserver.ThreadingTCPServer):
    """A server that knows GET and SET, and no more."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        """Listen on a free port of the loopback interface."""
        super().__init__(("127.0.0.1", 0), Client)
        self.values: dict[bytes, bytes] = {}


class Client(socketserver.StreamRequestHandler):
    """One connection to it."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Answer until the client ends."""
        assert isinstance(self.server, Memory)
        while head := self.rfile.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:-2])
            if words[0] == b"SET":
                self.server.values[words[1]] = words[2]
                self.wfile.write(b"+OK\r\n")
                continue
            value = self.server.values.get(words[1])
            self.wfile.write(
                b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)
            )


@pytest.fixture
def memory() -> Iterator[Memory]:
    """A running server that knows GET and SET."""
    with Memory() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(server: Memory, load: generators.Load) -> dict[str, Any]:
    """Put the load on the server; return its result."""
    command = [str(generators.compiled("load")), "--port", str(server.server_address[1])]
    done = subprocess.run(
        [*command, *load.arguments()], capture_output=True, check=True, timeout=60
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def filled(server: Memory) -> None:
    """Write all keys."""
    load = tierserver.values(KEYS, clients=2, pipeline=4, count=KEYS)
    assert run(server, load)["live_keys"] == KEYS


def all_read() -> generators.Load:
    """Each key is read once."""
    return tierserver.reads(KEYS, clients=2, pipeline=4, count=KEYS)


def test_what_was_written_is_what_is_expected(memory: Memory) -> None:
    """Another process knows the values; scattered ranks reach every key, each once."""
    filled(memory)

    result = run(memory, all_read())

    assert len(memory.values) == KEYS
    assert (result["ops"], result["misses"], result["wrong"]) == (KEYS, 0, 0)


@pytest.mark.parametrize("damage", ["bit", "cut", "other", "shifted"])
def test_a_wrong_value_is_seen(memory: Memory, damage: str) -> None:
    """A flipped bit, a missing byte, the value of another key, and a shifted one."""
    filled(memory)
    key, value = b"key:000000000007", memory.values[b"key:000000000007"]
    memory.values[key] = {
        "bit": value[:-1] + bytes([value[-1] ^ 1]),
        "cut": value[:-1],
        "other": memory.values[b"key:000000000008"],
        "shifted": value[:16] + value[17:] + value[16:17],
    }[damage]

    result = run(memory, all_read())

    assert result["wrong"] == 1
    assert result["first_error"] == "wrong value of key 7"


def test_what_is_missing_is_counted_and_refilled(memory: Memory) -> None:
    """With refill the value that was missing is written, and is right."""
    filled(memory)
    before = dict(memory.values)
    del memory.values[b"key:000000000007"]

    missed = run(memory, all_read())
    refilled = run(memory, tierserver.reads(KEYS, clients=1, pipeline=4, count=KEYS, refill=True))

    assert (missed["misses"], missed["refills"], missed["ops"]) == (1, 0, KEYS)
    assert (refilled["misses"], refilled["refills"], refilled["ops"]) == (1, 1, KEYS)
    assert memory.values == before


def test_zipf_reads_prefer_few_keys(memory: Memory) -> None:
    """With a cache-aside of an empty server: one miss for each key, far below uniform."""
    load = tierserver.reads(KEYS, clients=1, pipeline=1, count=KEYS, random=True, refill=True)
    uniform = run(memory, load)["misses"]
    memory.values.clear()

    zipf = run(memory, tierreads.zipf_reads(KEYS, 1, count=KEYS, refill=True))["misses"]

    assert len(memory.values) == zipf
    assert 0.57 * KEYS < uniform < 0.69 * KEYS  # 1 - 1/e
    assert zipf < 0.5 * KEYS


def test_fio_report_is_read() -> None:
    """What fio prints before its report is passed over; reads of all jobs are added."""
    jobs = [{"error": 0, "read": {"iops": rate}} for rate in (2.5, 4)]
    text = "note: x\n" + json.dumps({"jobs": jobs})

    assert fio.parse_rate(text) == pytest.approx(6.5)


@pytest.mark.parametrize(
    "text", ["", "fio: nothing", '{"jobs": [{"error": 5, "read": {"iops": 9}}]}', '{"jobs": []}']
)
def test_fio_that_failed_has_no_rate(text: str) -> None:
    """No report, an error, or no reads."""
    with pytest.raises(ValueError, match=r"."):
        fio.parse_rate(text)


@pytest.mark.parametrize(
    ("path", "kind"), [("/home/x", "ext4"), ("/tmp/a", "tmpfs"), ("/tmpfile", "ext4")]
)
def test_file_system_of_the_longest_mount_counts(path: str, kind: str) -> None:
    """A mount point is a whole path, not a prefix of names."""
    mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n"

    assert tierserver.file_system(Path(path), mounts) == kind


def test_core_time_leaves_idle_out() -> None:
    """Idle and waiting for the disk are not busy; interrupts are."""
    text = "cpu 9 9 9 9 9 9 9\ncpu0 100 200 300 7 8 40 60 5 0 0\ncpu1 1 1 1 1 1 1 1 0 0 0\n"

    assert proc.parse_core_busy_s(text, 0) == pytest.approx(7.0)
    assert proc.parse_core_stolen_s(text, 0) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("core", "others", "rate", "limit", "measured"),
    [
        (0.99, 0.0, 1000.0, "one core is full", 0.99),
        (0.50, 0.0, 101.0, "the disk", 100 / 101),
        (0.50, 0.0, 200.0, "neither disk nor core", 0.5),
        (0.50, 0.5, 200.0, "the core, which others used too", 0.5),
        (0.50, 0.0, None, "neither disk nor core", None),
    ],
)
def test_misses_are_judged_by_disk_or_core(
    core: float, others: float, rate: float | None, limit: str, measured: float | None
) -> None:
    """A full core is a limit of its own; without fio there is no verdict on the disk."""
    row: Row = {"part": "depth", "depth": 1, "connections": 64, "misses_per_second": 100.0}
    row |= {"core_share": core, "others_share": others, "generator_share": 0.4}

    judged = tierreads.judge_depth(row, rate) | {"round": 0}
    (summary,) = tierreads.summarise_depths([judged])
    (claim,) = tierreads.depth_claims([summary])

    assert judged["limit"] == limit
    assert claim.measured == (None if measured is None else pytest.approx(measured))


def test_page_shows_a_table_for_each_part() -> None:
    """Rows of a part that has no rows leave no heading behind."""
    parts = [
        columns.Part(name, f"about {name}", (columns.Column("x", name, ".1f"),))
        for name in ("a", "b")
    ]

    text = page._part_tables(parts, [{"part": "b", "x": 1.25}])

    assert text == "about b\n\n| b |\n| ---: |\n| 1.2 |"
