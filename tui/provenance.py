"""Where the numbers come from: what copies reach on the link, which counter each reading is, and what reading them costs."""

from __future__ import annotations

import numpy as np

from ..sessions.view import View
from .panels import device
from .panels.readings import find
from .render.cells import Row, clean
from .render.numbers import UNKNOWN, count, number, quantity, size
from .render.table import Cell, Column, table
from .scene import Scene

_LINKS = (
    ("h2d_pinned", "to the GPU, pinned"),
    ("h2d_pageable", "to the GPU, pageable"),
    ("d2h_pinned", "from the GPU, pinned"),
    ("d2h_pageable", "from the GPU, pageable"),
    ("staging", "into pinned memory"),
)


def value(given: float | None, unit: str) -> str:
    """A value with its unit; a ratio and a count have none."""
    if given is None:
        return UNKNOWN
    if unit in ("B", "B/s"):
        return quantity(given, unit)
    return number(given) if unit in ("", "1") else f"{number(given)} {unit}"


Sections = list[list[Row]]


def link(scene: Scene, width: int) -> Sections:
    """What copies reach here, what the link carries in theory, and where the readings of its traffic come from."""
    run, values, gpu = device.measured_run(scene), scene.view.values, device.prefix(scene)
    if device.facts(scene) is None:
        return []
    measured = (run.link or {}) if run is not None else {}
    theory = values.get(f"{gpu}.pcie_ceiling")
    cells: list[list[Cell]] = [
        [text, f"{size(measured[key])}/s", _part(measured[key], theory)]
        for key, text in _LINKS
        if measured.get(key)
    ]
    if not cells:
        cells.append(["copies were not measured in this run", "", ""])
    if theory:
        cells.append(["the link in theory", f"{size(theory)}/s", ""])
    columns = [
        Column("copies, measured when the worker began", right=False, flexible=True),
        Column("rate", style="strong"),
        Column("of theory", style="dim"),
    ]
    return [table(columns, cells, width), _sources(scene, width)]


def _part(rate: float, theory: float | None) -> str:
    return f"{rate / theory * 100:.0f} %" if theory else ""


def _sources(scene: Scene, width: int) -> list[Row]:
    """Each reading of the link with where it comes from, and how the link is trained."""
    gpu, values = device.prefix(scene), scene.view.values
    cells: list[list[Cell]] = []
    for name, text in (("pcie_rx", "PCIe RX, host to GPU"), ("pcie_tx", "PCIe TX, GPU to host")):
        entry = find(scene, (f"{gpu}.{name}",))
        if entry is not None:
            metric = entry[1]
            reason = metric.source if metric.status == "ok" else metric.reason or metric.status
            cells.append([text, quantity(values.get(metric.id), metric.unit), clean(reason) or "not said"])
    found = device.link(scene)
    for text, pair in (
        ("link now", found.now),
        ("link under load", found.loaded),
        ("link at most", found.most),
    ):
        cells.append([text, f"gen {pair[0]} ×{pair[1]}" if pair else UNKNOWN, ""])
    if found.down:
        cells[-2][2] = (f"▲ trained down: {found.down}", "two")
    columns = [Column("reading", right=False), Column("value", style="strong"), Column("source", right=False)]
    return table(columns, cells, width)


_COSTS = (
    ("sampler.cost", "wall time of a tick's readings", "ms"),
    ("sampler.cpu", "CPU time of a tick's readings", "ms"),
    ("sampler.late", "start behind the tick's deadline", "ms"),
    ("sampler.calls", "system and driver calls of a tick", ""),
)
_COST_S = 60


def cost(view: View, width: int) -> Sections:
    """What the reading itself costs: now, and over the last minute, whose mean spans ticks with dear calls and without."""
    if view.header is None or all(name not in view.values for name, _, _ in _COSTS):
        return [[(("what reading the counters costs is not in this session", "dim"),)]]
    places = {metric.id: place for place, metric in enumerate(view.metrics)}
    tick_ms = view.header.interval / 1e6
    cells: list[list[Cell]] = []
    share = ""
    for name, text, unit in _COSTS:
        if name not in view.values:
            continue
        column = view.history.metrics[-_COST_S:, places[name]] if name in places else np.empty(0)
        known = column[np.isfinite(column)]
        mean, most = (float(known.mean()), float(known.max())) if len(known) else (None, None)
        if name == "sampler.cpu" and mean is not None:
            share = f", {number(mean / tick_ms * 100)} % of a core"
        shown = [value(v, unit) for v in (view.values[name], mean, most)]
        cells.append([text, *shown])
    columns = [
        Column(f"what reading the counters costs{share}", right=False, flexible=True),
        Column("last tick", style="strong"),
        Column("mean, 60 s"),
        Column("worst second"),
    ]
    return [table(columns, cells, width), _calls(view, width)]


_CALLS = 8


def _calls(view: View, width: int) -> list[Row]:
    """NVML's calls that have cost the most since the engine began."""
    dearest = sorted(view.calls.items(), key=lambda item: -item[1].count * item[1].mean_ms)[:_CALLS]
    if not dearest:
        return []
    cells: list[list[Cell]] = [
        [
            clean(name).removeprefix("nvmlDevice"),
            count(c.count),
            f"{number(c.mean_ms)} ms",
            f"{number(c.longest_ms)} ms",
        ]
        for name, c in dearest
    ]
    columns = [
        Column("NVML's dearest calls since the engine began", right=False, flexible=True),
        Column("calls"),
        Column("mean", style="strong"),
        Column("longest"),
    ]
    return table(columns, cells, width)
