"""Limits of memory that cannot be held: what is said of them, and when."""

import logging
from pathlib import Path
from typing import Any

import pytest

from ferrite_py import cli, doctor
from ferrite_py.ceiling import CeilingWatch, Own, own_of, too_large_sizes, too_low
from ferrite_py.config import Config, with_values
from ferrite_py.findings import Host
from ferrite_py.footprint import footprint
from tests.support.process import Process

MIB = 1 << 20
TIERS = ("mutable", "sealed", "read_only", "read_cache")


def config_of(**values: object) -> Config:
    """The defaults with other settings of the storage."""
    return with_values(Config(), {f"storage.{key}": value for key, value in values.items()})


def tiers_of(data: int) -> dict[str, Any]:
    """A snapshot of tiers with so many bytes in memory."""
    return {name: {"bytes": data // 4} for name in TIERS}


class FakeEngine:
    """Memory as a test wants it."""

    def __init__(self, used: int, data: int) -> None:
        self.used, self.data = used, data

    def statistics(self) -> dict[str, Any]:
        """What is accounted."""
        return {"used_memory": self.used}

    def tiers(self) -> dict[str, Any]:
        """What of it is data."""
        return tiers_of(self.data)


def test_what_a_process_takes_beside_the_data() -> None:
    """Accounted and resident memory without that of the tiers."""
    assert own_of({"used_memory": 12 * MIB}, tiers_of(8 * MIB), 40 * MIB) == Own(4 * MIB, 32 * MIB)


@pytest.mark.parametrize(
    ("data_dir", "max_memory", "expected"),
    [
        ("", 0, ""),
        ("", 2 * MIB, ""),
        (
            "",
            1024,
            "1 KiB, but buffers and tables take 1.5 MiB beside the data: writes will be refused",
        ),
        ("d", 0, ""),
        ("d", 42 * MIB, ""),
        (
            "d",
            41 * MIB,
            "41 MiB, but the process takes 40 MiB beside the data: it will be passed",
        ),
    ],
)
def test_a_limit_below_what_the_server_takes(data_dir: str, max_memory: int, expected: str) -> None:
    """With a data folder the limit is for the process, without for what is accounted."""
    storage = config_of(data_dir=data_dir, max_memory=max_memory).storage

    said = too_low(storage, Own(3 * MIB // 2, 40 * MIB))

    assert said == (f"storage.max_memory is {expected}" if expected else "")


def test_sizes_beyond_the_limit() -> None:
    """They are named with what they would take; those that fit, or are not used, are not."""
    sizes = {"hybridlog_mutable_size": 40 * MIB, "read_cache_size": 14 * MIB}
    expected = (
        "storage.hybridlog_mutable_size and storage.read_cache_size would take 64 MiB, but"
        " storage.max_memory is 63 MiB: they become smaller, in proportion"
    )

    assert (
        too_large_sizes(config_of(data_dir="d", max_memory=63 * MIB, **sizes).storage) == expected
    )
    assert not too_large_sizes(config_of(data_dir="d", max_memory=64 * MIB, **sizes).storage)
    assert not too_large_sizes(config_of(data_dir="d", **sizes).storage)
    assert not too_large_sizes(config_of(max_memory=MIB, **sizes).storage)


def test_each_limit_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """At the start and when it is another one, not with every change of a setting."""
    caplog.set_level(logging.WARNING)
    watch = CeilingWatch(FakeEngine(used=9 * MIB, data=8 * MIB), lambda: 40 * MIB)

    watch.look(config_of(max_memory=1024))
    watch.look(config_of(max_memory=1024, lfu_log_factor=3))
    watch.look(config_of(max_memory=10 * MIB))
    watch.look(config_of(max_memory=4 * MIB))
    watch.look(config_of(max_memory=5 * MIB, eviction_policy="allkeys-lru"))
    watch.look(config_of(max_memory=0))

    assert [record.message.partition("storage.max_memory is ")[2] for record in caplog.records] == [
        "1 KiB, but buffers and tables take 1 MiB beside the data: writes will be refused",
        "4 MiB, less than the 9 MiB in use: writes are refused until data go",
        "5 MiB, less than the 9 MiB in use: keys are evicted",
    ]


def test_a_footprint_is_measured() -> None:
    """By a server that is started for it: more databases take more, a data folder is left alone."""
    few, many = (footprint(config_of(databases=count)) for count in (1, 1024))
    tiered = footprint(config_of(data_dir="/nowhere/at/all", max_memory=32 * MIB))

    assert few is not None
    assert many is not None
    assert tiered is not None
    assert 0 < few.accounted < many.accounted
    assert tiered.resident > 8 * MIB  # an interpreter alone takes as much


def test_a_footprint_executes_nothing_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module there may be anybody's."""
    (tmp_path / "tempfile.py").write_text("open('executed', 'w').close()\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert footprint(config_of()) is not None
    assert not (tmp_path / "executed").exists()


def test_config_check_and_doctor_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit that cannot be held is a warning of both, and no error."""
    host = Host(tmp_path, -1, -1, -1, own=Own(MIB, 40 * MIB))
    config = config_of(max_memory=1024, data_dir=str(tmp_path), read_cache_size=2 * MIB)

    found = [one for one in doctor.examine(config, host) if one.subject == "memory limit"]
    status = cli.main(["config", "check", "--set", "storage.max_memory=1024"])

    assert [one.level for one in found] == ["warn", "warn"]
    assert status == 0
    expected = "ferrite-py: warning: storage.max_memory is 1 KiB, but buffers and tables take "
    assert capsys.readouterr().err.startswith(expected)


def test_the_log_and_memory_doctor_tell(tmp_path: Path) -> None:
    """At the start, and at CONFIG SET before it answers."""
    server = Process(tmp_path, "storage.max_memory=1024")
    try:
        with server.client() as client:
            client.command("PING")
            started = server.log()
            client.command("CONFIG", "SET", "maxmemory", "100mb")
            client.command("SET", "k", "x" * (8 * MIB))
            client.command("CONFIG", "SET", "maxmemory", "1mb")
            changed = server.log().removeprefix(started)
            report = client.command("MEMORY", "DOCTOR").node.data.decode()
    finally:
        server.stop()

    assert "storage.max_memory is 1 KiB, but " in started
    assert changed.count("storage.max_memory is 1 MiB, but ") == 1
    assert "Limit: storage.max_memory is 1 MiB, but " in report
