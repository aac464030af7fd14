"""Torch modules as ONNX files, for backends that read those; kept in a cache where the contents are known beforehand."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import __version__
from . import torch_files, torch_module
from .backend import Report, versions
from .configuration import Configuration
from .dims import symbols
from .errors import MeasureError
from .hf import BATCH
from .inputs import file_shapes, generate
from .models import Model, contents, digest
from .signature import Signature
from .torch_module import Built
from .torch_precision import CASTS, cast, cast_module, refuse_cast

OPSET = 18
"""Written out, since the exporter's default moves: what torch's operators are written in, and every runtime here reads."""

KEPT = ("zoo", "torchvision", "hf", "pt2")
"""Kinds of model whose contents are known without running anything."""

TRACED = (6, 3, 5, 7, 4)
"""Sizes to trace open axes with: none is 0 or 1, which would be taken for constants, and no two that meet are equal."""

INLINE_BYTES = 1_500_000_000
"""A protobuf message holds 2 GB: from here on weights go to a file beside the graph."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TOOLS = ("torch", "torchvision", "transformers", "onnx", "onnxscript")


@dataclass(frozen=True)
class Exported:
    """An exported file: kept in the cache ("hit", "miss"), or in a folder of its own that the caller removes."""

    path: str
    cache: str | None
    temporary: tempfile.TemporaryDirectory[str] | None = None
    batch: int | None = None  # that of a factory's example inputs


def export(model: Model, configuration: Configuration, report: Report) -> Exported:
    """The model as an ONNX file.

    A factory's graph is known only by running it, so models known by name and those that are files are kept: their contents
    follow from name or files, seed or weights' file, precision, sizes and the exporter's versions, which are the key.
    Raises MeasureError kind "export-failed".
    """
    folder = configuration.options.cache_directory
    if folder is None or model.kind not in KEPT:
        temporary = tempfile.TemporaryDirectory(prefix="infertop-export-")
        path = os.path.join(temporary.name, f"{model.name}.onnx")
        return Exported(path, None, temporary, _export(model, configuration, path, report, "weights.data"))
    kept = Path(folder, "exports", f"{model.name}-{_key(model, configuration)}.onnx")
    if kept.is_file():
        return Exported(str(kept), "hit")
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Another worker may be writing the same file: each writes its own, and the last rename wins.
    partial = kept.with_suffix(f".{os.getpid()}.partial")
    # Weights beside it get their last name at once: the graph has it written into it.
    _export(model, configuration, str(partial), report, f"{kept.name}.data")
    partial.replace(kept)
    return Exported(str(kept), "miss")


def to_onnx(
    module: Any,
    arguments: tuple[tuple[Any, ...], dict[str, Any]],
    open_axes: Mapping[int, Mapping[int, str]],
    path: str,
    names: Sequence[str],
    data: str = "weights.data",
    optimize: bool = True,
) -> None:
    """Write `module`, called with (positional, named) arguments, to `path`.

    `open_axes` says by a tensor's id() which of its axes are left open, and what they are called. `names` are for the inputs,
    in order: the exporter's own differ where a name is taken. `data` is the name of the file for weights that are too large.
    `optimize` has the exporter fold what it can.
    """
    import onnx
    import torch

    positional, named = arguments
    program = isinstance(module, torch.export.ExportedProgram)
    shapes: Any = None
    if any(open_axes.values()) and not program:
        dim = torch.export.Dim
        kinds = {BATCH: dim(BATCH)}

        def mark(leaf: Any) -> dict[int, Any] | None:
            return {a: kinds.get(n, dim.DYNAMIC) for a, n in open_axes.get(id(leaf), {}).items()} or None

        marks = torch.utils._pytree.tree_map(mark, arguments)
        shapes = marks[0]
        if named:
            parameters = list(inspect.signature(module.forward).parameters)
            shapes = dict(zip(parameters, marks[0], strict=False)) | marks[1]
    written = torch.onnx.export(
        module, positional, kwargs=named or None, dynamo=True, opset_version=OPSET, dynamic_shapes=shapes,
        external_data=False, verbose=False, optimize=optimize,
    )  # fmt: skip
    if not optimize:
        from onnxscript.optimizer import fold_constants, remove_unused_nodes

        fold_constants(written.model)  # axes and shapes, which some runtimes take as constants alone
        remove_unused_nodes(written.model)
    model = written.model_proto
    _strip(model)
    _rename_inputs(model.graph, names)
    leaves = torch.utils._pytree.tree_leaves(arguments)
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    _rename_axes(model.graph, [open_axes.get(id(tensor), {}) for tensor in tensors])
    large = model.ByteSize() > INLINE_BYTES
    onnx.save(model, path, save_as_external_data=large, location=data if large else None)


