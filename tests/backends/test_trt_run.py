"""TensorRT's run loop: engines from the real builder, on every data path. What would execute them is a fake over host memory."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from infertop.backends import cuda, trt_bindings
from infertop.backends.backend import StageTimes
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.inputs import make_sets
from infertop.backends.staged import DATA_PATHS
from infertop.backends.trt_backend import TensorRt, TensorRtRtx
from infertop.tests.backends import onnx_zoo as zoo
from infertop.tests.backends.fake_trt import FakeTensorRt, GraphCuda

RTX = pytest.importorskip(
    "tensorrt_rtx_bindings", reason="TensorRT-RTX's wheels exist for Linux on x86-64 only"
)


class Rig:
    """A backend over the fakes, with ONNX Runtime's own answers beside it."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, path: str, capability: tuple[int, int] = (8, 9)
    ) -> None:
        self.cuda = GraphCuda(capability)
        self.trt = FakeTensorRt(RTX, self.cuda, path)
        monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(self.cuda))
        monkeypatch.setattr(trt_bindings, "load", lambda flavour: self.trt)
        self.backend: TensorRt = TensorRtRtx()
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.phases: list[str] = []

    def load(self, configuration: Configuration, slots: int = 1) -> Any:
        loaded = self.backend.load(configuration, self.phases.append)
        self.sets = make_sets(loaded, configuration.options)
        self.backend.bind(self.sets, slots)
        return loaded

    def check(self, index: int, slot: int = 0) -> None:
        self.backend.issue(slot, index, None)
        self.backend.complete(slot, None)
        self.compare(index, slot)

    def compare(self, index: int, slot: int = 0) -> None:
        expected = self.session.run(None, self.sets[index])
        for found, wanted in zip(self.backend.outputs(slot), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def images(tmp_path: Path) -> str:
    return zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8))


def asked(path: str, **fields: Any) -> Configuration:
    return Configuration("tensorrt-rtx", path, batch=2, device="cuda:0", **fields)


