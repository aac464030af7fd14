"""The ring and the histograms at 50,000 requests a second: what is lost, and what the engine's half costs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from infertop.backends import ring
from infertop.sessions.measurement import Measurement

from ._budgets import Budget, table

RATE = 50_000
SECONDS = 8
TICK = 0.25

PRODUCER = """
import sys, time
from infertop.backends.ring import RingWriter
writer, rate, seconds = RingWriter(int(sys.argv[1])), int(sys.argv[2]), float(sys.argv[3])
clock, step = time.monotonic_ns, 1_000_000_000 // rate
due = clock()
end = due + int(seconds * 1e9)
n = 0
while due < end:
    while clock() < due:
        pass
    writer.put(clock(), 200_000 + n * 2654435761 % 100_000, 0, None, 0, 1, 0, 0)
    n += 1
    due += step
print(n)
"""

COST = """
import time
from infertop.backends.ring import RingWriter, create
writer = RingWriter(create())
clock = time.perf_counter_ns
begin = clock()
for i in range(60_000):
    writer.put(i, 200_000, 0, None, 0, 1, 0, 0)
print((clock() - begin) / 60_000)
"""


def main() -> None:
    """Prints the cost of a record, what was lost, and the engine's share of a core."""
    costs = [
        float(subprocess.run([sys.executable, "-c", COST], check=True, capture_output=True).stdout)
        for _ in range(5)
    ]
    print(f"one record: {statistics.median(costs):.0f} ns (median of 5 processes)")
    descriptor = ring.create()
    reader = ring.RingReader(descriptor)
    producer = subprocess.Popen(
        [sys.executable, "-c", PRODUCER, str(descriptor), str(RATE), str(SECONDS)],
        pass_fds=(descriptor,),
        stdout=subprocess.PIPE,
    )
    measurement = Measurement("1x")
    measurement.begin(0)
    taken, ticks, cpu, due = 0, 0, 0.0, time.monotonic()
    while True:
        due += TICK
        time.sleep(max(0.0, due - time.monotonic()))
        over = producer.poll() is not None
        begin = time.process_time()
        reader.mark()
        taken += measurement.add(reader.take()).done
        ticks += 1
        if ticks % 4 == 0:
            measurement.take_second()
        cpu += time.process_time() - begin
        if over:
            break
    assert producer.stdout is not None
    produced = int(producer.stdout.read())
    print(f"{RATE:,}/s for {SECONDS} s: produced {produced:,}, taken {taken:,}, dropped {reader.dropped} ")
    table(
        [
            Budget(f"records dropped at {RATE:,}/s", reader.dropped, 0, ""),
            Budget("ring, histograms and percentiles", 100 * cpu / (ticks * TICK), 1, "% of a core"),
        ]
    )


if __name__ == "__main__":
    main()
