"""The Pareto front: what it must hold for any points, and who may never stand on it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from infertop.backends.configuration import Configuration
from infertop.sessions.pareto import Point, contested, front, marked, summary
from infertop.sessions.results import blank_result

# Few values, so that ties in one and in both are frequent.
POINTS = st.lists(
    st.none() | st.tuples(st.integers(0, 6).map(float), st.integers(0, 6).map(float)), max_size=12
)


def beats(a: Point, b: Point) -> bool:
    return a[0] <= b[0] and a[1] >= b[1] and a != b


@given(POINTS)
def test_on_the_front_is_exactly_what_nothing_beats(points: list[Point | None]) -> None:
    known = [p for p in points if p is not None]
    assert front(points) == [p is not None and not any(beats(other, p) for other in known) for p in points]


@given(POINTS)
def test_whatever_is_left_off_is_beaten_by_something_on_it(points: list[Point | None]) -> None:
    marks = front(points)
    best = [p for p, mark in zip(points, marks, strict=True) if mark and p is not None]
    for p, mark in zip(points, marks, strict=True):
        if p is not None and not mark:
            assert any(beats(other, p) for other in best)


@given(POINTS, st.randoms())
def test_the_order_of_the_points_does_not_matter(points: list[Point | None], random: Any) -> None:
    order = list(range(len(points)))
    random.shuffle(order)
    marks = front(points)
    assert front([points[i] for i in order]) == [marks[i] for i in order]


def result(
    p50: float | None, throughput: float | None, model: str = "smallcnn", **fields: Any
) -> dict[str, Any]:
    blank = blank_result(Configuration("onnxruntime-cpu", model, "fp32", 8), "ok", run=1)
    return {**blank, "latency_ms": {"p50": p50}, "throughput": throughput, **fields}


def on_front(*results: dict[str, Any]) -> list[bool]:
    return [r["pareto"] for r in marked(results)]


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "failed"},
        {"status": "fallback"},
        {"status": "unavailable"},
        {"agreement": {"within_band": False}},
        {"complete": False},
        {"open_loop": {"rate": 900.0, "unbounded": "the backlog kept growing"}},
        {"open_loop": {"rate": 900.0, "unbounded": None}},
        {"throughput": None},
        {"latency_ms": {"p50": None}},
        {"latency_ms": {}},
    ],
)
def test_what_must_not_count_is_never_on_the_front_and_keeps_nothing_off_it(fields: dict[str, Any]) -> None:
    assert on_front(result(5.0, 100.0), result(1.0, 900.0) | fields) == [True, False]
    assert on_front(result(1.0, 900.0) | fields) == [False]


def test_an_agreement_inside_its_band_or_unknown_counts() -> None:
    agreeing = result(1.0, 900.0, agreement={"within_band": True})
    unknown = result(2.0, 950.0, agreement={"within_band": None})
    assert on_front(agreeing, unknown) == [True, True]


def test_each_model_and_each_size_has_a_front_of_its_own() -> None:
    small, large = result(1.0, 900.0), result(50.0, 20.0, "resnet18")
    long = result(9.0, 100.0, dims={"seq": 512})
    assert on_front(small, large, long) == [True, True, True]
    assert not contested([small, large, long])
    assert contested([small, result(2.0, 1.0)])
    assert not contested([small, result(2.0, 1.0, status="failed")])


def test_a_summary_counts_what_became_of_each_and_names_the_front_by_what_differs() -> None:
    runs = [
        result(4.0, 8000.0, batch=32),
        result(0.5, 2000.0, batch=1),
        result(5.0, 7000.0, batch=64),
        result(0.1, 99_000.0, batch=8, status="fallback"),
        result(None, None, status="unavailable"),
    ]
    assert summary(runs) == (
        "3 measured, 1 fallback, 1 unavailable; best: ort-cpu batch 1 (0.500 ms, 2 000/s), ort-cpu batch 32 (4.00 ms, 8 000/s)"
    )
    assert summary(runs[:1]) == "1 measured; ort-cpu (4.00 ms, 8 000/s)"
    assert summary(runs[3:]) == "1 fallback, 1 unavailable"
    labelled = [result(1.0, 2.0, backend="onnxruntime-cuda@old"), result(2.0, 3.0, backend="own")]
    assert "best: ort-cuda@old (1.00 ms, 2.000/s), own (2.00 ms, 3.000/s)" in summary(labelled)
    many = [result(float(i), 100.0 * i, batch=i) for i in range(1, 8)]
    assert summary(many).endswith("and 3 more")
