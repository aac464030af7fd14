"""NVML over nvidia-ml-py: devices, and readings that are a value or nothing with a status. Usable by itself.

Every call goes through `Nvml.call`, which turns error codes into statuses: what can never be read is
remembered and not asked again, what needs rights says so, "nothing this time" is no error, and a lost GPU
ends its own readings only. Devices are known by UUID: NVML's order is neither stable nor CUDA's.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

OPEN_PATIENCE_S = 10.0
"""Attaching to a GPU without persistence mode takes seconds; a driver that hangs takes for ever."""

ReadingStatus = Literal["ok", "absent", "permission", "empty", "lost", "error"]

# NVML return codes (nvml.h), by what they ask of the reader (DCGM, all-smi and gpustat sort them alike).
_ABSENT = {
    3: "this GPU does not support it",
    13: "this driver is too old for it",
    25: "this driver is too old for it",
    26: "this driver no longer gives it",
}
_PERMISSION = {4, 17}
_EMPTY = {6, 10, 21, 27}
_LOST = {1, 9, 15, 16, 18}

_OPEN_REASONS = {
    4: "no permission to use the NVIDIA driver: this user may not open /dev/nvidiactl",
    9: "the NVIDIA driver is not loaded",
    12: "no NVML library: no NVIDIA driver is installed here",
    17: "the operating system does not let this process use the NVIDIA driver",
    18: "the NVIDIA driver was updated since it was loaded: restart the machine or reload its modules",
    999: "NVML reports an unknown error: a container that lost its GPU must be started again",
}


class Reading(NamedTuple):
    """A value, or None with why: `absent` for ever, `permission`, `empty` this time, `lost` with its GPU,
    `error`.
    """

    value: Any
    status: ReadingStatus = "ok"
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.status == "ok"


def classify(code: int, words: str) -> Reading:
    """What an NVML return code other than 0 means for a reading; `words` is NVML's own text for it."""
    if code in _ABSENT:
        return Reading(None, "absent", _ABSENT[code])
    if code in _PERMISSION:
        return Reading(None, "permission", f"this user may not read it ({words})")
    if code in _EMPTY:
        return Reading(None, "empty", words)
    if code in _LOST:
        return Reading(None, "lost", words)
    return Reading(None, "error", words)


@dataclass
class Timing:
    """How often a call was made and how long it took, ns."""

    count: int = 0
    total_ns: int = 0
    longest_ns: int = 0

    def add(self, spent_ns: int) -> None:
        self.count += 1
        self.total_ns += spent_ns
        if spent_ns > self.longest_ns:
            self.longest_ns = spent_ns


@dataclass
class Device:
    """One GPU. `handle` is replaced when NVML is started again; the UUID stays."""

    index: int  # NVML's
    uuid: str
    handle: Any
    name: str = ""
    mig: bool = False
    lost: str = ""  # why it gives nothing at present
    absent: dict[Any, Reading] = field(default_factory=dict)


