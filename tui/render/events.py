"""What happened, newest last: lines of time and sentence, or one line of the last few."""

from __future__ import annotations

from collections.abc import Sequence

from .cells import Glyphs, Row, clean, cut, length, wrap
from .numbers import clock

Entry = tuple[int, str, str]  # wall clock (unix ns), level (or "verdict"), sentence

_STYLE = {"warn": "two", "error": "bad", "verdict": "one"}
_GLYPH = {"warn": "▲ ", "error": "✕ ", "verdict": "◆ "}


def line(entry: Entry, width: int, glyphs: Glyphs) -> Row:
    """One event in at most `width` cells."""
    unix, level, text = entry
    head = f"{clock(unix)} "
    body = glyphs.plain(_GLYPH.get(level, "")) + clean(text)
    return ((head, "dim"), (cut(body, width - len(head)), _STYLE.get(level, "text")))


def whole(entry: Entry, width: int, glyphs: Glyphs) -> list[Row]:
    """One event in as many rows as it needs."""
    unix, level, text = entry
    head, style = f"{clock(unix)} ", _STYLE.get(level, "text")
    pieces = wrap(glyphs.plain(_GLYPH.get(level, "")) + clean(text), max(10, width - len(head)))
    return [((head if i == 0 else " " * len(head), "dim"), (piece, style)) for i, piece in enumerate(pieces)]


def lines(entries: Sequence[Entry], width: int, height: int, glyphs: Glyphs) -> list[Row]:
    """The last `height` events, oldest first."""
    return [line(entry, width, glyphs) for entry in entries[-height:]] if height > 0 else []


def ticker(entries: Sequence[Entry], width: int, glyphs: Glyphs) -> Row:
    """The last events that fit in one row, newest first, so that the newest is never the one cut off."""
    out: Row = ()
    for entry in reversed(entries):
        part = line(entry, width, glyphs)
        if not out:
            out = part
            continue
        if length(out) + 3 + length(part) > width:
            break
        out = (*out, (" · ", "dim"), *part)
    return out
