r"""Commands as text, one a line, so that a test reads like a session of a command-line client.

A word is bare, or in double quotes with the escapes \n \r \t \\ \" \xHH, or in single quotes, taken
as it is. `#` at the start of a line begins a comment. Text is UTF-8.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S+))""")
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_PLAIN_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0"}


def commands(text: str) -> list[list[bytes]]:
    """The commands of a script, in order."""
    found = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            found.append(words(stripped))
    return found


def values(text: str) -> list[str]:
    """The words of a text without quotes, for tables of arguments."""
    return text.split()


def words(line: str) -> list[bytes]:
    """The arguments of one line."""
    found = []
    position = 0
    while position < len(line):
        match = _WORD.match(line, position)
        if match is None:
            break
        quoted, single, bare = match.groups()
        if quoted is not None:
            found.append(_ESCAPE.sub(_unescape, quoted.encode()))
        else:
            found.append((single if single is not None else bare).encode())
        position = match.end()
    return found


def _unescape(match: re.Match[bytes]) -> bytes:
    code: bytes = match[1]
    if code.startswith(b"x"):
        return bytes([int(code[1:], 16)])
    return _PLAIN_ESCAPES.get(code, code)
