"""A whole session: its segments on one timeline, and its state at any moment of it."""

from __future__ import annotations

import stat
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from ..backends.errors import MeasureError
from .history import SECOND, second_of
from .reader import SUFFIX, Segment
from .records import AnyRecord, Event, Header, Run, Verdict
from .runs import RECENT
from .state import SessionState

HISTORY_S = 240.0
"""Seconds of history that a seek brings along: a wide screen's graph."""

_SETTLE = 2 * SECOND  # read before a `key`: requests whose histogram comes only after it


class Session:
    """The segments of a session, in order.

    The session's time is ns since the clock pair of its first segment. A later segment lies where the wall clocks of both pairs put it, but
    never before the end of the segment before it: should the wall clock have been set back in between, the segments still follow each other.
    """

    def __init__(self, path: Path) -> None:
        """Open the session in a directory, or one segment. Raises MeasureError where there is nothing to read."""
        self.path = path
        self.segments: list[Segment] = []
        self.offsets: list[int] = []
        """Where each segment's clock pair lies in the session's time, ns."""
        self.unreadable = 0
        """Segments that hold nothing that can be read."""
        self._seen: set[Path] = set()
        self._error: MeasureError | None = None
        for segment in segment_paths(path):
            self._add(segment)
        if self._error is not None and not self.segments:
            raise self._error
        if not self._seen:
            raise MeasureError(
                "session-not-found", f"{path} holds no session", "infertop ls lists the sessions"
            )
        self._place()

    def _add(self, path: Path) -> None:
        """Open a segment and those that its end names."""
        while path not in self._seen:
            self._seen.add(path)
            try:
                segment = Segment(path)
            except MeasureError as error:
                if error.kind == "session-newer":
                    raise
                self.unreadable += 1
                self._error = error
                return
            self.segments.append(segment)
            following = next_segment(segment)
            if following is None:
                return
            path = following

    def _place(self) -> None:
        """Put the segments that have a header yet in order on the timeline."""
        self.segments.sort(key=lambda s: (s.header is None, s.header.segment if s.header else 0))
        self.offsets = []
        end = 0
        for segment in self.segments:
            if segment.header is not None:
                first = self.segments[0].header or segment.header
                self.offsets.append(
                    max(segment.header.clock.unix - first.clock.unix, end) if self.offsets else 0
                )
                end = max(end, self.offsets[-1] + segment.last)

    def close(self) -> None:
        for segment in self.segments:
            segment.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def refresh(self) -> None:
        """Take in what was appended since: to the segments, and new ones."""
        for segment in self.segments:
            segment.refresh()
        for path in segment_paths(self.path):
            self._add(path)
        for segment in list(self.segments):
            following = next_segment(segment)
            if following is not None:
                self._add(following)
        self._place()

    @property
    def header(self) -> Header | None:
        """That of the first segment."""
        return self.segments[0].header if self.segments else None

    @property
    def parts(self) -> list[tuple[Segment, int]]:
        """The segments that can be read, each with its offset."""
        return list(zip(self.segments, self.offsets, strict=False))

    @property
    def start(self) -> int:
        """Session time of the first record, ns."""
        return min((offset + s.times[0] for s, offset in self.parts[:1] if len(s)), default=0)

    @property
    def end(self) -> int:
        """Session time of the newest record, ns."""
        return max((offset + segment.last for segment, offset in self.parts), default=0)

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.segments)

    @property
    def damaged(self) -> int:
        """How many places, whole segments included, cannot be read."""
        return self.unreadable + sum(segment.damaged for segment in self.segments)

    @property
    def events(self) -> list[tuple[int, Event]]:
        """(session time, event), in order."""
        return [(o + r.t, r) for s, o in self.parts for _, r in s.marks if isinstance(r, Event)]

    @property
    def runs(self) -> list[tuple[int, Run]]:
        """(session time, run record), in order."""
        return [(o + r.t, r) for s, o in self.parts for _, r in s.marks if isinstance(r, Run)]

    @property
    def verdicts(self) -> list[tuple[int, Verdict]]:
        """(session time, verdict), in order; one that stands is there every few seconds."""
        return [(o + r.t, r) for s, o in self.parts for _, r in s.marks if isinstance(r, Verdict)]

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """The times, ns, from the last record before each damaged place to the first behind it."""
        found = []
        for segment, offset in self.parts:
            for start, end in segment.gaps:
                before = bisect_right(segment.offsets, start) - 1
                after = bisect_right(segment.offsets, end)
                found.append(
                    (
                        offset + (segment.times[before] if before >= 0 else 0),
                        offset + (segment.times[after] if after < len(segment) else segment.last),
                    )
                )
        return found

    def unix(self, t: int) -> int:
        """The wall-clock time, ns, of a session time, by the clock pair of the segment that it falls into."""
        segment, offset = self.parts[self.index(t)]
        assert segment.header is not None
        return segment.header.clock.unix + t - offset

    def at(self, unix: int) -> int:
        """The session time of a wall-clock time, ns; of one between two segments the beginning of the later."""
        for segment, offset in self.parts:
            assert segment.header is not None
            t = unix - segment.header.clock.unix
            if len(segment) and t <= segment.last:
                return offset + max(t, segment.times[0])
        return self.end

    def index(self, t: int) -> int:
        """The segment that session time `t` falls into: the last that has begun."""
        begun = [i for i, (s, o) in enumerate(self.parts) if len(s) and o + s.times[0] <= t]
        return begun[-1] if begun else 0

    def range(self, t0: int, t1: int) -> Iterator[tuple[int, AnyRecord]]:
        """(session time, record) from t0 to t1, ns, both included, in the order of the log."""
        for segment, offset in self.parts:
            for record in segment.range(t0 - offset, t1 - offset):
                if not isinstance(record, Header):
                    yield offset + record.t, record

    def seek(self, t: int, history_s: float = HISTORY_S) -> SessionState:
        """The state at session time `t`, ns: what applying every record up to then gives, with `history_s` seconds of history.

        Reads from the last `key` before `t`, and the history.
        """
        since = second_of(t - round(history_s * SECOND)) + 1
        state = SessionState(since)
        parts = self.parts
        last = self.index(t)
        for i, (segment, offset) in enumerate(parts[: last + 1]):
            assert segment.header is not None
            state.begin(segment.header, offset)
            upto = bisect_right(segment.times, t - offset)
            begin = bisect_right(segment.times, min(since * SECOND, t - RECENT) - SECOND - offset)
            if i == last:
                begin = min(begin, self._before_key(segment, upto, t - offset))
            begin = min(begin, upto)
            for index, mark in segment.marks:
                if index >= begin:
                    break
                state.apply(mark)
            for records in segment.read(begin, upto):
                for record in records:
                    if not isinstance(record, Header) and record.t <= t - offset:
                        state.apply(record)
        return state

    @staticmethod
    def _before_key(segment: Segment, upto: int, t: int) -> int:
        """Where to begin in order to know the totals at frame `upto`: shortly before the last `key` of a time up to `t`."""
        for index in reversed(segment.keys[: bisect_right(segment.keys, upto - 1)]):
            times = [record.t for record in segment.frame(index) if not isinstance(record, Header)]
            if times and max(times) <= t:
                return bisect_right(segment.times, segment.times[index] - _SETTLE)
        return 0


def segment_paths(path: Path) -> list[Path]:
    """The segments of a session's directory, in order; a file stands for itself."""
    if not path.is_dir():
        return [path]
    return sorted(p for p in path.iterdir() if p.name.endswith(SUFFIX) and p.is_file())


def next_segment(segment: Segment) -> Path | None:
    """The segment that the end of this one names, if it is there: a name beside it, or a path."""
    if segment.end is None or segment.end.next is None:
        return None
    return beside(segment.path, segment.end.next)


def beside(path: Path, following: str) -> Path | None:
    """The segment that `following` names, from the segment `path`; None where it is gone or no file that could be one."""
    if not following.endswith(SUFFIX) or "\0" in following:
        return None
    found = path.parent / following
    try:
        return found if stat.S_ISREG(found.stat().st_mode) else None
    except OSError:
        return None
