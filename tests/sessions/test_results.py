"""The document: every field that DESIGN names, and repeats merged without averaging a percentile."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from infertop import __version__
from infertop.backends.configuration import Configuration
from infertop.backends.errors import MeasureError
from infertop.sessions import gap, output
from infertop.sessions.documents import document
from infertop.sessions.merging import merge
from infertop.sessions.plan import Choice, Plan, combine, make_tasks
from infertop.sessions.records import FORMAT, Clock, Header
from infertop.sessions.results import LATENCY, QUANTILES, blank_result
from infertop.telemetry.histogram import Histogram

FIELDS = {
    "run", "backend", "device", "model", "precision", "batch", "dims", "data_path", "load", "options", "threads", "status", "error",
    "requests", "samples",
    "duration_s", "throughput", "throughput_ci95", "tokens_per_s", "latency_ms", "latency_ci95_ms", "ci_method", "latency_hdr",
    "response_ms", "response_ci95_ms", "response_hdr", "open_loop", "slo", "stages_ms", "stage_n", "gap", "instrumented",
    "cold_start_s", "cache", "native", "agreement", "telemetry", "telemetry_level", "energy_j_per_sample", "energy", "quiet", "clock_reasons",
    "numa", "verdicts", "proof", "stability", "stability_reasons", "warmup", "dropped", "placement", "runtime", "control", "repeats",
    "complete", "asked", "libraries", "measured_by",
}  # fmt: skip

CONFIGURATION = Configuration("onnxruntime-cpu", "smallcnn", "fp32", 2)


@dataclass(frozen=True)
class Measured:
    session: str
    header: Header
    results: list[dict[str, Any]]
    interrupted: int | None = None


def header() -> Header:
    return Header(
        format=FORMAT, session="s", segment=1, clock=Clock(0, 0), interval=250_000_000, metrics=[], infertop=__version__, pid=1, host={"cpu": "x"}
    )  # fmt: skip


def measured(
    values_ms: np.ndarray, configuration: Configuration = CONFIGURATION, run: int = 1, **fields: Any
) -> dict[str, Any]:
    """A result as the engine makes it of these latencies."""
    histogram = Histogram()
    histogram.record((values_ms * 1e6).astype(np.int64))
    seconds = float(values_ms.sum() / 1e3)
    quantiles = histogram.quantiles(list(QUANTILES.values()))
    latency = {name: value / 1e6 for name, value in zip(QUANTILES, quantiles, strict=True)}
    return {
        **blank_result(configuration, "ok", run=run),
        "requests": len(values_ms),
        "samples": 2 * len(values_ms),
        "duration_s": seconds,
        "throughput": 2 * len(values_ms) / seconds,
        "latency_ms": {"mean": float(values_ms.mean()), **latency, "max": float(values_ms.max())},
        "latency_ci95_ms": {name: [value * 0.99, value * 1.01] for name, value in latency.items()},
        "ci_method": "block bootstrap",
        "latency_hdr": histogram.encode(),
        "stability": "A",
        "telemetry": {"host.cpu": 50.0},
        **fields,
    }


def repeats(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Repeats of 1000 requests each, of which one is as slow again as the others are fast."""
    random = np.random.default_rng(0)
    found = [measured(random.normal(3 + 0.01 * i, 0.05, 1000), run=i + 1, **fields) for i in range(count - 1)]
    return [*found, measured(random.normal(6, 0.1, 1000), run=count, **fields)]


def test_a_blank_result_has_every_field_and_knows_nothing() -> None:
    result = blank_result(CONFIGURATION)
    assert set(result) == FIELDS
    assert set(result["latency_ms"]) == set(LATENCY) == {"mean", "p50", "p90", "p95", "p99", "p99_9", "max"}
    assert set(result["cold_start_s"]) == {"import", "export", "load", "build", "first"}
    assert all(value is None for value in result["latency_ms"].values())
    assert (result["backend"], result["batch"], result["status"], result["error"]) == (
        "onnxruntime-cpu",
        2,
        "ok",
        None,
    )


@pytest.mark.parametrize(
    ("kind", "status"), [("backend-missing", "unavailable"), ("worker-killed", "failed")]
)
def test_an_error_decides_the_status(kind: str, status: str) -> None:
    error = MeasureError(kind, "what", "do", "long detail")
    result = blank_result(CONFIGURATION, error=error)
    assert result["status"] == status
    assert result["error"] == {"kind": kind, "message": "what", "fix": "do", "detail": "long detail"}


