"""Who else is on a GPU: processes with their memory, as far as this place can see them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from .host import container
from .nvml import Device, Nvml, Reading

NOT_YET = "not looked at yet"
_FIRST_PID_NAMESPACE = "pid:[4026531836]"  # Linux: PROC_PID_INIT_INO, the same on every machine


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds memory of a GPU. `own`: infertop's engine or one of its workers."""

    pid: int
    name: str  # empty where this user cannot see it
    memory: int | None  # bytes; None where the driver does not say
    own: bool


@dataclass(frozen=True, slots=True)
class Tenants:
    """The processes on a GPU. `unknown` says why there may be more, or others, than are listed; empty where
    all are.
    """

    processes: tuple[GpuProcess, ...] = ()
    unknown: str = NOT_YET

    @property
    def alone(self) -> bool | None:
        """Whether nobody else is there; None where that cannot be known."""
        if self.unknown:
            return None
        return all(process.own for process in self.processes)

    @property
    def other_memory(self) -> int | None:
        """Bytes that others hold; None where that cannot be known."""
        others = [process.memory for process in self.processes if not process.own]
        if self.unknown or None in others:
            return None
        return sum(memory for memory in others if memory is not None)


def blindness(root: Path = Path("/")) -> str:
    """Why processes on a GPU cannot be told apart from here; empty where they can.

    The driver gives process ids of the machine. In a container ours are others, and it may list none at all.
    """
    shut_in = container(root)
    if shut_in == "wsl2":
        return "what Windows runs on the GPU cannot be seen from WSL2"
    try:
        namespace = os.readlink(root / "proc/self/ns/pid")
    except OSError:
        return ""
    if namespace == _FIRST_PID_NAMESPACE:
        return ""
    return "other processes on the GPU cannot be told apart from inside this container"


def read(nvml: Nvml, device: Device, own: Iterable[int], blind: str) -> tuple[Reading, Tenants]:
    """The processes on a device now, and what the driver said when asked for them.

    `own` are the ids of the engine and its workers, `blind` as `blindness` says.
    """
    mine = set(own)
    computing = nvml.read(device, "nvmlDeviceGetComputeRunningProcesses")
    if not computing.ok:
        return computing, Tenants(unknown=f"the driver does not list processes: {computing.reason}")
    drawing = nvml.read(device, "nvmlDeviceGetGraphicsRunningProcesses")
    memory: dict[int, int | None] = {
        process.pid: process.usedGpuMemory for process in [*computing.value, *(drawing.value or [])]
    }
    found = tuple(
        GpuProcess(pid, "" if blind else _name(pid), used, not blind and pid in mine)
        for pid, used in sorted(memory.items())
    )
    return computing, Tenants(found, blind)


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""
