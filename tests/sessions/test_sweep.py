"""Sweeps: interrupted and gone on with, told apart from others, and how long they take."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from infertop.backends.backend_options import fitted
from infertop.backends.errors import MeasureError
from infertop.sessions import sweep
from infertop.sessions.expected import Expected, Taken, earlier
from infertop.sessions.headless import Measured, measure
from infertop.sessions.plan import Plan, Task
from infertop.sessions.records import Event, Run
from infertop.sessions.session import Session
from infertop.sessions.settings import EngineSettings
from infertop.sessions.source import FollowSource
from infertop.telemetry.host import facts
from infertop.tests.sessions import kit

PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def _plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])


def infertop(tmp_path: Path, *words: str, sleep_us: int = 2000) -> subprocess.Popen[str]:
    """`infertop run` of three batches, about a second each."""
    command = [
        sys.executable, "-m", "infertop", "run", "smallcnn", "--backend", "simulated", "--batch", "1,2,4", "--requests", "400", "--warmup", "20x",
        "--interval", "100ms", "--backend-option", f"sleep_us={sleep_us}", "--sessions-dir", str(tmp_path), *words,
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_run(tmp_path: Path, number: int, name: str) -> None:
    """Until that run of the session measures."""
    path, deadline = tmp_path / name / "0001.itlog.zst", time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # another process makes it
    source = FollowSource(path)
    while time.monotonic() < deadline:
        if any(isinstance(r, Run) and (r.run, r.phase) == (number, "measure") for r in source.poll()):
            return
        time.sleep(0.02)  # the log is polled, as viewers do
    raise AssertionError(f"run {number} did not begin within {PATIENCE_S} s")


def runs(path: Path) -> list[tuple[int, int | None]]:
    """The runs of a session in their order: number and batch."""
    with Session(path) as session:
        return [
            (r.run, r.configuration.batch) for _, r in session.runs if r.phase == "start" and r.configuration
        ]


def test_after_sigterm_in_the_middle_a_resumed_sweep_measures_only_the_rest(tmp_path: Path) -> None:
    first = infertop(tmp_path, "--name", "s", "--json", "-")
    wait_for_run(tmp_path, 2, "s")
    first.terminate()
    out, said = first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 128 + signal.SIGTERM
    results = json.loads(out)["results"]
    assert len(results) == 2, "what was measured, the interrupted run included"
    (stopped,) = [r for r in results if not r["complete"]]
    assert (stopped["status"], stopped["pareto"]) == ("ok", False), "half a run says nothing of being best"
    assert stopped["requests"] < stopped["asked"]["requests"] == 400
    assert "the same command with --resume s measures what is left" in said
    begun = runs(tmp_path / "s")
    assert [number for number, _ in begun] == [1, 2]

    preview, said = infertop(tmp_path, "--resume", "s", "--dry-run").communicate(timeout=PATIENCE_S)
    assert preview.splitlines()[:2] == [
        "3 runs of 3 configurations of smallcnn",
        "measured already: 1 of 3",
    ]
    assert not said

    second = infertop(tmp_path, "--resume", "--json", "-")
    out, said = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0
    assert said.startswith("infertop: 1 of 3 runs are measured already, in s\n")
    results = json.loads(out)["results"]
    assert [r["batch"] for r in results] == [1, 2, 4]
    assert [r["requests"] for r in results] == [400, 400, 400]
    again = runs(tmp_path / "s")
    assert [number for number, _ in again] == [1, 2, 3, 4], "numbers go on in the second segment"
    assert again[2][1] == begun[1][1], "the interrupted one is measured again"
    assert {again[0][1], again[2][1], again[3][1]} == {1, 2, 4}, "and the finished one is not"
    assert sorted(r["run"] for r in results) == [1, 3, 4]
    assert (tmp_path / "s" / "0002.itlog.zst").exists()

    third = infertop(tmp_path, "--resume", "s", "--name", "s")  # the very same command, with --resume
    out, said = third.communicate(timeout=PATIENCE_S)
    assert third.returncode == 0
    assert "3 of 3 runs are measured already" in said
    rows = [line.split()[0] for line in out.splitlines()[1:4]]
    assert rows == ["simulated/fp32/1", "simulated/fp32/2", "simulated/fp32/4"]
    assert len(runs(tmp_path / "s")) == 4, "nothing was left to be measured"

    other = infertop(tmp_path, "--resume", "s", sleep_us=1999)
    out, said = other.communicate(timeout=PATIENCE_S)
    assert (other.returncode, out) == (2, "")
    assert "the session s measured another plan than this command's; its command was infertop run" in said
    assert len(said.splitlines()) == 1

    other = infertop(tmp_path, "--resume", "s", "--name", "t")
    out, said = other.communicate(timeout=PATIENCE_S)
    assert (other.returncode, out) == (2, "")
    assert said == "infertop: --resume goes on in the session s, not in t; leave --name out\n"


def go(tmp_path: Path, tasks: list[Task], name: str = "s", **settings: Any) -> Measured:
    chosen = EngineSettings(sessions_dir=str(tmp_path), interval_s=0.1, name=name, **settings)
    return measure(tasks, chosen, lambda _: None)


def plan(tasks: list[Task]) -> Plan:
    return Plan(tuple(task.configuration for task in tasks), tuple(tasks))


def test_what_failed_is_measured_again_and_what_was_measured_is_not(tmp_path: Path) -> None:
    tasks = [kit.task(batch=1, requests=50), kit.task(batch=2, requests=50, fault="raise", when="load")]
    go(tmp_path, tasks)
    resumed = sweep.resume("s", plan(tasks), {}, tmp_path)
    assert [r["batch"] for r in resumed.results] == [1]
    assert [t.configuration.batch for t in resumed.plan.tasks] == [1, 2]
    backwards = sweep.resume("s", plan(tasks[::-1]), {}, tmp_path)
    assert [t.configuration.batch for t in backwards.plan.tasks] == [1, 2], "the measured one is first"


def test_what_stood_in_for_another_backend_is_nobody_s_measurement(tmp_path: Path) -> None:
    asked = kit.broken(says="libcudnn.so: cannot open shared object file: No such file or directory")
    other = replace(asked, configuration=fitted(replace(asked.configuration, backend="onnxruntime-cpu")))
    go(tmp_path, [asked, other], fallback=True)
    resumed = sweep.resume("s", plan([asked, other]), {}, tmp_path)
    assert [(r["backend"], r["status"]) for r in resumed.results] == [("onnxruntime-cpu", "ok")]


def test_repeats_are_told_apart(tmp_path: Path) -> None:
    once = kit.task(requests=50)
    tasks = [once, Task(once.configuration, 1, once.warmup, None, 50)]
    go(tmp_path, tasks)
    resumed = sweep.resume("s", plan(tasks), {}, tmp_path)
    assert [r["run"] for r in resumed.results] == [1, 2]


def test_another_interpreter_is_another_plan(tmp_path: Path) -> None:
    tasks = [kit.task(requests=50)]
    go(tmp_path, tasks)
    with pytest.raises(MeasureError, match="another plan"):
        sweep.resume("s", plan(tasks), {"": sys.executable}, tmp_path)


def test_the_directory_in_which_a_command_is_typed_and_the_cache_make_no_other_plan(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "m.onnx").write_bytes(b"")
    task = kit.task(requests=50)

    def typed(model: str, where: Path, **options: Any) -> Task:
        chosen = replace(task.configuration.options, working_directory=str(where), **options)
        return replace(task, configuration=replace(task.configuration, model=model, options=chosen))

    here, there = typed("m.onnx", folder, cache_directory="/a"), typed("models/m.onnx", tmp_path)
    go(tmp_path / "kept", [here])
    resumed = sweep.resume("s", plan([there]), {}, tmp_path / "kept")
    assert [r["model"] for r in resumed.results] == ["models/m.onnx"]
    digests = {sweep.digest([typed("pkg.models:make", where)], {}) for where in (folder, tmp_path)}
    assert len(digests) == 2, "a factory of that name in another directory is another model"
    assert len({sweep.digest([typed("smallcnn", where)], {}) for where in (folder, tmp_path)}) == 1


@pytest.mark.parametrize("changed", ["m.onnx", "inputs.npz"])
def test_what_was_measured_of_a_file_that_has_changed_is_not_gone_on_with(
    tmp_path: Path, changed: str
) -> None:
    """A table would hold results of two models under one name."""
    for name in ("m.onnx", "inputs.npz"):
        (tmp_path / name).write_bytes(b"")
    task = kit.task(requests=50)
    chosen = replace(task.configuration.options, inputs=str(tmp_path / "inputs.npz"))
    task = replace(
        task,
        configuration=replace(task.configuration, model=str(tmp_path / "m.onnx"), options=chosen),
    )
    course = sweep.Course(sweep.digest([task], {}), [task], Expected())
    assert sweep.files([task]) == course.data()["files"] != ""
    (tmp_path / changed).write_bytes(b"another")
    assert sweep.files([task]) != course.data()["files"]
    assert sweep.digest([task], {}) == course.plan, "it is the same command"


def test_a_resumed_sweep_whose_model_was_written_anew_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"")
    task = kit.task(requests=50)
    task = replace(task, configuration=replace(task.configuration, model=str(model)))
    go(tmp_path / "kept", [task])
    assert len(sweep.resume("s", plan([task]), {}, tmp_path / "kept").results) == 1
    model.write_bytes(b"another")
    with pytest.raises(MeasureError, match="have changed since") as caught:
        sweep.resume("s", plan([task]), {}, tmp_path / "kept")
    assert caught.value.kind == "usage"


def test_a_session_of_another_machine_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [kit.task(requests=50)]
    go(tmp_path, tasks)
    monkeypatch.setattr("infertop.sessions.sweep.facts", lambda: {**facts(), "cpu": "another processor"})
    with pytest.raises(MeasureError, match="measured on another machine"):
        sweep.resume("s", plan(tasks), {}, tmp_path)


def test_a_session_that_does_not_exist_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="there is no session nosuch"):
        sweep.resume("nosuch", plan([kit.task()]), {}, tmp_path)


def test_the_log_says_how_far_it_is(tmp_path: Path) -> None:
    tasks = [kit.task(batch=batch, requests=50) for batch in (1, 2)]
    go(tmp_path, tasks)
    with Session(tmp_path / "s") as session:
        events = [e for _, e in session.events if e.kind == sweep.KIND]
    assert all(isinstance(e, Event) for e in events)
    assert [(e.data["done"], e.data["total"], e.data.get("ended")) for e in events] == [
        (0, 2, None),
        (1, 2, 1),
        (2, 2, 2),
    ]
    assert events[-1].data["left_s"] == 0
    assert events[1].text.startswith("1 of 2 runs done")


def test_earlier_sessions_tell_how_long_loading_and_requests_take(tmp_path: Path) -> None:
    task = kit.task(batch=8, requests=200, sleep_us=1000)
    nothing = earlier(tmp_path, facts()).of(task)
    assert (nothing.seconds, nothing.whole) == (None, False)
    go(tmp_path, [task])
    known = earlier(tmp_path, facts()).of(task)
    assert known.whole
    assert known.seconds is not None
    # 200 requests and a warm-up of 20 at a millisecond each and more, and a worker's start.
    assert 0.25 < known.seconds < 20
    elsewhere = earlier(tmp_path, {**facts(), "cpu": "another processor"}).of(task)
    assert elsewhere.seconds is None


def test_what_is_left_falls_as_the_tasks_are_done() -> None:
    tasks = [Task(kit.task(batch=batch).configuration, warmup="5s", duration_s=10.0) for batch in (1, 2, 4)]
    expected = Expected()
    course = sweep.Course("plan", tasks, expected)
    assert course.left() == 45
    expected.learn(tasks[0].configuration, Taken(load=2.0, warmup=None, rate=None))
    course = sweep.Course("plan", tasks, expected, done=1)
    assert course.left() == 34
    assert course.data() == {"plan": "plan", "files": "", "done": 1, "total": 3, "left_s": 34.0}
    assert course.text() == "1 of 3 runs done, about 34 s left"
    course.begin()
    course.end({"requests": 0, "duration_s": None})
    left = course.left()
    assert left == 17
    course.begin()
    course.end({"requests": 0, "duration_s": None})
    assert (course.left(), course.present) == (0.0, None)


def test_counted_requests_leave_the_rest_unknown_until_one_was_timed() -> None:
    tasks = [kit.task(batch=1), kit.task(batch=1), kit.task(batch=1)]
    course = sweep.Course("plan", tasks, Expected())
    assert course.left() is None
    assert course.text() == "0 of 3 runs done"
    course.begin()
    course.end({"requests": 200, "duration_s": 2.0})
    # Two more of 200 requests, and 20 of warm-up each, at 100 a second.
    assert course.left() == pytest.approx(4.4)


def test_a_sweep_of_a_real_runtime_marks_its_front(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "infertop", "run", "smallcnn", "--backend", "ort-cpu", "--batch", "1,8", "--requests", "100", "--warmup", "20x",
        "--no-record", "--no-agreement", "--sessions-dir", str(tmp_path), "--json", "-",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    results = json.loads(done.stdout)["results"]
    assert [r["status"] for r in results] == ["ok", "ok"]
    quickest = min(results, key=lambda r: float(r["latency_ms"]["p50"]))
    most = max(results, key=lambda r: float(r["throughput"]))
    assert quickest["pareto"] is True
    assert most["pareto"] is True
    assert not list(tmp_path.iterdir()), "nothing is kept"
