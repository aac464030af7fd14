"""The worker process: one backend, one model, one run at a time, commanded by JSON lines (see protocol)."""

from __future__ import annotations

import faulthandler
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

from . import cuda, cuda_words, link, loads, peaks, protocol, reference, registry
from .backend import Backend, Fallback, Inputs, Loaded, describe
from .closed import ClosedLoop
from .configuration import Configuration
from .errors import MeasureError
from .inputs import make_sets
from .load import Loop, Orders
from .open_loop import OpenLoop
from .orphans import die_with
from .pipelined import PipelinedLoop
from .ring import RingWriter

DURING_RUN = ("measure", "window", "stop")


class Worker:
    """Takes one command after another on the main thread, which is also the one that issues requests."""

    def __init__(self, ring: RingWriter, replies: int) -> None:
        self._ring = ring
        self._replies = replies
        self._orders = Orders()
        self._commands: SimpleQueue[protocol.Message] = SimpleQueue()
        self._backend: Backend | None = None
        self._configuration: Configuration | None = None
        self._sets = 0
        self._link: link.Rates | None = None
        self._peaks: peaks.Peaks = {}
        self._reached: set[str] = set()  # pipes whose peak the backend has measured
        self._gpu: dict[str, str | None] | None = None
        self._marks: list[tuple[str, int]] = []
        self._progressed = 0

    def say(self, what: str, **fields: Any) -> None:
        os.write(self._replies, protocol.encode({"say": what, **fields}))

    def listen(self, commands: int) -> None:
        """The control thread: hand commands on as they come; the end of input is the end of the worker, whatever it is doing."""
        lines = protocol.Lines()
        while data := os.read(commands, 65536):
            for message in lines.feed(data):
                if message["do"] in DURING_RUN:
                    self._orders.put(message)
                elif message["do"] == "quit":
                    os._exit(0)
                else:
                    self._commands.put(message)
        os._exit(0)

    def serve(self) -> None:
        """Never returns: the control thread ends the process."""
        self.say("hello", pid=os.getpid(), python=platform.python_version(), version=protocol.VERSION)
        while True:
            command = self._commands.get()
            try:
                if command["do"] == "load":
                    self._load(Configuration.from_dict(command["configuration"]))
                elif command["do"] == "run":
                    self._run(command)
                elif command["do"] == "park":
                    self.say("parked")
            except MeasureError as error:
                self.say("error", alive=error.kind in ("usage", "shape", "unsupported"), **error.as_dict())
            except MemoryError:
                self._fail("out-of-memory", "the worker ran out of memory", "try a smaller batch")
            except BaseException as error:
                # Whatever a runtime or a person's model raises, SystemExit included, must become a sentence, not the end of the worker.
                name = self._configuration.backend if self._configuration else "the backend"
                fault = cuda_words.explain(str(error), name)
                if fault is not None:
                    self._fail(fault.kind, fault.message, fault.fix)
                    continue
                said = (str(error).strip().splitlines() or [""])[0]
                self._fail(
                    "runtime-failed",
                    f"{name} failed: {type(error).__name__}: {said[:300]}",
                    "what it printed tells more",
                )

    def _fail(self, kind: str, message: str, fix: str) -> None:
        self.say("error", alive=False, kind=kind, message=message, fix=fix, detail=traceback.format_exc())

    def _report(self, phase: str) -> None:
        now = time.monotonic_ns()
        self._marks.append((phase, now))
        self.say("phase", phase=phase, t=now)

    def _progress(self, share: float | None, words: str = "") -> None:
        """How much of the phase is done, 0 to 1, or in words how far it is; said at most each half second."""
        now = time.monotonic_ns()
        if now - self._progressed >= 500_000_000:
            self._progressed = now
            said = None if share is None else round(share, 3)
            self.say("phase", phase=self._marks[-1][0], t=now, progress=said, note=words)

    def _load(self, configuration: Configuration) -> None:
        began_anew = self._backend is None
        self._marks = []
        if self._backend is None:
            if configuration.options.cpu_affinity and hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, configuration.options.cpu_affinity)
            self._report("import")
            self._backend = registry.create(configuration.backend)
            if hasattr(self._backend, "progress"):
                self._backend.progress = self._progress
        self._configuration = configuration
        load = loads.parse(configuration.load)
        loaded = self._backend.load(configuration, self._report)
        # Only now: whether requests return at once may depend on where the model has ended up.
        loads.refuse(configuration, self._backend.slots, getattr(self._backend, "overlaps", False))
        ready = time.monotonic_ns()
        sets = make_sets(loaded, configuration.options)
        self._backend.bind(sets, load.slots)
        self._sets = len(sets)
        before = time.monotonic_ns()
        self._once(0)
        built = time.monotonic_ns()
        self._asked("settle", None)
        settled = time.monotonic_ns()
        self._once(1 % len(sets))
        first = time.monotonic_ns()
        cold = self._cold_start(ready, built - before, first - settled) if began_anew else None
        checks = self._checks(configuration, loaded, sets)
        self.say("loaded", t=first, cold_start=cold, **{**describe(loaded), **checks})

    def _checks(self, configuration: Configuration, loaded: Loaded, sets: Sequence[Inputs]) -> dict[str, Any]:
        """Whether the outputs are right, and what a plain call takes: before the warm-up, so that no request beside them counts."""
        agreement = control = None
        if configuration.options.agreement:
            self._report("check")
            assert self._backend is not None
            agreement = reference.check(configuration, loaded, sets, self._backend)
        if configuration.options.control and self._asked("controllable", False):
            self._report("control")
            control = self._asked("control", None)
        late, cached = self._fallback(over=False), self._asked("cached", None)
        return {
            "agreement": agreement,
            **({} if cached is None else {"cache": cached}),
            **({} if late is None else {"fallback": late}),
            "runtime": loaded.runtime | self._asked("runtime", {}),
            "control": control,
            **self._copies(configuration, sets),
            **self._capacity(configuration),
        }

    def _copies(self, configuration: Configuration, sets: Sequence[Inputs]) -> dict[str, Any]:
        """What requests copy to the GPU and back, and at which rates this machine copies; null on the CPU."""
        assert self._backend is not None
        if not configuration.device.startswith("cuda"):
            return {"link": None, "bytes_in": None, "bytes_out": None, "gpu": None}
        if self._link is None:
            self._link, self._peaks, self._gpu = _probed(configuration.device)
        size = getattr(self._backend, "bytes_out", None)
        return {
            "link": self._link,
            "gpu": self._gpu,
            "bytes_in": sum(array.nbytes for array in sets[0].values()),
            "bytes_out": size(0) if size is not None else sum(a.nbytes for a in self._backend.outputs(0)),
        }

    def _capacity(self, configuration: Configuration) -> dict[str, Any]:
        """What a request asks of the GPU, and what that can do at most; null on the CPU and where it cannot be told."""
        if not self._peaks or not configuration.device.startswith("cuda"):
            return {"work": None, "peaks": None}
        count = getattr(self._backend, "work", None)
        reach = getattr(self._backend, "reached", None)
        work = None if count is None else count(int(self._peaks["cache"]))
        if work is not None and reach is not None:
            self._peaks |= reach([pipe for pipe in work.flop if pipe not in self._reached])
            self._reached |= set(work.flop)
        return {"work": None if work is None else describe(work), "peaks": dict(self._peaks)}

    def _fallback(self, over: bool) -> dict[str, Any] | None:
        """What only requests have shown to run otherwise than asked."""
        method = getattr(self._backend, "fallback", None)
        found: Fallback | None = None if method is None else method(over)
        return None if found is None else describe(found)

    def _asked(self, name: str, default: Any) -> Any:
        """What the backend says by a method that it need not have."""
        method = getattr(self._backend, name, None)
        return default if method is None else method()

    def _once(self, index: int) -> None:
        assert self._backend is not None
        self._backend.issue(0, index, None)
        self._backend.complete(0, None)

    def _cold_start(self, ready: int, output: int, first: int) -> dict[str, float | None]:
        """Seconds of each phase; `build` goes up to the first complete output, so it holds that request; `first` is the next one.

        Making inputs and buffers is infertop's own and in none of them.
        """
        spans: dict[str, float | None] = {"import": None, "export": None, "load": None, "build": None}
        ends = [t for _, t in self._marks[1:]] + [ready]
        for (phase, begin), end in zip(self._marks, ends, strict=True):
            spans[phase] = (spans[phase] or 0.0) + (end - begin) / 1e9
        spans["build"] = (spans["build"] or 0.0) + output / 1e9
        spans["first"] = first / 1e9
        return spans

    def _run(self, command: protocol.Message) -> None:
        assert self._backend is not None
        assert self._configuration is not None
        run = int(command["run"])
        load = loads.parse(self._configuration.load)
        kind: type[Loop] = OpenLoop if load.scheduled else ClosedLoop
        if getattr(self._backend, "prepares", False):
            kind = PipelinedLoop
        loop = kind(
            self._backend, self._ring, self._orders,
            run=run, sets=self._sets, load=load, seed=int(command["seed"]), collect=str(command["gc"]),
            windowed=lambda last: self.say("windowed", run=run, t=last),
        )  # fmt: skip
        self.say("started", run=run, t=time.monotonic_ns())

        def handle() -> str:
            while (order := self._orders.take()) is not None:
                if order["run"] != run:
                    continue  # it came after that run had ended by itself
                if order["do"] == "stop":
                    return "stop"
                self._order(loop, order)
            return ""

        try:
            ended = loop.go(handle)
        except MeasureError as error:
            raise _later(error) from error
        self.say(
            "stopped",
            run=run,
            t=ended.last,
            reason=ended.reason,
            unserved=ended.unserved,
            runtime=self._asked("runtime", {}),
            fallback=self._fallback(over=True),
        )

    def _order(self, loop: Loop, order: protocol.Message) -> None:
        if order["do"] == "measure":
            late = self._fallback(over=False)
            begun = loop.measure(order["duration"], order["requests"], order.get("rate"))
            self.say("measuring", run=order["run"], t=begun, fallback=late)
        elif isinstance(loop, OpenLoop):
            self.say("window", run=order["run"], t=loop.window(order["rate"], order["requests"]))


