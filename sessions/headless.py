"""`infertop run`: the engine in the command itself, one task after another."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

from ..backends.errors import MeasureError
from ..backends.probes import Availability
from ..telemetry.host import facts
from . import proof, store, substitute, sweep, units
from .engine import Engine
from .expected import Expected, earlier
from .gpu_lock import BUSY
from .plan import Task, describe
from .prober import probe
from .records import Header
from .results import Result
from .runner import Runner
from .settings import EngineSettings

WAIT_S = 600.0
"""So long in all another infertop is waited for that measures on the same GPU."""

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@dataclass(frozen=True, slots=True)
class Progress:
    """For a person who waits: what happens, how far the task is (None: cannot be told), which task of how many it is, from 0, and how
    long all the rest takes, s (None: nobody knows)."""

    text: str
    fraction: float | None
    task_index: int
    task_count: int
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One result for each task that was begun, in order; `interrupted` is the signal that ended it early."""

    session: str
    header: Header
    results: Sequence[Result]
    interrupted: int | None = None


class Patience:
    """How long another infertop is still waited for, and that it is said once for whom."""

    def __init__(self, say: Callable[[str], None], seconds: float = WAIT_S) -> None:
        self._say, self._left = say, seconds
        self._said = ""
        self._since: float | None = None

    def lasts(self, engine: Engine, why: str) -> bool:
        """Whether to go on waiting for this reason; asked once a tick."""
        now = time.monotonic()
        if why != self._said:
            self._said = why
            self._say(f"waiting, at most {units.duration(round(self._left))}: {why}")
            engine.say("command", f"waiting: {why}", level="warn")
        self._left -= 0.0 if self._since is None else now - self._since
        self._since = now
        return self._left > 0

    def over(self) -> None:
        """It need not be waited any more."""
        self._since, self._said = None, ""


class Interruption:
    """Turns the first signal into a flag and a readable descriptor, so that the engine's wait ends; restores the handlers at exit."""

    def __init__(self, engine: Engine) -> None:
        self.signal: int | None = None
        self._engine = engine
        self._read, self._write = socket.socketpair()
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._engine.selector.register(self._read, selectors.EVENT_READ, self._woken)
        self._wakeup = signal.set_wakeup_fd(self._write.fileno())
        for name in SIGNALS:
            number = getattr(signal, name)
            self._before[number] = signal.signal(number, self._caught)
        return self

    def _woken(self) -> None:
        self._read.recv(64)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            os._exit(128 + number)  # a second one: the person does not want to wait
        self.signal = number

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._wakeup)
        self._read.close()
        self._write.close()


