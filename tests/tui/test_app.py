"""The app on a synthetic session: every key does what the list of actions says."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from infertop.backends.configuration import Configuration
from infertop.backends.errors import MeasureError
from infertop.sessions.records import Event, Evidence, Verdict
from infertop.tests.tui import synthetic
from infertop.tests.tui.fake_port import FakePort, FakeReplayPort, answered
from infertop.tui import actions
from infertop.tui.actions import ACTIONS, Situation, key_table
from infertop.tui.app import InfertopApp
from infertop.tui.port import nothing
from infertop.tui.theme import THEMES
from textual.pilot import Pilot

S = 10**9


class Screen:
    """The app under test, with what it shows as text."""

    def __init__(self, app: InfertopApp, pilot: Pilot[int]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def lines(self) -> list[str]:
        return ["".join(text for text, _ in row) for row in self.app.dashboard._rows.rows]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what another thread or a timer brings about."""
        for _ in range(500):
            if condition():
                return
            await self.pilot.pause(0.01)
        raise AssertionError(f"never came; the screen shows\n{self.text}")


@asynccontextmanager
async def running(
    port: FakePort | None = None, size: tuple[int, int] = (80, 24), **more: bool
) -> AsyncIterator[Screen]:
    app = InfertopApp(port or FakePort(), **more)
    async with app.run_test(size=size) as pilot:
        screen = Screen(app, pilot)
        await screen.until(lambda: bool(screen.lines))
        yield screen


def verbs(port: FakePort) -> list[str]:
    return [verb for verb, _ in port.sent]


# -- live


async def test_a_digit_switches_the_backend_and_keeps_the_rest() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("1")
        await screen.until(lambda: bool(port.sent))
        assert "switching to torch" in screen.text
    [(verb, configuration)] = port.sent
    assert verb == "configure"
    assert configuration == dataclasses.replace(synthetic.CONFIGURATION, backend="torch-eager")


async def test_the_digit_of_an_unusable_backend_says_why_and_what_to_do() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("4")
        assert "trt cannot be used here: libnvinfer.so.10 is not on this machine" in screen.lines[2]
        assert "pip install 'infertop[tensorrt]'" in screen.lines[3]
        await screen.press("9")
        assert "there is no backend 9" in screen.lines[2]
    assert port.sent == []


async def test_keys_pressed_quickly_add_up() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("b", "b", "1", "B")
        await screen.until(lambda: len(port.sent) == 4)
    assert [c.batch for _, c in port.sent if c] == [64, 128, 128, 64]
    assert port.sent[-1][1].backend == "torch-eager"  # type: ignore[union-attr]


async def test_the_batch_has_its_ends() -> None:
    one = dataclasses.replace(synthetic.CONFIGURATION, batch=1)
    port = FakePort(synthetic.view(run=synthetic.run(configuration=one)))
    async with running(port) as screen:
        await screen.press("B")
        assert "the batch is 1 already" in screen.text
    without = dataclasses.replace(synthetic.CONFIGURATION, batch=None)
    run = synthetic.run(configuration=without, inputs=({"name": "x", "dtype": "float32", "shape": [3]},))
    port = FakePort(synthetic.view(run=run))
    async with running(port) as screen:
        await screen.press("b")
        assert "no batch axis" in screen.text
    assert port.sent == []


async def test_precision_goes_round_and_says_where_there_is_one_alone() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("p")
        await screen.until(lambda: len(port.sent) == 1)
        await screen.press("2")
        await screen.until(lambda: len(port.sent) == 2)
        await screen.press("p")
        assert "this backend knows native alone" in screen.text
    assert [c.precision for _, c in port.sent if c] == ["native", "native"]


async def test_the_data_path_goes_round_on_a_gpu_and_takes_the_advice_first() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("d")
        assert "on the CPU there is one data path" in screen.text
        configuration = dataclasses.replace(synthetic.CONFIGURATION, device="cuda:0")
        port.view = synthetic.view(gpu=True, run=synthetic.run(configuration=configuration))
        await screen.until(lambda: screen.app.view is port.view)
        await screen.press("d")
        await screen.until(lambda: len(port.sent) == 1)
        advice = {"action": "data-path", "value": "device", "text": "device: about −1.5 ms"}
        verdict = Verdict(
            t=1, run=1, kind="transfer-h2d", confidence=0.9, text="copying in takes long", advice=advice
        )
        await screen.press("w")
        port.view = dataclasses.replace(port.view, verdict=verdict)
        await screen.until(lambda: "→ d device: about −1.5 ms" in screen.text)
        screen.app.control._asked = None
        await screen.press("d")
        await screen.until(lambda: len(port.sent) == 2)
    assert [c.data_path for _, c in port.sent if c] == ["pinned", "device"]


