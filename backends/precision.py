"""ONNX files in another precision than they came in: converted by onnxruntime's own tools, named in the record.

`fp16` and `int8` keep the types of inputs and outputs, so that a converted file is fed and compared like the one it came
from. Both tools come with onnxruntime and need the package onnx.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from . import graph, models
from .backend import Inputs, Loaded, Report, versions
from .configuration import Configuration
from .errors import MeasureError
from .inputs import generate, input_file, make_sets
from .signature import Signature

CALIBRATION = 32
"""Requests of batch 1 whose activations are watched before quantising. Their numbers are none of those that are measured."""

FIRST_SET = 1000
"""Seeded set from which calibration takes its inputs."""

BY_CHANNEL_FROM = 13
"""Opset from which on DequantizeLinear has an axis, which scales by channel need."""

_INLINE_BYTES = 1_500_000_000
"""A protobuf message holds 2 GB: from here on weights go to a file beside it."""

_QUANTISED = re.compile(r"[Qq]uantize|^QLinear|^QGemm$|^QAttention$|Integer$|NBits$|Bnb4$")
"""Operators that hold or make integers of 8 bits and fewer: ONNX's own, and onnxruntime's (com.microsoft)."""

_TOOLS = ("onnx", "onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True)
class Converted:
    """The new file: kept in the cache ("hit", "miss"), or in a folder of its own that goes with the object. `note` is for the record."""

    path: str
    note: str
    cache: str | None
    temporary: tempfile.TemporaryDirectory[str] | None = None


def native(found: graph.Graph) -> str:
    """The precision that a file has: the lowest that its operators and weights show."""
    if any(_QUANTISED.search(name) for name in found.operators):
        return "int8"
    return of_types(found.float_types | {item.dtype for item in found.inputs})


def of_types(types: Container[str]) -> str:
    """The precision of a model that has numbers of these types: its shortest floating one."""
    for dtype, name in (("bfloat16", "bf16"), ("float16", "fp16"), ("float32", "fp32"), ("float64", "fp64")):
        if dtype in types:
            return name
    return "fp32"


def refuse_other_types(found: graph.Graph, name: str, precision: str) -> None:
    """`fp32` and `tf32` are for files in float32: nothing is converted in silence, and what is quantised is not that.

    Raises MeasureError kind "unsupported".
    """
    if precision not in ("fp32", "tf32"):
        return
    if native(found) == "int8":
        raise _quantised(name, f"it cannot be measured as {precision}", "use --precision int8 or native")
    other = sorted(found.float_types - {"float32"}) or [
        item.dtype for item in found.inputs if item.dtype in graph.FLOATS and item.dtype != "float32"
    ]
    if other:
        raise MeasureError(
            "unsupported",
            f"{name} is in {other[0]}, so it cannot be measured as {precision}",
            "use --precision native, or a file in float32",
        )


def wanted(found: graph.Graph, configuration: Configuration, exported: bool) -> str | None:
    """`fp16` or `int8` where the file is to be converted; None where it is measured as it is."""
    precision = configuration.precision
    if precision == "int8":
        # Quantised once is enough: a second time would round what is rounded already.
        return None if native(found) == "int8" else precision
    # A file with halves in it has them where its maker wanted them: some operators take float32 alone.
    types = found.float_types or {item.dtype for item in found.inputs}
    return precision if precision == "fp16" and not exported and "float16" not in types else None


def convert(
    found: graph.Graph,
    configuration: Configuration,
    precision: str,
    calibration: Signature | None,
    report: Report,
) -> Converted:
    """The file behind `found` in `precision`. `calibration` are its inputs for int8.

    Raises MeasureError kind "backend-missing", "unsupported" or "convert-failed".
    """
    name = Path(found.path).name
    if native(found) == "int8":
        raise _quantised(name, f"it cannot be converted to {precision}", "use --precision int8 or native")
    other = sorted(found.float_types - {"float32"})
    if other:
        raise MeasureError(
            "unsupported",
            f"{name} is in {other[0]}, and only files in float32 are converted to {precision}",
            "use --precision native, or a file in float32",
        )
    if util.find_spec("onnx") is None:
        raise MeasureError(
            "backend-missing", f"converting {name} to {precision} needs the package onnx", "pip install onnx"
        )
    note = f"{_tool(precision)} {_version()}"
    if precision == "int8":
        given = configuration.options.inputs is not None
        over = "requests of --inputs" if given else f"{CALIBRATION} seeded requests"
        note += f", static QDQ, MinMax over {over}, activations uint8, weights int8 by channel"
        note += "" if _dot_products() else " in 7 bits"
        note += f", opset {found.opset} raised to {BY_CHANNEL_FROM}" if found.opset < BY_CHANNEL_FROM else ""
    folder = configuration.options.cache_directory
    stem = Path(found.path).stem
    if folder is None:
        temporary = tempfile.TemporaryDirectory(prefix="infertop-convert-")
        path = Path(temporary.name, f"{stem}.{precision}.onnx")
        report("export")
        _convert(found, configuration, precision, calibration, path)
        return Converted(str(path), note, None, temporary)
    # A folder each, since large weights lie in a file beside the graph.
    kept = Path(folder, "converted", f"{stem}-{_key(found, configuration, precision, calibration, note)}")
    path = kept / f"{stem}.{precision}.onnx"
    if path.is_file():
        return Converted(str(path), note, "hit")
    report("export")
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".partial-") as partial:
        made = Path(partial, "made")
        made.mkdir()
        _convert(found, configuration, precision, calibration, made / path.name)
        try:
            made.rename(kept)
        except OSError:
            # Another worker was as quick: its folder is in the way, and just as good.
            if not path.is_file():
                raise
    return Converted(str(path), note, "miss")


def _convert(
    found: graph.Graph,
    configuration: Configuration,
    precision: str,
    calibration: Signature | None,
    path: Path,
) -> None:
    try:
        if precision == "fp16":
            _halve(found, path)
        else:
            assert calibration is not None
            _quantise(found, configuration, calibration, path)
    except MeasureError:
        raise
    except Exception as error:  # the tools raise whatever a graph makes them stumble over
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MeasureError(
            "convert-failed",
            f"{_tool(precision)} cannot convert {Path(found.path).name} to {precision}: {said[:200]}",
            f"use --precision native, or a file that is in {precision} already",
            str(error),
        ) from error


def _halve(found: graph.Graph, path: Path) -> None:
    """float16 inside, with the types of inputs and outputs kept."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    source = onnx.load(found.path)
    _spell_out(source.graph)
    model = convert_float_to_float16(source, keep_io_types=True)
    large = model.ByteSize() > _INLINE_BYTES
    onnx.save(model, str(path), save_as_external_data=large, location=f"{path.name}.data" if large else None)
    made = graph.read(str(path))
    if "float16" not in made.float_types and made.operators.get("Cast") == found.operators.get("Cast"):
        raise MeasureError(
            "unsupported",
            f"nothing in {Path(found.path).name} becomes float16: it has no numbers in float32",
            "use another --precision",
        )


