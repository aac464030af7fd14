"""What several readings of a GPU say together: what held its clocks down, how its link is trained, what a sample costs in energy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...sessions import energy as energies
from ...sessions.view import RunView, View
from ...telemetry import clock_events
from ..render.numbers import number
from ..scene import Scene, shown_run
from .readings import find, recent

WINDOW = 30  # s over which shares of time are taken
BUSY = 20.0  # % of utilisation, or
FLOWING = (
    100e6  # bytes/s over the link, from which the GPU is under load: an idle one saves power by a slower link
)
_IDLE = clock_events.REASONS[1]  # a clock that nothing asks for is not held
_LEAST = 2  # seconds under load before its link is judged


def gpus(view: View) -> list[str]:
    """The prefixes of the session's GPUs in the metric table, in NVML's order."""
    if view.header is None:
        return []
    return [f"gpu{gpu.get('index', i)}" for i, gpu in enumerate(view.header.gpus)]


def under_test(view: View) -> str:
    """The GPU that the run is measured on; empty on the CPU and where it cannot be told."""
    return view.run.gpu if view.run is not None and view.run.gpu else ""


def shown_gpu(view: View, asked: str) -> str:
    """The GPU that is shown: the one asked for, the run's, else the first."""
    found = gpus(view)
    return asked if asked in found else under_test(view) or (found[0] if found else "gpu0")


def prefix(scene: Scene) -> str:
    """Of the metrics of the GPU that is shown."""
    return shown_gpu(scene.view, scene.gpu)


def facts(scene: Scene) -> Mapping[str, Any] | None:
    """What the header says of the GPU that is shown."""
    header = scene.view.header
    if header is None or not header.gpus:
        return None
    wanted = prefix(scene).removeprefix("gpu")
    return next((gpu for gpu in header.gpus if str(gpu.get("index")) == wanted), header.gpus[0])


def measured_run(scene: Scene) -> RunView | None:
    """The run whose link and energy belong to the GPU that is shown."""
    run = shown_run(scene.view)
    if run is None:
        return None
    return run if not run.gpu or run.gpu == prefix(scene) else None


# -- clocks


@dataclass(frozen=True, slots=True)
class Held:
    """What held the clocks down: (reason, share of the last WINDOW seconds), longest first. The share is None where this
    driver counts no time, and the reason is then that of now. `known`: whether anything tells. `seconds`: over how many."""

    reasons: tuple[tuple[str, float | None], ...]
    known: bool = True
    seconds: int = 0

    def words(self) -> list[str]:
        return [name if share is None else f"{name} {_percent(share)}" for name, share in self.reasons]


def held(scene: Scene) -> Held:
    """By the exact counters, else by the reasons of now."""
    gpu = prefix(scene)
    counted: dict[str, float] = {}
    seconds = 0
    for name, words in clock_events.COUNTERS.items():
        entry = find(scene, (f"{gpu}.{name}",))
        if entry is None or entry[1].status != "ok":
            continue
        # Loading and warming up are other times than those that are measured; before there are such they are all there is.
        values = recent(scene, f"{gpu}.{name}", WINDOW, measuring=True)
        values = values if len(values) else recent(scene, f"{gpu}.{name}", WINDOW)
        if len(values):
            seconds = len(values)
            counted[words] = min(1.0, float(values.mean()) / 1e9)
    if seconds:
        found = sorted(((n, s) for n, s in counted.items() if s >= 0.0005), key=lambda item: -item[1])
        return Held(tuple(found), seconds=seconds)
    bits = scene.view.values.get(f"{gpu}.reasons")
    if bits is None:
        return Held((), known=False)
    return Held(tuple((words, None) for words in clock_events.names(int(bits)) if words != _IDLE))


def _percent(share: float) -> str:
    percent = share * 100
    return f"{percent:.0f} %" if percent >= 0.95 else f"{percent:.1f} %"


# -- the link


