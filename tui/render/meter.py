"""A share of a fixed whole as a bar."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .cells import Glyphs, Row

_EIGHTHS = " ▏▎▍▌▋▊▉"


def meter(value: float | None, top: float, width: int, glyphs: Glyphs, style: str = "one") -> Row:
    """`value` of `top` as a bar of exactly `width` cells; empty where the value is not known."""
    if value is None or not math.isfinite(value) or top <= 0:
        return ((("." if glyphs.ascii else "·") * width, "frame"),)
    filled = min(max(value / top, 0.0), 1.0) * width
    whole = int(filled)
    if glyphs.ascii:
        whole = max(whole, 1) if value > 0 else 0
        return (("#" * whole, style), ("." * (width - whole), "frame"))
    part = "" if whole >= width else _EIGHTHS[int((filled - whole) * 8)]
    if value > 0 and whole == 0 and part == " ":
        part = "▏"
    text = "█" * whole + part.strip()
    return ((text, style), ("·" * (width - len(text)), "frame"))


_BARS, _BARS_ASCII = "▁▂▃▄▅▆▇█", "_-=#"


def columns(values: Sequence[float | None], top: float, width: int, glyphs: Glyphs) -> str:
    """One bar of a cell's height for each value; of more values than cells the largest of each group. Unknown is a dot."""
    size = max(1, math.ceil(len(values) / max(1, width)))
    bars = _BARS_ASCII if glyphs.ascii else _BARS
    out = ""
    for start in range(0, len(values), size):
        known = [v for v in values[start : start + size] if v is not None and math.isfinite(v)]
        step = int(min(max(max(known, default=0.0) / top, 0.0), 1.0) * len(bars))
        out += bars[min(step, len(bars) - 1)] if known else "." if glyphs.ascii else "·"
    return out
