"""The verdict's two lines once a run is over: stopped, failed, done, or the whole session ended, with what had held the run back."""

from __future__ import annotations

from ...sessions import pareto
from ...sessions.view import RunView
from ..naming import short_backend
from ..ranking import discounted, every, measured, open_loop, unavailable
from ..render.cells import EMPTY, Row, clean, fit, length, spread
from ..render.numbers import count, number, span
from ..scene import Scene
from .diagnosis import held_back
from .states import headed, sentence


def result(run: RunView) -> str:
    """What came out of a run, in a few words."""
    if run.throughput is None:
        return "no measured requests"
    return f"{number(run.throughput)} samples/s over {span(run.measured_s)}, n {count(run.requests)}"


def stopped_by_hand(scene: Scene, run: RunView, width: int) -> list[Row]:
    """That nothing is measured because a person wanted it so, and the way back."""
    head: Row = ((" ■ STOPPED", "two-strong"),)
    if scene.live:
        head = (*head, (" · ", "dim"), ("r", "key"), (" or ", "dim"), ("x", "key"), (" starts again", "dim"))
    if run.error is not None:
        return [fit(head, width), fit(((f"   {clean(run.error.message)}", "text"),), width)]
    if back := held_back(scene, run, width):
        return [spread(head, ((f"{result(run)} ", "text"),), width), back]
    return [fit(head, width), fit(((f"   {result(run)}", "text"),), width)]


def failed(scene: Scene, run: RunView, width: int, also: str = "") -> list[Row]:
    """A run that failed, or that cannot be had here, and what to do."""
    assert run.error is not None
    head = headed("○ UNAVAILABLE", "two-strong") if unavailable(run) else headed("✕ FAILED", "bad")
    beside: Row = ((f"{clean(also)}  ", "text"),) if also else EMPTY
    if run.error.detail:
        beside = (*beside, ("o", "key"), (" its output ", "dim"))
    text = f"{short_backend(scene.view, run.configuration)}: {run.error.message}"
    return sentence(head, text, run.error.fix, width, beside=beside)


def stood_in_for(scene: Scene, run: RunView, present: RunView, width: int) -> list[Row]:
    """The same while another configuration goes on, or is measured in its place and says so."""
    name = short_backend(scene.view, present.configuration)
    also = f"▲ FALLBACK {name} in its place" if present.fallback else f"{name} carries on"
    return failed(scene, run, width, also)


def done(scene: Scene, run: RunView, width: int) -> list[Row]:
    """A run that was measured to its end."""
    again = "r or x measures it again, a digit another backend" if scene.live else ""
    head = (*headed("■ DONE", "one-strong"), (result(run), "text"))
    back = held_back(scene, run, width)
    if not back:
        return sentence(headed("■ DONE", "one-strong"), result(run), again, width)
    right: Row = ((f"{again} ", "dim"),) if length(head) + len(again) + 2 <= width else EMPTY
    return [spread(head, right, width), back]


def ended(scene: Scene, width: int) -> list[Row]:
    """A session that was closed: the best of its runs, or its only one with what held it back."""
    view, run = scene.view, scene.view.run
    runs = [r for r in every(view.runs, run) if r.phase == "end" and not _given_up(r)]
    head = headed("■ ENDED", "one-strong")
    if len(runs) > 1 and measured(runs):
        rows = sentence(head, pareto.summary([_result(r) for r in runs]), "", width)
        back = held_back(scene, run, width) if run is not None else EMPTY
        return [rows[0], back] if back and not "".join(text for text, _ in rows[1]).strip() else rows
    if run is not None and run.error is not None:
        return failed(scene, run, width)
    if run is None:
        fault = next((e.text for e in reversed(view.events) if e.level == "error"), "")
        return sentence(head, f"nothing was measured{fault and ': '}{fault}", "", width)
    return [fit((*head, (result(run), "text")), width), held_back(scene, run, width) or fit(EMPTY, width)]


def _given_up(run: RunView) -> bool:
    """Whether a person stopped it before it was measured: nothing came of it, and nothing is to be said."""
    return run.latency is None and run.error is not None and run.error.kind == "stopped"


def _result(run: RunView) -> pareto.Result:
    """What a summary needs of a run, as a result has it."""
    c = run.configuration
    status = discounted(run)
    if run.latency is None:
        status = "unavailable" if unavailable(run) else "failed"
    p50 = run.latency.quantiles[0].value / 1e6 if run.latency is not None and run.latency.quantiles else None
    return {
        "status": "ok" if status in ("", "differs") else status,
        "agreement": run.agreement,
        "latency_ms": {"p50": p50},
        "throughput": run.throughput,
        "backend": c.label,
        "model": c.model,
        "dims": dict(c.dims),
        "precision": c.precision,
        "batch": c.batch,
        "data_path": c.data_path,
        "load": c.load,
        "open_loop": open_loop(run),
    }
