"""One infertop measures on a GPU at a time: who has it is said, waited for, or asked about."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from infertop.backends.errors import MeasureError
from infertop.sessions import gpu_lock, headless, store
from infertop.sessions.engine import Engine
from infertop.sessions.gpu_lock import GpuLocks, Holder
from infertop.sessions.places import runtime_directory
from infertop.sessions.records import Event
from infertop.sessions.settings import EngineSettings
from infertop.telemetry.nvml import Nvml
from infertop.telemetry.nvml_source import NvmlSource
from infertop.tests.sessions import fake_gpus, kit
from infertop.tests.sessions.served import Served
from infertop.tests.telemetry.fake_nvml import h100

GPU = "GPU-11111111"


@pytest.fixture(autouse=True)
def _plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))


@pytest.fixture
def other() -> Iterator[GpuLocks]:
    """Another infertop, which measures on the GPU."""
    locks = GpuLocks("night-run")
    assert locks.take(GPU) is None
    yield locks
    locks.keep()


def test_a_gpu_has_one_holder_who_is_known_and_lets_go(other: GpuLocks) -> None:
    mine = GpuLocks("mine")
    holder = mine.take(GPU)
    assert holder is not None
    assert holder.session == "night-run"
    assert "night-run" in str(holder)
    assert mine.take("GPU-2") is None, "another GPU is free"
    other.keep([GPU])
    assert mine.take(GPU) is not None
    other.keep()
    assert mine.take(GPU) is None
    assert mine.take(GPU) is None, "it stays ours"
    mine.keep()


def test_a_holder_that_says_nothing_is_still_one(other: GpuLocks) -> None:
    (runtime_directory() / f"{GPU}.lock").write_text("not json")
    assert GpuLocks("mine").take(GPU) == Holder()
    assert str(Holder()) == "another infertop"


def test_a_run_is_refused_while_another_infertop_has_the_gpu(tmp_path: Path, other: GpuLocks) -> None:
    engine, _ = fake_gpus.engine(tmp_path, h100())
    with pytest.raises(MeasureError) as refused:
        engine.start(fake_gpus.task())
    assert refused.value.kind == gpu_lock.BUSY
    assert "night-run" in refused.value.message
    assert "GPU 0" in refused.value.message
    cpu = fake_gpus.measured(engine, fake_gpus.task(device="cpu", seconds=0.2))
    assert cpu["status"] == "ok", "the CPU is nobody's"
    runner = engine.start(fake_gpus.task(seconds=0.2), share=True)
    while engine.runner is runner:
        engine.step()
    assert any("night-run" in reason for reason in engine.results[-1]["stability_reasons"])
    engine.close("the test is over")


def test_an_engine_keeps_its_gpu_while_something_of_it_is_loaded_there(tmp_path: Path) -> None:
    engine, _ = fake_gpus.engine(tmp_path, h100())
    engine.keep_workers = True
    fake_gpus.measured(engine, fake_gpus.task(seconds=0.2))
    engine.free_gpus()
    assert GpuLocks("other").take(GPU) is not None, "its worker is parked there"
    engine.workers.end()
    engine.free_gpus()
    late = GpuLocks("other")
    assert late.take(GPU) is None
    late.keep()
    engine.close("the test is over")


def opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `infertop run` find an H100."""
    machine = fake_gpus.RealTime(h100())
    gpus = functools.partial(_source, machine)
    monkeypatch.setattr(headless, "Engine", functools.partial(Engine, gpus=gpus))


def _source(machine: fake_gpus.RealTime, interval: int) -> NvmlSource:
    return NvmlSource(interval, Nvml(machine), blind="")


def run(
    tmp_path: Path, said: list[str], progress: Callable[[Any], None] = lambda _: None
) -> headless.Measured:
    settings = EngineSettings(sessions_dir=str(tmp_path), interval_s=0.1)
    return headless.measure([fake_gpus.task(seconds=0.2)], settings, progress, say=said.append)


def test_run_waits_for_the_gpu_and_says_for_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: GpuLocks
) -> None:
    opened(monkeypatch)
    said: list[str] = []
    waited: list[str] = []

    def progress(shown: headless.Progress) -> None:
        if "waiting" in shown.text:
            waited.append(shown.text)
            if len(waited) == 3:
                other.keep()

    (result,) = run(tmp_path, said, progress).results
    assert result["status"] == "ok"
    assert len(said) == 1
    assert "night-run" in said[0]


def test_run_gives_up_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: GpuLocks) -> None:
    opened(monkeypatch)
    monkeypatch.setattr(headless, "Patience", functools.partial(headless.Patience, seconds=0.3))
    (result,) = run(tmp_path, []).results
    assert result["status"] == "failed"
    assert result["error"]["kind"] == gpu_lock.BUSY


class Asking(Served):
    """On a fake H100."""

    def __init__(self, tmp_path: Path) -> None:
        machine = fake_gpus.RealTime(h100())
        settings = EngineSettings(
            sessions_dir=str(tmp_path), interval_s=0.1, task=fake_gpus.task(seconds=60.0)
        )
        engine = Engine(
            settings, store.create("smallcnn", str(tmp_path), None), functools.partial(_source, machine)
        )
        super().__init__(engine, tmp_path / "socket")

    def asked(self) -> list[Event]:
        return [event for event in self.events() if event.data.get("error") == gpu_lock.BUSY]

    def measuring(self) -> bool:
        return self.measured() is not None


@pytest.fixture
def served(tmp_path: Path, other: GpuLocks) -> Iterator[Asking]:
    made = Asking(tmp_path)
    made.until(lambda: bool(made.asked()))
    assert made.engine.runner is None, "nothing is begun before the person has said so"
    yield made
    made.close()


def test_the_screen_is_asked_and_waits(served: Asking, other: GpuLocks) -> None:
    sent = served.client.send("wait")
    served.until(lambda: any(event.id == sent for event in served.events()))
    began = served.engine.state.view().now
    served.until(lambda: served.engine.state.view().now > began + 500_000_000)
    assert served.engine.runner is None
    other.keep()
    served.until(served.measuring)
    assert len(served.asked()) == 1


def test_waiting_for_the_gpu_can_be_given_up(served: Asking, other: GpuLocks) -> None:
    served.client.send("wait")
    sent = served.client.send("stop")
    served.until(lambda: any(event.id == sent for event in served.engine.state.view().events))
    other.keep()
    began = served.engine.state.view().now
    served.until(lambda: served.engine.state.view().now > began + 500_000_000)
    assert served.engine.runner is None


def test_the_screen_is_asked_and_measures_beside(served: Asking) -> None:
    served.client.send("share")
    served.until(served.measuring)
    assert served.engine.runner is not None
    assert "night-run" in served.engine.runner.beside