async def test_a_backend_that_copies_nothing_is_measured_without_the_data_path_and_says_so() -> None:
    port = FakePort()
    places = {"torch-eager": "cuda:0", "onnxruntime-cpu": "cpu"}
    backends = [
        dataclasses.replace(backend, device=places.get(backend.name, ""))
        for backend in synthetic.GPU_BACKENDS
    ]
    pinned = dataclasses.replace(synthetic.CUDA, data_path="pinned")
    port.view = synthetic.view(gpu=True, run=synthetic.run(configuration=pinned), backends=tuple(backends))
    async with running(port) as screen:
        await screen.press("3")
        await screen.until(lambda: len(port.sent) == 1)
        assert "switching to ort-cpu, pageable: it has no pinned" in screen.text
        screen.app.control._asked = None
        await screen.press("1")
        await screen.until(lambda: len(port.sent) == 2)
        assert "it has no" not in screen.text
    assert [(c.backend, c.data_path) for _, c in port.sent if c] == [
        ("onnxruntime-cpu", "pageable"),
        ("torch-eager", "pinned"),
    ]


async def test_the_load_is_chosen_or_typed() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("l")
        assert "closed:4" in screen.text
        assert "poisson:140/s" in screen.text, "half the requests a second now"
        assert "blocks until a request is done" in screen.text, "a refused load says why"
        await screen.press(*"closed:2", "enter")
        assert port.sent == []
        assert screen.app.overlay is not None
        await screen.press(*["backspace"] * 8)
        await screen.press(*"closed:3", "enter")
        await screen.until(lambda: bool(port.sent))
    assert port.sent[0][1] is not None
    assert port.sent[0][1].load == "closed:3"


async def test_why_a_load_cannot_be_had_is_told_whole() -> None:
    async with running() as screen:
        await screen.press("l")
        rows = " ".join(" ".join(line[3:77] for line in screen.lines[5:20]).split())
        assert rows.count("cannot hold") == 3
        assert "…" not in rows


async def test_esc_and_a_key_in_quick_succession_is_esc() -> None:
    """As tmux and others send them: one key with alt."""
    port = FakePort()
    async with running(port) as screen:
        await screen.press("m")
        await screen.until(lambda: "smallcnn" in screen.text)
        await screen.press("alt+b")
        assert screen.app.overlay is None
        assert "MEASURING" in screen.text
        await screen.press("alt+x")
        assert "MEASURING" in screen.text
    assert port.sent == []


async def test_free_sizes_are_chosen_where_a_model_has_them() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("n")
        assert "no free size" in screen.text
        port.view = synthetic.view(run=synthetic.run(assumed={"seq": 128}))
        await screen.until(lambda: screen.app.view is port.view)
        await screen.press("n")
        assert "seq=256" in screen.text
        await screen.press(*"len=4", "enter")
        assert "len=4 is no size of this model" in screen.text
        await screen.press("ctrl+u", *"seq=512", "enter")
        await screen.until(lambda: bool(port.sent))
    assert port.sent[0][1] is not None
    assert port.sent[0][1].dims == {"seq": 512}


async def test_recording_is_asked_about_before_it_ends() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("R")
        assert "end the recording" in screen.text
        await screen.press("down", "enter")
        assert port.sent == []
        await screen.press("R", "enter")
        await screen.until(lambda: bool(port.sent))
    assert verbs(port) == ["no-record"]


