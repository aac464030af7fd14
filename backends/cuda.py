"""CUDA's driver API by ctypes: streams, events, copies, pinned and device memory, the primary context.

For timing and copies in every CUDA worker, so that none needs torch or pycuda for them. The primary context is the one
that runtimes share, so streams and memory from here are theirs too. Functions and codes: cuda.h of CUDA 12 and 13.
"""

from __future__ import annotations

import ctypes
import os
import uuid
from ctypes import byref, c_char_p, c_float, c_int, c_size_t, c_void_p
from typing import Any

import numpy as np

from . import cuda_words
from .cuda_words import NOT_READY
from .errors import MeasureError

TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"
_TENSOR_FLOATS_FROM = (8, 0)
_STREAM_NON_BLOCKING = 1
_HOST_PORTABLE = 1
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


class Driver:
    """libcuda, loaded and initialised. `library` is anything with its functions."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self.call("cuInit", 0)

    def call(self, function: str, *arguments: Any) -> None:
        """Call one of libcuda's functions; a code other than 0 becomes a MeasureError."""
        code = int(getattr(self._library, function)(*arguments))
        if code:
            raise self._error(function, code)

    def ready(self, function: str, handle: c_void_p) -> bool:
        """What one of its queries says; a fault counts as ready, since whoever waits next is told of it."""
        return int(getattr(self._library, function)(handle)) != NOT_READY

    def version(self) -> tuple[int, int]:
        """The newest CUDA that this driver runs, e.g. (13, 0)."""
        number = c_int()
        self.call("cuDriverGetVersion", byref(number))
        return number.value // 1000, number.value % 1000 // 10

    def count(self) -> int:
        number = c_int()
        self.call("cuDeviceGetCount", byref(number))
        return number.value

    def capability(self, index: int) -> tuple[int, int]:
        """A GPU's compute capability, e.g. (9, 0); asked without making a context there."""
        handle, major, minor = c_int(), c_int(), c_int()
        self.call("cuDeviceGet", byref(handle), index)
        self.call("cuDeviceGetAttribute", byref(major), _MAJOR, handle)
        self.call("cuDeviceGetAttribute", byref(minor), _MINOR, handle)
        return major.value, minor.value

    def uuid(self, index: int) -> str:
        """A GPU's UUID as NVML writes it, the same on and beside a MIG slice of it."""
        return self._uuid("cuDeviceGetUuid", index, "GPU")

    def slice(self, index: int) -> str | None:
        """The UUID of the MIG slice that this is instead of a whole GPU; None for a whole one, and where the driver is too old to say."""
        try:
            found = self._uuid("cuDeviceGetUuid_v2", index, "MIG")
        except AttributeError:  # a libcuda of before CUDA 11.4
            return None
        return None if found[4:] == self.uuid(index)[4:] else found

    def _uuid(self, function: str, index: int, kind: str) -> str:
        handle, raw = c_int(), (ctypes.c_ubyte * 16)()
        self.call("cuDeviceGet", byref(handle), index)
        self.call(function, byref(raw), handle)
        return f"{kind}-{uuid.UUID(bytes=bytes(raw))}"

    def _error(self, function: str, code: int) -> MeasureError:
        text = c_char_p()
        name = f"error {code}"
        if self._library.cuGetErrorName(code, byref(text)) == 0 and text.value:
            name = text.value.decode()
        return cuda_words.of_code(code, name, function)


def load() -> Driver:
    """The driver of this machine. Raises MeasureError kind "no-driver" or "no-gpu"."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError as error:
        raise cuda_words.no_driver(str(error)) from error
    _declare(library)
    return Driver(library)


def index_of(device: str) -> int:
    """`cuda` and `cuda:N` as CUDA's index. Raises MeasureError kind "usage"."""
    kind, colon, number = device.partition(":")
    if kind == "cuda" and (not colon or number.isdigit()):
        return int(number or 0)
    raise MeasureError("usage", f"there is no device named {device}", "use cpu, cuda or cuda:N")


