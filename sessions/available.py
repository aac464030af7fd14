"""What a serving engine's interpreters have, asked beside its main thread, and what a configuration comes to by it."""

from __future__ import annotations

from dataclasses import replace

from ..backends import models, registry
from ..backends.backend_options import fitted
from ..backends.configuration import Configuration
from ..backends.errors import MeasureError
from ..backends.probes import Availability
from . import substitute
from .engine import Engine
from .plan import Task
from .prober import probe


class Available:
    """`ask` belongs to any thread, the rest to the engine's main thread: `take` makes known what was found."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # By the label of the environment; "" is our own. None until it is known.
        self._asked: dict[str, list[Availability] | MeasureError] | None = None
        self._found: dict[str, dict[str, Availability]] | None = {} if engine.settings.monitor else None

    @property
    def known(self) -> bool:
        return self._found is not None

    def ask(self) -> None:
        """Probe each interpreter, which takes a third of a second each."""
        asked: dict[str, list[Availability] | MeasureError] = {}
        for label in {"", *self._engine.settings.environments}:
            try:
                asked[label] = probe(self._engine.settings.python(label))
            except MeasureError as error:
                asked[label] = error
        self._asked = asked

    def take(self) -> bool:
        """Say what was found, where there is an answer that was not said yet."""
        asked, self._asked = self._asked, None
        if asked is None:
            return False
        self._found = {label: self._tell(label, answer) for label, answer in asked.items()}
        return True

    def _tell(self, label: str, answer: list[Availability] | MeasureError) -> dict[str, Availability]:
        if isinstance(answer, MeasureError):
            self._engine.say(
                "backends", f"{answer.message}; {answer.fix}", level="error", backends=[], environment=label
            )
            return {}
        self._engine.tell_backends(label, answer)
        return {a.name: a for a in answer}

    def settled(self, configuration: Configuration) -> Configuration:
        """The choices that were left to the engine: the model's default backend among the usable ones, and its device."""
        available = self._under(configuration)
        name = configuration.backend
        if not name:
            model = models.resolve(configuration.model, configuration.options.working_directory)
            name = models.default_backend(model, {a.name for a in available.values() if a.usable})
        device = configuration.device
        if not device:
            device = _device(available[name]) if name in available else "cpu"
        return fitted(replace(configuration, backend=name, device=device))

    def check(self, configuration: Configuration) -> None:
        """Refuse what cannot run before anything is stopped for it."""
        backend = self._under(configuration).get(configuration.backend)
        if backend is None:
            registry.resolve(configuration.backend)
        elif not backend.usable:
            raise MeasureError("backend-missing", backend.reason, backend.fix)

    def instead(self, task: Task, why: MeasureError) -> Task | None:
        """What is measured in the place of a task whose backend cannot be used; None where nothing can be."""
        return substitute.task_for(task, why, self._under(task.configuration).values())

    def _under(self, configuration: Configuration) -> dict[str, Availability]:
        """What the interpreter of that configuration has."""
        return (self._found or {}).get(configuration.environment or "", {})


def _device(backend: Availability) -> str:
    """Where it measures when nobody named a device; what needs a GPU was asked onto one, also where it cannot be used."""
    info = next((info for info in registry.all_backends() if info.name == backend.name), None)
    return "cuda:0" if info is not None and info.device == "cuda" else backend.device
