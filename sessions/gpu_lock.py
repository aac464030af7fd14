"""One infertop measures on a GPU at a time: a lock per GPU in the runtime directory, which the kernel lets go when its holder dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ..backends.errors import MeasureError
from .places import runtime_directory

if TYPE_CHECKING:  # the screen needs this module's names where there is nothing to look with
    from .instruments import Instruments

BUSY = "gpu-busy"
"""Kind of the error where somebody else has the GPU."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a GPU: its session's name (empty where it has not said yet) and its process."""

    session: str = ""
    pid: int | None = None

    def __str__(self) -> str:
        who = f"the session {self.session}" if self.session else "another infertop"
        return who if self.pid is None else f"{who} (process {self.pid})"


def busy(gpu: str, holder: Holder) -> MeasureError:
    """What to tell a person; `gpu` is the prefix in the metric table."""
    return MeasureError(
        BUSY,
        f"{holder} measures on GPU {gpu.removeprefix('gpu')}, and two at once would measure each other",
        f"wait for it, or end it: infertop stop {holder.session}" if holder.session else "wait for it",
    )


class GpuLocks:
    """The GPUs that this engine has, by UUID."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._held: dict[str, int] = {}

    def take(self, uuid: str) -> Holder | None:
        """Have this GPU from now on; None where that is so, else who has it. Where files cannot be locked nobody is kept out."""
        import fcntl  # measuring is Linux's alone

        if uuid in self._held:
            return None
        path = runtime_directory() / f"{uuid}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.pread(descriptor, 4096, 0)
            os.close(descriptor)
            return _read(said)
        except OSError:
            os.close(descriptor)
            return None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode({"session": self._session, "pid": os.getpid()}), 0)
        self._held[uuid] = descriptor
        return None

    def keep(self, uuids: Collection[str] = ()) -> None:
        """Let go of all others."""
        for uuid in self._held.keys() - set(uuids):
            descriptor = self._held.pop(uuid)
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
            os.close(descriptor)


class Gpus:
    """The GPUs of an engine by the devices of its configurations. Its `instruments`, asked for each time, know their UUIDs."""

    def __init__(self, session: str, instruments: Callable[[], Instruments]) -> None:
        self._locks = GpuLocks(session)
        self._instruments = instruments

    def take(self, device: str, uuid: str | None = None) -> Holder | None:
        """Have the device's GPU, as far as its UUID or the device's number tells which that is; who has it instead."""
        instruments = self._instruments()
        uuid = uuid or instruments.uuid(instruments.gpu(device))
        return None if uuid is None else self._locks.take(uuid)

    def reserve(self, device: str, *, share: bool = False, uuid: str | None = None) -> str:
        """The same. Raises MeasureError where another infertop has it; who that is, in words, where it is to be shared."""
        holder = self.take(device, uuid)
        if holder is None:
            return ""
        if not share:
            raise busy(self._instruments().gpu(device, uuid) or device, holder)
        return str(holder)

    def free(self, devices: Iterable[str] = ()) -> None:
        """Let go of all where none of these devices, on which something of ours is loaded, is a GPU."""
        if not any(device.startswith("cuda") for device in devices):
            self._locks.keep()


def _read(said: bytes) -> Holder:
    try:
        return msgspec.json.decode(said, type=Holder)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return Holder()
