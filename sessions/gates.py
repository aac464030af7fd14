"""Gates: conditions that a result must hold, `--gate '[SCOPE:] METRIC OP VALUE[UNIT]'`, and the exit code
that follows.

A gate passes only where the measurement says so surely: an interval that contains the limit, too few requests,
a grade C or a run that was stopped make it inconclusive, and a result that was not measured, fell back or whose
outputs differ from the reference's fails it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..backends import loads
from ..backends.configuration import Configuration
from ..backends.errors import MeasureError
from . import units
from .results import COLD_START, QUANTILES, USUAL, Result, several_models, stopped

Outcome = Literal["passed", "failed", "inconclusive"]

LEAST_REQUESTS = 36
"""Below this many requests a distribution is single dots, and none of its summaries is judged."""

_FORM = "write it like 'p99<5ms', 'throughput>1000/s' or 'onnxruntime-cpu/fp32/8: p50<=2ms'"
_CONDITION = re.compile(r"\s*([A-Za-z0-9_.]+)\s*(<=|>=|<|>)\s*(\S.*?)\s*")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip

_LATENCIES = {"mean": "mean", "max": "max", **{name.replace("_", "."): name for name in QUANTILES}}
"""Name in a gate -> name in `latency_ms`, with or without one of `_KINDS` before it."""

_KINDS = ("response", "service")
"""`response.p99` is from arrival to completion, `service.p99` from issue to completion. A name without either means what
who asks feels: the response in an open loop, the service latency elsewhere."""

METRICS = (
    *_LATENCIES,
    *(f"{kind}.{name}" for kind in _KINDS for name in _LATENCIES),
    "throughput",
    "cold_start",
    *(f"cold_start.{phase}" for phase in COLD_START),
)


@dataclass(frozen=True)
class Scope:
    """Which results a gate is about; None is any."""

    backend: str | None = None  # full name
    environment: str | None = None
    precision: str | None = None
    batch: int | None = None

    def matches(self, backend: str, precision: str, batch: int | None, *, batch_known: bool = True) -> bool:
        """Whether a result is meant. `backend` is the label; before measuring a default batch is not yet
        known and may be any."""
        name, _, environment = backend.partition("@")
        return (
            self.backend in (None, name)
            and self.environment in (None, environment)
            and self.precision in (None, precision)
            and (self.batch in (None, batch) or (batch is None and not batch_known))
        )


@dataclass(frozen=True)
class Gate:
    """One condition; `limit` is in ms for latencies, s for the cold start, samples/s for the throughput."""

    expr: str
    scope: Scope
    metric: str
    op: str
    limit: float

    def about(self, load: str) -> bool:
        """Whether a result of this load has the metric: without arrivals there is no response latency."""
        return not self.metric.startswith("response.") or _opened(load)


@dataclass(frozen=True)
class Judgement:
    """What became of a gate for one result: an element of the document's `gates`. `value` and `interval` have
    the limit's unit."""

    expr: str
    scope: str
    outcome: Outcome
    value: float | None
    interval: tuple[float | None, float | None] | None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        interval = None if self.interval is None else list(self.interval)
        return {
            "expr": self.expr,
            "scope": self.scope,
            "outcome": self.outcome,
            "value": self.value,
            "interval": interval,
            "reason": self.reason,
        }


def parse(expr: str, full_name: Callable[[str], str]) -> Gate:
    """`full_name` turns a backend's typed name into the registry's. Raises MeasureError of kind `usage`."""
    where, colon, condition = expr.rpartition(":")
    found = _CONDITION.fullmatch(condition)
    if found is None:
        raise MeasureError("usage", f"--gate {expr!r} is not a condition", _FORM)
    metric, op, text = found.groups()
    if metric not in METRICS:
        raise MeasureError(
            "usage", f"--gate {expr!r}: there is no metric {metric!r}", f"metrics are {', '.join(METRICS)}"
        )
    if text.endswith("%"):
        raise MeasureError(
            "usage", f"--gate {expr!r}: a share needs something to compare with", "give a value with its unit"
        )
    scope = _scope(expr, where.strip(), full_name) if colon else Scope()
    return Gate(expr, scope, metric, op, _limit(expr, metric, text))


