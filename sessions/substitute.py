"""`--fallback auto`: where a backend cannot be used, or turns out so before anything was measured, what is measured in its place, and how
that is said.

The result keeps the name that was asked for, has the status `fallback` and says what ran: it passes no gate and is on no front.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..backends import models, registry
from ..backends.backend_options import fitted
from ..backends.configuration import Configuration
from ..backends.errors import MeasureError
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


def task_for(task: Task, why: MeasureError, available: Iterable[Availability]) -> Task | None:
    """The task that is measured instead of one whose backend cannot be used; None where nothing is left. The task may be such a one itself:
    the reason is then still that of the backend that was asked for."""
    before = task.instead or Instead(
        task.configuration,
        f"{task.configuration.backend} cannot be used here: {why.message}",
        "",
        why.fix,
        why.detail,
    )
    asked, tried = before.asked, (*before.tried, task.configuration.backend)
    found = nearest(asked, [backend for backend in available if backend.name not in tried])
    if found is None:
        return None
    name, device = found
    measured = replace(asked, backend=name, device=device)
    also = ""
    if device == "cpu" and asked.data_path != USUAL["data_path"]:
        measured = replace(measured, data_path=USUAL["data_path"])
        also = f", {measured.data_path} since it runs on the CPU"
    reason = f"{before.cause}; {measured.label} was measured instead{also}"
    # Of the options that were asked for it takes its own.
    return replace(task, configuration=fitted(measured), instead=replace(before, reason=reason, tried=tried))
