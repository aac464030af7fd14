"""Options of the CUDA provider, the copies it adds, CUDA graphs over bound buffers, and the control beside the steps."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest
from infertop.backends import control, cuda, loads, ort_cuda, ort_options, ort_placement, ort_session
from infertop.backends.backend import Input
from infertop.backends.bound import BoundSteps
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.inputs import generate, make_sets
from infertop.backends.ort_model import OrtModel
from infertop.backends.overlapped import Lanes
from infertop.tests.backends import onnx_zoo as zoo
from infertop.tests.backends.fake_cuda import FakeCuda


def test_values_are_spelled_as_the_provider_has_them() -> None:
    asked = {
        "cudnn_conv_algo_search": "heuristic", "prefer_nhwc": "true", "use_tf32": "0", "arena_extend_strategy": "ksameasrequested",
        "gpu_mem_limit": "1000", "session.disable_prepacking": "1",
    }  # fmt: skip
    assert ort_options.checked(asked, "native") == {
        "cudnn_conv_algo_search": "HEURISTIC", "prefer_nhwc": "1", "use_tf32": "0", "arena_extend_strategy": "kSameAsRequested",
        "gpu_mem_limit": "1000",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "precision", "says"),
    [
        ("cudnn_conv_algo_search", "FAST", "native", "use one of EXHAUSTIVE, HEURISTIC, DEFAULT"),
        ("prefer_nhwc", "yes", "native", "use one of 1, 0, true, false"),
        ("gpu_mem_limit", "4GB", "native", "gpu_mem_limit=1000000000"),
        ("use_tf32", "1", "fp32", "use --precision tf32 or fp32 without it"),
    ],
)
def test_wrong_values_are_said(key: str, value: str, precision: str, says: str) -> None:
    with pytest.raises(MeasureError) as caught:
        ort_options.checked({key: value}, precision)
    assert caught.value.kind == "usage"
    assert says in caught.value.fix


def test_a_misspelled_option_is_answered_with_the_nearest() -> None:
    with pytest.raises(MeasureError) as caught:
        ort_session.session_options(onnxruntime, {"cudnn_conv_algo_serch": "1"}, None, ort_options.NAMES)
    assert caught.value.fix == "did you mean cudnn_conv_algo_search?"


def test_every_option_is_one_that_the_installed_provider_knows() -> None:
    library = Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    if not library.is_file():
        pytest.skip("this onnxruntime has no CUDA provider")
    text = library.read_bytes()
    assert [name for name in ort_options.NAMES if name.encode() not in text] == []


def test_a_model_that_cannot_be_captured_is_said(tmp_path: Path) -> None:
    said = "This session cannot use the graph capture feature as requested by the user as the model has control flow nodes"
    error = ort_session._refused(onnxruntime, SimpleNamespace(name="m.onnx"), RuntimeError(said))  # type: ignore[arg-type]
    assert error.kind == "unsupported"
    assert "cannot be replayed as a CUDA graph" in error.message
    assert error.detail == said


def test_copies_between_providers_are_read_from_the_warnings() -> None:
    """What is written to descriptor 2 before does not count, and nothing of it is lost."""
    before = os.dup(2)
    with tempfile.TemporaryFile(mode="a+b") as file:
        os.dup2(file.fileno(), 2)
        try:
            os.write(2, b"[W] 7 Memcpy nodes are added to the graph main_graph\n")
            begun = ort_placement.written()
            os.write(2, b"[W] 2 Memcpy nodes are added to the graph main_graph for CUDAExecutionProvider.\n")
            os.write(2, b"[W] 1 Memcpy nodes are added to the graph body for CUDAExecutionProvider.\n")
            assert ort_placement.copy_nodes(ort_placement.printed(begun)) == 3
            assert ort_placement.copy_nodes(ort_placement.printed(ort_placement.written())) == 0
        finally:
            os.dup2(before, 2)
            os.close(before)
    assert ort_placement.copy_nodes(ort_placement.printed(None)) is None


class Recording:
    """A session that notes with which run options each binding ran."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.ran: list[tuple[int, str]] = []

    def io_binding(self) -> Any:
        return self._session.io_binding()

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self.ran.append((id(binding), options.get_run_config_entry("gpu_graph_id")))
        self._session.run_with_iobinding(binding, options)


