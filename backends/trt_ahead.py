"""Builds an engine and runs nothing: what `--build-only` asks of an interpreter, on a machine with or without a GPU.

Usage: PYTHON boot.py build PARENT_PID, with a request as one JSON line on its input. It answers with JSON lines: `progress`, then
`built` or `error`. TensorRT's libraries print what they like: that goes to standard error.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import traceback
from typing import Any

from . import cuda, models, trt_bindings, trt_engine
from .configuration import Configuration
from .errors import MeasureError
from .orphans import die_with
from .ort_model import OrtModel
from .trt_backend import recipe_of, refuse
from .trt_bindings import RTX, TENSORRT, Flavour
from .trt_memory import open_gpu


@dataclasses.dataclass(frozen=True)
class BuiltEngine:
    """What a build left behind. Sizes in bytes, times in seconds."""

    backend: str
    version: str
    target: str  # "sm_89", with TensorRT the GPU's name behind it
    precision: str
    batch: int | None
    inputs: dict[str, list[int]]  # name -> shape of the one profile
    assumed: dict[str, int]
    layers: int  # of the network, before fusion
    bytes: int
    build_s: float  # of the build itself; where the cache had the engine, of the build that put it there
    cache: str | None  # "hit", "miss", or None where nothing is kept
    path: str | None


def flavour_of(backend: str) -> Flavour:
    """Raises MeasureError kind "usage" for a backend that builds no engines."""
    for flavour in (TENSORRT, RTX):
        if flavour.name == backend:
            return flavour
    raise MeasureError(
        "usage", f"--build-only: {backend} builds no engine", "use --backend tensorrt-rtx or tensorrt"
    )


def build(configuration: Configuration, target: str | None, say: Any) -> BuiltEngine:
    """Build the configuration's engine for `target` (`sm_89`), or for the GPU that is here; keep it in the cache."""
    flavour = flavour_of(configuration.backend)
    refuse(configuration, flavour)
    if models.resolve(configuration.model, configuration.options.working_directory).kind == "engine":
        raise MeasureError(
            "usage",
            f"{configuration.model} is an engine already",
            "name the .onnx file that it was built from",
        )
    if target is not None and not flavour.ahead:
        raise MeasureError(
            "usage",
            f"--target {target}: {flavour.name} builds only on the GPU that runs the engine",
            "leave --target out on that machine, or use --backend tensorrt-rtx",
        )
    gpu = None
    if target is not None:
        capability, name = trt_bindings.parse_target(target), ""
    else:
        gpu = open_gpu(_driver(flavour), cuda.index_of(configuration.device))
        capability, name = gpu.capability, gpu.name
        trt_bindings.refuse_gpu(flavour, capability, name)
    cuda.refuse_precision(flavour.name, configuration.precision, capability)
    trt = trt_bindings.load(flavour)
    model = OrtModel()
    try:
        model.open(configuration, flavour.name, lambda phase: say(progress=phase, share=None))
        signature, recipe = recipe_of(model, configuration, flavour, capability)
        label = trt_bindings.target_name(capability)
        made = trt_engine.make(
            trt, flavour, recipe, model.graph.external, label if flavour.ahead else f"{label} {name}",
            configuration.options.cache_directory,
            lambda: say(progress="build", share=0.0), lambda share: say(progress="build", share=share),
        )  # fmt: skip
    finally:
        model.close()
        if gpu is not None:
            gpu.close()
    return BuiltEngine(
        flavour.name, str(trt.__version__), f"{label} {name}".strip() if not flavour.ahead else label,
        configuration.precision, signature.batch, {i.name: list(i.shape) for i in signature.inputs}, signature.assumed,
        made.layers, len(made.blob), round(made.seconds, 4), made.cache, made.path,
    )  # fmt: skip


def _driver(flavour: Flavour) -> cuda.Driver:
    try:
        return cuda.load()
    except MeasureError as error:
        known = ", ".join(map(trt_bindings.target_name, trt_bindings.RTX_CAPABILITIES))
        fix = f"say for which GPU with --target, one of {known}" if flavour.ahead else error.fix
        raise MeasureError(error.kind, error.message, fix, error.detail) from error


def main(parent: int) -> None:
    """Take one request, answer, end; with the parent, should that end first."""
    die_with(parent)
    replies = os.dup(1)
    os.dup2(2, 1)

    def say(**fields: Any) -> None:
        os.write(replies, json.dumps(fields).encode() + b"\n")

    request = json.loads(sys.stdin.readline())
    try:
        done = build(Configuration.from_dict(request["configuration"]), request["target"], say)
    except MeasureError as error:
        say(error=error.as_dict())
    except Exception as error:
        # Whatever the library or an exported module raises becomes a sentence.
        said = (str(error).strip().splitlines() or [""])[0]
        fault = MeasureError(
            "runtime-failed", f"the build failed: {type(error).__name__}: {said[:300]}", "what it printed tells more",
            traceback.format_exc(),
        )  # fmt: skip
        say(error=fault.as_dict())
    else:
        say(built=dataclasses.asdict(done))
