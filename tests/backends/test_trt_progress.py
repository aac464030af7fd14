"""A build that tells how far it is: from the backend through the worker's lines to the run's records."""

from __future__ import annotations

import functools
import os
from types import SimpleNamespace
from typing import Any

import pytest
from infertop.backends import protocol, registry, worker
from infertop.backends.configuration import Configuration
from infertop.sessions import runs
from infertop.sessions.plan import Task
from infertop.sessions.records import Run
from infertop.sessions.runner import Runner


class Clock:
    """Time that passes where a test says so."""

    def __init__(self) -> None:
        self.now = 10**9

    def monotonic_ns(self) -> int:
        return self.now


class Building:
    """A backend that says twice within a moment how far its build is, and then has no model."""

    slots = 1
    progress: Any = None

    def load(self, configuration: Configuration, report: Any) -> None:
        report("load")
        report("build")
        self.progress(0.25)
        self.progress(0.26)
        worker.time.now += 10**9  # type: ignore[attr-defined]
        self.progress(None, "3 graphs")
        raise KeyError("enough")


def test_progress_goes_with_its_phase_and_not_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "create", lambda name: Building())
    monkeypatch.setattr(worker, "time", Clock())
    read, write = os.pipe()
    # The ring stays empty: nothing is measured.
    part = worker.Worker(None, write)  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        part._load(Configuration("building", "m"))
    os.close(write)
    with open(read, "rb") as pipe:
        said = protocol.Lines().feed(pipe.read())
    assert [(line["phase"], line.get("progress"), line.get("note", "")) for line in said] == [
        ("import", None, ""), ("load", None, ""), ("build", None, ""), ("build", 0.25, ""), ("build", None, "3 graphs"),
    ]  # fmt: skip

    records: list[Any] = []
    idle: Any = SimpleNamespace(send=lambda *_, **__: None)
    runner = Runner(1, Task(Configuration("building", "m")), idle, emit=records.append, now=lambda: 0)
    for line in said:
        runner._handle(line)
    found = [(record.phase, record.progress) for record in records if isinstance(record, Run)]
    assert found[1:] == [("import", None), ("load", None), ("build", None), ("build", 0.25), ("build", None)]
    assert runner.said == "building the model: 3 graphs"
    known = functools.reduce(runs.merged, [record for record in records if isinstance(record, Run)])
    assert known.note == "3 graphs"
    assert runs.merged(known, Run(t=0, run=1, phase="warmup")).note == "", "it was the build's"
