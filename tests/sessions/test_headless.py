"""`infertop run`'s engine with real workers: what it measures, and what every fault becomes."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from infertop.backends.errors import MeasureError
from infertop.backends.probes import Availability
from infertop.sessions import gates, headless, pareto, result_lines
from infertop.sessions.headless import Measured
from infertop.sessions.prober import probe
from infertop.sessions.records import Event, Run, Tick
from infertop.sessions.results import Result
from infertop.sessions.session import Session
from infertop.telemetry.histogram import Histogram
from infertop.tests.backends import onnx_zoo as zoo
from infertop.tests.sessions import kit
from onnx import TensorProto, helper, numpy_helper

NO_CUDNN = (
    "[ONNXRuntimeError] : 9 : Non-zero status code returned while running Conv node. Name:'node_Conv_54' Status Message: cuDNN is unavailable"
    " or disabled for CUDA Execution Provider: dlopen failed for libcudnn.so: libcudnn.so: cannot open shared object file: No such file or"
    " directory"
)
NO_DRIVER = "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"


@pytest.fixture(autouse=True)
def _plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])


def records(tmp_path: Path, measured: Measured) -> list[object]:
    with Session(tmp_path / measured.session) as session:
        return [record for _, record in session.range(0, session.end + 1)]


def test_the_result_agrees_with_itself_and_with_the_log(tmp_path: Path) -> None:
    measured, said = kit.run(tmp_path, [kit.task(batch=8, latency_us=500, requests=1000)])
    (result,) = measured.results
    assert result["status"] == "ok"
    assert result["error"] is None
    assert result["requests"] == 1000
    assert result["samples"] == 8000
    assert result["throughput"] == pytest.approx(8000 / result["duration_s"])
    assert result["latency_ms"]["p50"] >= 0.5
    assert result["latency_ms"]["p50"] <= result["latency_ms"]["p99"] <= result["latency_ms"]["max"]
    low, high = result["latency_ci95_ms"]["p50"]
    assert low <= result["latency_ms"]["p50"] <= high
    # 1,000 requests bound p99 on both sides, and p99.9 from below only.
    assert result["latency_ci95_ms"]["p99"][1] is not None
    assert result["latency_ci95_ms"]["p99_9"][1] is None
    assert result["cold_start_s"]["import"] is not None
    assert result["cold_start_s"]["first"] >= 0.0005
    assert result["warmup"]["requests"] >= 20
    assert result["dropped"] == 0
    assert result["stage_n"] > 0
    stages = result["stages_ms"]
    assert stages["h2d"] is None
    assert stages["compute"]["mean"] >= 0.5
    assert any("measuring" in p.text for p in said)

    log = records(tmp_path, measured)
    total = Histogram()
    for record in log:
        if isinstance(record, Tick) and record.h and "service" in record.h:
            total.add(Histogram.decode(record.h["service"]))
    assert total.encode() == result["latency_hdr"]
    phases = [r.phase for r in log if isinstance(r, Run)]
    assert phases == ["start", "import", "load", "build", "warmup", "measure", "end"]
    done = sum(r.done for r in log if isinstance(r, Tick))
    assert done == result["requests"] + result["warmup"]["requests"]


def test_what_native_was_is_in_the_result(tmp_path: Path) -> None:
    """A file in halves and one in float32 are not the same measurement under one word."""
    found = []
    for kind, precision in ((onnx.TensorProto.FLOAT16, "native"), (zoo.FLOAT, "native"), (zoo.FLOAT, "fp32")):
        asked = kit.task("onnxruntime-cpu", requests=50)
        model = zoo.dense(tmp_path / f"{kind}.onnx", ("N", 6), kind)
        task = replace(asked, configuration=replace(asked.configuration, model=model, precision=precision))
        (result,) = kit.run(tmp_path, [task])[0].results
        assert result["status"] == "ok"
        found.append((result["native"], "native is fp16 here" in result_lines.lines(result)))
    assert found == [("fp16", True), ("fp32", False), (None, False)]


def test_a_duration_ends_the_run_by_itself(tmp_path: Path) -> None:
    task = kit.task(requests=None, latency_us=1000)
    task = type(task)(task.configuration, warmup="5x", duration_s=0.7)
    (result,) = kit.run(tmp_path, [task])[0].results
    assert 0.7 <= result["duration_s"] < 0.71
    assert result["requests"] <= 700


FAULTS = [
    ("segv", "load", "worker-killed", "SIGSEGV while loading the model"),
    ("segv", "run:60", "worker-killed", "SIGSEGV while"),
    ("kill", "run:60", "worker-killed", "SIGKILL while"),
    ("exit", "build", "worker-ended", "exit code 7 while building the model"),
    ("raise", "import", "runtime-failed", "RuntimeError: the runtime is unwell"),
    ("raise", "run:60", "runtime-failed", "RuntimeError: the runtime is unwell"),
    ("system-exit", "load", "runtime-failed", "SystemExit: the model wants out"),
]


@pytest.mark.parametrize(("fault", "when", "kind", "words"), FAULTS)
def test_a_fault_is_one_sentence_with_the_runtimes_own_output(
    tmp_path: Path, fault: str, when: str, kind: str, words: str
) -> None:
    before = kit.children()
    measured, _ = kit.run(
        tmp_path, [kit.task(fault=fault, when=when, words="its last words"), kit.task(requests=50)]
    )
    failed, after = measured.results
    assert failed["status"] == "failed"
    assert failed["error"]["kind"] == kind
    assert words in failed["error"]["message"]
    assert "\n" not in failed["error"]["message"]
    assert failed["error"]["fix"]
    assert after["status"] == "ok", "the next task is measured all the same"
    ends = [r for r in records(tmp_path, measured) if isinstance(r, Run) and r.phase == "end"]
    assert ends[0].error is not None
    assert "its last words" in ends[0].error.detail
    assert "said by C" in ends[0].error.detail
    assert kit.children() == before


def test_what_cuda_says_ends_the_worker_whoever_lets_it_through(tmp_path: Path) -> None:
    """A lost context: the next task has a worker of its own."""
    lost = kit.task(fault="raise", when="run:60", says="CUDA driver error: device-side assert triggered")
    measured, _ = kit.run(tmp_path, [lost, kit.task(requests=50)])
    failed, after = measured.results
    assert failed["error"]["kind"] == "cuda-fault"
    assert (
        failed["error"]["message"] == "simulated: device-side assert triggered, and the GPU's context is lost"
    )
    assert after["status"] == "ok"
    assert after["cold_start_s"]["import"] is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "Could not load library libcudnn_ops.so.9. Error: libcudnn_ops.so.9: cannot open shared object file: No such file or directory",
            "libcudnn_ops.so.9 cannot be loaded: the runtime aborted while building the model",
        ),
        (
            "Invalid handle. Cannot load symbol cudnnCreate",
            "a part of cuDNN cannot be loaded (Cannot load symbol cudnnCreate): the runtime aborted while building the model",
        ),
    ],
)
def test_a_runtime_that_aborts_for_want_of_a_library_is_said_by_its_last_words(
    words: str, message: str, tmp_path: Path
) -> None:
    """As cuDNN does where one of its own libraries is missing."""
    (result,) = kit.run(tmp_path, [kit.task(fault="abort", when="build", words=words)])[0].results
    assert (result["status"], result["error"]["kind"]) == ("unavailable", "backend-missing")
    assert result["error"]["message"] == message
    assert words in result["error"]["detail"]
    (other,) = kit.run(tmp_path, [kit.task(fault="abort", when="build", words="assertion failed")])[0].results
    assert (other["status"], other["error"]["kind"]) == ("failed", "worker-killed")


@pytest.mark.parametrize("moment", ["load", "first", "warm", "over"])
def test_what_runs_otherwise_than_asked_is_a_fallback_whenever_it_shows(moment: str, tmp_path: Path) -> None:
    measured, _ = kit.run(tmp_path, [kit.task(falls_back=moment)])
    (result,) = measured.results
    assert result["status"] == "fallback"
    assert result["error"] == {
        "kind": "fallback", "message": "it runs otherwise", "fix": "ask for something else", "detail": "as the runtime has it",
    }  # fmt: skip
    assert result["requests"] == 200
    log = records(tmp_path, measured)
    said = [r.text for r in log if isinstance(r, Event) and r.kind == "fault"]
    assert said == ["FALLBACK: it runs otherwise; ask for something else"]
    assert [r.fallback for r in log if isinstance(r, Run) and r.fallback] == ["it runs otherwise"]


def test_what_is_not_proven_lowers_the_grade_with_its_reason(tmp_path: Path) -> None:
    measured, _ = kit.run(tmp_path, [kit.task(unproven="where it runs is unknown")])
    (result,) = measured.results
    assert result["status"] == "ok"
    assert result["stability"] in ("B", "C")
    assert "where it runs is unknown" in result["stability_reasons"]
    assert "where it runs is unknown" in [r.text for r in records(tmp_path, measured) if isinstance(r, Event)]


def test_what_the_runtime_turned_out_to_do_is_told_once_each(tmp_path: Path) -> None:
    measured, _ = kit.run(tmp_path, [kit.task()])
    said = [r.text for r in records(tmp_path, measured) if isinstance(r, Event) and r.kind == "worker"]
    assert said == ["it is simulated", "it tired"]
    assert measured.results[0]["runtime"]["notes"] == ["it is simulated", "it tired"]


def test_a_worker_killed_in_the_middle_keeps_what_it_measured(tmp_path: Path) -> None:
    measured, _ = kit.run(tmp_path, [kit.task(fault="kill", when="run:500", requests=5000, warmup="20x")])
    (result,) = measured.results
    assert result["status"] == "failed"
    assert 0 < result["requests"] < 500
    assert result["latency_ms"]["p50"] is not None


def test_a_worker_that_hangs_while_loading_is_given_up(tmp_path: Path) -> None:
    (result,) = kit.run(tmp_path, [kit.task(fault="hang", when="load")], hang_s=1.0)[0].results
    assert result["error"]["kind"] == "worker-hung"
    assert "while loading the model" in result["error"]["message"]


def test_cycles_that_a_model_makes_are_collected_between_requests(tmp_path: Path) -> None:
    """100 kB a request: without young collections the 3,000 requests would hold 300 MB."""
    measured, _ = kit.run(tmp_path, [kit.task(fault="cycles", latency_us=100, requests=20_000)])
    names = [m.id for m in measured.header.metrics]
    rss = [r.m[names.index("worker.rss")] for r in records(tmp_path, measured) if isinstance(r, Tick)]
    assert max(v for v in rss if v is not None) < 700e6


def test_an_interpreter_that_is_none_ends_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="could not be asked for its backends"):
        kit.run(tmp_path, [kit.task()], environments={"": "/usr/bin/env"})
    with pytest.raises(MeasureError, match="cannot be started: No such file"):
        kit.run(tmp_path, [kit.task()], environments={"": str(tmp_path / "python")})


def test_a_signal_ends_the_run_and_keeps_the_session(tmp_path: Path) -> None:
    threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    begun = time.monotonic()
    measured, _ = kit.run(tmp_path, [kit.task(requests=None), kit.task()])
    assert time.monotonic() - begun < 10
    assert measured.interrupted == signal.SIGTERM
    (stopped,) = measured.results
    assert stopped["complete"] is False
    assert stopped["asked"] == {"duration_s": 60.0, "requests": None}
    assert any(isinstance(r, Run) and r.phase == "end" for r in records(tmp_path, measured))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_what_cannot_be_used_is_refused_or_said_to_be_measured_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tensorrt` without a GPU, with and without `--fallback auto`."""
    asked = kit.task("tensorrt", requests=50)
    asked = replace(asked, configuration=replace(asked.configuration, device="cuda:0", data_path="pinned"))
    (refused,) = kit.run(tmp_path, [asked])[0].results
    assert (refused["status"], refused["error"]["kind"]) == ("unavailable", "backend-missing")
    (result,) = kit.run(tmp_path, [asked], fallback=True)[0].results
    assert (result["backend"], result["measured_by"], result["status"]) == (
        "tensorrt",
        "onnxruntime-cpu",
        "fallback",
    )
    assert (result["device"], result["data_path"], result["requests"]) == ("cpu", "pageable", 50)
    assert "tensorrt cannot be used here" in result["error"]["message"]
    assert (
        "onnxruntime-cpu was measured instead, pageable since it runs on the CPU"
        in result["error"]["message"]
    )
    competes_with_nobody(result)


