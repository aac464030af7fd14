"""Where the requests of each second lay: the histograms of the log in a few logarithmic buckets, for the heat strip."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..telemetry.buckets import PLACES, index_of
from ..telemetry.histogram import Counts
from .records import Tick
from .view import HEAT_BUCKETS, HEAT_LOWEST, HEAT_PER_DECADE, Heat

if TYPE_CHECKING:  # numpy.typing takes 6 ms of a start
    from numpy.typing import NDArray

_TOGETHER = 32  # seconds that are decoded in one call
_NOTHING = np.zeros(HEAT_BUCKETS, np.uint32)
_NAMES = ("service", "warmup")  # the warm-up's requests took their time too

Blobs = tuple[str, ...]


@functools.cache
def _buckets() -> NDArray[np.int64]:
    """The bucket of each place among a histogram's counts."""
    edges = HEAT_LOWEST * 10.0 ** (np.arange(1, HEAT_BUCKETS) / HEAT_PER_DECADE)
    cuts = index_of(np.ceil(edges).astype(np.int64))
    return np.searchsorted(cuts, np.arange(PLACES), side="right")


class HeatRing:
    """The histograms of the last seconds, undecoded until a screen shows them: a seek decodes only what is then drawn."""

    def __init__(self, columns: int) -> None:
        self._blobs: list[Blobs] = [()] * columns
        self._decoded: list[tuple[Blobs, NDArray[np.uint32]]] = [((), _NOTHING)] * columns

    def clear(self, second: int) -> None:
        self._blobs[second % len(self._blobs)] = ()

    def add(self, second: int, tick: Tick) -> None:
        """Take a tick's histograms into its second."""
        if tick.h:
            self._blobs[second % len(self._blobs)] += tuple(
                [blob for name in _NAMES if (blob := tick.h.get(name)) is not None]
            )

    def view(self, first: int, newest: int) -> Heat:
        """The columns of these seconds, as they are now, for whoever asks for the newest of them."""
        places = [second % len(self._blobs) for second in range(first, newest + 1)]
        return functools.partial(self._newest, places, [self._blobs[place] for place in places])

    def _newest(self, places: Sequence[int], known: Sequence[Blobs], columns: int) -> NDArray[np.uint32]:
        begin = max(0, len(known) - columns)
        shown = list(zip(places[begin:], known[begin:], strict=True))
        fresh = [(place, blobs) for place, blobs in shown if self._decoded[place][0] != blobs]
        made: dict[int, NDArray[np.uint32]] = {}
        for start in range(0, len(fresh), _TOGETHER):
            some = fresh[start : start + _TOGETHER]
            counts = iter(_counts([blob for _, blobs in some for blob in blobs]))
            made |= {place: self._decode(place, blobs, counts) for place, blobs in some}
        rows = [made[place] if place in made else self._decoded[place][1] for place, _ in shown]
        return np.array(rows, np.uint32).reshape(len(rows), HEAT_BUCKETS)

    def _decode(self, place: int, blobs: Blobs, counts: Iterator[Counts]) -> NDArray[np.uint32]:
        """The row of these blobs, from the next of `counts`, kept for the next looks."""
        row = np.zeros(HEAT_BUCKETS, np.uint32)
        for part in itertools.islice(counts, len(blobs)):
            row += np.bincount(_buckets()[part.index], part.count, HEAT_BUCKETS).astype(np.uint32)
        self._decoded[place] = blobs, row
        return row


def _counts(blobs: Sequence[str]) -> list[Counts]:
    """The counts of each blob; none of one that is damaged: the reader of the run says so."""
    try:
        return Counts.decode_all(blobs)
    except ValueError:
        if len(blobs) == 1:
            return [Counts.nothing()]
        half = len(blobs) // 2
        return _counts(blobs[:half]) + _counts(blobs[half:])
