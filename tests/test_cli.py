"""The command line."""

import errno
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from ferrite_py import __version__, cli, doctor
from ferrite_py.config import Config, Sources
from ferrite_py.config_docs import render_example
from ferrite_py.errors import StartupError

Calls = list[tuple[Config, Path | None, Sources]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
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
    """--bind, --port, --log-level and --data-dir set what they say."""
    cli.main(["--bind", "::1 127.0.0.1", "--port", "7", "--log-level", "debug", "--data-dir", "d"])

    config = calls[0][0]
    assert config.server.bind == ("::1", "127.0.0.1")
    assert (config.server.port, config.logging.level) == (7, "debug")
    assert config.storage.data_dir == "d"


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


def test_config_check_says_of_a_variable_what_the_start_says(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A number that is none is the same line for both, and the server does not run."""
    flags = ["--enable-tracing", "--otlp-endpoint", "http://h:1"]
    monkeypatch.setenv("OTEL_BSP_EXPORT_TIMEOUT", "2.5s")

    statuses = cli.main(flags), cli.main(["config", "check", *flags])

    message = 'OTEL_BSP_EXPORT_TIMEOUT: "2.5s": expected a whole number'
    assert statuses == (1, 1)
    assert capsys.readouterr().err.splitlines() == [f"ferrite-py: {message}"] * 2
    assert calls == []


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


@pytest.mark.parametrize("is_refused", [False, True])
def test_version_and_features(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_refused: bool
) -> None:
    """--features names what can be imported and is allowed here, with --version or without."""
    host = replace(doctor.this_host(), io_uring_errno=errno.EPERM if is_refused else 0)
    monkeypatch.setattr(doctor, "this_host", lambda: host)
    for name in ("ferrite_py._native", "ferrite_py.listen", "ferrite_py.listen.streams"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "ferrite_py.listen.reactors", None)
    for name in ("uvloop", "ferrite_py.telemetry.export"):
        monkeypatch.setitem(sys.modules, name, None)

    statuses = [
        cli.main(["--version"]),
        cli.main(["--features"]),
        cli.main(["--version", "--features"]),
        cli.main(["--features", "--version"]),
    ]

    version = f"ferrite-py {__version__}"
    names = "tls, native, streams" if is_refused else "io-uring, tls, native, streams"
    both = f"{version} (features: {names})"
    assert statuses == [0] * 4
    assert capsys.readouterr().out.splitlines() == [version, both, both, both]


def test_everything_can_be_imported_here(capsys: pytest.CaptureFixture[str]) -> None:
    """None of the names is one that no installation has."""
    cli.main(["--version", "--features"])

    [line] = capsys.readouterr().out.splitlines()
    names = line.partition(" (features: ")[2].removesuffix(")").split(", ")
    expected = ["otel", "io-uring", "tls", "native", "reactors", "streams", "uvloop"]
    assert [name for name in names if name != "io-uring"] == [
        name for name in expected if name != "io-uring"
    ]
