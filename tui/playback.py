"""The keys of a replay, on the recording's clock."""

from __future__ import annotations

from collections.abc import Callable

from ..backends.errors import MeasureError
from ..sessions.view import View
from .port import Replay
from .scene import Cursor, Message

SECOND = 1_000_000_000
SLOWEST, FASTEST = 0.25, 64.0


def cursor(replay: Replay) -> Cursor:
    """Where the replay stands, for the screen."""
    return Cursor(replay.timeline(), replay.playing, replay.speed, replay.following)


def perform(action: str, replay: Replay, view: View, digit: int = 0) -> Message | None:
    """Do an action of a replay's group. Returns what the screen should say."""
    moves: dict[str, Callable[[], Message | None]] = {
        "play": lambda: replay.pause() if replay.playing else replay.play(),
        "seek-back": lambda: replay.seek(view.now - 5 * SECOND),
        "seek-on": lambda: replay.seek(view.now + 5 * SECOND),
        "seek-back-minute": lambda: replay.seek(view.now - 60 * SECOND),
        "seek-on-minute": lambda: replay.seek(view.now + 60 * SECOND),
        "step-back": lambda: replay.step(-1),
        "step-on": lambda: replay.step(1),
        "event-back": lambda: _mark(replay, view, forward=False),
        "event-on": lambda: _mark(replay, view, forward=True),
        "slower": lambda: replay.set_speed(max(SLOWEST, replay.speed / 2)),
        "faster": lambda: replay.set_speed(min(FASTEST, replay.speed * 2)),
        "run-of": lambda: _run_of(replay, view, digit),
        "end": replay.follow,
    }
    return moves[action]()


def _mark(replay: Replay, view: View, *, forward: bool) -> Message | None:
    """To the next mark of the timeline, or the one before."""
    marks = replay.timeline().marks
    # Backwards, what happened within the last quarter of a second is where one stands.
    later = (m for m in marks if m.t > view.now)
    earlier = (m for m in reversed(marks) if m.t < view.now - SECOND // 4)
    found = next(later if forward else earlier, None)
    if found is None:
        return Message("no later event" if forward else "no earlier event")
    replay.seek(found.t)
    return Message(found.label) if found.label else None


def _run_of(replay: Replay, view: View, digit: int) -> Message | None:
    """To the start of the next run of the backend with this digit; behind the last one to its first."""
    if digit > len(view.backends):
        return Message(
            f"there is no backend {digit}", f"1 to {len(view.backends)} are in the second line", "warn"
        )
    backend = view.backends[digit - 1]
    runs = [m for m in replay.timeline().marks if m.kind == "run" and m.backend == backend.name]
    if not runs:
        return Message(f"{backend.short} has no run in this session", level="warn")
    replay.seek(next((m.t for m in runs if m.t > view.now), runs[0].t))
    return None


def go(replay: Replay, text: str) -> Message | None:
    """To a time or a condition, as typed."""
    try:
        replay.go(text)
    except MeasureError as error:
        return Message(error.message, error.fix, "warn")
    return None
