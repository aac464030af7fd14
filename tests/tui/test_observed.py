"""The observer effect on the screen: begun from the palette, followed, given up, and its result."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from infertop.sessions import observer
from infertop.sessions.observer import Block
from infertop.sessions.records import Event
from infertop.sessions.view import View
from infertop.tests.tui import synthetic
from infertop.tests.tui.fake_port import FakePort
from infertop.tests.tui.test_app import Screen, running
from infertop.tui.observed import ObserverDialog

S = 10**9


async def begun(screen: Screen, port: FakePort) -> None:
    """Choose it in the palette."""
    await screen.press("colon", *"observer", "enter")
    await screen.until(lambda: bool(port.observed))
    assert "observer effect" in screen.text


def with_event(view: View, text: str, level: str = "info", name: str | None = None, **data: Any) -> View:
    event = Event(t=view.now + S, kind=observer.KIND, text=text, level=level, id=name, data=data)
    return dataclasses.replace(view, now=view.now + S, events=(*view.events, event))


def found(effect: float = 0.0) -> dict[str, Any]:
    """What an engine finds where p50 is 1 ms and those that are on are slower by `effect`."""
    blocks = [
        Block(arm, triple, 2000, 2.0, 1e6 * (1 + effect * (arm == "on") + 1e-4 * triple), 1.3e6)
        for triple in range(5)
        for arm in observer.ARMS
    ]
    return observer.outcome(blocks)


async def test_it_is_followed_to_its_result() -> None:
    port = FakePort()
    async with running(port, (120, 40)) as screen:
        await begun(screen, port)
        assert "starting a screen" in screen.text
        assert "esc cancels" in screen.text
        port.view = with_event(
            port.view, "observer effect: 15 blocks", name="observe-1", done=0, total=15, over=False
        )
        await screen.until(lambda: "0 of 15 blocks" in screen.text)
        port.view = with_event(port.view, "observer effect: 6 of 15 blocks", done=6, total=15, over=False)
        await screen.until(lambda: "6 of 15 blocks, 00:24 left" in screen.text)
        over = found(0.002)
        port.view = with_event(port.view, observer.sentence(over), done=15, total=15, over=True, **over)
        await screen.until(lambda: "esc closes" in screen.text)
        assert "+0.20 %" in screen.text
        assert "p50: within 1 %" in screen.text
        assert "5 shuffled triples" in screen.text
        await screen.press("escape")
        assert screen.app.overlay is None
    assert port.sent == [], "closing a result changes nothing"


async def test_esc_gives_it_up_and_the_run_goes_on() -> None:
    port = FakePort()
    async with running(port) as screen:
        await begun(screen, port)
        await screen.press("enter")
        assert screen.app.overlay is not None, "nothing but esc ends it"
        await screen.press("escape")
        await screen.until(lambda: bool(port.sent))
        assert screen.app.overlay is None
    assert port.sent == [("no-observe", None)]


async def test_the_screen_keeps_still_meanwhile() -> None:
    """What this screen does would count in every block: the picture behind stands, and it is looked at the session once a second."""
    port = FakePort()
    async with running(port, (120, 40)) as screen:
        await begun(screen, port)
        before = screen.lines[-3:]
        assert isinstance(screen.app.overlay, ObserverDialog)
        assert screen.app.overlay.quiet
        port.view = with_event(port.view, "observer effect: 1 of 15 blocks", done=1, total=15, over=False)
        new = Event(t=port.view.now, kind="load", text="SOMETHING NEW")
        port.view = dataclasses.replace(port.view, events=(*port.view.events, new))
        await screen.until(lambda: "1 of 15 blocks" in screen.text)
        assert "SOMETHING NEW" not in screen.text
        assert screen.lines[-3:-1] == before[:-1]
        await screen.press("escape")
        await screen.until(lambda: "SOMETHING NEW" in screen.text)


async def test_a_refusal_is_said_in_its_place() -> None:
    port = FakePort()
    async with running(port) as screen:
        await begun(screen, port)
        refusal = Event(
            t=port.view.now + 1,
            kind="command",
            text="telemetry is off: there is no effect to measure",
            level="error",
            id="observe-1",
        )
        port.view = dataclasses.replace(port.view, now=port.view.now + 1, events=(*port.view.events, refusal))
        await screen.until(lambda: "telemetry is off: there is no effect" in screen.text)
        await screen.press("escape")
        assert screen.app.overlay is None
    assert port.sent == []


async def test_what_cannot_be_measured_now_says_why() -> None:
    async with running(FakePort(synthetic.idle())) as screen:
        await screen.press("colon", *"observer", "enter")
        assert "nothing is being measured" in screen.text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_early_ends_and_gaps_in_the_result_are_words(width: int) -> None:
    base = synthetic.view()
    few = observer.outcome([], "its screen ended")
    view = with_event(base, observer.sentence(few), "warn", over=True, done=0, total=15, **few)
    dialog = ObserverDialog(lambda: view, lambda: None)
    dialog._since = 0
    from infertop.tui.render.cells import BRAILLE

    _, _, rows = dialog.draw(width, 24, BRAILLE)
    text = " ".join("".join(part for part, _ in row) for row in rows)
    assert "its screen ended" in " ".join(text.split())
    assert "–" in text
    assert not dialog.quiet


async def test_an_engine_that_ends_meanwhile_is_no_reason_to_wait() -> None:
    port = FakePort()
    async with running(port) as screen:
        await begun(screen, port)
        port.view = dataclasses.replace(port.view, state="lost")
        await screen.until(lambda: "the session ended before anything was found" in screen.text)
        await screen.press("escape")
        assert screen.app.overlay is None
