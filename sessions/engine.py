"""The engine: one main thread that commands the worker, ticks, and writes the log; the sampler and the writer have threads of their own."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import msgspec

from .. import __version__
from ..backends.errors import MeasureError
from ..backends.probes import Availability
from ..telemetry.host import facts
from ..telemetry.metrics import Level, Value
from ..telemetry.nvml_source import NvmlSource
from . import company, outcome
from .conditions import held
from .diagnosis import Diagnosis
from .gpu_lock import Gpus
from .instruments import GpuSource, Instruments
from .measurement import TickNumbers
from .monitoring import Monitoring
from .plan import Task
from .quiet import sentence
from .records import FORMAT, AnyRecord, Clock, End, Event, Header, Key, Run, Tick
from .results import Result
from .runner import Runner
from .settings import EngineSettings
from .state import SessionState
from .store import Place, last_run
from .watching import Watching
from .workers import Workers
from .writer import SegmentWriter

KEY_EVERY_S = 60.0

PARTING_S = 2.0
"""So long the end of a session waits for its run to stop; a request that takes longer is cut off."""

LEVEL_WORDS = {
    "off": "telemetry is off: nothing is read until it is switched on again",
    "light": "telemetry is light: each tick what costs microseconds, clocks and counters every 5 s",
    "full": "telemetry is full",
}


def read_clock() -> Clock:
    """Both clocks at one instant, as nearly as two calls can."""
    return Clock(time.monotonic_ns(), time.time_ns())


class Engine:
    """Makes one session. Every method is called by the main thread; `step` waits for what comes next and handles it."""

    def __init__(self, settings: EngineSettings, place: Place, gpus: GpuSource = NvmlSource) -> None:
        """`gpus` opens NVML."""
        self.settings, self.place, self._gpus = settings, place, gpus
        self.workers = Workers(settings)
        self.gpus = Gpus(place.name, lambda: self.instruments)
        self.runner: Runner | None = None
        self.selector = selectors.DefaultSelector()
        self.results: list[dict[str, Any]] = []
        interval = round(settings.interval_s * 1e9)
        self.watching = Watching(Instruments(interval, settings.telemetry, gpus))
        self._monitoring = Monitoring() if settings.monitor else None
        clock = read_clock()
        self._began = clock.monotonic
        self.header = Header(
            format=FORMAT, session=place.name, segment=place.segment, clock=clock, interval=interval, infertop=__version__,
            pid=os.getpid(), host=facts(), command=settings.command, recording=place.recording,
            monitor=settings.monitor, **self.instruments.header(),
        )  # fmt: skip
        before = last_run(place)
        self.writer = SegmentWriter(place.path, self.header)
        self.state = SessionState()
        self.state.apply(self.header)
        self.diagnosis = Diagnosis()
        self.diagnosis.take(self.header)
        # Loaded and idle after their run, so that a switch back is quick.
        self.keep_workers = settings.task is not None
        self._nowhere = False
        self._runs = before
        self._ticks = 0
        self._next_tick = clock.monotonic + self.header.interval
        self._per_second = max(1, round(1 / settings.interval_s))
        self._next_key = KEY_EVERY_S
        self.instruments.start()

    @property
    def instruments(self) -> Instruments:
        return self.watching.instruments

    def now(self) -> int:
        """Session time: ns since the header's clock pair."""
        return time.monotonic_ns() - self._began

    def emit(self, record: AnyRecord) -> None:
        """Write a record at once, as a frame of its own."""
        self._write([record])

    def say(
        self,
        kind: str,
        text: str,
        *,
        level: str = "info",
        command: str | None = None,
        run: int | None = None,
        **data: Any,
    ) -> None:
        """An event of the present run, or of the one that is named."""
        if run is None:
            run = self.runner.run if self.runner else 0
        self.emit(Event(t=self.now(), kind=kind, text=text, level=level, id=command, run=run, data=data))

    def tell_backends(self, label: str, found: Iterable[Availability]) -> None:
        """What the probe of an interpreter said; `label` is its environment's, "" our own."""
        backends = [asdict(a) for a in found]
        usable = ", ".join(a["short"] for a in backends if a["usable"]) or "none"
        where = f"usable under {label}" if label else "usable here"
        self.say("backends", f"{where}: {usable}", backends=backends, environment=label)
        for backend in backends:
            if backend["warning"]:
                text = f"{backend['short']}: {backend['warning']}; {backend['fix']}"
                self.say("backends", text, level="warn", environment=label)

    def _write(self, records: Sequence[AnyRecord]) -> None:
        if self.writer.failure is not None and self.place.recording and not self._nowhere:
            before = self.writer
            self._leave_disk(self.writer.failure)
            if (
                self.writer is not before
            ):  # their times are the old segment's, and the new one has a key record already
                now = self.now()
                records = [msgspec.structs.replace(r, t=now) for r in records if not isinstance(r, Key)]
        for record in records:
            self.state.apply(record)
        self.writer.append(records)
        verdicts = [said for record in records for said in self.diagnosis.take(record)]
        if verdicts:
            self._write(verdicts)

    def _leave_disk(self, failure: OSError) -> None:
        """The disk takes no more: go on where memory serves. Where that fails too, the run goes on without a log."""
        why = failure.strerror or str(failure)
        try:
            self.move(
                False,
                f"the session can no longer be recorded ({why}): what was written is safe, what follows is not kept",
            )
        except (OSError, MeasureError):
            self._nowhere = True

    def move(self, recording: bool, text: str, kind: str = "recording") -> None:
        """Go on in a new segment, recorded or not; the old one's `end` names it. Raises OSError where it cannot be made."""
        place = self.place.move(recording)
        clock = read_clock()
        header = msgspec.structs.replace(
            self.header, segment=place.segment, clock=clock, recording=recording, **self.instruments.header()
        )
        writer = SegmentWriter(place.path, header)
        self.writer.close(End(t=self.now(), reason=text, next=str(place.path)))
        self.place.release()
        self.place, self.writer, self.header = place, writer, header
        self._began = clock.monotonic
        self._next_tick = clock.monotonic + header.interval
        self._next_key = KEY_EVERY_S
        self.state.apply(header)
        self.diagnosis.take(header)
        self._write([self._key(clock)])
        self.watching.tell_anew()
        self.say(kind, text, level="info" if recording else "warn")

    def _key(self, clock: Clock) -> Key:
        return msgspec.structs.replace(self.state.key(self.now(), clock), calls=self.instruments.calls())

    def set_telemetry(self, level: Level, command: str | None = None) -> None:
        """How much is read of the machine from now on. Where NVML is opened for it the log goes on in a new segment, whose table has the
        GPUs. Raises OSError or MeasureError where that cannot be made."""
        if level == self.instruments.level:
            self.say("telemetry", f"telemetry is {level} already", command=command, telemetry=level)
            return
        if self.instruments.can(level):
            self.instruments.set_level(level)
        else:
            self._open_nvml(level)
        self.say("telemetry", LEVEL_WORDS[level], command=command, telemetry=level)

    def _open_nvml(self, level: Level) -> None:
        before = self.instruments
        self.watching.change(Instruments(self.header.interval, level, self._gpus))
        try:
            self.move(self.place.recording, "NVML is opened: from here on there are readings", "telemetry")
        except (OSError, MeasureError):
            self.instruments.stop()
            self.watching.change(before)
            raise
        before.stop()
        self.instruments.set_worker(self.runner.worker.pid if self.runner else None)
        self.instruments.start()

    def start(self, task: Task, *, quiet: bool = True, share: bool = False) -> Runner:
        """Begin a run, on a GPU with a quiet second before its warm-up; `step` brings it to its end. Raises MeasureError where no worker
        can be started, of kind `gpu-busy` where another infertop has the GPU, unless it is to `share` it."""
        device = task.configuration.device
        beside = self.gpus.reserve(device, share=share)
        worker, resident = self.workers.take(task.configuration)
        self._runs += 1
        self.runner = Runner(
            self._runs, task, worker, self.emit, self.now, hang_s=self.settings.hang_s, resident=resident,
            locate=partial(self._locate, device, share=share), quiet=quiet and self.instruments.level != "off",
        )  # fmt: skip
        self.runner.beside = beside
        self.watching.begin(worker.pid)
        self.selector.register(worker, selectors.EVENT_READ, self._worker_spoke)
        return self.runner

    def _locate(self, device: str, uuid: str | None, *, share: bool) -> str | None:
        """What the metrics of a run's GPU begin with, now that its worker knows which it is."""
        beside = self.gpus.reserve(device, share=share, uuid=uuid)
        if self.runner is not None:
            self.runner.beside = beside
        return self.instruments.gpu(device, uuid)

    def free_gpus(self) -> None:
        """Let go of the GPUs on which nothing of ours is loaded any more. An engine that has a list to measure keeps them to its end."""
        if self.runner is None:
            self.gpus.free(loaded.device for loaded in self.workers.parked())

    def refuse(self, task: Task, error: MeasureError, status: str) -> dict[str, Any]:
        """A run that never had a worker: said in the log as one that started and ended."""
        self._runs += 1
        result = outcome.refused(self._runs, task, error, status)
        fault = outcome.fault(error)
        self.emit(
            Run(
                t=self.now(),
                run=self._runs,
                phase="start",
                configuration=task.configuration,
                repeat=task.repeat,
            )
        )
        self.emit(Run(t=self.now(), run=self._runs, phase="end", result=result, error=fault))
        self._tell_end(result)
        self.results.append(result)
        return result

    def _worker_spoke(self) -> None:
        runner = self.runner
        if runner is None or runner.ended:
            return
        phase = runner.phase
        runner.receive()
        self._advanced(runner, phase)

    def _advanced(self, runner: Runner, before: str) -> None:
        """The worker was heard; `before` is the phase in which that found the run."""
        if runner.phase != before:
            self.watching.enter(runner)
        if runner.measuring and before != "measure":
            self._write([self._key(read_clock())])
        if runner.ended:
            self._end(runner)

    def _end(self, runner: Runner) -> None:
        """The run has ended: its last tick. On a GPU its worker stays for one more look at who else is there."""
        if self.watching.waits:
            return
        self.selector.unregister(runner.worker)
        blobs = runner.last_second
        if runner.final.done or blobs:
            self._write([self._tick_record(runner, runner.final, self.instruments.nothing(), blobs, 0)])
        if not self.watching.ending(runner):
            self._finish(runner)

    def _finish(self, runner: Runner) -> None:
        """All is known of the run that has ended: its result, and its worker parked or gone."""
        self.runner = None
        self.watching.end()
        result = outcome.measured(runner, self._around(), self.diagnosis.shares())
        if text := held(result["clock_reasons"]):
            self.say("telemetry", text, run=runner.run, clock_reasons=result["clock_reasons"])
        self.emit(
            Run(
                t=self.now(), run=runner.run, phase="end", result=result, error=outcome.fault(runner.error), calls=self.instruments.calls(),
            )
        )  # fmt: skip
        self._tell_end(result)
        self.results.append(result)
        if runner.reusable and self.keep_workers:
            self.workers.park(runner.worker, runner.task.configuration)
        else:
            runner.worker.end()

    def _around(self) -> outcome.Surroundings:
        header = self.header
        return outcome.Surroundings(self.watching.readings, header.host, header.gpus, self.instruments.level)

    def _tell_end(self, result: Result) -> None:
        level, text = outcome.sentence(result)
        self.emit(Event(t=self.now(), kind="run", text=text, level=level, run=result["run"]))

    def step(self, idle: Callable[[], None] | None = None) -> None:
        """Wait for the next tick, message or command, and handle what came; `idle` is called once a tick."""
        wait = max(0.0, (self._next_tick - time.monotonic_ns()) / 1e9)
        for key, _ in self.selector.select(wait):
            key.data()
        if time.monotonic_ns() >= self._next_tick:
            self._tick()
            if idle is not None:
                idle()

    def _tick(self) -> None:
        interval = self.header.interval
        late = (time.monotonic_ns() - self._next_tick) // interval
        self._next_tick += (late + 1) * interval
        runner = self.runner
        numbers = TickNumbers(0, None)
        if runner:
            phase = runner.phase
            numbers = numbers if runner.ended else runner.tick()
            self._advanced(runner, phase)
        values = self.watching.read(runner)
        if runner and self.watching.rested is not None:
            self._go(runner, self.watching.rested)
        if runner and self.watching.looked:
            self._finish(runner)
        runner = self.runner
        second = self._ticks % self._per_second == self._per_second - 1
        blobs = runner.measurement.take_second() if runner and second else None
        graded = None
        if runner and runner.measuring and blobs and "service" in blobs:
            self.watching.course.add(runner.measurement.seconds[-1])
            graded = outcome.live_grade(runner, self._around(), self.watching.course)
        records: list[AnyRecord] = [self._tick_record(runner, numbers, values, blobs, int(late), graded)]
        if second and self._monitoring is not None:
            records += self._monitoring.read(self.now(), self.instruments)
        if second and self.now() / 1e9 >= self._next_key:
            self._next_key += KEY_EVERY_S
            self._write(records)
            records = [self._key(read_clock())]
        self._write(records)
        if second:
            self._each_second(runner)

    def _each_second(self, runner: Runner | None) -> None:
        if runner and not runner.ended:
            runner.check_hang()
            runner.check_backlog()
            if runner.ended:
                self._end(runner)
        for text in self.workers.tidy():
            self.say("worker", text)
        for text in self.instruments.messages():
            self.say("telemetry", text, level="warn")
        if (news := self.watching.news()) is not None:
            self.say(company.KIND, news[0], **news[1])

    def _go(self, runner: Runner, quiet: Mapping[str, Any]) -> None:
        """The quiet second is over: the warm-up begins."""
        if quiet and runner.gpu is not None:
            text, level = sentence(runner.gpu, quiet)
            self.say("quiet", text, level=level, **quiet)
        runner.go(quiet or None)

    def _tick_record(
        self,
        runner: Runner | None,
        numbers: TickNumbers,
        values: list[Value],
        blobs: dict[str, str] | None,
        late: int,
        graded: list[str] | None = None,
    ) -> Tick:
        self._ticks += 1
        return Tick(
            t=self.now(), n=self._ticks - 1, run=runner.run if runner else 0, done=numbers.done, q=list(numbers.q) if numbers.q else None,
            m=values, h=blobs, s=graded, drops=runner.worker.ring.dropped if runner else 0, late=late, backlog=numbers.backlog,
        )  # fmt: skip

    def _stop_run(self) -> None:
        """What was measured until now is a result like any that was stopped, where the worker answers in time."""
        assert self.runner is not None
        self.runner.stop()
        given_up = time.monotonic() + PARTING_S
        while self.runner is not None and time.monotonic() < given_up:
            self.step()

    def close(self, reason: str) -> None:
        """End the session in order: the run, its worker, the parked ones, the threads, the segment."""
        if self.runner is not None:
            self._stop_run()
        if self.runner is not None:
            self.runner.fail(MeasureError("stopped", f"the session ended: {reason}"))
            if self.watching.waits:
                self._finish(self.runner)
            else:
                self._end(self.runner)
        self.workers.end()
        self.instruments.stop()
        self.writer.close(End(t=self.now(), reason=reason))
        self.selector.close()
        self.gpus.free()
        self.place.release()
