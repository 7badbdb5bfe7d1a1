"""The doctor: what it looks at on a machine, and what it says."""

import errno
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ferrite_py import cli, doctor
from ferrite_py.config import Config, load, with_values
from ferrite_py.file_limit import RESERVED_FILES
from ferrite_py.findings import Finding, Host
from tests.support.servers import free_port


def host_of(root: Path, files: dict[str, str], **limits: int) -> Host:
    """A machine whose /proc and /sys are the given files."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    values = {"files_soft": -1, "files_hard": -1, "memlock_bytes": -1, **limits}
    return Host(
        root,
        values["files_soft"],
        values["files_hard"],
        values["memlock_bytes"],
        values.get("io_uring_errno", 0),
    )


def levels(findings: list[Finding], subject: str) -> list[str]:
    """The levels of the findings about a subject; every bad one must come with a remedy."""
    found = [finding for finding in findings if finding.subject == subject]
    assert all((finding.level == "ok") == (finding.remedy == "") for finding in found)
    return [finding.level for finding in found]


def config_of(**values: object) -> Config:
    """The defaults without a TCP port, and with other values; `__` stands for the dot."""
    named = {name.replace("__", "."): value for name, value in values.items()}
    return with_values(Config(), {"server.port": 0, **named})


@pytest.mark.parametrize(
    ("soft", "hard", "level"),
    [
        (10_000 + RESERVED_FILES, 20_000, "ok"),
        (-1, -1, "ok"),
        (1024, 20_000, "warn"),
        (1024, -1, "warn"),
        (1024, 10_031, "fail"),
    ],
)
def test_doctor_counts_open_files(tmp_path: Path, soft: int, hard: int, level: str) -> None:
    """The limit must hold all connections; a soft one that can be raised is only a warning."""
    host = host_of(tmp_path, {}, files_soft=soft, files_hard=hard)

    assert levels(doctor.examine(config_of(), host), "open files") == [level]


MEMINFO = "MemTotal:  2048 kB\nMemAvailable:  1024 kB\n"
CGROUP = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/a/b\n"}
CGROUP_V1 = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "4:cpu:/\n3:memory:/a\n"}


@pytest.mark.parametrize(
    ("files", "max_memory", "level"),
    [
        ({"proc/meminfo": MEMINFO}, 1 << 20, "ok"),
        ({"proc/meminfo": MEMINFO}, (1 << 20) + 1, "warn"),
        ({"proc/meminfo": MEMINFO}, (2 << 20) + 1, "fail"),
        ({"proc/meminfo": MEMINFO}, 0, "warn"),
        ({}, 1, "warn"),
        ({**CGROUP, "sys/fs/cgroup/a/memory.max": "1000\n"}, 1001, "fail"),
        ({**CGROUP, "sys/fs/cgroup/a/b/memory.max": "max\n"}, 1001, "ok"),
        ({**CGROUP_V1, "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000"}, 1001, "fail"),
        ({**CGROUP_V1, "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**63)}, 1001, "ok"),
    ],
)
def test_doctor_compares_memory(
    tmp_path: Path, files: dict[str, str], max_memory: int, level: str
) -> None:
    """max_memory must fit the machine and its control groups."""
    found = doctor.examine(config_of(storage__max_memory=max_memory), host_of(tmp_path, files))

    assert levels(found, "memory") == [level]


@pytest.mark.parametrize(
    ("subject", "path", "good", "bad"),
    [
        ("overcommit", "proc/sys/vm/overcommit_memory", "1\n", "2\n"),
        (
            "huge pages",
            "sys/kernel/mm/transparent_hugepage/enabled",
            "always [madvise] never",
            "[always] madvise never",
        ),
        ("backlog", "proc/sys/net/core/somaxconn", "511", "128"),
    ],
)
def test_doctor_reads_the_kernel(
    tmp_path: Path, subject: str, path: str, good: str, bad: str
) -> None:
    """Kernel settings that harm are a warning, with what to write where."""
    before = levels(doctor.examine(config_of(), host_of(tmp_path, {path: good})), subject)
    after = levels(doctor.examine(config_of(), host_of(tmp_path, {path: bad})), subject)

    assert (before, after) == (["ok"], ["warn"])


@pytest.fixture
def taken() -> Iterator[int]:
    """A TCP port of 127.0.0.1 on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_doctor_tries_the_ports(
    taken: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A port in use fails, and with it the command; an address that may be missing does not."""
    monkeypatch.setitem(sys.modules, "ferrite_py._native", ModuleType("_native"))
    bind = "server.bind=127.0.0.1 -203.0.113.1"

    status = cli.main(["doctor", "--port", str(taken), "--set", bind])

    output = capsys.readouterr().out
    assert status == 1
    assert f"fail  server.port: 127.0.0.1:{taken}: Address already in use; stop the" in output
    assert f"ok    server.port: 203.0.113.1:{taken} is not on this machine" in output


def test_doctor_tries_the_port_of_metrics(taken: int, tmp_path: Path) -> None:
    """As the server does, if there is to be such a page: one in use ends the start."""
    host = host_of(tmp_path, {})

    def found(**values: object) -> list[str]:
        return levels(doctor.examine(config_of(**values), host), "metrics.port")

    assert found(metrics__port=taken) == ["fail"]
    assert found(metrics__port=taken, metrics__enabled=False) == []
    assert found(metrics__port=0) == []
    assert found(metrics__port=free_port()) == ["ok"]


def test_doctor_looks_at_files(tmp_path: Path) -> None:
    """Sockets in use, folders that are missing and bad certificates fail; good ones do not."""
    host = host_of(tmp_path, {})
    path = str(tmp_path / "s")
    free = config_of(server__unix_socket=path, logging__file=str(tmp_path / "log"))
    bad = load(
        None,
        {},
        {
            "server.port": "0",
            "server.bind": "",
            "server.unix_socket": str(tmp_path / "none" / "s"),
            "logging.file": str(tmp_path / "none" / "log"),
        },
    )
    tls = config_of(tls__port=1, server__bind=(), tls__cert_file="c", tls__key_file="k")

    with socket.socket(socket.AF_UNIX) as server:
        before = doctor.examine(free, host)
        server.bind(path)
        server.listen()
        during = doctor.examine(free, host)

    assert levels(before, "server.unix_socket") == ["ok"]
    assert levels(before, "logging.file") == ["ok"]
    assert levels(during, "server.unix_socket") == ["fail"]
    assert levels(doctor.examine(bad, host), "server.unix_socket") == ["fail"]
    assert levels(doctor.examine(bad, host), "logging.file") == ["fail"]
    assert levels(doctor.examine(config_of(logging__file="-"), host), "logging.file") == []
    assert levels(doctor.examine(tls, host), "tls.cert_file") == ["fail"]


def test_doctor_looks_for_the_collector(tmp_path: Path) -> None:
    """Whether somebody listens at the endpoint; only when telemetry is enabled."""
    host = host_of(tmp_path, {})

    def found(endpoint: str, *, enabled: bool = True) -> list[str]:
        config = config_of(telemetry__enabled=enabled, telemetry__endpoint=endpoint)
        return levels(doctor.examine(config, host), "telemetry.endpoint")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        assert found(f"http://{place}") == ["ok"]
        assert found(f"http://{place}", enabled=False) == []
    assert found(f"http://{place}") == ["warn"]
    assert found("http://host:notaport") == ["warn"]
    assert found("") == []


def test_doctor_looks_at_no_disk_without_a_data_folder(tmp_path: Path) -> None:
    """What is kept in memory alone needs none."""
    subjects = {finding.subject for finding in doctor.examine(config_of(), host_of(tmp_path, {}))}

    assert not subjects & {"storage.data_dir", "disk space", "segment files", "disk engine"}


def test_doctor_tries_the_data_folder(tmp_path: Path) -> None:
    """One that exists, one that is still to be made, and two that cannot be; nothing is left."""
    (tmp_path / "data").mkdir()
    (tmp_path / "file").write_text("")
    host = host_of(tmp_path, {})

    def level(path: Path) -> list[str]:
        return levels(doctor.examine(config_of(storage__data_dir=str(path)), host), subject)

    subject = "storage.data_dir"
    assert level(tmp_path / "data") == level(tmp_path / "new") == ["ok"]
    assert level(tmp_path / "no" / "such") == level(tmp_path / "file") == ["fail"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "file"]
    subject = "direct reads"
    assert len(level(tmp_path / "data")) == 1
    assert level(tmp_path / "file") == []


def test_doctor_compares_disk_space(tmp_path: Path) -> None:
    """max_disk must fit what is free, with what the folder's own files take."""

    def level(max_disk: int) -> list[str]:
        config = config_of(storage__data_dir=str(tmp_path), storage__max_disk=max_disk)
        return levels(doctor.examine(config, host_of(tmp_path, {})), "disk space")

    (tmp_path / "log").mkdir()
    with (tmp_path / "log" / "00000001-00000001.seg").open("wb") as file:
        file.truncate(1 << 40)
    assert level(0) == ["warn"]
    assert level(1 << 40) == ["ok"]
    assert level(1 << 60) == ["fail"]


@pytest.mark.parametrize(("hard", "level"), [(10_032 + 4096, "ok"), (-1, "ok"), (14_000, "warn")])
def test_doctor_counts_segment_files(tmp_path: Path, hard: int, level: str) -> None:
    """Each is open as long as it is there: 256 MiB of 64 KiB are 4096, beside the connections."""
    config = config_of(
        storage__data_dir=str(tmp_path),
        storage__max_disk=256 << 20,
        storage__hybridlog_mutable_size=1 << 19,
    )

    found = doctor.examine(config, host_of(tmp_path, {}, files_hard=hard))

    assert levels(found, "segment files") == [level]


@pytest.mark.parametrize(
    ("engine", "code", "level"),
    [
        ("auto", 0, "ok"),
        ("io_uring", 0, "ok"),
        ("threads", errno.EPERM, "ok"),
        ("auto", errno.EPERM, "warn"),
        ("io_uring", errno.ENOSYS, "fail"),
    ],
)
def test_doctor_names_the_disk_engine(tmp_path: Path, engine: str, code: int, level: str) -> None:
    """A kernel without io_uring is a failure only for who insists on it."""
    config = config_of(storage__data_dir=str(tmp_path), storage__disk_engine=engine)

    found = doctor.examine(config, host_of(tmp_path, {}, io_uring_errno=code))

    assert levels(found, "disk engine") == [level]


def test_doctor_weighs_what_unclean_stops_have_left(tmp_path: Path) -> None:
    """Each start after one sets a folder aside, which nothing removes."""
    config = config_of(storage__data_dir=str(tmp_path))
    assert levels(doctor.examine(config, host_of(tmp_path, {})), "unclean stops") == []
    for stamp in ("20260101T000000Z", "20260102T000000Z"):
        folder = tmp_path / f"log.unclean-{stamp}"
        folder.mkdir()
        (folder / "00000001-00000001.seg").write_bytes(bytes(1 << 20))

    (found,) = [f for f in doctor.examine(config, host_of(tmp_path, {})) if "unclean" in f.subject]

    assert found.level == "warn"
    assert found.message.startswith("2 folders ")
    assert found.message.endswith(" take 2 MiB")


@pytest.mark.parametrize(
    ("limit", "size", "lock", "level"),
    [
        (-1, 64 << 20, True, "ok"),
        (64 << 20, 64 << 20, True, "ok"),
        (8 << 20, 64 << 20, True, "warn"),
        (8 << 20, 64 << 20, False, "ok"),
        (8 << 20, 0, True, "warn"),
    ],
)
def test_doctor_compares_mapped_files_with_the_limit_of_locked_memory(
    tmp_path: Path, limit: int, size: int, lock: bool, level: str
) -> None:
    """What is not locked is read from disk again when the kernel takes its pages."""
    config = config_of(
        storage__data_dir=str(tmp_path),
        storage__max_memory=1 << 30,
        storage__hybridlog_readonly_size=size,
        storage__lock_memory=lock,
    )

    found = doctor.examine(config, host_of(tmp_path, {}, memlock_bytes=limit))

    assert levels(found, "locked memory") == [level]


@pytest.mark.parametrize(("module", "level"), [(None, "fail"), (ModuleType("_native"), "ok")])
def test_doctor_needs_the_native_extension(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType | None, level: str
) -> None:
    """Without the extension nothing can be served."""
    monkeypatch.setitem(sys.modules, "ferrite_py._native", module)

    found = doctor.examine(config_of(), host_of(tmp_path, {}))

    assert levels(found, "native extension") == [level]
