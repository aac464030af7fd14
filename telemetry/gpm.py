"""GPM: what NVML's performance monitor measured between two samples of a GPU (Hopper data-centre GPUs and
later).

A sample is a snapshot; metrics are means over the time between two of them, which must be more than 100 ms
apart. The structure for the answer takes 19 KB and is made once. Values lag by some 70 ms (masel/ctx-cliff).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .nvml import Device, Nvml, Reading, classify

SHORTEST_NS = 100_000_000
"""Two samples must be further apart than this (nvml.h: nvmlGpmMetricsGet)."""

METRICS: Mapping[str, int] = {
    "sm_active": 2,
    "tensor_active": 5,
    "dram_active": 10,
    "fp32": 12,
    "pcie_tx": 20,
    "pcie_rx": 21,
    "occupancy": 3,
    "hmma": 7,
    "imma": 9,
    "fp64": 11,
    "fp16": 13,
    "nvlink_rx": 60,
    "nvlink_tx": 61,
}
"""Name → nvmlGpmMetricId_t, those first that are asked for each time. Those with `rx` or `tx` are bytes/s here, seen from the GPU; the others %."""

OFTEN = frozenset(("sm_active", "tensor_active", "dram_active", "fp32", "pcie_tx", "pcie_rx"))
"""What is shown as a graph and decides a verdict. On an H100 each id costs 0.1 to 0.3 ms, so that the others have a
slower turn.
"""

NO_GPM = "this GPU has no GPM counters (Hopper data-centre GPUs, GeForce Blackwell and later have them)"

_RATES = ("rx", "tx")  # the ends of the names of what is bytes/s here
_MIB = 1 << 20
_UNITS = {"k": 1 << 10, "m": _MIB, "g": 1 << 30, "b": 1}


class Gpm:
    """The two samples of one device. `reason` is empty where it has GPM."""

    def __init__(self, nvml: Nvml, device: Device) -> None:
        self._nvml = nvml
        self._device = device
        self._samples: list[Any] = []
        self._taken: int | None = None
        self._names = list(METRICS)
        self.support = self._supported()
        if self.support.ok:
            self._allocate()

    def _supported(self) -> Reading:
        answer = self._nvml.read(self._device, "nvmlGpmQueryDeviceSupport")
        if not answer.ok:
            return answer._replace(reason=NO_GPM) if answer.status == "absent" else answer
        return answer if answer.value.isSupportedDevice else Reading(None, "absent", NO_GPM)

    def _allocate(self) -> None:
        made = [self._nvml.call("nvmlGpmSampleAlloc") for _ in range(2)]
        failed = next((reading for reading in made if not reading.ok), None)
        if failed is not None:
            self.support = failed
            return
        self._samples = [reading.value for reading in made]
        api = self._nvml.api
        self._answer = api.c_nvmlGpmMetricsGet_t()
        self._answer.version = api.NVML_GPM_METRICS_GET_VERSION
        for place, name in enumerate(self._names):
            self._answer.metrics[place].metricId = METRICS[name]

    def again(self) -> None:
        """NVML was started anew: samples of before mean nothing to it, and may not be freed."""
        self._taken = None
        if self.support.ok:
            self._allocate()

    def keep(self, names: list[str]) -> None:
        """Ask for these metrics only from now on."""
        self._names = names
        for place, name in enumerate(names):
            self._answer.metrics[place].metricId = METRICS[name]

    def read(self, now_ns: int, whole: bool = True) -> dict[str, Reading]:
        """Take a sample; the means since the one before, by name, not `whole` only those of OFTEN. Empty after
        the first one, and when it is too early.
        """
        if not self.support.ok or not self._names:
            return {}
        if self._taken is not None and now_ns - self._taken <= SHORTEST_NS:
            return {}
        old, new = self._samples
        taken = self._nvml.read(self._device, "nvmlGpmSampleGet", new)
        before, self._taken = self._taken, now_ns if taken.ok else None
        if not taken.ok:
            return dict.fromkeys(self._names, taken)
        self._samples = [new, old]
        if before is None:
            return {}
        names = self._names if whole else [name for name in self._names if name in OFTEN] or self._names
        self._answer.numMetrics = len(names)
        self._answer.sample1, self._answer.sample2 = old, new
        answered = self._nvml.call("nvmlGpmMetricsGet", self._answer)
        if not answered.ok:
            return dict.fromkeys(names, answered)
        metrics = self._answer.metrics
        return {name: self._metric(name, metrics[place]) for place, name in enumerate(names)}

    def _metric(self, name: str, metric: Any) -> Reading:
        code = int(metric.nvmlReturn)
        if code:
            # An id that the driver does not know is "invalid argument" here, and stays so.
            return classify(3 if code == 2 else code, str(self._nvml.api.NVMLError(code)))
        value = float(metric.value)
        if math.isnan(value):
            return Reading(None, "empty", "GPM had no value")
        return Reading(value * _scale(metric.metricInfo.unit) if name.endswith(_RATES) else value)

    def close(self) -> None:
        for sample in self._samples:
            self._nvml.call("nvmlGpmSampleFree", sample)
        self._samples = []
        self._names = []


def _scale(unit: bytes | None) -> float:
    """What turns a rate into bytes/s, by the unit that the driver names ("MiB/s"); MiB/s where it names none."""
    return float(_UNITS.get((unit or b"M").decode("ascii", "replace").strip()[:1].lower(), _MIB))
