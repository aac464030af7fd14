"""What an engine reads of its machine: the host and NVML behind one sampler, how much of it, and which of NVML's GPUs a run is on."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..telemetry.gpu_facts import cuda_order
from ..telemetry.host import HostSource
from ..telemetry.metrics import Level, MetricSpec, Source, Value
from ..telemetry.nvml_source import NvmlSource
from ..telemetry.sampler import Sample, Sampler
from ..telemetry.tenants import NOT_YET, Tenants
from .records import Metric

GpuSource = Callable[[int], NvmlSource]
"""Opens NVML for a tick of so many ns."""

OFF = "telemetry is off: NVML was not opened"


def as_metric(spec: MetricSpec) -> Metric:
    return Metric(spec.id, spec.unit, spec.resolution, spec.counter, spec.status, spec.reason, spec.source)


class Instruments:
    """Owned by the engine's main thread. Made with `off` it opens nothing, and has no rows but the sampler's own."""

    def __init__(self, interval: int, level: Level, gpus: GpuSource = NvmlSource) -> None:
        self._source = None if level == "off" else gpus(interval)
        sources: list[Source] = [] if self._source is None else [HostSource(), self._source]
        self._sampler = Sampler(sources, interval, level=level)
        self.table = self._sampler.table
        self.newest: list[Value] = [None] * len(self.table)
        """The newest value of each metric that was read at all."""

    def start(self) -> None:
        self._sampler.start()

    def stop(self) -> None:
        self._sampler.stop()

    @property
    def level(self) -> Level:
        return self._sampler.level

    def can(self, level: Level) -> bool:
        """Whether that much can be read without opening NVML, and with it a new table."""
        return level == "off" or self._source is not None

    def set_level(self, level: Level) -> None:
        """How much is read from now on."""
        self._sampler.set_level(level)

    def header(self) -> dict[str, Any]:
        """The fields of a segment's header that say what is read here."""
        source = self._source
        return {
            "metrics": [as_metric(spec) for spec in self.table],
            "gpus": source.facts() if source else [],
            "gpu_status": source.reason() if source else OFF,
            "driver": source.nvml.driver if source else None,
            "telemetry": self.level,
        }

    def nothing(self) -> list[Value]:
        """A tick in which nothing was read."""
        return [None] * len(self.table)

    def latest(self) -> Sample | None:
        """The newest sample that was not handed out before."""
        sample = self._sampler.latest()
        if sample is not None:
            self.newest = [
                old if new is None else new for old, new in zip(self.newest, sample.values, strict=True)
            ]
        return sample

    def messages(self) -> list[str]:
        return self._sampler.messages()

    def set_worker(self, pid: int | None) -> None:
        self._sampler.set_worker(pid)

    def look(self) -> None:
        """At the next tick also read who is on the GPUs."""
        self._sampler.look()

    def gpu(self, device: str, uuid: str | None = None) -> str | None:
        """What the metrics of a CUDA device begin with ("gpu0"): by the UUID that its worker found, until then by what the environment
        says of CUDA's numbers. None for the CPU, and where that cannot be told."""
        if self._source is None or not device.startswith("cuda:"):
            return None
        devices = self._source.nvml.devices
        if uuid is not None:
            return next((f"gpu{found.index}" for found in devices if found.uuid == uuid), None)
        order, number = cuda_order(devices, os.environ), int(device.removeprefix("cuda:"))
        return f"gpu{order[number].index}" if order is not None and number < len(order) else None

    def uuid(self, gpu: str | None) -> str | None:
        """The UUID of the GPU whose metrics begin so."""
        devices = self._source.nvml.devices if self._source else []
        return next((found.uuid for found in devices if f"gpu{found.index}" == gpu), None)

    def tenants(self) -> dict[str, Tenants]:
        """Who is on each GPU, by the prefix of its metrics, as of the last look; without what was not looked at yet."""
        readers = self._source.readers if self._source else []
        return {f"gpu{r.device.index}": r.tenants for r in readers if r.tenants.unknown != NOT_YET}

    def calls(self) -> dict[str, list[float]] | None:
        """What NVML's calls have cost so far: by name how many, the mean and the longest, ms; None where NVML is not open."""
        if self._source is None:
            return None
        timings = dict(self._source.nvml.timings)  # the sampler's thread goes on adding to it
        return {
            name: [t.count, round(t.total_ns / t.count / 1e6, 4), round(t.longest_ns / 1e6, 3)]
            for name, t in timings.items()
            if t.count
        }
