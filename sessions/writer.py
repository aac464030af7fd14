"""Writes a segment: the caller hands records over and goes on, a thread of this writer's own encodes, writes and syncs them."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from .frames import encode_frame, encode_header
from .liveness import hold
from .records import AnyRecord, End, Header

SYNC_INTERVAL = 5.0
"""Seconds between two fsyncs: what a loss of power may cost. A SIGKILL costs nothing that was written."""

_CLOSE_LIMIT = 10.0  # s that `close` waits for a disk that does not answer


class SegmentWriter:
    """One open segment, locked for as long as it is written.

    `append` never blocks and never raises: what could not be taken is counted in `dropped`, and the first error of the disk stands in
    `failure`; from then on nothing but the `end` record is tried, and the caller may go on in a new segment elsewhere.
    """

    def __init__(self, path: Path, header: Header, capacity: int = 256) -> None:
        """Create the file (0600) with its header. `capacity` is how many frames may wait.

        Raises OSError where that fails, FileExistsError where the segment exists; no file is left then.
        """
        self.path = path
        self.dropped = 0
        """Frames that were not taken: the disk was too slow or has failed, or they were larger than a frame may be."""
        self.failure: OSError | None = None
        self._queue: queue.Queue[Sequence[AnyRecord] | None] = queue.Queue(capacity)
        self._end: End | None = None
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            hold(self._file)
            self._size = 0
            self._write(encode_header(header))
        except BaseException:
            os.close(self._file)
            path.unlink()
            raise
        self._thread = threading.Thread(target=self._run, name="segment-writer", daemon=True)
        self._thread.start()

    @property
    def size(self) -> int:
        """Bytes of the segment so far: whole frames only."""
        return self._size

    def append(self, records: Sequence[AnyRecord]) -> None:
        """Write these records as one frame, soon. They must not be changed afterwards."""
        if not records:
            return
        if self.failure is None and self._thread.is_alive():
            try:
                self._queue.put_nowait(records)
            except queue.Full:
                pass
            else:
                return
        with self._lock:
            self.dropped += 1

    def close(self, end: End | None = None) -> None:
        """Write what waits and then `end`, sync, and let go of the file. `failure` tells afterwards whether that went well."""
        self._end = end
        if not self._thread.is_alive():
            return
        with contextlib.suppress(queue.Full):  # the disk hangs; the join reports it
            self._queue.put(None, timeout=_CLOSE_LIMIT)
        self._thread.join(_CLOSE_LIMIT)
        if self._thread.is_alive():
            self.failure = TimeoutError(f"the disk has not answered for {_CLOSE_LIMIT:.0f} s")

    def _run(self) -> None:
        synced, dirty = time.monotonic(), True
        while True:
            due = synced + SYNC_INTERVAL - time.monotonic()
            if dirty and due <= 0:
                self._sync()
                synced, dirty = time.monotonic(), False
                continue
            try:
                records = self._queue.get(timeout=due if dirty else None)
            except queue.Empty:
                continue
            if records is None:
                break
            dirty = True
            self._put(records)
        if self._end is not None:
            self._put([self._end])
        self._sync()
        os.close(self._file)

    def _put(self, records: Sequence[AnyRecord]) -> None:
        """Write one frame; after a failure only the `end`, which often still fits into the file's last block."""
        try:
            if self.failure is not None and records[0] is not self._end:
                raise ValueError("the disk has failed")
            self._write(encode_frame(records))
        except OSError as error:
            self.failure = self.failure or error
        except ValueError:
            pass
        else:
            return
        with self._lock:
            self.dropped += 1

    def _write(self, frame: bytes) -> None:
        """Append a whole frame in one call. Where only a part fitted, that part is taken off again and OSError raised."""
        written = os.write(self._file, frame)
        if written < len(frame):
            try:
                while written < len(frame):  # the next call says why
                    written += os.write(self._file, memoryview(frame)[written:])
            except OSError:
                os.ftruncate(self._file, self._size)
                raise
        self._size += len(frame)

    def _sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            self.failure = self.failure or error
