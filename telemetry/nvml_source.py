"""The GPUs as a source of the sampler: every device of NVML's, each tier on its turn, through losses and
returns.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import psutil

from . import gpu_facts, processes, tenants
from .gpm import SHORTEST_NS
from .gpu_reader import PLACES, GpuReader, Readings
from .metrics import SECOND, Every, Level, MetricSpec, Value
from .nvml import Device, Nvml

GPM_NS = SECOND // 2
WHOLE_NS = 2 * SECOND  # of GPM's metrics that are not asked for each time
STATIC_NS = 10 * SECOND
RATED_NS = 60 * SECOND
PROCESSES_NS = 5 * SECOND
LIGHT_SLOW_NS = 5 * SECOND
RETRY_NS, LONGEST_RETRY_NS = 5 * SECOND, 60 * SECOND
SLOW_LIMIT_NS, MOVES = 6_000_000, 3
"""On an H100 the driver spins for 3 ms on the energy counter, but for 15 where the call meets its own cycle
of 100 ms, and ticks keep step with that. A turn longer than the limit moves by a tick, so many times in a row
at most.
"""


class NvmlSource:
    """Readings of every GPU that NVML lists. Without one it has no rows, and `reason()` says why.

    Making it takes 0.1 to 0.3 s with a GPU: everything is read twice, so that the table says what can never
    be read.
    """

    name = "NVML"

    def __init__(
        self,
        interval_ns: int = SECOND // 4,
        nvml: Nvml | None = None,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], object] = time.sleep,
        blind: str | None = None,
    ) -> None:
        self.nvml = Nvml() if nvml is None else nvml
        self._interval = interval_ns
        self._clock = clock
        self._moves = 0
        self._below: set[int] = set()  # this process and what was below it at the last look
        self._gone: set[int] = set()  # what was below it once, has ended, and is still listed
        self._messages: list[str] = []
        self._looking = True
        self.set_level("full")
        self._retry_ns = RETRY_NS
        self._retry_turn: Every | None = None
        blind = tenants.blindness() if blind is None else blind
        self.readers = [GpuReader(self.nvml, device, clock, blind) for device in self.nvml.devices]
        self.specs: list[MetricSpec] = []
        first = [self._everything(reader) for reader in self.readers]
        if self.readers:
            sleep((SHORTEST_NS + SHORTEST_NS // 10) / 1e9)
        for reader, readings in zip(self.readers, first, strict=True):
            self.specs += reader.settle(readings | reader.gpm.read(clock()))

    @property
    def calls(self) -> int:
        return self.nvml.calls

    def reason(self) -> str:
        """Why there is no GPU to read, one sentence; empty where there is one."""
        return self.nvml.reason()

    def facts(self) -> list[dict[str, object]]:
        """The devices for the header."""
        return gpu_facts.facts(self.nvml)

    def tenants(self, uuid: str) -> tenants.Tenants:
        """The processes on a device when they were last looked at; asked for a device that is not there,
        unknown.
        """
        for reader in self.readers:
            if reader.device.uuid == uuid:
                return reader.tenants
        return tenants.Tenants()

    def set_worker(self, pid: int | None) -> None:
        """Which of our processes is measured makes no difference here."""

    def look(self) -> None:
        """Look at the processes at the next tick."""
        self._looking = True

    def set_level(self, level: Level) -> None:
        """`light`: the driver's cache each tick, clocks and counters every 5 s, processes when they are asked for;
        no GPM, and no call that blocks.
        """
        self._full = level == "full"
        # GPM every second tick; dear turns each on a tick of its own, so that no tick carries them all.
        self._gpm_turn = Every(GPM_NS)
        self._whole_turn = Every(WHOLE_NS)
        self._slow_turn = Every(SECOND if self._full else LIGHT_SLOW_NS, self._interval)
        self._static_turn = Every(STATIC_NS)
        self._rated_turn = Every(RATED_NS)
        self._legacy_turn = Every(SECOND, 3 * self._interval)
        self._people_turn = Every(PROCESSES_NS)

    def messages(self) -> list[str]:
        told, self._messages = self._messages, []
        return told

    def close(self) -> None:
        for reader in self.readers:
            reader.close()
        self.nvml.close()

    def read(self, at_ns: int, now_ns: int) -> Sequence[Value]:
        slow, static, rated = (
            turn.due(at_ns) for turn in (self._slow_turn, self._static_turn, self._rated_turn)
        )
        gpm, legacy, people = (
            self._full and turn.due(at_ns) for turn in (self._gpm_turn, self._legacy_turn, self._people_turn)
        )
        whole = gpm and self._whole_turn.due(at_ns)
        if self._looking:
            self._looking, people = False, True
        self._recover(at_ns)
        own = self._own() if people else frozenset()
        values: list[Value] = []
        slow_ns = 0
        for reader in self.readers:
            readings: Readings = {}
            if not reader.device.lost:
                readings = reader.cheap()
                if gpm:
                    readings |= reader.monitor(readings["util"], whole)
                if slow:
                    began = self._clock()
                    readings |= reader.slow()
                    slow_ns = max(slow_ns, self._clock() - began)
                if static:
                    readings |= reader.static()
                if rated:
                    readings |= reader.rated()
                if legacy and reader.pcie_source == "legacy":
                    readings |= reader.legacy()
                if people:
                    readings |= reader.people(own)
                if reader.device.lost:
                    self._lose(reader.device)
            values += _row(readings)
        if slow:
            self._dodge(slow_ns)
        if people:
            self._forget()
        return values

    def _dodge(self, slow_ns: int) -> None:
        """Move the slow turn by a tick where it met the driver at a bad moment."""
        self._moves = self._moves + 1 if slow_ns > SLOW_LIMIT_NS else 0
        if 0 < self._moves <= MOVES:
            self._slow_turn.shift(self._interval)

    def read_all(self) -> Sequence[Value]:
        """One value for each row, every tier read now; the time since the source was made is what rates are
        over.
        """
        values: list[Value] = []
        for reader in self.readers:
            readings = self._everything(reader)
            if reader.pcie_source == "legacy":
                readings |= reader.legacy() | reader.legacy()
            values += _row(readings)
        return values

    def _everything(self, reader: GpuReader) -> Readings:
        cheap = reader.cheap()
        return (
            cheap
            | reader.slow()
            | reader.static()
            | reader.rated()
            | reader.people(self._own())
            | reader.monitor(cheap["util"])
        )

    def _own(self) -> frozenset[int]:
        """This process and all below it, parked workers included. The driver lists a process for a moment after
        its end: what was below us stays ours until then.
        """
        below = {os.getpid(), *processes.descendants(os.getpid())}
        before = (self._below | self._gone) - below
        self._gone = {pid for pid in before if not psutil.pid_exists(pid)}
        self._below = below
        return frozenset(below | self._gone)

    def _forget(self) -> None:
        """Of those that have ended only what the driver still lists can be taken for somebody else's."""
        self._gone &= {process.pid for reader in self.readers for process in reader.tenants.processes}

    def _lose(self, device: Device) -> None:
        self._messages.append(f"GPU {device.index} ({device.name}) is lost: {device.lost}")
        if self._retry_turn is None:
            self._retry_ns = RETRY_NS
            self._retry_turn = Every(self._retry_ns, self._retry_ns)

    def _recover(self, at_ns: int) -> None:
        """While a GPU is lost, start NVML anew after 5 s, then ever less often, and take every device by its
        UUID.
        """
        if self._retry_turn is None or not self._retry_turn.due(at_ns):
            return
        lost = [reader for reader in self.readers if reader.device.lost]
        self.nvml.restart()
        for reader in self.readers:
            device = reader.device
            if device.lost and reader not in lost:
                self._messages.append(f"GPU {device.index} ({device.name}) is lost: {device.lost}")
            elif not device.lost:
                reader.again()
                if reader in lost:
                    self._messages.append(f"GPU {device.index} ({device.name}) is back")
        if any(reader.device.lost for reader in self.readers):
            self._retry_ns = min(2 * self._retry_ns, LONGEST_RETRY_NS)
            self._retry_turn = Every(self._retry_ns, self._retry_ns)
            self._retry_turn.due(at_ns)
        else:
            self._retry_turn = None


def _row(readings: Readings) -> list[Value]:
    """One device's part of the table's values; None for what was not read."""
    values: list[Value] = [None] * len(PLACES)
    for name, reading in readings.items():
        values[PLACES[name]] = reading.value
    return values
