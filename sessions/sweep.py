"""A sweep: many runs one after another, how far it is, how long the rest takes, and going on after an interruption.

Its course is in the log as events of kind `sweep`, from which both a screen and `--resume` know it.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from ..backends import models
from ..backends.configuration import Configuration
from ..backends.errors import MeasureError
from ..telemetry import gpu_facts
from ..telemetry.host import facts
from ..telemetry.nvml import Nvml
from . import store, texts, units
from .expected import Expected, Taken, machine, rate_of
from .places import runtime_directory
from .plan import Plan, Task
from .records import Header
from .results import Result, blank_result
from .session import Session
from .settings import EngineSettings

KIND = "sweep"

MEASURED = ("ok", "fallback")
"""What is not measured again; what failed or was unavailable may be there the next time."""


def digest(tasks: Sequence[Task], environments: Mapping[str, str]) -> str:
    """What makes two plans the same: their tasks, in whichever order, and the interpreters that run them."""
    known = [replace(task, configuration=identity(task.configuration)) for task in tasks]
    lines = sorted(msgspec.json.encode(task, order="deterministic") for task in known)
    interpreters = msgspec.json.encode(dict(environments), order="deterministic")
    return hashlib.sha256(b"\n".join([*lines, interpreters])).hexdigest()[:32]


def identity(configuration: Configuration) -> Configuration:
    """The configuration without what says only where a command was typed: a file is the same from every directory, a factory is
    looked for in that one, and no measurement depends on where things are cached."""
    options = configuration.options
    try:
        model = models.resolve(configuration.model, options.working_directory)
    except MeasureError:  # gone since
        return configuration
    here = options.working_directory if model.kind == "factory" else "."
    options = replace(options, cache_directory=None, working_directory=here)
    return replace(configuration, model=model.path or configuration.model, options=options)


def files(tasks: Sequence[Task]) -> str:
    """What the files that are measured, and read for it, were like: their names, sizes and times of change, as a digest. Empty where
    there are none. What a factory's code was like is not known.
    """
    options = [task.configuration.options for task in tasks]
    named = {
        (task.configuration.model, o.working_directory, o.weights, o.inputs)
        for task, o in zip(tasks, options, strict=True)
    }
    found = set()
    for name, here, *beside in named:
        with contextlib.suppress(MeasureError):  # gone since
            paths = [*models.contents(models.resolve(name, here)), *filter(None, beside)]
            found |= {models.fingerprint(path) for path in paths}
    return hashlib.sha256(msgspec.json.encode(sorted(found))).hexdigest()[:32] if found else ""


class Course:
    """How far the tasks are. Times are those of the host's monotonic clock."""

    def __init__(self, plan: str, tasks: Sequence[Task], expected: Expected, done: int = 0) -> None:
        """`plan` is the digest; the first `done` tasks are measured already."""
        self.plan, self.tasks, self.done = plan, tasks, done
        self._files = files(tasks)
        self._expected = expected
        self._entered: dict[str, float] = {}
        self._rest: float | None = None
        self._settle()

    @property
    def present(self) -> Task | None:
        """The task that is running, or comes next; None when all are done."""
        return self.tasks[self.done] if self.done < len(self.tasks) else None

    def _settle(self) -> None:
        seconds = [self._expected.of(task).seconds for task in self.tasks[self.done + 1 :]]
        self._rest = None if None in seconds else sum(s for s in seconds if s is not None)

    def begin(self) -> None:
        """The present task starts now."""
        self._entered = {"start": time.monotonic()}

    def watch(self, phase: str) -> None:
        """What the present run does; called several times a second."""
        self._entered.setdefault(phase, time.monotonic())

    def end(self, result: Result, *, loaded: bool = False) -> None:
        """The present task is done, well or not; `loaded`: its worker had the model already."""
        task = self.present
        assert task is not None
        entered = self._entered
        load = None if loaded else _between(entered, "start", "warmup")
        warmup = _between(entered, "warmup", "measure")
        self._expected.learn(task.configuration, Taken(load, warmup, rate_of(result)))
        self.done += 1
        self._entered = {}
        self._settle()

    def left(self) -> float | None:
        """Seconds, as far as they are known; None where requests are counted that nobody has timed."""
        task = self.present
        if task is None:
            return 0.0
        whole = self._expected.of(task).seconds
        if whole is None or self._rest is None:
            return None
        begun = self._entered.get("start")
        if begun is None:
            return whole + self._rest
        now = time.monotonic()
        # Loading that takes longer than expected leaves all of the measuring still to be done.
        least = task.duration_s or 0.0
        if "measure" in self._entered:
            least -= now - self._entered["measure"]
            return max(least, 0.0) + self._rest
        return max(whole - (now - begun), least) + self._rest

    def data(self) -> dict[str, Any]:
        """What each of its events says."""
        left = self.left()
        return {
            "plan": self.plan,
            "files": self._files,
            "done": self.done,
            "total": len(self.tasks),
            "left_s": None if left is None else round(left, 1),
        }

    def text(self) -> str:
        """`3 of 12 runs done, about 2 min 10 s left`."""
        left = self.left()
        about = f", about {units.duration(round(left))} left" if left else ""
        return f"{self.done} of {len(self.tasks)} runs done{about}"


