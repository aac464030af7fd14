"""The last ten minutes, one column a second, in numpy rings: what graphs are drawn from. Its size never changes."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .heat import HeatRing
from .records import Metric, Tick
from .view import History

if TYPE_CHECKING:  # numpy.typing takes 6 ms of a start
    from numpy.typing import NDArray

COLUMNS = 600
_TICKS_LIMIT = 64  # of one second that a median is taken of
SECOND = 1_000_000_000


class Row(NamedTuple):
    """A tick at session time `t`, ns; `measuring` whether its run was past its warm-up."""

    t: int
    tick: Tick
    measuring: bool


def second_of(t: int) -> int:
    """The column of a tick that ends at `t`: one that ends with a second belongs to it."""
    return (t - 1) // SECOND


class HistoryRing:
    """Columns by session second, and beside them the newest value of each metric and when it was read."""

    def __init__(self, since: int | None = None) -> None:
        """Seconds before `since` are not kept: a reader that starts in the middle of one would show a part as the whole."""
        self._since = since
        self._first: int | None = None  # oldest and newest second; None before the first tick
        self._newest = 0
        self._p50 = np.full(COLUMNS, np.nan)
        self._max = np.full(COLUMNS, np.nan)
        self._done = np.zeros(COLUMNS, np.int64)
        self._run = np.zeros(COLUMNS, np.int64)
        self._warm = np.zeros(COLUMNS, np.bool_)
        self._heat = HeatRing(COLUMNS)
        self._medians: list[tuple[int, int]] = []  # (p50, done) of the newest second's ticks
        self._table(())

    def _table(self, metrics: Sequence[Metric]) -> None:
        self.metrics = tuple(metrics)
        width = len(self.metrics)
        self._sum = np.zeros((COLUMNS, width))
        self._count = np.zeros((COLUMNS, width), np.int32)
        self.values = np.full(width, np.nan)
        """Newest value of each metric, of a counter its newest rate; NaN where there is none."""
        self.read = np.zeros(width, np.int64)
        """Session time, ns, of the newest reading."""
        self.raw = np.full(width, np.nan)
        """Newest reading of each counter."""
        self._counters = [i for i, metric in enumerate(self.metrics) if metric.counter]

    def change_table(self, metrics: Sequence[Metric]) -> None:
        """Go on with another metric table: metrics of the same id keep their columns and values."""
        place = {metric.id: i for i, metric in enumerate(self.metrics)}
        known = (self._sum, self._count, self.values, self.read, self.raw)
        self._table(metrics)
        new = [i for i, metric in enumerate(self.metrics) if metric.id in place]
        old = [place[self.metrics[i].id] for i in new]
        self._sum[:, new], self._count[:, new] = known[0][:, old], known[1][:, old]
        self.values[new], self.read[new], self.raw[new] = known[2][old], known[3][old], known[4][old]

    def extend(self, rows: Sequence[Row]) -> None:
        """Add ticks, oldest first."""
        if not rows:
            return
        matrix = self._matrix(rows)
        times = [row.t for row in rows]
        if self._counters:
            self._rates(matrix, times)
        self._keep_newest(matrix, times)
        seconds = [second_of(t) for t in times]
        starts = [i for i, second in enumerate(seconds) if not i or second != seconds[i - 1]]
        sums = np.add.reduceat(np.nan_to_num(matrix), starts, axis=0)
        counts = np.add.reduceat(~np.isnan(matrix), starts, axis=0, dtype=np.int32)
        for i, start in enumerate(starts):
            if self._open(seconds[start]):
                column = seconds[start] % COLUMNS
                self._sum[column] += sums[i]
                self._count[column] += counts[i]
                self._add(seconds[start], rows[start : starts[i + 1] if i + 1 < len(starts) else None])

    def _matrix(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """The readings, shape (rows, metrics); NaN is null."""
        width = len(self.metrics)
        values = [row.tick.m for row in rows]
        if any(len(m) != width for m in values):
            values = [[*m[:width], *[None] * (width - len(m))] for m in values]
        try:
            matrix = np.array(values, np.float64)
        except OverflowError:  # an integer beyond any float: no reading
            matrix = np.array([[_real(v) for v in m] for m in values], np.float64)
        return matrix.reshape(len(rows), width)

    def _rates(self, matrix: NDArray[np.float64], times: list[int]) -> None:
        """Put rates a second in place of counters; the first reading, and one that went backwards, give none."""
        for i in self._counters:
            last, read = float(self.raw[i]), int(self.read[i])
            for row, t in enumerate(times):
                value = float(matrix[row, i])
                if np.isnan(value):
                    continue
                rises = not np.isnan(last) and value >= last and t > read
                matrix[row, i] = (value - last) / (t - read) * SECOND if rises else np.nan
                last, read = value, t
            self.raw[i], self.read[i] = last, read

    def _keep_newest(self, matrix: NDArray[np.float64], times: list[int]) -> None:
        known = ~np.isnan(matrix)
        found = known.any(axis=0)
        newest = len(times) - 1 - np.argmax(known[::-1], axis=0)
        self.values[found] = matrix[newest, np.arange(matrix.shape[1])][found]
        self.read[found] = np.array(times, np.int64)[newest][found]

    def _open(self, second: int) -> bool:
        """Make the column of a second ready, clearing those that were skipped; False for one that is too old."""
        if self._since is not None and second < self._since:
            return False
        if self._first is None:
            self._first = self._newest = second
            self._clear(second)
        elif second > self._newest:
            for skipped in range(max(self._newest + 1, second - COLUMNS + 1), second + 1):
                self._clear(skipped)
            self._newest = second
            self._first = max(self._first, second - COLUMNS + 1)
        return second >= self._first

    def _clear(self, second: int) -> None:
        column = second % COLUMNS
        for array, empty in ((self._p50, np.nan), (self._max, np.nan), (self._done, 0), (self._run, 0)):
            array[column] = empty
        self._warm[column] = False
        self._heat.clear(second)
        self._sum[column] = 0
        self._count[column] = 0
        self._medians = []

    def _add(self, second: int, rows: Sequence[Row]) -> None:
        """Add ticks of one second to its column."""
        column = second % COLUMNS
        self._done[column] += sum([row.tick.done for row in rows])
        self._run[column] = rows[-1].tick.run
        self._warm[column] = rows[-1].measuring
        for row in rows:
            self._heat.add(second, row.tick)
        numbers = [(row.tick.q, row.tick.done) for row in rows if row.tick.q is not None]
        if numbers:
            self._max[column] = np.fmax(self._max[column], max(q[2] for q, _ in numbers))
            if second == self._newest:
                self._medians += [(q[0], max(done, 1)) for q, done in numbers]
                self._p50[column] = self._median()

    def _median(self) -> int:
        """p50 of the newest second: the median of its ticks' medians, each with the weight of its requests."""
        del self._medians[:-_TICKS_LIMIT]
        ordered = sorted(self._medians)
        summed = list(itertools.accumulate([done for _, done in ordered]))
        return ordered[bisect_left(summed, summed[-1] / 2)][0]

    def recall(self, values: Sequence[float | int | None], t: int) -> None:
        """Take over the newest readings that a `key` record of time `t` knows, where none has been seen here."""
        for i, value in enumerate(values[: len(self.metrics)]):
            newest = self.raw if self.metrics[i].counter else self.values
            real = _real(value)
            if np.isnan(newest[i]) and not np.isnan(real):
                newest[i] = real
                self.read[i] = t

    def newest(self) -> list[float | int | None]:
        """The newest reading of each metric, as a `key` record holds them."""
        readings = np.where([metric.counter for metric in self.metrics], self.raw, self.values).tolist()
        return [None if v != v else int(v) if v == int(v) and abs(v) < 2**53 else v for v in readings]

    def view(self) -> History:
        """A copy of the columns, oldest first."""
        first, newest = (0, -1) if self._first is None else (self._first, self._newest)
        seconds = np.arange(first, newest + 1, dtype=np.int64)
        columns = seconds % COLUMNS
        count = self._count[columns]
        known = count > 0
        metrics = np.divide(
            self._sum[columns], count, out=np.full(count.shape, np.nan), where=known, dtype=np.float64
        )
        # What is read each second or two misses a column now and then: a reading stands for the second after it too.
        held = known[:-1] & ~known[1:] & known[1:].any(axis=1, keepdims=True)
        metrics[1:][held] = metrics[:-1][held]
        return History(
            second=seconds,
            p50=self._p50[columns],
            max=self._max[columns],
            done=self._done[columns],
            run=self._run[columns],
            warm=self._warm[columns],
            metrics=metrics,
            heat=self._heat.view(first, newest),
        )


def _real(value: float | int | None) -> float:
    try:
        return np.nan if value is None else float(value)
    except OverflowError:
        return np.nan
