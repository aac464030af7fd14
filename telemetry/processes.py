"""CPU, memory and page faults of a process and all its descendants, from /proc, at a few µs a process.

psutil's `children` reads every process of the machine (1.4 ms for 80); the kernel's own list of a task's
children is one small file for each thread, read once a second.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from .kept import KeptFile, keep
from .metrics import SECOND, Every

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_STAT = 2048  # bytes, more than /proc/…/stat ever has
_TICK_NS = SECOND // os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else SECOND // 100


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far (cpu, faults) and uses now (rss, threads)."""

    cpu_ns: int
    rss: int  # bytes
    threads: int
    minor_faults: int
    major_faults: int


def available() -> bool:
    """Whether this system has the /proc that this module reads."""
    return os.path.exists("/proc/self/stat")


def _content(path: str, size: int) -> bytes:
    """The beginning of a file; a file object around it would take half as long again."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, size)
    finally:
        os.close(file)


def usage(pid: int) -> Usage | None:
    """A process's usage; None when it is gone."""
    try:
        return _used(pid, _content(f"/proc/{pid}/stat", _STAT))
    except (OSError, IndexError):
        return None


def _used(pid: int, stat: bytes) -> Usage:
    """What the file `stat` of a process says. Field numbers are those of proc(5), counted behind the command's name."""
    fields = stat.rpartition(b")")[2].split()
    cpu = _cpu_ns(pid)
    return Usage(
        cpu if cpu is not None else (int(fields[11]) + int(fields[12])) * _TICK_NS,
        int(fields[21]) * _PAGE,
        int(fields[17]),
        int(fields[7]),
        int(fields[9]),
    )


def _cpu_ns(pid: int) -> int | None:
    """CPU time in ns from the process's own clock (clock_getcpuclockid(3)); /proc counts in steps of 10 ms."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return None


def _children(pid: int) -> list[int]:
    """The direct children of all of a process's threads; empty when it is gone."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    for task in tasks:
        try:
            found += map(int, _content(f"/proc/{pid}/task/{task}/children", 1 << 16).split())
        except OSError:
            continue
    return found


_KERNEL_LISTS_CHILDREN = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists()


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, itself left out."""
    if not _KERNEL_LISTS_CHILDREN:
        try:
            return [process.pid for process in psutil.Process(pid).children(recursive=True)]
        except psutil.Error:
            return []
    found: list[int] = []
    todo = _children(pid)
    while todo:
        child = todo.pop()
        if child not in found:
            found.append(child)
            todo += _children(child)
    return found


@dataclass(frozen=True, slots=True)
class TreeUsage:
    """A process tree: CPU in % of one core since the reading before, faults since it was first read."""

    cpu: float | None  # None at the first reading
    rss: int  # pages shared within the tree count once for each process
    threads: int
    minor_faults: int
    major_faults: int


class Tree:
    """A process with its descendants, which are looked for once a second. Totals never fall when a child
    ends. It keeps each one's `stat` open.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._rescan = Every(SECOND)
        self._forks: int | None = None  # of the machine at the last scan
        self._files: dict[int, KeptFile] = {}
        self._last: dict[int, Usage] = {}
        self._others: list[int] = []
        self._read_at = 0
        self._minor = self._major = 0

    @property
    def pids(self) -> frozenset[int]:
        return frozenset((self.pid, *self._others))

    def read(self, at_ns: int, now_ns: int, forks: int | None = None) -> TreeUsage | None:
        """The tree's usage; None when its root is gone.

        `forks` is how often anything on this machine has started a process or thread: while that stays, no child is
        looked for, which takes 5 µs for each thread. None: not known.
        """
        if self._rescan.due(at_ns) and (forks is None or forks != self._forks):
            self._others, self._forks = descendants(self.pid), forks
        now: dict[int, Usage] = {}
        for pid in (self.pid, *self._others):
            found = self._usage(pid)
            if found is not None:
                now[pid] = found
        for pid in self._files.keys() - now.keys():
            self._files.pop(pid).close()
        if self.pid not in now:
            return None
        if len(now) <= len(self._others):
            # Ended, or not to be read just now: its number may be another child's, and is looked for again.
            self._others, self._forks = [pid for pid in self._others if pid in now], None
        spent = 0
        for pid, found in now.items():
            # A child's time before it was first seen is left out: it would look like a burst.
            before = self._last.get(pid, found)
            spent += max(found.cpu_ns - before.cpu_ns, 0)
            self._minor += max(found.minor_faults - before.minor_faults, 0)
            self._major += max(found.major_faults - before.major_faults, 0)
        elapsed = now_ns - self._read_at
        cpu = 100.0 * spent / elapsed if self._last and elapsed > 0 else None
        self._last, self._read_at = now, now_ns
        return TreeUsage(
            cpu,
            sum(found.rss for found in now.values()),
            sum(found.threads for found in now.values()),
            self._minor,
            self._major,
        )

    def _usage(self, pid: int) -> Usage | None:
        file = self._files.get(pid) or keep(f"/proc/{pid}/stat")
        if file is None:
            return None
        self._files[pid] = file
        try:
            return _used(pid, file.read(_STAT))
        except (OSError, IndexError):
            return None

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}
