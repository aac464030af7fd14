"""Segments and sessions from disk: whole, cut, damaged, growing, in several parts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from infertop.backends.errors import MeasureError
from infertop.sessions import frames
from infertop.sessions.reader import Segment, read_header
from infertop.sessions.records import End, Event, Header, Key
from infertop.sessions.session import Session
from infertop.sessions.state import SessionState
from infertop.tests.sessions.synthetic import (
    INTERVAL,
    SECOND,
    Engine,
    event,
    header,
    numbers,
    scan,
    segment_bytes,
    some,
    start,
    tick,
    write_segment,
)


def ticks_of(segment: Segment) -> list[int]:
    return [n for records in segment.read(0, len(segment)) for n in numbers(records)]


@pytest.fixture
def engine() -> Engine:
    engine = Engine(key_every=5)
    engine.begin()
    engine.enter("warmup")
    engine.tick([10_000] * 3)
    engine.enter("measure")
    for n in range(80):
        engine.tick([1_000_000 + n] * 4)
        if n % 10 == 0:
            engine.write(event(engine.t, f"event {n}"))
    engine.finish()
    return engine


def test_opening_decodes_what_is_not_a_tick(tmp_path: Path, engine: Engine) -> None:
    with Segment(engine.write_to(tmp_path / "0001.itlog.zst")) as segment:
        assert segment.header == engine.header
        assert [e.text for e in segment.events] == [f"event {n}" for n in range(0, 80, 10)]
        assert [r.phase for r in segment.runs] == ["start", "warmup", "measure", "end"]
        assert len(segment) == len(engine.batches)
        assert len(segment.keys) == sum(isinstance(r, Key) for r in engine.records)
        assert segment.last == engine.t
        assert segment.gaps == []
        assert segment.end is None


def test_range_gives_the_records_of_a_time(tmp_path: Path, engine: Engine) -> None:
    with Segment(engine.write_to(tmp_path / "0001.itlog.zst")) as segment:
        found = list(segment.range(2 * SECOND, 3 * SECOND))
    assert found == [r for r in engine.until(3 * SECOND)[1:] if r not in engine.until(2 * SECOND - 1)]


def test_cut_at_every_byte(tmp_path: Path) -> None:
    data = segment_bytes(
        header(), [[event(1), start(1, 2)], [tick(0, run=1)], [tick(1)], [End(t=9, reason="q")]]
    )
    whole, _ = scan(data)
    ends = [frame.offset + frame.length for frame in whole]
    path = tmp_path / "0001.itlog.zst"
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        with Segment(path) as segment:
            kept = sum(end <= cut for end in ends)
            assert len(segment) == max(kept - 1, 0)
            assert (segment.header is None) == (kept == 0)
            assert segment.damaged == 0
            assert segment.torn == cut - (ends[kept - 1] if kept else 0)
        if kept:
            with Session(path) as session:
                session.seek(session.end).view()


def test_a_zeroed_block_anywhere_is_a_gap_and_the_rest_is_read(tmp_path: Path) -> None:
    engine = Engine(metrics=60, key_every=3)
    engine.begin()
    engine.enter("measure")
    for n in range(150):
        engine.tick([10_000 + n] * 3, [n * 1.01 + i / 7 for i in range(60)])
    path = engine.write_to(tmp_path / "s" / "0001.itlog.zst")
    data = path.read_bytes()
    assert len(data) > 6 * 4096
    with Segment(path) as segment:
        places = list(zip(segment.offsets, segment.lengths, strict=True))
        all_ticks = ticks_of(segment)
    for block in range(0, len(data), 4096):
        hurt = data[:block] + bytes(min(4096, len(data) - block)) + data[block + 4096 :]
        path.write_bytes(hurt)
        with Session(path.parent) as session:
            segment = session.segments[0]
            assert len(segment.gaps) == 1
            assert session.damaged == 1
            assert len(session.gaps) == 1
            spared = [(o, n) for o, n in places if o + n <= block or o - 32 >= block + 4096]
            assert list(zip(segment.offsets, segment.lengths, strict=True)) == spared
            assert set(ticks_of(segment)) <= set(all_ticks)
            for t in (0, session.end // 2, session.end):
                assert session.seek(t).view(t, gaps=session.damaged).gaps == 1


def test_a_damaged_header_leaves_the_runs_and_takes_the_clock_from_a_key(
    tmp_path: Path, engine: Engine
) -> None:
    path = engine.write_to(tmp_path / "s" / "0001.itlog.zst")
    data = bytearray(path.read_bytes())
    data[10:20] = bytes(10)
    path.write_bytes(data)
    with Session(path.parent) as session:
        assert some(session.header).clock == engine.header.clock
        assert some(session.header).metrics == []
        assert session.damaged >= 1
        view = session.seek(session.end).view()
        assert view.runs[0].requests == 320
        assert view.values == {}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_damage_never_raises(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    engine = Engine(key_every=2)
    engine.begin()
    engine.enter("measure")
    for n in range(20):
        engine.tick([10_000 + n] * 3)
    engine.finish()
    path = engine.write_to(tmp_path_factory.mktemp("s") / "0001.itlog.zst")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + 24] = data.draw(st.binary(min_size=0, max_size=40))
    path.write_bytes(content)
    try:
        session = Session(path)
    except MeasureError:
        return  # nothing of it can be read, said in a sentence
    with session:
        for t in (session.start, (session.start + session.end) // 2, session.end):
            session.seek(t).view(t)
        list(session.range(session.start, session.end))


def test_a_frame_whose_time_is_damaged_is_put_where_its_records_say(tmp_path: Path, engine: Engine) -> None:
    path = engine.write_to(tmp_path / "0001.itlog.zst")
    with Segment(path) as segment:
        at = segment.offsets[20] - 32 + 16
        times = list(segment.times)
    data = bytearray(path.read_bytes())
    data[at + 6] ^= 0x7F
    path.write_bytes(data)
    with Segment(path) as segment:
        assert list(segment.times) == times


def test_what_is_no_session_is_said(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no session " * 50)
    with pytest.raises(MeasureError) as caught:
        Segment(text)
    assert caught.value.kind == "not-a-session"
    assert "550 bytes" in caught.value.message
    with pytest.raises(MeasureError, match="cannot be read"):
        Segment(tmp_path / "absent.itlog.zst")
    with pytest.raises(MeasureError, match="not a file"):
        Segment(tmp_path)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(MeasureError, match="holds no session"):
        Session(tmp_path / "nothing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes on this system")
def test_a_named_pipe_does_not_hang_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "0001.itlog.zst")
    with pytest.raises(MeasureError, match="not a file"):
        Segment(tmp_path / "0001.itlog.zst")


def test_a_newer_major_format_is_said_and_a_newer_minor_is_read(tmp_path: Path) -> None:
    minor = msgspec.structs.replace(header(), format="1.7")
    with Segment(write_segment(tmp_path / "a.itlog.zst", minor, [[tick(0)]])) as segment:
        assert ticks_of(segment) == [0]
    major = msgspec.structs.replace(header(), format="2.0")
    with pytest.raises(MeasureError, match=r"format 2\.0") as caught:
        Segment(write_segment(tmp_path / "b.itlog.zst", major, [[tick(0)]]))
    assert caught.value.fix


def test_an_empty_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "0001.itlog.zst"
    path.touch()
    data = segment_bytes(header(), [[tick(0)], [event(INTERVAL * 2)]])
    with Segment(path) as segment:
        assert segment.header is None
        path.write_bytes(data[: len(data) // 2])
        segment.refresh()
        path.write_bytes(data)
        assert segment.refresh()
        assert isinstance(segment.header, Header)
        assert len(segment) == 2
        assert not segment.refresh()


def test_a_torn_tail_that_is_taken_back_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "0001.itlog.zst"
    data = segment_bytes(header(), [[tick(0)]])
    path.write_bytes(data + frames.encode_frame([tick(1)])[:50])
    with Segment(path) as segment:
        path.write_bytes(data)
        assert not segment.refresh()
        path.write_bytes(data + frames.encode_frame([End(t=9, reason="the disk is full")]))
        assert segment.refresh()
        assert some(segment.end).reason == "the disk is full"
        assert segment.damaged == 0


def test_read_header_reads_no_more(tmp_path: Path, engine: Engine) -> None:
    path = engine.write_to(tmp_path / "0001.itlog.zst")
    assert read_header(path) == engine.header
    assert read_header(tmp_path / "absent") is None


# -- sessions of several segments


def two_segments(
    tmp_path: Path, later_by: int = 100 * SECOND, first_end: End | None = None
) -> tuple[Path, Engine, Engine]:
    directory = tmp_path / "session"
    first = Engine()
    first.begin()
    first.enter("measure")
    for _ in range(20):
        first.tick([1_000_000] * 2)
    first.finish()
    if first_end:
        first.write(first_end)
    first.write_to(directory / "0001.itlog.zst")
    second = Engine(head=header(segment=2, pid=99, unix=header().clock.unix + later_by))
    second.runs = 1
    second.begin()
    second.enter("measure")
    for _ in range(12):
        second.tick([2_000_000] * 2)
    second.write_to(directory / "0002.itlog.zst")
    return directory, first, second


def fold(session: Session) -> SessionState:
    from infertop.sessions.state import SessionState

    state = SessionState()
    for segment in session.segments:
        state.apply(some(segment.header))
        for records in segment.read(0, len(segment)):
            for record in records:
                state.apply(record)
    return state


@pytest.mark.parametrize("later_by", [100 * SECOND, -50 * SECOND])
def test_two_segments_are_one_session(tmp_path: Path, later_by: int) -> None:
    directory, first, second = two_segments(tmp_path, later_by)
    with Session(directory) as session:
        offset = max(later_by, first.t)
        assert session.offsets == [0, offset]
        assert session.end == offset + second.t
        assert [run.run for _, run in session.runs if run.phase == "start"] == [1, 2]
        view = session.seek(session.end).view()
        assert (some(view.run).run, some(view.run).requests) == (2, 24)
        assert [run.run for run in view.runs] == [1]
        expected = fold(session).view()
        assert (view.run, view.runs, view.now, view.unix, view.before) == (
            expected.run, expected.runs, expected.now, expected.unix, expected.before,
        )  # fmt: skip
        earlier = session.seek(first.t // 2).view()
        assert some(earlier.run).run == 1
        assert earlier.header == first.header
        assert session.unix(session.end) == second.header.clock.unix + second.t
        if later_by > 0:
            assert session.at(second.header.clock.unix + SECOND) == offset + SECOND
            assert session.at(first.header.clock.unix + 50 * SECOND) == offset, (
                "between two segments: the later"
            )


def test_the_history_reaches_into_the_segment_before(tmp_path: Path) -> None:
    directory, _, _ = two_segments(tmp_path, later_by=8 * SECOND)
    with Session(directory) as session:
        history = session.seek(session.end).view().history
    assert history.second[0] == 0
    assert history.done[:5].tolist() == [8] * 5
    assert history.done[8:11].tolist() == [8] * 3


def test_a_segment_that_lies_elsewhere_belongs_to_the_session(tmp_path: Path) -> None:
    directory, _, _ = two_segments(tmp_path)
    elsewhere = tmp_path / "run" / "0002.itlog.zst"
    elsewhere.parent.mkdir()
    (directory / "0002.itlog.zst").rename(elsewhere)
    with Session(directory) as session:
        assert len(session.segments) == 1
    directory, _, _ = two_segments(
        tmp_path, first_end=End(t=6 * SECOND, reason="not recorded", next=str(elsewhere))
    )
    (directory / "0002.itlog.zst").rename(elsewhere)
    with Session(directory) as session:
        assert [s.path for s in session.segments] == [directory / "0001.itlog.zst", elsewhere]
    elsewhere.unlink()
    with Session(directory) as session:
        assert len(session.segments) == 1, "it went with its engine"


def test_a_segment_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    directory, _, _ = two_segments(tmp_path)
    (directory / "0003.itlog.zst").write_bytes(b"nothing of the sort" * 10)
    with Session(directory) as session:
        assert len(session.parts) == 2
        assert session.damaged == 1


def test_a_session_grows_by_frames_and_by_segments(tmp_path: Path) -> None:
    directory, _, second = two_segments(tmp_path)
    with Session(directory) as session:
        end = session.end
        second.tick([2_000_000])
        second.write_to(directory / "0002.itlog.zst")
        third = header(segment=3, unix=second.header.clock.unix + 100 * SECOND)
        write_segment(directory / "0003.itlog.zst", third, [[event(SECOND)]])
        session.refresh()
        assert session.end > end
        assert len(session.parts) == 3
        assert isinstance(next(r for _, r in session.range(session.end, session.end)), Event)
