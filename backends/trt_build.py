"""From an ONNX file to a TensorRT engine: parse, one optimisation profile, build; with the reasons where it fails.

Networks are strongly typed: precision is what the file says. TF32 alone is a flag, for float32 matrices and convolutions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import cuda_words, trt_bindings
from .backend import Input
from .errors import MeasureError
from .shapes import show
from .trt_bindings import Flavour
from .trt_options import TrtOptions

Progress = Callable[[float], None]

TYPES = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT8": "int8", "UINT8": "uint8",
    "INT32": "int32", "INT64": "int64", "BOOL": "bool",
}  # fmt: skip
"""TensorRT's types as ours; FP8, FP4 and INT4 are none that an input or output is fed in."""


QUANTISED = (
    "quantised with zero points of 0 and biases in float, as nvidia-modelopt does it, or onnxruntime's quantize_static with"
    " activation_type=QInt8 and extra_options ActivationSymmetric=True, QuantizeBias=False"
)
"""The files of QuantizeLinear and DequantizeLinear that TensorRT takes; `--precision int8` of onnxruntime-cpu makes others."""


@dataclass(frozen=True)
class Recipe:
    """All that decides an engine, but for the library."""

    path: str
    name: str  # of the model, for sentences
    inputs: Sequence[Input]  # their shapes are the profile: least, best and most at once
    tf32: bool | None  # None leaves the library's own, which is on
    capability: tuple[int, int] | None  # of the GPU to build for; None: the one that is here
    options: TrtOptions


@dataclass(frozen=True)
class Built:
    """A serialised engine and what is known of it."""

    blob: bytes
    seconds: float
    layers: int  # of the network, before fusion
    timing: bytes = b""


def build(trt: Any, flavour: Flavour, recipe: Recipe, progress: Progress, timing: bytes = b"") -> Built:
    """Build the engine. `timing` is an earlier build's timing cache.

    Raises MeasureError kind "model-unreadable" where the parser, "build-failed" where the builder refuses.
    """
    begun = time.perf_counter()
    log = trt_bindings.logger(trt)
    log.begin()
    builder = trt.Builder(log)
    if builder is None:
        raise MeasureError(
            "build-failed", f"{flavour.name} cannot start its builder", "see the detail", log.text()
        )
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(recipe.path) or parser.num_errors:
        raise _unparsed(flavour, recipe, parser, log)
    _check_inputs(flavour, recipe, network)
    config = builder.create_builder_config()
    _configure(trt, flavour, config, recipe)
    _add_profile(flavour, recipe, builder, config, network)
    cache = _timing_cache(flavour, config, timing)
    monitor = trt_bindings.make_monitor(trt, progress)
    if monitor is not None:
        config.progress_monitor = monitor
    memory = builder.build_serialized_network(network, config)
    if memory is None:
        raise _unbuilt(flavour, recipe, log)
    blob = bytes(memory)
    seconds = time.perf_counter() - begun
    kept = bytes(config.get_timing_cache().serialize()) if cache is not None else b""
    return Built(blob, seconds, network.num_layers, kept)


def _configure(trt: Any, flavour: Flavour, config: Any, recipe: Recipe) -> None:
    options = recipe.options
    if recipe.tf32 is True:
        config.set_flag(trt.BuilderFlag.TF32)
    elif recipe.tf32 is False:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace)
    if options.max_aux_streams is not None:
        config.max_aux_streams = options.max_aux_streams
    if flavour.ahead:
        config.num_compute_capabilities = 1
        target = _target(trt, recipe.capability)
        if not config.set_compute_capability(target, 0):
            raise MeasureError(
                "build-failed", f"{flavour.name} does not build for {target.name}", "see --help of --target"
            )


def _target(trt: Any, capability: tuple[int, int] | None) -> Any:
    """The library's word for a compute capability; a later one than it knows is *the GPU that is here*."""
    known = trt.ComputeCapability.__members__
    name = f"SM{capability[0]}{capability[1]}" if capability else ""
    return known.get(name, trt.ComputeCapability.CURRENT)


def _check_inputs(flavour: Flavour, recipe: Recipe, network: Any) -> None:
    """What the network asks for must be what will be fed."""
    wanted = {item.name: item for item in recipe.inputs}
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if tensor.is_shape_tensor:
            raise MeasureError(
                "unsupported",
                f"input {tensor.name} of {recipe.name} decides shapes by its values, which {flavour.name} must know before",
                "export the model with that input as a constant, or measure it with --backend onnxruntime-cuda",
            )
        given = wanted.get(tensor.name)
        kind = TYPES.get(tensor.dtype.name, tensor.dtype.name)
        if given is not None and kind != given.dtype:
            raise MeasureError(
                "unsupported",
                f"{flavour.name} takes input {tensor.name} as {kind}, the model declares {given.dtype}",
                f"export the model with {tensor.name} as {kind}",
            )
    if not network.num_outputs:
        raise MeasureError("model-unreadable", f"{recipe.name} has no output", "export the model again")


