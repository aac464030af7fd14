"""Memory, streams and events for TensorRT: pycuda where it is installed, in the primary context; our own calls elsewhere."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from infertop.backends import cuda
from infertop.backends.errors import MeasureError
from infertop.backends.trt_graph import CapturedGraph
from infertop.backends.trt_memory import Gpu, OwnGpu, PycudaGpu, open_gpu
from infertop.tests.backends.fake_cuda import FakeCuda
from infertop.tests.backends.fake_trt import GraphCuda


class FakePycuda(ModuleType):
    """`pycuda.driver` over host memory."""

    class Error(Exception): ...

    class MemoryError(Error): ...  # noqa: A001 - pycuda's own name

    def __init__(self) -> None:
        super().__init__("pycuda.driver")
        self.contexts: list[str] = []
        self.live: dict[int, Any] = {}
        self.fails: Exception | None = None
        self.waits = 0

    def init(self) -> None: ...

    def Device(self, index: int) -> Any:  # noqa: N802
        module = self

        class Context:
            def push(self) -> None:
                module.contexts.append("primary")

            def pop(self) -> None:
                module.contexts.pop()

        class Device:
            def name(self) -> str:
                return "Fake GPU"

            def compute_capability(self) -> tuple[int, int]:
                return 8, 9

            def retain_primary_context(self) -> Context:
                return Context()

        return Device()

    def Stream(self, flags: int = 0) -> Any:  # noqa: N802
        assert flags == 1, "the default stream must not be waited for"
        module = self

        class Stream:
            handle = 77

            def synchronize(self) -> None:
                if module.fails:
                    raise module.fails

            def wait_for_event(self, event: Any) -> None:
                module.waits += 1

        return Stream()

    def Event(self) -> Any:  # noqa: N802
        class Event:
            def record(self, stream: Any) -> None:
                assert stream.handle == 77

            def synchronize(self) -> None: ...

            def query(self) -> bool:
                return True

            def time_since(self, earlier: Any) -> float:
                return 1.5

        return Event()

    def mem_alloc(self, size: int) -> Any:
        if self.fails:
            raise self.fails
        buffer = (ctypes.c_ubyte * size)()
        module = self

        class Allocation:
            def __int__(self) -> int:
                return ctypes.addressof(buffer)

            def free(self) -> None:
                del module.live[int(self)]

        self.live[ctypes.addressof(buffer)] = buffer
        return Allocation()

    def pagelocked_empty(self, shape: int, dtype: Any) -> np.ndarray:
        return np.empty(shape, dtype)

    def memcpy_htod_async(self, dest: int, src: np.ndarray, stream: Any) -> None:
        assert stream.handle == 77
        ctypes.memmove(dest, src.ctypes.data, src.nbytes)

    def memcpy_dtoh_async(self, dest: np.ndarray, src: int, stream: Any) -> None:
        ctypes.memmove(dest.ctypes.data, src, dest.nbytes)


@pytest.fixture
def pycuda(monkeypatch: pytest.MonkeyPatch) -> FakePycuda:
    package, driver = ModuleType("pycuda"), FakePycuda()
    package.VERSION_TEXT, package.driver = "2026.1", driver  # type: ignore[attr-defined]
    package.__spec__ = ModuleSpec("pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    return driver


def events(gpu: Gpu) -> tuple[Any, Any]:
    return gpu.event(), gpu.event()


def round_trip(gpu: Gpu) -> None:
    """Arrays of several types go to the device and come back; nothing is left of them."""
    stream: Any = gpu.stream()
    for array in (np.arange(6, dtype=np.float16).reshape(2, 3), np.array([True, False]), np.zeros((0, 4), np.float32),
                  np.array(7, np.int64), np.arange(5, dtype=np.uint16)):  # fmt: skip
        source, target = gpu.pinned(array.shape, array.dtype), np.empty_like(array)
        assert source.shape == array.shape
        np.copyto(source, array)
        address = gpu.allocate(array.nbytes)
        begun, ended = events(gpu)
        begun.record(stream)
        stream.wait(begun)
        gpu.send(address, gpu.host(source), stream)
        gpu.fetch(gpu.host(target), address, stream)
        ended.record(stream)
        ended.synchronize()
        assert ended.reached()
        np.testing.assert_array_equal(target, array)
        assert ended.since(begun) >= 0
    gpu.close()


def test_pycuda_is_used_where_it_is_installed_in_the_primary_context(pycuda: FakePycuda) -> None:
    gpu = open_gpu(cuda.Driver(FakeCuda()), 0)
    assert isinstance(gpu, PycudaGpu)
    assert pycuda.contexts == ["primary"]
    assert (gpu.tool, gpu.name, gpu.capability) == ("pycuda 2026.1", "Fake GPU", (8, 9))
    assert gpu.stream().address == 77
    assert gpu.event().since(gpu.event()) == 1.5e6  # its times are ms, ours ns
    round_trip(gpu)
    assert (pycuda.contexts, pycuda.live, pycuda.waits) == ([], {}, 5)


def test_pycuda_s_errors_become_sentences(pycuda: FakePycuda) -> None:
    gpu = open_gpu(cuda.Driver(FakeCuda()), 0)
    stream = gpu.stream()
    pycuda.fails = pycuda.MemoryError("cuMemAlloc failed: out of memory")
    with pytest.raises(MeasureError, match="the GPU's memory is full") as caught:
        gpu.allocate(10)
    assert caught.value.kind == "out-of-memory"
    pycuda.fails = pycuda.Error("cuStreamSynchronize failed: an illegal memory access was encountered")
    with pytest.raises(MeasureError, match="illegal memory access") as caught:
        stream.synchronize()
    assert caught.value.kind == "cuda-fault"


def test_a_pycuda_that_does_not_import_says_so(pycuda: FakePycuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(MeasureError, match="pycuda is installed and cannot be imported"):
        open_gpu(cuda.Driver(FakeCuda()), 0)


def test_an_index_that_is_too_high_ends_in_our_sentence(pycuda: FakePycuda) -> None:
    with pytest.raises(MeasureError, match="there is no cuda:3"):
        open_gpu(cuda.Driver(FakeCuda()), 3)


def test_our_own_calls_do_the_same_without_pycuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infertop.backends.trt_memory.util.find_spec", lambda name: None)
    fake = FakeCuda()
    gpu = open_gpu(cuda.Driver(fake), 0)
    assert isinstance(gpu, OwnGpu)
    round_trip(gpu)
    assert (fake.live, fake.streams, fake.events, fake.contexts) == ({}, set(), {}, 0)


def test_what_cannot_be_captured_is_said_and_the_stream_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = GraphCuda()
    driver = cuda.Driver(fake)
    stream = cuda.Device(driver, 0).stream()
    fake.fail["cuGraphInstantiateWithFlags"] = 801
    with pytest.raises(MeasureError, match="this engine issues cannot be captured") as caught:
        CapturedGraph(driver, stream.address, lambda: None, "this engine")
    assert "cuda_graph" in caught.value.fix
    assert fake.graphs == {}

    def fails() -> None:
        raise MeasureError("runtime-failed", "TensorRT did not start the request")

    with pytest.raises(MeasureError, match="did not start"):
        CapturedGraph(driver, stream.address, fails, "this engine")
    assert (fake.capturing, fake.graphs) == (None, {})


def real_driver() -> cuda.Driver:
    try:
        driver = cuda.load()
    except MeasureError as error:
        pytest.skip(f"there is no GPU here: {error.message}")
    return driver if driver.count() else pytest.skip("CUDA sees no GPU here")


def test_on_a_real_gpu_our_own_calls_copy() -> None:
    round_trip(OwnGpu(real_driver(), 0))


def test_on_a_real_gpu_pycuda_copies() -> None:
    if importlib.util.find_spec("pycuda") is None:
        pytest.skip("pycuda is not installed: it compiles against a CUDA toolkit")
    real_driver()
    round_trip(PycudaGpu(0))


def test_on_a_real_gpu_a_graph_repeats_what_was_issued() -> None:
    driver = real_driver()
    gpu = OwnGpu(driver, 0)
    stream = gpu.stream()
    source, target = gpu.pinned((4,), np.dtype(np.float32)), gpu.pinned((4,), np.dtype(np.float32))
    address = gpu.allocate(16)

    def copy() -> None:
        gpu.send(address, gpu.host(source), stream)
        gpu.fetch(gpu.host(target), address, stream)

    graph = CapturedGraph(driver, stream.address, copy, "this test")
    for value in (1.0, 2.0):
        source[:] = value
        graph.launch()
        stream.synchronize()
        assert target.tolist() == [value] * 4
    graph.close()
    gpu.close()
