"""What one paint draws from: the session's picture and the screen's own state, as one frozen value. Panels are functions of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..backends.configuration import Configuration
from ..sessions.replay import Timeline
from ..sessions.view import RunView, View
from .render.axis import Scale
from .render.cells import EMPTY, Glyphs, Row


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence of the screen itself, shown on the verdict line: why a key did nothing, what was copied."""

    text: str
    fix: str = ""
    level: str = "info"  # "info", "warn", "error"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a replay stands."""

    timeline: Timeline
    playing: bool
    speed: float
    following: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """One instant of the screen."""

    view: View
    glyphs: Glyphs
    message: Message | None = None
    footer: tuple[tuple[str, str], ...] = ()  # (key, short text), most important first
    whole: bool = False  # percentiles of the whole run, not of the last 30 s
    frozen: bool = False
    slow_link: bool = False
    live: bool = True
    cursor: Cursor | None = None
    failure: Message | None = None  # the session could not be read
    awaited: Configuration | None = None  # what was asked for, until there is a run
    monitor: bool = False  # nothing is measured: the machine alone is shown
    gpu: str = ""  # the prefix of the GPU that was asked for, as "gpu1"; empty: the run's
    scales: Mapping[str, Scale] = field(default_factory=dict)  # by the name of the axis


@dataclass(frozen=True, slots=True)
class Panel:
    """A titled part of the screen. `body` is called with the cells that are free inside the frame."""

    title: Callable[[Scene], Row]
    body: Callable[[Scene, int, int], list[Row]]
    right: Callable[[Scene], Row] = lambda scene: EMPTY


def shown_run(view: View) -> RunView | None:
    """The run whose results are on the screen: the present one, or the one before it until the present one has any."""
    if view.run is not None and view.run.latency is not None:
        return view.run
    if view.before is not None and view.before.latency is not None:
        return view.before
    return next((run for run in reversed(view.runs) if run.latency is not None), view.run)


def baseline(view: View) -> RunView | None:
    """The run that the shown one is compared with."""
    run = shown_run(view)
    if run is None or view.before is None or run is view.before or view.before.latency is None:
        return None
    return view.before
