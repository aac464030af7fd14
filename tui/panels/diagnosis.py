"""The verdict in two lines: what holds the run back, the key that tries the remedy with its predicted gain, and what one has gained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...sessions.records import Verdict
from ...sessions.view import RunView, View
from ...telemetry.verdict_advice import remedy_name
from ..render.cells import EMPTY, Row, clean, fit, length, spread
from ..render.numbers import count, number
from ..scene import Scene

WAITING_S = 0.5  # s without a request from which it is said: two ticks

KEYS = {"data-path": "d", "precision": "p", "batch-up": "b"}  # of the actions that a verdict advises


def diagnosis(scene: Scene, run: RunView, width: int, beside: Row = EMPTY) -> list[Row]:
    """The bottleneck, and what to do about it, with `beside` at the right of the advice. That work runs where it was not asked to comes
    before any other."""
    found = scene.view.verdict
    other = found is not None and found.kind != "fallback"
    right = (*pressing(scene.view, run), *beside)
    if run.fallback and (found is None or other):
        head = _head("FALLBACK", run.fallback)
        second: Row = EMPTY
        if found is not None:
            second = ((f"   {clean(found.kind)}", "two"), (f"  {clean(found.text)}", "dim"))
        elif run.throughput is not None:
            second = ((f"   {number(run.throughput)} samples/s", "text"), (" measured all the same", "dim"))
        return [fit(head, width), spread(second, right, width)]
    assert found is not None
    row, asked = _remedy(scene, found)
    room = width - length(right) - 1
    for extra in (_measured(found), _proof(asked) if scene.live else EMPTY):
        if extra and length(row) + 2 + length(extra) <= room:
            row = (*row, ("  ", "text"), *extra)
    return [fit(_head(clean(found.kind).upper(), found.text), width), spread(row, right, width)]


def held_back(scene: Scene, run: RunView, width: int) -> Row:
    """In one row what had held a run back that is over, and what to do about it; empty where no verdict stood."""
    if run.fallback:
        return fit((("   ▲ FALLBACK", "two-strong"), (f"  {clean(run.fallback)}", "text")), width)
    found = run.verdict or _longest(run)
    if found is None:
        return EMPTY
    remedy, _ = _remedy(scene, found, over=True)
    row: Row = (
        ("   ▲ ", "two"),
        (clean(found.kind).upper(), "two-strong"),
        (f"  {clean(found.text)}", "text"),
    )
    room = width - length(remedy)
    if (
        room >= width * 3 // 5 and length(row) > room
    ):  # a short advice is kept whole, beside a long one the sentence
        row = fit(row, room)
    return fit((*row, *remedy), width)


def _longest(run: RunView) -> Verdict | None:
    """The verdict that stood longest, as the run's result holds it: a reader that came late has seen no other."""
    verdicts = (run.result or {}).get("verdicts")
    first = verdicts[0] if isinstance(verdicts, list) and verdicts else None
    if not isinstance(first, Mapping) or not first.get("kind"):
        return None
    advice = first.get("advice")
    text, confidence = str(first.get("text") or ""), first.get("confidence")
    known = float(confidence) if isinstance(confidence, int | float) else 0.0
    return Verdict(
        t=0, run=run.run, kind=str(first["kind"]), confidence=known, text=text,
        advice=dict(advice) if isinstance(advice, Mapping) else None,
    )  # fmt: skip


def _head(word: str, text: str) -> Row:
    return ((" ▲ ", "two-strong"), (word, "two-strong"), (f"  {clean(text)}", "text"))


def _remedy(scene: Scene, found: Verdict, *, over: bool = False) -> tuple[Row, str]:
    """The advice behind its key, and the action that it asks for. What is `over` cannot be put to the proof."""
    advice = found.advice or {}
    text, action = clean(str(advice.get("text") or "")), str(advice.get("action") or "")
    if not text:
        return ((("   ", "dim"),), "")
    key = key_of(scene, found)
    if action and not key and scene.live and not over:
        key = "Enter"  # no key of its own: proving it tries it
        action = ""
    return (
        (("   → ", "dim"), (f"{key} " if key else "", "key"), (text, "strong")),
        action,
    )


def _proof(action: str) -> Row:
    return (("Enter", "key"), (" proves it", "dim")) if action else EMPTY


def _measured(found: Verdict) -> Row:
    """What the remedy that led to this run has gained, beside what was predicted."""
    measured = (found.advice or {}).get("measured")
    if not isinstance(measured, Mapping) or not isinstance(measured.get("gain_ms"), int | float):
        return EMPTY
    row: Row = ((f"{name_of(measured)} gained ", "dim"), (f"{_gain(measured, 'gain')}", "one-strong"))
    if isinstance(measured.get("predicted_ms"), int | float):
        row = (*row, (f", predicted {_gain(measured, 'predicted')}", "dim"))
    return row


def _gain(measured: Mapping[str, Any], which: str) -> str:
    share = measured.get(f"{which}_share")
    percent = f" ({share * 100:.0f} %)".replace("-", "−") if isinstance(share, int | float) else ""
    return f"{number(float(measured[f'{which}_ms']))} ms{percent}"


def name_of(advice: Mapping[str, Any]) -> str:
    """What an advice leads to: `pinned`, `batch 64`, `8 threads`."""
    return remedy_name(str(advice.get("action")), clean(str(advice.get("value"))))


def key_of(scene: Scene, found: Verdict) -> str:
    """The key that tries the advice."""
    advice = found.advice or {}
    return key_for(scene, str(advice.get("action") or ""), advice.get("value"))


def key_for(scene: Scene, action: str, value: object) -> str:
    """The key that does what an advice asks for; empty where there is none, or nothing can be commanded."""
    if not scene.live:
        return ""
    if action == "backend":
        names = [backend.name for backend in scene.view.backends]
        return str(names.index(value) + 1) if value in names[:9] else ""
    return KEYS.get(action, "")


def pressing(view: View, run: RunView) -> Row:
    """What is said beside anything else: how long no request has been completed, and how many wait."""
    row: Row = EMPTY
    if run.backlog:
        row = ((f"backlog {count(run.backlog)} ", "two"),)
    if view.since_request is not None and view.since_request >= WAITING_S:
        row = (*row, (f"waiting {view.since_request:.1f} s ", "two-strong"))
    return row
