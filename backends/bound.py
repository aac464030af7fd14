"""ONNX Runtime requests over bound device buffers: the steps of a request on each data path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .backend import Input, Inputs
from .cuda import Device
from .errors import MeasureError
from .graph import TYPES
from .inputs import storage
from .overlapped import Lanes

_NUMBERS = {name: number for number, name in TYPES.items()}


class BoundSteps:
    """`run_with_iobinding` between copies that we make ourselves, around the stream that the session computes on.

    `run()` hides its copies; done explicitly they can be timed, and the outputs are the same. `kind` is the device as
    onnxruntime calls it. `first` is the first slot's, where there are several: inputs that no request changes are shared with it.
    `replays` are run options for each input set in turn, where the session records a CUDA graph for each: a graph has the
    addresses that it was recorded with, so that requests with other buffers need another one. `at_once` is given where `run_options`
    leave onnxruntime's own synchronisation on, and are the same without: that it waits is believed where the stream is idle after each
    run in which buffers are tried.
    """

    def __init__(
        self,
        session: Any,
        run_options: Any,
        device: Device,
        lanes: Lanes,
        inputs: Sequence[Input],
        outputs: Sequence[str],
        sets: Sequence[Inputs],
        path: str,
        kind: str = "cuda",
        first: BoundSteps | None = None,
        replays: Sequence[Any] = (),
        at_once: Any = None,
    ) -> None:
        self._session, self._run_options, self._device, self._lanes = session, run_options, device, lanes
        self._inputs, self._names, self._kind = inputs, outputs, kind
        self._at_once = at_once
        self.copies = path != "device"
        self._waits = at_once is not None and not replays
        self._pinned = path.startswith("pinned")
        arrays = [[given[item.name] for item in inputs] for given in sets]
        self._sets = arrays
        self._staging = [device.pinned(a.shape, a.dtype) for a in arrays[0]] if path == "pinned" else []
        if first is not None:
            self._sets = first._sets
        elif path == "pinned-ready":
            self._sets = [[self._pin(array) for array in given] for given in arrays]
        # One set of device buffers, or one for each set of inputs where those stay on the GPU.
        self._targets: list[list[int]] = (
            first._targets
            if first is not None and not self.copies
            else [
                [device.allocate(a.nbytes) for a in given]
                for given in (arrays[:1] if self.copies else arrays)
            ]
        )
        self._bindings = [self._bind_inputs(addresses) for addresses in self._targets]
        self._sources = [[a.ctypes.data for a in self._staging or given] for given in self._sets]
        self._sizes = [a.nbytes for a in arrays[0]]
        if not self.copies and first is None:
            for index in range(len(arrays)):
                self._copy_set(index, self._targets[index])
            lanes.copy_in.synchronize()
        self._landing: dict[tuple[int, tuple[int, ...], str], np.ndarray] = {}
        self._results: list[tuple[int, np.ndarray, str]] = []  # device address, host array, type
        self._fixed = self._bind_outputs(len(arrays))
        self._options = list(replays) or [run_options] * len(self._bindings)
        if replays and not self._fixed:
            raise MeasureError(
                "unsupported",
                "the sizes of the model's outputs depend on its input, which a CUDA graph cannot follow",
                "leave --backend-option enable_cuda_graph out",
            )

    def prepare(self, index: int) -> None:
        for buffer, array in zip(self._staging, self._sets[index], strict=False):
            np.copyto(buffer, array)

    def copy_in(self, index: int) -> None:
        if self.copies:
            self._copy_set(index, self._targets[0])

    def compute(self, index: int) -> None:
        self._compute(index, self._options[0 if self.copies else index])

    @property
    def begin(self) -> Callable[[int], None] | None:
        """Made anew for each: kept, it would hold the session in a cycle."""
        return self._begin if self._waits else None

    def _begin(self, index: int) -> None:
        """How long issuing takes is to be timed, without onnxruntime's wait in it."""
        self._compute(index, self._at_once)

    def _compute(self, index: int, options: Any) -> None:
        binding = self._bindings[0 if self.copies else index]
        if not self._fixed:
            self._let_allocate(binding)
        self._session.run_with_iobinding(binding, options)
        if not self._fixed:
            self._results = self._allocated(binding)

    def copy_out(self) -> None:
        if self.copies:
            self._copy_results()

    @property
    def bytes_out(self) -> int:
        """What the last request copied out."""
        return sum(array.nbytes for _, array, _ in self._results)

    def outputs(self) -> list[np.ndarray]:
        """The last request's outputs; bfloat16 widened to float32."""
        if not self.copies:
            self._copy_results()
        self._lanes.copy_out.synchronize()
        return [
            (array.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else array.copy()
            for _, array, dtype in self._results
        ]

    def _pin(self, array: np.ndarray) -> np.ndarray:
        pinned = self._device.pinned(array.shape, array.dtype)
        np.copyto(pinned, array)
        return pinned

    def _copy_set(self, index: int, targets: Sequence[int]) -> None:
        for target, source, size in zip(targets, self._sources[index], self._sizes, strict=True):
            if size:
                self._device.copy_in(target, source, size, self._lanes.copy_in)

    def _copy_results(self) -> None:
        for address, array, _ in self._results:
            if array.nbytes:
                self._device.copy_out(array.ctypes.data, address, array.nbytes, self._lanes.copy_out)

    def _bind_inputs(self, addresses: Sequence[int]) -> Any:
        binding = self._session.io_binding()
        for item, address in zip(self._inputs, addresses, strict=True):
            binding.bind_input(
                item.name, self._kind, self._device.index, _NUMBERS[item.dtype], list(item.shape), address
            )
        return binding

    def _let_allocate(self, binding: Any) -> None:
        binding.clear_binding_outputs()
        for name in self._names:
            binding.bind_output(name, self._kind, self._device.index)

    def _allocated(self, binding: Any) -> list[tuple[int, np.ndarray, str]]:
        """The outputs that the runtime allocated, each with a host array to copy it to."""
        found = []
        for number, value in enumerate(binding.get_outputs()):
            dtype = TYPES[value.element_type()]
            found.append((value.data_ptr(), self._host(tuple(value.shape()), dtype, number), dtype))
        return found

    def _host(self, shape: tuple[int, ...], dtype: str, number: int) -> np.ndarray:
        """Host memory for output `number`; outputs that change their shape get each shape's memory again."""
        key = (number, shape, dtype)
        if key not in self._landing:
            made = (
                self._device.pinned(shape, storage(dtype))
                if self._pinned
                else np.empty(shape, storage(dtype))
            )
            self._landing[key] = made
        return self._landing[key]

    def _bind_outputs(self, sets: int) -> bool:
        """Bind output buffers of our own where every set gives the same shapes; False where the runtime has to allocate.

        Requests rotate through just these sets, so that running each once settles it.
        """
        shapes: set[tuple[tuple[tuple[int, ...], int], ...]] = set()
        for index in range(sets):
            self.prepare(index)
            self.copy_in(index)
            self._lanes.copy_in.synchronize()
            binding = self._bindings[0 if self.copies else index]
            self._let_allocate(binding)
            self._session.run_with_iobinding(binding, self._run_options)
            self._waits = self._waits and self._lanes.compute.idle()
            self._lanes.compute.synchronize()
            values = binding.get_outputs()
            shapes.add(tuple((tuple(value.shape()), value.element_type()) for value in values))
            if len(shapes) > 1:
                return False
        for number, (shape, kind) in enumerate(shapes.pop()):
            array = self._host(shape, TYPES[kind], number)
            self._results.append((self._device.allocate(array.nbytes), array, TYPES[kind]))
        for binding in self._bindings:
            binding.clear_binding_outputs()
            for name, (address, array, dtype) in zip(self._names, self._results, strict=True):
                binding.bind_output(
                    name, self._kind, self._device.index, _NUMBERS[dtype], list(array.shape), address
                )
        return True
