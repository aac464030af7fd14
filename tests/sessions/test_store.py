"""Where sessions are kept, what they are called, and how a person names one."""

from __future__ import annotations

import os
import re
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from infertop.backends.errors import MeasureError
from infertop.sessions import places, store
from infertop.sessions.records import End, Fault, Run
from infertop.sessions.writer import SegmentWriter
from infertop.tests.sessions.synthetic import SECOND, UNIX, Engine, configuration, header, write_segment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sessions are made on Linux and macOS only")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sessions directory and the runtime directory of this test alone."""
    runtime = tmp_path / "xdg"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("INFERTOP_SESSIONS_DIR", str(tmp_path / "sessions"))
    return tmp_path / "sessions"


def recorded(
    home: Path, name: str, unix: int = UNIX, end: bool = True, runs: Sequence[str] = ("onnxruntime-cpu",)
) -> Path:
    engine = Engine(head=header(unix=unix))
    for backend in runs:
        engine.begin(configuration(backend))
        engine.enter("measure")
        for _ in range(8):
            engine.tick([1_000_000] * (2 if backend == "torch-eager" else 5))
        engine.finish()
    if end:
        engine.write(End(t=engine.t, reason="q"))
    return engine.write_to(home / name / "0001.itlog.zst")


def test_directories_are_private(home: Path) -> None:
    place = store.create("resnet18")
    for path in (home, place.path.parent, place.socket.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert not path.is_symlink()


def test_where_sessions_lie(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert places.sessions_directory() == home
    assert places.sessions_directory(tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv("INFERTOP_SESSIONS_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if sys.platform == "linux":
        assert places.sessions_directory() == tmp_path / "state" / "infertop" / "sessions"


@pytest.mark.parametrize(
    ("model", "slug"),
    [
        ("resnet18", "resnet18"),
        ("/data/My Model (v2).onnx", "My-Model-v2"),
        ("torchvision:vit_b_16", "vit_b_16"),
        ("package.module:factory", "factory"),
        ("../../etc", "etc"),
        ("…", "session"),
        ("x" * 200, "x" * 40),
    ],
)
def test_names_tell_when_and_what(home: Path, model: str, slug: str) -> None:
    name = store.create(model).name
    assert re.fullmatch(r"\d{8}-\d{6}-" + re.escape(slug), name)


def test_two_sessions_of_the_same_second_have_two_names(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda *_: "20261122-104503")
    names = [store.create("a").name for _ in range(3)]
    assert names == ["20261122-104503-a", "20261122-104503-a-2", "20261122-104503-a-3"]


def test_an_engine_of_another_directory_keeps_its_socket(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(time, "strftime", lambda _: "20261122-104503")
    first = store.create("resnet18")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(first.socket))
        second = store.create("resnet18", tmp_path / "elsewhere")
        assert second.socket != first.socket
        assert first.socket.exists()


def test_a_named_session_gets_another_segment(home: Path) -> None:
    first = store.create("a", name="baseline")
    SegmentWriter(first.path, header()).close()
    second = store.create("a", name="baseline")
    assert (first.segment, second.segment) == (1, 2)
    assert second.path == home / "baseline" / "0002.itlog.zst"


def test_a_session_that_is_being_measured_is_not_written_twice(home: Path) -> None:
    writer = SegmentWriter(store.create("a", name="baseline").path, header())
    with pytest.raises(MeasureError, match="being measured") as caught:
        store.create("a", name="baseline")
    assert caught.value.kind == "session-live"
    writer.close()


@pytest.mark.parametrize("name", ["last", "last~3", "../up", "a/b", ".hidden", "", "x" * 101, "a\x1bb", "-x"])
def test_names_that_cannot_be(home: Path, name: str) -> None:
    with pytest.raises(MeasureError, match="cannot be a session's name") as caught:
        store.create("a", name=name)
    assert "\x1b" not in caught.value.message


def test_what_is_not_recorded_is_gone_afterwards(home: Path) -> None:
    place = store.create("a", recording=False)
    assert not home.exists()
    writer = SegmentWriter(place.path, header(recording=False))
    assert [found.name for found in store.sessions()] == [place.name], "it can be attached to"
    writer.close()
    place.release()
    assert not place.path.parent.exists()
    assert store.sessions() == []


def test_recording_can_move(home: Path) -> None:
    place = store.create("a")
    SegmentWriter(place.path, header()).close()
    off = place.move(recording=False)
    assert (off.segment, off.recording) == (2, False)
    assert home not in off.path.parents
    SegmentWriter(off.path, header()).close()
    on = off.move(recording=True)
    assert on.path == home / place.name / "0003.itlog.zst"
    assert on.socket == place.socket
    place.release()
    assert place.path.exists(), "what was recorded stays"


def test_what_a_killed_engine_left_unrecorded_is_swept(home: Path) -> None:
    old, young = (store.create(name, recording=False) for name in ("old", "young"))
    living = store.create("b", recording=False, name="living")
    for place in (old, young):
        write_segment(place.path, header(recording=False), [])
    writer = SegmentWriter(living.path, header(recording=False))
    for path in (old.path, old.path.parent, living.path, living.path.parent):
        os.utime(path, (0, 0))
    store.create("c")
    assert not old.path.exists()
    assert young.path.exists(), "its engine may be about to take its lock"
    assert living.path.exists()
    writer.close()


# -- the runtime directory and sockets


def test_the_runtime_directory_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "infertop").mkdir(mode=0o755)
    (tmp_path / "infertop").chmod(0o755)
    with pytest.raises(MeasureError, match="not yours alone"):
        places.runtime_directory()
    (tmp_path / "infertop").rmdir()
    (tmp_path / "infertop").symlink_to(tmp_path)
    with pytest.raises(MeasureError, match="not yours alone"):
        places.runtime_directory()


def test_without_a_runtime_directory_there_is_one_below_the_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    for base in (None, "relative", str(tmp_path / "absent")):
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        if base is not None:
            monkeypatch.setenv("XDG_RUNTIME_DIR", base)
        path = places.runtime_directory()
        assert path == tmp_path / f"infertop-{os.getuid()}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_socket_paths_can_be_bound_however_long_the_name(home: Path, tmp_path: Path) -> None:
    names = ["a", "x" * 100, "x" * 99 + "y"]
    paths = [places.socket_path(name) for name in names]
    assert len(set(paths)) == 3
    assert paths == [places.socket_path(name) for name in names]
    for path in paths:
        assert len(os.fsencode(path)) <= 107
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))


# -- finding


def test_resolve(home: Path, tmp_path: Path) -> None:
    for i, name in enumerate(["20261122-104503-resnet18", "20261122-110000-smallcnn", "baseline"]):
        recorded(home, name, UNIX + i * 1000 * SECOND)
    assert store.resolve().name == "baseline"
    assert store.resolve("last").name == "baseline"
    assert store.resolve("last~2").name == "20261122-104503-resnet18"
    assert store.resolve("20261122-11").name == "20261122-110000-smallcnn"
    assert store.resolve("base").path == home / "baseline"
    assert store.resolve(str(home / "baseline")).path == home / "baseline"
    assert store.resolve(str(home / "baseline" / "0001.itlog.zst")).name == "baseline"
    copied = tmp_path / "mail" / "session.itlog.zst"
    copied.parent.mkdir()
    copied.write_bytes((home / "baseline" / "0001.itlog.zst").read_bytes())
    assert store.resolve(str(copied)).path == copied


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("20261122", "is the beginning of", "type more"),
        ("last~7", "needs 8 sessions", "makes one"),
        ("basline", "no session basline", "did you mean baseline?"),
        ("smallcnn", "no session smallcnn", "did you mean 20261122-110000-smallcnn?"),
        ("zzz", "no session zzz", "infertop ls"),
        ("a\x1b[2Jb", "no session ab", "infertop ls"),
    ],
)
def test_what_cannot_be_resolved_is_said_with_suggestions(
    home: Path, text: str, message: str, fix: str
) -> None:
    for name in ("20261122-104503-resnet18", "20261122-110000-smallcnn", "baseline"):
        recorded(home, name)
    with pytest.raises(MeasureError) as caught:
        store.resolve(text)
    assert caught.value.kind == "session-not-found"
    assert message in caught.value.message
    assert fix in caught.value.fix


