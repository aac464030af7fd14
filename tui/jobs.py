"""What the engine does beside plain measuring, read off the session's events: a proof of the advice, a sweep, or the observer effect."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..sessions.records import Event
from ..sessions.view import RunView, View

KINDS = ("proof", "sweep", "observer")

SHOWN_NS = 60_000_000_000
"""For so long the outcome of a proof stands above what is measured again."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is going on, as its newest event says. `left_s` is None where it is not known."""

    kind: str
    text: str
    done: int = 0
    total: int = 0
    left_s: float | None = None
    over: bool = False
    well: bool = True  # over, with what it was begun for
    action: str = ""  # of a proof that is over: what it was about, and what it found
    value: object = None
    verdict: str = ""


def going(view: View) -> Job | None:
    """The proof, sweep or observation that goes on now."""
    event = _newest(view)
    if event is None or view.state != "live" or event.data.get("over"):
        return None
    job = _job(event)
    if job.left_s is not None:  # as of the event, which comes once a run
        job = replace(job, left_s=max(0.0, job.left_s - (view.now - event.t) / 1e9))
    if job.kind != "proof":
        return job
    # Its first event says what is proven, the others how far it is.
    first = (e.text for e in reversed(view.events) if e.kind == "proof" and e.data.get("done") == 0)
    return replace(job, text=next(first, job.text))


def outcome(view: View) -> Job | None:
    """What the last one found, as long as nothing was chosen since.

    After a proof what was measured before goes on by itself, and its own verdict takes the place of what was found after a while.
    """
    event = _newest(view)
    if event is None or not event.data.get("over"):
        return None
    ended = [run.run for run in view.runs if run.phase_since <= event.t]
    last = max(ended, default=0)
    if event.kind == "proof" and view.now - event.t < SHOWN_NS:
        last += 1
    return _job(event) if view.run is None or view.run.run <= last else None


def stopped(view: View, run: RunView) -> bool:
    """Whether a person stopped this run, while it was loaded or measured."""
    if run.phase != "end":
        return False
    if run.error is not None:
        return run.error.kind == "stopped"
    return any(e.kind == "command" and e.run == run.run and e.data.get("do") == "stop" for e in view.events)


def _newest(view: View) -> Event | None:
    """The newest event of a proof or sweep; what a sweep would take is none, nor is one whose data were too long to keep."""
    wanted = (e for e in reversed(view.events) if e.kind in KINDS and e.data and not e.data.get("dry"))
    return next(wanted, None)


def _job(event: Event) -> Job:
    data = event.data
    left = data.get("left_s")
    return Job(
        event.kind,
        event.text,
        _whole(data.get("done")),
        _whole(data.get("total")),
        float(left) if isinstance(left, int | float) else None,
        bool(data.get("over")),
        event.level == "info",
        str(data.get("action") or ""),
        data.get("value"),
        str(data.get("verdict") or ""),
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
