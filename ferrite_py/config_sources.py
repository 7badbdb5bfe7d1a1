"""Settings by name, and reading their values from a file, the environment and flags.

This module knows what a setting is and how the layers lie over each other, but not which settings
there are: `config.py` declares those and passes them in.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli

from ferrite_py.config_kinds import BadValueError, Kind
from ferrite_py.config_tables import UnsetVariableError, expand, flat
from ferrite_py.config_toml import line_of
from ferrite_py.errors import ConfigError

ENVIRONMENT_PREFIX = "FERRITE_"
BYTE_ORDER_MARK = "\ufeff"
"""What some editors begin a file with."""

_COMMAND_LINE = "command line"
_FILE, _ENVIRONMENT, _FLAGS = range(3)
_SHOWN_CHARS_MAX = 100


@dataclass(frozen=True, slots=True)
class Setting:
    """All that is known about one key; made from its field in `config.py`."""

    section: str
    key: str
    kind: Kind[Any]
    default: Any
    meaning: str
    redis: str = ""
    """Its parameter in CONFIG GET and SET; empty for none."""
    runtime: bool = False
    """Whether CONFIG SET and a reload can change it in a running server."""
    secret: bool = False
    """Whether its value is kept out of messages and of `config show`."""
    flag: str = ""
    """A flag of its own, such as `--port`; every setting can be set with `--set`."""
    otel: str = ""
    """OpenTelemetry's variable that sets it as well; empty for none."""
    otel_read: Callable[[str], str | None] = str
    """What that variable's text is as ours; None when it says nothing of this setting."""
    otel_counts: Callable[[Mapping[str, str]], bool] | None = None
    """Whether that variable says anything beside the others; None where it always does."""
    hide: Callable[[str], str] | None = None
    """The value without what is secret in it; None where nothing can be."""

    @property
    def name(self) -> str:
        """The dotted name, `section.key`."""
        return f"{self.section}.{self.key}"

    @property
    def environment(self) -> str:
        """The environment variable that sets it."""
        return f"{ENVIRONMENT_PREFIX}{self.section}_{self.key}".upper()


