"""What infertop costs the thing it measures, on a CPU with a core left free, and on a GPU where there is one.

A bare ONNX Runtime loop on one thread (on a GPU: with inputs and outputs bound to its memory) in blocks of two seconds, while a live
infertop (screen, engine, and a worker that mostly sleeps, at 300 requests a second) runs beside it or is stopped. Blocks come in shuffled
triples: on, off, off again; on ÷ off is the effect, off again ÷ off the control.
"""

from __future__ import annotations

import os
import pty
import random
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from importlib import resources
from pathlib import Path

import numpy as np
import psutil
from infertop.telemetry.nvml import Nvml

from ._budgets import Budget, table

TRIPLES = 20
BLOCK_S = 2.0
_BUDGETS = {"requests": 1.0, "p50": 1.0, "p99": 3.0}  # %

BARE = """
import sys, time, numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
gpu = sys.argv[2] == "gpu"
if gpu:
    onnxruntime.preload_dlls(msvc=False)
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CUDAExecutionProvider" if gpu else "CPUExecutionProvider"])
assert session.get_providers()[0].startswith("CUDA" if gpu else "CPU")
(spec,), (output,) = session.get_inputs(), session.get_outputs()
value = np.random.default_rng(0).standard_normal((8, *spec.shape[1:]), np.float32)
binding = session.io_binding()
device = "cuda" if gpu else "cpu"
binding.bind_ortvalue_input(spec.name, onnxruntime.OrtValue.ortvalue_from_numpy(value, device, 0))
binding.bind_ortvalue_output(output.name, onnxruntime.OrtValue.ortvalue_from_shape_and_type((8, 10), np.float32, device, 0))
clock = time.monotonic_ns
for line in sys.stdin:
    end, times = clock() + int(float(line) * 1e9), []
    start = clock()
    while start < end:
        session.run_with_iobinding(binding)
        done = clock()
        times.append(done - start)
        start = done
    p50, p99 = np.quantile(times, (0.5, 0.99))
    print(len(times), p50, p99, flush=True)
"""


class Live:
    """A live infertop on a pseudo-terminal of 120×40, whose bytes are read and thrown away."""

    def __init__(self, directory: str) -> None:
        command = [
            sys.executable, "-m", "infertop", "smallcnn", "--backend", "simulated", "--backend-option", "sleep_us=3200",
            "--sessions-dir", directory, "--warmup", "1s",
        ]  # fmt: skip
        plugin = Path(__file__).parents[1] / "plugin"
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.environ |= {
                "PYTHONPATH": str(plugin),
                "TERM": "xterm-256color",
                "COLUMNS": "120",
                "LINES": "40",
            }
            os.execv(sys.executable, command)
        import fcntl
        import termios

        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        try:
            while select.select([self._terminal], [], [])[0] and os.read(self._terminal, 65536):
                pass
        except OSError:
            return  # the terminal is gone: the screen has ended

    def _all(self) -> list[psutil.Process]:
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]

    def switch(self, on: bool) -> None:
        for process in self._all():
            process.send_signal(signal.SIGCONT if on else signal.SIGSTOP)

    def end(self) -> None:
        self.switch(True)
        os.write(self._terminal, b"q")
        os.waitpid(self.pid, 0)


def interval(ratios: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Median of the ratios and its 95 % bootstrap interval."""
    rng = np.random.default_rng(seed)
    drawn = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)


def measure(where: str) -> list[Budget]:
    """Prints the change in throughput, p50 and p99, each beside its control; a budget is met where the interval holds 1, or ends below it."""
    budgets = []
    path = str(resources.files("infertop.backends") / "smallcnn.onnx")
    bare = subprocess.Popen(
        [sys.executable, "-c", BARE, path, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def block() -> list[float]:
        assert bare.stdin is not None
        assert bare.stdout is not None
        bare.stdin.write(f"{BLOCK_S}\n")
        bare.stdin.flush()
        return [float(word) for word in bare.stdout.readline().split()]

    found: dict[str, list[list[float]]] = {"on": [], "off": [], "again": []}
    with tempfile.TemporaryDirectory() as directory:
        live = Live(directory)
        time.sleep(6)  # a person's start: import, load, warm-up
        block()
        shuffle = random.Random(0).shuffle
        for _ in range(TRIPLES):
            names = list(found)
            shuffle(names)
            for name in names:
                live.switch(name == "on")
                found[name].append(block())
        live.end()
    bare.kill()
    values = {name: np.array(rows) for name, rows in found.items()}
    print(
        f"{where}: {TRIPLES} shuffled triples of {BLOCK_S:.0f} s blocks; ratio to the block without infertop, 95 % interval"
    )
    for column, what in enumerate(("requests", "p50", "p99")):
        for name, label in (("on", "with infertop"), ("again", "control")):
            middle, low, high = interval(values[name][:, column] / values["off"][:, column])
            print(f"  {what:9s} {label:14s} {middle:.4f}  [{low:.4f}, {high:.4f}]")
            if name == "on":
                near, far = (1 - high, 1 - low) if what == "requests" else (low - 1, high - 1)
                worse = far if near > 0 else 0.0
                budgets.append(Budget(f"{where}: {what} worse by", 100 * worse, _BUDGETS[what], "%"))
    return budgets


def main() -> None:
    """On the CPU, and on a GPU where there is one."""
    budgets = measure("cpu")
    if reason := Nvml().reason():
        print(f"gpu: not measured: {reason}")
    else:
        budgets += measure("gpu")
    table(budgets)


if __name__ == "__main__":
    main()