def measure(
    tasks: Sequence[Task],
    settings: EngineSettings,
    progress: Callable[[Progress], None],
    known: Sequence[Result] = (),
    prove: proof.Terms | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Run every task and return what was measured. `known` are the results of the first tasks, which a resumed session has already; with
    `prove` the advice for each configuration is put to the proof after it, on these terms; `say` gets what a person should know though nobody
    looks at the progress.

    Raises MeasureError only where no session can be made at all.
    """
    names = {task.configuration.environment for task in tasks}
    available = {name: {a.name: a for a in probe(settings.python(name))} for name in names}
    title = settings.title or tasks[0].configuration.model
    # One run needs no forecast, and nobody's other sessions are read for it.
    expected = earlier(settings.sessions_dir, facts()) if len(tasks) > 1 else Expected()
    course = sweep.Course(sweep.digest(tasks, settings.environments), tasks, expected, len(known))
    place = store.create(title, settings.sessions_dir, settings.name, recording=settings.recording)
    engine = Engine(settings, place)
    patience = Patience(say)
    reason = "all was measured"
    try:
        with Interruption(engine) as interruption:
            for name, found in available.items():
                engine.tell_backends(name or "", found.values())
            engine.say(sweep.KIND, course.text(), **course.data())
            for task in tasks[len(known) :]:
                course.begin()
                whole = _one(
                    engine,
                    task,
                    available[task.configuration.environment],
                    progress,
                    course,
                    interruption,
                    patience,
                )
                if whole:
                    course.end(engine.results[-1])
                    run = engine.results[-1]["run"]
                    engine.say(sweep.KIND, course.text(), ended=run, **course.data())
                    if prove is not None and not task.repeat and interruption.signal is None:
                        _prove(engine, task, prove, progress, course, interruption)
                if interruption.signal is not None:
                    reason = f"ended by {signal.Signals(interruption.signal).name}"
                    break
    finally:
        engine.close(reason)
    return Measured(place.name, engine.header, [*known, *engine.results], interruption.signal)


def _prove(
    engine: Engine,
    task: Task,
    terms: proof.Terms,
    progress: Callable[[Progress], None],
    course: sweep.Course,
    interruption: Interruption,
) -> None:
    """Present and remedy in alternating blocks; what came of it is an event and stands in the task's result."""
    result = engine.results[-1]
    advice = proof.first_advice(result)
    if advice is None:
        result["proof"] = proof.nothing(result)
        engine.say(proof.KIND, proof.sentence(result["proof"]), over=True, **result["proof"])
        return
    proving = proof.Proof(task, advice, terms)
    keep, engine.keep_workers = engine.keep_workers, True
    index, count = max(0, course.done - 1), len(course.tasks)
    while (block := proving.next()) is not None:
        try:
            runner = engine.start(block, quiet=False)
        except MeasureError as error:
            proving.give_up(error.message)
            break
        title = f"proving {advice['text']}: {describe(block.configuration)}"
        while engine.runner is runner:
            engine.step()
            progress(Progress(title, proving.done / proving.count, index, count))
            if interruption.signal is not None:
                proving.give_up("it was interrupted")
                runner.stop()
        block_result = engine.results.pop()  # a block is no result of its own
        if not runner.stopped:
            proving.take(block_result)
    engine.keep_workers = keep
    result["proof"] = proving.outcome()
    engine.say(proof.KIND, proof.sentence(result["proof"]), over=True, **result["proof"])


def _one(
    engine: Engine, task: Task, available: dict[str, Availability], progress: Callable[[Progress], None],
    course: sweep.Course, interruption: Interruption, patience: Patience,
) -> bool:  # fmt: skip
    """Measure one task; False where it was stopped before its end. With `--fallback auto` the nearest backend is measured in the place of
    one that cannot be used, whether the probe knows that or the run finds it out; where none can be, the result is the task's own."""
    backend = available.get(task.configuration.backend)
    if backend is not None and not (backend.usable or backend.falls_back):
        error = MeasureError("backend-missing", backend.reason, backend.fix)
        other = substitute.task_for(task, error, available.values()) if engine.settings.fallback else None
        if other is None:
            engine.refuse(task, error, "unavailable")
            return True
        task = other
    own: Result | None = None
    while True:
        runner, whole = _run(engine, task, progress, course, interruption, patience)
        other = None
        if runner is not None and runner.unusable and engine.settings.fallback:
            assert runner.error is not None
            other = substitute.task_for(task, runner.error, available.values())
        if other is None or interruption.signal is not None:
            break
        found = engine.results.pop()
        own, task = own or found, other
    if own is not None and runner is not None and runner.unusable:
        engine.results[-1] = own
    return whole


def _run(
    engine: Engine, task: Task, progress: Callable[[Progress], None],
    course: sweep.Course, interruption: Interruption, patience: Patience,
) -> tuple[Runner | None, bool]:  # fmt: skip
    """One run, to its end: its runner, None where it had none, and whether it was not stopped before."""
    title = describe(task.configuration)
    index, count = course.done, len(course.tasks)
    runner = None
    while runner is None:
        try:
            runner = engine.start(task)
        except MeasureError as error:
            if interruption.signal is not None:
                return None, False
            if error.kind != BUSY or not patience.lasts(engine, error.message):
                engine.refuse(task, error, "failed")
                return None, True
            progress(Progress(f"{title}: waiting: {error.message}", None, index, count))
            engine.step()
    patience.over()
    while engine.runner is runner:
        engine.step()
        course.watch(runner.phase)
        fraction = None
        if runner.measuring:
            measurement = runner.measurement
            fraction = (
                measurement.requests / task.requests
                if task.requests
                else measurement.measured_s / (task.duration_s or 1)
            )
        text = f"{title}: {runner.said}"
        progress(Progress(text, fraction, index, count, course.left() if count > 1 else None))
        if interruption.signal is not None:
            runner.stop()
    return runner, not runner.stopped
