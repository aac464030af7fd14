"""A fake NVML at the boundary of nvidia-ml-py: a scripted machine that answers the functions which infertop
calls.

Structures, constants and errors are nvidia-ml-py's own; functions are the machine's, so that a call which the
fake does not know fails as it would with an old driver. `test_nvml.py` compares the signatures with the real
module's.
"""

# ruff: noqa: A002, N802, N803 (the names are NVML's)

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
NO_PERMISSION = pynvml.NVML_ERROR_NO_PERMISSION
FUNCTION_NOT_FOUND = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
GPU_IS_LOST = pynvml.NVML_ERROR_GPU_IS_LOST

DOUBLE, UINT, ULONGLONG = (
    pynvml.NVML_VALUE_TYPE_DOUBLE,
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT,
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG,
)
_MEMBERS = {DOUBLE: "dVal", UINT: "uiVal", ULONGLONG: "ullVal"}

MIB = 1 << 20


@dataclass
class Gpu:
    """One GPU of the machine; a None is "not supported", `errors` makes a function fail with a code."""

    name: str
    uuid: str
    pci: str = "00000000:01:00.0"
    memory: int = 80 << 30
    used: int = 3 << 30
    capability: tuple[int, int] = (9, 0)
    util: tuple[int, int] = (97, 41)
    power_mw: int = 351_234
    limit_mw: int = 700_000
    temperature: int = 61
    clocks: dict[int, int] = field(default_factory=lambda: {1: 1980, 2: 2619})
    clocks_max: dict[int, int] = field(default_factory=lambda: {1: 1980, 2: 2619})
    reasons: int = 0x4
    energy_mj: int = 123_456_789
    fields: dict[int, tuple[int, float]] = field(default_factory=dict)  # id → nvmlValueType_t, value
    link: tuple[int, int] = (5, 16)  # generation, lanes now
    link_max: tuple[int, int] = (5, 16)
    gpm: dict[int, float] | None = None  # id → value, in the driver's unit
    gpm_errors: dict[int, int] = field(default_factory=dict)
    pcie_kb: tuple[int, int] | None = None  # legacy KB/s: sent, received
    processes: list[tuple[int, int | None]] | None = field(default_factory=list)
    drawing: list[tuple[int, int | None]] | None = field(default_factory=list)
    mig: bool = False
    slices: list[Gpu] = field(default_factory=list)  # with MIG on: what it is cut into
    slice: bool = False  # it is one of those
    errors: dict[str, int] = field(default_factory=dict)
    lost: int = 0  # an error code while it is lost


def h100(uuid: str = "GPU-11111111", **changes: Any) -> Gpu:
    """An H100 as one answered: GPM, and byte counters of 32 bits."""
    gpm = {
        2: 50.25,
        3: 7.5,
        5: 48.7,
        7: 48.5,
        9: 0.0,
        10: 17.25,
        11: 0.0,
        12: 1.5,
        13: 2.5,
        20: 3304.0,
        21: 55311.0,
    }
    fields: dict[int, tuple[int, float]] = {
        74: (ULONGLONG, 5_000_000_000),
        76: (ULONGLONG, 0),
        269: (ULONGLONG, 7_000_000),
        270: (ULONGLONG, 8_000_000),
        271: (ULONGLONG, 9_000_000),
        186: (UINT, 361_500),
        197: (UINT, 4_000_000_000),
        198: (UINT, 1_000_000_000),
    }
    return Gpu("NVIDIA H100 80GB HBM3", uuid, gpm=gpm, fields=fields, gpm_errors={60: 3, 61: 3}, **changes)


def rtx4050(uuid: str = "GPU-40504050", **changes: Any) -> Gpu:
    """A laptop's RTX 4050: no GPM, no byte counters, its desktop drawn on it, link trained down while idle."""
    settings: dict[str, Any] = {
        "memory": 6 << 30,
        "used": 1 << 30,
        "capability": (8, 9),
        "limit_mw": 60_000,
        "link": (1, 8),
        "link_max": (4, 8),
        "pcie_kb": (1_500_000, 9_000_000),
        "fields": {74: (ULONGLONG, 0), 186: (UINT, 12_000)},
        "drawing": [(999_999_001, 200 << 20)],
    }
    return Gpu("NVIDIA GeForce RTX 4050 Laptop GPU", uuid, **(settings | changes))


