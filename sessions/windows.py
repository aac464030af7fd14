"""Windows of a run out of the records of its log: what the diagnosis looks at, the same live as in a replay.

Stage means come from the second's histograms, readings from the ticks since the window before. Nothing else goes in, so that a recording
gives the same windows again, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..backends import loads
from ..backends.configuration import Configuration
from ..backends.errors import MeasureError
from ..telemetry.histogram import Counts
from ..telemetry.verdict_window import (
    LEAST_REQUESTS,
    LEAST_TICKS,
    Choice,
    Gpu,
    Host,
    Link,
    Stages,
    Window,
    Work,
)
from .records import STAGES, Header, Metric, Run, Tick

GPU_READINGS = {
    "util": "util", "sm_active": "sm_active", "tensor": "tensor_active", "fp16": "fp16", "fp32": "fp32", "fp64": "fp64", "dram": "dram_active",
    "rx": "pcie_rx", "tx": "pcie_tx", "power": "power", "power_limit": "power_limit", "clock": "clock_sm", "other_memory": "other_memory",
}  # fmt: skip
"""Field of a `Gpu` → the metric behind the device's prefix."""

SETTINGS = ("power_limit", "clock_max", "pcie_ceiling")
"""Read seldom, and first when nobody knows yet which GPU a run will use: followed of each."""

POWER_COUNTERS, THERMAL_COUNTERS = (
    ("throttle_power", "throttle_brake"),
    ("throttle_thermal", "throttle_hw_thermal"),
)

MOST_CORES = 1e4

STALE_NS = 12_000_000_000
"""Everything but settings is read at least each 10 s: what is older is of a device that is lost, and speaks for nothing."""


class Readings:
    """The newest value of each metric, the means since the last `clear`, and of counters the change a second."""

    def __init__(self, table: Sequence[Metric]) -> None:
        self.place = {metric.id: i for i, metric in enumerate(table)}
        self._newest: dict[int, float] = {}
        self._last: dict[int, int] = {}  # of each value: when it was read
        self._now = 0
        self._settings = {i for i, m in enumerate(table) if m.id.rpartition(".")[2] in SETTINGS}
        self._sum: dict[int, float] = {}
        self._count: dict[int, int] = {}
        self._read: dict[int, tuple[int, float]] = {}  # of each counter: when and what it was last
        self._rate: dict[int, float] = {}
        self._counters = {i for i, metric in enumerate(table) if metric.counter}
        self._wanted: list[int] = []

    def follow(self, names: Sequence[str]) -> None:
        """Read these from now on, as far as there are such metrics."""
        self._wanted = sorted({self.place[name] for name in names if name in self.place})

    def add(self, t: int, values: Sequence[float | int | None]) -> None:
        self._now = t
        for i in self._wanted:
            value = values[i] if i < len(values) else None
            if value is None:
                continue
            self._last[i] = t
            if i in self._counters:
                before = self._read.get(i)
                if before is not None and value >= before[1] and t > before[0]:
                    self._rate[i] = (value - before[1]) / (t - before[0]) * 1e9
                self._read[i] = (t, value)
                continue
            self._newest[i] = value
            self._sum[i] = self._sum.get(i, 0.0) + value
            self._count[i] = self._count.get(i, 0) + 1

    def clear(self) -> None:
        self._sum, self._count = {}, {}

    def forget(self) -> None:
        """Nothing is read from now on: what was is not to stand for what is."""
        self.clear()
        self._newest, self._last, self._read, self._rate = {}, {}, {}, {}

    def rebase(self, shift: int) -> None:
        """Count times from a moment `shift` ns later."""
        self._read = {i: (t - shift, value) for i, (t, value) in self._read.items()}
        self._last = {i: t - shift for i, t in self._last.items()}
        self._now -= shift

    def _known(self, i: int) -> bool:
        return i in self._last and (i in self._settings or self._now - self._last[i] <= STALE_NS)

    def newest(self, name: str) -> float | None:
        i = self.place.get(name, -1)
        return self._newest.get(i) if self._known(i) else None

    def mean(self, name: str) -> float | None:
        """Over the ticks since the last `clear`; the newest before them where it was not read in those."""
        i = self.place.get(name, -1)
        return self._sum[i] / self._count[i] if i in self._count else self.newest(name)

    def rate(self, names: Sequence[str]) -> float | None:
        """The change a second of the fastest of some counters."""
        places = [self.place.get(name, -1) for name in names]
        return max((self._rate[i] for i in places if i in self._rate and self._known(i)), default=None)