def _later(error: MeasureError) -> MeasureError:
    """A request that was refused when others of the same sizes had been served: it is not for its sizes."""
    if error.kind != "shape":
        return error
    return MeasureError(
        "runtime-failed",
        f"{error.message}, after requests of the same sizes had succeeded",
        "give values that the model takes with --inputs FILE.npz, if it is for those; what it printed tells more",
        error.detail,
    )


def _probed(device: str) -> tuple[link.Rates | None, peaks.Peaks, dict[str, str | None] | None]:
    """The link's rates, the GPU's peaks, and which GPU this is, whatever its number: its UUID and that of the MIG slice, if it is one.
    Nothing where there is no driver, as where the runtime has fallen back to the CPU.
    """
    try:
        made = cuda.Device(cuda.load(), cuda.index_of(device))
    except MeasureError:
        return None, {}, None
    try:
        gpu = {"uuid": made.driver.uuid(made.index), "slice": made.driver.slice(made.index)}
        return link.measure(made), peaks.measure(made), gpu
    finally:
        made.close()


def main(ring: int, parent: int) -> None:
    """Take descriptors 0 and 1 for the protocol; what C++ runtimes print goes to 2, which the engine keeps."""
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    commands, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    faulthandler.enable(file=sys.stderr)
    worker = Worker(RingWriter(ring), replies)
    threading.Thread(target=worker.listen, args=(commands,), name="control", daemon=True).start()
    worker.serve()
