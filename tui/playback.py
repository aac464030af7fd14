"""The keys of a replay, on the recording's clock."""

from __future__ import annotations

from collections.abc import Callable

from ..backends.errors import MeasureError
from ..sessions.view import View
from .port import Replay
from .scene import Cursor, Message

SECOND = 1_000_000_000


def cursor(replay: Replay) -> Cursor:
    """Where the replay stands, for the screen."""
    return Cursor(replay.timeline(), replay.playing, replay.speed, replay.following)


def perform(action: str, replay: Replay, view: View, digit: int = 0) -> Message | None:
    """Do an action of a replay's group. Returns what the screen should say."""
    moves: dict[str, Callable[[], None]] = {
        "play": lambda: replay.pause() if replay.playing else replay.play(),
        "seek-back": lambda: replay.seek(view.now - 5 * SECOND),
        "seek-on": lambda: replay.seek(view.now + 5 * SECOND),
        "seek-back-minute": lambda: replay.seek(view.now - 60 * SECOND),
        "seek-on-minute": lambda: replay.seek(view.now + 60 * SECOND),
        "step-back": lambda: replay.step(-1),
        "step-on": lambda: replay.step(1),
        "event-back": replay.previous_mark,
        "event-on": replay.next_mark,
        "slower": replay.slower,
        "faster": replay.faster,
        "end": replay.follow,
    }
    if action == "run-of":
        return _run_of(replay, view, digit)
    moves[action]()
    return None


def _run_of(replay: Replay, view: View, digit: int) -> Message | None:
    """To the start of the next run of the backend with this digit."""
    if digit > len(view.backends):
        return Message(
            f"there is no backend {digit}", f"1 to {len(view.backends)} are in the second line", "warn"
        )
    try:
        replay.next_run(view.backends[digit - 1].name)
    except MeasureError as error:
        return Message(error.message, error.fix, "warn")
    return None


def go(replay: Replay, text: str) -> Message | None:
    """To a time or a condition, as typed."""
    try:
        replay.go(text)
    except MeasureError as error:
        return Message(error.message, error.fix, "warn")
    return None