def _between(entered: Mapping[str, float], begin: str, end: str) -> float | None:
    return entered[end] - entered[begin] if begin in entered and end in entered else None


@dataclass(frozen=True, slots=True)
class Resumed:
    """A session that goes on: the plan with what is measured first, those results, and where it lies."""

    name: str
    sessions_dir: Path
    plan: Plan
    results: Sequence[Result]
    header: Header

    def settings(self, settings: EngineSettings) -> EngineSettings:
        """The settings of an engine that writes the next segment of this session."""
        return msgspec.structs.replace(settings, sessions_dir=str(self.sessions_dir), name=self.name)


def resume(
    text: str, plan: Plan, environments: Mapping[str, str], sessions_dir: str | Path | None
) -> Resumed:
    """What of the plan the session `text` holds already. Raises MeasureError where it is live, of another machine or of another plan."""
    found = store.resolve(text, sessions_dir)
    path = found.path.parent if found.path.is_file() else found.path
    if store.Found(path.name, path).live:
        raise MeasureError(
            "session-live",
            f"the session {path.name} is being measured",
            f"infertop attach {path.name} shows it",
        )
    if path.parent == runtime_directory():
        raise MeasureError("usage", f"the session {path.name} was not recorded", "leave --resume out")
    with Session(path) as session:
        header = session.header
        unseen = header is None or header.telemetry == "off"  # then it was not looked which GPUs there are
        gpus = [] if unseen else gpu_facts.facts(Nvml())
        if header is None or machine(header.host, header.gpus) != machine(facts(), gpus):
            raise MeasureError(
                "usage",
                f"the session {path.name} was measured on another machine",
                "one table holds results of one machine: leave --resume out",
            )
        results = _measured(session, path.name, digest(plan.tasks, environments), files(plan.tasks))
    if results is None:
        raise MeasureError(
            "usage",
            f"the session {path.name} measured another plan than this command's",
            f"its command was {texts.line(' '.join(header.command)) or 'not kept'}",
        )
    done = [(task, result) for task in plan.tasks if (result := _take(results, task)) is not None]
    rest = [task for task in plan.tasks if not any(task is known for known, _ in done)]
    tasks = (*(task for task, _ in done), *rest)
    return Resumed(path.name, path.parent, replace(plan, tasks=tasks), [r for _, r in done], header)


Entry = tuple[Configuration, int, Result]


def _measured(session: Session, name: str, plan: str, now: str) -> list[Entry] | None:
    """The results of the plan's runs that were measured to their end; None where the session has no such plan. Raises MeasureError where
    they are of other `files` than there are now."""
    events = [
        event.data for _, event in session.events if event.kind == KIND and event.data.get("plan") == plan
    ]
    if not events:
        return None
    if any(data.get("files", now) != now for data in events):
        raise MeasureError(
            "usage",
            f"the files that the session {name} measured have changed since",
            "its results are of what they were: leave --resume out",
        )
    ended = {data["ended"] for data in events if "ended" in data}
    asked: dict[int, tuple[Configuration, int]] = {}
    found: list[Entry] = []
    for _, record in session.runs:
        if record.phase == "start" and record.configuration is not None:
            asked[record.run] = (record.configuration, record.repeat)
        elif record.phase == "end" and record.run in ended and record.run in asked:
            result, (configuration, repeat) = record.result or {}, asked[record.run]
            # What stood in for another backend is neither that one's measurement nor its own.
            if result.get("status") in MEASURED and not result.get("measured_by"):
                # A field that came with a newer version is there, and unknown.
                found.append((configuration, repeat, {**blank_result(configuration), **result}))
    return found


def _take(entries: Sequence[Entry], task: Task) -> Result | None:
    wanted = identity(task.configuration)
    found = next((r for c, repeat, r in entries if identity(c) == wanted and repeat == task.repeat), None)
    # It may have been named otherwise, from another directory.
    return None if found is None else {**found, "model": task.configuration.model}
