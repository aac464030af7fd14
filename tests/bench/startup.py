"""Start-up: `infertop --version` against its budget of 100 ms, beside a bare interpreter."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 15
BUDGET_MS = 100


def once(command: list[str]) -> float:
    """Wall time of the command, ms."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    """Prints the median and the fastest of interleaved rounds."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "infertop --version": [sys.executable, "-m", "infertop", "--version"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(once(command))
    print(f"{'':20}  {'median':>8}  {'fastest':>8}   budget {BUDGET_MS} ms")
    for name, values in times.items():
        print(f"{name:20}  {statistics.median(values):5.0f} ms  {min(values):5.0f} ms")
