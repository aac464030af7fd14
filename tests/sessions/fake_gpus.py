"""Engines over a fake NVML in real time: the hardware's edge is faked, the rest is as it is."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from infertop.sessions import store
from infertop.sessions.engine import Engine
from infertop.sessions.plan import Task
from infertop.sessions.settings import EngineSettings
from infertop.telemetry.nvml import Nvml
from infertop.telemetry.nvml_source import NvmlSource
from infertop.tests.sessions import kit
from infertop.tests.telemetry.fake_nvml import Gpu, Machine


class RealTime(Machine):
    """A machine whose clock is ours."""

    @property
    def now_ns(self) -> int:
        return time.monotonic_ns()

    @now_ns.setter
    def now_ns(self, _: int) -> None:
        """What a call takes passes by itself."""


def task(device: str = "cuda:0", seconds: float = 1.0, **options: Any) -> Task:
    """A run of the simulated backend that says it is on a GPU."""
    made = kit.task(requests=None, **options)
    return replace(made, configuration=replace(made.configuration, device=device), duration_s=seconds)


def engine(tmp_path: Path, *gpus: Gpu, blind: str = "", **settings: Any) -> tuple[Engine, RealTime]:
    """An engine that finds these GPUs where it opens NVML."""
    machine = RealTime(*gpus)
    made = Engine(
        EngineSettings(sessions_dir=str(tmp_path), interval_s=0.1, **settings),
        store.create("smallcnn", str(tmp_path), None),
        lambda interval: NvmlSource(interval, Nvml(machine), blind=blind),
    )
    return made, machine


def measured(made: Engine, task: Task) -> dict[str, Any]:
    """Have the engine make this run; its result."""
    runner = made.start(task)
    while made.runner is runner:
        made.step()
    return made.results[-1]
