"""What stands below the table of `run`, a line each: the stages of a result and the gap between them, what was set, what the runtime did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import runtime_words, texts, units
from .gap import SUM, explained
from .results import Result
from .units import milliseconds

NOTHING = 0.001
"""Of the sum: a stage below that is shown as 0.00."""

COSTS = 0.01
"""Of the service latency: from here on it is said that the instrumented requests take longer than the others."""


def means(result: Result) -> dict[str, float]:
    """Mean ms of the stages that a result has."""
    found = {name: (value or {}).get("mean") for name, value in (result["stages_ms"] or {}).items()}
    return {name: mean for name, mean in found.items() if mean is not None} if result["stage_n"] else {}


def stage(name: str, of: Mapping[str, float]) -> str:
    """A stage's mean, ms; – where the backend has no such stage."""
    value = of.get(name)
    if value is None:
        return units.UNKNOWN
    return "0.00" if value < NOTHING * sum(of.get(part, 0.0) for part in SUM) else milliseconds(value)


def stages(result: Result) -> str:
    """`host 0.00 + h2d 2.56 + compute 4.85 + d2h 0.0531 + gap 0.0488 = 7.51 ms`; empty where nothing was timed by stage."""
    of = means(result)
    if not of:
        return ""
    total = sum(of.get(name, 0.0) for name in SUM)
    text = (
        " + ".join(f"{name} {stage(name, of)}" for name in SUM if name in of) + f" = {milliseconds(total)} ms"
    )
    if "enqueue" in of:
        text += f", enqueue {stage('enqueue', of)} beside"
    text += f"; means, n {units.count(result['stage_n'])}"
    cost = (result.get("instrumented") or {}).get("cost_ms")
    if cost is not None and cost >= COSTS * total:
        text += f", which take {milliseconds(cost)} longer for being timed"
    return f"≈ {text}" if (result.get("control") or {}).get("marked") else text


def lines(result: Result) -> list[str]:
    """All of a result's."""
    found = [stages(result), runtime_words.control(result.get("control")), *explained(result)]
    chosen = runtime_words.settings(result)
    if chosen:
        found.append(f"set: {', '.join(chosen)}")
    found += runtime_words.did(result.get("runtime") or {})
    return [texts.line(line) for line in found if line]


def as_row(result: Result) -> dict[str, Any]:
    """The same as columns of a CSV line."""
    row: dict[str, Any] = {
        f"gap_{part['name']}_ms": part["ms"] for part in (result.get("gap") or {}).get("parts", ())
    }
    row["instrumented_cost_ms"] = (result.get("instrumented") or {}).get("cost_ms")
    control = result.get("control") or {}
    row |= {"control_p50_ms": control.get("p50_ms"), "control_marked": control.get("marked")}
    row["options"] = ", ".join(runtime_words.settings(result))
    row["threads"] = result.get("threads")
    row["runtime"] = "; ".join(runtime_words.did(result.get("runtime") or {}))
    return row
