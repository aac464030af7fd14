"""How long runs will take: what earlier runs on this machine took to load and to warm up, and how fast they were."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backends import loads
from ..backends.configuration import Configuration
from ..backends.errors import MeasureError
from ..telemetry.warmup import parse_rule
from . import store
from .latency import number
from .plan import AUTO_WARMUP_S, Task
from .records import Header, Run
from .session import Session

NEWEST = 20
"""So many sessions are looked through: their run records are read, not their ticks."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a run took; None where it is not known."""

    load: float | None  # s, from its start to its warm-up: a new worker, import, export, load, build
    warmup: float | None  # s; with the search for a rate, where there is one
    rate: float | None  # measured requests/s


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of a run, None where requests are counted that nobody has timed; `whole`: loading is in it, and a search for a rate."""

    seconds: float | None
    whole: bool


class Expected:
    """What is known of the times. What is learnt last counts."""

    def __init__(self) -> None:
        self._same: dict[Hashable, Taken] = {}  # by everything that is measured
        self._near: dict[Hashable, Taken] = {}  # by what is loaded

    def learn(self, configuration: Configuration, taken: Taken) -> None:
        """Take what a run took; what it does not say keeps its last value."""
        for known, key in ((self._same, _same(configuration)), (self._near, _near(configuration))):
            old = known.get(key, _NOTHING)
            # A search for a rate is no other load's warm-up.
            warmup = None if known is self._near and searches(configuration) else taken.warmup
            known[key] = Taken(
                old.load if taken.load is None else taken.load,
                old.warmup if warmup is None else warmup,
                old.rate if taken.rate is None else taken.rate,
            )

    def of(self, task: Task) -> Estimate:
        """Loading, warm-up and measuring of a task."""
        same = self._same.get(_same(task.configuration), _NOTHING)
        near = self._near.get(_near(task.configuration), _NOTHING)
        load = near.load if same.load is None else same.load
        searched = same.warmup if searches(task.configuration) else None
        warmup = searched or _warmup(task, near.warmup if same.warmup is None else same.warmup, same.rate)
        measured = task.duration_s
        if task.requests is not None:
            measured = task.requests / same.rate if same.rate else None
        seconds = None if measured is None else measured + warmup + (load or 0.0)
        whole = load is not None and (searched is not None or not searches(task.configuration))
        return Estimate(seconds, whole)


_NOTHING = Taken(None, None, None)


def searches(configuration: Configuration) -> bool:
    """Whether a run looks for its rate first, which takes as long as it takes."""
    return loads.parse(configuration.load).auto


def _near(c: Configuration) -> tuple[Hashable, ...]:
    mode = c.options.compile_mode if c.backend == "torch-compile" else None
    return c.label, c.device, c.model, c.precision, mode


def _same(c: Configuration) -> tuple[Hashable, ...]:
    return (*_near(c), c.batch or 1, tuple(sorted(c.dims.items())), c.data_path, c.load)


def _warmup(task: Task, known: float | None, rate: float | None) -> float:
    nanoseconds, requests = parse_rule(task.warmup)
    if nanoseconds is not None:
        return nanoseconds / 1e9
    if requests is not None:
        return requests / rate if rate else 0.0
    return max(AUTO_WARMUP_S[0], known or 0.0)


def machine(host: Mapping[str, Any], gpus: list[dict[str, Any]]) -> tuple[str, ...]:
    """What tells machines apart: names change from container to container, the hardware does not."""
    uuids = sorted(str(gpu.get("uuid")) for gpu in gpus)
    return (str(host.get("cpu")), str(host.get("cores")), *uuids)


def earlier(sessions_dir: str | Path | None, host: Mapping[str, Any]) -> Expected:
    """What the newest sessions know that were measured on processors like this machine's. A session that cannot be read says nothing."""
    expected = Expected()
    for found in reversed(store.sessions(sessions_dir)[:NEWEST]):
        with contextlib.suppress(MeasureError, OSError), Session(found.path) as session:
            if session.header is not None and _like(session.header, host):
                learn_from(expected, session)
    return expected


def _like(header: Header, host: Mapping[str, Any]) -> bool:
    return machine(header.host, []) == machine(host, [])


def learn_from(expected: Expected, session: Session) -> None:
    """Take the times of a session's runs, of one that still measures as far as they are known."""
    configurations: dict[int, Configuration] = {}
    entered: dict[int, dict[str, int]] = {}
    for t, record in session.runs:
        # A phase is said again with news of it.
        entered.setdefault(record.run, {}).setdefault(record.phase, t)
        if record.phase == "start" and record.configuration is not None:
            configurations[record.run] = record.configuration
            if record.note:
                entered[record.run].pop("start")  # of a parked worker: it says nothing of loading
        elif record.phase in ("measure", "end") and record.run in configurations:
            expected.learn(configurations[record.run], taken(entered[record.run], record))


def taken(entered: Mapping[str, int], record: Run) -> Taken:
    """From when a run entered its phases, ns, and its result, if it has one."""
    load, warmup = _span(entered, "start", "warmup"), _span(entered, "warmup", "measure")
    return Taken(load, warmup, rate_of(record.result or {}))


def _span(entered: Mapping[str, int], begin: str, end: str) -> float | None:
    return (entered[end] - entered[begin]) / 1e9 if begin in entered and end in entered else None


def rate_of(result: Mapping[str, Any]) -> float | None:
    """Measured requests a second."""
    requests, seconds = number(result.get("requests")), number(result.get("duration_s"))
    return requests / seconds if requests and seconds else None
