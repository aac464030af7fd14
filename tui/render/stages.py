"""Where a request's time goes: one bar cut into stages, and what each cut stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .cells import Glyphs, Row
from .numbers import Unit, number


@dataclass(frozen=True, slots=True)
class Part:
    """A stage: mean ns. Its texture tells it apart where its hue cannot."""

    name: str
    ns: float
    texture: str
    style: str


_LOOKS = {
    "host": ("▒", "dim", ":"),
    "h2d": ("▓", "two", "%"),
    "compute": ("█", "one", "#"),
    "d2h": ("░", "three", "="),
    "gap": ("╌", "dim", "-"),
}
ORDER = tuple(_LOOKS)


def parts(stages: dict[str, float], glyphs: Glyphs) -> list[Part]:
    """The stages that add up to a request, in the order in which they happen. `enqueue` overlaps them and is no part."""
    return [
        Part(name, max(0.0, stages[name]), ascii_texture if glyphs.ascii else texture, style)
        for name, (texture, style, ascii_texture) in _LOOKS.items()
        if stages.get(name) is not None
    ]


def bar(stages: Sequence[Part], width: int) -> Row:
    """The stages as one bar of exactly `width` cells, by largest remainder; a stage that takes any time has at least a cell."""
    total = sum(p.ns for p in stages)
    if total <= 0 or width < len(stages):
        return (("·" * width, "frame"),)
    exact = [p.ns / total * width for p in stages]
    cells = [max(int(e), 1 if p.ns > 0 else 0) for e, p in zip(exact, stages, strict=True)]
    while sum(cells) != width:
        step = 1 if sum(cells) < width else -1
        candidates = [i for i, c in enumerate(cells) if step > 0 or c > 1]
        best = max(candidates, key=lambda i: (exact[i] - cells[i]) * step)
        cells[best] += step
    return tuple((p.texture * c, p.style) for p, c in zip(stages, cells, strict=True) if c)


def counts(stage: Part, stages: Sequence[Part], least: float) -> bool:
    """Whether a stage takes at least this share of all."""
    return stage.ns >= least * sum(p.ns for p in stages)


def legend(
    stages: Sequence[Part], unit: Unit, *, shares: bool = True, whole: Sequence[Part] = ()
) -> list[Row]:
    """For each stage its texture, name and time, and with `shares` its part of the whole (of all stages, where some are left out)."""
    total = sum(p.ns for p in whole or stages) or 1.0
    rows: list[Row] = []
    for p in stages:
        row: Row = ((f"{p.texture} ", p.style), (f"{p.name} ", "text"), (_time(p.ns / unit.ns), "strong"))
        rows.append((*row, (f" {p.ns / total * 100:.0f}%", "dim")) if shares else row)
    return rows


def _time(value: float) -> str:
    """Two decimals serve beside stages that are larger; less than half a hundredth keeps its digits."""
    return f"{value:.2f}" if 0.005 <= value < 0.1 else number(value)
