"""How the screens look, as SVG. `INFERTOP_SNAPSHOTS=update pytest tests/tui/test_snapshots.py` draws them anew, to be looked at.

They are compared under one version of Textual alone, since every release draws its SVG a little differently.
"""

from __future__ import annotations

import dataclasses
import os
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from infertop.sessions.plan import describe
from infertop.sessions.records import Event
from infertop.tests.tui.fake_port import SCENES, FakePort, FakeReplayPort
from infertop.tui.app import InfertopApp
from infertop.tui.port import nothing
from textual.pilot import Pilot

PINNED = "8.2.8"
FOLDER = Path(__file__).parent / "snapshots"
SIZES = {"80x24": (80, 24), "120x40": (120, 40), "200x60": (200, 60)}
STATES = [
    "measuring",
    "switched",
    "gpu",
    "advised",
    "proving",
    "evidence",
    "compare",
    "sweep",
    "depth",
    "open",
    "loading",
    "failed",
    "idle",
    "nothing",
    "replay",
    "help",
    "palette",
    "chooser",
    "light",
    "ascii",
]
KEYS = {
    "help": ["question_mark"],
    "palette": ["colon"],
    "chooser": ["m"],
    "evidence": ["v"],
    "compare": ["c"],
    "sweep": ["S", "enter"],
}

pytestmark = pytest.mark.skipif(
    version("textual") != PINNED, reason=f"snapshots are drawn by Textual {PINNED}"
)


def normal(svg: str) -> str:
    """Without what differs from run to run: the ids that Rich derives from a hash."""
    return re.sub(r"terminal-\d+", "terminal", svg)


async def picture(state: str, size: tuple[int, int]) -> str:
    """The SVG of a state."""
    if state == "replay":
        port: FakePort = FakeReplayPort()
        assert port.replay is not None
        port.replay.seek(150 * 10**9)
    elif state == "nothing":
        port = FakePort(nothing())
    else:
        port = FakePort(SCENES.get(state, SCENES["switched"])())
    app = InfertopApp(port)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        if state == "light":
            app.dress("light")
        if state == "ascii":
            app.perform("glyphs")
        keys = KEYS.get(state, [])
        await pilot.press(*keys)
        if state == "sweep":
            await answer_sweep(port, pilot)
        for _ in range(500):
            if app.dashboard._rows.rows and not getattr(app.overlay, "busy", ""):
                break
            await pilot.pause(0.01)
        app.paint()
        await pilot.pause()
        await pilot.pause()
        return normal(app.export_screenshot(title=state))


async def answer_sweep(port: FakePort, pilot: Pilot[int]) -> None:
    """What an engine says when it is asked how long a sweep takes."""
    while not port.swept:
        await pilot.pause(0.01)
    tasks = [{"text": describe(c), "seconds": 12.0, "whole": i == 0} for i, c in enumerate(port.swept[0][0])]
    data = {"dry": True, "tasks": tasks, "left_s": 24.0, "done": 0, "total": len(tasks)}
    event = Event(t=port.view.now, kind="sweep", id="sweep-1", text="a sweep would measure 2", data=data)
    port.view = dataclasses.replace(port.view, events=(*port.view.events, event))


def cases() -> list[tuple[str, str]]:
    """Every state at 80×24 and 120×40, and at 200×60 those that have more to show there."""
    wide = ("gpu", "switched", "replay")
    return [(state, name) for name in SIZES for state in STATES if name != "200x60" or state in wide]


@pytest.mark.parametrize(("state", "size"), cases())
async def test_it_looks_as_it_was_looked_at(state: str, size: str) -> None:
    drawn = await picture(state, SIZES[size])
    kept = FOLDER / f"{state}-{size}.svg"
    if os.environ.get("INFERTOP_SNAPSHOTS") == "update":
        FOLDER.mkdir(exist_ok=True)
        kept.write_text(drawn)
    assert kept.exists(), "draw it with INFERTOP_SNAPSHOTS=update, and look at it"
    if drawn != kept.read_text():
        differs = kept.with_suffix(".new.svg")
        differs.write_text(drawn)
        pytest.fail(f"{kept.name} looks different: compare it with {differs.name}")


def test_no_snapshot_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.svg")} == {f"{state}-{size}" for state, size in cases()}
