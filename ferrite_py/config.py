"""The configuration as a whole, and loading it.

Precedence: the defaults, then the file, then OpenTelemetry's variables and over them
`FERRITE_<SECTION>_<KEY>`, then the flags. Values are checked here, once; what reads a `Config` can
rely on them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

from ferrite_py.collector import wrong_endpoints
from ferrite_py.config_insight import InsightConfig
from ferrite_py.config_limits import MemoryBound, OutputLimit, OutputLimits
from ferrite_py.config_otel import wrong_variables
from ferrite_py.config_sections import LoggingConfig, ServerConfig, StorageConfig, TlsConfig
from ferrite_py.config_sources import (
    Assignment,
    Catalogue,
    Setting,
    expand_tables,
    foreign_variables,
    parse_assignment,
    read_environment,
    read_file,
    read_flags,
)
from ferrite_py.config_telemetry import (
    MetricsConfig,
    TelemetryConfig,
    missing_endpoint,
    telemetry_conflict,
)
from ferrite_py.errors import ConfigError, ManyConfigError

__all__ = [
    "CATALOGUE",
    "Config",
    "InsightConfig",
    "Loaded",
    "LoggingConfig",
    "MemoryBound",
    "MetricsConfig",
    "OutputLimit",
    "OutputLimits",
    "ServerConfig",
    "Sources",
    "StorageConfig",
    "TelemetryConfig",
    "TlsConfig",
    "apply_runtime",
    "changed_names",
    "conflict",
    "load",
    "with_values",
]


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, one part for each section of the file."""

    server: ServerConfig = ServerConfig()  # noqa: RUF009 - it is frozen
    storage: StorageConfig = StorageConfig()  # noqa: RUF009 - it is frozen
    logging: LoggingConfig = LoggingConfig()  # noqa: RUF009 - it is frozen
    tls: TlsConfig = TlsConfig()  # noqa: RUF009 - it is frozen
    metrics: MetricsConfig = MetricsConfig()  # noqa: RUF009 - it is frozen
    telemetry: TelemetryConfig = TelemetryConfig()  # noqa: RUF009 - it is frozen
    insight: InsightConfig = InsightConfig()  # noqa: RUF009 - it is frozen

    def value(self, name: str) -> Any:
        """The value of a setting by its dotted name."""
        section, _, key = name.partition(".")
        return getattr(getattr(self, section), key)


def _settings() -> tuple[Setting, ...]:
    defaults = Config()
    sections = [(section.name, getattr(defaults, section.name)) for section in fields(Config)]
    return tuple(
        declared.metadata["setting"](section=section, key=declared.name)
        for section, values in sections
        for declared in fields(values)
    )


CATALOGUE = Catalogue(_settings(), {"otel": "telemetry"})
"""All settings, in the order of the fields."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and for each setting that is not at its default what set it."""

    config: Config
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a configuration comes from, so that a reload can read it again."""

    path: Path | None
    environ: Mapping[str, str]
    flags: Mapping[str, str]

    def load(self) -> Loaded:
        """Read all layers. Raises ConfigError, naming the place and the key of each mistake."""
        errors: list[ConfigError] = []
        assignments: list[Assignment] = []
        if self.path is not None:
            from_file = read_file(self.path, CATALOGUE, errors)
            assignments += expand_tables(from_file, self.environ, errors)
        assignments += read_environment(self.environ, CATALOGUE, errors)
        assignments += read_flags(self.flags, CATALOGUE, errors)
        loaded = combine(assignments, errors)
        if loaded.config.telemetry.enabled:
            signals = loaded.config.telemetry.signals
            lines = [
                *wrong_variables(self.environ, signals),
                *wrong_endpoints(loaded.config.telemetry, self.environ),
            ]
            wrong = [ConfigError(line) for line in lines]
            ManyConfigError.raise_any(wrong)
        missing = missing_endpoint(loaded.config.telemetry, self.environ)
        if missing is not None:
            raise _contradiction(loaded.origins, "telemetry.enabled", missing)
        return loaded

    def goes_over_otel(self, name: str) -> bool:
        """Whether a setting is given in a layer above OpenTelemetry's variables."""
        setting = CATALOGUE.find(name)
        given = any(CATALOGUE.find(flag) is setting for flag in self.flags)
        return given or (setting is not None and setting.environment in self.environ)

    def warnings(self) -> list[str]:
        """What is odd about the layers, though nothing in them is wrong: a line for each."""
        names = foreign_variables(self.environ, CATALOGUE)
        return [f"{name}: no setting has this name; it is passed over" for name in names]


def load(path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str]) -> Config:
    """Load the configuration; `flags` are texts by dotted name, such as `server.port`.

    Raises ConfigError, naming the place and the key.
    """
    return Sources(path, environ, flags).load().config


