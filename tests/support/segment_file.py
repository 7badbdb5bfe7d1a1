"""A second, independent writer of segment files, from the description in docs/format.md."""

import struct
from dataclasses import dataclass, field

BLOCK = 4096
TRAILER = 128
MIXED = 0xFFFF
EXPIRY, LARGE, INTEGER = 1, 2, 4


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def _sealed(data: bytes) -> bytes:
    """Put the checksum of a record or filler in its bytes 4..7, which are zero."""
    return data[:4] + struct.pack("<I", crc32c(data)) + data[8:]


def _padded(data: bytes, grain: int) -> bytes:
    return data + bytes(-len(data) % grain)


def record(key: bytes, value: bytes, deadline: int | None = None, large: bool = False) -> bytes:
    """One string as it lies in a file."""
    flags = (EXPIRY if deadline is not None else 0) | (LARGE if large else 0)
    key_length, value_length = (0, 0) if large else (len(key), len(value))
    parts = [struct.pack("<BBHI", 1 | flags << 4, key_length, value_length, 0)]
    if large:
        parts.append(struct.pack("<IIII", len(key), len(value), len(value), 0))
    if deadline is not None:
        parts.append(struct.pack("<q", deadline))
    return _sealed(_padded(b"".join([*parts, key, value]), 8))


def filler(size: int) -> bytes:
    """Unused space of `size` bytes, a multiple of 8."""
    return _sealed(struct.pack("<II", size // 8 << 8, 0) + bytes(size - 8))


@dataclass
class SegmentFile:
    """Records, fillers and entries that make a file."""

    number: int = 1
    generation: int = 0
    sequence: int = 1
    created_ms: int = 1700000000000
    seed_check: int = 0x1234
    image: bytearray = field(default_factory=bytearray)
    entries: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Offset, size, deadline and keyspace of each record that is alive."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Offset and size of every record and filler."""

    def add(
        self,
        key: bytes,
        value: bytes,
        *,
        deadline: int | None = None,
        keyspace: int = 1,
        large: bool = False,
        dead: bool = False,
    ) -> int:
        """Append a record; return its offset."""
        at = self._append(record(key, value, deadline, large))
        if not dead:
            self.entries.append((at, self.spans[-1][1], deadline or 0, keyspace))
        return at

    def skip(self, size: int) -> int:
        """Append a filler; return its offset."""
        return self._append(filler(size))

    def _append(self, data: bytes) -> int:
        at = len(self.image)
        self.image += data
        self.spans.append((at, len(data)))
        return at

    @property
    def name(self) -> str:
        """The name that the file must have."""
        return f"{self.number:08x}-{self.generation:08x}.seg"

    @property
    def footer_offset(self) -> int:
        """Where the footer begins."""
        return len(_padded(bytes(self.image), BLOCK))

    def build(self) -> bytes:
        """The file's bytes."""
        size = 24 if any(deadline for _, _, deadline, _ in self.entries) else 16
        full, last = (BLOCK - 16) // size, (BLOCK - 16 - TRAILER) // size
        blocks: list[bytes] = []
        rest = list(self.entries)
        while len(rest) > last:
            blocks.append(self._block(len(blocks), rest[:full], size, BLOCK))
            rest = rest[full:]
        blocks.append(self._block(len(blocks), rest, size, BLOCK - TRAILER))
        return b"".join([_padded(bytes(self.image), BLOCK), *blocks, self._trailer(size)])

    def _block(
        self, index: int, entries: list[tuple[int, int, int, int]], size: int, end: int
    ) -> bytes:
        body = struct.pack("<III", self.number, self.generation, index)
        for at, length, deadline, keyspace in entries:
            place = at // 8 | length // 8 << 22 | keyspace << 52
            body += struct.pack("<QQq", at * 0x9E3779B97F4A7C15 % 2**64, place, deadline)[:size]
        body += bytes(end - 4 - len(body))
        return struct.pack("<I", crc32c(body)) + body

    def _trailer(self, entry_size: int) -> bytes:
        deadlines = [deadline for _, _, deadline, _ in self.entries if deadline]
        sizes = [length for _, length, _, _ in self.entries]
        keyspaces = {keyspace for _, _, _, keyspace in self.entries} or {0}
        body = b"FERRISEG" + struct.pack(
            "<IIIIQQQIIqqqQII",
            1,
            entry_size,
            self.number,
            self.generation,
            self.sequence,
            len(self.image),
            sum(sizes),
            len(self.entries),
            len(deadlines),
            min(deadlines, default=0),
            max(deadlines, default=0),
            self.created_ms,
            self.seed_check,
            max(sizes, default=0) // 8,
            keyspaces.pop() if len(keyspaces) == 1 else MIXED,
        )
        body += bytes(TRAILER - 4 - len(body))
        return body + struct.pack("<I", crc32c(body))
