"""Where a run took place, for its grade: who else was busy, whether clocks held, what it drew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..telemetry.stability import Conditions
from .readings import Readings

OTHERS_BUSY = 0.25
"""Cores' worth of other processes' work from which a CPU run was not alone."""

THROTTLES = ("throttle_power", "throttle_thermal", "throttle_hw_thermal", "throttle_brake")
"""Counters of ns in which the clocks were held down; `throttle_sync` follows another board's clock and is not among them."""

SHORTEST_ENERGY_S = 2.0
"""The energy counter moves in steps of about 0.1 s and is read each second: a shorter run says nothing of it."""

Means = Mapping[str, float | None]


def on_cpu(means: Means, host: Mapping[str, Any], threads: int | None) -> Conditions:
    """Of a CPU backend: `host` are the header's facts."""
    allowed = len(host.get("allowed_cores") or ())
    notes: list[str] = []
    others = _others(means, allowed)
    if others is None:
        notes.append("how busy other processes were is unknown")
    elif others > OTHERS_BUSY:
        notes.append(f"other processes kept {others:.1f} cores busy")
    if threads and threads >= allowed > 1:
        notes.append("every core was measured on: p99 includes infertop itself")
    return Conditions(threads=threads, quota=host.get("quota"), notes=tuple(notes))


def on_gpu(prefix: str | None, means: Means, readings: Readings, far_node: bool = False) -> Conditions:
    """Of a backend on a GPU whose metrics begin with `prefix` ("gpu0."); None where CUDA's number cannot be told from NVML's."""
    if prefix is None:
        return Conditions(gpu=True, far_node=far_node, notes=("which of NVML's GPUs this was is unknown",))
    shares = [share for name in THROTTLES if (share := means.get(prefix + name)) is not None]
    clock = readings.span(prefix + "clock_sm")
    other = means.get(prefix + "other_memory")
    return Conditions(
        gpu=True,
        throttled=max(shares) / 1e9 if shares else None,
        clock_span=(clock[1] - clock[0]) / clock[1] if clock and clock[1] else None,
        alone=None if other is None else other == 0,
        far_node=far_node,
    )


def energy_per_sample(
    prefix: str | None, means: Means, throughput: float | None, seconds: float
) -> float | None:
    """Joules a sample, idle power included; null where there is no counter or the run was too short for it."""
    milliwatts = means.get(f"{prefix}energy") if prefix else None
    if milliwatts is None or not throughput or seconds < SHORTEST_ENERGY_S:
        return None
    return milliwatts / 1000 / throughput


def _others(means: Means, allowed: int) -> float | None:
    """Cores' worth of CPU that neither the worker nor the engine used; None where a reading is missing."""
    total, worker, engine = (means.get(name) for name in ("host.cpu", "worker.cpu", "engine.cpu"))
    if total is None or worker is None or engine is None or not allowed:
        return None
    return max(0.0, (total * allowed - worker - engine) / 100)