def _limit(expr: str, metric: str, text: str) -> float:
    what = f"--gate {expr!r}:"
    if metric == "throughput":
        return units.parse_rate(text, what)
    seconds = units.parse_duration(text, what)
    # 9 ms is 9.000000000000002 after the way through seconds.
    return seconds if metric.startswith("cold_start") else float(f"{seconds * 1e3:.12g}")


def _scope(expr: str, text: str, full_name: Callable[[str], str]) -> Scope:
    parts = [None if part.strip() in ("", "*") else part.strip() for part in text.split("/")]
    if not text or len(parts) > 3:
        raise MeasureError("usage", f"--gate {expr!r}: the scope is not BACKEND[/PRECISION[/BATCH]]", _FORM)
    backend, precision, batch = [*parts, None, None][:3]
    name, at, environment = (backend or "").partition("@")
    return Scope(
        None if backend is None else full_name(name),
        environment if at else None,
        precision,
        None if batch is None else units.parse_count(batch, f"--gate {expr!r}: batch"),
    )


def check(gates: Iterable[Gate], configurations: Sequence[Configuration]) -> None:
    """Before anything is measured: a gate that can match nothing is a mistake in the command."""
    for gate in gates:
        matching = [
            c for c in configurations if gate.scope.matches(c.label, c.precision, c.batch, batch_known=False)
        ]
        if not any(gate.about(c.load) for c in matching):
            raise _matches_nothing(gate, closed=bool(matching))


def _opened(load: str) -> bool:
    """Whether requests arrive by a schedule. A load that is not known, of another version, is none."""
    try:
        return loads.parse(load).scheduled
    except MeasureError:
        return False


def _matches_nothing(gate: Gate, *, closed: bool = False) -> MeasureError:
    if closed:
        return MeasureError(
            "usage",
            f"--gate {gate.expr!r}: there is no response latency where no request arrives by a schedule",
            f"add --load open:RATE/s, or write {gate.metric.partition('.')[2]}",
        )
    return MeasureError(
        "usage",
        f"--gate {gate.expr!r} matches nothing that is measured",
        "its scope names a backend, precision and batch of this command",
    )


def judge(gates: Sequence[Gate], results: Sequence[Result]) -> list[Judgement]:
    """One judgement for each gate and each result in its scope. Raises MeasureError of kind `usage` where a
    gate has none; and one for each limit that a rate was searched for, since `--slo` is a condition too."""
    judgements: list[Judgement] = []
    for gate in gates:
        matching = [r for r in results if gate.scope.matches(r["backend"], r["precision"], r["batch"])]
        if not matching:
            # The batch of a result that was never loaded is not known; it may have been meant.
            matching = [r for r in results if r["status"] != "ok" and _may_match(gate.scope, r)]
        if not matching:
            raise _matches_nothing(gate)
        about = [r for r in matching if gate.about(r["load"])]
        if not about:
            raise _matches_nothing(gate, closed=True)
        judgements += [_judge(gate, result, results) for result in about]
    return judgements + [_judge_limit(r, results) for r in results if r.get("slo")]


def _may_match(scope: Scope, result: Result) -> bool:
    return scope.matches(result["backend"], result["precision"], result["batch"], batch_known=False)


def _judge(gate: Gate, result: Result, results: Sequence[Result]) -> Judgement:
    value, interval = _value(gate.metric, result)
    outcome, reason = _outcome(gate, result, value, interval)
    return Judgement(gate.expr, scope_of(result, results), outcome, value, interval, reason)


def _judge_limit(result: Result, results: Sequence[Result]) -> Judgement:
    """Whether the rate that `open:auto` found holds its limit, as the run at that rate says."""
    slo = result["slo"]
    expr = f"--slo: response.p99<={units.significant(slo['limit_ms'])}ms"
    held: Outcome = "inconclusive" if slo["holds"] is None else "passed" if slo["holds"] else "failed"
    found: tuple[Outcome, str] = (held, "" if held == "passed" else slo["reason"])
    if held != "inconclusive" and result["stability"] == "C":
        found = ("inconclusive", "stability C")
    outcome, reason = _doubt(result) or found
    return Judgement(
        expr, scope_of(result, results), outcome, slo["p99_ms"], _pair(slo["p99_ci95_ms"]), reason
    )


