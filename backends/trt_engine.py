"""An engine in this process: from the cache, built, or a person's own file; deserialised, with its inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import cuda_words, trt_bindings, trt_cache
from .backend import Input
from .errors import MeasureError
from .signature import Declared
from .trt_bindings import Flavour
from .trt_build import TYPES, Progress, Recipe, build
from .trt_cache import EngineCache
from .trt_steps import Output


@dataclass(frozen=True)
class Made:
    """A serialised engine and where it came from."""

    blob: bytes
    key: str
    cache: str | None  # "hit", "miss"; None where nothing is kept
    path: str | None
    seconds: float  # of the build, then where it is from the cache
    layers: int


def make(
    trt: Any,
    flavour: Flavour,
    recipe: Recipe,
    external: Sequence[str],
    target: str,
    directory: str | None,
    building: Callable[[], None],
    progress: Progress,
) -> Made:
    """The engine of the recipe, from the cache where it is there. `target` names the GPU that it is for, as the key has it."""
    cache = EngineCache(directory)
    key = trt_cache.key(
        {
            "model": trt_cache.digest(recipe.path, external),
            "library": (flavour.name, trt.__version__),
            "target": target,
            "profile": [(item.name, item.dtype, item.shape) for item in recipe.inputs],
            "tf32": recipe.tf32,
            "options": recipe.options.of_engine(),
        }
    )
    kept = cache.find(key)
    if kept is not None:
        seconds, layers = float(kept.facts["build_s"]), int(kept.facts["layers"])
        return Made(kept.blob, key, "hit", kept.path, seconds, layers)
    building()
    timings = trt_cache.key({"library": (flavour.name, trt.__version__), "target": target}) + ".timing"
    built = build(trt, flavour, recipe, progress, cache.read(timings))
    if built.timing:
        cache.write(timings, built.timing)
    path = cache.keep(
        key, built.blob, {"build_s": built.seconds, "layers": built.layers, "model": recipe.name}
    )
    return Made(built.blob, key, "miss" if path else None, path, built.seconds, built.layers)


class Engine:
    """A deserialised engine. Contexts that it gave go first, then it, then its runtime."""

    def __init__(self, trt: Any, flavour: Flavour, blob: bytes, name: str) -> None:
        self._trt, self._flavour, self._name = trt, flavour, name
        self._log = trt_bindings.logger(trt)
        self._log.begin()
        self._config: Any = None
        self._compiled: Any = None
        self._runtime: Any = trt.Runtime(self._log)
        self._engine: Any = self._runtime.deserialize_cuda_engine(blob) if self._runtime is not None else None
        if self._engine is None:
            raise self.refused(
                f"{trt.__version__} does not take the engine of {name}",
                "engine-refused",
                "build it with this version for this GPU: name the .onnx file",
            )
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        inputs = trt.TensorIOMode.INPUT
        self._inputs = [name for name in names if self._engine.get_tensor_mode(name) == inputs]
        self.outputs = [Output(name, self._type(name)) for name in names if name not in self._inputs]
        for one in names:
            if self._engine.get_tensor_location(one) != trt.TensorLocation.DEVICE:
                raise MeasureError(
                    "unsupported",
                    f"{one} of {name} decides shapes, so {flavour.name} keeps it in host memory, where infertop feeds nothing",
                    "measure it with --backend onnxruntime-cuda",
                )

    def taken(self, inputs: Sequence[Input]) -> list[Input]:
        """Those of the model's inputs that the engine has: one that decides nothing is dropped when it is built."""
        return [item for item in inputs if item.name in self._inputs]

    def declared(self) -> list[Declared]:
        """Inputs as the engine itself has them: sizes that its first profile leaves open are symbols, with its best size known."""
        found = []
        for name in self._inputs:
            sizes: list[int | str | None] = list(self._engine.get_tensor_shape(name))
            known: dict[int, int] = {}
            for axis, size in enumerate(sizes):
                if size == -1:
                    least, best, most = (
                        int(shape[axis]) for shape in self._engine.get_tensor_profile_shape(name, 0)
                    )
                    sizes[axis] = least if least == most else None if axis == 0 else f"{name}_{axis}"
                    known |= {} if least == most else {axis: best}
            found.append(Declared(name, self._type(name), tuple(sizes), known))
        return found

    def refuse_sizes(self, inputs: Sequence[Input]) -> None:
        """Raises MeasureError kind "shape" for sizes outside the engine's first profile."""
        for item in inputs:
            least, _, most = (tuple(shape) for shape in self._engine.get_tensor_profile_shape(item.name, 0))
            if any(not low <= size <= high for low, size, high in zip(least, item.shape, most, strict=True)):
                raise MeasureError(
                    "shape",
                    f"the engine {self._name} takes {item.name} from {_by(least)} to {_by(most)}, not {_by(item.shape)}",
                    "choose a batch and sizes in between, or name the .onnx file: an engine is built for them",
                )

    def context(self, kernels: bytes) -> Any:
        """A new execution context. TensorRT-RTX compiles its kernels on this GPU, here and at the first request: all of them,
        for just these sizes. Left to itself it would begin with general ones and swap better ones in while requests are timed.

        `kernels` are those that `kernels()` gave another time; where another GPU or driver made them they are compiled anew.
        """
        if not self._flavour.ahead:
            return self._made(self._engine.create_execution_context())
        if self._config is None:
            self._config = self._engine.create_runtime_config()
            strategy = self._trt.DynamicShapesKernelSpecializationStrategy
            self._config.dynamic_shapes_kernel_specialization_strategy = strategy.EAGER
            self._compiled = self._config.create_runtime_cache()
            if kernels:
                self._compiled.deserialize(kernels)
            self._config.set_runtime_cache(self._compiled)
        return self._made(self._engine.create_execution_context(self._config))

    def kernels(self) -> bytes:
        """What was compiled on this GPU so far; empty where nothing is."""
        return bytes(self._compiled.serialize()) if self._compiled is not None else b""

    def refused(
        self, what: str, kind: str = "runtime-failed", fix: str = "run again in a new worker"
    ) -> MeasureError:
        """What the library did not do, with its newest error; where that is one of CUDA's, that is what is said."""
        newest, detail = self._log.errors()[-1:], self._log.text()
        fault = cuda_words.explain("\n".join(newest), self._flavour.name)
        if fault is not None:
            return MeasureError(fault.kind, fault.message, fault.fix, detail)
        said = trt_bindings.first_plain(newest)
        return MeasureError(kind, f"{self._flavour.name} {what}: {said}", fix, detail)

    def close(self) -> None:
        self._compiled = self._config = self._engine = self._runtime = None

    def _made(self, context: Any) -> Any:
        if context is None:
            raise self.refused(f"cannot make a context for {self._name}", fix="try a smaller batch")
        return context

    def _type(self, name: str) -> str:
        kind = self._engine.get_tensor_dtype(name).name
        if kind not in TYPES:
            raise MeasureError(
                "unsupported",
                f"{name} of {self._name} is {kind}, which numpy cannot hold",
                "give it a wider type",
            )
        return TYPES[kind]


def read_own(path: str, trusted: bool) -> bytes:
    """A person's engine file. Raises MeasureError kind "untrusted" unless they said that they trust it."""
    if not trusted:
        raise MeasureError(
            "untrusted",
            f"{Path(path).name} is a TensorRT engine: it holds native code, which would run here with your rights",
            "add --trust-engine if you built it yourself, or name the .onnx file",
        )
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise MeasureError(
            "model-not-found", f"{path} cannot be read: {error.strerror}", "check the path"
        ) from error


def _by(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))
