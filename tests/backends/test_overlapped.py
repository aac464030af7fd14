"""Requests in flight on a GPU: buffers and streams of each slot, and copies beside compute in an order that events hold.

The device is a fake over host memory, the session ONNX Runtime's own on the CPU.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from infertop.backends import cuda, loads, ort_cuda, ort_session
from infertop.backends.backend import Input, StageTimes
from infertop.backends.bound import BoundSteps
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.inputs import generate, make_sets
from infertop.backends.overlapped import Lanes, Overlapped, lanes, preparer, staged, streams_needed
from infertop.backends.torch_compile import TorchCompile
from infertop.tests.backends import onnx_zoo as zoo
from infertop.tests.backends.fake_cuda import FakeCuda

IMAGES = [Input("images", "float32", (2, 3, 8, 8))]


def slots(
    fake: FakeCuda, path: str, load: str, data_path: str
) -> tuple[list[BoundSteps], list[Any], Any, list[Any]]:
    """The steps and requests of every slot, the session, and the input sets."""
    device = cuda.Device(cuda.Driver(fake), 0)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = [generate(IMAGES, {}, 0, index) for index in range(4)]
    asked = loads.parse(load)
    made: list[BoundSteps] = []
    for on in lanes(asked, device.streams(streams_needed(asked))):
        made.append(
            BoundSteps(
                session, onnxruntime.RunOptions(), device, on, IMAGES, ["y"], given, data_path, kind="cpu",
                first=made[0] if made else None,
            )
        )  # fmt: skip
    ahead = preparer(asked, data_path)
    found = [
        staged(steps, device, on, ahead=ahead)
        for steps, on in zip(made, lanes(asked, device.streams(8)), strict=True)
    ]
    return made, found, session, given


@pytest.mark.parametrize(
    ("load", "data_path"),
    [
        ("closed:3", "pinned"),
        ("closed:3", "pinned-ready"),
        ("closed:3", "device"),
        ("pipelined:3", "pinned"),
        ("pipelined:3", "pinned-ready"),
    ],
)
def test_requests_in_flight_do_not_touch_each_others_buffers(
    load: str, data_path: str, tmp_path: Path
) -> None:
    path = zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8))
    made, requests, session, given = slots(FakeCuda(), path, load, data_path)
    expected = [session.run(None, one)[0] for one in given]
    for first in (0, 1):
        for slot, request in enumerate(requests):
            request.issue((first + slot) % 4, None)
        for slot, request in enumerate(requests):
            request.complete(None)
            np.testing.assert_array_equal(made[slot].outputs()[0], expected[(first + slot) % 4])


def test_inputs_that_no_request_changes_are_there_once(tmp_path: Path) -> None:
    path = zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8))
    one_set = 2 * 3 * 8 * 8 * 4
    for data_path, shared in (("device", 4), ("pinned-ready", 4), ("pinned", 0)):
        sizes = []
        for load in ("closed:1", "closed:5"):
            fake = FakeCuda()
            kept = slots(fake, path, load, data_path)
            sizes.append(sum(len(buffer) == one_set for buffer in fake.live.values()))
            del kept
        own = {"device": 0, "pinned-ready": 1, "pinned": 2}[
            data_path
        ]  # on the GPU, and a pinned buffer to copy from
        assert sizes == [shared + own, shared + 5 * own]


def test_a_pipelined_request_is_three_streams_in_an_order_held_by_events(tmp_path: Path) -> None:
    fake = FakeCuda()
    _, requests, *_ = slots(fake, zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8)), "pipelined:2", "pinned")
    fake.course.clear()
    requests[0].issue(0, None)
    requests[1].issue(1, None)
    parts = [(what, stream) for what, stream, _ in fake.course]
    into, compute, out = parts[0][1], parts[2][1], parts[4][1]
    assert len({into, compute, out}) == 3
    once = [
        ("in", into),
        ("record", into),
        ("wait", compute),
        ("record", compute),
        ("wait", out),
        ("out", out),
        ("record", out),
    ]
    assert parts == once + once, "both slots on the same three streams, and nothing waits for the other slot"
    events = [event for _, _, event in fake.course]
    assert (events[1], events[3]) == (events[2], events[4]), "each stage waits for the one before it"
    assert not set(events[:7]) - {0} & set(events[7:])


def test_a_deep_closed_loop_has_a_stream_for_each_slot(tmp_path: Path) -> None:
    fake = FakeCuda()
    _, requests, *_ = slots(fake, zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8)), "closed:3", "pinned")
    fake.course.clear()
    for slot, request in enumerate(requests):
        request.issue(slot, None)
    streams = [stream for _, stream, _ in fake.course]
    assert [what for what, *_ in fake.course] == ["in", "out"] * 3
    assert streams[::2] == streams[1::2]
    assert len(set(streams)) == 3


@pytest.mark.parametrize("load", ["closed:2", "pipelined:2"])
def test_stages_of_a_request_in_flight(load: str, tmp_path: Path) -> None:
    path = zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8))
    _, requests, *_ = slots(FakeCuda(), path, load, "pinned")
    times = StageTimes()
    requests[1].issue(0, times)
    requests[1].complete(times)
    assert all(value > 0 for value in (times.host, times.h2d, times.compute, times.d2h, times.enqueue))


def test_inputs_are_prepared_beside_the_issuing_thread(tmp_path: Path) -> None:
    path = zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8))
    made, requests, session, given = slots(FakeCuda(), path, "pipelined:3", "pinned")
    times = [StageTimes() for _ in requests]
    for slot, request in enumerate(requests):
        request.prepare(slot)
    for slot, request in enumerate(requests):
        request.issue(slot, times[slot])
    for slot, request in enumerate(requests):
        assert request.done()
        request.complete(times[slot])
        np.testing.assert_array_equal(made[slot].outputs()[0], session.run(None, given[slot])[0])
        assert times[slot].host > 0


def test_an_input_that_cannot_be_prepared_fails_its_own_request() -> None:
    class Steps:
        copies, begin = True, None

        def __getattr__(self, name: str) -> Any:
            raise ValueError(name)

    device = cuda.Device(cuda.Driver(FakeCuda()), 0)
    ahead = preparer(loads.parse("pipelined:2"), "pinned")
    request = staged(Steps(), device, Lanes(*device.streams(4)), ahead=ahead)
    assert isinstance(request, Overlapped)
    request.prepare(7)
    with pytest.raises(ValueError, match="prepare"):
        request.issue(7, None)


@pytest.mark.parametrize(("load", "path"), [("closed:4", "pinned"), ("pipelined:4", "pinned-ready")])
def test_no_thread_where_there_is_nothing_to_prepare(load: str, path: str) -> None:
    assert preparer(loads.parse(load), path) is None


def test_a_runtime_with_a_current_stream_is_told_before_each_part() -> None:
    said: list[str] = []

    class Steps:
        copies, begin = True, None

        def __getattr__(self, name: str) -> Any:
            return lambda *index: said.append(name)

    device = cuda.Device(cuda.Driver(FakeCuda()), 0)
    names = dict(zip((s.address for s in device.streams(4)), "abcd", strict=True))
    enter = lambda stream: said.append(names[stream.address])  # noqa: E731
    staged(Steps(), device, Lanes(*device.streams(4)), enter).issue(0, None)
    assert said == ["prepare", "a", "copy_in", "b", "compute", "c", "copy_out"]
    said.clear()
    staged(Steps(), device, Lanes.one(device.streams(2)[1]), enter).issue(0, None)
    assert said == ["b", "prepare", "copy_in", "compute", "copy_out"]


class OnTheGpu(ort_cuda.OnnxRuntimeCuda):
    """Sessions on the CPU that pass for the GPU's."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[int] = []  # the stream of each session that was made

    def _create(self, configuration: Configuration) -> Any:
        assert self._stream is not None
        self.made.append(self._stream.address)
        options = ort_session.session_options(onnxruntime, {}, 1)
        return onnxruntime.InferenceSession(
            self._model.file.path, options, providers=["CPUExecutionProvider"]
        )

    def _on_gpu(self) -> bool:
        return True


