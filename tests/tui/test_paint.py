"""Whole screens as text: every scene at every size, and what each state must say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from infertop.backends.configuration import Configuration, Options
from infertop.sessions.records import PHASES, Event, Fault, Verdict
from infertop.sessions.standing import Standing
from infertop.sessions.view import BackendView, View
from infertop.tests.tui import synthetic
from infertop.tests.tui.fake_port import SCENES, FakeReplayPort
from infertop.tests.tui.synthetic import S
from infertop.tui import playback
from infertop.tui.farewell import farewell
from infertop.tui.layout import SMALLEST, plan
from infertop.tui.naming import differences
from infertop.tui.paint import paint, with_axes
from infertop.tui.panels.verdict import verdict
from infertop.tui.port import nothing
from infertop.tui.render.cells import ASCII, BRAILLE, Glyphs, length
from infertop.tui.scene import Message, Scene
from infertop.tui.theme import THEMES, color_depth, default_glyphs, default_theme, styles

SIZES = [(60, 20), (79, 23), (80, 24), (99, 40), (100, 32), (120, 40), (200, 60), (300, 24), (61, 90)]
FOOTER = (("1-4", "backend"), ("b", "batch"), ("?", "help"), ("q", "quit"))


def screen(
    view: View, width: int = 80, height: int = 24, glyphs: Glyphs = BRAILLE, **more: object
) -> list[str]:
    scene = with_axes(Scene(view, glyphs, footer=FOOTER, **more), width)  # type: ignore[arg-type]
    return ["".join(glyphs.plain(text) for text, _ in row) for row in paint(scene, width, height)]


def all_scenes() -> dict[str, View]:
    return {"nothing": nothing(), **{name: make() for name, make in SCENES.items()}}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["nothing", *SCENES])
def test_every_scene_fills_the_screen_exactly(name: str, size: tuple[int, int]) -> None:
    scene = with_axes(Scene(all_scenes()[name], BRAILLE, footer=FOOTER), size[0])
    rows = paint(scene, *size)
    assert [length(row) for row in rows] == [size[0]] * size[1]
    looks = {look for row in rows for _, look in row}
    for theme in THEMES:
        assert looks <= set(styles(theme))


@pytest.mark.parametrize("replay", [False, True])
@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_panels_neither_overlap_nor_leave_gaps(size: tuple[int, int], gpu: bool, replay: bool) -> None:
    covered = np.zeros((size[1], size[0]), int)
    for place in plan(*size, gpu=gpu, replay=replay):
        covered[place.y : place.y + place.height, place.x : place.x + place.width] += 1
        assert place.height > (2 if place.frame == "box" else 0)
    assert (covered == 1).all()


@pytest.mark.parametrize("name", list(SCENES))
def test_an_ascii_screen_is_ascii_and_nothing_is_lost(name: str) -> None:
    for size in SIZES:
        text = "\n".join(screen(SCENES[name](), *size, glyphs=ASCII))
        assert text.isascii()
        assert text.count("?") == 1, "the help key alone"


def test_the_line_plan_at_80_by_24() -> None:
    lines = screen(synthetic.switched())
    assert lines[0].startswith(" infertop  resnet18 · fp32 · batch 32 · pageable · closed:1")
    assert lines[0].rstrip().endswith("● REC 01:32  1.2 MB")
    assert "3 ort-cpu" in lines[1]
    assert "MEASURING" in lines[2]
    assert lines[4].startswith("─ latency, ms")
    assert "n 4 115" in lines[4]
    assert "A steady" in lines[4]
    assert lines[5].split()[:4] == ["p50", "3.59", "p90", "3.70"]
    assert "3.92–3.94" in lines[6]
    assert "≥4.85" in lines[6], "too few requests for an upper bound of p99.9"
    assert lines[7].startswith(" before: batch 16 2.59 → now 3.58 ms, +38.2 % (38.2–38.3)")
    assert lines[8].startswith(" time goes ▒")
    assert "compute 3.33 93%" in lines[9]
    assert lines[9].rstrip().endswith("8 939/s")
    assert lines[10].startswith("─ latency each second ─")
    assert lines[11].split()[0] == "8ms│", "an axis says its unit"
    assert "┊batch 32" in lines[16]
    assert "┊" in lines[12], "the mark of the change"
    assert "host" in lines[17]
    assert "libnvidia-ml.so.1 was not found" in " ".join(lines[17:22])
    assert "host can be read again" in lines[22]
    assert lines[23].rstrip().endswith("q quit")


def test_the_header_leaves_the_driver_out_before_it_cuts_a_word_of_the_machine() -> None:
    view = synthetic.switched(gpu=True)
    assert view.header is not None
    assert view.header.driver is not None
    driver, gpu = view.header.driver, str(view.header.gpus[0]["name"]).removeprefix("NVIDIA ")
    found = [screen(view, width, 30)[0] for width in range(100, 160)]
    assert all("…" not in line for line in found if gpu in line)
    assert {(gpu in line, driver in line) for line in found} >= {(True, False), (True, True)}


def test_a_framed_screen_has_every_panel() -> None:
    text = "\n".join(screen(synthetic.switched(gpu=True), 120, 40))
    for title in (
        "latency, ms",
        "where a request's time goes",
        "runs of this session",
        "latency each second",
        "GPU ▲ power cap 4 %",
        "PCIe, memory, power",
        "host",
        "events",
    ):
        assert title in text
    assert "p99.9" in text
    assert "−31 %" in "\n".join(screen(synthetic.switched(), 120, 40))
    assert "whole run" in text


def test_a_terminal_that_is_too_small_says_what_is_needed() -> None:
    text = "\n".join(screen(synthetic.view(), SMALLEST[0] - 1, SMALLEST[1]))
    assert "infertop needs 60×20" in text
    assert "has 59×20" in text
    assert screen(synthetic.view(), 10, 2)


def test_unknown_is_a_dash_and_never_zero() -> None:
    few = synthetic.run(n=12)
    assert few.latency is not None
    lines = screen(synthetic.view(run=dataclasses.replace(few, recent=None)))
    assert "n 12" in lines[4]
    assert lines[6].split()[0] == "–"
    assert "stability –" in lines[4]


def test_a_tick_without_a_request_reads_waiting() -> None:
    assert "waiting 1.4 s" in screen(synthetic.view(since_request=1.4))[2]
    assert "waiting" not in screen(synthetic.view(since_request=0.1))[2]
    verdict = Verdict(t=1, run=1, kind="cpu", confidence=0.9, text="computing takes all of it")
    assert "waiting 1.4 s" in screen(synthetic.view(since_request=1.4, verdict=verdict))[3]


def test_an_open_loop_shows_its_response_its_backlog_and_when_it_has_no_end() -> None:
    run = synthetic.run(response=synthetic.latency(5.2e6, 4000), backlog=7)
    lines = screen(synthetic.view(run=run))
    assert "backlog 7" in lines[2]
    assert lines[7].startswith(" response p50 5.20")
    endless = synthetic.run(unbounded="the queue grows by 30 requests a second")
    assert "unbounded: the queue grows by 30" in screen(synthetic.view(run=endless))[7]


def test_a_fallback_is_said() -> None:
    run = synthetic.run(fallback="12 of 49 nodes run on the CPU")
    lines = screen(synthetic.view(run=run))
    assert "▲ FALLBACK  12 of 49 nodes run on the CPU" in lines[2]
    assert "8 939 samples/s measured all the same" in lines[3]
    other = Verdict(t=1, run=1, kind="cpu", confidence=0.8, text="computing takes 93 %")
    lines = screen(synthetic.view(run=run, verdict=other))
    assert "FALLBACK  12 of 49" in lines[2]
    assert "cpu  computing takes 93 %" in lines[3]
    warming = synthetic.run(phase="warmup", n=0, fallback="12 of 49 nodes run on the CPU")
    assert "FALLBACK  12 of 49" in screen(synthetic.view(run=warming))[3]


def test_the_gpu_that_is_shown_is_the_runs() -> None:
    view = synthetic.view(gpu=True)
    table = tuple(msgspec.structs.replace(m, id=m.id.replace("gpu0", "gpu3")) for m in view.metrics)
    values = {name.replace("gpu0", "gpu3"): value for name, value in view.values.items()}
    moved = dataclasses.replace(view, metrics=table, values=values, run=synthetic.run(gpu="gpu3"))
    assert any("util" in line and "98 %" in line for line in screen(moved))


def test_five_stages_fit_at_80_columns() -> None:
    stages = {"host": 2.1e5, "h2d": 1.52e6, "compute": 1.95e6, "d2h": 2e4, "gap": 9e4, "enqueue": 1.2e6}
    line = screen(synthetic.view(run=synthetic.run(stages=stages)))[9]
    for name in ("host 0.21", "h2d 1.52", "compute 1.95", "d2h 0.02", "gap 0.09", "8 939/s"):
        assert name in line


def test_the_gap_is_never_cut_from_the_legend() -> None:
    """On a GPU five stages do not fit at every width: what hardly counts goes first."""
    stages = {"host": 3e3, "h2d": 1.09e6, "compute": 1.31e6, "d2h": 2e4, "gap": 1.4e4}
    view = synthetic.view(gpu=True, run=synthetic.on_gpu(stages=stages))
    for size in SIZES:
        legend = next(line for line in screen(view, *size) if "h2d 1.09" in line)
        assert "gap 0.01" in legend, size


def test_a_run_whose_stages_were_not_timed_has_no_split() -> None:
    """A session that fell back to the CPU knows its service latency alone: all of it as a gap would explain nothing."""
    view = synthetic.view(gpu=True, run=synthetic.on_gpu(stages={"gap": 2.8e5}))
    for size in ((80, 24), (120, 40)):
        text = "\n".join(screen(view, *size))
        assert "not split: this run's stages were not timed" in text
        assert "gap" not in text.replace("gaps", "")


@pytest.mark.parametrize("size", SIZES[1:], ids=str)
def test_the_change_is_never_cut_from_the_line_of_the_run_before(size: tuple[int, int]) -> None:
    view = synthetic.switched(gpu=True)
    assert view.before is not None
    other = dataclasses.replace(
        view.before.configuration,
        backend="torch-eager",
        model="infertop.tests.models:large",
        precision="fp16",
        batch=64,
    )
    view = dataclasses.replace(view, before=dataclasses.replace(view.before, configuration=other))
    line = next(line for line in screen(view, *size) if "2.59 → " in line)
    assert "3.58 ms, +38.2 % (38.2–38.3)" in line


def test_a_split_that_the_plain_call_does_not_bear_out_is_approximate() -> None:
    control = {"p50_ms": 3.2, "steps_p50_ms": 3.6, "difference": 0.12, "marked": True}
    rough = synthetic.view(gpu=True, run=synthetic.on_gpu(control=control))
    sound = synthetic.view(gpu=True, run=synthetic.on_gpu(control={**control, "marked": False}))
    assert "where a request's time goes ≈ means, ms" in "\n".join(screen(rough, 120, 40))
    assert "where a request's time goes means, ms" in "\n".join(screen(sound, 120, 40))
    assert screen(rough)[9].startswith("≈mean, ms")
    assert screen(sound)[9].startswith(" mean, ms")


def test_n_and_stability_stay_in_the_title_while_another_configuration_loads() -> None:
    view = synthetic.loading()
    for width, height in ((80, 24), (120, 40)):
        title = next(line for line in screen(view, width, height) if "before: ort-cpu" in line)
        assert "n 4 115 · A steady" in title


def test_a_switch_shows_its_phase_time_and_progress_and_keeps_the_old_results() -> None:
    view = synthetic.loading()
    lines = screen(view)
    assert "IMPORTING  torch  4.0 s" in lines[2]
    assert "esc cancels" in lines[2]
    assert "import › load › warm-up › measure" in lines[3]
    assert "before: ort-cpu" in lines[4]
    assert "p50 3.59" in lines[5]
    assert view.run is not None
    building = dataclasses.replace(view, run=dataclasses.replace(view.run, phase="build", progress=0.4))
    lines = screen(building)
    assert "BUILDING" in lines[2]
    assert "40 %" in lines[2]
    assert "✓ load › build › warm-up" in lines[3]


@pytest.mark.parametrize("phase", [p for p in PHASES if p not in ("start", "measure", "end")])
def test_every_phase_has_its_place_among_the_steps(phase: str) -> None:
    view = synthetic.loading()
    assert view.run is not None
    scene = Scene(dataclasses.replace(view, run=dataclasses.replace(view.run, phase=phase)), BRAILLE)
    steps = verdict(scene, 100)[1]
    assert [style for text, style in steps if text.strip() and style == "two-strong"] == ["two-strong"]
    assert any(text.startswith("✓ import") for text, _ in steps) is (phase not in ("import",))


def test_a_parked_worker_is_said_to_have_been_quick() -> None:
    run = synthetic.run(note="parked worker, loaded already")
    assert "parked worker, loaded already" in screen(synthetic.view(run=run))[2]


def test_a_failed_switch_says_what_and_what_to_do_and_keeps_the_old_results() -> None:
    lines = screen(synthetic.failed())
    assert "✕ FAILED  torch: resnet18 with batch 4096 needs more memory" in lines[2]
    assert "→ press B for a smaller batch " in lines[3]
    assert lines[3].rstrip().endswith("o its output")
    assert "before: ort-cpu" in lines[4]


def test_a_failure_stays_while_another_configuration_carries_on() -> None:
    view = synthetic.failed()
    assert view.run is not None
    after = synthetic.run(3, measured_s=4.0)
    lines = screen(dataclasses.replace(view, run=after, runs=(*view.runs, view.run)))
    assert "FAILED  torch" in lines[2]
    assert lines[3].rstrip().endswith("ort-cpu carries on  o its output")
    standing_in = dataclasses.replace(
        after, fallback="torch cannot be used here; ort-cpu was measured instead"
    )
    lines = screen(dataclasses.replace(view, run=standing_in, runs=(*view.runs, view.run)))
    assert lines[3].rstrip().endswith("▲ FALLBACK ort-cpu in its place  o its output"), "at once"
    assert view.run.error is not None
    wordy = msgspec.structs.replace(view.run.error, fix="try " + "another way or " * 8 + "none")
    failed = dataclasses.replace(view.run, error=wordy)
    lines = screen(dataclasses.replace(view, run=after, runs=(*view.runs, failed)))
    assert lines[3].rstrip().endswith("… ort-cpu carries on  o its output"), "what to do is cut before them"
    over = Event(t=91 * S, kind="run", text="torch failed", level="error", run=view.run.run)
    by_itself = Event(t=91 * S, kind="command", text="ort-cpu carries on", level="warn")
    chosen = Event(t=95 * S, kind="command", text="switching to ort-cpu", id="a1")
    for then, said in ((by_itself, True), (chosen, False)):
        events = (*view.events, over, then)
        on = dataclasses.replace(view, run=after, runs=(*view.runs, view.run), events=events)
        assert ("carries on" in "\n".join(screen(on)[2:4])) is said, (
            "what a person chose stands in for nothing"
        )
    later = synthetic.run(3, measured_s=40.0)
    assert "MEASURING" in screen(dataclasses.replace(view, run=later, runs=(*view.runs, view.run)))[2]


def test_a_load_that_was_stopped_is_no_failure() -> None:
    run = synthetic.run(
        n=0,
        phase="end",
        error=Fault("stopped", "stopped while loading the model"),
    )
    lines = screen(synthetic.view(run=run))
    assert "STOPPED · r or x starts again" in lines[2]
    assert "stopped while loading the model" in lines[3]
    assert any("this run was stopped before it had results" in line for line in lines)
    assert not any("failed" in line for line in lines)
    measured = synthetic.run(phase="end")
    stop = Event(t=1, kind="command", text="the load is stopped", run=1, data={"do": "stop"})
    lines = screen(synthetic.view(run=measured, events=(stop,)))
    assert "STOPPED · r or x starts again" in lines[2]
    assert "8 939 samples/s over" in lines[3]
    assert "DONE" in screen(synthetic.view(run=measured))[2]


def test_a_run_that_failed_before_it_had_results_says_so_in_every_panel_of_results() -> None:
    run = synthetic.run(n=0, phase="end", error=Fault("model-unreadable", "x.onnx is not an ONNX model"))
    lines = screen(synthetic.view(run=run), 120, 40)
    assert sum(line.count("this run failed before it had results") for line in lines) == 2, (
        "latency and stages"
    )
    assert not any("timed by stage yet" in line for line in lines)


@pytest.mark.parametrize(
    ("state", "words"), [("lost", "ENGINE LOST"), ("ended", "ENDED"), ("live", "MEASURING")]
)
def test_the_state_of_the_session_is_a_word(state: str, words: str) -> None:
    assert words in screen(synthetic.view(state=state))[2]


def test_a_verdict_has_the_line_to_itself() -> None:
    verdict = Verdict(
        t=1,
        run=1,
        kind="transfer-h2d",
        confidence=0.9,
        text="copying in takes 1.5 of 3.6 ms",
        advice={"text": "d pinned: about −1.1 ms"},
    )
    lines = screen(synthetic.view(verdict=verdict))
    assert "▲ TRANSFER-H2D  copying in takes 1.5 of 3.6 ms" in lines[2]
    assert "→ d pinned: about −1.1 ms" in lines[3]


def test_messages_and_failures_of_the_screen_come_first() -> None:
    lines = screen(synthetic.view(), message=Message("trt cannot be used here", "pip install it", "warn"))
    assert "▲ trt cannot be used here" in lines[2]
    assert "→ pip install it" in lines[3]
    assert (
        "✕ the file cannot be read"
        in screen(synthetic.view(), failure=Message("the file cannot be read", level="error"))[2]
    )


def test_a_message_that_needs_more_rows_lies_over_what_is_below_and_is_not_cut() -> None:
    reason = "ort-cuda cannot be used here: there is no NVIDIA driver here (libcuda.so.1 cannot be loaded)"
    fix = "install the driver; in a container start it with GPU access (--gpus all)"
    long = screen(synthetic.view(), message=Message(reason, fix, "warn"))
    assert " ".join(" ".join(long[2:5]).split()) == f"▲ {reason} → {fix}"
    assert len(long) == 24
    short = screen(synthetic.view(), message=Message("it is so", fix, "warn"))
    assert short[4] == screen(synthetic.view())[4], "where it fits nothing is covered"


def test_the_header_says_when_nothing_is_recorded_frozen_slow_or_damaged() -> None:
    view = synthetic.view(gpu=True)
    assert view.header is not None
    quiet = dataclasses.replace(view, header=msgspec.structs.replace(view.header, recording=False), gaps=2)
    line = screen(quiet, 160, 40, slow_link=True, frozen=True)[0]
    for words in ("not recorded", "2 gaps", "slow link", "frozen", "H100"):
        assert words in line


def test_readings_that_cannot_be_read_say_why() -> None:
    lines = screen(synthetic.view(), 200, 60)
    assert any("clock" in line and "–  the system does not tell" in line for line in lines)


def test_where_another_verdict_began_stands_among_the_events() -> None:
    begun = (Standing(30 * 10**9, "host", 1), Standing(70 * 10**9, "launch", 1))
    lines = screen(synthetic.view(standings=begun), 200, 60)
    places = [
        next(i for i, line in enumerate(lines) if text in line)
        for text in ("◆ ort-cpu: host", "◆ ort-cpu: launch")
    ]
    assert places == sorted(places)
    newest = Standing(10**12, "launch", 1)
    assert "◆ ort-cpu: launch" in screen(synthetic.view(standings=(newest,)))[22]


def test_a_replay_has_a_timeline_and_its_place() -> None:
    port = FakeReplayPort()
    port.replay.seek(150 * 10**9)
    lines = screen(port.view, live=False, cursor=playback.cursor(port.replay))
    assert "replay paused" in lines[0]
    row = lines[22]
    assert row.startswith(" 02:30 ")
    assert row.rstrip().endswith("05:00")
    assert row.index("●") == pytest.approx(len(row) // 2, abs=4)
    assert row.count("┊") == 2
    assert row.count("◆") == 2
    assert "✕" in row


def test_the_timeline_shows_what_is_damaged() -> None:
    port = FakeReplayPort()
    port.replay.seek(150 * 10**9)
    known = playback.cursor(port.replay)
    hurt = dataclasses.replace(
        known, timeline=dataclasses.replace(known.timeline, gaps=((60 * 10**9, 90 * 10**9),))
    )
    assert "░" not in screen(port.view, live=False, cursor=known)[22]
    row = screen(port.view, live=False, cursor=hurt)[22]
    assert row.count("░") >= 6


def test_a_recording_that_knows_no_backends_names_those_it_measured() -> None:
    port = FakeReplayPort(synthetic.switched())
    view = dataclasses.replace(port.view, backends=())
    line = screen(view, live=False, cursor=playback.cursor(port.replay))[1]
    assert line.split() == ["measured", "here", "ort-cpu", "torch"]


def test_backends_keep_their_digits_and_reasons_as_far_as_they_fit() -> None:
    assert "4 trt ✕ libnvinfer.so.10 is not on" in screen(synthetic.view(), 120, 40)[1]
    assert "4 trt ✕" in screen(synthetic.view(), 60, 20)[1]
    many = [
        ("torch", True),
        ("compile", True),
        ("ort-cpu", True),
        ("ort-cuda", False),
        ("ort-trt", False),
        ("trt", False),
        ("trt-rtx", False),
    ]
    backends = tuple(BackendView(name, name, usable, reason="no GPU here") for name, usable in many)
    line = screen(synthetic.view(backends=backends))[1]
    for number, (name, _) in enumerate(many, start=1):
        assert f"{number} {name}" in line
    assert line.count("✕") == 4


def test_the_present_backend_keeps_its_cross() -> None:
    backends = (BackendView("onnxruntime-cpu", "ort-cpu", False, reason="no GPU here"),)
    assert screen(synthetic.view(backends=backends))[1].split() == ["1", "ort-cpu", "✕"]


def test_nothing_untrusted_reaches_the_screen_as_it_is() -> None:
    evil = Configuration("onnxruntime-cpu", "/tmp/\x1b[31mred\n.onnx", "fp32")
    text = "\n".join(screen(synthetic.view(run=synthetic.run(configuration=evil))))
    assert "\x1b" not in text
    assert "[31mred" in text


def test_differences_are_named() -> None:
    view = synthetic.view()
    one = Configuration("onnxruntime-cpu", "resnet18", "fp32", 32)
    other = dataclasses.replace(one, backend="torch-eager", batch=8)
    assert differences(one, other, view) == "ort-cpu, batch 32"
    assert differences(one, one, view) == "the same again"
    tuned = dataclasses.replace(one, options=Options(threads=8, backend_options={"cuda_graph": "1"}))
    plain = dataclasses.replace(one, options=Options(threads=4))
    assert differences(tuned, plain, view) == "cuda_graph=1, 8 threads"
    assert differences(plain, tuned, view) == "4 threads"


def test_quitting_leaves_the_results_and_the_commands() -> None:
    text = farewell(synthetic.switched(), ("--sample", "h100 resnet18"))
    assert "ort-cpu     32" in text
    assert "3.58 ms" in text
    assert "session 2026-11-22-resnet18-a1b2: infertop replay --sample 'h100 resnet18'" in text
    assert "infertop run resnet18 --backend onnxruntime-cpu --batch 32" in text
    assert "infertop replay" not in farewell(synthetic.switched()), "a session that cannot be played"
    assert farewell(nothing()) == ""
    fault = Fault("model-unreadable", "x.onnx is not an ONNX model", "export it again")
    failed = farewell(synthetic.view(run=synthetic.run(n=0, phase="end", error=fault)))
    assert failed.startswith("ort-cpu: x.onnx is not an ONNX model; export it again\n\n")
    stopped = msgspec.structs.replace(fault, kind="stopped")
    assert "x.onnx" not in farewell(synthetic.view(run=synthetic.run(n=0, phase="end", error=stopped)))


def test_themes_follow_the_terminal() -> None:
    assert default_theme("256", {}) == "dark"
    assert default_theme("256", {"COLORFGBG": "0;15"}) == "light"
    assert default_theme("standard", {}) == "ansi"
    assert default_theme("truecolor", {"NO_COLOR": ""}) == "mono"
    assert default_theme("truecolor", {"INFERTOP_THEME": "light"}) == "light"


def test_glyphs_follow_the_locale() -> None:
    assert default_glyphs({"LANG": "en_US.UTF-8"}) is BRAILLE
    assert default_glyphs({"LC_ALL": "C", "LANG": "en_US.UTF-8"}) is ASCII
    assert default_glyphs({"LANG": "C.utf8"}) is BRAILLE
    assert default_glyphs({"LANG": "C.UTF-8", "TERM": "linux"}) is ASCII
    assert default_glyphs({}) is ASCII
    assert default_glyphs({"INFERTOP_GLYPHS": "braille"}) is BRAILLE


def test_terminals_that_are_known_deep_are_not_drawn_in_sixteen_colours() -> None:
    assert color_depth({"TERM": "xterm-ghostty"}) == "truecolor"
    assert color_depth({"TERM": "xterm-256color"}) is None
    assert color_depth({"TERM": "alacritty", "COLORTERM": "truecolor"}) is None


def _contrast(one: Sequence[int], other: Sequence[int]) -> float:
    """WCAG's contrast ratio."""

    def luminance(rgb: Sequence[int]) -> float:
        parts = [c / 255 for c in rgb]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_words_can_be_read_in_every_theme(theme: str) -> None:
    decorations = {"frame", "heat0", "heat1", "heat2", "heat3", "heat4"}
    for name, style in styles(theme).items():
        if name in decorations:
            continue
        assert style.color is not None
        assert style.bgcolor is not None
        ratio = _contrast(tuple(style.color.get_truecolor()), tuple(style.bgcolor.get_truecolor()))
        assert ratio >= 4.5, f"{name} on its ground has {ratio:.1f}"


def test_no_colour_means_no_colour() -> None:
    for name, style in styles("mono").items():
        assert style.color is None, name
        assert style.bgcolor is None, name