async def test_the_evidence_of_a_verdict_opens() -> None:
    evidence = [Evidence("copy in", 1.52, "ms", 0.7, 3.0)]
    verdict = Verdict(
        t=1,
        run=1,
        kind="transfer-h2d",
        confidence=0.9,
        text="copying in takes 1.5 of 3.6 ms",
        evidence=evidence,
    )
    port = FakePort()
    async with running(port) as screen:
        await screen.press("v")
        assert "no verdict: it needs three ticks" in screen.text
        assert "what reading the counters costs" in screen.text, "the rest stands without one"
        await screen.press("escape")
        port.view = synthetic.view(verdict=verdict)
        await screen.until(lambda: "TRANSFER-H2D" in screen.text)
        await screen.press("v")
        assert "confidence 90 %" in screen.text
        assert "1.52 ms" in screen.text
        assert "≥ 0.70 ms" in screen.text
        assert "✓ agrees" in screen.text


async def test_again_stop_and_start() -> None:
    port = FakePort()
    async with running(port, size=(120, 40)) as screen:
        await screen.press("r", "x")
        await screen.until(lambda: len(port.sent) == 2)
        port.view = synthetic.view(run=synthetic.run(phase="end"))
        await screen.until(lambda: "DONE" in screen.text)
        assert "x start" in screen.lines[-1]
        await screen.press("x")
        await screen.until(lambda: len(port.sent) == 3)
    assert verbs(port) == ["again", "stop", "start"]


async def test_escape_cancels_a_load_and_nothing_else() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("escape")
        assert "nothing is being loaded" in screen.text
        await screen.press("w")  # any key takes the message away
        port.view = synthetic.loading()
        await screen.until(lambda: "IMPORTING" in screen.text)
        await screen.press("escape")
        await screen.until(lambda: bool(port.sent))
    assert verbs(port) == ["cancel"]


async def test_a_command_that_changed_nothing_is_said_in_the_engines_words() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("3")
        await screen.until(lambda: bool(port.sent))
        assert "switching to ort-cpu" in screen.lines[2]
        assert "goes on until then" not in screen.text, "nobody promises what the engine does not do"
        port.view = answered(port.view, "test-1", "ort-cpu is being measured already", "info", changed=False)
        await screen.until(lambda: "is being measured already" in screen.lines[2])


async def test_a_refused_command_is_said_with_the_remedy() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("b")
        await screen.until(lambda: bool(port.sent) and bool(screen.app.control._waiting))
        port.view = answered(port.view, "test-1", "batch 64 does not fit; press B")
        await screen.until(lambda: "batch 64 does not fit" in screen.text)


async def test_a_lost_engine_is_said_when_a_command_is_sent() -> None:
    class Gone(FakePort):
        def send(self, verb, configuration=None):  # type: ignore[no-untyped-def]
            raise MeasureError(
                "engine-gone", "the engine has ended", "press q; infertop replay shows what was recorded"
            )

    async with running(Gone()) as screen:
        await screen.press("b")
        await screen.until(lambda: "the engine has ended" in screen.text)
        assert "press q" in screen.text


async def test_a_session_that_cannot_be_read_says_so_and_comes_back() -> None:
    port = FakePort()
    async with running(port) as screen:
        port.failure = MeasureError("engine-failed", "the engine did not start: no space", "free some space")
        await screen.until(lambda: "the engine did not start" in screen.text)
        assert "p50" in screen.text, "the last picture stays"
        port.failure = None
        await screen.until(lambda: "MEASURING" in screen.text)


async def test_freeze_holds_the_picture_while_the_session_goes_on() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("space")
        assert "‖ frozen" in screen.lines[0]
        port.view = synthetic.view(run=synthetic.run(n=99_999))
        shown = screen.text
        await screen.until(lambda: screen.app.view is port.view)
        assert screen.text == shown
        await screen.press("space")
        await screen.until(lambda: "49 999" in screen.text)
        assert "frozen" not in screen.text


async def test_the_window_of_the_percentiles_is_toggled() -> None:
    async with running() as screen:
        assert "last 30 s, n 4 115" in screen.text
        await screen.press("w")
        assert "whole run, n 8 230" in screen.text


async def test_copy_sends_the_command_to_the_terminal_and_shows_it() -> None:
    async with running(size=(120, 40)) as screen:
        sent: list[str] = []
        driver = screen.app._driver
        assert driver is not None
        driver.write = sent.append  # type: ignore[method-assign, assignment]
        await screen.press("y")
        line = "infertop run resnet18 --backend onnxruntime-cpu --batch 32 --no-agreement"
        assert line in screen.text
        assert f"\x1b]52;c;{base64.b64encode(line.encode()).decode()}\a" in sent


