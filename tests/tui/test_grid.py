"""The filtered stream puts the same screen on a terminal as the stream that Textual's compositor draws."""

from __future__ import annotations

import re
from typing import Any

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from infertop.tui.grid import Grid
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

WIDTH, HEIGHT = 24, 6

Frame = list[tuple[int, int, list[tuple[str, Style | None]]]]
"""Where each strip starts, and its parts."""

ENTER = "\x1b[?1049h"

words = st.text(st.sampled_from("ab ·–µ▲│⣿⡇ 漢字ｗ█▁é"), min_size=1, max_size=12)
styles = st.builds(
    Style,
    color=st.sampled_from([None, "red", "color(75)", "#e69f00", "default"]),
    bgcolor=st.sampled_from([None, "blue", "color(236)", "#101418", "default"]),
    bold=st.sampled_from([None, True]),
    dim=st.sampled_from([None, True]),
    reverse=st.sampled_from([None, True]),
    underline=st.sampled_from([None, True]),
)
strips = st.lists(st.tuples(words, st.none() | styles), min_size=1, max_size=5)
# A frame: where each strip starts, and whether the frame ends with a cursor movement, as the compositor's do.
frames = st.lists(
    st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), strips), min_size=1, max_size=4
)
TALLEST = 9
sizes = st.sampled_from([(WIDTH, HEIGHT), (WIDTH, HEIGHT), (9, 3), (31, TALLEST), (WIDTH, 4), (13, HEIGHT)])
depths = st.sampled_from(["standard", "256", "truecolor"])


def drawn(
    frame: Frame, console: Console, owned: list[dict[int, int]], width: int = WIDTH, height: int = HEIGHT
) -> str:
    """The compositor's stream for one frame. A strip never halves a wide character of its neighbours: the compositor crops to blanks."""
    out = []
    for x, y, parts in frame:
        if x >= width or y >= height:
            continue
        strip = Strip([Segment(text, style) for text, style in parts]).crop(0, width - x)
        row = owned[y]
        left, right = x, x + strip.cell_length
        if (
            row.get(left) == 2
        ):  # the second half of a wide character: blank its first half, as a crop would have
            out.append(f"\x1b[{y + 1};{left}H ")
            row.pop(left - 1, None)
        if row.get(right) == 2:
            out.append(f"\x1b[{y + 1};{right + 1}H ")
            row.pop(right)
        for cell in range(left, right):
            row.pop(cell, None)
        cell = left
        for segment in strip:
            for character in segment.text:
                if len(character.encode()) > 2 and Segment(character).cell_length == 2:
                    row[cell], row[cell + 1] = 1, 2
                    cell += 2
                else:
                    cell += 1
        out.append(f"\x1b[{y + 1};{x + 1}H{strip.render(console)}")
    return "".join(out) + "\x1b[1;1H"


def console_of(depth: str) -> Console:
    return Console(color_system=depth, force_terminal=True, legacy_windows=False)  # type: ignore[arg-type]


class Terminal:
    def __init__(self, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.screen = pyte.Screen(width, height)
        self.screen.reset_mode(pyte.modes.DECAWM)
        self.stream = pyte.Stream(self.screen)

    def feed(self, text: str) -> None:
        # pyte does not know the alternate screen, private keyboard modes and the brackets of synchronised output.
        self.stream.feed(re.sub(r"\x1b\[[?<>=][\d;]*[a-zA-Z]", "", text))

    def cells(self) -> list[tuple[Any, ...]]:
        found = []
        for y in range(self.screen.lines):
            for x in range(self.screen.columns):
                c = self.screen.buffer[y][x]
                look = (c.fg, c.bg, c.bold, c.underscore, c.reverse)
                if c.data == " " and not c.reverse and not c.underscore:
                    look = (None, c.bg, None, False, False)  # nothing else of a blank's look can be seen
                found.append((x, y, c.data, look))
        return found


@settings(max_examples=600, deadline=None)
@given(
    st.lists(
        st.tuples(frames, st.booleans(), st.sampled_from([None, None, 40, 200])), min_size=1, max_size=6
    ),
    depths,
    st.booleans(),
)
def test_any_frames_with_some_skipped_leave_the_same_screen(
    sequence: list[tuple[Frame, bool, int | None]], depth: str, synchronised: bool
) -> None:
    console = console_of(depth)
    plain, filtered, grid = Terminal(), Terminal(), Grid()
    filtered.feed(grid.feed(ENTER))
    if synchronised:
        grid.feed("\x1b[?2026h")
    owned: list[dict[int, int]] = [{} for _ in range(HEIGHT)]
    for frame, skipped, limit in sequence:
        data = drawn(frame, console, owned)
        plain.feed(data)
        assert grid.feed(data) == ""
        if not skipped:
            filtered.feed(grid.difference(WIDTH, HEIGHT, limit))
    while grid.dirty:
        filtered.feed(grid.difference(WIDTH, HEIGHT))
    assert filtered.cells() == plain.cells()
    assert grid.difference(WIDTH, HEIGHT) == ""


def blanks(width: int, height: int, console: Console) -> str:
    """What the compositor begins with after a resize: every row whole."""
    row = Strip([Segment(" " * width, Style())]).render(console)
    return "".join(f"\x1b[{y + 1};1H{row}" for y in range(height))


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(frames, sizes, st.booleans(), st.booleans(), st.sampled_from([None, None, 40])),
        min_size=2,
        max_size=8,
    ),
    depths,
)
def test_any_frames_between_resizes_leave_the_same_screen(
    sequence: list[tuple[Frame, tuple[int, int], bool, bool, int | None]], depth: str
) -> None:
    """Each frame has a size. The terminal changes first, a frame of the old size may still come, then the driver forgets and the compositor
    draws the new size whole."""
    console = console_of(depth)
    width, height = sequence[0][1]
    plain, filtered, grid = Terminal(width, height), Terminal(width, height), Grid()
    filtered.feed(grid.feed(ENTER))
    owned: list[dict[int, int]] = [{} for _ in range(TALLEST)]
    for frame, size, late, skipped, limit in sequence:
        data = ""
        if size != (width, height):
            plain.screen.resize(size[1], size[0])
            filtered.screen.resize(size[1], size[0])
            if late:
                grid.feed(drawn(frame, console, owned, width, height))
                filtered.feed(grid.difference(*size, limit))
            width, height = size
            grid.forget()
            data = blanks(width, height, console)
            owned = [{} for _ in range(TALLEST)]
        data += drawn(frame, console, owned, width, height)
        plain.feed(data)
        grid.feed(data)
        if not skipped:
            filtered.feed(grid.difference(width, height, limit))
    while grid.dirty:
        filtered.feed(grid.difference(width, height))
    assert filtered.cells() == plain.cells()
    assert grid.difference(width, height) == ""


