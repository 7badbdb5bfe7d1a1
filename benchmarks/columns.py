"""How the results of a benchmark appear on the page: columns of a table, tables of a section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: the field of the summary row, its heading with unit, its format."""

    name: str
    heading: str
    style: str = ""

    def text(self, row: dict[str, Any]) -> str:
        """Return the cell; a figure that could not be measured is a dash."""
        value = row.get(self.name)
        if value is None:
            return "–"
        return format(value, self.style) if isinstance(value, int | float) else str(value)


@dataclass(frozen=True, slots=True)
class Part:
    """A table of a benchmark that has several: that of the summary rows with `part` == name."""

    name: str
    text: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """How one benchmark appears on the page: with one table, or with one for each part."""

    title: str
    text: str
    columns: tuple[Column, ...] = ()
    parts: tuple[Part, ...] = ()


SERVER = Column("server", "server")
RATE = Column("ops_per_second", "operations/s", ",.0f")
P50 = Column("p50_us", "p50 µs", ",.0f")
P99 = Column("p99_us", "p99 µs", ",.0f")
P999 = Column("p999_us", "p99.9 µs", ",.0f")
MAX = Column("max_us", "maximum µs", ",.0f")
