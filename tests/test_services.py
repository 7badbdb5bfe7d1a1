"""The configuration in force, and what follows when it changes."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ferrite_py import file_limit
from ferrite_py.config import Config, MemoryBound, Sources, TlsConfig, with_values
from ferrite_py.errors import ConfigError, ParameterError, StartupError
from ferrite_py.services import Settings, engine_options, fit_connections


class FakeEngine:
    """Takes options, or refuses them."""

    def __init__(self) -> None:
        self.options: list[dict[str, Any]] = []
        self.refuses = False

    def set_options(self, options: dict[str, Any], /) -> None:
        """Remember the options."""
        if self.refuses:
            raise ValueError("no")
        self.options.append(options)


@pytest.fixture
def engine() -> FakeEngine:
    """An engine that takes everything."""
    return FakeEngine()


def settings_of(engine: FakeEngine, path: Path | None = None) -> Settings:
    """The defaults in force, read from a file if one is given."""
    sources = Sources(path, {}, {})
    return Settings(sources.load().config, path, sources, engine)


def test_engine_options() -> None:
    """Sizes in bytes, a percentage resolved, the password as bytes."""
    config = with_values(
        Config(),
        {
            "storage.max_memory": 1000,
            "server.max_memory_clients": MemoryBound(5, is_percent=True),
            "server.requirepass": "é",
            "storage.maxmemory_samples": 1000,
        },
    )

    options = engine_options(config)

    assert (options["memory_max"], options["clients_memory_max"]) == (1000, 50)
    assert options["requirepass"] == "é".encode()
    assert options["samples"] == 64
    assert options["output_limits"][2] == (32 << 20, 8 << 20, 60)


@pytest.mark.parametrize(
    ("page", "telemetry", "exported", "measured"),
    [
        (True, False, True, True),
        (True, True, False, True),
        (False, True, True, True),
        (False, True, False, False),
        (False, False, True, False),
    ],
)
def test_the_engine_measures_while_somebody_looks(
    page: bool, telemetry: bool, exported: bool, measured: bool
) -> None:
    """The page of metrics, or their export; traces alone need none."""
    values = {
        "metrics.enabled": page,
        "telemetry.enabled": telemetry,
        "telemetry.metrics_enabled": exported,
    }

    assert engine_options(with_values(Config(), values))["metrics"] is measured


def test_a_change_reaches_the_engine(engine: FakeEngine) -> None:
    """The engine has the options before the configuration says so."""
    settings = settings_of(engine)

    settings.change(with_values(settings.config, {"server.timeout": 9}))

    assert settings.config.server.timeout == 9
    assert engine.options[-1]["timeout_seconds"] == 9


def test_what_the_engine_refuses_is_not_in_force(engine: FakeEngine) -> None:
    """All or nothing."""
    settings = settings_of(engine)
    engine.refuses = True

    with pytest.raises(ParameterError):
        settings.change(with_values(settings.config, {"server.timeout": 9}))

    assert settings.config.server.timeout == 0


def test_reload(engine: FakeEngine, tmp_path: Path) -> None:
    """A reload takes what a running server can change, and names the rest."""
    file = tmp_path / "f.toml"
    file.write_text("", encoding="utf-8")
    settings = settings_of(engine, file)
    file.write_text("[server]\ntimeout = 9\nport = 7\n", encoding="utf-8")

    changed, need_restart = settings.reload()

    assert (list(changed), list(need_restart)) == (["server.timeout"], ["server.port"])
    assert (settings.config.server.timeout, settings.config.server.port) == (9, 6379)
    file.write_text("[server]\ntimeout = x\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        settings.reload()
    assert settings.config.server.timeout == 9


TLS = {"tls.port": 7, "tls.cert_file": "c", "tls.key_file": "k", "tls.client_auth": "no"}


class FakeCertificates:
    """Reads the files with one of these names, and remembers what was put in force."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.in_force: list[str] = []

    def prepare(self, config: TlsConfig) -> Callable[[], None]:
        """Read the certificate."""
        if config.cert_file not in self.names:
            raise StartupError(f"tls.cert_file: cannot read {config.cert_file}")
        return lambda: self.in_force.append(config.cert_file)


