"""The screen that monitors: a real engine on a scripted NVML, its log, the reducer, and what is then drawn at every size."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from infertop.sessions.records import Metric, Process, Processes
from infertop.sessions.view import View
from infertop.tests.sessions.watched import watching
from infertop.tests.telemetry.fake_nvml import Gpu, h100, mig_slice, rtx4050
from infertop.tests.tui import synthetic
from infertop.tests.tui.fake_port import FakePort, FakeReplayPort
from infertop.tests.tui.test_app import Screen
from infertop.tests.tui.test_terminal import Tmux
from infertop.tui import monitor_layout
from infertop.tui.app import InfertopApp
from infertop.tui.paint import paint
from infertop.tui.port import nothing
from infertop.tui.render.cells import ASCII, BRAILLE, length
from infertop.tui.scene import Message, Scene

SIZES = [(60, 20), (80, 24), (99, 33), (120, 40), (200, 60)]
GIB = 1 << 30


def watched(tmp_path: Path, *gpus: Gpu, blind: str = "") -> View:
    """What a viewer sees once the processes were looked at twice."""
    tables = set()

    def twice(view: View) -> bool:
        if view.processes is not None:
            tables.add(view.processes.t)
        return len(tables) > 1

    with watching(tmp_path, *gpus, blind=blind) as session:
        return session.until(twice)


@asynccontextmanager
async def shown(view: View, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Screen]:
    app = InfertopApp(FakePort(view))
    async with app.run_test(size=size) as pilot:
        screen = Screen(app, pilot)
        await screen.until(lambda: bool(screen.lines))
        yield screen


def text(view: View, size: tuple[int, int], **more: object) -> list[str]:
    scene = Scene(view, BRAILLE, monitor=True, **more)  # type: ignore[arg-type]
    return ["".join(part for part, _ in row) for row in paint(scene, *size)]


def row(lines: list[str], pid: int) -> str:
    """The line of a process in the table."""
    return next(line for line in lines if line.strip("│ ").startswith(f"{pid}  "))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_gpus_host_cores_and_processes_are_on_the_screen_and_nothing_of_a_measurement(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    view = watched(tmp_path, h100(processes=[(os.getpid(), 2 * GIB), (999_999_001, 20 * GIB)]))
    async with shown(view, size) as screen:
        assert " infertop  monitor   H100 80GB HBM3  drv 580.159.04" in screen.lines[0]
        assert "WATCHING" in screen.lines[1]
        for words in ("util", "97 %", "PCIe RX", "power", "host", "cores", "core 0", "processes"):
            assert words in screen.text, words
        for words in ("latency", "p99", "samples/s", "where a request", "backends this machine"):
            assert words not in screen.text, words
        stranger = row(screen.lines, 999_999_001)
        assert "21.5 GB" in stranger
        assert "25 %" in stranger, "of the GPU's 85.9 GB"
        own = row(screen.lines, os.getpid())
        assert "(infertop)" in own
        assert screen.lines.index(stranger) < screen.lines.index(own), "most memory first"
        assert "q quit" in screen.lines[-1]
        assert "freeze" in screen.lines[-1]
        assert "backend" not in screen.lines[-1]


async def test_tab_goes_through_the_gpus_and_the_overview_has_all_of_them(tmp_path: Path) -> None:
    view = watched(tmp_path, h100("GPU-1"), rtx4050("GPU-2", processes=[(999_999_001, GIB)]))
    async with shown(view, (80, 24)) as screen:
        assert "▸ 0" in screen.text
        assert "GPU 0 of 2" in screen.text
        assert screen.text.count("362 ") == 2, "the power in both places is of the same reading"
        assert "351 W" not in screen.lines[4]
        assert "RTX 4050" in screen.text
        await screen.press("tab")
        assert "▸ 1" in screen.text
        assert "GPU 1 of 2" in screen.text
        assert "this GPU has none of" in screen.text or "–" in screen.text, "no GPM there, said and not 0"
        assert "mem util" in screen.text
        assert "DRAM" not in screen.text, "NVML's memory utilisation is not how busy the memory is"


async def test_space_holds_the_picture_and_lets_it_go(tmp_path: Path) -> None:
    first = synthetic.view(run=None, processes=Processes(t=1, processes=[Process(77, "early", cpu=5.0)]))
    assert first.header is not None
    first = dataclasses.replace(first, header=msgspec.structs.replace(first.header, monitor=True))
    later = dataclasses.replace(first, processes=Processes(t=2, processes=[Process(78, "late", cpu=5.0)]))
    port = FakePort(first)
    app = InfertopApp(port)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Screen(app, pilot)
        await screen.until(lambda: "early" in screen.text)
        await screen.press("space")
        assert "frozen" in screen.lines[0]
        port.view = later
        await screen.until(lambda: app.view is later)
        app.paint()
        assert "early" in screen.text
        await screen.press("space")
        await screen.until(lambda: "late" in screen.text)
        await screen.press("q")
    assert app.return_code == 0


async def test_keys_that_measure_do_nothing_here(tmp_path: Path) -> None:
    view = watched(tmp_path, h100())
    port = FakePort(view)
    app = InfertopApp(port)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Screen(app, pilot)
        await screen.until(lambda: bool(screen.lines))
        await screen.press("1", "b", "p", "d", "l", "m", "r", "x", "S", "enter", "c", "v", "y")
        assert port.sent == []
        assert app.overlay is None
        await screen.press("question_mark", "end")
        assert "of a process in % of one core" in screen.text
        assert "service latency" not in screen.text


def test_without_a_gpu_the_host_has_its_place_and_the_reason_stands_there(tmp_path: Path) -> None:
    view = watched(tmp_path)
    assert view.header is not None
    for size in ((80, 24), (120, 40)):
        lines = text(view, size)
        whole = " ".join(" ".join(lines).split())
        assert "no GPU" in lines[0]
        assert "processes by CPU" in whole
        assert "on this host" in whole
        assert "GPU memory" not in whole
        assert view.header.gpu_status.split()[0] in whole


def test_with_telemetry_off_the_host_s_panel_says_why_it_is_empty() -> None:
    view = synthetic.view()
    assert view.header is not None
    header = msgspec.structs.replace(view.header, telemetry="off")
    view = dataclasses.replace(view, header=header, metrics=(), values={})
    rows = paint(Scene(view, BRAILLE), 200, 60)
    assert "telemetry is off: the host is not read" in "".join(part for row in rows for part, _ in row)


def test_what_a_container_and_mig_hide_is_said_in_words(tmp_path: Path) -> None:
    why = "other processes on the GPU cannot be told apart from inside this container"
    view = watched(tmp_path, h100(mig=True, slices=[mig_slice()], processes=[(1, 2 * GIB)]), blind=why)
    whole = " ".join("\n".join(text(view, (120, 40))).split())
    assert why in whole
    assert "GPU 0 is divided by MIG into NVIDIA H100 80GB HBM3 MIG 1g.10gb" in whole
    assert "–" in row(text(view, (120, 40)), 1), (
        "whose process it is stays unknown, though this namespace has a process 1 too"
    )


def test_a_process_whose_memory_the_driver_does_not_say_has_none_shown(tmp_path: Path) -> None:
    view = watched(tmp_path, h100(processes=[(999_999_001, None)]))
    line = row(text(view, (80, 24)), 999_999_001)
    assert "–" in line
    assert "0 B" not in line


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cores", [1, 2, 16, 64, 384])
@pytest.mark.parametrize("gpus", [0, 1, 2, 8])
@pytest.mark.parametrize("replay", [False, True])
def test_every_size_is_filled_exactly(size: tuple[int, int], cores: int, gpus: int, replay: bool) -> None:
    width, height = size
    places = monitor_layout.plan(width, height, gpus=gpus, cores=cores, replay=replay)
    filled = np.zeros((height, width), int)
    for place in places:
        filled[place.y : place.y + place.height, place.x : place.x + place.width] += 1
    assert (filled == 1).all()
    view = crowded(cores, gpus)
    for glyphs in (BRAILLE, ASCII):
        rows = paint(Scene(view, glyphs, monitor=True), width, height)
        assert len(rows) == height
        assert {length(row) for row in rows} == {width}
        assert all(glyphs.plain(part).isascii() for row in rows for part, _ in row) or glyphs is BRAILLE


def crowded(cores: int, gpus: int) -> View:
    """A machine with more of everything than there is room for."""
    table = [Metric(f"host.core{i}", "%") for i in range(cores)]
    table += [Metric("host.cpu", "%"), *(Metric(f"gpu{i}.util", "%") for i in range(gpus))]
    base = synthetic.view(run=None)
    assert base.header is not None
    header = msgspec.structs.replace(
        base.header,
        monitor=True,
        metrics=table,
        host={**base.header.host, "allowed_cores": list(range(cores))},
        gpus=[{"index": i, "name": f"NVIDIA Something {i}", "mig": i == 1} for i in range(gpus)],
    )
    listed = [
        Process(1000 + i, f"process-{i}" * 5, {f"gpu{i % gpus}": i << 20} if gpus else {}, 1.0, 1 << 20)
        for i in range(64)
    ]
    return dataclasses.replace(
        base,
        header=header,
        metrics=tuple(table),
        values={m.id: 100.0 * i / len(table) for i, m in enumerate(table)},
        history=dataclasses.replace(
            base.history, metrics=np.random.default_rng(0).random((90, len(table))) * 100
        ),
        processes=Processes(t=1, processes=listed, unknown={"gpu0": "why not"} if gpus else {}, count=4000),
    )


def test_more_gpu_processes_than_rows_are_counted() -> None:
    whole = "\n".join(text(crowded(2, 1), (80, 24)))
    assert "more hold memory of a GPU than there is room for" in whole
    shown_rows = sum("process-" in line for line in whole.splitlines())
    hidden = int(whole.partition(" more hold memory")[0].split()[-1])
    assert shown_rows + hidden == 64


def test_states_before_and_after_the_session_are_said() -> None:
    assert "STARTING" in text(nothing(), (80, 24))[1]
    view = crowded(2, 1)
    assert "ENGINE LOST" in text(dataclasses.replace(view, state="lost"), (80, 24))[1]
    assert "ENDED" in text(dataclasses.replace(view, state="ended"), (80, 24))[1]
    assert "nothing of it" in text(view, (80, 24), message=Message("nothing of it"))[1]


async def test_a_recording_of_it_is_played_in_the_same_layout() -> None:
    port = FakeReplayPort(crowded(2, 1))
    app = InfertopApp(port)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Screen(app, pilot)
        await screen.until(lambda: bool(screen.lines))
        assert "monitor" in screen.lines[0]
        assert "replay" in screen.lines[0]
        assert "processes" in screen.text
        assert "play" in screen.lines[-1]
        assert "compare" not in screen.lines[-1]


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_the_command_in_a_terminal_from_start_to_end(tmp_path: Path) -> None:
    """The engine as a process of its own, with what NVML says here; nothing is kept, and nothing stays behind."""
    tmux = Tmux(tmp_path)
    places = {name: str(tmp_path / name) for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME")}
    environment = " ".join(f"{name}='{value}'" for name, value in places.items())
    path = os.pathsep.join(sys.path)
    command = f"env TERM=tmux-256color LC_ALL=C.UTF-8 PYTHONPATH='{path}' {environment} {sys.executable} -m infertop --monitor"
    try:
        tmux.run("new-session", "-d", "-x", "80", "-y", "24", f'sh -c "{command}; echo code $?"; exec sh')
        shown = tmux.until(lambda s: "WATCHING" in s and "core 0" in s and "on this host" in s)
        assert "not recorded" in shown.splitlines()[0]
        tmux.run("resize-window", "-x", "120", "-y", "40")
        tmux.until(lambda s: "events" in s and len(s.splitlines()[0]) > 100)
        tmux.keys("q")
        tmux.until(lambda s: "code 0" in s)
    finally:
        tmux.run("kill-server")
    assert not list(tmp_path.glob("XDG_STATE_HOME/**/*.zst"))
