"""Two environments in one session: what tells them apart, and what the second changes."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from infertop.backends.configuration import Configuration
from infertop.sessions import change, tables
from infertop.sessions.documents import document
from infertop.sessions.gates import scope_of
from infertop.sessions.plan import Plan, make_tasks
from infertop.sessions.results import blank_result
from infertop.tests.sessions import kit


def result(label: str, p50: float, repeats: list[float] | None = None, **fields: Any) -> dict[str, Any]:
    """p50 in ms of the whole and of its repeats; the throughput is 1000 ÷ p50."""
    backend, _, environment = label.partition("@")
    configuration = Configuration(backend, "smallcnn", "fp32", 8, environment=environment or None)

    def one(value: float) -> dict[str, Any]:
        blank = blank_result(configuration, "ok", run=1)
        return blank | {
            "latency_ms": {"p50": value},
            "throughput": 1e3 / value,
            "requests": 500,
            "complete": True,
        }

    return one(p50) | {"repeats": [one(value) for value in repeats or ()]} | fields


def test_the_change_is_that_of_rounds_with_students_t() -> None:
    """Drift that both share, 4 to 8 ms, is in no interval: only the ratios of the rounds count."""
    drift = [4.0, 5.0, 6.0, 7.0, 8.0]
    ratios = [0.90, 0.91, 0.89, 0.92, 0.88]
    old = result("onnxruntime-cpu@old", 6.0, drift)
    new = result("onnxruntime-cpu@new", 5.4, [a * b for a, b in zip(drift, ratios, strict=True)])
    first, second = change.compared([old, new])
    assert first["change"] is None
    found = second["change"]
    assert found["to"] == "onnxruntime-cpu@old"
    logs = [math.log(ratio) for ratio in ratios]
    mean = sum(logs) / 5
    half = 2.7764 * math.sqrt(sum((x - mean) ** 2 for x in logs) / 4 / 5)
    assert found["p50"]["share"] == pytest.approx(math.expm1(mean))
    assert found["p50"]["ci95"] == pytest.approx([math.expm1(mean - half), math.expm1(mean + half)], rel=1e-4)
    assert found["throughput"]["share"] == pytest.approx(math.expm1(-mean))
    assert found["p50"]["pairs"] == 5


def test_without_repeats_there_is_a_change_and_no_interval() -> None:
    results = change.compared([result("onnxruntime-cpu@old", 5.0), result("onnxruntime-cpu@new", 4.0)])
    assert results[1]["change"]["p50"] == {"share": pytest.approx(-0.2), "ci95": None, "pairs": 0}
    [line] = change.lines(results, scope_of)
    assert line == (
        "onnxruntime-cpu@new/fp32/8 beside onnxruntime-cpu@old: p50 -20.0 %, samples/s +25.0 %; --repeat 5 gives intervals"
    )


@pytest.mark.parametrize(
    "other",
    [
        result("torch-eager", 4.0),
        result("onnxruntime-cpu@new", 4.0, batch=1),
        result("onnxruntime-cpu@new", 4.0, status="failed"),
        result("onnxruntime-cpu@new", 4.0, status="fallback"),
        result("onnxruntime-cpu@new", 4.0, complete=False),
    ],
)
def test_what_differs_in_more_than_its_environment_is_not_compared(other: dict[str, Any]) -> None:
    assert [r["change"] for r in change.compared([result("onnxruntime-cpu", 5.0), other])] == [None, None]


def test_only_versions_that_differ_are_told() -> None:
    old = result(
        "onnxruntime-cpu@old", 5.0, libraries={"onnxruntime": "1.20.1", "numpy": "2.0", "coloredlogs": "15"}
    )
    new = result("onnxruntime-cpu@new", 4.0, libraries={"onnxruntime": "1.31.1", "numpy": "2.0"})
    found = change.lines(change.compared([old, new]), scope_of)
    assert found[:2] == [
        "onnxruntime-cpu@old: onnxruntime 1.20.1, coloredlogs 15",
        "onnxruntime-cpu@new: onnxruntime 1.31.1, coloredlogs not installed",
    ]
    assert change.lines([old], scope_of) == []
    document = {"results": change.compared([old, new]), "session": "s", "infertop": "0"}
    assert found[0] in tables.as_text(document)
    assert "onnxruntime 1.20.1, coloredlogs 15" in tables.as_markdown(document)


def test_two_environments_in_one_interleaved_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two interpreters, each with workers of its own; three rounds."""
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])
    plain = kit.task(sleep_us=200).configuration
    configurations = (replace(plain, environment="old"), replace(plain, environment="new"))
    tasks = make_tasks(configurations, repeats=3, warmup="20x", duration_s=None, requests=100)
    order = [task.configuration.environment for task in tasks]
    assert order[:3] not in (["old"] * 3, ["new"] * 3), "interleaved"
    measured, _ = kit.run(tmp_path, tasks, environments={"old": sys.executable, "new": sys.executable})
    old, new = document(measured, Plan(configurations, tasks))["results"]
    assert (old["backend"], new["backend"]) == ("simulated@old", "simulated@new")
    assert old["libraries"]["infertop-simulated"] == new["libraries"]["infertop-simulated"] == "1.0"
    assert (old["change"], new["change"]["to"], new["change"]["p50"]["pairs"]) == (None, "simulated@old", 3)
    low, high = new["change"]["p50"]["ci95"]
    assert low <= new["change"]["p50"]["share"] <= high
    assert (new["complete"], new["asked"]) == (True, {"duration_s": None, "requests": 100, "repeats": 3})
