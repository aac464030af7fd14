"""Latency histograms: HdrHistogram's own counts, filled and read in batches through numpy.

`record_value` costs 1 to 2 µs a value and `get_mean_value` 40 ms; a batch through numpy costs tens of ns a
value and leaves the very same counts, so that the blobs are those of any HdrHistogram.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:  # numpy.typing takes 6 ms of a start
    from numpy.typing import NDArray
from .blobs import batches, payload_of, sparse
from .buckets import DIGITS, HIGHEST, LOWEST, PLACES, Ints, index_of, lowest_of, middle_values, value_of


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """The non-zero counts of a histogram, for keeping many: a few KB where a `Histogram` takes 270.

    `index` and `count` have one shape; `index` rises strictly.
    """

    index: Ints
    count: Ints

    @classmethod
    def decode(cls, blob: str | bytes) -> Counts:
        """Those of a V2 blob, as `Histogram.decode`, in half its time. Raises ValueError as that does."""
        return cls(*sparse(payload_of(blob))[:2])

    @classmethod
    def total(cls, blobs: Iterable[str | bytes]) -> Counts:
        """The sum of V2 blobs, many of them in little more time than one. Raises ValueError where one is
        none.
        """
        summed = np.zeros(PLACES, np.int64)
        for batch in batches(map(payload_of, blobs)):
            index, count, _ = sparse(*batch)
            np.add.at(summed, index, count)
        index = np.flatnonzero(summed)
        return cls(index, summed[index])

    @classmethod
    def decode_all(cls, blobs: Iterable[str | bytes]) -> list[Counts]:
        """Those of each V2 blob, many in a third of the time of one by one. Raises ValueError where one is none."""
        found: list[Counts] = []
        for batch in batches(map(payload_of, blobs)):
            index, count, lengths = sparse(*batch)
            ends = np.cumsum(lengths).tolist()
            parts = zip([0, *ends[:-1]], ends, strict=True)
            found += [cls(index[start:end], count[start:end]) for start, end in parts]
        return found

    @classmethod
    def nothing(cls) -> Counts:
        """Those of no value."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))

    def compact(self) -> Counts:
        return self

    @property
    def n(self) -> int:
        return int(self.count.sum())

    @property
    def mean(self) -> float:
        """In whole numbers up to the division, so that it is the same bit for bit on every machine; 0.0 where there is nothing."""
        total = self.count.astype(np.int64) @ middle_values()[self.index].astype(np.int64)
        return int(total) / self.n if len(self.index) else 0.0


def target_rank(q: float, n: int) -> int:
    """The 1-based rank that stands for quantile `q` of `n` values, by HdrHistogram's rounding: int(q·n +
    0.5), at least 1.
    """
    return max(int(min(q * 100.0, 100.0) * n / 100 + 0.5), 1)


