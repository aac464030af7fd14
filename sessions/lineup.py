"""Which backends a session is about, in the order of their digits: as a probe told them, else as its runs show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..backends.errors import UNAVAILABLE
from .pareto import SHORT
from .records import Event, Run
from .texts import cleaned
from .view import BackendView


def told(event: Event) -> tuple[BackendView, ...] | None:
    """What a `backends` event says of our own interpreter's, or of another's where it names one; None for any other event."""
    found = event.data.get("backends") if event.kind == "backends" else None
    return tuple(_backend(b) for b in found if isinstance(b, Mapping)) if isinstance(found, list) else None


def own(event: Event) -> bool:
    """Whether a `backends` event speaks of the interpreter that runs what names no other."""
    return not event.data.get("environment")


def _backend(probe: Mapping[str, Any]) -> BackendView:
    """One element of a `backends` event."""
    texts = {
        name: str(probe.get(name) or "") for name in ("name", "short", "reason", "fix", "version", "device")
    }
    usable = probe.get("usable")
    return BackendView(usable=usable if isinstance(usable, bool) else None, **texts)


def of_recording(events: Iterable[Event], runs: Iterable[Run]) -> tuple[BackendView, ...]:
    """The line-up of a whole recording: that of its first `backends` event, else every backend that has a run, ours first."""
    for event in events:
        found = told(cleaned(event))
        if found and own(event):
            return found
    names: dict[int, str] = {}
    shown: dict[str, BackendView] = {}
    for record in runs:
        run = cleaned(record)
        if run.configuration is not None:
            names.setdefault(run.run, run.configuration.backend)
        name = names.get(run.run)
        if name is None:
            continue
        known = shown.setdefault(name, BackendView(name, SHORT.get(name, name), None))
        shown[name] = _more(known, run)
    order = {name: i for i, name in enumerate(SHORT)}
    return tuple(sorted(shown.values(), key=lambda b: order.get(b.name, len(order))))


def _more(known: BackendView, run: Run) -> BackendView:
    """After another record: one that ever had requests is usable; one that cannot be had says why."""
    if known.usable or run.phase in ("warmup", "measure"):
        return BackendView(known.name, known.short, True)
    if run.phase == "end" and run.error is not None and run.error.kind in UNAVAILABLE:
        return BackendView(known.name, known.short, False, run.error.message, run.error.fix)
    return known
