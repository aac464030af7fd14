"""What a sweep from the screen may cover: backends × precisions × batches × data paths, the rest as it is now."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..backends.configuration import Configuration
from ..sessions.view import BackendView
from .actions import BATCH_LIMIT, Situation
from .loads import refusal
from .port import SessionPort
from .render.cells import clean

_BATCH_FACTORS = (0.25, 0.5, 1, 2, 4)

BACKENDS, PRECISIONS, BATCHES, PATHS = "backends", "precisions", "batches", "data paths"


@dataclass(frozen=True, slots=True)
class Axis:
    """What one part of a configuration may be, as (value, text); and which of these are chosen at first."""

    name: str
    values: tuple[tuple[str, str], ...]
    first: frozenset[str]


@dataclass(frozen=True, slots=True)
class Scope:
    """The configurations to measure one after another. `left_out`: what does not take part, with why."""

    configurations: tuple[Configuration, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """A usable backend with what it can measure here."""

    view: BackendView
    base: Configuration  # what is measured now, by this backend
    precisions: tuple[str, ...]
    paths: tuple[str, ...]
    refusal: str  # why it cannot hold the present load


class Sweepable:
    """What can be varied in the present situation."""

    def __init__(self, situation: Situation, port: SessionPort) -> None:
        base, run = situation.base, situation.view.run
        assert base is not None
        self._base = base
        self._places = {b.name: _place(b, base, port) for b in situation.view.backends if b.usable is True}
        places = list(self._places.values())
        axes = [
            Axis(
                BACKENDS, tuple((p.view.name, clean(p.view.short)) for p in places), frozenset(self._places)
            ),
            _named(PRECISIONS, (p.precisions for p in places), base.precision),
            _named(PATHS, (p.paths for p in places), base.data_path),
        ]
        if run is None or not run.inputs or run.configuration.batch is not None:
            axes.insert(2, _batches(base.batch or 1))
        self.axes = tuple(axis for axis in axes if len(axis.values) > 1 or axis.name == BACKENDS)

    def scope(self, chosen: Mapping[str, Sequence[str]]) -> Scope:
        """Every combination of the chosen values by the names of the axes; an axis that is not among them stays as it is now."""
        taken: list[Configuration] = []
        refused: dict[str, None] = {}
        lacking: dict[str, list[str]] = {}  # values → the backends that have none of them
        batches = [int(text) for text in chosen.get(BATCHES, ())] if BATCHES in chosen else [self._base.batch]
        for name in chosen.get(BACKENDS, ()):
            place = self._places[name]
            short = clean(place.view.short)
            if place.refusal:
                refused[f"{short}: {place.refusal}"] = None
                continue
            precisions = chosen.get(PRECISIONS, (self._base.precision,))
            paths = chosen.get(PATHS, (self._base.data_path,))
            for value, known in ((precisions, place.precisions), (paths, place.paths)):
                if absent := " or ".join(dict.fromkeys(v for v in value if v not in known)):
                    lacking.setdefault(absent, []).append(short)
            for precision, batch, path in itertools.product(precisions, batches, paths):
                if precision in place.precisions and path in place.paths:
                    c = replace(place.base, precision=precision, batch=batch, data_path=path)
                    taken.append(replace(c, options=replace(c.options, agreement=True, control=True)))
        missing = (
            f"{_and(names)} {'has' if len(names) == 1 else 'have'} no {absent}"
            for absent, names in lacking.items()
        )
        return Scope(tuple(taken), (*refused, *missing))


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _place(backend: BackendView, base: Configuration, port: SessionPort) -> _Place:
    own = backend.name == base.backend
    c = base if own else port.switch(base, backend.name)
    there = c if own else replace(c, device=backend.device or c.device)
    return _Place(
        backend, c, tuple(port.precisions(there)), tuple(port.data_paths(there)), refusal(there, c.load)
    )


def _named(name: str, known: Iterable[Sequence[str]], present: str) -> Axis:
    """The values that any backend has, in their order; the present one is chosen."""
    values = list(dict.fromkeys(value for found in known for value in found))
    return Axis(name, tuple((value, value) for value in values), frozenset({present}))


def _batches(present: int) -> Axis:
    sizes = sorted({1, *(int(present * factor) for factor in _BATCH_FACTORS)})
    values = tuple((str(size), str(size)) for size in sizes if 1 <= size <= BATCH_LIMIT)
    return Axis(BATCHES, values, frozenset({str(present)}))
