"""The one widget that draws: rows of styled text, of which only those that changed are drawn again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from ..render.cells import EMPTY, Glyphs, Row


class Rows(Widget):
    """Rows as given, cut or padded to the widget's size."""

    DEFAULT_CSS = "Rows { width: 1fr; height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._rows: Sequence[Row] = ()
        self._strips: dict[int, Strip] = {}
        self._looks: Mapping[str, Style] = {}
        self._glyphs: Glyphs | None = None

    def dress(self, looks: Mapping[str, Style], glyphs: Glyphs) -> None:
        """Draw with these looks from now on."""
        self._looks, self._glyphs = looks, glyphs
        self._strips.clear()
        self.refresh()

    def show(self, rows: Sequence[Row]) -> None:
        """Draw these rows; those that are equal to what is shown cost nothing."""
        width = self.size.width
        changed = []
        for y in range(max(len(rows), len(self._rows))):
            new = rows[y] if y < len(rows) else EMPTY
            old = self._rows[y] if y < len(self._rows) else EMPTY
            if new != old:
                changed.append(Region(0, y, width, 1))
                self._strips.pop(y, None)
        self._rows = rows
        if changed:
            self.refresh(*changed)

    @property
    def rows(self) -> Sequence[Row]:
        return self._rows

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        strip = self._strips.get(y)
        if strip is None or strip.cell_length != width:
            row = self._rows[y] if y < len(self._rows) else EMPTY
            plain = self._glyphs.plain if self._glyphs is not None and self._glyphs.ascii else str
            base = self._looks.get("text")
            segments = [Segment(plain(text), self._looks[name]) for text, name in row if text]
            strip = Strip(segments).adjust_cell_length(width, base).simplify()
            self._strips[y] = strip
        return strip
