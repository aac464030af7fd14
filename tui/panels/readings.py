"""Rows of readings: each with its label, its value beside what it can be at most, and its last seconds on that scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...sessions.records import Metric
from ..render.axis import step_up
from ..render.cells import EMPTY, Row, clean, cut, fit
from ..render.graph import changes, graph
from ..render.meter import meter
from ..render.numbers import UNKNOWN, part_of, quantity
from ..scene import Scene

LABEL = 9
_VALUE = 10
_FIGURE = 6  # cells of the number before `of`, so that a graph stands still while its digits change
_STALE = 12.0  # s after which a reading is shown as old; the slowest are read every 5 s
_TALL = 4  # the most rows of a graph
APPROXIMATE = "≈"
"""Stands before a value whose source says of itself that it is not exact."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A row of a panel: its label, the metrics that may serve (the first that can be read here does), and the top of its scale.

    `top` is a number, or None: it then steps with the values. `said`: the value is shown as a part of the top. `unit`: where it is
    not the metric's own.
    """

    label: str
    ids: tuple[str, ...]
    top: float | None = 100.0
    style: str = "one"
    said: bool = False
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """A row of a panel that is no graph: facts that belong together."""

    label: str
    text: str
    style: str = "text"


Line = Reading | Words


def find(scene: Scene, ids: Sequence[str]) -> tuple[int, Metric] | None:
    """The first of these metrics that can be read here; else the first that the table knows, for its reason."""
    table = {metric.id: (i, metric) for i, metric in enumerate(scene.view.metrics)}
    known = [table[name] for name in ids if name in table]
    return next((entry for entry in known if entry[1].status == "ok"), known[0] if known else None)


def recent(scene: Scene, name: str, seconds: int, *, measuring: bool = False) -> np.ndarray:
    """A metric's known values of the last seconds, of the present run alone where there is one (or of its measured time); a counter's are
    changes a second."""
    entry, history = find(scene, (name,)), scene.view.history
    if entry is None or history.metrics.shape[1:] <= (entry[0],):
        return np.empty(0)
    column: np.ndarray = history.metrics[-seconds:, entry[0]]
    if scene.view.run is not None:
        here = history.run[-seconds:] == scene.view.run.run
        column = column[here & history.warm[-seconds:].astype(bool) if measuring else here]
    known: np.ndarray = column[np.isfinite(column)]
    return known


def readings(scene: Scene, wanted: Sequence[Line], width: int, height: int) -> list[Row]:
    """What of these this session's table knows, in as many rows as there are: the first where not all fit, taller graphs where there
    is room."""
    lines = [line for line in wanted if isinstance(line, Words) or find(scene, line.ids) is not None]
    if not any(isinstance(line, Reading) for line in lines):
        return []
    lines = lines[: max(1, height)]
    graphs = sum(isinstance(line, Reading) for line in lines)
    each = max(1, min(_TALL, (height - len(lines) + graphs) // graphs))
    value = max(_VALUE, *(_value_width(scene, line) for line in lines))
    rows: list[Row] = []
    for line in lines:
        if isinstance(line, Words):
            rows.append(words_row(line, width))
        else:
            rows += _reading(scene, line, width, each, value)
    return rows


def _label(text: str) -> Row:
    return ((cut(text, LABEL - 1).ljust(LABEL), "dim"),)


def words_row(line: Words, width: int) -> Row:
    return fit((*_label(line.label), (clean(line.text), line.style)), width)


def _unit(line: Reading, metric: Metric) -> str:
    return line.unit or metric.unit


def _value_width(scene: Scene, line: Line) -> int:
    """The cells that the value of this line may take."""
    if isinstance(line, Words) or not line.said or line.top is None:
        return 0
    entry = find(scene, line.ids)
    assert entry is not None
    return _FIGURE + len(part_of(0, line.top, _unit(line, entry[1])))


def _reading(scene: Scene, line: Reading, width: int, each: int, value_width: int) -> list[Row]:
    """`each` rows of one reading."""
    entry = find(scene, line.ids)
    assert entry is not None
    place, metric = entry
    label = _label(line.label)
    if metric.status != "ok":
        why = cut(clean(metric.reason) or metric.status, width - LABEL - 3)
        return [(*label, (f"{UNKNOWN}  ", "text"), (why, "dim")), *[EMPTY] * (each - 1)]
    value, age = scene.view.values.get(metric.id), scene.view.ages.get(metric.id, 0.0)
    unit, history = _unit(line, metric), scene.view.history
    text = part_of(value, line.top, unit) if line.said and line.top else quantity(value, unit)
    if metric.source.startswith(APPROXIMATE) and value is not None:
        text = f"{APPROXIMATE}{text}"
    column = history.metrics[:, place] if history.metrics.shape[1] > place else np.empty(0)
    room = width - LABEL - value_width
    shown = column[-max(1, room) :]
    known = shown[np.isfinite(shown)]
    top = line.top or step_up(float(known.max()) * 1.05 if len(known) and known.max() > 0 else 1.0)
    figure, of, rest = text.partition(" of ")
    look = "dim" if age > _STALE else "strong"
    after = f"{of}{rest}".ljust(value_width - 1 - _FIGURE) if of else ""  # numbers stand below one another
    head: Row = (*label, (figure.rjust(value_width - 1 - len(after)), look), (f"{after} ", "dim"))
    if room < 6:
        return [(*label, (figure, look), (of + rest, "dim"))]
    if not len(known):
        return [(*head, *meter(value, top, room, scene.glyphs, line.style)), *[EMPTY] * (each - 1)]
    drawn = graph(column, room, each, top, scene.glyphs, marks=changes(history.run), style=line.style)
    blank: Row = ((" " * (LABEL + value_width), "text"),)
    beside = [head, *[blank] * (each - 1)]
    if each > 1 and not line.said:
        beside[1] = ((f"of {quantity(top, unit)}".rjust(LABEL + value_width - 1) + " ", "frame"),)
    return [(*left, *row) for left, row in zip(beside, drawn, strict=True)]


def joined(parts: Sequence[str], width: int, separator: str = " · ") -> str:
    """As many of these as fit in so many cells."""
    out = ""
    for part in parts:
        if part and len(out) + len(separator) + len(part) <= width + (0 if out else len(separator)):
            out = f"{out}{separator}{part}" if out else part
    return out
