"""How far a run's own steadiness lets its numbers be trusted: A, B or C, each lowering in words.

The thresholds are the design's: perf_analyzer's three windows, trtexec's 2.5 % variation, and n for a p99
with both ends of its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .buckets import value_of
from .histogram import Counts, Histogram, target_rank
from .statistics import Compactable

WINDOWS = 3
BLOCKS = 24  # even
ENOUGH = 368  # requests: p99 has a two-sided 95 % interval from here

_LETTERS = "ABC"


@dataclass(frozen=True, slots=True)
class Grade:
    letter: str  # "A", "B", "C"
    reasons: tuple[str, ...]  # why it is not A, the worst first; empty for A


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is known of where the run took place; None is unknown, and counts as B where it matters.

    `gpu` says whether a GPU was measured: throttling, clocks and co-tenants are then judged.
    """

    gpu: bool = False
    throttled: float | None = None  # share of the time, 0 to 1
    clock_span: float | None = None  # (highest - lowest) ÷ highest SM clock
    alone: bool | None = None  # no other process on the GPU
    threads: int | None = None  # of a CPU backend
    quota: float | None = None  # cores that the container may use; None: no limit
    quiet_busy: float | None = None  # share of the time in which others kept the GPU busy before the run
    far_node: str = ""  # that the worker runs on another NUMA node than its GPU, and what helps
    notes: tuple[str, ...] = ()  # further reasons for B, as sentences


def window_medians(seconds: Sequence[Compactable]) -> tuple[float, ...]:
    """The median service latency, ns, of each third of a run, given its seconds in order; fewer where it is
    too short.
    """
    blocks = [block for block in (second.compact() for second in seconds) if len(block.index)]
    if len(blocks) < WINDOWS:
        return ()
    edges = [round(len(blocks) * part / WINDOWS) for part in range(WINDOWS + 1)]
    parts = (blocks[first:last] for first, last in pairwise(edges))
    return tuple(_median(part) for part in parts)


def _median(parts: Sequence[Counts]) -> float:
    """That of all of them together, as `Histogram.quantile` gives it, without the 270 KB of a histogram."""
    index = np.concatenate([part.index for part in parts])
    order = np.argsort(index, kind="stable")
    summed = np.cumsum(np.concatenate([part.count for part in parts])[order])
    rank = target_rank(0.5, int(summed[-1]))
    return float(value_of(int(index[order][np.searchsorted(summed, rank)])))


class Course:
    """A run's seconds as they come, in at most BLOCKS blocks of equal length however long it lasts: the medians of its thirds, live."""

    def __init__(self) -> None:
        self._blocks: list[Counts] = []
        self._open: list[Counts] = []  # seconds of the block that is not full yet
        self._length = 1  # seconds of a block

    def add(self, second: Compactable) -> None:
        """The next second."""
        self._open.append(second.compact())
        if len(self._open) < self._length:
            return
        self._blocks.append(_sum(self._open))
        self._open = []
        if len(self._blocks) >= BLOCKS:
            self._blocks = [_sum(pair) for pair in zip(self._blocks[::2], self._blocks[1::2], strict=True)]
            self._length *= 2

    def medians(self) -> tuple[float, ...]:
        """As `window_medians` of all seconds gives them: the same up to BLOCKS of them, then with edges up to a block off."""
        return window_medians([*self._blocks, *([_sum(self._open)] if self._open else [])])


def _sum(parts: Sequence[Counts]) -> Counts:
    return parts[0] if len(parts) == 1 else Histogram.of(parts).compact()


def _level(value: float, a: float, b: float) -> int:
    return 0 if value <= a else 1 if value <= b else 2


def _timing(medians: Sequence[float], variation: float, n: int, apart: int) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    if len(medians) < WINDOWS or min(medians) <= 0:
        found.append((1, f"too short for {WINDOWS} windows"))
    else:
        ratio = max(medians) / min(medians)
        words = f"the medians of {WINDOWS} windows differ by {100 * (ratio - 1):.1f} %"
        found.append((_level(ratio, 1.05, 1.10), words))
    found.append((_level(variation, 0.025, 0.10), f"latencies vary by {100 * variation:.1f} % of their mean"))
    if n < ENOUGH:
        without = f", of which {apart} timed by stage stay out" if apart else ""
        found.append((1, f"{n + apart} request{'s' * (n + apart != 1)}{without}, p99 needs {ENOUGH}"))
    return found


def _gpu(at: Conditions) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    if at.throttled is None:
        found.append((1, "unknown whether clocks were throttled"))
    else:
        words = f"clocks throttled {100 * at.throttled:.1f} % of the time"
        found.append((_level(at.throttled, 0.0, 0.05), words))
    if at.clock_span is None:
        found.append((1, "the SM clock is unknown"))
    else:
        found.append(
            (_level(at.clock_span, 0.02, 0.05), f"the SM clock moved by {100 * at.clock_span:.1f} %")
        )
    if at.alone is None:
        found.append((1, "other processes on the GPU cannot be seen from here"))
    elif not at.alone:
        found.append((1, "other processes were on the GPU"))
    if at.quiet_busy is not None:
        words = f"the GPU was {100 * at.quiet_busy:.0f} % busy before the run, with nothing of infertop's"
        found.append((_level(at.quiet_busy, 0.02, 0.25), words))
    return found


def grade(medians: Sequence[float], variation: float, n: int, at: Conditions, apart: int = 0) -> Grade:
    """The grade of a run: the worst of its parts decides.

    `medians` as `window_medians` gives them, `variation` the coefficient of variation of the service latency,
    `n` the measured requests in it, `apart` those that were measured and left out of it.
    """
    found = _timing(medians, variation, n, apart)
    if at.gpu:
        found += _gpu(at)
    if at.quota is not None and at.threads is not None and at.threads > at.quota:
        found.append((1, f"{at.threads} threads on a quota of {at.quota:g} cores"))
    if at.far_node:
        found.append((1, at.far_node))
    found += [(1, note) for note in at.notes]
    reasons = sorted((item for item in found if item[0]), key=lambda item: -item[0])
    return Grade(
        _LETTERS[max((level for level, _ in found), default=0)], tuple(words for _, words in reasons)
    )
