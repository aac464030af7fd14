"""What a person types as a model or a backend, and what infertop answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from infertop.backends import models, registry
from infertop.backends.errors import MeasureError


def refused(text: str, directory: Path | str = ".") -> MeasureError:
    with pytest.raises(MeasureError) as caught:
        models.resolve(text, str(directory))
    assert caught.value.kind == "model-not-found"
    return caught.value


def test_known_names_files_and_factories_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"x")
    (tmp_path / "net.PT2").write_bytes(b"x")
    assert models.resolve("resnet18") == models.Model("resnet18", "zoo", None, "resnet18")
    assert models.resolve("net.onnx", str(tmp_path)) == models.Model(
        "net.onnx", "onnx", str((tmp_path / "net.onnx").resolve()), "net"
    )
    assert models.resolve(str(tmp_path / "net.PT2")).kind == "pt2"
    assert models.resolve("torchvision:resnet50") == models.Model(
        "torchvision:resnet50", "torchvision", None, "resnet50"
    )
    assert models.resolve("my.models:make") == models.Model("my.models:make", "factory", None, "make")


def test_a_known_name_wins_over_a_file_and_a_path_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "smallcnn").write_bytes(b"x")
    assert models.resolve("smallcnn", str(tmp_path)).kind == "zoo"
    assert "not an .onnx" in refused("./smallcnn", tmp_path).message


def test_a_folder_with_one_onnx_file_is_that_file(tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    folder.mkdir()
    assert "folder without an ONNX file" in refused("bert", tmp_path).message
    (folder / "model.onnx").write_bytes(b"x")
    assert models.resolve("bert", str(tmp_path)).path == str((folder / "model.onnx").resolve())
    (folder / "quantized.onnx").write_bytes(b"x")
    error = refused("bert", tmp_path)
    assert "2 ONNX files" in error.message
    assert "bert/quantized.onnx" in error.fix


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("smalcnn", "smallcnn"),
        ("ResNet18", "resnet18"),
        ("mobilenet", "mobilenet_v2"),
        ("resnet50", "torchvision:resnet50"),
        ("torchvision:resnet5O", "torchvision:resnet50"),
    ],
)
def test_a_misspelt_name_gets_the_near_one(typed: str, meant: str, tmp_path: Path) -> None:
    assert meant in refused(typed, tmp_path).fix


def test_a_misspelt_file_gets_the_files_near_by(tmp_path: Path) -> None:
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "detector.onnx").write_bytes(b"x")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "detectr.onnx").write_bytes(b"x")
    error = refused("detectr.onnx", tmp_path)
    assert error.message == "there is no file detectr.onnx"
    assert error.fix == "did you mean exports/detector.onnx?"


def test_an_unlike_name_gets_what_there_is(tmp_path: Path) -> None:
    assert "smallcnn" in refused("qqqqq", tmp_path).fix


@pytest.mark.parametrize(
    ("model", "usable", "backend"),
    [
        ("smallcnn", {"torch-eager", "onnxruntime-cpu"}, "onnxruntime-cpu"),
        ("smallcnn", {"torch-eager"}, "torch-eager"),
        ("smallcnn", {"onnxruntime-cpu", "onnxruntime-cuda"}, "onnxruntime-cuda"),
        ("resnet18", {"torch-eager", "onnxruntime-cpu"}, "torch-eager"),
        ("a.b:c", {"torch-eager", "onnxruntime-cpu"}, "torch-eager"),
        ("resnet18", set(), "torch-eager"),
    ],
)
def test_the_backend_that_is_taken_when_none_is_named(model: str, usable: set[str], backend: str) -> None:
    assert models.default_backend(models.resolve(model), usable) == backend


def test_files_go_to_onnx_runtime(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"x")
    model = models.resolve("net.onnx", str(tmp_path))
    assert models.default_backend(model, {"torch-eager", "onnxruntime-cpu"}) == "onnxruntime-cpu"
    assert models.default_backend(model, {"torch-eager"}) == "onnxruntime-cpu"
    assert models.default_precision(model) == "native"
    assert models.default_precision(models.resolve("resnet18")) == "fp32"


def test_backends_are_found_by_both_names_and_near_ones_suggested() -> None:
    for info in registry.BACKENDS:
        assert registry.resolve(info.name) is registry.resolve(info.short) is info
    with pytest.raises(MeasureError) as caught:
        registry.resolve("onnxruntime")
    assert caught.value.kind == "usage"
    assert "onnxruntime-cpu" in caught.value.fix
