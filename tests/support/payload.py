"""The frame of DUMP payloads: a value, two bytes of RDB version, eight bytes of CRC-64."""

from __future__ import annotations

_POLYNOMIAL = 0x95AC9329AC4BC9B5  # Jones, bits reversed, as the RDB format uses it
_FOOTER_BYTES = 10


def _table() -> tuple[int, ...]:
    found = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        found.append(value)
    return tuple(found)


_TABLE = _table()


def crc64(data: bytes) -> int:
    """The CRC-64 of the RDB format."""
    value = 0
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value


def body(payload: bytes) -> bytes:
    """The serialized value without version and checksum."""
    return payload[:-_FOOTER_BYTES]


def version(payload: bytes) -> int:
    """The RDB version that the payload names."""
    return int.from_bytes(payload[-_FOOTER_BYTES:-8], "little")


def frame(value: bytes, rdb_version: int = 10) -> bytes:
    """A payload around a serialized value."""
    data = value + rdb_version.to_bytes(2, "little")
    return data + crc64(data).to_bytes(8, "little")


def is_sound(payload: bytes) -> bool:
    """Whether the checksum is right."""
    return crc64(payload[:-8]) == int.from_bytes(payload[-8:], "little")


def unpacked(serialized: bytes) -> bytes:
    """A serialized string with its LZF compression undone; anything else as it is."""
    if serialized[:2] != b"\x00\xc3":
        return serialized
    packed_size, at = _length(serialized, 2)
    size, at = _length(serialized, at)
    plain = _lzf(serialized[at : at + packed_size])
    assert len(plain) == size, "a compressed string lies about its size"
    return b"unpacked:" + plain


def _length(data: bytes, at: int) -> tuple[int, int]:
    form = data[at] >> 6
    if form == 0:
        return data[at] & 0x3F, at + 1
    if form == 1:
        return (data[at] & 0x3F) << 8 | data[at + 1], at + 2
    return int.from_bytes(data[at + 1 : at + 5], "big"), at + 5


def _lzf(packed: bytes) -> bytes:
    plain = bytearray()
    at = 0
    while at < len(packed):
        control = packed[at]
        at += 1
        if control < 32:
            plain += packed[at : at + control + 1]
            at += control + 1
            continue
        count = control >> 5
        if count == 7:
            count += packed[at]
            at += 1
        start = len(plain) - ((control & 0x1F) << 8 | packed[at]) - 1
        at += 1
        for i in range(count + 2):
            plain.append(plain[start + i])
    return bytes(plain)
