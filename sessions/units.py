"""Words to numbers and numbers to words: what a person types with a unit, and how a value is shown with
one."""

from __future__ import annotations

import math
import re

from ..backends.errors import MeasureError

UNKNOWN = "–"
"""What is shown for a value that is not known. Never 0."""

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|μs|ms|s|min|m|h)")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")


def parse_duration(text: str, what: str = "duration") -> float:
    """Seconds of `10s`, `500ms`, `2m` or `1h30m`. Without a unit it is refused: 10 could be seconds or
    milliseconds."""
    words = text.strip()
    parts = _PART.findall(words)
    if parts and "".join(number + unit for number, unit in parts) == words:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if _NUMBER.fullmatch(words):
        raise MeasureError(
            "usage",
            f"{what} {words!r} has no unit",
            f"write {words.lstrip('+-')}s, {words.lstrip('+-')}ms or 1h30m",
        )
    raise MeasureError(
        "usage", f"{what} {words!r} is not a duration", "write it like 10s, 500ms, 2m or 1h30m"
    )


def parse_count(text: str, what: str = "count", least: int = 1) -> int:
    """A whole number of at least `least`, 1 or 0."""
    words = text.strip()
    if words.isascii() and words.isdigit() and int(words) >= least:
        return int(words)
    above = " above 0" if least else ""
    raise MeasureError("usage", f"{what} {words!r} is not a whole number{above}", "write it like 1 or 32")


def parse_counts(text: str, what: str = "count", least: int = 1) -> list[int]:
    """`1,8,32` as [1, 8, 32]."""
    return [parse_count(part, what, least) for part in text.split(",")]


def parse_rate(text: str, what: str = "rate") -> float:
    """`1000/s` (or `1000`: a rate has one unit) as 1000.0."""
    words = text.strip()
    number = re.sub(r"\s*(samples)?/s$", "", words)
    if _NUMBER.fullmatch(number):
        return float(number)
    raise MeasureError("usage", f"{what} {words!r} is not a rate", "write it like 1000/s")


def significant(value: float | None, digits: int = 3) -> str:
    """`value` with `digits` significant digits in fixed notation and all digits before the point: 0.0412,
    3.58, 35.8, 12 346."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{value:,.{min(decimals, 12)}f}".replace(",", " ")


def signed(value: float) -> str:
    """A difference with its sign: three digits that count, and all before the point: +0.041, −1.1, −1 070."""
    text = f"{value:+.3g}" if abs(value) < 999.5 else f"{value:+,.0f}".replace(",", " ")
    return text.replace("-", "−")


def milliseconds(value: float | None) -> str:
    """A latency in ms, without its unit: 3.58."""
    return significant(value)


def count(value: int | None) -> str:
    """12 346, or – where it is not known."""
    return UNKNOWN if value is None else f"{value:,}".replace(",", " ")


def rate(value: float | None) -> str:
    """Samples a second, without its unit: four digits, so that a change of 1 % shows."""
    return significant(value, 4)


def change(share: float) -> str:
    """A relative change in whole percent, with its sign: +9 %, −1 %, 0 %."""
    return f"{share * 100:+.0f} %".replace("-", "−").replace("+0 ", "0 ").replace("−0 ", "0 ")


def duration(seconds: float | None) -> str:
    """A time as people say it: 250 ms, 9.5 s, 3 min 12 s, 1 h 05 min."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if 0 < seconds < 1:
        return f"{significant(seconds * 1e3)} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(value: float | None) -> str:
    """Bytes in decimal units: 1.2 MB."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5:
            return (
                f"{value:.0f} B"
                if unit == "B"
                else f"{significant(value, 2 if abs(value) < 9.95 else 3)} {unit}"
            )
        value /= 1000
    return f"{significant(value)} TB"
