"""Following a segment while it is written, through a file and through a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from infertop.backends.errors import MeasureError
from infertop.sessions import source
from infertop.sessions.frames import encode_frame, encode_header
from infertop.sessions.records import AnyRecord, End
from infertop.sessions.source import FollowSource, Live, PipeSource
from infertop.sessions.writer import SegmentWriter
from infertop.tests.sessions.synthetic import Engine, event, header, numbers, segment_bytes, some, start, tick

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="segments are written on Linux and macOS only")


@pytest.fixture(autouse=True)
def _always_look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Look after the engine at every poll, and see no other session of this machine."""
    monkeypatch.setattr(source, "_PROBE", 0.0)
    (tmp_path / "xdg").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "xdg"))


def test_a_file_that_grows_by_single_bytes(tmp_path: Path) -> None:
    path = tmp_path / "0001.itlog.zst"
    batches: list[list[AnyRecord]] = [[tick(0)], [event(1), tick(1)], [tick(2)]]
    data = segment_bytes(header(), batches)
    follow = FollowSource(path)
    assert follow.poll() == []
    seen = []
    with open(path, "wb", buffering=0) as file:
        for byte in data:
            file.write(bytes([byte]))
            seen += follow.poll()
            assert follow.gaps == 0
    assert seen == [header(), *(r for batch in batches for r in batch)]
    assert follow.size == len(data)
    follow.close()


@POSIX
def test_everything_that_a_writer_appends_comes_out_once(tmp_path: Path) -> None:
    path = tmp_path / "0001.itlog.zst"
    writer = SegmentWriter(path, header())
    follow = FollowSource(path)
    seen = []
    for n in range(200):
        writer.append([tick(n)])
        seen += follow.poll()
        assert follow.alive
    writer.close(End(t=1, reason="q"))
    seen += follow.poll()
    assert numbers(seen) == list(range(200))
    assert follow.ended
    assert not follow.alive


