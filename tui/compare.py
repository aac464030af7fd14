"""Two runs side by side: throughput, percentiles and stages, with the change and whether it is sure."""

from __future__ import annotations

from collections.abc import Mapping

from ..sessions.view import Latency, RunView, View
from .naming import differences, short_backend
from .panels.percentiles import interval, known, quantile_name
from .panels.runs import verdict_of
from .ranking import MARKS, discounted
from .render.cells import EMPTY, Row, clean, wrap
from .render.numbers import (
    UNKNOWN,
    Measured,
    Unit,
    change,
    change_style,
    count,
    number,
    seconds,
    sure_change,
    unit_for,
)
from .render.stages import ORDER
from .render.table import Cell, Column, table
from .scene import shown_run


def candidates(view: View) -> list[RunView]:
    """The runs with results that the shown one can be compared with: the one before it first, then from the newest on."""
    present = shown_run(view)
    if present is None or present.latency is None:
        return []
    found = [r for r in reversed(view.runs) if r.latency is not None and r.run != present.run]
    first = view.before
    if first is not None and any(r.run == first.run for r in found):
        found = [first, *(r for r in found if r.run != first.run)]
    return found


def rows(view: View, number_of_other: int, width: int) -> list[Row]:
    """The comparison as text rows; the shown run may go on meanwhile."""
    now = shown_run(view)
    other = next((r for r in view.runs if r.run == number_of_other), None)
    if now is None or other is None or now.latency is None or other.latency is None:
        return [(("one of the two runs is no longer there", "dim"),)]
    unit = unit_for(now.latency.quantiles[0].value if now.latency.quantiles else now.latency.mean)
    out: list[Row] = []
    for run, others in ((other, now), (now, other)):
        name = f"#{run.run} {short_backend(view, run.configuration)}"
        what = differences(run.configuration, others.configuration, view, named=True)
        verdict = verdict_of(run)
        facts = f"n {count(run.requests)} in {seconds(run.measured_s)}, grade {run.grade or UNKNOWN}"
        out.append(
            ((f"{'then' if run is other else 'now '} ", "dim"), (name, "strong"), (f"  {what}", "text"))
        )
        out.append(((f"     {facts}{verdict and f', {verdict}'}", "dim"),))
        if why := discounted(run):
            out.append(
                (
                    ("     ", "text"),
                    (MARKS.get(why, clean(why)), "two-strong"),
                    (f"  {_why(run, why)}", "text"),
                )
            )
    out.append(EMPTY)
    columns = [
        Column("", right=False),
        Column(f"#{other.run} then"),
        Column(f"#{now.run} now", style="strong"),
        Column("change"),
        Column("95 % then", style="dim"),
        Column("95 % now", style="dim"),
    ]
    cells = [_throughput(other, now), *_percentiles(other.latency, now.latency, unit, "")]
    if other.response is not None and now.response is not None:
        cells += _percentiles(other.response, now.response, unit, "response ")
    out += table(columns, cells, width)
    out += [EMPTY, *_stages(other, now, unit, width)]
    note = "a range stands where the intervals, those within each run, do not overlap; a change without one may be none"
    out += [EMPTY, *(((line, "dim"),) for line in wrap(note, width))]
    return out


def _why(run: RunView, why: str) -> str:
    """What is wrong with a run that should be compared with no other."""
    if why == "fallback":
        fault = (run.result or {}).get("error")
        told = run.fallback or (fault.get("message") if isinstance(fault, Mapping) else None)
        return clean(str(told or "it did not run where its name says"))
    return clean(str((run.agreement or {}).get("reason") or "")) if why == "differs" else ""


def _throughput(other: RunView, now: RunView) -> list[Cell]:
    values = [_rate(run) for run in (other, now)]
    changed: Cell = UNKNOWN
    if values[0] is not None and values[1] is not None:
        changed = _changed(values[1], values[0], more_is_better=True)
    ends = [f"{number(v.low)}–{number(v.high)}" if v and v.low and v.high else UNKNOWN for v in values]
    return ["samples/s", number(other.throughput), number(now.throughput), changed, *ends]


def _changed(now: Measured, then: Measured, *, more_is_better: bool = False) -> Cell:
    text, sure = sure_change(now, then)
    return text, change_style((now.value > then.value) is more_is_better, sure)


def _rate(run: RunView) -> Measured | None:
    """The throughput; only an ended run has its interval."""
    bounds = (run.result or {}).get("throughput_ci95")
    given = isinstance(bounds, list) and len(bounds) == 2 and all(isinstance(b, int | float) for b in bounds)
    low, high = (float(bounds[0]), float(bounds[1])) if given and bounds else (None, None)
    return None if run.throughput is None else Measured(run.throughput, low, high)


def _percentiles(then: Latency, now: Latency, unit: Unit, what: str) -> list[list[Cell]]:
    """p50, p90, p99, p99.9 and the mean, in the unit of the present run."""
    old = {q.q: q for q in then.quantiles}
    found: list[list[Cell]] = []
    for q in now.quantiles:
        if q.q not in old or q.q == 0.95:
            continue
        before = old[q.q]
        found.append(
            [
                f"{what}{quantile_name(q.q)} {unit.name}",
                number(before.value / unit.ns),
                number(q.value / unit.ns),
                _changed(known(q), known(before)),
                interval(before, unit),
                interval(q, unit),
            ]
        )
    mean = [f"{what}mean {unit.name}", number(then.mean / unit.ns), number(now.mean / unit.ns)]
    return [
        *found,
        [*mean, _changed(*(Measured(run.mean, None, None) for run in (now, then))), UNKNOWN, UNKNOWN],
    ]


def _stages(other: RunView, now: RunView, unit: Unit, width: int) -> list[Row]:
    """Means of the stages, with their part of the request."""
    then, here = dict(other.stages or {}), dict(now.stages or {})
    names = [name for name in (*ORDER, "enqueue") if name in then or name in here]
    if not names:
        return [(("no request of these runs was timed by stage", "dim"),)]
    wholes = [sum(v for k, v in found.items() if k != "enqueue") for found in (then, here)]
    cells: list[list[Cell]] = []
    for name in names:
        row: list[Cell] = [f"{name} {unit.name}"]
        values = (then.get(name), here.get(name))
        row += [number(None if v is None else v / unit.ns) for v in values]
        row.append(change(values[1], values[0]))
        if name == "enqueue":
            row += ["beside", "beside"]
        else:
            row += [
                UNKNOWN if v is None or not whole else f"{100 * v / whole:.0f} %"
                for v, whole in zip(values, wholes, strict=True)
            ]
        cells.append(row)
    columns = [
        Column("stage, mean", right=False),
        Column("then"),
        Column("now", style="strong"),
        Column("change"),
        Column("part then", style="dim"),
        Column("part now", style="dim"),
    ]
    return table(columns, cells, width)
