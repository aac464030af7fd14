"""Following a session that is being measured: the bytes of its segment as they come, from a file or through a pipe."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import BinaryIO, Protocol

from ..backends.errors import MeasureError
from . import frames
from .liveness import is_live
from .reader import open_segment
from .records import AnyRecord, End
from .session import Session, beside, segment_paths
from .state import SessionState
from .store import Found, segments_of
from .view import View

_CHUNK = 1 << 20
_PROBE = 0.5  # s between two looks at whether the engine still lives


class Source(Protocol):
    """Where records come from while a session goes on."""

    @property
    def alive(self) -> bool:
        """Whether more may come."""
        ...

    @property
    def gaps(self) -> int:
        """Damaged places skipped so far."""
        ...

    @property
    def size(self) -> int:
        """Bytes read so far, of the present segment."""
        ...

    def poll(self) -> list[AnyRecord]:
        """The records that are new, in order."""
        ...

    def close(self) -> None: ...


class Parser:
    """A segment's bytes to records."""

    def __init__(self, offset: int = 0) -> None:
        self.scanner = frames.Scanner(offset)
        self.end: End | None = None
        self._unreadable = 0

    def feed(self, data: bytes) -> list[AnyRecord]:
        """The records of the frames that are now whole."""
        records: list[AnyRecord] = []
        for frame in self.scanner.feed(data):
            try:
                records += frames.decode_frame(frame.body)
            except ValueError:
                self._unreadable += 1
        if records and isinstance(records[-1], End):
            self.end = records[-1]
        return records

    @property
    def gaps(self) -> int:
        return len(self.scanner.gaps) + (self.scanner.damage is not None) + self._unreadable


class FollowSource:
    """Follows a segment as it grows, and goes on to the segment that its `end` names, or that a new engine appends to the session.

    A torn tail waits. The file may not exist yet.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        """`path` is a segment, or a session's directory (then its newest segment); bytes before `offset` are taken as known."""
        paths = segment_paths(path)
        self.path = paths[-1] if paths else path
        self.lost = False
        """Whether the engine died without an `end`."""
        self._parser = Parser(offset)
        self._file: BinaryIO | None = None
        self._gaps = 0  # of earlier segments
        self._probed = 0.0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def ended(self) -> bool:
        """Whether the session was closed in order and nothing goes on from here."""
        end = self._parser.end
        return end is not None and end.next is None

    @property
    def alive(self) -> bool:
        return not (self.lost or self.ended)

    @property
    def gaps(self) -> int:
        return self._gaps + self._parser.gaps

    @property
    def size(self) -> int:
        return self._parser.scanner.fed

    def poll(self) -> list[AnyRecord]:
        """The records that were appended since the last call, of later segments too."""
        records = self._read()
        over = not records and self._engine_gone()
        if over and self._parser.end is None:
            records = self._read()  # what it wrote between the read above and its end
            self.lost = not records
        while (following := self._following(over)) is not None:
            self._gaps, over = self.gaps, False
            self.close()
            self.path, self._parser, self.lost = following, Parser(), False
            records += self._read()
        return records

    def _read(self) -> list[AnyRecord]:
        if self._file is None:
            try:
                self._file = open_segment(self.path)
            except MeasureError:
                return []
        scanner = self._parser.scanner
        size = self._file.seek(0, 2)
        if scanner.settled <= size < scanner.fed:
            scanner.forget()  # a frame that was cut off by a full disk was taken back
        self._file.seek(scanner.fed)
        records: list[AnyRecord] = []
        while data := self._file.read(_CHUNK):
            records += self._parser.feed(data)
        if records:
            self.lost = False
        return records

    def _engine_gone(self) -> bool:
        """Whether no engine writes the segment; looked at twice a second, else False."""
        if time.monotonic() - self._probed < _PROBE or not self._parser.scanner.settled:
            return False
        self._probed = time.monotonic()
        return not is_live(self.path)

    def _following(self, over: bool) -> Path | None:
        """The segment to go on with, if there is one."""
        end = self._parser.end
        if end is not None and end.next is not None:
            return beside(self.path, end.next)
        return self._appended() if over else None

    def _appended(self) -> Path | None:
        """The next segment of the same session, if there is one."""
        try:
            paths = segments_of(Found(self.path.parent.name, self.path.parent))
        except MeasureError:
            return None
        return next((path for path in paths if path.name > self.path.name), None)


class PipeSource:
    """The same from a pipe that carries a segment's bytes from `offset` on, as another machine sends them."""

    def __init__(self, stream: BinaryIO, offset: int = 0) -> None:
        self._parser = Parser(offset)
        self._stream = stream
        self._lock = threading.Lock()
        self._came = bytearray()
        self._over = False
        self._thread = threading.Thread(target=self._pump, name="pipe-source", daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        try:
            while (
                data := self._stream.read1(_CHUNK) if hasattr(self._stream, "read1") else self._stream.read(1)
            ):
                with self._lock:
                    self._came += data
        except (OSError, ValueError):
            pass  # closed on either side: there is no more
        self._over = True

    def close(self) -> None:
        """Let go of the pipe; its thread ends with it."""
        self._stream.close()

    @property
    def alive(self) -> bool:
        end = self._parser.end
        return not self._over and not (end is not None and end.next is None)

    @property
    def gaps(self) -> int:
        return self._parser.gaps

    @property
    def size(self) -> int:
        return self._parser.scanner.fed

    def poll(self) -> list[AnyRecord]:
        """The records that have come since the last call."""
        with self._lock:
            data = bytes(self._came)
            self._came.clear()
        return self._parser.feed(data)


class Live:
    """A session as it goes on: a source and the state of what it has given."""

    def __init__(self, source: Source, state: SessionState | None = None) -> None:
        """`state` is what is known of the session up to where `source` begins."""
        self.source = source
        self.state = state or SessionState()
        self._view: View | None = None
        self._alive = True

    @classmethod
    def attach(cls, path: Path) -> Live:
        """Follow the session in a directory, or a segment, at once at its newest state however long it has been going on.

        Raises MeasureError where what is there is no session; a segment that is not there yet is waited for.
        """
        try:
            session = Session(path)
        except MeasureError as error:
            if error.kind != "session-not-found":
                raise
            return cls(FollowSource(path))
        with session:
            if not session.parts:
                return cls(FollowSource(path))
            last = session.parts[-1][0]
            return cls(FollowSource(last.path, last.settled), session.seek(session.end))

    def poll(self) -> View:
        """The present picture: the same object while nothing is new."""
        records = self.source.poll()
        for record in records:
            self.state.apply(record)
        if self._view is None or records or self.source.alive != self._alive:
            self._alive = self.source.alive
            self._view = self.state.view(alive=self._alive, gaps=self.source.gaps, size=self.source.size)
        return self._view

    def close(self) -> None:
        self.source.close()
