"""ONNX Runtime over bound buffers on every data path, against its plain call. The device is a fake over host memory,
the session ONNX Runtime's own on the CPU, so that copies, bindings and stages are real but for their speed."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from infertop.backends import cuda, cuda_words, ort_session
from infertop.backends.backend import Input, StageTimes
from infertop.backends.bound import BoundSteps
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.inputs import generate, make_sets
from infertop.backends.ort_cuda import OnnxRuntimeCuda
from infertop.backends.ort_placement import fallen_back
from infertop.backends.overlapped import Lanes
from infertop.backends.staged import DATA_PATHS, Staged
from infertop.tests.backends import onnx_zoo as zoo
from infertop.tests.backends.fake_cuda import FakeCuda


def bound(
    path: str,
    inputs: list[Input],
    data_path: str,
    sets: int = 3,
    waits: bool = False,
    fake: FakeCuda | None = None,
) -> tuple[FakeCuda, BoundSteps, Staged, Any, Any]:
    fake = fake or FakeCuda()
    device = cuda.Device(cuda.Driver(fake), 0)
    stream = device.stream()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = [generate(inputs, {}, 0, index) for index in range(sets)]
    names = [item.name for item in session.get_outputs()]
    options = onnxruntime.RunOptions()
    at_once = onnxruntime.RunOptions() if waits else None
    steps = BoundSteps(
        session,
        options,
        device,
        Lanes.one(stream),
        inputs,
        names,
        given,
        data_path,
        kind="cpu",
        at_once=at_once,
    )
    return fake, steps, Staged(steps, device, stream), session, given


@pytest.mark.parametrize("data_path", DATA_PATHS)
def test_each_path_gives_what_the_plain_call_gives(data_path: str, tmp_path: Path) -> None:
    path = zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8))
    _, steps, staged, session, given = bound(path, [Input("images", "float32", (2, 3, 8, 8))], data_path)
    for index in (0, 1, 2, 0):
        staged.issue(index, None)
        staged.complete(None)
        np.testing.assert_array_equal(steps.outputs()[0], session.run(None, given[index])[0])


@pytest.mark.parametrize(
    ("data_path", "copies"),
    [("pageable", ["in", "out"]), ("pinned", ["in", "out"]), ("pinned-ready", ["in", "out"]), ("device", [])],
)
def test_each_path_copies_what_its_name_says(data_path: str, copies: list[str], tmp_path: Path) -> None:
    path = zoo.identity(tmp_path / "m.onnx", zoo.FLOAT)
    fake, _, staged, *_ = bound(path, [Input("x", "float32", (2, 4))], data_path)
    fake.copies()
    staged.issue(1, None)
    staged.complete(None)
    assert fake.copies() == copies


@pytest.mark.parametrize("data_path", DATA_PATHS)
def test_stages_of_each_path(data_path: str, tmp_path: Path) -> None:
    path = zoo.images(tmp_path / "m.onnx", ("N", 3, 32, 32))
    _, _, staged, *_ = bound(path, [Input("images", "float32", (4, 3, 32, 32))], data_path)
    times = StageTimes()
    staged.issue(0, times)
    staged.complete(times)
    assert times.compute > 0
    assert times.enqueue > 0
    assert times.host >= 0
    copied = not math.isnan(times.h2d) and not math.isnan(times.d2h)
    assert copied == (data_path != "device")


@pytest.mark.parametrize(
    ("waits", "busy", "times", "waited"),
    [
        (True, False, None, 0),
        (True, False, StageTimes(), 1),  # its events come after the computation
        (True, True, None, 1),  # a runtime that says it waits, and comes back before the GPU is done
        (False, False, None, 1),
    ],
)
def test_a_request_is_waited_for_once(
    waits: bool, busy: bool, times: StageTimes | None, waited: int, tmp_path: Path
) -> None:
    fake = FakeCuda()
    if busy:
        fake.fail["cuStreamQuery"] = cuda_words.NOT_READY
    path = zoo.identity(tmp_path / "m.onnx", zoo.FLOAT)
    _, _, staged, *_ = bound(path, [Input("x", "float32", (2, 4))], "device", waits=waits, fake=fake)
    fake.log.clear()
    staged.issue(0, times)
    staged.complete(times)
    assert fake.log.count("cuStreamSynchronize") == waited


@pytest.mark.parametrize("waits", [True, False])
def test_issuing_is_timed_without_the_runtime_s_own_wait(waits: bool, tmp_path: Path) -> None:
    """With it, enqueue would be as long as compute, and every model look bound by its launches."""
    path = zoo.identity(tmp_path / "m.onnx", zoo.FLOAT)
    _, steps, staged, session, given = bound(path, [Input("x", "float32", (2, 4))], "device", waits=waits)
    used: list[Any] = []

    class Session:
        def run_with_iobinding(self, binding: Any, options: Any) -> None:
            used.append(options)
            session.run_with_iobinding(binding, options)

    steps._session = Session()
    for times in (None, StageTimes(), None):
        staged.issue(1, times)
        staged.complete(times)
        np.testing.assert_array_equal(steps.outputs()[0], given[1]["x"])
    plain, timed, again = used
    assert plain is again
    assert (timed is plain) is not waits


@pytest.mark.parametrize("data_path", DATA_PATHS)
def test_outputs_whose_shape_depends_on_the_input(data_path: str, tmp_path: Path) -> None:
    path = zoo.save(
        tmp_path / "m.onnx", [zoo.node("Greater", ["x", "zero"], ["positive"]), zoo.node("NonZero", ["positive"], ["y"])],
        [zoo.value("x", zoo.FLOAT, "N", 40)], [zoo.value("y", zoo.INT64, 2, None)], [zoo.weight("zero", 1, fill=0)],
    )  # fmt: skip
    _, steps, staged, session, given = bound(path, [Input("x", "float32", (1, 40))], data_path)
    for index in (0, 1, 2, 1):
        staged.issue(index, None)
        staged.complete(None)
        np.testing.assert_array_equal(steps.outputs()[0], session.run(None, given[index])[0])


def test_bfloat16_and_empty_inputs_are_bound(tmp_path: Path) -> None:
    path = zoo.identity(tmp_path / "m.onnx", onnx.TensorProto.BFLOAT16)
    _, steps, staged, _, given = bound(path, [Input("x", "bfloat16", (2, 4))], "pinned")
    staged.issue(2, None)
    staged.complete(None)
    np.testing.assert_array_equal(
        steps.outputs()[0], (given[2]["x"].astype(np.uint32) << 16).view(np.float32)
    )
    assert steps.bytes_out == given[2]["x"].nbytes, "not what it is widened to"
    inputs = [
        Input("input_ids", "int64", (1, 3)), Input("attention_mask", "int64", (1, 3)),
        Input("position_ids", "int64", (1, 3)), Input("past_key", "float32", (1, 1, 0, 8)),
    ]  # fmt: skip
    _, steps, staged, session, given = bound(zoo.decoder(tmp_path / "d.onnx"), inputs, "pageable")
    staged.issue(0, None)
    staged.complete(None)
    np.testing.assert_allclose(steps.outputs()[0], session.run(None, given[0])[0])


class Part:
    def __init__(self, provider: str, operators: list[str]) -> None:
        self.ep_name, self._operators = provider, operators

    def get_nodes(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(op_type=operator) for operator in self._operators]


@pytest.mark.parametrize(
    ("on_cpu", "says"),
    [
        ([], None),
        (["Shape", "Gather", "Concat"], None),
        (
            ["Shape", "NonMaxSuppression", "TopK", "TopK"],
            "3 of 7 nodes run on the CPU (TopK, NonMaxSuppression)",
        ),
    ],
)
def test_work_that_stayed_on_the_cpu_is_named_and_shapes_are_not_work(
    on_cpu: list[str], says: str | None
) -> None:
    session = SimpleNamespace(
        get_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        get_provider_graph_assignment_info=lambda: [
            Part("CUDAExecutionProvider", ["Conv", "Relu", "MatMul"]),
            Part("CPUExecutionProvider", on_cpu),
        ],
    )
    found = fallen_back(session, ort_session.placement(session), None)
    assert (found and found.message) == says
    assert found is None or "onnxruntime-cpu" in found.fix


def test_a_model_that_is_on_the_cpu_as_a_whole_is_there_whatever_its_operators() -> None:
    session = SimpleNamespace(
        get_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        get_provider_graph_assignment_info=lambda: [
            Part("CPUExecutionProvider", ["Gather", "Concat", "Gather"])
        ],
    )
    found = fallen_back(session, ort_session.placement(session), None)
    assert found is not None
    assert found.message == "3 of 3 nodes run on the CPU (Gather, Concat)"


def has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@pytest.mark.skipif(has_driver(), reason="a real CUDA provider would take the fake stream for its own")
def test_a_session_that_fell_back_to_the_cpu_says_so_and_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap itself: the provider's libraries do not load, and onnxruntime goes on on the CPU with a warning."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has no CUDA provider that could fail to load")
    fake = FakeCuda()
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(fake))
    backend = OnnxRuntimeCuda()
    configuration = Configuration("onnxruntime-cuda", "smallcnn", "fp32", batch=2, device="cuda:0")
    loaded = backend.load(configuration, lambda phase: None)
    assert loaded.fallback is not None
    assert loaded.fallback.message.startswith("the CUDA provider did not start (lib")
    assert loaded.placement is not None
    assert set(loaded.placement) == {"CPUExecutionProvider"}
    backend.bind(make_sets(loaded, configuration.options), 1)
    backend.issue(0, 0, StageTimes())
    backend.complete(0, None)
    assert backend.outputs(0)[0].shape == (2, 10)
    backend.close()
    assert (fake.live, fake.streams, fake.contexts) == ({}, set(), 0)


@pytest.mark.parametrize(
    ("fields", "kind", "says"),
    [
        ({"device": "cpu"}, "unsupported", "--device cuda:0"),
        ({"precision": "bf16"}, "unsupported", "bf16"),
        ({"data_path": "pinnned"}, "usage", "pinned-ready"),
    ],
)
def test_what_it_cannot_do_is_said_before_a_gpu_is_looked_for(
    fields: dict[str, str], kind: str, says: str
) -> None:
    given: dict[str, Any] = {"device": "cuda:0"} | fields
    with pytest.raises(MeasureError) as caught:
        OnnxRuntimeCuda().load(
            Configuration("onnxruntime-cuda", "smallcnn", options=Options(), **given), print
        )
    assert caught.value.kind == kind
    assert says in caught.value.message + caught.value.fix
