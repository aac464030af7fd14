"""What the terminal shows against what it should show: a grid of cells that turns drawn frames into the smallest difference.

Textual re-sends a dirty region whole, equal cells included. `Grid.feed` reads such a stream and remembers what every cell should
be; `Grid.difference` says what must be sent so that the terminal, as last left, shows it. Pure text in, text out: no terminal here.
"""

from __future__ import annotations

import re
from functools import lru_cache

from rich.cells import get_character_cell_size

_TOKEN = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|\x1b\[(?P<sgr>[\d;:]*)m"
    r"|\x1b\[(?P<y>\d+);(?P<x>\d+)H"
    r"|(?P<newline>\n)"
    r"|(?P<osc8>\x1b\]8;[^\x07\x1b]*(?:\x07|\x1b\\))"
    r"|(?P<other>\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|[\x00-\x1f\x7f-\x9f])"
)
# Characters that every terminal draws one cell wide: Latin, Greek, punctuation, arrows, mathematics, box drawing, blocks, braille.
_NARROW = re.compile(
    r"[\x20-\x7e\xa1-\xac\xae-\u02ff\u0391-\u03c9\u2010-\u2027\u2030-\u205e\u2190-\u21ff\u2200-\u22ff\u2500-\u25fc\u2800-\u28ff]+"
)
_UNKNOWN = "\0"
_SYNC_BEGIN, _SYNC_END = "\x1b[?2026h", "\x1b[?2026l"
_SYNC_WORTH = 256  # a smaller difference arrives whole anyway


