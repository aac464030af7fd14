"""The events of the session."""

from __future__ import annotations

from ...sessions.state import EVENTS
from ..naming import short_backend
from ..ranking import every
from ..render.cells import Row
from ..render.events import Entry, lines, ticker
from ..scene import Panel, Scene
from .states import said


def entries(scene: Scene) -> list[Entry]:
    """The events with their time of day, oldest first, and where another verdict began.

    What a sweep would take was an answer to a question, and did not happen.
    """
    view = scene.view
    offset = view.unix - view.now
    found = [
        (offset + event.t, event.level, event.text) for event in view.events if not event.data.get("dry")
    ]
    runs = {run.run: short_backend(view, run.configuration) for run in every(view.runs, view.run)}
    oldest = view.events[0].t if len(view.events) >= EVENTS else 0  # what is older is not kept either
    found += [
        (offset + begun.t, "verdict", f"{runs[begun.run]}: {begun.kind}" if begun.run in runs else begun.kind)
        for begun in view.standings
        if begun.t >= oldest
    ]
    return sorted(found, key=lambda entry: entry[0])


def title(scene: Scene) -> Row:
    return (("events", "title"),)


def body(scene: Scene, width: int, height: int) -> list[Row]:
    found = entries(scene)
    if not found:
        return said("nothing has happened yet", width, height)
    return lines(found, width, height, scene.glyphs)


def one_line(scene: Scene, width: int) -> Row:
    """The newest events in one row."""
    found = entries(scene)
    if not found:
        return ((" no events yet", "dim"),)
    return ((" ", "text"), *ticker(found, width - 1, scene.glyphs))


PANEL = Panel(title, body)
