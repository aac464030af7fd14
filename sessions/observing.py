"""The observer effect under a serving engine: while a run goes on, telemetry and a screen of its own are switched block by block."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..backends.errors import MeasureError
from ..backends.ring import INSTRUMENTED, RECORD
from . import attached_screen, observer
from .attached_screen import AttachedScreen
from .engine import Engine
from .plan import describe
from .runner import Runner

START_S = 30.0
"""So long at most the screen may take until it is there."""


class Observation:
    """One measurement of the effect on a run. All of it on the engine's main thread: `watch` once a tick until it is `over`."""

    def __init__(
        self,
        engine: Engine,
        runner: Runner,
        screen: AttachedScreen,
        order: list[tuple[int, str]],
        command: str,
    ) -> None:
        self.over = False
        self._engine, self._runner, self._screen = engine, runner, screen
        self._order = order
        self._command: str | None = command
        self._level = engine.instruments.level
        self._blocks: list[observer.Block] = []
        self._taken: list[np.ndarray] = []
        self._window: tuple[int, int] | None = None  # of the present block, monotonic ns
        self._began = time.monotonic()
        self._before = self._drawn = 0  # bytes at the last switch; of the blocks with the screen on
        runner.tap = self._taken.append
        what = describe(runner.facts.configuration)
        self._say(f"observer effect on {what}: {len(order)} blocks of {observer.BLOCK_S:.0f} s", over=False)

    def _say(self, sentence: str, level: str = "info", **data: Any) -> None:
        command, self._command = self._command, None
        done, total = len(self._blocks), len(self._order)
        self._engine.say(
            observer.KIND, sentence, level=level, command=command, done=done, total=total, **data
        )

    def watch(self) -> None:
        """End the present block and switch for the next one, when it is time."""
        if self._runner is not self._engine.runner or not self._runner.measuring:
            self.end("the run ended")
        elif self._screen.ended:
            self.end(f"its screen ended: {self._screen.last_words}")
        elif self._window is not None:
            if time.monotonic_ns() >= self._window[1]:
                self._end_block(*self._window)
        elif self._screen.painted:
            self._switch()
        elif time.monotonic() - self._began > START_S:
            self.end(f"its screen was not there within {START_S:.0f} s")

    def _switch(self) -> None:
        """Put telemetry and screen as the next block has them; it begins when that has settled."""
        on = self._order[len(self._blocks)][1] == observer.ON
        self._engine.instruments.set_level(self._level if on else "off")
        self._screen.switch(on)
        begin = time.monotonic_ns() + round(observer.SETTLE_S * 1e9)
        self._window = (begin, begin + round(observer.BLOCK_S * 1e9))
        self._before = self._screen.bytes

    def _end_block(self, begin: int, end: int) -> None:
        triple, arm = self._order[len(self._blocks)]
        if self._screen.is_on() != (arm == observer.ON):
            self.end("its screen could not be switched")
            return
        records = np.concatenate([np.empty(0, RECORD), *self._taken])
        self._taken.clear()
        if self._runner.measurement.apart:
            records = records[(records["flags"] & INSTRUMENTED) == 0]
        start, service = records["start"].astype(np.int64), records["service"].astype(np.int64)
        block = observer.cut(arm, triple, start, service, begin, end)
        self._blocks.append(block)
        self._drawn += self._screen.bytes - self._before if arm == observer.ON else 0
        done, total = len(self._blocks), len(self._order)
        self._say(f"observer effect: {done} of {total} blocks", over=False, block=observer.as_dict(block))
        if done == total:
            self.end(None)
        else:
            self._switch()

    def end(self, why: str | None) -> None:
        """Put everything back and say what was found; `why` where it is before its end."""
        self.over = True
        self._runner.tap = None
        self._engine.instruments.set_level(self._level)
        self._screen.end()
        found = observer.outcome(self._blocks, why)
        screen = {"columns": attached_screen.COLUMNS, "lines": attached_screen.LINES, "bytes": self._drawn}
        level = "info" if found["verdict"] in ("kept", "not shown") else "warn"
        self._say(observer.sentence(found), level, over=True, telemetry=self._level, screen=screen, **found)


class Observing:
    """The observation of a serving engine; at most one at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._present: Observation | None = None

    @property
    def on(self) -> bool:
        return self._present is not None

    def begin(self, command: str, seconds: float, seed: int) -> None:
        """Begin on the run that is measured. Raises MeasureError where there is none, or no telemetry whose effect could be measured."""
        engine, runner = self._engine, self._engine.runner
        if self.on:
            raise MeasureError("usage", "the observer effect is being measured already", "stop it first")
        if runner is None or not runner.measuring:
            raise MeasureError("usage", "nothing is being measured", "start a run first")
        if engine.instruments.level == "off":
            raise MeasureError(
                "usage", "telemetry is off: there is no effect to measure", "switch it on first"
            )
        order = observer.schedule(seconds, seed)
        try:
            screen = AttachedScreen(engine.place.name, engine.settings.sessions_dir)
        except OSError as error:
            why = f"no pseudo-terminal can be made: {error.strerror}"
            raise MeasureError("terminal", why, "see ulimit -n and /dev/pts") from error
        self._present = Observation(engine, runner, screen, order, command)

    def watch(self) -> None:
        """Once a tick."""
        if self._present is not None:
            self._present.watch()
            self._present = None if self._present.over else self._present

    def cancel(self, why: str) -> bool:
        """End it where it is on, with what was measured; the run goes on."""
        present, self._present = self._present, None
        if present is None:
            return False
        present.end(why)
        return True
