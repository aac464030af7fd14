"""Latency second by second: p50 as bars, the worst request as dots, and where the requests of each second lay."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...sessions.view import HEAT_LOWEST, HEAT_PER_DECADE, History
from ..naming import differences, short_backend
from ..render.axis import Scale, next_scale, spike_limit, ticks
from ..render.cells import Row
from ..render.graph import changes, graph, seconds_axis
from ..render.heat import heat
from ..render.numbers import tick
from ..scene import Panel, Scene
from .states import said, waiting_for

LABELS = 7
_HEAT_FROM = 8  # rows from which the heat strip has room


def title(scene: Scene) -> Row:
    scale = scene.scales.get("latency")
    return (
        ("latency each second", "title"),
        (", log scale" if scale is not None and scale.log else "", "dim"),
    )


def right(scene: Scene) -> Row:
    fill, dot = ("#", "*") if scene.glyphs.ascii else ("⣿", "⠒")
    return ((fill, "one"), (" p50  ", "dim"), (dot, "two"), (" max", "dim"))


def scale_for(history: History, width: int, previous: Scale | None) -> Scale | None:
    """The latency axis for the seconds that a graph of this width shows."""
    peaks, middles = history.max[-width:], history.p50[-width:]
    peaks, middles = peaks[np.isfinite(peaks)], middles[np.isfinite(middles)]
    if not len(peaks) or not len(middles):
        return previous
    return next_scale(previous, float(middles.min()), max(spike_limit(peaks.tolist()), float(middles.max())))


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
        found.append((index, column, name))
    return found


def body(scene: Scene, width: int, height: int) -> list[Row]:
    history = scene.view.history
    scale = scene.scales.get("latency")
    if scale is None or not len(history.second):
        return said(waiting_for(scene), width, height)
    plot = width - LABELS
    strip = 0
    counts = history.heat(plot) if height >= _HEAT_FROM and history.heat is not None else None
    if counts is not None and np.any(counts):
        strip = max(3, height // 3)
    rows = height - 1 - strip
    found = marks(scene, plot)
    begins = [index for index, _, _ in found]
    middles, peaks = scale.share(history.p50), scale.share(history.max)
    drawn = graph(middles, plot, rows, 1.0, scene.glyphs, dots=peaks, marks=begins)
    named = ticks(scale, rows)

    def label(y: int) -> str:
        return (tick(named[y]) if y in named else "").rjust(LABELS - 1)

    out: list[Row] = []
    for y, row in enumerate(drawn):
        out.append(((label(y), "dim"), ("│", "frame"), *row))
    axis: Row = ((label(rows), "dim"), ("└", "frame"))
    out.append((*axis, *seconds_axis(plot, [(column, name) for _, column, name in found], scene.glyphs)))
    if strip:
        out += _heat(scene, np.asarray(counts, float), plot, strip, begins)
    return out


def _heat(scene: Scene, counts: np.ndarray, width: int, height: int, begins: Sequence[int]) -> list[Row]:
    """The strip over the buckets that hold anything, its fastest and slowest written beside it."""
    skipped = len(scene.view.history.second) - len(counts)
    used = np.flatnonzero(counts.sum(axis=0))
    first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
    # Whole buckets a row, so that a row's bounds can be named.
    per_row = max(1, math.ceil((last - first) / height))
    first = max(0, min(first, counts.shape[1] - per_row * height))
    shown = counts[:, first : first + per_row * height]
    drawn = heat(shown, width, height, scene.glyphs, marks=[begin - skipped for begin in begins])
    out: list[Row] = []
    for y, row in enumerate(drawn):
        label = ""
        if y in (0, height - 1):
            bucket = first + per_row * (height - y if y == 0 else 0)
            edge = HEAT_LOWEST * 10 ** (bucket / HEAT_PER_DECADE)
            label = tick(edge)
        out.append(((label.rjust(LABELS - 1)[: LABELS - 1], "dim"), ("│", "frame"), *row))
    return out


PANEL = Panel(title, body, right)
