"""The command line, the doctor and the notices to systemd."""

import errno
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ferrite_py import __version__, cli, doctor
from ferrite_py.config import Config, Sources, load, with_values
from ferrite_py.config_docs import render_example
from ferrite_py.doctor import Finding, Host
from ferrite_py.errors import StartupError
from ferrite_py.file_limit import RESERVED_FILES
from ferrite_py.notify import notifier_of
from tests.support.servers import free_port

Calls = list[tuple[Config, Path | None, Sources]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and none of the variables that could reach the configuration."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FERRITE_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """A server that only remembers with what it was run, and ends with status 7."""
    found: Calls = []

    def run(config: Config, path: Path | None, sources: Sources) -> int:
        found.append((config, path, sources))
        return 7

    server = ModuleType("ferrite_py.server")
    server.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ferrite_py.server", server)
    return found


# Commands


def test_without_a_command_it_serves(calls: Calls, folder: Path) -> None:
    """The server gets the configuration, its file, and the layers to read them again."""
    (folder / "f.toml").write_text("[server]\nhz = 20\n", encoding="utf-8")

    status = cli.main(["--config", "f.toml", "--port", "1", "--set", "server.port=7"])

    [(config, path, sources)] = calls
    assert status == 7
    assert (config.server.hz, config.server.port) == (20, 7)
    assert path == Path("f.toml")
    assert sources.load().config == config
    assert dict(sources.flags) == {"server.port": "7"}


def test_default_file_is_read_if_it_is_there(calls: Calls, folder: Path) -> None:
    """ferrite.toml of the current folder counts, and its absence is no error."""
    cli.main([])
    (folder / "ferrite.toml").write_text("[server]\nhz = 20\n", encoding="utf-8")
    cli.main([])

    assert [(config.server.hz, path) for config, path, _ in calls] == [
        (10, None),
        (20, Path("ferrite.toml")),
    ]


def test_flags_of_their_own(calls: Calls) -> None:
    """--bind, --port and --log-level set what they say."""
    cli.main(["--bind", "::1 127.0.0.1", "--port", "7", "--log-level", "debug"])

    config = calls[0][0]
    assert config.server.bind == ("::1", "127.0.0.1")
    assert (config.server.port, config.logging.level) == (7, "debug")


def test_environment_counts(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's environment is a layer."""
    monkeypatch.setenv("FERRITE_SERVER_HZ", "30")

    cli.main([])

    assert calls[0][0].server.hz == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "none.toml"], "cannot read none.toml: No such file or directory"),
        (
            ["--port", "x"],
            'command line: server.port = "x": expected an integer from 0 to 65535',
        ),
        (
            ["config", "check", "--set", "server.prot=1"],
            'command line: unknown key "prot" in [server]; did you mean "port"?',
        ),
        (
            ["doctor", "--set", "port=1"],
            'command line: unknown key "port" outside of a section; did you mean "server.port"?',
        ),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error of the configuration is one line on standard error, and status 1."""
    status = cli.main(arguments)

    output = capsys.readouterr()
    assert status == 1
    assert output.err == f"ferrite-py: {message}\n"
    assert output.out == ""


def test_every_error_has_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that is wrong with a file is told at once, each on a line of its own, and status 1."""
    (folder / "bad.toml").write_text("[server]\nprot = 1\n[storage]\nhz = 1\n")

    status = cli.main(["config", "check", "--config", "bad.toml"])

    output = capsys.readouterr()
    assert status == 1
    assert [line[: line.index(" unknown")] for line in output.err.splitlines()] == [
        "ferrite-py: bad.toml:2:",
        "ferrite-py: bad.toml:4:",
    ]
    assert output.out == ""


def test_config_check_warns_of_strange_variables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable with our prefix that is no setting is named, and is no error."""
    monkeypatch.setenv("FERRITE_SERVICE_HOST", "10.0.0.1")

    assert cli.main(["config", "check"]) == 0

    expected = "FERRITE_SERVICE_HOST: no setting has this name; it is passed over"
    assert capsys.readouterr().err == f"ferrite-py: warning: {expected}\n"


def test_config_check_looks_at_tls_files(capsys: pytest.CaptureFixture[str]) -> None:
    """A certificate that is missing is named, as by the doctor; without TLS nobody looks."""
    settings = ["tls.cert_file=none.pem", "tls.key_file=none.pem", "tls.client_auth=no"]
    flags = [word for setting in settings for word in ("--set", setting)]

    assert cli.main(["config", "check", *flags]) == 0
    assert cli.main(["config", "check", *flags, "--set", "tls.port=7"]) == 1

    expected = "ferrite-py: tls.cert_file: cannot read none.pem: No such file or directory; "
    assert capsys.readouterr().err.startswith(expected)


def test_startup_errors_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the server raises because of the machine is one line, and status 1."""

    def run(*_arguments: object) -> int:
        raise StartupError("127.0.0.1:6379 is in use")

    server = ModuleType("ferrite_py.server")
    server.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ferrite_py.server", server)

    assert cli.main([]) == 1
    assert capsys.readouterr().err == "ferrite-py: 127.0.0.1:6379 is in use\n"


def test_an_incomplete_installation_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that cannot be imported is one line that names the remedy."""
    monkeypatch.setitem(sys.modules, "ferrite_py.server", None)

    assert cli.main([]) == 1
    error = capsys.readouterr().err
    assert error.startswith("ferrite-py: this installation is incomplete (")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--bogus"], ["config"], ["config", "bogus"], ["--set", "x"], ["--por", "1"]]
)
def test_wrong_use_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command line that means nothing is status 2, with the usage."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)

    assert caught.value.code == 2
    assert "usage: ferrite-py" in capsys.readouterr().err


def test_config_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each action prints what it says: ok, the values in force, or the example file."""
    (folder / "f.toml").write_text("[server]\nhz = 20\n", encoding="utf-8")

    assert cli.main(["--config", "f.toml", "config", "check"]) == 0
    assert capsys.readouterr().out == "f.toml: ok\n"
    assert cli.main(["--port", "7", "config", "show", "--config", "f.toml"]) == 0
    shown = capsys.readouterr().out
    assert "\nhz = 20  # f.toml:2\n" in shown
    assert "\nport = 7  # command line\n" in shown
    assert cli.main(["config", "example"]) == 0
    assert capsys.readouterr().out == render_example()


def test_version_and_features(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--features names what can be imported, and nothing else."""
    for name in ("ferrite_py._native", "ferrite_py.listen", "ferrite_py.listen.streams"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "ferrite_py.listen.reactors", None)
    for name in ("uvloop", "ferrite_py.telemetry.export"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    status = cli.main(["--features"])

    assert (caught.value.code, status) == (0, 0)
    version = f"ferrite-py {__version__}"
    assert capsys.readouterr().out == f"{version}\n{version} (features: native, streams, tls)\n"


# The doctor


def host_of(root: Path, files: dict[str, str], **limits: int) -> Host:
    """A machine whose /proc and /sys are the given files."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    values = {"files_soft": -1, "files_hard": -1, "memlock_bytes": -1, **limits}
    return Host(root, **values)


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
        assert found(place) == ["ok"]
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


# Notices to systemd


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
