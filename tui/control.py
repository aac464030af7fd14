"""The keys that change what is measured: each makes one absolute configuration out of the last one asked for, and sends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..backends.configuration import Configuration
from ..backends.errors import MeasureError
from ..sessions.commands import Verb
from ..sessions.gpu_lock import BUSY
from ..sessions.records import Event
from ..sessions.view import BackendView, View
from .actions import BATCH_LIMIT, Situation
from .background import Background
from .jobs import going
from .panels.states import answered, last_answer
from .port import SessionPort
from .scene import Message


class Control:
    """Commands to a live session. `message` is what the screen should say next, if anything."""

    def __init__(self, port: SessionPort) -> None:
        self._port = port
        self._background = Background("infertop-commands")
        self._asked: Configuration | None = None
        self._since = -1  # number of the run that was present when it was asked for
        self._waiting: dict[str, Callable[[Event], None]] = {}  # who gets the answer to a command
        self._events: tuple[Event, ...] = ()
        self.message: Message | None = None
        self.blocked: Event | None = None
        """That another infertop has the GPU; whoever asks the person about it takes it away."""
        self._blocked_at = -1

    def situation(self, view: View) -> Situation:
        """What actions are judged by."""
        if view.header is not None and view.header.monitor:
            return Situation(view, self._port.live, monitor=True)
        base = self._base(view)
        if base is None or not base.backend or not self._port.live:
            return Situation(view, self._port.live, base)
        precisions, paths = self._port.precisions(base), self._port.data_paths(base)
        return Situation(view, True, base, tuple(precisions), tuple(paths))

    def _base(self, view: View) -> Configuration | None:
        """What a change starts from: what was asked for last, so that keys pressed quickly add up; else what runs."""
        if self._asked is not None:
            return self._asked
        return view.run.configuration if view.run is not None else self._port.asked

    def awaited(self, view: View) -> Configuration | None:
        """What was asked for, as long as there is no run at all."""
        return self._base(view) if view.run is None and self._port.live else None

    def watch(self, view: View) -> None:
        """Take note of a new picture: what was asked for has arrived, or was refused."""
        if self._asked is not None and view.run is not None and view.run.run > self._since:
            same = view.run.configuration.backend == self._asked.backend or not self._asked.backend
            if same and view.run.phase in ("measure", "end"):
                self._asked = None
        self._events = view.events
        self._hand_out()
        answer = last_answer(view) if self._port.live else None
        if answer is not None and answered(answer) == BUSY and answer.t > self._blocked_at:
            self.blocked, self._blocked_at = answer, answer.t

    def _hand_out(self) -> None:
        """Answers to those who wait for them; the first event of a command's id is its answer."""
        if not self._waiting:
            return
        for event in self._events:
            if event.id is not None and (answer := self._waiting.pop(event.id, None)) is not None:
                answer(event)

    def _answered(self, event: Event) -> None:
        """A command that was refused, or that changed nothing, is said in the engine's words."""
        if event.level != "info" or event.data.get("changed") is False:
            self.message = Message(event.text, str(event.data.get("fix", "")), event.level)
            self._asked = None

    def backend(self, view: View, number: int) -> Message | None:
        """Switch to the backend with this digit; one that cannot be used says why, and what to do."""
        if number > len(view.backends):
            return Message(
                f"there is no backend {number}", f"1 to {len(view.backends)} are in the second line", "warn"
            )
        chosen = view.backends[number - 1]
        if chosen.usable is False:
            return Message(
                f"{chosen.short} cannot be used here: {chosen.reason or 'no reason is known'}",
                chosen.fix,
                "warn",
            )
        base = self._base(view)
        if base is None:
            return Message("no model is loaded", "m chooses one", "warn")
        there, lost = self._there(base, chosen)
        doing = f"switching to {chosen.short}" + (f", {there.data_path}: it has no {lost}" if lost else "")
        return self._configure(view, there, doing)

    def _there(self, base: Configuration, chosen: BackendView) -> tuple[Configuration, str]:
        """The same by another backend. One that copies nothing lacks the data path: then by a path that it has, and which it lacks."""
        there = self._port.switch(base, chosen.name)
        device = chosen.device or there.device
        paths = self._port.data_paths(replace(there, device=device))
        if not device or base.data_path in paths:
            return there, ""
        return replace(there, data_path=paths[0]), base.data_path

    def batch(self, view: View, factor: float) -> Message | None:
        base = self._base(view)
        assert base is not None
        size = min(BATCH_LIMIT, max(1, int((base.batch or 1) * factor)))
        return self._configure(view, replace(base, batch=size), f"batch {size}")

    def precision(self, view: View) -> Message | None:
        base = self._base(view)
        assert base is not None
        following = _next(self._port.precisions(base), base.precision, _advised(view, "precision"))
        return self._configure(view, replace(base, precision=following), f"precision {following}")

    def data_path(self, view: View) -> Message | None:
        base = self._base(view)
        assert base is not None
        following = _next(self._port.data_paths(base), base.data_path, _advised(view, "data-path"))
        return self._configure(view, replace(base, data_path=following), f"data path {following}")

    def requests(self, view: View, load: str) -> Message | None:
        """Another load, as typed; the engine says what is wrong with it."""
        base = self._base(view)
        assert base is not None
        return self._configure(view, replace(base, load=load), f"load {load}")

    def dims(self, view: View, name: str, size: int) -> Message | None:
        base = self._base(view)
        assert base is not None
        return self._configure(view, replace(base, dims={**base.dims, name: size}), f"{name}={size}")

    def record(self, view: View, wanted: bool) -> Message | None:
        verb: Verb = "record" if wanted else "no-record"
        return self._send(view, verb, None, "recording goes on" if wanted else "recording ends")

    def again(self, view: View) -> Message | None:
        base = self._base(view)
        assert base is not None
        return self._send(view, "again", None, "measuring the same again")

    def load(self, view: View) -> Message | None:
        """Stop what runs or loads, a proof or a sweep; start what has stopped."""
        if going(view) is not None:
            return self.cancel(view)
        answer = last_answer(view)
        waits = answer is not None and answered(answer) == "wait"  # for another infertop to leave the GPU
        stopped = (view.run is None or view.run.phase == "end") and not waits
        return self._send(
            view,
            "start" if stopped else "stop",
            None,
            "starting the load" if stopped else "stopping the load",
        )

    def unblock(self, view: View, verb: Verb) -> Message | None:
        """Begin what was refused because another infertop has its GPU: `wait` for it, or `share` it."""
        return self._send(
            view, verb, None, "waiting for the GPU" if verb == "wait" else "measuring beside it"
        )

    def cancel(self, view: View) -> Message | None:
        """Give up what is being loaded, a proof or a sweep; what was measured before goes on."""
        if (job := going(view)) is not None:
            if job.kind == "observer":
                return self.unobserve(view)
            return self._send(view, "stop", None, f"cancelling the {job.kind}")
        return self._send(view, "cancel", None, "cancelling")

    def prove(self, view: View) -> Message | None:
        """Put the advice to the proof; how far that is stands in the session's events."""
        return self._send(view, "prove", None, "proving the advice")

    def sweep(
        self,
        configurations: Sequence[Configuration],
        answer: Callable[[str, str, Mapping[str, Any]], None],
        *,
        dry: bool,
    ) -> None:
        """Ask how long a sweep takes, or begin it; `answer` gets what the engine says to it: level, sentence and data."""

        def sent(name: str | None, error: MeasureError | None) -> None:
            if error is not None:
                answer("error", f"{error.message}; {error.fix}", {})
            elif name is not None:
                self._expect(name, lambda event: answer(event.level, event.text, event.data))

        if not dry:
            self._asked = None
        self._background.do(lambda: self._port.sweep(configurations, dry=dry), sent)

    def observe(self, answer: Callable[[str, str], None]) -> None:
        """Begin to measure the observer effect; `answer` gets what the engine says to it: level and sentence."""

        def sent(name: str | None, error: MeasureError | None) -> None:
            if error is not None:
                answer("error", f"{error.message}; {error.fix}")
            elif name is not None:
                self._expect(name, lambda event: answer(event.level, event.text))

        self._background.do(self._port.observe, sent)

    def unobserve(self, view: View) -> Message | None:
        """Give the observer effect up; the run goes on."""
        return self._send(view, "no-observe", None, "the observer effect is given up")

    def _expect(self, name: str, answer: Callable[[Event], None]) -> None:
        """The answer to this command is wanted; it may be there already."""
        self._waiting[name] = answer
        self._hand_out()

    def model(self, view: View, configuration: Configuration) -> Message | None:
        return self._configure(view, configuration, f"loading {configuration.model}")

    def _configure(self, view: View, configuration: Configuration, words: str) -> Message | None:
        self._asked = configuration
        return self._send(view, "configure", configuration, words)

    def _send(
        self, view: View, verb: Verb, configuration: Configuration | None, words: str
    ) -> Message | None:
        self._since = view.run.run if view.run is not None else -1
        if verb != "configure":
            self._asked = None

        def sent(name: str | None, error: MeasureError | None) -> None:
            if error is not None:
                self._asked = None
                self.message = Message(error.message, error.fix, "error")
            elif name is not None:
                self._expect(name, self._answered)

        self._background.do(lambda: self._port.send(verb, configuration), sent)
        return Message(words)


def _advised(view: View, action: str) -> str | None:
    """What the verdict advises for this action."""
    advice = view.verdict.advice if view.verdict is not None else None
    return str(advice["value"]) if advice and advice.get("action") == action else None


def _next(known: Sequence[str], present: str, advised: str | None) -> str:
    """What is advised, else the next one round."""
    if advised in known and advised != present and advised is not None:
        return advised
    return known[(known.index(present) + 1) % len(known)] if present in known else known[0]
