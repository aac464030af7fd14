"""Whose turn it is: what a serving engine measures now and next, as viewers choose, stop, sweep and prove, and what carries on after a failure."""

from __future__ import annotations

from dataclasses import replace

from ..backends import registry
from ..backends.configuration import Configuration
from ..backends.errors import UNAVAILABLE, UNUSABLE, MeasureError
from . import commands, observer
from .available import Available
from .engine import Engine
from .gpu_lock import BUSY
from .observing import Observing
from .plan import Task, describe, make_tasks
from .proving import Proving
from .runner import Runner
from .runs import same_configuration
from .sweeping import DURATION_S, Sweeping


class Turns:
    """All of it on the engine's main thread; `between_runs` whenever no run is going."""

    def __init__(self, engine: Engine, available: Available) -> None:
        self.sweeping = Sweeping(engine)
        self.proving = Proving(engine)
        self.observing = Observing(engine)
        self.present: Task | None = engine.settings.task
        self._engine = engine
        self._available = available
        self._next: Task | None = None
        self._blocked: Task | None = None  # refused, because another infertop has its GPU
        self._patient = self._share = False  # `_next` waits for its GPU; it begins beside whoever has it
        self._good: Task | None = None
        self._current: Runner | None = None
        self._first = None if self.present is None else (self.present, "")  # waits for the probe

    @property
    def over(self) -> bool:
        """Whether nothing is being measured, nor will be before somebody asks for it."""
        return self._available.known and self._engine.runner is None and self._next is None

    @property
    def short(self) -> bool:
        """Whether a sweep or a proof is going on, each of whose runs has an end of its own."""
        return self.sweeping.on or self.proving.on

    def watch(self) -> None:
        """Once a tick."""
        self.sweeping.watch()
        self._engine.free_gpus()
        self.observing.watch()

    def probed(self) -> None:
        """What the interpreters have is known: what waited for that begins."""
        if self._first is not None:
            self.begin(self._first[0], self._first[1] or None)

    def begin(self, task: Task, command: str | None) -> None:
        """Switch to the task: now where nothing runs, else when what runs has stopped."""
        engine = self._engine
        if not self._available.known:
            self._first = (task, command or "")
            return
        try:
            task = replace(task, configuration=self._available.settled(task.configuration))
            self._available.check(task.configuration)
        except MeasureError as error:
            refuse(self._engine, error, command)
            if engine.runner is None and self._good is None:
                engine.refuse(task, error, "unavailable" if error.kind == "backend-missing" else "failed")
                self._resume(task, error if error.kind in UNUSABLE else None)
            return
        why = f"{describe(task.configuration)} was chosen"
        short = self._call_off(why)
        # A run of a sweep or a proof is short, and one that is being stopped for another choice ends: neither is a way to go on.
        if (
            engine.runner is not None
            and not engine.runner.ended
            and not short
            and self._next is None
            and engine.runner.task.instead is None
            and same_configuration(engine.runner.facts.configuration, task.configuration)
        ):
            nothing(self._engine, f"{describe(task.configuration)} is being measured already", command)
            return
        self._blocked, self._patient, self._share = None, False, False
        try:
            engine.gpus.reserve(task.configuration.device)
        except MeasureError as error:
            if error.kind == BUSY:
                self._ask(task, error, command)
                return
        engine.say("command", f"switching to {describe(task.configuration)}", command=command)
        self.present = self._next = task
        if engine.runner is not None:
            engine.runner.stop()

    def stop(self, command: str) -> None:
        runner = self._engine.runner
        if runner is None and not self.short and self._next is None:
            nothing(self._engine, "nothing was running", command)
            return
        self._engine.say("command", "the load is stopped", command=command, do="stop")
        self._next = self._blocked = None
        self._patient = False
        self._call_off("it was stopped")
        if runner is not None:
            runner.stop()

    def cancel(self, command: str) -> None:
        """Give up what is being loaded, or was chosen and has not begun; what was measured before goes on, its worker still loaded."""
        runner = self._engine.runner
        if self.short:
            self.stop(command)
            return
        pending, back = self._next, self._good
        if runner is not None and runner.measuring and pending is not None:
            given_up, back = pending, runner.task
        elif runner is not None and not runner.measuring:
            given_up = runner.task
        else:
            nothing(self._engine, "nothing is being loaded", command)
            return
        if back is None or same_configuration(back.configuration, given_up.configuration):
            self.stop(command)
            return
        text = f"{describe(given_up.configuration)} is given up, {describe(back.configuration)} goes on"
        self._engine.say("command", text, command=command)
        self.present = self._next = back
        runner.stop()

    def again(self, command: str) -> None:
        """End the present run and measure the same anew; what is still being loaded is about to be measured anyway."""
        runner, present = self._engine.runner, self.present
        if present is None:
            nothing(self._engine, "nothing was measured yet", command)
            return
        if not self._available.known or (runner is not None and not runner.loaded and not self.short):
            nothing(self._engine, f"{describe(present.configuration)} is being loaded already", command)
            return
        why = f"{describe(present.configuration)} was chosen"
        self._call_off(why)
        self._engine.say("command", f"measuring {describe(present.configuration)} again", command=command)
        self._next = present
        if runner is not None:
            runner.stop()

    def prove(self, command: str) -> None:
        """Put the advice to the proof; what is measured now goes on afterwards."""
        try:
            if self.sweeping.on:
                raise MeasureError("usage", "a sweep is going on", "stop it first")
            self.proving.begin(command)
            self.observing.cancel("a proof begins")
        except MeasureError as error:
            refuse(self._engine, error, command)

    def observe(self, command: commands.Command) -> None:
        """Measure what telemetry and a screen cost the run that is going on."""
        try:
            if self.short:
                raise MeasureError("usage", "a sweep or a proof is going on", "stop it first")
            self.observing.begin(command.id, command.duration_s or observer.DEFAULT_S, seed=0)
        except MeasureError as error:
            refuse(self._engine, error, command.id)

    def unblock(self, share: bool, command: str) -> None:
        """What was refused for somebody else's GPU is begun: at once beside them, or when they have left it."""
        engine, task = self._engine, self._blocked
        if task is None:
            engine.say("command", "nothing waits for a GPU", command=command)
            return
        self._blocked, self._share, self._patient = None, share, not share
        name = describe(task.configuration)
        text = f"{name} is measured beside the other infertop" if share else f"{name} waits for its GPU"
        do = "share" if share else "wait"
        engine.say("command", text, level="warn" if share else "info", command=command, do=do)
        self.present = self._next = task
        if engine.runner is not None:
            engine.runner.stop()

    def sweep(self, command: commands.Command) -> None:
        """Say what a sweep of these configurations takes, and unless it is only asked for, begin it: what runs is stopped for it."""
        engine = self._engine
        warmup = (self.present or Task(Configuration("", ""))).warmup
        seconds = command.duration_s or DURATION_S
        try:
            if self.sweeping.on and not command.dry:
                raise MeasureError("usage", "a sweep is going on", "stop it first")
            if not command.configurations:
                raise MeasureError("usage", "there is nothing to sweep over", "")
            settled = [self._available.settled(configuration) for configuration in command.configurations]
            for configuration in settled:
                registry.resolve(configuration.backend)
            seed = settled[0].options.seed
            tasks = make_tasks(settled, seed=seed, warmup=warmup, duration_s=seconds)
        except MeasureError as error:
            refuse(self._engine, error, command.id)
            return
        self.sweeping.begin(tasks, command.id, dry=command.dry)
        if not command.dry:
            self.proving.cancel("a sweep begins")
            self.observing.cancel("a sweep begins")
            self._next = None
            if engine.runner is not None:
                engine.runner.stop()

    def _ask(self, task: Task, error: MeasureError, command: str | None = None) -> None:
        """Another infertop has the task's GPU: what to do is for the person to say."""
        self._blocked, self.present = task, task
        self._engine.say(
            "command", error.message, level="warn", command=command, error=error.kind, fix=error.fix
        )

    def _call_off(self, why: str) -> bool:
        """End what goes beyond a run; whether a sweep or a proof was on, whose present run is for the caller to stop."""
        called_off = [self.sweeping.cancel(why), self.proving.cancel(why)]
        self.observing.cancel(why)
        return any(called_off)

    def between_runs(self) -> None:
        """No run is going: look at how the last one ended, and begin what is next."""
        ended, self._current = self._current, None
        if ended is not None and not self.sweeping.ended(ended) and not self.proving.ended(ended):
            self._look_back(ended)
        if self.sweeping.on:
            self._go_on_sweeping()
        elif self.proving.on:
            present = self.proving.present
            self._current = self.proving.go_on()
            if self._current is None:
                self._next = present
        elif self._next is not None:
            self._start_next()

    def _start_next(self) -> None:
        task, self._next = self._next, None
        assert task is not None
        try:
            self._current = self._engine.start(task, share=self._share)
        except MeasureError as error:
            if error.kind != BUSY:
                self._engine.refuse(task, error, "failed")
                self._resume(task)
            elif self._patient:
                self._next = task
            else:
                self._ask(task, error)
            return
        self._patient = self._share = False

    def _go_on_sweeping(self) -> None:
        """Begin the next run of the sweep; what cannot be measured is said, and the sweep goes on."""
        task = self.sweeping.next()
        assert task is not None
        try:
            self._available.check(task.configuration)
            self._current = self._engine.start(task)
        except MeasureError as error:
            status = "unavailable" if error.kind in UNAVAILABLE else "failed"
            self.sweeping.done(self._engine.refuse(task, error, status))
            return
        self.sweeping.started(self._current)

    def _look_back(self, ended: Runner) -> None:
        if ended.error is None:
            self._good = ended.task if ended.measuring else self._good
        elif ended.error.kind == BUSY and self._next is None:
            self._ask(ended.task, ended.error)
        elif ended.error.kind != "stopped" and self._next is None and not self.sweeping.on:
            self._resume(ended.task, ended.error if ended.unusable else None)

    def _resume(self, failed: Task, unusable: MeasureError | None = None) -> None:
        """After a failure another configuration carries on: the one before; in the place of a backend that turned out to be `unusable`
        the nearest that is not; else the model's default backend."""
        if not self._engine.settings.fallback or self._next is not None:
            return
        fallback = self._good
        if fallback is None and unusable is not None:
            fallback = self._available.instead(failed, unusable)
        if fallback is None:
            try:
                fallback = replace(
                    failed,
                    configuration=self._available.settled(
                        replace(failed.configuration, backend="", device="", environment=None)
                    ),
                    instead=None,
                )
                self._available.check(fallback.configuration)
            except MeasureError:
                return  # the failure itself has been said; there is nothing to carry on with
            if failed.instead is not None and fallback.configuration.backend in failed.instead.tried:
                return
        if fallback.configuration == failed.configuration:
            return
        self.present = self._next = fallback
        self._good = None
        doing = "is measured in its place" if fallback.instead is not None else "carries on"
        self._engine.say("command", f"{describe(fallback.configuration)} {doing}", level="warn")


def nothing(engine: Engine, text: str, command: str | None) -> None:
    """A command was understood and changed nothing: its viewer should not go on saying that it did."""
    engine.say("command", text, command=command, changed=False)


def refuse(engine: Engine, error: MeasureError, command: str | None) -> None:
    text = f"{error.message}; {error.fix}" if error.fix else error.message
    engine.say("command", text, level="error", command=command, error=error.kind)
