"""Where things stand in a TOML text, and changing values in it without touching the rest.

`tomli` gives values but no places. This scanner gives the places; it reads only texts that
`tomli` has accepted, and leans on that: it never looks for errors itself.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import tomli

KeyPath = tuple[str, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\r\n]*[^,\]}#\s]")


@dataclass(frozen=True, slots=True)
class Header:
    """A `[table]` or `[[table]]` line; `end` is the offset behind its last bracket."""

    path: KeyPath
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value; `text[value_start:value_end]` is the value as written."""

    path: KeyPath
    start: int
    value_start: int
    value_end: int
    header: int
    """The index of its table's header, or -1 above the first one."""
    is_inline: bool
    """Whether it stands between the braces of an inline table."""


class _Scanner:
    """One pass over a text; collects `headers` and `entries` in their order."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.headers: list[Header] = []
        self.entries: list[Entry] = []
        self._scan()

    def _scan(self) -> None:
        table: KeyPath = ()
        while not self._at_end():
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._entry(table, is_inline=False)

    def _at_end(self) -> bool:
        self._skip(_BLANK)
        return self.at >= len(self.text)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        assert match is not None, "tomli accepted a text that this scanner does not know"
        self.at = match.end()
        return match[0]

    def _header(self) -> KeyPath:
        start = self.at
        brackets = 2 if self.text.startswith("[[", start) else 1
        self.at += brackets
        path = self._key()
        self.at += brackets
        self.headers.append(Header(path, start, self.at))
        return path

    def _key(self) -> KeyPath:
        """Read a dotted key and the blanks behind it."""
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            is_quoted = self.text[self.at] in "\"'"
            raw = self._skip(_STRING if is_quoted else _BARE_KEY)
            parts.append(tomli.loads(f"key = {raw}")["key"] if is_quoted else raw)
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return tuple(parts)
            self.at += 1

    def _entry(self, table: KeyPath, *, is_inline: bool) -> None:
        start = self.at
        path = table + self._key()
        self.at += 1
        self._skip(_SPACE)
        value_start, place = self.at, len(self.entries)
        self._value(path)
        header = len(self.headers) - 1
        entry = Entry(path, start, value_start, self.at, header, is_inline)
        self.entries.insert(place, entry)

    def _value(self, path: KeyPath) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self._skip(_STRING)
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            self._skip(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        """Its elements get a path that no key can have, so that they are never found by name."""
        for _ in self._items("]"):
            self._value((*path, ""))

    def _inline_table(self, path: KeyPath) -> None:
        for _ in self._items("}"):
            self._entry(path, is_inline=True)

    def _items(self, closing: str) -> Iterator[None]:
        self.at += 1
        while True:
            self._skip(_BLANK)
            if self.text[self.at] == closing:
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
            else:
                yield


def line_of(text: str, path: KeyPath) -> int:
    """The line, counted from 1, where `path` or something below it is first given."""
    scan = _Scanner(text)
    places: list[Header | Entry] = [*scan.headers, *scan.entries]
    starts = [place.start for place in places if place.path[: len(path)] == path]
    return text.count("\n", 0, min(starts, default=0)) + 1


def set_value(text: str, section: str, key: str, value: str) -> str:
    """The text with `key` in `[section]` set to the TOML `value`; all else stays as it is.

    A key that is there gets the new value in its place. A new one goes behind the comment that
    shows its default, if there is one, or else behind the last key of its section.
    """
    scan = _Scanner(text)
    for entry in scan.entries:
        if entry.path == (section, key):
            return text[: entry.value_start] + value + text[entry.value_end :]
    for index, header in enumerate(scan.headers):
        if header.path == (section,):
            at = _end_of_section(scan, index, key)
            return _insert_line(text, at, f"{key} = {value}")
    inline = [entry for entry in scan.entries if entry.path == (section,)]
    if inline:
        return _extend_inline(scan, inline[0], f"{key} = {value}")
    dotted = [entry for entry in scan.entries if entry.path[:1] == (section,)]
    if dotted:
        return _insert_line(text, dotted[-1].value_end, f"{section}.{key} = {value}")
    blank_line = "" if not text else _newline(text)
    return _insert_line(text, len(text), f"{blank_line}[{section}]{_newline(text)}{key} = {value}")


def _end_of_section(scan: _Scanner, index: int, key: str) -> int:
    """An offset on the line behind which a new key of the section belongs."""
    header = scan.headers[index]
    later = scan.headers[index + 1 : index + 2]
    end = later[0].start if later else len(scan.text)
    default = re.compile(rf"^#[ \t]*{re.escape(key)}[ \t]*=.*$", re.MULTILINE)
    own = [entry for entry in scan.entries if entry.header == index and not entry.is_inline]
    for comment in default.finditer(scan.text, header.end, end):
        if not any(entry.start <= comment.start() < entry.value_end for entry in own):
            return comment.start()
    return own[-1].value_end if own else header.end


def _extend_inline(scan: _Scanner, table: Entry, pair: str) -> str:
    text = scan.text
    inner = [
        entry
        for entry in scan.entries
        if entry.is_inline and table.value_start < entry.start < table.value_end
    ]
    if not inner:
        return text[: table.value_start] + "{ " + pair + " }" + text[table.value_end :]
    at = max(entry.value_end for entry in inner)
    return f"{text[:at]}, {pair}{text[at:]}"


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _insert_line(text: str, at: int, line: str) -> str:
    """Insert a line behind the one that holds offset `at`."""
    end = text.find("\n", at)
    if end >= 0:
        return text[: end + 1] + line + _newline(text) + text[end + 1 :]
    separator = "" if not text or text.endswith("\n") else _newline(text)
    return text + separator + line + _newline(text)
