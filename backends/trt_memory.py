"""Memory, streams and events for TensorRT behind one small interface: pycuda's where it is installed, else our own calls.

Both work in the primary context, the one that TensorRT, torch and cuBLAS share. `pycuda.autoinit` would make another, in
which TensorRT's handles are invalid.
"""

from __future__ import annotations

from importlib import util
from typing import Any, Protocol

import numpy as np

from . import cuda, cuda_words
from .errors import MeasureError
from .staged import Event, Stream


class GpuStream(Stream, Protocol):
    """A stream that synchronises, with the address that TensorRT takes."""

    @property
    def address(self) -> int: ...


class Gpu(Protocol):
    """One GPU with its primary context current in this thread."""

    tool: str  # what makes the calls

    @property
    def name(self) -> str: ...

    @property
    def capability(self) -> tuple[int, int]: ...

    def stream(self) -> GpuStream: ...

    def event(self) -> Event: ...

    def allocate(self, size: int) -> int:
        """Address of `size` bytes of device memory."""

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """An array in page-locked host memory."""

    def host(self, array: np.ndarray) -> Any:
        """What `send` and `fetch` take for a C-contiguous host array, which must outlive it; made once, outside requests."""

    def send(self, target: int, source: Any, stream: Any) -> None:
        """Start a copy of a host array to the device."""

    def fetch(self, target: Any, source: int, stream: Any) -> None:
        """Start a copy from the device into a host array."""

    def free(self) -> None:
        """Give back memory and events; streams stay."""

    def close(self) -> None:
        """Give back everything, the context last. Whatever the runtime made must be gone."""


def open_gpu(driver: cuda.Driver, index: int) -> Gpu:
    """The GPU, by pycuda where it is installed."""
    if util.find_spec("pycuda") is None:
        return OwnGpu(driver, index)
    # Before pycuda, which knows no sentence for an index that is too high.
    if index >= driver.count():
        return OwnGpu(driver, index)
    return PycudaGpu(index)


class OwnGpu(cuda.Device):
    """By backends.cuda."""

    tool = "the CUDA driver"

    def host(self, array: np.ndarray) -> tuple[int, int]:
        return array.ctypes.data, array.nbytes

    def send(self, target: int, source: tuple[int, int], stream: cuda.Stream) -> None:
        address, size = source
        if size:
            self.copy_in(target, address, size, stream)

    def fetch(self, target: tuple[int, int], source: int, stream: cuda.Stream) -> None:
        address, size = target
        if size:
            self.copy_out(address, source, size, stream)


class PycudaGpu:
    """By pycuda, in the primary context as `pycuda.autoprimaryctx` does it, for the index that was asked for."""

    def __init__(self, index: int) -> None:
        try:
            import pycuda
            import pycuda.driver as driver
        except (ImportError, OSError) as error:
            raise MeasureError(
                "backend-missing",
                "pycuda is installed and cannot be imported",
                "build it again for this CUDA (pip install --force-reinstall --no-binary pycuda pycuda), or uninstall it",
                str(error),
            ) from error
        self.tool = f"pycuda {pycuda.VERSION_TEXT}"
        self._driver: Any = driver
        driver.init()
        self._device = driver.Device(index)
        self._context: Any = self._device.retain_primary_context()
        self._context.push()
        self._memory: list[Any] = []

    @property
    def name(self) -> str:
        return str(self._device.name())

    @property
    def capability(self) -> tuple[int, int]:
        major, minor = self._device.compute_capability()
        return int(major), int(minor)

    def stream(self) -> PycudaStream:
        return PycudaStream(self._driver)

    def event(self) -> PycudaEvent:
        return PycudaEvent(self._driver)

    def allocate(self, size: int) -> int:
        try:
            self._memory.append(self._driver.mem_alloc(max(1, size)))
        except self._driver.Error as error:
            raise _sentence(self._driver, error) from error
        return int(self._memory[-1])

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        count = int(np.prod(shape, dtype=np.int64))
        try:
            array: np.ndarray = self._driver.pagelocked_empty(max(1, count), dtype)
        except self._driver.Error as error:
            raise _sentence(self._driver, error) from error
        return array[:count].reshape(shape)

    def host(self, array: np.ndarray) -> np.ndarray:
        # Bytes: the buffer protocol has no format for some types, and an empty array needs no copy.
        return array.reshape(-1).view(np.uint8)

    def send(self, target: int, source: np.ndarray, stream: PycudaStream) -> None:
        if source.nbytes:
            try:
                self._driver.memcpy_htod_async(target, source, stream.handle)
            except self._driver.Error as error:
                raise _sentence(self._driver, error) from error

    def fetch(self, target: np.ndarray, source: int, stream: PycudaStream) -> None:
        if target.nbytes:
            try:
                self._driver.memcpy_dtoh_async(target, source, stream.handle)
            except self._driver.Error as error:
                raise _sentence(self._driver, error) from error

    def free(self) -> None:
        for allocation in self._memory:
            allocation.free()
        self._memory = []

    def close(self) -> None:
        self.free()
        if self._context is not None:
            self._context.pop()
            self._context = None


class PycudaStream:
    """A stream that does not wait for the default one (CU_STREAM_NON_BLOCKING is 1)."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.handle = driver.Stream(1)
        self.address = int(self.handle.handle)

    def synchronize(self) -> None:
        try:
            self.handle.synchronize()
        except self._driver.Error as error:
            raise _sentence(self._driver, error) from error

    def wait(self, event: PycudaEvent) -> None:
        """What is issued from here on begins after the event; the host goes on at once."""
        self.handle.wait_for_event(event.handle)


class PycudaEvent:
    """As cuda.Event."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.handle = driver.Event()

    def synchronize(self) -> None:
        try:
            self.handle.synchronize()
        except self._driver.Error as error:
            raise _sentence(self._driver, error) from error

    def reached(self) -> bool:
        return bool(self.handle.query())

    def record(self, stream: PycudaStream) -> None:
        self.handle.record(stream.handle)

    def since(self, earlier: PycudaEvent) -> float:
        return float(self.handle.time_since(earlier.handle)) * 1e6


def _sentence(driver: Any, error: Exception) -> MeasureError:
    """pycuda's errors carry the driver's words."""
    if isinstance(error, driver.MemoryError):
        return cuda_words.of_code(cuda_words.OUT_OF_MEMORY, str(error), "pycuda")
    return cuda_words.explain(str(error), "pycuda") or MeasureError(
        "cuda-fault", f"pycuda: {str(error)[:200]}", "run again in a new worker", str(error)
    )
