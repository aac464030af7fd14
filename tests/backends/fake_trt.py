"""TensorRT-RTX's module with its runtime replaced: engines are really built, and what would run them runs the model's
ONNX file by ONNX Runtime over the fake driver's host memory. Names that the real bindings lack are refused by a test."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
from infertop.backends.inputs import storage
from infertop.backends.trt_build import TYPES
from infertop.tests.backends.fake_cuda import FakeCuda

KINDS = {"tensor(float)": "FLOAT", "tensor(float16)": "HALF", "tensor(int64)": "INT64", "tensor(int32)": "INT32",
         "tensor(bool)": "BOOL"}  # fmt: skip


class GraphCuda(FakeCuda):
    """The fake driver with stream capture: between begin and end the context hands its work over instead of doing it."""

    def __init__(self, capability: tuple[int, int] = (8, 9)) -> None:
        super().__init__()
        self.capability = capability
        self.capturing: list[Callable[[], None]] | None = None
        self.graphs: dict[int, list[Callable[[], None]]] = {}

    def _cuStreamBeginCapture_v2(self, stream: Any, mode: Any) -> None:  # noqa: N802
        self.capturing = []

    def _cuStreamEndCapture(self, stream: Any, graph: Any) -> None:  # noqa: N802
        assert self.capturing is not None
        graph._obj.value = self._number()
        self.graphs[graph._obj.value], self.capturing = self.capturing, None

    def _cuGraphInstantiateWithFlags(self, executable: Any, graph: Any, flags: Any) -> None:  # noqa: N802
        executable._obj.value = self._number()
        self.graphs[executable._obj.value] = self.graphs[graph.value]

    def _cuGraphLaunch(self, executable: Any, stream: Any) -> None:  # noqa: N802
        for work in self.graphs[executable.value]:
            work()

    def _cuGraphDestroy(self, graph: Any) -> None:  # noqa: N802
        del self.graphs[graph.value]

    _cuGraphExecDestroy = _cuGraphDestroy  # noqa: N815


class FakeTensorRt:
    """What `trt_bindings.load` returns in these tests: the real module but for `Runtime`."""

    def __init__(self, real: Any, cuda: GraphCuda, path: str) -> None:
        self.real, self.cuda, self.path = real, cuda, path
        self.engines: list[FakeEngine] = []
        self.capturable = True
        self.refuses = ""  # what the runtime says instead of taking an engine
        self.dropped_shape: tuple[int, ...] = (1,)
        self.drops: set[str] = set()  # inputs that decide nothing, which a builder leaves out

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def Runtime(self, log: Any) -> SimpleNamespace:  # noqa: N802
        def deserialize_cuda_engine(blob: bytes) -> FakeEngine | None:
            if self.refuses:
                log.log(self.real.ILogger.ERROR, self.refuses)
                return None
            self.engines.append(FakeEngine(self))
            return self.engines[-1]

        return SimpleNamespace(deserialize_cuda_engine=deserialize_cuda_engine)


class FakeEngine:
    """ICudaEngine: tensors as the ONNX file declares them, one profile."""

    def __init__(self, module: FakeTensorRt) -> None:
        self._module = module
        self.session = onnxruntime.InferenceSession(module.path, providers=["CPUExecutionProvider"])
        self.inputs = {item.name: item for item in self.session.get_inputs() if item.name not in module.drops}
        self.tensors = self.inputs | {item.name: item for item in self.session.get_outputs()}
        self.contexts: list[FakeContext] = []
        self.host: set[str] = set()  # tensors that it keeps in host memory
        self.profile: dict[str, tuple[tuple[int, ...], ...]] = {}

    @property
    def num_io_tensors(self) -> int:
        return len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return str(list(self.tensors)[index])

    def get_tensor_mode(self, name: str) -> Any:
        mode = self._module.real.TensorIOMode
        return mode.INPUT if name in self.inputs else mode.OUTPUT

    def get_tensor_location(self, name: str) -> Any:
        location = self._module.real.TensorLocation
        return location.HOST if name in self.host else location.DEVICE

    def get_tensor_dtype(self, name: str) -> Any:
        return getattr(self._module.real.DataType, KINDS[self.tensors[name].type])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(size if isinstance(size, int) else -1 for size in self.tensors[name].shape)

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> tuple[tuple[int, ...], ...]:
        return self.profile[name]

    def create_runtime_config(self) -> FakeRuntimeConfig:
        return FakeRuntimeConfig()

    def create_execution_context(self, runtime_config: Any = None) -> FakeContext:
        self.contexts.append(FakeContext(self._module, self, runtime_config))
        return self.contexts[-1]


class FakeRuntimeConfig:
    """IRuntimeConfig."""

    dynamic_shapes_kernel_specialization_strategy: Any = None

    def __init__(self) -> None:
        self.cache: FakeRuntimeCache | None = None

    def create_runtime_cache(self) -> FakeRuntimeCache:
        return FakeRuntimeCache()

    def set_runtime_cache(self, cache: FakeRuntimeCache) -> bool:
        self.cache = cache
        return True


class FakeRuntimeCache:
    """IRuntimeCache."""

    def __init__(self) -> None:
        self.blob = b""

    def deserialize(self, blob: bytes) -> bool:
        self.blob = blob
        return True

    def serialize(self) -> bytes:
        return self.blob or b"kernels"


class FakeContext:
    """IExecutionContext: reads and writes where its addresses point."""

    def __init__(self, module: FakeTensorRt, engine: FakeEngine, config: Any) -> None:
        self._module, self._engine, self.config = module, engine, config
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._allocators: dict[str, Any] = {}
        self.fails = False

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = shape
        return name in self._engine.inputs

    def infer_shapes(self) -> list[str]:
        return [name for name in self._engine.inputs if name not in self._shapes]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        declared = self._engine.tensors[name].shape
        batch = next(iter(self._shapes.values()))[0]
        return tuple(
            size if isinstance(size, int) else batch if axis == 0 and isinstance(size, str) else -1
            for axis, size in enumerate(declared)
        )

    def get_max_output_size(self, name: str) -> int:
        return 4096

    def set_output_allocator(self, name: str, output_allocator: Any) -> bool:
        self._allocators[name] = output_allocator
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def is_stream_capturable(self, stream_handle: int) -> bool:
        return self._module.capturable

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle in self._module.cuda.streams
        if self.fails:
            return False
        addresses = dict(self._addresses)
        if self._module.cuda.capturing is not None:
            self._module.cuda.capturing.append(lambda: self._run(addresses))
        else:
            self._run(addresses)
        return True

    def _run(self, addresses: dict[str, int]) -> None:
        feeds = {name: np.zeros(self._module.dropped_shape, np.float32) for name in self._module.drops}
        for name, shape in self._shapes.items():
            dtype = storage(TYPES[KINDS[self._engine.tensors[name].type]])
            data = ctypes.string_at(addresses[name], math.prod(shape) * dtype.itemsize)
            feeds[name] = np.frombuffer(data, dtype).reshape(shape)
        names = [item.name for item in self._engine.session.get_outputs()]
        for name, array in zip(names, self._engine.session.run(names, feeds), strict=True):
            address = addresses.get(name)
            if name in self._allocators:
                allocator = self._allocators[name]
                address = allocator.reallocate_output_async(name, 0, array.nbytes, 256, 0)
                allocator.notify_shape(name, array.shape)
            assert address is not None
            ctypes.memmove(address, np.ascontiguousarray(array).ctypes.data, array.nbytes)
