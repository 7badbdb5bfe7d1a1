"""What `ferrite-py inspect` says of a folder that a clean stop left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ferrite_py import cli
from ferrite_py._native import Server, Stream
from ferrite_py.config import Config, with_values
from ferrite_py.errors import FerriteError
from ferrite_py.inspect import examine
from ferrite_py.saved_index import crc32c, read_saved
from ferrite_py.services import engine_options
from tests.support.resp import encode

COUNT = 2000
VALUE = "x" * 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a stop left it: keys over several segments, the first ones deleted."""
    values: dict[str, object] = {
        "storage.data_dir": str(tmp_path / "data"),
        "storage.segment_size": 64 << 10,
        "storage.databases": 1,
    }
    server = Server(engine_options(with_values(Config(), values)))
    server.start_workers()
    stream = Stream(server, "127.0.0.1:1", "127.0.0.1:2", False, -1)
    for number in range(COUNT):
        assert stream.feed(encode("SET", f"key:{number}", VALUE), 0) == b"+OK\r\n"
    stream.close()
    report = server.save("1")
    assert report is not None
    assert report["keys"] == COUNT
    server.close()
    return tmp_path / "data"


def test_the_checksum() -> None:
    """The catalogued check value of CRC-32C."""
    assert crc32c(b"123456789") == 0xE3069283


def test_the_table_is_that_of_the_files(folder: Path) -> None:
    """One row for each file; all that was written is alive, and nothing more."""
    saved = read_saved(folder)

    assert saved is not None
    names = {f"{number:08x}-{generation:08x}.seg" for number, generation in saved}
    assert names == {path.name for path in (folder / "log").iterdir()}
    report = examine(folder, verify=False)
    assert len(report.segments) > 2
    for segment in report.segments:
        assert segment.trailer is not None
        row = saved[segment.number, segment.generation]
        assert (row.used, row.live) == (segment.trailer.used, segment.trailer.record_bytes)
        assert report.live_of(segment) == row.live


def test_the_report_has_what_is_alive(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A column, a line with the sum, and the same in JSON."""
    assert cli.main(["inspect", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[5] == "live"
    assert lines[2].split()[5].endswith("%")
    assert any(line.startswith("at the last clean stop ") for line in lines)

    assert cli.main(["inspect", str(folder), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["saved"] is True
    assert data["totals"]["live"] == sum(segment["live"] for segment in data["segments"]) > 0


def test_without_a_manifest_nothing_is_said_of_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder of a server that runs or was killed."""
    (folder / "manifest").unlink()

    assert read_saved(folder) is None
    assert cli.main(["inspect", str(folder)]) == 0
    assert "live" not in capsys.readouterr().out


@pytest.mark.parametrize(("name", "at"), [("manifest", 30), ("index-1", 20), ("index-1", 400)])
def test_damage_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, at: int
) -> None:
    """In a line that names the file; the segments are listed all the same."""
    path = folder / name
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)

    with pytest.raises(FerriteError, match=name):
        read_saved(folder)
    assert cli.main(["inspect", str(folder)]) == 1
    out = capsys.readouterr().out
    assert f"DAMAGE {path}" in out
    assert "damage: 1" in out
    assert len(out.splitlines()) > 5


def test_a_file_that_ends_too_early_is_damage(folder: Path) -> None:
    """Wherever it ends within the table."""
    path = folder / "index-1"
    data = path.read_bytes()
    for size in (0, 100, 128, 140, 300):
        path.write_bytes(data[:size])
        with pytest.raises(FerriteError, match="index-1"):
            read_saved(folder)


def test_a_missing_index_is_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The manifest names it."""
    (folder / "index-1").unlink()

    assert cli.main(["inspect", str(folder)]) == 1
    assert f"DAMAGE {folder}/index-1: No such file or directory" in capsys.readouterr().out
