"""Reads segments, whole, growing or damaged, and the session that they make.

Opening looks at every 32-byte header and CRC but decodes only frames that hold more than ticks; what lies between is read when asked for.
Plain reads, no memory map: a file that shrinks under a map kills its reader.
"""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from ..backends.errors import MeasureError
from . import frames
from .history import SECOND
from .records import FORMAT, AnyRecord, Clock, End, Event, Header, Key, Run, Verdict

SUFFIX = ".itlog.zst"
_CHUNK = 1 << 20
_TOGETHER = 32  # frames that are decoded in one call
_LEAP = 3600 * SECOND  # a frame this far ahead of its neighbour is asked for its records' own times

Mark = Run | Event | Verdict | End


class Segment:
    """One segment: its header, the place of each frame, and the records that are not ticks."""

    def __init__(self, path: Path) -> None:
        """Read what the file holds now. Raises MeasureError where it cannot be opened or is no segment."""
        self.path = path
        self.header: Header | None = None
        """None while the file is still being created."""
        self.marks: list[tuple[int, Mark]] = []
        """(index of the frame, record) of every run, event, verdict and end, in the order of the file."""
        self.keys: list[int] = []
        """Index of each frame with a `key`."""
        self.offsets = array("q")
        self.lengths = array("q")
        self.times = array("q")
        """Of each frame: the time of its first record, ns; where a frame is out of order, the latest before it."""
        self.last = 0
        """Time of the newest record, ns."""
        self._unreadable = 0
        self._scanner = frames.Scanner()
        self._file = open_segment(path)
        try:
            self.refresh()
            if self.header is None and self._scanner.damage is not None:
                raise MeasureError(
                    "not-a-session",
                    f"{path} holds no session: none of its {self.size} bytes can be read",
                    f"give a session's directory or one of its {SUFFIX} files; infertop ls lists them",
                )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Segment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """How many frames it has, the header's not counted."""
        return len(self.offsets)

    @property
    def size(self) -> int:
        """Bytes read so far."""
        return self._scanner.fed

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Damaged byte ranges (start, end); one that nothing whole follows ends with the file."""
        pending = self._scanner.damage
        return self._scanner.gaps + ([] if pending is None else [(pending, self._scanner.settled)])

    @property
    def damaged(self) -> int:
        """How many places cannot be read."""
        return len(self.gaps) + self._unreadable

    @property
    def settled(self) -> int:
        """All bytes before this one are frames or damage."""
        return self._scanner.settled

    @property
    def torn(self) -> int:
        """Bytes at the end that are not yet, or will never be, a whole frame."""
        return self._scanner.fed - self._scanner.settled

    @property
    def end(self) -> End | None:
        """The record that closed it; None while it is written, or when its engine was killed."""
        record = self.marks[-1][1] if self.marks else None
        return record if isinstance(record, End) else None

    @property
    def runs(self) -> list[Run]:
        return [record for _, record in self.marks if isinstance(record, Run)]

    @property
    def events(self) -> list[Event]:
        return [record for _, record in self.marks if isinstance(record, Event)]

    def refresh(self) -> bool:
        """Take in what was appended since; True where whole frames were."""
        size = os.fstat(self._file.fileno()).st_size
        if self._scanner.settled <= size < self._scanner.fed:
            self._scanner.forget()  # a frame that was cut off by a full disk was taken back
        known = len(self)
        self._file.seek(self._scanner.fed)
        while data := self._file.read(_CHUNK):
            for frame in self._scanner.feed(data):
                self._take(frame)
        if self.header is None and len(self):
            self.header = self._makeshift()
        if len(self) > known:
            self.last = max(
                [self.times[-1], *(r.t for r in self.frame(len(self) - 1) if not isinstance(r, Header))]
            )
        return len(self) > known

    def _take(self, frame: frames.Frame) -> None:
        if frame.flags == frames.FIRST:
            self.header = _header(frame.body, self.path)
            self._unreadable += self.header is None
            return
        t = frame.t
        before = self.times[-1] if self.times else 0
        if frame.flags & ~frames.HISTOGRAM or not before - _LEAP < t < before + _LEAP:
            try:
                t = self._look_into(frame)
            except ValueError:
                self._unreadable += 1
                return
        self.offsets.append(frame.offset)
        self.lengths.append(frame.length)
        self.times.append(t if t >= before or not self.times else before)

    def _look_into(self, frame: frames.Frame) -> int:
        """Keep what a frame holds besides ticks; the time of its first record. Raises ValueError where it cannot be read."""
        if frame.flags == frames.KEY and self.times and 0 <= frame.t - self.times[-1] < _LEAP:
            self.keys.append(len(self))  # decoded when it is needed
            return frame.t
        records = frames.decode_frame(frame.body)
        flags, t, _ = frames.summary(records)
        if flags & frames.KEY:
            self.keys.append(len(self))
        self.marks += [(len(self), r) for r in records if isinstance(r, Run | Event | Verdict | End)]
        return t

    def _makeshift(self) -> Header:
        """Stands for a header that is damaged: no metrics, and the clock from a `key`, if there is one."""
        clock = Clock(0, 0)
        for i in self.keys[:1]:
            key = next(record for record in self.frame(i) if isinstance(record, Key))
            clock = Clock(key.clock.monotonic - key.t, key.clock.unix - key.t)
        number = self.path.name.removesuffix(SUFFIX)
        return Header(
            format=FORMAT, session=self.path.parent.name, segment=int(number) if number.isdecimal() else 1, clock=clock,
            interval=SECOND // 4, metrics=[], infertop="?", pid=0,
        )  # fmt: skip

    def frame(self, index: int) -> list[AnyRecord]:
        """The records of one frame; none where it can no longer be read."""
        self._file.seek(self.offsets[index])
        return _decode(self._file.read(self.lengths[index]))

    def read(self, first: int, last: int) -> Iterator[list[AnyRecord]]:
        """The records of the frames from `first` up to, not including, `last`, in order, those of some frames at a time.

        Bytes are read a MB at a time; the lines of up to 32 frames are decoded in one call.
        """
        while first < last:
            start = self.offsets[first]
            upto = max(first + 1, min(bisect_right(self.offsets, start + _CHUNK) - 1, last))
            self._file.seek(start)
            data = self._file.read(self.offsets[upto - 1] + self.lengths[upto - 1] - start)
            texts: list[bytes] = []
            for i in range(first, upto):
                at = self.offsets[i] - start
                texts.append(_text(data[at : at + self.lengths[i]]))
                if len(texts) == _TOGETHER or len(texts[-1]) > _CHUNK or i == upto - 1:
                    yield frames.decode_lines(b"\n".join(texts))
                    texts.clear()
            first = upto

    def range(self, t0: int, t1: int) -> Iterator[AnyRecord]:
        """The records of the times from t0 to t1, ns since the segment's clock pair, both included."""
        first = max(bisect_left(self.times, t0) - 1, 0)  # a frame may begin before t0 and end after it
        for records in self.read(first, bisect_right(self.times, t1)):
            yield from (r for r in records if not isinstance(r, Header) and t0 <= r.t <= t1)


