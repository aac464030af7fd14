"""How sure a quantile or a rate is: order statistics within a run, a t interval over its seconds, spread between
repeats.

Nothing here assumes a distribution of latencies. Order statistics do assume independent requests; real ones are
correlated in time, which is why a finished run is judged by how its seconds differ. docs/statistics.md says how often
each interval holds, and how far it falls short where requests are correlated.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .buckets import lowest_of, value_of
from .histogram import Counts

if TYPE_CHECKING:  # numpy.typing takes 6 ms of a start
    from numpy.typing import NDArray

CONFIDENCE = 0.95
MIN_BLOCKS = 5
"""Fewer seconds than this say too little of how seconds differ: order statistics serve then."""

MIN_OUTSIDE = 10
"""Where fewer requests than this lie beyond a quantile, most seconds have one or none: order statistics serve for it."""

_EXACT_BELOW = 100_000  # requests; the normal approximation is within one rank above

Bounds = tuple[int | None, int | None]
"""Lower and upper end, ns; None where the requests are too few for that end."""

Ranks = tuple[float | None, float | None]
"""1-based ranks of sorted values; one between two ranks stands for the value between theirs."""


class Compactable(Protocol):
    """A histogram, or the non-zero counts of one."""

    def compact(self) -> Counts: ...


def _cumulative(n: int, p: float) -> tuple[int, NDArray[np.float64]]:
    """(k₀, P(X ≤ k₀ + i) for i = 0, 1, …) of X ~ Binomial(n, p), twelve deviations around its mean.

    From log-gamma at one place and the ratio of neighbouring terms.
    """
    mean, deviation = n * p, math.sqrt(n * p * (1 - p))
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
    return first, np.cumsum(np.exp(start + np.concatenate(([0.0], np.cumsum(steps)))))


def _lower_rank(n: int, q: float, error: float) -> float | None:
    """The rank whose value is above the `q` quantile with probability `error`; None where even the first is too often.

    Between two ranks by Nyblom's interpolation (Statistics & Probability Letters 14, 1992), whose coverage is within some
    thousandths of what is asked whatever the distribution; whole ranks alone would hold too often. Above 100,000 values
    the normal quantile with the first Cornish-Fisher term for skewness.
    """
    if n > _EXACT_BELOW:
        z = NormalDist().inv_cdf(error)
        return n * q + math.sqrt(n * q * (1 - q)) * z + (z * z - 1) * (1 - 2 * q) / 6 + 0.5
    first, cumulative = _cumulative(n, q)
    place = int(np.searchsorted(cumulative, error, side="right"))  # P(X ≤ rank − 1) ≤ error < P(X ≤ rank)
    rank = first + place
    if rank < 1:
        return None
    below, above = float(cumulative[place - 1]) if place else 0.0, float(cumulative[place])
    # Where not one value is to be expected beyond the quantile, the last ones lie too far apart for a value between them.
    if n * (1 - q) < 1 or rank >= n - 1 or error <= below:
        return float(rank)
    weight = rank * (1 - q) / ((n - rank) * q) * (above - error) / (error - below)
    return rank + 1 / (1 + weight)


@functools.lru_cache(maxsize=4096)
def rank_interval(n: int, q: float, confidence: float = CONFIDENCE) -> Ranks:
    """The ranks of `n` sorted values between which the `q` quantile lies with `confidence`, half of the error on each side.

    Distribution-free, for independent values. None where no value is extreme enough: at 95 % p50 needs 6 values for both
    ends, p99 368, p99.9 3,688; all of the error is then on the side of the other end.
    """
    if not 0 < q < 1:
        raise ValueError(f"a quantile lies between 0 and 1, not at {q}")
    if n < 1:
        return None, None
    error = 1 - confidence

    def ends(error: float) -> Ranks:
        upper = _lower_rank(n, 1 - q, error)  # the same question, counted from above
        return _lower_rank(n, q, error), None if upper is None else n + 1 - upper

    low, high = ends(error / 2)
    if low is None or high is None:
        single = ends(error)
        return None if low is None else single[0], None if high is None else single[1]
    return low, high


class _Sorted:
    """The sorted values of a run, by rank, as its compact counts tell them."""

    def __init__(self, counts: Counts) -> None:
        self._index = counts.index
        self._summed = np.cumsum(counts.count)

    @property
    def n(self) -> int:
        return int(self._summed[-1]) if len(self._summed) else 0

    def split(self, q: float) -> tuple[int, float]:
        """(the index of the bucket that holds the `q` quantile, the part of it that lies below)."""
        place = int(np.searchsorted(self._summed, q * self.n))
        before = int(self._summed[place - 1]) if place else 0
        return int(self._index[place]), (q * self.n - before) / (int(self._summed[place]) - before)

    def between(self, ranks: Ranks) -> Bounds:
        """The values, ns, at an interval's ranks: the outer edges of their buckets, so that the histogram's rounding is inside."""
        low, high = ranks
        return (
            None if low is None else math.floor(self._at(low, lowest_of)),
            None if high is None else math.ceil(self._at(high, value_of)),
        )

    def _at(self, rank: float, edge: Callable[[int], int]) -> float:
        share = rank - math.floor(rank)
        places = np.searchsorted(self._summed, (math.floor(rank), math.ceil(rank)))
        here, there = (edge(int(self._index[place])) for place in places)
        return here + share * (there - here)


def quantile_interval(histogram: Compactable, q: float, confidence: float = CONFIDENCE) -> Bounds:
    """The interval of a quantile within this run, ns, from order statistics; None as in `rank_interval`."""
    values = _Sorted(histogram.compact())
    return values.between(rank_interval(values.n, q, confidence))


def weighted_interval(
    values: NDArray[np.float64], weights: NDArray[np.float64], confidence: float = CONFIDENCE
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(mean, half the width of its interval) of blocks' values along the last axis, each with the weight of its size.

    A value is a block's sum divided by its size, so that its variance falls with the size: then the weighted mean is the
    sum of all ÷ the size of all, and Student's t holds with one degree of freedom less than there are blocks.
    """
    total, blocks = weights.sum(-1), values.shape[-1]
    mean = (weights * values).sum(-1) / total
    squares = (weights * (values - mean[..., None]) ** 2).sum(-1)
    return mean, student_t(confidence, blocks - 1) * np.sqrt(squares / (blocks - 1) / total)