@settings(max_examples=150, deadline=None)
@given(st.lists(frames, min_size=2, max_size=4), depths)
def test_a_terminal_that_forgot_is_drawn_whole(sequence: list[Frame], depth: str) -> None:
    console = console_of(depth)
    plain, grid = Terminal(), Grid()
    grid.feed(ENTER)
    owned: list[dict[int, int]] = [{} for _ in range(HEIGHT)]
    for frame in sequence:
        data = drawn(frame, console, owned)
        plain.feed(data)
        grid.feed(data)
        grid.difference(WIDTH, HEIGHT)
    grid.forget()
    fresh = Terminal()
    fresh.feed(grid.difference(WIDTH, HEIGHT))
    assert fresh.cells() == plain.cells()


def shown(text: str) -> Grid:
    grid = Grid()
    grid.feed(ENTER)
    grid.feed(text)
    grid.difference(80, 24)
    return grid


def test_one_changed_cell_costs_one_cell() -> None:
    grid = shown("\x1b[1;1H" + "x" * 79)
    grid.feed("\x1b[1;1H" + "x" * 40 + "y" + "x" * 38)
    assert grid.difference(80, 24) == "\x1b[1;41Hy"


def test_equal_frames_cost_nothing() -> None:
    text = "\x1b[3;1H\x1b[1;38;5;75mlatency\x1b[0m 3.58 ms"
    grid = shown(text)
    grid.feed(text)
    assert grid.difference(80, 24) == ""


def test_a_smaller_terminal_is_never_written_beyond_its_edges() -> None:
    grid = Grid()
    grid.feed(ENTER)
    for y in range(10):
        grid.feed(f"\x1b[{y + 1};1H" + f"{y}" * 30)
    small = Terminal(10, 4)
    small.feed(grid.difference(10, 4))
    assert small.screen.display == ["0" * 10, "1" * 10, "2" * 10, "3" * 10]


@pytest.mark.parametrize(
    "control", ["\x1b]52;c;eA==\a", "\x1b[?2026$p", "\a", "\x1b[>1u", "\x1b[?25l", "\x1b[?1006h"]
)
def test_what_is_not_for_cells_goes_out_as_it_is(control: str) -> None:
    grid = shown("\x1b[1;1Habc")
    assert grid.feed(f"\x1b[1;1Habd{control}") == control
    assert "d" in grid.difference(80, 24)


def test_text_outside_the_alternate_screen_passes() -> None:
    grid = shown("\x1b[1;1Habc")
    assert grid.feed("\x1b[?1049l") == "\x1b[?1049l"
    assert grid.feed("\x1b[1mdone\n") == "\x1b[1mdone\n"


def test_a_limited_difference_reaches_every_row() -> None:
    grid = Grid()
    grid.feed(ENTER)
    terminal = Terminal(20, 6)
    for y in range(6):
        grid.feed(f"\x1b[{y + 1};1H" + "abcdef"[y] * 20)
    rounds = 0
    while grid.dirty:
        terminal.feed(grid.difference(20, 6, limit=10))
        rounds += 1
    assert rounds == 6
    assert terminal.screen.display == [c * 20 for c in "abcdef"]