def test_without_any_session(home: Path) -> None:
    with pytest.raises(MeasureError, match="holds none"):
        store.resolve()
    assert store.listing() == []


def test_listing(home: Path) -> None:
    recorded(home, "old", UNIX, runs=("onnxruntime-cpu", "torch-eager"))
    recorded(home, "killed", UNIX + 10 * SECOND, end=False)
    (home / "broken").mkdir()
    (home / "broken" / "0001.itlog.zst").write_bytes(b"garbage " * 9)
    os.utime(home / "broken" / "0001.itlog.zst", ns=(0, 0))
    (home / "empty").mkdir()
    place = store.create("m", name="now")
    writer = SegmentWriter(place.path, header(unix=UNIX + 20 * SECOND))
    found = {info.name: info for info in store.listing()}
    assert list(found) == ["now", "killed", "old", "broken"]
    assert [info.state for info in found.values()] == ["live", "lost", "ended", "unreadable"]
    old = found["old"]
    assert old.backends == ("onnxruntime-cpu", "torch-eager")
    assert old.model == "smallcnn"
    assert old.runs == 2
    assert old.duration_s == pytest.approx(4.0)
    assert old.headline == "onnxruntime-cpu 20.0 samples/s"
    assert old.bytes == (home / "old" / "0001.itlog.zst").stat().st_size
    assert re.fullmatch(r"2026-11-2\d \d\d:\d\d", old.started)
    assert "holds no session" in found["broken"].headline
    writer.close()