async def test_captured_output_opens_for_a_failed_run_alone() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("o")
        assert "no run of this session failed" in screen.text
        port.view = synthetic.failed()
        await screen.until(lambda: "FAILED" in screen.text)
        await screen.press("o")
        assert "DefaultCPUAllocator" in screen.text
        await screen.press("escape")
        assert "DefaultCPUAllocator" not in screen.text


async def test_events_open_and_close() -> None:
    async with running() as screen:
        await screen.press("e")
        assert "warm-up ended after 212 requests" in screen.text
        await screen.press("q")
        assert "warm-up ended after 212 requests" not in screen.text


@pytest.mark.parametrize("key", ["question_mark", "h", "f1"])
async def test_help_shows_every_key_and_what_the_numbers_mean(key: str) -> None:
    async with running(size=(120, 60)) as screen:
        await screen.press(key)
        for action in ACTIONS:
            if "live" in action.contexts and action.keys:
                assert action.text in screen.text
        assert "95 % confidence" in screen.text
        assert "one tick back" not in screen.text, "a key of the replay"


async def test_the_help_scrolls_on_a_small_screen() -> None:
    async with running(size=(60, 20)) as screen:
        await screen.press("question_mark")
        first = screen.text
        await screen.press("pagedown")
        assert screen.text != first
        await screen.press("home")
        assert screen.text == first
        await screen.press("end", "escape")
        assert "MEASURING" in screen.text


@pytest.mark.parametrize("key", ["colon", "ctrl+p"])
async def test_the_palette_finds_an_action_and_does_it(key: str) -> None:
    async with running() as screen:
        await screen.press(key, *"whole")
        assert "percentiles of the last 30 s" in screen.text
        assert "double the batch" not in screen.text
        await screen.press("enter")
        assert "whole run, n 8 230" in screen.text


async def test_the_palette_says_why_an_action_cannot_be_done() -> None:
    async with running() as screen:
        await screen.press("colon", *"printed", "enter")
        assert "no run of this session failed" in screen.text


async def test_themes_and_glyphs_change_what_is_drawn() -> None:
    async with running() as screen:
        first = screen.app.look
        for _ in THEMES:
            screen.app.perform("theme")
            assert screen.app.theme == f"infertop-{screen.app.look}"
        assert screen.app.look == first
        screen.app.perform("glyphs")
        await screen.pilot.pause()
        strips = [screen.app.dashboard._rows.render_line(y).text for y in range(24)]
        expected = screen.app.glyphs.ascii
        assert all(strip.isascii() for strip in strips) is expected


async def test_the_model_chooser_lists_narrows_and_takes_what_is_typed() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("m")
        await screen.until(lambda: "smallcnn" in screen.text)
        await screen.press(*"detec")
        assert "./nets/detector.onnx" in screen.text
        assert "smallcnn" not in screen.text
        await screen.press("enter")
        await screen.until(lambda: bool(port.sent))
        assert port.sent[0][1] is not None
        assert port.sent[0][1].model == "./nets/detector.onnx"
        assert screen.app.overlay is None


async def test_a_model_that_is_not_there_is_said_in_the_chooser_with_a_suggestion() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("m", *"smalcnn", "enter")
        await screen.until(lambda: "there is no model 'smalcnn' here" in screen.text)
        assert "did you mean smallcnn?" in screen.text
        await screen.press("escape")
        assert "MEASURING" in screen.text
    assert port.sent == []


async def test_without_a_model_the_chooser_comes_first_and_nothing_runs_before_enter() -> None:
    port = FakePort(synthetic.idle())
    async with running(port, choose=True) as screen:
        await screen.until(lambda: "smallcnn" in screen.text)
        assert port.sent == []
        await screen.press("down", "enter")
        await screen.until(lambda: bool(port.sent))
    assert port.sent[0][1] is not None
    assert port.sent[0][1].model == "resnet18"


async def test_pasted_text_goes_into_the_chooser() -> None:
    from textual import events

    async with running() as screen:
        await screen.press("m")
        screen.app.post_message(events.Paste("package.module:factory\n"))
        await screen.until(lambda: "package.module:factory" in screen.text)


