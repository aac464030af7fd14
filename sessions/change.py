"""What another environment changes: results of one backend under several interpreters, beside the first of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..telemetry.statistics import repeat_interval
from . import texts

Result = dict[str, Any]

_SAME = ("model", "precision", "batch", "data_path", "load", "device")


def _work(result: Result) -> tuple[object, ...]:
    """What two results must have in common so that only their environments differ."""
    backend = result["backend"].partition("@")[0]
    return backend, *(result[name] for name in _SAME), tuple(sorted((result["dims"] or {}).items()))


def compared(results: Sequence[Result]) -> list[Result]:
    """The results, each with `change`: null for what has nothing to be compared with, or was not measured as named."""
    first: dict[tuple[object, ...], Result] = {}
    found = []
    for result in results:
        base = first.setdefault(_work(result), result)
        both = base is not result and all(_counts(r) for r in (base, result))
        found.append({**result, "change": _change(base, result) if both else None})
    return found


def _counts(result: Result) -> bool:
    return bool(result["status"] == "ok" and result["requests"] and result.get("complete") is not False)


def _change(base: Result, result: Result) -> dict[str, Any]:
    """`to` is the first's backend and environment; shares of p50 and throughput, with intervals where there are repeats."""
    return {
        "to": base["backend"],
        "p50": _share(base, result, _p50),
        "throughput": _share(base, result, _throughput),
    }


def _p50(result: Result) -> float | None:
    value: float | None = (result["latency_ms"] or {}).get("p50")
    return value


def _throughput(result: Result) -> float | None:
    value: float | None = result["throughput"]
    return value


def _share(base: Result, result: Result, of: Callable[[Result], float | None]) -> dict[str, Any] | None:
    """after ÷ before − 1. Repeats are measured in rounds, so that those of one round are a pair: Student's t on the logarithm of
    their ratios. Without two pairs the whole results' ratio, and no interval."""
    rounds = zip(base["repeats"], result["repeats"], strict=False)
    known = [(of(a), of(b)) for a, b in rounds if a["status"] == b["status"] == "ok"]
    pairs = [math.log(after / before) for before, after in known if before and after]
    if len(pairs) >= 2:
        low, high = (math.expm1(end) for end in repeat_interval(pairs))
        return {"share": math.expm1(sum(pairs) / len(pairs)), "ci95": [low, high], "pairs": len(pairs)}
    before, after = of(base), of(result)
    if not before or not after:
        return None
    return {"share": after / before - 1, "ci95": None, "pairs": len(pairs)}


def lines(results: Sequence[Result], scope: Callable[[Result], str]) -> list[str]:
    """For people: which libraries tell the environments apart, and what each change is. `scope` names a result."""
    found = []
    for label, libraries in _apart(results).items():
        told = ", ".join(f"{name} {version or 'not installed'}" for name, version in libraries.items())
        found.append(texts.line(f"{label}: {told}"))
    for result in results:
        if change := result.get("change"):
            parts = [
                f"{name} {_percent(change[key])}"
                for key, name in (("p50", "p50"), ("throughput", "samples/s"))
                if change[key]
            ]
            without = (
                ""
                if all(change[key]["ci95"] for key in ("p50", "throughput") if change[key])
                else "; --repeat 5 gives intervals"
            )
            found.append(texts.line(f"{scope(result)} beside {change['to']}: {', '.join(parts)}{without}"))
    return found


def _percent(found: Mapping[str, Any]) -> str:
    text = f"{found['share']:+.1%}".replace("%", " %")
    if found["ci95"] is None:
        return text
    return f"{text} [{', '.join(f'{end:+.1%}'.replace('%', '') for end in found['ci95'])}]"


def _apart(results: Sequence[Result]) -> dict[str, dict[str, str | None]]:
    """By backend and environment, the distributions whose versions are not the same in all; empty where one environment did all."""
    by_label: dict[str, dict[str, str]] = {}
    for result in results:
        if result.get("libraries"):
            by_label.setdefault(result["backend"], result["libraries"])
    found: dict[str, dict[str, str | None]] = {}
    for backend in dict.fromkeys(label.partition("@")[0] for label in by_label):
        own = {label: known for label, known in by_label.items() if label.partition("@")[0] == backend}
        names = dict.fromkeys(name for known in own.values() for name in known)
        differing = [name for name in names if len({known.get(name) for known in own.values()}) > 1]
        if differing:
            found |= {label: {name: known.get(name) for name in differing} for label, known in own.items()}
    return found
