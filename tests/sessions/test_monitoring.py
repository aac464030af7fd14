"""A session that monitors: who is on the GPUs and on the host, what cannot be seen, and what a reader gets of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from infertop.sessions.commands import Client
from infertop.sessions.launch import launch
from infertop.sessions.records import End, Event, Process, Processes, Record, Run
from infertop.sessions.session import Session
from infertop.sessions.settings import EngineSettings
from infertop.sessions.source import FollowSource
from infertop.sessions.store import listing
from infertop.sessions.view import View
from infertop.tests.sessions import kit
from infertop.tests.sessions.watched import watching
from infertop.tests.telemetry.fake_nvml import h100, rtx4050

STRANGER = 999_999_001
"""No process of this machine has this id."""


@pytest.fixture
def busy() -> Iterator[int]:
    """A process of somebody else's (not below the engine's) that keeps a core busy: its id."""
    code = "import os\nif os.fork():\n    os._exit(0)\nprint(os.getpid(), flush=True)\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.wait()
    yield pid
    os.kill(pid, 9)


def listed(view: View) -> dict[int, Process]:
    return {} if view.processes is None else {process.pid: process for process in view.processes.processes}


def test_whoever_holds_gpu_memory_and_whoever_is_busy_is_listed(tmp_path: Path, busy: int) -> None:
    first = h100("GPU-1", processes=[(busy, 3 << 30), (STRANGER, 5 << 30)])
    second = h100("GPU-2", processes=[(busy, 1 << 30)])
    with watching(tmp_path, first, second) as watched:
        view = watched.until(lambda v: listed(v).get(busy, Process(0)).cpu is not None)
        assert "gpu1.memory_total" in view.values
    assert view.run is None
    found = listed(view)
    assert found[busy].gpus == {"gpu0": 3 << 30, "gpu1": 1 << 30}
    assert found[busy].name == psutil.Process(busy).name()
    cpu = found[busy].cpu
    assert cpu is not None
    assert 0 < cpu < 110, "one thread, however busy the machine is"
    assert found[busy].rss == pytest.approx(psutil.Process(busy).memory_info().rss, rel=0.2)
    assert found[STRANGER] == Process(STRANGER, gpus={"gpu0": 5 << 30}), (
        "of whom nothing is known on this host"
    )
    assert [p.pid for p in view.processes.processes[:2]] == [STRANGER, busy], "most memory first"  # type: ignore[union-attr]
    assert not found[busy].own
    assert view.values["gpu0.util"] == 97
    assert view.values["gpu1.memory_total"] == pytest.approx(80 << 30, rel=1e-4)


def test_a_busy_process_that_is_on_no_gpu_is_listed_without_a_gpu_too(tmp_path: Path, busy: int) -> None:
    with watching(tmp_path) as watched:
        view = watched.until(lambda v: busy in listed(v))
    assert listed(view)[busy].gpus == {}
    assert view.header is not None
    assert view.header.gpus == []
    assert view.header.gpu_status
    assert view.processes is not None
    assert view.processes.count is not None


def test_infertops_own_processes_are_marked(tmp_path: Path) -> None:
    with watching(tmp_path, h100(processes=[(os.getpid(), 400 << 20)])) as watched:
        view = watched.until(lambda v: os.getpid() in listed(v))
    assert listed(view)[os.getpid()].own


def test_in_a_container_ids_are_nobodys_here_and_the_reason_is_kept(tmp_path: Path) -> None:
    """Process 1 of the driver is another one than process 1 of this namespace."""
    why = "other processes on the GPU cannot be told apart from inside this container"
    with watching(tmp_path, h100(processes=[(1, 2 << 30)]), blind=why) as watched:
        view = watched.until(lambda v: any(p.gpus for p in listed(v).values()))
    assert view.processes is not None
    assert view.processes.unknown == {"gpu0": why}
    of_the_driver = next(p for p in view.processes.processes if p.gpus)
    assert of_the_driver == Process(1, gpus={"gpu0": 2 << 30})


def test_a_driver_that_lists_nothing_says_so(tmp_path: Path) -> None:
    with watching(tmp_path, h100(), rtx4050(processes=None)) as watched:
        view = watched.until(lambda v: v.processes is not None and v.processes.unknown != {})
    assert view.processes is not None
    assert list(view.processes.unknown) == ["gpu1"]
    assert "does not list processes" in view.processes.unknown["gpu1"]


def test_a_recording_gives_the_table_of_its_moment(tmp_path: Path, busy: int) -> None:
    with watching(tmp_path, h100(processes=[(busy, 3 << 30)])) as watched:
        early = watched.until(lambda v: busy in listed(v))
        assert early.processes is not None
        watched.machine.gpus[0].processes = []
        late = watched.until(lambda v: not listed(v).get(busy, Process(0, gpus={"gpu0": 1})).gpus)
        assert late.processes is not None
        path = watched.engine.place.path.parent
    with Session(path) as session:
        assert session.seek(early.processes.t).view().processes == early.processes
        assert session.seek(late.processes.t).view().processes == late.processes
    [info] = [info for info in listing(tmp_path) if info.path.parent == tmp_path]
    assert (info.state, info.runs, info.headline) == ("ended", 0, "monitor: H100 80GB HBM3")


def test_hostile_names_are_made_harmless() -> None:
    from infertop.sessions.state import PROCESSES, SessionState

    state = SessionState()
    evil = [Process(i, name="\x1b[2Jevil") for i in range(2 * PROCESSES)]
    state.apply(Processes(t=1, processes=evil))
    found = state.view().processes
    assert found is not None
    assert found.processes[0].name == "evil"
    assert len(found.processes) == PROCESSES


# -- the engine as a process of its own


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Callable[..., tuple[Client, FollowSource, psutil.Process]]]:
    made: list[psutil.Process] = []

    def make(note: str) -> tuple[Client, FollowSource, psutil.Process]:
        started = launch(EngineSettings(sessions_dir=str(tmp_path), monitor=True, title="monitor", note=note))
        made.append(psutil.Process(started.pid))
        return Client(started.socket), FollowSource(started.segment), made[-1]

    yield make
    for process in made:
        if process.is_running():
            process.kill()


def until(source: FollowSource, wanted: Callable[[Record], bool]) -> Record:
    import time

    end = time.monotonic() + 20
    while time.monotonic() < end:
        for record in source.poll():
            if wanted(record):
                return record
        time.sleep(0.02)  # the log is polled, as viewers do
    raise AssertionError("never came")


def test_it_measures_nothing_and_says_so(
    engine: Callable[..., tuple[Client, FollowSource, psutil.Process]],
) -> None:
    client, source, process = engine("a word in advance")
    seen: list[Record] = []

    def answer(record: Record) -> bool:
        seen.append(record)
        return isinstance(record, Event) and record.id == sent

    sent = client.send("configure", kit.task().configuration)
    refused = until(source, answer)
    assert isinstance(refused, Event)
    assert refused.level == "error"
    assert "measures nothing; infertop MODEL measures" in refused.text
    assert any(isinstance(r, Event) and r.text == "a word in advance" for r in seen)
    assert not any(isinstance(r, Run) for r in seen)
    client.close()
    end = until(source, lambda r: isinstance(r, End))
    assert isinstance(end, End)
    assert end.reason == "nobody was watching"
    assert process.wait(20) == 0