def run_options(graph: str) -> Any:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", graph)
    return options


def replayed(path: str, inputs: list[Input], data_path: str) -> tuple[Recording, BoundSteps]:
    device = cuda.Device(cuda.Driver(FakeCuda()), 0)
    session = Recording(onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]))
    sets = [generate(inputs, {}, 0, index) for index in range(3)]
    replays = [run_options(str(1 + n)) for n in range(3 if data_path == "device" else 1)]
    steps = BoundSteps(
        session, run_options("-1"), device, Lanes.one(device.stream()), inputs, ["y"], sets, data_path, kind="cpu", replays=replays
    )  # fmt: skip
    return session, steps


def test_a_graph_is_recorded_for_each_set_of_buffers_and_none_while_they_are_tried(tmp_path: Path) -> None:
    path = zoo.identity(tmp_path / "m.onnx", zoo.FLOAT)
    for data_path, graphs in (("pageable", ["1", "1", "1"]), ("device", ["1", "2", "3"])):
        session, steps = replayed(path, [Input("x", "float32", (2, 4))], data_path)
        assert {graph for _, graph in session.ran} == {"-1"}
        session.ran.clear()
        for index in range(3):
            steps.compute(index)
        assert [graph for _, graph in session.ran] == graphs
        # The same buffers always replay the same graph.
        assert len(set(session.ran)) == len(set(graphs))


def test_outputs_whose_size_follows_the_input_cannot_be_replayed(tmp_path: Path) -> None:
    path = zoo.save(
        tmp_path / "m.onnx", [zoo.node("NonZero", ["x"], ["y"])], [zoo.value("x", zoo.INT64, "N", 6)], [zoo.value("y", zoo.INT64, 2, None)]
    )  # fmt: skip
    with pytest.raises(MeasureError, match="which a CUDA graph cannot follow"):
        replayed(path, [Input("x", "int64", (2, 6))], "pageable")


class OnTheGpu(ort_cuda.OnnxRuntimeCuda):
    """A session on the CPU that passes for the GPU's."""

    def _create(self, configuration: Configuration) -> Any:
        options = ort_session.session_options(onnxruntime, {}, 1)
        return onnxruntime.InferenceSession(
            self._model.file.path, options, providers=["CPUExecutionProvider"]
        )

    def _on_gpu(self) -> bool:
        return True


def test_the_plain_call_is_timed_beside_pageable_requests_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(FakeCuda()))
    monkeypatch.setattr(ort_cuda, "BoundSteps", functools.partial(BoundSteps, kind="cpu"))
    monkeypatch.setattr(ort_cuda, "fallen_back", lambda session, placement, said: None)
    monkeypatch.setattr(control, "SECONDS", 0.01)
    backend = OnTheGpu()
    found: dict[str, Any] = {}
    for path, load in (
        ("pageable", "closed:1"),
        ("pinned", "closed:1"),
        ("pageable", "closed:2"),
        ("device", "closed:1"),
    ):
        configuration = Configuration(
            "onnxruntime-cuda", "smallcnn", "fp32", batch=2, device="cuda:0", data_path=path, load=load
        )
        loaded = backend.load(configuration, lambda phase: None)
        backend.bind(make_sets(loaded, configuration.options), loads.parse(load).slots)
        found[f"{path} {load}"] = backend.control() if backend.controllable() else None
        # Onnxruntime's own wait is left to it where nothing else follows.
        assert (backend._steps[0].begin is not None) == ((path, load) == ("device", "closed:1"))
        # Looked up at each request; absent it costs an exception.
        assert {o.get_run_config_entry("gpu_graph_id") for o in backend._steps[0]._options} == {"-1"}
    first = found.pop("pageable closed:1")
    assert first["p50_ms"] > 0
    assert first["interval"][0] <= first["difference"] <= first["interval"][1]
    assert set(found.values()) == {None}
    backend.close()


