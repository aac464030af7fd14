"""The processes of the machine as a table: who holds memory of which GPU, and what each uses of the host.

Looking through /proc costs some 15 µs a process. The next look waits for at least a hundred times what the last one took, so that a
machine of thousands of processes is looked at less often and the share of a core stays below 1 %.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psutil

from . import processes
from .metrics import SECOND
from .tenants import Tenants

PERIOD_NS = 2 * SECOND
MOST = 64
"""GPU processes of a table; a machine of more has them left out, those with the least memory first."""

BUSIEST = 12
"""Processes of the host that stand in the table for their CPU time alone."""

_SPARING = 100


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process. What this place cannot see of it is None, and its name empty."""

    pid: int
    name: str = ""
    gpus: Mapping[str, int | None] = field(default_factory=dict)
    """GPU → bytes of its memory; None where the driver does not say how many."""
    cpu: float | None = None  # % of one core since the table before
    rss: int | None = None  # bytes
    own: bool = False  # infertop's own


@dataclass(frozen=True, slots=True)
class Table:
    """`unknown` says of a GPU why there may be more on it, or others, than are listed."""

    rows: tuple[ProcessRow, ...]
    unknown: Mapping[str, str]
    count: int | None  # processes of the host that were looked through; None where they cannot be


class ProcessTable:
    """Makes tables; between two of them it keeps what each process had used."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._parent = os.getppid()  # the screen that started us, as long as it lives
        self._next: int | None = None
        self._before: dict[int, int] = {}  # CPU time used, ns
        self._at = 0

    def read(self, tenants: Mapping[str, Tenants]) -> Table | None:
        """The table now, of the GPUs' processes as they were last listed; None while it is not due."""
        now = self._clock()
        if self._next is not None and now < self._next:
            return None
        host = self._host()
        elapsed, self._at = now - self._at, now
        before, self._before = self._before, {pid: found.cpu_ns for pid, found in host.items()}
        shares = {
            pid: 100.0 * max(found.cpu_ns - before[pid], 0) / elapsed
            for pid, found in host.items()
            if pid in before and elapsed > 0
        }
        rows = _on_gpus(tenants, host, shares)
        listed = {row.pid for row in rows if row.name}
        own = {os.getpid(), *processes.descendants(os.getpid())}
        own |= {self._parent} if self._parent == os.getppid() else set()
        busiest = sorted((pid for pid in shares if pid not in listed), key=lambda pid: -shares[pid])
        rows += [
            ProcessRow(pid, _name(pid), {}, shares[pid], host[pid].rss, pid in own)
            for pid in busiest[:BUSIEST]
            if shares[pid] > 0
        ]
        self._next = now + max(PERIOD_NS, _SPARING * (self._clock() - now))
        unknown = {gpu: found.unknown for gpu, found in tenants.items() if found.unknown}
        return Table(tuple(rows), unknown, len(host) or None)

    @staticmethod
    def _host() -> dict[int, processes.Usage]:
        """Every process of this place that has memory (kernel threads have none)."""
        if not processes.available():
            return {}
        found = ((int(name), processes.usage(int(name))) for name in os.listdir("/proc") if name.isdigit())
        return {pid: usage for pid, usage in found if usage is not None and usage.rss}


def _on_gpus(
    tenants: Mapping[str, Tenants], host: Mapping[int, processes.Usage], shares: Mapping[int, float]
) -> list[ProcessRow]:
    """Those that hold memory of a GPU, most first. Where ids are another namespace's they are nobody's here."""
    gpus: dict[int, dict[str, int | None]] = {}
    known: dict[int, tuple[str, bool, bool]] = {}
    for gpu, found in tenants.items():
        for process in found.processes:
            gpus.setdefault(process.pid, {})[gpu] = process.memory
            known[process.pid] = (process.name, process.own, not found.unknown)
    rows = []
    for pid, memory in gpus.items():
        name, own, ours = known[pid]
        usage = host.get(pid) if ours else None
        cpu = shares.get(pid) if ours else None
        rows.append(ProcessRow(pid, name, memory, cpu, usage.rss if usage else None, own))
    rows.sort(key=lambda row: (-sum(used or 0 for used in row.gpus.values()), row.pid))
    return rows[:MOST]


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""