def test_a_session_whose_runs_all_failed_says_what_was_wrong(home: Path) -> None:
    place = store.create("m", name="bad")
    engine = Engine()
    for backend in ("torch-eager", "onnxruntime-cpu"):
        engine.begin(configuration(backend=backend))
        engine.run = None
        words = "the worker was killed" if backend == "torch-eager" else "there is\x1b[2J no room"
        engine.write(Run(t=engine.t, run=engine.runs, phase="end", error=Fault("x", words, "free some")))
    write_segment(place.path, header(unix=UNIX), engine.batches)
    (found,) = store.listing()
    assert found.headline == "✕ onnxruntime-cpu: there is no room (2 of 2 runs failed)"


def test_a_run_that_fell_back_is_not_the_fastest_of_its_session(home: Path) -> None:
    def session(name: str, *runs: tuple[str, int, str]) -> str:
        engine = Engine(head=header())
        for backend, requests, status in runs:
            engine.begin(configuration(backend))
            engine.enter("measure")
            for _ in range(8):
                engine.tick([1_000_000] * requests)
            engine.finish(status)
        engine.write_to(home / name / "0001.itlog.zst")
        return next(info.headline for info in store.listing() if info.name == name)

    fell, right = ("onnxruntime-cuda", 9, "fallback"), ("onnxruntime-cpu", 5, "ok")
    assert session("both", fell, right) == "onnxruntime-cpu 20.0 samples/s"
    assert session("alone", fell) == "nothing but a fallback"


def test_a_found_session_says_whether_it_is_live(home: Path) -> None:
    place = store.create("m", name="now")
    writer = SegmentWriter(place.path, header())
    assert store.resolve("now").live
    assert store.resolve("now").socket == place.socket
    store.must_live(store.resolve("now"))
    writer.close()
    assert not store.resolve("now").live
    with pytest.raises(MeasureError, match="the session now has ended") as caught:
        store.must_live(store.resolve("now"))
    assert "infertop replay now plays it" in caught.value.fix


def test_a_session_is_played_again_by_what_finds_it(home: Path, tmp_path: Path) -> None:
    def found(words: Sequence[str]) -> Path:
        return (store.sample(words[1]) if words[0] == "--sample" else store.resolve(*words)).path

    shown = {
        recorded(home, "mine").parent: ("mine",),
        recorded(tmp_path / "other", "mine"): (str(tmp_path / "other" / "mine" / "0001.itlog.zst"),),
        tmp_path / "other" / "mine": (str(tmp_path / "other" / "mine"),),
        store.SAMPLES / "h100-resnet18": ("--sample", "h100-resnet18"),
    }
    for path, words in shown.items():
        assert store.replay_words(path) == words
        assert found(words) == path


def test_replay_without_a_name_plays_the_recording_that_the_readme_shows_first() -> None:
    assert store.sample().name == "h100-resnet18"
    with pytest.raises(MeasureError, match="no sample h100") as caught:
        store.sample("h100")
    assert "h100-data-paths, h100-keys, h100-resnet18, h100-silent-fallback" in caught.value.fix


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(MeasureError, match="cannot be made") as caught:
        store.create("m", Path(tmp_path / "file" / "sessions"))
    assert "--sessions-dir" in caught.value.fix
