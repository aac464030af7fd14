"""A session that monitors, made by the real engine on a machine whose NVML is scripted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infertop.sessions.engine import Engine
from infertop.sessions.source import Live
from infertop.sessions.view import View
from infertop.tests.sessions import fake_gpus
from infertop.tests.sessions.fake_gpus import RealTime
from infertop.tests.telemetry.fake_nvml import Gpu

PATIENCE_S = 30.0


class Watched:
    """The engine, stepped by hand, and what follows its log."""

    def __init__(self, engine: Engine, live: Live, machine: RealTime) -> None:
        self.engine, self.live, self.machine = engine, live, machine

    def until(self, wanted: Callable[[View], bool]) -> View:
        """Let the engine go on until a viewer sees what is wanted."""
        while self.engine.now() < PATIENCE_S * 1e9:
            self.engine.step()
            view = self.live.poll()
            if view.header is not None and wanted(view):
                return view
        raise AssertionError(f"never came; the newest table is {view.processes}")


@contextmanager
def watching(tmp_path: Path, *gpus: Gpu, blind: str = "") -> Iterator[Watched]:
    """`blind`: why processes cannot be told apart, as a container says."""
    engine, machine = fake_gpus.engine(tmp_path, *gpus, blind=blind, monitor=True, title="monitor")
    live = Live.attach(engine.place.path)
    try:
        yield Watched(engine, live, machine)
    finally:
        live.close()
        engine.close("the test is over")
