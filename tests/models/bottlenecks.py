"""Models that provoke one bottleneck each, as factories: `infertop run infertop.tests.models.bottlenecks:large_input --backend torch-eager …`.

`python -m infertop.tests.models.bottlenecks fallback FILE.onnx` writes an ONNX model with an operator that only the CPU provider has;
`python -m infertop.tests.models.bottlenecks hammer SECONDS` is the neighbour that keeps the GPU busy.
"""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import torch
from torch import nn

SIZE = 4096
"""Edge of the matrices of `matmul` and rows of `elementwise`."""

CHAIN = 8
PREPARED = 50_000
LAYERS = 200

Example = tuple[torch.Tensor, ...]


class Mean(nn.Module):  # type: ignore[misc]
    """Reads its input once: copying it takes a hundred times as long on a GPU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


class Outer(nn.Module):  # type: ignore[misc]
    """A large output from a small input."""

    def __init__(self) -> None:
        super().__init__()
        self.row = nn.Parameter(torch.randn(1, 1, SIZE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, None] * self.row


class Matmul(nn.Module):  # type: ignore[misc]
    """Products of matrices that lie on the device: nothing but arithmetic."""

    def __init__(self, matrix: torch.Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        product = self.matrix * x.mean()
        for _ in range(CHAIN):
            product = product @ self.matrix
        return product[:1, :64]


class Elementwise(nn.Module):  # type: ignore[misc]
    """Each operation reads and writes all of a tensor that no cache holds."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.randn(SIZE, SIZE * 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = self.values * x.mean()
        for _ in range(CHAIN):
            values = values + 0.5
        return values[:1, :64]


class Prepared(nn.Module):  # type: ignore[misc]
    """Makes its features from numbers in Python, as a tokenizer or a feature extractor does, and then computes next to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = [math.sin(i) for i in range(PREPARED)]
        features = torch.tensor([sum(made[i::64]) for i in range(64)], device=x.device, dtype=x.dtype)
        return self.head(x + features)


def large_input() -> tuple[nn.Module, Example]:
    """transfer-h2d: 100 MB a request at batch 32; with `--data-path pinned` the copy into the pinned buffer is `host`."""
    return Mean(), (torch.randn(32, 3, 512, 512),)


def large_output() -> tuple[nn.Module, Example]:
    """transfer-d2h: 34 MB a request at batch 8."""
    return Outer(), (torch.randn(8, 256),)


def launches() -> tuple[nn.Module, Example]:
    """launch: four hundred kernels of a few µs each at batch 1."""
    layers = [layer for _ in range(LAYERS) for layer in (nn.Linear(64, 64), nn.ReLU())]
    return nn.Sequential(*layers), (torch.randn(1, 64),)


def matmul() -> tuple[nn.Module, Example]:
    """compute, with `--precision fp16`: equal numbers toggle few wires, so that the power limit does not hold the clock down."""
    return Matmul(torch.full((SIZE, SIZE), 1 / SIZE)), (torch.randn(1, 64),)


def hot_matmul() -> tuple[nn.Module, Example]:
    """throttled-power, with `--precision fp16` on a GPU that reaches its limit: the same products of random numbers."""
    return Matmul(torch.randn(SIZE, SIZE) / SIZE**0.5), (torch.randn(1, 64),)


def prepared() -> tuple[nn.Module, Example]:
    """host: milliseconds of Python inside `forward`, and three operators."""
    return Prepared(), (torch.randn(1, 64),)


def elementwise() -> tuple[nn.Module, Example]:
    """memory-bandwidth: 0.5 GB of values, read and written by each of nine operations."""
    return Elementwise(), (torch.randn(1, 64),)


def write_fallback(path: str) -> None:
    """A matrix product that CUDA does between determinants that it has no kernel for."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["product"]),
        helper.make_node("Det", ["product"], ["det"]),
    ]
    value: Any = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "fallback",
        [value("x", TensorProto.FLOAT, ["batch", 128, 128])],
        [value("det", TensorProto.FLOAT, ["batch"])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def hammer(seconds: float) -> None:
    """Keep the GPU busy with products of matrices; says so once it does."""
    a = torch.randn(4096, 4096, device="cuda", dtype=torch.float16)
    torch.cuda.synchronize()
    print("hammering", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(50):
            a @ a
        torch.cuda.synchronize()


if __name__ == "__main__":
    if sys.argv[1] == "fallback":
        write_fallback(sys.argv[2])
    else:
        hammer(float(sys.argv[2]))
