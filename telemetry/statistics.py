"""How sure a quantile or a rate is: order statistics within a run, a bootstrap over its seconds, spread
between repeats.

Nothing here assumes a distribution of latencies. Order statistics do assume independent requests; real ones
are correlated in time, which is why a finished run is judged by resampling whole seconds.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .histogram import Counts, Histogram, lowest_of, value_of

if TYPE_CHECKING:  # numpy.typing takes 6 ms of a start
    from numpy.typing import NDArray

CONFIDENCE = 0.95
MIN_BLOCKS = 10
"""Fewer whole seconds than this say too little of how seconds differ: order statistics serve then."""

_EXACT_BELOW = 100_000  # requests; the normal approximation is within one rank above

Bounds = tuple[int | None, int | None]
"""Lower and upper end, ns; None where the requests are too few for that end."""


class Compactable(Protocol):
    """A histogram, or the non-zero counts of one."""

    def compact(self) -> Counts: ...


def _binomial_quantiles(n: int, p: float, probabilities: tuple[float, float]) -> tuple[int, int]:
    """The smallest k with P(X ≤ k) ≥ each probability, X ~ Binomial(n, p), for rising probabilities.

    Exact up to 100,000, from log-gamma at one place and the ratio of neighbouring terms; above, the normal
    quantile with the first Cornish-Fisher term for skewness.
    """
    mean, deviation = n * p, math.sqrt(n * p * (1 - p))
    if n > _EXACT_BELOW:
        low, high = (
            math.ceil(mean + deviation * z + (z * z - 1) * (1 - 2 * p) / 6 - 0.5)
            for z in map(NormalDist().inv_cdf, probabilities)
        )
        return max(low, 0), min(high, n)
    first = max(math.floor(mean - 12 * deviation - 40), 0)
    last = min(math.ceil(mean + 12 * deviation + 40), n)
    k = np.arange(first, last)
    start = (
        math.lgamma(n + 1)
        - math.lgamma(first + 1)
        - math.lgamma(n - first + 1)
        + first * math.log(p)
        + (n - first) * math.log1p(-p)
    )
    steps = np.log((n - k) / (k + 1.0)) + math.log(p / (1 - p))
    cumulative = np.cumsum(np.exp(start + np.concatenate(([0.0], np.cumsum(steps)))))
    found = np.searchsorted(cumulative, np.array(probabilities) - 1e-12)
    return first + int(found[0]), min(first + int(found[1]), n)


@functools.lru_cache(maxsize=4096)
def rank_interval(n: int, q: float, confidence: float = CONFIDENCE) -> tuple[int | None, int | None]:
    """The 1-based ranks of `n` sorted values between which the `q` quantile lies with at least `confidence`.

    Distribution-free: the ranks are binomial quantiles at each half of the error, the upper one plus 1. None
    where no value is extreme enough: at 95 % p50 needs 6 values for both ends, p99 368, p99.9 3,688.
    """
    if not 0 < q < 1:
        raise ValueError(f"a quantile lies between 0 and 1, not at {q}")
    if n < 1:
        return None, None
    tail = (1 - confidence) / 2
    low, high = _binomial_quantiles(n, q, (tail, 1 - tail))
    return low if low >= 1 else None, high + 1 if high + 1 <= n else None


def quantile_interval(histogram: Histogram, q: float, confidence: float = CONFIDENCE) -> Bounds:
    """The interval of a quantile within this run, ns, from order statistics; None as in `rank_interval`.

    An end is the outer edge of the bucket that holds its rank, so that the rounding of the histogram is
    inside.
    """
    low, high = rank_interval(histogram.n, q, confidence)
    ranks = [rank for rank in (low, high) if rank is not None]
    indices = iter(histogram.indices_at_ranks(ranks))
    return (
        None if low is None else lowest_of(next(indices)),
        None if high is None else value_of(next(indices)),
    )


def _weights(blocks: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """How often each block is drawn in each resample, shape (resamples, blocks)."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples).astype(np.float64)


