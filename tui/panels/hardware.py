"""The machine's readings, each with its value and its last seconds on a fixed scale: GPU, its link and memory, and the host."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...sessions.records import Metric
from ...sessions.view import View
from ..render.axis import step_up
from ..render.cells import EMPTY, Row, clean, cut
from ..render.graph import changes, graph
from ..render.meter import meter
from ..render.numbers import UNKNOWN, quantity, size
from ..scene import Panel, Scene
from .states import said

_LABEL, _VALUE = 9, 10
_ROOM = 7  # the most readings of a panel
_STALE = 12.0  # s after which a reading is shown as old; the slowest are read every 5 s


@dataclass(frozen=True, slots=True)
class Reading:
    """A row of a panel: its label, the metrics that may serve (the first that can be read here does), and the top of its scale.

    `top` is a number, the metric that holds it, or None: it then steps with the values.
    """

    label: str
    ids: tuple[str, ...]
    top: float | str | None = 100.0
    style: str = "one"


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


def _prefix(scene: Scene) -> str:
    return shown_gpu(scene.view, scene.gpu)


def _find(scene: Scene, ids: Sequence[str]) -> tuple[int, Metric] | None:
    """The first of these metrics that can be read here; else the first that the table knows, for its reason."""
    table = {metric.id: (i, metric) for i, metric in enumerate(scene.view.metrics)}
    known = [table[name] for i in ids if (name := i.replace("gpu.", f"{_prefix(scene)}.")) in table]
    return next((entry for entry in known if entry[1].status == "ok"), known[0] if known else None)


def readings(scene: Scene, wanted: Sequence[Reading], width: int, height: int) -> list[Row]:
    """The readings that this session's table knows, in as many rows as there are: taller graphs where there is room."""
    found = [(reading, entry) for reading in wanted if (entry := _find(scene, reading.ids)) is not None]
    if not found:
        return []
    found = found[: max(1, height)]
    each = max(1, min(4, height // _ROOM))  # the same in panels that stand side by side
    history = scene.view.history
    marks = changes(history.run)
    rows: list[Row] = []
    for reading, (place, metric) in found:
        value = scene.view.values.get(metric.id)
        age = scene.view.ages.get(metric.id, 0.0)
        label: Row = ((cut(reading.label, _LABEL - 1).ljust(_LABEL), "dim"),)
        if metric.status != "ok":
            why = cut(clean(metric.reason) or metric.status, width - _LABEL - 3)
            rows.append((*label, (f"{UNKNOWN}  ", "text"), (why, "dim")))
            rows += [EMPTY] * (each - 1)
            continue
        text = quantity(value, metric.unit)
        look = "dim" if age > _STALE else "strong"
        head: Row = (*label, (text.rjust(_VALUE - 1) + " ", look))
        room = width - _LABEL - _VALUE
        column = history.metrics[:, place] if history.metrics.shape[1] > place else np.empty(0)
        shown = column[-max(1, room) :]
        known = shown[np.isfinite(shown)]
        fixed = reading.top
        if isinstance(fixed, str):
            fixed = scene.view.values.get(fixed.replace("gpu.", f"{_prefix(scene)}."))
        top = fixed or step_up(float(known.max()) * 1.05 if len(known) and known.max() > 0 else 1.0)
        if room < 6:
            rows.append(head)
            continue
        if room < 16 or not len(known):
            rows.append((*head, *meter(value, top, room, scene.glyphs, reading.style)))
            rows += [EMPTY] * (each - 1)
            continue
        drawn = graph(column, room, each, top, scene.glyphs, marks=marks, style=reading.style)
        scale = quantity(top, metric.unit)
        for y, row in enumerate(drawn):
            left: Row = ((" " * (_LABEL + _VALUE), "text"),)
            if y == 0:
                left = head
            elif y == 1:
                left = ((f"of {scale}".rjust(_LABEL + _VALUE - 1) + " ", "frame"),)
            rows.append((*left, *row))
    return rows


def _gpu(scene: Scene) -> Mapping[str, Any] | None:
    header = scene.view.header
    if header is None or not header.gpus:
        return None
    wanted = _prefix(scene).removeprefix("gpu")
    return next((gpu for gpu in header.gpus if str(gpu.get("index")) == wanted), header.gpus[0])


def _no_gpu(scene: Scene, width: int, height: int) -> list[Row]:
    header = scene.view.header
    if header is None:
        return said("waiting for the session", width, height)
    return said(clean(header.gpu_status) or "this session has no GPU", width, height)


def gpu_title(scene: Scene) -> Row:
    gpu = _gpu(scene)
    name = clean(str(gpu.get("name", ""))).removeprefix("NVIDIA ") if gpu else ""
    found, prefix = gpus(scene.view), _prefix(scene)
    if len(found) < 2:
        return (("GPU", "title"), (f" {name}", "dim")) if name else (("GPU", "title"),)
    number = prefix.removeprefix("gpu")
    title: Row = ((f"GPU {number}", "title"), (f" of {len(found)}", "dim"))
    if prefix == under_test(scene.view):
        return (*title, (" ● under test", "one"), (f"  {name}", "dim"))
    return (*title, (f"  {name}", "dim"))


_GPU = (
    Reading("util", ("gpu.util",)),
    Reading("SM", ("gpu.sm_active",)),
    Reading("tensor", ("gpu.tensor_active",)),
    Reading("DRAM", ("gpu.dram_active", "gpu.memory_util")),
    Reading("SM clock", ("gpu.clock_sm",), None, "three"),
    Reading("temp", ("gpu.temperature",), 100.0, "three"),
    Reading("occupied", ("gpu.occupancy",)),
)
_LINK = (
    Reading("PCIe RX", ("gpu.pcie_rx",), "gpu.pcie_ceiling", "two"),
    Reading("PCIe TX", ("gpu.pcie_tx",), "gpu.pcie_ceiling", "two"),
    Reading("memory", ("gpu.memory_used",), "gpu.memory_total"),
    Reading("power", ("gpu.power_instant", "gpu.power"), "gpu.power_limit", "three"),
    Reading("· others", ("gpu.other_memory",), "gpu.memory_total"),
)


def gpu_body(scene: Scene, width: int, height: int) -> list[Row]:
    if _gpu(scene) is None:
        return _no_gpu(scene, width, height)
    return readings(scene, _GPU, width, height) or said(
        "no reading of this GPU is in the session", width, height
    )


def link_title(scene: Scene) -> Row:
    title: Row = (("PCIe, memory, power", "title"),)
    if len(gpus(scene.view)) < 2:
        return title
    return (*title, (f" of GPU {_prefix(scene).removeprefix('gpu')}", "dim"))


def link_body(scene: Scene, width: int, height: int) -> list[Row]:
    if _gpu(scene) is None:
        return _no_gpu(scene, width, height)
    return readings(scene, _LINK, width, height) or said(
        "no reading of this GPU's link is in the session", width, height
    )


def host_title(scene: Scene) -> Row:
    header = scene.view.header
    if header is None:
        return (("host", "title"),)
    model = clean(str(header.host.get("cpu") or ""))
    cores = core_count(header.host)
    words = " · ".join(part for part in (f"{cores} cores" if cores else "", model) if part)
    return (("host", "title"), (f" {words}", "dim"))


def core_count(host: Mapping[str, Any]) -> int | None:
    """How many cores the engine may use."""
    allowed = host.get("allowed_cores")
    if isinstance(allowed, list):
        return len(allowed)
    return int(allowed) if isinstance(allowed, int) else None


def host_body(scene: Scene, width: int, height: int) -> list[Row]:
    header = scene.view.header
    if header is None:
        return said("waiting for the session", width, height)
    cores = core_count(header.host) or 1
    total = header.host.get("memory_limit") or header.host.get("memory")
    total = float(total) if isinstance(total, int | float) and math.isfinite(total) else None
    worker_memory = Reading("· worker", ("worker.rss",), total, "two")
    wanted = [
        Reading("CPU", ("host.cpu",)),
        Reading("· worker", ("worker.cpu",), 100.0 * cores, "two"),
        Reading("memory", ("host.memory_used",), total),
        *([worker_memory] if height >= 5 else []),
        Reading("engine", ("engine.cpu",), 100.0, "three"),
        Reading("load", ("host.load1",), None),
        Reading("clock", ("host.frequency",), None, "three"),
    ]
    rows = readings(scene, wanted, width, height)
    return rows or said("no reading of the host is in the session", width, height)


def host_right(scene: Scene) -> Row:
    header = scene.view.header
    memory = header.host.get("memory") if header is not None else None
    return ((size(float(memory)), "dim"),) if isinstance(memory, int | float) else EMPTY


GPU = Panel(gpu_title, gpu_body)
LINK = Panel(link_title, link_body)
HOST = Panel(host_title, host_body, host_right)
NO_GPU = replace(GPU, title=lambda scene: (("GPU", "title"), (" and PCIe", "dim")))