def l4(uuid: str = "GPU-44444444", **changes: Any) -> Gpu:
    """An L4: no GPM, byte counters of 64 bits."""
    settings: dict[str, Any] = {
        "memory": 24 << 30,
        "capability": (8, 9),
        "limit_mw": 72_000,
        "link": (4, 16),
        "link_max": (4, 16),
        "fields": {
            74: (ULONGLONG, 1),
            186: (UINT, 50_000),
            197: (ULONGLONG, 10**12),
            198: (ULONGLONG, 5 * 10**12),
        },
        "pcie_kb": (1, 1),
    }
    return Gpu("NVIDIA L4", uuid, **(settings | changes))


def a100(uuid: str = "GPU-00a10000", **changes: Any) -> Gpu:
    """An A100: a data-centre GPU of before GPM, whose byte counters have 32 bits; no counter of the newer reasons."""
    settings: dict[str, Any] = {
        "capability": (8, 0),
        "limit_mw": 400_000,
        "clocks": {1: 1410, 2: 1593},
        "clocks_max": {1: 1410, 2: 1593},
        "link": (4, 16),
        "link_max": (4, 16),
        "fields": {74: (ULONGLONG, 2_000_000), 76: (ULONGLONG, 0), 197: (UINT, 1), 198: (UINT, 2)},
        "pcie_kb": (2_000_000, 20_000_000),
    }
    return Gpu("NVIDIA A100-SXM4-80GB", uuid, **(settings | changes))


def mig_slice(uuid: str = "MIG-51ce0000", **changes: Any) -> Gpu:
    """A slice of an H100, 1g.10gb: memory of its own, and nothing else that NVML would tell."""
    settings: dict[str, Any] = {"memory": 10 << 30, "used": 1 << 30, "slice": True}
    return Gpu("NVIDIA H100 80GB HBM3 MIG 1g.10gb", uuid, **(settings | changes))


SLICE_KNOWS = {
    "nvmlDeviceGetUUID", "nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetComputeRunningProcesses",
}  # fmt: skip
"""What NVML answers for the handle of a slice (nvml.h: the others are for the whole GPU, or not supported with MIG)."""


@dataclass
class Handle:
    """What NVML hands out for a device; of no use after a shutdown."""

    gpu: Gpu
    life: int