@POSIX
def test_an_engine_that_dies_without_an_end_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "0001.itlog.zst"
    code = (
        "import sys, os, signal; from pathlib import Path\n"
        "from infertop.sessions.writer import SegmentWriter\n"
        "from infertop.tests.sessions.synthetic import header, tick\n"
        "w = SegmentWriter(Path(sys.argv[1]), header()); w.append([tick(0)])\n"
        "sys.stdin.read(1)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE)
    live = Live(FollowSource(path))
    while not live.poll().values:
        assert child.poll() is None
    assert live.poll().state == "live"
    child.communicate(b"x")
    live.poll()
    view = live.poll()
    assert view.state == "lost"
    assert live.poll() is view, "nothing is new"
    live.close()


def test_damage_in_the_middle_is_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "0001.itlog.zst"
    data = bytearray(segment_bytes(header(), [[tick(n)] for n in range(20)]))
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    live = Live(FollowSource(path))
    assert live.poll().gaps == 1
    assert live.poll().bytes == len(data)


def test_the_segment_that_the_end_names_is_followed(tmp_path: Path) -> None:
    first = tmp_path / "s" / "0001.itlog.zst"
    second = tmp_path / "run" / "0002.itlog.zst"
    for path in (first, second):
        path.parent.mkdir()
    engine = Engine()
    engine.begin()
    engine.enter("measure")
    for _ in range(8):
        engine.tick([1_000_000])
    engine.write_to(first)
    live = Live(FollowSource(first))
    assert some(live.poll().run).requests == 8
    end = End(t=engine.t, reason="recording was switched off", next=str(second))
    with open(first, "ab") as file:
        file.write(encode_frame([end]))
    assert live.poll().state == "live", "the next segment is not there yet"
    moved = header(segment=2, unix=header().clock.unix + engine.t, recording=False)
    second.write_bytes(
        encode_header(moved) + encode_frame([tick(8, t=250_000_000, run=1, done=2, q=[1, 1, 1])])
    )
    view = live.poll()
    assert some(view.header).recording is False
    assert some(view.run).requests == 8, "the run goes on"
    assert view.now == engine.t + 250_000_000
    live.close()


def test_a_new_engine_of_the_same_session_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "s" / "0001.itlog.zst"
    path.parent.mkdir()
    path.write_bytes(segment_bytes(header(), [[tick(0)]]))
    follow = FollowSource(path.parent)
    assert numbers(follow.poll()) == [0]
    follow.poll()
    assert follow.lost
    (path.parent / "0002.itlog.zst").write_bytes(segment_bytes(header(segment=2, pid=5), [[tick(7)]]))
    assert numbers(follow.poll()) == [7]
    assert follow.path.name == "0002.itlog.zst"


def test_attaching_late_shows_what_following_from_the_start_shows(tmp_path: Path) -> None:
    engine = Engine(key_every=5)
    engine.begin()
    engine.enter("warmup")
    engine.tick([2_000_000])
    engine.enter("measure")
    for n in range(100):
        engine.tick([1_000_000 + 1000 * n] * 3)
    path = engine.write_to(tmp_path / "s" / "0001.itlog.zst")
    late, early = Live.attach(path.parent), Live(FollowSource(path))
    for _ in range(10):
        assert late.poll().run == early.poll().run
        assert late.poll().values == early.poll().values
        assert late.poll().events == early.poll().events
        engine.tick([3_000_000])
        with open(path, "ab") as file:
            file.write(encode_frame(engine.batches[-1]))
    late.close()
    early.close()


def test_attaching_to_what_is_no_session_is_said(tmp_path: Path) -> None:
    (tmp_path / "0001.itlog.zst").write_bytes(b"something else " * 20)
    with pytest.raises(MeasureError, match="holds no session"):
        Live.attach(tmp_path)


def test_a_segment_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    live = Live.attach(tmp_path / "0001.itlog.zst")
    assert live.poll().state == "waiting"
    (tmp_path / "0001.itlog.zst").write_bytes(encode_header(header()))
    assert live.poll().header == header()


def drained(pipe: PipeSource, until: int) -> list[AnyRecord]:
    """Poll until the thread has brought that many ticks."""
    seen: list[AnyRecord] = []
    while len(numbers(seen)) < until:
        seen += pipe.poll()
    return seen


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_pipe_gives_the_same_records(buffering: int) -> None:
    read, write = os.pipe()
    data = segment_bytes(header(), [[tick(n)] for n in range(30)])
    pipe = PipeSource(os.fdopen(read, "rb", buffering))
    os.write(write, data[:1000])
    os.write(write, data[1000:])
    seen = drained(pipe, 30)
    assert seen == [header(), *(tick(n) for n in range(30))]
    assert pipe.alive
    os.close(write)
    pipe._thread.join()
    assert pipe.poll() == []
    assert not pipe.alive
    pipe.close()


def test_a_pipe_goes_on_from_an_offset() -> None:
    """After a lost connection the other side is asked for the bytes that are missing."""
    data = segment_bytes(header(), [[start(1, 0)], *[[tick(n, run=1)] for n in range(30)]])
    read, write = os.pipe()
    first = PipeSource(os.fdopen(read, "rb"))
    live = Live(first)
    os.write(write, data[: len(data) // 2])
    os.close(write)
    first._thread.join()
    live.poll()
    known = first._parser.scanner.settled
    read, write = os.pipe()
    live.source = second = PipeSource(os.fdopen(read, "rb"), known)
    os.write(write, data[known:])
    os.close(write)
    second._thread.join()
    view = live.poll()
    assert view.now == tick(29).t
    assert view.history.second.tolist() == list(range(8))
    assert view.gaps == 0


def test_lines_of_a_newer_version_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "0001.itlog.zst"
    minor = msgspec.structs.replace(header(), format="1.9")
    path.write_bytes(segment_bytes(minor, [[tick(0)]]))
    assert numbers(FollowSource(path).poll()) == [0]
