"""The driver layer: what it says when CUDA says no, and that it gives everything back. No GPU is needed."""

from __future__ import annotations

import numpy as np
import pytest
from infertop.backends import cuda, cuda_words, link, worker
from infertop.backends.errors import MeasureError
from infertop.tests.backends.fake_cuda import FakeCuda


def refused(fake: FakeCuda, index: int = 0) -> MeasureError:
    with pytest.raises(MeasureError) as caught:
        cuda.Device(cuda.Driver(fake), index).allocate(1 << 40)
    return caught.value


@pytest.mark.parametrize(
    ("function", "code", "kind", "says"),
    [
        ("cuMemAlloc_v2", 2, "out-of-memory", "memory is full"),
        ("cuInit", 100, "no-gpu", "no such GPU"),
        ("cuInit", 803, "cuda-fault", "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
        ("cuMemAlloc_v2", 700, "cuda-fault", "the GPU's context is lost"),
        ("cuCtxSetCurrent", 12345, "cuda-fault", "error 12345"),
    ],
)
def test_every_code_becomes_a_sentence(function: str, code: int, kind: str, says: str) -> None:
    fake = FakeCuda()
    fake.fail[function] = code
    error = refused(fake)
    assert error.kind == kind
    assert says in error.message
    assert function in error.detail


def test_a_gpu_that_is_not_there_is_named_with_what_hides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    error = refused(FakeCuda(devices=1), index=2)
    assert error.message == "there is no cuda:2: CUDA sees 1 GPU (CUDA_VISIBLE_DEVICES is '1')"
    assert error.fix == "use --device cuda:0"
    assert "sees 0 GPUs" in refused(FakeCuda(devices=0)).message


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:3", 3)])
def test_devices_are_read(device: str, index: int) -> None:
    assert cuda.index_of(device) == index


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu"])
def test_what_is_no_gpu_is_a_usage_error(device: str) -> None:
    with pytest.raises(MeasureError) as caught:
        cuda.index_of(device)
    assert caught.value.kind == "usage"


def test_facts_of_driver_and_device() -> None:
    driver = cuda.Driver(FakeCuda())
    assert driver.version() == (13, 2)
    device = cuda.Device(driver, 0)
    assert (device.name, device.capability) == ("Fake GPU", (9, 0))


def test_copies_through_pinned_memory_and_everything_given_back() -> None:
    fake = FakeCuda()
    device = cuda.Device(cuda.Driver(fake), 0)
    stream = device.stream()
    source, target = device.pinned((3, 2), np.dtype("float16")), np.zeros((3, 2), np.float16)
    source[:] = [[1, 2], [3, 4], [5, 6]]
    address = device.allocate(source.nbytes)
    first, second = device.event(), device.event()
    first.record(stream)
    device.copy_in(address, source.ctypes.data, source.nbytes, stream)
    device.copy_out(target.ctypes.data, address, target.nbytes, stream)
    second.record(stream)
    stream.synchronize()
    assert (target == source).all()
    assert second.since(first) > 0
    assert second.reached()
    fake.fail["cuEventQuery"] = cuda_words.NOT_READY
    assert not second.reached()
    fake.fail["cuEventQuery"] = 700  # said by whoever waits next
    assert second.reached()
    assert device.pinned((0, 4), np.dtype("int64")).shape == (0, 4)
    device.free()
    assert (fake.live, fake.events) == ({}, {})
    assert fake.streams
    device.close()
    assert not fake.streams
    assert fake.contexts == 0


def test_a_gpu_is_known_by_its_uuid_on_a_slice_too() -> None:
    fake = FakeCuda(devices=2)
    driver = cuda.Driver(fake)
    assert driver.uuid(1) == "GPU-02020202-0202-0202-0202-020202020202"
    assert driver.slice(1) is None
    fake.slices[1] = bytes(range(16))
    assert driver.slice(1) == "MIG-00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert driver.uuid(1) == "GPU-02020202-0202-0202-0202-020202020202"


def test_the_worker_says_which_gpu_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCuda(devices=2)
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(fake))
    monkeypatch.setattr(link, "measure", lambda device: {"h2d_pinned": 5e10})
    rates, _, gpu = worker._probed("cuda:1")
    assert rates == {"h2d_pinned": 5e10}
    assert gpu == {"uuid": "GPU-02020202-0202-0202-0202-020202020202", "slice": None}
    assert fake.contexts == 0, "the context is given back"
