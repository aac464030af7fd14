"""The grid of every histogram here, HdrHistogram's: unit 1 ns, 1 ns to 1 h, 3 significant digits."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:  # numpy.typing takes 6 ms of a start
    from numpy.typing import NDArray


LOWEST = 1
HIGHEST = 3_600_000_000_000  # ns: 1 h
DIGITS = 3
_HALF_BITS = 10  # half of the 2,048 sub-buckets that 3 digits need
PLACES = 33_792
"""Counts of an HdrHistogram(LOWEST, HIGHEST, DIGITS): (32 buckets + 1) * 1,024."""

Ints: TypeAlias = "NDArray[np.int64]"


@functools.cache
def _lowest_values() -> Ints:
    """The smallest value of each index, ns, shape (33,792,)."""
    index = np.arange(PLACES, dtype=np.int64)
    bucket = np.maximum((index >> _HALF_BITS) - 1, 0)
    values: Ints = (index - (bucket << _HALF_BITS)) << bucket
    values.flags.writeable = False
    return values


@functools.cache
def _highest_values() -> Ints:
    """The largest value of each index, ns, shape (33,792,): what HdrHistogram reports for a quantile."""
    index = np.arange(PLACES, dtype=np.int64)
    values: Ints = _lowest_values() + (1 << np.maximum((index >> _HALF_BITS) - 1, 0)) - 1
    values.flags.writeable = False
    return values


@functools.cache
def middle_values() -> NDArray[np.float64]:
    """The value that stands for an index in means, ns: HdrHistogram's median equivalent value."""
    low = _lowest_values()
    return (low + ((_highest_values() - low + 1) >> 1)).astype(np.float64)


def value_of(index: int) -> int:
    """The largest value, ns, that falls on `index` of any histogram's counts."""
    return int(_highest_values()[index])


def lowest_of(index: int) -> int:
    """The smallest value, ns, that falls on `index`."""
    return int(_lowest_values()[index])


def index_of(values: Ints) -> Ints:
    """The place of each value (1 to HIGHEST, ns) among the counts, same shape.

    A value below 2,048 is its own index; above, each doubling adds 1,024 places (HdrHistogram's
    counts_index_for). `frexp` of an integer below 2**53 is exact.
    """
    exponent = np.frexp((values | 2047).astype(np.float64))[1].astype(np.int64) - 11
    return (exponent << _HALF_BITS) + (values >> exponent)
