"""The document `infertop.run/1` of a command: its results, the machine, and the gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from operator import itemgetter
from typing import Any, Protocol

from .. import __version__
from ..backends.configuration import Configuration
from ..backends.errors import MeasureError
from . import change, pareto
from .merging import merge
from .plan import Plan
from .records import Header
from .results import Result, blank_result

SCHEMA = "infertop.run/1"


class Measured(Protocol):
    """What the engine hands back: one result for each task that was begun, in the tasks' order."""

    @property
    def session(self) -> str: ...
    @property
    def header(self) -> Header: ...
    @property
    def results(self) -> Sequence[Result]: ...
    @property
    def interrupted(self) -> int | None:
        """The signal that ended the session early."""


def refused(error: MeasureError, model: str, backend: str | None) -> dict[str, Any]:
    """The document of a command that failed before an engine began: one result, of which nothing is known but its error."""
    from ..telemetry.host import facts  # of no use to those who only view

    result = blank_result(Configuration(backend or "", model), None, error)
    unknown = dict.fromkeys(("device", "precision", "data_path", "load", "options"))
    return {
        "schema": SCHEMA,
        "infertop": __version__,
        "session": None,
        "host": facts(),
        "gpus": [],
        "results": pareto.marked([{**result, **unknown, "backend": backend}]),
        "skipped": [],
        "gates": [],
    }


def document(measured: Measured, plan: Plan) -> dict[str, Any]:
    """The whole document, one result a configuration in the order in which the person named them, each with its
    place on the Pareto front. `gates` is filled by the gates."""
    by_configuration: list[tuple[Configuration, list[tuple[int, Result]]]] = [
        (c, []) for c in plan.configurations
    ]
    # Tasks that an interruption left out have no result.
    for task, result in zip(plan.tasks, measured.results, strict=False):
        next(
            found for configuration, found in by_configuration if configuration == task.configuration
        ).append((task.repeat, result))
    return {
        "schema": SCHEMA,
        "infertop": __version__,
        "session": measured.session,
        "host": measured.header.host,
        "gpus": measured.header.gpus,
        "results": change.compared(
            pareto.marked(
                # A resumed plan has what was measured before it first.
                [
                    merge(
                        [r for _, r in sorted(found, key=itemgetter(0))],
                        sum(task.configuration == configuration for task in plan.tasks),
                    )
                    for configuration, found in by_configuration
                    if found
                ]
            )
        ),
        "skipped": [asdict(skipped) for skipped in plan.skipped],
        "gates": [],
    }
