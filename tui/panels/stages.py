"""Where a request's time goes, what comes out of it, and what it took to get there."""

from __future__ import annotations

from ...sessions.view import RunView
from ..render.cells import EMPTY, Row, clean, length, spread, words
from ..render.numbers import UNKNOWN, Unit, count, duration, number, unit_for
from ..render.stages import ORDER, bar, counts, legend, parts
from ..scene import Panel, Scene, shown_run
from .device import energy
from .states import said, waiting_for

_LEGENDS = (
    (True, "   ", 0.0),
    (True, "  ", 0.0),
    (False, "  ", 0.0),
    (False, " ", 0.0),
    (True, "  ", 0.01),
    (False, "  ", 0.01),
    (False, " ", 0.05),
)
"""From wide to narrow: with shares, what stands between, and the least share of a stage that is named. The gap always is."""


def unsplit(run: RunView) -> bool:
    """Whether all of the time is the gap, because no stage of the run was timed."""
    return run.stages is not None and set(run.stages) <= {"gap"}


def approximate(run: RunView | None) -> bool:
    """Whether the plain call takes another time than its steps do, so that their split holds roughly alone."""
    return run is not None and (run.control or {}).get("marked") is True


def title(scene: Scene) -> Row:
    run = shown_run(scene.view)
    unit = f", {_unit(run).name}" if run is not None and run.stages else ""
    rough: Row = ((" ≈", "two"),) if approximate(run) else EMPTY
    return (("where a request's time goes", "title"), *rough, (f" means{unit}", "dim"))


def right(scene: Scene) -> Row:
    run = shown_run(scene.view)
    if run is None or not run.stage_n:
        return EMPTY
    return ((f"{count(run.stage_n)} timed", "dim"),)


def _unit(run: RunView) -> Unit:
    return unit_for(sum((run.stages or {}).get(name, 0.0) for name in ORDER))


def _bar(scene: Scene, run: RunView, width: int) -> Row:
    if not run.stages or unsplit(run):
        return ((("." if scene.glyphs.ascii else "·") * width, "frame"),)
    return bar(parts(dict(run.stages), scene.glyphs), width)


def _legend(scene: Scene, run: RunView, width: int) -> Row:
    """What the bar's parts are; where the room is small without their shares, then closer together, then without what hardly counts."""
    if not run.stages:
        return (("no request has been timed by stage yet", "dim"),)
    if unsplit(run):
        return (("not split: this run's stages were not timed", "dim"),)
    found, unit = parts(dict(run.stages), scene.glyphs), _unit(run)
    for shares, gap, least in _LEGENDS:
        entries = legend(
            [p for p in found if p.name == "gap" or counts(p, found, least)], unit, shares=shares, whole=found
        )
        row = words(entries, ((gap, "text"),), 10_000)
        if length(row) <= width:
            break
    enqueue = run.stages.get("enqueue")
    if enqueue is not None:
        beside: Row = (
            ("   enqueue ", "dim"),
            (duration(enqueue, unit, name=False), "text"),
            (" beside", "dim"),
        )
        row = (*row, *beside) if length(row) + length(beside) <= width else row
    return row


def compact(scene: Scene, width: int, height: int) -> list[Row]:
    """The bar with its name before it, over the legend with the throughput."""
    run = shown_run(scene.view)
    label = " time goes "
    if run is None or run.latency is None:
        return [((label, "dim"), (UNKNOWN, "dim")), EMPTY][:height]
    about = "≈" if approximate(run) else " "
    second = f"{about}mean, {_unit(run).name} ".ljust(len(label)) if run.stages else " " * len(label)
    tail: Row = ((number(run.throughput), "strong"), ("/s ", "dim"))
    room = width - len(label) - length(tail) - 1
    left: Row = ((second, "dim"), *_legend(scene, run, room))
    return [((label, "dim"), *_bar(scene, run, width - len(label) - 1)), spread(left, tail, width)][:height]


def body(scene: Scene, width: int, height: int) -> list[Row]:
    run = shown_run(scene.view)
    if run is None or run.latency is None:
        return said(waiting_for(scene), width, height)
    rows = [_bar(scene, run, width), _legend(scene, run, width)]
    line: Row = ((number(run.throughput), "strong"), (" samples/s", "text"))
    beside = []
    if run.samples and run.requests and run.samples != run.requests:
        each = run.throughput / (run.samples / run.requests) if run.throughput else None
        beside.append(f"   {number(each)} requests/s")
    beside.append(f"   {joules}" if (joules := energy(scene)[0]) else "")
    for text in beside:
        if length(line) + len(text) <= width:
            line = (*line, (text, "dim"))
    rows.append(line)
    cold, facts = _cold(scene), _facts(scene)
    # Where it was kept loaded, nothing came from a cache.
    cache = f"cache {run.cache}" if run.cache and run.cold_start else ""
    if cache and length(cold) + len(cache) + 2 <= width:
        cold = (*cold, (f"  {cache}", "dim"))
    elif cache and length(facts) + len(cache) + 3 <= width:
        facts = (*facts, (f" · {cache}", "dim"))
    if cold:
        rows.append(cold)
    rows.append(facts)
    return rows[:height]


def _cold(scene: Scene) -> Row:
    """What happened before the first request, in seconds."""
    run = shown_run(scene.view)
    known = [(n, v) for n, v in ((run and run.cold_start) or {}).items() if v is not None]
    if run is None or not known:
        note = clean(run.note) if run is not None else ""
        return (("cold start ", "dim"), (f"none: {note}", "text")) if note else EMPTY
    row: Row = (("cold start ", "dim"), (f"{number(sum(v for _, v in known))} s", "strong"), (": ", "dim"))
    text = "  ".join(f"{name} {number(value)}" for name, value in known if value >= 0.005)
    return (*row, (text, "dim"))


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
