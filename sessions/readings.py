"""What the machine's readings were while a run was measured: means, rates, spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ..telemetry.metrics import MetricSpec, Value


class Readings:
    """Adds up ticks. A metric that is read too seldom to fall into the run has the newest value from before it."""

    def __init__(self, table: Sequence[MetricSpec], before: Sequence[Value] = ()) -> None:
        self._place = {spec.id: i for i, spec in enumerate(table)}
        self._counter = np.array([spec.counter for spec in table], bool)
        size = len(table)
        self._before = _floats(before) if before else np.full(size, np.nan)
        self._sum, self._count = np.zeros(size), np.zeros(size, np.int64)
        self._first, self._last = np.full(size, np.nan), np.full(size, np.nan)
        self._began, self._ended = np.zeros(size), np.zeros(size)
        self._low, self._high = np.full(size, np.inf), np.full(size, -np.inf)
        self._bits = {i: Counter[int]() for i, spec in enumerate(table) if spec.unit == "bits"}

    def add(self, t: int, values: Sequence[Value]) -> None:
        """A tick's readings at monotonic ns `t`, in the order of the table; None was not read."""
        read = _floats(values)
        known = ~np.isnan(read)
        new = known & (self._count == 0)
        self._first[new], self._began[new] = read[new], t
        self._last[known], self._ended[known] = read[known], t
        self._sum[known] += read[known]
        self._count[known] += 1
        self._low = np.fmin(self._low, read)
        self._high = np.fmax(self._high, read)
        for i, masks in self._bits.items():
            if (mask := values[i]) is not None:
                masks[int(mask)] += 1

    def add_only(self, endings: tuple[str, ...], t: int, values: Sequence[Value]) -> None:
        """Add those metrics alone whose ids end so."""
        chosen = [v if name.endswith(endings) else None for name, v in zip(self._place, values, strict=True)]
        self.add(t, chosen)

    def means(self) -> dict[str, float | None]:
        """By metric id: the mean of the readings, of a counter its rate per second; null for what was never read."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(self._count > 0, self._sum / self._count, self._before)
            seconds = (self._ended - self._began) / 1e9
            rate = np.where(seconds > 0, (self._last - self._first) / seconds, np.nan)
        found = np.where(self._counter, rate, mean)
        return {
            name: None if np.isnan(found[i]) else float(found[i])
            for name, i in self._place.items()
            if i not in self._bits  # a mask has no mean
        }

    def masks(self, name: str) -> Mapping[int, int] | None:
        """How many ticks had which value of a bit mask; None where it was not read."""
        return self._bits.get(self._place.get(name, -1)) or None

    def counted(self, name: str) -> tuple[float, float] | None:
        """By how much a counter grew between its first reading and its last, and the seconds between them; None with fewer than two."""
        i = self._place.get(name)
        if i is None or self._count[i] < 2 or self._last[i] < self._first[i]:
            return None
        return float(self._last[i] - self._first[i]), float(self._ended[i] - self._began[i]) / 1e9

    def span(self, name: str) -> tuple[float, float] | None:
        """Lowest and highest reading of a metric; None where it was not read."""
        i = self._place.get(name)
        if i is None or not self._count[i]:
            return None
        return float(self._low[i]), float(self._high[i])


def _floats(values: Sequence[Value]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)
