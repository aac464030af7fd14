"""Latency distributions as the View shows them: from a histogram while a run goes on, from its result once it has ended."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from ..telemetry.histogram import Histogram
from ..telemetry.statistics import quantile_interval
from .records import OUTSIDE
from .view import QUANTILES, Latency, Quantile

_NAMES = {0.5: "p50", 0.9: "p90", 0.95: "p95", 0.99: "p99", 0.999: "p99_9"}  # in `infertop.run/1`
_PER_DECADE = 12  # points of the curve
_NUMBER_LIMIT = 1e15  # ms; whatever a hostile result says, ns fit into 64 bits


def summarise(histogram: Histogram) -> Latency | None:
    """The histogram's quantiles with their intervals within this run (order statistics); None without a request."""
    if not histogram.n:
        return None
    quantiles = tuple(
        Quantile(q, value, *quantile_interval(histogram, q))
        for q, value in zip(QUANTILES, histogram.quantiles(QUANTILES), strict=True)
    )
    return Latency(histogram.n, histogram.mean, histogram.max, quantiles, curve(histogram))


def curve(histogram: Histogram) -> tuple[tuple[float, int], ...]:
    """(quantile, ns) at even steps of log 1/(1−q), as far out as the requests reach: 1/(1−q) ≤ n."""
    points = int(math.log10(histogram.n) * _PER_DECADE) + 1
    qs = [1 - 10 ** (-i / _PER_DECADE) for i in range(points)]
    return tuple(zip(qs, histogram.quantiles(qs), strict=True))


def of_result(result: Mapping[str, Any]) -> Latency | None:
    """The distribution of a finished run's `result` (an element of `results` of `infertop.run/1`); None where it has none.

    Its numbers stand as they are; what it leaves out comes from its histogram.
    """
    return _of(result, "latency_hdr", "latency_ms", "latency_ci95_ms")


def response_of_result(result: Mapping[str, Any]) -> Latency | None:
    """The same of the response latency, which only an open loop has."""
    return _of(result, "response_hdr", "response_ms", "response_ci95_ms")


def unbounded_of_result(result: Mapping[str, Any]) -> str | None:
    """Why the response latency of an open loop has no percentiles; None where it has, or where there is none."""
    reason = _mapping(result.get("open_loop")).get("unbounded")
    return reason if isinstance(reason, str) else None


def _of(result: Mapping[str, Any], histogram: str, values: str, bounds: str) -> Latency | None:
    blob = result.get(histogram)
    measured = _of_blob(blob) if isinstance(blob, str) else None
    given, intervals = _mapping(result.get(values)), _mapping(result.get(bounds))
    quantiles = []
    for i, q in enumerate(QUANTILES):
        value = nanoseconds(given.get(_NAMES[q]))
        interval = intervals.get(_NAMES[q])
        if value is None:
            if measured is None:
                continue
            value = measured.quantiles[i].value
        low, high = interval if isinstance(interval, list) and len(interval) == 2 else (None, None)
        quantiles.append(Quantile(q, value, nanoseconds(low), nanoseconds(high)))
    if not quantiles:
        return None
    n = measured.n if measured else count(result.get("requests"))
    mean, high = nanoseconds(given.get("mean")), nanoseconds(given.get("max"))
    return Latency(
        n=n,
        mean=float(mean) if mean is not None else measured.mean if measured else math.nan,
        max=high if high is not None else measured.max if measured else quantiles[-1].value,
        quantiles=tuple(quantiles),
        curve=measured.curve if measured else (),
    )


@functools.lru_cache(maxsize=128)
def _of_blob(blob: str) -> Latency | None:
    """Cached: the ended runs of a session are the same at each seek."""
    try:
        return summarise(Histogram.decode(blob))
    except ValueError:
        return None


def stages_of_result(result: Mapping[str, Any]) -> dict[str, float] | None:
    """Mean of each stage, ns; a stage that the backend does not measure is absent."""
    means = {
        name: mean
        for name, stage in _mapping(result.get("stages_ms")).items()
        if (mean := nanoseconds(_mapping(stage).get("mean"))) is not None
    }
    return {name: float(mean) for name, mean in means.items()} or None


def outside_of_result(result: Mapping[str, Any]) -> dict[str, float] | None:
    """Mean of each known part of the gap, ns."""
    parts = _mapping(result.get("gap")).get("parts")
    means = {
        name: mean
        for part in (parts if isinstance(parts, list) else ())
        if (name := _mapping(part).get("name")) in OUTSIDE
        and (mean := nanoseconds(_mapping(part).get("ms"))) is not None
    }
    return {name: float(mean) for name, mean in means.items()} or None


def nanoseconds(milliseconds: object) -> int | None:
    """A number of ms in whole ns; None where it is none."""
    value = number(milliseconds)
    return None if value is None else round(value * 1e6)


def number(value: object) -> float | None:
    """A finite number as a result may hold it, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _NUMBER_LIMIT:
        return None
    return float(value)


def count(value: object) -> int:
    """A count as a result may hold it, else 0."""
    return max(0, int(number(value) or 0))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