def refuse_precision(backend: str, precision: str, capability: tuple[int, int]) -> None:
    """Raises MeasureError kind "unsupported" for a precision that the GPU has no units for, or that the environment forbids.

    TF32 and bfloat16 came with compute capability 8.0. NVIDIA_TF32_OVERRIDE=0 keeps NVIDIA's libraries from TF32 whatever a
    runtime asks for, and another value takes the choice from it too.
    """
    if precision in ("tf32", "bf16") and capability < _TENSOR_FLOATS_FROM:
        major, minor = capability
        raise MeasureError(
            "unsupported",
            f"{backend} cannot measure {precision}: a GPU of compute capability {major}.{minor} has no units for it, 8.0 and later have",
            "use --precision fp16 or fp32",
        )
    override = os.environ.get(TF32_OVERRIDE)
    if override is not None and (precision == "tf32" if override == "0" else precision == "fp32"):
        raise MeasureError(
            "unsupported",
            f"{backend} cannot measure {precision}: {TF32_OVERRIDE}={override} in the environment decides, not the runtime",
            f"unset {TF32_OVERRIDE}",
        )


def override_notes(precision: str) -> list[str]:
    """What the environment does to a model in float32 that is measured as it is."""
    override = os.environ.get(TF32_OVERRIDE)
    if override is None or precision != "native":
        return []
    return [f"{TF32_OVERRIDE}={override} in the environment decides over TF32, not the runtime"]


def fp32_notes(
    precision: str, capability: tuple[int, int], parts: str = "convolutions and products of matrices"
) -> list[str]:
    """That `fp32` is not what a plain script gets; `parts` are the operators for which the runtime has TF32 on by itself."""
    if precision != "fp32" or capability < _TENSOR_FLOATS_FROM:
        return []
    return [f"TF32 is off: a plain script has it on for {parts}, which --precision native measures"]


class Device:
    """One GPU with its primary context current in this thread. What it handed out is freed by `close`."""

    def __init__(self, driver: Driver, index: int) -> None:
        count = driver.count()
        if index >= count:
            raise MeasureError(
                "no-gpu",
                f"there is no cuda:{index}: CUDA sees {count} GPU{'s' if count != 1 else ''}{cuda_words.visible()}",
                f"use --device cuda:{count - 1}" if count else "see what nvidia-smi lists",
            )
        self.driver = driver
        self.index = index
        self._handle = c_int()
        self._context = c_void_p()
        self._memory: list[int] = []
        self._pinned: list[int] = []
        self._streams: list[Stream] = []
        self._events: list[Event] = []
        driver.call("cuDeviceGet", byref(self._handle), index)
        driver.call("cuDevicePrimaryCtxRetain", byref(self._context), self._handle)
        driver.call("cuCtxSetCurrent", self._context)

    @property
    def name(self) -> str:
        text = ctypes.create_string_buffer(128)
        self.driver.call("cuDeviceGetName", text, 128, self._handle)
        return text.value.decode()

    @property
    def capability(self) -> tuple[int, int]:
        return self.driver.capability(self.index)

    def attribute(self, number: int) -> int:
        """A CUdevice_attribute by its number."""
        value = c_int()
        self.driver.call("cuDeviceGetAttribute", byref(value), number, self._handle)
        return value.value

    def allocate(self, size: int) -> int:
        """Address of `size` bytes of device memory (at least one, since CUDA refuses none)."""
        address = c_void_p()
        self.driver.call("cuMemAlloc_v2", byref(address), c_size_t(max(1, size)))
        assert address.value is not None
        self._memory.append(address.value)
        return address.value

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """An array in page-locked host memory. It must not outlive `close`."""
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        address = c_void_p()
        self.driver.call("cuMemHostAlloc", byref(address), c_size_t(max(1, size)), _HOST_PORTABLE)
        assert address.value is not None
        self._pinned.append(address.value)
        memory = (ctypes.c_ubyte * max(1, size)).from_address(address.value)
        array: np.ndarray = np.ctypeslib.as_array(memory)[:size].view(dtype).reshape(shape)
        return array

    def stream(self) -> Stream:
        """A new stream that does not wait for the default one."""
        handle = c_void_p()
        self.driver.call("cuStreamCreate", byref(handle), _STREAM_NON_BLOCKING)
        self._streams.append(Stream(self.driver, handle.value or 0))
        return self._streams[-1]

    def streams(self, count: int) -> list[Stream]:
        """So many streams of ours, the same at each call and more where they do not suffice."""
        while len(self._streams) < count:
            self.stream()
        return self._streams[:count]

    def event(self) -> Event:
        handle = c_void_p()
        self.driver.call("cuEventCreate", byref(handle), 0)
        self._events.append(Event(self.driver, handle))
        return self._events[-1]

    def copy_in(self, target: int, source: int, size: int, stream: Stream) -> None:
        """Host to device. From pageable memory the call returns when the source may be changed; from pinned at once."""
        self.driver.call(
            "cuMemcpyHtoDAsync_v2", c_void_p(target), c_void_p(source), c_size_t(size), stream.handle
        )

    def copy_out(self, target: int, source: int, size: int, stream: Stream) -> None:
        """Device to host. Into pageable memory the call returns when the copy is complete; into pinned at once."""
        self.driver.call(
            "cuMemcpyDtoHAsync_v2", c_void_p(target), c_void_p(source), c_size_t(size), stream.handle
        )

    def copy_within(self, target: int, source: int, size: int, stream: Stream) -> None:
        """From one place of the GPU's memory to another; the call returns at once."""
        self.driver.call(
            "cuMemcpyDtoDAsync_v2", c_void_p(target), c_void_p(source), c_size_t(size), stream.handle
        )

    def free(self) -> None:
        """Give back memory and events; streams stay, since a session may live on one."""
        for event in self._events:
            self.driver.call("cuEventDestroy_v2", event.handle)
        for address in self._memory:
            self.driver.call("cuMemFree_v2", c_void_p(address))
        for address in self._pinned:
            self.driver.call("cuMemFreeHost", c_void_p(address))
        self._events, self._memory, self._pinned = [], [], []

    def close(self) -> None:
        """Give back everything, the context included. The runtime's session must be gone."""
        self.free()
        for stream in self._streams:
            self.driver.call("cuStreamDestroy_v2", stream.handle)
        self._streams = []
        self.driver.call("cuDevicePrimaryCtxRelease_v2", self._handle)


