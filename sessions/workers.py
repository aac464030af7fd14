"""The workers of an engine: new ones, and up to two that stay loaded and idle, so that a switch back is quick."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import psutil

from ..backends.configuration import Configuration
from .settings import EngineSettings
from .worker_process import WorkerProcess

PARKED = 2
PARKED_S = 300.0
"""A parked worker holds memory that others may want: it is ended after five minutes."""

LOW_MEMORY = 0.1
"""Below this share of available memory nothing stays parked."""


def loaded_as(configuration: Configuration) -> Configuration:
    """What a worker has loaded: the configuration without what `load` can change in place."""
    return replace(configuration, batch=None, dims={}, data_path="", load="")


@dataclass
class Parked:
    worker: WorkerProcess
    loaded: Configuration
    since: float


class Workers:
    """Owned by the engine's main thread."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._parked: list[Parked] = []

    def take(self, configuration: Configuration) -> tuple[WorkerProcess, bool]:
        """A worker for the configuration, and whether it has the model loaded already. Raises MeasureError."""
        wanted = loaded_as(configuration)
        for parked in self._parked:
            if parked.loaded == wanted:
                self._parked.remove(parked)
                return parked.worker, True
        python = self._settings.python(configuration.environment)
        return (WorkerProcess(python) if python else WorkerProcess()), False

    def park(self, worker: WorkerProcess, configuration: Configuration) -> None:
        """Keep a loaded worker, idle; the longest parked one makes room."""
        worker.send("park")
        self._parked.append(Parked(worker, loaded_as(configuration), time.monotonic()))
        while len(self._parked) > PARKED:
            self._parked.pop(0).worker.end()

    def tidy(self) -> list[str]:
        """Once a second: end what died, what has been parked too long, and everything when memory is short; says what it did."""
        memory = psutil.virtual_memory()
        short = memory.available < LOW_MEMORY * memory.total
        said: list[str] = []
        for parked in list(self._parked):
            why = self._why_end(parked, short)
            if why:
                self._parked.remove(parked)
                parked.worker.end()
                said.append(f"the parked worker of {parked.loaded.label} was ended: {why}")
        return said

    def _why_end(self, parked: Parked, short: bool) -> str:
        try:
            parked.worker.receive()
        except (EOFError, ValueError):
            return "it had died"
        if short:
            return "memory is short"
        return "it was idle for five minutes" if time.monotonic() - parked.since > PARKED_S else ""

    def parked(self) -> list[Configuration]:
        """What is loaded and idle."""
        return [parked.loaded for parked in self._parked]

    def labels(self) -> set[str]:
        """The backends that a switch would find loaded."""
        return {parked.loaded.label for parked in self._parked}

    def end(self) -> None:
        for parked in self._parked:
            parked.worker.end()
        self._parked.clear()
