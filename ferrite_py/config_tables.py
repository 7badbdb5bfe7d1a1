"""The kinds of value that telemetry needs: tables of texts, fractions, seconds, a character."""

# The methods are documented once, in Kind, and only some kinds look at the layer below:
# ruff: noqa: ARG002, D102

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from ferrite_py.config_kinds import BadValueError, Kind, toml_string

Pairs = tuple[tuple[str, str], ...]

TABLE_ITEMS_MAX = 64
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME = re.compile(r"[!#$&'*+.^_`|~0-9A-Za-z/:@-]+")
_VALUE = re.compile(r"[^\0-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
# What stands for itself when a table is written as one text; a comma and % must not.
_PLAIN = " !#$&'()*+-./:;<=>?@[]^_`{|}~"
_FRACTION = re.compile(r"[0-9]{0,9}(?:\.[0-9]{0,18})?(?<=[0-9.])(?:[eE]-[0-9]{1,2})?")
_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}


class UnsetVariableError(ValueError):
    """A text names a variable that the environment does not have; `variable` is its name."""

    def __init__(self, variable: str) -> None:
        super().__init__(f"{variable} is not set")
        self.variable = variable


def expand(text: str, environ: Mapping[str, str]) -> str:
    """The text with `${NAME}` replaced by the variable's value. Raises UnsetVariableError."""

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise UnsetVariableError(match[1])
        return environ[match[1]]

    return _VARIABLE.sub(value_of, text)


def has_variable(text: str) -> bool:
    """Whether there is something in the text that `expand` replaces."""
    return _VARIABLE.search(text) is not None


def flat(table: Mapping[str, object], path: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    """The items of a TOML table, those of tables inside it under dotted names."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, (*path, key))
        else:
            yield ".".join((*path, key)), value


@dataclass(frozen=True, slots=True)
class Table(Kind[Pairs]):
    """Texts by name; a later layer adds to an earlier one, and replaces what has the same name.

    Outside TOML `name=value,name=value` with percent-encoded values, as OpenTelemetry's variables
    are written. `lower` makes names lower-case, as gRPC demands of headers.
    """

    lower: bool = False

    @property
    def label(self) -> str:
        return f"table of up to {TABLE_ITEMS_MAX} texts"

    def parse(self, value: object, base: Pairs) -> Pairs:
        if isinstance(value, str):
            items: list[tuple[str, object]] = list(self._of_text(value))
        elif isinstance(value, Mapping):
            items = list(flat(value))
        else:
            raise self._bad()
        found = dict(base)
        for name, item in items:
            found[name.lower() if self.lower else name] = self._text(name, item)
        if len(found) > TABLE_ITEMS_MAX:
            raise self._bad()
        return tuple(found.items())

    def _of_text(self, text: str) -> Iterator[tuple[str, object]]:
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, equals, value = item.partition("=")
            if not equals:
                raise self._bad()
            yield unquote(name.strip()), unquote(value.strip())

    def _text(self, name: str, item: object) -> str:
        if isinstance(item, bool):
            item = str(item).lower()
        if isinstance(item, int | float):
            item = str(item)
        if not _NAME.fullmatch(name) or not isinstance(item, str) or not _VALUE.fullmatch(item):
            raise self._bad()
        return item

    def _bad(self) -> BadValueError:
        expected = f'a {self.label}, such as {{ name = "value" }}, or as text "name=value"'
        return BadValueError(expected, "argument must be name=value pairs")

    def redis_format(self, value: Pairs) -> str:
        return ",".join(f"{quote(name, _PLAIN)}={quote(text, _PLAIN)}" for name, text in value)

    def toml_format(self, value: Pairs) -> str:
        items = ", ".join(f"{toml_string(name)} = {toml_string(text)}" for name, text in value)
        return f"{{ {items} }}" if items else "{}"


def _plain(number: float) -> str:
    """The number in digits, without an exponent."""
    if number >= 1e-4:
        return repr(number).removesuffix(".0")
    return f"{number:.18f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Fraction(Kind[float]):
    """A number from 0 to 1."""

    @property
    def label(self) -> str:
        return "number from 0 to 1"

    def parse(self, value: object, base: float) -> float:
        if isinstance(value, str) and value != "." and _FRACTION.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadValueError(f"a {self.label}", "argument must be a number")
        if math.isnan(value) or not 0 <= value <= 1:
            raise BadValueError(f"a {self.label}", "argument must be between 0 and 1 inclusive")
        return float(value)

    def redis_format(self, value: float) -> str:
        return _plain(value)

    def toml_format(self, value: float) -> str:
        text = _plain(value)
        return text if "." in text else f"{text}.0"


@dataclass(frozen=True, slots=True)
class Seconds(Kind[float]):
    """A time in seconds, of at least a millisecond and at most a day, with a fraction."""

    @property
    def label(self) -> str:
        return "duration in seconds, from 1ms to 24h"

    def parse(self, value: object, base: float) -> float:
        expected = 'a number of seconds, or text with a unit (ms, s, m, h) such as "60s"'
        redis = "argument must be a number of seconds"
        if isinstance(value, str) and (match := _SECONDS.fullmatch(value)):
            value = float(match[1]) * _UNITS_S[match[2]]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadValueError(expected, redis)
        if not 0.001 <= value <= 86_400:
            raise BadValueError(f"{expected}, from 1ms to 24h", redis)
        return round(float(value), 9)

    def redis_format(self, value: float) -> str:
        return _plain(value)

    def toml_format(self, value: float) -> str:
        return toml_string(f"{_plain(value)}s")


@dataclass(frozen=True, slots=True)
class Character(Kind[str]):
    """One printable character of ASCII, no blank."""

    @property
    def label(self) -> str:
        return "one character"

    def parse(self, value: object, base: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[!-~]", value):
            raise BadValueError(
                "one printable character of ASCII", "argument must be one printable character"
            )
        return value

    def redis_format(self, value: str) -> str:
        return value

    def toml_format(self, value: str) -> str:
        return toml_string(value)