def competes_with_nobody(result: Result) -> None:
    gate = gates.parse("p50<60s", lambda name: name)
    assert [j.outcome for j in gates.judge([gate], [result])] == ["failed"]
    assert gates.exit_code([result], []) == 3
    assert pareto.point(result) is None


@pytest.mark.parametrize(("when", "says"), [("build", NO_CUDNN), ("run:1", NO_CUDNN), ("load", NO_DRIVER)])
def test_a_backend_that_turns_out_not_to_be_usable_is_unavailable_or_measured_by_another(
    when: str, says: str, tmp_path: Path
) -> None:
    """What the probe cannot know: the run finds it out, at load or in the first request."""
    asked = kit.broken(when=when, says=says)
    after = kit.task(requests=50)
    refused, second = kit.run(tmp_path, [asked, after])[0].results
    assert (refused["backend"], refused["status"], refused["measured_by"]) == (
        "simulated",
        "unavailable",
        None,
    )
    assert second["status"] == "ok"
    competes_with_nobody(refused)

    measured, _ = kit.run(tmp_path, [asked, after], fallback=True)
    result, second = measured.results
    assert (result["backend"], result["measured_by"], result["status"]) == (
        "simulated",
        "onnxruntime-cpu",
        "fallback",
    )
    assert (result["requests"], second["backend"], second["status"]) == (50, "simulated", "ok")
    assert result["error"] == {
        "kind": "fallback",
        "message": f"simulated cannot be used here: {refused['error']['message']}; onnxruntime-cpu was measured instead",
        "fix": refused["error"]["fix"],
        "detail": result["error"]["detail"],
    }
    assert says in result["error"]["detail"]
    competes_with_nobody(result)
    log = records(tmp_path, measured)
    assert [(r.run, r.result["status"]) for r in log if isinstance(r, Run) and r.result] == [
        (1, "unavailable"), (2, "fallback"), (3, "ok"),
    ], "the log has the run that found it out, too"  # fmt: skip
    assert [(r.run, r.fallback) for r in log if isinstance(r, Run) and r.fallback] == [
        (2, result["error"]["message"])
    ]
    assert [r.text for r in log if isinstance(r, Event) and r.kind == "fault"] == [
        f"FALLBACK: {result['error']['message']}; {result['error']['fix']}"
    ]
    (ended,) = [r.text for r in log if isinstance(r, Event) and r.kind == "run" and r.run == 2]
    assert ended.startswith("onnxruntime-cpu ended: p50 "), "what ran, not what was asked for"
    assert ended.endswith(", a fallback for simulated")


