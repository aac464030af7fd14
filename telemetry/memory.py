"""The machine's memory and what this process holds of it: on Linux from files that stay open, elsewhere from psutil."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psutil

from .kept import keep

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_MEMINFO = re.compile(rb"MemTotal: +(\d+) kB\nMemFree: .*\nMemAvailable: +(\d+) kB\n")  # since Linux 3.14


class Memory:
    """`root` is where /proc is looked for."""

    def __init__(self, root: Path) -> None:
        self._machine = keep(root / "proc/meminfo")
        self._own = keep(root / "proc/self/statm")
        self._process = psutil.Process()

    def machine(self) -> tuple[int, int]:
        """Total and available, bytes. What the kernel of a container says of the latter may be nonsense: then psutil is
        asked, which knows what to make of it.
        """
        found = _MEMINFO.match(self._machine.read(256)) if self._machine else None
        if found is not None and 0 < int(found[2]) <= int(found[1]):
            return int(found[1]) << 10, int(found[2]) << 10
        memory = psutil.virtual_memory()
        return memory.total, memory.available

    def own(self) -> int:
        """Bytes of this process that are in memory."""
        if self._own is not None:
            return int(self._own.read(128).split(None, 2)[1]) * _PAGE  # proc_pid_statm(5)
        return int(self._process.memory_info().rss)

    def close(self) -> None:
        for file in (self._machine, self._own):
            if file is not None:
                file.close()
        self._machine = self._own = None
