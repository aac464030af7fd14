"""Rows of cells: a row is a tuple of (text, style name); what comes from outside is cleaned before it gets in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

Row = tuple[tuple[str, str], ...]

EMPTY: Row = ()


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What may be drawn: braille and box drawing, or ASCII alone. Every character of either is one cell wide."""

    ascii: bool

    def plain(self, text: str) -> str:
        """The text as this tier can show it, in as many cells."""
        if not self.ascii or text.isascii():
            return text
        return "".join(c if c.isascii() else _PLAIN.get(c, "?" * cell_len(c)) for c in text)

    def key(self, shown: str) -> str:
        """How a key is called."""
        for arrow, name in _ARROWS.items() if self.ascii else ():
            shown = shown.replace(arrow, name)
        return shown


BRAILLE = Glyphs(ascii=False)
ASCII = Glyphs(ascii=True)

_ARROWS = {"←": "left", "→": "right"}  # as names of keys: < and > are other keys
_PLAIN = {
    "·": ".", "–": "-", "—": "-", "…": "~", "µ": "u", "×": "x", "≥": ">", "≤": "<", "≈": "~", "±": "~", "→": ">", "←": "<",
    "▲": "^", "▴": "^", "▼": "v", "▾": "v", "●": "*", "○": "o", "◌": "o", "■": "#", "□": "o", "▶": ">", "▸": ">", "‖": "|",
    "✕": "!", "✓": "+", "░": ".", "▒": ":", "▓": "%", "█": "#", "▏": "|", "▕": "|", "▌": "|", "─": "-", "━": "=", "│": "|",
    "┊": ":", "┌": "+", "┐": "+", "└": "+", "┘": "+", "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+", "╭": "+", "╮": "+",
    "╰": "+", "╯": "+", "÷": "/", "−": "-", "°": " ", "↵": "<", "↑": "^", "↓": "v", "▁": "_", "▬": "=", "◆": "*", "\u2009": " ",
    "›": ">", "“": '"', "”": '"', "╌": "-", "╎": ":", "⠤": "-", "⣿": "#", "₁": "1",
}  # fmt: skip


@lru_cache(2048)
def clean(text: str) -> str:
    """Untrusted text as one line of visible characters, each one or two cells wide.

    Control characters would move the cursor, and characters without a width (joiners, direction marks, stray accents) would
    make terminals disagree about where the rest of the row is.
    """
    if text.isascii() and text.isprintable():
        return text
    out = []
    for character in unicodedata.normalize("NFC", text):
        if character in "\n\t\r":
            out.append(" ")
        elif cell_len(character) > 0 and unicodedata.category(character)[0] != "C":
            out.append(character)
    return "".join(out)


def length(row: Row) -> int:
    """Width of a row in cells."""
    return sum(cell_len(text) for text, _ in row)