def test_what_a_backend_cannot_do_here_is_in_the_log_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def partly(python: str | None) -> list[Availability]:
        return [
            replace(a, warning="no cuDNN", fix="install it") if a.name == "simulated" else a
            for a in probe(python)
        ]

    monkeypatch.setattr(headless, "probe", partly)
    measured, _ = kit.run(tmp_path, [kit.task()])
    assert measured.results[0]["status"] == "ok"
    log = records(tmp_path, measured)
    said = [r for r in log if isinstance(r, Event) and r.kind == "backends"]
    assert [b["warning"] for b in said[0].data["backends"] if b["name"] == "simulated"] == ["no cuDNN"]
    assert [(r.text, r.level) for r in said[1:]] == [("simulated: no cuDNN; install it", "warn")]
    assert log.index(said[1]) < next(i for i, r in enumerate(log) if isinstance(r, Run))


def test_where_nothing_else_can_be_used_either_the_result_is_that_of_the_backend_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        headless,
        "probe",
        lambda python: [a for a in probe(python) if a.name in ("simulated", "simulated-two")],
    )
    asked = kit.broken(says=NO_CUDNN)
    measured, _ = kit.run(tmp_path, [asked], fallback=True)
    (result,) = measured.results
    assert (result["run"], result["backend"], result["status"], result["measured_by"]) == (
        1,
        "simulated",
        "unavailable",
        None,
    )
    assert result["error"]["message"] == "libcudnn.so cannot be loaded for node_Conv_54 (Conv)"
    log = records(tmp_path, measured)
    begun = [
        r.configuration.backend for r in log if isinstance(r, Run) and r.configuration and r.phase == "start"
    ]
    assert begun == ["simulated", "simulated-two"]