def _spell_out(part: Any) -> None:
    """Numbers that constants hold as attributes become tensors, which alone the tool converts; in a GraphProto and those within."""
    from onnx import helper, numpy_helper

    for node in part.node:
        for given in node.attribute:
            for inner in (*given.graphs, *([given.g] if given.HasField("g") else ())):
                _spell_out(inner)
        (first, *_) = node.attribute or (None,)
        if node.op_type == "Constant" and first is not None and first.name in ("value_float", "value_floats"):
            numbers = first.f if first.name == "value_float" else list(first.floats)
            tensor = numpy_helper.from_array(np.array(numbers, np.float32))
            node.attribute[0].CopyFrom(helper.make_attribute("value", tensor))


def _quantise(found: graph.Graph, configuration: Configuration, calibration: Signature, path: Path) -> None:
    """8-bit integers inside, as QuantizeLinear and DequantizeLinear around the operators that have 8-bit kernels."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc] # onnxruntime has no types
        def __init__(self) -> None:
            self.sets = _calibration_sets(found, configuration, calibration)

        def get_next(self) -> Inputs | None:
            return next(self.sets, None)

    large = sum(os.path.getsize(file) for file in files(found)) > _INLINE_BYTES
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fused-") as folder:
        source, fused = found.path, os.path.join(folder, "fused.onnx")
        if found.opset < BY_CHANNEL_FROM:
            source = os.path.join(folder, "raised.onnx")
            _raise_opset(found, source)
        # Symbolic shape inference would need sympy; the graph's own shapes do.
        # Weights in a file of their own stay apart: what is written in between would look for that file beside itself.
        apart = large or (source == found.path and bool(found.external))
        quant_pre_process(source, fused, skip_symbolic_shape=True, save_as_external_data=apart)
        quantize_static(
            fused, str(path), Reader(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=not _dot_products(),
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax,
            use_external_data_format=large,
        )  # fmt: skip
    if "QuantizeLinear" not in graph.read(str(path)).operators:
        raise MeasureError(
            "unsupported",
            f"nothing in {Path(found.path).name} can be quantised: it has no operator with an 8-bit kernel",
            "use another --precision",
        )


def _raise_opset(found: graph.Graph, target: str) -> None:
    """The file with the operators of a later opset, its weights inside."""
    import onnx
    from onnx import version_converter

    try:
        onnx.save(version_converter.convert_version(onnx.load(found.path), BY_CHANNEL_FROM), target)
    except Exception as error:  # of C++, and whatever an old operator makes it stumble over
        raise MeasureError(
            "convert-failed",
            f"{Path(found.path).name} has opset {found.opset}, and onnx cannot raise it to {BY_CHANNEL_FROM}, which int8 needs",
            f"export the model with opset {BY_CHANNEL_FROM} or later",
            str(error),
        ) from error


def _calibration_sets(
    found: graph.Graph, configuration: Configuration, calibration: Signature
) -> Iterator[Inputs]:
    options, seed = configuration.options, configuration.options.seed
    if options.inputs is not None:
        yield from make_sets(Loaded(calibration.inputs, calibration.batch), options)[:CALIBRATION]
        return
    for index in range(FIRST_SET, FIRST_SET + CALIBRATION):
        yield generate(calibration.inputs, found.tables, seed, index)


def files(found: graph.Graph) -> list[str]:
    """The file of a graph, and those of its weights."""
    folder = Path(found.path).parent
    return [found.path, *(str(folder / name) for name in found.external)]


def _key(
    found: graph.Graph, configuration: Configuration, precision: str, calibration: Signature | None, note: str
) -> str:
    """What the new file depends on, as a short hash."""
    parts: dict[str, Any] = {
        "files": [models.digest(path) for path in files(found)],
        "converted by": (__version__, note, versions(*_TOOLS)),
        "precision": precision,
    }
    if calibration is not None:
        given = input_file(configuration.options)
        parts["calibration"] = (
            None if given is None else models.digest(given),
            configuration.options.seed,
            [(item.name, item.shape) for item in calibration.inputs],
            sorted(found.tables.items()),
        )
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _quantised(name: str, so: str, fix: str) -> MeasureError:
    return MeasureError(
        "unsupported", f"{name} is quantised, so {so}", f"{fix}, or the file that it was made from"
    )


def _tool(precision: str) -> str:
    return (
        "onnxruntime.transformers.float16"
        if precision == "fp16"
        else "onnxruntime.quantization.quantize_static"
    )


def _version() -> str:
    found = versions(*_TOOLS[1:])
    return next(iter(found.values()), "")


def _dot_products(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether the CPU adds four products of 8 bits without saturating (VNNI, or ARM's own).

    Where an x86 CPU cannot, onnxruntime's documentation has weights take 7 bits (`reduce_range`).
    """
    try:
        flags: Sequence[str] = Path(cpuinfo).read_text().split()
    except OSError:
        return True
    return not ("avx2" in flags and not {"avx512_vnni", "avx_vnni", "amx_int8"} & set(flags))
