"""The writer against real files: what was written before a kill, a full disk or an orderly end is there."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from infertop.sessions import frames
from infertop.sessions.liveness import is_live
from infertop.sessions.records import AnyRecord, End
from infertop.sessions.writer import SegmentWriter
from infertop.tests.sessions.synthetic import event, header, numbers, records_of, scan, tick

if sys.platform == "win32":
    pytest.skip("segments are written on Linux and macOS only", allow_module_level=True)


def read(path: Path) -> tuple[list[AnyRecord], frames.Scanner]:
    found, scanner = scan(path.read_bytes())
    return list(records_of(found)), scanner


def test_each_append_is_a_frame_and_the_end_comes_last(tmp_path: Path) -> None:
    path = tmp_path / "0001.itlog.zst"
    writer = SegmentWriter(path, header())
    batches: list[list[AnyRecord]] = [[event(n), tick(n)] for n in range(50)]
    for batch in batches:
        writer.append(batch)
    end = End(t=99, reason="quit", next="0002.itlog.zst")
    writer.close(end)
    found, scanner = scan(path.read_bytes())
    assert len(found) == 52
    assert list(records_of(found)) == [header(), *(r for b in batches for r in b), end]
    assert scanner.gaps == []
    assert writer.failure is None
    assert writer.dropped == 0
    assert writer.size == path.stat().st_size


def test_the_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "0001.itlog.zst"
    writer = SegmentWriter(path, header())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        SegmentWriter(path, header())
    writer.close()
    assert read(path)[0] == [header()]


def test_the_segment_is_live_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "0001.itlog.zst"
    writer = SegmentWriter(path, header())
    assert is_live(path)
    writer.close()
    assert not is_live(path)


def test_a_place_that_cannot_be_written_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        SegmentWriter(tmp_path / "absent" / "0001.itlog.zst", header())


def test_a_slow_disk_never_blocks_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = threading.Event(), threading.Event()
    real = os.write

    def slow(descriptor: int, data: bytes) -> int:
        if threading.current_thread().name == "segment-writer":
            entered.set()
            go_on.wait()
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", slow)
    path = tmp_path / "0001.itlog.zst"
    writer = SegmentWriter(path, header(), capacity=4)
    writer.append([tick(0)])
    entered.wait()  # the thread holds the first frame, the queue is empty
    for n in range(1, 10):
        writer.append([tick(n)])
    assert writer.dropped == 5
    go_on.set()
    writer.close()
    assert numbers(read(path)[0]) == [0, 1, 2, 3, 4]


FULL = """
import resource, sys
from pathlib import Path
from infertop.sessions.writer import SegmentWriter
from infertop.sessions.records import End
from infertop.tests.sessions.synthetic import header, tick
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
writer = SegmentWriter(path, header())
for n in range(200):
    writer.append([tick(n, metrics=50)])
resource.setrlimit(resource.RLIMIT_FSIZE, (sys.maxsize, resource.getrlimit(resource.RLIMIT_FSIZE)[1])) if len(sys.argv) > 2 else None
writer.close(End(t=1, reason="disk full", next="/run/0002.itlog.zst"))
print(type(writer.failure).__name__, writer.failure.errno, writer.dropped, writer.size)
"""


def test_a_full_disk_leaves_whole_frames_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "0001.itlog.zst"
    out = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True
    ).stdout.split()
    records, scanner = read(path)
    ticks = numbers(records)
    assert out[0] == "OSError"
    assert int(out[3]) == path.stat().st_size <= 6000
    assert ticks == list(range(len(ticks)))
    assert 0 < len(ticks) < 200
    assert int(out[2]) + len(records) - 1 >= 200, "what was not written was counted"
    assert scanner.fed == scanner.settled, "no part of a frame is left behind"


def test_a_disk_full_at_the_header_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        SegmentWriter(tmp_path / "0001.itlog.zst", header())
    assert list(tmp_path.iterdir()) == []


STREAM = """
import sys
from pathlib import Path
from infertop.sessions.writer import SegmentWriter
from infertop.tests.sessions.synthetic import header, tick
writer = SegmentWriter(Path(sys.argv[1]), header())
n = 0
while True:
    before = writer.size
    writer.append([tick(n, metrics=30)])
    while writer.size == before:
        pass
    print(n, flush=True)
    n += 1
"""


@pytest.mark.parametrize("seed", range(4))
def test_sigkill_loses_nothing_that_was_written(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "0001.itlog.zst"
    child = subprocess.Popen(
        [sys.executable, "-c", STREAM, str(path)], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert child.stdout is not None
    for _ in range(random.Random(seed).randrange(1, 120)):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    said = [int(line) for line in child.stdout.read().split()]
    child.wait()
    records, scanner = read(path)
    assert numbers(records) == list(range(len(records) - 1))
    assert not said or len(records) - 1 >= said[-1] + 1
    assert scanner.gaps == []
    assert not is_live(path)
