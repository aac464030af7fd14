"""Where a torch request's data lie: in host memory for the CPU, on one of four data paths for CUDA."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from .backend import StageTimes
from .staged import DATA_PATHS
from .torch_files import Call
from .torch_module import equal, leaves


class HostPath:
    """On the CPU: the call is the request, done when it returns. `fresh`: each is given copies, since the module writes into its input."""

    fresh = False

    def __init__(self, module: Any, call: Call, sets: Sequence[Sequence[Any]]) -> None:
        self._module, self._call, self._sets = module, call, sets
        self._arguments = [call(given) for given in sets]
        self.result: Any = None

    def issue(self, index: int, times: StageTimes | None) -> None:
        if times is None:
            positional, named = self._prepared(index)
            self.result = self._module(*positional, **named)
            return
        start = time.perf_counter_ns()
        positional, named = self._prepared(index)
        begun = time.perf_counter_ns()
        self.result = self._module(*positional, **named)
        times.compute = time.perf_counter_ns() - begun
        times.host = begun - start

    def _prepared(self, index: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not self.fresh:
            return self._arguments[index]
        return self._call([tensor.clone() for tensor in self._sets[index]])

    def complete(self, times: StageTimes | None) -> None:
        """The request was complete when `issue` returned."""


class CudaSteps:
    """The four steps on CUDA by torch's own copies, so that they are what a person's script would do."""

    copies, begin = True, None
    fresh = False  # copied in anew for each request

    def __init__(
        self, torch: Any, module: Any, call: Call, sets: Sequence[Sequence[Any]], device: str
    ) -> None:
        self._torch, self._module, self._call, self._sets, self._device = torch, module, call, sets, device
        self._given: list[Any] = []
        self._computed: Any = None
        self.result: Any = None

    def prepare(self, index: int) -> None:
        """Nothing, where the input already lies where the copy starts."""

    def copy_in(self, index: int) -> None:
        self._given = [tensor.to(self._device) for tensor in self._sets[index]]

    def compute(self, index: int) -> None:
        positional, named = self._call(self._given)
        self._computed = self._module(*positional, **named)

    def copy_out(self) -> None:
        self.result = [leaf.cpu() for leaf in leaves(self._torch, self._computed)]
        # As in a script, whose expression holds neither: kept, they would be a second input's memory while the next is copied.
        self._given, self._computed = [], None


class PinnedSteps(CudaSteps):
    """Through page-locked buffers and asynchronous copies."""

    def __init__(
        self, torch: Any, module: Any, call: Call, sets: Sequence[Sequence[Any]], device: str
    ) -> None:
        super().__init__(torch, module, call, sets, device)
        self._staging = [torch.empty_like(tensor, pin_memory=True) for tensor in sets[0]]
        self._given = [torch.empty_like(tensor, device=device) for tensor in sets[0]]
        self._landing: list[Any] = []

    def prepare(self, index: int) -> None:
        # Buffers made under inference mode are written to under it alone, and it holds for one thread: this may be another.
        with self._torch.inference_mode():
            for buffer, tensor in zip(self._staging, self._sets[index], strict=True):
                buffer.copy_(tensor)

    def copy_in(self, index: int) -> None:
        for target, buffer in zip(self._given, self._staging, strict=True):
            target.copy_(buffer, non_blocking=True)

    def copy_out(self) -> None:
        outputs = leaves(self._torch, self._computed)
        if len(self._landing) != len(outputs) or any(
            buffer.shape != leaf.shape or buffer.dtype != leaf.dtype
            for buffer, leaf in zip(self._landing, outputs, strict=True)
        ):
            # The first request, or a model whose output's size depends on its input.
            self._landing = [
                self._torch.empty(leaf.shape, dtype=leaf.dtype, pin_memory=True) for leaf in outputs
            ]
        for buffer, leaf in zip(self._landing, outputs, strict=True):
            buffer.copy_(leaf, non_blocking=True)
        self.result = self._landing


class PinnedReadySteps(PinnedSteps):
    """The input lies in page-locked memory already."""

    def prepare(self, index: int) -> None:
        """Nothing: that is this path."""

    def copy_in(self, index: int) -> None:
        for target, tensor in zip(self._given, self._sets[index], strict=True):
            target.copy_(tensor, non_blocking=True)


class ResidentSteps(CudaSteps):
    """Input and output stay on the GPU; an output of a CUDA graph until the next replay, which writes over it.

    `fresh`: the module writes into its input, so that a copy of it is part of the computation.
    """

    copies = False

    def copy_in(self, index: int) -> None:
        self._given = self._sets[index]  # type: ignore[assignment]

    def compute(self, index: int) -> None:
        if self.fresh:
            self._given = [tensor.clone() for tensor in self._sets[index]]
        super().compute(index)

    def copy_out(self) -> None:
        self.result = self._computed


class FirstSet:
    """The first request's input where requests read it, and as it was before."""

    def __init__(self, read: Sequence[Any], before: Sequence[Any]) -> None:
        self._read, self._before = read, before

    def protect(self, torch: Any, holders: Sequence[HostPath | CudaSteps]) -> bool:
        """Whether the module has written into it; it is then as it was again, and every request is given a copy.

        Others would get what those before have made of their input, which no client sends. The first of `holders` has made the request.
        """
        if all(equal(was, now.cpu()) for was, now in zip(self._before, self._read, strict=True)):
            return False
        # It may be the input itself.
        holders[0].result = [leaf.clone() for leaf in leaves(torch, holders[0].result)]
        for now, was in zip(self._read, self._before, strict=True):
            now.copy_(was)
        for holder in holders:
            holder.fresh = True
        return True


def placed(sets: Sequence[Sequence[Any]], path: str, device: str) -> Sequence[Sequence[Any]]:
    """The input sets where the data path has them before a request; all slots share them."""
    if path == "pinned-ready":
        return [[tensor.pin_memory() for tensor in given] for given in sets]
    if path == "device":
        return [[tensor.to(device) for tensor in given] for given in sets]
    return sets


CUDA_STEPS: dict[str, type[CudaSteps]] = dict(
    zip(DATA_PATHS, (CudaSteps, PinnedSteps, PinnedReadySteps, ResidentSteps), strict=True)
)
"""The steps by the name of the data path; they take the input sets as `placed` gives them."""
