"""The grade: the worst part decides, unknowns count as B, and every lowering says why."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from infertop.telemetry.histogram import Histogram
from infertop.telemetry.stability import BLOCKS, Conditions, Course, grade, window_medians

STEADY = (1.00e6, 1.05e6, 1.02e6)
CPU = Conditions()
GPU = Conditions(gpu=True, throttled=0.0, clock_span=0.02, alone=True)


def second(ns: int, n: int = 100) -> Histogram:
    made = Histogram()
    made.record(np.full(n, ns))
    return made


def test_a_steady_run_is_an_a_on_either_device() -> None:
    for at in (CPU, GPU):
        found = grade(STEADY, 0.025, 368, at)
        assert (found.letter, found.reasons) == ("A", ())


@pytest.mark.parametrize(
    ("medians", "variation", "n", "letter", "words"),
    [
        ((1e6, 1.06e6, 1e6), 0.01, 1000, "B", "the medians of 3 windows differ by 6.0 %"),
        ((1e6, 1.11e6, 1e6), 0.01, 1000, "C", "the medians of 3 windows differ by 11.0 %"),
        (STEADY, 0.03, 1000, "B", "latencies vary by 3.0 % of their mean"),
        (STEADY, 0.11, 1000, "C", "latencies vary by 11.0 % of their mean"),
        (STEADY, 0.01, 367, "B", "367 requests, p99 needs 368"),
        ((), 0.01, 1000, "B", "too short for 3 windows"),
    ],
)
def test_timing(medians: tuple[float, ...], variation: float, n: int, letter: str, words: str) -> None:
    found = grade(medians, variation, n, CPU)
    assert (found.letter, found.reasons) == (letter, (words,))


@pytest.mark.parametrize(
    ("change", "letter", "words"),
    [
        ({"throttled": 0.05}, "B", "clocks throttled 5.0 % of the time"),
        ({"throttled": 0.06}, "C", "clocks throttled 6.0 % of the time"),
        ({"throttled": None}, "B", "unknown whether clocks were throttled"),
        ({"clock_span": 0.05}, "B", "the SM clock moved by 5.0 %"),
        ({"clock_span": 0.051}, "C", "the SM clock moved by 5.1 %"),
        ({"clock_span": None}, "B", "the SM clock is unknown"),
        ({"alone": False}, "B", "other processes were on the GPU"),
        ({"alone": None}, "B", "other processes on the GPU cannot be seen from here"),
        ({"far_node": "the worker is far away"}, "B", "the worker is far away"),
        ({"quiet_busy": 0.1}, "B", "the GPU was 10 % busy before the run, with nothing of infertop's"),
        ({"quiet_busy": 0.9}, "C", "the GPU was 90 % busy before the run, with nothing of infertop's"),
        ({"threads": 3, "quota": 2.5}, "B", "3 threads on a quota of 2.5 cores"),
        ({"notes": ("p99 includes infertop itself",)}, "B", "p99 includes infertop itself"),
    ],
)
def test_conditions(change: dict[str, object], letter: str, words: str) -> None:
    found = grade(STEADY, 0.01, 1000, dataclasses.replace(GPU, **change))  # type: ignore[arg-type]
    assert (found.letter, found.reasons) == (letter, (words,))


def test_as_many_threads_as_the_quota_are_no_reason() -> None:
    assert grade(STEADY, 0.01, 1000, Conditions(threads=2, quota=2.0)).letter == "A"
    assert grade(STEADY, 0.01, 1000, Conditions(threads=64)).letter == "A"


def test_gpu_unknowns_do_not_lower_a_cpu_run() -> None:
    assert grade(STEADY, 0.01, 1000, Conditions(gpu=False, throttled=0.5, alone=False)).letter == "A"


def test_the_worst_decides_and_comes_first() -> None:
    found = grade((1e6, 1.07e6, 1e6), 0.2, 10, GPU)
    assert found.letter == "C"
    assert found.reasons == (
        "latencies vary by 20.0 % of their mean",
        "the medians of 3 windows differ by 7.0 %",
        "10 requests, p99 needs 368",
    )


def test_windows_are_thirds_of_the_run() -> None:
    seconds = [second(1000)] * 3 + [second(1500)] * 4 + [Histogram()] + [second(2000)] * 3
    assert window_medians(seconds) == (1000.0, 1500.0, 2000.0)
    assert window_medians([s.compact() for s in seconds]) == window_medians(seconds)
    assert window_medians([second(5), second(5), Histogram()]) == ()


def test_requests_that_were_left_out_are_counted_beside_those_that_were_not() -> None:
    found = grade(STEADY, 0.01, 49, CPU, apart=1)
    assert found.reasons == ("50 requests, of which 1 timed by stage stay out, p99 needs 368",)


def test_a_run_that_goes_on_has_the_medians_of_its_thirds_in_bounded_memory() -> None:
    course, seconds = Course(), []
    for number in range(600):
        seconds.append(second(1_000_000 + 1_000 * number, 10))
        course.add(seconds[-1])
        if number + 1 < BLOCKS:
            assert course.medians() == window_medians(seconds), (
                "the same while every second has its own block"
            )
        assert len(course._blocks) < BLOCKS
    assert course.medians() == pytest.approx(window_medians(seconds), rel=0.02)


def test_a_course_is_too_short_at_first() -> None:
    course = Course()
    assert course.medians() == ()
    course.add(second(1_000_000))
    assert course.medians() == ()


def test_medians_are_those_of_the_histograms_sum() -> None:
    random = np.random.default_rng(4)
    seconds = []
    for count in (1, 2, 7, 500, 501, 90):
        made = Histogram()
        made.record(random.lognormal(14, 0.5, count).astype(np.int64))
        seconds.append(made)
    thirds = [seconds[i : i + 2] for i in (0, 2, 4)]
    expected = [float(Histogram.of([s.compact() for s in third]).quantile(0.5)) for third in thirds]
    assert list(window_medians(seconds)) == expected
