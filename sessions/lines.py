"""Lines of text for people: aligned tables, and what happened with what to do."""

from __future__ import annotations

from collections.abc import Sequence

from . import texts


def table(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Lines of aligned columns; `right` says which hold numbers."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(right))]
    return [
        "  ".join(
            f"{cell:>{width}}" if number else f"{cell:<{width}}"
            for cell, width, number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


def sentence(message: str, fix: str) -> str:
    """What happened and what to do, on one line."""
    return texts.line(f"{message}; {fix}" if fix else message)