def test_onnxruntime_has_a_session_for_each_stream_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCuda()
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(fake))
    monkeypatch.setattr(ort_cuda, "BoundSteps", functools.partial(BoundSteps, kind="cpu"))
    monkeypatch.setattr(ort_cuda, "fallen_back", lambda session, placement, said: None)
    backend = OnTheGpu()
    results: dict[int, list[np.ndarray]] = {}
    for load, sessions in (
        ("closed:1", 1),
        ("closed:3", 3),
        ("pipelined:4", 1),
        ("closed:2", 2),
        ("closed:1", 1),
    ):
        configuration = Configuration(
            "onnxruntime-cuda", "smallcnn", "fp32", batch=2, device="cuda:0", data_path="pinned", load=load
        )
        loaded = backend.load(configuration, lambda phase: None)
        loads.refuse(configuration, backend.slots, backend.overlaps)
        assert len(backend._sessions) == sessions
        depth = loads.parse(load).slots
        backend.bind(make_sets(loaded, configuration.options), depth)
        assert backend.prepares is (load == "pipelined:4")
        for slot in range(depth):
            if backend.prepares:
                backend.prepare(slot, slot)
            backend.issue(slot, slot, None)
        for slot in range(depth):
            backend.complete(slot, None)
            results.setdefault(slot, []).append(backend.outputs(slot)[0])
    for found in results.values():
        for one in found:
            np.testing.assert_array_equal(one, found[0])
    assert len(set(backend.made[1:4])) == 3, "made anew with a stream for each"
    backend.close()
    assert (fake.live, fake.streams, fake.contexts, fake.events) == ({}, set(), 0, {})


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_cuda_graphs_hold_one_request(mode: str) -> None:
    configuration = Configuration(
        "torch-compile", "smallcnn", device="cuda:0", data_path="pinned", load="pipelined:3", options=Options(compile_mode=mode)
    )  # fmt: skip
    with pytest.raises(MeasureError, match="replays CUDA graphs") as caught:
        TorchCompile().load(configuration, lambda phase: None)
    assert caught.value.kind == "unsupported"
