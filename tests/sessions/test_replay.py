"""The cursor in a recording: playing, stepping, searching, and the same picture as live."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from infertop.backends.errors import MeasureError
from infertop.sessions.frames import encode_frame
from infertop.sessions.records import End, Fault, Verdict
from infertop.sessions.replay import ReplaySource
from infertop.sessions.view import View
from infertop.tests.sessions.synthetic import (
    INTERVAL,
    SECOND,
    Engine,
    configuration,
    event,
    header,
    some,
    write_segment,
)
from infertop.tests.sessions.test_state import assert_same, folded

MS = 1_000_000


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


@pytest.fixture
def engine() -> Engine:
    engine = Engine(key_every=7)
    for i, backend in enumerate(["onnxruntime-cpu", "torch-eager", "onnxruntime-cpu"]):
        engine.begin(configuration(backend))
        engine.tick()
        engine.enter("warmup")
        engine.tick([9 * MS])
        engine.enter("measure")
        for n in range(50):
            engine.tick([(1 + i) * MS] * 3 if n != 30 else [30 * MS * (1 + i)] * 3)
            if n % 20 == 10:
                engine.write(event(engine.t, f"event {i}.{n}", level="warn" if i else "info"))
        engine.finish()
        engine.tick()
    engine.write(End(t=engine.t, reason="q"))
    return engine


@pytest.fixture
def played(tmp_path: Path, engine: Engine) -> Iterator[tuple[ReplaySource, Hand]]:
    hand = Hand()
    engine.write_to(tmp_path / "s" / "0001.itlog.zst")
    replay = ReplaySource(tmp_path / "s", hand)
    yield replay, hand
    replay.close()


def at(engine: Engine, t: int) -> View:
    return folded(engine.until(t)).view(t)


def test_it_plays_from_the_beginning_at_the_speed_of_life(
    played: tuple[ReplaySource, Hand], engine: Engine
) -> None:
    replay, hand = played
    assert replay.playing
    assert replay.poll().now == folded(engine.until(SECOND)[:2]).now
    for _ in range(40):
        hand.pass_(0.1)
        assert_same(replay.poll(), at(engine, replay.position))
    assert replay.position == 4 * SECOND


@pytest.mark.parametrize("speed", [0.25, 2.0, 64.0])
def test_speed(played: tuple[ReplaySource, Hand], engine: Engine, speed: float) -> None:
    replay, hand = played
    replay.set_speed(speed)
    for _ in range(5):
        hand.pass_(0.1)
        assert_same(replay.poll(), at(engine, replay.position))
    assert replay.position == min(round(0.5 * speed * SECOND), engine.t)


def test_speed_has_steps_and_limits(played: tuple[ReplaySource, Hand]) -> None:
    replay, _ = played
    replay.faster()
    assert replay.speed == 2.0
    for _ in range(20):
        replay.faster()
    assert replay.speed == 64.0
    for _ in range(20):
        replay.slower()
    assert replay.speed == 0.25
    replay.set_speed(1000)
    assert replay.speed == 64.0


def test_a_pause_holds_the_picture(played: tuple[ReplaySource, Hand]) -> None:
    replay, hand = played
    hand.pass_(3)
    replay.pause()
    view = replay.poll()
    hand.pass_(100)
    assert replay.poll() is view
    replay.play()
    hand.pass_(1)
    assert replay.position == 4 * SECOND


def test_at_the_end_it_stays_and_can_begin_anew(played: tuple[ReplaySource, Hand], engine: Engine) -> None:
    replay, hand = played
    hand.pass_(1000)
    view = replay.poll()
    assert view.state == "ended"
    assert len(view.runs) == 3
    assert not replay.playing
    replay.play()
    hand.pass_(1)
    assert replay.position == replay.timeline().start + SECOND


def test_jumps_show_what_the_fold_shows(played: tuple[ReplaySource, Hand], engine: Engine) -> None:
    replay, _ = played
    replay.pause()
    for share in (0.9, 0.1, 0.5, 0.55, 1.0, 0.0):
        t = round(engine.t * share)
        replay.seek(t)
        assert_same(replay.poll(), at(engine, t))


def test_a_jump_brings_as_much_history_as_a_picture_needs(
    played: tuple[ReplaySource, Hand], engine: Engine
) -> None:
    replay, _ = played
    replay.pause()
    replay.need(3)
    replay.seek(engine.t)
    few = replay.poll()
    assert len(few.history.second) == 3
    replay.need(6)
    more = replay.poll()
    assert more.history.second.tolist()[3:] == few.history.second.tolist()
    assert len(more.history.second) == 6
    assert_same(more, at(engine, engine.t))
    replay.need(4)
    assert replay.poll() is more


def test_a_jump_beyond_an_end_stops_there(played: tuple[ReplaySource, Hand], engine: Engine) -> None:
    replay, _ = played
    replay.seek(10**15)
    assert replay.position == engine.t
    replay.seek(-(10**15))
    assert replay.position == replay.timeline().start


def test_steps_go_from_tick_to_tick(played: tuple[ReplaySource, Hand], engine: Engine) -> None:
    replay, _ = played
    replay.seek(5 * SECOND + 100)
    replay.step(1)
    assert not replay.playing
    assert replay.position == 5 * SECOND + INTERVAL
    replay.step(-1)
    assert replay.position == 5 * SECOND
    replay.step(-3)
    assert replay.position == 5 * SECOND - 3 * INTERVAL
    replay.step(-1000)
    assert replay.position == INTERVAL, "the first tick"
    replay.step(100_000)
    assert replay.position == engine.t


def test_marks_are_walked_in_both_directions(played: tuple[ReplaySource, Hand]) -> None:
    replay, _ = played
    replay.pause()
    moments = sorted({mark.t for mark in replay.timeline().marks})
    replay.seek(0)
    forward = [replay.position]
    while len(forward) < 100:
        replay.next_mark()
        if replay.position == forward[-1]:
            break
        forward.append(replay.position)
    assert forward == moments
    backward = [replay.position]
    while backward[-1] != moments[0]:
        replay.previous_mark()
        backward.append(replay.position)
    assert backward == moments[::-1]


def test_while_playing_the_mark_just_passed_is_not_in_the_way(played: tuple[ReplaySource, Hand]) -> None:
    replay, hand = played
    events = [mark.t for mark in replay.timeline().marks]
    replay.seek(events[3])
    hand.pass_(0.5)
    replay.previous_mark()
    assert replay.position == events[2]


def test_the_timeline_has_runs_and_events(played: tuple[ReplaySource, Hand], engine: Engine) -> None:
    timeline = played[0].timeline()
    runs = [mark for mark in timeline.marks if mark.kind == "run"]
    assert [mark.backend for mark in runs] == ["onnxruntime-cpu", "torch-eager", "onnxruntime-cpu"]
    assert [mark.run for mark in runs] == [1, 2, 3]
    assert {mark.kind for mark in timeline.marks} == {"run", "event", "warn"}
    assert timeline.end == engine.t
    assert timeline.gaps == ()


def test_a_digit_goes_to_the_backends_next_run(played: tuple[ReplaySource, Hand]) -> None:
    replay, _ = played
    replay.pause()
    runs = [mark.t for mark in replay.timeline().marks if mark.kind == "run"]
    replay.next_run("torch-eager")
    assert replay.position == runs[1]
    replay.next_run("onnxruntime-cpu")
    assert replay.position == runs[2]
    replay.next_run("onnxruntime-cpu")
    assert replay.position == runs[0], "after the last comes the first"
    with pytest.raises(MeasureError, match="tensorrt was not measured"):
        replay.next_run("tensorrt")


def test_go_to_a_time(played: tuple[ReplaySource, Hand], engine: Engine) -> None:
    replay, _ = played
    replay.pause()
    replay.go("10s")
    assert replay.position == replay.timeline().start + 10 * SECOND
    replay.go("+5s")
    replay.go("-2s")
    assert replay.position == replay.timeline().start + 13 * SECOND
    replay.go("-3m")
    assert replay.position == replay.timeline().start
    clock = time.strftime("%H:%M:%S", time.localtime(header().clock.unix / 1e9 + 7))
    replay.go(clock)
    assert replay.position == 7 * SECOND
    start = time.strftime("%H:%M:%S", time.localtime(header().clock.unix / 1e9))
    replay.go(start)
    assert replay.position == replay.timeline().start


def test_go_to_a_condition(played: tuple[ReplaySource, Hand]) -> None:
    replay, _ = played
    replay.pause()
    found = []
    for _ in range(3):
        replay.go("p99>20ms")
        found.append(replay.position)
    assert found == sorted(set(found))
    replay.seek(0)
    replay.go("max>85ms")
    assert replay.position == found[2]
    with pytest.raises(MeasureError, match="no tick has p99>20ms"):
        replay.go("p99>20ms")
    assert replay.position == found[2], "a search that finds nothing moves nothing"


def test_a_time_outside_of_the_recording_is_said(played: tuple[ReplaySource, Hand]) -> None:
    replay, _ = played
    other = time.strftime("%H:%M", time.localtime(header().clock.unix / 1e9 + 7200))
    with pytest.raises(MeasureError, match="outside of the recording") as caught:
        replay.go(other)
    assert "it goes from" in caught.value.fix


def test_a_recording_over_midnight_has_the_hours_of_both_days(tmp_path: Path) -> None:
    local = time.localtime(header().clock.unix / 1e9)
    midnight = round(time.mktime((local.tm_year, local.tm_mon, local.tm_mday + 1, 0, 0, 0, 0, 0, -1)))
    head = header(unix=(midnight - 600) * SECOND)
    write_segment(tmp_path / "0001.itlog.zst", head, [[event(n * 60 * SECOND)] for n in range(21)])
    replay = ReplaySource(tmp_path, Hand())
    replay.go("00:05")
    assert replay.position == 900 * SECOND
    replay.go("23:55")
    assert replay.position == 300 * SECOND


def test_following_stays_at_the_end_of_what_grows(tmp_path: Path, engine: Engine) -> None:
    batches = engine.batches[:60]
    path = write_segment(tmp_path / "s" / "0001.itlog.zst", engine.header, batches)
    hand = Hand()
    replay = ReplaySource(path.parent, hand)
    replay.follow()
    assert replay.following
    for batch in engine.batches[60:]:
        with open(path, "ab") as file:
            file.write(encode_frame(batch))
        hand.pass_(0.25)
        assert replay.poll().now == folded([engine.header, *batch]).now
    assert replay.poll().state == "ended"
    assert_same(replay.poll(), at(engine, engine.t))
    replay.pause()
    assert not replay.following
    replay.close()


def test_the_end_of_what_has_ended_is_not_followed(played: tuple[ReplaySource, Hand], engine: Engine) -> None:
    replay, _ = played
    replay.follow()
    assert replay.position == engine.t
    assert not replay.following
    assert not replay.playing
    assert replay.poll().state == "ended"


def test_a_recording_whose_engine_was_killed_is_lost_at_its_end(tmp_path: Path, engine: Engine) -> None:
    path = write_segment(tmp_path / "s" / "0001.itlog.zst", engine.header, engine.batches[:60])
    replay = ReplaySource(path.parent, Hand())
    assert replay.poll().state == "live"
    replay.follow()
    assert replay.poll().state == "lost"
    replay.close()


def test_it_begins_where_there_is_something_to_be_seen(played: tuple[ReplaySource, Hand]) -> None:
    replay, _ = played
    replay.begin()
    run = replay.poll().run
    assert run is not None
    assert (run.run, run.phase) == (1, "measure")
    assert run.latency is not None


def test_the_backends_of_a_recording_are_those_of_its_runs_where_no_probe_is_in_it(
    played: tuple[ReplaySource, Hand],
) -> None:
    replay, _ = played
    assert [(b.name, b.short, b.usable) for b in replay.backends()] == [
        ("torch-eager", "torch", True),
        ("onnxruntime-cpu", "ort-cpu", True),
    ]
    for backend in replay.backends():
        replay.next_run(backend.name)


def test_what_could_never_be_measured_says_why_and_a_probe_comes_first(tmp_path: Path) -> None:
    missing = Engine()
    missing.begin(configuration("tensorrt"))
    missing.finish("unavailable", Fault("backend-missing", "libnvinfer is not here", "install it"))
    missing.begin(configuration("own-plugin"))
    probed = Engine()
    probed.write(
        event(
            1,
            "usable here",
            data={"backends": [{"name": "x", "short": "y", "usable": True}]},
            kind="backends",
        )
    )
    for name, made in (("missing", missing), ("probed", probed)):
        made.write_to(tmp_path / name / "0001.itlog.zst")
    lineups = {}
    for name in ("missing", "probed"):
        replay = ReplaySource(tmp_path / name, Hand())
        lineups[name] = [(b.name, b.short, b.usable, b.reason) for b in replay.backends()]
        replay.close()
    assert lineups["missing"] == [
        ("tensorrt", "trt", False, "libnvinfer is not here"),
        ("own-plugin", "own-plugin", None, ""),
    ]
    assert lineups["probed"] == [("x", "y", True, "")]


def test_playing_goes_on_into_the_next_segment(tmp_path: Path) -> None:
    for number, by in ((1, 0), (2, 20 * SECOND)):
        engine = Engine(head=header(segment=number, unix=header().clock.unix + by, pid=number))
        engine.runs = number - 1
        engine.begin()
        engine.enter("measure")
        for _ in range(20):
            engine.tick([number * MS] * 2)
        engine.write_to(tmp_path / f"{number:04}.itlog.zst")
    hand = Hand()
    replay = ReplaySource(tmp_path, hand)
    replay.set_speed(4)
    seen = set()
    for _ in range(70):
        hand.pass_(0.1)
        view = replay.poll()
        seen.add((some(view.header).segment, some(view.run).run))
    assert seen == {(1, 1), (2, 2)}
    assert some(replay.poll().runs[0].error).kind == "engine-lost"


def test_gaps_lie_where_the_records_are_missing(tmp_path: Path, engine: Engine) -> None:
    path = engine.write_to(tmp_path / "s" / "0001.itlog.zst")
    data = bytearray(path.read_bytes())
    data[4096:5000] = bytes(904)
    path.write_bytes(data)
    replay = ReplaySource(path.parent, Hand())
    ((first, last),) = replay.timeline().gaps
    assert 0 < first < last < engine.t
    assert replay.poll().gaps == 1
    replay.close()


def test_what_cannot_be_played_is_said(tmp_path: Path) -> None:
    (tmp_path / "0001.itlog.zst").touch()
    with pytest.raises(MeasureError, match="nothing that can be played"):
        ReplaySource(tmp_path)


def test_the_timeline_marks_where_another_verdict_stands(tmp_path: Path) -> None:
    engine = Engine()
    engine.begin(configuration("a"))
    for second, kind in enumerate(("cpu", "cpu", "host", "cpu", "cpu"), start=1):
        engine.write(
            Verdict(t=engine.t + second * SECOND, run=engine.runs, kind=kind, confidence=0.8, text="x")
        )
    engine.write_to(tmp_path / "0001.itlog.zst")
    replay = ReplaySource(tmp_path, Hand())
    marks = [mark for mark in replay.timeline().marks if mark.kind == "verdict"]
    replay.close()
    assert [mark.label for mark in marks] == ["cpu", "host", "cpu"]
    assert [round((mark.t - marks[0].t) / SECOND) for mark in marks] == [0, 2, 3]


def test_hostile_labels_are_clean(tmp_path: Path) -> None:
    engine = Engine()
    engine.begin(configuration("x\x1b[2J"))
    engine.write(event(5, "\x1b]0;t\x07boom"))
    engine.write_to(tmp_path / "0001.itlog.zst")
    replay = ReplaySource(tmp_path, Hand())
    assert [mark.label for mark in replay.timeline().marks] == ["x", "boom"]
    replay.close()


HIDDEN = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "pwd", "grp", "termios", "resource", "tty", "pty", "syslog"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
for name in ("fcntl", "pwd", "grp", "termios", "resource"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Hide())
from pathlib import Path
from infertop.sessions import commands, places, session, source, store
from infertop.sessions.replay import ReplaySource
replay = ReplaySource(Path(sys.argv[1]))
replay.seek(replay.timeline().end)
print(len(replay.poll().runs))
live = source.Live.attach(Path(sys.argv[1]))
print(live.poll().state, live.poll().state)
print(store.listing(Path(sys.argv[1]).parent)[0].state)
print(sorted(set(sys.modules) & {"fcntl", "termios", "textual", "rich", "torch", "onnxruntime"}))
"""


def test_sessions_are_read_where_unix_modules_are_missing(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where nothing is measured but everything can be viewed."""
    import subprocess

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    engine.write_to(tmp_path / "sessions" / "s" / "0001.itlog.zst")
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN, str(tmp_path / "sessions" / "s")], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.split("\n")[:4] == ["3", "ended ended", "ended", "[]"]
