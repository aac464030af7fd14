"""What an ONNX file says of itself, read without a runtime: inputs, outputs, weights' shapes, the tables that integers index.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Weights themselves are stepped over.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .errors import MeasureError
from .protobuf import BYTES, VARINT, Damaged, Field, fields, integers, signed, text
from .signature import Declared

TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4e2m1",
}  # fmt: skip
"""TensorProto.DataType by numpy's names where numpy has one."""

FLOATS = ("float32", "float16", "bfloat16", "float64")

_SAME_INDICES = {
    "Cast", "Concat", "Dropout", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile",
    "Transpose", "Unsqueeze",
}  # fmt: skip
"""Operators whose output holds the numbers of their input, in some arrangement."""

_SAME_SHAPE = {"Add", "Cast", "DequantizeLinear", "Div", "Identity", "Mul", "QuantizeLinear", "Sub"}
"""Operators whose output has the shape of their first input: what comes before a first layer."""

_SAME_WEIGHTS = {"Cast", "DequantizeLinear", "Identity"}

_SIGNATURES = {
    b"version https://git-lfs": ("is a Git LFS pointer, not the file itself", "fetch it with git lfs pull"),
    b"PK\x03\x04": (
        "is a zip archive, as torch.save writes it",
        "export the model to ONNX, or write a factory for it",
    ),
    b"\x80": ("is a Python pickle", "export the model to ONNX, or write a factory for it"),
    b"\x89HDF": ("is an HDF5 file, as Keras writes it", "export the model to ONNX"),
    b"<": ("is an HTML or XML page", "download the file itself"),
}


@dataclass(frozen=True)
class Graph:
    """The main graph of an ONNX file."""

    path: str
    opset: int  # of the default domain; 0 where the file imports none
    inputs: list[Declared]
    outputs: list[Declared]
    operators: dict[str, int]  # operator -> nodes, subgraphs included
    tables: dict[str, int]  # integer input -> rows of the smallest table that it indexes
    float_types: set[str] = field(default_factory=set)  # element types of the floating weights
    external: list[str] = field(default_factory=list)  # files beside it that hold weights


@dataclass
class _Node:
    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)


@dataclass
class _Walk:
    """What is gathered over the main graph and its subgraphs."""

    data: memoryview
    nodes: list[_Node] = field(default_factory=list)
    weights: dict[str, tuple[int, ...]] = field(default_factory=dict)
    float_types: set[str] = field(default_factory=set)
    external: dict[str, None] = field(default_factory=dict)


def read(path: str) -> Graph:
    """Read the file at `path`. Raises MeasureError kind "model-unreadable" where it is no ONNX file or is cut off."""
    name = Path(path).name
    try:
        with open(path, "rb") as file:
            if not file.seek(0, 2):
                raise MeasureError("model-unreadable", f"{name} is empty", "export or copy the model again")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
                return _read(data, path)
    except OSError as error:
        raise MeasureError(
            "model-unreadable",
            f"{name} cannot be read: {error.strerror}",
            "check its path and its permissions",
        ) from error


def missing_weights(graph: Graph) -> list[str]:
    """The files of weights that the model names and that do not lie beside it."""
    folder = Path(graph.path).parent
    return [name for name in graph.external if not (folder / name).is_file()]


def _read(data: memoryview, path: str) -> Graph:
    name = Path(path).name
    for begin, (message, fix) in _SIGNATURES.items():
        if bytes(data[: len(begin)]) == begin:
            raise MeasureError("model-unreadable", f"{name} {message}", fix)
    try:
        graph = _model(data, path)
    except Damaged as error:
        if error.cut_off and data[0] in (0x08, 0x3A):
            # 08: ir_version comes first in nearly every file; 3A: the graph.
            message = f"{name} is cut off: its contents go on beyond its {len(data)} bytes"
            raise MeasureError(
                "model-unreadable", message, "export or copy the model again", str(error)
            ) from error
        message = f"{name} is not an ONNX model"
        raise MeasureError("model-unreadable", message, "export the model to ONNX", str(error)) from error
    if graph is None:
        raise MeasureError(
            "model-unreadable", f"{name} is not an ONNX model", "export the model to ONNX", "no graph"
        )
    return graph


