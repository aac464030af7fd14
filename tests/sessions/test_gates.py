"""Gates: grammar, judgement and exit codes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from infertop.backends.configuration import Configuration
from infertop.backends.errors import MeasureError
from infertop.sessions import gates
from infertop.sessions.results import blank_result


def full_name(name: str) -> str:
    names = {"ort-cpu": "onnxruntime-cpu", "torch": "torch-eager"}
    if name in names or name in names.values():
        return names.get(name, name)
    raise MeasureError("usage", f"there is no backend named {name}")


def result(**fields: Any) -> dict[str, Any]:
    return {
        **blank_result(Configuration("onnxruntime-cpu", "smallcnn", "fp32", 8), "ok", run=1),
        "requests": 5000,
        "throughput": 1000.0,
        "throughput_ci95": [980.0, 1020.0],
        "latency_ms": {"mean": 4.1, "p50": 4.0, "p90": 4.4, "p95": 4.5, "p99": 4.8, "p99_9": 5.5, "max": 9.0},
        "latency_ci95_ms": {"mean": [4.0, 4.2], "p50": [3.9, 4.1], "p99": [4.6, 5.2], "p99_9": [5.0, None]},
        "cold_start_s": {"import": 0.5, "load": 1.0, "build": None, "first": 0.1},
        "stability": "A",
        **fields,
    }


def outcome(expr: str, **fields: Any) -> str:
    [judgement] = gates.judge([gates.parse(expr, full_name)], [result(**fields)])
    return judgement.outcome


@pytest.mark.parametrize(
    ("expr", "metric", "op", "limit"),
    [("p99<5ms", "p99", "<", 5), ("p99.9 <= 1s", "p99.9", "<=", 1000), ("max<20ms", "max", "<", 20), ("throughput>1000/s", "throughput", ">", 1000),
     ("cold_start<2s", "cold_start", "<", 2), ("cold_start.load<500ms", "cold_start.load", "<", 0.5)],
)  # fmt: skip
def test_conditions_and_their_units(expr: str, metric: str, op: str, limit: float) -> None:
    gate = gates.parse(expr, full_name)
    assert (gate.metric, gate.op) == (metric, op)
    assert gate.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    ("expr", "says"),
    [("p99<5", "no unit"), ("p98<5ms", "no metric 'p98'"), ("p99", "not a condition"), ("p99=5ms", "not a condition"), ("", "not a condition"),
     ("throughput>-3%", "compare"), ("nosuch: p99<5ms", "no backend"), (": p99<5ms", "scope"), ("a/b/1/2: p99<5ms", "scope"),
     ("ort-cpu/fp32/x: p99<5ms", "whole number"), ("throughput>=1e", "not a rate")],
)  # fmt: skip
def test_what_is_wrong_is_said_and_is_a_usage_error(expr: str, says: str) -> None:
    with pytest.raises(MeasureError, match=says) as caught:
        gates.parse(expr, full_name)
    assert caught.value.kind == "usage"


@given(st.text(max_size=40))
def test_any_text_is_a_gate_or_a_usage_error(text: str) -> None:
    try:
        found = gates.parse(text, full_name).metric
    except MeasureError as error:
        found = error.kind
    assert found in (*gates.METRICS, "usage")


@pytest.mark.parametrize(
    ("scope", "matches"),
    [("onnxruntime-cpu", True), ("ort-cpu", True), ("ort-cpu/fp32", True), ("ort-cpu/fp32/8", True), ("*/fp32", True), ("*/*/8", True),
     ("torch", False), ("ort-cpu/fp16", False), ("ort-cpu/fp32/1", False), ("ort-cpu@old", False)],
)  # fmt: skip
def test_scopes(scope: str, matches: bool) -> None:
    gate = gates.parse(f"{scope}: p50<5ms", full_name)
    assert gate.scope.matches("onnxruntime-cpu", "fp32", 8) is matches


def test_a_scope_may_name_an_environment() -> None:
    old = gates.parse("ort-cpu@old: p50<5ms", full_name).scope
    assert old.matches("onnxruntime-cpu@old", "fp32", 8)
    assert not old.matches("onnxruntime-cpu", "fp32", 8)
    assert gates.parse("ort-cpu: p50<5ms", full_name).scope.matches("onnxruntime-cpu@old", "fp32", 8)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("p50<5ms", "passed"), ("p50<4.1ms", "inconclusive"), ("p50<=4.1ms", "passed"), ("p50<4ms", "inconclusive"), ("p50<3.9ms", "failed"),
        ("p50<=3.9ms", "inconclusive"), ("p50>3ms", "passed"), ("p50>5ms", "failed"),
        ("p99<5ms", "inconclusive"), ("p99<6ms", "passed"), ("p99<4.5ms", "failed"),
        ("p99.9<6ms", "inconclusive"), ("p99.9<4ms", "failed"), ("p99.9>4ms", "inconclusive"),
        ("throughput>1000/s", "inconclusive"), ("throughput>970/s", "passed"), ("throughput>1020/s", "failed"),
        ("p95<9ms", "inconclusive"), ("mean<5ms", "passed"), ("mean<4ms", "failed"), ("mean<4.1ms", "inconclusive"),
            ("max<10ms", "inconclusive"), ("max<9ms", "failed"),
        ("cold_start<2s", "passed"), ("cold_start<1.5s", "failed"), ("cold_start.build<1s", "inconclusive"),
    ],
)  # fmt: skip
def test_an_interval_that_contains_the_limit_is_inconclusive(expr: str, expected: str) -> None:
    assert outcome(expr) == expected


@pytest.mark.parametrize("status", ["failed", "unavailable", "fallback"])
@pytest.mark.parametrize("expr", ["p50<5ms", "cold_start<60s", "throughput>1/s"])
def test_what_was_not_measured_as_named_never_passes(status: str, expr: str) -> None:
    assert outcome(expr, status=status) == "failed"


def test_stability_c_and_too_few_requests_are_inconclusive() -> None:
    assert outcome("p50<5ms", stability="C") == outcome("p50<3ms", stability="C") == "inconclusive"
    assert outcome("p50<5ms", stability="B") == outcome("p50<5ms", stability=None) == "passed"
    assert outcome("max<10ms", requests=35) == "inconclusive"
    assert outcome("cold_start<2s", stability="C", requests=1) == "passed"


OPENED = {
    "load": "open:200/s",
    "open_loop": {"rate": 200.0, "unbounded": None},
    "response_ms": {"mean": 11.0, "p50": 10.0, "p99": 40.0, "max": 60.0},
    "response_ci95_ms": {"mean": [10.5, 11.5], "p50": [9.0, 11.0], "p99": [35.0, 45.0]},
}
UNBOUNDED = OPENED | {
    "open_loop": {"rate": 200.0, "unbounded": "the backlog kept growing"},
    "response_ms": None,
    "response_ci95_ms": None,
}


@pytest.mark.parametrize(
    ("expr", "expected", "unbounded"),
    [
        ("p99<6ms", "failed", "failed"), ("p99<50ms", "passed", "failed"), ("response.p99<50ms", "passed", "failed"),
        ("response.p50<9ms", "failed", "failed"),
        ("service.p99<6ms", "passed", "passed"), ("mean<12ms", "passed", "failed"), ("response.max<50ms", "failed", "failed"),
        ("p99>1ms", "passed", "failed"), ("throughput>970/s", "passed", "passed"), ("cold_start<2s", "passed", "passed"),
    ],
)  # fmt: skip
def test_in_an_open_loop_a_latency_is_what_who_asks_feels(expr: str, expected: str, unbounded: str) -> None:
    assert outcome(expr, **OPENED) == expected
    assert outcome(expr, **UNBOUNDED) == unbounded


def test_a_response_where_nothing_arrives_by_a_schedule_is_a_usage_error() -> None:
    gate = gates.parse("response.p99<5ms", full_name)
    closed = Configuration("onnxruntime-cpu", "smallcnn")
    with pytest.raises(MeasureError, match="no response latency") as caught:
        gates.check([gate], [closed])
    assert caught.value.kind == "usage"
    assert "write p99" in caught.value.fix
    gates.check([gate], [closed, Configuration("onnxruntime-cpu", "smallcnn", load="poisson:5/s")])
    judged = gates.judge([gate], [result(), result(**OPENED)])
    assert [j.value for j in judged] == [40.0], "the closed loop has none to judge"


@pytest.mark.parametrize("expr", ["p50<5ms", "cold_start<60s", "throughput>1/s"])
def test_outputs_that_differ_never_pass(expr: str) -> None:
    assert outcome(expr, agreement={"within_band": False}) == "failed"
    assert outcome(expr, agreement={"within_band": None}) == "passed"


def test_a_run_that_was_stopped_proves_nothing() -> None:
    stopped = {"complete": False, "asked": {"duration_s": 60.0, "requests": None}, "duration_s": 3.71}
    [judgement] = gates.judge([gates.parse("p50<5ms", full_name)], [result(**stopped)])
    assert (judgement.outcome, judgement.reason) == ("inconclusive", "stopped after 3.7 of 60 s")
    assert outcome("p50<5ms", complete=True) == "passed"


@pytest.mark.parametrize(
    ("holds", "expected", "code"), [(True, "passed", 0), (False, "failed", 1), (None, "inconclusive", 4)]
)
def test_a_limit_that_a_rate_was_searched_for_is_a_gate(holds: bool | None, expected: str, code: int) -> None:
    slo = {
        "limit_ms": 10.0,
        "holds": holds,
        "reason": "why",
        "p99_ms": 8.0,
        "p99_ci95_ms": [7.0, 9.0],
        "rate": 100.0,
    }
    found = result(**OPENED, slo=slo)
    [judgement] = gates.judge([], [found])
    assert (judgement.expr, judgement.outcome, judgement.value) == (
        "--slo: response.p99<=10.0ms",
        expected,
        8.0,
    )
    assert gates.exit_code([found], [judgement]) == code
    unsteady = result(**OPENED, slo=slo, stability="C")
    [judgement] = gates.judge([], [unsteady])
    assert judgement.outcome == "inconclusive", "as every other gate"


def test_what_tells_results_apart_is_in_their_names_and_nothing_else() -> None:
    plain, pinned, opened = (
        result(),
        result(data_path="pinned"),
        result(load="open:200/s", data_path="pinned"),
    )
    assert gates.scope_of(pinned, [pinned]) == "onnxruntime-cpu/fp32/8"
    names = [gates.scope_of(r, [plain, pinned, opened]) for r in (plain, pinned, opened)]
    assert names == [
        "onnxruntime-cpu/fp32/8",
        "onnxruntime-cpu/fp32/8 pinned",
        "onnxruntime-cpu/fp32/8 pinned open:200/s",
    ]
    other = result(model="resnet18")
    assert gates.scope_of(other, [plain, other]) == "resnet18 onnxruntime-cpu/fp32/8"


def test_each_matching_result_is_judged_and_the_document_has_it() -> None:
    other = result(batch=1, latency_ci95_ms={"p50": [8.0, 9.0]})
    judgements = gates.judge([gates.parse("ort-cpu: p50<5ms", full_name)], [result(), other])
    assert [j.as_dict() for j in judgements] == [
        {"expr": "ort-cpu: p50<5ms", "scope": "onnxruntime-cpu/fp32/8", "outcome": "passed", "value": 4.0, "interval": [3.9, 4.1], "reason": ""},
        {"expr": "ort-cpu: p50<5ms", "scope": "onnxruntime-cpu/fp32/1", "outcome": "failed", "value": 4.0, "interval": [8.0, 9.0], "reason": ""},
    ]  # fmt: skip


def test_a_gate_that_matches_nothing_is_a_usage_error_before_and_after() -> None:
    gate = gates.parse("torch: p50<5ms", full_name)
    configuration = Configuration("onnxruntime-cpu", "smallcnn", "fp32")
    with pytest.raises(MeasureError, match="matches nothing") as caught:
        gates.check([gate], [configuration])
    assert caught.value.kind == "usage"
    with pytest.raises(MeasureError, match="matches nothing"):
        gates.judge([gate], [result()])
    # The default batch is known only once the model was loaded.
    gates.check([gates.parse("ort-cpu/fp32/1: p50<5ms", full_name)], [configuration])


def test_a_result_that_was_never_loaded_is_still_meant_by_its_scope() -> None:
    gate = gates.parse("ort-cpu/fp32/1: p50<5ms", full_name)
    [judgement] = gates.judge([gate], [result(status="failed", batch=None)])
    assert judgement.outcome == "failed"


def test_exit_codes_in_their_order() -> None:
    def code(statuses: list[str], outcomes: list[str], **options: bool) -> int:
        judgements = [gates.Judgement("p50<1ms", "s", o, 1.0, None) for o in outcomes]  # type: ignore[arg-type]
        return gates.exit_code([result(status=s) for s in statuses], judgements, **options)

    assert code(["ok"], []) == 0
    assert code(["ok"], ["passed"]) == 0
    assert code(["ok"], ["passed", "inconclusive"]) == 4
    assert code(["ok"], ["inconclusive"], pass_inconclusive=True) == 0
    assert code(["ok"], ["inconclusive", "failed"], pass_inconclusive=True) == 1
    for status in ("failed", "unavailable", "fallback"):
        assert code(["ok", status], ["failed"]) == 3
