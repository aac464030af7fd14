"""Protocol buffers' wire format, read: enough to walk an ONNX file without the `onnx` package, which a worker may lack.

Format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_DEEPEST_VARINT = 10  # bytes of a 64-bit varint


class Damaged(ValueError):
    """The bytes are not a message: at `position` something cannot be, or goes beyond the end."""

    def __init__(self, what: str, position: int, cut_off: bool = False) -> None:
        super().__init__(f"{what} at byte {position}")
        self.cut_off = cut_off


class Field(NamedTuple):
    """One field: its number, wire type, and either an integer or where its bytes lie."""

    number: int
    wire: int
    value: int
    start: int
    end: int


def fields(data: memoryview, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in data[start:end], in order. Raises Damaged."""
    at = start
    while at < end:
        key, at = varint(data, at, end)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise Damaged("a field numbered 0", at)
        if wire == VARINT:
            value, at = varint(data, at, end)
            yield Field(number, wire, value, at, at)
            continue
        if wire == BYTES:
            length, at = varint(data, at, end)
        elif wire in (FIXED64, FIXED32):
            length = 8 if wire == FIXED64 else 4
        else:
            raise Damaged(f"wire type {wire}", at)
        if at + length > end:
            raise Damaged(f"a field of {length} bytes", at, cut_off=True)
        yield Field(number, wire, 0, at, at + length)
        at += length


def varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """The unsigned integer at `at`, and where it ends."""
    value = shift = 0
    stop = min(at + _DEEPEST_VARINT, end)
    while at < stop:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Damaged("an integer without end", at, cut_off=at == end)


def signed(value: int) -> int:
    """A varint as the int64 that it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value


def integers(data: memoryview, field: Field) -> list[int]:
    """A repeated int64 field, packed or not."""
    if field.wire == VARINT:
        return [signed(field.value)]
    found, at = [], field.start
    while at < field.end:
        value, at = varint(data, at, field.end)
        found.append(signed(value))
    return found


def text(data: memoryview, field: Field) -> str:
    return bytes(data[field.start : field.end]).decode("utf-8", errors="replace")