@pytest.mark.parametrize("graph", ["0", "1"])
@pytest.mark.parametrize("data_path", DATA_PATHS)
def test_each_path_gives_what_the_model_gives(
    data_path: str, graph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = images(tmp_path)
    rig = Rig(monkeypatch, path)
    options = Options(backend_options={"cuda_graph": graph})
    rig.load(asked(path, data_path=data_path, options=options))
    rig.cuda.copies()
    for index in (0, 1, 2, 0):
        rig.backend.issue(0, index, None)
        rig.backend.complete(0, None)
        assert rig.cuda.log.count("cuGraphLaunch") == int(graph)
        assert rig.cuda.copies() == ([] if data_path == "device" else ["in", "out"])
        rig.compare(index)
        rig.cuda.copies()
    times = StageTimes()
    rig.backend.issue(0, 1, times)
    rig.backend.complete(0, times)
    assert times.compute > 0
    assert math.isnan(times.h2d) == (data_path == "device")
    rig.backend.close()
    assert (rig.cuda.live, rig.cuda.streams, rig.cuda.events, rig.cuda.graphs, rig.cuda.contexts) == (
        {},
        set(),
        {},
        {},
        0,
    )


@pytest.mark.parametrize(("load", "streams"), [("closed:3", 3), ("pipelined:3", 4), ("pipelined:2", 4)])
def test_requests_in_flight_have_buffers_of_their_own(
    load: str, streams: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = images(tmp_path)
    rig = Rig(monkeypatch, path)
    slots = int(load[-1])
    rig.load(asked(path, data_path="pinned", load=load), slots=slots)
    assert len(rig.cuda.streams) == streams
    for slot in range(slots):
        rig.backend.issue(slot, slot, None)
    for slot in range(slots):
        rig.backend.complete(slot, None)
    for slot in range(slots):
        rig.compare(slot, slot)
    assert len(rig.trt.engines[0].contexts) == slots


def test_an_engine_is_kept_until_something_that_it_depends_on_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = images(tmp_path)
    rig = Rig(monkeypatch, path)
    options = Options(cache_directory=str(tmp_path / "cache"))
    first = asked(path, options=options)
    assert rig.load(first).cache == "miss"
    assert rig.phases == ["load", "build", "build"]
    rig.load(replace(first, data_path="device"))
    assert len(rig.trt.engines) == 1, "another data path takes the engine and its context as they are"
    assert len(rig.trt.engines[0].contexts) == 1
    assert rig.load(replace(first, batch=3)).cache == "miss"
    assert rig.load(first).cache == "hit"
    assert len(rig.trt.engines) == 3
    rig.check(1)
    strategy = rig.trt.engines[0].contexts[0].config.dynamic_shapes_kernel_specialization_strategy
    assert strategy == RTX.DynamicShapesKernelSpecializationStrategy.EAGER, (
        "no kernel may be swapped in mid-run"
    )


def test_kernels_that_were_compiled_on_this_gpu_are_kept_after_the_first_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = images(tmp_path)
    first = Rig(monkeypatch, path)
    asking = asked(path, options=Options(cache_directory=str(tmp_path / "cache")))
    first.load(asking)
    folder = tmp_path / "cache" / "engines"
    assert list(folder.glob("*.kernels")) == []
    first.check(0)
    assert [kept.read_bytes() for kept in folder.glob("*.kernels")] == [b"kernels"]
    second = Rig(monkeypatch, path)
    second.load(asking)
    assert second.trt.engines[0].contexts[0].config.cache.blob == b"kernels"


def test_a_context_that_cannot_be_captured_is_not_replaced_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = images(tmp_path)
    rig = Rig(monkeypatch, path)
    rig.trt.capturable = False
    with pytest.raises(MeasureError, match="cannot be captured in a CUDA graph"):
        rig.load(asked(path, options=Options(backend_options={"cuda_graph": "1"})))


def test_an_output_whose_shape_depends_on_the_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # TensorRT-RTX has no NonZero, so that the engine is another model's; the run loop is what is tested.
    path = zoo.save(
        tmp_path / "nz.onnx", [zoo.node("Greater", ["x", "zero"], ["positive"]), zoo.node("NonZero", ["positive"], ["y"])],
        [zoo.value("x", zoo.FLOAT, "N", 40)], [zoo.value("y", zoo.INT64, 2, None)], [zoo.weight("zero", 1, fill=0)],
    )  # fmt: skip
    built = zoo.save(
        tmp_path / "built.onnx", [zoo.node("Relu", ["x"], ["y"])],
        [zoo.value("x", zoo.FLOAT, "N", 40)], [zoo.value("y", zoo.FLOAT, "N", 40)],
    )  # fmt: skip
    rig = Rig(monkeypatch, path)
    for data_path in ("pageable", "device"):
        rig.load(asked(built, data_path=data_path))
        for index in (0, 1, 2, 1):
            rig.check(index)
    with pytest.raises(MeasureError, match="depends on the values, which no CUDA graph can follow"):
        rig.load(asked(built, options=Options(backend_options={"cuda_graph": "1"})))


def test_a_gpu_that_it_does_not_support_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = images(tmp_path)
    rig = Rig(monkeypatch, path, capability=(9, 0))
    with pytest.raises(MeasureError) as caught:
        rig.load(asked(path))
    assert caught.value.kind == "unsupported"
    assert caught.value.message == (
        "tensorrt-rtx does not run on a GPU of compute capability 9.0: it supports 7.5, 8.0, 8.6, 8.9, 12.0, 12.1"
        " and later (it is a cuda:0)"
    )
    assert rig.trt.engines == []


def test_what_the_runtime_says_reaches_the_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = images(tmp_path)
    rig = Rig(monkeypatch, path)
    rig.load(asked(path))
    context = rig.trt.engines[0].contexts[0]
    context.fails = True
    with pytest.raises(MeasureError, match="tensorrt-rtx did not start the request"):
        rig.backend.issue(0, 0, None)
    rig.backend.close()
    rig.trt.refuses = (
        "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion failed: version does"
        " not match In deserialize at /_src/runtime/x.cpp:42)"
    )
    with pytest.raises(
        MeasureError, match=r"does not take the engine of m\.onnx: Serialization assertion"
    ) as caught:
        rig.load(asked(path))
    assert caught.value.kind == "engine-refused"
    assert "/_src" not in caught.value.message
    assert "/_src" in caught.value.detail


def test_a_persons_own_engine_is_taken_only_where_they_trust_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(monkeypatch, images(tmp_path))
    plan = tmp_path / "mine.plan"
    plan.write_bytes(b"an engine")
    original = rig.trt.Runtime

    def with_profile(log: Any) -> Any:
        runtime = original(log)
        make = runtime.deserialize_cuda_engine

        def deserialize(blob: bytes) -> Any:
            engine = make(blob)
            engine.profile = {"images": ((1, 3, 8, 8), (4, 3, 8, 8), (8, 3, 8, 8))}
            return engine

        runtime.deserialize_cuda_engine = deserialize
        return runtime

    monkeypatch.setattr(rig.trt, "Runtime", with_profile, raising=False)
    with pytest.raises(
        MeasureError, match=r"mine\.plan is a TensorRT engine: it holds native code"
    ) as caught:
        rig.load(asked(str(plan)))
    assert "--trust-engine" in caught.value.fix
    options = Options(trust_engine=True, cache_directory=str(tmp_path / "cache"))
    loaded = rig.load(asked(str(plan), options=options))
    assert [(item.name, item.shape) for item in loaded.inputs] == [("images", (2, 3, 8, 8))]
    rig.check(1)
    assert not (tmp_path / "cache").exists(), "nothing of a foreign engine goes into our cache"
    with pytest.raises(MeasureError, match="takes images from 1x3x8x8 to 8x3x8x8, not 9x3x8x8"):
        rig.load(replace(asked(str(plan), options=options), batch=9))
    with pytest.raises(MeasureError, match="precision of mine is built in"):
        rig.load(asked(str(plan), precision="fp32", options=options))


def test_an_input_that_the_builder_dropped_is_not_fed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zoo.save(
        tmp_path / "m.onnx", [zoo.node("Relu", ["x"], ["y"])],
        [zoo.value("x", zoo.FLOAT, "N", 4), zoo.value("unused", zoo.FLOAT, "N", 3)], [zoo.value("y", zoo.FLOAT, "N", 4)],
    )  # fmt: skip
    rig = Rig(monkeypatch, path)
    rig.trt.drops, rig.trt.dropped_shape = {"unused"}, (2, 3)
    for data_path in ("pageable", "device"):
        rig.load(asked(path, data_path=data_path))
        for index in (0, 1):
            rig.check(index)
    rig.backend.close()


def test_tensors_in_host_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = images(tmp_path)
    rig = Rig(monkeypatch, path)
    monkeypatch.setattr(
        "infertop.tests.backends.fake_trt.FakeEngine.get_tensor_location",
        lambda self, name: RTX.TensorLocation.HOST,
    )
    with pytest.raises(MeasureError, match=r"images of m\.onnx decides shapes"):
        rig.load(asked(path))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"device": "cpu"}, "needs a GPU"),
        ({"precision": "int8"}, "quantises nothing itself"),
        ({"data_path": "pined"}, "there is no data path pined"),
        (
            {"options": Options(backend_options={"cuda_grahp": "1"})},
            "cuda_grahp=1 is not known to tensorrt-rtx",
        ),
        ({"options": Options(backend_options={"builder_optimization_level": "9"})}, "level=9 is not known"),
        ({"precision": "bf16"}, "m.onnx is not in bfloat16, and precision is in the graph"),
    ],
)
def test_what_it_cannot_do_is_said(
    fields: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = images(tmp_path)
    rig = Rig(monkeypatch, path)
    with pytest.raises(MeasureError) as caught:
        rig.load(replace(asked(path), **fields))
    assert says in caught.value.message
    assert caught.value.fix