def test_the_document_lists_results_as_they_were_named_not_as_they_were_measured() -> None:
    configurations = combine("smallcnn", [Choice("onnxruntime-cpu")], ["fp32"], [1, 2, 4, 8])
    plan = Plan(configurations, make_tasks(configurations, repeats=2, seed=5))
    results = [measured(np.full(100, 1.0), t.configuration, run=i) for i, t in enumerate(plan.tasks, 1)]
    found = document(Measured("s", header(), results), plan)
    assert set(found) == {"schema", "infertop", "session", "host", "gpus", "results", "skipped", "gates"}
    assert found["schema"] == "infertop.run/1"
    assert found["host"] == {"cpu": "x"}
    assert [r["batch"] for r in found["results"]] == [1, 2, 4, 8]
    assert [len(r["repeats"]) for r in found["results"]] == [2, 2, 2, 2]
    assert [r["batch"] for r in results] != [1, 2, 4, 8, 1, 2, 4, 8], "the seed shuffles"
    assert set(found["results"][0]) == FIELDS | {"pareto", "change"}
    assert json.loads(output.as_json(found)) == found


def test_a_resumed_plan_has_its_repeats_in_their_own_order() -> None:
    configurations = combine("smallcnn", [Choice("onnxruntime-cpu")], ["fp32"], [1])
    tasks = make_tasks(configurations, repeats=3)
    plan = Plan(configurations, (tasks[1], tasks[0], tasks[2]))
    failure = MeasureError("worker-killed", "it was killed", "")
    results = [
        measured(np.full(100, 2.0), run=2),
        blank_result(CONFIGURATION, error=failure, run=4),
        measured(np.full(100, 3.0), run=5),
    ]
    (merged,) = document(Measured("s", header(), results), plan)["results"]
    assert [r["run"] for r in merged["repeats"]] == [4, 2, 5]
    assert merged["error"]["message"] == "repeat 1 of 3: it was killed"


def test_an_interrupted_session_yields_what_was_measured() -> None:
    configurations = combine("smallcnn", [Choice("onnxruntime-cpu")], ["fp32"], [1, 2])
    plan = Plan(configurations, make_tasks(configurations))
    only = measured(np.full(100, 1.0), plan.tasks[0].configuration)
    found = document(Measured("s", header(), [only]), plan)
    assert [r["batch"] for r in found["results"]] == [plan.tasks[0].configuration.batch]


def test_a_single_run_stays_as_it_is() -> None:
    result = measured(np.full(100, 1.0))
    assert merge([result]) == result


def test_repeats_are_pooled_in_the_histogram() -> None:
    """The p99 of all requests lies among those of the slow repeat; the mean of the repeats' p99 does not."""
    four = repeats(4)
    merged = merge(four)
    assert merged["requests"] == 4000
    assert merged["samples"] == 8000
    assert merged["latency_ms"]["p99"] > 5.9
    assert sum(r["latency_ms"]["p99"] for r in four) / 4 < 4.5
    assert merged["latency_ms"]["max"] == max(r["latency_ms"]["max"] for r in four)
    assert merged["throughput"] == pytest.approx(8000 / sum(r["duration_s"] for r in four))
    assert Histogram.decode(merged["latency_hdr"]).n == 4000
    assert merged["latency_ms"]["mean"] == pytest.approx(np.mean([r["latency_ms"]["mean"] for r in four]))
    assert merged["repeats"] == four


def test_few_repeats_have_the_widest_interval_of_all_of_them() -> None:
    merged = merge(repeats(4))
    low, high = merged["latency_ci95_ms"]["p50"]
    assert low < 3
    assert high > 6
    assert "widest of 4 repeats" in merged["ci_method"]
    unsure = repeats(3)
    unsure[1]["latency_ci95_ms"]["p99_9"] = [2.9, None]
    assert merge(unsure)["latency_ci95_ms"]["p99_9"][1] is None


def test_from_five_repeats_on_the_interval_is_that_between_them() -> None:
    random = np.random.default_rng(1)
    five = [measured(random.normal(3 + 0.1 * i, 0.01, 1000)) for i in range(5)]
    merged = merge(five)
    low, high = merged["latency_ci95_ms"]["p50"]
    # Student t, 4 degrees of freedom: 3.2 ± 2.776 · 0.158 ÷ √5.
    assert low == pytest.approx(3.2 - 0.1963, abs=0.01)
    assert high == pytest.approx(3.2 + 0.1963, abs=0.01)
    assert "5 repeats" in merged["ci_method"]
    assert merged["throughput_ci95"][0] < merged["throughput"] < merged["throughput_ci95"][1]
    assert merged["latency_ci95_ms"]["p99_9"] is not None
    short = [measured(random.normal(3, 0.01, 40)) for _ in range(5)]
    assert merge(short)["latency_ci95_ms"]["p99_9"][1] is None, "200 requests tell no p99.9"


