"""What the screen says before the first run and after the last: nothing that has not happened, and what came out."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from infertop.backends.configuration import Configuration
from infertop.sessions.records import Fault
from infertop.sessions.store import sample
from infertop.sessions.view import View
from infertop.tests.tui import synthetic
from infertop.tests.tui.fake_port import FakePort
from infertop.tests.tui.test_app import running
from infertop.tests.tui.test_paint import screen
from infertop.tui.port import nothing
from infertop.tui.session_port import ReplayPort

UNSUPPORTED = Fault("unsupported", "onnxruntime-cpu has no fp16", "use fp32")
STANDING = {"kind": "cpu", "share": 0.9, "confidence": 0.8, "text": "all cores are busy", "advice": None}


def after(view: View, **changes: Any) -> View:
    """The picture with its run over."""
    assert view.run is not None
    return dataclasses.replace(
        view, run=dataclasses.replace(view.run, phase="end", **changes), since_request=None
    )


def test_a_verdict_stays_with_its_advice_when_its_run_is_over() -> None:
    view = synthetic.advised()
    for over, word in (
        (after(view, verdict=view.verdict), "DONE"),
        (dataclasses.replace(after(view, verdict=view.verdict), state="ended"), "ENDED"),
    ):
        lines = screen(over, 120, 40)
        assert f"■ {word}  8 939 samples/s" in lines[2]
        assert "▲ TRANSFER-H2D  copying in takes 1.5 of 3.6 ms" in lines[3]
        assert "→ d pinned: about −1.1 ms, 31 %" in lines[3]
    assert "r or x measures it again" in screen(after(view, verdict=view.verdict), 120, 40)[2]
    result = {"status": "ok", "verdicts": [STANDING]}
    assert "▲ CPU  all cores are busy" in screen(after(synthetic.view(), result=result))[3], (
        "by the result alone"
    )
    advised = synthetic.advised(action="threads", value=8, text="8 threads").verdict
    line = screen(after(view, verdict=advised), 120, 40)[3]
    assert "→ 8 threads" in line
    assert "Enter" not in line, "what is over cannot be put to the proof"


def test_a_failure_is_remembered_only_while_something_carries_on() -> None:
    failed = synthetic.failed()
    assert failed.run is not None
    fine = synthetic.run(3, measured_s=4.0)
    carried = dataclasses.replace(failed, run=fine, runs=(*failed.runs, failed.run))
    assert "✕ FAILED  torch" in screen(carried)[2]
    assert "DONE" in screen(after(carried))[2]
    ended = dataclasses.replace(after(carried), state="ended")
    assert "ENDED" in screen(ended)[2]
    assert "carries on" not in "\n".join(screen(ended))


def test_what_cannot_be_had_is_unavailable_and_did_not_fail() -> None:
    run = synthetic.run(2, n=0, phase="end", error=UNSUPPORTED)
    lines = screen(synthetic.view(run=run))
    assert "○ UNAVAILABLE  ort-cpu: onnxruntime-cpu has no fp16" in lines[2]
    assert "→ use fp32" in lines[3]


def test_an_ended_session_says_what_came_out_of_it() -> None:
    small = synthetic.run(1, dataclasses.replace(synthetic.CONFIGURATION, batch=1), "end", 0.4e6)
    large = synthetic.run(2, synthetic.CONFIGURATION, "end")
    worse = synthetic.run(3, dataclasses.replace(synthetic.CONFIGURATION, batch=8), "end", 9e6)
    none = synthetic.run(4, synthetic.CONFIGURATION, "end", n=0, error=UNSUPPORTED)
    view = synthetic.view(run=none, runs=(small, large, worse, none), state="ended")
    text = " ".join(line.strip() for line in screen(view)[2:4])
    assert (
        "3 measured, 1 unavailable; best: ort-cpu batch 1 (0.400 ms, 2 500/s), ort-cpu batch 32 (3.58 ms, 8 939/s)"
        in text
    )


async def test_what_was_asked_for_is_starting_until_the_engine_speaks() -> None:
    port = FakePort(nothing())
    port.asked = Configuration("", "smallcnn", "fp32", 8, device="")
    async with running(port, size=(100, 30)) as shown:
        for view in (nothing(), synthetic.idle()):
            port.view = view
            await shown.until(lambda: shown.app.view is port.view)
            shown.app.paint()
            assert "◌ STARTING  smallcnn · fp32 · batch 8" in shown.lines[2]
            assert shown.lines[0].startswith(" infertop  smallcnn · fp32")
            assert "m chooses" not in shown.text
        await shown.press("p")
        assert "the backend is not chosen yet" in shown.text
        await shown.press("ctrl+l")  # any key takes the message away
        port.view = synthetic.view()
        await shown.until(lambda: "MEASURING" in shown.text)


@pytest.mark.parametrize(
    ("name", "backends", "outcome"),
    [
        ("h100-silent-fallback", ["1 ort-cpu", "2 ort-cuda"], "1 measured, 1 fallback"),
        (
            "h100-resnet18",
            ["1 torch", "2 compile", "3 ort-cpu", "4 ort-cuda"],
            "14 measured, 2 unavailable; best: ort-cuda fp16 batch 1",
        ),
    ],
)
async def test_a_sample_begins_where_there_is_something_to_see_and_ends_with_its_outcome(
    name: str, backends: list[str], outcome: str
) -> None:
    port = ReplayPort(sample(name).path)
    assert port.replay is not None
    port.replay.pause()
    try:
        async with running(port, size=(120, 40)) as shown:  # type: ignore[arg-type]
            for text in backends:
                assert text in shown.lines[1]
            assert "samples/s" in shown.text
            assert "values come after the warm-up" not in shown.text
            first = shown.app.view.run
            assert first is not None
            await shown.press(next(text[0] for text in backends if text.endswith("ort-cpu")))
            await shown.until(lambda: shown.app.view.run is not None and shown.app.view.run.run != first.run)
            await shown.press("G")
            await shown.until(lambda: "ENDED" in shown.lines[2])
            assert outcome in shown.lines[2]
            assert "replay at its end" in shown.lines[0]
            assert "FAILED" not in shown.text
            assert "carries on" not in shown.text
    finally:
        port.close(leave=False)
