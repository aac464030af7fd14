"""Files converted to another precision: what comes out, that it still agrees, and what cannot be converted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from infertop.backends import graph, ort_session, precision
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.inputs import make_sets
from infertop.backends.ort import OnnxRuntimeCpu
from infertop.backends.ort_model import ModelFile, OrtModel
from infertop.tests.backends import onnx_zoo as zoo
from infertop.tests.backends.test_agreement import checked


def asked(model: str, cache: Path | None = None, target: str = "int8", **options: Any) -> Configuration:
    given = Options(agreement=True, cache_directory=None if cache is None else str(cache), **options)
    return Configuration("onnxruntime-cpu", model, target, options=given)


def opened(configuration: Configuration) -> tuple[OrtModel, list[str]]:
    phases: list[str] = []
    model = OrtModel()
    model.open(configuration, None, phases.append)
    return model, phases


def test_smallcnn_in_8_bits_agrees_and_is_kept(tmp_path: Path) -> None:
    backend = OnnxRuntimeCpu()
    loaded = backend.load(asked("smallcnn", tmp_path), lambda phase: None)
    assert loaded.cache == "miss"
    assert loaded.runtime["converted"].startswith("onnxruntime.quantization.quantize_static 1.")
    assert loaded.native == "int8"
    assert loaded.inputs[0].dtype == "float32"
    found = checked(asked("smallcnn", tmp_path))
    assert found["within_band"] is True
    assert found["max_rel"] > 1e-4, "it computes in 8 bits indeed"
    assert OnnxRuntimeCpu().load(asked("smallcnn", tmp_path), lambda phase: None).cache == "hit"
    assert OnnxRuntimeCpu().load(asked("smallcnn", tmp_path, seed=1), lambda phase: None).cache == "miss"


def test_another_batch_is_the_same_quantised_file(tmp_path: Path) -> None:
    phases: list[str] = []
    backend = OnnxRuntimeCpu()
    backend.load(asked("smallcnn"), phases.append)
    assert "build" in phases
    configuration = Configuration("onnxruntime-cpu", "smallcnn", "int8", batch=4)
    phases.clear()
    loaded = backend.load(configuration, phases.append)
    assert phases == ["load"]
    backend.bind(make_sets(loaded, configuration.options), 1)
    backend.issue(0, 0, None)
    assert backend.outputs(0)[0].shape == (4, 10)


def test_calibration_takes_the_inputs_of_a_file(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "in.npz", input=np.random.default_rng(0).standard_normal((5, 3, 32, 32)).astype(np.float32)
    )
    configuration = asked("smallcnn", inputs=str(tmp_path / "in.npz"))
    model, _ = opened(configuration)
    assert "requests of --inputs" in (model.file.converted or "")
    assert checked(configuration)["within_band"] is True
    model.close()


def test_halves_keep_the_types_of_inputs_and_outputs(tmp_path: Path) -> None:
    path = zoo.bert(tmp_path / "m.onnx")
    model, phases = opened(asked(path, tmp_path / "cache", "fp16"))
    assert phases == ["export"]
    assert model.file.converted is not None
    assert model.file.converted.startswith("onnxruntime.transformers.float16 1.")
    assert model.graph.float_types == {"float16"}
    assert [item.dtype for item in model.graph.inputs] == ["int64"] * 3
    assert [item.dtype for item in model.graph.outputs] == ["float32"]
    assert model.graph.tables == {"input_ids": 30, "token_type_ids": 2}
    assert opened(asked(path, tmp_path / "cache", "fp16"))[0].file.cache == "hit"
    zoo.bert(tmp_path / "m.onnx", vocabulary=31)
    assert opened(asked(path, tmp_path / "cache", "fp16"))[0].file.cache == "miss"


def test_constants_that_are_attributes_are_halved_with_the_rest(tmp_path: Path) -> None:
    """As onnxscript writes them; left in float32 they would make a file that no runtime loads."""
    inside = onnx.helper.make_graph(
        [onnx.helper.make_node("Constant", [], ["one"], value_floats=[1.0]), zoo.node("Add", ["a", "one"], ["b"])],
        "then", [], [zoo.value("b", zoo.FLOAT, "N", 4)],
    )  # fmt: skip
    other = onnx.helper.make_graph(
        [zoo.node("Neg", ["a"], ["c"])], "else", [], [zoo.value("c", zoo.FLOAT, "N", 4)]
    )
    path = zoo.save(
        tmp_path / "m.onnx",
        [
            onnx.helper.make_node("Constant", [], ["half"], value_float=0.5),
            zoo.node("Mul", ["x", "half"], ["a"]),
            zoo.node("ReduceMax", ["x"], ["most"], keepdims=0),
            zoo.node("Greater", ["most", "half"], ["large"]),
            onnx.helper.make_node("If", ["large"], ["y"], then_branch=inside, else_branch=other),
        ],
        [zoo.value("x", zoo.FLOAT, "N", 4)], [zoo.value("y", zoo.FLOAT, "N", 4)],
    )  # fmt: skip
    model, _ = opened(asked(path, None, "fp16"))
    session = onnxruntime.InferenceSession(model.file.path, providers=["CPUExecutionProvider"])
    given = np.full((1, 4), 2, np.float32)
    np.testing.assert_allclose(session.run(None, {"x": given})[0], given / 2 + 1)


def test_what_the_tool_made_and_no_runtime_loads_is_the_tool_s_fault(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x08")
    file = ModelFile(
        str(tmp_path / "broken.onnx"), "m.onnx", converted="onnxruntime.transformers.float16 1.31.1"
    )
    with pytest.raises(MeasureError, match=r"made of m.onnx") as caught:
        ort_session.create(onnxruntime, file, onnxruntime.SessionOptions(), ["CPUExecutionProvider"])
    assert caught.value.kind == "convert-failed"


def test_a_file_in_halves_already_is_left_alone(tmp_path: Path) -> None:
    path = zoo.dense(tmp_path / "m.onnx", ("N", 6), onnx.TensorProto.FLOAT16)
    model, phases = opened(asked(path, None, "fp16"))
    assert (model.file.converted, phases) == (None, [])


def test_halves_beside_float32_are_left_where_their_maker_wanted_them(tmp_path: Path) -> None:
    """Some operators take float32 alone, as Resize its scales."""
    source = onnx.load(zoo.dense(tmp_path / "m.onnx", ("N", 6), onnx.TensorProto.FLOAT16))
    source.graph.initializer.append(zoo.weight("scales", 4))
    onnx.save(source, str(tmp_path / "m.onnx"))
    model, phases = opened(asked(str(tmp_path / "m.onnx"), None, "fp16"))
    assert (model.file.converted, phases) == (None, [])


def test_a_file_without_weights_is_converted_too(tmp_path: Path) -> None:
    """Otherwise it would be measured in float32 under the name of fp16."""
    model, _ = opened(asked(zoo.identity(tmp_path / "i.onnx", zoo.FLOAT), None, "fp16"))
    assert model.file.converted is not None
    assert model.graph.operators["Cast"] == 2
    with pytest.raises(MeasureError, match=r"nothing in n.onnx becomes float16") as caught:
        opened(asked(zoo.identity(tmp_path / "n.onnx", zoo.INT64), None, "fp16"))
    assert caught.value.kind == "unsupported"


def test_a_quantised_file_is_int8_and_nothing_else(tmp_path: Path) -> None:
    """As it is, and not a second time; in no other precision, on any backend that reads files."""
    model, _ = opened(asked("smallcnn", tmp_path / "cache"))
    path = model.file.path
    again, phases = opened(asked(path, tmp_path / "cache"))
    assert (again.file.path, again.file.converted, phases) == (path, None, [])
    loaded = OnnxRuntimeCpu().load(asked(path), lambda phase: None)
    assert loaded.native == "int8"
    with pytest.raises(MeasureError, match="is quantised, so it cannot be measured as fp32") as caught:
        OnnxRuntimeCpu().load(asked(path, target="fp32"), lambda phase: None)
    assert caught.value.kind == "unsupported"
    assert "--precision int8 or native" in caught.value.fix
    with pytest.raises(MeasureError, match="is quantised, so it cannot be converted to fp16"):
        opened(asked(path, target="fp16"))
    for precision_, backend in (("tf32", "tensorrt-rtx"), ("fp32", "onnxruntime-cuda")):
        with pytest.raises(MeasureError, match=f"cannot be measured as {precision_}"):
            precision.refuse_other_types(again.graph, backend, precision_)


@pytest.mark.parametrize(
    "operator", ["DequantizeLinear", "MatMulInteger", "QLinearConv", "DynamicQuantizeLinear", "MatMulNBits"]
)
def test_integers_of_few_bits_are_seen_by_their_operators(operator: str, tmp_path: Path) -> None:
    found = graph.read(zoo.dense(tmp_path / "m.onnx", ("N", 6)))
    assert precision.native(found) == "fp32"
    assert precision.native(replace(found, operators={operator: 1})) == "int8"


def test_weights_beside_the_file_count_too(tmp_path: Path) -> None:
    source = onnx.load(zoo.dense(tmp_path / "m.onnx", ("N", 6)))
    onnx.save(
        source, str(tmp_path / "m.onnx"), save_as_external_data=True, location="m.bin", size_threshold=0
    )
    found = graph.read(str(tmp_path / "m.onnx"))
    assert [Path(name).name for name in precision.files(found)] == ["m.onnx", "m.bin"]
    model, _ = opened(asked(found.path, tmp_path / "cache", "fp16"))
    assert model.graph.external == []
    assert model.file.cache == "miss"
    model, _ = opened(asked(found.path, tmp_path / "cache"))
    assert precision.native(model.graph) == "int8"


def test_files_of_an_older_opset_are_quantised_too(tmp_path: Path) -> None:
    """Scales by channel came with opset 13; files are still exported in 11."""
    source = onnx.load(zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8)))
    source.opset_import[0].version = 11
    onnx.save(
        source, str(tmp_path / "m.onnx"), save_as_external_data=True, location="m.bin", size_threshold=0
    )
    configuration = asked(str(tmp_path / "m.onnx"), tmp_path / "cache")
    model, _ = opened(configuration)
    assert precision.native(model.graph) == "int8"
    assert (model.file.converted or "").endswith("opset 11 raised to 13")
    assert checked(configuration)["within_band"] is True
    source.graph.node[0].op_type = "Nonsense"
    onnx.save(source, str(tmp_path / "n.onnx"))
    with pytest.raises(MeasureError, match="onnx cannot raise it to 13, which int8 needs") as caught:
        opened(asked(str(tmp_path / "n.onnx")))
    assert caught.value.fix == "export the model with opset 13 or later"


def test_what_cannot_be_converted_is_said(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match=r"is in float64, and only files in float32") as caught:
        opened(asked(zoo.dense(tmp_path / "d.onnx", ("N", 6), onnx.TensorProto.DOUBLE)))
    assert caught.value.kind == "unsupported"
    with pytest.raises(MeasureError, match=r"nothing in i.onnx can be quantised"):
        opened(asked(zoo.identity(tmp_path / "i.onnx", zoo.FLOAT)))


def test_without_onnx_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MeasureError, match="needs the package onnx") as caught:
        opened(asked("smallcnn"))
    assert caught.value.kind == "backend-missing"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx2", False),
        ("fpu avx2 avx512_vnni", True),
        ("fpu avx2 avx_vnni", True),
        ("fp asimd asimddp", True),
    ],
)
def test_weights_take_7_bits_where_the_cpu_saturates(flags: str, expected: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
    assert precision._dot_products(str(tmp_path / "cpuinfo")) is expected
