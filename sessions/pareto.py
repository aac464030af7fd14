"""Which results nothing else beats in both latency and throughput: the Pareto front of a sweep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..backends import registry
from . import units

Result = dict[str, Any]
Point = tuple[float, float]
"""Latency (smaller is better) and throughput (larger is better)."""


def front(points: Sequence[Point | None]) -> list[bool]:
    """For each point whether no other is at least as good in both and better in one; equal points stand together, None never."""
    known = sorted({p for p in points if p is not None}, key=lambda p: (p[0], -p[1]))
    best: set[Point] = set()
    highest: float | None = None
    # In the order of latency a point stays only where it brings more throughput than all that are as fast.
    for point in known:
        if highest is None or point[1] > highest:
            highest = point[1]
            best.add(point)
    return [p in best for p in points]


def discounted(result: Mapping[str, Any]) -> str:
    """Why the numbers of a result compete with nobody's: its status where that is not `ok`, or `differs`. Empty where they do.

    What failed, was unavailable or fell back did not do what its name says, and a wrong answer is not fast.
    """
    status = result.get("status") or "ok"
    if status != "ok":
        return str(status)
    agreement = result.get("agreement")
    return "differs" if isinstance(agreement, Mapping) and agreement.get("within_band") is False else ""


def point(result: Result) -> Point | None:
    """p50 of the service latency and the throughput of a result that may stand on the front.

    None for one that is discounted, for a run that was stopped, and for an open loop: its throughput is what was asked of it, not what it
    can give.
    """
    latency = (result["latency_ms"] or {}).get("p50")
    if discounted(result) or result.get("complete") is False or result["open_loop"]:
        return None
    if latency is None or result["throughput"] is None:
        return None
    return latency, result["throughput"]


def work(result: Result) -> tuple[object, ...]:
    """What a sample is: results are compared where they do the same work on each."""
    return result["model"], tuple(sorted((result["dims"] or {}).items()))


def marked(results: Sequence[Result]) -> list[Result]:
    """The results, each with `pareto`: whether it is on the front of those that do the same work."""
    marks: dict[int, bool] = {}
    for same in {work(r) for r in results}:
        places = [i for i, r in enumerate(results) if work(r) == same]
        marks |= dict(zip(places, front([point(results[i]) for i in places]), strict=True))
    return [{**r, "pareto": marks[i]} for i, r in enumerate(results)]


NAMED = 4
"""So many results of the front are named in a sentence."""

SHORT = {info.name: info.short for info in registry.BACKENDS}
"""The short names of our backends; another's has none."""

_FACTS = ("model", "precision", "batch", "data_path", "load")


def summary(results: Sequence[Result]) -> str:
    """What a list of runs found: `6 measured, 1 failed; best: torch batch 1 (0.91 ms, 1 095/s), torch batch 32 (…)`.

    Best are those on the front, the fastest answer first; a result is named by its backend, as short as that can be, and what the results differ in.
    """
    found = Counter("measured" if r["status"] == "ok" else str(r["status"]) for r in results)
    known = ("measured", "fallback", "unavailable", "failed")
    words = ", ".join(f"{found[status]} {status}" for status in known if found[status])
    best = sorted((r for r in marked(results) if r["pareto"]), key=lambda r: float(r["latency_ms"]["p50"]))
    facts = [name for name in _FACTS if len({r[name] for r in results}) > 1]
    named = [
        f"{_name(r, facts)} ({units.milliseconds(r['latency_ms']['p50'])} ms, {units.rate(r['throughput'])}/s)"
        for r in best[:NAMED]
    ]
    more = f" and {len(best) - NAMED} more" if len(best) > NAMED else ""
    if not named:
        return words
    return f"{words}; {'best: ' if contested(results) else ''}{', '.join(named)}{more}"


def _name(result: Result, facts: Sequence[str]) -> str:
    words = [
        f"batch {result[name]}" if name == "batch" else str(result[name]) for name in facts if result[name]
    ]
    name, at, label = str(result["backend"]).partition("@")
    return " ".join([SHORT.get(name, name) + at + label, *words])


def contested(results: Sequence[Result]) -> bool:
    """Whether any front had more than one candidate, so that being on it says something."""
    candidates = [work(r) for r in results if point(r) is not None]
    return len(candidates) > len(set(candidates))