def test_what_is_quantised_is_said_to_be_computed_in_float(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(FakeCuda()))
    monkeypatch.setattr(ort_cuda, "fallen_back", lambda session, placement, said: None)
    whole = OrtModel()
    whole.open(
        Configuration("onnxruntime-cpu", "smallcnn", "int8", options=Options(cache_directory=str(tmp_path))),
        None,
        print,
    )
    for path, notes in (("smallcnn", 0), (whole.file.path, 1)):
        backend = OnTheGpu()
        loaded = backend.load(Configuration("onnxruntime-cuda", path, device="cuda:0"), lambda phase: None)
        assert len(loaded.runtime["notes"]) == notes
        assert all("computes in float" in note for note in loaded.runtime["notes"])
        backend.close()
    with pytest.raises(MeasureError, match="has no 8-bit kernels"):
        OnTheGpu().load(Configuration("onnxruntime-cuda", whole.file.path, "int8", device="cuda:0"), print)


@pytest.mark.parametrize(("precision", "has", "refused"), [
    ("fp32", "0", False), ("fp32", "1", True), ("tf32", "0", True), ("native", "1", False), ("fp16", "1", False),
])  # fmt: skip
def test_tf32_is_what_the_session_says_that_it_has(
    precision: str, has: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(FakeCuda()))
    monkeypatch.setattr(ort_cuda, "fallen_back", lambda session, placement, said: None)
    monkeypatch.setattr(OnTheGpu, "_settings", lambda self: {"provider_options": {"use_tf32": has}})
    backend = OnTheGpu()
    configuration = Configuration("onnxruntime-cuda", "smallcnn", precision, device="cuda:0")
    if not refused:
        notes = backend.load(configuration, lambda phase: None).runtime["notes"]
        assert [note for note in notes if note.startswith("TF32 is off")] == notes
        assert bool(notes) is (precision == "fp32")
    else:
        with pytest.raises(
            MeasureError, match=f"has use_tf32={has} though {precision} was asked for"
        ) as caught:
            backend.load(configuration, lambda phase: None)
        assert caught.value.kind == "unsupported"
    backend.close()


def test_an_option_that_an_older_provider_lacks_is_named() -> None:
    said = '[ONNXRuntimeError] : 1 : FAIL : provider_options_utils.h:151 Parse Unknown provider option: "use_tf32".'
    error = ort_session._refused(onnxruntime, SimpleNamespace(name="m.onnx"), RuntimeError(said))  # type: ignore[arg-type]
    assert error.kind == "unsupported"
    assert "does not know the option use_tf32" in error.message


class Clock:
    """Time that only requests take."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.mark.parametrize(
    ("plain_us", "steps_us", "marked"),
    [(1000, 1000, False), (1000, 1030, False), (1000, 1100, True), (1000, 900, True)],
)
def test_the_control_marks_a_split_that_costs_more_than_5_percent(
    plain_us: int, steps_us: int, marked: bool
) -> None:
    clock = Clock()
    seen: set[int] = set()

    def plain(index: int) -> None:
        seen.add(index)
        clock.now += plain_us * 1000

    def steps(index: int) -> None:
        clock.now += steps_us * 1000

    found = control.compare(plain, steps, 8, clock)
    assert found["p50_ms"] == plain_us / 1000
    assert found["steps_p50_ms"] == steps_us / 1000
    assert found["difference"] == pytest.approx(steps_us / plain_us - 1)
    assert found["marked"] is marked
    assert seen == set(range(8))
    assert clock.now >= 4e9


def test_a_difference_that_comes_and_goes_is_not_marked() -> None:
    clock, count = Clock(), [0]

    def plain(index: int) -> None:
        clock.now += 1_000_000

    def steps(index: int) -> None:
        count[0] += 1
        clock.now += 1_200_000 if count[0] > 400 else 900_000

    found = control.compare(plain, steps, 4, clock)
    low, high = found["interval"]
    assert low < 0 < high
    assert found["marked"] is False
