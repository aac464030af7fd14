"""One result of the repeats of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..telemetry.histogram import Histogram
from ..telemetry.statistics import quantile_interval, repeat_interval
from . import energy, gap
from .diagnosis import together
from .records import OUTSIDE, STAGES
from .results import COLD_START, LATENCY, MEAN, QUANTILES, Interval, Result

REPEATS_FOR_INTERVAL = 5
"""From here on intervals are those between repeats: they contain what a run's own interval cannot, the
difference from run to run."""


def merge(repeats: Sequence[Result], planned: int = 1) -> Result:
    """One result of the repeats of a configuration: histograms added, never percentiles averaged. A single
    one stays as it is. Where more repeats were `planned` than there are, it is not complete.

    One that failed makes the whole fail: `error` says which, the numbers are those of the others, and
    `repeats` holds each. Repeats that all fell back are pooled like any; beside others they are left out.
    """
    if len(repeats) == 1:
        return {**repeats[0], **_extent(repeats, planned), "repeats": []}
    good = [r for r in repeats if r["status"] == "ok"] or [r for r in repeats if r["status"] == "fallback"]
    if not good:
        return {**repeats[0], **_extent(repeats, planned), "repeats": list(repeats)}
    first = good[0]
    histogram = _pooled(good)
    samples = sum(r["samples"] for r in good)
    seconds = sum(r["duration_s"] or 0.0 for r in good)
    throughput = samples / seconds if seconds else None
    latency = _latency(histogram, good)
    intervals, throughput_interval, method = _intervals(good, histogram, latency, throughput)
    bad = next((r for r in repeats if r["status"] != first["status"]), None)
    merged = {
        **first,
        "status": first["status"] if bad is None else bad["status"],
        "error": first["error"] if bad is None else _numbered(bad["error"], repeats.index(bad), len(repeats)),
        **_extent(repeats, planned),
        "requests": sum(r["requests"] for r in good),
        "samples": samples,
        "duration_s": seconds,
        "throughput": throughput,
        "throughput_ci95": throughput_interval,
        "tokens_per_s": _mean((r.get("tokens_per_s"), r["duration_s"]) for r in good),
        "latency_ms": latency,
        "latency_ci95_ms": intervals,
        "ci_method": method,
        "latency_hdr": None if histogram is None else histogram.encode(),
        **_response(good),
        "slo": _limit(good),
        "stages_ms": _stages(good),
        "instrumented": _instrumented(good),
        "stage_n": sum(r["stage_n"] or 0 for r in good),
        "cold_start_s": {
            phase: _first(r["cold_start_s"].get(phase) for r in good if r["cold_start_s"])
            for phase in COLD_START
        },
        "telemetry": _telemetry(good),
        "energy_j_per_sample": _mean((r["energy_j_per_sample"], r["samples"]) for r in good),
        "energy": energy.together([(r.get("energy"), r["samples"]) for r in good]),
        "agreement": _agreement(good),
        "verdicts": together([(r["verdicts"], r["duration_s"] or 0.0) for r in good]),
        **_stability(good),
        "dropped": sum(r["dropped"] or 0 for r in repeats),
        "repeats": list(repeats),
    }
    merged["gap"] = gap.of_result(merged, _outside(good))
    return merged


def _extent(repeats: Sequence[Result], planned: int) -> Result:
    """Whether all that was asked for was measured, and what that is."""
    asked = repeats[0].get("asked")
    known = [r.get("complete") for r in repeats]
    whole = False if False in known or len(repeats) < planned else None if None in known else True
    return {"complete": whole, "asked": {**(asked or {}), "repeats": planned} if planned > 1 else asked}


def _numbered(error: dict[str, Any] | None, index: int, of: int) -> dict[str, Any] | None:
    return error and {**error, "message": f"repeat {index + 1} of {of}: {error['message']}"}


def _pooled(good: Sequence[Result], name: str = "latency_hdr") -> Histogram | None:
    total: Histogram | None = None
    for result in good:
        if result[name] is None:
            continue
        histogram = Histogram.decode(result[name])
        if total is None:
            total = histogram
        else:
            total.add(histogram)
    return total


def _latency(
    histogram: Histogram | None, good: Sequence[Result], name: str = "latency_ms"
) -> dict[str, float | None]:
    """Quantiles of the pooled histogram; the mean weighted by requests."""
    if histogram is None or histogram.n == 0:
        return dict.fromkeys(LATENCY)
    quantiles = histogram.quantiles(list(QUANTILES.values()))
    return {
        "mean": _mean((r[name]["mean"], r["requests"]) for r in good),
        **{name: value / 1e6 for name, value in zip(QUANTILES, quantiles, strict=True)},
        "max": max((r[name]["max"] for r in good if r[name]["max"] is not None), default=None),
    }


def _intervals(
    good: Sequence[Result],
    pooled: Histogram | None,
    latency: dict[str, float | None],
    throughput: float | None,
) -> tuple[dict[str, Interval | None], Interval | None, str | None]:
    """Intervals of the quantiles (ms) and of the throughput, and how they were found."""
    of_quantiles = _quantile_intervals(good, pooled, latency, "latency")
    if len(good) >= REPEATS_FOR_INTERVAL:
        method = f"Student t between {len(good)} repeats"
        return of_quantiles, _between([r["throughput"] for r in good], throughput), method
    methods = list(dict.fromkeys(r["ci_method"] for r in good if r["ci_method"]))
    method = f"widest of {len(good)} repeats ({', '.join(methods)})" if methods else ""
    return of_quantiles, _widest([r.get("throughput_ci95") for r in good]), method or None


def _quantile_intervals(
    good: Sequence[Result], pooled: Histogram | None, latency: dict[str, float | None], which: str
) -> dict[str, Interval | None]:
    """Those of the latency or the response, ms."""
    if len(good) >= REPEATS_FOR_INTERVAL:
        return {
            name: _between([r[f"{which}_ms"][name] for r in good], latency[name], _bounds(pooled, q))
            for name, q in QUANTILES.items()
        } | {MEAN: _between([r[f"{which}_ms"][MEAN] for r in good], latency[MEAN])}
    # Too few repeats for an interval of their own: all that any of them holds possible.
    return {
        name: _widest([(r[f"{which}_ci95_ms"] or {}).get(name) for r in good]) for name in (*QUANTILES, MEAN)
    }


def _between(
    values: Sequence[float | None], value: float | None, within: tuple[int | None, int | None] | None = (0, 0)
) -> Interval | None:
    """The interval of the mean of the repeats' values, widened to the pooled `value`, which need not be that
    mean.

    Where all requests together are too few for a bound of the quantile (`within`), the repeats' values were
    guesses: it stays unknown.
    """
    known = [v for v in values if v is not None]
    if len(known) < REPEATS_FOR_INTERVAL or value is None or within is None:
        return None
    low, high = repeat_interval(known)
    return [
        None if within[0] is None else max(0.0, min(low, value)),
        None if within[1] is None else max(high, value),
    ]


def _bounds(pooled: Histogram | None, q: float) -> tuple[int | None, int | None] | None:
    return None if pooled is None else quantile_interval(pooled, q)


def _widest(intervals: Sequence[Interval | None]) -> Interval | None:
    known = [i for i in intervals if i is not None]
    if not known or len(known) < len(intervals):
        return None
    return [_bound([i[0] for i in known], min), _bound([i[1] for i in known], max)]


def _bound(values: Sequence[float | None], choose: Callable[[list[float]], float]) -> float | None:
    known = [value for value in values if value is not None]
    return choose(known) if len(known) == len(values) else None


def _response(good: Sequence[Result]) -> Result:
    """The response latency of an open loop, pooled; none where one of the repeats has none: its slowest would be missing."""
    loops = [r["open_loop"] for r in good if r.get("open_loop")]
    if not loops:
        return {}
    worst = max(loops, key=lambda found: (found["unbounded"] is not None, found["backlog"]))
    found: Result = {
        "response_ms": None,
        "response_ci95_ms": None,
        "response_hdr": None,
        "open_loop": {
            **worst,
            "rate": min(loop["rate"] for loop in loops),  # of `open:auto` each found its own
            "unserved": sum(loop["unserved"] for loop in loops),
        },
    }
    histogram = _pooled(good, "response_hdr")
    if histogram is None or any(r["response_hdr"] is None for r in good):
        return found
    latency = _latency(histogram, good, "response_ms")
    intervals = _quantile_intervals(good, histogram, latency, "response")
    return found | {
        "response_ms": latency,
        "response_ci95_ms": intervals,
        "response_hdr": histogram.encode(),
    }


def _limit(good: Sequence[Result]) -> dict[str, Any] | None:
    """What `open:auto` found: that of the repeat which did not keep the limit, else of the one that is unsure of it, else of the lowest
    rate, since that alone held in all of them; `rates` are all of theirs."""
    found: list[dict[str, Any]] = [r["slo"] for r in good if r.get("slo")]
    if not found:
        return None
    certain = {False: 0, None: 1, True: 2}
    worst = min(found, key=lambda slo: (certain[slo["holds"]], slo["rate"] or 0.0))
    return {**worst, "rates": [slo["rate"] for slo in found]}


def _stages(good: Sequence[Result]) -> dict[str, Any] | None:
    """Means add up and are weighted by the requests that were timed; medians of repeats cannot be joined."""
    timed = [r for r in good if r["stages_ms"]]
    if not timed:
        return None
    return {
        stage: None
        if all(r["stages_ms"].get(stage) is None for r in timed)
        else {
            "mean": _mean(((r["stages_ms"].get(stage) or {}).get("mean"), r["stage_n"]) for r in timed),
            "p50": None,
        }
        for stage in STAGES
    }


def _outside(good: Sequence[Result]) -> dict[str, float]:
    """The known parts of the gap, ms, weighted as the stages are."""
    timed = [(r["stage_n"], {p["name"]: p["ms"] for p in r["gap"]["parts"]}) for r in good if r.get("gap")]
    means = {name: _mean((parts.get(name), n) for n, parts in timed) for name in OUTSIDE}
    return {name: mean for name, mean in means.items() if mean is not None}


def _instrumented(good: Sequence[Result]) -> dict[str, Any] | None:
    """Whether in any of the repeats they stayed out of the latency; their cost is a mean, since medians of repeats cannot be joined."""
    known: list[dict[str, Any]] = [r["instrumented"] for r in good if r.get("instrumented")]
    if not known:
        return None
    return {
        "apart": any(found["apart"] for found in known),
        "n": sum(found["n"] for found in known),
        "cost_ms": _mean((found["cost_ms"], found["n"]) for found in known),
    }


def _stability(good: Sequence[Result]) -> dict[str, Any]:
    """The worst grade decides; its reasons are those of the first repeat that has it, and how many have it stands before them."""
    letter = max((r["stability"] for r in good if r["stability"]), default=None)
    if letter is None or letter == "A":
        return {"stability": letter, "stability_reasons": []}
    lowered = [r for r in good if r["stability"] == letter]
    share = [] if len(lowered) == len(good) else [f"{len(lowered)} of {len(good)} repeats are {letter}"]
    return {"stability": letter, "stability_reasons": [*share, *lowered[0]["stability_reasons"]]}


def _agreement(good: Sequence[Result]) -> dict[str, Any] | None:
    """The worst of the repeats: outputs that differ once are not trusted."""
    known: list[dict[str, Any]] = [r["agreement"] for r in good if r["agreement"]]
    for verdict in (False, None, True):
        same = [a for a in known if a.get("within_band") is verdict]
        if same:
            return max(same, key=lambda a: a.get("max_rel") or 0.0)
    return None


def _telemetry(good: Sequence[Result]) -> dict[str, float | None]:
    names = dict.fromkeys(name for r in good for name in r["telemetry"])
    return {name: _mean((r["telemetry"].get(name), r["duration_s"]) for r in good) for name in names}


def _mean(weighted: Iterable[tuple[float | None, float | None]]) -> float | None:
    """The mean of (value, weight), over those that are known."""
    known = [(value, weight) for value, weight in weighted if value is not None and weight]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None


def _first(values: Iterable[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)
