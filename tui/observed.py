"""The observer effect on the screen: how far its measurement is, and what it found. This screen keeps still meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..sessions import observer
from ..sessions.records import Event
from ..sessions.view import View
from .render.cells import EMPTY, Glyphs, Row, box, clean, wrap
from .render.meter import meter
from .render.numbers import UNKNOWN, number, span
from .render.table import Cell, Column, table

_WIDE = 88
_UNITS = {"throughput": "/s"}


class ObserverDialog:
    """In front of the dashboard from the beginning to the end. `view` is the session's newest picture; `cancel` gives the measurement up."""

    def __init__(self, view: Callable[[], View], cancel: Callable[[], None]) -> None:
        self.refused = ""
        """Why the engine did not begin."""
        self._view, self._cancel = view, cancel
        self._since = view().now

    @property
    def quiet(self) -> bool:
        """Whether what this screen does itself would count: it is the same in all blocks, and as little as can be."""
        return not self.refused and not self._over()

    def _newest(self) -> Event | None:
        events = self._view().events
        return next(
            (e for e in reversed(events) if e.kind == observer.KIND and e.t >= self._since and e.data), None
        )

    def _over(self) -> bool:
        event = self._newest()
        return (event is not None and bool(event.data.get("over"))) or self._view().state != "live"

    def draw(self, width: int, height: int, glyphs: Glyphs) -> tuple[int, int, list[Row]]:
        wide = min(width, _WIDE)
        inner = wide - 4
        event = self._newest()
        if self.refused:
            rows = _text(self.refused, inner, "two")
        elif event is not None and event.data.get("over"):
            rows = _result(event, inner)
        elif self._view().state != "live":
            rows = _text("the session ended before anything was found", inner, "two")
        else:
            rows = _progress(event, inner, glyphs)
        closes = "cancels" if self.quiet else "closes"
        high = min(height, len(rows) + 2)
        drawn = box(
            (("observer effect", "title"),), (("esc", "key"), (f" {closes}", "dim")), rows, wide, high, glyphs
        )
        return (width - wide) // 2, max(0, (height - high) // 3), drawn

    def press(self, key: str, character: str | None) -> bool:
        if key not in ("escape", "q", "ctrl+q", "enter"):
            return False
        if self.quiet:
            if key == "enter":
                return False
            self._cancel()
        return True

    def paste(self, text: str) -> None:
        """It takes nothing in."""


def _text(text: str, width: int, style: str) -> list[Row]:
    return [((line, style),) for line in wrap(clean(text), width)]


def _progress(event: Event | None, width: int, glyphs: Glyphs) -> list[Row]:
    """How many blocks are done, and what is going on."""
    why = (
        "Telemetry and a screen of their own are switched on and off in short blocks while the run goes on; two blocks off "
        "against each other say how much blocks differ by themselves. This screen keeps still until it is done."
    )
    done, total = (
        (_whole(event.data.get(name)) for name in ("done", "total")) if event is not None else (0, 0)
    )
    if not total:
        return [*_text(why, width, "dim"), EMPTY, (("starting a screen", "one-strong"),)]
    left = (total - done) * (observer.BLOCK_S + observer.SETTLE_S)
    bar = meter(float(done), float(total), max(8, min(40, width - 34)), glyphs)
    state: Row = (*bar, (f"  {done} of {total} blocks", "strong"), (f", {span(left)} left", "dim"))
    return [*_text(why, width, "dim"), EMPTY, state]


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _result(event: Event, width: int) -> list[Row]:
    """The sentence, and each quantity with and without, its change and the control's."""
    found = event.data
    look = "one-strong" if event.level == "info" else "two-strong"
    rows = _text(event.text, width, look)
    if error := found.get("error"):
        rows += _text(f"it ended early: {error}", width, "two")
    effects = found.get("effects")
    if not isinstance(effects, Mapping):
        return rows
    columns = (
        Column("", right=False), Column("off"), Column("on"), Column("change"), Column("95 %"), Column("off against off"),
    )  # fmt: skip
    known = {str(name): effect for name, effect in effects.items() if isinstance(effect, Mapping)}
    rows += [EMPTY, *table(columns, [_row(name, effect) for name, effect in known.items()], width), EMPTY]
    for name, effect in known.items():
        rows += _text(f"{clean(name)}: {observer.words(effect)}", width, "text")
    rows += _text(
        f"{_whole(found.get('triples'))} shuffled triples of {observer.BLOCK_S:.0f} s blocks", width, "dim"
    )
    return rows


def _row(name: str, effect: Mapping[str, Any]) -> list[Cell]:
    unit = _UNITS.get(name, " ms")
    sides = [
        f"{number(effect[side])}{unit}" if _known(effect.get(side)) else UNKNOWN for side in ("off", "on")
    ]
    if not _known(effect.get("change")):
        return [clean(name), *sides, UNKNOWN, UNKNOWN, UNKNOWN]
    change = (observer.percent(effect["change"]), "strong")
    return [
        clean(name),
        *sides,
        change,
        observer.between(effect["ci95"]),
        observer.between(effect["control_ci95"]),
    ]


def _known(value: object) -> bool:
    return isinstance(value, int | float)
