"""Bytes to frames and back: whatever is whole is read, whatever is torn waits, whatever is damaged is a gap."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from infertop.sessions import frames, zstandard
from infertop.sessions.records import AnyRecord, End, Event, Tick
from infertop.tests.sessions.synthetic import (
    blob,
    event,
    header,
    records_of,
    scan,
    segment_bytes,
    start,
    tick,
)


def batches(count: int = 12) -> list[list[AnyRecord]]:
    out: list[list[AnyRecord]] = []
    for n in range(count):
        records: list[AnyRecord] = [tick(n, run=1, done=3, q=[100, 200, 300])]
        if n % 4 == 3:
            records = [tick(n, run=1, done=3, q=[100, 200, 300], h={"service": blob([100, 200, 300])})]
        if n % 5 == 0:
            records.insert(0, event(n * 250_000_000 + 7, f"event {n}"))
        out.append(records)
    return out


def raw_frame(body_text: bytes, flags: int = 0, t: int = 0) -> bytes:
    """A frame of any lines, as another version of infertop may write them."""
    body = zstandard.compress(body_text)
    return frames.HEADER.pack(0x184D2A50, 24, b"it", 1, flags, len(body), t, 0, zlib.crc32(body)) + body


def test_what_is_written_is_read() -> None:
    written = batches()
    found, scanner = scan(segment_bytes(header(), written))
    assert list(records_of(found)) == [header(), *(r for batch in written for r in batch)]
    assert scanner.gaps == []
    assert scanner.damage is None
    assert found[0].flags == frames.FIRST


def test_header_bytes_are_those_of_the_format_document() -> None:
    frame = frames.encode_frame([event(1_000), tick(0, t=2_500_001, h={"service": blob([5])})])
    body = frame[32:]
    assert frame[:11] == bytes.fromhex("502a4d1818000000697401")
    assert frame[11] == 1 | 8
    assert int.from_bytes(frame[12:16], "little") == len(body)
    assert int.from_bytes(frame[16:24], "little", signed=True) == 1_000
    assert int.from_bytes(frame[24:28], "little") == 2_500  # µs, rounded up: the last record lies within
    assert int.from_bytes(frame[28:32], "little") == zlib.crc32(body)


@pytest.mark.parametrize(
    ("records", "flags"),
    [
        ([tick(0)], 0),
        ([start(1, 5)], frames.RUN),
        ([End(t=9, reason="q")], frames.END),
        ([event(1), start(1, 2), tick(0)], frames.EVENT | frames.RUN),
    ],
)
def test_flags_say_what_a_frame_holds(records: Sequence[AnyRecord], flags: int) -> None:
    assert frames.summary(records).flags == flags


def test_times_before_the_clock_pair_are_kept() -> None:
    frame = frames.encode_frame([event(-3_000_000_000)])
    found, _ = scan(frames.encode_header(header()) + frame)
    assert found[1].t == -3_000_000_000


@pytest.mark.parametrize("piece", [1, 7, 33, 1000])
def test_pieces_of_any_size_give_the_same_frames(piece: int) -> None:
    data = segment_bytes(header(), batches())
    assert scan(data, piece)[0] == scan(data)[0]


def test_truncated_at_every_byte_every_whole_frame_is_read() -> None:
    data = segment_bytes(header(), batches(5))
    whole, _ = scan(data)
    ends = [frame.offset + frame.length for frame in whole]
    for cut in range(len(data) + 1):
        found, scanner = scan(data[:cut])
        assert found == [frame for frame, end in zip(whole, ends, strict=True) if end <= cut]
        assert scanner.gaps == []
        assert scanner.damage is None, "a torn tail is no damage"
        assert scanner.fed == cut


def test_a_torn_tail_is_read_once_the_rest_arrives() -> None:
    data = segment_bytes(header(), batches(3))
    whole, _ = scan(data)
    for cut in range(0, len(data), 5):
        scanner = frames.Scanner()
        assert scanner.feed(data[:cut]) + scanner.feed(data[cut:]) == whole


def test_a_zeroed_block_is_one_gap_and_all_other_frames_are_read() -> None:
    written = [[tick(n, metrics=60, m=[n * 1.01 + i / 7 for i in range(60)])] for n in range(80)]
    data = bytearray(segment_bytes(header(60), written))
    whole, _ = scan(bytes(data))
    for block in range(0, len(data) - 8192, 4096):
        damaged = data[:]
        damaged[block : block + 4096] = bytes(4096)
        found, scanner = scan(bytes(damaged))
        untouched = [
            f
            for f in whole
            if f.offset + f.length <= block or (f.flags != frames.FIRST and f.offset - 32 >= block + 4096)
        ]
        assert found == untouched
        assert len(scanner.gaps) == 1
        first, last = scanner.gaps[0]
        assert first <= block
        assert last >= block + 4096


def test_damage_at_the_very_end_is_no_torn_tail() -> None:
    data = segment_bytes(header(), batches(5))
    _, scanner = scan(data + bytes(100))
    assert scanner.damage == len(data)
    assert scanner.feed(frames.encode_frame([tick(99)]))[0].t == tick(99).t
    assert scanner.gaps == [(len(data), len(data) + 100)]


def test_a_length_that_lies_does_not_swallow_the_frames_behind_it() -> None:
    data = bytearray(segment_bytes(header(), batches(8)))
    whole, _ = scan(bytes(data))
    at = whole[3].offset - 32 + 12
    data[at : at + 4] = (15 << 20).to_bytes(4, "little")  # plausible, and far beyond the end
    found, scanner = scan(bytes(data))
    assert found == [f for f in whole if f is not whole[3]]
    assert scanner.gaps == [(whole[3].offset - 32, whole[4].offset - 32)]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_random_damage_never_raises_and_spares_what_it_does_not_touch(data: Any) -> None:
    segment = bytearray(segment_bytes(header(), batches(10)))
    whole, _ = scan(bytes(segment))
    hurt: set[int] = set()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(segment) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=40))[: len(segment) - at]
        segment[at : at + len(patch)] = patch
        hurt.update(range(at, at + len(patch)))
    piece = data.draw(st.sampled_from([None, 64, 1000]))
    found, _ = scan(bytes(segment), piece)
    assert [f.offset for f in found] == sorted({f.offset for f in found})
    for frame in whole[1:]:
        if hurt.isdisjoint(range(frame.offset - 32, frame.offset + frame.length)):
            assert frame in found
    for frame in found[1:]:
        for record in frames.decode_frame(frame.body):
            assert record is not None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_scanned_without_an_error(data: Any) -> None:
    scan(data, 16)
    scan(frames.MARK + data, 16)
    scan(zstandard.MAGIC + data, 16)


def test_unknown_kinds_keys_and_lines_are_skipped() -> None:
    known = msgspec.json.encode(tick(4))
    text = b"\n".join(
        [
            b'{"k":"flame","t":1,"stacks":[1,2]}',
            b'{"k":"event","t":2,"kind":"later","text":"hi","colour":{"deep":[1]}}',
            b"no json at all",
            b'{"t":3}',
            b"[]",
            b'{"k":"tick","t":"four","n":0,"m":[]}',
            b'{"k":"event","t":5,"kind":"x","text":"\xff\xfe"}',
            b"",
            known,
        ]
    )
    found, _ = scan(frames.encode_header(header()) + raw_frame(text) + raw_frame(known))
    records = list(records_of(found[1:]))
    assert records == [Event(t=2, kind="later", text="hi"), tick(4), tick(4)]


@pytest.mark.parametrize(
    "line",
    [
        b'{"k":"tick","t":' + b"9" * 40 + b',"n":0,"m":[]}',
        b'{"k":"tick","t":1,"n":0,"m":[],"done":-4}',
        b'{"k":"tick","t":1,"n":0,"m":[],"q":[1]}',
        b'{"k":"tick","t":1,"n":0,"m":[],"q":[1,2,' + b"9" * 30 + b"]}",
        b'{"k":"event","t":1,"kind":"x","text":"y","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_numbers_and_depths_that_nothing_real_has_are_skipped(line: bytes) -> None:
    assert frames.decode_lines(line + b"\n" + msgspec.json.encode(tick(1))) == [tick(1)]


def test_a_frame_that_unpacks_to_too_much_is_refused() -> None:
    bomb = zstandard.compress(bytes(frames.TEXT_LIMIT + 1))
    assert len(bomb) < 20_000
    with pytest.raises(ValueError, match="more than"):
        frames.decode_frame(bomb)


def test_records_too_large_for_a_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="bytes of records"):
        frames.encode_frame([event(1, "x" * (frames.TEXT_LIMIT + 1))])


def test_many_false_marks_do_not_stop_the_reader() -> None:
    """Each mark claims all the bytes behind it: checking them all would take hours."""
    false = frames.HEADER.pack(0x184D2A50, 24, b"it", 1, 0, 1 << 20, 0, 0, 1)
    _, scanner = scan(frames.encode_header(header()) + false * 60_000)
    assert scanner.damage is not None


def test_zstd_and_jq_read_a_segment(tmp_path: Path) -> None:
    if not (shutil.which("zstd") and shutil.which("jq")):
        pytest.skip("zstd and jq are not both installed")
    path = tmp_path / "0001.itlog.zst"
    written = batches(8)
    path.write_bytes(segment_bytes(header(), written))
    text = subprocess.run(["zstd", "-dc", str(path)], check=True, capture_output=True).stdout
    query = ["jq", "-c", 'select(.k == "tick") | .n']
    out = subprocess.run(query, input=text, check=True, capture_output=True).stdout
    assert [int(line) for line in out.split()] == list(range(8))
    first = json.loads(text.split(b"\n")[0])
    assert (first["k"], first["format"]) == ("header", "1.0")


def test_a_cut_segment_gives_zstd_all_whole_frames(tmp_path: Path) -> None:
    if not shutil.which("zstd"):
        pytest.skip("zstd is not installed")
    path = tmp_path / "0001.itlog.zst"
    path.write_bytes(segment_bytes(header(), batches(8))[:-5])
    done = subprocess.run(["zstd", "-dc", str(path)], capture_output=True)
    assert done.returncode != 0
    assert done.stdout.count(b'"k":"tick"') == 7


def test_the_standard_library_serves_where_it_can() -> None:
    module = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    assert vars(zstandard)["zstd"].__name__ == module


def test_a_tick_without_requests_is_short() -> None:
    assert len(msgspec.json.encode(Tick(t=1, n=0, m=[None]))) < 45
