"""The latency distribution: percentiles with their intervals and sample count, the change against the run before, and the curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from rich.cells import cell_len

from ...sessions.load_words import depth
from ...sessions.view import Latency, Quantile, RunView
from ..naming import short_backend
from ..ranking import MARKS, discounted
from ..render.axis import Scale, next_scale, step_down
from ..render.cells import EMPTY, Row, clean, cut, fit, length, spread
from ..render.curve import Points, curve, decades, quantile_axis
from ..render.numbers import (
    UNKNOWN,
    Measured,
    Unit,
    change_style,
    count,
    duration,
    number,
    sure_change,
    unit_for,
)
from ..scene import Panel, Scene, baseline, shown_run
from .states import said, waiting_for
from .verdict import compared, grade_words

_COLUMN = 13
_TABLE_FROM = 6  # rows from which there is room for a table of the last 30 s and the whole run
_LEAST_NAME = 4  # cells below which a name that is cut says nothing
_CURVE_FROM = 10  # rows from which the curve is drawn as well


def latency_of(scene: Scene, run: RunView) -> Latency | None:
    """The distribution that is asked for: of the last 30 s, or of the whole run."""
    return run.latency if scene.whole or run.recent is None else run.recent


def title(scene: Scene) -> Row:
    run = shown_run(scene.view)
    if run is None or run.latency is None:
        return (("latency", "title"),)
    unit = _unit(run).name
    out: Row = ((_what(run), "title"), (f", {unit}", "dim"))
    if run is not scene.view.run:
        out = (*out, (f"  before: {short_backend(scene.view, run.configuration)}", "two"))
    return out


def _what(run: RunView) -> str:
    """Which latency the percentiles are of: that of a request among several in flight is no request's alone."""
    deep = depth(run.configuration.load)
    if deep is not None:
        return f"latency at depth {deep}"
    return "service latency" if run.response is not None or run.unbounded else "latency"


def right(scene: Scene) -> Row:
    run = shown_run(scene.view)
    if run is None or run.latency is None:
        return EMPTY
    shown = latency_of(scene, run) or run.latency
    window = "whole run" if shown is run.latency else "last 30 s"
    # Of a run that is over the name in the title is the news, and needs the room.
    what = f"{window}, n" if run is scene.view.run else "n"
    return ((f"{what} {count(shown.n)}", "text"), (f" · {grade_words(run.grade)}", "dim"))


def _unit(run: RunView) -> Unit:
    assert run.latency is not None
    return unit_for(run.latency.quantiles[0].value if run.latency.quantiles else run.latency.mean)


def quantile_name(q: float) -> str:
    """`p50`, `p99.9`."""
    return f"p{q * 100:g}"


def interval(q: Quantile, unit: Unit) -> str:
    """The 95 % interval as a range; `≥` where n is too small for an upper end, `–` where it is too small for any."""
    if q.low is None:
        return UNKNOWN
    low = number(q.low / unit.ns)
    if q.high is None:
        return f"≥{low}"
    high = number(q.high / unit.ns)
    return low if low == high else f"{low}–{high}"


def _columns(latency: Latency, room: int) -> tuple[list[Quantile], bool]:
    """The quantiles that fit in so many columns, and whether the maximum does."""
    keep = {1: (0.5,), 2: (0.5, 0.99), 3: (0.5, 0.99), 4: (0.5, 0.9, 0.99), 5: (0.5, 0.9, 0.95, 0.99)}
    wanted = keep.get(room, tuple(q.q for q in latency.quantiles))
    return [q for q in latency.quantiles if q.q in wanted], room >= 3


def body(scene: Scene, width: int, height: int) -> list[Row]:
    run = shown_run(scene.view)
    if run is None or run.latency is None:
        return said(waiting_for(scene), width, height)
    latency = latency_of(scene, run) or run.latency
    unit = _unit(run)
    if height < _TABLE_FROM:
        return [
            *_short(latency, unit, width),
            *(_response(run, unit, width) or _before(scene, run, unit, width)),
        ][:height]
    rows = _table(run, unit, width)
    rows += _response(run, unit, width)
    rows += _before(scene, run, unit, width) or [EMPTY]
    if height >= _CURVE_FROM and latency.curve:
        rows += _curve(scene, unit, width, height - len(rows))
    return rows