@dataclass(frozen=True, slots=True)
class Assignment:
    """A value as it was written, and where."""

    setting: Setting
    value: object
    origin: str
    order: tuple[int, int]
    """See `ConfigError`."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where the items of a table stand, by name."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The known settings, for looking them up and for naming the nearest one."""

    settings: tuple[Setting, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names of sections."""

    @property
    def sections(self) -> list[str]:
        """The names of the sections, in order."""
        return list(dict.fromkeys(setting.section for setting in self.settings))

    def find(self, name: str) -> Setting | None:
        """The setting of a dotted name, whose section may have its other name."""
        section, dot, key = name.partition(".")
        name = f"{self.aliases.get(section, section)}{dot}{key}"
        return next((setting for setting in self.settings if setting.name == name), None)

    def unknown_key(self, section: str, key: str) -> str:
        """The sentence that says that `[section] key` does not exist, and what may be meant."""
        if section not in self.sections:
            known = ", ".join(f"[{name}]" for name in self.sections)
            near = difflib.get_close_matches(section.lower(), self.sections, 1)
            return f"unknown section [{section}] (there are {known}){_suggestion(near)}"
        keys = [setting.key for setting in self.settings if setting.section == section]
        near = (
            self._near_elsewhere(key, cutoff=1.0)
            or difflib.get_close_matches(key.lower(), keys, 1)
            or self._near_elsewhere(key, cutoff=0.7)
        )
        return f'unknown key "{key}" in [{section}]{_suggestion(near)}'

    def stray_key(self, key: str) -> str:
        """The sentence for a key that stands outside all sections."""
        near = self._near_elsewhere(key, cutoff=0.7)
        return f'unknown key "{key}" outside of a section{_suggestion(near)}'

    def _near_elsewhere(self, key: str, cutoff: float) -> list[str]:
        """The first setting, of any section, whose key or name in Redis is like this one."""
        names: dict[str, str] = {}
        for setting in self.settings:
            names.setdefault(setting.key, setting.name)
            names.setdefault(setting.redis.replace("-", "_"), setting.name)
        word = key.lower().replace("-", "_")
        near = difflib.get_close_matches(word, names, 1, cutoff)
        return [names[found] for found in near]


def _suggestion(near: Sequence[str]) -> str:
    return f'; did you mean "{near[0]}"?' if near else '; see "ferrite-py config example"'


def read_file(path: Path, catalogue: Catalogue, errors: list[ConfigError]) -> list[Assignment]:
    """Read a TOML file; what is wrong in it goes to `errors`, with the line.

    Raises ConfigError for a file that cannot be read at all.
    """
    try:
        text = path.read_bytes().decode("utf-8").removeprefix(BYTE_ORDER_MARK)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: the file is not valid UTF-8") from error
    return assignments_of(text, str(path), catalogue, errors)


def assignments_of(
    text: str, name: str, catalogue: Catalogue, errors: list[ConfigError]
) -> list[Assignment]:
    """The settings that a TOML text gives, in its order; what names none goes to `errors`.

    `name` is the file's, for messages. Raises ConfigError for a text that is not TOML.
    """
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(f"{name}{_syntax_error(text, str(error))}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: {error}") from error
    found: list[Assignment] = []
    for section, table in document.items():
        origin, order = _place(text, name, section)
        if not isinstance(table, dict):
            is_section = catalogue.aliases.get(section, section) in catalogue.sections
            message = f"[{section}] must be a table" if is_section else catalogue.stray_key(section)
            errors.append(ConfigError(f"{origin}: {message}", order))
            continue
        known = catalogue.aliases.get(section, section)
        if known not in catalogue.sections:
            message = catalogue.unknown_key(section, "")
            errors.append(ConfigError(f"{origin}: {message}", order))
            continue
        for key, value in table.items():
            origin, order = _place(text, name, section, key)
            setting = catalogue.find(f"{section}.{key}")
            if setting is None:
                message = catalogue.unknown_key(known, key)
                errors.append(ConfigError(f"{origin}: {message}", order))
            elif any(one.setting is setting for one in found):
                message = f'"{key}" is given twice; [{section}] is another name of [{known}]'
                errors.append(ConfigError(f"{origin}: {message}", order))
            else:
                places = _places(text, name, section, key, value)
                found.append(Assignment(setting, value, origin, order, places))
    return found


def _places(text: str, name: str, section: str, key: str, value: object) -> dict[str, str]:
    """Where each item of a table stands."""
    if not isinstance(value, Mapping):
        return {}
    return {item: _place(text, name, section, key, item)[0] for item in value}


def _place(text: str, name: str, *path: str) -> tuple[str, tuple[int, int]]:
    """Where a key stands in the file, as text and for the order of errors."""
    line = line_of(text, path)
    return f"{name}:{line}", (_FILE, line)


def _syntax_error(text: str, message: str) -> str:
    """Turn tomli's message, whose place is at its end, into `:line:column: message`."""
    match = re.fullmatch(r"(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)", message)
    if match is None:
        return f": {message}"
    lines = text.split("\n")
    line, column = match[2] or len(lines), match[3] or len(lines[-1]) + 1
    return f":{line}:{column}: {match[1]}"


def read_environment(
    environ: Mapping[str, str], catalogue: Catalogue, errors: list[ConfigError]
) -> list[Assignment]:
    """Read the `FERRITE_<SECTION>_<KEY>` variables; unknown ones go to `errors`.

    A variable whose section is unknown is only refused if it is nearly one of ours. Others may
    belong to somebody else, and are warned of (`foreign_variables`): Kubernetes sets FERRITE_PORT
    next to a service of the name `ferrite`.
    """
    names = {setting.environment: setting for setting in catalogue.settings}
    found = _read_otel(environ, catalogue)
    for variable in sorted(environ):
        setting = names.get(variable)
        if setting is not None:
            found.append(Assignment(setting, environ[variable], variable, (_ENVIRONMENT, 0)))
        elif variable.startswith(ENVIRONMENT_PREFIX):
            message = _misspelt(variable, names, catalogue)
            if message is not None:
                errors.append(ConfigError(f"{variable}: {message}", (_ENVIRONMENT, 0)))
    return found


def _read_otel(environ: Mapping[str, str], catalogue: Catalogue) -> list[Assignment]:
    """Read OpenTelemetry's own variables; ours go over them. An empty one counts as unset."""
    found: list[Assignment] = []
    for setting in catalogue.settings:
        counts = setting.otel_counts is None or setting.otel_counts(environ)
        text = environ.get(setting.otel, "") if setting.otel and counts else ""
        value = setting.otel_read(text) if text else None
        if value is not None:
            found.append(Assignment(setting, value, setting.otel, (_ENVIRONMENT, 0)))
    return found


def expand_tables(
    assignments: Sequence[Assignment], environ: Mapping[str, str], errors: list[ConfigError]
) -> list[Assignment]:
    """Replace `${NAME}` in the tables of a file; variables that are not set go to `errors`."""
    return [
        _expanded(one, one.value, environ, errors) if isinstance(one.value, Mapping) else one
        for one in assignments
    ]


def _expanded(
    assignment: Assignment,
    table: Mapping[str, object],
    environ: Mapping[str, str],
    errors: list[ConfigError],
) -> Assignment:
    values = dict(flat(table))
    for name, value in values.items():
        try:
            values[name] = expand(value, environ) if isinstance(value, str) else value
        except UnsetVariableError as error:
            first = name if name in assignment.places else name.partition(".")[0]
            place = assignment.places.get(first, assignment.origin)
            message = f"{assignment.setting.name}: {name} needs the variable {error.variable}"
            errors.append(ConfigError(f"{place}: {message}, which is not set", assignment.order))
    return replace(assignment, value=values)


def foreign_variables(environ: Mapping[str, str], catalogue: Catalogue) -> list[str]:
    """The variables with our prefix that are no setting and that nobody refuses."""
    names = {setting.environment: setting for setting in catalogue.settings}
    return [
        variable
        for variable in sorted(environ)
        if variable.startswith(ENVIRONMENT_PREFIX)
        and variable not in names
        and _misspelt(variable, names, catalogue) is None
    ]


def _misspelt(variable: str, names: Mapping[str, Setting], catalogue: Catalogue) -> str | None:
    """What is wrong with a variable that no setting has; None when it is somebody else's."""
    for section in catalogue.sections:
        prefix = f"{ENVIRONMENT_PREFIX}{section}_".upper()
        if variable.startswith(prefix):
            key = variable.removeprefix(prefix).lower()
            return catalogue.unknown_key(section, key)
    near = difflib.get_close_matches(variable, names, 1, cutoff=0.9)
    return f"unknown setting{_suggestion(near)}" if near else None


def read_flags(
    flags: Mapping[str, str], catalogue: Catalogue, errors: list[ConfigError]
) -> list[Assignment]:
    """Read the values given by flags, by dotted name; unknown ones go to `errors`."""
    found: list[Assignment] = []
    for name, value in flags.items():
        setting = catalogue.find(name)
        if setting is None:
            section, dot, key = name.partition(".")
            message = catalogue.unknown_key(section, key) if dot else catalogue.stray_key(name)
            errors.append(ConfigError(f"{_COMMAND_LINE}: {message}", (_FLAGS, 0)))
        else:
            found.append(Assignment(setting, value, _COMMAND_LINE, (_FLAGS, 0)))
    return found


def parse_assignment(assignment: Assignment, base: object) -> object:
    """The value that an assignment gives over `base`. Raises ConfigError, naming the place."""
    setting, value = assignment.setting, assignment.value
    if isinstance(value, str) and setting.kind.takes_list and assignment.order[0] != _FILE:
        value = _list_of(value)
    try:
        return setting.kind.parse(value, base)
    except BadValueError as error:
        # What is wrong with a text may be just what its `hide` does not expect.
        is_hidden = setting.secret or setting.hide is not None
        shown = "(not shown)" if is_hidden else _shown(assignment.value)
        message = f"{setting.name} = {shown}: expected {error.expected}"
        raise ConfigError(f"{assignment.origin}: {message}", assignment.order) from error


def _list_of(text: str) -> object:
    """The list that a text is in TOML, or the text: an address may begin with a bracket too."""
    if not text.lstrip().startswith("["):
        return text
    try:
        return tomli.loads(f"value = {text}")["value"]
    except (tomli.TOMLDecodeError, RecursionError):
        return text


def _shown(value: object) -> str:
    """The value in one short line, for a message."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 3] + "..."
