"""A backend that joins by the entry-point group and does what its options say: exact latencies, and every way to fail.

Options: `latency_us` (default 200), `sleep_us` (instead: sleeps, and uses no CPU), `fault` (`segv`, `kill`, `abort`, `exit`, `hang`,
`raise`, `print`, `system-exit`, `cycles`), `when` (`import`, `load`, `build` or `run:N`), `words` (what it prints first), `bound` (the
largest batch), `stall_ms` and `stall_at` (the request, from 1, that takes so long), `says` (what `raise` says), `falls_back` (`load`,
`first`, `warm` or `over`: when it turns out to run otherwise than asked), `unproven` (what it cannot prove).

`simulated-async` holds requests in flight: a device with an engine for copies in, one for compute and one for copies out, each of which takes
`in_us`, `compute_us` and `out_us` for a request, first come first served. It fails where it is not reaped oldest first.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable

import numpy as np
from infertop.backends.backend import Fallback, Input, Loaded
from infertop.backends.errors import MeasureError

OTHERWISE = Fallback("it runs otherwise", "ask for something else", "as the runtime has it")


class Simulated:
    slots = 1

    def __init__(self) -> None:
        self.requests = 0
        self.options: dict[str, str] = {}
        self.keep: object = None

    def load(self, configuration, report):  # type: ignore[no-untyped-def]
        self.options = configuration.options.backend_options
        self.latency = int(float(self.options.get("latency_us", 200)) * 1000)
        self._fault("import")
        report("load")
        self._fault("load")
        batch = configuration.batch or 1
        if batch > int(self.options.get("bound", 1 << 30)):
            raise MeasureError("shape", f"the batch {batch} does not fit", "use a smaller --batch")
        report("build")
        self._fault("build")
        return Loaded(
            [Input("x", "float32", (batch, 4))], batch, libraries={"infertop-simulated": "1.0"}, threads=1,
            fallback=OTHERWISE if self.options.get("falls_back") == "load" else None,
            unproven=self.options.get("unproven"), runtime={"notes": ["it is simulated"]},
        )  # fmt: skip

    def runtime(self):  # type: ignore[no-untyped-def]
        return {"notes": ["it is simulated"] + ["it tired"] * (self.requests > 100)}

    def fallback(self, over):  # type: ignore[no-untyped-def]
        moment = "over" if over else "warm" if self.requests > 10 else "first"
        return OTHERWISE if self.options.get("falls_back") == moment else None

    def bind(self, sets, slots):  # type: ignore[no-untyped-def]
        self.sets = sets

    def issue(self, slot, index, times):  # type: ignore[no-untyped-def]
        begin = time.monotonic_ns()
        self.requests += 1
        self._fault(f"run:{self.requests}")
        if self.options.get("fault") == "cycles":
            cycle: list[object] = [bytearray(100_000)]
            cycle.append(cycle)
        latency = self.latency
        if self.requests == int(self.options.get("stall_at", 0)):
            latency = int(float(self.options["stall_ms"]) * 1e6)
        if sleep := self.options.get("sleep_us"):
            time.sleep(float(sleep) / 1e6)
        else:
            while time.monotonic_ns() - begin < latency:
                pass
        if times is not None:
            times.compute = float(time.monotonic_ns() - begin)

    def complete(self, slot, times):  # type: ignore[no-untyped-def]
        pass

    def outputs(self, slot):  # type: ignore[no-untyped-def]
        return [np.zeros((1, 4), np.float32)]

    def close(self):  # type: ignore[no-untyped-def]
        pass

    def _fault(self, moment: str) -> None:
        if self.options.get("when") != moment:
            return
        if words := self.options.get("words"):
            os.write(2, words.encode() + b"\n")
            ctypes.CDLL(None).puts(b"said by C")
            ctypes.CDLL(None).fflush(None)
        fault = self.options.get("fault")
        if fault == "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(10)
        elif fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == "abort":
            os.abort()
        elif fault == "exit":
            os._exit(7)
        elif fault == "hang":
            time.sleep(1000)
        elif fault == "system-exit":
            sys.exit("the model wants out")
        elif fault == "raise":
            raise RuntimeError(self.options.get("says", "the runtime is unwell"))


class Asynchronous:
    """`issue` returns at once; `deepest` is how many were in flight at most. `clock` and `sleep` (ns) may be others."""

    slots = 16
    overlaps = True

    def __init__(self) -> None:
        self.engines = ("in_us", "compute_us", "out_us")
        self.flying: deque[tuple[int, int]] = deque()  # slot, ns of its completion
        self.deepest = 0
        self.clock = time.monotonic_ns
        self.sleep: Callable[[float], None] = lambda ns: time.sleep(ns / 1e9)

    def load(self, configuration, report):  # type: ignore[no-untyped-def]
        options = configuration.options.backend_options
        self.takes = [int(float(options.get(name, 100)) * 1000) for name in self.engines]
        report("load")
        batch = configuration.batch or 1
        return Loaded([Input("x", "float32", (batch, 4))], batch, threads=1)

    def bind(self, sets, slots):  # type: ignore[no-untyped-def]
        self.bound = slots
        self.free = [0, 0, 0]  # ns from which each engine is free

    def issue(self, slot, index, times):  # type: ignore[no-untyped-def]
        if slot in [s for s, _ in self.flying] or len(self.flying) >= self.bound:
            raise RuntimeError(f"slot {slot} is in flight")
        done = self.clock()
        for engine, takes in enumerate(self.takes):
            done = self.free[engine] = max(done, self.free[engine]) + takes
        self.flying.append((slot, done))
        self.deepest = max(self.deepest, len(self.flying))
        if times is not None:
            times.h2d, times.compute, times.d2h = map(float, self.takes)

    def complete(self, slot, times):  # type: ignore[no-untyped-def]
        oldest, done = self.flying.popleft()
        if oldest != slot:
            raise RuntimeError(f"slot {slot} was reaped before {oldest}, which is older")
        if (left := done - self.clock()) > 0:
            self.sleep(left)

    def outputs(self, slot):  # type: ignore[no-untyped-def]
        return [np.zeros((1, 4), np.float32)]

    def close(self):  # type: ignore[no-untyped-def]
        pass