class Grid:
    """The wanted and the sent screen. `alternate` is whether the alternate screen is on: outside it everything passes as it is."""

    def __init__(self) -> None:
        self.alternate = False
        self.synchronised = (
            False  # the compositor brackets its frames, so the terminal understands the brackets
        )
        self._want: list[
            tuple[list[str], list[str]]
        ] = []  # a row: characters ("" behind a wide one), SGR parameters
        self._sent: list[tuple[list[str], list[str]]] = []
        self._dirty: set[int] = set()
        self._x = self._y = 0  # where the drawn stream's cursor is
        self._drawn = ""  # its SGR
        self._cursor: tuple[int, int] | None = None  # the terminal's (x, y); None: unknown
        self._pen: str | None = None  # the terminal's SGR; None: unknown
        self._first = 0  # row at which a limited difference goes on

    @property
    def dirty(self) -> bool:
        return bool(self._dirty)

    def forget(self) -> None:
        """The terminal no longer shows what was sent (resize, resume, ctrl+l): all that is wanted goes out again."""
        for characters, pens in self._sent:
            characters[:] = [_UNKNOWN] * len(characters)
            pens[:] = [""] * len(pens)
        self._dirty.update(range(len(self._want)))
        self._cursor = self._pen = None

    def feed(self, data: str) -> str:
        """Take a piece of the compositor's stream. Returns what is not for cells (modes, queries, clipboard) and goes out as it is."""
        passed: list[str] = []
        for token in _TOKEN.finditer(data):
            kind = token.lastgroup
            if kind == "text":
                if self.alternate:
                    self._put(token[0])
                else:
                    passed.append(token[0])
            elif kind == "other":
                self._control(token[0], passed)
            elif not self.alternate:
                passed.append(token[0])
            elif kind == "sgr":
                parameters = token["sgr"]
                if parameters in ("", "0"):
                    self._drawn = ""
                else:
                    self._drawn = _settle(f"{self._drawn};{parameters}")
            elif kind == "x":
                self._x, self._y = int(token["x"]) - 1, int(token["y"]) - 1
            elif kind == "newline":
                self._x, self._y = 0, self._y + 1
        if passed:
            self._cursor = self._pen = None
        return "".join(passed)

    def _control(self, sequence: str, passed: list[str]) -> None:
        if sequence in (_SYNC_BEGIN, _SYNC_END):
            self.synchronised = True
            return
        if sequence == "\x1b[?1049h":
            self.alternate = True
            self.forget()
        elif sequence == "\x1b[?1049l":
            self.alternate = False
        passed.append(sequence)

    def _row(self, y: int, length: int) -> tuple[list[str], list[str]]:
        """The wanted row, both grids grown to `length` cells."""
        while len(self._want) <= y:
            self._want.append(([], []))
            self._sent.append(([], []))
        row = self._want[y]
        if (missing := length - len(row[0])) > 0:
            for characters, pens in (row, self._sent[y]):
                characters.extend([_UNKNOWN] * missing)
                pens.extend([""] * missing)
        return row

    def _put(self, text: str) -> None:
        x, y, pen = self._x, self._y, self._drawn
        if _NARROW.fullmatch(text):
            cells = list(text)
        else:
            cells = []
            for character in text:
                width = get_character_cell_size(character)
                if width == 0:
                    if cells:
                        lead = -2 if len(cells) > 1 and not cells[-1] else -1
                        cells[lead] += character
                    continue
                cells.append(character)
                cells.extend([""] * (width - 1))
        end = x + len(cells)
        characters, pens = self._row(y, end)
        # What is left of a wide character of which one half is overwritten is blank.
        if x < end and characters[x] == "" and x:
            characters[x - 1] = " "
        if end < len(characters) and characters[end] == "":
            characters[end] = " "
        characters[x:end] = cells
        pens[x:end] = [pen] * len(cells)
        if " " in text and (blank := _blank(pen)) != pen:
            for i in range(x, end):
                if characters[i] == " ":
                    pens[i] = blank
        self._x = end
        self._dirty.add(y)

    def difference(self, width: int, height: int, limit: int | None = None) -> str:
        """What to send so that a terminal of this size shows what is wanted; it then counts as sent.

        With `limit` (bytes) it stops behind the row that exceeds it; the other rows stay dirty and the next call goes on there.
        """
        out: list[str] = []
        size = 0
        rows = sorted(self._dirty)
        if limit is not None:
            rows = [y for y in rows if y >= self._first] + [y for y in rows if y < self._first]
        for y in rows:
            self._dirty.discard(y)
            if y < height:
                before = len(out)
                self._row_difference(y, width, out)
                size += sum(len(part.encode()) for part in out[before:])
            if limit is not None and size > limit:
                self._first = y + 1
                break
        if self.synchronised and size > _SYNC_WORTH:
            return f"{_SYNC_BEGIN}{''.join(out)}{_SYNC_END}"
        return "".join(out)

    def _row_difference(self, y: int, width: int, out: list[str]) -> None:
        characters, pens = self._want[y]
        sent, sent_pens = self._sent[y]
        if characters == sent and pens == sent_pens:
            return
        changed = [
            x
            for x, (a, b, c, d) in enumerate(zip(characters, sent, pens, sent_pens, strict=True))
            if (a != b or c != d) and a != _UNKNOWN
        ]
        reached = -1  # cells before this are done
        for x in changed:
            if x >= width:
                break
            if characters[x] == "" and x:
                x -= 1  # a wide character is sent from its first half
            if x < reached:
                continue
            self._move(x, y, characters, pens, out)
            reached = self._emit(x, y, width, out)
        sent[:] = characters
        sent_pens[:] = pens

    def _move(self, x: int, y: int, characters: list[str], pens: list[str], out: list[str]) -> None:
        """Bring the terminal's cursor to a cell by the shortest way: over the cells between, forward, or absolutely."""
        if self._cursor == (x, y):
            return
        if self._cursor is not None and self._cursor[1] == y and self._cursor[0] < x:
            start = self._cursor[0]
            gap = x - start
            forward = "\x1b[C" if gap == 1 else f"\x1b[{gap}C"
            between = characters[start:x]
            if (
                gap <= len(forward)
                and self._pen is not None
                and all(
                    a.isascii() and a not in ("", _UNKNOWN) and _shows(self._pen, a, pen)
                    for a, pen in zip(between, pens[start:x], strict=True)
                )
            ):
                out.append("".join(between))
            else:
                out.append(forward)
        else:
            out.append(f"\x1b[{y + 1}H" if x == 0 else f"\x1b[{y + 1};{x + 1}H")
        self._cursor = (x, y)

    def _emit(self, x: int, y: int, width: int, out: list[str]) -> int:
        """Send the changed cells from `x` on, as far as they are neighbours. Returns the first cell that was not sent."""
        characters, pens = self._want[y]
        sent, sent_pens = self._sent[y]
        first = True
        while x < width and x < len(characters):
            character, pen = characters[x], pens[x]
            wide = x + 1 < len(characters) and characters[x + 1] == ""
            same = character == sent[x] and pen == sent_pens[x]
            if wide:
                same = same and sent[x + 1] == "" and pens[x + 1] == sent_pens[x + 1]
            if character == _UNKNOWN or (same and not first):
                break
            if wide and x + 1 >= width:
                break  # half of it would not fit
            if self._pen is None or not _shows(self._pen, character, pen):
                out.append(_transition(self._pen, pen))
                self._pen = pen
            out.append(character)
            x += 2 if wide else 1
            first = False
            if wide or (not character.isascii() and len(character) > 1):
                # Terminals disagree about the width of such characters: place what follows absolutely.
                self._cursor = None
                return x
        # Behind the last column the cursor's place differs between terminals.
        self._cursor = (x, y) if x < width else None
        return max(x, 1)


