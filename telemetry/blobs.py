"""HdrHistogram's V2 blobs, read in batches through numpy."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from .buckets import DIGITS, HIGHEST, LOWEST, PLACES, Ints

_OUTER = struct.Struct(">II")  # cookie, bytes of the compressed payload (HdrHistogram_py ENCODING.rst)
_INNER = struct.Struct(
    ">IIIIqqd"
)  # cookie, bytes of counts, normalising offset, digits, lowest, highest, conversion ratio
_OUTER_COOKIE = 0x1C849304
_INNER_COOKIE = 0x1C849303
_COOKIE_MASK = 0xFFFFFF0F  # the masked bits tell the width of a counter in older versions of the format
_PAYLOAD_LIMIT = _INNER.size + PLACES * 9  # a counter takes at most 9 bytes
_BATCH = (
    1 << 15
)  # bytes of payloads decoded together: more gains nothing, and their arrays are mapped anew each time
_BLOB_LIMIT = 2 * _PAYLOAD_LIMIT  # base64 of what zlib could not shrink, with room


def payload_of(blob: str | bytes) -> bytes:
    """The counts of a blob, still encoded, its two headers checked."""
    if len(blob) > _BLOB_LIMIT:
        raise ValueError(f"not a histogram: {len(blob)} bytes are more than one can have")
    inflater = zlib.decompressobj()
    try:
        raw = base64.b64decode(blob, validate=True)
        outer, length = _OUTER.unpack_from(raw)
        data = inflater.decompress(raw[_OUTER.size :], _PAYLOAD_LIMIT)
        inner, size, offset, digits, lowest, highest, _ratio = _INNER.unpack_from(data)
    except (ValueError, struct.error, zlib.error) as error:
        raise ValueError(f"not a histogram: {error}") from error
    if outer & _COOKIE_MASK != _OUTER_COOKIE or length != len(raw) - _OUTER.size:
        raise ValueError("not a histogram: its header is not that of a V2 blob")
    if not inflater.eof or inner & _COOKIE_MASK != _INNER_COOKIE or size != len(data) - _INNER.size:
        raise ValueError("not a histogram: its counts are cut off or too many")
    if (offset, digits, lowest, highest) != (0, DIGITS, LOWEST, HIGHEST):
        raise ValueError(
            f"a histogram of another range: {lowest} to {highest}, {digits} digits, offset {offset}"
        )
    return data[_INNER.size :]


def batches(payloads: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The payloads in order, as many at a time as are decoded together."""
    batch: list[bytes] = []
    size = 0
    for payload in payloads:
        batch.append(payload)
        size += len(payload)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def sparse(*payloads: bytes) -> tuple[Ints, Ints, Ints]:
    """Index and count of each non-zero count of ZigZag LEB128 payloads, one payload after the other, where a
    negative number is a run of zeros; and how many of them each payload has.

    A count of 2**55 or more would take the ninth byte; nothing real has it, and it is refused.
    """
    lengths = np.zeros(len(payloads), np.int64)
    sizes = np.array([len(payload) for payload in payloads], np.int64)
    used = np.flatnonzero(sizes)
    if not len(used):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), lengths
    data = np.frombuffer(b"".join(payloads), np.uint8)
    lasts = np.cumsum(sizes[used]) - 1
    goes_on = data >= 0x80
    ends = np.flatnonzero(~goes_on)
    if goes_on[lasts].any():
        raise ValueError("not a histogram: a count is cut off or too large")
    starts = np.zeros_like(ends)
    np.add(ends[:-1], 1, out=starts[1:])
    widths = ends - starts + 1
    widest = int(widths.max())
    if widest > 8:
        raise ValueError("not a histogram: a count is cut off or too large")
    zigzag = (data[starts] & 0x7F).astype(np.int64)
    longer = np.flatnonzero(widths > 1)  # few: most counts fit into one byte
    for place in range(1, widest):
        zigzag[longer] |= (data[starts[longer] + place] & 0x7F).astype(np.int64) << (7 * place)
        longer = longer[widths[longer] > place + 1]
    numbers: Ints = (zigzag >> 1) ^ -(zigzag & 1)
    steps = np.maximum(-numbers, 1)
    firsts = np.concatenate(([0], np.searchsorted(ends, lasts[:-1]) + 1))  # the first number of each payload
    if int(steps.max()) > PLACES or int(np.add.reduceat(steps, firsts).max()) > PLACES:
        raise ValueError("not a histogram: it has more counts than its range")
    full = np.flatnonzero(numbers > 0)
    count = numbers[full]
    if float(count.sum(dtype=np.float64)) >= 2.0**62:
        raise ValueError("not a histogram: its counts do not add up")
    lengths[used] = np.diff(np.searchsorted(full, np.append(firsts, len(numbers))))
    places = np.cumsum(steps) - steps
    index = places[full] - np.repeat(places[firsts], lengths[used])
    return index, count, lengths