def _export(model: Model, configuration: Configuration, path: str, report: Report, data: str) -> int | None:
    """Write the file; the batch that the module itself would be measured with."""
    for tool in ("torch", "onnx", "onnxscript"):
        if not versions(tool):
            raise MeasureError(
                "backend-missing",
                f"{model.text} has to be exported to ONNX first, and {tool} is not installed",
                "pip install 'infertop[torch,onnx]'",
            )
    torch = torch_module.runtime()
    report("export")
    options, precision = configuration.options, configuration.precision
    built = torch_module.build(model, options)
    refuse_cast(built.program, built.native, precision)
    found, axes = _trace_signature(built, configuration)
    inputs = cast(found.inputs, precision)
    try:
        built.tables |= torch_module.find_tables(torch, built, found.inputs, options.seed)
        module = built.program or cast_module(torch, built.module, precision)
        made = generate(inputs, built.tables, options.seed, 0)
        given = torch_module.tensors(torch, [made[item.name] for item in inputs], inputs)
        arguments = built.call(given)
        by_id = {id(tensor): axes[item.name] for tensor, item in zip(given, inputs, strict=True)}
        with torch.no_grad():
            # numpy has no bfloat16: folded into one, the weights of a convolution and its normalisation become float32.
            folds = "bf16" not in (precision, built.native)
            to_onnx(module, arguments, by_id, path, [item.name for item in inputs], data, folds)
    except MeasureError:
        raise
    except Exception as error:  # the exporter raises whatever the model's own code raises
        # The exporter's own error says which step failed, its cause what the model did.
        cause = error.__cause__ or error
        said = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        raise MeasureError(
            "export-failed",
            f"{model.text} cannot be exported to ONNX: {said[:200]}",
            "measure it with --backend torch-eager, or export it yourself and name the .onnx file",
            _COLOURS.sub("", str(error)),
        ) from error
    return torch_module.signature(built, configuration).batch


def _trace_signature(
    built: Built, configuration: Configuration
) -> tuple[Signature, dict[str, dict[int, str]]]:
    """The inputs to trace with, and which of their axes stay open: those with names, and the batch, whose axes are those
    that differ between batches of 2 and 3.

    A batch of 1 would be taken for a constant. Where the sizes were given as numbers they are fixed, the batch too.
    """
    if built.model is not None and built.model.kind == "hf":
        return _trace_named(built, configuration)
    try:
        two, three = (torch_module.signature(built, replace(configuration, batch=size)) for size in (2, 3))
    except MeasureError:
        found = torch_module.signature(built, configuration)
        return found, {item.name: {} for item in found.inputs}
    return two, {
        a.name: {axis: BATCH for axis, (x, y) in enumerate(zip(a.shape, b.shape, strict=True)) if x != y}
        for a, b in zip(two.inputs, three.inputs, strict=True)
    }


def _trace_named(built: Built, configuration: Configuration) -> tuple[Signature, dict[str, dict[int, str]]]:
    """As `_trace_signature`, for a module whose axes have names: every one stays open, so that one file has all sizes."""
    axes = {
        item.name: {axis: size for axis, size in enumerate(item.sizes or ()) if isinstance(size, str)}
        for item in built.declared
    }
    named = dict.fromkeys(
        name for sizes in axes.values() for size in sizes.values() for name in symbols(size)
    )
    sizes = dict(zip((name for name in named if name != BATCH), TRACED, strict=False))
    options = replace(configuration.options, input_shapes={}, inputs=None)
    found = torch_module.signature(built, replace(configuration, batch=2, dims=sizes, options=options))
    return found, axes


def _key(model: Model, configuration: Configuration) -> str:
    """What the exported file depends on, as a short hash."""
    options = configuration.options
    weights = torch_files.weights_path(options)
    given = file_shapes(options) or {}
    parts = {
        "model": (model.kind, model.name, [digest(path) for path in contents(model)]),
        "weights": options.seed if weights is None else digest(weights),
        "precision": CASTS.get(configuration.precision),
        "folded": configuration.precision != "bf16",
        "shapes": [sorted(options.input_shapes.items()), sorted((n, g.sizes) for n, g in given.items())],
        "written by": (__version__, versions(*_TOOLS), OPSET),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _strip(model: Any) -> None:
    """Take out stack traces and paths, which the exporter leaves on every node."""
    graph = model.graph
    for item in (
        model,
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.initializer,
        *graph.value_info,
    ):
        item.ClearField("doc_string")
        item.ClearField("metadata_props")


def _rename_inputs(graph: Any, names: Sequence[str]) -> None:
    """Give the graph's inputs, which are in the order of the arguments, the names that other backends have for them."""
    if len(graph.input) != len(names):
        return
    old = [item.name for item in graph.input]
    renamed = dict(zip(old, names, strict=True))
    # An output that is an input handed through may already have the name.
    renamed |= {name: f"{name}_value" for name in set(names) - set(old)}
    for item in (*graph.input, *graph.output, *graph.value_info):
        item.name = renamed.get(item.name, item.name)
    _rename_values(graph, renamed)


def _rename_axes(graph: Any, axes: Sequence[Mapping[int, str]]) -> None:
    """Give the open axes of inputs and outputs the names that they were asked to have, instead of the exporter's `s77`.

    Raises MeasureError where the exporter has fixed one: what it traced with would pass for what was asked for.
    """
    if len(graph.input) != len(axes):
        return
    renamed: dict[str, str] = {}
    for item, names in zip(graph.input, axes, strict=True):
        for axis, name in names.items():
            size = item.type.tensor_type.shape.dim[axis]
            if not size.dim_param:
                raise MeasureError(
                    "export-failed",
                    f"torch's exporter fixed the axis {name} of {item.name} at {size.dim_value}",
                    "measure the model with --backend torch-eager",
                )
            renamed.setdefault(size.dim_param, name)
            size.dim_param = name
    for item in (*graph.output, *graph.value_info):
        for size in item.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = renamed.get(size.dim_param, size.dim_param)


def _rename_values(graph: Any, renamed: Mapping[str, str]) -> None:
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [renamed.get(name, name) for name in field]
        for attribute in node.attribute:
            for below in (attribute.g, *attribute.graphs):
                _rename_values(below, renamed)
