"""Recording switched off and on, and a disk that fails: the session goes on, and one viewer sees it without a break."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
from infertop.sessions import store
from infertop.sessions.commands import Client
from infertop.sessions.engine import Engine
from infertop.sessions.launch import launch
from infertop.sessions.records import Event, Header, Key, Run, Tick
from infertop.sessions.session import Session
from infertop.sessions.settings import EngineSettings
from infertop.sessions.source import Live
from infertop.tests.sessions import kit

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))


def test_recording_off_and_on_keeps_what_was_asked_for_and_the_viewer(tmp_path: Path) -> None:
    engine = launch(
        EngineSettings(
            sessions_dir=str(tmp_path / "s"), name="moving", interval_s=0.1, task=kit.task(requests=None)
        )
    )
    client, live = Client(engine.socket), Live.attach(engine.segment)

    def until(text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if any(text in event.text for event in live.poll().events):
                return
            time.sleep(0.02)  # the log is polled, as viewers do
        raise AssertionError(f"no event says {text!r}")

    until("switching to simulated")
    client.send("no-record")
    until("recording ends here")
    client.send("stop")
    until("the load is stopped")
    requests = live.poll().run
    client.send("record")
    until("recording goes on")
    client.send("end")
    deadline = time.monotonic() + PATIENCE_S
    while live.poll().state != "ended" and time.monotonic() < deadline:
        time.sleep(0.02)
    view = live.poll()
    assert view.state == "ended"
    assert requests is not None
    assert view.runs, "the run that ended in the unrecorded segment is still known"
    kept = sorted(path.name for path in (tmp_path / "s" / "moving").iterdir())
    assert kept == ["0001.itlog.zst", "0003.itlog.zst"]
    assert not list((tmp_path / "runtime").rglob("0002*"))
    with Session(tmp_path / "s" / "moving") as session:
        assert len(session.segments) == 2
        assert session.damaged == 0
    client.close()


def test_a_disk_that_fails_costs_nothing_that_was_written(tmp_path: Path) -> None:
    place = store.create("smallcnn", tmp_path / "s", "failing")
    engine = Engine(EngineSettings(interval_s=0.1), place)
    first, began = place.path, engine.header.clock.monotonic
    runner = engine.start(kit.task(requests=300))
    while not runner.measuring:
        engine.step()
    engine.writer.failure = OSError(
        errno.ENOSPC, os.strerror(errno.ENOSPC)
    )  # what the writer's thread sets when a write fails
    while engine.runner is runner:
        engine.step()
    assert engine.results[0]["status"] == "ok"
    assert engine.results[0]["requests"] == 300
    second = engine.place.path
    assert second != first
    with Session(second) as unrecorded:
        records = [record for _, record in unrecorded.range(0, unrecorded.end + 1)]
        assert unrecorded.header is not None
        assert unrecorded.end <= time.monotonic_ns() - unrecorded.header.clock.monotonic
        assert not unrecorded.header.recording
    assert engine.state.now <= time.monotonic_ns() - began, (
        "what was on its way has no time of the segment before"
    )
    assert isinstance(records[0], Key)
    assert any(isinstance(r, Event) and "No space left" in r.text for r in records)
    assert any(isinstance(r, Run) and r.phase == "end" for r in records)
    engine.close("test")
    assert not second.exists(), "an unrecorded segment goes with its engine"
    with Session(first) as session:
        assert session.damaged == 0
        assert any(isinstance(record, Tick) for _, record in session.range(0, session.end + 1))
        assert isinstance(session.header, Header)
