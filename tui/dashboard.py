"""The one screen: a dashboard of rows, with an overlay in front of it where one is open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rich.style import Style
from textual.app import ComposeResult
from textual.screen import Screen

from .overlays import Overlay
from .paint import paint, with_axes
from .render.axis import Scale
from .render.cells import Glyphs, lay
from .scene import Scene
from .widgets.rows import Rows


class Dashboard(Screen[None], inherit_bindings=False):
    """Shows scenes. It keeps what must outlive a paint: its axes, so that they stand still."""

    CSS = "Dashboard { overflow: hidden; }"

    def __init__(self) -> None:
        super().__init__()
        self._rows = Rows()
        self._scales: Mapping[str, Scale] = {}
        self._last: tuple[Scene, Overlay | None] | None = None

    def compose(self) -> ComposeResult:
        yield self._rows

    def on_resize(self) -> None:
        if self._last is not None:
            self.call_after_refresh(self.show, *self._last)

    def dress(self, looks: Mapping[str, Style], glyphs: Glyphs) -> None:
        self._rows.dress(looks, glyphs)

    def show(self, scene: Scene, overlay: Overlay | None) -> None:
        """Draw the scene; rows that are equal to what is shown cost nothing."""
        self._last = (scene, overlay)
        width, height = self._rows.size
        if not width or not height:
            return  # not laid out yet: the resize that comes draws it
        scene = with_axes(replace(scene, scales=self._scales), width)
        self._scales = scene.scales
        rows = paint(scene, width, height)
        if overlay is not None:
            x, y, over = overlay.draw(width, height, scene.glyphs)
            rows = lay(rows, x, y, over, width)
        self._rows.show(rows)
