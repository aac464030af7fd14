"""A session without an engine: pictures from `synthetic`, moved on by hand or by the clock, and the commands that it was sent."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from infertop.backends.configuration import Configuration
from infertop.backends.errors import MeasureError
from infertop.sessions.commands import Verb
from infertop.sessions.records import Event
from infertop.sessions.replay import Mark, Timeline
from infertop.sessions.view import View
from infertop.tests.tui import synthetic
from infertop.tui.port import ModelChoice, Replay

S = 1_000_000_000
MODELS = (
    ModelChoice("smallcnn", "ours, 12 layers", "built in"),
    ModelChoice("resnet18", "torchvision", "built in"),
    ModelChoice("./nets/detector.onnx", "4.1 MB", "files here"),
)


class FakePort:
    """A live session that shows `view` until a test puts another there. `moving`: it goes on by itself, four ticks a second."""

    live = True
    replay: Replay | None = None
    asked: Configuration | None = None
    replay_words: tuple[str, ...] = ("2026-11-22-resnet18-a1b2",)

    def __init__(self, view: View | None = None, *, moving: bool = False) -> None:
        self.view = view or synthetic.view()
        self.sent: list[tuple[Verb, Configuration | None]] = []
        self.swept: list[tuple[tuple[Configuration, ...], bool]] = []
        self.observed = 0
        self.closed = False
        self.failure: MeasureError | None = None
        self._moving = moving
        self._ticks = 0
        self._began = time.monotonic()

    def poll(self) -> View:
        if self.failure is not None:
            raise self.failure
        if self._moving:
            ticks = int((time.monotonic() - self._began) * 4)
            while self._ticks < ticks:
                self._ticks += 1
                self.view = moved(self.view, self._ticks)
        return self.view

    def send(self, verb: Verb, configuration: Configuration | None = None) -> str:
        self.sent.append((verb, configuration))
        return f"test-{len(self.sent)}"

    def sweep(self, configurations: Sequence[Configuration], *, dry: bool) -> str:
        self.swept.append((tuple(configurations), dry))
        return f"sweep-{len(self.swept)}"

    def observe(self) -> str:
        self.observed += 1
        return f"observe-{self.observed}"

    def models(self) -> Sequence[ModelChoice]:
        return MODELS

    def configuration(self, model: str) -> Configuration:
        if model not in [m.text for m in MODELS]:
            raise MeasureError(
                "model-not-found", f"there is no model {model!r} here", "did you mean smallcnn?"
            )
        return Configuration("onnxruntime-cpu", model, "fp32")

    def switch(self, configuration: Configuration, backend: str) -> Configuration:
        return dataclasses.replace(configuration, backend=backend)

    def precisions(self, configuration: Configuration) -> Sequence[str]:
        return ("native",) if configuration.backend == "torch-compile" else ("native", "fp32")

    def data_paths(self, configuration: Configuration) -> Sequence[str]:
        return ("pageable", "pinned", "device") if configuration.device.startswith("cuda") else ("pageable",)

    def close(self, *, leave: bool) -> None:
        self.closed = True


def moved(view: View, ticks: int) -> View:
    """A quarter of a second later: with each fourth tick the graphs have a new column."""
    run = view.run
    if run is not None and run.latency is not None and run.phase == "measure":
        n = run.requests + 70
        p50 = run.latency.quantiles[0].value * (1 + 0.002 * ((ticks * 7919) % 11 - 5))
        run = synthetic.run(run.run, run.configuration, "measure", p50, n)
    history = view.history
    if ticks % 4 == 0 and len(history.second):

        def rolled(column: np.ndarray | None) -> Any:
            return None if column is None else np.roll(column, -1, axis=0)

        history = dataclasses.replace(
            history,
            **{
                f.name: rolled(getattr(history, f.name))
                for f in dataclasses.fields(history)
                if f.name not in ("second", "run")
            },
        )
    wave = 1 + 0.01 * ((ticks * 31) % 7 - 3)
    return dataclasses.replace(
        view,
        now=view.now + S // 4,
        unix=view.unix + S // 4,
        run=run,
        history=history,
        values={name: value * wave for name, value in view.values.items()},
        bytes=view.bytes + 600,
    )


class FakeReplay:
    """A recording's clock that only remembers what it was told."""

    def __init__(self, port: FakeReplayPort) -> None:
        self._port = port
        self.playing = False
        self.speed = 1.0
        self.following = False
        self.steps: list[int] = []

    def timeline(self) -> Timeline:
        return Timeline(
            0,
            300 * S,
            (
                Mark(1 * S, "run", "run 1: ort-cpu", "onnxruntime-cpu"),
                Mark(20 * S, "verdict", "cpu", run=1),
                Mark(41 * S, "warn", "throttled"),
                Mark(120 * S, "run", "run 2: torch", "torch-eager"),
                Mark(160 * S, "verdict", "host", run=2),
                Mark(200 * S, "error", "the worker was killed"),
            ),
        )

    def play(self) -> None:
        self.playing = True

    def pause(self) -> None:
        self.playing = False

    def faster(self) -> None:
        self.speed = min(64.0, self.speed * 2)

    def slower(self) -> None:
        self.speed = max(0.25, self.speed / 2)

    def next_mark(self) -> None:
        self.seek(next((m.t for m in self.timeline().marks if m.t > self._port.view.now), 300 * S))

    def previous_mark(self) -> None:
        self.seek(next((m.t for m in reversed(self.timeline().marks) if m.t < self._port.view.now), 0))

    def next_run(self, backend: str) -> None:
        runs = [m.t for m in self.timeline().marks if m.backend == backend]
        if not runs:
            raise MeasureError("not-found", f"{backend} was not measured in this session")
        self.seek(next((t for t in runs if t > self._port.view.now), runs[0]))

    def seek(self, t: int) -> None:
        t = min(max(0, t), 300 * S)
        self._port.view = dataclasses.replace(self._port.view, now=t, unix=synthetic.UNIX + t)

    def step(self, ticks: int) -> None:
        self.playing = False
        self.steps.append(ticks)

    def go(self, text: str) -> None:
        if text != "+90s":
            raise MeasureError(
                "usage", f"{text!r} is no time of this recording", "write 12:04:10, +90s or p99>20ms"
            )
        self.seek(self._port.view.now + 90 * S)

    def follow(self) -> None:
        self.following = True
        self.seek(300 * S)


class FakeReplayPort(FakePort):
    """A recording."""

    live = False

    def __init__(self, view: View | None = None) -> None:
        super().__init__(view or synthetic.switched())
        self.replay: FakeReplay = FakeReplay(self)


def answered(view: View, command: str, text: str, level: str = "error", **data: object) -> View:
    """The picture with the event that answers a command."""
    event = Event(t=view.now, kind="command", text=text, level=level, id=command, data=dict(data))
    return dataclasses.replace(view, now=view.now + S // 4, events=(*view.events, event))


SCENES: dict[str, Callable[[], View]] = {
    "measuring": synthetic.view,
    "gpu": lambda: synthetic.switched(gpu=True),
    "switched": synthetic.switched,
    "advised": synthetic.advised,
    "evidence": synthetic.advised,
    "proving": synthetic.proving,
    "depth": synthetic.depth,
    "open": synthetic.opened,
    "loading": synthetic.loading,
    "failed": synthetic.failed,
    "idle": synthetic.idle,
}
