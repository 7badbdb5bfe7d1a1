"""`ferrite-py inspect`, on files made by another writer than the server's."""

import errno
import fcntl
import json
import os
from pathlib import Path

import pytest

from ferrite_py import cli
from ferrite_py.errors import FerriteError
from ferrite_py.inspect import examine
from tests.support.segment_file import SegmentFile, crc32c

HOUR = 3600000


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """An empty folder for segment files, inside of the data folder `tmp_path`."""
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


def mixed(number: int = 1, generation: int = 0) -> SegmentFile:
    """A segment with every form of record, a filler and a dead record."""
    segment = SegmentFile(number, generation, sequence=number + 10)
    segment.add(b"key", b"value")
    segment.add(b"expires", b"soon", deadline=1700000000000)
    segment.skip(64)
    segment.add(b"dead", b"was overwritten", dead=True)
    segment.add(b"large", b"x" * 70000, deadline=1700000000000 + HOUR, keyspace=3, large=True)
    segment.add(b"", b"", keyspace=3)
    return segment


def write(log: Path, segment: SegmentFile, data: bytes | None = None) -> Path:
    """Write a segment's file under its name, or other bytes under it."""
    path = log / segment.name
    path.write_bytes(segment.build() if data is None else data)
    return path


def flip(path: Path, at: int) -> None:
    """Damage one byte of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


def test_the_checksum_of_the_other_writer() -> None:
    """The catalogued check value of CRC-32C."""
    assert crc32c(b"123456789") == 0xE3069283


def test_each_sound_file_is_described(log: Path) -> None:
    """The report tells of each file what it was made of."""
    segment = mixed(0x1A, 2)
    path = write(log, segment)

    report = examine(log.parent, verify=True)

    [found] = report.segments
    assert (found.file, found.number, found.generation) == (str(path), 0x1A, 2)
    assert (found.bytes, found.keyspaces) == (path.stat().st_size, {1: 2, 3: 2})
    assert (found.records_sound, found.damage, report.damage_count) == (5, [], 0)
    assert found.trailer is not None
    assert found.trailer.sequence == 0x1A + 10
    assert (found.trailer.records, found.trailer.expires) == (4, 2)
    assert found.trailer.record_bytes == sum(size for _, size, _, _ in segment.entries)
    assert found.trailer.record_bytes_max == max(size for _, size, _, _ in segment.entries)
    assert found.trailer.used == len(segment.image)
    deadlines = found.trailer.deadline_min, found.trailer.deadline_max
    assert deadlines == (1700000000000, 1700000000000 + HOUR)
    assert found.trailer.created_ms == segment.created_ms


@pytest.mark.parametrize("deadline", [None, 5])
@pytest.mark.parametrize("records", [0, 1, 164, 165, 170, 171, 247, 248, 255, 256, 502, 503, 1000])
def test_any_number_of_entries(log: Path, records: int, deadline: int | None) -> None:
    """Both writers agree on how entries are spread over the footer's blocks."""
    segment = SegmentFile()
    segment.skip(8)
    for _ in range(records):
        segment.add(b"", b"", deadline=deadline)
    write(log, segment)

    report = examine(log.parent, verify=True)

    assert report.damage_count == 0
    assert report.segments[0].records_sound == records
    assert sum(report.segments[0].keyspaces.values()) == records


