"""Graphs of one column a second: filled bars, dots above them, a mark where the configuration changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .cells import Glyphs, Row, cut

if TYPE_CHECKING:  # numpy.typing takes 6 ms of a start
    from numpy.typing import NDArray

Values: TypeAlias = "NDArray[np.float64]"

_LEVELS = 4  # per cell; 8 in a graph of one row, which has blocks instead of braille
_FILL = np.array(
    [0x2800 + a + b for a, b in zip((0, 0x40, 0x44, 0x46, 0x47), (0, 0x80, 0xA0, 0xB0, 0xB8), strict=True)]
)
_DOT = np.array(
    [0x2800]
    + [0x2800 + a + b for a, b in zip((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08), strict=True)]
)
_FILL_ROW = np.array([ord(c) for c in " ▁▂▃▄▅▆▇█"])  # a graph of one row: eighths
_FILL_ASCII = np.array([ord(c) for c in " _-=#"])
_DOT_ASCII = np.array([ord(c) for c in " ****"])


def graph(
    values: Values,
    width: int,
    height: int,
    top: float,
    glyphs: Glyphs,
    *,
    dots: Values | None = None,
    marks: Sequence[int] = (),
    style: str = "one",
) -> list[Row]:
    """Bars from 0 to `top`, newest at the right edge, in `height` rows of `width` cells.

    `values` and `dots` have one element a second, oldest first, NaN where nothing is known. What exceeds `top` ends in a
    triangle. `marks` are indices into `values`; a mark is a line where its column is empty, and a look where there are bars or dots, so
    that it shows in every row and hides nothing. A value above 0 is at least one dot.
    """
    offset = width - len(values)  # of a value's column
    values = values[-width:] if len(values) > width else values
    skipped = width - len(values)
    levels = 8 if height == 1 and not glyphs.ascii and dots is None else _LEVELS
    shapes = _FILL_ASCII if glyphs.ascii else _FILL_ROW if levels == 8 else _FILL
    fill = _levels(values, height * levels, top)
    blank = 0x20
    code = np.full((height, width), blank, np.int32)
    look = np.zeros((height, width), np.int8)  # 0 nothing, 1 bar, 2 dot, 3 mark, 4 a marked bar or dot
    bases = (np.arange(height)[::-1] * levels)[:, None]
    inside = np.clip(fill[None, :] - bases, 0, levels)
    bars = shapes[inside]
    drawn = inside > 0
    region = code[:, skipped:], look[:, skipped:]
    region[0][drawn], region[1][drawn] = bars[drawn], 1
    if dots is not None:
        above = dots[-width:] if len(dots) > width else dots
        level = _levels(above, height * levels, top)
        place = np.where(
            (level[None, :] > bases) & (level[None, :] <= bases + levels), level[None, :] - bases, 0
        )
        there = place > 0
        # A dot within its own bar is the bar's end; one in the same cell above it is merged into the cell, which stays the bar's.
        merged = there & (inside > 0) & (place > inside)
        alone = there & (inside == 0)
        points = (_DOT_ASCII if glyphs.ascii else _DOT)[place]
        region[0][alone], region[1][alone] = points[alone], 2
        if not glyphs.ascii:
            region[0][merged] = region[0][merged] | points[merged]
        over = np.isfinite(above) & (above > top * (1 + 1e-9))
    else:
        over = np.isfinite(values) & (values > top * (1 + 1e-9))
    region[0][0, over], region[1][0, over] = ord("^" if glyphs.ascii else "▲"), 2
    for mark in marks:
        column = mark + offset
        if 0 <= column < width:
            empty = look[:, column] == 0
            code[empty, column] = ord(":" if glyphs.ascii else "┊")
            look[:, column] = np.where(empty, 3, 4)
    names = ("text", style, "two", "mark", "marked")
    return [_runs(code[y], look[y], names) for y in range(height)]


def _levels(values: Values, steps: int, top: float) -> NDArray[np.int64]:
    """Values as whole steps above the base, 0 where there is nothing to show."""
    known = np.isfinite(values) & (values > 0)
    scaled = np.zeros(len(values))
    scaled[known] = np.clip(np.rint(values[known] / top * steps), 1, steps)
    return scaled.astype(np.int64)


def _runs(code: NDArray[np.int32], look: NDArray[np.int8], names: Sequence[str]) -> Row:
    text = code.astype("<i4").tobytes().decode("utf-32-le")
    ends = [*(np.flatnonzero(np.diff(look)) + 1).tolist(), len(look)]
    out: list[tuple[str, str]] = []
    start = 0
    for end in ends:
        out.append((text[start:end], names[look[start]]))
        start = end
    return tuple(out)


def changes(run: NDArray[np.int64]) -> list[int]:
    """Indices at which another run begins. The first column is no change: what was before it is not shown."""
    return (np.flatnonzero(np.diff(run) != 0) + 1).tolist() if len(run) else []


def seconds_axis(width: int, marks: Sequence[tuple[int, str]], glyphs: Glyphs) -> Row:
    """The line under a graph: how long ago its columns are, and the name of what began at each mark (column, name).

    A name stands right of its mark, cut where it must be; at the left of it where the right has no room, so that the newest always has its
    name.
    """
    dash = "-" if glyphs.ascii else "─"
    line = _Line(width, dash)
    mark = "^" if glyphs.ascii else "┊"
    for column, _ in marks:
        line.put(column, mark, 2, apart=False)
    for number, (column, name) in enumerate(sorted(marks, reverse=True)):
        if line.put(column + 1, name, 2, beside=column):
            continue
        right, left = line.room(column, 1), line.room(column, -1)
        # At the left a name reads as that of what ends there: the newest's alone is worth it in full, others where the right has no room.
        if (number == 0 and len(name) <= left) or right < _LEAST_NAME:
            text = cut(name, left)
            line.put(column - len(text), text if len(text) >= _LEAST_NAME else "", 2, beside=column)
        else:
            line.put(column + 1, cut(name, right), 2, beside=column)
    line.put(width - 4, " now", 1)
    for back in range(30, width, 30):
        line.put(width - back - 3, f" {back} s ", 1) or line.put(width - back - 2, f"{back} s", 1)
    return line.row(("frame", "dim", "mark"))


_LEAST_NAME = 4  # cells below which a name that is cut says nothing


class _Line:
    """A line of dashes that texts are put on, each where it touches no other."""

    def __init__(self, width: int, dash: str) -> None:
        self._dash = dash
        self._cells, self._looks = [dash] * width, [0] * width

    def put(self, x: int, text: str, look: int, *, beside: int | None = None, apart: bool = True) -> bool:
        """Put a text at `x`, a dash away from the next but for the cell `beside`; false where it has no room."""
        end, width = x + len(text), len(self._cells)
        if x < 0 or end > width:
            return False
        near = range(x - 1, end + 1) if apart else range(x, end)
        if any(0 <= i < width and i != beside and self._cells[i] != self._dash for i in near):
            return False
        self._cells[x:end] = text
        self._looks[x:end] = [look] * len(text)
        return True

    def room(self, column: int, step: int) -> int:
        """The free cells beside `column`, to the right (1) or the left (-1), less the dash to the next text."""
        free, x = 0, column + step
        while 0 <= x < len(self._cells) and self._cells[x] == self._dash:
            free, x = free + 1, x + step
        return free if not 0 <= x < len(self._cells) else max(0, free - 1)

    def row(self, names: Sequence[str]) -> Row:
        out: list[tuple[str, str]] = []
        for character, look in zip(self._cells, self._looks, strict=True):
            if out and out[-1][1] == names[look]:
                out[-1] = (out[-1][0] + character, names[look])
            else:
                out.append((character, names[look]))
        return tuple(out)
