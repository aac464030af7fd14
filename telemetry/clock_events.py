"""Why a GPU's clocks are where they are: NVML's clock event reasons and the exact counters of the time in some of them, by name."""

from __future__ import annotations

from collections.abc import Mapping

REASONS: Mapping[int, str] = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
    0x100: "display clocks",
}
"""Bit of nvmlDeviceGetCurrentClocksEventReasons → name (nvml.h, nvmlClocksEventReasons)."""

COUNTERS: Mapping[str, str] = {
    "throttle_power": "power cap",
    "throttle_sync": "sync boost",
    "throttle_thermal": "software thermal",
    "throttle_hw_thermal": "hardware thermal",
    "throttle_brake": "power brake",
}
"""Metric of a time counter, ns → the reason whose time it counts."""


def names(bits: int) -> list[str]:
    """The reasons in a mask; a bit that has no name yet as `unknown bit 0x200`."""
    found = [name for bit, name in REASONS.items() if bits & bit]
    rest = bits & ~sum(REASONS)
    return found + [f"unknown bit {1 << place:#x}" for place in range(rest.bit_length()) if rest >> place & 1]


def shares(masks: Mapping[int, int], rates: Mapping[str, float | None]) -> dict[str, dict[str, object]]:
    """Reason → `{share, from}`: its share of the time, 0 to 1, by the exact counter (`counter`) where there is one, else by
    the share of the ticks that had its bit (`ticks`). Those that never were are left out.

    `masks` is how many ticks had which mask, `rates` ns a second of each counter.
    """
    total = sum(masks.values())
    ticks: dict[str, int] = {}
    for mask, count in masks.items():
        for name in names(mask):
            ticks[name] = ticks.get(name, 0) + count
    found: dict[str, dict[str, object]] = {
        name: {"share": round(count / total, 4), "from": "ticks"} for name, count in ticks.items()
    }
    for metric, name in COUNTERS.items():
        rate = rates.get(metric)
        if rate is not None:
            found.pop(name, None)
            if rate > 0:
                found[name] = {"share": round(min(1.0, rate / 1e9), 4), "from": "counter"}
    return dict(sorted(found.items(), key=lambda item: -float(str(item[1]["share"]))))