def test_the_table(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each file, totals, and status 0 when nothing is damaged."""
    write(log, mixed(1, 0))
    plain = SegmentFile(2, 7, sequence=4)
    plain.add(b"a", b"b", keyspace=9)
    write(log, plain)
    (log / "notes.txt").write_text("hello", encoding="utf-8")

    status = cli.main(["inspect", str(log.parent), "--verify"])

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert lines[0] == str(log)
    assert lines[1].split() == [
        *("number", "generation", "sequence", "bytes", "records", "keyspaces", "deadlines"),
        "(UTC)",
    ]
    size = (log / "00000001-00000000.seg").stat().st_size
    assert lines[2].split() == [
        *("00000001", "00000000", "11", str(size), "4", "1,", "3"),
        *("2023-11-14", "22:13:20", "to", "2023-11-14", "23:13:20,", "2", "records"),
    ]
    assert lines[3].split() == ["00000002", "00000007", "4", "8192", "1", "9", "none"]
    assert lines[4].startswith(f"2 segments, {size + 8192} bytes, 5 records of ")
    assert lines[4].endswith(", 2 with a deadline, 3 keyspaces")
    assert lines[5:] == [
        "other files: notes.txt",
        "6 records read and found sound, dead ones included",
        "no damage",
    ]


def test_json(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints the same as data."""
    path = write(log, mixed())
    flip(path, 12)

    status = cli.main(["inspect", str(log.parent), "--verify", "--json"])

    data = json.loads(capsys.readouterr().out)
    assert status == 1
    assert data["totals"]["records"] == 4
    assert data["totals"]["damage"] == 1
    assert data["segments"][0]["trailer"]["expires"] == 2
    assert data["segments"][0]["keyspaces"] == {"1": 2, "3": 2}
    assert data["segments"][0]["damage"] == [
        {"file": str(path), "offset": 0, "cause": "record: the checksum is wrong"}
    ]


# Damage


def places(segment: SegmentFile) -> dict[str, tuple[int, int, str]]:
    """What to damage: the byte, the offset that is told, and the cause."""
    (first, _), (second, _), (gap, _), (dead, _), (large, _), _ = segment.spans
    end, footer = len(segment.build()), segment.footer_offset
    return {
        "value": (first + 11, first, "record: the checksum is wrong"),
        "deadline": (second + 9, second, "record: the checksum is wrong"),
        "type": (first, first, "record: its head is impossible"),
        "filler": (gap + 2, gap, "filler: its head is impossible"),
        "inside a filler": (gap + 40, gap, "filler: the checksum is wrong"),
        "dead record": (dead + 12, dead, "record: the checksum is wrong"),
        "long value": (large + 65000, large, "record: the checksum is wrong"),
        "padding": (footer - 1, footer - 1, "the bytes between records and footer are not zero"),
        "entry": (footer + 20, footer, "footer: a block's checksum is wrong"),
        "trailer": (end - 100, end - 128, "trailer: the checksum is wrong"),
        "magic": (end - 128, end - 128, "no trailer: the file is cut off, or is no segment"),
    }


@pytest.mark.parametrize("place", places(mixed()))
def test_damage_is_named(log: Path, capsys: pytest.CaptureFixture[str], place: str) -> None:
    """Each damage is told with file, offset and cause, and the status is 1."""
    at, offset, cause = places(mixed())[place]
    sound = write(log, mixed(1))
    path = write(log, mixed(2))
    flip(path, at)

    status = cli.main(["inspect", str(log.parent), "--verify"])

    lines = capsys.readouterr().out.splitlines()
    assert status == 1
    assert lines[-2:] == ["damage: 1", f"DAMAGE {path} at {offset}: {cause}"]
    assert str(sound) not in "".join(lines)


def test_only_verify_reads_records(log: Path) -> None:
    """Without --verify a damaged footer is found, a damaged record is not."""
    segment = mixed()
    path = write(log, segment)
    flip(path, 12)
    before = examine(log.parent, verify=False)
    flip(path, segment.footer_offset + 20)
    after = examine(log.parent, verify=False)

    assert (before.damage_count, before.segments[0].records_sound) == (0, 0)
    assert after.damage_count == 1


def test_a_file_that_was_cut_off(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A torn file has no trailer; its row says so, and its bytes still count."""
    segment = mixed()
    path = write(log, segment, segment.build()[:-4096])

    status = cli.main(["inspect", str(log.parent)])

    out = capsys.readouterr().out
    assert status == 1
    assert f"{path.stat().st_size}        ?  ?          trailer damaged" in out
    assert "no trailer: the file is cut off" in out


def test_a_file_under_the_name_of_another(log: Path) -> None:
    """The trailer's number and generation must be those of the name."""
    path = write(log, mixed(5, 6), mixed(5, 7).build())

    [damage] = examine(log.parent, verify=True).segments[0].damage

    assert damage.file == str(path)
    assert damage.offset == path.stat().st_size - 128
    assert damage.cause == "trailer: it is that of 00000005-00000007, not of this file"


def test_more_damage_than_is_kept_is_counted(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand damages of a file are named, and the number of the others."""
    segment = SegmentFile()
    offsets = [segment.add(b"k", b"v") for _ in range(1200)]
    data = bytearray(segment.build())
    for at in offsets:
        data[at + 4] ^= 1
    write(log, segment, bytes(data))

    status = cli.main(["inspect", str(log.parent), "--verify"])

    lines = capsys.readouterr().out.splitlines()
    assert status == 1
    assert "damage: 1200" in lines
    assert sum(line.startswith("DAMAGE") for line in lines) == 1001
    assert lines[-1].endswith(".seg: 200 more")


# The folder


def test_a_folder_that_was_set_aside(log: Path) -> None:
    """Segment files that lie in the folder itself are found too."""
    write(log, mixed())

    assert len(examine(log, verify=True).segments) == 1


@pytest.mark.parametrize("name", ["missing", "empty", "file"])
def test_what_is_no_data_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A wrong path is an error, not a folder without damage."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()

    status = cli.main(["inspect", str(tmp_path / name)])

    captured = capsys.readouterr()
    assert (status, captured.out) == (1, "")
    assert captured.err.startswith(f"ferrite-py: {tmp_path / name}: ")


def test_an_empty_log_is_no_damage(log: Path) -> None:
    """A server that has not sealed anything yet has an empty log."""
    (log.parent / "LOCK").touch()

    for folder in (log.parent, log):
        report = examine(folder, verify=True)
        assert (report.folder, report.segments, report.damage_count) == (log, [], 0)


def test_files_that_a_server_removes_meanwhile_are_passed_over(log: Path) -> None:
    """A compacted segment may go between two files."""
    paths = [write(log, mixed(number)) for number in (1, 2, 3)]

    report = examine(log.parent, verify=True, progress=lambda *_: paths[1].unlink(missing_ok=True))

    assert [segment.number for segment in report.segments] == [1, 3]
    assert report.damage_count == 0


def test_a_file_that_cannot_be_opened_is_an_error(log: Path) -> None:
    """The error names the file and the cause."""
    path = log / "00000001-00000000.seg"
    path.symlink_to(path)

    with pytest.raises(FerriteError) as raised:
        examine(log.parent, verify=True)

    assert str(raised.value) == f"{path}: {os.strerror(errno.ELOOP)}"


def test_a_file_that_cannot_be_read_is_damaged(log: Path) -> None:
    """A read that fails is told with what the system says of it."""
    path = log / "00000001-00000000.seg"
    path.mkdir()

    [damage] = examine(log.parent, verify=True).segments[0].damage

    assert (damage.file, damage.cause) == (str(path), "cannot be read: Is a directory")


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the kernel does not tell locks")
def test_a_folder_in_use_is_noted(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While a server holds the lock, half-written files are no surprise; the lock is not taken."""
    with (log.parent / "LOCK").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        held = examine(log.parent, verify=False).is_in_use
        cli.main(["inspect", str(log.parent)])
        fcntl.flock(lock, fcntl.LOCK_UN)
        free = examine(log.parent, verify=False).is_in_use

    assert (held, free) == (True, False)
    assert "a server uses this folder" in capsys.readouterr().out


def test_files_of_two_stores_are_noted(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files whose keys were hashed with different seeds do not belong together."""
    write(log, mixed(1))
    other = mixed(2)
    other.seed_check += 1
    write(log, other)

    cli.main(["inspect", str(log.parent)])

    assert "the files are of 2 stores with different seeds" in capsys.readouterr().out


def test_deadlines_that_no_calendar_reaches(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Redis takes deadlines up to the largest 64-bit number of milliseconds."""
    segment = SegmentFile()
    segment.add(b"k", b"v", deadline=2**63 - 1)
    write(log, segment)

    cli.main(["inspect", str(log.parent)])

    assert f"{2**63 - 1} ms to {2**63 - 1} ms, 1 records" in capsys.readouterr().out


# Progress


def test_progress_is_told_on_a_terminal_only(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line is drawn over and cleared; a file gets none of it."""
    for number in (1, 2):
        write(log, mixed(number))

    cli.main(["inspect", str(log.parent), "--verify"])
    quiet = capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    cli.main(["inspect", str(log.parent), "--verify"])
    drawn = capsys.readouterr().err

    assert quiet == ""
    assert f"\r[{'#' * 15}{' ' * 15}]" in drawn
    assert "\n" not in drawn
    assert drawn.endswith("\r\x1b[K")
