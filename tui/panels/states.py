"""What a panel says instead of values: nothing yet, loading, or why there can be none."""

from __future__ import annotations

from ...sessions.gpu_lock import BUSY
from ...sessions.records import Event
from ...sessions.view import View
from ..render.cells import EMPTY, Row, clean, fit, length, spread, wrap
from ..scene import Scene

PHASE_WORDS = {
    "start": "starting",
    "import": "importing",
    "export": "exporting",
    "load": "loading",
    "build": "building",
    "check": "comparing outputs",
    "control": "timing the plain call",
    "quiet": "looking at the idle GPU",
    "warmup": "warming up",
    "measure": "measuring",
    "end": "ended",
}


_UNBEGUN = {
    BUSY: "nothing was begun: another infertop measures on this GPU",
    "wait": "waiting for the GPU",
    "stop": "nothing was begun",
}


def said(text: str, width: int, height: int) -> list[Row]:
    """A sentence in the middle of an empty panel."""
    lines = wrap(clean(text), max(10, width))[: max(1, height)]
    above = max(0, (height - len(lines)) // 2)
    return [EMPTY] * above + [((line, "dim"),) for line in lines]


def sentence(
    head: Row,
    text: str,
    fix: str,
    width: int,
    style: str = "text",
    fix_style: str = "dim",
    most: int = 2,
    beside: Row = EMPTY,
) -> list[Row]:
    """Two rows of the verdict's place: a sentence behind its head, then what to do; a long sentence goes on in the second row.

    Where that would be cut, and `most` allows it, there are more rows. `beside` stands at the right of the second row and is not cut.
    """
    text, fix = clean(text), clean(fix)
    first, *rest = wrap(text, width - length(head)) or [""]
    more = " ".join(rest)
    second: Row = EMPTY
    if more or fix:
        second = ((f"   {more} " if more else "   ", style), (f"→ {fix}" if fix else "", fix_style))
    rows = [(*head, (first, style)), second]
    if length(second) > width and most > 2:
        lines = [((f"   {line}", style),) for line in wrap(more, width - 3)]
        todo = [
            ((f"   {'→' if i == 0 else ' '} {line}", fix_style),)
            for i, line in enumerate(wrap(fix, width - 5))
        ]
        rows = [rows[0], *lines, *todo][:most]
    if beside:
        return [fit(rows[0], width), spread(second, beside, width)]
    return [fit(row, width) for row in rows]


def headed(glyph_and_word: str, look: str) -> Row:
    """The head of such a sentence."""
    return ((" ", "text"), (glyph_and_word, look), ("  ", "text"))


def unread_host(scene: Scene) -> str:
    """Why there is nothing of the host to show."""
    header = scene.view.header
    off = header is not None and header.telemetry == "off"
    return "telemetry is off: the host is not read" if off else "no reading of the host is in the session"


def last_answer(view: View) -> Event | None:
    """What became of the newest command."""
    return next((event for event in reversed(view.events) if event.kind == "command"), None)


def answered(event: Event) -> str:
    """What the answer to a command says besides its text: why it was refused, or what is done; empty where it says neither."""
    return str(event.data.get("error") or event.data.get("do") or "")


def waiting_for(scene: Scene) -> str:
    """Why there are no values of a run yet."""
    view = scene.view
    if view.state == "waiting":
        return "waiting for the session"
    if view.run is None and view.state in ("ended", "lost"):
        return "nothing was measured"
    if view.run is None and (answer := last_answer(view)) is not None and answered(answer) in _UNBEGUN:
        return _UNBEGUN[answered(answer)]
    if view.run is None and scene.awaited is not None:
        return "starting"
    if view.run is None:
        return (
            "nothing has been measured yet: m chooses a model"
            if scene.live
            else "nothing has been measured yet"
        )
    if view.run.error is not None:
        how = "was stopped" if view.run.error.kind == "stopped" else "failed"
        return f"this run {how} before it had results"
    phase = view.run.phase
    if phase == "warmup":
        return "warming up: these requests are not counted"
    if phase == "measure":
        return "the first requests are under way"
    if phase == "end":
        return "the run ended without a measured request"
    return f"{PHASE_WORDS.get(phase, clean(phase))}: values come after the warm-up"
