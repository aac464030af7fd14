"""The part of a result that only an open loop has: the response latency, arrival to completion, and what waited."""

from __future__ import annotations

from typing import Any

from ..telemetry.histogram import Histogram
from ..telemetry.statistics import mean_interval, run_intervals
from .backlog import Backlog
from .measurement import Measurement
from .results import MEAN, QUANTILES, Interval, Result

UNSERVED_SHARE = 0.01
"""Where more of the arrivals than this were never served, those are the slowest hundredth: p99 would be a guess."""


def fields(measurement: Measurement, unserved: int) -> Result:
    """`response_ms` and its kin, and `open_loop`; nothing in a closed loop. `unserved` arrivals were given up at the end."""
    backlog = measurement.backlog
    if backlog is None or not measurement.requests:
        return {}
    reason = withheld(backlog, measurement.requests, unserved)
    delays = backlog.delays
    found: Result = {
        "open_loop": {
            "rate": backlog.rate,
            "issue_delay_ms": latency(delays),
            "backlog": backlog.waiting,
            "unserved": unserved,
            "unbounded": reason,
        }
    }
    response = measurement.response
    if reason is not None or not response.n:
        return found
    _, intervals = run_intervals(measurement.response_seconds, list(QUANTILES.values()))
    return found | {
        "response_ms": latency(response),
        "response_ci95_ms": milliseconds(intervals, mean_interval(measurement.response_seconds)),
        "response_hdr": response.encode(),
    }


def p99(opened: Result) -> tuple[float | None, Interval | None, str | None]:
    """p99 of an open loop's response latency, ms, with its interval, and why there is none; of what `fields` gave."""
    reason: str | None = (opened.get("open_loop") or {}).get("unbounded")
    value: float | None = (opened.get("response_ms") or {}).get("p99")
    return value, (opened.get("response_ci95_ms") or {}).get("p99"), reason


def withheld(backlog: Backlog, requests: int, unserved: int) -> str | None:
    """Why there are no percentiles of the response latency, or None."""
    growing = backlog.growing()
    if growing is not None:
        return growing
    if unserved > UNSERVED_SHARE * (requests + unserved):
        return f"latency unbounded: {unserved} requests that had arrived were not served before the run ended"
    return None


def latency(histogram: Histogram) -> dict[str, float | None]:
    """Summaries of a distribution, ms; null where it is empty (every request was instrumented and kept apart)."""
    if not histogram.n:
        return {"mean": None, **dict.fromkeys(QUANTILES), "max": None}
    quantiles = histogram.quantiles(list(QUANTILES.values()))
    return {
        "mean": histogram.mean / 1e6,
        **{name: value / 1e6 for name, value in zip(QUANTILES, quantiles, strict=True)},
        "max": histogram.max / 1e6,
    }


def milliseconds(
    intervals: dict[float, Any], of_mean: tuple[float, float] | None
) -> dict[str, list[float | None] | None]:
    """Intervals in ns by quantile, and the mean's, as ms by name."""
    return {
        **{
            name: [None if end is None else end / 1e6 for end in intervals[q]]
            for name, q in QUANTILES.items()
        },
        MEAN: None if of_mean is None else [end / 1e6 for end in of_mean],
    }
