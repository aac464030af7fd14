"""Where a run took place, for its grade: who else was busy, whether clocks held, how far the GPU is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..telemetry.clock_events import shares
from ..telemetry.numa import Nearness
from ..telemetry.stability import Conditions
from .readings import Readings

OTHERS_BUSY = 0.25
"""Cores' worth of other processes' work from which a CPU run was not alone."""

THROTTLES = ("throttle_power", "throttle_thermal", "throttle_hw_thermal", "throttle_brake")
"""Counters of ns in which the clocks were held down; `throttle_sync` follows another board's clock and is not among them."""

Means = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Card:
    """The GPU under test: what its metrics begin with ("gpu0"; None where NVML's GPU is unknown), the MIG slice that it is, what it did in the
    quiet second, how far its worker is, the other infertop that was on it, and whether anything was read of it at all."""

    gpu: str | None
    slice: str | None = None
    quiet: Mapping[str, Any] | None = None
    nearness: Nearness | None = None
    beside: str = ""
    watched: bool = True


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


def on_gpu(card: Card, means: Means, readings: Readings) -> Conditions:
    """Of a backend on a GPU."""
    far = card.nearness.sentence() if card.nearness else ""
    if card.gpu is None:
        reason = "which of NVML's GPUs this was is unknown, and so are its clocks and who else was on it"
        if not card.watched:
            reason = "telemetry was off: the GPU's clocks and who else was on it are unknown"
        return Conditions(far_node=far, notes=(reason,))
    prefix = f"{card.gpu}."
    held = [share for name in THROTTLES if (share := means.get(prefix + name)) is not None]
    clock = readings.span(prefix + "clock_sm")
    other = means.get(prefix + "other_memory")
    busy = (card.quiet or {}).get("util")
    notes = ("other slices of this GPU share its power and its clocks",) if card.slice else ()
    if card.beside:
        notes = (*notes, f"{card.beside} measured on the same GPU")
    return Conditions(
        gpu=True,
        throttled=max(held) / 1e9 if held else None,
        clock_span=(clock[1] - clock[0]) / clock[1] if clock and clock[1] else None,
        alone=None if other is None else other == 0,
        quiet_busy=None if busy is None else busy / 100,
        far_node=far,
        notes=notes,
    )


def clock_reasons(gpu: str | None, means: Means, readings: Readings) -> dict[str, Any] | None:
    """Why the clocks were where they were: reason → share of the time; None without a GPU that tells."""
    if gpu is None or (masks := readings.masks(f"{gpu}.reasons")) is None:
        return None
    rates = {name: means.get(f"{gpu}.{name}") for name in (*THROTTLES, "throttle_sync")}
    return shares(masks, rates)


def held(reasons: Mapping[str, Any] | None) -> str:
    """What held the clocks down, by the exact counters, in a sentence; empty where nothing did."""
    counted = [
        (name, found["share"]) for name, found in (reasons or {}).items() if found["from"] == "counter"
    ]
    parts = [f"{name} {100 * share:.1f} %" for name, share in counted if share > 0]
    return f"the clocks were held: {', '.join(parts)} of the time" if parts else ""


def _others(means: Means, allowed: int) -> float | None:
    """Cores' worth of CPU that neither the worker nor the engine used; None where a reading is missing."""
    total, worker, engine = (means.get(name) for name in ("host.cpu", "worker.cpu", "engine.cpu"))
    if total is None or worker is None or engine is None or not allowed:
        return None
    return max(0.0, (total * allowed - worker - engine) / 100)