def _add_profile(flavour: Flavour, recipe: Recipe, builder: Any, config: Any, network: Any) -> None:
    """One profile for exactly these sizes: a range would make kernels for its middle and run them at its end."""
    names = {network.get_input(index).name for index in range(network.num_inputs)}
    profile = builder.create_optimization_profile()
    for item in recipe.inputs:
        if item.name not in names:
            continue
        try:
            profile.set_shape(item.name, item.shape, item.shape, item.shape)
        except (ValueError, RuntimeError) as error:
            raise _shape(flavour, recipe, str(error)) from error
    if config.add_optimization_profile(profile) < 0:
        raise _shape(flavour, recipe, "the profile is not valid")


def _timing_cache(flavour: Flavour, config: Any, timing: bytes) -> Any:
    """Times of tactics from earlier builds. TensorRT-RTX compiles on the GPU that runs, and has none."""
    if flavour.ahead:
        return None
    cache = config.create_timing_cache(timing)
    if not config.set_timing_cache(cache, False):
        # Of another GPU or version: begin a new one.
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _unparsed(flavour: Flavour, recipe: Recipe, parser: Any, log: Any) -> MeasureError:
    found = [parser.get_error(index) for index in range(parser.num_errors)]
    detail = log.text()
    if not found:
        return MeasureError(
            "model-unreadable",
            f"{flavour.name} cannot read {recipe.name}: {trt_bindings.first_plain(log.errors())}",
            "export the model again",
            detail,
        )
    first = found[0]
    others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    operator = first.node_operator()
    at = f"node {first.node()}" + (f", {operator}" if operator else "")
    fix = "export the model again"
    if operator in ("QuantizeLinear", "DequantizeLinear"):
        fix = f"give a file {QUANTISED}; or measure this one with --backend onnxruntime-cpu"
    elif operator:
        fix = f"export the model without {operator}, or measure it with --backend onnxruntime-cuda"
    return MeasureError(
        "model-unreadable",
        f"{flavour.name} cannot take {recipe.name}: {at}: {trt_bindings.plain(first.desc())}{others}",
        fix,
        detail,
    )


def _unbuilt(flavour: Flavour, recipe: Recipe, log: Any) -> MeasureError:
    errors = log.errors()
    if recipe.capability is not None and flavour.ahead:
        # Built for a GPU that need not be here: that there is no driver is remarked on, and stops nothing.
        errors = [line for line in errors if "driver version is insufficient" not in line] or errors
    reason = trt_bindings.first_plain(errors)
    fault = cuda_words.explain("\n".join(errors), flavour.name)
    if fault is not None:
        return _at_build(flavour, recipe, fault, log.text())
    lower = " ".join(errors).lower()
    if "outofmemory" in lower:
        return _at_build(
            flavour, recipe, MeasureError("out-of-memory", f"{flavour.name} ran out of memory"), log.text()
        )
    if "conformable" in lower:
        return _shape(flavour, recipe, reason, log.text())
    return MeasureError(
        "build-failed",
        f"{flavour.name} cannot build {recipe.name}: {reason}",
        "measure it in another precision, or with --backend onnxruntime-cuda",
        log.text(),
    )


def _at_build(flavour: Flavour, recipe: Recipe, fault: MeasureError, detail: str) -> MeasureError:
    """A fault of CUDA's with what helps while an engine is built."""
    message, fix = f"{fault.message} (while building {recipe.name})", fault.fix
    if fault.kind == "out-of-memory":
        fix = "use a smaller batch, or limit it with --backend-option workspace_mib=N"
    elif fault.kind in ("no-driver", "no-gpu") and flavour.ahead:
        fix += "; --build-only --target sm_89 builds without one"
    return MeasureError(fault.kind, message, fix, detail)


def _shape(flavour: Flavour, recipe: Recipe, reason: str, detail: str = "") -> MeasureError:
    shapes = ", ".join(f"{item.name} {show(item.shape)}" for item in recipe.inputs)
    return MeasureError(
        "shape",
        f"{flavour.name} refused the inputs {shapes}: {trt_bindings.plain(reason)}",
        "give the sizes that the model needs with --dim or --input-shape",
        detail or reason,
    )
