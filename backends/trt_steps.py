"""TensorRT requests: the steps of one on each data path, with one execution context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .backend import Input, Inputs
from .cuda import Driver
from .errors import MeasureError
from .inputs import storage
from .overlapped import Lanes
from .trt_graph import CapturedGraph
from .trt_memory import Gpu

Refused = Callable[[str], MeasureError]
"""What the runtime did not do, with its newest complaint."""


@dataclass(frozen=True)
class Output:
    """An output of an engine."""

    name: str
    dtype: str


class EngineSteps:
    """`execute_async_v3` between copies that we make ourselves; addresses and shapes are set once where they stay.

    Outputs whose shape only their values decide get memory for the largest that they can be.
    """

    begin = None

    def __init__(
        self,
        trt: Any,
        context: Any,
        gpu: Gpu,
        on: Lanes,
        inputs: Sequence[Input],
        outputs: Sequence[Output],
        sets: Sequence[Inputs],
        path: str,
        refused: Refused,
        graph: Driver | None = None,
    ) -> None:
        self._trt, self._context, self._gpu, self._on, self._refused = trt, context, gpu, on, refused
        self._inputs = inputs
        self.copies = path != "device"
        self._pinned = path.startswith("pinned")
        self._arrays = [[given[item.name] for item in inputs] for given in sets]
        self._staging = [gpu.pinned(a.shape, a.dtype) for a in self._arrays[0]] if path == "pinned" else []
        if path == "pinned-ready":
            self._arrays = [[self._pin(array) for array in given] for given in self._arrays]
        self._sources = [[gpu.host(array) for array in self._staging or given] for given in self._arrays]
        # One set of device buffers, or one for each set of inputs where those stay on the GPU.
        self._targets = [
            [gpu.allocate(a.nbytes) for a in given]
            for given in (self._arrays[:1] if self.copies else self._arrays)
        ]
        if not self.copies:
            for index, targets in enumerate(self._targets):
                self._send(index, targets)
            on.copy_in.synchronize()
        self._bound = -1  # the set whose addresses the context has
        self._bind_shapes()
        self._bind_inputs(0)
        self._results: list[
            tuple[int, np.ndarray, Any]
        ] = []  # device address, host array, the same for copies
        self._sized: dict[str, _Sized] = {}
        self._outputs = outputs
        for output in outputs:
            self._bind_output(output)
        self._graphs: list[CapturedGraph] = []
        if graph is not None:
            self._capture(graph)

    def prepare(self, index: int) -> None:
        for buffer, array in zip(self._staging, self._arrays[index], strict=False):
            np.copyto(buffer, array)

    def copy_in(self, index: int) -> None:
        if self.copies:
            self._send(index, self._targets[0])

    def compute(self, index: int) -> None:
        which = 0 if self.copies else index
        if self._graphs:
            self._graphs[which].launch()
            return
        if which != self._bound:
            self._bind_inputs(which)
        self._execute()

    def copy_out(self) -> None:
        if self.copies:
            for address, _, host in self._results:
                self._gpu.fetch(host, address, self._on.copy_out)

    @property
    def bytes_out(self) -> int:
        """What a request copies out: of an output whose shape its values decide, the most that it can be."""
        return sum(array.nbytes for _, array, _ in self._results)

    def outputs(self) -> list[np.ndarray]:
        """The last request's outputs; bfloat16 widened to float32."""
        if not self.copies:
            for address, _, host in self._results:
                self._gpu.fetch(host, address, self._on.copy_out)
        self._on.copy_out.synchronize()
        found = []
        for output, (_, array, _) in zip(self._outputs, self._results, strict=True):
            sized = self._sized.get(output.name)
            if sized is not None:
                array = array.reshape(-1)[: int(np.prod(sized.shape, dtype=np.int64))].reshape(sized.shape)
            wide = output.dtype == "bfloat16"
            found.append((array.astype(np.uint32) << 16).view(np.float32) if wide else array.copy())
        return found

    def close(self) -> None:
        """Graphs go before the context whose work they hold."""
        for graph in self._graphs:
            graph.close()
        self._graphs = []

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._on.compute.address):
            raise self._refused("did not start the request")

    def _capture(self, driver: Driver) -> None:
        """A graph for each set of addresses, after a run outside: the first allocates, which no capture may."""
        if self._sized:
            raise MeasureError(
                "unsupported",
                f"the shape of output {next(iter(self._sized))} depends on the values, which no CUDA graph can follow",
                "leave --backend-option cuda_graph out",
            )
        for which in range(len(self._targets)):
            self._bind_inputs(which)
            self._execute()
            # TensorRT-RTX knows beforehand; of TensorRT the capture itself tells.
            capturable = getattr(self._context, "is_stream_capturable", None)
            if capturable is not None and not capturable(self._on.compute.address):
                raise MeasureError(
                    "unsupported",
                    "this engine cannot be captured in a CUDA graph",
                    "leave --backend-option cuda_graph out",
                )
            self._on.compute.synchronize()
            self._graphs.append(CapturedGraph(driver, self._on.compute.address, self._execute, "this engine"))

    def _pin(self, array: np.ndarray) -> np.ndarray:
        pinned = self._gpu.pinned(array.shape, array.dtype)
        np.copyto(pinned, array)
        return pinned

    def _send(self, index: int, targets: Sequence[int]) -> None:
        for target, source in zip(targets, self._sources[index], strict=True):
            self._gpu.send(target, source, self._on.copy_in)

    def _bind_shapes(self) -> None:
        for item in self._inputs:
            if not self._context.set_input_shape(item.name, item.shape):
                raise self._refused(f"does not take the shape of input {item.name}")
        lacking = self._context.infer_shapes()
        if lacking:
            raise self._refused(f"lacks the shape of {lacking[0]}")

    def _bind_inputs(self, which: int) -> None:
        for item, address in zip(self._inputs, self._targets[which], strict=True):
            if not self._context.set_tensor_address(item.name, address):
                raise self._refused(f"does not take input {item.name}")
        self._bound = which

    def _bind_output(self, output: Output) -> None:
        shape = tuple(self._context.get_tensor_shape(output.name))
        dtype = storage(output.dtype)
        if any(size < 0 for size in shape):
            most = int(self._context.get_max_output_size(output.name))
            address = self._gpu.allocate(most)
            shape = (most // dtype.itemsize,)
            self._sized[output.name] = _Sized(self._trt, address, most)
            taken = self._context.set_output_allocator(output.name, self._sized[output.name].allocator)
        else:
            address = self._gpu.allocate(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
            taken = self._context.set_tensor_address(output.name, address)
        if not taken:
            raise self._refused(f"does not take memory for output {output.name}")
        array = self._gpu.pinned(shape, dtype) if self._pinned else np.empty(shape, dtype)
        self._results.append((address, array, self._gpu.host(array)))


class _Sized:
    """Memory for an output of unknown shape, and the shape that it last had."""

    def __init__(self, trt: Any, address: int, most: int) -> None:
        self.shape: tuple[int, ...] = (0,)
        sized = self

        class Allocator(trt.IOutputAllocator):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.IOutputAllocator.__init__(self)

            def reallocate_output(self, tensor_name: str, memory: int, size: int, alignment: int) -> int:
                # Zero is *no memory*: the request fails instead of writing past the end.
                return address if size <= most else 0

            def reallocate_output_async(
                self, tensor_name: str, memory: int, size: int, alignment: int, stream: int
            ) -> int:
                return self.reallocate_output(tensor_name, memory, size, alignment)

            def notify_shape(self, tensor_name: str, shape: Any) -> None:
                sized.shape = tuple(shape)

        self.allocator = Allocator()