def _short(latency: Latency, unit: Unit, width: int) -> list[Row]:
    """Values over their intervals."""
    quantiles, maximum = _columns(latency, width // _COLUMN)
    values: Row = EMPTY
    intervals: Row = EMPTY
    for q in quantiles:
        name = quantile_name(q.q)
        value = number(q.value / unit.ns)
        tail = _COLUMN - len(name) - 1 - len(value)
        values = (*values, (f"{name} ", "dim"), (value + " " * max(1, tail), "strong"))
        cell = interval(q, unit)
        pad = len(name) + 1 if len(cell) + len(name) + 1 < _COLUMN else 0
        intervals = (*intervals, (" " * pad + cell.ljust(_COLUMN - pad), "dim"))
    if maximum:
        values = (*values, ("max ", "dim"), (number(latency.max / unit.ns), "two-strong"))
        intervals = (*intervals, ("95 % interval", "dim"))
    return [values, intervals]


def _table(run: RunView, unit: Unit, width: int) -> list[Row]:
    """Quantiles across: of the last 30 s, and of the whole run with their intervals."""
    assert run.latency is not None
    label, column = (11, 8) if width >= 74 else (11, 7)
    room = (width - label) // column
    wanted = [q.q for q in _columns(run.latency, room)[0]]
    with_max, with_mean = room > len(wanted), room > len(wanted) + 1

    def texts(values: list[float | None]) -> list[str]:
        return [number(None if v is None else v / unit.ns).rjust(column) for v in values]

    def values(name: str, latency: Latency) -> Row:
        known = {q.q: float(q.value) for q in latency.quantiles}
        row: Row = ((name.ljust(label), "text"), ("".join(texts([known.get(q) for q in wanted])), "strong"))
        if with_max:
            row = (*row, (texts([latency.max])[0], "two-strong"))
        return (*row, (texts([latency.mean])[0], "text")) if with_mean else row

    heads = [quantile_name(q) for q in wanted] + ["max"] * with_max + ["mean"] * with_mean
    rows: list[Row] = [((" " * label + "".join(h.rjust(column) for h in heads), "dim"),)]
    if run.recent is not None:
        rows.append(values("last 30 s", run.recent))
    rows.append(values("whole run", run.latency))
    bounds = {q.q: q for q in run.latency.quantiles}
    for name, ends in (
        ("95 % from", [bounds[q].low for q in wanted]),
        ("     to", [bounds[q].high for q in wanted]),
    ):
        rows.append(
            (
                (
                    f" {name}".ljust(label) + "".join(texts([None if e is None else float(e) for e in ends])),
                    "dim",
                ),
            )
        )
    return rows


def _response(run: RunView, unit: Unit, width: int) -> list[Row]:
    """An open loop's own latency, from arrival to completion; the rows above are the service alone."""
    waiting: Row = ((f"  backlog {count(run.backlog)}", "two"),) if run.backlog else EMPTY
    if run.unbounded:
        reason: Row = (("response ", "dim"), (f"latency unbounded: {clean(run.unbounded)}", "bad"))
        return [spread(reason, waiting, width) if waiting else fit(reason, width)]
    if run.response is None:
        return []
    for left_out in ((), (0.95,), (0.95, 0.9), (0.95, 0.9, 0.999)):  # as narrow as it must be
        row: Row = (("response ", "dim"),)
        for q in run.response.quantiles:
            if q.q not in left_out:
                row = (*row, (f"{quantile_name(q.q)} ", "dim"), (f"{number(q.value / unit.ns)}  ", "strong"))
        row = (*row, ("max ", "dim"), (number(run.response.max / unit.ns), "two-strong"), *waiting)
        if length(row) <= width:
            break
    return [fit(row, width)]


def _before(scene: Scene, run: RunView, unit: Unit, width: int) -> list[Row]:
    """The run before, now, and the change with its range; names are shortened first, then words, never the change. Which of the two takes
    part in no comparison is said."""
    before = baseline(scene.view)
    if before is None or before.latency is None or run.latency is None:
        return []
    old, new = before.latency.quantiles[0], run.latency.quantiles[0]
    old_unit = unit_for(old.value)
    then, now = duration(old.value, old_unit, name=old_unit != unit), duration(new.value, unit)
    text, sure = sure_change(known(new), known(old))
    changed = f", {text}{', no sure change' if sure is False else ''}"
    style = change_style(new.value < old.value, sure)
    tail = ""
    if before.throughput and run.throughput:
        tail = f"  {number(before.throughput)} → {number(run.throughput)}/s"
    name = compared(scene)

    def row(heading: str, name: str, arrow: str) -> Row:
        named = (f"{name} ", "text") if name else ("", "text")
        first: Row = ((heading, "dim"), named, *_discount(before), (then, "text"), (arrow, "dim"))
        return (*first, *_discount(run), (now, "strong"), (changed, style))

    for heading, arrow in (("before: ", " → now "), ("", " → ")):
        least = length(row(heading, "", arrow))
        shown = cut(name, max(0, width - least - 1))
        if shown == name or (not heading and cell_len(shown) >= _LEAST_NAME):
            break
    else:
        return [fit(row("", "", " → "), width)]
    full = row(heading, shown, arrow)
    return [fit((*full, (tail, "dim")) if length(full) + len(tail) <= width else full, width)]


def _discount(run: RunView) -> Row:
    """The mark of a run whose numbers compete with nobody's."""
    why = discounted(run)
    return ((f"{MARKS[why]} ", "two-strong"),) if why in MARKS else EMPTY


def known(quantile: Quantile) -> Measured:
    """A quantile as a value with the ends of its interval."""
    return Measured(float(quantile.value), quantile.low, quantile.high)


def _series(scene: Scene) -> list[tuple[Points, str]]:
    """The curves to draw: that of the run before, then that of the whole shown run in front of it."""
    run, before = shown_run(scene.view), baseline(scene.view)
    known = ((before, "dim"), (run, "one"))
    return [
        (r.latency.curve, style)
        for r, style in known
        if r is not None and r.latency is not None and r.latency.curve
    ]


def scale_for(scene: Scene, previous: Scale | None) -> Scale | None:
    """The latency axis of the curve."""
    values = [value for points, _ in _series(scene) for _, value in points if value > 0]
    if not values:
        return previous
    scale = next_scale(previous, min(values), max(values))
    # A line needs no zero: it starts below the fastest, where that makes the tail's shape visible.
    if scale.log or min(values) < 0.3 * scale.top:
        return scale
    return replace(scale, bottom=step_down(min(values) * 0.98))


def _curve(scene: Scene, unit: Unit, width: int, height: int) -> list[Row]:
    """The curve of the whole run, over that of the run before."""
    series, scale, axis = _series(scene), scene.scales.get("curve"), 8
    if not series or scale is None:
        return []
    reach = max(decades(points) for points, _ in series)
    placed = [
        (
            list(
                zip((q for q, _ in points), scale.share(np.array([v for _, v in points], float)), strict=True)
            ),
            style,
        )
        for points, style in series
    ]
    rows: list[Row] = []
    for y, row in enumerate(curve(placed, width - axis, height - 1, reach, scene.glyphs)):
        edge = scale.top if y == 0 else scale.bottom if y == height - 2 else None
        label = "log" if scale.log and y == 1 and height > 4 else ""
        if edge is not None:
            label = f"{float(f'{edge / unit.ns:.4g}'):,g}".replace(",", " ")
        rows.append(((label.rjust(axis - 2) + " ", "dim"), ("│", "frame"), *row))
    return [*rows, ((" " * axis, "text"), *quantile_axis(width - axis, reach))]


PANEL = Panel(title, body, right)
