"""A small table: columns as wide as their content, the last columns left out where they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from .cells import Row, cut


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, and which side its cells lean to. `flexible`: cut where the table is too wide, the widest first."""

    title: str
    right: bool = True
    flexible: bool = False
    style: str = "text"


Cell = str | tuple[str, str]

_LEAST = 8  # cells that are left of a column that is cut


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    width: int,
    gap: int = 2,
    keep: int | None = None,
) -> list[Row]:
    """A heading and the rows, each at most `width` cells. A cell is a text, or (text, style).

    Columns behind the first `keep` are left out before a flexible one is cut, which comes before others are left out.
    """
    texts = [[cell if isinstance(cell, str) else cell[0] for cell in row] for row in rows]
    widths = [max([cell_len(c.title), *(cell_len(row[i]) for row in texts)]) for i, c in enumerate(columns)]
    shown = len(columns)

    def total() -> int:
        return sum(widths[:shown]) + gap * (shown - 1)

    while keep is not None and shown > keep and total() > width:
        shown -= 1
    flexible = [i for i, column in enumerate(columns[:shown]) if column.flexible and widths[i] > _LEAST]
    for i in sorted(flexible, key=lambda i: -widths[i]):
        widths[i] = max(_LEAST, widths[i] - max(0, total() - width))
    while shown > 1 and total() > width:
        shown -= 1
    out: list[Row] = [tuple(_cells([(c.title, "dim") for c in columns], columns, widths, shown, gap))]
    for row, text in zip(rows, texts, strict=True):
        styled = [
            (t, cell[1] if not isinstance(cell, str) else c.style)
            for t, cell, c in zip(text, row, columns, strict=True)
        ]
        out.append(tuple(_cells(styled, columns, widths, shown, gap)))
    return out


def _cells(
    cells: Sequence[tuple[str, str]], columns: Sequence[Column], widths: Sequence[int], shown: int, gap: int
) -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    for i in range(shown):
        text, style = cells[i]
        text = cut(text, widths[i])
        blank = " " * (widths[i] - cell_len(text))
        between = " " * gap if i < shown - 1 else ""
        out.append((f"{blank}{text}{between}" if columns[i].right else f"{text}{blank}{between}", style))
    return out