def scope_of(result: Result, among: Sequence[Result] = ()) -> str:
    """`onnxruntime-cpu/fp32/8`: a result as a gate's scope would name it, and what else tells it from others:
    its sizes, and where those it is listed `among` differ in them its model and its data path and load,
    unless they are the usual ones."""
    named = [
        result["backend"],
        result["precision"],
        *([] if result["batch"] is None else [str(result["batch"])]),
    ]
    rest = [f"{name}={size}" for name, size in (result["dims"] or {}).items()]
    rest += [
        result[name]
        for name, usual in USUAL.items()
        if result[name] != usual and len({other[name] for other in among}) > 1
    ]
    return " ".join([*([result["model"]] if several_models(among) else []), "/".join(named), *rest])


def _value(metric: str, result: Result) -> tuple[float | None, tuple[float | None, float | None] | None]:
    if metric == "throughput":
        return result["throughput"], _pair(result.get("throughput_ci95"))
    kind, dot, name = metric.partition(".")
    if metric in _LATENCIES or (dot and kind in _KINDS):
        name = _LATENCIES[name if kind in _KINDS else metric]
        which = (
            "response"
            if kind == "response" or (kind not in _KINDS and _opened(result["load"]))
            else "latency"
        )
        value = (result[f"{which}_ms"] or {}).get(name)
        if name == "max":
            return value, None if value is None else (value, None)  # a longer run may have a slower one
        return value, _pair((result[f"{which}_ci95_ms"] or {}).get(name))
    phases = result["cold_start_s"] or {}
    if metric == "cold_start":
        known = [phases[phase] for phase in COLD_START if phases.get(phase) is not None]
        return (sum(known) if known else None), None
    return phases.get(metric.partition(".")[2]), None


def _pair(interval: Sequence[float | None] | None) -> tuple[float | None, float | None] | None:
    return None if interval is None else (interval[0], interval[1])


def _outcome(
    gate: Gate, result: Result, value: float | None, interval: tuple[float | None, float | None] | None
) -> tuple[Outcome, str]:
    if doubt := _doubt(result):
        return doubt
    kind = gate.metric.partition(".")[0]
    if kind not in ("service", "throughput", "cold_start") and (result["open_loop"] or {}).get("unbounded"):
        return "failed", "latency unbounded"
    if value is None:
        return "inconclusive", "not measured"
    holds = _OPERATORS[gate.op]
    if gate.metric.startswith("cold_start"):
        return ("passed", "") if holds(value, gate.limit) else ("failed", "")
    if result["stability"] == "C":
        return "inconclusive", "stability C"
    if result["requests"] < LEAST_REQUESTS:
        return "inconclusive", f"n = {result['requests']} is too small"
    if interval is None:
        return "inconclusive", "no interval is known"
    # An unknown bound holds nothing, and a known one that fails decides: whatever lies beyond it fails too.
    low, high = (bound is not None and holds(bound, gate.limit) for bound in interval)
    if low and high:
        return "passed", ""
    nearest = interval[0] if gate.op in ("<", "<=") else interval[1]
    if nearest is not None and not holds(nearest, gate.limit):
        return "failed", ""
    if None in interval:
        if gate.metric.rpartition(".")[2] == "max":
            return "inconclusive", "a longer run may have a slower request"
        return "inconclusive", f"n = {result['requests']} is too small for {gate.metric}"
    return "inconclusive", "the interval contains the limit"


def _doubt(result: Result) -> tuple[Outcome, str] | None:
    """Why nothing passes on a result, whatever its numbers are; None where they may speak."""
    if result["status"] != "ok":
        return "failed", result["status"]
    if (result["agreement"] or {}).get("within_band") is False:
        return "failed", "the outputs differ from the reference's"
    if result.get("complete") is False:
        return "inconclusive", stopped(result)
    return None


def exit_code(
    results: Sequence[Result], judgements: Sequence[Judgement], *, pass_inconclusive: bool = False
) -> int:
    """3 where something named was not measured, else 1 for a failed gate, else 4 for an inconclusive one,
    else 0."""
    if any(result["status"] != "ok" for result in results):
        return 3
    outcomes = {judgement.outcome for judgement in judgements}
    if "failed" in outcomes:
        return 1
    return 4 if "inconclusive" in outcomes and not pass_inconclusive else 0
