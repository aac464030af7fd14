"""The machine beside the GPU: processor, memory, load, limits, and the processes that measure and are
measured.

Two turns keep it at a tenth of a percent of a core at four ticks a second: what shows a stall (processor,
worker, engine) each tick, the rest each second. Between two ticks the caches have forgotten all of it, so that what
counts is how much code and how many files a reading goes through.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from . import cgroup, numa, processes
from .cores import Cores, Frequency, allowed_cores
from .kept import keep
from .memory import Memory
from .metrics import SECOND, Every, Level, MetricSpec, Value

_MANY_CORES = 32  # above, reading all of them each tick would cost too much
_HAS_LOAD = hasattr(os, "getloadavg")


class HostSource:
    """Readings of host, worker and engine; `root` is where /proc and /sys are looked for (a test lays out its
    own).
    """

    name = "host"

    def __init__(self, root: Path = Path("/")) -> None:
        self.calls = 0
        self._root = root
        self._allowed = allowed_cores()
        self._slow = Every(SECOND)
        self._cores_turn = Every(SECOND if len(self._allowed) > _MANY_CORES else 1)
        self._limits = cgroup.read_limits(root)
        self._cores = Cores(root, self._allowed)
        self._frequency = Frequency(root, self._allowed)
        self._memory = Memory(root)
        self._pressure = keep(root / "proc/pressure/cpu")
        self._engine: tuple[int, int] | None = None  # CPU and wall time before, ns
        self._worker: int | None = None
        self._proc = processes.available()
        self._tree: processes.Tree | None = None
        self.specs = self._describe()
        self._place = {spec.id: place for place, spec in enumerate(self.specs)}

    def _describe(self) -> list[MetricSpec]:
        proc = self._proc, "read from /proc, which this system does not have"
        quota = self._limits.cores is not None, "no CPU quota is set"
        pressure = MetricSpec("host.pressure_cpu", "%", 0.01, source="/proc/pressure/cpu: some, 10 s")
        return [
            MetricSpec("host.cpu", "%", 0.1, source=f"of {len(self._allowed)} allowed cores"),
            *(MetricSpec(f"host.core{core}", "%", 0.1) for core in self._allowed),
            MetricSpec("host.memory_used", "B", 1e6, source="total less available"),
            MetricSpec("host.memory_available", "B", 1e6),
            MetricSpec("host.load1", "1", 0.01).unless(_HAS_LOAD, "this system has no load average"),
            MetricSpec("host.frequency", "MHz", source=self._frequency.source).unless(
                bool(self._frequency.source), "the system does not tell the cores' frequency"
            ),
            MetricSpec("host.quota", "cores", 0.01, source="cgroup").unless(*quota),
            MetricSpec("host.quota_throttled", "ns", counter=True, source="cgroup cpu.stat").unless(*quota),
            pressure.unless(self._pressure is not None, "the kernel does not report pressure stalls"),
            MetricSpec("worker.cpu", "%", 0.1, source="of one core, the whole process tree").unless(*proc),
            MetricSpec("worker.rss", "B", 1e6).unless(*proc),
            MetricSpec("worker.threads", "1").unless(*proc),
            MetricSpec("worker.minor_faults", "1", counter=True).unless(*proc),
            MetricSpec("worker.major_faults", "1", counter=True).unless(*proc),
            MetricSpec("engine.cpu", "%", 0.1, source="of one core"),
            MetricSpec("engine.rss", "B", 1e5),
        ]

    def set_worker(self, pid: int | None) -> None:
        self._worker = pid

    def look(self) -> None:
        """Nothing here is read so seldom."""

    def set_level(self, level: Level) -> None:
        """It is cheap at any."""

    def messages(self) -> list[str]:
        return []

    def close(self) -> None:
        for each in (self._cores, self._frequency, self._memory, self._pressure, self._tree):
            if each is not None:
                each.close()
        self._pressure = self._tree = None

    def read(self, at_ns: int, now_ns: int) -> Sequence[Value]:
        values: list[Value] = [None] * len(self.specs)

        def put(name: str, value: Value) -> None:
            values[self._place[name]] = value

        slow = self._slow.due(at_ns)
        if self._cores_turn.due(at_ns):
            self._read_cores(put, slow)
        self._read_worker(put, at_ns, now_ns)
        self._read_engine(put, now_ns, slow)
        if slow:
            self._read_slow(put)
        return values

    def _read_cores(self, put: Callable[[str, Value], None], slow: bool) -> None:
        """The processor: all allowed cores together now, each over the last second. Nothing at the first
        reading.
        """
        self.calls += 1
        together, each = self._cores.read(slow)
        put("host.cpu", together)
        for core, share in each.items():
            put(f"host.core{core}", share)

    def _read_worker(self, put: Callable[[str, Value], None], at_ns: int, now_ns: int) -> None:
        pid = self._worker if self._proc else None
        if self._tree is not None and self._tree.pid != pid:
            self._tree.close()
            self._tree = None
        if pid is None:
            return
        if self._tree is None:
            self._tree = processes.Tree(pid)
        found = self._tree.read(at_ns, now_ns, self._cores.forks)
        self.calls += len(self._tree.pids)
        if found is not None:
            put("worker.cpu", found.cpu)
            put("worker.rss", found.rss)
            put("worker.threads", found.threads)
            put("worker.minor_faults", found.minor_faults)
            put("worker.major_faults", found.major_faults)

    def _read_engine(self, put: Callable[[str, Value], None], now_ns: int, slow: bool) -> None:
        spent = time.process_time_ns()
        if self._engine is not None and now_ns > self._engine[1]:
            put("engine.cpu", 100.0 * (spent - self._engine[0]) / (now_ns - self._engine[1]))
        self._engine = (spent, now_ns)
        if slow:
            self.calls += 1
            put("engine.rss", self._memory.own())

    def _read_slow(self, put: Callable[[str, Value], None]) -> None:
        self.calls += 2
        total, available = self._memory.machine()
        put("host.memory_used", total - available)
        put("host.memory_available", available)
        if _HAS_LOAD:
            put("host.load1", os.getloadavg()[0])
        self.calls += self._frequency.calls
        put("host.frequency", self._frequency.read())
        if self._limits.cores is not None:
            put("host.quota", self._limits.cores)
            if self._limits.throttled is not None:
                self.calls += 1
                put("host.quota_throttled", cgroup.throttled_ns(self._limits.throttled))
        if self._pressure is not None:
            self.calls += 1
            put("host.pressure_cpu", _some_avg10(self._pressure.read(256)))


def _some_avg10(text: bytes) -> float | None:
    """The share of the last 10 s in which some task waited for a core, %: `some avg10=…` of a pressure file."""
    found = re.search(rb"some avg10=([\d.]+)", text)
    return float(found[1]) if found else None


def facts(root: Path = Path("/")) -> dict[str, Any]:
    """What the header says of this machine; null for what it does not tell."""
    limits = cgroup.read_limits(root)
    return {
        "hostname": platform.node(),
        "os": _os_name(root),
        "kernel": platform.release(),
        "cpu": _cpu_model(root),
        "cores": {"physical": psutil.cpu_count(logical=False), "logical": psutil.cpu_count()},
        "allowed_cores": allowed_cores(),
        "quota": limits.cores,
        "memory": psutil.virtual_memory().total,
        "memory_limit": limits.memory,
        "python": platform.python_version(),
        "container": container(root),
        "numa": numa_nodes(root),
        "numa_distances": numa.distances(root),
    }


def _os_name(root: Path) -> str:
    try:
        text = (root / "etc/os-release").read_text("utf-8", "replace")
    except OSError:
        return f"{platform.system()} {platform.release()}"
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', text, re.MULTILINE)
    return found[1] if found else platform.system()


def _cpu_model(root: Path) -> str | None:
    """The processor's name; Arm kernels give none in /proc/cpuinfo."""
    try:
        text = (root / "proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return platform.processor() or None
    found = re.search(r"^(?:model name|Model|cpu)\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine() or None


def container(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> str | None:
    """What this process is shut in: "kubernetes", "podman", "docker", "wsl2", or None."""
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    try:
        version = (root / "proc/version").read_text("utf-8", "replace").lower()
    except OSError:
        return None
    return "wsl2" if "microsoft" in version else None


def numa_nodes(root: Path = Path("/")) -> dict[str, str]:
    """Node → its cores as the kernel writes them ("0-15,32-47"); empty where it does not tell."""
    nodes: dict[str, str] = {}
    for folder in sorted((root / "sys/devices/system/node").glob("node[0-9]*")):
        try:
            nodes[folder.name[4:]] = (folder / "cpulist").read_text().strip()
        except OSError:
            continue
    return nodes
