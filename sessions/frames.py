"""The frames of a segment: records to bytes, and bytes that may be growing, torn or damaged to frames.

docs/session-format.md is the contract. Scanning is incremental: whoever reads a file, a file that grows or a pipe feeds what it has.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from . import zstandard
from .records import AnyRecord, End, Event, Header, Key, Processes, Run, Tick, Verdict

EVENT, RUN, VERDICT, HISTOGRAM, KEY, END = 1, 2, 4, 8, 16, 32
"""Flags: which kinds of record a frame holds."""

FIRST = 1 << 8
"""In `Frame.flags` only, never on disk: the frame without a header of its own, which holds the `header` line."""

FRAME_LIMIT = 16 << 20
"""The most bytes of a compressed frame; a header that says more is damage."""

TEXT_LIMIT = 64 << 20
"""The most bytes of a frame's JSON lines; what decompresses to more is damage."""

_MAGIC = 0x184D2A50
HEADER = struct.Struct("<II2sBBIqII")
MARK = HEADER.pack(_MAGIC, HEADER.size - 8, b"it", 1, 0, 0, 0, 0, 0)[:11]
"""What every header begins with: skippable magic, size, mark and version. Resynchronising searches for it."""

_FLAGS = {Event: EVENT, Run: RUN, Verdict: VERDICT, Key: KEY, End: END}
_TIME_LIMIT = 1 << 62  # ns; 146 years either way, so that sums of two fit into 64 bits
_COUNT_LIMIT = 1 << 53
_WASTE_LIMIT = 1 << 30  # bytes of CRC spent on false marks before a hostile file is given up
_WAIT, _NOTHING = object(), object()
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(
    Header | Run | Tick | Event | Verdict | Key | Processes | End
)


class Frame(NamedTuple):
    """A whole zstd frame: `offset` and `length` in the segment, bytes (its 32-byte header lies before); `t` and `span` ns."""

    offset: int
    length: int
    flags: int
    t: int
    span: int
    body: bytes


class Summary(NamedTuple):
    """What a frame's header says of its records: flags, time of the first and span to the last, ns."""

    flags: int
    t: int
    span: int


def summary(records: Sequence[AnyRecord]) -> Summary:
    """The header fields of a frame of these records."""
    flags = 0
    times = []
    for record in records:
        flags |= _FLAGS.get(type(record), 0)
        if isinstance(record, Tick) and record.h:
            flags |= HISTOGRAM
        if not isinstance(record, Header):
            times.append(record.t)
    first, last = (min(times), max(times)) if times else (0, 0)
    return Summary(flags, first, last - first)


def encode_header(header: Header) -> bytes:
    """The first frame of a segment: the header line alone, without a skippable frame before it but with zstd's checksum."""
    return zstandard.compress(_encoder.encode(header) + b"\n", checksum=True)


