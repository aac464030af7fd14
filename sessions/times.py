"""Where to go in a recording, as a person types it: `12:04:10`, `+90s`, `-3m`, `90s`, `p99>20ms`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..backends.errors import MeasureError
from .texts import line
from .units import parse_duration

QUANTILES = ("p50", "p99", "max")
"""What every tick says of its requests, in the order of its `q`."""

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?")
_CONDITION = re.compile(r"([A-Za-z][A-Za-z0-9.]*)\s*(>=|<=|>|<)\s*(.*)")
_HELP = "write 12:04:10, +90s, -3m, 90s (from the beginning) or p99>20ms"


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """A time of the clock on the wall, s since local midnight."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Offset:
    """A step of so many ns from where the cursor is."""

    ns: int


@dataclass(frozen=True, slots=True)
class FromStart:
    """So many ns from the beginning."""

    ns: int


@dataclass(frozen=True, slots=True)
class Condition:
    """The next tick whose quantile (an index of QUANTILES) compares like this with a limit, ns."""

    quantile: int
    comparison: str  # ">", ">=", "<", "<="
    limit: int

    def holds(self, q: list[int]) -> bool:
        value = q[self.quantile]
        if self.comparison == ">":
            return value > self.limit
        if self.comparison == "<":
            return value < self.limit
        return value >= self.limit if self.comparison == ">=" else value <= self.limit


Target = TimeOfDay | Offset | FromStart | Condition


def parse(text: str) -> Target:
    """What `text` means. Raises MeasureError with one sentence where it means nothing."""
    words = text.strip()
    if match := _CLOCK.fullmatch(words):
        return _time_of_day(match)
    if match := _CONDITION.fullmatch(words):
        name, comparison, limit = match.groups()
        if name not in QUANTILES:
            raise MeasureError(
                "usage",
                f"{line(name, 40)} is not known of every tick",
                "ask for p50, p99 or max, like p99>20ms",
            )
        return Condition(QUANTILES.index(name), comparison, _ns(limit, f"the limit of {name}"))
    if words[:1] in ("+", "-"):
        ns = _ns(words[1:], "the step")
        return Offset(ns if words[0] == "+" else -ns)
    if words[:1].isdigit():
        return FromStart(_ns(words, "the time"))
    raise MeasureError("usage", f"{line(words, 40)!r} is no time of a recording", _HELP)


def _time_of_day(match: re.Match[str]) -> TimeOfDay:
    hours, minutes, seconds = int(match[1]), int(match[2]), float(match[3] or 0)
    if hours > 23 or minutes > 59 or seconds >= 60:
        raise MeasureError("usage", f"{match[0]} is no time of day", _HELP)
    return TimeOfDay(hours * 3600 + minutes * 60 + seconds)


def _ns(text: str, what: str) -> int:
    return round(parse_duration(text.strip(), what) * 1e9)
