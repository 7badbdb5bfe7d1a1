"""The kinds of value that a setting can have, and their three notations.

A kind reads a value from TOML, the environment or a flag (`parse`), reads and writes it as Redis's
CONFIG SET and GET do (`redis_parse`, `redis_format`), and writes it as TOML (`toml_format`).
Everything here is a pure function of its arguments. `toml_format` and then `parse` gives the value
back, as does `redis_format` and then `redis_parse`.
"""

# The methods are documented once, in Kind, and only some kinds look at the layer below:
# ruff: noqa: ARG002, D102

import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Generic, TypeVar

T = TypeVar("T")

INT32_MAX = 2**31 - 1
UINT32_MAX = 2**32 - 1
INT64_MAX = 2**63 - 1
UINT64_MAX = 2**64 - 1
LIST_ITEMS_MAX = 16

INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_SIZE = re.compile(r"([0-9]{1,20})([a-z]*)")
_WRITTEN_SIZE = re.compile(r"([0-9]{1,40}(?:\.[0-9]{1,20})?) ?([a-z]*)", re.ASCII)
_DURATION = re.compile(r"(-?[0-9]{1,19})([a-z]*)")
_SIZE_UNITS = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1 << 10,
    "m": 1000**2,
    "mb": 1 << 20,
    "g": 1000**3,
    "gb": 1 << 30,
}
_WRITTEN_UNITS = _SIZE_UNITS | {
    "t": 1000**4,
    "tb": 1 << 40,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_UNITS_TEXT = "kb, mb, gb, tb, or in thousands k, m, g, t"
_DURATION_UNITS_US = {
    "us": 1,
    "ms": 1000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_DURATION_NAMES = {"us": "microseconds", "ms": "milliseconds", "s": "seconds", "m": "minutes"}
_REDISINTEGER = "argument couldn't be parsed into an integer"
_REDIS_MEMORY = "argument must be a memory value"


class BadValueError(ValueError):
    """A value that its setting cannot take.

    `expected` completes the sentence "expected ..."; `redis` is what Redis says of it in the reply
    to CONFIG SET.
    """

    def __init__(self, expected: str, redis: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.redis = redis


class Kind(ABC, Generic[T]):
    """One kind of value; the instances carry its bounds."""

    __slots__ = ()

    takes_list: ClassVar[bool] = False
    """Whether the file may give a list; a variable or a flag may, then, as the file writes it."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What the documentation calls it, with its unit and bounds."""

    @abstractmethod
    def parse(self, value: object, base: T) -> T:
        """Read a TOML value or the text of an environment variable or flag.

        `base` is the value of the layer below, for kinds of which only a part may be given.
        Raises BadValueError.
        """

    def redis_parse(self, text: str, base: T) -> T:
        """Read the argument of CONFIG SET. Raises BadValueError."""
        return self.parse(text, base)

    @abstractmethod
    def redis_format(self, value: T) -> str:
        """Write the value as CONFIG GET shows it."""

    @abstractmethod
    def toml_format(self, value: T) -> str:
        """Write the value as it stands to the right of the equals sign, on one line."""


def toml_string(text: str) -> str:
    """Write a TOML basic string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _redis_range(low: int, high: int) -> str:
    return f"argument must be between {low} and {high} inclusive"


@dataclass(frozen=True, slots=True)
class Integer(Kind[int]):
    """A whole number from `low` to `high`, both included.

    With `redis_clamps`, CONFIG SET takes what is outside of them for the nearest, as Redis does.
    `zero_word` is another name of 0, which is then allowed below `low`.
    """

    low: int
    high: int
    redis_clamps: bool = False
    zero_word: str = ""

    @property
    def label(self) -> str:
        word = f', or "{self.zero_word}"' if self.zero_word else ""
        return f"integer from {self.low} to {self.high}{word}"

    def parse(self, value: object, base: int) -> int:
        expected = f"an {self.label}"
        if self.zero_word and str(value) in (self.zero_word, "0"):
            return 0
        if isinstance(value, str) and INTEGER.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValueError(expected, _REDISINTEGER)
        if not self.low <= value <= self.high:
            raise BadValueError(expected, _redis_range(self.low, self.high))
        return value

    def redis_parse(self, text: str, base: int) -> int:
        if not self.redis_clamps:
            return self.parse(text, base)
        return min(max(Integer(0, INT32_MAX).parse(text, base), self.low), self.high)

    def redis_format(self, value: int) -> str:
        return str(value)

    def toml_format(self, value: int) -> str:
        return toml_string(self.zero_word) if value == 0 and self.zero_word else str(value)


@dataclass(frozen=True, slots=True)
class FileMode(Kind[int]):
    """Permission bits, written in octal. 0 leaves them to the process's umask.

    A TOML integer is refused, because `600` there is the decimal number and means other bits.
    """

    @property
    def label(self) -> str:
        return "octal text"

    def parse(self, value: object, base: int) -> int:
        if value == 0 and isinstance(value, int) and not isinstance(value, bool):
            return 0
        if not isinstance(value, str) or not re.fullmatch(r"(?:0o)?[0-7]{1,4}", value):
            raise BadValueError('permission bits as octal text, such as "700"', _REDISINTEGER)
        mode = int(value, 8)
        if mode > 0o777:
            raise BadValueError('permission bits from "0" to "777"', _redis_range(0, 0o777))
        return mode

    def redis_format(self, value: int) -> str:
        return f"{value:o}"

    def toml_format(self, value: int) -> str:
        return toml_string(f"{value:o}")


def size_of(text: str) -> int | None:
    """The bytes that a text such as `64mb` stands for, as Redis counts them; None if it is none.

    The number has 64 bits, as in Redis.
    """
    match = _SIZE.fullmatch(text.lower())
    if match is None or match[2] not in _SIZE_UNITS or int(match[1]) > UINT64_MAX:
        return None
    return int(match[1]) * _SIZE_UNITS[match[2]]


def written_size(text: str) -> int | None:
    """The bytes that people mean by `1.5 GiB` as well; None if it is no size.

    Parts of a byte are left off; but a fraction without a unit is a mistake, and one that would
    come out as 0 must not become "no limit".
    """
    match = _WRITTEN_SIZE.fullmatch(text.strip().lower())
    if match is None or match[2] not in _WRITTEN_UNITS:
        return None
    number, unit = Fraction(match[1]), _WRITTEN_UNITS[match[2]]
    size = int(number * unit)
    is_too_fine = (unit == 1 and "." in match[1]) or (number != 0 and size == 0)
    return None if is_too_fine else size


def size_text(size: int) -> str:
    """Write bytes in the largest unit that is exact, quoted for TOML where it has one."""
    for unit in ("gb", "mb", "kb"):
        if size and size % _SIZE_UNITS[unit] == 0:
            return f"{size // _SIZE_UNITS[unit]}{unit}"
    return str(size)


@dataclass(frozen=True, slots=True)
class Size(Kind[int]):
    """Bytes, from `low` to `high`.

    `zero_word` is another name of 0, which is then allowed below `low`. `power_of_two` refuses
    all other sizes.
    """

    low: int = 0
    high: int = INT64_MAX
    zero_word: str = ""
    power_of_two: bool = False

    @property
    def label(self) -> str:
        bounds = f" from {size_text(self.low)}" if self.low else ""
        bounds += f" to {size_text(self.high)}" if self.high != INT64_MAX else ""
        power = ", a power of two" if self.power_of_two else ""
        word = f', or "{self.zero_word}"' if self.zero_word else ""
        return f"size{bounds}{power}{word}"

    def parse(self, value: object, base: int) -> int:
        return self._bounded(written_size(value) if isinstance(value, str) else value, value)

    def _bounded(self, size: object, value: object) -> int:
        if self.zero_word and str(value) in (self.zero_word, "0"):
            return 0
        expected = f'a {self.label}: bytes, or text with a unit ({_UNITS_TEXT}) such as "64mb"'
        if isinstance(size, bool) or not isinstance(size, int):
            raise BadValueError(expected, _REDIS_MEMORY)
        redis = _redis_range(self.low, self.high)
        if size > self.high:
            unit = " bytes" if self.high == INT64_MAX else ""
            most = f"{size_text(self.high)}{unit}"
            raise BadValueError(f"at most {most}; this is too large", redis)
        if size < self.low:
            raise BadValueError(expected, redis)
        if self.power_of_two and size.bit_count() != 1:
            raise BadValueError(expected, "argument must be a power of two")
        return size

    def redis_parse(self, text: str, base: int) -> int:
        # Redis takes an empty text for zero, and knows neither fractions nor tb.
        return self._bounded(size_of(text or "0"), text)

    def redis_format(self, value: int) -> str:
        return str(value)

    def toml_format(self, value: int) -> str:
        if value == 0 and self.zero_word:
            return toml_string(self.zero_word)
        text = size_text(value)
        return text if text.isdigit() else toml_string(text)


@dataclass(frozen=True, slots=True)
class Duration(Kind[int]):
    """A time, held as a whole number of `unit` ("us", "ms", "s" or "m"), from `low` to `high`.

    A plain number is in the same unit, which is the one that Redis uses for the parameter.
    """

    unit: str
    low: int = 0
    high: int = INT32_MAX

    @property
    def label(self) -> str:
        return f"duration in {_DURATION_NAMES[self.unit]}"

    def parse(self, value: object, base: int) -> int:
        name = _DURATION_NAMES[self.unit]
        expected = (
            f"a whole number of {name} from {self.low} to {self.high}, "
            f'or text with a unit (us, ms, s, m, h, d) such as "5{self.unit}"'
        )
        amount = self._amount(value) if isinstance(value, str) else value
        if isinstance(amount, bool) or not isinstance(amount, int):
            raise BadValueError(expected, _REDISINTEGER)
        if not self.low <= amount <= self.high:
            raise BadValueError(expected, _redis_range(self.low, self.high))
        return amount

    def _amount(self, text: str) -> int | None:
        match = _DURATION.fullmatch(text.lower())
        if match is None or (match[2] or self.unit) not in _DURATION_UNITS_US:
            return None
        time_us = int(match[1]) * _DURATION_UNITS_US[match[2] or self.unit]
        amount, rest_us = divmod(time_us, _DURATION_UNITS_US[self.unit])
        return amount if rest_us == 0 else None

    def redis_parse(self, text: str, base: int) -> int:
        return Integer(self.low, self.high).parse(text, base)

    def redis_format(self, value: int) -> str:
        return str(value)

    def toml_format(self, value: int) -> str:
        return toml_string(f"{value}{self.unit}") if value > 0 else str(value)


@dataclass(frozen=True, slots=True)
class Boolean(Kind[bool]):
    """True or false; text may also say yes or no, and Redis knows only those two."""

    @property
    def label(self) -> str:
        return "true or false"

    def parse(self, value: object, base: bool) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "yes"):
            return True
        if isinstance(value, str) and value.lower() in ("false", "no"):
            return False
        raise BadValueError("true or false", "argument must be 'yes' or 'no'")

    def redis_parse(self, text: str, base: bool) -> bool:
        if text.lower() not in ("yes", "no"):
            raise BadValueError("yes or no", "argument must be 'yes' or 'no'")
        return text.lower() == "yes"

    def redis_format(self, value: bool) -> str:
        return "yes" if value else "no"

    def toml_format(self, value: bool) -> str:
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Choice(Kind[str]):
    """One of `names`.

    `redis_names` gives, as pairs, each name that CONFIG SET accepts and the choice that it stands
    for; the first pair of a choice is what CONFIG GET shows. Without it Redis's names are our own.
    `aliases` are pairs of other names and choices, for what is not CONFIG SET.
    """

    names: tuple[str, ...]
    redis_names: tuple[tuple[str, str], ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        return "one of " + ", ".join(self.names)

    def parse(self, value: object, base: str) -> str:
        if isinstance(value, str):
            name = dict(self.aliases).get(value.lower(), value.lower())
            if name in self.names:
                return name
        raise BadValueError(self.label, self._redis_error())

    def redis_parse(self, text: str, base: str) -> str:
        if not self.redis_names:
            return self.parse(text, base)
        choice = dict(self.redis_names).get(text.lower())
        if choice is None:
            raise BadValueError(self.label, self._redis_error())
        return choice

    def redis_format(self, value: str) -> str:
        return next((redis for redis, name in self.redis_names if name == value), value)

    def toml_format(self, value: str) -> str:
        return toml_string(value)

    def _redis_error(self) -> str:
        names = [redis for redis, _ in self.redis_names] or self.names
        return "argument(s) must be one of the following: " + ", ".join(names)


@dataclass(frozen=True, slots=True)
class Text(Kind[str]):
    """Any text that is valid UTF-8 and holds no NUL."""

    @property
    def label(self) -> str:
        return "text"

    def parse(self, value: object, base: str) -> str:
        if not isinstance(value, str) or not _is_plain(value):
            raise BadValueError("text in UTF-8 without NUL", "argument must be text in UTF-8")
        return value

    def redis_format(self, value: str) -> str:
        return value

    def toml_format(self, value: str) -> str:
        return toml_string(value)


def _is_plain(text: str) -> bool:
    """Whether the text has no NUL and no byte that was not UTF-8 (the system keeps surrogates)."""
    return not re.search("[\0\ud800-\udfff]", text)


@dataclass(frozen=True, slots=True)
class Words(Kind[tuple[str, ...]]):
    """A list of texts without blanks; outside TOML separated by blanks or commas."""

    takes_list: ClassVar[bool] = True

    bytes_max: int = 0
    """Of all with a comma between them; 0 is no limit."""

    @property
    def label(self) -> str:
        length = f" of {self.bytes_max} bytes together" if self.bytes_max else ""
        return f"list of up to {LIST_ITEMS_MAX} words{length}"

    def parse(self, value: object, base: tuple[str, ...]) -> tuple[str, ...]:
        items = re.split(r"[\s,]+", value.strip(" ,")) if isinstance(value, str) else value
        items = [] if items == [""] else items
        if not isinstance(items, list) or len(items) > LIST_ITEMS_MAX:
            raise BadValueError(
                f"a {self.label}", f"argument must have at most {LIST_ITEMS_MAX} words"
            )
        if not all(isinstance(item, str) and re.fullmatch(r"[^\s,]+", item) for item in items):
            raise BadValueError(
                "a list of words without blanks or commas", "argument must be words"
            )
        if not all(_is_plain(item) for item in items):
            raise BadValueError("words in UTF-8 without NUL", "argument must be text in UTF-8")
        if self.bytes_max and len(",".join(items).encode()) > self.bytes_max:
            message = f"argument must have at most {self.bytes_max} bytes"
            raise BadValueError(f"a {self.label}", message)
        return tuple(items)

    def redis_format(self, value: tuple[str, ...]) -> str:
        return " ".join(value)

    def toml_format(self, value: tuple[str, ...]) -> str:
        return "[" + ", ".join(toml_string(item) for item in value) + "]"
