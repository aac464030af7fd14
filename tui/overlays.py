"""What is laid over the dashboard: a pager for texts and a picker for choices. They draw rows and take keys; Textual is not here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

from rich.cells import cell_len

from .render.cells import EMPTY, Glyphs, Row, box, clean, cut, fit, spread, wrap

_MARGIN = 2  # cells that stay free at each side


class Overlay(Protocol):
    """Something in front of the dashboard that has the keys."""

    def draw(self, width: int, height: int, glyphs: Glyphs) -> tuple[int, int, list[Row]]:
        """Where its first cell lies, and its rows, on a screen of this size."""

    def press(self, key: str, character: str | None) -> bool:
        """Take a key; true when it closes."""

    def paste(self, text: str) -> None: ...

    @property
    def quiet(self) -> bool:
        """Whether the screen keeps as still as it can as long as this is open."""


class Pager:
    """A text that can be longer than the screen. `rows` makes it for a width."""

    quiet = False

    def __init__(self, title: str, rows: Callable[[int], list[Row]], *, at_end: bool = False) -> None:
        self._title = title
        self._rows = rows
        self._top: int | None = None if at_end else 0  # None: at the end
        self._page = 1
        self._length = 0

    def draw(self, width: int, height: int, glyphs: Glyphs) -> tuple[int, int, list[Row]]:
        wide = min(width, 120)
        rows = self._rows(wide - 4)
        self._length = len(rows)
        high = min(height, max(len(rows) + 2, 6))
        self._page = high - 2
        last = max(0, len(rows) - self._page)
        self._top = last if self._top is None else min(max(0, self._top), last)
        place = f"{self._top + 1}–{min(len(rows), self._top + self._page)} of {len(rows)}" if last else ""
        right: Row = ((place + "  " if place else "", "dim"), ("esc", "key"), (" closes", "dim"))
        shown = rows[self._top : self._top + self._page]
        drawn = box(((self._title, "title"),), right, shown, wide, high, glyphs)
        return (width - wide) // 2, max(0, (height - high) // 2), drawn

    def press(self, key: str, character: str | None) -> bool:
        top = 0 if self._top is None else self._top
        moves = {
            "down": 1, "j": 1, "up": -1, "k": -1, "pagedown": self._page, "space": self._page, "pageup": -self._page,
            "b": -self._page, "home": -self._length, "g": -self._length, "end": self._length, "G": self._length,
        }  # fmt: skip
        if key in moves:
            self._top = top + moves[key]
            return False
        return key in ("escape", "q", "enter", "question_mark", "h", "f1", "e", "o", "c", "v", "ctrl+q")

    def paste(self, text: str) -> None:
        """A text takes nothing in."""


def text_rows(text: str) -> Callable[[int], list[Row]]:
    """Somebody else's text as rows of any width; what begins with blanks, as a traceback's lines do, keeps them."""

    def rows(width: int) -> list[Row]:
        out: list[Row] = []
        for line in text.splitlines() or [""]:
            line = line.expandtabs(4)
            indent = " " * min(len(line) - len(line.lstrip()), width // 2)
            out += [((indent + piece, "text"),) for piece in wrap(clean(line), width - len(indent))] or [
                EMPTY
            ]
        return out

    return rows


@dataclass(frozen=True, slots=True)
class Choice:
    """A line of a picker. `value` is handed on; a line with `why_not` is shown and cannot be chosen."""

    value: str
    text: str
    note: str = ""
    keys: str = ""
    why_not: str = ""


@dataclass
class Picker:
    """A line to type in over a list that it narrows. `choose` gets the value of the line chosen, or with `free` what was typed."""

    title: str
    choices: Sequence[Choice]
    choose: Callable[
        [str], bool
    ]  # true: done, close; false: it will close the picker itself or say what is wrong
    free: str = ""  # what a typed text is, e.g. "a model"; empty: only the list counts
    hint: str = ""
    query: str = ""
    index: int = 0
    problem: tuple[str, str] = ("", "")  # a sentence and what to do
    busy: str = ""
    lines: Sequence[str] = ()  # shown above the list, as many as there is room for
    _top: int = field(default=0, repr=False)
    quiet: ClassVar[bool] = False

    def found(self) -> list[Choice]:
        """The choices that hold every word typed."""
        words = self.query.lower().split()
        return [c for c in self.choices if all(w in f"{c.text} {c.note}".lower() for w in words)]

    def draw(self, width: int, height: int, glyphs: Glyphs) -> tuple[int, int, list[Row]]:
        wide = min(width - 2 * _MARGIN, 88)
        inner = wide - 4
        found = self.found()
        rows: list[Row] = [
            (
                (("> " if glyphs.ascii else "› "), "key"),
                (clean(self.query), "strong"),
                ("█" if not glyphs.ascii else "_", "one"),
            )
        ]
        if self.busy:
            rows.append(((self.busy, "two"),))
        sentence, fix = self.problem
        rows += [((line, "bad"),) for line in wrap(clean(sentence), inner)]
        rows += [((f"→ {line}", "text"),) for line in wrap(clean(fix), inner - 2)]
        if self.hint and not self.query and not sentence:
            rows.append(((self.hint, "dim"),))
        rows.append(EMPTY)
        rows += self._above(inner, height - len(rows) - len(self.choices) - 5)
        room = max(3, min(len(self.choices) or 1, height - 4 - len(rows)))
        self.index = min(max(0, self.index), max(0, len(found) - 1))
        self._top = min(max(self._top, self.index - room + 1), self.index)
        # Notes are told in full where there is room for all of them.
        told = [self._told(choice, i == self.index, inner, glyphs) for i, choice in enumerate(found)]
        if sum(map(len, told)) <= height - 2 - len(rows):
            rows += [row for choice in told for row in choice]
        else:
            for i, choice in enumerate(found[self._top : self._top + room], start=self._top):
                rows.append(self._line(choice, i == self.index, inner, glyphs))
        if not found:
            typed = cut(clean(self.query), inner - 20)
            rows.append(((f"enter takes “{typed}” as {self.free}" if self.free else "nothing fits", "dim"),))
        right: Row = (("enter", "key"), (" takes  ", "dim"), ("esc", "key"), (" closes", "dim"))
        high = min(height, 2 + len(rows))
        drawn = box(((self.title, "title"),), right, rows, wide, high, glyphs)
        # Its first row stays where it is while the list narrows.
        return (width - wide) // 2, max(0, (height - len(self.choices) - len(self.lines) - 6) // 3), drawn

    def _above(self, width: int, height: int) -> list[Row]:
        """The lines, with how many more there are."""
        if not self.lines:
            return []
        fits = len(self.lines) if len(self.lines) <= height else max(1, height - 1)
        out: list[Row] = [((cut(clean(line), width), "text"),) for line in self.lines[:fits]]
        if fits < len(self.lines):
            out.append(((f"and {len(self.lines) - fits} more", "dim"),))
        return [*out, EMPTY]

    def _told(self, choice: Choice, chosen: bool, width: int, glyphs: Glyphs) -> list[Row]:
        """A choice with its whole note, which goes on in rows of its own."""
        note = clean(choice.why_not or choice.note)
        indent = cell_len(clean(choice.text)) + 4
        if choice.keys or indent + cell_len(note) <= width or indent > width // 2:
            return [self._line(choice, chosen, width, glyphs)]
        first, *rest = wrap(note, width - indent)
        look = "chosen-dim" if chosen else "dim"
        head = self._line(
            replace(choice, note=first, why_not=first if choice.why_not else ""), chosen, width, glyphs
        )
        return [head, *(fit(((" " * indent + line, look),), width, look) for line in rest)]

    def _line(self, choice: Choice, chosen: bool, width: int, glyphs: Glyphs) -> Row:
        look, dim = ("chosen", "chosen-dim") if chosen else ("text", "dim")
        if choice.why_not:
            look = dim
        note = choice.why_not or choice.note
        left: Row = ((("> " if glyphs.ascii else "▸ ") if chosen else "  ", look), (clean(choice.text), look))
        right: Row = ((choice.keys, dim),) if choice.keys else EMPTY
        if note:
            left = (*left, (f"  {clean(note)}", dim))
        return fit(spread(left, right, width, look) if right else fit(left, width, look), width, look)

    def press(self, key: str, character: str | None) -> bool:
        found = self.found()
        if key in ("escape", "ctrl+q"):
            return True
        if key == "enter":
            return self._enter(found)
        if key in ("down", "tab", "ctrl+n"):
            self.index += 1
        elif key in ("up", "shift+tab", "ctrl+p"):
            self.index = max(0, self.index - 1)
        elif key in ("pagedown", "pageup"):
            self.index = max(0, self.index + (10 if key == "pagedown" else -10))
        elif key == "backspace":
            self._type(self.query[:-1])
        elif key in ("ctrl+u", "ctrl+w"):
            self._type("" if key == "ctrl+u" else self.query.rstrip().rpartition(" ")[0])
        elif character is not None and character.isprintable():
            self._type(self.query + character)
        return False

    def _type(self, query: str) -> None:
        self.query, self.index, self.problem = query, 0, ("", "")

    def _enter(self, found: list[Choice]) -> bool:
        if self.busy:
            return False
        if found and not (self.free and self.query.strip() and not self._names(found[self.index])):
            choice = found[self.index]
            if choice.why_not:
                self.problem = (choice.why_not, "")
                return False
            return self.choose(choice.value)
        if self.free and self.query.strip():
            return self.choose(self.query.strip())
        return False

    def _names(self, choice: Choice) -> bool:
        """Whether the choice is what was typed, and not only somewhere contains it: a path that is typed out is taken as it stands."""
        return "/" not in self.query or self.query.strip() == choice.value

    def paste(self, text: str) -> None:
        self._type(self.query + clean(text))
