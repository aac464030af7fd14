"""The seam between the screen and a session: what the app asks of whatever it draws.

The screen knows nothing else: a live engine, a file that is replayed and a test's synthetic session all look like this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..backends.configuration import Configuration
from ..sessions.commands import Verb
from ..sessions.replay import Timeline
from ..sessions.view import History, View


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A line of the model chooser: what is typed for it, and a remark."""

    text: str  # as it would stand on the command line
    note: str = ""
    group: str = ""  # heading: "built in", "files here"


class Replay(Protocol):
    """The clock of a recording. Times are ns of session time; every call returns at once and shows in the next `poll`."""

    @property
    def playing(self) -> bool: ...
    @property
    def speed(self) -> float: ...
    @property
    def following(self) -> bool:
        """Whether the cursor stays at the end of a recording that still grows."""

    def timeline(self) -> Timeline: ...
    def play(self) -> None: ...
    def pause(self) -> None: ...
    def faster(self) -> None: ...
    def slower(self) -> None: ...
    def seek(self, t: int) -> None: ...
    def step(self, ticks: int) -> None:
        """Pause, and move by so many ticks."""

    def next_mark(self) -> None: ...
    def previous_mark(self) -> None: ...
    def next_run(self, backend: str) -> None:
        """To the next run of a backend (its full name). Raises MeasureError where it has none."""

    def go(self, text: str) -> None:
        """`12:04:10`, `+90s`, `-3m`, `p99>20ms`. Raises MeasureError with one sentence on anything else, or where nothing matches."""

    def follow(self) -> None:
        """Go to the end and stay there."""


class SessionPort(Protocol):
    """A session as the screen needs it."""

    @property
    def live(self) -> bool:
        """Whether commands can be sent."""

    @property
    def replay(self) -> Replay | None: ...
    @property
    def asked(self) -> Configuration | None:
        """What the session was started to measure; a backend or device of "" is left to the engine."""

    @property
    def replay_words(self) -> tuple[str, ...]:
        """What follows `infertop replay` to play this session once more; empty where it has not begun."""

    def poll(self) -> View:
        """The present picture, called ten times a second: cheap, and the same object while nothing is new. May raise MeasureError."""

    def send(self, verb: Verb, configuration: Configuration | None = None) -> str:
        """Send a command; returns the id that its event will carry. May raise MeasureError."""

    def sweep(self, configurations: Sequence[Configuration], *, dry: bool) -> str:
        """Have them measured one after another, or with `dry` be told how long that takes, by the event of the id returned."""

    def observe(self) -> str:
        """Have the observer effect on the present run measured; how far that is stands in the session's events."""

    def models(self) -> Sequence[ModelChoice]:
        """What the chooser offers. Called off the event loop: it may look at the disk."""

    def configuration(self, model: str) -> Configuration:
        """What measuring `model` means by default here. May raise MeasureError with suggestions. Called off the event loop."""

    def switch(self, configuration: Configuration, backend: str) -> Configuration:
        """The same measured by another backend, on the device that it runs on."""

    def precisions(self, configuration: Configuration) -> Sequence[str]:
        """What `p` goes through for this backend and device."""

    def data_paths(self, configuration: Configuration) -> Sequence[str]:
        """What `d` goes through for this device."""

    def close(self, *, leave: bool) -> None:
        """Let go of the session. With `leave`, as when the terminal hangs up, what was started goes on without the screen
        if the person chose so."""


def no_history() -> History:
    """A history of no seconds."""
    empty = np.empty(0)
    return History(
        second=np.empty(0, np.int64),
        p50=empty,
        max=empty,
        done=np.empty(0, np.int64),
        run=np.empty(0, np.int64),
        warm=np.empty(0, np.bool_),
        metrics=np.empty((0, 0)),
    )


def nothing() -> View:
    """The picture before there is a session: every panel shows its loading state."""
    return View(
        header=None,
        now=0,
        unix=0,
        state="waiting",
        run=None,
        before=None,
        runs=(),
        backends=(),
        values={},
        ages={},
        metrics=(),
        history=no_history(),
        events=(),
        verdict=None,
        since_request=None,
        gaps=0,
        bytes=0,
    )
