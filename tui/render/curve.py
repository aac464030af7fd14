"""The percentile curve: latency over 1/(1−p), a decade a step, so that the tail takes the room that it deserves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .cells import Glyphs, Row

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # rows from the top, columns
_NAMES = ("p0", "p90", "p99", "p99.9", "p99.99", "p99.999", "p99.9999")

Points = Sequence[tuple[float, float]]


def decades(points: Points) -> float:
    """How many decades of 1/(1−p) the points reach: 3 for p99.9; at least 1."""
    last = max((q for q, _ in points if q < 1), default=0.0)
    return max(1.0, -math.log10(1 - last)) if last < 1 else 1.0


def curve(
    series: Sequence[tuple[Points, str]], width: int, height: int, reach: float, glyphs: Glyphs
) -> list[Row]:
    """Lines through (quantile, share of the height) points; `reach` decades across. Of two lines in one cell the later is seen."""
    columns, lines = (width, height) if glyphs.ascii else (width * 2, height * 4)
    cells = [[0] * width for _ in range(height)]
    owner = [[-1] * width for _ in range(height)]
    for number, (points, _) in enumerate(series):
        previous: tuple[int, int] | None = None
        for quantile, value in points:
            if quantile >= 1:
                continue
            x = round(-math.log10(1 - quantile) / reach * (columns - 1))
            y = round(value * (lines - 1))
            here = min(max(x, 0), columns - 1), min(max(y, 0), lines - 1)
            for column, line in _line(previous or here, here):
                cx, cy = (column, line) if glyphs.ascii else (column // 2, line // 4)
                cy = height - 1 - cy
                if owner[cy][cx] != number:
                    cells[cy][cx], owner[cy][cx] = 0, number
                cells[cy][cx] |= 1 if glyphs.ascii else _DOTS[3 - line % 4][column % 2]
            previous = here
    rows: list[Row] = []
    for codes, owners in zip(cells, owner, strict=True):
        row: list[tuple[str, str]] = []
        for code, number in zip(codes, owners, strict=True):
            character = " " if not code else "*o+"[number % 3] if glyphs.ascii else chr(0x2800 + code)
            style = "text" if number < 0 else series[number][1]
            if row and row[-1][1] == style:
                row[-1] = (row[-1][0] + character, style)
            else:
                row.append((character, style))
        rows.append(tuple(row))
    return rows


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The cells between two points, both included."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (round(start[0] + (end[0] - start[0]) * i / steps), round(start[1] + (end[1] - start[1]) * i / steps))
        for i in range(steps + 1)
    ]


def quantile_axis(width: int, reach: float) -> Row:
    """The names of the decades below a curve of this width."""
    cells = [" "] * width
    for decade, name in enumerate(_NAMES):
        if decade > reach + 1e-9:
            break
        x = round(decade / reach * (width - 1))
        x = min(max(0, x - (len(name) // 2 if decade else 0)), width - len(name))
        if all(c == " " for c in cells[max(0, x - 1) : x + len(name) + 1]):
            cells[x : x + len(name)] = name
    half = round(math.log10(2) / reach * (width - 1))  # p50 lies at 1/(1−0.5) = 2
    if all(c == " " for c in cells[max(0, half - 2) : half + 3]) and half + 2 <= width:
        cells[half - 1 : half + 2] = "p50"
    return (("".join(cells), "dim"),)
