"""Readings while a run was measured, and what they say of where it took place."""

from __future__ import annotations

import pytest
from infertop.sessions import conditions
from infertop.sessions.readings import Readings
from infertop.telemetry.metrics import MetricSpec, Value
from infertop.telemetry.stability import grade

TABLE = [
    MetricSpec("gpu0.clock_sm", "MHz"),
    MetricSpec("gpu0.throttle_power", "ns", counter=True),
    MetricSpec("gpu0.energy", "mJ", counter=True),
    MetricSpec("gpu0.other_memory", "B"),
    MetricSpec("gpu0.memory_total", "B"),
]
S = 1_000_000_000


def readings(*ticks: list[Value], before: list[Value] | None = None) -> Readings:
    found = Readings(TABLE, before or [None] * len(TABLE))
    for second, tick in enumerate(ticks):
        found.add(second * S, tick)
    return found


def test_means_rates_and_what_was_read_only_before() -> None:
    found = readings(
        [1980, 0, 1000, 0, None],
        [None, None, None, None, None],
        [1900, 100_000_000, 601_000, 0, None],
        before=[None, None, None, None, 80e9],
    )
    means = found.means()
    assert means["gpu0.clock_sm"] == 1940
    assert means["gpu0.throttle_power"] == 50_000_000, "ns a second: 5 % of the time"
    assert means["gpu0.energy"] == 300_000
    assert means["gpu0.memory_total"] == 80e9
    assert found.span("gpu0.clock_sm") == (1900, 1980)
    assert found.span("nothing") is None


def test_a_counter_that_was_read_once_has_no_rate() -> None:
    assert readings([1980, 5, 7, 0, None]).means()["gpu0.energy"] is None


def test_a_gpu_run_is_graded_by_throttling_clock_and_company() -> None:
    steady = readings([1980, 0, 0, 0, None], [1980, 0, 500_000, 0, None])
    assert (
        grade((1.0, 1.0, 1.0), 0.01, 1000, conditions.on_gpu("gpu0.", steady.means(), steady)).letter == "A"
    )
    throttled = readings([1980, 0, 0, 0, None], [1980, 20_000_000, 500_000, 0, None])
    found = grade((1.0, 1.0, 1.0), 0.01, 1000, conditions.on_gpu("gpu0.", throttled.means(), throttled))
    assert found.letter == "B"
    assert "throttled 2.0 %" in found.reasons[0]
    falling = readings([1980, 0, 0, 0, None], [1500, 0, 500_000, 1 << 30, None])
    found = grade((1.0, 1.0, 1.0), 0.01, 1000, conditions.on_gpu("gpu0.", falling.means(), falling))
    assert found.letter == "C"
    assert any("other processes" in reason for reason in found.reasons)


def test_a_gpu_that_nvml_cannot_be_matched_with_is_unknown_and_no_a() -> None:
    found = grade((1.0, 1.0, 1.0), 0.01, 1000, conditions.on_gpu(None, {}, readings()))
    assert found.letter == "B"


def test_energy_a_sample_includes_idle_power_and_needs_time() -> None:
    means = readings([1980, 0, 0, 0, None], [1980, 0, 400_000, 0, None]).means()
    assert conditions.energy_per_sample("gpu0.", means, 8000.0, 10.0) == pytest.approx(0.05)
    assert conditions.energy_per_sample("gpu0.", means, 8000.0, 1.0) is None
    assert conditions.energy_per_sample(None, means, 8000.0, 10.0) is None


HOST = {"allowed_cores": [0, 1, 2, 3], "quota": None}


def test_other_processes_and_a_full_machine_lower_the_grade_of_a_cpu_run() -> None:
    quiet = {"host.cpu": 26.0, "worker.cpu": 100.0, "engine.cpu": 2.0}
    assert conditions.on_cpu(quiet, HOST, 3).notes == ()
    busy = quiet | {"host.cpu": 60.0}
    assert conditions.on_cpu(busy, HOST, 3).notes == ("other processes kept 1.4 cores busy",)
    assert "infertop itself" in conditions.on_cpu(quiet, HOST, 4).notes[0]
    assert "unknown" in conditions.on_cpu({}, HOST, 3).notes[0]
