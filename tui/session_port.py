"""Sessions as the screen sees them: one that this screen starts, one that is already going on, and a recording."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..backends import models, registry
from ..backends.configuration import Configuration, Options
from ..backends.errors import MeasureError
from ..sessions.commands import Client, Verb
from ..sessions.replay import ReplaySource, Timeline
from ..sessions.settings import EngineSettings
from ..sessions.source import FollowSource, Live
from ..sessions.store import Found, replay_words
from ..sessions.view import View
from .port import ModelChoice, Replay, nothing

START_S = 30.0  # for which a command waits for an engine that is starting


class _Choices:
    """What the chooser and the keys need to know of models and backends; the same for every kind of session."""

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or Options(working_directory=os.getcwd())

    def models(self) -> Sequence[ModelChoice]:
        known = [ModelChoice(info.name, info.summary) for info in models.listing()]
        files = [
            ModelChoice(name, _weight(name)) for name in models.files_near(self._options.working_directory)
        ]
        return [*known, *files]

    def configuration(self, model: str) -> Configuration:
        found = models.resolve(model, self._options.working_directory)
        options = self._options if models.takes_weights(found) else replace(self._options, weights=None)
        # The engine knows what is usable here, so the choice of the backend is left to it.
        return Configuration("", model, models.default_precision(found), device="", options=options)

    def switch(self, configuration: Configuration, backend: str) -> Configuration:
        # Where it runs is left to the engine too.
        return replace(configuration, backend=registry.resolve(backend).name, device="", environment=None)

    def precisions(self, configuration: Configuration) -> Sequence[str]:
        known = _PRECISIONS.get(configuration.backend, ("native", "fp32"))
        return [p for p in known if p != "tf32" or configuration.device.startswith("cuda")]

    def data_paths(self, configuration: Configuration) -> Sequence[str]:
        from ..sessions.options import DATA_PATHS  # of no use to a replay

        return DATA_PATHS if configuration.device.startswith("cuda") else ("pageable",)


# What is worth a key press; the backend has the last word, in a sentence.
_PRECISIONS = {
    "torch-eager": ("native", "fp32", "tf32", "fp16", "bf16"),
    "torch-compile": ("native", "fp32", "tf32", "fp16", "bf16"),
    "onnxruntime-cpu": ("native", "fp32", "int8"),
    "onnxruntime-cuda": ("native", "fp32", "tf32", "fp16"),
    "onnxruntime-tensorrt": ("native", "tf32", "fp16"),
    "tensorrt": ("native", "fp32", "tf32", "fp16", "bf16"),
    "tensorrt-rtx": ("native", "fp32", "tf32", "fp16", "bf16"),
}


def _weight(name: str) -> str:
    from ..sessions import units

    try:
        return units.size(os.path.getsize(name))
    except OSError:
        return ""


class LivePort(_Choices):
    """A session that is measured now. Its engine is started beside the screen, or is there already."""

    live = True
    replay: Replay | None = None

    def __init__(self, settings: EngineSettings | None = None, found: Found | None = None) -> None:
        """Start an engine with `settings`, or attach to the one of the session `found`."""
        super().__init__(
            settings.task.configuration.options
            if settings is not None and settings.task is not None
            else None
        )
        task = settings.task if settings is not None else None
        self.asked: Configuration | None = None if task is None else task.configuration
        self._own = settings is not None
        self._stays = settings is not None and settings.stay
        self._following: Live | None = None
        self._path: Path | None = None  # of the session
        self._client: Client | None = None
        self._failure: MeasureError | None = None
        self._ready = threading.Event()
        self._nothing = nothing()
        if found is not None:
            self._path = found.path
            self._following = Live.attach(found.path)
            self._client = Client(found.socket)
            self._ready.set()
        elif settings is not None:
            threading.Thread(
                target=self._start, args=(settings,), name="infertop-launch", daemon=True
            ).start()

    def _start(self, settings: EngineSettings) -> None:
        from ..sessions.launch import launch  # on a Linux machine that measures, alone

        try:
            launched = launch(settings)
            self._client = Client(launched.socket)
            self._path = launched.segment.parent
            self._following = Live(FollowSource(launched.segment))
        except MeasureError as error:
            self._failure = error
        finally:
            self._ready.set()

    @property
    def replay_words(self) -> tuple[str, ...]:
        return replay_words(self._path) if self._path is not None else ()

    def poll(self) -> View:
        if self._failure is not None:
            raise self._failure
        return self._following.poll() if self._following is not None else self._nothing

    def send(self, verb: Verb, configuration: Configuration | None = None) -> str:
        return self._answering().send(verb, configuration)

    def sweep(self, configurations: Sequence[Configuration], *, dry: bool) -> str:
        return self._answering().sweep(configurations, dry=dry)

    def observe(self) -> str:
        return self._answering().observe()

    def _answering(self) -> Client:
        """The connection, once the engine has started. Raises MeasureError where it did not."""
        self._ready.wait(START_S)
        if self._client is None:
            raise self._failure or MeasureError("engine-gone", "the engine has not started", "q leaves")
        return self._client

    def close(self, *, leave: bool) -> None:
        self._ready.wait(START_S)
        if self._client is not None:
            try:
                if self._own and not (leave and self._stays):
                    self._client.send("end")
            except MeasureError:
                pass  # it has ended by itself
            self._client.close()
        if self._following is not None:
            self._following.close()


class ReplayPort(_Choices):
    """A recording."""

    live = False
    asked: Configuration | None = None

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._source = _Recording(path)
        self._source.begin()
        self.replay_words = replay_words(path)
        self.replay: Replay | None = self._source

    def poll(self) -> View:
        return self._source.poll()

    def send(self, verb: Verb, configuration: Configuration | None = None) -> str:
        raise MeasureError("usage", "a recording cannot be commanded", "infertop MODEL measures")

    def sweep(self, configurations: Sequence[Configuration], *, dry: bool) -> str:
        raise MeasureError("usage", "a recording cannot be commanded", "infertop MODEL measures")

    def observe(self) -> str:
        raise MeasureError("usage", "a recording cannot be commanded", "infertop MODEL measures")

    def close(self, *, leave: bool) -> None:
        self._source.close()


class _Recording(ReplaySource):
    """The timeline is drawn with every paint: it is made anew only when the recording has grown."""

    _drawn: tuple[int, Timeline] | None = None
    _polled: tuple[View, View] | None = (
        None  # as the log has it, and with the backends of the whole recording
    )

    def poll(self) -> View:
        # A graph shows a second a column.
        with contextlib.suppress(OSError):  # no terminal: what a seek brings by default
            self.need(os.get_terminal_size(sys.stderr.fileno()).columns)
        view = super().poll()
        if self._polled is None or self._polled[0] is not view:
            self._polled = (view, replace(view, backends=self.backends()))
        return self._polled[1]

    def timeline(self) -> Timeline:
        end = self.session.end
        if self._drawn is None or self._drawn[0] != end:
            self._drawn = (end, super().timeline())
        return self._drawn[1]