def _shows(active: str, character: str, pen: str) -> bool:
    """Whether the character looks right when sent under the active pen: the same, or a blank on the same ground."""
    return active == pen or (character == " " and _blank(active) == pen)


@lru_cache(4096)
def _attributes(pen: str) -> tuple[tuple[str, str], ...]:
    """SGR parameters as (what they set, parameters), the last of each kind, in a fixed order."""
    found: dict[str, str] = {}
    parameters = pen.replace(":", ";").split(";")
    i = 0
    while i < len(parameters):
        value = parameters[i] or "0"
        if value in ("38", "48", "58"):
            count = 5 if parameters[i + 1 : i + 2] == ["2"] else 3
            found[{"38": "fg", "48": "bg", "58": "ul"}[value]] = ";".join(parameters[i : i + count])
            i += count
            continue
        number = int(value)
        if number == 0:
            found.clear()
        elif 30 <= number <= 37 or 90 <= number <= 97:
            found["fg"] = value
        elif 40 <= number <= 47 or 100 <= number <= 107:
            found["bg"] = value
        elif number in (39, 49, 59):
            found.pop({39: "fg", 49: "bg", 59: "ul"}[number], None)
        elif number == 22:
            found.pop("1", None)
            found.pop("2", None)
        elif 23 <= number <= 29:
            found.pop(str(number - 20), None)
        else:
            found[value] = value
        i += 1
    return tuple(sorted(found.items()))


@lru_cache(4096)
def _settle(pen: str) -> str:
    """The same look with each attribute once and in order, so that equal looks are equal text; "" is the default."""
    return ";".join(parameters for _, parameters in _attributes(pen))


@lru_cache(4096)
def _blank(pen: str) -> str:
    """What of a look shows on a blank: its ground, unless a line or reversal makes the rest visible."""
    attributes = _attributes(pen)
    if all(kind in ("fg", "bg", "1", "2", "3") for kind, _ in attributes):
        return ";".join(parameters for kind, parameters in attributes if kind == "bg")
    return pen


@lru_cache(4096)
def _transition(active: str | None, pen: str) -> str:
    """The shortest SGR sequence from one look to another."""
    if not pen:
        return "\x1b[m"
    whole = f"\x1b[0;{pen}m"
    if active is None:
        return whole
    old, new = dict(_attributes(active)), dict(_attributes(pen))
    if not active:
        return f"\x1b[{pen}m"
    if any(kind not in new and kind not in ("fg", "bg") for kind in old):
        return whole
    parts = [parameters for kind, parameters in new.items() if old.get(kind) != parameters]
    parts += [{"fg": "39", "bg": "49"}[kind] for kind in old if kind not in new]
    step = f"\x1b[{';'.join(parts)}m"
    return step if len(step) < len(whole) else whole