class Histogram:
    """Counts of values in ns. Quantiles, minimum and maximum are those of HdrHistogram: within 0.1 % of what
    was recorded.

    Minimum, maximum and quantiles are 0 and the mean 0.0 while `n` is 0.
    """

    __slots__ = ("_counts", "_hdr", "clipped")

    def __init__(self) -> None:
        self._hdr = HdrHistogram(LOWEST, HIGHEST, DIGITS)
        # The library's own memory, signed: mixing uint64 with int64 would make floats.
        self._counts: Ints = np.ctypeslib.as_array(self._hdr.counts).view(np.int64)
        self.clipped = 0
        """How many recorded values were above 1 h and count as 1 h; not part of a blob."""

    def record(self, values: NDArray[np.integer]) -> int:
        """Record values in ns, any shape, any integer type; those below 1 count as 1. Returns how many were
        above 1 h and clipped.

        Raises TypeError for values that are not integers.
        """
        array = np.asarray(values)
        if array.dtype.kind not in "iu":
            raise TypeError(f"a histogram takes integers (ns), not {array.dtype}")
        if array.size == 0:
            return 0
        if array.dtype == np.uint64:  # what does not fit into int64 must not become negative
            array = np.minimum(array, np.uint64(HIGHEST + 1))
        array = array.astype(np.int64, copy=False).ravel()
        low, high = int(array.min()), int(array.max())
        clipped = 0
        if high > HIGHEST:
            clipped = int(np.count_nonzero(array > HIGHEST))
        if low < LOWEST or high > HIGHEST:
            array = np.clip(array, LOWEST, HIGHEST)
            low, high = int(array.min()), int(array.max())
        index = index_of(array)
        first = int(index.min())
        added = np.bincount(index - first)
        self._counts[first : first + len(added)] += added
        self._extend(array.size, low, high)
        self.clipped += clipped
        return clipped

    def add(self, other: Histogram) -> None:
        """Add another histogram's counts to these."""
        if other.n:
            first, last = other._span()
            self._counts[first:last] += other._counts[first:last]
            self._extend(other.n, other._hdr.min_value, other._hdr.max_value)
        self.clipped += other.clipped

    def _extend(self, n: int, low: int, high: int) -> None:
        hdr = self._hdr
        hdr.total_count += n
        hdr.min_value = min(hdr.min_value, low)
        hdr.max_value = max(hdr.max_value, high)

    def _span(self) -> tuple[int, int]:
        """The slice of the counts outside which all are 0."""
        ends = index_of(np.array([self._hdr.min_value, self._hdr.max_value], np.int64)) if self.n else (0, -1)
        return int(ends[0]), int(ends[1]) + 1

    @property
    def n(self) -> int:
        return int(self._hdr.total_count)

    @property
    def min(self) -> int:
        return lowest_of(self._span()[0]) if self.n else 0

    @property
    def max(self) -> int:
        return value_of(self._span()[1] - 1) if self.n else 0

    @property
    def mean(self) -> float:
        if not self.n:
            return 0.0
        first, last = self._span()
        return float(self._counts[first:last] @ middle_values()[first:last]) / self.n

    @property
    def variation(self) -> float:
        """The coefficient of variation: standard deviation ÷ mean; 0.0 where there is nothing."""
        mean = self.mean
        if not mean:
            return 0.0
        first, last = self._span()
        squares = (middle_values()[first:last] - mean) ** 2
        return float((self._counts[first:last] @ squares / self.n) ** 0.5) / mean

    @property
    def counts(self) -> Ints:
        """The counts by index, shape (33,792,), a view that cannot be written."""
        view = self._counts.view()
        view.flags.writeable = False
        return view

    def indices_at_ranks(self, ranks: Iterable[int]) -> list[int]:
        """The index that holds each 1-based rank, for ranks from 1 to n, in any order."""
        first, last = self._span()
        summed = np.cumsum(self._counts[first:last])
        return [first + int(i) for i in np.searchsorted(summed, np.fromiter(ranks, np.int64))]

    def quantiles(self, qs: Sequence[float]) -> list[int]:
        """The value, ns, at each quantile (0 to 1): what HdrHistogram's `get_value_at_percentile(100·q)`
        gives.
        """
        if not self.n:
            return [0] * len(qs)
        indices = self.indices_at_ranks(target_rank(q, self.n) for q in qs)
        return [value_of(i) if q else lowest_of(i) for q, i in zip(qs, indices, strict=True)]

    def quantile(self, q: float) -> int:
        return self.quantiles((q,))[0]

    def compact(self) -> Counts:
        """The non-zero counts alone, copied."""
        first, last = self._span()
        index = np.flatnonzero(self._counts[first:last])
        return Counts(index + first, self._counts[first:last][index])

    @classmethod
    def of(cls, parts: Iterable[Counts]) -> Histogram:
        """The sum of compact counts as one histogram."""
        new = cls()
        for part in parts:
            if len(part.index):
                new._counts[part.index] += part.count
                new._extend(part.n, lowest_of(int(part.index[0])), value_of(int(part.index[-1])))
        return new

    def copy(self) -> Histogram:
        new = Histogram()
        new.add(self)
        return new

    def encode(self) -> str:
        """The V2 blob: zlib in base64, as every HdrHistogram reads it."""
        return str(self._hdr.encode(), "ascii")

    @classmethod
    def decode(cls, blob: str | bytes) -> Histogram:
        """The histogram of a V2 blob, as HdrHistogram's own decoder gives it, through numpy.

        Raises ValueError for anything that is not a blob of this range and precision; no blob makes it
        allocate more than 1 MB.
        """
        index, count, _ = sparse(payload_of(blob))
        new = cls()
        if len(index):
            new._counts[index] = count
            new._extend(int(count.sum()), lowest_of(int(index[0])), value_of(int(index[-1])))
        return new
