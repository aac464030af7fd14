"""What the panels of GPU, link and host say: every value with its scale, and in words what the machine holds back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from infertop.sessions.view import View
from infertop.telemetry.gpu_reader import LEGACY_WINDOW
from infertop.tests.tui import synthetic
from infertop.tests.tui.test_paint import screen


def text(view: View, width: int = 80, height: int = 24, **more: Any) -> str:
    return "\n".join(screen(view, width, height, **more))


def read(view: View, readings: Mapping[str, float | None], **table: Mapping[str, Any]) -> View:
    """The view with other readings, now and in all its history (None: never read), and rows of its table changed."""
    metrics = [msgspec.structs.replace(m, **table.get(m.id.replace(".", "_"), {})) for m in view.metrics]
    columns = view.history.metrics.copy()
    for place, metric in enumerate(metrics):
        if metric.id in readings:
            value = readings[metric.id]
            columns[:, place] = np.nan if value is None else value
    values = {n: v for n, v in {**view.values, **readings}.items() if v is not None}
    history = dataclasses.replace(view.history, metrics=columns)
    return dataclasses.replace(view, metrics=tuple(metrics), values=values, history=history)


def test_readings_stand_beside_what_they_can_be_at_most() -> None:
    for size in ((80, 24), (120, 40), (200, 60)):
        shown = text(synthetic.view(gpu=True), *size)
        for words in ("5.3 of 52.3 GB/s", "0.11 of 50.0 GB/s", "1.2 of 85.5 GB", "361 of 700 W"):
            assert words in shown, size


def test_without_a_measured_ceiling_the_theoretical_one_is_the_scale() -> None:
    view = synthetic.view(gpu=True, run=synthetic.on_gpu(link=None))
    assert "5.3 of 63.0 GB/s" in text(view)


def test_measured_and_theoretical_ceiling_stand_together_where_there_is_room() -> None:
    assert "52.3 GB/s measured of 63.0 GB/s" in text(synthetic.view(gpu=True), 200, 60)
    assert "gen 5 ×16, 63 GB/s" in text(synthetic.view(gpu=True))


def test_a_link_that_trained_down_under_load_is_said_in_words() -> None:
    view = synthetic.view(gpu=True)
    assert "trained down" not in text(view)
    slow = read(view, {"gpu0.pcie_gen": 1})
    assert "PCIe ▲ trained down: gen 1, not 5" in text(slow)
    assert "▲ under load gen 1, not 5" in text(slow, 200, 60)
    narrow = read(view, {"gpu0.pcie_gen": 4, "gpu0.pcie_width": 8})
    assert "trained down: gen 4 ×8, not 5 ×16" in text(narrow)


def test_an_idle_link_that_saves_power_is_no_warning() -> None:
    idle = read(
        synthetic.view(gpu=True),
        {"gpu0.pcie_gen": 1, "gpu0.util": 0, "gpu0.pcie_rx": 0, "gpu0.pcie_tx": 0},
    )
    shown = text(idle)
    assert "trained down" not in shown
    assert "gen 1 ×16" in shown


def test_the_legacy_reading_of_the_link_is_marked() -> None:
    source = {"source": LEGACY_WINDOW}
    view = read(synthetic.view(gpu=True), {}, gpu0_pcie_rx=source, gpu0_pcie_tx=source)
    assert "≈5.3 of 52.3 GB/s" in text(view)
    assert "≈" not in text(synthetic.view(gpu=True, run=synthetic.on_gpu(phase="end", result={})))


def test_what_held_the_clocks_down_has_its_name_and_its_share_of_the_time() -> None:
    view = synthetic.view(gpu=True)
    assert "▲ power cap 4 %" in text(view)
    assert "held by  power cap 4 %, softw" in text(view, 120, 40)
    assert "held by  power cap 4 %, software thermal 0.3 %" in text(view, 200, 60)
    free = read(view, {"gpu0.throttle_power": 0, "gpu0.throttle_thermal": 0})
    assert "GPU H100" in text(free)
    assert "held by  nothing in 30 s" in text(free, 120, 40)


def test_without_counters_the_reasons_of_now_are_named() -> None:
    counters = ("power", "sync", "thermal", "hw_thermal", "brake")
    absent = {f"gpu0_throttle_{name}": {"status": "absent", "reason": "too old"} for name in counters}
    view = read(synthetic.view(gpu=True), {"gpu0.reasons": 0x40 | 0x4}, **absent)
    assert "held by  power cap, hardware thermal" in text(view, 200, 60)


def test_shares_are_of_the_present_run_alone() -> None:
    """What another configuration was held by says nothing of this one."""
    view = synthetic.switched(gpu=True)
    place = next(i for i, m in enumerate(view.metrics) if m.id == "gpu0.throttle_power")
    columns = view.history.metrics.copy()
    columns[:, place] = np.where(view.history.run == 1, 1e9, 0.0)
    short = dataclasses.replace(view.history, metrics=columns, run=np.r_[np.ones(80, int), np.full(10, 2)])
    assert "power cap" not in text(dataclasses.replace(view, history=short))


def test_energy_of_a_sample_stands_with_what_is_unsure_and_the_idle_power() -> None:
    energy = {"j_per_sample": 0.0404, "uncertainty": 0.0004, "idle_w": 71.2, "window_s": 10.0}
    result = {"energy_j_per_sample": 0.0404, "energy": energy}
    ended = synthetic.view(gpu=True, run=synthetic.on_gpu(phase="end", result=result))
    assert "40.4 mJ a sample ±1 %, idle 71 W" in text(ended, 120, 40)
    live = synthetic.view(gpu=True)
    assert "mJ a sample ±0.3 %" in text(live, 120, 40), "one step of the counter in 30 s"


def test_a_run_that_fell_back_to_the_cpu_has_no_energy_of_the_gpu() -> None:
    view = synthetic.view(gpu=True, run=synthetic.on_gpu(fallback="everything runs on the CPU"))
    assert "a sample" not in text(view, 120, 40)


def test_the_host_has_its_cores_the_workers_threads_and_faults() -> None:
    shown = text(synthetic.view(), 120, 40)
    assert "cores    ▁█" in shown
    assert "410 MB, 9 threads" in shown
    assert "· faults 14 a second, 0 from disk" in shown
    assert "410 MB, 9 threads, 14 page faults/s, 0 from disk" in text(synthetic.view(gpu=True), 200, 60)
    assert "1.20 of 2 cores" in shown
    assert "6.2 of 16.6 GB" in shown
    assert "no CPU quota is set" in shown
    assert "tasks waited 0.9 %" in text(synthetic.view(), 200, 60)
    assert shown.count("16.6 GB") == 1, "no number without a label"


def test_a_quota_that_holds_is_said() -> None:
    ok = {"status": "ok", "reason": ""}
    view = read(
        synthetic.view(),
        {"host.quota": 1.5, "host.quota_throttled": 3e8},
        host_quota=ok,
        host_quota_throttled=ok,
    )
    assert "quota 1.5 cores, held 30 %" in text(view, 120, 40)


def test_a_gpu_that_is_not_read_any_more_does_not_pass_for_one_that_is() -> None:
    view = synthetic.view(gpu=True)
    lost = dataclasses.replace(view, ages={**view.ages, "gpu0.memory_used": 4.2})
    for shown, expected in ((view, False), (lost, True)):
        assert any("▲ not read for 4 s" in line for line in screen(shown, 120, 40)) is expected