class Machine:
    """Stands in for the module `pynvml`."""

    def __init__(
        self,
        *gpus: Gpu,
        driver: str = "580.159.04",
        init_error: int = 0,
        missing: Iterable[str] = (),
    ) -> None:
        self.gpus = list(gpus)
        self.driver = driver
        self.init_error = init_error
        self.missing = set(missing)  # functions that the driver's library does not have
        self.now_ns = 1_000_000_000_000
        self.energy_ns: Callable[[int], int] = lambda now: (
            3_000_000
        )  # what the energy counter takes, by the time
        self.life = 0  # how often NVML was initialised
        self.up = False
        self.called: list[str] = []
        self.hang: dict[str, threading.Event] = {}  # a function that does not return before its event
        self.entered = threading.Event()  # some call hangs
        self._gpm_samples: dict[int, tuple[Gpu, int] | None] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(pynvml, name)
        if name.startswith("nvml") and callable(value) and not isinstance(value, type):
            return self._unknown(name)
        return value

    def _unknown(self, name: str) -> Callable[..., Any]:
        def absent(*_arguments: Any) -> Any:
            raise pynvml.NVMLError(FUNCTION_NOT_FOUND)

        self.called.append(name)
        return absent

    def clock(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)

    def _enter(self, name: str, handle: Handle | None = None) -> Gpu:
        """What every function does first: hang, fail, or find the device."""
        self.called.append(name)
        if name in self.hang:
            self.entered.set()
            self.hang[name].wait(60)
        if name in self.missing:
            raise pynvml.NVMLError(FUNCTION_NOT_FOUND)
        if not self.up:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
        if handle is None:
            return Gpu("", "")
        if handle.life != self.life:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        if handle.gpu.slice and name not in SLICE_KNOWS:
            raise pynvml.NVMLError(NOT_SUPPORTED)
        code = handle.gpu.lost or handle.gpu.errors.get(name, 0)
        if code:
            raise pynvml.NVMLError(code)
        return handle.gpu

    # Life

    def nvmlInit(self) -> None:
        self.called.append("nvmlInit")
        if "nvmlInit" in self.hang:
            self.hang["nvmlInit"].wait(60)
        if self.init_error:
            raise pynvml.NVMLError(self.init_error)
        self.up = True
        self.life += 1

    def nvmlShutdown(self) -> None:
        self._enter("nvmlShutdown")
        self.up = False
        self._gpm_samples.clear()

    def nvmlSystemGetDriverVersion(self) -> str:
        self._enter("nvmlSystemGetDriverVersion")
        return self.driver

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        self._enter("nvmlSystemGetCudaDriverVersion_v2")
        return 13000

    # Devices

    def nvmlDeviceGetCount(self) -> int:
        self._enter("nvmlDeviceGetCount")
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Handle:
        self._enter("nvmlDeviceGetHandleByIndex")
        return Handle(self.gpus[index], self.life)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Handle:
        self._enter("nvmlDeviceGetHandleByUUID")
        for gpu in self.gpus:
            if gpu.uuid == uuid and not gpu.lost:
                return Handle(gpu, self.life)
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetUUID(self, handle: Handle) -> str:
        return self._enter("nvmlDeviceGetUUID", handle).uuid

    def nvmlDeviceGetName(self, handle: Handle) -> str:
        return self._enter("nvmlDeviceGetName", handle).name

    def nvmlDeviceGetMigMode(self, device: Handle) -> list[int]:
        gpu = self._enter("nvmlDeviceGetMigMode", device)
        return [int(gpu.mig), int(gpu.mig)]

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Handle) -> int:
        return 7 if self._enter("nvmlDeviceGetMaxMigDeviceCount", device).mig else 0

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Handle, index: int) -> Handle:
        slices = self._enter("nvmlDeviceGetMigDeviceHandleByIndex", device).slices
        if index >= len(slices):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return Handle(slices[index], self.life)

    def nvmlDeviceGetPciInfo(self, handle: Handle) -> Any:
        return SimpleNamespace(busId=self._enter("nvmlDeviceGetPciInfo", handle).pci.encode())

    def nvmlDeviceGetCudaComputeCapability(self, handle: Handle) -> tuple[int, int]:
        return self._enter("nvmlDeviceGetCudaComputeCapability", handle).capability

    def nvmlDeviceGetMemoryInfo(self, handle: Handle, version: int | None = None) -> Any:
        name = "nvmlDeviceGetMemoryInfo" + ("_v2" if version else "")
        gpu = self._enter(name, handle)
        return SimpleNamespace(total=gpu.memory, used=gpu.used if version else gpu.used + (500 << 20))

    # Readings

    def nvmlDeviceGetUtilizationRates(self, handle: Handle) -> Any:
        gpu = self._enter("nvmlDeviceGetUtilizationRates", handle)
        if gpu.mig:
            raise pynvml.NVMLError(NOT_SUPPORTED)
        return SimpleNamespace(gpu=gpu.util[0], memory=gpu.util[1])

    def nvmlDeviceGetPowerUsage(self, handle: Handle) -> int:
        return self._enter("nvmlDeviceGetPowerUsage", handle).power_mw

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: Handle) -> int:
        return self._enter("nvmlDeviceGetEnforcedPowerLimit", handle).limit_mw

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Handle) -> int:
        gpu = self._enter("nvmlDeviceGetTotalEnergyConsumption", handle)
        self.now_ns += self.energy_ns(self.now_ns)
        return gpu.energy_mj

    def nvmlDeviceGetTemperatureV(self, handle: Handle, sensor: int, version: int = 0) -> int:
        return self._enter("nvmlDeviceGetTemperatureV", handle).temperature

    def nvmlDeviceGetTemperature(self, handle: Handle, sensor: int) -> int:
        return self._enter("nvmlDeviceGetTemperature", handle).temperature

    def nvmlDeviceGetClockInfo(self, handle: Handle, type: int) -> int:
        return self._enter("nvmlDeviceGetClockInfo", handle).clocks[type]

    def nvmlDeviceGetMaxClockInfo(self, handle: Handle, type: int) -> int:
        return self._enter("nvmlDeviceGetMaxClockInfo", handle).clocks_max[type]

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: Handle) -> int:
        return self._enter("nvmlDeviceGetCurrentClocksEventReasons", handle).reasons

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Handle) -> int:
        return self._enter("nvmlDeviceGetCurrentClocksThrottleReasons", handle).reasons

    def nvmlDeviceGetCurrPcieLinkGeneration(self, handle: Handle) -> int:
        return self._enter("nvmlDeviceGetCurrPcieLinkGeneration", handle).link[0]

    def nvmlDeviceGetCurrPcieLinkWidth(self, handle: Handle) -> int:
        return self._enter("nvmlDeviceGetCurrPcieLinkWidth", handle).link[1]

    def nvmlDeviceGetMaxPcieLinkGeneration(self, handle: Handle) -> int:
        return self._enter("nvmlDeviceGetMaxPcieLinkGeneration", handle).link_max[0]

    def nvmlDeviceGetMaxPcieLinkWidth(self, handle: Handle) -> int:
        return self._enter("nvmlDeviceGetMaxPcieLinkWidth", handle).link_max[1]

    def nvmlDeviceGetFieldValues(self, handle: Handle, fieldIds: Iterable[int]) -> Any:
        gpu = self._enter("nvmlDeviceGetFieldValues", handle)
        ids = list(fieldIds)
        values = (pynvml.c_nvmlFieldValue_t * len(ids))()
        for value, number in zip(values, ids, strict=True):
            value.fieldId = number
            if number in gpu.fields:
                value.valueType, content = gpu.fields[number]
                setattr(value.value, _MEMBERS[value.valueType], content)
            else:
                value.nvmlReturn = NOT_SUPPORTED
        return values

    def nvmlDeviceGetPcieThroughput(self, device: Handle, counter: int) -> int:
        gpu = self._enter("nvmlDeviceGetPcieThroughput", device)
        if gpu.pcie_kb is None:
            raise pynvml.NVMLError(NOT_SUPPORTED)
        self.now_ns += 21_000_000
        return gpu.pcie_kb[counter]

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Handle) -> list[Any]:
        return self._listed(self._enter("nvmlDeviceGetComputeRunningProcesses", handle).processes)

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: Handle) -> list[Any]:
        return self._listed(self._enter("nvmlDeviceGetGraphicsRunningProcesses", handle).drawing)

    def _listed(self, processes: list[tuple[int, int | None]] | None) -> list[Any]:
        if processes is None:
            raise pynvml.NVMLError(NOT_SUPPORTED)
        return [SimpleNamespace(pid=pid, usedGpuMemory=memory) for pid, memory in processes]

    # GPM

    def nvmlGpmQueryDeviceSupport(self, device: Handle) -> Any:
        gpu = self._enter("nvmlGpmQueryDeviceSupport", device)
        return SimpleNamespace(isSupportedDevice=int(gpu.gpm is not None))

    def nvmlGpmSampleAlloc(self) -> Any:
        self._enter("nvmlGpmSampleAlloc")
        address = 0x1000 * (len(self._gpm_samples) + 1) + self.life
        self._gpm_samples[address] = None
        return ctypes.cast(address, pynvml.c_nvmlGpmSample_t)

    def nvmlGpmSampleFree(self, gpmSample: Any) -> None:
        self._enter("nvmlGpmSampleFree")
        del self._gpm_samples[_address(gpmSample)]

    def nvmlGpmSampleGet(self, device: Handle, gpmSample: Any) -> Any:
        gpu = self._enter("nvmlGpmSampleGet", device)
        if _address(gpmSample) not in self._gpm_samples:
            raise AssertionError("a GPM sample of before a shutdown would crash the process")
        self._gpm_samples[_address(gpmSample)] = (gpu, self.now_ns)
        return gpmSample

    def nvmlGpmMetricsGet(self, metricsGet: Any) -> Any:
        self._enter("nvmlGpmMetricsGet")
        older = self._gpm_samples[_address(metricsGet.sample1)]
        newer = self._gpm_samples[_address(metricsGet.sample2)]
        if metricsGet.version != 1 or older is None or newer is None or newer[1] - older[1] <= 100_000_000:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        gpu = newer[0]
        for place in range(metricsGet.numMetrics):
            number = metricsGet.metrics[place].metricId
            metricsGet.metrics[place].nvmlReturn = gpu.gpm_errors.get(number, 0)
            metricsGet.metrics[place].value = (gpu.gpm or {}).get(number, 0.0)
            metricsGet.metrics[place].metricInfo.unit = b"MiB/s" if number >= 20 else b"%"
        return metricsGet


def _address(sample: Any) -> int:
    return ctypes.cast(sample, ctypes.c_void_p).value or 0
