"""The logical cores that this process may use: how busy each was, and how fast a few of them run.

On Linux both come from files that stay open, of which no more is gone through than is needed; elsewhere psutil is
asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from .kept import keep

_FEW = 4  # cores whose frequency is read: asking a core for its own may wake it
_CLOCK = re.compile(rb"processor\s*: (\d+)\n.*?\ncpu MHz\s*: ([\d.]+)\n", re.DOTALL)
_LONGEST = 1 << 22  # bytes of /proc/stat and /proc/cpuinfo

Time = tuple[float, float]
"""Busy and total time since boot, in whatever unit the system counts."""


def allowed_cores() -> list[int]:
    """The logical cores that this process may run on, by number."""
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return list(range(os.cpu_count() or 1))


class Cores:
    """Reads how busy the allowed cores were. `root` is where /proc is looked for.

    `forks` is how many processes and threads this machine had started by the last reading; None where that is not
    told.
    """

    def __init__(self, root: Path, allowed: Sequence[int]) -> None:
        self.forks: int | None = None
        self._allowed = allowed
        self._named = {b"cpu%d" % core: core for core in allowed}
        self._file = keep(root / "proc/stat")
        text = self._file.read(_LONGEST) if self._file else b""
        self._size = 2 * len(text)  # its numbers grow
        self._all = len(re.findall(rb"^cpu\d", text, re.MULTILINE)) == len(allowed)
        self._before: tuple[int, Time] | None = None  # count of the cores, and their time together
        self._each: dict[int, Time] = {}  # when each was read before

    def read(self, each: bool) -> tuple[float | None, dict[int, float | None]]:
        """%: all together since the reading before; where wanted each one since it was read before. At first nothing.

        A core that is switched on or off meanwhile spoils nothing: what was before it says nothing of what is after.
        """
        count, together, cores = self._times(each)
        before, self._before = self._before, (count, together)
        share = _percent(before[1], together) if before is not None and before[0] == count else None
        if not each:
            return share, {}
        last, self._each = self._each, cores
        return share, {core: _percent(last[core], now) for core, now in cores.items() if core in last}

    def _times(self, each: bool) -> tuple[int, Time, dict[int, Time]]:
        """How many cores, their time together, and that of each where it is wanted or needed."""
        cores: dict[int, Time] = {}
        if self._file is None:
            times = psutil.cpu_times(percpu=True)
            cores = {core: _psutil_time(times[core]) for core in self._allowed if core < len(times)}
        else:
            text = self._file.read(self._size)
            self.forks = _forks(text)
            if each or not self._all:
                for line in text.splitlines():
                    fields = line.split(None, 9)
                    if fields[0] in self._named:
                        cores[self._named[fields[0]]] = _time(fields)
            if self._all:  # the first line is of all the machine's cores together
                return len(self._allowed), _time(text.split(None, 9)), cores
        busy, total = map(sum, zip(*cores.values(), strict=True)) if cores else (0.0, 0.0)
        return len(cores), (busy, total), cores

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Frequency:
    """Reads how fast a few of the allowed cores run. `source` says whence; it is empty where the system does not tell.

    Where cores have no file of their own, x86 tells it in /proc/cpuinfo. The kernel writes a core's part when it is
    asked for, and takes 10 µs for it, so that no more is read than holds the few.
    """

    def __init__(self, root: Path, allowed: Sequence[int]) -> None:
        self._allowed = frozenset(allowed)
        step = max(len(allowed) // _FEW, 1)
        folder = root / "sys/devices/system/cpu"
        own = (keep(folder / f"cpu{core}/cpufreq/scaling_cur_freq") for core in allowed[::step][:_FEW])
        self._own = [file for file in own if file is not None]
        self._cpuinfo = None if self._own else keep(root / "proc/cpuinfo")
        self._size = _LONGEST
        listed = self._listed()[:_FEW]
        end = listed[-1].end() if listed else 0
        self._size = end + end // 16  # the numbers in it may become longer
        self._ask_psutil = not self._own and not listed and _psutil_frequency() is not None
        self.source = "psutil" if self._ask_psutil else ""
        if self._own or listed:
            self.source = f"mean of {len(self._own or listed)} cores"

    @property
    def calls(self) -> int:
        """How many cores or files a reading asks, about."""
        return max(len(self._own), 1)

    def read(self) -> float | None:
        """MHz, the mean of those that tell it now."""
        if self._ask_psutil:
            return _psutil_frequency()
        found = [float(part[2]) for part in self._listed()]
        for file in self._own:
            try:
                found.append(int(file.read(64)) / 1000)
            except (OSError, ValueError):
                continue  # an idle core may refuse
        return sum(found) / len(found) if found else None

    def _listed(self) -> list[re.Match[bytes]]:
        """The allowed cores' parts of what is read of /proc/cpuinfo, each up to its clock."""
        text = self._cpuinfo.read_on(self._size) if self._cpuinfo is not None else b""
        return [part for part in _CLOCK.finditer(text) if int(part[1]) in self._allowed]

    def close(self) -> None:
        for file in (*self._own, self._cpuinfo):
            if file is not None:
                file.close()
        self._own, self._cpuinfo = [], None


def _time(fields: Sequence[bytes]) -> Time:
    """Of a line of /proc/stat (proc_stat(5)). A guest's time is within the user's; waiting for a disk is idle."""
    user, nice, system, idle, iowait, irq, softirq, steal = map(int, fields[1:9])
    busy = user + nice + system + irq + softirq + steal
    return busy, busy + idle + iowait


def _forks(text: bytes) -> int | None:
    """The line `processes` of /proc/stat; a sandbox that does not count says 0."""
    at = text.rfind(b"\nprocesses ")
    return int(text[at:].split(None, 2)[1]) or None if at >= 0 else None


def _psutil_time(times: Any) -> Time:
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


def _percent(old: Time, new: Time) -> float | None:
    """None where no time has passed; the kernel's idle counters may run back a little."""
    busy, total = new[0] - old[0], new[1] - old[1]
    return min(max(100.0 * busy / total, 0.0), 100.0) if total > 0 else None


def _psutil_frequency() -> float | None:
    """MHz as psutil finds it; None where the system tells none, for which psutil has several ways of saying so."""
    try:
        found = psutil.cpu_freq()
    except (AttributeError, NotImplementedError, OSError, RuntimeError):
        return None
    return float(found.current) if found is not None and found.current else None
