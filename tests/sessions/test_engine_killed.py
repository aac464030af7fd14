"""SIGKILL of the engine at any moment: what was written is read back whole, by our reader and by plain zstd."""

from __future__ import annotations

import json
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest
from infertop.sessions.launch import Launched, launch
from infertop.sessions.records import End, Tick
from infertop.sessions.session import Session
from infertop.sessions.settings import EngineSettings
from infertop.tests.sessions import kit

KILLS = 50
AT_ONCE = 10
LONGEST_S = 1.5


def start(tmp_path: Path, number: int) -> Launched:
    task = kit.task(requests=None, warmup="50x", latency_us=2000)
    return launch(
        EngineSettings(
            sessions_dir=str(tmp_path), interval_s=0.1, name=f"killed-{number}", task=task, stay=True
        )
    )


def test_what_was_written_before_a_sigkill_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])
    moments = random.Random(7)
    for round_ in range(KILLS // AT_ONCE):
        with ThreadPoolExecutor(AT_ONCE) as starting:
            engines = list(
                starting.map(partial(start, tmp_path), range(round_ * AT_ONCE, (round_ + 1) * AT_ONCE))
            )
        processes = [psutil.Process(engine.pid) for engine in engines]
        families = [[p, *p.children(recursive=True)] for p in processes]
        for process in processes:
            time.sleep(moments.uniform(0, LONGEST_S / AT_ONCE))  # the moment of the kill is what is tried
            families.append(process.children(recursive=True))
            process.kill()
        _, alive = psutil.wait_procs([p for family in families for p in family], timeout=20)
        assert not alive, "a killed engine takes its workers with it"
        for engine in engines:
            check(engine.segment)


def check(path: Path) -> None:
    with Session(path.parent) as session:
        assert session.damaged == 0
        records = [record for _, record in session.range(0, session.end + 1)]
        assert session.header is not None
    assert not any(isinstance(record, End) for record in records)
    ticks = [record.n for record in records if isinstance(record, Tick)]
    assert ticks == list(range(len(ticks)))
    plain = subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=False).stdout
    assert [json.loads(line)["k"] for line in plain.splitlines()].count("tick") == len(ticks)
    assert len(plain.splitlines()) == len(records) + 1, "every whole frame, and the header"
