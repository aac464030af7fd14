"""What a request asks of a GPU: floating-point operations by arithmetic pipe, and the least that its memory has to move.

Lower bounds, so that a share of a peak that is made of them is never too high: what cannot be counted counts as nothing, and whatever the
GPU's cache could hold is not moved. A product of matrices or a convolution is a *product*; everything else computes next to nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Operand = tuple[Hashable, int]
"""A tensor that an operator reads or writes: what tells it from others, and its bytes."""

ITEM_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
"""Bytes of an element by TensorProto.DataType; of what is not here none are counted."""

PIPES = {1: "fp32", 10: "fp16", 11: "fp64", 16: "bf16"}
"""The arithmetic pipe of a product by the same."""

VIEWS = {
    "Cast", "Constant", "ConstantOfShape", "Flatten", "Identity", "Reshape", "Shape", "Size", "Squeeze", "Unsqueeze",
}  # fmt: skip
"""Operators that a runtime does at load, without moving anything, or within another."""

LARGE_WEIGHT = 1024
"""Elements above which a weight's numbers are left out of the shapes' inference: no shape is made of so many."""

LARGEST_FILE = 1 << 30
"""Bytes of an ONNX file above which nothing is counted: reading it once more would take seconds."""


@dataclass(frozen=True)
class Work:
    """Of one request. `bytes` as its operators run here, `fused_bytes` if everything between products were one kernel."""

    flop: dict[str, float]  # by pipe: "fp32", "tf32", "fp16", "bf16", "fp64"
    bytes: int
    fused_bytes: int
    operators: int | None  # that launch a kernel each; None: the runtime fuses them as it likes
    products: int


class Tally:
    """Adds operators up. `cache`: bytes of the GPU's last cache."""

    def __init__(self, cache: int) -> None:
        self._cache = cache
        self._flop: dict[str, float] = {}
        self._leaves: dict[Hashable, int] = {}
        self._moved = self._between = 0
        self._operators = self._products = 0
        self.joined = (
            False  # an operator launches more than one kernel, so that nobody knows how many there are
        )

    def leaf(self, key: Hashable, size: int) -> None:
        """A tensor that is there before the request: an input or a weight."""
        self._leaves[key] = max(size, self._leaves.get(key, 0))

    def operator(
        self, reads: Iterable[Operand], writes: Iterable[Operand], pipe: str | None = None, flop: float = 0.0
    ) -> None:
        """`pipe` and `flop` of a product."""
        large = [(key, size) for key, size in (*reads, *writes) if size > self._cache]
        self._operators += 1
        self._moved += sum(size for _, size in large)
        if pipe is not None and flop:
            self._products += 1
            self._flop[pipe] = self._flop.get(pipe, 0.0) + flop
            self._between += sum(size for key, size in large if key not in self._leaves)

    def work(self, fuses: bool) -> Work:
        """`fuses`: the runtime joins operators, so that what lies between them need not go through the memory."""
        small = sum(size for size in self._leaves.values() if size <= self._cache)
        fused = self._between + max(0, sum(self._leaves.values()) - self._cache)
        moved = max(fused, self._moved + max(0, small - self._cache))
        operators = None if fuses or self.joined else self._operators
        return Work(self._flop, fused if fuses else moved, fused, operators, self._products)


def of_onnx(path: str, shapes: Mapping[str, tuple[int, ...]], tf32: bool, cache: int) -> Work | None:
    """Of an ONNX file with inputs of these shapes; `tf32`: products of float32 run in TF32.

    None where the package onnx is missing, the file is gone, cannot be inferred, or computes in integers behind our back.
    """
    file = Path(path)
    if not file.is_file() or file.stat().st_size > LARGEST_FILE:
        return None
    try:
        import onnx
        from onnx import shape_inference
    except ImportError:
        return None
    model = onnx.load(path, load_external_data=False)
    if any(node.op_type in ("QuantizeLinear", "QLinearConv", "QLinearMatMul") for node in model.graph.node):
        return None
    _bind(onnx, model.graph, shapes)
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except (shape_inference.InferenceError, ValueError):
        return None
    return _counted(inferred.graph, set(shapes), tf32, cache)


def _bind(onnx: Any, graph: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The inputs' sizes, and large weights as inputs, so that their numbers are not copied."""
    for item in graph.input:
        if item.name in shapes:
            dims = item.type.tensor_type.shape
            dims.ClearField("dim")
            for size in shapes[item.name]:
                dims.dim.add().dim_value = size
    given = {item.name for item in graph.input}
    kept = []
    for weight in graph.initializer:
        if _elements(weight.dims) <= LARGE_WEIGHT:
            kept.append(weight)
        elif weight.name not in given:
            graph.input.append(
                onnx.helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims))
            )
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _counted(graph: Any, inputs: set[str], tf32: bool, cache: int) -> Work:
    known: dict[str, tuple[tuple[int, ...], int]] = {}
    for item in (*graph.input, *graph.value_info, *graph.output):
        tensor = item.type.tensor_type
        sizes = tuple(dim.dim_value for dim in tensor.shape.dim)
        if tensor.HasField("shape") and all(sizes):
            known[item.name] = (sizes, tensor.elem_type)
    for weight in graph.initializer:
        known[weight.name] = (tuple(weight.dims), weight.data_type)
    tally = Tally(cache)

    def operands(names: Iterable[str]) -> list[Operand]:
        found = [(name, *known[name]) for name in names if name in known]
        return [(name, _elements(sizes) * ITEM_BYTES.get(kind, 0)) for name, sizes, kind in found]

    for name, size in operands([*(item.name for item in graph.input), *(w.name for w in graph.initializer)]):
        tally.leaf(name, size)
    for node in graph.node:
        if node.op_type in VIEWS:
            continue
        flop = _flop(node, {name: sizes for name, (sizes, _) in known.items()})
        kind = known.get(node.input[0], ((), 0))[1] if node.input else 0
        pipe = PIPES.get(kind)
        if pipe == "fp32" and tf32:
            pipe = "tf32"
        tally.operator(operands(node.input), operands(node.output), pipe, flop)
    return tally.work(fuses=True)


def _flop(node: Any, sizes: Mapping[str, tuple[int, ...]]) -> float:
    """Multiplications and additions of a product; 0 of anything else, and where a shape is not known."""
    shapes = [sizes.get(name) for name in node.input[:2]]
    out = sizes.get(node.output[0]) if node.output else None
    if out is None or len(shapes) < 2 or shapes[0] is None or shapes[1] is None:
        return 0.0
    first, second = shapes[0], shapes[1]
    if node.op_type == "Conv":
        return 2.0 * _elements(out) * _elements(second[1:])
    if node.op_type == "ConvTranspose":
        return 2.0 * _elements(first) * _elements(second[1:])
    if node.op_type == "MatMul" and first:
        return 2.0 * _elements(out) * first[-1]
    if node.op_type == "Gemm" and len(first) == 2:
        turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        return 2.0 * _elements(out) * first[0 if turned else 1]
    return 0.0


def _elements(dims: Iterable[int]) -> int:
    count = 1
    for size in dims:
        count *= size
    return count
