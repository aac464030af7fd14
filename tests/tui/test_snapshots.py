"""How the screens look, as SVG, at three sizes: from recordings what they can show, from synthetic sessions what they cannot.

`make snapshots` draws them anew, with the recordings' own and README's pictures, to be looked at. They are compared under one version of Textual
alone, since every release draws its SVG a little differently.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest
from infertop.sessions.plan import describe
from infertop.sessions.records import Event
from infertop.sessions.view import View
from infertop.tests.tui import synthetic
from infertop.tests.tui.fake_port import SCENES, FakePort
from infertop.tests.tui.takes import path as recording
from infertop.tests.tui.takes import take
from infertop.tui.app import InfertopApp
from infertop.tui.layout import SMALLEST
from infertop.tui.port import SessionPort, nothing
from infertop.tui.session_port import ReplayPort
from textual.pilot import Pilot

PINNED = "8.2.8"
FOLDER = Path(__file__).parent / "snapshots"
SIZES = {"80x24": (80, 24), "120x40": (120, 40), "200x60": (200, 60)}
SMALL = f"{SMALLEST[0] - 1}x{SMALLEST[1]}"
REPLAY_AT = 93  # s of the sample: torch.compile is being built, 11 runs are over


def _changed(**changes: object) -> View:
    return dataclasses.replace(synthetic.view(), **changes)  # type: ignore[arg-type]


def _unrecorded() -> View:
    view = synthetic.view()
    assert view.header is not None
    return dataclasses.replace(view, header=msgspec.structs.replace(view.header, recording=False))


STATES: dict[str, Callable[[], View]] = {
    **{
        name: partial(take, name)
        for name in (
            "switched",
            "advised",
            "paths",
            "building",
            "fallback",
            "transfer",
            "throttled",
            "open",
            "contended",
        )
    },
    "evidence": lambda: take("advised"),
    "unjudged": lambda: take("unjudged"),
    "compare": lambda: take("compared"),
    **{name: lambda: take("switched") for name in ("light", "ascii", "ansi", "mono")},
    **{name: SCENES[name] for name in ("measuring", "gpu", "proving", "depth", "loading", "failed", "idle")},
    **dict.fromkeys(("sweep", "help", "palette", "chooser", "slow-link"), synthetic.switched),
    "output": synthetic.failed,
    "lost": lambda: _changed(state="lost"),
    "ended": lambda: _changed(state="ended"),
    "unrecorded": _unrecorded,
    "monitor": synthetic.monitored,
    "monitor-no-gpu": lambda: synthetic.monitored(gpu=False),
    "nothing": nothing,
}
"""State → its picture. `replay` and `too-small` are beside them."""

KEYS = {
    "help": ["question_mark"],
    "palette": ["colon"],
    "chooser": ["m"],
    "evidence": ["v"],
    "unjudged": ["v"],
    "compare": ["c", "enter"],
    "output": ["o"],
    "sweep": ["S", "enter"],
    "slow-link": ["space"],
}

pytestmark = pytest.mark.skipif(
    version("textual") != PINNED, reason=f"snapshots are drawn by Textual {PINNED}"
)


def normal(svg: str) -> str:
    """Without what differs from run to run: the ids that Rich derives from a hash."""
    return re.sub(r"terminal-\d+", "terminal", svg)


def port_of(state: str) -> SessionPort:
    """What the screen is shown on."""
    if state == "replay":
        port = ReplayPort(recording("h100-resnet18"))
        assert port.replay is not None
        port.replay.pause()
        port.replay.seek(REPLAY_AT * 10**9)
        return port
    return FakePort(synthetic.view() if state == "too-small" else STATES[state]())


async def picture(state: str, size: tuple[int, int]) -> str:
    """The SVG of a state."""
    port = port_of(state)
    app = InfertopApp(port)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        if state in ("light", "ansi", "mono"):
            app.dress(state)
        if state == "ascii":
            app.perform("glyphs")
        if state == "slow-link":
            app._slow_until = float("inf")
        keys = KEYS.get(state, [])
        await pilot.press(*keys)
        if state == "sweep":
            assert isinstance(port, FakePort)
            await answer_sweep(port, pilot)
        for _ in range(500):
            if app.dashboard._rows.rows and not getattr(app.overlay, "busy", ""):
                break
            await pilot.pause(0.01)
        app.paint()
        await pilot.pause()
        await pilot.pause()
        return normal(app.export_screenshot(title=state, simplify=True))


async def answer_sweep(port: FakePort, pilot: Pilot[int]) -> None:
    """What an engine says when it is asked how long a sweep takes."""
    while not port.swept:
        await pilot.pause(0.01)
    tasks = [{"text": describe(c), "seconds": 12.0, "whole": i == 0} for i, c in enumerate(port.swept[0][0])]
    data = {"dry": True, "tasks": tasks, "left_s": 24.0, "done": 0, "total": len(tasks)}
    event = Event(t=port.view.now, kind="sweep", id="sweep-1", text="a sweep would measure 2", data=data)
    port.view = dataclasses.replace(port.view, events=(*port.view.events, event))


def cases() -> list[tuple[str, str]]:
    """Every state at every size."""
    states = [*STATES, "replay"]
    return [*((state, name) for state in states for name in SIZES), ("too-small", SMALL)]


@pytest.mark.parametrize(("state", "size"), cases())
async def test_it_looks_as_it_was_looked_at(state: str, size: str) -> None:
    drawn = await picture(state, SIZES.get(size, (SMALLEST[0] - 1, SMALLEST[1])))
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
    known = {f"{state}-{size}" for state, size in cases()}
    if os.environ.get("INFERTOP_SNAPSHOTS") == "update":
        for path in FOLDER.glob("*.svg"):
            if path.stem not in known:
                path.unlink()
    assert {path.stem for path in FOLDER.glob("*.svg")} == known