class Stream:
    """A CUDA stream by its address; 0 is the default stream."""

    def __init__(self, driver: Driver, address: int) -> None:
        self._driver = driver
        self.address = address
        self.handle = c_void_p(address)

    def synchronize(self) -> None:
        self._driver.call("cuStreamSynchronize", self.handle)

    def idle(self) -> bool:
        """Whether `synchronize` would return at once."""
        return self._driver.ready("cuStreamQuery", self.handle)

    def wait(self, event: Event) -> None:
        """What is issued from here on begins after the event; the host goes on at once."""
        self._driver.call("cuStreamWaitEvent", self.handle, event.handle, 0)


class Event:
    """A point on a stream, with its time (about 0.5 µs fine)."""

    def __init__(self, driver: Driver, handle: c_void_p) -> None:
        self._driver = driver
        self.handle = handle

    def record(self, stream: Stream) -> None:
        self._driver.call("cuEventRecord", self.handle, stream.handle)

    def synchronize(self) -> None:
        """Return when the event is reached."""
        self._driver.call("cuEventSynchronize", self.handle)

    def reached(self) -> bool:
        """Whether `synchronize` would return at once."""
        return self._driver.ready("cuEventQuery", self.handle)

    def since(self, earlier: Event) -> float:
        """ns on the GPU from `earlier` to this one; both must be complete."""
        milliseconds = c_float()
        self._driver.call("cuEventElapsedTime", byref(milliseconds), earlier.handle, self.handle)
        return milliseconds.value * 1e6


def _declare(library: Any) -> None:
    """The pass-by-value arguments that ctypes would otherwise take for C ints."""
    unsigned, pointer = ctypes.c_uint, c_void_p
    for name, types in {
        "cuInit": [unsigned],
        "cuDeviceGet": [pointer, c_int],
        "cuDeviceGetName": [c_char_p, c_int, c_int],
        "cuDeviceGetUuid": [pointer, c_int],
        "cuDeviceGetAttribute": [pointer, c_int, c_int],
        "cuDevicePrimaryCtxRetain": [pointer, c_int],
        "cuDevicePrimaryCtxRelease_v2": [c_int],
        "cuCtxSetCurrent": [pointer],
        "cuMemHostAlloc": [pointer, c_size_t, unsigned],
        "cuStreamCreate": [pointer, unsigned],
        "cuStreamWaitEvent": [c_void_p, c_void_p, unsigned],
        "cuEventCreate": [pointer, unsigned],
        "cuGetErrorName": [c_int, pointer],
    }.items():
        getattr(library, name).argtypes = types
