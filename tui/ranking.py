"""How the runs of a session stand to each other: which may be called best, which are on the Pareto front, which take no part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..backends.errors import UNAVAILABLE
from ..sessions import pareto
from ..sessions.view import RunView
from .naming import chosen_options, model_name

Work = tuple[object, ...]

MARKS = {"fallback": "▲ FALLBACK", "differs": "✕ differs"}
"""What stands where a comparison would, for a run that takes no part in any."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """`best` is the run with the highest throughput of each kind of work; `front` the numbers of the runs that no other beats in both
    p50 and throughput; `contested`: whether that says something."""

    best: Mapping[Work, RunView]
    front: frozenset[int]
    contested: bool

    def leader(self, run: RunView) -> RunView | None:
        """The best of those that do the same work on a sample."""
        return self.best.get(work(run))


def every(runs: Sequence[RunView], present: RunView | None) -> list[RunView]:
    """Ended runs and the present one, oldest first."""
    return [*runs, *([present] if present is not None and all(r.run != present.run for r in runs) else [])]


def work(run: RunView) -> Work:
    """What a sample is: the throughput of two models says nothing of either."""
    c = run.configuration
    return c.model, tuple(sorted(c.dims.items()))


def discounted(run: RunView) -> str:
    """`fallback` or `differs`, or another status that its result has, where the run's numbers compete with nobody's; else empty."""
    if run.fallback:
        return "fallback"
    return pareto.discounted({"agreement": run.agreement} | dict(run.result or {}))


def unavailable(run: RunView) -> bool:
    """Whether the run could not exist here, and so did not fail."""
    status = (run.result or {}).get("status")
    return status == "unavailable" or (run.error is not None and run.error.kind in UNAVAILABLE)


def open_loop(run: RunView) -> bool:
    """Whether its requests came by a schedule."""
    return run.configuration.load.startswith(("open:", "poisson:"))


def measured(runs: Iterable[RunView]) -> list[RunView]:
    """Those with results."""
    return [run for run in runs if run.latency is not None]


def ranking(runs: Iterable[RunView]) -> Ranking:
    """Over all of them, whichever are shown; an open loop's throughput is what was asked of it, and competes with nobody's."""
    groups: dict[Work, list[RunView]] = {}
    for run in measured(runs):
        if run.throughput and not discounted(run) and not open_loop(run):
            groups.setdefault(work(run), []).append(run)
    best: dict[Work, RunView] = {}
    front: set[int] = set()
    for key, group in groups.items():
        best[key] = max(group, key=lambda run: run.throughput or 0.0)
        marks = pareto.front([_point(run) for run in group])
        front.update(run.run for run, on in zip(group, marks, strict=True) if on)
    return Ranking(best, frozenset(front), any(len(group) > 1 for group in groups.values()))


def last(runs: Sequence[RunView], found: Ranking, room: int) -> Sequence[RunView]:
    """The last runs that there is room for; the best, which they are compared with, stays in sight above them."""
    room = max(1, room)
    shown = runs[-room:]
    best = found.leader(runs[-1])
    if room > 1 and best is not None and all(run.run != best.run for run in shown):
        return [best, *shown[1:]]
    return shown


def _point(run: RunView) -> pareto.Point | None:
    if run.latency is None or not run.latency.quantiles or run.throughput is None:
        return None
    return float(run.latency.quantiles[0].value), run.throughput


VARYING: tuple[tuple[str, Callable[[RunView], str]], ...] = (
    ("prec", lambda run: run.configuration.precision),
    ("path", lambda run: run.configuration.data_path),
    ("load", lambda run: run.configuration.load),
    ("sizes", lambda run: " ".join(f"{name}={size}" for name, size in run.configuration.dims.items())),
    ("options", lambda run: " ".join(chosen_options(run.configuration))),
    ("model", lambda run: model_name(run.configuration.model)),
)
"""What names a run beside its backend and batch; a column only where runs differ in it."""


def varying(runs: Iterable[RunView]) -> list[tuple[str, Callable[[RunView], str]]]:
    """Those of VARYING in which the runs differ."""
    listed = list(runs)
    return [(name, of) for name, of in VARYING if len({of(run) for run in listed}) > 1]
