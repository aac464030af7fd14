"""The provoking models can be made and run, and give what their verdict needs: a large input, a large output, many kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from infertop.tests.models import bottlenecks


@pytest.mark.parametrize(
    "name", ["large_input", "large_output", "launches", "matmul", "hot_matmul", "elementwise", "prepared"]
)
def test_every_factory_gives_a_model_that_takes_its_example(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bottlenecks, "SIZE", 128)
    module, example = getattr(bottlenecks, name)()
    with torch.inference_mode():
        output = module(*example)
    assert torch.isfinite(output).all()
    taken = sum(tensor.nbytes for tensor in example)
    if name == "large_input":
        assert taken > 100e6 > 1e5 * output.nbytes / 1e3
    if name == "large_output":
        assert output.nbytes > 100 * taken
    if name == "launches":
        assert len(module) == 400


def test_the_fallback_model_runs_and_has_an_operator_for_the_cpu_alone(tmp_path: Path) -> None:
    path = tmp_path / "fallback.onnx"
    bottlenecks.write_fallback(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    matrices = np.eye(128, dtype=np.float32)[None].repeat(2, axis=0) * 1.01
    (determinants,) = session.run(None, {"x": matrices})
    assert determinants == pytest.approx([1.01**256] * 2, rel=1e-2)
