"""The backends `tensorrt` and `tensorrt-rtx`: an engine for exactly the sizes that are measured, on streams of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from . import cost, cuda, loads, models, trt_bindings, trt_engine, trt_options
from .backend import Inputs, Loaded, Report, StageTimes, versions
from .configuration import Configuration
from .errors import MeasureError
from .inputs import file_shapes
from .ort_model import OrtModel
from .overlapped import AheadOfTime, Overlapped, lanes, preparer, staged, streams_needed
from .precision import native, refuse_other_types
from .signature import Signature, resolve
from .staged import Staged, refuse_path
from .trt_bindings import RTX, TENSORRT, Flavour
from .trt_build import QUANTISED, Recipe
from .trt_cache import EngineCache
from .trt_engine import Engine, Made
from .trt_memory import Gpu, GpuStream, open_gpu
from .trt_steps import EngineSteps

PRECISIONS = ("native", "fp32", "tf32", "fp16", "bf16")


class TensorRt(AheadOfTime):
    """NVIDIA TensorRT, versions 10 and 11. Each slot has a context of its own.

    Networks are strongly typed, so that a precision is what the graph says; TF32 is the one that is a switch.
    """

    flavour: Flavour = TENSORRT
    slots = loads.MAX_IN_FLIGHT
    progress: Callable[[float], None] | None = None  # set by the worker
    overlaps = True

    def __init__(self) -> None:
        self._trt: Any = None
        self._model = OrtModel()
        self._graph: str | None = (
            None  # the file that the engine was built from; None of an engine that somebody else built
        )
        self._driver: cuda.Driver | None = None
        self._gpu: Gpu | None = None
        self._index = -1
        self._made: Made | None = None
        self._engine: Engine | None = None
        self._contexts: list[Any] = []
        self._streams: list[GpuStream] = []
        self._known: Loaded | None = None
        self._configuration: Configuration | None = None
        self._unsaved = False  # kernels may have been compiled that the cache has not
        self._steps: list[EngineSteps] = []
        self._staged: list[Staged | Overlapped] = []

    def load(self, configuration: Configuration, report: Report) -> Loaded:
        """An engine for the model and its sizes: kept where they are the same, else from the cache, else built."""
        self._release()
        refuse(configuration, self.flavour)
        options = configuration.options
        chosen = trt_options.parse(options.backend_options, self.flavour.name)
        index = cuda.index_of(configuration.device)
        self._driver = cuda.load()
        if index < self._driver.count():
            # Before the import, which takes long: on a GPU that is none for it nothing else is tried.
            capability = self._driver.capability(index)
            trt_bindings.refuse_gpu(self.flavour, capability, configuration.device)
            cuda.refuse_precision(self.flavour.name, configuration.precision, capability)
        self._trt = trt_bindings.load(self.flavour)
        self._open(index)
        self._configuration = configuration
        model = models.resolve(configuration.model, options.working_directory)
        if model.kind == "engine" and model.path is not None:
            signature = self._take(model, configuration, report)
        else:
            signature = self._prepare(configuration, report)
        assert self._engine is not None
        assert self._made is not None
        if not self._contexts:
            report("build")
            self._contexts = [self._context()]
        assert self._gpu is not None
        graph = self._model.graph if model.kind != "engine" else None
        self._known = Loaded(
            inputs=signature.inputs,
            batch=signature.batch,
            dims=signature.dims,
            assumed=signature.assumed,
            tables=graph.tables if graph else {},
            outputs=[output.name for output in self._engine.outputs],
            libraries=versions(*self.flavour.distributions, "pycuda", "numpy"),
            cache=self._made.cache,
            native=native(graph) if graph else None,
            runtime={
                "memory": self._gpu.tool,
                "engine_bytes": len(self._made.blob),
                "cuda_graph": chosen.cuda_graph,
                # A person's own engine has been built with settings of its own.
                **(chosen.of_engine() if graph else {}),
                "notes": [
                    *cuda.override_notes(configuration.precision),
                    *cuda.fp32_notes(configuration.precision, self._target()),
                ],
            },
        )
        return self._known

    def bind(self, sets: Sequence[Inputs], slots: int) -> None:
        assert self._known is not None
        assert self._engine is not None
        assert self._gpu is not None
        assert self._configuration is not None
        options = trt_options.parse(self._configuration.options.backend_options, self.flavour.name)
        while len(self._contexts) < slots:
            self._contexts.append(self._context())
        del self._contexts[slots:]  # their memory would be counted in
        load = loads.parse(self._configuration.load)
        while len(self._streams) < streams_needed(load):
            self._streams.append(self._gpu.stream())
        # pycuda's streams and events have what ours have.
        device, streams = cast("cuda.Device", self._gpu), cast("list[cuda.Stream]", self._streams)
        self._ahead = preparer(load, self._configuration.data_path)
        for context, on in zip(self._contexts, lanes(load, streams), strict=True):
            steps = EngineSteps(
                self._trt, context, self._gpu, on, self._engine.taken(self._known.inputs), self._engine.outputs, sets,
                self._configuration.data_path, self._engine.refused, self._driver if options.cuda_graph else None,
            )  # fmt: skip
            self._steps.append(steps)
            self._staged.append(staged(steps, device, on, ahead=self._ahead))

    def issue(self, slot: int, index: int, times: StageTimes | None) -> None:
        self._staged[slot].issue(index, times)

    def complete(self, slot: int, times: StageTimes | None) -> None:
        self._staged[slot].complete(times)
        if self._unsaved:
            self._save_kernels()

    def outputs(self, slot: int) -> list[np.ndarray]:
        return self._steps[slot].outputs()

    def bytes_out(self, slot: int) -> int:
        """In the types that the engine gives, which `outputs` may widen."""
        return self._steps[slot].bytes_out

    def work(self, cache: int) -> cost.Work | None:
        """What a request asks of the GPU, counted in the graph that the engine was built from."""
        assert self._known is not None
        assert self._configuration is not None
        if self._graph is None:
            return None
        shapes = {item.name: item.shape for item in self._known.inputs}
        return cost.of_onnx(self._graph, shapes, self._configuration.precision != "fp32", cache)

    def close(self) -> None:
        self._release()
        self._drop_engine()
        self._model.close()
        self._close_gpu()

    def _prepare(self, configuration: Configuration, report: Report) -> Signature:
        """The engine of a model: a file, ours, or a torch module exported for the occasion."""
        self._model.open(configuration, (self.flavour.name, configuration.precision), report)
        report("load")
        signature, recipe = recipe_of(self._model, configuration, self.flavour, self._target())
        made = trt_engine.make(
            self._trt, self.flavour, recipe, self._model.graph.external, self._target_name(),
            configuration.options.cache_directory, lambda: report("build"), self._say,
        )  # fmt: skip
        self._use(made, self._model.file.name)
        self._graph = self._model.file.path
        return signature

    def _take(self, model: models.Model, configuration: Configuration, report: Report) -> Signature:
        """The engine of a person's own file."""
        assert model.path is not None
        if configuration.precision != "native":
            raise MeasureError(
                "unsupported", f"the precision of {model.name} is built in", "use --precision native"
            )
        report("load")
        blob = trt_engine.read_own(model.path, configuration.options.trust_engine)
        key = "-".join(map(str, models.fingerprint(model.path)))
        self._use(Made(blob, key, None, model.path, 0.0, 0), model.name)
        self._graph = None
        assert self._engine is not None
        signature = resolve(self._engine.declared(), configuration, file_shapes(configuration.options))
        self._engine.refuse_sizes(signature.inputs)
        return signature

    def _say(self, share: float) -> None:
        if self.progress is not None:
            self.progress(share)

    def _use(self, made: Made, name: str) -> None:
        if self._made is not None and self._made.key == made.key:
            return
        self._drop_engine()
        self._engine = Engine(self._trt, self.flavour, made.blob, name)
        self._made = made

    def _context(self) -> Any:
        assert self._engine is not None
        found = self._kernels()
        self._unsaved = found is not None
        return self._engine.context(found[0].read(found[1]) if found else b"")

    def _kernels(self) -> tuple[EngineCache, str] | None:
        """Where kernels that were compiled on this GPU are kept. A person's own engine leaves nothing: its key is no hash of what it holds."""
        assert self._made is not None
        assert self._configuration is not None
        if not self.flavour.ahead or self._made.cache is None:
            return None
        return EngineCache(self._configuration.options.cache_directory), f"{self._made.key}.kernels"

    def _save_kernels(self) -> None:
        """After the first request, when all are compiled. It ends in a worker's kill, so that there is no later occasion."""
        self._unsaved = False
        found = self._kernels()
        assert self._engine is not None
        if found is not None and (now := self._engine.kernels()) != found[0].read(found[1]):
            found[0].write(found[1], now)

    def _target(self) -> tuple[int, int]:
        assert self._gpu is not None
        return self._gpu.capability

    def _target_name(self) -> str:
        """What an engine is for: with TensorRT-RTX every GPU of the capability, with TensorRT GPUs of this name."""
        assert self._gpu is not None
        name = trt_bindings.target_name(self._gpu.capability)
        return name if self.flavour.ahead else f"{name} {self._gpu.name}"

    def _open(self, index: int) -> None:
        assert self._driver is not None
        if self._gpu is not None and index == self._index:
            return
        self._drop_engine()
        self._close_gpu()
        self._gpu, self._index = open_gpu(self._driver, index), index

    def _release(self) -> None:
        """Forget what was bound; engine, contexts and streams stay."""
        self._stop_preparing()
        for steps in self._steps:
            steps.close()
        self._steps, self._staged = [], []
        if self._gpu is not None:
            self._gpu.free()

    def _drop_engine(self) -> None:
        self._contexts = []
        if self._engine is not None:
            self._engine.close()
        self._engine = self._made = None

    def _close_gpu(self) -> None:
        self._streams = []
        if self._gpu is not None:
            self._gpu.close()
        self._gpu, self._index = None, -1


