"""A sweep under a live screen: the engine measures a list of configurations one after another and says how far it is."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from ..backends.errors import MeasureError
from ..telemetry.host import facts
from . import pareto, units
from .engine import Engine
from .expected import Expected, earlier, learn_from
from .plan import Task, describe
from .results import Result
from .runner import Runner
from .session import Session
from .sweep import KIND, Course, digest

DURATION_S = 10.0
"""Measured time of each configuration, where the viewer does not say."""


LISTED = 20
"""The first tasks that an event names: readers keep what an event carries up to 4 KB."""


class Sweeping:
    """The sweep of a serving engine; between sweeps there is none. `learn` belongs to a thread, the rest to the engine's main thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._expected = Expected()
        self._course: Course | None = None
        self._runner: Runner | None = None
        self._results: list[Result] = []

    def learn(self) -> None:
        """Look through earlier sessions for the times that loading takes."""
        self._expected = earlier(self._engine.settings.sessions_dir, facts())

    @property
    def on(self) -> bool:
        return self._course is not None

    def begin(self, tasks: Sequence[Task], command: str, *, dry: bool) -> None:
        """Say what is measured and how long it takes; unless `dry`, `next` hands out the tasks from now on."""
        engine = self._engine
        # The runs of this session are the newest that is known.
        with contextlib.suppress(MeasureError, OSError), Session(engine.place.path.parent) as session:
            learn_from(self._expected, session)
        course = Course(digest(tasks, engine.settings.environments), tasks, self._expected)
        left = course.left()
        about = "" if left is None else f", about {units.duration(round(left))}"
        count = f"{len(tasks)} configuration{'s' * (len(tasks) > 1)}"
        text = f"{'a sweep would measure' if dry else 'a sweep begins:'} {count}{about}"
        planned = [self._row(task) for task in tasks[:LISTED]]
        engine.say(KIND, text, command=command, dry=dry, tasks=planned, **course.data())
        if not dry:
            self._course, self._results = course, []

    def _row(self, task: Task) -> dict[str, Any]:
        estimate = self._expected.of(task)
        return {
            "text": describe(task.configuration),
            "seconds": None if estimate.seconds is None else round(estimate.seconds, 1),
            "whole": estimate.whole,
        }

    def next(self) -> Task | None:
        """The task to begin now; None where no sweep is on."""
        if self._course is None:
            return None
        self._course.begin()
        return self._course.present

    def started(self, runner: Runner) -> None:
        """The task that was handed out has this runner."""
        self._runner = runner

    def watch(self) -> None:
        """Once a tick."""
        if self._course is not None and self._runner is not None:
            self._course.watch(self._runner.phase)

    def ended(self, runner: Runner) -> bool:
        """Take a run that ended; False where it was none of the sweep's."""
        if self._course is None or runner is not self._runner:
            return False
        self._runner = None
        self.done(self._engine.results[-1], loaded=runner.facts.cold_start is None)
        return True

    def done(self, result: Result, *, loaded: bool = False) -> None:
        """The present task has this result, well or not."""
        course = self._course
        assert course is not None
        course.end(result, loaded=loaded)
        self._results.append(result)
        over = course.present is None
        text = f"the sweep is done: {pareto.summary(self._results)}" if over else course.text()
        self._engine.say(KIND, text, ended=result["run"], over=over, **course.data())
        if over:
            self._course = None

    def cancel(self, why: str) -> bool:
        """End the sweep where one is on; its present run is for the caller to stop."""
        course, self._course, self._runner = self._course, None, None
        if course is None:
            return False
        text = f"the sweep ended after {course.done} of {len(course.tasks)} runs: {why}"
        if self._results:
            text += f"; {pareto.summary(self._results)}"
        self._engine.say(KIND, text, level="warn", over=True, **course.data())
        return True