def rate_interval(
    samples: Sequence[float], durations: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The interval of samples ÷ time from the blocks' own rates; `durations` in s.

    Raises ValueError where the two differ in length, or are fewer than two.
    """
    if len(samples) != len(durations) or len(samples) < 2:
        raise ValueError("a rate's interval needs as many durations as counts, and at least two")
    sizes = np.asarray(durations, np.float64)
    mean, half = weighted_interval(np.asarray(samples, np.float64) / sizes, sizes, confidence)
    return max(float(mean - half), 0.0), float(mean + half)


def mean_interval(seconds: Sequence[Compactable]) -> tuple[float, float] | None:
    """The interval of the mean, ns, from the means of the seconds; None where there are fewer than MIN_BLOCKS."""
    blocks = [block for block in (second.compact() for second in seconds) if len(block.index)]
    if len(blocks) < MIN_BLOCKS:
        return None
    means, sizes = np.array([b.mean for b in blocks]), np.array([float(b.n) for b in blocks])
    mean, half = weighted_interval(means, sizes)
    return max(float(mean - half), 0.0), float(mean + half)


def run_intervals(seconds: Sequence[Compactable], qs: Sequence[float]) -> tuple[str, dict[float, Bounds]]:
    """A finished run's `ci_method` and the interval of each quantile, ns.

    Woodruff's interval (Journal of the American Statistical Association 47, 1952) with the seconds as its clusters: how
    the share of requests below the quantile differs from second to second says how sure that share is, and the ranks that
    far from it give the values. Correlation within a second makes seconds differ more, and so is in it. Order statistics
    where there are fewer than MIN_BLOCKS seconds with requests, and for the quantiles beyond which there are fewer than
    MIN_OUTSIDE requests.
    """
    blocks = [block for block in (second.compact() for second in seconds) if len(block.index)]
    parts = _Parts.of(blocks)
    values = _Sorted(parts.whole())
    apart = [q for q in qs if len(blocks) < MIN_BLOCKS or values.n * min(q, 1 - q) < MIN_OUTSIDE]
    found = {
        q: values.between(rank_interval(values.n, q) if q in apart else _block_ranks(parts, values, q))
        for q in qs
    }
    if len(apart) == len(qs):
        return "order statistics within this run", found
    named = f"; order statistics for {', '.join(f'p{100 * q:g}' for q in apart)}" if apart else ""
    return f"t interval over {len(blocks)} seconds (Woodruff){named}", found


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The counts of several blocks one behind the other: index, count and the number of the block, all of one shape."""

    index: NDArray[np.int64]
    count: NDArray[np.int64]
    block: NDArray[np.int64]

    @classmethod
    def of(cls, blocks: Sequence[Counts]) -> _Parts:
        blocks = blocks or [Counts.nothing()]
        lengths = [len(block.index) for block in blocks]
        return cls(
            np.concatenate([block.index for block in blocks]),
            np.concatenate([block.count for block in blocks]),
            np.repeat(np.arange(len(blocks)), lengths),
        )

    def whole(self) -> Counts:
        index, places = np.unique(self.index, return_inverse=True)
        return Counts(index, np.bincount(places, self.count, len(index)).astype(np.int64))

    def below(self, index: int, part: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(how many of each block's values lie below `index`, and this part of those on it; how many it has)."""
        taken = np.where(self.index < index, 1.0, np.where(self.index == index, part, 0.0))
        counts = self.count.astype(np.float64)
        return _summed(self.block, counts * taken), _summed(self.block, counts)


def _summed(places: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of the values at each place."""
    return np.bincount(places, values).astype(np.float64, copy=False)


def _block_ranks(parts: _Parts, values: _Sorted, q: float) -> Ranks:
    """The ranks of Woodruff's interval. Of the bucket that holds the quantile as large a part lies below it as makes the
    share of all requests `q`."""
    below, sizes = parts.below(*values.split(q))
    _, half = weighted_interval(below / sizes, sizes)
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    # Half a rank for counts being whole, and the skewness of a binomial by the first Cornish-Fisher term.
    middle = values.n * q + 0.5 + (z * z - 1) * (1 - 2 * q) / 6
    # What was never seen is no end: where a second alone decides, the slowest request is the most that can be said.
    return max(middle - values.n * float(half), 1.0), min(middle + values.n * float(half), values.n)


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


@functools.lru_cache(maxsize=256)
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
