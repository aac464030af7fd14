"""Where the requests of each second lay: the histograms of the log in a few logarithmic buckets, for the heat strip."""

from __future__ import annotations

import functools
from collections import deque

import numpy as np
from numpy.typing import NDArray

from ..telemetry.histogram import Counts, value_of
from .records import Tick
from .view import HEAT_BUCKETS, HEAT_LOWEST, HEAT_PER_DECADE

_NAMES = ("service", "warmup")  # the warm-up's requests took their time too


@functools.cache
def _bucket(index: int) -> int:
    """The bucket of a place among a histogram's counts."""
    return min(
        max(0, int(np.floor(np.log10(value_of(index) / HEAT_LOWEST) * HEAT_PER_DECADE))), HEAT_BUCKETS - 1
    )


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
        while self._waiting:
            second, blob = self._waiting.popleft()
            if first <= second <= newest:
                self._take(second, blob)
        return self._counts[np.arange(first, newest + 1) % self._columns]

    def _take(self, second: int, blob: str) -> None:
        try:
            counts = Counts.decode(blob)
        except ValueError:
            return  # the reader of the run says that a histogram is damaged
        buckets = [_bucket(index) for index in counts.index.tolist()]
        np.add.at(self._counts[second % self._columns], buckets, counts.count.astype(np.uint32))
