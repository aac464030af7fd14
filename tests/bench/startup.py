"""Start-up: `infertop --version` beside a bare interpreter, and how long the screen takes to its first cells."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import log
from ._budgets import Budget, table
from .tty_bytes import terminal

ROUNDS = 15
PAINTS = 7
_PATIENCE_S = 15.0


def once(command: list[str]) -> float:
    """Wall time of the command, ms."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3


def first_paint(words: list[str], folder: str) -> tuple[float, float]:
    """ms from the start of `infertop WORDS…` to the first cells of the dashboard, its latency panel among them,
    and the CPU time of the process until then, which other programs disturb less.
    """
    began = time.perf_counter()
    places = {"XDG_STATE_HOME": folder, "XDG_DATA_HOME": folder, "XDG_CACHE_HOME": folder}
    with terminal([sys.executable, "-m", "infertop", *words], (120, 40), None, **places) as shown:
        if shown.watch(_PATIENCE_S, b"latency") is None:
            raise RuntimeError(f"infertop {' '.join(words)} painted nothing in {_PATIENCE_S:g} s")
        taken = (time.perf_counter() - began) * 1e3, shown.cpu() * 1e3
        shown.press(b"q")
        shown.wait(_PATIENCE_S)
    return taken


def main() -> None:
    """Prints the median and the fastest of interleaved rounds, the first of each left out: it is not warm."""
    bare, version = "python -c pass", "infertop --version"
    live, replay = "infertop smallcnn, first paint", "infertop replay, first paint"
    times: dict[str, list[float]] = {bare: [], version: [], live: [], replay: []}
    times |= {f"{name}, its CPU time": [] for name in (live, replay)}
    with tempfile.TemporaryDirectory() as folder:
        hour = Path(folder, "hour", "0001.itlog.zst")
        hour.parent.mkdir()
        log.write_hour(hour, 300, 0.03)
        for _ in range(ROUNDS):
            times[bare].append(once([sys.executable, "-c", "pass"]))
            times[version].append(once([sys.executable, "-m", "infertop", "--version"]))
        for _ in range(PAINTS + 1):
            for name, words in ((live, ["smallcnn"]), (replay, ["replay", str(hour.parent)])):
                wall, cpu = first_paint(words, folder)
                times[name].append(wall)
                times[f"{name}, its CPU time"].append(cpu)
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    print(f"{'':44}  {'median':>8}  {'fastest':>8}")
    for name, values in times.items():
        print(f"{name:44}  {medians[name]:5.0f} ms  {min(values):5.0f} ms")
    table(
        [Budget(version, medians[version], 100, "ms")]
        + [Budget(name, medians[name], 500, "ms") for name in (live, replay)]
    )


if __name__ == "__main__":
    main()
