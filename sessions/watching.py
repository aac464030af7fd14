"""What an engine watches of its machine around its runs: readings while they measure, the quiet second before, and who else is on the GPU."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..telemetry.metrics import Value
from ..telemetry.stability import Course
from . import company
from .instruments import Instruments
from .quiet import QuietSecond
from .readings import Readings
from .runner import Runner

LOOK_NS = 2_000_000_000
"""So long at most a run that has ended waits for the last look at who is on its GPU."""

PEOPLE = (".processes", ".other_memory")


class Watching:
    """Follows one run after the other; owned by the engine's main thread. `read` is called once a tick."""

    def __init__(self, instruments: Instruments) -> None:
        self.instruments = instruments
        self.course = Course()
        self.readings = Readings(instruments.table)
        """Those of the present run since it began to be measured."""
        self.rested: Mapping[str, Any] | None = None
        """What the quiet second showed that is over; empty where nothing was read."""
        self._quiet: QuietSecond | None = None
        self._looking: int | None = None  # monotonic ns since when an ended run waits for its last look
        self._seen = False  # it has had it
        self._company = company.Watch()

    def change(self, instruments: Instruments) -> None:
        """Go on with others, which have another table."""
        self.instruments = instruments
        self.readings = Readings(instruments.table)

    def begin(self, pid: int) -> None:
        """A run begins, in this worker."""
        self.readings = Readings(self.instruments.table)
        self.instruments.set_worker(pid)

    def enter(self, runner: Runner) -> None:
        """The run is in another phase than it was."""
        if runner.phase == "quiet" and runner.gpu is not None:
            self.instruments.look()
            self._quiet = QuietSecond(self.instruments.table, runner.gpu, time.monotonic_ns())
        if runner.measuring:
            self.readings = Readings(self.instruments.table, self.instruments.newest)
            self.course = Course()
            self.instruments.look()

    def ending(self, runner: Runner) -> bool:
        """The run has ended; whether its worker is to stay until `looked`: one more look at who else is on its GPU."""
        if (
            runner.gpu is None
            or self.instruments.level == "off"
            or not runner.measuring
            or runner.error is not None
        ):
            return False
        self.instruments.look()
        self._looking, self._seen = time.monotonic_ns(), False
        return True

    @property
    def waits(self) -> bool:
        """Whether an ended run waits for its last look."""
        return self._looking is not None

    def end(self) -> None:
        """Nothing is left to be seen of the run."""
        self._quiet = self._looking = self.rested = None
        self.instruments.set_worker(None)

    def read(self, runner: Runner | None) -> list[Value]:
        """This tick's readings; those of a run that is measured are added up. `rested` and `looked` are news of this tick."""
        sample = self.instruments.latest()
        values = self.instruments.nothing() if sample is None else sample.values
        self.rested = None
        if runner is None:
            return values
        if self._quiet is not None:
            if sample is not None:
                self._quiet.add(sample.t_ns, values)
            if self._quiet.over(time.monotonic_ns()) or self.instruments.level == "off":
                self.rested, self._quiet = self._quiet.result() or {}, None
        if sample is not None and runner.measuring:
            if self._looking is None:
                self.readings.add(sample.t_ns, values)
            elif sample.t_ns >= self._looking:
                self.readings.add_only(PEOPLE, self._looking, values)
                self._seen = True
        return values

    @property
    def looked(self) -> bool:
        """Whether an ended run has had its last look, or has waited long enough for it."""
        return self._looking is not None and (self._seen or time.monotonic_ns() - self._looking >= LOOK_NS)

    def news(self) -> tuple[str, dict[str, Any]] | None:
        """Who has come and gone on the GPUs: a sentence and data of the event; None where all is as it was told."""
        return self._company.change(self.instruments.tenants())

    def tell_anew(self) -> None:
        """Who reads on from here alone knows of nobody."""
        self._company = company.Watch()