async def test_keys_that_need_a_model_say_so() -> None:
    port = FakePort(synthetic.idle())
    async with running(port) as screen:
        for key in ("b", "B", "p", "d", "l", "n", "r", "x", "y", "1"):
            await screen.press(key)
            assert "no model is loaded" in screen.text, key
    assert port.sent == []


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("ctrl+q", 0), ("ctrl+c", 130)])
async def test_quitting_has_its_exit_code(key: str, code: int) -> None:
    app = InfertopApp(FakePort())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(key)
    assert app.return_code == code


async def test_ctrl_c_quits_through_an_overlay() -> None:
    app = InfertopApp(FakePort())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m", "ctrl+c")
    assert app.return_code == 130


async def test_a_resize_is_drawn_at_the_new_size() -> None:
    async with running() as screen:
        await screen.pilot.resize_terminal(120, 40)
        await screen.until(lambda: len(screen.lines) == 40 and "runs of this session" in screen.text)
        await screen.pilot.resize_terminal(50, 10)
        await screen.until(lambda: "infertop needs 60×20" in screen.text)


async def test_the_first_picture_needs_no_session() -> None:
    async with running(FakePort(nothing())) as screen:
        assert "STARTING" in screen.text
        assert "waiting for the session" in screen.text


async def test_nothing_is_drawn_while_nothing_is_new() -> None:
    async with running() as screen:
        drawn: list[Any] = []
        screen.app.dashboard._rows.refresh = lambda *regions, **_: drawn.append(regions)  # type: ignore[method-assign, assignment]
        for _ in range(5):
            screen.app._poll()
            screen.app.paint()
        assert drawn == []


async def test_a_picture_with_one_new_number_draws_its_rows_alone() -> None:
    port = FakePort()
    async with running(port) as screen:
        drawn: list[Any] = []
        screen.app.dashboard._rows.refresh = lambda *regions, **_: drawn.extend(regions)  # type: ignore[method-assign, assignment]
        port.view = dataclasses.replace(port.view, bytes=9_900_000)
        screen.app._poll()
        screen.app.paint()
        assert [(region.y, region.height) for region in drawn] == [(0, 1)]


# -- replay


async def test_a_recording_is_played_with_its_own_keys() -> None:
    port = FakeReplayPort()
    async with running(port) as screen:
        assert "replay paused" in screen.lines[0]
        await screen.press("space")
        assert port.replay.playing
        await screen.until(lambda: "replay 1×" in screen.lines[0])
        await screen.press("greater_than_sign", "greater_than_sign", "less_than_sign")
        assert port.replay.speed == 2.0
        for keys, place in (
            (("right",), 97), (("left",), 92), (("shift+right",), 152), (("shift+left",), 92), (("right_square_bracket",), 120),
            (("right_square_bracket",), 160), (("left_square_bracket",), 120), (("3",), 1), (("1",), 120), (("G",), 300), (("end",), 300),
        ):  # fmt: skip
            await screen.press(*keys)
            assert port.view.now == place * S, keys
        assert port.replay.following
        await screen.press("comma", "full_stop")
        assert port.replay.steps == [-1, 1]
        assert not port.replay.playing
    assert port.sent == []


async def test_a_backend_without_a_run_is_said() -> None:
    port = FakeReplayPort()
    async with running(port) as screen:
        await screen.press("2")
        assert "torch-compile was not measured in this session" in screen.text


async def test_go_to_a_time_takes_what_is_typed_or_says_what_it_knows() -> None:
    port = FakeReplayPort()
    async with running(port) as screen:
        await screen.press("g", *"nowhere", "enter")
        assert "'nowhere' is no time of this recording" in screen.text
        assert "p99>20ms" in screen.text
        await screen.press(*["backspace"] * 7, *"+90s", "enter")
        assert port.view.now == 182 * S
        assert screen.app.overlay is None


async def test_a_recording_takes_no_commands() -> None:
    port = FakeReplayPort()
    async with running(port) as screen:
        await screen.press("b", "p", "m", "r", "x")
        assert screen.app.overlay is None
        assert "model" not in screen.lines[-1]
    assert port.sent == []


# -- the list of actions


def test_every_key_means_one_thing_in_its_context() -> None:
    for context in actions.CONTEXTS:
        keys = [key for action in ACTIONS if context in action.contexts for key in action.keys]
        assert len(keys) == len(set(keys)), context
    assert len({a.id for a in ACTIONS}) == len(ACTIONS)


