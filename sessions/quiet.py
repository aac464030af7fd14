"""The second before a run in which its worker is loaded and idle: what is busy on the GPU then is somebody else, and what it draws is idle power."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..telemetry.metrics import MetricSpec, Value
from .readings import Readings
from .units import significant

SETTLE_NS = 250_000_000
"""The utilisation that NVML gives is a mean of 1/6 to 1 s: what is read sooner after the load is still the load's own."""

SPAN_NS = 1_000_000_000
LATEST_NS = 4_000_000_000
"""A sampler that gives nothing is not waited for any longer."""

BUSY = 5.0
"""% of the time with a kernel running, of nobody we know, that are worth a warning."""


class QuietSecond:
    """Takes samples from `began` (monotonic ns) on; `over` says when it has what it needs."""

    def __init__(self, table: Sequence[MetricSpec], gpu: str, began: int) -> None:
        """`gpu` is the device's prefix in the metric table, as "gpu0"."""
        self._gpu, self._began = gpu, began
        self._readings = Readings(table)
        self._last: dict[str, float] = {}
        self._ids = [spec.id for spec in table]
        self._until = began

    def add(self, t: int, values: Sequence[Value]) -> None:
        """A sample of monotonic ns `t`."""
        if t < self._began:
            return
        prefix = f"{self._gpu}."
        self._last |= {
            name: value
            for name, value in zip(self._ids, values, strict=True)
            if value is not None and name.startswith(prefix)
        }
        if t >= self._began + SETTLE_NS:
            self._readings.add(t, values)
            self._until = t

    def over(self, now: int) -> bool:
        """Whether it has lasted long enough at monotonic ns `now`."""
        enough = self._until >= self._began + SETTLE_NS + SPAN_NS
        return enough or now >= self._began + LATEST_NS

    def result(self) -> dict[str, Any] | None:
        """`quiet` of a result: means over the second, power the last reading, which is the mean of the second before it; None where
        nothing was read."""
        if self._until == self._began:
            return None
        means = self._readings.means()
        return {
            "seconds": round((self._until - self._began - SETTLE_NS) / 1e9, 2),
            "util": _rounded(means.get(f"{self._gpu}.util")),
            "memory_util": _rounded(means.get(f"{self._gpu}.memory_util")),
            "power_w": self._last.get(f"{self._gpu}.power"),
            "other_memory": self._last.get(f"{self._gpu}.other_memory"),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def sentence(gpu: str, quiet: Mapping[str, Any]) -> tuple[str, str]:
    """What the second showed, and its level: `GPU 0 before the run: 0 % busy, 71 W`."""
    util, power, other = (quiet.get(name) for name in ("util", "power_w", "other_memory"))
    parts = [
        "utilisation unknown" if util is None else f"{util:.0f} % busy",
        None if power is None else f"{power:.0f} W",
        f"others hold {significant(other / 1e9)} GB" if other else None,
    ]
    level = "warn" if (util is not None and util >= BUSY) or other else "info"
    return f"GPU {gpu.removeprefix('gpu')} before the run: {', '.join(filter(None, parts))}", level