def combine(assignments: list[Assignment], errors: list[ConfigError]) -> Loaded:
    """Lay assignments over the defaults, later ones over earlier ones.

    Raises ConfigError for what is wrong in them together with the `errors` met before.
    """
    values = {known.name: known.default for known in CATALOGUE.settings}
    origins: dict[str, str] = {}
    for assignment in assignments:
        name = assignment.setting.name
        try:
            values[name] = parse_assignment(assignment, values[name])
        except ConfigError as error:
            errors.append(error)
        origins[name] = assignment.origin
    ManyConfigError.raise_any(errors)
    config = with_values(Config(), values)
    contradiction = conflict(config)
    if contradiction is not None:
        raise _contradiction(origins, *contradiction)
    return Loaded(config, origins)


def _contradiction(origins: Mapping[str, str], name: str, message: str) -> ConfigError:
    place = f"{origins[name]}: " if name in origins else ""
    return ConfigError(f"{place}{name}: {message}")


def conflict(config: Config) -> tuple[str, str] | None:
    """A setting that contradicts another, and what is wrong; None if all agree."""
    return (
        _nowhere_to_listen(config)
        or _port_conflict(config)
        or _tls_conflict(config.tls)
        or telemetry_conflict(config.telemetry)
    )


def _nowhere_to_listen(config: Config) -> tuple[str, str] | None:
    server = config.server
    is_tcp = bool(server.bind) and (server.port or config.tls.port)
    if is_tcp or server.unix_socket:
        return None
    message = "nothing to listen on; set server.port, tls.port or server.unix_socket"
    return "server.bind" if not server.bind else "server.port", message


def _port_conflict(config: Config) -> tuple[str, str] | None:
    """A port that two of this server's own listeners want at one address."""
    server, metrics = config.server, config.metrics
    wanted: dict[str, tuple[int, tuple[str, ...]]] = {
        "server.port": (server.port, server.bind),
        "tls.port": (config.tls.port, server.bind),
        "metrics.port": (metrics.port if metrics.enabled else 0, (metrics.bind,)),
    }
    for (first, (port, here)), (second, (other, there)) in combinations(wanted.items(), 2):
        if port and port == other and _may_meet(here, there):
            return second, f"{port} is {first} as well; choose another"
    return None


_EVERYWHERE = frozenset(("::", "::*"))  # the metrics' page takes IPv4 there as well
_EVERYWHERE_V4 = frozenset(("*", "0.0.0.0"))
_OTHER_NAMES = {"localhost": ("127.0.0.1", "::1")}


def _may_meet(here: Iterable[str], there: Iterable[str]) -> bool:
    """Whether an address is in both lists; one that may be missing (`-`) may as well be there."""
    ours, theirs = (
        {name for text in texts for name in _OTHER_NAMES.get(text.lstrip("-"), (text.lstrip("-"),))}
        for texts in (here, there)
    )
    return any(_is_within(*pair) or _is_within(*pair[::-1]) for pair in product(ours, theirs))


def _is_within(address: str, other: str) -> bool:
    """Whether who listens on `other` has `address` as well; a name may be of either family."""
    is_v4 = ":" not in address
    return address == other or other in _EVERYWHERE or (is_v4 and other in _EVERYWHERE_V4)


def _tls_conflict(tls: TlsConfig) -> tuple[str, str] | None:
    if tls.port == 0:
        return None
    if not tls.cert_file or not tls.key_file:
        missing = "tls.key_file" if tls.cert_file else "tls.cert_file"
        return "tls.port", f"TLS needs {missing} as well"
    if tls.client_auth != "no" and not tls.ca_file:
        message = f'"{tls.client_auth}" needs tls.ca_file, or set it to "no"'
        return "tls.client_auth", message
    return None


def with_values(config: Config, values: Mapping[str, object]) -> Config:
    """The configuration with other values, by dotted name; they must have been parsed."""
    parts: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        parts.setdefault(section, {})[key] = value
    changes: dict[str, Any] = {
        section: replace(getattr(config, section), **part) for section, part in parts.items()
    }
    return replace(config, **changes)


def changed_names(before: Config, after: Config) -> frozenset[str]:
    """The dotted names of the settings in which the two differ."""
    return frozenset(
        known.name
        for known in CATALOGUE.settings
        if before.value(known.name) != after.value(known.name)
    )


def apply_runtime(running: Config, loaded: Config) -> tuple[Config, frozenset[str]]:
    """What a reload gives: `running` with what a running server can take from `loaded`.

    The names beside it are the settings that differ and need a restart.
    """
    changed = changed_names(running, loaded)
    known = [known for known in CATALOGUE.settings if known.name in changed]
    values = {one.name: loaded.value(one.name) for one in known if one.runtime}
    return with_values(running, values), changed - values.keys()
