"""`run --fallback auto`: where a backend cannot be used, what is measured in its place, and how that is said.

The result keeps the name that was asked for, has the status `fallback` and says what ran: it passes no gate and is on no front.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..backends import models, registry
from ..backends.configuration import Configuration
from ..backends.probes import Availability
from .plan import Instead, Task
from .results import USUAL


def nearest(configuration: Configuration, available: Iterable[Availability]) -> tuple[str, str] | None:
    """(backend, device) of what is nearest to the configuration's among the usable: on the same device rather than on the CPU,
    of the same runtime rather than of another, then in the order in which backends are listed. None where nothing is."""
    model = models.resolve(configuration.model, configuration.options.working_directory)
    kinds = {info.name: info.device for info in registry.all_backends()}
    found = []
    for place, backend in enumerate(available):
        kind = kinds.get(backend.name, "any")  # another interpreter may have others
        if not backend.usable or backend.name == configuration.backend:
            continue
        if model.kind == "engine" or (model.kind == "onnx" and _runtime(backend.name) == "torch"):
            continue
        on_cpu = kind == "cpu" or configuration.device == "cpu" or backend.device == "cpu"
        if on_cpu and kind == "cuda":
            continue
        other_device = on_cpu and configuration.device != "cpu"
        other_runtime = _runtime(backend.name) != _runtime(configuration.backend)
        device = "cpu" if on_cpu else configuration.device
        found.append((other_device, other_runtime, place, backend.name, device))
    return min(found)[3:] if found else None


def _runtime(backend: str) -> str:
    """Those that run a module, and those that run a graph."""
    return "torch" if backend.startswith("torch-") else "graph"


def task_for(task: Task, asked: Availability, available: Iterable[Availability]) -> Task | None:
    """The task that is measured instead of one whose backend cannot be used; None where nothing can be."""
    configuration = task.configuration
    found = nearest(configuration, available)
    if found is None:
        return None
    name, device = found
    measured = replace(configuration, backend=name, device=device)
    also = ""
    if device == "cpu" and configuration.data_path != USUAL["data_path"]:
        measured = replace(measured, data_path=USUAL["data_path"])
        also = f", {measured.data_path} since it runs on the CPU"
    reason = f"{asked.name} cannot be used here: {asked.reason}; {measured.label} was measured instead{also}"
    return replace(task, configuration=measured, instead=Instead(configuration, reason, asked.fix))