class Windows:
    """Follows the records of a session and gives a window whenever one is full."""

    def __init__(self) -> None:
        self._header: Header | None = None
        self._readings = Readings(())
        self._highest: dict[str, float] = {}  # clock of each GPU, MHz
        self._restart()
        self.run = Run(t=0, run=0, phase="end")
        """The present run, what is known of it merged into one record."""

    def _restart(self) -> None:
        self._stage: dict[str, list[Counts]] = {}
        self._ticks = self._requests = 0
        self._since: int | None = None
        self._fastest: float | None = None

    def begin(self, header: Header) -> None:
        """A segment begins: its metric table and its clock hold from now on."""
        before, self._header = self._header, header
        if before is not None and before.pid == header.pid and before.metrics == header.metrics:
            self._rebase(header.clock.monotonic - before.clock.monotonic)
            return
        self._readings = Readings(header.metrics)
        self._follow(self.run.gpu)

    def _rebase(self, shift: int) -> None:
        """The engine goes on in another segment, whose times are counted from a clock pair that is `shift` ns later."""
        self._readings.rebase(shift)
        self._since = None if self._since is None else self._since - shift

    def _follow(self, gpu: str | None) -> None:
        host = (
            "host.cpu",
            "worker.cpu",
            "engine.cpu",
            "host.pressure_cpu",
            "host.quota",
            "host.quota_throttled",
        )
        own = [
            name
            for name in self._readings.place
            if name.startswith("gpu") and name.partition(".")[2] in SETTINGS
        ]
        if gpu is not None:
            names = (*GPU_READINGS.values(), *POWER_COUNTERS, *THERMAL_COUNTERS, "reasons")
            own += [f"{gpu}.{name}" for name in names]
        self._readings.follow([*host, *own])

    def enter(self, run: Run) -> None:
        """The present run has entered a phase; `run` is all that is known of it."""
        if run.run != self.run.run:
            self._restart()
            self._readings.clear()
        if run.gpu != self.run.gpu:
            self._follow(run.gpu)
        if run.phase == "measure" and self._since is None:
            self._since = run.t
            self._readings.clear()
        self.run = run

    def forget(self) -> None:
        """Telemetry is off."""
        self._readings.forget()

    def take(self, tick: Tick) -> Window | None:
        """The next tick; a window where it fills one."""
        self._readings.add(tick.t, tick.m)
        measuring = self.run.phase == "measure" and tick.run == self.run.run
        if not measuring:
            return None
        self._ticks += 1
        self._requests += tick.done
        if not tick.h:
            return None
        self._add(tick.h)
        if self._ticks < LEAST_TICKS or self._requests < LEAST_REQUESTS or "service" not in self._stage:
            return None
        window = self._window(tick.t)
        self._stage, self._ticks, self._requests, self._since = {}, 0, 0, tick.t
        self._readings.clear()
        return window

    def _add(self, blobs: Mapping[str, str]) -> None:
        for name, blob in blobs.items():
            try:
                counts = Counts.decode(blob)
            except ValueError:
                continue  # a damaged recording: the window has one second less of it
            if name == "warmup":
                self._requests = max(0, self._requests - counts.n)
            else:
                self._stage.setdefault(name, []).append(counts)

    def _mean(self, name: str) -> float | None:
        parts = self._stage.get(name)
        if not parts:
            return None
        n = sum(part.n for part in parts)
        return sum(part.mean * part.n for part in parts) / n if n else None

    def _window(self, t: int) -> Window:
        run = self.run
        configuration = run.configuration or Configuration("?", "?")
        seconds = (t - (self._since or 0)) / 1e9
        service = self._mean("service") or 0.0
        try:
            load = loads.parse(configuration.load)
        except MeasureError:
            load = loads.Load("closed")
        busy = min(1.0, service / 1e9 * self._requests / seconds / load.slots) if seconds > 0 else 0.0
        timed = self._stage.get("compute") or self._stage.get("gap") or []
        stages = Stages(sum(part.n for part in timed), **{name: self._mean(name) for name in STAGES})
        fastest = self._fastest
        if stages.compute is not None:
            self._fastest = min(stages.compute, fastest or stages.compute)
        nodes = run.placement or {}
        cpu_nodes = sum(count for name, count in nodes.items() if name.startswith("CPU"))
        return Window(
            seconds=seconds,
            ticks=self._ticks,
            requests=self._requests,
            service=service,
            busy=busy,
            choice=choice_of(configuration),
            stages=stages,
            device=configuration.device,
            batched=configuration.batch is not None,
            floats=_widest([str(item.get("dtype")) for item in run.inputs or ()]),
            bytes_in=run.bytes_in,
            bytes_out=run.bytes_out,
            link=self._link(),
            work=work_of(run.work, run.peaks),
            gpu=self._gpu(),
            host=self._host(),
            fallback=run.fallback,
            on_cpu=cpu_nodes / sum(nodes.values()) if nodes and sum(nodes.values()) else None,
            asked_rate=load.rate,
            response=self._mean("response"),
            fastest_compute=fastest,
        )

    def _link(self) -> Link:
        measured = {name: rate for name, rate in (self.run.link or {}).items() if name in Link.__slots__}
        ceiling = f"{self.run.gpu}.pcie_ceiling"
        return Link(**{**measured, "theoretical": self._readings.newest(ceiling)})

    def _gpu(self) -> Gpu | None:
        gpu, readings = self.run.gpu, self._readings
        if gpu is None:
            return None
        known = {field: readings.mean(f"{gpu}.{name}") for field, name in GPU_READINGS.items()}
        if known["clock"] is not None:
            self._highest[gpu] = max(known["clock"], self._highest.get(gpu, 0.0))
        reasons = readings.newest(f"{gpu}.reasons")
        return Gpu(
            **known,
            clock_highest=readings.newest(f"{gpu}.clock_max") or self._highest.get(gpu),
            clock_rated=readings.newest(f"{gpu}.clock_max") is not None,
            power_capped=_share(readings.rate([f"{gpu}.{name}" for name in POWER_COUNTERS])),
            thermal_capped=_share(readings.rate([f"{gpu}.{name}" for name in THERMAL_COUNTERS])),
            reasons=None if reasons is None else int(reasons),
            quiet_util=(self.run.quiet or {}).get("util"),
        )

    def _host(self) -> Host:
        facts = self._header.host if self._header is not None else {}
        cores = facts.get("allowed_cores")
        allowed = len(cores) if isinstance(cores, list) else 0
        mean = self._readings.mean
        total, worker, engine = mean("host.cpu"), mean("worker.cpu"), mean("engine.cpu")
        others = None
        if total is not None and worker is not None and engine is not None and allowed:
            others = max(0.0, (total * allowed - worker - engine) / 100)
        pressure = mean("host.pressure_cpu")
        return Host(
            allowed=allowed,
            busy=None if total is None else total / 100,
            worker=None if worker is None else min(worker / 100, MOST_CORES),
            others=others,
            pressure=None if pressure is None else pressure / 100,
            quota=mean("host.quota"),
            quota_held=_share(self._readings.rate(["host.quota_throttled"])),
        )