@dataclass(frozen=True, slots=True)
class Link:
    """How the link is trained: generation and lanes now, the best seen under load (None: it was not under load), and what it could."""

    now: tuple[int, int] | None
    loaded: tuple[int, int] | None
    most: tuple[int, int] | None

    @property
    def down(self) -> str:
        """In words what is less under load than it could be; empty where nothing is."""
        if self.loaded is None or self.most is None:
            return ""
        (generation, lanes), (best, widest) = self.loaded, self.most
        if generation < best and lanes < widest:
            return f"gen {generation} ×{lanes}, not {best} ×{widest}"
        if generation < best:
            return f"gen {generation}, not {best}"
        return f"×{lanes}, not ×{widest}" if lanes < widest else ""


def link(scene: Scene) -> Link:
    """Of the GPU that is shown. Under load are the seconds in which it was busy or bytes flowed."""
    gpu, values, history = prefix(scene), scene.view.values, scene.view.history

    def pair(generation: str, lanes: str) -> tuple[int, int] | None:
        found = values.get(f"{gpu}.{generation}"), values.get(f"{gpu}.{lanes}")
        return (int(found[0]), int(found[1])) if found[0] and found[1] else None

    def column(name: str) -> np.ndarray:
        entry = find(scene, (f"{gpu}.{name}",))
        known = entry is not None and history.metrics.shape[1] > entry[0]
        return history.metrics[:, entry[0]] if entry and known else np.full(len(history.second), np.nan)

    with np.errstate(invalid="ignore"):
        busy = (column("util") >= BUSY) | (column("pcie_rx") + column("pcie_tx") >= FLOWING)
    if scene.view.run is not None:
        busy &= history.run == scene.view.run.run
    speeds, widths = column("pcie_gen")[busy], column("pcie_width")[busy]
    read = np.isfinite(speeds) & np.isfinite(widths)
    loaded = (int(speeds[read].max()), int(widths[read].max())) if read.sum() >= _LEAST else None
    return Link(pair("pcie_gen", "pcie_width"), loaded, pair("pcie_gen_max", "pcie_width_max"))


def ceiling(scene: Scene, direction: str) -> float | None:
    """What copies in this direction ("rx", "tx") reach at most: as the worker measured it, else by the link's transfers and coding."""
    run = measured_run(scene)
    measured = (run.link or {}).get({"rx": "h2d_pinned", "tx": "d2h_pinned"}[direction]) if run else None
    return measured or scene.view.values.get(f"{prefix(scene)}.pcie_ceiling")


# -- energy


def energy(scene: Scene) -> tuple[str, str]:
    """Joules a sample with the uncertainty, and the idle power beside it, in words; empty where it is not known."""
    run = measured_run(scene)
    # What a GPU draws on which nothing runs says nothing of the run.
    if run is None or run.fallback or not run.configuration.device.startswith("cuda"):
        return "", ""
    found = (run.result or {}).get("energy")
    known: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    joules, unsure = _real(known.get("j_per_sample")), _real(known.get("uncertainty"))
    if joules is None:
        joules, unsure = _live_energy(scene, run)
    if not joules:
        return "", ""
    sure = f" ±{_percent(unsure / joules)}" if unsure is not None else ""
    idle = _real(known.get("idle_w", (run.quiet or {}).get("power_w")))
    return f"{_joules(joules)} a sample{sure}", f"idle {idle:.0f} W" if idle is not None else ""


def _live_energy(scene: Scene, run: RunView) -> tuple[float | None, float | None]:
    """Of a run that goes on, and half of its interval by one step of the counter: its mean power over its samples a second, idle power
    included."""
    if run is not scene.view.run or not run.throughput:
        return None, None
    milliwatts = recent(scene, f"{prefix(scene)}.energy", WINDOW, measuring=True)
    if len(milliwatts) < _LEAST_ENERGY:
        return None, None
    joules = float(milliwatts.mean()) / 1000 / run.throughput
    return joules, joules * energies.TICK_S / len(milliwatts)


_LEAST_ENERGY = 3  # seconds


def _joules(value: float) -> str:
    return f"{number(value)} J" if value >= 0.0995 else f"{number(value * 1e3)} mJ"


def _real(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
