"""What telemetry costs: histograms a value, host readings a tick, NVML a call, and the whole sampler at 4 Hz."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
from infertop.telemetry.histogram import Histogram
from infertop.telemetry.host import HostSource
from infertop.telemetry.metrics import SECOND, Source
from infertop.telemetry.nvml_source import NvmlSource
from infertop.telemetry.sampler import Sampler
from infertop.telemetry.statistics import rank_interval, run_intervals

from ._budgets import Budget, table

QUARTER = SECOND // 4
QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


def spent(action: Callable[[], object], at_least_s: float = 0.3) -> float:
    """CPU seconds of one call, the mean of as many as fit into `at_least_s`."""
    action()
    count, began = 0, time.process_time()
    while time.process_time() - began < at_least_s:
        action()
        count += 1
    return (time.process_time() - began) / count


def histograms() -> None:
    generator = np.random.default_rng(0)
    print(f"{'values a batch':16}{'ns a value':>12}{'µs a batch':>12}")
    for size in (10, 1000, 12_500):
        values = generator.lognormal(14, 0.3, size).astype(np.int64)
        histogram = Histogram()
        cost = spent(lambda h=histogram, v=values: h.record(v))  # type: ignore[misc]
        print(f"{size:<16}{1e9 * cost / size:12.1f}{1e6 * cost:12.1f}")
    histogram = Histogram()
    histogram.record(generator.lognormal(14, 0.3, 12_500).astype(np.int64))
    blob = histogram.encode()
    seconds = [histogram.compact()] * 120
    print(f"\n{'of 12,500 values':34}{'µs':>10}")
    for words, action in (
        ("five quantiles", lambda: histogram.quantiles(QUANTILES)),
        ("mean", lambda: histogram.mean),
        (f"encode ({len(blob)} bytes)", histogram.encode),
        ("decode", lambda: Histogram.decode(blob)),
        ("a new histogram", Histogram),
        ("add", lambda: histogram.copy().add(histogram)),
        ("ranks of an interval, n = 90,000", lambda: rank_interval.__wrapped__(90_000, 0.5)),
        ("intervals of a run of 120 seconds", lambda: run_intervals(seconds, QUANTILES)),
    ):
        print(f"{words:34}{1e6 * spent(action):10.1f}")


def ticks(source: Source, count: int) -> tuple[float, float]:
    """Mean and longest CPU time of a tick, s, the source read as the sampler would but without waiting."""
    at = time.monotonic_ns()
    costs: list[float] = []
    for tick in range(count + 8):
        began = time.process_time()
        source.read(at + tick * QUARTER, time.monotonic_ns())
        costs.append(time.process_time() - began)
    return sum(costs[8:]) / count, max(costs[8:])


def sampler(sources: list[Source], blocks: int, seconds: float) -> float:
    """The sampler itself at 4 Hz, its thread, locks and waking included: its share of a core, %, with its interval over blocks."""
    made = Sampler(sources, QUARTER)
    made.set_worker(os.getpid())
    made.start()
    time.sleep(2)  # the first reads open devices, and fill caches
    late = [spec.id for spec in made.table].index("sampler.late")
    lateness: list[float] = []
    shares = []
    for _ in range(blocks):
        began, cpu = time.monotonic(), time.process_time()
        while time.monotonic() - began < seconds:
            time.sleep(0.25)
            sample = made.latest()
            if sample is not None:
                lateness.append(sample.values[late] or 0.0)
        shares.append(100 * (time.process_time() - cpu) / (time.monotonic() - began))
    made.stop()
    means = np.random.default_rng(0).choice(shares, (4000, blocks)).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    share = float(np.mean(shares))
    print(
        f"sampler at 4 Hz, {blocks} blocks of {seconds:g} s: {share:.2f} % of a core, 95 % [{low:.2f}, {high:.2f}]; "
        f"latest start {max(lateness):.2f} ms"
    )
    return share


def main() -> None:
    """Print the costs; whatever of NVML there is here is among them."""
    histograms()
    host = HostSource()
    host.set_worker(os.getpid())
    mean, longest = ticks(host, 400)
    print(f"\nhost tick: {1e3 * mean:.3f} ms CPU on average, {1e3 * longest:.3f} at most")
    print(f"that is {400 * mean:.3f} % of a core at 4 Hz")
    gpus = NvmlSource()
    sources: list[Source] = [host, gpus]
    if gpus.reason():
        print(f"NVML: {gpus.reason()}")
    share = sampler(sources, 10, 5)
    if not gpus.reason():
        print(f"\n{'NVML call':48}{'count':>8}{'µs mean':>10}{'µs most':>10}")
        for name, timing in sorted(gpus.nvml.timings.items(), key=lambda item: -item[1].total_ns):
            mean = timing.total_ns / timing.count
            print(f"{name:48}{timing.count:8}{mean / 1e3:10.1f}{timing.longest_ns / 1e3:10.1f}")
    table([Budget("sampler at 4 Hz", share, 1, "% of a core")])


if __name__ == "__main__":
    main()
