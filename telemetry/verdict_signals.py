"""What a rule of the diagnosis is made of: signals with their thresholds, and the finding that they make together.

Sources of the thresholds: enqueue ÷ compute 0.8 and copies ≥ compute are trtexec's warnings (sampleReporting.cpp); 20 % removable, 60 % and
80 % of the link are this project's; the others were chosen so that the provoked cases of tests/telemetry/scripted.py are told apart with
10 % of noise on every reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

REMOVABLE = 0.20
SLOW_PATH, LINK_BOUND, LINK_SHARE = 0.60, 0.80, 0.40
COPY_FLOOR_NS = 10_000
"""No bandwidth makes a copy shorter than its own start takes: about 10 µs on an H100 with events around it."""
RX_OFF = 0.40
ENQUEUE, SM_IDLE, POWER_LOW, CORE_BUSY = 0.80, 50.0, 0.55, 0.80
MOSTLY, PIPE_BUSY, DRAM_BUSY, UTIL_BUSY = 0.50, 40.0, 60.0, 70.0
HOST_SHARE, GAP_SHARE = 0.20, 0.30
SATURATED, UNSATURATED = 0.80, 0.60
CAPPED, CLOCK_LOST, POWER_FULL, POWER_NEAR = 0.20, 0.85, 0.95, 0.80
OTHERS_CPU, CPU_FULL, PRESSURE = 0.20, 0.90, 0.10
QUIET_UTIL, UTIL_BEYOND, SLOWER = 20.0, 25.0, 1.30
UNDER, KEEPS_UP, NO_QUEUE = 0.70, 0.97, 1.20
QUOTA_HELD = 0.10
EXPLAINED = 0.80
CLOCK_KEPT = 0.95
"""At this share of its rated clock nothing is lost that is worth a verdict."""
OPERATOR = 200.0
"""µs of the host for an operator: issuing one takes 5 to 25, a slow one with its shapes and plans below 100."""
WAITING = 0.30
"""Cores below which a CPU backend that is busy with requests does not compute."""
SATURATED_BATCH = 0.90

POWER_REASONS, THERMAL_REASONS = 0x4 | 0x80, 0x20 | 0x40 | 0x8
"""NVML's clock event reasons: power cap and power brake; software, hardware thermal and hardware slowdown (nvml.h)."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A measured value against its threshold; `sense` is how it has to stand to it.

    `value` is None where it is not known here, `threshold` where the value only stands beside the others.
    """

    name: str
    value: float | None
    unit: str
    threshold: float | None = None
    sense: Literal[">=", "<="] = ">="

    @property
    def agrees(self) -> bool | None:
        """None: cannot be said."""
        if self.value is None or self.threshold is None:
            return None
        return self.value >= self.threshold if self.sense == ">=" else self.value <= self.threshold


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule sees. `score` is the share of the service latency that it is about."""

    kind: str
    score: float
    text: str
    signals: tuple[Signal, ...]

    @property
    def agreeing(self) -> int:
        return sum(signal.agrees is True for signal in self.signals)

    @property
    def holds(self) -> bool:
        """Two signals agree, the first of them among those: it is what the kind is defined by."""
        return self.signals[0].agrees is True and self.agreeing >= 2

    @property
    def confidence(self) -> float:
        """0.65 for two agreeing signals and 0.15 more for each further one; 0.15 less for each that speaks against, 0.05 for each unknown."""
        against = sum(signal.agrees is False for signal in self.signals)
        unknown = sum(signal.value is None for signal in self.signals)
        return round(min(0.95, max(0.3, 0.35 + 0.15 * self.agreeing - 0.15 * against - 0.05 * unknown)), 2)


def ms(nanoseconds: float) -> str:
    """`1.52`, with three digits that count."""
    value = nanoseconds / 1e6
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def gigabytes(rate: float) -> str:
    value = rate / 1e9
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def significant(value: float) -> str:
    """`611`, `2.87`: three digits that count."""
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.3g}"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b
