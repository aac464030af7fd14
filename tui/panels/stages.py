"""Where a request's time goes, what comes out of it, and what it took to get there."""

from __future__ import annotations

from ...sessions.view import RunView
from ..render.cells import EMPTY, Row, words
from ..render.numbers import UNKNOWN, Unit, count, duration, number, unit_for
from ..render.stages import ORDER, bar, legend, parts
from ..scene import Panel, Scene, shown_run
from .states import said, waiting_for


def title(scene: Scene) -> Row:
    run = shown_run(scene.view)
    unit = f", {_unit(run).name}" if run is not None and run.stages else ""
    return (("where a request's time goes", "title"), (f" means{unit}", "dim"))


def right(scene: Scene) -> Row:
    run = shown_run(scene.view)
    if run is None or not run.stage_n:
        return EMPTY
    return ((f"{count(run.stage_n)} timed", "dim"),)


def _unit(run: RunView) -> Unit:
    return unit_for(sum((run.stages or {}).get(name, 0.0) for name in ORDER))


def _bar_and_legend(scene: Scene, width: int) -> list[Row]:
    run = shown_run(scene.view)
    if run is None or run.latency is None:
        return [((UNKNOWN, "dim"),), EMPTY]
    if not run.stages:
        return [
            ((("." if scene.glyphs.ascii else "·") * width, "frame"),),
            (("no request has been timed by stage yet", "dim"),),
        ]
    found = parts(dict(run.stages), scene.glyphs)
    unit = _unit(run)
    entries = legend(found, unit)
    enqueue = run.stages.get("enqueue")
    if enqueue is not None:
        entries.append(
            (("enqueue ", "dim"), (duration(enqueue, unit, name=False), "text"), (" beside", "dim"))
        )
    return [bar(found, width), words(entries, (("   ", "text"),), width)]


def compact(scene: Scene, width: int, height: int) -> list[Row]:
    """The bar with its name before it, over the legend."""
    run = shown_run(scene.view)
    run = shown_run(scene.view)
    label, second = " time goes ", " "
    if run is not None and run.stages:
        second = f" mean, {_unit(run).name} "
    rows = _bar_and_legend(scene, width - len(label) - 1)
    return [((label, "dim"), *rows[0]), ((second.ljust(len(label)), "dim"), *rows[1])][:height]


def body(scene: Scene, width: int, height: int) -> list[Row]:
    run = shown_run(scene.view)
    if run is None or (run.latency is None and run.error is None):
        return said(waiting_for(scene), width, height)
    rows = _bar_and_legend(scene, width)
    line: Row = ((number(run.throughput), "strong"), (" samples/s", "text"))
    if run.samples and run.requests and run.samples != run.requests:
        line = (
            *line,
            (
                f"   {number(run.throughput / (run.samples / run.requests) if run.throughput else None)} requests/s",
                "dim",
            ),
        )
    rows.append(line)
    if cold := _cold(scene):
        rows.append(cold)
    rows.append(_facts(scene))
    return rows[:height]


def _cold(scene: Scene) -> Row:
    """What happened before the first request, in seconds."""
    run = shown_run(scene.view)
    if run is None or not run.cold_start:
        return EMPTY
    known = [(name, value) for name, value in run.cold_start.items() if value is not None]
    if not known:
        return (("cold start ", "dim"), ("none: the worker was kept loaded", "text"))
    row: Row = (("cold start ", "dim"), (f"{sum(v for _, v in known):.1f} s", "strong"), (": ", "dim"))
    text = "  ".join(f"{name} {value:.1f}" for name, value in known)
    return (*row, (text + (f"  cache {run.cache}" if run.cache else ""), "dim"))


def _facts(scene: Scene) -> Row:
    """Threads, placement and what was assumed about the model's sizes."""
    run = shown_run(scene.view)
    assert run is not None
    out = []
    if run.threads is not None:
        out.append(f"{run.threads} thread{'s' if run.threads != 1 else ''}")
    if run.placement:
        out.append(
            ", ".join(
                f"{name.removesuffix('ExecutionProvider')} {nodes} nodes"
                for name, nodes in run.placement.items()
            )
        )
    if run.assumed:
        out.append("assumed " + " ".join(f"{name}={size}" for name, size in run.assumed.items()))
    out += [f"{name} {version}" for name, version in list(run.libraries.items())[:1]]
    return ((" · ".join(out), "dim"),) if out else EMPTY


PANEL = Panel(title, body, right)
COMPACT = Panel(title, compact, right)