class Nvml:
    """NVML, initialised once. Without one, `devices` is empty and `reason()` says why; nothing raises."""

    def __init__(self, api: Any = None, *, patience_s: float = OPEN_PATIENCE_S) -> None:
        self.calls = 0
        self.timings: dict[str, Timing] = {}
        self.devices: list[Device] = []
        self.driver: str | None = None
        self._cuda: int | None = None
        self._reason = ""
        self._up = False
        self.api = api
        # A driver that hangs cannot be interrupted: its thread is left, and what it may still find is not
        # used.
        found: list[Device] = []
        opening = threading.Thread(target=self._open, args=(found,), name="infertop-nvml", daemon=True)
        opening.start()
        opening.join(patience_s)
        if opening.is_alive():
            self._reason = f"NVML has not answered within {patience_s:g} s: the NVIDIA driver hangs"
        else:
            self.devices = found

    def reason(self) -> str:
        """Why there is no GPU to read, one sentence; empty where there is one."""
        return self._reason

    @property
    def cuda(self) -> str | None:
        """The newest CUDA that the driver can run, as "13.0"."""
        return f"{self._cuda // 1000}.{self._cuda % 1000 // 10}" if self._cuda else None

    @property
    def driver_major(self) -> int:
        head = (self.driver or "").partition(".")[0]
        return int(head) if head.isdigit() else 0

    def _open(self, found: list[Device]) -> None:
        if self.api is None:
            try:
                import pynvml
            except ImportError:
                self._reason = "nvidia-ml-py is not installed: pip install nvidia-ml-py"
                return
            self.api = pynvml
        if not self._start():
            return
        count = self.call("nvmlDeviceGetCount").value or 0
        found += [device for device in map(self._device, range(count)) if device is not None]
        if not found:
            self._reason = "the NVIDIA driver lists no GPU"

    def _start(self) -> bool:
        """nvmlInit; False leaves the reason."""
        begun = self._try("nvmlInit")
        if isinstance(begun, int):
            words = self._words(begun)
            self._reason = _OPEN_REASONS.get(begun, f"NVML cannot be initialised: {words}")
            return False
        self._up = True
        self._reason = ""
        self.driver = text_of(self.call("nvmlSystemGetDriverVersion").value)
        self._cuda = self.call("nvmlSystemGetCudaDriverVersion_v2").value
        return True

    def _device(self, index: int) -> Device | None:
        """The device at an index of NVML's; None where this user may not see it or it is lost."""
        handle = self.call("nvmlDeviceGetHandleByIndex", index)
        uuid = self.call("nvmlDeviceGetUUID", handle.value) if handle.ok else handle
        if not uuid.ok:
            return None
        device = Device(index, text_of(uuid.value) or "", handle.value)
        device.name = text_of(self.read(device, "nvmlDeviceGetName").value) or ""
        mig = self.read(device, "nvmlDeviceGetMigMode").value
        device.mig = bool(mig and mig[0])
        return device

    def _words(self, code: int) -> str:
        return str(self.api.NVMLError(code))

    def _try(self, name: str, *arguments: Any) -> Reading | int:
        """What the call gives, or NVML's error code; timed."""
        function = getattr(self.api, name, None)
        if function is None:
            return 13  # this version of nvidia-ml-py has no such function
        timing = self.timings.get(name) or self.timings.setdefault(name, Timing())
        self.calls += 1
        began = time.perf_counter_ns()
        try:
            return Reading(function(*arguments))
        except self.api.NVMLError as error:
            return int(error.value)
        finally:
            timing.add(time.perf_counter_ns() - began)

    def call(self, name: str, *arguments: Any) -> Reading:
        """Call one of nvidia-ml-py's functions by name."""
        result = self._try(name, *arguments)
        return classify(result, self._words(result)) if isinstance(result, int) else result

    def read(self, device: Device, name: str, *arguments: Any) -> Reading:
        """Ask a device; what it can never answer is not asked again, and a lost device is asked nothing."""
        if device.lost:
            return Reading(None, "lost", device.lost)
        key = (name, *[argument for argument in arguments if isinstance(argument, (int, tuple))])
        known = device.absent.get(key)
        if known is not None:
            return known
        return self._settle(device, key, self.call(name, device.handle, *arguments))

    def fields(self, device: Device, ids: Sequence[int]) -> list[Reading]:
        """Field values of a device by id, each with its own status; the reason of a 32-bit integer says that
        it is one.
        """
        batch = self.read(device, "nvmlDeviceGetFieldValues", tuple(ids))
        if not batch.ok:
            return [batch] * len(ids)
        readings: list[Reading] = []
        for number, value in zip(ids, batch.value, strict=True):
            code = int(value.nvmlReturn)
            reading = classify(code, self._words(code)) if code else self._field(value)
            readings.append(self._settle(device, ("field", number), reading))
        return readings

    def _field(self, value: Any) -> Reading:
        """A field's number by its own type (nvmlValueType_t); a 32-bit integer is marked, since it wraps
        soon.
        """
        member = _FIELD_TYPES.get(int(value.valueType))
        if member is None:
            return Reading(None, "absent", f"its type {value.valueType} is unknown")
        return Reading(getattr(value.value, member), "ok", "" if member in _WIDE else NARROW)

    def _settle(self, device: Device, key: Any, reading: Reading) -> Reading:
        if reading.status == "absent":
            if device.mig:
                reading = reading._replace(reason=f"{reading.reason} while MIG is on")
            device.absent[key] = reading
        elif reading.status == "lost":
            device.lost = reading.reason
        return reading

    def restart(self) -> bool:
        """Shut NVML down and start it again, with new handles for every device by UUID; whether it came up."""
        if self._up:
            self._try("nvmlShutdown")
            self._up = False
        if not self._start():
            for device in self.devices:
                device.lost = self._reason
            return False
        for device in self.devices:
            handle = self.call("nvmlDeviceGetHandleByUUID", device.uuid)
            device.lost = "" if handle.ok else handle.reason
            device.handle = handle.value
        return True

    def close(self) -> None:
        """Shut NVML down."""
        if self._up:
            self._try("nvmlShutdown")
            self._up = False

    def memory(self, device: Device) -> Reading:
        """`nvmlMemory_t`; version 2, which counts what the driver reserves apart, where the driver has it."""
        newer = self.read(device, "nvmlDeviceGetMemoryInfo", self.api.nvmlMemory_v2)
        return self.read(device, "nvmlDeviceGetMemoryInfo") if newer.status == "absent" else newer


_FIELD_TYPES = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}
_WIDE = {"dVal", "ullVal", "sllVal"} | ({"ulVal"} if ctypes.sizeof(ctypes.c_ulong) == 8 else set())
NARROW = "32 bits"
"""The reason of a field that is an integer of 32 bits: as a byte counter it wraps every 4 GiB."""


def text_of(value: str | bytes | None) -> str | None:
    """Older versions of the binding return bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