def encode_frame(records: Sequence[AnyRecord]) -> bytes:
    """A frame behind its 32-byte header. Raises ValueError where the records are more than a frame may hold."""
    text = _encoder.encode_lines(records)
    if len(text) > TEXT_LIMIT:
        raise ValueError(f"{len(text)} bytes of records are more than the {TEXT_LIMIT} of a frame")
    body = zstandard.compress(text)
    if len(body) > FRAME_LIMIT:
        raise ValueError(f"a frame of {len(body)} bytes is larger than {FRAME_LIMIT}")
    flags, t, span = summary(records)
    micros = min(-(-span // 1000), 0xFFFFFFFF)  # rounded up, so that the last record lies within
    head = HEADER.pack(_MAGIC, HEADER.size - 8, b"it", 1, flags, len(body), t, micros, zlib.crc32(body))
    return head + body


def decode_frame(body: bytes) -> list[AnyRecord]:
    """The records of a frame that this version knows, in order; unknown kinds and lines that are no record are left out.

    Raises ValueError where the body is no zstd frame or too large.
    """
    return decode_lines(decompress(body))


def decompress(body: bytes) -> bytes:
    """The JSON lines of a frame. Raises ValueError as `decode_frame`."""
    return zstandard.decompress(body, TEXT_LIMIT)


def decode_lines(text: bytes) -> list[AnyRecord]:
    """The records of JSON lines, as `decode_frame`."""
    try:
        records = _decoder.decode_lines(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        records = []
        for line in text.split(b"\n"):
            try:
                records.append(_decoder.decode(line))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
    return [record for record in records if _sane(record)]


def _sane(record: AnyRecord) -> bool:
    """Whether a record's numbers fit where arithmetic in 64 bits takes them; only a hostile or damaged file has others."""
    if isinstance(record, Header):
        clock = record.clock
        return abs(clock.monotonic) < _TIME_LIMIT and abs(clock.unix) < _TIME_LIMIT and record.interval > 0
    if not -_TIME_LIMIT < record.t < _TIME_LIMIT:
        return False
    if isinstance(record, Tick):
        q = record.q
        return (
            0 <= record.done < _COUNT_LIMIT
            and 0 <= record.run < _COUNT_LIMIT
            and (q is None or (len(q) == 3 and min(q) >= 0 and max(q) < _TIME_LIMIT))
        )
    if isinstance(record, Key):
        times = (
            record.start,
            record.last,
            record.opened and record.opened.t,
            record.before and record.before.t,
        )
        return 0 <= record.requests < _COUNT_LIMIT and all(abs(t or 0) < _TIME_LIMIT for t in times)
    return True


class Scanner:
    """Finds the frames in a segment's bytes, fed in order and in pieces of any size.

    A frame is whole when its CRC matches. Bytes that may still become one are kept (at most a frame's); what can become none is a gap.
    """

    def __init__(self, offset: int = 0) -> None:
        """`offset` is where in the segment the first byte to be fed lies; from 0 the first frame is expected, else a header."""
        self.gaps: list[tuple[int, int]] = []
        """Damaged byte ranges (start, end), each ended by a whole frame."""
        self.settled = offset
        """All bytes before this one are frames or damage; those from here on wait for more."""
        self.damage: int | None = None
        """Where a gap began that no whole frame has ended yet."""
        self._data = bytearray()
        self._wasted = 0

    @property
    def fed(self) -> int:
        """How many bytes of the segment have been fed."""
        return self.settled + len(self._data)

    def forget(self) -> None:
        """Drop the bytes that are not settled: the file no longer has them."""
        self._data.clear()

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; the frames that are now whole, in order."""
        self._data += data
        frames: list[Frame] = []
        with memoryview(self._data) as view:
            used = self._scan(view, frames)
        del self._data[:used]
        self.settled += used
        return frames

    def _scan(self, view: memoryview, frames: list[Frame]) -> int:
        """Append the whole frames and return how many bytes are settled."""
        position, size = 0, len(view)
        if self.settled == 0 and self.damage is None and size:
            length = self._first(view)
            if length is None:
                return 0
            if length:
                frames.append(Frame(0, length, FIRST, 0, 0, bytes(view[:length])))
                position = length
        while position < size:
            end = self._take_whole(view, position, frames)
            if end > position:
                if self.damage is not None:
                    self.gaps.append((self.damage, self.settled + position))
                    self.damage = None
                position = end
                continue
            found, waiting = self._after(view, position)
            if found is None and self._at(view, position) is _WAIT:
                return position
            if self.damage is None:
                self.damage = self.settled + position
            if found is None:
                return waiting
            position = found
        return position

    def _take_whole(self, view: memoryview, position: int, frames: list[Frame]) -> int:
        """Append the whole frames that follow each other from `position` on, and return where they end.

        This is what opening an hour's 14,400 frames takes its time for, hence its one loop.
        """
        unpack, crc32, size, base, head = HEADER.unpack_from, zlib.crc32, len(view), self.settled, HEADER.size
        last = size - head
        while position <= last:
            magic, follows, mark, version, flags, length, t, micros, crc = unpack(view, position)
            start = position + head
            end = start + length
            if (
                magic != _MAGIC
                or mark != b"it"
                or version != 1
                or follows != head - 8
                or not 0 < length <= FRAME_LIMIT
            ):
                break
            if end > size:
                break
            body = bytes(view[start:end])
            if crc32(body) != crc:
                break
            frames.append(Frame(base + start, length, flags, t, micros * 1000, body))
            position = end
        return position

    def _first(self, view: memoryview) -> int | None:
        """The length of the first frame; 0 where it is damaged, None where more bytes are needed to tell."""
        if not zstandard.MAGIC.startswith(view[:4]):
            return 0
        length = zstandard.frame_size(view[: FRAME_LIMIT + 1])
        if length is not None:
            return length
        return 0 if len(view) > FRAME_LIMIT or self._after(view, 0)[0] is not None else None

    def _at(self, view: memoryview, position: int) -> Frame | object:
        """The whole frame whose header lies at `position`, _WAIT where it may come to be, _NOTHING where it cannot."""
        if not MARK.startswith(view[position : position + len(MARK)]) or self._wasted > _WASTE_LIMIT:
            return _NOTHING
        start = position + HEADER.size
        if start > len(view):
            return _WAIT
        _, _, _, _, flags, length, t, micros, crc = HEADER.unpack_from(view, position)
        if not 0 < length <= FRAME_LIMIT:
            return _NOTHING
        if start + length > len(view):
            return _WAIT
        body = bytes(view[start : start + length])
        if zlib.crc32(body) != crc:
            self._wasted += length
            return _NOTHING
        return Frame(self.settled + start, length, flags, t, micros * 1000, body)

    def _after(self, view: memoryview, position: int) -> tuple[int | None, int]:
        """Where the first whole frame behind `position` begins, if there is one; and from where on bytes must be kept if not."""
        waiting = None
        candidate = self._data.find(MARK, position + 1)
        while candidate >= 0:
            frame = self._at(view, candidate)
            if isinstance(frame, Frame):
                return candidate, candidate
            if frame is _WAIT and waiting is None:
                waiting = candidate
            candidate = self._data.find(MARK, candidate + 1)
        if waiting is None:
            # The last bytes may be the beginning of a mark.
            waiting = max(position + 1, len(view) - len(MARK) + 1)
            while waiting < len(view) and not MARK.startswith(view[waiting:]):
                waiting += 1
        return None, waiting