def cut(text: str, width: int) -> str:
    """The text in at most `width` cells; `…` stands for what is left out."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def fit(row: Row, width: int, style: str = "text") -> Row:
    """The row in exactly `width` cells: cut with `…`, or padded."""
    size = length(row)
    if size == width:
        return row
    if size < width:
        return (*row, (" " * (width - size), style))
    out: list[tuple[str, str]] = []
    left = width
    for text, name in row:
        size = cell_len(text)
        if size < left or (size == left and not out):
            out.append((text, name))
            left -= size
            continue
        out.append((_fill(cut(text, left) if size > left else cut(text + "x", left), left), name))
        break
    return tuple(out)


def _fill(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def spread(left: Row, right: Row, width: int, style: str = "text") -> Row:
    """`left` at the left edge and `right` at the right one; where both do not fit the left one is cut."""
    size = length(right)
    if size + 1 >= width:
        return fit(left, width, style)
    return (*fit(left, width - size - 1, style), (" ", style), *right)


def beside(blocks: Sequence[tuple[Sequence[Row], int]], height: int) -> list[Row]:
    """Blocks of (rows, width) set side by side, each padded to its width and to `height`."""
    rows = []
    for y in range(height):
        row: list[tuple[str, str]] = []
        for block, width in blocks:
            row.extend(fit(block[y] if y < len(block) else EMPTY, width))
        rows.append(tuple(row))
    return rows


def part(row: Row, start: int, end: int) -> Row:
    """The cells from `start` up to `end`; half of a wide character is a blank."""
    out: list[tuple[str, str]] = []
    x = 0
    for text, style in row:
        size = cell_len(text)
        if x < end and x + size > start:
            piece = text
            if x + size > end:
                piece = set_cell_size(piece, end - x)
            if x < start:
                piece = _tail(piece, start - x)
            out.append((piece, style))
        x += size
    return fit(tuple(out), end - start)


def _tail(text: str, skip: int) -> str:
    """The text without its first `skip` cells."""
    x = 0
    for i, character in enumerate(text):
        if x >= skip:
            return " " * (x - skip) + text[i:]
        x += cell_len(character)
    return " " * (x - skip)


def lay(rows: Sequence[Row], x: int, y: int, over: Sequence[Row], width: int) -> list[Row]:
    """Rows of `width` cells with a block laid over them, its first cell at (x, y)."""
    out = list(rows)
    for i, top in enumerate(over):
        if 0 <= y + i < len(out):
            below = out[y + i]
            end = min(width, x + length(top))
            out[y + i] = (*part(below, 0, x), *part(top, 0, end - x), *part(below, end, width))
    return out


def words(parts: Iterable[Row], separator: Row, width: int) -> Row:
    """As many whole parts as fit, joined."""
    out: Row = ()
    for part in parts:
        candidate = (*out, *separator, *part) if out else part
        if length(candidate) > width:
            break
        out = candidate
    return out


_BLANKS = re.compile(r"(?<!\d)\s+|\s+(?!\d{3}(?!\d))|(?<=\d)\s\s+")


def wrap(text: str, width: int) -> list[str]:
    """Text in lines of at most `width` cells, broken at blanks but those within a number (`8 779`); a longer word is cut into pieces."""
    lines: list[str] = []
    line = ""
    for word in _BLANKS.split(text.strip()):
        while cell_len(word) > width:
            piece = set_cell_size(word, width)
            if line:
                lines.append(line)
                line = ""
            lines.append(piece.rstrip())
            word = word[len(piece) :]
        if not line:
            line = word
        elif cell_len(line) + 1 + cell_len(word) <= width:
            line += " " + word
        else:
            lines.append(line)
            line = word
    if line:
        lines.append(line)
    return lines


_LEAST_TITLE = 16


def rule(title: Row, right: Row, width: int, glyphs: Glyphs) -> Row:
    """A heading on a line across: `─ title ───── right ─`. Where both do not fit the title is cut, as long as it still says what it heads."""
    dash = "-" if glyphs.ascii else "─"
    room = width - 3
    if right and length(title) > room - length(right) - 4 >= _LEAST_TITLE:
        room -= length(right) + 4
    title = title if length(title) <= room else fit(title, room)
    left: Row = ((f"{dash} ", "frame"), *title, (" ", "frame"))
    rest = width - length(left)
    if right and length(right) + 4 <= rest:
        return (*left, (dash * (rest - length(right) - 3) + " ", "frame"), *right, (f" {dash}", "frame"))
    return (*left, (dash * rest, "frame"))


def box(title: Row, right: Row, rows: Sequence[Row], width: int, height: int, glyphs: Glyphs) -> list[Row]:
    """Rows in a frame with a heading, exactly `width` by `height`."""
    dash, bar, corners = ("-", "|", "++++") if glyphs.ascii else ("─", "│", "╭╮╰╯")
    top = rule(title, right, width - 2, glyphs)
    out: list[Row] = [((corners[0], "frame"), *top, (corners[1], "frame"))]
    for y in range(height - 2):
        content = fit(rows[y] if y < len(rows) else EMPTY, width - 4)
        out.append(((f"{bar} ", "frame"), *content, (f" {bar}", "frame")))
    out.append(((corners[2] + dash * (width - 2) + corners[3], "frame"),))
    return out
