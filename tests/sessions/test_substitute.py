"""What `--fallback auto` takes to be nearest."""

from __future__ import annotations

from pathlib import Path

import pytest
from infertop.backends.configuration import Configuration, Options
from infertop.backends.probes import Availability
from infertop.backends.registry import BACKENDS
from infertop.sessions.substitute import nearest


def available(*usable: str, gpu: bool = True) -> list[Availability]:
    """Every backend, those named usable."""
    return [
        Availability(
            info.name,
            info.short,
            info.name in usable,
            device="cuda:0" if gpu and info.device != "cpu" else "cpu",
        )
        for info in BACKENDS
    ]


@pytest.mark.parametrize(
    ("asked", "device", "usable", "gpu", "found"),
    [
        ("tensorrt", "cuda:1", ("onnxruntime-cuda", "torch-eager"), True, ("onnxruntime-cuda", "cuda:1")),
        ("tensorrt", "cuda:0", ("onnxruntime-cpu", "torch-eager"), True, ("torch-eager", "cuda:0")),
        ("onnxruntime-tensorrt", "cuda:0", ("onnxruntime-cpu", "onnxruntime-cuda", "torch-eager"), True, ("onnxruntime-cuda", "cuda:0")),
        ("onnxruntime-cuda", "cuda:0", ("onnxruntime-cpu", "torch-eager"), False, ("onnxruntime-cpu", "cpu")),
        ("torch-compile", "cuda:0", ("onnxruntime-cuda", "torch-eager"), True, ("torch-eager", "cuda:0")),
        ("torch-eager", "cpu", ("onnxruntime-cuda", "onnxruntime-cpu"), True, ("onnxruntime-cpu", "cpu")),
        ("torch-eager", "cpu", ("onnxruntime-cuda",), True, None),
        ("tensorrt", "cuda:0", (), True, None),
    ],
)  # fmt: skip
def test_the_same_device_before_the_same_runtime(
    asked: str, device: str, usable: tuple[str, ...], gpu: bool, found: tuple[str, str] | None
) -> None:
    assert nearest(Configuration(asked, "resnet18", device=device), available(*usable, gpu=gpu)) == found


def test_a_file_is_not_given_to_torch(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    configuration = Configuration(
        "tensorrt", "m.onnx", device="cuda:0", options=Options(working_directory=str(tmp_path))
    )
    assert nearest(configuration, available("torch-eager", "onnxruntime-cpu")) == ("onnxruntime-cpu", "cpu")
    assert nearest(configuration, available("torch-eager")) is None
