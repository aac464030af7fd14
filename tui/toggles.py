"""An overlay in which several things are chosen at once: a heading and its values in a line, each on or off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from .render.cells import EMPTY, Glyphs, Row, box, clean, length, wrap

_MARGIN = 2  # cells that stay free at each side
_MOVES = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0), "h": (0, -1), "l": (0, 1), "k": (-1, 0),
          "j": (1, 0), "tab": (1, 0), "shift+tab": (-1, 0)}  # fmt: skip


@dataclass
class Toggle:
    """A value that is on or off."""

    value: str
    text: str
    on: bool


Chosen = Mapping[str, Sequence[str]]
"""The values that are on, by the heading that they stand under."""


@dataclass
class Toggles:
    """`choose` gets what is on once enter is pressed, `summary` says after each change what that means."""

    title: str
    groups: Sequence[tuple[str, Sequence[Toggle]]]
    choose: Callable[[Chosen], None]
    summary: Callable[[Chosen], Sequence[str]]
    busy: str = ""
    problem: str = ""
    _row: int = field(default=0, repr=False)
    _column: int = field(default=0, repr=False)
    quiet: ClassVar[bool] = False

    def chosen(self) -> Chosen:
        """The values that are on."""
        return {name: [t.value for t in toggles if t.on] for name, toggles in self.groups}

    def draw(self, width: int, height: int, glyphs: Glyphs) -> tuple[int, int, list[Row]]:
        """Where its first cell lies, and its rows, on a screen of this size."""
        wide = min(width - 2 * _MARGIN, 88)
        inner = wide - 4
        rows: list[Row] = []
        for i, (name, toggles) in enumerate(self.groups):
            rows += self._group(name, toggles, self._column if i == self._row else None, inner)
        rows.append(EMPTY)
        for line in self.summary(self.chosen()):
            rows += [((piece, "text"),) for piece in wrap(clean(line), inner)]
        if self.busy:
            rows.append(((self.busy, "two"),))
        rows += [((piece, "bad"),) for piece in wrap(clean(self.problem), inner)]
        keys: Row = (
            ("space", "key"),
            (" toggles  ", "dim"),
            ("a", "key"),
            (" all  ", "dim"),
            ("enter", "key"),
        )
        right: Row = (*keys, (" goes on  ", "dim"), ("esc", "key"), (" closes", "dim"))
        high = min(height, 2 + len(rows))
        drawn = box(((self.title, "title"),), right, rows, wide, high, glyphs)
        return (width - wide) // 2, max(0, (height - high) // 3), drawn

    def _group(self, name: str, toggles: Sequence[Toggle], at: int | None, width: int) -> list[Row]:
        """The values behind their heading, in as many rows as they need."""
        head = max(len(n) for n, _ in self.groups) + 2
        rows: list[Row] = []
        row: Row = ((clean(name).ljust(head), "strong" if at is not None else "dim"),)
        for i, toggle in enumerate(toggles):
            text = f"[{'x' if toggle.on else ' '}] {clean(toggle.text)}"
            if length(row) + len(text) + 2 > width:
                rows.append(row)
                row = ((" " * head, "text"),)
            look = "chosen" if i == at else "text" if toggle.on else "dim"
            row = (*row, (text, look), ("  ", "text"))
        return [*rows, row]

    def press(self, key: str, character: str | None) -> bool:
        """Take a key; true when it closes."""
        if key in ("escape", "ctrl+q"):
            return True
        toggles = self.groups[self._row][1]
        if key == "enter":
            if not self.busy:
                self.problem = ""
                self.choose(self.chosen())
            return False
        if key in _MOVES:
            down, right = _MOVES[key]
            self._row = (self._row + down) % len(self.groups)
            toggles = self.groups[self._row][1]
            self._column = 0 if down else (self._column + right) % len(toggles)
        elif key == "space" and not self.busy:
            toggles[self._column].on = not toggles[self._column].on
            self.problem = ""
        elif key == "a" and not self.busy:
            on = not all(toggle.on for toggle in toggles)
            for toggle in toggles:
                toggle.on = on
            self.problem = ""
        return False

    def paste(self, text: str) -> None:
        """Nothing is typed here."""
