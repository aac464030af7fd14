"""What watching costs: CPU of the screen and of the engine while a run goes on, four ticks a second, 120×40."""

from __future__ import annotations

import os
import sys
import tempfile
import time

import psutil
from infertop.tests.sessions.kit import with_plugin

from ._budgets import Budget, table
from .tty_bytes import terminal

WATCH_S = 20.0
_START_S = 12.0  # import, load and warm-up, and some measuring
_RATES = (
    (2_000, "500"),
    (200, "5,000"),
)  # µs that a request sleeps, and the requests a second that this makes at most


def spent(process: psutil.Process) -> float:
    """CPU seconds of the process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def shares(sleep_us: int) -> dict[str, float]:
    """Per cent of a core that the screen, the engine and the worker take while requests of the simulated backend sleep so long."""
    command = [
        sys.executable, "-m", "infertop", "smallcnn", "--backend", "simulated", "--backend-option", f"sleep_us={sleep_us}",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = with_plugin()["PYTHONPATH"]
        places = {"XDG_STATE_HOME": folder, "XDG_DATA_HOME": folder, "PYTHONPATH": path}
        with terminal(command, (120, 40), None, **places) as shown:
            shown.watch(_START_S)
            screen = psutil.Process(shown.pid)
            engine = next(p for p in screen.children() if "infertop.sessions.launch" in p.cmdline())
            worker = next(p for p in engine.children() if any("boot.py" in word for word in p.cmdline()))
            known = {"screen": screen, "engine": engine, "worker": worker}
            before, began = {name: spent(process) for name, process in known.items()}, time.monotonic()
            shown.watch(WATCH_S)
            seconds = time.monotonic() - began
            found = {name: 100 * (spent(process) - before[name]) / seconds for name, process in known.items()}
            shown.press(b"q")
            shown.wait(_START_S)
    return found


def main() -> None:
    """Prints the shares at two rates; the budgets are those of the first, whose latencies are a usual model's."""
    print(
        f"{'requests/s':>10}  {'screen':>7}  {'engine':>7}  {'worker':>7}   % of one core, of {os.cpu_count()}"
    )
    rows = []
    for sleep_us, rate in _RATES:
        rows.append(found := shares(sleep_us))
        print(
            f"{rate:>10}  {found['screen']:7.2f}  {found['engine']:7.2f}  {found['worker']:7.2f}", flush=True
        )
    first = rows[0]
    table(
        [
            Budget("screen and engine", first["screen"] + first["engine"], 6, "%"),
            Budget("engine, its sampler included", first["engine"], 2, "%"),
        ]
    )


if __name__ == "__main__":
    main()