def _model(data: memoryview, path: str) -> Graph | None:
    opset, graph = 0, None
    for item in fields(data, 0, len(data)):
        if item.number == 7 and item.wire == BYTES:
            graph = item
        elif item.number == 8 and item.wire == BYTES:
            domain, version = "", 0
            for part in fields(data, item.start, item.end):
                if part.number == 1:
                    domain = text(data, part)
                elif part.number == 2:
                    version = part.value
            if domain in ("", "ai.onnx"):
                opset = version
    if graph is None:
        return None
    walk = _Walk(data)
    inputs, outputs = _graph(walk, graph)
    declared = [item for item in inputs if item.name not in walk.weights]
    tables, known = _flow(walk, declared)
    operators: dict[str, int] = {}
    for node in walk.nodes:
        operators[node.operator] = operators.get(node.operator, 0) + 1
    return Graph(
        path, opset,
        [Declared(item.name, item.dtype, item.sizes, known.get(item.name, {})) for item in declared],
        outputs, operators, tables, walk.float_types, list(walk.external),
    )  # fmt: skip


def _graph(walk: _Walk, graph: Field) -> tuple[list[Declared], list[Declared]]:
    inputs: list[Declared] = []
    outputs: list[Declared] = []
    for item in fields(walk.data, graph.start, graph.end):
        if item.wire != BYTES:
            continue
        if item.number == 1:
            _node(walk, item)
        elif item.number == 5:
            _tensor(walk, item)
        elif item.number == 11:
            inputs.append(_value(walk.data, item))
        elif item.number == 12:
            outputs.append(_value(walk.data, item))
    return inputs, outputs


def _node(walk: _Walk, item: Field) -> None:
    node = _Node()
    walk.nodes.append(node)
    for part in fields(walk.data, item.start, item.end):
        if part.number == 1:
            node.inputs.append(text(walk.data, part))
        elif part.number == 2:
            node.outputs.append(text(walk.data, part))
        elif part.number == 4:
            node.operator = text(walk.data, part)
        elif part.number == 5:
            _attribute(walk, node, part)


def _attribute(walk: _Walk, node: _Node, item: Field) -> None:
    name, number = "", None
    for part in fields(walk.data, item.start, item.end):
        if part.number == 1:
            name = text(walk.data, part)
        elif part.number == 3 and part.wire == VARINT:
            number = signed(part.value)
        elif part.number == 5 and node.operator in ("Constant", "") and part.wire == BYTES:
            _tensor(walk, part, node.outputs[0] if node.outputs else None)
        elif part.number in (6, 11) and part.wire == BYTES:
            _graph(walk, part)  # the branches of If, the bodies of Loop and Scan
    if number is not None:
        node.numbers[name] = number


def _tensor(walk: _Walk, item: Field, name: str | None = None) -> None:
    dims: list[int] = []
    kind = 0
    for part in fields(walk.data, item.start, item.end):
        if part.number == 1:
            dims += integers(walk.data, part)
        elif part.number == 2:
            kind = part.value
        elif part.number == 8 and name is None:
            name = text(walk.data, part)
        elif part.number == 13:
            pair = {entry.number: text(walk.data, entry) for entry in fields(walk.data, part.start, part.end)}
            if pair.get(1) == "location":
                walk.external[pair.get(2, "")] = None
    if name is not None:
        walk.weights[name] = tuple(dims)
        if dims and TYPES.get(kind) in FLOATS:
            walk.float_types.add(TYPES[kind])


def _value(data: memoryview, item: Field) -> Declared:
    """ValueInfoProto. A value that is no tensor (a sequence, a map) gets its kind as type."""
    name, dtype, sizes = "", "unknown", None
    for part in fields(data, item.start, item.end):
        if part.number == 1:
            name = text(data, part)
        elif part.number == 2:
            for kind in fields(data, part.start, part.end):
                if kind.number == 1:
                    dtype, sizes = _tensor_type(data, kind)
                elif kind.number in (4, 5, 8, 9):
                    dtype = {4: "sequence", 5: "map", 8: "sparse tensor", 9: "optional"}[kind.number]
    return Declared(name, dtype, sizes)


