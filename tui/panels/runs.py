"""The runs of the session side by side, the present one last."""

from __future__ import annotations

from collections.abc import Callable

from ...sessions.view import RunView
from ..naming import short_backend
from ..ranking import MARKS, Ranking, discounted, every, last, open_loop, ranking, unavailable, varying
from ..render.cells import EMPTY, Row, clean
from ..render.numbers import UNKNOWN, Unit, change, number, unit_for
from ..render.table import Cell, Column, table
from ..scene import Panel, Scene
from .states import said


def title(scene: Scene) -> Row:
    return (("runs of this session", "title"),)


def right(scene: Scene) -> Row:
    if not ranking(all_runs(scene)).contested:
        return EMPTY
    return (("◆", "one"), (" none is better in both p50 and samples/s", "dim"))


_LONG = ("sizes", "options", "model")
"""What may be of any length, and is cut before the numbers are lost."""


def all_runs(scene: Scene) -> list[RunView]:
    """Ended runs and the present one, oldest first."""
    return every(scene.view.runs, scene.view.run)


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
    found = ranking(runs)
    unit = unit_for(
        min((run.latency.quantiles[0].value for run in runs if run.latency and run.latency.quantiles), default=None)
    )  # fmt: skip
    told_apart = varying(runs)
    extra = [(column, of) for column, of in _EXTRA if any(of(run) for run in runs)]
    named = [
        Column("#"),
        *([Column("", style="one")] if found.contested else []),
        Column("backend", right=False, flexible=True),
        *(Column(name, right=False, flexible=name in _LONG) for name, _ in told_apart),
        Column("batch"),
        Column(f"p50 {unit.name}", style="strong"),
        Column("samples/s", style="strong"),
        Column("to best"),
    ]
    columns = [*named, Column("p99"), *(column for column, _ in extra), Column("n", style="dim")]
    rows: list[list[Cell]] = []
    for run in last(runs, found, height - 1):
        c = run.configuration
        present = scene.view.run is not None and run.run == scene.view.run.run
        row: list[Cell] = [str(run.run)]
        row += ["◆" if run.run in found.front else ""] if found.contested else []
        row.append((short_backend(scene.view, c), "one-strong" if present else "text"))
        row += [clean(of(run)) for _, of in told_apart]
        row.append(str(c.batch) if c.batch is not None else UNKNOWN)
        row += _numbers(run, unit, found)
        row += [of(run) for _, of in extra]
        rows.append([*row, number(run.requests) if run.latency is not None else ""])
    wide = table(columns, rows, width, keep=len(named))
    fits = any(named[-1].title in text for text, _ in wide[0])
    return (
        wide if fits else table(columns, rows, width, gap=1, keep=len(named))
    )  # closer, before a column is lost


def _numbers(run: RunView, unit: Unit, found: Ranking) -> list[Cell]:
    """p50, throughput, how it stands to the best, and p99; of a run without them, why it has none."""
    if run.latency is None:
        # What a person stopped before it was measured did not fail, and neither did what cannot be had here.
        kind = clean(run.error.kind) if run.error is not None else ""
        if unavailable(run):
            return [("unavailable", "dim"), "", "", ""]
        if kind in ("", "stopped"):
            return [("stopped", "dim"), "", "", ""]
        return [("✕ failed", "bad"), (kind, "dim"), "", ""]
    known = {q.q: q.value / unit.ns for q in run.latency.quantiles}
    best = found.leader(run)
    ratio: Cell = UNKNOWN
    if why := discounted(run):
        ratio = (MARKS.get(why, clean(why)), "bad" if why == "differs" else "two-strong")
    elif best is not None and not open_loop(run):
        ratio = "best" if run.run == best.run else change(run.throughput, best.throughput)
    return [number(known.get(0.5)), number(run.throughput), ratio, number(known.get(0.99))]


def _outputs(run: RunView) -> str:
    """Whether the outputs agree with the reference's."""
    within = (run.agreement or {}).get("within_band")
    return {True: "✓ agree", False: "✕ differ"}.get(within, "") if isinstance(within, bool) else ""


def _energy(run: RunView) -> str:
    joules = (run.result or {}).get("energy_j_per_sample")
    return number(float(joules) * 1e3) if isinstance(joules, int | float) else ""


_EXTRA: tuple[tuple[Column, Callable[[RunView], str]], ...] = (
    (Column("verdict", right=False, style="dim"), verdict_of),
    (Column("grade", right=False, style="dim"), lambda run: run.grade or ""),
    (Column("mJ/sample"), _energy),
    (Column("outputs", right=False, style="dim"), _outputs),
)
"""What is known of some runs: a column where it is of any."""

PANEL = Panel(title, body, right)
