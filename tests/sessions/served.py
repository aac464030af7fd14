"""A serving engine in this process, stepped by the test; commands come through its socket as from any viewer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from infertop.sessions.commands import Client
from infertop.sessions.engine import Engine
from infertop.sessions.records import Event
from infertop.sessions.serving import Server
from infertop.sessions.view import RunView


class Served:
    def __init__(self, engine: Engine, socket: Path) -> None:
        self.engine = engine
        self.server = Server(engine, socket)
        self.client = Client(socket)
        self.server.probe()  # on a thread of its own elsewhere

    def until(self, wanted: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not wanted():
            assert time.monotonic() < deadline
            self.server.step()

    def events(self) -> list[Event]:
        return list(self.engine.state.view().events)

    def measured(self) -> RunView | None:
        """The run that is being measured."""
        run = self.engine.state.view().run
        return run if run is not None and run.phase == "measure" else None

    def close(self) -> None:
        self.client.close()
        self.server.close()
        self.engine.close("the test is over")
