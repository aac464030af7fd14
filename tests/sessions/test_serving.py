"""The detached engine: commands, switching, carrying on, and leaving no process behind."""

from __future__ import annotations

import os
import re
import signal
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from infertop.backends.configuration import Configuration
from infertop.sessions.commands import Client
from infertop.sessions.launch import Launched, launch
from infertop.sessions.plan import Task
from infertop.sessions.records import End, Event, Record, Run, Tick
from infertop.sessions.settings import EngineSettings
from infertop.sessions.source import FollowSource
from infertop.sessions.state import SessionState
from infertop.tests.sessions import kit

PATIENCE_S = 20.0


class Watched:
    """An engine under test, followed through its log as any viewer does."""

    def __init__(self, tmp_path: Path, task: Task, **settings: object) -> None:
        self.engine: Launched = launch(
            EngineSettings(sessions_dir=str(tmp_path), interval_s=0.1, task=task, fallback=True, **settings)  # type: ignore[arg-type]
        )
        self.client = Client(self.engine.socket)
        self.source = FollowSource(self.engine.segment)
        self.log: list[Record] = []
        self.process = psutil.Process(self.engine.pid)

    def until(self, wanted: Callable[[Record], bool], after: int = 0) -> Record:
        """The first record after position `after` that is wanted."""
        deadline = time.monotonic() + PATIENCE_S
        position = after
        while time.monotonic() < deadline:
            self.log += self.source.poll()
            for record in self.log[position:]:
                if wanted(record):
                    return record
            position = len(self.log)
            time.sleep(0.02)  # the log is polled, as viewers do
        raise AssertionError(f"not within {PATIENCE_S} s; the log ends with {self.log[-5:]}")

    def phase(self, phase: str, run: int) -> Run:
        record = self.until(lambda r: isinstance(r, Run) and r.phase == phase and r.run == run)
        assert isinstance(record, Run)
        return record

    def answer(self, command: str) -> Event:
        record = self.until(lambda r: isinstance(r, Event) and r.id == command)
        assert isinstance(record, Event)
        return record

    def family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def gone(self, family: list[psutil.Process]) -> bool:
        return not psutil.wait_procs(family, timeout=PATIENCE_S)[1]


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Watched]]:
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])
    made: list[Watched] = []

    def make(task: Task, **settings: object) -> Watched:
        made.append(Watched(tmp_path, task, **settings))
        return made[-1]

    yield make
    for watched in made:
        watched.client.close()
        if watched.process.is_running():
            watched.process.kill()


def test_a_switch_and_back_uses_the_parked_worker_and_the_end_leaves_nothing(
    watch: Callable[..., Watched],
) -> None:
    first = kit.task(requests=None)
    watched = watch(first)
    watched.phase("measure", 1)
    second = kit.task("simulated-two", requests=None).configuration
    sent = watched.client.send("configure", second)
    answer = watched.until(lambda r: isinstance(r, Event) and r.id == sent)
    assert isinstance(answer, Event)
    assert "switching to simulated-two" in answer.text
    assert watched.phase("end", 1).result is not None
    assert watched.phase("measure", 2).cold_start is not None
    watched.client.send("configure", first.configuration)
    assert "loaded already" in watched.phase("start", 3).note
    assert watched.phase("measure", 3).cold_start is None
    family = watched.family()
    assert len(family) == 3, "the engine and two workers"
    watched.client.send("end")
    assert isinstance(watched.until(lambda r: isinstance(r, End)), End)
    assert watched.gone(family)
    assert not watched.engine.socket.exists()


