"""Latency over time by shade: where the requests of each second lay, a column a second, slow above fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .cells import Glyphs, Row

if TYPE_CHECKING:  # numpy.typing takes 6 ms of a start
    from numpy.typing import NDArray

SHADES = ("heat0", "heat1", "heat2", "heat3", "heat4")
_BLOCKS = np.array([ord(c) for c in " ░▒▓█"])
_ASCII = np.array([ord(c) for c in " .:%#"])


def heat(
    counts: NDArray[np.float64], width: int, height: int, glyphs: Glyphs, *, marks: Sequence[int] = ()
) -> list[Row]:
    """`counts`, shape (seconds, buckets, fast first), as `height` rows of `width` cells, newest at the right edge.

    Buckets are merged to the height. A shade is a step of a logarithmic share of its second's requests, so that one slow request
    among ten thousand still shows. `marks` are indices into `counts`; a mark is a line where its column is empty, a look elsewhere.
    """
    seconds, buckets = counts.shape
    places = [mark + width - seconds for mark in marks if mark + width - seconds >= 0]
    if seconds > width:
        counts, seconds = counts[-width:], width
    edges = np.linspace(0, buckets, height + 1).round().astype(np.int64)
    merged = np.add.reduceat(counts, edges[:-1], axis=1) if buckets >= height else counts
    totals = merged.sum(axis=1, keepdims=True)
    share = np.divide(merged, totals, out=np.zeros_like(merged), where=totals > 0)
    shade = np.zeros(share.shape, np.int64)
    for step, least in enumerate((0.0, 0.003, 0.05, 0.3), start=1):
        shade[share > least] = step
    rows: list[Row] = []
    for y in reversed(range(merged.shape[1])):
        shades = np.concatenate([np.zeros(width - seconds, np.int64), shade[:, y]])
        code = (_ASCII if glyphs.ascii else _BLOCKS)[shades]
        for x in places:
            empty = not shades[x]
            code[x] = ord(":" if glyphs.ascii else "┊") if empty else code[x]
            shades[x] = len(SHADES) if empty else len(SHADES) + 1
        text = code.astype("<i4").tobytes().decode("utf-32-le")
        ends = [*(np.flatnonzero(np.diff(shades)) + 1).tolist(), width]
        row, start = [], 0
        for end in ends:
            row.append((text[start:end], (*SHADES, "mark", "marked")[shades[start]]))
            start = end
        rows.append(tuple(row))
    return rows