def test_the_footer_shows_what_can_be_done_now() -> None:
    live = Situation(synthetic.view(), True, synthetic.CONFIGURATION, ("native", "fp32"))
    keys = dict(actions.footer(live))
    assert keys["1-4"] == "backend"
    assert keys["x"] == "stop"
    assert keys["space"] == "freeze"
    idle = dict(actions.footer(Situation(synthetic.idle(), True)))
    assert "b" not in idle
    assert idle["m"] == "model"
    replay = dict(actions.footer(Situation(synthetic.view(), False)))
    assert replay["space"] == "play"
    assert "m" not in replay


def test_the_table_of_keys_has_every_key() -> None:
    table = key_table()
    for action in ACTIONS:
        if action.keys:
            assert action.text in table
            assert f"`{action.shown.split(' ')[0]}`" in table


def test_the_readme_has_the_table_of_keys() -> None:
    readme = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")
    between = readme.partition("<!-- keys -->")[2].partition("<!-- /keys -->")[0]
    assert between.strip() == key_table().strip()


def test_everything_that_can_be_done_can_be_reached() -> None:
    for action in ACTIONS:
        assert action.keys or action.palette, action.id


async def test_a_defect_is_handed_to_the_command_line() -> None:
    class Broken(FakePort):
        def poll(self):  # type: ignore[no-untyped-def]
            if self.sent:
                raise ZeroDivisionError("a defect")
            return super().poll()

    async def run_until_it_breaks() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            port.sent.append(("stop", None))
            for _ in range(200):
                await pilot.pause(0.01)

    port = Broken()
    app = InfertopApp(port)
    with pytest.raises(ZeroDivisionError):
        await run_until_it_breaks()
    assert isinstance(app.defect, ZeroDivisionError)
    assert app.return_code == 70


async def test_a_gpu_that_another_infertop_has_is_asked_about_once() -> None:
    text = "the session night-run (process 7) measures on GPU 0, and two at once would measure each other"
    blocked = Event(t=5 * S, kind="command", text=text, level="warn", data={"error": "gpu-busy"})
    port = FakePort()
    async with running(port) as screen:
        port.view = dataclasses.replace(port.view, events=(*port.view.events, blocked))
        await screen.until(lambda: "this GPU is in use" in screen.text)
        assert "night-run" in screen.text
        await screen.press("down", "enter")
        await screen.until(lambda: verbs(port) == ["share"])
        port.view = dataclasses.replace(port.view, now=port.view.now + S)
        await screen.until(lambda: screen.app.view is port.view)
        assert screen.app.overlay is None, "it has been answered"


async def test_what_was_not_begun_for_another_infertop_is_not_starting() -> None:
    """Before the first run: refused, then waited for."""
    text = "the session night-run (process 7) measures on GPU 0, and two at once would measure each other"
    blocked = Event(t=5 * S, kind="command", text=text, level="warn", data={"error": "gpu-busy"})
    waits = Event(t=6 * S, kind="command", text="smallcnn · torch waits for its GPU", data={"do": "wait"})
    port = FakePort(dataclasses.replace(synthetic.idle(), events=(blocked,)))
    port.asked = Configuration("torch-eager", "smallcnn", "fp32", 1, device="cuda:0")
    async with running(port, size=(120, 40)) as screen:
        await screen.until(lambda: "this GPU is in use" in screen.text)
        await screen.press("escape")
        assert "NOT BEGUN  the session night-run" in screen.lines[2]
        assert "r asks again" in screen.lines[3]
        assert "nothing was begun: another infertop" in screen.text
        assert "STARTING" not in screen.text
        port.view = dataclasses.replace(port.view, events=(blocked, waits))
        await screen.until(lambda: "WAITING  smallcnn · torch waits for its GPU" in screen.lines[2])
        assert "x gives it up" in screen.lines[3]
        await screen.press("x")
        await screen.until(lambda: verbs(port) == ["stop"])
        stopped = Event(t=7 * S, kind="command", text="the load is stopped", data={"do": "stop"})
        port.view = dataclasses.replace(port.view, events=(blocked, waits, stopped))
        await screen.until(lambda: "nothing was begun" in screen.text and "STARTING" not in screen.text)
