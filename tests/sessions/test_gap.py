"""The gap in words and numbers: every part named, what trtexec would call the latency, and recordings that lack the parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from infertop.backends.configuration import Configuration
from infertop.sessions import gap
from infertop.sessions.gap import Request
from infertop.sessions.records import Tick
from infertop.sessions.state import SessionState
from infertop.telemetry.histogram import Histogram
from infertop.tests.sessions import kit
from infertop.tests.sessions.synthetic import Engine, blob
from infertop.tests.tui import synthetic as tui_synthetic

GPU = Request("torch-eager", "cuda:0", "pinned", "closed:1")
STAGES = {"host": 0.1, "h2d": 1.5, "compute": 1.6, "d2h": 0.1, "gap": 0.3, "enqueue": 0.4}


def explained(
    stages: Mapping[str, float | None], outside: dict[str, float], request: Request = GPU
) -> gap.Gap:
    found = gap.explain(stages, outside, request)
    assert found is not None
    return found


def test_the_parts_add_up_to_the_gap_and_each_has_its_share_of_the_service() -> None:
    found = explained(STAGES, {"issue": 0.2, "sync": 0.06})
    assert found.ms == 0.3
    assert found.service_ms == pytest.approx(3.6)
    assert found.share == pytest.approx(0.3 / 3.6)
    assert {part.name: pytest.approx(part.ms) for part in found.parts} == {
        "issue": 0.2,
        "sync": 0.06,
        "instrumentation": 0.04,
    }
    assert sum(part.share for part in found.parts) == pytest.approx(found.share)
    assert gap.sentence(found) == (
        "0.300 of 3.60 ms (8.3 %) lie outside the stages: Python 0.200, synchronisation 0.0600, instrumentation 0.0400"
    )
    assert [part.name for part in found.worth] == ["issue", "sync"], "a seventh of it needs no sentence"
    assert found.notable


def test_what_trtexec_calls_latency_stands_beside_it() -> None:
    found = explained(STAGES, {"issue": 0.2, "sync": 0.06})
    assert found.ideal_ms == pytest.approx(3.2)
    assert "h2d + compute + d2h its latency: 3.20 of these 3.60 ms" in found.trtexec
    assert "copies nothing unless told to: 1.60" in found.trtexec
    assert "--data-path device --load closed:2" in found.trtexec
    assert "waits for the host inside compute" not in found.trtexec
    launched = explained(STAGES | {"enqueue": 1.5}, {})
    assert (
        "the GPU waits for the host inside compute as well (issuing it takes 1.50 of 1.60 ms)"
        in launched.trtexec
    )


def test_nothing_is_advised_that_is_done_already() -> None:
    deep = dataclasses.replace(GPU, data_path="device", load="closed:2")
    found = explained(STAGES, {"issue": 0.1, "queue": 0.15, "sync": 0.05}, deep)
    advice = {part.name: part.advice for part in found.parts}
    assert "--load closed:1" in advice["queue"]
    assert "closed:2" not in advice["issue"]
    assert "closed:2" not in found.trtexec
    alone = explained(STAGES, {"issue": 0.25}, dataclasses.replace(GPU, data_path="pageable"))
    assert "--data-path pinned --load closed:2" in {p.name: p.advice for p in alone.parts}["issue"]


def test_a_device_that_does_not_tell_leaves_one_part_that_says_so() -> None:
    found = explained(STAGES, {})
    (part,) = found.parts
    assert (part.name, part.ms) == ("remainder", 0.3)
    assert "torch-eager does not say when its device was done" in part.text


def test_on_the_cpu_nothing_is_compared_with_trtexec() -> None:
    cpu = Request("onnxruntime-cpu", "cpu", "pageable", "closed:1")
    found = explained({"host": 0.0, "compute": 0.04, "gap": 0.01}, {"issue": 0.009, "sync": 0.001}, cpu)
    assert (found.ideal_ms, found.trtexec, found.notable) == (None, "", False)
    assert gap.explain({"compute": 1.0, "gap": None}, {}, cpu) is None


@pytest.mark.parametrize(
    ("placement", "compared"),
    [
        ({"CPUExecutionProvider": 9}, False),
        ({"CUDAExecutionProvider": 8, "CPUExecutionProvider": 1}, True),
        (None, True),
    ],
)
def test_what_fell_back_to_the_cpu_is_explained_as_a_request_there(
    placement: dict[str, int] | None, compared: bool
) -> None:
    stages = {name: {"mean": value} for name, value in STAGES.items()}
    result = {
        "backend": "onnxruntime-cuda@old",
        "device": "cuda:0",
        "data_path": "pageable",
        "load": "closed:1",
    }
    found = gap.of_result(result | {"stages_ms": stages, "placement": placement}, {"issue": 0.3})
    assert found is not None
    assert (found["trtexec"] != "") == compared
    assert ("GPU" in found["parts"][0]["text"]) == compared
    configuration = Configuration("onnxruntime-cuda", "m", device="cuda:0")
    run = tui_synthetic.run(configuration=configuration, placement=placement, outside={"issue": 1e5})
    shown = gap.of_run(run)
    assert shown is not None
    assert (shown.ideal_ms is not None) == compared


def test_the_wait_before_the_service_of_an_open_loop_stands_beside_the_gap() -> None:
    found = gap.explain(STAGES, {"issue": 0.3}, GPU, waiting_ms=12.5)
    assert found is not None
    assert any("waits 12.5 ms in the mean from its arrival" in line for line in gap.lines(found))
    assert found.ms == 0.3


@pytest.fixture
def _plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])


@pytest.mark.usefixtures("_plugin")
def test_a_run_says_what_its_gap_consists_of_and_what_instrumenting_costs(tmp_path: Path) -> None:
    measured, _ = kit.run(tmp_path, [kit.task(latency_us=2000, requests=400)])
    (result,) = measured.results
    found = result["gap"]
    assert found["ms"] == result["stages_ms"]["gap"]["mean"]
    assert {part["name"] for part in found["parts"]} >= {"issue", "sync"}
    assert sum(part["ms"] for part in found["parts"]) == pytest.approx(found["ms"], rel=0.01)
    assert result["instrumented"]["n"] == result["stage_n"]
    left_out = result["stage_n"] if result["instrumented"]["apart"] else 0
    assert Histogram.decode(result["latency_hdr"]).n == result["requests"] - left_out


@pytest.mark.usefixtures("_plugin")
def test_a_device_that_runs_on_by_itself_is_not_split_by_guessing(tmp_path: Path) -> None:
    task = kit.task("simulated-async", in_us=200, compute_us=500, out_us=200, requests=100)
    measured, _ = kit.run(tmp_path, [task])
    (result,) = measured.results
    assert [part["name"] for part in result["gap"]["parts"]] == ["remainder"]


def test_the_reader_adds_the_parts_up_as_it_does_the_stages() -> None:
    engine, state = Engine(), SessionState()
    engine.begin()
    engine.enter("measure")
    for _ in range(8):
        engine.tick([1_000_000] * 20)
    for record in engine.records:
        if isinstance(record, Tick) and record.h:
            parts = {"issue": blob([20_000] * 80), "sync": blob([5_000] * 80)}
            record = msgspec.structs.replace(record, h=record.h | parts)
        state.apply(record)
    run = state.view().run
    assert run is not None
    assert run.outside is not None
    assert run.outside["issue"] == pytest.approx(20_000, rel=1e-3)
    found = gap.of_run(run)
    assert found is not None
    assert {part.name for part in found.parts} >= {"issue", "sync"}
