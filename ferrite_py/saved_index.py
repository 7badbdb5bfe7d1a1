"""What a clean stop left in a data folder says of the segments: docs/format.md, Manifest and index.

Only the segment table is read, not the slots.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ferrite_py.errors import FerriteError

_HEAD = struct.Struct("<8sII16sqQQIII56xI")
_SECTION = struct.Struct("<IIII")
_ROW = struct.Struct("<IIQQQQQqHB5x64x")
_MAGIC = b"FFERRIDX"
_VERSION = 1
_KIND_SEGMENTS = 1
_SECTION_MAX = 1 << 20
_MANIFEST_MAX = 512
_POLYNOMIAL = 0x82F63B78


@dataclass(frozen=True, slots=True)
class SavedSegment:
    """A row of the table: which file it is of, and how much of it is alive."""

    number: int
    generation: int
    used: int
    live: int
    """Bytes of `used` in records that can be reached."""


def read_saved(data_dir: Path) -> dict[tuple[int, int], SavedSegment] | None:
    """The saved segments by number and generation; None when there is no manifest.

    Raises FerriteError, which names file and place, when manifest or table is damaged, and OSError.
    """
    manifest = data_dir / "manifest"
    try:
        text = manifest.read_bytes()[: _MANIFEST_MAX + 1]
    except FileNotFoundError:
        return None
    path = data_dir / _index_name(manifest, text)
    with path.open("rb") as file:
        return {(row.number, row.generation): row for row in _rows(path, file)}


def _index_name(path: Path, text: bytes) -> str:
    covered, _, end = text.rpartition(b"end ")
    if not text.startswith(b"ferrite-py manifest 1\n") or end != b"%08x\n" % crc32c(covered):
        raise FerriteError(f"{path}: it is damaged, or of another version")
    fields = dict(line.split(b" ", 1) for line in covered.splitlines())
    return fields[b"index"].split()[0].decode("ascii")


def _rows(path: Path, file: BinaryIO) -> Iterator[SavedSegment]:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise FerriteError(f"{path} at 0: the file ends too early")
    magic, version, *_, high, _, _, crc = _HEAD.unpack(head)
    if magic != _MAGIC or version != _VERSION or crc != crc32c(head[:-4]):
        raise FerriteError(f"{path} at 0: it is damaged, or of another version")
    number = 1
    while number <= high:
        payload = _section(path, file)
        for generation, _, _, _, used, live, *_ in _ROW.iter_unpack(payload):
            if used:
                yield SavedSegment(number, generation, used, live)
            number += 1


def _section(path: Path, file: BinaryIO) -> bytes:
    at = file.tell()
    head = file.read(_SECTION.size)
    if len(head) == _SECTION.size:
        crc, kind, _, size = _SECTION.unpack(head)
        if kind == _KIND_SEGMENTS and 0 < size <= _SECTION_MAX and size % _ROW.size == 0:
            payload = file.read(size)
            if len(payload) == size and crc == crc32c(head[4:] + payload):
                return payload
    raise FerriteError(f"{path} at {at}: the table of segments is damaged")


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C, of `123456789` e3069283."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
