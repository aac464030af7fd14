"""What is said of a result beside its numbers, a line each: its stages, what was set, what the runtime did, verdicts, errors and gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import load_words, proof, runtime_words, texts, units
from .gap import SUM, explained
from .gates import Judgement, scope_of
from .lines import sentence
from .results import Result, several_models
from .units import milliseconds

NOTHING = 0.001
"""Of the sum: a stage below that is shown as 0.00."""

COSTS = 0.01
"""Of the service latency: from here on it is said that the instrumented requests take longer than the others."""

DETAIL_LINES = 12
"""Of the end of a runtime's output or a traceback; the whole is in the JSON document and in the log."""


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
    if result.get("native") not in (None, "fp32"):
        found.append(f"native is {result['native']} here")
    chosen = runtime_words.settings(result)
    if chosen:
        found.append(f"set: {', '.join(chosen)}")
    found += runtime_words.did(result.get("runtime") or {})
    return [texts.line(line) for line in found if line]


def _disagreement(result: Result) -> str:
    """Why outputs differ, or could not be compared; empty where they agree."""
    found = result["agreement"] or {}
    if not found.get("reason"):
        return ""
    name = (
        f"outputs differ from {found['reference']}: "
        if found.get("within_band") is False
        else "outputs not compared: "
    )
    return texts.line(name + found["reason"])


def notes(result: Result) -> list[str]:
    """What stands below the table of one result beside its stability and verdict."""
    differs = _disagreement(result)
    return [*load_words.notes(result), *([differs] if differs else ()), *lines(result)]


def verdict_lines(result: Result, scope: str) -> list[str]:
    """What holds a configuration back, for how much of the time, what to do, and what a proof of that gave."""
    lines = _named(result, scope) if result.get("verdicts") else []
    if result.get("proof"):
        lines.append(f"{scope}: proof: {texts.line(proof.sentence(result['proof']))}")
    return lines


def _named(result: Result, scope: str) -> list[str]:
    first = result["verdicts"][0]
    share = (
        ""
        if first["kind"] == "mixed" or first["share"] > 0.995
        else f" ({100 * first['share']:.0f} % of the time)"
    )
    given = first["advice"] or {}
    advice = ", ".join(str(part) for part in (given.get("text"), given.get("assumed")) if part)
    return [
        f"{scope}: {first['kind']}{share}: {texts.line(first['text'])}"
        + (f" → {texts.line(advice)}" if advice else "")
    ]


def error_line(result: Result, among: Sequence[Result] = ()) -> str:
    """`onnxruntime-cpu: message; fix` of a result that has an error; where the backend has other results too, by what tells it from them."""
    error = result["error"]
    message = error["message"]
    if sum(other["backend"] == result["backend"] for other in among) > 1:
        return sentence(f"{scope_of(result, among)}: {message}", error["fix"])
    named = message if message.startswith(result["backend"]) else f"{result['backend']}: {message}"
    return sentence(f"{result['model']}: {named}" if several_models(among) else named, error["fix"])


def detail_lines(result: Result) -> list[str]:
    """The end of the runtime's own words, set off from ours."""
    lines = texts.block(result["error"].get("detail", "")).rstrip().splitlines()
    return [f"  | {line}" for line in lines[-DETAIL_LINES:]]


def gate_line(judgement: Judgement) -> str:
    """`passed: p99<5ms (onnxruntime-cpu/fp32/1: 3.1, [3.0, 3.2])`."""
    value = units.significant(judgement.value, 4)
    if judgement.interval is not None:
        value += f", [{', '.join(units.significant(bound, 4) for bound in judgement.interval)}]"
    reason = f"; {judgement.reason}" if judgement.reason else ""
    return texts.line(f"{judgement.outcome}: {judgement.expr} ({judgement.scope}: {value}{reason})")


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
