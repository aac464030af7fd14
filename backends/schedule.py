"""When the requests of an open loop arrive: absolute times by a seed, so that no delay moves those that follow."""

from __future__ import annotations

from collections import deque

import numpy as np

from .loads import Load

_BLOCK = 4096
_SECOND = 1e9


class Schedule:
    """Arrivals in ns, rising: the first one gap after `begin`. `open` has gaps of 1/rate, `poisson` exponential ones of that mean."""

    def __init__(self, load: Load, begin: int, seed: int) -> None:
        assert load.rate is not None
        self._poisson = load.kind == "poisson"
        self._gap = _SECOND / load.rate
        self._begin = begin
        self._random = np.random.default_rng(seed)
        self._made = 0
        self._elapsed = 0.0  # of the last arrival drawn
        self._ready: deque[int] = deque()

    def _draw(self) -> None:
        if self._poisson:
            offsets: np.ndarray = self._elapsed + np.cumsum(self._random.exponential(self._gap, _BLOCK))
            self._elapsed = float(offsets[-1])
        else:
            # From the number of the arrival, never from the one before: rounding does not add up.
            offsets = np.arange(self._made + 1, self._made + _BLOCK + 1) * self._gap
        self._made += _BLOCK
        self._ready.extend(self._begin + round(offset) for offset in offsets.tolist())

    def next(self) -> int:
        """The next arrival, monotonic ns; it stays the next one until `advance`."""
        if not self._ready:
            self._draw()
        return self._ready[0]

    def advance(self) -> None:
        """The next arrival has been issued."""
        self._ready.popleft()

    def waiting(self, now: int) -> int:
        """How many have arrived by `now` and were not issued; those are given up."""
        count = 0
        while self.next() <= now:
            while self._ready and self._ready[0] <= now:
                self._ready.popleft()
                count += 1
        return count
