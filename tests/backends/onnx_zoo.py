"""Small ONNX files like those that other people bring, made by hand: no exporter's habits hide in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Size = int | str | None
FLOAT, INT64, INT32, BOOL, STRING = (
    TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.STRING,
)  # fmt: skip


def value(name: str, kind: int, *sizes: Size) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(sizes))


def weight(name: str, *shape: int, dtype: type = np.float32, fill: float = 0.01) -> onnx.TensorProto:
    return numpy_helper.from_array(np.full(shape, fill, dtype), name)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
    domains: Sequence[str] = (),
) -> str:
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(weights))
    imports = [helper.make_opsetid("", 18)] + [helper.make_opsetid(domain, 1) for domain in domains]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return str(path)


def node(
    operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: object
) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), list(outputs), **attributes)


def images(path: Path, sizes: Sequence[Size] = ("batch", 3, "height", "width"), kind: int = FLOAT) -> str:
    """A convolution over images and a mean."""
    nodes = [node("Conv", ["images", "w"], ["c"]), node("GlobalAveragePool", ["c"], ["y"])]
    return save(
        path,
        nodes,
        [value("images", kind, *sizes)],
        [value("y", kind, None, 4, 1, 1)],
        [weight("w", 4, 3, 3, 3)],
    )


def bert(path: Path, vocabulary: int = 30) -> str:
    """Three integer inputs; a table of `vocabulary` rows and one of 2, looked up through Cast and Unsqueeze."""
    nodes = [
        node("Cast", ["input_ids"], ["ids32"], to=INT32),
        node("Gather", ["words", "ids32"], ["a"]),
        node("Gather", ["types", "token_type_ids"], ["b"]),
        node("Cast", ["attention_mask"], ["mask"], to=FLOAT),
        node("Unsqueeze", ["mask", "last"], ["mask3"]),
        node("Add", ["a", "b"], ["ab"]),
        node("Mul", ["ab", "mask3"], ["y"]),
    ]
    names = ("input_ids", "attention_mask", "token_type_ids")
    return save(
        path, nodes, [value(name, INT64, "batch_size", "sequence_length") for name in names],
        [value("y", FLOAT, "batch_size", "sequence_length", 8)],
        [weight("words", vocabulary, 8), weight("types", 2, 8), weight("last", 1, dtype=np.int64, fill=2)],
    )  # fmt: skip


def decoder(path: Path) -> str:
    """One decode step with a past: the mask is as long as past and present together, positions index a table of 16."""
    nodes = [
        node("Gather", ["words", "input_ids"], ["a"]),
        node("Gather", ["places", "position_ids"], ["p"]),
        node("Add", ["a", "p"], ["ap"]),
        node("Unsqueeze", ["ap", "one"], ["present"]),
        node("Concat", ["past_key", "present"], ["key"], axis=2),
        node("Cast", ["attention_mask"], ["mask"], to=FLOAT),
        node("Unsqueeze", ["mask", "ends"], ["mask4"]),
        node("Mul", ["key", "mask4"], ["y"]),
    ]
    inputs = [
        value("input_ids", INT64, "batch", "sequence_length"),
        value("attention_mask", INT64, "batch", "past_sequence_length + sequence_length"),
        value("position_ids", INT64, "batch", "sequence_length"),
        value("past_key", FLOAT, "batch", 1, "past_sequence_length", 8),
    ]
    axes = numpy_helper.from_array(np.array([1, 3], np.int64), "ends")
    return save(
        path, nodes, inputs, [value("y", FLOAT, None, 1, None, 8)],
        [weight("words", 50, 8), weight("places", 16, 8), weight("one", 1, dtype=np.int64, fill=1), axes],
    )  # fmt: skip


def scalar(path: Path) -> str:
    """A window of sound and its rate as a scalar, like a voice detector's file: axes without names, a state."""
    nodes = [
        node("Cast", ["sr"], ["rate"], to=FLOAT),
        node("Div", ["input", "rate1"], ["x"]),
        node("Add", ["rate", "one"], ["rate1"]),
        node("ReduceSum", ["x", "last"], ["sum"], keepdims=1),
        node("Mul", ["state", "rate1"], ["state_out"]),
    ]
    inputs = [value("input", FLOAT, None, None), value("state", FLOAT, 2, None, 8), value("sr", INT64)]
    outputs = [value("sum", FLOAT, None, 1), value("state_out", FLOAT, 2, None, 8)]
    return save(
        path, nodes, inputs, outputs,
        [numpy_helper.from_array(np.array(1, np.float32), "one"), weight("last", 1, dtype=np.int64, fill=1)],
    )  # fmt: skip


def dense(path: Path, sizes: Sequence[Size], kind: int = FLOAT, width: int = 6) -> str:
    """A matrix product whose weights demand `width` numbers in the last axis."""
    dtype = {FLOAT: np.float32, TensorProto.FLOAT16: np.float16, TensorProto.DOUBLE: np.float64}[kind]
    return save(
        path, [node("MatMul", ["x", "w"], ["y"])], [value("x", kind, *sizes)],
        [value("y", kind, *[None] * len(sizes))], [weight("w", width, 2, dtype=dtype)],
    )  # fmt: skip


def identity(path: Path, kind: int, sizes: Sequence[Size] = ("N", 4)) -> str:
    return save(
        path, [node("Identity", ["x"], ["y"])], [value("x", kind, *sizes)], [value("y", kind, *sizes)]
    )
