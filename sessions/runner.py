"""One run: drives a worker from load to end, and says what happens as records."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from ..backends import loads
from ..backends.configuration import Configuration
from ..backends.errors import UNUSABLE, MeasureError
from ..backends.protocol import Message
from . import response, units
from .measurement import Measurement, TickNumbers
from .plan import Task
from .records import AnyRecord, Event, Fault, Run
from .trials import Trials
from .worker_process import WorkerProcess

HANG_S = 60.0
"""A worker hangs when for this long it says nothing, prints nothing and uses no CPU time."""

TREND_S = 3.0
"""Of an open loop shorter than this nobody says while it runs that its backlog grows."""

PHASE_WORDS = {
    "start": "starting", "import": "importing its runtime", "export": "exporting the model", "load": "loading the model",
    "build": "building the model", "check": "comparing its outputs with the reference's",
    "control": "timing the plain call beside its steps", "quiet": "looking what else is busy on the GPU",
    "warmup": "warming up", "measure": "measuring", "end": "ending",
}  # fmt: skip


@dataclass
class Facts:
    """What the worker said of the loaded model."""

    configuration: Configuration
    loaded: Message = field(default_factory=dict)
    cold_start: dict[str, float | None] | None = None
    settled: bool | None = None
    warmup_text: str = ""
    runtime: dict[str, Any] = field(default_factory=dict)  # as the worker said when the run ended
    fallback: dict[str, str] | None = None  # message, fix, detail


class Runner:
    """Drives one task on one worker. `emit` takes records; `now` gives session time in ns. `ended` is set once, at the end."""

    def __init__(
        self,
        run: int,
        task: Task,
        worker: WorkerProcess,
        emit: Callable[[AnyRecord], None],
        now: Callable[[], int],
        *,
        hang_s: float = HANG_S,
        resident: bool = False,
        locate: Callable[[str | None], str | None] = lambda _: None,
        quiet: bool = False,
    ) -> None:
        """`locate` gives the prefix of the device under test in the metric table, by its UUID where the worker knows it. With `quiet` a
        run on a GPU waits in the phase of that name until somebody calls `go`."""
        self.run, self.task, self.worker = run, task, worker
        self.facts = Facts(task.configuration)
        self.measurement = Measurement(task.warmup)
        self.phase = "start"
        self.ended = False
        self.error: MeasureError | None = None
        self.reason = ""
        self.unserved = 0  # arrivals of an open loop that were given up at its end
        self.reusable = False  # after the end: whether the worker can take another run
        self._emit, self._now = emit, now
        self._hang_s = hang_s
        self.gpu: str | None = None
        self.slice: str | None = None  # the MIG slice that it runs on
        self.quiet: dict[str, Any] | None = None
        self.beside = ""  # who else measures on the same GPU, where somebody chose so
        self._locate, self._wants_quiet = locate, quiet
        self.final = TickNumbers(0, None)  # of the requests between the last tick and the end
        self.last_second: dict[str, str] | None = None  # and the histograms since the last full second
        self._started = False
        self._unbounded = ""
        self.trials: Trials | None = None  # of `open:auto`
        self.tap: Callable[[np.ndarray], object] | None = None  # takes what each tick took from the ring
        self.doing = PHASE_WORDS["start"]  # in words
        self._resident = resident
        self._begun = self._since = self._quiet_since = time.monotonic()
        self._activity = (0, 0)
        emit(
            Run(
                t=now(), run=run, phase="start", configuration=task.configuration, repeat=task.repeat,
                note="parked worker, loaded already" if resident else "",
            )
        )  # fmt: skip
        worker.send("load", configuration=task.configuration.as_dict())

    @property
    def measuring(self) -> bool:
        return self.phase == "measure"

    @property
    def said(self) -> str:
        """What it does, in words, with how long already where that may take long."""
        elapsed = int(time.monotonic() - self._since)
        if self.phase in ("warmup", "measure", "end") or elapsed < 1:
            return self.doing
        return f"{self.doing}, {units.duration(elapsed)}"

    @property
    def loaded(self) -> bool:
        """Whether the worker has the model and requests flow, warm-up included."""
        return self._started

    def receive(self) -> None:
        """Take what the worker says, its death included."""
        try:
            messages = self.worker.receive()
        except EOFError:
            if not self.ended:
                self.fail(self.worker.death(PHASE_WORDS[self.phase]))
            return
        except ValueError as error:
            self.fail(
                MeasureError(
                    "worker-ended",
                    f"the worker sent what is no message: {error}",
                    "what it printed tells more",
                    self.worker.captured(),
                )
            )
            return
        for message in messages:
            self._quiet_since = time.monotonic()
            if not self.ended:
                self._handle(message)

    def _handle(self, message: Message) -> None:
        say = message["say"]
        if say == "phase":
            words = message.get("note") or ""
            self._enter(message["phase"], progress=message.get("progress"), note=words)
            self.doing = ": ".join(filter(None, (PHASE_WORDS[self.phase], words)))
        elif say == "loaded":
            self._loaded(message)
        elif say == "measuring":
            rate, note = loads.parse(self.facts.configuration.load).rate, ""
            if self.trials is not None:
                rate = self.trials.search.found
                again = (
                    ", lower than what did not hold"
                    if self.trials.search.confirmations
                    else ", the highest rate that held"
                )
                note = f"at {units.rate(rate)} requests/s{again}"
            self.measurement.begin(message["t"], rate, self._duration, self.task.requests)
            self._enter("measure", cold_start=self.facts.cold_start, note=note)
            self._late(message.get("fallback"))
        elif say == "started" and self.trials is not None:
            self._measure(self.trials.search.found)  # again, at a lower rate
        elif say in ("window", "windowed") and self.trials is not None:
            self.trials.said(message["t"])
        elif say == "stopped":
            self._tell(message.get("runtime") or {})
            self._late(message.get("fallback"))
            self.reason, self.reusable = message["reason"], True
            self.unserved = message["unserved"]
            self._take_last()
            self.ended = self.reason == "stop" or not self._refuted()
        elif say == "error":
            error = MeasureError.from_dict(message)
            error.detail = "\n".join(filter(None, (error.detail, self.worker.captured())))
            self.reusable = bool(message.get("alive"))
            self.fail(error, keep=self.reusable)

    def _enter(self, phase: str, **known: Any) -> None:
        if phase != self.phase:
            self.phase, self.doing, self._since = phase, PHASE_WORDS[phase], time.monotonic()
        self._emit(Run(t=self._now(), run=self.run, phase=phase, **known))

    def _loaded(self, message: Message) -> None:
        asked = self.task.configuration
        options = replace(asked.options, threads=message["threads"])
        self.facts.configuration = replace(
            asked, batch=message["batch"], dims=message["dims"], options=options
        )
        self.facts.loaded = message
        self.facts.cold_start = message["cold_start"]
        note = ""
        if self._resident:
            took = units.duration(time.monotonic() - self._begun)
            note = f"kept loaded, ready in {took}"
        try:
            self._find(message.get("gpu") or {})
        except MeasureError as error:  # somebody else's GPU
            self.fail(error, keep=True)
            return
        known = {
            name: message[name]
            for name in (
                "inputs",
                "assumed",
                "placement",
                "libraries",
                "threads",
                "cache",
                "link",
                "bytes_in",
                "bytes_out",
                "work",
                "peaks",
                "runtime",
                "control",
            )
        }
        fallback = self._otherwise(message["fallback"])
        waits = self._wants_quiet and self.gpu is not None
        self._enter(
            "quiet" if waits else "warmup", configuration=self.facts.configuration, gpu=self.gpu,
            note=note, agreement=message.get("agreement"),
            fallback=(fallback or {}).get("message"), **known,
        )  # fmt: skip
        if note:
            text = f"{self.facts.configuration.label} was {note}"
            self._emit(Event(t=self._now(), kind="worker", text=text, run=self.run))
        self._tell(message.get("runtime") or {})
        agreement = message.get("agreement") or {}
        if agreement.get("within_band") is False:
            text = f"DIFFERS from {agreement['reference']}: {agreement['reason']}"
            self._emit(Event(t=self._now(), kind="fault", text=text, level="warn", run=self.run))
        if fallback is not None:
            self._fell_back(fallback)
        elif message["unproven"]:
            self._emit(
                Event(t=self._now(), kind="worker", text=message["unproven"], level="warn", run=self.run)
            )
        if not waits:
            self.go()

    def _find(self, gpu: Mapping[str, Any]) -> None:
        """Which of NVML's GPUs this is, by what the worker found."""
        if not self.task.configuration.device.startswith("cuda"):
            return
        self.gpu, self.slice = self._locate(gpu.get("uuid")), gpu.get("slice")
        if self.slice:
            text = f"this is the MIG slice {self.slice}: NVML tells no utilisation, GPM, clocks or link of a slice, and power only of the whole GPU"
            self._emit(Event(t=self._now(), kind="telemetry", text=text, level="warn", run=self.run))

    def go(self, quiet: Mapping[str, Any] | None = None) -> None:
        """Have the worker begin its requests; `quiet` is what the GPU did while it was idle."""
        if quiet is not None:
            self.quiet = dict(quiet)
        if self.phase != "warmup":
            self._enter("warmup", quiet=self.quiet)
        self._run()
        self._started = True

    def _run(self) -> None:
        options = self.task.configuration.options
        self.worker.send("run", run=self.run, seed=options.seed, gc=options.gc)

    def _tell(self, runtime: dict[str, Any]) -> None:
        """What the runtime turned out to do: each remark once, after the first requests or when the run has ended."""
        for note in runtime.get("notes", ()):
            if note not in self.facts.runtime.get("notes", ()):
                self._emit(Event(t=self._now(), kind="worker", text=note, run=self.run))
        self.facts.runtime = runtime

    def _otherwise(self, said: dict[str, str] | None) -> dict[str, str] | None:
        """What does not run as it was asked to: another configuration in the place of the one asked for comes before what the runtime said."""
        instead = self.task.instead
        if instead is None:
            return said
        message = "; ".join(filter(None, (instead.reason, (said or {}).get("message"))))
        return {"message": message, "fix": instead.fix, "detail": instead.detail}

    def _late(self, fallback: dict[str, str] | None) -> None:
        """What only requests have shown, if nothing was said of it before."""
        if fallback is not None and self.facts.fallback is None:
            self._fell_back(fallback)
            self._enter(self.phase, fallback=fallback["message"])

    def _fell_back(self, fallback: dict[str, str]) -> None:
        self.facts.fallback = fallback
        text = f"FALLBACK: {'; '.join(filter(None, (fallback['message'], fallback['fix'])))}"
        self._emit(Event(t=self._now(), kind="fault", text=text, level="warn", run=self.run))

    def tick(self) -> TickNumbers:
        """At each tick: the requests since the last one; the order of mark, messages, copy keeps them on the right side of `measuring`."""
        ring = self.worker.ring
        ring.mark()
        self.receive()
        if self.ended:
            return TickNumbers(0, None)
        records = ring.take()
        numbers = self.measurement.add(records)
        if self.tap is not None:
            self.tap(records)
        if numbers.done:
            self._quiet_since = time.monotonic()
        if self.phase == "warmup" and self.facts.settled is None:
            self._check_warmup()
        elif self.phase == "warmup" and self.trials is not None and self.trials.add(records):
            self._measure(self.trials.search.found)
        return numbers

    def _check_warmup(self) -> None:
        end = self.measurement.warm(time.monotonic_ns())
        if end is None:
            return
        self.facts.settled, self.facts.warmup_text = end.settled, end.reason
        took = units.duration(round(time.monotonic() - self._since, 1))
        text = f"warm-up ended after {units.count(self.measurement.warm_requests)} requests and {took}: {end.reason}"
        level = "info" if end.settled else "warn"
        self._emit(Event(t=self._now(), kind="warmup", text=text, level=level, run=self.run))
        if not loads.parse(self.task.configuration.load).auto:
            self._measure(None)
        elif (limit_ms := self.task.configuration.options.slo_ms) is not None:
            self.trials = Trials(limit_ms, partial(self.worker.send, run=self.run), self._note)
            self.trials.next()
        else:
            self.fail(
                MeasureError("usage", "open:auto searches for nothing without a limit", "give --slo 10ms")
            )

    def _refuted(self) -> bool:
        """Of `open:auto`: whether the run at the rate found did not keep the limit, and a lower rate is measured now."""
        if self.trials is None:
            return False
        said = response.p99(response.fields(self.measurement, self.unserved))
        if not self.trials.search.confirm(*said):
            return False
        confirmation = self.trials.search.confirmations[-1]
        text = (
            f"{units.rate(confirmation.rate)} requests/s do not keep p99 under {units.significant(self.trials.search.limit_ms)} ms "
            f"({confirmation.reason}): measuring at {units.rate(self.trials.search.found)}"
        )
        self._emit(Event(t=self._now(), kind="load", text=text, level="warn", run=self.run))
        self.measurement, self._unbounded, self.reason = Measurement(self.task.warmup), "", ""
        self.reusable, self.unserved = False, 0
        self._note(text)
        self._run()
        return True

    def _note(self, text: str) -> None:
        self.doing = text
        self._enter("warmup", note=text)

    def _measure(self, rate: float | None) -> None:
        """Tell the worker to measure, at the rate that was searched for, if one was."""
        trials, task = self.trials, self.task
        if trials is not None and rate is None:
            limit = units.significant(trials.search.limit_ms)
            self.fail(
                MeasureError(
                    "slo-unreachable",
                    f"no rate keeps p99 of the response under {limit} ms: {trials.search.refusal}",
                    "raise --slo, or measure a smaller --batch or a faster backend",
                )
            )
            return
        self.worker.send("measure", run=self.run, duration=self._duration, requests=task.requests, rate=rate)

    @property
    def _duration(self) -> int | None:
        """Of the measurement, ns."""
        return None if self.task.duration_s is None else round(self.task.duration_s * 1e9)

    @property
    def stopped(self) -> bool:
        """Whether it ended because somebody wanted it to, before all was measured."""
        return self.reason == "stop" or (self.error is not None and self.error.kind == "stopped")

    @property
    def unusable(self) -> bool:
        """Whether it ended because its backend cannot be used here, before anything was measured."""
        kind = None if self.error is None else self.error.kind
        return kind in UNUSABLE and not self.measurement.requests

    def check_hang(self) -> None:
        """Once a second: a worker that says, prints and computes nothing is given up."""
        activity = self.worker.activity()
        if activity != self._activity:
            self._activity, self._quiet_since = activity, time.monotonic()
        elif time.monotonic() - self._quiet_since > self._hang_s:
            self.fail(
                MeasureError(
                    "worker-hung",
                    f"the worker hangs while {PHASE_WORDS[self.phase]}: for {self._hang_s:.0f} s it said, printed and computed nothing",
                    "it was ended; try another backend, or look at its output",
                    self.worker.captured(),
                )
            )

    def check_backlog(self) -> None:
        """Once a second: an open loop whose backlog grows without end has no response latency, and says so once."""
        measurement = self.measurement
        if self._unbounded or measurement.backlog is None or measurement.measured_s < TREND_S:
            return
        self._unbounded = measurement.backlog.growing() or ""
        if self._unbounded:
            self._enter("measure", unbounded=self._unbounded)
            self._emit(Event(t=self._now(), kind="load", text=self._unbounded, level="warn", run=self.run))

    def stop(self) -> None:
        """End the run: politely where requests are flowing, at once where the worker is busy loading."""
        if self.ended:
            return
        if self._started:
            self.worker.send("stop", run=self.run)
        else:
            self.fail(
                MeasureError("stopped", f"stopped while {PHASE_WORDS[self.phase]}"),
                keep=self.phase == "quiet",
            )

    def fail(self, error: MeasureError, *, keep: bool = False) -> None:
        """The run ends with an error; a worker that is not kept is killed by whoever owns it."""
        if self.ended:
            return
        self.error, self.reusable = error, keep
        self._end()

    def _end(self) -> None:
        self.ended = True
        self._take_last()

    def _take_last(self) -> None:
        """What the worker wrote before its end, or its death, still counts."""
        if not self._started:
            return
        ring = self.worker.ring
        ring.mark()
        self.final = self.measurement.add(ring.take())
        self.last_second = self.measurement.take_second()

    def fault(self) -> Fault | None:
        """The error as the log holds it."""
        return (
            None
            if self.error is None
            else Fault(self.error.kind, self.error.message, self.error.fix, self.error.detail)
        )
