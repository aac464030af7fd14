"""What a sweep from the screen may cover: everything as it is now but for backends, data paths or batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..backends.configuration import Configuration
from .actions import BATCH_LIMIT, Situation
from .loads import refusal
from .port import SessionPort
from .render.cells import clean

_BATCH_FACTORS = (0.25, 0.5, 1, 2, 4)


@dataclass(frozen=True, slots=True)
class Scope:
    """A set of configurations to measure one after another. `left_out`: what does not take part, with why."""

    id: str
    text: str
    configurations: tuple[Configuration, ...]
    left_out: tuple[str, ...] = ()


def scopes(situation: Situation, port: SessionPort) -> list[Scope]:
    """The sweeps worth offering here, those of one configuration left out."""
    base = situation.base
    assert base is not None
    every, missing = _backends(situation, port, base)
    present = tuple(replace(base, data_path=path) for path in situation.data_paths)
    both = tuple(replace(c, data_path=path) for c, paths in every for path in paths)
    found = [
        Scope("backends", "every usable backend", tuple(c for c, _ in every), missing),
        Scope("paths", "every data path of this backend", present),
        Scope("both", "every usable backend on each of its data paths", both, missing),
        Scope(
            "batches", "this backend from a quarter of the batch to four times", tuple(_batches(situation))
        ),
    ]
    known: list[Scope] = []
    for scope in found:
        if len(scope.configurations) > 1 and all(set_of(scope) != set_of(other) for other in known):
            known.append(scope)
    return known


def set_of(scope: Scope) -> list[Configuration]:
    """Its configurations, so that two scopes can be compared."""
    return sorted(scope.configurations, key=repr)


def _backends(
    situation: Situation, port: SessionPort, base: Configuration
) -> tuple[list[tuple[Configuration, tuple[str, ...]]], tuple[str, ...]]:
    """Every usable backend with what is measured now, as far as it can, and the data paths that it has; and who is left out."""
    taken: list[tuple[Configuration, tuple[str, ...]]] = []
    missing: list[str] = []
    for backend in situation.view.backends:
        if backend.usable is not True:
            continue
        c = base if backend.name == base.backend else port.switch(base, backend.name)
        there = c if c is base else replace(c, device=backend.device or c.device)
        paths = tuple(port.data_paths(there))
        if c.data_path not in paths:
            c = replace(c, data_path=paths[0])
        name = clean(backend.short)
        if base.precision not in port.precisions(there):
            missing.append(f"{name} has no {base.precision}")
        elif why := refusal(there, c.load):
            missing.append(f"{name}: {why}")
        else:
            taken.append((c, paths))
    return taken, tuple(missing)


def _batches(situation: Situation) -> Iterator[Configuration]:
    base, run = situation.base, situation.view.run
    assert base is not None
    if run is not None and run.inputs and run.configuration.batch is None:
        return  # no batch axis
    sizes = {int((base.batch or 1) * factor) for factor in _BATCH_FACTORS}
    for size in sorted(size for size in sizes if 1 <= size <= BATCH_LIMIT):
        yield replace(base, batch=size)