def block_bootstrap(
    seconds: Sequence[Compactable],
    qs: Sequence[float],
    seed: int,
    resamples: int = 1000,
    confidence: float = CONFIDENCE,
) -> dict[float, Bounds]:
    """The interval of each quantile, ns, by drawing whole seconds anew (percentile bootstrap).

    Seconds keep what happens within them together, so that correlated requests do not look like independent
    ones. An end is None where the run has too few requests for that quantile (`rank_interval`): what was
    never seen cannot be drawn. Raises ValueError without any request.
    """
    blocks = [second.compact() for second in seconds]
    blocks = [block for block in blocks if len(block.index)]
    if not blocks:
        raise ValueError("there is no request to draw from")
    index = np.unique(np.concatenate([block.index for block in blocks]))
    # Summing along the values first makes each resample's cumulative counts one row of a matrix product.
    cumulative = np.zeros((len(blocks), len(index)))
    for counts, block in zip(cumulative, blocks, strict=True):
        counts[np.searchsorted(index, block.index)] = block.count
    np.cumsum(cumulative, axis=1, out=cumulative)
    weights = _weights(len(blocks), resamples, seed)
    places = np.empty((len(qs), resamples), np.int64)
    for first in range(0, resamples, 100):  # 100 resamples at once bound the memory
        drawn = weights[first : first + 100] @ cumulative
        for row, q in zip(places, qs, strict=True):
            # HdrHistogram's rank, as `target_rank` gives it for one n
            rank = np.maximum(np.floor(q * 100.0 * drawn[:, -1:] / 100 + 0.5), 1.0)
            row[first : first + 100] = np.count_nonzero(drawn < rank, axis=1)
    tail = (1 - confidence) / 2
    n = int(cumulative[:, -1].sum())
    result: dict[float, Bounds] = {}
    for row, q in zip(places, qs, strict=True):
        low, high = rank_interval(n, q, confidence)
        ends = np.quantile(row, (tail, 1 - tail), method="inverted_cdf")
        result[q] = (
            None if low is None else lowest_of(int(index[int(ends[0])])),
            None if high is None else value_of(int(index[int(ends[1])])),
        )
    return result


def throughput_bootstrap(
    samples: Sequence[float],
    durations: Sequence[float],
    seed: int,
    resamples: int = 1000,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """The interval of samples ÷ time, by drawing the same seconds anew; `durations` in s, 1 but for the last.

    Raises ValueError where the two differ in length, or are empty.
    """
    if len(samples) != len(durations) or not samples:
        raise ValueError("throughput needs as many durations as counts, and at least one")
    weights = _weights(len(samples), resamples, seed)
    rates = (weights @ np.asarray(samples, np.float64)) / (weights @ np.asarray(durations, np.float64))
    tail = (1 - confidence) / 2
    low, high = np.quantile(rates, (tail, 1 - tail))
    return float(low), float(high)


def run_intervals(
    seconds: Sequence[Compactable], qs: Sequence[float], seed: int
) -> tuple[str, dict[float, Bounds]]:
    """A finished run's `ci_method` and the interval of each quantile, ns.

    The bootstrap over seconds where there are at least MIN_BLOCKS of them with requests, else order
    statistics.
    """
    blocks = [block for block in (second.compact() for second in seconds) if len(block.index)]
    if len(blocks) >= MIN_BLOCKS:
        return f"block bootstrap over {len(blocks)} seconds", block_bootstrap(blocks, qs, seed)
    whole = Histogram.of(blocks)
    return "order statistics within this run", {q: quantile_interval(whole, q) for q in qs}


def _student_inside(t: float, degrees: int) -> float:
    """P(|T| < t) for Student's t with whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    if degrees % 2 == 0:
        term = total = 1.0
        for k in range(2, degrees - 1, 2):
            term *= (k - 1) / k * square
            total += term
        return sine * total
    total = 0.0
    term = math.cos(angle)
    for k in range(1, degrees - 1, 2):
        total += term
        term *= (k + 1) / (k + 2) * square
    return 2 / math.pi * (angle + sine * total)


def student_t(confidence: float, degrees: int) -> float:
    """The t with P(|T| < t) = confidence, for whole degrees of freedom from 1, by bisection of the closed
    form.
    """
    if degrees < 1 or not 0 < confidence < 1:
        raise ValueError(f"no t quantile for {degrees} degrees of freedom at {confidence}")
    low, high = 0.0, 1.0
    while _student_inside(high, degrees) < confidence:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if _student_inside(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return high


def repeat_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of the mean of repeats: mean ± t · s ÷ √k. Raises ValueError for fewer than two."""
    if len(values) < 2:
        raise ValueError("an interval between repeats needs at least two")
    array = np.asarray(values, np.float64)
    mean = float(array.mean())
    half = student_t(confidence, len(values) - 1) * float(array.std(ddof=1)) / math.sqrt(len(values))
    return mean - half, mean + half
