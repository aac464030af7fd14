"""What an engine reads of its GPUs, from the first look to the result: a fake NVML, real workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from infertop.sessions.engine import Engine
from infertop.sessions.records import Event, Header, Run, Tick
from infertop.sessions.session import Session
from infertop.tests.sessions import fake_gpus, kit
from infertop.tests.telemetry.fake_nvml import Gpu, Handle, h100, l4

OTHERS = "other processes were on the GPU"

Make = Callable[..., tuple[Engine, fake_gpus.RealTime]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])
    made: list[Engine] = []

    def engine(*gpus: Gpu, **settings: Any) -> tuple[Engine, fake_gpus.RealTime]:
        found = fake_gpus.engine(tmp_path, *gpus, **settings)
        made.append(found[0])
        return found

    yield engine
    for each in made:
        if each.selector.get_map() is not None:  # not closed yet
            each.close("the test is over")


def read(engine: Engine) -> list[Any]:
    """Everything that the engine wrote."""
    engine.close("read")
    with Session(engine.place.path.parent) as session:
        return [session.header, *(record for _, record in session.range(0, session.end + 1))]


def test_our_own_workers_are_nobody_else(make: Make) -> None:
    gpu = h100()
    engine, _ = make(gpu)
    engine.keep_workers = True
    for backend in ("simulated", "simulated-two"):
        runner = engine.start(fake_gpus.task(backend=backend))
        gpu.processes = [*(gpu.processes or []), (runner.worker.pid, 1 << 30)]
        while engine.runner is runner:
            engine.step()
    assert len(engine.workers.labels()) == 2, "the first is parked while the second runs"
    for result in engine.results:
        assert result["telemetry"]["gpu0.other_memory"] == 0
        assert OTHERS not in result["stability_reasons"]


def test_who_comes_while_a_short_run_measures_is_seen_at_its_end(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = h100()
    engine, machine = make(gpu)
    runner = engine.start(fake_gpus.task(seconds=0.3))
    lists = machine.nvmlDeviceGetComputeRunningProcesses

    def late(handle: Handle) -> list[Any]:
        gpu.processes = [(999_999_003, 2 << 30)] if runner.ended else []
        return lists(handle)

    monkeypatch.setattr(machine, "nvmlDeviceGetComputeRunningProcesses", late)
    while engine.runner is runner:
        engine.step()
    assert OTHERS in engine.results[-1]["stability_reasons"]


def test_a_run_does_not_inherit_who_was_there_before_it(make: Make) -> None:
    gpu = h100(processes=[(999_999_003, 2 << 30)])
    engine, _ = make(gpu)
    assert OTHERS in fake_gpus.measured(engine, fake_gpus.task(seconds=0.5))["stability_reasons"]
    gpu.processes = []
    assert OTHERS not in fake_gpus.measured(engine, fake_gpus.task(seconds=0.5))["stability_reasons"]


def test_a_second_with_the_worker_idle_comes_before_each_run_on_a_gpu(make: Make) -> None:
    gpu = h100(util=(97, 41), power_mw=300_000)
    engine, _ = make(gpu)
    busy = fake_gpus.measured(engine, fake_gpus.task(seconds=0.3))
    assert busy["quiet"]["util"] == 97.0
    assert busy["quiet"]["power_w"] == 300.0
    assert busy["quiet"]["seconds"] >= 1.0
    assert any("97 % busy before the run" in reason for reason in busy["stability_reasons"])
    gpu.util, gpu.power_mw = (0, 0), 71_000
    idle = fake_gpus.measured(engine, fake_gpus.task(seconds=0.3))
    assert (idle["quiet"]["util"], idle["quiet"]["power_w"]) == (0.0, 71.0)
    assert not any("before the run" in reason for reason in idle["stability_reasons"])
    said = [(e.level, e.text) for e in engine.state.view().events if e.kind == "quiet"]
    assert said == [
        ("warn", "GPU 0 before the run: 97 % busy, 300 W"),
        ("info", "GPU 0 before the run: 0 % busy, 71 W"),
    ]
    runs = [r for r in read(engine) if isinstance(r, Run) and r.run == 1]
    assert [r.phase for r in runs] == [
        "start",
        "import",
        "load",
        "build",
        "quiet",
        "warmup",
        "measure",
        "end",
    ]
    assert next(r.quiet for r in runs if r.phase == "warmup") == busy["quiet"]


def test_no_request_is_issued_in_the_quiet_second(make: Make) -> None:
    engine, _ = make(h100())
    runner = engine.start(fake_gpus.task(seconds=0.3))
    while runner.phase != "quiet":
        engine.step()
    while runner.phase == "quiet":
        assert runner.measurement.warm_requests == 0
        engine.step()
    while engine.runner is runner:
        engine.step()


def test_a_run_is_stopped_in_its_quiet_second_and_its_worker_stays(make: Make) -> None:
    engine, _ = make(h100())
    engine.keep_workers = True
    runner = engine.start(fake_gpus.task())
    while runner.phase != "quiet":
        engine.step()
    runner.stop()
    while engine.runner is runner:
        engine.step()
    assert engine.workers.labels() == {"simulated"}
    assert fake_gpus.measured(engine, fake_gpus.task(seconds=0.2))["status"] == "ok"


def test_cpus_have_no_quiet_second(make: Make) -> None:
    engine, _ = make(h100())
    assert fake_gpus.measured(engine, fake_gpus.task(device="cpu", seconds=0.2))["quiet"] is None


def test_a_gpu_is_found_by_its_uuid_whatever_its_number(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    engine, _ = make(l4("GPU-4"), h100("GPU-1"))
    gpu = engine.instruments.gpu
    assert gpu("cuda:0") is None, "CUDA puts the fastest first, and only its runtime knows which that is"
    assert gpu("cuda:0", "GPU-1") == "gpu1"
    assert gpu("cuda:0", "GPU-none") is None
    assert gpu("cpu") is None


def test_telemetry_that_is_off_opens_no_nvml_and_reads_nothing(make: Make) -> None:
    engine, machine = make(h100(), telemetry="off")
    result = fake_gpus.measured(engine, fake_gpus.task(seconds=0.3))
    assert machine.called == []
    assert result["telemetry_level"] == "off"
    assert result["status"] == "ok"
    header, *records = read(engine)
    assert isinstance(header, Header)
    assert (header.telemetry, header.gpus) == ("off", [])
    assert "off" in header.gpu_status
    assert all(value is None for r in records if isinstance(r, Tick) for value in r.m)


def test_a_run_is_graded_each_second_and_a_replay_shows_the_same(make: Make) -> None:
    gpu = h100(processes=[(999_999_003, 2 << 30)])
    engine, _ = make(gpu)
    runner = engine.start(fake_gpus.task(seconds=60.0, sleep_us=2000))
    graded: list[tuple[int, str, tuple[str, ...]]] = []
    while len(graded) < 2:
        engine.step()
        run = engine.state.view().run
        if run is not None and run.grade is not None and (not graded or run.grade_reasons != graded[-1][2]):
            graded.append((engine.state.view().now, run.grade, run.grade_reasons))
    assert engine.runner is runner, "while it measures"
    assert OTHERS in graded[0][2]
    engine.close("read")
    with Session(engine.place.path.parent) as session:
        for now, grade, reasons in graded:
            seen = session.seek(now).view().run
            assert seen is not None
            assert (seen.grade, seen.grade_reasons) == (grade, reasons)


def test_who_is_on_the_gpu_and_what_the_calls_cost_are_in_the_picture_and_the_log(make: Make) -> None:
    gpu = h100(processes=[(999_999_003, 2 << 30)])
    engine, _ = make(gpu)
    fake_gpus.measured(engine, fake_gpus.task(seconds=1.2))
    view = engine.state.view()
    assert [(t.pid, t.memory, t.own) for t in view.company["gpu0"].tenants] == [(999_999_003, 2 << 30, False)]
    assert view.calls["nvmlDeviceGetPowerUsage"].count > 4
    assert (
        view.calls["nvmlDeviceGetPowerUsage"].longest_ms >= view.calls["nvmlDeviceGetPowerUsage"].mean_ms > 0
    )
    engine.close("read")
    with Session(engine.place.path.parent) as session:
        replayed = session.seek(session.end).view()
    assert replayed.company == view.company
    assert replayed.calls == view.calls


def test_a_running_engine_stops_reading_and_goes_on(make: Make) -> None:
    engine, machine = make(h100())
    runner = engine.start(fake_gpus.task(seconds=30.0))
    while not runner.measuring:
        engine.step()
    engine.set_telemetry("off", "c-1")
    engine.step()
    before = len(machine.called)
    ticks = engine.state.view().now
    while engine.state.view().now < ticks + 500_000_000:
        engine.step()
    assert len(machine.called) == before
    assert engine.state.view().telemetry == "off"
    engine.set_telemetry("off", "c-2")
    engine.set_telemetry("full", "c-3")
    while len(machine.called) == before:
        engine.step()
    said = [e for e in engine.state.view().events if e.kind == "telemetry"]
    assert [(e.id, e.data["telemetry"]) for e in said] == [("c-1", "off"), ("c-2", "off"), ("c-3", "full")]
    assert engine.place.segment == 1, "the table stays, so the segment does"
    engine.set_telemetry("light")
    assert engine.state.view().telemetry == "light"


def test_nvml_that_is_opened_later_begins_a_segment_with_its_table(make: Make) -> None:
    engine, machine = make(h100(), telemetry="off")
    runner = engine.start(fake_gpus.task(seconds=30.0))
    while not runner.measuring:
        engine.step()
    engine.set_telemetry("full")
    assert machine.up
    while "gpu0.power" not in engine.state.view().values:
        engine.step()
    assert engine.runner is runner, "the run goes on"
    assert engine.header.segment == 2
    assert [gpu["uuid"] for gpu in engine.header.gpus] == ["GPU-11111111"]
    records = read(engine)
    assert {r.run for r in records if isinstance(r, Run)} == {1}
    assert [e.data.get("telemetry") for e in records if isinstance(e, Event) and e.kind == "telemetry"] == [
        None,
        "full",
    ]