def test_telemetry_is_switched_by_a_command_and_the_run_goes_on(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    for level in ("off", "off", "light"):
        sent = watched.client.telemetry(level)
        assert watched.answer(sent).data["telemetry"] == level
    assert not any(isinstance(r, Run) and r.phase == "end" for r in watched.log)


def test_another_batch_keeps_the_worker(watch: Callable[..., Watched]) -> None:
    task = kit.task(requests=None)
    watched = watch(task)
    watched.phase("measure", 1)
    workers = {p.pid for p in watched.process.children()}
    watched.client.send("configure", kit.task(batch=16, requests=None).configuration)
    measured = watched.phase("warmup", 2)
    assert measured.configuration is not None
    assert measured.configuration.batch == 16
    assert {p.pid for p in watched.process.children()} == workers


def test_what_does_not_fit_is_said_and_the_configuration_before_carries_on(
    watch: Callable[..., Watched],
) -> None:
    watched = watch(kit.task(requests=None, bound=8))
    watched.phase("measure", 1)
    watched.client.send("configure", kit.task(batch=16, requests=None, bound=8).configuration)
    failed = watched.phase("end", 2)
    assert failed.error is not None
    assert failed.error.message == "the batch 16 does not fit"
    resumed = watched.phase("measure", 3)
    start = watched.phase("start", 3)
    assert start.configuration is not None
    assert start.configuration.batch is None
    assert resumed.cold_start is None, "the worker was still there"


NO_CUDNN = (
    "[ONNXRuntimeError] : 9 : Non-zero status code returned while running Conv node. Name:'node_Conv_54' Status Message: cuDNN is unavailable"
    " or disabled for CUDA Execution Provider: dlopen failed for libcudnn.so: libcudnn.so: cannot open shared object file: No such file or"
    " directory"
)


def test_a_backend_that_turns_out_not_to_be_usable_has_the_nearest_measured_in_its_place(
    watch: Callable[..., Watched],
) -> None:
    """Nothing was measured before it. What stands in is no measurement of the other backend, until somebody chooses that."""
    watched = watch(kit.broken(when="run:1", says=NO_CUDNN, requests=None))
    failed = watched.phase("end", 1)
    assert failed.result is not None
    assert failed.result["status"] == "unavailable"
    begun, warm = watched.phase("start", 2), watched.phase("warmup", 2)
    assert begun.configuration is not None
    assert begun.configuration.backend == "onnxruntime-cpu"
    reason = (
        "simulated cannot be used here: libcudnn.so cannot be loaded for node_Conv_54 (Conv);"
        " onnxruntime-cpu was measured instead"
    )
    assert warm.fallback == reason
    watched.phase("measure", 2)
    watched.client.send("again")
    first = watched.phase("end", 2).result
    assert watched.phase("warmup", 3).fallback == reason, "the same once more"
    watched.phase("measure", 3)
    watched.client.send("configure", begun.configuration)
    second = watched.phase("end", 3).result
    for result in (first, second):
        assert result is not None
        assert (result["backend"], result["measured_by"], result["status"]) == (
            "simulated",
            "onnxruntime-cpu",
            "fallback",
        )
        assert result["error"]["message"] == reason
    assert watched.phase("warmup", 4).fallback is None
    watched.phase("measure", 4)
    watched.client.send("stop")
    own = watched.phase("end", 4).result
    assert own is not None
    assert (own["backend"], own["measured_by"], own["status"]) == ("onnxruntime-cpu", None, "ok")


def test_what_was_measured_before_carries_on_rather_than_the_nearest(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task("simulated-async", requests=None))
    watched.phase("measure", 1)
    watched.client.send("configure", kit.broken(when="run:1", says=NO_CUDNN, requests=None).configuration)
    assert watched.phase("end", 2).error is not None
    resumed = watched.phase("start", 3).configuration
    assert resumed is not None
    assert resumed.backend == "simulated-async"
    assert watched.phase("warmup", 3).fallback is None
    assert [r for r in watched.log if isinstance(r, Event) and r.text.endswith("carries on")]


def test_what_a_probe_knows_not_to_be_usable_has_the_nearest_measured_in_its_place(
    watch: Callable[..., Watched],
) -> None:
    asked = kit.task("tensorrt", requests=None)
    watched = watch(replace(asked, configuration=replace(asked.configuration, device="")))
    refused = watched.phase("end", 1)
    assert refused.result is not None
    assert (refused.result["status"], refused.result["device"]) == ("unavailable", "cuda:0")
    fallback = watched.phase("warmup", 2).fallback
    assert fallback is not None
    assert fallback.startswith("tensorrt cannot be used here: ")
    assert fallback.endswith("; onnxruntime-cpu was measured instead")
    (said,) = [r.text for r in watched.log if isinstance(r, Event) and r.text.endswith("in its place")]
    assert said.startswith("onnxruntime-cpu · ")
    assert not [r for r in watched.log if isinstance(r, Event) and r.text.endswith("carries on")]


def test_where_nothing_can_be_used_each_backend_is_tried_once(
    watch: Callable[..., Watched], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runtimes that are installed, and cannot be imported; the model's default backend is not begun again as what carries on."""
    for name in ("onnxruntime", "torch"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(
            "raise ImportError('libcudart.so.13: cannot open shared object file')"
        )
    others = [path for path in os.environ["PYTHONPATH"].split(os.pathsep) if path != str(kit.PLUGIN)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *others]))
    watched = watch(kit.task("onnxruntime-cpu", requests=None))
    results = [watched.phase("end", run).result for run in (1, 2, 3)]
    said = answer(watched, watched.client.send("stop"))
    assert said.text == "nothing was running"
    assert [(r["backend"], r["measured_by"], r["status"]) for r in results if r] == [
        ("onnxruntime-cpu", None, "unavailable"),
        ("onnxruntime-cpu", "torch-eager", "unavailable"),
        ("onnxruntime-cpu", "torch-compile", "unavailable"),
    ]
    assert not [r for r in watched.log if isinstance(r, Run) and r.run > 3]


def test_a_backend_that_is_not_here_is_refused_and_nothing_stops(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    place = len(watched.log)
    sent = watched.client.send("configure", kit.task("no-such-backend", requests=None).configuration)
    answer = watched.until(lambda r: isinstance(r, Event) and r.id == sent)
    assert isinstance(answer, Event)
    assert answer.level == "error"
    assert "no-such-backend" in answer.text
    assert not [r for r in watched.log[place:] if isinstance(r, Run) and r.phase == "end"]


def test_stop_and_start(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    watched.client.send("stop")
    assert watched.phase("end", 1).error is None
    watched.client.send("start")
    watched.phase("measure", 2)


def answer(watched: Watched, command: str) -> Event:
    found = watched.until(lambda r: isinstance(r, Event) and r.id == command)
    assert isinstance(found, Event)
    return found


def test_again_ends_the_present_run_and_measures_the_same_anew(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    said = answer(watched, watched.client.send("again"))
    assert said.text.startswith("measuring simulated · ")
    ended = watched.phase("end", 1)
    assert ended.error is None
    assert ended.result is not None
    assert ended.result["requests"] > 0, "what was measured until then stays"
    assert watched.phase("start", 2).configuration == watched.phase("start", 1).configuration
    assert watched.phase("measure", 2).cold_start is None, "its worker was kept"
    watched.client.send("stop")
    watched.phase("end", 2)
    watched.client.send("again")
    watched.phase("measure", 3)


def test_what_changes_nothing_says_so(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    configuration = watched.phase("measure", 1).configuration or watched.phase("start", 1).configuration
    for said in (
        answer(watched, watched.client.send("start")),
        answer(watched, watched.client.send("cancel")),
        answer(watched, watched.client.send("configure", configuration)),
        answer(watched, watched.client.send("record")),
    ):
        assert said.data["changed"] is False, said.text
    assert not [r for r in watched.log if isinstance(r, Run) and r.phase == "end"]


def test_again_leaves_what_is_being_loaded_alone(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None, fault="hang", when="load"))
    watched.phase("load", 1)
    said = answer(watched, watched.client.send("again"))
    assert "is being loaded already" in said.text
    assert said.data["changed"] is False


def test_cancelling_a_load_goes_on_with_what_was_measured_before(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    watched.client.send(
        "configure", kit.task("simulated-two", requests=None, fault="hang", when="load").configuration
    )
    watched.phase("load", 2)
    said = answer(watched, watched.client.send("cancel"))
    assert "simulated-two" in said.text
    assert "is given up, simulated · " in said.text
    fault = watched.phase("end", 2).error
    assert fault is not None
    assert fault.kind == "stopped"
    assert watched.phase("start", 3).configuration == watched.phase("start", 1).configuration
    assert watched.phase("measure", 3).cold_start is None, "its worker was parked"


def test_what_is_chosen_before_the_backends_are_known_is_measured(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    chosen = kit.task("simulated-two", requests=None).configuration
    watched.client.send("configure", chosen)
    begun = watched.until(
        lambda r: (
            isinstance(r, Run) and r.configuration is not None and r.configuration.backend == chosen.backend
        )
    )
    assert isinstance(begun, Run)
    watched.phase("measure", begun.run)
    assert not [r for r in watched.log if isinstance(r, Event) and r.level == "error"]


def test_cancelling_the_first_load_stops(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None, fault="hang", when="load"))
    watched.phase("load", 1)
    said = answer(watched, watched.client.send("cancel"))
    assert said.data["do"] == "stop"
    watched.phase("end", 1)
    ended = watched.until(lambda r: isinstance(r, Event) and r.kind == "run")
    assert isinstance(ended, Event)
    assert (ended.level, ended.text) == ("info", "simulated: stopped while loading the model")


def test_warm_up_quick_switches_and_ends_of_runs_are_events(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    watched.client.send("again")
    watched.phase("measure", 2)
    said = [r for r in watched.log if isinstance(r, Event)]
    assert any(
        r.kind == "warmup"
        and r.run == 1
        and re.match(r"warm-up ended after \d+ requests and .*: 20 requests", r.text)
        for r in said
    )
    assert any(
        r.kind == "run" and re.match(r"simulated ended: p50 .* ms, .* samples/s, n \d", r.text) for r in said
    )
    assert any(r.run == 2 and re.search(r"was kept loaded, ready in \d", r.text) for r in said)
    assert "ready in" in watched.phase("warmup", 2).note


def test_a_worker_killed_in_the_middle_is_said_within_two_seconds(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    (worker,) = watched.process.children()
    killed = time.monotonic()
    worker.send_signal(signal.SIGKILL)
    end = watched.phase("end", 1)
    assert time.monotonic() - killed < 2
    assert end.error is not None
    assert "SIGKILL while measuring" in end.error.message
    watched.client.send("start")
    watched.phase("measure", 2)


def test_a_switch_while_loading_ends_the_loading_worker(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None, fault="hang", when="load"))
    watched.phase("load", 1)
    watched.client.send("configure", kit.task("simulated-two", requests=None).configuration)
    ended = watched.phase("end", 1)
    assert ended.error is not None
    assert ended.error.kind == "stopped"
    watched.phase("measure", 2)


def test_without_its_viewer_the_engine_ends_with_its_run(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=2000))
    watched.phase("measure", 1)
    family = watched.family()
    watched.client.close()
    end = watched.until(lambda r: isinstance(r, End))
    assert isinstance(end, End)
    assert "nobody was watching" in end.reason
    run = watched.phase("end", 1)
    assert run.result is not None
    assert run.result["requests"] == 2000, "the run was not cut short"
    assert watched.gone(family)


def test_sigterm_ends_the_session_in_order(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    family = watched.family()
    watched.process.terminate()
    end = watched.until(lambda r: isinstance(r, End))
    assert isinstance(end, End)
    assert "SIGTERM" in end.reason
    assert watched.gone(family)


@pytest.mark.parametrize("how", ["end", "sigterm"])
def test_what_was_measured_until_the_session_was_left_is_a_result(
    watch: Callable[..., Watched], how: str
) -> None:
    watched = watch(kit.task(requests=None))
    begun = watched.phase("measure", 1)
    family = watched.family()
    # A tick of the measurement alone: the one in which it began holds requests of the warm-up.
    watched.until(lambda r: isinstance(r, Tick) and r.done > 0 and r.t > begun.t + 200_000_000)
    if how == "end":
        watched.client.send("end")
    else:
        watched.process.send_signal(signal.SIGTERM)
    ended = watched.phase("end", 1)
    assert ended.error is None
    assert ended.result is not None
    assert ended.result["status"] == "ok"
    assert ended.result["requests"] > 0
    watched.until(lambda r: isinstance(r, End))
    assert watched.gone(family)


def test_a_killed_engine_takes_its_worker_with_it(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    family = watched.family()
    assert len(family) == 2
    watched.process.kill()
    assert watched.gone(family)


def test_its_socket_is_for_its_user_alone(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    assert stat.S_IMODE(watched.engine.socket.stat().st_mode) == 0o600
    directory = watched.engine.socket.parent.stat()
    assert stat.S_IMODE(directory.st_mode) == 0o700
    assert directory.st_uid == os.getuid()


def batches(*sizes: int, **options: object) -> list[Configuration]:
    return [kit.task(batch=batch, **options).configuration for batch in sizes]  # type: ignore[arg-type]


def sweeps(watched: Watched) -> list[dict[str, Any]]:
    """What the events of the sweep have said so far."""
    return [r.data for r in watched.log if isinstance(r, Event) and r.kind == "sweep"]


def over(record: Record) -> bool:
    return isinstance(record, Event) and record.kind == "sweep" and bool(record.data.get("over"))


def test_a_sweep_is_told_first_then_measured_and_says_how_far_it_is(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    wanted = batches(1, 2, 4)
    asked = watched.client.sweep(wanted, duration_s=0.5, dry=True)
    told = watched.until(lambda r: isinstance(r, Event) and r.id == asked)
    assert isinstance(told, Event)
    assert (told.kind, told.data["dry"], told.data["total"]) == ("sweep", True, 3)
    assert told.text.startswith("a sweep would measure 3 configurations, about")
    tasks = told.data["tasks"]
    assert sorted(t["text"].split(" · ")[2] for t in tasks) == ["batch 1", "batch 2", "batch 4"]
    assert all(t["seconds"] >= 0.5 for t in tasks)
    assert all(t["whole"] for t in tasks), "the present run has told how long loading takes"

    begun = watched.client.sweep(wanted, duration_s=0.5)
    last = watched.until(over)
    assert isinstance(last, Event)
    said = sweeps(watched)
    assert [(d["done"], d.get("ended")) for d in said[1:]] == [(0, None), (1, 2), (2, 3), (3, 4)]
    assert [r.id for r in watched.log if isinstance(r, Event) and r.kind == "sweep"][1] == begun
    assert last.data["left_s"] == 0
    assert re.match(r"the sweep is done: 3 measured; best: simulated batch \d \(", last.text)
    ends = {r.run: r.result for r in watched.log if isinstance(r, Run) and r.phase == "end" and r.result}
    assert sorted(ends) == [1, 2, 3, 4], "the run before the sweep was stopped for it"
    assert sorted(ends[run]["batch"] for run in (2, 3, 4)) == [1, 2, 4]
    assert all(0.5 <= ends[run]["duration_s"] < 1 for run in (2, 3, 4))
    watched.client.send("start")
    resumed = watched.phase("start", 5)
    assert resumed.configuration is not None
    assert resumed.configuration.batch is None, "what was present before the sweep still is"


def test_a_large_sweep_is_told_by_its_first_tasks_and_its_count(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    told = answer(watched, watched.client.sweep(batches(*range(1, 301)), dry=True))
    assert told.data["total"] == 300
    assert 0 < len(told.data["tasks"]) < 300
    state = SessionState()
    for record in watched.log:
        state.apply(record)
    assert state.view().events[-1].data["left_s"] == told.data["left_s"], "a reader keeps what it carries"


def test_a_sweep_goes_on_past_what_cannot_be_measured(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    watched.client.sweep(batches(1, 16, bound=8), duration_s=0.5)
    watched.until(over)
    ends = [r for r in watched.log if isinstance(r, Run) and r.phase == "end" and r.run in (2, 3)]
    assert sorted(str(r.result["status"]) for r in ends if r.result) == ["failed", "ok"]
    assert len(sweeps(watched)) == 3


def test_stop_ends_a_sweep(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    watched.client.sweep(batches(1, 2, 4), duration_s=60)
    watched.phase("measure", 2)
    watched.client.send("stop")
    last = watched.until(over)
    assert isinstance(last, Event)
    assert last.text == "the sweep ended after 0 of 3 runs: it was stopped"
    watched.phase("end", 2)
    watched.client.send("start")
    assert watched.phase("start", 3).configuration == watched.phase("start", 1).configuration


def test_another_choice_ends_a_sweep_even_where_it_is_being_measured(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    chosen = batches(2)
    watched.client.sweep(chosen, duration_s=60)
    watched.phase("measure", 2)
    watched.client.send("configure", chosen[0])
    watched.until(over)
    watched.phase("measure", 3)
    assert len(sweeps(watched)) == 2


def test_a_second_sweep_and_one_of_nothing_are_refused(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    empty = watched.client.sweep([])
    nothing = watched.until(lambda r: isinstance(r, Event) and r.id == empty)
    unknown = watched.client.sweep([kit.task("no-such-backend").configuration])
    nobody = watched.until(lambda r: isinstance(r, Event) and r.id == unknown)
    watched.client.sweep(batches(1, 2), duration_s=60)
    second = watched.client.sweep(batches(4))
    refused = watched.until(lambda r: isinstance(r, Event) and r.id == second)
    for event, says in (
        (nothing, "nothing to sweep"),
        (nobody, "no-such-backend"),
        (refused, "stop it first"),
    ):
        assert isinstance(event, Event)
        assert event.level == "error"
        assert says in event.text
    assert [d["total"] for d in sweeps(watched)] == [2], "only the one that could be was begun"


def test_without_its_viewer_a_sweep_is_measured_to_its_end(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.phase("measure", 1)
    watched.client.sweep(batches(1, 2), duration_s=0.5)
    watched.phase("start", 2)
    watched.client.close()
    end = watched.until(lambda r: isinstance(r, End))
    assert isinstance(end, End)
    assert "nobody was watching" in end.reason
    assert [d["done"] for d in sweeps(watched)] == [0, 1, 2]


def test_what_is_no_command_is_an_event_and_harms_nothing(watch: Callable[..., Watched]) -> None:
    watched = watch(kit.task(requests=None))
    watched.client._socket.sendall(b'{"do":"fly","id":"1"}\nnonsense\n')
    watched.until(lambda r: isinstance(r, Event) and "no command" in r.text)
    watched.phase("measure", 1)
