"""Latency second by second: p50 as bars, the worst request as dots, and where the requests of each second lay."""

from __future__ import annotations

import math

import numpy as np

from ...sessions.view import HEAT_LOWEST, HEAT_PER_DECADE, History
from ..naming import differences, short_backend
from ..render.axis import next_top, spike_limit
from ..render.cells import EMPTY, Row, cut
from ..render.graph import changes, graph, seconds_axis
from ..render.heat import heat
from ..render.numbers import duration, unit_for
from ..scene import Panel, Scene
from .states import said, waiting_for

LABELS = 7
_HEAT_FROM = 9  # rows from which the heat strip has room


def title(scene: Scene) -> Row:
    top = scene.tops.get("latency")
    unit: Row = ((f", {unit_for(top).name}", "dim"),) if top else EMPTY
    return (("latency each second", "title"), *unit)


def right(scene: Scene) -> Row:
    fill, dot = ("#", "*") if scene.glyphs.ascii else ("⣿", "⠒")
    return ((fill, "one"), (" p50  ", "dim"), (dot, "two"), (" max", "dim"))


def top_for(history: History, width: int, previous: float | None) -> float | None:
    """The top of the latency axis for the seconds that a graph of this width shows."""
    peaks = history.max[-width:]
    known = peaks[np.isfinite(peaks)]
    if not len(known):
        return previous
    floor = history.p50[-width:]
    floor = floor[np.isfinite(floor)]
    return next_top(previous, max(spike_limit(known.tolist()), float(floor.max()) if len(floor) else 0.0))


def marks(scene: Scene, width: int) -> list[tuple[int, int, str]]:
    """Where another run begins in the last `width` seconds: index, column, what is different about it."""
    view = scene.view
    known = {run.run: run.configuration for run in (*view.runs, *([view.before] if view.before else []))}
    if view.run is not None:
        known[view.run.run] = view.run.configuration
    found = []
    runs = view.history.run
    for index in changes(runs):
        column = index + width - len(runs)
        number = int(runs[index])
        if column < 0 or number == 0:
            continue
        configuration, earlier = known.get(number), known.get(number - 1)
        if configuration is None:
            name = f"run {number}"
        elif earlier is None:
            name = short_backend(view, configuration)
        else:
            name = differences(configuration, earlier, view)
        found.append((index, column, cut(name, 24)))
    return found


def body(scene: Scene, width: int, height: int) -> list[Row]:
    history = scene.view.history
    top = scene.tops.get("latency")
    if top is None or not len(history.second):
        return said(waiting_for(scene), width, height)
    plot = width - LABELS
    strip = 0
    if height >= _HEAT_FROM and history.heat is not None and np.any(history.heat):
        strip = max(3, height // 3)
    rows = height - 1 - (strip + 1 if strip else 0)
    found = marks(scene, plot)
    drawn = graph(
        history.p50, plot, rows, top, scene.glyphs, dots=history.max, marks=[index for index, _, _ in found]
    )
    unit = unit_for(top)
    out: list[Row] = []
    for y, row in enumerate(drawn):
        label = ""
        if y == 0:
            label = f"{top / unit.ns:g}"
        elif rows >= 4 and y == rows // 2:
            label = f"{top * (rows - y) / rows / unit.ns:.3g}"
        out.append(((label.rjust(LABELS - 1)[: LABELS - 1], "dim"), ("│", "frame"), *row))
    axis: Row = (("0".rjust(LABELS - 1), "dim"), ("└", "frame"))
    out.append((*axis, *seconds_axis(plot, [(column, name) for _, column, name in found], scene.glyphs)))
    if strip:
        out.append(EMPTY)
        out += _heat(scene, plot, strip)
    return out


def _heat(scene: Scene, width: int, height: int) -> list[Row]:
    """The strip over the buckets that hold anything, its fastest and slowest written beside it."""
    counts = scene.view.history.heat
    assert counts is not None
    counts = np.asarray(counts[-width:], float)
    used = np.flatnonzero(counts.sum(axis=0))
    first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
    # Whole buckets a row, so that a row's bounds can be named.
    per_row = max(1, math.ceil((last - first) / height))
    first = max(0, min(first, counts.shape[1] - per_row * height))
    shown = counts[:, first : first + per_row * height]
    drawn = heat(shown, width, height, scene.glyphs)
    out: list[Row] = []
    for y, row in enumerate(drawn):
        label = ""
        if y in (0, height - 1):
            bucket = first + per_row * (height - y if y == 0 else 0)
            edge = HEAT_LOWEST * 10 ** (bucket / HEAT_PER_DECADE)
            label = duration(edge).replace(" ", "")
        out.append(((label.rjust(LABELS - 1)[: LABELS - 1], "dim"), ("│", "frame"), *row))
    return out


PANEL = Panel(title, body, right)
