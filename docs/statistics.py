"""Fills docs/statistics.md: how often the intervals that `infertop run` prints hold the truth, in simulated runs.

`python -m infertop.docs.statistics` takes some minutes; what it writes is the same each time.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from infertop.docs.seed import table
from infertop.sessions.results import QUANTILES
from infertop.telemetry.buckets import PLACES, index_of
from infertop.telemetry.histogram import Counts
from infertop.telemetry.statistics import quantile_interval, rate_interval, run_intervals

PAGE = Path(__file__).with_name("statistics.md")
BEGIN, END = "<!-- figures -->", "<!-- end of the figures -->"

RUNS = 10_000
SPREAD = 0.3
"""Standard deviation of the logarithm of a request's time."""

_AT_ONCE = 2_000_000  # requests simulated together


@dataclass(frozen=True)
class Case:
    """One request after another for `seconds`, about `rate` in each; `rho` is the correlation of neighbours (first-order
    autoregressive in the logarithm)."""

    seconds: int
    rate: int
    rho: float = 0.0


CASES = (
    *(Case(seconds, rate) for seconds in (10, 30) for rate in (20, 100, 500)),
    *(Case(seconds, rate, rho) for rho in (0.5, 0.9) for seconds in (10, 30) for rate in (100, 500)),
)


@dataclass(frozen=True)
class Run:
    """Compact counts of each second's requests, ns, and for each second (requests, s up to its last completion)."""

    seconds: list[Counts]
    blocks: list[tuple[int, float]]


def _times(case: Case, runs: int, generator: np.random.Generator) -> np.ndarray:
    """Request times, s, of mean 1/rate, shape (runs, n), for some longer than the case."""
    n = round(case.seconds * case.rate * 1.1 + 10 * math.sqrt(case.seconds * case.rate) + 20)
    values = generator.standard_normal((n, runs))
    fresh = math.sqrt(1 - case.rho**2)
    for i in range(1, n if case.rho else 1):
        values[i] = case.rho * values[i - 1] + fresh * values[i]
    return np.exp(values.T * SPREAD - SPREAD**2 / 2) / case.rate


def simulated(case: Case, runs: int, generator: np.random.Generator) -> Iterator[Run]:
    """Runs as infertop measures them: a second's requests are those that were completed in it."""
    while runs:
        count = min(runs, max(1, _AT_ONCE // (case.seconds * case.rate)))
        runs -= count
        times = _times(case, count, generator)
        done = np.cumsum(times, axis=1)
        second = np.minimum(done.astype(np.int64), case.seconds)  # what comes after the end is not counted
        keys = np.sort(second * PLACES + index_of(np.rint(times * 1e9).astype(np.int64)), axis=1)
        for row, ends, of in zip(keys, done, second, strict=True):
            edges = np.searchsorted(of, np.arange(case.seconds + 1))
            starts = np.flatnonzero(np.diff(row, prepend=-1))
            counts, unique = np.diff(starts, append=len(row)), row[starts]
            bounds = np.searchsorted(unique, np.arange(case.seconds + 1) * PLACES)
            parts = [
                Counts(unique[a:b] - i * PLACES, counts[a:b])
                for i, (a, b) in enumerate(itertools.pairwise(bounds))
            ]
            lasts = np.concatenate(([0.0], ends[edges[1:] - 1]))
            yield Run(parts, list(zip(np.diff(edges).tolist(), np.diff(lasts).tolist(), strict=True)))


def covered(case: Case, runs: int = RUNS, seed: int = 1, *, naive: bool = False) -> dict[str, float]:
    """The share of runs whose printed interval holds the true quantile or throughput, by name.

    `naive`: of order statistics alone instead, which take requests for independent.
    """
    truth = {
        name: 1e9 * math.exp(NormalDist().inv_cdf(q) * SPREAD - SPREAD**2 / 2) / case.rate
        for name, q in QUANTILES.items()
    }
    held = dict.fromkeys((*QUANTILES, "throughput"), 0)
    for run in simulated(case, runs, np.random.default_rng(seed)):
        if naive:
            whole = total(run.seconds)
            found = {q: quantile_interval(whole, q) for q in QUANTILES.values()}
        else:
            _, found = run_intervals(run.seconds, list(QUANTILES.values()))
        for name, q in QUANTILES.items():
            low, high = found[q]
            held[name] += (low is None or low <= truth[name]) and (high is None or truth[name] <= high)
        low_rate, high_rate = rate_interval([n for n, _ in run.blocks], [s for _, s in run.blocks])
        held["throughput"] += low_rate <= case.rate <= high_rate
    return {name: count / runs for name, count in held.items()}


def total(seconds: Sequence[Counts]) -> Counts:
    """The sum of the seconds."""
    index, places = np.unique(np.concatenate([s.index for s in seconds]), return_inverse=True)
    return Counts(index, np.bincount(places, np.concatenate([s.count for s in seconds])).astype(np.int64))


def rows() -> Iterator[list[str]]:
    """The table's cells, in percent."""
    for case in CASES:
        for naive in (False, True) if case.rho else (False,):
            found = covered(case, naive=naive)
            if naive:
                del found["throughput"]
            head = [
                f"{case.seconds} s",
                f"{case.rate}/s",
                f"{case.rho:g}",
                "order statistics" if naive else "printed",
            ]
            cells = [
                f"{100 * found[name]:.1f}" if name in found else "" for name in (*QUANTILES, "throughput")
            ]
            sys.stderr.write(f"{' '.join([*head, *cells])}\n")
            yield [*head, *cells]


def main() -> int:
    """Write the page's table anew."""
    names = [name.replace("_", ".") for name in QUANTILES]
    heading = ["run", "requests", "correlation", "interval", *names, "throughput"]
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"the page has lost its marks {BEGIN} and {END}")
    lines = "\n".join(table(heading, list(rows()), range(4, 10)))
    PAGE.write_text(f"{before}{BEGIN}\n\n{lines}\n\n{END}{after}", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
