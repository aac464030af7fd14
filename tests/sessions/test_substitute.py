"""What `--fallback auto` takes to be nearest."""

from __future__ import annotations

from pathlib import Path

import pytest
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.probes import Availability
from infertop.backends.registry import BACKENDS
from infertop.sessions.outcome import refused
from infertop.sessions.plan import Task
from infertop.sessions.substitute import nearest, task_for


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


def test_what_stands_in_and_cannot_be_used_either_is_followed_by_the_next_for_the_first_s_reason() -> None:
    """On the GPU as long as one is left there, with the data path that was asked for; none is tried twice."""
    here = available("onnxruntime-cuda", "onnxruntime-tensorrt", "torch-eager", "onnxruntime-cpu")
    first = Task(Configuration("onnxruntime-cuda", "smallcnn", device="cuda:0", data_path="pinned"))
    why = MeasureError("backend-missing", "libcudnn.so cannot be loaded", "install it", "dlopen failed")
    found, task = [], task_for(first, why, here)
    while task is not None:
        assert task.instead is not None
        assert task.instead.asked == first.configuration
        assert (task.instead.fix, task.instead.detail) == ("install it", "dlopen failed")
        found.append(
            (
                task.configuration.backend,
                task.configuration.device,
                task.configuration.data_path,
                task.instead.reason,
            )
        )
        task = task_for(task, MeasureError("backend-missing", "another reason"), here)
    cause = "onnxruntime-cuda cannot be used here: libcudnn.so cannot be loaded"
    assert found == [
        ("onnxruntime-tensorrt", "cuda:0", "pinned", f"{cause}; onnxruntime-tensorrt was measured instead"),
        ("torch-eager", "cuda:0", "pinned", f"{cause}; torch-eager was measured instead"),
        (
            "onnxruntime-cpu",
            "cpu",
            "pageable",
            f"{cause}; onnxruntime-cpu was measured instead, pageable since it runs on the CPU",
        ),
    ]


def test_what_stands_in_and_cannot_begin_fails_under_the_name_that_was_asked_for() -> None:
    asked = Task(Configuration("onnxruntime-cuda", "smallcnn", device="cuda:0"))
    task = task_for(asked, MeasureError("backend-missing", "no cuDNN"), available("torch-eager"))
    assert task is not None
    result = refused(2, task, MeasureError("gpu-busy", "another infertop has the GPU", "wait"), "failed")
    assert (result["backend"], result["measured_by"], result["status"]) == (
        "onnxruntime-cuda",
        "torch-eager",
        "failed",
    )
    assert result["error"]["message"] == (
        "onnxruntime-cuda cannot be used here: no cuDNN; torch-eager in its place failed: another infertop has the GPU"
    )
    assert (result["error"]["kind"], result["error"]["fix"]) == ("gpu-busy", "wait")


def test_what_stands_in_takes_its_own_options() -> None:
    words = ["cudnn_conv_algo_search=HEURISTIC", "graph_optimization_level=basic"]
    asked = Configuration(
        "onnxruntime-cuda", "smallcnn", device="cuda:0", options=Options(asked_options=words)
    )
    task = task_for(Task(asked), MeasureError("backend-missing", "no cuDNN"), available("onnxruntime-cpu"))
    assert task is not None
    assert task.configuration.options.backend_options == {"graph_optimization_level": "basic"}
