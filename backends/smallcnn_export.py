"""Writes smallcnn.onnx beside this file: `python -m infertop.backends.smallcnn_export`, after a change of zoo.smallcnn."""

from __future__ import annotations

from .export import OPSET, to_onnx
from .ort_model import SMALLCNN
from .zoo import smallcnn


def main() -> None:
    import torch

    example = torch.zeros(2, 3, 32, 32)
    to_onnx(smallcnn().eval(), ((example,), {}), {id(example): {0: "batch"}}, str(SMALLCNN), ["input"])
    print(f"{SMALLCNN.name}: opset {OPSET}, {SMALLCNN.stat().st_size} bytes")


if __name__ == "__main__":
    main()
