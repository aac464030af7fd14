"""The sample ring: requests from the worker to the engine through shared memory, without locks or system calls.

An anonymous file of a 4 KiB header and CAPACITY records of 64 bytes. One thread of the worker writes, one of the engine reads.
The head index is stored by one aligned 8-byte store (`memoryview.cast`); `struct.pack_into` zeroes its target first, so a reader
could see a torn index. The engine takes the head at the start of a tick and copies the records at its end, so that the order in
which stores become visible does not matter on weakly ordered processors either.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile

import numpy as np

CAPACITY = 1 << 16
HEADER_BYTES = 4096
RECORD_BYTES = 64

INSTRUMENTED = 1
"""Flag of a record whose stages were timed."""

RECORD = np.dtype(
    [
        ("start", "<u8"),  # monotonic ns: the first call made for the request
        ("service", "<u8"),  # ns from there until the host knows that it is complete
        ("response", "<u8"),  # ns from the scheduled arrival; 0 in a closed loop
        ("host", "<f4"),  # stages in ns, NaN where not measured
        ("h2d", "<f4"),
        ("compute", "<f4"),
        ("d2h", "<f4"),
        ("enqueue", "<f4"),
        ("issue", "<f4"),  # and what lies between them: backend.StageTimes.outside
        ("queue", "<f4"),
        ("sync", "<f4"),
        ("gc", "<u4"),  # ns of garbage collection between this request and the one before
        ("run", "<u2"),  # its number's lower 16 bits
        ("flags", "u1"),
        ("slot", "u1"),
    ]
)
TIMES = ("host", "h2d", "compute", "d2h", "enqueue", "issue", "queue", "sync")
"""What an instrumented request has, in the record's order."""

_PACK = struct.Struct("<QQQ8fIHBB").pack_into
_PACK_PLAIN = struct.Struct("<QQQ32sIHBB").pack_into
_NO_TIMES = struct.pack("<8f", *[float("nan")] * len(TIMES))
assert RECORD.itemsize == RECORD_BYTES


def create() -> int:
    """A descriptor of a new ring's memory, inheritable by the worker; nothing is left behind when its last holder dies."""
    size = HEADER_BYTES + CAPACITY * RECORD_BYTES
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("infertop-ring", 0)
    else:
        descriptor, path = tempfile.mkstemp(prefix="infertop-ring")
        os.unlink(path)
    os.ftruncate(descriptor, size)
    os.set_inheritable(descriptor, True)
    return descriptor


class _Memory:
    def __init__(self, descriptor: int) -> None:
        self.map = mmap.mmap(descriptor, HEADER_BYTES + CAPACITY * RECORD_BYTES)
        view = memoryview(self.map)
        # Each index has a cache line of its own.
        self.head = view[0:8].cast("Q")
        self.tail = view[64:72].cast("Q")
        self.dropped = view[128:136].cast("Q")


class RingWriter:
    """The worker's end. Only the thread that issues requests may call `put`: two writers would lose records uncounted."""

    __slots__ = ("_dropped", "_head", "_map", "_next", "_tail")

    def __init__(self, descriptor: int) -> None:
        memory = _Memory(descriptor)
        self._map, self._head, self._tail, self._dropped = (
            memory.map,
            memory.head,
            memory.tail,
            memory.dropped,
        )
        self._next = int(self._head[0])

    def put(
        self,
        start: int,
        service: int,
        response: int,
        times: tuple[float, ...] | None,
        flags: int,
        run: int,
        gc: int,
        slot: int,
    ) -> None:
        """Write one record, or count it as dropped when the engine has not kept up. `times` are those of TIMES, where it was instrumented."""
        index = self._next
        if index - self._tail[0] >= CAPACITY:
            self._dropped[0] += 1
            return
        offset = HEADER_BYTES + (index & (CAPACITY - 1)) * RECORD_BYTES
        if times is None:
            _PACK_PLAIN(self._map, offset, start, service, response, _NO_TIMES, gc, run & 0xFFFF, flags, slot)
        else:
            _PACK(self._map, offset, start, service, response, *times, gc, run & 0xFFFF, flags, slot)
        self._next = index = index + 1
        self._head[0] = index


class RingReader:
    """The engine's end. `mark` at the start of a tick, `take` at its end."""

    def __init__(self, descriptor: int) -> None:
        self._memory = _Memory(descriptor)
        self._records = np.frombuffer(self._memory.map, dtype=RECORD, offset=HEADER_BYTES)
        self._marked = 0

    def mark(self) -> None:
        """Note how far the worker has written; `take` copies up to here."""
        self._marked = int(self._memory.head[0])

    def take(self) -> np.ndarray:
        """Copy and release the records up to the mark, oldest first: an array of dtype RECORD, shape (n,)."""
        tail = int(self._memory.tail[0])
        first, count = tail & (CAPACITY - 1), self._marked - tail
        taken = np.concatenate(
            [self._records[first : first + count], self._records[: max(0, first + count - CAPACITY)]]
        )
        self._memory.tail[0] = self._marked
        return taken

    @property
    def dropped(self) -> int:
        """Records lost since the worker began, because the ring was full."""
        return int(self._memory.dropped[0])
