"""The verdict with everything that it rests on: its signals, which verdicts stood before, where the numbers come from, and what reading them
costs.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..sessions import gap, runtime_words
from ..sessions.records import Evidence
from ..sessions.units import milliseconds
from ..sessions.view import RunView, View
from . import provenance
from .panels.diagnosis import name_of
from .provenance import value
from .render.cells import EMPTY, Row, clean, wrap
from .render.numbers import clock, number, size, span
from .render.table import Cell, Column, table
from .scene import Scene

STANDINGS = 8
"""So many of the newest changes of the verdict are listed."""

_SENSES = {">=": "≥", "<=": "≤"}


def rows(scene: Scene, width: int) -> list[Row]:
    """The whole page; what the verdict rests on comes first, and without a verdict the rest stands all the same."""
    view, sections = scene.view, [_verdict(scene.view, width)]
    if view.run is not None:
        sections += [_gap(view.run, width), _did(view.run, width)]
        if view.run.work:
            sections.append(_work(view.run.work, view.run.peaks or {}, width))
    if len(view.standings) > 1:
        sections.append(_timeline(view, width))
    sections += [*provenance.link(scene, width), *provenance.cost(view, width)]
    rows = [row for section in sections if section for row in (*section, EMPTY)]
    return rows[:-1]


def _verdict(view: View, width: int) -> list[Row]:
    found = view.verdict
    if found is None:
        measuring = view.run is not None and view.run.phase == "measure"
        text = "it needs three ticks and three requests, and two signals that agree"
        return [
            ((line, "dim"),)
            for line in wrap(f"no verdict: {text if measuring else 'nothing is being measured'}", width)
        ]
    out: list[Row] = [
        ((clean(found.kind).upper(), "two-strong"), (f"  confidence {found.confidence * 100:.0f} %", "dim"))
    ]
    out += [((line, "text"),) for line in wrap(clean(found.text), width)]
    out += [EMPTY, *_signals(found.evidence, width)]
    return [*out, *_advice(found.advice, width)] if found.advice else out


def _signals(evidence: list[Evidence], width: int) -> list[Row]:
    """Each signal with its value, its threshold, and whether it agrees."""
    cells: list[list[Cell]] = []
    for item in evidence:
        unit = clean(item.unit)
        limit = ""
        said: Cell = ("beside", "dim")
        if item.threshold is not None:
            limit = f"{_SENSES.get(item.sense, clean(item.sense))} {value(item.threshold, unit)}"
        if item.value is None:
            said = ("not known here", "dim")
        elif item.threshold is not None:
            agrees = item.value <= item.threshold if item.sense == "<=" else item.value >= item.threshold
            said = ("✓ agrees", "one") if agrees else ("✕ against", "two")
        window = "" if item.window is None else f"{item.window:.1f} s"
        cells.append([clean(item.signal), value(item.value, unit), limit, said, window])
    columns = [
        Column("signal", right=False, flexible=True),
        Column("value", style="strong"),
        Column("threshold"),
        Column("", right=False),
        Column("window", style="dim"),
    ]
    return table(columns, cells, width) if cells else [(("it rests on no reading", "dim"),)]


def _advice(advice: Mapping[str, object], width: int) -> list[Row]:
    out: list[Row] = []
    if text := clean(str(advice.get("text") or "")):
        out += [EMPTY, *(((f"→ {piece}", "strong"),) for piece in wrap(text, width - 2))]
    if text and (assumed := clean(str(advice.get("assumed") or ""))):
        out += [((f"  {piece}", "dim"),) for piece in wrap(assumed, width - 2)]
    measured = advice.get("measured")
    if isinstance(measured, Mapping):
        gained, predicted = (
            f"{number(float(v))} ms" if isinstance(v := measured.get(key), int | float) else "not known"
            for key in ("gain_ms", "predicted_ms")
        )
        text = f"{name_of(measured)} led to this run and gained {gained}; predicted {predicted}"
        out += [((piece, "one"),) for piece in wrap(text, width)]
    return out


def _gap(run: RunView, width: int) -> list[Row]:
    """What the stages leave of the service latency, in numbers and words, and why trtexec shows less."""
    found = gap.of_run(run)
    if found is None:
        return []
    cells: list[list[Cell]] = [
        [part.label, f"{milliseconds(part.ms)} ms", f"{part.share * 100:.1f} %"] for part in found.parts
    ]
    columns = [
        Column("of that", right=False, flexible=True),
        Column("mean", style="strong"),
        Column("of the service", style="dim"),
    ]
    out: list[Row] = [((piece, "strong"),) for piece in wrap(gap.head(found), width)]
    out += table(columns, cells, width)
    for line in gap.lines(found)[1:]:
        out += [((piece, "text"),) for piece in wrap(clean(line), width)]
    return out


def _did(run: RunView, width: int) -> list[Row]:
    """What the runtime turned out to do, and what the plain call takes."""
    said = [*runtime_words.did(run.runtime), *filter(None, (runtime_words.control(run.control),))]
    return [((piece, "text"),) for line in said for piece in wrap(clean(line), width)]


def _work(work: Mapping[str, object], peaks: Mapping[str, float], width: int) -> list[Row]:
    """What a request asks of the GPU, beside what that can do a second."""
    flop = work.get("flop")
    asked = [(name, count, "FLOP") for name, count in flop.items()] if isinstance(flop, Mapping) else []
    asked.append(("memory", work.get("bytes"), "B"))
    cells: list[list[Cell]] = []
    for name, amount, unit in asked:
        if not isinstance(amount, int | float):
            continue
        peak = peaks.get("bandwidth" if name == "memory" else str(name))
        # The least that has to be moved is nothing where the GPU's cache could hold all of it.
        least = _amount(amount, unit) if amount else "may stay in its cache"
        cells.append([clean(str(name)), least, "–" if peak is None else f"{_amount(peak, unit)}/s"])
    columns = [
        Column("a request asks of the GPU at least", right=False),
        Column("", style="strong"),
        Column("its peak", style="dim"),
    ]
    return table(columns, cells, width)


def _amount(value: float, unit: str) -> str:
    """`1.10 TFLOP`, `9.66 GB`."""
    if unit == "B":
        return size(value)
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= factor:
            return f"{number(value / factor)} {prefix}{unit}"
    return f"{number(value)} {unit}"


def _timeline(view: View, width: int) -> list[Row]:
    """Which verdict stood from when on, and for how long; the newest first."""
    ends = [*(after.t for after in view.standings[1:]), view.now]
    cells: list[list[Cell]] = [
        [
            clock(view.unix - view.now + begun.t),
            clean(begun.kind),
            f"{begun.run}",
            span(max(0, end - begun.t) / 1e9),
        ]
        for begun, end in zip(view.standings, ends, strict=True)
    ]
    columns = [
        Column("since", right=False),
        Column("verdicts of this session", right=False, style="strong"),
        Column("run"),
        Column("until the next", style="dim"),
    ]
    newest = cells[: -STANDINGS - 1 : -1]
    left: list[Row] = []
    if len(cells) > len(newest):
        left = [((f"and {len(cells) - len(newest)} before", "dim"),)]
    return [*table(columns, newest, width), *left]
