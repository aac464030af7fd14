"""Readings while a run was measured, and what they say of where it took place."""

from __future__ import annotations

import pytest
from infertop.sessions import conditions, energy
from infertop.sessions.readings import Readings
from infertop.telemetry.metrics import MetricSpec, Value
from infertop.telemetry.numa import nearness
from infertop.telemetry.stability import grade

TABLE = [
    MetricSpec("gpu0.clock_sm", "MHz"),
    MetricSpec("gpu0.throttle_power", "ns", counter=True),
    MetricSpec("gpu0.energy", "mJ", counter=True),
    MetricSpec("gpu0.other_memory", "B"),
    MetricSpec("gpu0.memory_total", "B"),
]
CARD = conditions.Card("gpu0")
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
    assert grade((1.0, 1.0, 1.0), 0.01, 1000, conditions.on_gpu(CARD, steady.means(), steady)).letter == "A"
    throttled = readings([1980, 0, 0, 0, None], [1980, 20_000_000, 500_000, 0, None])
    found = grade((1.0, 1.0, 1.0), 0.01, 1000, conditions.on_gpu(CARD, throttled.means(), throttled))
    assert found.letter == "B"
    assert "throttled 2.0 %" in found.reasons[0]
    falling = readings([1980, 0, 0, 0, None], [1500, 0, 500_000, 1 << 30, None])
    found = grade((1.0, 1.0, 1.0), 0.01, 1000, conditions.on_gpu(CARD, falling.means(), falling))
    assert found.letter == "C"
    assert any("other processes" in reason for reason in found.reasons)


def test_a_gpu_that_nvml_cannot_be_matched_with_is_unknown_and_no_a() -> None:
    for card, why in (
        (conditions.Card(None), "which of NVML's GPUs"),
        (conditions.Card(None, watched=False), "telemetry was off"),
    ):
        found = grade((1.0, 1.0, 1.0), 0.01, 1000, conditions.on_gpu(card, {}, readings()))
        assert found.letter == "B"
        (reason,) = found.reasons
        assert reason.startswith(why), "one reason for all that is unknown"


def test_what_kept_the_gpu_busy_before_the_run_and_a_far_worker_lower_the_grade() -> None:
    steady = readings([1980, 0, 0, 0, None], [1980, 0, 500_000, 0, None])
    far = nearness(0, [4, 5], {"0": "0-3", "1": "4-7"}, {"0": [10, 21], "1": [21, 10]})
    card = conditions.Card("gpu0", quiet={"util": 97.0}, nearness=far)
    found = grade((1.0, 1.0, 1.0), 0.01, 1000, conditions.on_gpu(card, steady.means(), steady))
    assert found.letter == "C"
    assert "97 % busy before the run" in found.reasons[0]
    assert found.reasons[1] == (
        "the worker runs on NUMA node 1, its GPU hangs on node 0, distance 21: --cpu-affinity 0-3 keeps it near"
    )


def test_a_slice_of_a_gpu_is_no_gpu_of_ones_own() -> None:
    steady = readings([1980, 0, 0, 0, None], [1980, 0, 500_000, 0, None])
    card = conditions.Card("gpu0", slice="MIG-1")
    found = grade((1.0, 1.0, 1.0), 0.01, 1000, conditions.on_gpu(card, steady.means(), steady))
    assert (found.letter, found.reasons) == (
        "B",
        ("other slices of this GPU share its power and its clocks",),
    )


def test_energy_a_sample_has_its_uncertainty_and_idle_power_beside_it() -> None:
    found = Readings(TABLE)
    for second in range(11):
        found.add(second * S, [1980, 0, 400_000 * second, 0, None])
    joules = energy.per_sample(found, "gpu0", 8000.0, [7920.0, 8080.0], {"power_w": 71.0})
    assert joules is not None
    assert joules["j_per_sample"] == pytest.approx(0.05)
    assert joules["uncertainty"] == pytest.approx(0.05 * (0.01**2 + 0.01**2) ** 0.5), (
        "a step in 10 s, 1 % of the rate"
    )
    assert (joules["idle_w"], joules["window_s"]) == (71.0, 10.0)
    assert energy.per_sample(found, None, 8000.0, None, None) is None
    short = readings([1980, 0, 0, 0, None], [1980, 0, 400_000, 0, None])
    assert energy.per_sample(short, "gpu0", 8000.0, None, None) is None
    both = energy.together([(joules, 100), ({**joules, "j_per_sample": 0.15}, 300)])
    assert both is not None
    assert both["j_per_sample"] == pytest.approx(0.125)
    assert both["uncertainty"] is not None
    assert joules["uncertainty"] is not None
    assert both["uncertainty"] < joules["uncertainty"], "the counter's steps average out"
    assert energy.together([(joules, 100), (None, 100)]) is None


def test_reasons_are_named_by_their_counters_else_by_their_ticks() -> None:
    table = [MetricSpec("gpu0.reasons", "bits"), MetricSpec("gpu0.throttle_power", "ns", counter=True)]
    found = Readings(table)
    for second, mask in enumerate((0x4, 0x4, 0x1, 0x204)):
        found.add(second * S, [mask, 40_000_000 * second])
    means = found.means()
    assert "gpu0.reasons" not in means, "a mask has no mean"
    assert conditions.clock_reasons("gpu0", means, found) == {
        "idle": {"share": 0.25, "from": "ticks"},
        "unknown bit 0x200": {"share": 0.25, "from": "ticks"},
        "power cap": {"share": 0.04, "from": "counter"},
    }
    assert conditions.held(conditions.clock_reasons("gpu0", means, found)) == (
        "the clocks were held: power cap 4.0 % of the time"
    )
    assert conditions.clock_reasons(None, means, found) is None
    assert conditions.held(None) == ""


HOST = {"allowed_cores": [0, 1, 2, 3], "quota": None}


def test_other_processes_and_a_full_machine_lower_the_grade_of_a_cpu_run() -> None:
    quiet = {"host.cpu": 26.0, "worker.cpu": 100.0, "engine.cpu": 2.0}
    assert conditions.on_cpu(quiet, HOST, 3).notes == ()
    busy = quiet | {"host.cpu": 60.0}
    assert conditions.on_cpu(busy, HOST, 3).notes == ("other processes kept 1.4 cores busy",)
    assert "infertop itself" in conditions.on_cpu(quiet, HOST, 4).notes[0]
    assert "unknown" in conditions.on_cpu({}, HOST, 3).notes[0]
