"""The engine behind the live screen: takes commands from its viewers, switches runs, and ends when nobody needs it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from dataclasses import replace
from pathlib import Path

from ..backends.errors import MeasureError
from . import commands
from .available import Available
from .engine import Engine
from .options import LIVE_DURATION_S
from .plan import Task
from .turns import Turns, nothing, refuse
from .viewers import Viewers

ARRIVAL_S = 15.0
"""How long an engine waits for its first viewer."""

UNWATCHED_S = 600.0
"""Without a viewer a run that was given no end is ended after ten minutes, so that no orphan keeps a shared GPU busy."""

MEASURING = ("configure", "start", "again", "sweep", "prove", "observe")
"""Commands of which a session that monitors has no use."""


class Server:
    """Everything runs on the engine's main thread, but for `probe`, which says through a socket pair that it is done."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._stay = engine.settings.stay
        self._over = ""
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        engine.selector.register(self._wake_read, selectors.EVENT_READ, self._woken)
        self._available = Available(engine)
        self._turns = Turns(engine, self._available)
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
            threading.Thread(target=self.probe, name="probe", daemon=True).start()
        while not self._over:
            self.step()
        return self._over

    def step(self) -> None:
        """What there is to do now; waits for it until the next tick at most."""
        self._engine.step(self._each_tick)
        if self._engine.runner is None:
            self._turns.between_runs()

    def close(self) -> None:
        self._turns.observing.cancel("the session ended")
        self._viewers.close()

    def probe(self) -> None:
        """Find out what the interpreters have and how long loading takes; on a thread of its own."""
        self._available.ask()
        self._wake_write.send(b"\0")
        self._turns.sweeping.learn()

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_read.recv(64)
        if self._available.take():
            self._turns.probed()

    def _each_tick(self) -> None:
        """Without a viewer the engine ends when its run or sweep does, or when a run without an end has gone on for long enough."""
        self._turns.watch()
        alone = self._viewers.alone_s
        if not alone:
            return
        if not self._viewers.seen and not self._stay:
            if alone > ARRIVAL_S:
                self._over = "no viewer came"
        elif self._turns.short:
            return  # each of its runs has an end
        elif self._turns.over:
            monitor = self._engine.settings.monitor
            self._over = "nobody was watching" if monitor else "the run ended and nobody was watching"
        elif alone > UNWATCHED_S:
            self._over = "nobody was watching for ten minutes"

    def _obey(self, command: commands.Command) -> None:
        engine = self._engine
        if engine.settings.monitor and command.do in MEASURING:
            refuse(
                engine,
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
            self._turns.stop(command.id)
        elif command.do == "cancel":
            self._turns.cancel(command.id)
        elif command.do == "again":
            self._turns.again(command.id)
        elif command.do == "sweep":
            self._turns.sweep(command)
        elif command.do == "prove":
            self._turns.prove(command.id)
        elif command.do == "observe":
            self._turns.observe(command)
        elif command.do == "no-observe":
            if not self._turns.observing.cancel("it was cancelled"):
                engine.say("command", "the observer effect is not being measured", command=command.id)
        elif command.do in ("record", "no-record"):
            self._record(command.do == "record", command.id)
        elif command.do in ("wait", "share"):
            self._turns.unblock(command.do == "share", command.id)
        elif command.do == "telemetry":
            self._telemetry(command)
        elif command.do == "start":
            if engine.runner is not None and not engine.runner.ended:
                nothing(engine, "it is running already", command.id)
            elif self._turns.present is not None:
                self._turns.begin(self._turns.present, command.id)
        elif command.configuration is not None:
            base = self._turns.present or Task(command.configuration, duration_s=LIVE_DURATION_S)
            chosen = replace(base, configuration=command.configuration, instead=None)
            self._turns.begin(chosen, command.id)

    def _record(self, wanted: bool, command: str) -> None:
        if self._engine.place.recording == wanted:
            nothing(
                self._engine, "it is recorded already" if wanted else "nothing is being recorded", command
            )
            return
        try:
            self._engine.move(
                wanted, "recording goes on" if wanted else "recording ends here: what follows is not kept"
            )
        except (OSError, MeasureError) as error:
            self._engine.say("command", f"recording stays as it is: {error}", level="error", command=command)

    def _telemetry(self, command: commands.Command) -> None:
        if command.level is None:
            refuse(
                self._engine,
                MeasureError("usage", "no level of telemetry was named", "off, light or full"),
                command.id,
            )
            return
        self._turns.observing.cancel("telemetry was switched")
        try:
            self._engine.set_telemetry(command.level, command.id)
        except (OSError, MeasureError) as error:
            self._engine.say(
                "command", f"telemetry stays as it is: {error}", level="error", command=command.id
            )
