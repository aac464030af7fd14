"""Tasks on the simulated backend, and engines to run them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from infertop.backends.backend_options import fitted
from infertop.backends.configuration import Configuration, Options
from infertop.sessions.headless import Measured, Progress, measure
from infertop.sessions.plan import Task
from infertop.sessions.proof import Terms
from infertop.sessions.settings import EngineSettings

PLUGIN = Path(__file__).parents[1] / "plugin"


def task(
    backend: str = "simulated",
    *,
    batch: int | None = None,
    warmup: str = "20x",
    requests: int | None = 200,
    **options: Any,
) -> Task:
    """A short task; `options` go to the simulated backend."""
    chosen = Options(backend_options={name: str(value) for name, value in options.items()}, seed=3)
    configuration = Configuration(backend, "smallcnn", batch=batch, options=chosen)
    return Task(configuration, warmup=warmup, duration_s=None if requests else 60.0, requests=requests)


def broken(
    backend: str = "simulated", *, when: str = "build", says: str = "", requests: int | None = 50
) -> Task:
    """A task that every simulated backend fails with these words; any other measures it."""
    words = ["fault=raise", f"when={when}", f"says={says}"]
    asked = task(backend, requests=requests)
    options = replace(asked.configuration.options, asked_options=words)
    return replace(asked, configuration=fitted(replace(asked.configuration, options=options)))


def run(
    tmp_path: Path, tasks: Sequence[Task], *, prove: Terms | None = None, **settings: Any
) -> tuple[Measured, list[Progress]]:
    """`infertop run`'s engine in this process."""
    said: list[Progress] = []
    measured = measure(
        tasks,
        EngineSettings(sessions_dir=str(tmp_path), interval_s=0.1, **settings),
        said.append,
        prove=prove,
    )
    return measured, said


def with_plugin(environment: dict[str, str] | None = None) -> dict[str, str]:
    """An environment in which the simulated backend is installed."""
    environment = dict(environment or os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PLUGIN), environment.get("PYTHONPATH"))))
    return environment


def children() -> set[int]:
    """Processes that this one has started and that still run."""
    return {p.pid for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE}
