"""The engine behind the live screen: takes commands from its viewers, switches runs, and ends when nobody needs it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from dataclasses import replace
from pathlib import Path

from ..backends import registry
from ..backends.configuration import Configuration
from ..backends.errors import UNAVAILABLE, MeasureError
from . import commands, observer
from .available import Available
from .engine import Engine
from .gpu_lock import BUSY
from .observing import Observing
from .options import LIVE_DURATION_S
from .plan import Task, describe, make_tasks
from .proving import Proving
from .runner import Runner
from .runs import same_configuration
from .sweeping import DURATION_S, Sweeping
from .viewers import Viewers

ARRIVAL_S = 15.0
"""How long an engine waits for its first viewer."""

UNWATCHED_S = 600.0
"""Without a viewer a run that was given no end is ended after ten minutes, so that no orphan keeps a shared GPU busy."""

MEASURING = ("configure", "start", "again", "sweep", "prove", "observe")
"""Commands of which a session that monitors has no use."""


class Server:
    """Everything runs on the engine's main thread, but for the probe, which hands its answer over through a socket pair."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._stay = engine.settings.stay
        self._next: Task | None = None
        self._blocked: Task | None = None  # refused, because another infertop has its GPU
        self._patient = self._share = False  # `_next` waits for its GPU; it begins beside whoever has it
        self._good: Task | None = None
        self._present: Task | None = engine.settings.task
        self._current: Runner | None = None
        self._available = Available(engine)
        self._over = ""
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        engine.selector.register(self._wake_read, selectors.EVENT_READ, self._woken)
        self._first = None if self._present is None else (self._present, "")  # waits for the probe
        self._sweeping = Sweeping(engine)
        self._proving = Proving(engine)
        self._observing = Observing(engine)
        self._viewers = Viewers(
            engine.selector, path, self._obey, lambda text: engine.say("command", text, level="error")
        )

    def wake(self, reason: str) -> None:
        """End soon; may be called by a signal handler."""
        self._over = self._over or reason
        with contextlib.suppress(BlockingIOError):
            self._wake_write.send(b"\0")

    def serve(self) -> str:
        """Until the session is over; returns why."""
        if self._engine.settings.note:
            self._engine.say("command", self._engine.settings.note, level="warn")
        if not self._available.known:
            threading.Thread(target=self._probe, name="probe", daemon=True).start()
        while not self._over:
            self._engine.step(self._each_tick)
            if self._engine.runner is None:
                self._between_runs()
        return self._over

    def close(self) -> None:
        self._observing.cancel("the session ended")
        self._viewers.close()

    # -- the probe

    def _probe(self) -> None:
        """On a thread of its own."""
        self._available.ask()
        self._wake_write.send(b"\0")
        self._sweeping.learn()

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_read.recv(64)
        if self._available.take() and self._first is not None:
            self._begin(self._first[0], self._first[1] or None)

    # -- commands

    def _obey(self, command: commands.Command) -> None:
        engine = self._engine
        if engine.settings.monitor and command.do in MEASURING:
            self._refuse(
                MeasureError(
                    "usage",
                    "this session watches the machine and measures nothing",
                    "infertop MODEL measures",
                ),
                command.id,
            )
        elif command.do == "end":
            self._over = "ended by its viewer"
        elif command.do == "stay":
            self._stay = True
            engine.say(
                "command", "the engine goes on without a viewer until its run ends", command=command.id
            )
        elif command.do == "stop":
            self._stop(command.id)
        elif command.do == "cancel":
            self._cancel(command.id)
        elif command.do == "again":
            self._again(command.id)
        elif command.do == "sweep":
            self._sweep(command)
        elif command.do == "prove":
            self._prove(command.id)
        elif command.do == "observe":
            self._observe(command)
        elif command.do == "no-observe":
            if not self._observing.cancel("it was cancelled"):
                engine.say("command", "the observer effect is not being measured", command=command.id)
        elif command.do in ("record", "no-record"):
            self._record(command.do == "record", command.id)
        elif command.do in ("wait", "share"):
            self._unblock(command.do == "share", command.id)
        elif command.do == "telemetry":
            self._telemetry(command)
        elif command.do == "start":
            if engine.runner is not None and not engine.runner.ended:
                self._nothing("it is running already", command.id)
            elif self._present is not None:
                self._begin(self._present, command.id)
        elif command.configuration is not None:
            base = self._present or Task(command.configuration, duration_s=LIVE_DURATION_S)
            self._begin(replace(base, configuration=command.configuration), command.id)

    def _nothing(self, text: str, command: str | None) -> None:
        """A command was understood and changed nothing: its viewer should not go on saying that it did."""
        self._engine.say("command", text, command=command, changed=False)

    def _stop(self, command: str) -> None:
        runner = self._engine.runner
        going = self._sweeping.on or self._proving.on or self._next is not None
        if runner is None and not going:
            self._nothing("nothing was running", command)
            return
        self._engine.say("command", "the load is stopped", command=command, do="stop")
        self._next = self._blocked = None
        self._sweeping.cancel("it was stopped")
        self._proving.cancel("it was stopped")
        self._observing.cancel("it was stopped")
        if runner is not None:
            runner.stop()

    def _cancel(self, command: str) -> None:
        """Give up what is being loaded, or was chosen and has not begun; what was measured before goes on, its worker still loaded."""
        runner = self._engine.runner
        if self._sweeping.on or self._proving.on:
            self._stop(command)
            return
        pending, back = self._next, self._good
        if runner is not None and runner.measuring and pending is not None:
            given_up, back = pending, runner.task
        elif runner is not None and not runner.measuring:
            given_up = runner.task
        else:
            self._nothing("nothing is being loaded", command)
            return
        if back is None or same_configuration(back.configuration, given_up.configuration):
            self._stop(command)
            return
        text = f"{describe(given_up.configuration)} is given up, {describe(back.configuration)} goes on"
        self._engine.say("command", text, command=command)
        self._present = self._next = back
        runner.stop()

    def _again(self, command: str) -> None:
        """End the present run and measure the same anew; what is still being loaded is about to be measured anyway."""
        runner, present = self._engine.runner, self._present
        if present is None:
            self._nothing("nothing was measured yet", command)
            return
        short = self._sweeping.on or self._proving.on
        if not self._available.known or (runner is not None and not runner.loaded and not short):
            self._nothing(f"{describe(present.configuration)} is being loaded already", command)
            return
        why = f"{describe(present.configuration)} was chosen"
        self._sweeping.cancel(why)
        self._proving.cancel(why)
        self._observing.cancel(why)
        self._engine.say("command", f"measuring {describe(present.configuration)} again", command=command)
        self._next = present
        if runner is not None:
            runner.stop()

    def _sweep(self, command: commands.Command) -> None:
        """Say what a sweep of these configurations takes, and unless it is only asked for, begin it: what runs is stopped for it."""
        engine = self._engine
        warmup = (self._present or Task(Configuration("", ""))).warmup
        seconds = command.duration_s or DURATION_S
        try:
            if self._sweeping.on and not command.dry:
                raise MeasureError("usage", "a sweep is going on", "stop it first")
            if not command.configurations:
                raise MeasureError("usage", "there is nothing to sweep over", "")
            settled = [self._available.settled(configuration) for configuration in command.configurations]
            for configuration in settled:
                registry.resolve(configuration.backend)
            seed = settled[0].options.seed
            tasks = make_tasks(settled, seed=seed, warmup=warmup, duration_s=seconds)
        except MeasureError as error:
            self._refuse(error, command.id)
            return
        self._sweeping.begin(tasks, command.id, dry=command.dry)
        if not command.dry:
            self._proving.cancel("a sweep begins")
            self._observing.cancel("a sweep begins")
            self._next = None
            if engine.runner is not None:
                engine.runner.stop()

    def _prove(self, command: str) -> None:
        """Put the advice to the proof; what is measured now goes on afterwards."""
        try:
            if self._sweeping.on:
                raise MeasureError("usage", "a sweep is going on", "stop it first")
            self._proving.begin(command)
            self._observing.cancel("a proof begins")
        except MeasureError as error:
            self._refuse(error, command)

    def _observe(self, command: commands.Command) -> None:
        """Measure what telemetry and a screen cost the run that is going on."""
        try:
            if self._sweeping.on or self._proving.on:
                raise MeasureError("usage", "a sweep or a proof is going on", "stop it first")
            self._observing.begin(command.id, command.duration_s or observer.DEFAULT_S, seed=0)
        except MeasureError as error:
            self._refuse(error, command.id)

    def _refuse(self, error: MeasureError, command: str | None) -> None:
        text = f"{error.message}; {error.fix}" if error.fix else error.message
        self._engine.say("command", text, level="error", command=command, error=error.kind)

    def _record(self, wanted: bool, command: str) -> None:
        if self._engine.place.recording == wanted:
            self._nothing("it is recorded already" if wanted else "nothing is being recorded", command)
            return
        try:
            self._engine.move(
                wanted, "recording goes on" if wanted else "recording ends here: what follows is not kept"
            )
        except (OSError, MeasureError) as error:
            self._engine.say("command", f"recording stays as it is: {error}", level="error", command=command)

    def _unblock(self, share: bool, command: str) -> None:
        """What was refused for somebody else's GPU is begun: at once beside them, or when they have left it."""
        engine, task = self._engine, self._blocked
        if task is None:
            engine.say("command", "nothing waits for a GPU", command=command)
            return
        self._blocked, self._share, self._patient = None, share, not share
        name = describe(task.configuration)
        text = f"{name} is measured beside the other infertop" if share else f"{name} waits for its GPU"
        engine.say("command", text, level="warn" if share else "info", command=command)
        self._present = self._next = task
        if engine.runner is not None:
            engine.runner.stop()

    def _ask(self, task: Task, error: MeasureError, command: str | None = None) -> None:
        """Another infertop has the task's GPU: what to do is for the person to say."""
        self._blocked, self._present = task, task
        self._engine.say(
            "command", error.message, level="warn", command=command, error=error.kind, fix=error.fix
        )

    def _telemetry(self, command: commands.Command) -> None:
        if command.level is None:
            self._refuse(
                MeasureError("usage", "no level of telemetry was named", "off, light or full"), command.id
            )
            return
        self._observing.cancel("telemetry was switched")
        try:
            self._engine.set_telemetry(command.level, command.id)
        except (OSError, MeasureError) as error:
            self._engine.say(
                "command", f"telemetry stays as it is: {error}", level="error", command=command.id
            )

    def _begin(self, task: Task, command: str | None) -> None:
        """Switch to the task: now where nothing runs, else when what runs has stopped."""
        engine = self._engine
        if not self._available.known:
            self._first = (task, command or "")
            return
        try:
            task = replace(task, configuration=self._available.settled(task.configuration))
            self._available.check(task.configuration)
        except MeasureError as error:
            self._refuse(error, command)
            if engine.runner is None and self._good is None:
                engine.refuse(task, error, "unavailable" if error.kind == "backend-missing" else "failed")
                self._resume(task)
            return
        why = f"{describe(task.configuration)} was chosen"
        short = self._sweeping.cancel(why) or self._proving.cancel(why)
        self._observing.cancel(why)
        # A run of a sweep or a proof is short, and one that is being stopped for another choice ends: neither is a way to go on.
        if (
            engine.runner is not None
            and not engine.runner.ended
            and not short
            and self._next is None
            and same_configuration(engine.runner.facts.configuration, task.configuration)
        ):
            self._nothing(f"{describe(task.configuration)} is being measured already", command)
            return
        self._blocked, self._patient, self._share = None, False, False
        try:
            engine.gpus.reserve(task.configuration.device)
        except MeasureError as error:
            if error.kind == BUSY:
                self._ask(task, error, command)
                return
        engine.say("command", f"switching to {describe(task.configuration)}", command=command)
        self._present = self._next = task
        if engine.runner is not None:
            engine.runner.stop()

    # -- runs

    def _between_runs(self) -> None:
        """No run is going: look at how the last one ended, and begin what is next."""
        ended, self._current = self._current, None
        if ended is not None and not self._sweeping.ended(ended) and not self._proving.ended(ended):
            self._look_back(ended)
        if self._sweeping.on:
            self._go_on_sweeping()
        elif self._proving.on:
            present = self._proving.present
            self._current = self._proving.go_on()
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
        task = self._sweeping.next()
        assert task is not None
        try:
            self._available.check(task.configuration)
            self._current = self._engine.start(task)
        except MeasureError as error:
            status = "unavailable" if error.kind in UNAVAILABLE else "failed"
            self._sweeping.done(self._engine.refuse(task, error, status))
            return
        self._sweeping.started(self._current)

    def _look_back(self, ended: Runner) -> None:
        if ended.error is None:
            self._good = ended.task if ended.measuring else self._good
        elif ended.error.kind == BUSY and self._next is None:
            self._ask(ended.task, ended.error)
        elif ended.error.kind != "stopped" and self._next is None and not self._sweeping.on:
            self._resume(ended.task)

    def _resume(self, failed: Task) -> None:
        """After a failure another configuration carries on: the one before, else the model's default backend."""
        if not self._engine.settings.fallback or self._next is not None:
            return
        fallback = self._good
        if fallback is None:
            try:
                fallback = replace(
                    failed,
                    configuration=self._available.settled(
                        replace(failed.configuration, backend="", device="", environment=None)
                    ),
                )
                self._available.check(fallback.configuration)
            except MeasureError:
                return  # the failure itself has been said; there is nothing to carry on with
        if fallback.configuration == failed.configuration:
            return
        self._present = self._next = fallback
        self._good = None
        self._engine.say("command", f"{describe(fallback.configuration)} carries on", level="warn")

    def _each_tick(self) -> None:
        """Without a viewer the engine ends when its run or sweep does, or when a run without an end has gone on for long enough."""
        self._sweeping.watch()
        self._engine.free_gpus()
        self._observing.watch()
        alone = self._viewers.alone_s
        if not alone:
            return
        if not self._viewers.seen and not self._stay:
            if alone > ARRIVAL_S:
                self._over = "no viewer came"
        elif self._sweeping.on or self._proving.on:
            return  # each of its runs has an end
        elif self._available.known and self._engine.runner is None and self._next is None:
            monitor = self._engine.settings.monitor
            self._over = "nobody was watching" if monitor else "the run ended and nobody was watching"
        elif alone > UNWATCHED_S:
            self._over = "nobody was watching for ten minutes"
