"""The kinds of value that are more than one number: memory bounds, output limits, percentiles."""

# The methods are documented once, in Kind, and only some kinds look at the layer below:
# ruff: noqa: ARG002, D102

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from ferrite_py.config_kinds import (
    INT32_MAX,
    INT64_MAX,
    INTEGER,
    BadValueError,
    Kind,
    Size,
    size_of,
    size_text,
    toml_string,
)


@dataclass(frozen=True, slots=True)
class MemoryBound:
    """A number of bytes, or a share of `storage.max_memory` in percent; 0 is no bound."""

    amount: int
    is_percent: bool = False

    def resolve(self, max_memory: int) -> int:
        """The bound in bytes, 0 for none, given the `max_memory` in force (0 for none)."""
        return max_memory * self.amount // 100 if self.is_percent else self.amount


@dataclass(frozen=True, slots=True)
class SizeOrPercent(Kind[MemoryBound]):
    """Bytes, or text such as `5%`."""

    @property
    def label(self) -> str:
        return "size or percentage"

    def parse(self, value: object, base: MemoryBound) -> MemoryBound:
        return self._percent(value) or MemoryBound(self._size(partial(Size().parse, value, 0)))

    def redis_parse(self, text: str, base: MemoryBound) -> MemoryBound:
        return self._percent(text) or MemoryBound(self._size(partial(Size().redis_parse, text, 0)))

    def _percent(self, value: object) -> MemoryBound | None:
        match = re.fullmatch(r"([0-9]{1,9})%", value) if isinstance(value, str) else None
        if match is None:
            return None
        if int(match[1]) > 100:
            redis = "percentage argument must be less or equal to 100"
            raise BadValueError('a percentage of at most "100%"', redis)
        return MemoryBound(int(match[1]), is_percent=True)

    def _size(self, parse: Callable[[], int]) -> int:
        try:
            return parse()
        except BadValueError as error:
            expected = f'{error.expected}, or a percentage such as "5%"'
            raise BadValueError(expected, "argument must be a memory or percent value") from error

    def redis_format(self, value: MemoryBound) -> str:
        return f"{value.amount}%" if value.is_percent else str(value.amount)

    def toml_format(self, value: MemoryBound) -> str:
        if value.is_percent:
            return toml_string(f"{value.amount}%")
        return Size().toml_format(value.amount)


@dataclass(frozen=True, slots=True)
class OutputLimit:
    """When a client that does not read its replies is closed; 0 switches a bound off.

    At once above `hard_bytes`, or after `soft_seconds` without a break above `soft_bytes`.
    """

    hard_bytes: int
    soft_bytes: int
    soft_seconds: int


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """The limits of output buffers for each class of client."""

    normal: OutputLimit = OutputLimit(0, 0, 0)
    replica: OutputLimit = OutputLimit(256 << 20, 64 << 20, 60)
    pubsub: OutputLimit = OutputLimit(32 << 20, 8 << 20, 60)


@dataclass(frozen=True, slots=True)
class OutputLimitTable(Kind[OutputLimits]):
    """Texts of a class, a hard limit, a soft limit and seconds; other classes stay as they were."""

    takes_list: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return 'list of "class hard soft seconds"'

    def parse(self, value: object, base: OutputLimits) -> OutputLimits:
        items = value if isinstance(value, list) else [value]
        texts = [item for item in items if isinstance(item, str)]
        words = " ".join(texts).replace(",", " ").lower().split()
        if len(texts) != len(items) or len(words) % 4:
            raise self._bad("Wrong number of arguments in buffer limit configuration.")
        limits = base
        for at in range(0, len(words), 4):
            limits = self._with_class(limits, words[at], words[at + 1 : at + 4])
        return limits

    def _with_class(self, limits: OutputLimits, name: str, numbers: list[str]) -> OutputLimits:
        hard, soft = size_of(numbers[0]), size_of(numbers[1])
        bad = self._bad(
            "Error in hard, soft or soft_seconds setting in buffer limit configuration."
        )
        if name not in ("normal", "replica", "slave", "pubsub"):
            raise self._bad("Invalid client class specified in buffer limit configuration.")
        if hard is None or soft is None or max(hard, soft) > INT64_MAX:
            raise bad
        if not INTEGER.fullmatch(numbers[2]) or not 0 <= int(numbers[2]) <= INT32_MAX:
            raise bad
        limit = OutputLimit(hard, soft, int(numbers[2]))
        if name == "normal":
            return replace(limits, normal=limit)
        if name == "pubsub":
            return replace(limits, pubsub=limit)
        return replace(limits, replica=limit)

    def _bad(self, redis: str) -> BadValueError:
        expected = 'texts of a class (normal, replica, pubsub), two sizes and seconds, such as "'
        return BadValueError(expected + 'pubsub 32mb 8mb 60"', redis)

    def redis_format(self, value: OutputLimits) -> str:
        rows = (("normal", value.normal), ("slave", value.replica), ("pubsub", value.pubsub))
        return " ".join(f"{n} {r.hard_bytes} {r.soft_bytes} {r.soft_seconds}" for n, r in rows)

    def toml_format(self, value: OutputLimits) -> str:
        rows = (("normal", value.normal), ("replica", value.replica), ("pubsub", value.pubsub))
        texts = [
            f"{n} {size_text(r.hard_bytes)} {size_text(r.soft_bytes)} {r.soft_seconds}"
            for n, r in rows
        ]
        return "[" + ", ".join(toml_string(text) for text in texts) + "]"


_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
PERCENTILES_MAX = 64


@dataclass(frozen=True, slots=True)
class Percentiles(Kind[tuple[float, ...]]):
    """Numbers from 0 to 100; outside TOML separated by blanks or commas."""

    takes_list: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return f"list of up to {PERCENTILES_MAX} numbers from 0 to 100"

    def parse(self, value: object, base: tuple[float, ...]) -> tuple[float, ...]:
        if isinstance(value, str):
            words = re.split(r"[\s,]+", value.strip(" ,"))
            return self._of_words([] if words == [""] else words)
        items = value if isinstance(value, list) else [value]
        numbers = [item for item in items if isinstance(item, int | float)]
        if len(numbers) != len(items) or any(isinstance(item, bool) for item in items):
            raise self._bad("Invalid latency-tracking-info-percentiles parameters")
        return self._checked(numbers)

    def redis_parse(self, text: str, base: tuple[float, ...]) -> tuple[float, ...]:
        # Redis takes no commas, and one blank between two numbers.
        return self._of_words(text.split(" ") if text else [])

    def _of_words(self, words: list[str]) -> tuple[float, ...]:
        if not all(_NUMBER.fullmatch(word) for word in words):
            raise self._bad("Invalid latency-tracking-info-percentiles parameters")
        return self._checked([float(word) for word in words])

    def _checked(self, numbers: Sequence[float]) -> tuple[float, ...]:
        if len(numbers) > PERCENTILES_MAX:
            raise self._bad("Invalid latency-tracking-info-percentiles parameters")
        if not all(0 <= number <= 100 for number in numbers):
            redis = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
            raise self._bad(redis)
        return tuple(float(number) for number in numbers)

    def _bad(self, redis: str) -> BadValueError:
        return BadValueError(f"a {self.label}", redis)

    def redis_format(self, value: tuple[float, ...]) -> str:
        return " ".join(self._text(item) for item in value)

    def toml_format(self, value: tuple[float, ...]) -> str:
        return "[" + ", ".join(self._text(item) for item in value) + "]"

    def _text(self, number: float) -> str:
        return repr(number).removesuffix(".0")
