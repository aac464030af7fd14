"""Where the requests of each second lay: the histograms of the log in a few logarithmic buckets, for the heat strip."""

from __future__ import annotations

import functools
from collections import deque

import numpy as np
from numpy.typing import NDArray

from ..telemetry.histogram import Counts, index_of
from .records import Tick
from .view import HEAT_BUCKETS, HEAT_LOWEST, HEAT_PER_DECADE

_AT_ONCE = 120  # blobs, of about 60 µs each
_NAMES = ("service", "warmup")  # the warm-up's requests took their time too


@functools.cache
def _cuts() -> NDArray[np.int64]:
    """The first place, among a histogram's counts, of each bucket but the lowest."""
    edges = HEAT_LOWEST * 10.0 ** (np.arange(1, HEAT_BUCKETS) / HEAT_PER_DECADE)
    return index_of(np.ceil(edges).astype(np.int64))


class HeatRing:
    """Counts by column and bucket. Blobs wait, undecoded, until somebody looks: a fold over hours decodes none in vain."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._counts = np.zeros((columns, HEAT_BUCKETS), np.uint32)
        self._waiting: deque[tuple[int, str]] = deque(maxlen=2 * columns)

    def clear(self, second: int) -> None:
        self._counts[second % self._columns] = 0

    def add(self, second: int, tick: Tick) -> None:
        """Take a tick's histograms into its second."""
        for name in _NAMES:
            if tick.h is not None and (blob := tick.h.get(name)) is not None:
                self._waiting.append((second, blob))

    def view(self, first: int, newest: int) -> NDArray[np.uint32]:
        """A copy of the columns of these seconds, shape (seconds, HEAT_BUCKETS)."""
        # The newest first, and no more than what a screen shows: after a seek the rest comes with the next looks.
        for _ in range(min(len(self._waiting), _AT_ONCE)):
            second, blob = self._waiting.pop()
            if first <= second <= newest:
                self._take(second, blob)
        return self._counts[np.arange(first, newest + 1) % self._columns]

    def _take(self, second: int, blob: str) -> None:
        try:
            counts = Counts.decode(blob)
        except ValueError:
            return  # the reader of the run says that a histogram is damaged
        buckets = np.searchsorted(_cuts(), counts.index, side="right")
        summed = np.bincount(buckets, counts.count, HEAT_BUCKETS)
        self._counts[second % self._columns] += summed.astype(np.uint32)