def test_the_interval_between_repeats_contains_the_pooled_value() -> None:
    merged = merge(repeats(6))
    for name, interval in merged["latency_ci95_ms"].items():
        assert interval[0] is None or interval[0] <= merged["latency_ms"][name]
        assert interval[1] is None or interval[1] >= merged["latency_ms"][name]


def test_a_failed_repeat_fails_the_whole_and_keeps_the_rest() -> None:
    good = repeats(2)
    bad = blank_result(
        CONFIGURATION, error=MeasureError("worker-killed", "the worker was killed", "look at memory"), run=9
    )
    merged = merge([good[0], bad, good[1]])
    assert merged["status"] == "failed"
    assert merged["error"]["message"] == "repeat 2 of 3: the worker was killed"
    assert merged["requests"] == 2000
    assert len(merged["repeats"]) == 3
    assert merge([bad, bad])["status"] == "failed"
    assert merge([bad, bad])["latency_ms"]["p50"] is None


def test_stages_add_up_weighted_and_their_medians_are_not_averaged() -> None:
    first, second = repeats(2)
    first |= {"stage_n": 10, "stages_ms": {"host": {"mean": 1.0, "p50": 1.0}, "h2d": None}}
    second |= {"stage_n": 30, "stages_ms": {"host": {"mean": 3.0, "p50": 3.0}, "h2d": None}}
    merged = merge([first, second])
    assert merged["stages_ms"]["host"] == {"mean": 2.5, "p50": None}
    assert merged["stages_ms"]["h2d"] is None
    assert merged["stage_n"] == 40


def test_repeats_that_all_fell_back_are_pooled_and_stay_a_fallback() -> None:
    error = {"kind": "fallback", "message": "all nodes run on the CPU", "fix": "x", "detail": ""}
    five = repeats(5, status="fallback", error=error)
    merged = merge(five)
    assert (merged["status"], merged["error"]) == ("fallback", error)
    assert (merged["requests"], len(merged["repeats"])) == (5000, 5)
    assert "5 repeats" in merged["ci_method"]
    mixed = merge([*repeats(2), five[0]])
    assert (mixed["status"], mixed["requests"]) == ("fallback", 2000)
    assert mixed["error"]["message"] == "repeat 3 of 3: all nodes run on the CPU"


def test_the_gap_of_repeats_is_explained_anew_from_their_parts() -> None:
    stages = {"host": None, "h2d": None, "compute": {"mean": 1.0, "p50": 1.0}, "d2h": None, "enqueue": None}
    both = []
    for n, gap_ms, issue in ((10, 0.2, 0.1), (30, 0.4, 0.3)):
        (one,) = repeats(1)
        one |= {"stage_n": n, "stages_ms": {**stages, "gap": {"mean": gap_ms, "p50": gap_ms}}}
        one["instrumented"] = {"apart": n == 10, "n": n, "cost_ms": 0.01 * n}
        one["gap"] = gap.of_result(one, {"issue": issue, "sync": 0.1})
        both.append(one)
    merged = merge(both)
    assert {part["name"]: pytest.approx(part["ms"]) for part in merged["gap"]["parts"]} == {
        "issue": 0.25,
        "sync": 0.1,
    }
    assert merged["gap"]["ms"] == pytest.approx(0.35)
    assert merged["instrumented"] == {"apart": True, "n": 40, "cost_ms": pytest.approx(0.25)}
    assert merge(repeats(2))["gap"] is None


def test_the_worst_grade_stands_with_its_reasons() -> None:
    first, second, third = repeats(3)
    first |= {"stability": "B", "stability_reasons": ["spread"]}
    second |= {"stability": "C", "stability_reasons": ["spread 12 %", "few"]}
    third |= {"stability": None}
    merged = merge([first, second, third])
    assert merged["stability"] == "C"
    assert merged["stability_reasons"] == ["1 of 3 repeats are C", "spread 12 %", "few"]
    alike = merge([second, second])
    assert alike["stability_reasons"] == ["spread 12 %", "few"]
    assert merge(repeats(2))["stability_reasons"] == []