def _tensor_type(data: memoryview, item: Field) -> tuple[str, tuple[int | str | None, ...] | None]:
    dtype, sizes = "unknown", None
    for part in fields(data, item.start, item.end):
        if part.number == 1:
            dtype = TYPES.get(part.value, f"number {part.value}")
        elif part.number == 2 and part.wire == BYTES:
            sizes = tuple(
                _dimension(data, dim) for dim in fields(data, part.start, part.end) if dim.number == 1
            )
    return dtype, sizes


def _dimension(data: memoryview, item: Field) -> int | str | None:
    for part in fields(data, item.start, item.end):
        if part.number == 1:
            value = signed(part.value)
            return value if value >= 0 else None  # some exporters write -1 for an open axis
        if part.number == 2:
            return text(data, part) or None
    return None


def _flow(walk: _Walk, declared: list[Declared]) -> tuple[dict[str, int], dict[str, dict[int, int]]]:
    """Follow the inputs forward: the tables that integers index, and the sizes that the first weights demand."""
    indices = {item.name: {item.name} for item in declared if item.dtype.startswith(("int", "uint"))}
    shapes = {item.name: item.name for item in declared}
    weights = walk.weights
    tables: dict[str, int] = {}
    known: dict[str, dict[int, int]] = {item.name: {} for item in declared}
    rank = {item.name: len(item.sizes) for item in declared if item.sizes is not None}
    for node in walk.nodes:
        first = node.inputs[0] if node.inputs else ""
        for table, index in _lookups(node):
            axis = node.numbers.get("axis", 0)
            if index in indices and -len(weights.get(table, ())) <= axis < len(weights.get(table, ())):
                rows = weights[table][axis]
                for name in indices[index]:
                    tables[name] = min(rows, tables.get(name, rows))
        if node.operator in _SAME_INDICES:
            merged: set[str] = set()
            for source in node.inputs if node.operator == "Concat" else node.inputs[:1]:
                merged |= indices.get(source, set())
            if merged:
                indices |= dict.fromkeys(node.outputs, merged)
        if node.operator in _SAME_WEIGHTS and first in weights and node.outputs:
            weights[node.outputs[0]] = weights[first]
        if first in shapes:
            name = shapes[first]
            for axis, size in _demands(node, weights, rank.get(name, 0)):
                known[name].setdefault(axis, size)
            if node.operator in _SAME_SHAPE and node.outputs:
                shapes[node.outputs[0]] = name
    return tables, known


def _lookups(node: _Node) -> Iterator[tuple[str, str]]:
    """(table, indices) pairs of a node that looks rows up."""
    if node.operator in ("Gather", "GatherBlockQuantized") and len(node.inputs) >= 2:
        yield node.inputs[0], node.inputs[1]
    elif node.operator == "EmbedLayerNormalization":
        # com.microsoft, written by ONNX Runtime's optimiser: ids, segments, then their tables and that of positions.
        for table, index in ((2, 0), (4, 1), (3, 8)):
            if max(table, index) < len(node.inputs):
                yield node.inputs[table], node.inputs[index]


def _demands(node: _Node, weights: dict[str, tuple[int, ...]], rank: int) -> Iterator[tuple[int, int]]:
    """(axis, size) that a node's weights demand of its first input."""
    shape = weights.get(node.inputs[1], ()) if len(node.inputs) > 1 else ()
    if node.operator in ("Conv", "ConvInteger") and len(shape) >= 3:
        yield 1, shape[1] * node.numbers.get("group", 1)
    elif node.operator == "ConvTranspose" and len(shape) >= 3:
        yield 1, shape[0]
    elif node.operator in ("MatMul", "MatMulInteger") and len(shape) == 2 and rank:
        yield rank - 1, shape[0]
    elif node.operator == "Gemm" and len(shape) == 2 and not node.numbers.get("transA", 0):
        yield 1, shape[1 if node.numbers.get("transB", 0) else 0]
    elif node.operator in ("LSTM", "GRU", "RNN") and len(shape) == 3:
        yield 2, shape[2]