class TensorRtRtx(TensorRt):
    """NVIDIA TensorRT for RTX: engines are built on any machine, kernels are compiled on the GPU that runs them."""

    flavour = RTX


def recipe_of(
    model: OrtModel, configuration: Configuration, flavour: Flavour, capability: tuple[int, int] | None
) -> tuple[Signature, Recipe]:
    """What to build for a model that is open. Raises MeasureError where the file is not in the precision asked for."""
    precision, graph, file = configuration.precision, model.graph, model.file
    refuse_other_types(graph, file.name, precision)
    wanted = {"fp16": "float16", "bf16": "bfloat16"}.get(precision)
    if wanted and not (file.exported or file.converted) and native(graph) != precision:
        raise MeasureError(
            "unsupported",
            f"{file.name} is not in {wanted}, and precision is in the graph with {flavour.name}",
            f"use --precision native, or a file in {wanted}",
        )
    signature = model.signature(configuration)
    tf32 = {"fp32": False, "tf32": True}.get(precision)
    options = trt_options.parse(configuration.options.backend_options, flavour.name)
    return signature, Recipe(file.path, file.name, signature.inputs, tf32, capability, options)


def refuse(configuration: Configuration, flavour: Flavour) -> None:
    """What this backend cannot do is said, never replaced."""
    if configuration.device == "cpu":
        raise MeasureError(
            "unsupported", f"{flavour.name} needs a GPU", "use --device cuda:0, or --backend onnxruntime-cpu"
        )
    if configuration.precision not in PRECISIONS:
        raise MeasureError(
            "unsupported",
            f"{flavour.name} measures {', '.join(PRECISIONS)}, not {configuration.precision}: it quantises nothing itself",
            f"use --precision native with a file {QUANTISED}",
        )
    refuse_path(configuration.data_path)
