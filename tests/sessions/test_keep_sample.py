"""A kept sample is the session, with shorter waits and without the machine's own names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from infertop.sessions.records import AnyRecord, Clock, End, Key, Run, Tick
from infertop.sessions.session import Session
from infertop.tests.sessions import keep_sample, synthetic
from infertop.tests.sessions.synthetic import INTERVAL, SECOND

LOADS = (20, 2)  # s of the two runs


def recorded(path: Path) -> int:
    """Two runs, of which the first loads for 20 s, each measured for 2 s; how many ticks measure."""
    batches: list[list[AnyRecord]] = []
    t = n = measured = 0
    for run, seconds in enumerate(LOADS, 1):
        options = replace(synthetic.configuration().options, working_directory="/home/somebody")
        begun = synthetic.configuration(options=options)
        batches += [
            [synthetic.start(run, t, configuration=begun)],
            [Run(t=t + SECOND, run=run, phase="load")],
        ]
        if run == 1:
            batches.append([Run(t=t + 10 * SECOND, run=run, phase="build", progress=0.5)])
        for _ in range(4 * seconds):
            t, n = t + INTERVAL, n + 1
            batches.append([synthetic.tick(n, t, run=run)])
        batches.append([Run(t=t, run=run, phase="warmup")])
        batches.append([Run(t=t + 1, run=run, phase="measure")])
        for _ in range(8):
            t, n, measured = t + INTERVAL, n + 1, measured + 1
            batches.append([synthetic.tick(n, t, run=run, done=10, q=[1, 2, 3])])
        clock = Clock(5_000 * SECOND + t, synthetic.UNIX + t)
        opened = Run(t=t - 8 * INTERVAL, run=run, phase="measure")
        batches.append(
            [Key(t=t, run=run, phase="measure", clock=clock, start=t - 8 * INTERVAL, last=t, opened=opened)]
        )
        batches.append([Run(t=t + 2, run=run, phase="end", result={"status": "ok"})])
    batches.append([End(t=t + 3, reason="all was measured")])
    batches.sort(key=lambda batch: batch[0].t)  # type: ignore[union-attr]
    synthetic.write_segment(path, synthetic.header(command=["infertop", "run", "m"]), batches)
    return measured


def test_the_middle_of_each_long_phase_of_loading_is_taken_out_and_said(tmp_path: Path) -> None:
    measured = recorded(tmp_path / "whole" / "0001.itlog.zst")
    keep_sample.keep(tmp_path / "whole" / "0001.itlog.zst", tmp_path / "kept" / "0001.itlog.zst", "kept")
    with Session(tmp_path / "whole") as whole, Session(tmp_path / "kept") as kept:
        assert whole.end - kept.end == 19.5 * SECOND
        records = [(t, record) for t, record in kept.range(0, kept.end + 1)]
        assert [t for t, _ in records] == sorted(t for t, _ in records)
        assert [(r.run, r.phase) for _, r in kept.runs] == [(r.run, r.phase) for _, r in whole.runs]
        assert sum(r.done for _, r in records if isinstance(r, Tick)) == 10 * measured
        spans = [
            next(t for t, r in kept.runs if (r.run, r.phase) == (run, "warmup"))
            - next(t for t, r in kept.runs if (r.run, r.phase) == (run, "start"))
            for run in (1, 2)
        ]
        assert [round(span / SECOND, 3) for span in spans] == [1.5, 1.0]
        said = [event.text for _, event in kept.events if event.kind == "recording"]
        assert said == [f"{s} s of loading are left out of this recording" for s in (18.5, 1.0)]
        (key, later) = [r for _, r in records if isinstance(r, Key)]
        assert key.start == 1.5 * SECOND
        assert key.clock.monotonic - 5_000 * SECOND == key.t
        assert later.opened is not None
        assert later.opened.t == later.start
        configured = next(r.configuration for _, r in kept.runs if r.configuration)
        assert configured.options.working_directory == "."
        assert kept.header is not None
        assert kept.header.session == "kept"


def test_a_session_without_long_loads_keeps_every_record(tmp_path: Path) -> None:
    head, path = synthetic.header(), tmp_path / "whole" / "0001.itlog.zst"
    batches: list[list[AnyRecord]] = [
        [synthetic.start(1, 1)], [synthetic.tick(1)], [Run(t=SECOND // 2, run=1, phase="warmup")], [synthetic.tick(11)],
    ]  # fmt: skip
    synthetic.write_segment(path, head, batches)
    keep_sample.keep(path, tmp_path / "kept" / path.name, "kept")
    with Session(tmp_path / "kept") as kept:
        assert [[record] for _, record in kept.range(0, kept.end + 1)] == batches


def test_the_command_is_one_that_can_be_typed() -> None:
    typed = [
        "infertop", "run", "/home/a/models/m.onnx", "--python", "old=/opt/venv/bin/python", "--load", "poisson:200/s", "--sessions-dir", "/tmp/x",
        "--gate", "ort-cpu/fp32: throughput>1000/s", "--json", "out.json", "--name=mine", "--inputs", "~/in/x.npz", "--batch", "32",
    ]  # fmt: skip
    assert keep_sample.command(typed) == [
        "infertop", "run", "m.onnx", "--python", "old=python", "--load", "poisson:200/s", "--gate", "ort-cpu/fp32: throughput>1000/s",
        "--inputs", "x.npz", "--batch", "32",
    ]  # fmt: skip