def test_tls_files_are_renewed_or_nothing_changes(engine: FakeEngine) -> None:
    """They are read when their names change or it is asked for, and count when all else does."""
    settings = Settings(with_values(Config(), TLS), None, Sources(None, {}, {}), engine)
    certificates = FakeCertificates("c", "d")
    settings.renew_tls_with(certificates.prepare)

    settings.change(with_values(settings.config, {"server.timeout": 9}))
    settings.change(with_values(settings.config, {"tls.cert_file": "d"}))
    settings.change(settings.config, renew_tls=True)
    for name, message in (("e", "tls.cert_file: cannot read e"), ("", "needs tls.cert_file")):
        with pytest.raises(ConfigError, match=message):
            settings.change(with_values(settings.config, {"tls.cert_file": name}))
    engine.refuses = True
    with pytest.raises(ParameterError):
        settings.change(with_values(settings.config, {"tls.cert_file": "c"}))

    assert certificates.in_force == ["d", "d"]
    assert settings.config.tls.cert_file == "d"


def test_a_reload_that_ends_tls_waits_for_the_restart(engine: FakeEngine, tmp_path: Path) -> None:
    """A file without [tls] does not take the certificates from the port that is still open."""
    file = tmp_path / "f.toml"
    file.write_text("server.timeout = 9\n", encoding="utf-8")
    settings = Settings(with_values(Config(), TLS), file, Sources(file, {}, {}), engine)
    certificates = FakeCertificates("c")
    settings.renew_tls_with(certificates.prepare)

    changed, need_restart = settings.reload()

    assert changed == {"server.timeout"}
    assert need_restart == TLS.keys()
    assert (settings.config.tls.cert_file, certificates.in_force) == ("c", ["c"])


def test_rewrite_writes_only_what_changed(engine: FakeEngine, tmp_path: Path) -> None:
    """Settings that nobody changed in the running server stay out of the file."""
    file = tmp_path / "f.toml"
    file.write_text("[server]\nhz = 20\n", encoding="utf-8")
    settings = settings_of(engine, file)
    settings.change(with_values(settings.config, {"server.timeout": 9}))

    settings.rewrite(file)

    assert file.read_text(encoding="utf-8") == '[server]\nhz = 20\ntimeout = "9s"\n'


class FakeLimits:
    """Limits of open files; the hard one can be raised only when that is allowed."""

    def __init__(self, soft: int, hard: int, *, may_raise: bool) -> None:
        self.limits = soft, hard
        self._may_raise = may_raise

    def get(self, _kind: int) -> tuple[int, int]:
        """The soft and the hard limit."""
        return self.limits

    def set(self, _kind: int, limits: tuple[int, int]) -> None:
        """Change both, as setrlimit does."""
        if limits[1] > self.limits[1] and not self._may_raise:
            raise ValueError("not allowed")
        self.limits = limits


@pytest.mark.parametrize(
    ("soft", "hard", "may_raise", "possible", "soft_after"),
    [
        (20_000, 20_000, False, 10_000, 20_000),
        (1024, 20_000, False, 10_000, 10_032),
        (1024, 4096, True, 10_000, 10_032),
        (1024, 4096, False, 4064, 4096),
        (20, 20, False, 1, 20),
    ],
)
def test_file_limit(
    monkeypatch: pytest.MonkeyPatch,
    soft: int,
    hard: int,
    may_raise: bool,
    possible: int,
    soft_after: int,
) -> None:
    """The limit is raised as far as needed and allowed; the rest of the clients does not fit."""
    limits = FakeLimits(soft, hard, may_raise=may_raise)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)

    assert possible == file_limit.raise_file_limit(10_000)
    assert limits.limits[0] == soft_after
    fitted, wanted = fit_connections(Config())
    assert fitted.server.max_connections == possible
    assert wanted == (0 if possible == 10_000 else 10_000)


@pytest.mark.parametrize(
    ("hard", "possible", "files"),
    [(1_000_000, 10_000, 989_968), (20_000, 10_000, 9_968), (4096, 3040, 1024), (100, 18, 50)],
)
def test_clients_and_segment_files_share_the_limit(
    monkeypatch: pytest.MonkeyPatch, hard: int, possible: int, files: int
) -> None:
    """With a data folder there is room for segment files, which leave that of the clients free."""
    limits = FakeLimits(64, hard, may_raise=False)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    config = with_values(Config(), {"storage.data_dir": "/nowhere"})

    fitted, _ = fit_connections(config)

    assert fitted.server.max_connections == possible
    assert engine_options(fitted)["files_max"] == files
    assert engine_options(Config())["files_max"] == 0


def test_more_connections_than_files(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """CONFIG SET maxclients says how many would fit; fewer than now are always taken."""
    settings = settings_of(engine)
    limits = FakeLimits(1024, 4096, may_raise=False)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)

    with pytest.raises(ParameterError, match="try with 4064"):
        settings.change(with_values(settings.config, {"server.max_connections": 20_000}))
    settings.change(with_values(settings.config, {"server.max_connections": 4000}))

    assert settings.config.server.max_connections == 4000
