"""Numbers with units for people: three significant digits, as the histograms have, and `–` for what is not known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

UNKNOWN = "–"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of time: its sign and its length in ns."""

    name: str
    ns: float


NANOSECONDS, MICROSECONDS, MILLISECONDS, SECONDS = (
    Unit("ns", 1),
    Unit("µs", 1e3),
    Unit("ms", 1e6),
    Unit("s", 1e9),
)


def unit_for(ns: float | None) -> Unit:
    """The unit in which a latency reads well: 850 µs, 3.58 ms, 999 ms, 12.4 s."""
    if ns is None or not math.isfinite(ns):
        return MILLISECONDS
    if ns < 1e3:
        return NANOSECONDS
    if ns < 1e6:
        return MICROSECONDS
    return MILLISECONDS if ns < 1e10 else SECONDS


def number(value: float | None) -> str:
    """Three significant digits, or a whole number grouped by blanks: `0.021`, `3.58`, `12.4`, `143`, `8 779`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}".replace(",", " ").replace("-", "−")
    if size >= 9.995:
        text = f"{value:.1f}"
    elif size >= 0.0995 or size == 0:
        text = f"{value:.2f}"
    else:
        text = f"{value:.3f}" if size >= 0.0005 else f"{value:.1g}"
    return text.replace("-", "−")


def duration(ns: float | None, unit: Unit | None = None, *, name: bool = True) -> str:
    """A duration in a unit (its own, if none is given)."""
    if ns is None or not math.isfinite(ns):
        return UNKNOWN
    unit = unit or unit_for(ns)
    text = number(ns / unit.ns)
    return f"{text} {unit.name}" if name else text


def tick(ns: float) -> str:
    """A round value of a latency axis with its unit, short: `500µs`, `1.5ms`, `0`."""
    if not ns:
        return "0"
    unit = unit_for(ns * (1 + 1e-9))
    return f"{float(f'{ns / unit.ns:.3g}'):g}{unit.name}"


def seconds(value: float | None) -> str:
    """A waiting time that a person counts along with: `0.8 s`, `12.4 s`, `3:07`, `1:02:03`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value < 99.95:
        return f"{value:.1f} s"
    return span(value)


def span(value: float) -> str:
    """Minutes and seconds, with hours where there are any: `03:12`, `1:02:03`."""
    whole = int(value)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def clock(unix_ns: int) -> str:
    """Wall-clock time of day, local."""
    return datetime.fromtimestamp(unix_ns / 1e9).strftime("%H:%M:%S")


def size(value: float | None) -> str:
    """Bytes in decimal units, as the disk and the link count them: `720 kB`, `1.2 MB`, `80.0 GB`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    for name, unit in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(value) >= unit * 0.9995:
            scaled = value / unit
            return f"{scaled:.0f} {name}" if scaled >= 99.5 else f"{scaled:.1f} {name}"
    return f"{value:.0f} B"


def share(value: float | None) -> str:
    """A value that is already in per cent: `0.4 %`, `22 %`, `100 %`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:.1f} %" if abs(value) < 9.95 else f"{value:.0f} %"


def quantity(value: float | None, unit: str) -> str:
    """A reading in the unit of its metric."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if unit == "%":
        return share(value)
    if unit == "B":
        return size(value)
    if unit == "B/s":
        return f"{size(value)}/s"
    if unit == "Hz":
        return f"{number(value / 1e6)} MHz" if value < 1e9 else f"{value / 1e9:.2f} GHz"
    if unit == "MHz":
        return f"{value:.0f} MHz"
    if unit == "W":
        return f"{value:.0f} W" if value >= 9.95 else f"{value:.1f} W"
    if unit in ("C", "°C"):
        return f"{value:.0f} °C"
    if unit == "cores":
        return f"{value:.3g} cores"
    if unit == "ns":
        return duration(value)
    return number(value) if unit in ("", "1") else f"{number(value)} {unit}"


def part_of(value: float | None, whole: float, unit: str) -> str:
    """A reading beside what it can be at most, in that one's unit: `5.3 of 52.3 GB/s`, `361 of 700 W`."""
    text = quantity(whole, unit)
    figure = text.rpartition(" ")[0]
    if value is None or not math.isfinite(value) or not figure or whole <= 0:
        return f"{UNKNOWN} of {text}"
    scaled = value / whole * float(figure.replace(" ", ""))
    if scaled >= 99.5 or scaled == 0:
        shown = f"{scaled:.0f}"
    elif scaled >= 0.95:
        shown = f"{scaled:.1f}"
    else:
        shown = f"{scaled:.2f}" if scaled >= 0.005 else "<0.01"
    return f"{shown} of {text}"


def count(value: float | None) -> str:
    """A whole number grouped by blanks: `8 230`."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}".replace(",", " ")


def change(now: float | None, before: float | None) -> str:
    """A change in per cent: `+38 %`, `−4.2 %`; from tenfold on as a factor: `×36.4`."""
    if not now or not before:
        return UNKNOWN
    if _as_factor(now, before):
        return f"×{number(now / before)}"
    percent = (now / before - 1) * 100
    text = f"{percent:+.0f}" if abs(percent) >= 9.95 else f"{percent:+.1f}"
    return text.replace("-", "−") + " %"


def _as_factor(now: float, before: float) -> bool:
    return abs(now / before - 1) >= 10


@dataclass(frozen=True, slots=True)
class Measured:
    """A value with the ends of its interval, None where n is too small for them."""

    value: float
    low: float | None
    high: float | None


def sure_change(now: Measured, before: Measured) -> tuple[str, bool | None]:
    """The change with its range, `+38 % (37–39)` or `×36.4 (35.9–36.9)`, and whether it is sure: the intervals do not overlap.

    The range goes from end to end of both intervals, so it is at least as wide as it must be. Without one of the ends it is not known
    (None), and a change that is not sure has no range either.
    """
    if not (now.value and before.value and now.low and now.high and before.low and before.high):
        return change(now.value, before.value), None
    ratio, low, high = now.value / before.value, now.low / before.high, now.high / before.low
    if low <= 1 <= high:
        return change(now.value, before.value), False
    if _as_factor(now.value, before.value):
        value, *ends = _alike((ratio, low, high), 1 if ratio < 99.5 else 0)
        return f"×{value} ({ends[0]}–{ends[1]})", True
    shares = sorted(abs(end - 1) * 100 for end in (low, high))
    percent = abs(ratio - 1) * 100
    value, *ends = _alike((percent, *shares), 0 if percent >= 9.95 else 1)
    return f"{'+' if ratio > 1 else '−'}{value} % ({ends[0]}–{ends[1]})", True


def change_style(better: bool, sure: bool | None) -> str:
    """How a change looks: a gain unlike a loss, and what is not known to be a change like neither."""
    return ("one" if better else "two") if sure else "text"


def _alike(values: tuple[float, ...], decimals: int) -> list[str]:
    """A value and its two ends with the same decimals: one more than usual where the range is too narrow to be seen otherwise."""
    value, low, high = values
    if high - low < 10**-decimals and value < 99.5:
        decimals += 1
    return [f"{value:,.{decimals}f}".replace(",", " ") for value in values]