def work_of(work: Mapping[str, Any] | None, peaks: Mapping[str, float] | None) -> Work:
    """What a run record says of a request's work, in the time that the GPU needs for it at its peaks."""
    if work is None:
        return Work()
    peaks = peaks or {}
    flop = {name: float(count) for name, count in (work.get("flop") or {}).items()}
    spent = [count / peaks[name] * 1e9 for name, count in flop.items() if peaks.get(name)]
    bandwidth = peaks.get("bandwidth")

    def moving(name: str) -> float | None:
        size = work.get(name)
        return None if size is None or not bandwidth else size / bandwidth * 1e9

    return Work(
        flop=sum(flop.values()) if flop else None,
        flop_ns=sum(spent) if spent and len(spent) == len(flop) else None,
        bytes=work.get("bytes"),
        bytes_ns=moving("bytes"),
        fused_ns=moving("fused_bytes"),
        operators=work.get("operators"),
        products=work.get("products"),
    )


def choice_of(configuration: Configuration) -> Choice:
    """What a remedy could change of a configuration."""
    return Choice(
        configuration.backend,
        configuration.precision,
        configuration.batch,
        configuration.data_path,
        configuration.options.threads,
    )


def _share(rate: float | None) -> float | None:
    """ns a second of a time counter as a share of the time; a quota counts each thread that it holds back, so at most 1."""
    return None if rate is None else min(1.0, rate / 1e9)


def _widest(types: Sequence[str]) -> str | None:
    """The widest floating type among the inputs'."""
    return next((name for name in ("float64", "float32", "bfloat16", "float16") if name in types), None)
