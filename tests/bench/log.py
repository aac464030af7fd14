"""The log of an hour: its size, and how long opening, seeking and reading it take."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from infertop.sessions import frames
from infertop.sessions.records import AnyRecord, Clock, Run
from infertop.sessions.state import SessionState
from infertop.tests.sessions.synthetic import INTERVAL, blob, configuration, event, header, start, tick

from ._budgets import Budget, table

TICKS = 14_400
METRICS = 40
STAGES = {"host": 0.02, "h2d": 0.3, "compute": 0.6, "d2h": 0.03, "gap": 0.05, "issue": 0.03, "sync": 0.02}

READER = """
import random, sys, time
from pathlib import Path
import psutil
from infertop.sessions.session import Session
from infertop.sessions.state import SessionState
clock = time.perf_counter
path = Path(sys.argv[1])
began = clock()
session = Session(path)
print("open", (clock() - began) * 1e3)
for _ in range(9):
    began = clock()
    with Session(path): pass
    print("open", (clock() - began) * 1e3)
chosen = random.Random(1)
for columns in (240, 120):
    for _ in range(100):
        t = chosen.randrange(session.end)
        began = clock()
        session.seek(t, columns).view(t).history.heat(columns)
        print(f"seek{columns}", (clock() - began) * 1e3)
began = clock()
for _ in session.range(0, session.end): pass
print("decode", (clock() - began) * 1e3)
began = clock()
state = SessionState()
segment = session.segments[0]
state.apply(segment.header)
for records in segment.read(0, len(segment)):
    for record in records: state.apply(record)
state.view()
print("fold", (clock() - began) * 1e3)
print("memory", psutil.Process().memory_info().rss / 1e6)
"""


def second(rate: int, sigma: float, k: int) -> dict[str, str]:
    """The histograms of the k-th second: lognormal latencies of about 0.44 ms, 50 of them timed."""
    rng = np.random.default_rng(k)
    latency = rng.lognormal(13 + 0.02 * np.sin(k / 9), sigma, rate)
    timed = latency[: min(50, rate)]
    return {"service": blob(latency)} | {
        name: blob(timed * share * rng.lognormal(0, 0.03, len(timed)) + 50) for name, share in STAGES.items()
    }


def readings() -> list[list[float]]:
    """Values of all metrics for 400 ticks."""
    rng = np.random.default_rng(3)
    return [np.round(rng.normal(50, 10, METRICS), 1).tolist() for _ in range(400)]


def write_hour(path: Path, rate: int, sigma: float) -> None:
    """An hour of one run at `rate` requests a second."""
    seconds = [second(rate, sigma, k) for k in range(120)]
    values = readings()
    head = header(METRICS)
    state = SessionState()
    state.apply(head)
    with open(path, "wb") as file:
        file.write(frames.encode_header(head))

        def write(*records: AnyRecord) -> None:
            for record in records:
                state.apply(record)
            file.write(frames.encode_frame(records))

        def key(t: int) -> None:
            write(state.key(t, Clock(head.clock.monotonic + t, head.clock.unix + t)))

        write(start(1, 0))
        write(Run(t=1, run=1, phase="warmup", configuration=configuration()))
        write(Run(t=2, run=1, phase="measure"))
        key(3)
        for n in range(TICKS):
            h = seconds[n // 4 % 120] if n % 4 == 3 else None
            q = [442_000 + n % 500, 497_000 + n % 700, 530_000 + n % 900]
            write(tick(n, metrics=METRICS, m=values[n % 400], run=1, done=rate // 4, q=q, h=h))
            if n % 240 == 239:
                key((n + 1) * INTERVAL)
            if n % 360 == 17:
                write(event((n + 1) * INTERVAL))


FOLD = """
import gc, sys
import psutil
from infertop.sessions.records import Clock, Run
from infertop.sessions.state import SessionState
from infertop.tests.bench.log import METRICS, TICKS, readings, second
from infertop.tests.sessions.synthetic import INTERVAL, configuration, event, header, start, tick
made, values = [second(1000, 0.05, k) for k in range(120)], readings()
state = SessionState()
head = header(METRICS)
for record in (head, start(1, 0), Run(t=2, run=1, phase="measure", configuration=configuration())):
    state.apply(record)
for n in range(8 * TICKS):
    h = made[n // 4 % 120] if n % 4 == 3 else None
    state.apply(tick(n, metrics=METRICS, m=values[n % 400], run=1, done=250, q=[442000 + n % 500, 497000 + n % 700, 530000 + n % 900], h=h))
    if n % 240 == 239:
        state.key((n + 1) * INTERVAL, Clock(head.clock.monotonic + n * INTERVAL, head.clock.unix + n * INTERVAL))
    if n % 360 == 17:
        state.apply(event((n + 1) * INTERVAL))
    if n in (TICKS - 1, 8 * TICKS - 1):
        state.view()
        gc.collect()
        print(psutil.Process().memory_info().rss / 1e6)
"""


def eight_hours() -> float:
    """What the memory of a viewer grows by between the first hour and the eighth, MB."""
    out = subprocess.run([sys.executable, "-c", FOLD], check=True, capture_output=True, text=True).stdout
    first, eighth = map(float, out.split())
    print(f"\nfold of 8 hours at 4 Hz: {first:.0f} MB after one hour, {eighth:.0f} MB after eight")
    return eighth - first


def main() -> None:
    """Prints one row for each rate and width of the latencies; a seek has with it what a screen of so many columns draws at once."""
    worst = {"size": 0.0, "open": 0.0, "seek": 0.0}
    print(
        f"{'requests/s':>10} {'σ':>5} {'MB':>6}   {'open':>7}   seek, median p95 max of 100       decode   fold   memory"
    )
    for rate, sigma in ((300, 0.03), (1_000, 0.05), (20_000, 0.05), (20_000, 0.3)):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "0001.itlog.zst"
            write_hour(path, rate, sigma)
            size = path.stat().st_size / 1e6
            out = subprocess.run(
                [sys.executable, "-c", READER, directory], check=True, capture_output=True, text=True
            ).stdout
        found: dict[str, list[float]] = {}
        for line in out.splitlines():
            name, value = line.split()
            found.setdefault(name, []).append(float(value))
        seeks = []
        for columns in (240, 120):
            times = sorted(found[f"seek{columns}"])
            seeks.append(f"{columns} columns: {times[50]:.0f} {times[95]:.0f} {times[-1]:.0f} ms")
        fresh = {
            "size": size,
            "open": statistics.median(found["open"]),
            "seek": statistics.median(found["seek120"]),
        }
        worst = {name: max(value, fresh[name]) for name, value in worst.items()}
        print(
            f"{rate:>10} {sigma:>5} {size:>6.1f}   {statistics.median(found['open']):>4.0f} ms   {', '.join(seeks)}   "
            f"{found['decode'][0]:.0f} ms {found['fold'][0]:.0f} ms {found['memory'][0]:.0f} MB",
            flush=True,
        )
    grown = eight_hours()
    table(
        [
            Budget("8 hours: memory grown since the first", grown, 5, "MB"),
            Budget("log of an hour, the largest", worst["size"], 15, "MB"),
            Budget("opening it, the slowest median", worst["open"], 50, "ms"),
            Budget("a seek, 120 columns, the slowest median", worst["seek"], 30, "ms"),
        ]
    )


if __name__ == "__main__":
    main()