def test_a_failure_of_the_run_itself_is_not_replaced(tmp_path: Path) -> None:
    """Neither another fault, nor a library that is missing after something was measured."""
    for when, says, status in (
        ("build", "the runtime is unwell", "failed"),
        ("run:5000", NO_CUDNN, "unavailable"),
    ):
        asked = kit.broken(when=when, says=says, requests=6000)
        (result,) = kit.run(tmp_path, [asked], fallback=True)[0].results
        assert (result["backend"], result["measured_by"], result["status"]) == ("simulated", None, status)
    assert result["requests"] > 0


def test_a_request_that_fails_after_others_is_not_told_to_have_the_wrong_sizes(tmp_path: Path) -> None:
    """The third set's number lies beyond the table; the first two were served."""
    np.savez(tmp_path / "ids.npz", input_ids=np.array([[1], [2], [99]]))
    table = numpy_helper.from_array(np.zeros((10, 4), np.float32), "table")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["y"])],
        "g",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1, 4])],
        [table],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, tmp_path / "m.onnx")
    task = kit.task("onnxruntime-cpu", batch=1)
    given = replace(task.configuration.options, inputs=str(tmp_path / "ids.npz"))
    task = replace(
        task, configuration=replace(task.configuration, model=str(tmp_path / "m.onnx"), options=given)
    )
    measured, _ = kit.run(tmp_path, [task])
    (result,) = measured.results
    assert (result["status"], result["error"]["kind"]) == ("failed", "runtime-failed")
    assert "after requests of the same sizes had succeeded" in result["error"]["message"]
    assert "--input-shape" not in result["error"]["fix"]