def open_segment(path: Path) -> FileIO:
    """The file, for reading. Raises MeasureError where it is not there, or is no file that could be a segment."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise MeasureError("not-a-session", f"{path} is not a file", "infertop ls lists the sessions")
        return FileIO(path, "r")
    except OSError as error:
        raise MeasureError(
            "session-not-found", f"{path} cannot be read: {error.strerror}", "infertop ls lists the sessions"
        ) from error


def read_header(path: Path) -> Header | None:
    """The header of a segment without reading the rest; None where it cannot be read."""
    try:
        with open(path, "rb") as file:
            found = frames.Scanner().feed(file.read(_CHUNK))
        return _header(found[0].body, path) if found and found[0].flags == frames.FIRST else None
    except (OSError, MeasureError):
        return None


def _text(body: bytes) -> bytes:
    """The lines of a frame; none where it cannot be read."""
    try:
        return frames.decompress(body)
    except ValueError:
        return b""


def _decode(body: bytes) -> list[AnyRecord]:
    return frames.decode_lines(_text(body))


def _header(body: bytes, path: Path) -> Header | None:
    """The header line, or None where it is damaged. Raises MeasureError where a newer infertop wrote it."""
    header = next((record for record in _decode(body) if isinstance(record, Header)), None)
    if header is not None and header.format.split(".")[0] != FORMAT.split(".")[0]:
        raise MeasureError(
            "session-newer",
            f"{path} has format {header.format}, which this infertop does not know",
            "open it with a newer version: pip install --upgrade infertop",
        )
    return header
