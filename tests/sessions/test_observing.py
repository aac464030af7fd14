"""The observer effect measured for real: an engine, a worker, telemetry that stops, and a screen on a terminal of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from infertop.backends.errors import MeasureError
from infertop.sessions import observer, store
from infertop.sessions.attached_screen import AttachedScreen
from infertop.sessions.commands import Client
from infertop.sessions.doctor import effect
from infertop.sessions.engine import Engine
from infertop.sessions.headless import Progress
from infertop.sessions.launch import Launched
from infertop.sessions.plan import Task
from infertop.sessions.records import AnyRecord, Event, Run, Tick
from infertop.sessions.serving import Server
from infertop.sessions.session import Session
from infertop.sessions.settings import EngineSettings
from infertop.sessions.source import FollowSource
from infertop.tests.sessions import kit

PATIENCE_S = 30.0


class Here:
    """A serving engine on a thread of this process, so that its blocks can be short."""

    def __init__(self, settings: EngineSettings) -> None:
        self.place = store.create("smallcnn", settings.sessions_dir)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(settings,))
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)

    def _serve(self, settings: EngineSettings) -> None:
        # The engine's main thread is the one that starts workers: they die with it.
        self.engine = Engine(settings, self.place)
        server = Server(self.engine, self.place.socket)
        self._ready.set()
        reason = server.serve()
        server.close()
        self.engine.close(reason)

    def launched(self) -> Launched:
        return Launched(self.place.name, self.place.path, self.place.socket, 0)

    def join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Here]]:
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])
    monkeypatch.setattr(observer, "BLOCK_S", 0.4)
    monkeypatch.setattr(observer, "SETTLE_S", 0.2)
    made: list[Here] = []

    def make(settings: EngineSettings) -> Here:
        made.append(Here(settings))
        return made[-1]

    yield make
    for one in made:
        one.join()


def settings(tmp_path: Path, task: Task | None = None, **more: object) -> EngineSettings:
    chosen = task or kit.task(requests=None, sleep_us=1000)
    return EngineSettings(sessions_dir=str(tmp_path), interval_s=0.1, task=chosen, **more)  # type: ignore[arg-type]


def records(tmp_path: Path, name: str) -> list[AnyRecord]:
    with Session(tmp_path / name) as session:
        return [record for _, record in session.range(0, session.end + 1)]


def test_blocks_alternate_on_one_loaded_worker_and_telemetry_really_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Callable[..., Here]
) -> None:
    monkeypatch.setattr(effect, "launch", lambda chosen: here(chosen).launched())
    said: list[Progress] = []
    found = effect.measure(settings(tmp_path), 5.4, said.append)
    assert found["schema"] == "infertop.observer/1"
    assert found["error"] is None
    assert found["triples"] == 3
    assert sorted({(b["triple"], b["arm"]) for b in found["blocks"]}) == [
        (triple, arm) for triple in range(3) for arm in sorted(observer.ARMS)
    ]
    assert all(0 < b["requests"] <= 400 for b in found["blocks"]), "0.4 s of requests of at least 1 ms"
    assert all(b["p50_ms"] >= 1.0 for b in found["blocks"])
    assert 0 < found["effects"]["throughput"]["off"] <= 1000
    assert found["effects"]["p50"]["control_ci95"] is not None
    assert found["screen"]["columns"] == 120
    assert found["screen"]["bytes"] > 1000, "it drew while it was on"
    assert found["backend"] == "simulated"
    assert said[-1].fraction is not None
    assert effect.heading(found).startswith("simulated · smallcnn · native: 3 shuffled triples")
    assert [line.split()[0] for line in effect.table(found)[1:4]] == ["throughput", "p50", "p99"]
    [session] = [path.name for path in tmp_path.iterdir()]
    log = records(tmp_path, session)
    runs = {record.run for record in log if isinstance(record, Run)}
    assert runs == {1}, "one worker, one run"
    events = [record for record in log if isinstance(record, Event) and "block" in record.data]
    first, last = events[0].t, events[-1].t
    ticks = [record for record in log if isinstance(record, Tick) and first < record.t < last]
    unread = [tick for tick in ticks if all(value is None for value in tick.m)]
    assert 0.4 < len(unread) / len(ticks) < 0.9, "two blocks of three have no readings"
    after = [record for record in log if isinstance(record, Tick) and record.t > last]
    assert not after or any(value is not None for tick in after for value in tick.m)


class Followed:
    """A client and the log as it comes."""

    def __init__(self, engine: Here) -> None:
        self.client, self.source = Client(engine.place.socket), FollowSource(engine.place.path)
        self.log: list[AnyRecord] = []

    def until(self, wanted: Callable[[AnyRecord], bool]) -> AnyRecord:
        deadline = time.monotonic() + PATIENCE_S
        seen = 0
        while time.monotonic() < deadline:
            self.log += self.source.poll()
            for record in self.log[seen:]:
                seen += 1
                if wanted(record):
                    self.log = self.log[seen:]
                    return record
            time.sleep(0.02)  # the log is polled, as viewers do
        raise AssertionError(f"never came; the log ends with {self.log[-3:]}")

    def event(self, wanted: Callable[[Event], bool]) -> Event:
        found = self.until(lambda record: isinstance(record, Event) and wanted(record))
        assert isinstance(found, Event)
        return found

    def end(self) -> None:
        self.client.send("end")
        self.client.close()
        self.source.close()


def test_cancelled_it_says_so_and_the_run_goes_on_with_its_telemetry(
    tmp_path: Path, here: Callable[..., Here]
) -> None:
    engine = here(settings(tmp_path))
    viewer = Followed(engine)
    early = viewer.client.observe(60.0)
    refused = viewer.event(lambda e: e.id == early)
    assert (refused.level, refused.text) == ("error", "nothing is being measured; start a run first")
    viewer.until(lambda r: isinstance(r, Run) and r.phase == "measure")
    short = viewer.client.observe(0.1)
    assert "too short" in viewer.event(lambda e: e.id == short).text
    begun = viewer.client.observe(60.0)
    assert viewer.event(lambda e: e.id == begun).data["over"] is False
    again = viewer.client.observe(60.0)
    assert "being measured already" in viewer.event(lambda e: e.id == again).text
    viewer.event(lambda e: e.data.get("done") == 1)
    viewer.client.send("no-observe")
    over = viewer.event(lambda e: e.data.get("over") is True)
    assert over.data["error"] == "it was cancelled"
    assert over.data["verdict"] == "unknown"
    assert engine.engine.instruments.level == "full"
    assert engine.engine.runner is not None
    assert engine.engine.runner.measuring
    assert engine.engine.runner.tap is None
    late = viewer.client.send("no-observe")
    assert "is not being measured" in viewer.event(lambda e: e.id == late).text
    viewer.end()


def test_what_is_chosen_meanwhile_ends_it(tmp_path: Path, here: Callable[..., Here]) -> None:
    viewer = Followed(here(settings(tmp_path)))
    viewer.until(lambda r: isinstance(r, Run) and r.phase == "measure")
    viewer.client.observe(60.0)
    viewer.event(lambda e: e.data.get("done") == 1)
    viewer.client.send("configure", kit.task("simulated-two", requests=None).configuration)
    over = viewer.event(lambda e: e.data.get("over") is True)
    assert "was chosen" in over.data["error"]
    viewer.end()


def test_a_run_that_cannot_be_measured_ends_it_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Callable[..., Here]
) -> None:
    monkeypatch.setattr(effect, "launch", lambda chosen: here(chosen).launched())
    with pytest.raises(MeasureError, match="the runtime is unwell"):
        effect.measure(
            settings(tmp_path, kit.task(requests=None, fault="raise", when="load")), 5.4, lambda _: None
        )


def test_a_gpu_that_another_infertop_has_is_no_reason_to_wait(tmp_path: Path) -> None:
    watching = effect.Watching(FollowSource(tmp_path), lambda: "1", lambda _: None)
    busy = Event(
        t=1,
        kind="command",
        text="GPU 0 is in use",
        level="warn",
        data={"error": "gpu-busy", "fix": "stop it"},
    )
    with pytest.raises(MeasureError, match="GPU 0 is in use") as raised:
        watching.take(busy)
    assert raised.value.fix == "stop it"


def test_without_telemetry_there_is_nothing_to_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Callable[..., Here]
) -> None:
    monkeypatch.setattr(effect, "launch", lambda chosen: here(chosen).launched())
    with pytest.raises(MeasureError, match="telemetry is off"):
        effect.measure(settings(tmp_path, telemetry="off"), 5.4, lambda _: None)


def test_the_screen_stops_and_goes_on_and_leaves_nothing(tmp_path: Path, here: Callable[..., Here]) -> None:
    engine = here(settings(tmp_path))
    viewer = Followed(engine)
    viewer.until(lambda r: isinstance(r, Run) and r.phase == "measure")
    screen = AttachedScreen(engine.place.name, str(tmp_path))
    try:
        until(lambda: screen.painted)
        screen.switch(True)
        screen.switch(False)
        until(lambda: not screen.is_on())
        screen.switch(False)
        before = screen.bytes
        viewer.until(lambda r: isinstance(r, Tick))
        viewer.until(lambda r: isinstance(r, Tick))
        assert screen.bytes - before < 200, "it draws nothing; giving the terminal back takes some bytes"
        screen.switch(True)
        until(lambda: screen.is_on() and screen.bytes > before + 1000)
        assert not screen.ended
    finally:
        screen.end()
    assert screen.ended
    viewer.end()


def test_a_screen_whose_engine_was_killed_goes_too_though_it_is_suspended(
    tmp_path: Path, here: Callable[..., Here]
) -> None:
    engine = here(settings(tmp_path))
    viewer = Followed(engine)
    viewer.until(lambda r: isinstance(r, Run) and r.phase == "measure")
    code = (
        "import os, sys, time\n"
        "from infertop.sessions.attached_screen import AttachedScreen\n"
        "screen = AttachedScreen(*sys.argv[1:])\n"
        "while not screen.painted: time.sleep(0.02)\n"
        "screen.switch(False)\n"
        "while screen.is_on(): time.sleep(0.02)\n"
        "print(screen._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, engine.place.name, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    until(lambda: not psutil.pid_exists(int(done.stdout)))
    viewer.end()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)  # another process is waited for
