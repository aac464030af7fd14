"""CUDA's driver API over host memory: what backends.cuda calls, with a log, and with faults on demand."""

# ruff: noqa: N802, N815 - the functions have the names that the driver gives them

from __future__ import annotations

import ctypes
import time
from typing import Any

NAMES = {2: b"CUDA_ERROR_OUT_OF_MEMORY", 100: b"CUDA_ERROR_NO_DEVICE", 101: b"CUDA_ERROR_INVALID_DEVICE",
         700: b"CUDA_ERROR_ILLEGAL_ADDRESS", 803: b"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}  # fmt: skip


class FakeCuda:
    """Device memory is host memory, a stream runs at once, an event is the time of its recording."""

    def __init__(self, devices: int = 1) -> None:
        self.devices = devices
        self.uuids = [bytes([n]) * 16 for n in range(1, devices + 1)]
        self.slices: dict[int, bytes] = {}  # of devices that are MIG slices, the slice's UUID
        self.capability = (9, 0)
        self.version = 13020
        self.fail: dict[str, int] = {}
        self.log: list[str] = []
        # What was issued: "in", "out", "record", "wait", on which stream, which event.
        self.course: list[tuple[str, int, int]] = []
        self.live: dict[int, Any] = {}  # address -> buffer, for memory of both kinds
        self.events: dict[int, float] = {}
        self.streams: set[int] = set()
        self.contexts = 0
        self._next = 1

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> int:
            self.log.append(name)
            if name in self.fail:
                return self.fail[name]
            getattr(self, "_" + name)(*arguments)
            return 0

        return call

    def copies(self) -> list[str]:
        """The copies over the link since the last time, as "in" and "out"."""
        found = ["in" if "HtoD" in name else "out" for name in self.log if "HtoD" in name or "DtoH" in name]
        self.log.clear()
        return found

    def _cuInit(self, flags: int) -> None: ...

    def _cuDriverGetVersion(self, number: Any) -> None:
        number._obj.value = self.version

    def _cuDeviceGetCount(self, number: Any) -> None:
        number._obj.value = self.devices

    def _cuGetErrorName(self, code: int, text: Any) -> None:
        text._obj.value = NAMES.get(code)

    def _cuDeviceGet(self, handle: Any, index: int) -> None:
        handle._obj.value = index

    def _cuDeviceGetName(self, text: Any, size: int, handle: Any) -> None:
        text.value = b"Fake GPU"

    def _cuDeviceGetUuid(self, uuid: Any, handle: Any) -> None:
        uuid._obj[:] = self.uuids[handle.value]

    def _cuDeviceGetUuid_v2(self, uuid: Any, handle: Any) -> None:
        uuid._obj[:] = self.slices.get(handle.value, self.uuids[handle.value])

    def _cuDeviceGetAttribute(self, number: Any, attribute: int, handle: Any) -> None:
        major, minor = self.capability
        number._obj.value = {13: 1_980_000, 16: 132, 38: 50 << 20, 75: major, 76: minor}[attribute]

    def _cuDevicePrimaryCtxRetain(self, context: Any, handle: Any) -> None:
        context._obj.value = 7
        self.contexts += 1

    def _cuDevicePrimaryCtxRelease_v2(self, handle: Any) -> None:
        self.contexts -= 1

    def _cuCtxSetCurrent(self, context: Any) -> None: ...

    def _allocate(self, address: Any, size: int) -> None:
        buffer = (ctypes.c_ubyte * size)()
        address._obj.value = ctypes.addressof(buffer)
        self.live[ctypes.addressof(buffer)] = buffer

    def _cuMemAlloc_v2(self, address: Any, size: Any) -> None:
        self._allocate(address, size.value)

    def _cuMemHostAlloc(self, address: Any, size: Any, flags: int) -> None:
        self._allocate(address, size.value)

    def _cuMemFree_v2(self, address: Any) -> None:
        del self.live[address.value]

    _cuMemFreeHost = _cuMemFree_v2

    def _cuStreamCreate(self, handle: Any, flags: int) -> None:
        handle._obj.value = self._number()
        self.streams.add(handle._obj.value)

    def _cuStreamDestroy_v2(self, handle: Any) -> None:
        self.streams.remove(handle.value)

    def _cuStreamSynchronize(self, handle: Any) -> None: ...

    def _cuStreamQuery(self, handle: Any) -> None: ...

    def _cuEventCreate(self, handle: Any, flags: int) -> None:
        handle._obj.value = self._number()
        self.events[handle._obj.value] = 0

    def _cuStreamWaitEvent(self, handle: Any, event: Any, flags: int) -> None:
        self.course.append(("wait", handle.value or 0, event.value))

    def _cuEventSynchronize(self, handle: Any) -> None: ...

    def _cuEventQuery(self, handle: Any) -> None: ...

    def _cuEventRecord(self, handle: Any, stream: Any) -> None:
        self.course.append(("record", stream.value or 0, handle.value))
        self.events[handle.value] = time.perf_counter_ns()

    def _cuEventElapsedTime(self, milliseconds: Any, first: Any, second: Any) -> None:
        milliseconds._obj.value = (self.events[second.value] - self.events[first.value]) / 1e6

    def _cuEventDestroy_v2(self, handle: Any) -> None:
        del self.events[handle.value]

    def _cuMemcpyHtoDAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> None:
        self.course.append(("in", stream.value or 0, 0))
        ctypes.memmove(target.value, source.value, size.value)

    def _cuMemcpyDtoHAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> None:
        self.course.append(("out", stream.value or 0, 0))
        ctypes.memmove(target.value, source.value, size.value)

    def _cuMemcpyDtoDAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> None:
        self.course.append(("within", stream.value or 0, 0))
        ctypes.memmove(target.value, source.value, size.value)

    def _number(self) -> int:
        self._next += 1
        return self._next
