"""The runs of the session side by side, the present one last."""

from __future__ import annotations

from ...sessions.view import RunView
from ..naming import model_name, short_backend
from ..render.cells import Row, clean
from ..render.numbers import UNKNOWN, change, number, unit_for
from ..render.table import Cell, Column, table
from ..scene import Panel, Scene
from .states import said


def title(scene: Scene) -> Row:
    return (("runs of this session", "title"),)


def all_runs(scene: Scene) -> list[RunView]:
    """Ended runs and the present one, oldest first."""
    view = scene.view
    runs = list(view.runs)
    if view.run is not None and all(r.run != view.run.run for r in runs):
        runs.append(view.run)
    return runs


def differs(run: RunView) -> bool:
    """Whether its outputs lie outside the band of its precision: a wrong answer is never best."""
    agreement = (run.result or {}).get("agreement")
    return isinstance(agreement, dict) and agreement.get("within_band") is False


def verdict_of(run: RunView) -> str:
    """The verdict that stood longest in an ended run, else the one that stands."""
    verdicts = (run.result or {}).get("verdicts")
    first = verdicts[0] if isinstance(verdicts, list) and verdicts else None
    if isinstance(first, dict) and first.get("kind"):
        return clean(str(first["kind"]))
    return clean(run.verdict.kind) if run.verdict is not None else ""


def body(scene: Scene, width: int, height: int) -> list[Row]:
    runs = [run for run in all_runs(scene) if run.latency is not None or run.error is not None]
    if not runs:
        return said("runs stand here as they end, to be compared", width, height)
    runs = runs[-max(1, height - 1) :]
    best = max((run.throughput for run in runs if run.throughput and not differs(run)), default=None)
    unit = unit_for(
        min(
            (run.latency.quantiles[0].value for run in runs if run.latency and run.latency.quantiles),
            default=None,
        )
    )
    several = (
        len({run.configuration.precision for run in runs}) > 1,
        len({run.configuration.model for run in runs}) > 1,
    )
    judged = any(verdict_of(run) for run in runs)
    columns = [
        Column("#"),
        Column("backend", right=False, flexible=True),
        *([Column("prec", right=False)] if several[0] else []),
        *([Column("model", right=False, flexible=True)] if several[1] else []),
        Column("batch"),
        Column(f"p50 {unit.name}", style="strong"),
        Column("p99"),
        Column("samples/s", style="strong"),
        Column("to best"),
        Column("n", style="dim"),
        Column("grade", right=False, style="dim"),
        *([Column("verdict", right=False, style="dim")] if judged else []),
    ]
    rows: list[list[Cell]] = []
    for run in runs:
        c = run.configuration
        present = scene.view.run is not None and run.run == scene.view.run.run
        row: list[Cell] = [str(run.run), (short_backend(scene.view, c), "one-strong" if present else "text")]
        row += [c.precision] if several[0] else []
        row += [model_name(c.model)] if several[1] else []
        row.append(str(c.batch) if c.batch is not None else UNKNOWN)
        if run.latency is None:
            # What a person stopped before it was measured did not fail.
            kind = clean(run.error.kind) if run.error is not None else ""
            stopped = kind in ("", "stopped")
            row += [
                ("stopped", "dim") if stopped else ("✕ failed", "bad"),
                "",
                ("" if stopped else kind, "dim"),
                "",
                "",
                "",
            ]
        else:
            known = {q.q: q.value / unit.ns for q in run.latency.quantiles}
            ratio: Cell = "best" if run.throughput == best else change(run.throughput, best)
            if differs(run):
                ratio = ("✕ differs", "bad")
            row += [number(known.get(0.5)), number(known.get(0.99)), number(run.throughput), ratio]
            row += [number(run.requests), run.grade or UNKNOWN]
        rows.append([*row, verdict_of(run)] if judged else row)
    return table(columns, rows, width)


PANEL = Panel(title, body)
