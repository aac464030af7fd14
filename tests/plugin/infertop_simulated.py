"""A backend that joins by the entry-point group and does what its options say: exact latencies, and every way to fail.

Options: `latency_us` (default 200), `sleep_us` (instead: sleeps, and uses no CPU), `fault` (`segv`, `kill`, `exit`, `hang`, `raise`, `print`, `system-exit`, `cycles`), `when` (`import`, `load`, `build`
or `run:N`), `words` (what it prints first), `bound` (the largest batch that fits).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

import numpy as np
from infertop.backends.backend import Input, Loaded
from infertop.backends.errors import MeasureError


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
            [Input("x", "float32", (batch, 4))], batch, libraries={"infertop-simulated": "1.0"}, threads=1
        )

    def bind(self, sets, slots):  # type: ignore[no-untyped-def]
        self.sets = sets

    def issue(self, slot, index, times):  # type: ignore[no-untyped-def]
        begin = time.monotonic_ns()
        self.requests += 1
        self._fault(f"run:{self.requests}")
        if self.options.get("fault") == "cycles":
            cycle: list[object] = [bytearray(100_000)]
            cycle.append(cycle)
        if sleep := self.options.get("sleep_us"):
            time.sleep(float(sleep) / 1e6)
        else:
            while time.monotonic_ns() - begin < self.latency:
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
        elif fault == "exit":
            os._exit(7)
        elif fault == "hang":
            time.sleep(1000)
        elif fault == "system-exit":
            sys.exit("the model wants out")
        elif fault == "raise":
            raise RuntimeError("the runtime is unwell")
