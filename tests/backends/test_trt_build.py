"""TensorRT-RTX's own parser and builder, which need no GPU: what they make, and what they say of models that they refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from infertop.backends import cuda, graph, trt_bindings, trt_build, trt_engine
from infertop.backends.backend import Input
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.ort_model import SMALLCNN, OrtModel
from infertop.backends.trt_ahead import build
from infertop.backends.trt_backend import recipe_of
from infertop.backends.trt_build import Built, Recipe
from infertop.backends.trt_options import TrtOptions
from infertop.tests.backends import onnx_zoo as zoo

RTX = pytest.importorskip(
    "tensorrt_rtx_bindings", reason="TensorRT-RTX's wheels exist for Linux on x86-64 only"
)


def nothing(*_: object, **__: object) -> None: ...


def make(path: str, *shape: int, capability: tuple[int, int] = (8, 9), **fields: Any) -> Built:
    inputs = fields.pop("inputs", [Input("images", "float32", shape)])
    tf32 = fields.pop("tf32", None)
    recipe = Recipe(path, Path(path).name, inputs, tf32, capability, TrtOptions(**fields))
    return trt_build.build(RTX, trt_bindings.RTX, recipe, nothing)


def refused(path: str, *shape: int, **fields: Any) -> MeasureError:
    with pytest.raises(MeasureError) as caught:
        make(path, *shape, **fields)
    assert "/_src" not in caught.value.message
    assert caught.value.fix
    return caught.value


def test_an_engine_is_built_for_a_gpu_that_is_not_here(tmp_path: Path) -> None:
    built = make(zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8)), 2, 3, 8, 8)
    assert len(built.blob) > 10_000
    assert built.layers == 2
    assert built.seconds > 0
    # A plan says by its first bytes whose it is.
    assert built.blob[:4] == b"vtrt"


def test_tf32_is_a_switch_and_changes_the_engine(tmp_path: Path) -> None:
    path = zoo.images(tmp_path / "m.onnx", ("N", 3, 32, 32))
    config = RTX.Builder(trt_bindings.logger(RTX)).create_builder_config()
    for tf32, wanted in ((None, True), (False, False), (True, True)):
        recipe = Recipe(path, "m", [], tf32, (8, 9), TrtOptions())
        trt_build._configure(RTX, trt_bindings.RTX, config, recipe)
        assert config.get_flag(RTX.BuilderFlag.TF32) == wanted
    assert make(path, 2, 3, 32, 32, tf32=True).blob
    assert make(path, 2, 3, 32, 32, tf32=False).blob


def test_half_precision_is_the_graph_s(tmp_path: Path) -> None:
    kind = onnx.TensorProto.FLOAT16
    path = zoo.save(
        tmp_path / "half.onnx", [zoo.node("Relu", ["x"], ["y"])],
        [zoo.value("x", kind, "N", 4)], [zoo.value("y", kind, "N", 4)],
    )  # fmt: skip
    assert make(path, inputs=[Input("x", "float16", (2, 4))]).blob
    said = refused(path, inputs=[Input("x", "float32", (2, 4))])
    assert said.message == "tensorrt-rtx takes input x as float16, the model declares float32"


def test_a_convolutional_model_of_torch_s_is_built_in_bfloat16(tmp_path: Path) -> None:
    """The exporter's own folding would leave float32 kernels beside bfloat16 inputs."""
    pytest.importorskip("torch")
    options = Options(cache_directory=str(tmp_path))
    configuration = Configuration(
        "tensorrt-rtx", "smallcnn", "bf16", batch=2, device="cuda:0", options=options
    )
    model = OrtModel()
    model.open(configuration, None, nothing)
    assert model.graph.float_types == {"bfloat16"}
    model.close()
    assert build(configuration, "sm_89", nothing).bytes > 0


def quantised(path: Path, **extra: bool) -> str:
    """smallcnn by onnxruntime's quantiser, with symmetric activations."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            image = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)
            self.left = [{graph.read(str(SMALLCNN)).inputs[0].name: image}]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    quantize_static(
        str(SMALLCNN), str(path), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, extra_options={"ActivationSymmetric": True, **extra},
    )  # fmt: skip
    return str(path)


def test_what_it_says_of_quantised_files_is_so(tmp_path: Path) -> None:
    configuration = Configuration("tensorrt-rtx", "", "native", batch=2, device="cuda:0")
    taken = quantised(tmp_path / "taken.onnx", QuantizeBias=False)
    assert build(replace(configuration, model=taken), "sm_89", nothing).bytes > 0
    with pytest.raises(MeasureError, match="DequantizeLinear") as caught:
        build(replace(configuration, model=quantised(tmp_path / "other.onnx")), "sm_89", nothing)
    assert "QuantizeBias=False" in caught.value.fix
    with pytest.raises(MeasureError, match="it quantises nothing itself") as caught:
        build(replace(configuration, model=taken, precision="int8"), "sm_89", nothing)
    assert "QuantizeBias=False" in caught.value.fix


def test_options_reach_the_builder(tmp_path: Path) -> None:
    recipe = Recipe(
        "m", "m", [], None, (12, 0), TrtOptions(optimization_level=1, workspace=1 << 20, max_aux_streams=2)
    )
    config = RTX.Builder(trt_bindings.logger(RTX)).create_builder_config()
    trt_build._configure(RTX, trt_bindings.RTX, config, recipe)
    assert config.builder_optimization_level == 1
    assert config.get_memory_pool_limit(RTX.MemoryPoolType.WORKSPACE) == 1 << 20
    assert config.max_aux_streams == 2
    assert config.get_compute_capability(0) == RTX.ComputeCapability.SM120


def test_progress_goes_up_and_never_back(tmp_path: Path) -> None:
    shares: list[float] = []
    recipe = Recipe(
        zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8)), "m", [Input("images", "float32", (2, 3, 8, 8))], None, (8, 9), TrtOptions()
    )  # fmt: skip
    trt_build.build(RTX, trt_bindings.RTX, recipe, shares.append)
    assert len(shares) > 10
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # it is TensorRT-RTX that has given them up
def test_timing_caches_are_tensorrt_s(tmp_path: Path) -> None:
    builder = RTX.Builder(trt_bindings.logger(RTX))
    assert trt_build._timing_cache(trt_bindings.RTX, builder.create_builder_config(), b"") is None
    cache = trt_build._timing_cache(trt_bindings.TENSORRT, builder.create_builder_config(), b"")
    assert bytes(cache.serialize())


def test_an_operator_that_nobody_knows_is_named(tmp_path: Path) -> None:
    path = zoo.save(
        tmp_path / "odd.onnx", [zoo.node("FancyThing", ["x"], ["y"], domain="com.acme")],
        [zoo.value("x", zoo.FLOAT, "N", 4)], [zoo.value("y", zoo.FLOAT, "N", 4)], domains=["com.acme"],
    )  # fmt: skip
    said = refused(path, inputs=[Input("x", "float32", (2, 4))])
    assert said.kind == "model-unreadable"
    assert said.message.startswith("tensorrt-rtx cannot take odd.onnx: node 0, FancyThing: Plugin not found")
    assert "export the model without FancyThing" in said.fix
    assert "ModelImporter.cpp" in said.detail


def test_sizes_that_do_not_fit_name_the_inputs_and_the_layer(tmp_path: Path) -> None:
    inputs = [
        Input("input_ids", "int64", (8, 8)), Input("attention_mask", "int64", (8, 9)),
        Input("position_ids", "int64", (8, 8)), Input("past_key", "float32", (8, 1, 8, 8)),
    ]  # fmt: skip
    said = refused(zoo.decoder(tmp_path / "d.onnx"), inputs=inputs)
    assert said.kind == "shape"
    assert "attention_mask 8 x 9" in said.message
    assert "broadcast dimensions must be conformable" in said.message
    assert "--dim" in said.fix


def test_what_a_gpu_cannot_do_is_said_in_the_builder_s_words(tmp_path: Path) -> None:
    path = zoo.dense(tmp_path / "d.onnx", ("N", 6))
    name = onnx.load(path).graph.input[0].name
    said = refused(path, inputs=[Input(name, "float32", (2, 6))], capability=(7, 5))
    assert said.kind == "build-failed"
    assert said.message.endswith("for Turing (SM75): FP32 GEMM is not supported")


def test_the_builder_needs_a_driver_only_for_the_gpu_that_is_here(tmp_path: Path) -> None:
    try:
        cuda.load()
    except MeasureError:
        path = zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8))
        recipe = Recipe(path, "m.onnx", [Input("images", "float32", (2, 3, 8, 8))], None, None, TrtOptions())
        with pytest.raises(MeasureError, match="driver is missing, or too old") as caught:
            trt_build.build(RTX, trt_bindings.RTX, recipe, nothing)
        assert caught.value.kind == "no-driver"
        assert "--target" in caught.value.fix
    else:
        pytest.skip("there is a driver here")


def test_integers_and_several_inputs(tmp_path: Path) -> None:
    model = OrtModel()
    asked = Configuration(
        "tensorrt-rtx", zoo.bert(tmp_path / "b.onnx"), batch=2, dims={"sequence_length": 16}
    )
    model.open(asked, None, nothing)
    signature, recipe = recipe_of(model, asked, trt_bindings.RTX, (8, 9))
    assert signature.batch == 2
    assert trt_build.build(RTX, trt_bindings.RTX, recipe, nothing).blob


def test_one_is_built_once_and_what_it_depends_on_makes_another(tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    asked = Configuration("tensorrt-rtx", zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8)), batch=2, device="cuda:0",
                          options=Options(cache_directory=cache))  # fmt: skip
    first = build(asked, "sm_89", nothing)
    assert (first.cache, first.target, first.batch, first.layers) == ("miss", "sm_89", 2, 2)
    assert first.path is not None
    assert Path(first.path).stat().st_size == first.bytes
    again = build(asked, "sm_89", nothing)
    assert (again.cache, again.path) == ("hit", first.path)
    assert again.build_s == pytest.approx(first.build_s, abs=1e-3)
    assert build(asked, "sm_120", nothing).cache == "miss"
    zoo.save(
        tmp_path / "m.onnx", [zoo.node("Relu", ["images"], ["y"])],
        [zoo.value("images", zoo.FLOAT, "N", 3, 8, 8)], [zoo.value("y", zoo.FLOAT, "N", 3, 8, 8)],
    )  # fmt: skip
    assert build(asked, "sm_89", nothing).cache == "miss", "the model's contents count, not its name"


def test_weights_beside_the_file_count(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    model = onnx.load(zoo.images(path, ("N", 3, 8, 8)))
    onnx.save(model, str(path), save_as_external_data=True, location="m.weights", size_threshold=0)
    asked = Configuration("tensorrt-rtx", str(path), batch=2, options=Options(cache_directory=str(tmp_path / "cache")),
                          device="cuda:0")  # fmt: skip
    assert build(asked, "sm_89", nothing).cache == "miss"
    assert build(asked, "sm_89", nothing).cache == "hit"
    weights = tmp_path / "m.weights"
    weights.write_bytes(bytes(weights.stat().st_size))
    assert build(asked, "sm_89", nothing).cache == "miss"


def test_without_a_cache_nothing_is_kept(tmp_path: Path) -> None:
    asked = Configuration(
        "tensorrt-rtx", zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8)), batch=2, device="cuda:0"
    )
    done = build(asked, "sm_89", nothing)
    assert (done.cache, done.path) == (None, None)
    assert done.bytes > 0


def test_foreign_bytes_are_no_engine() -> None:
    """The real runtime, which on a machine without a GPU refuses every engine, and says why."""
    with pytest.raises(MeasureError) as caught:
        trt_engine.Engine(RTX, trt_bindings.RTX, b"not an engine" * 100, "x.plan")
    try:
        cuda.load()
    except MeasureError:
        assert caught.value.kind == "no-driver"
    else:
        assert caught.value.kind == "engine-refused"
    assert caught.value.message.startswith("tensorrt-rtx")
    assert "/_src" not in caught.value.message


def test_a_builder_s_reasons_are_heard_while_a_runtime_lives(tmp_path: Path) -> None:
    """The library takes one logger at a time: a second one of ours would miss messages."""
    runtime = RTX.Runtime(trt_bindings.logger(RTX))
    refused(zoo.dense(tmp_path / "d.onnx", ("N", 6)), inputs=[Input("x", "float32", (2, 7))])
    assert not [
        line for line in trt_bindings.logger(RTX).lines if "differs from one already registered" in line[1]
    ]
    assert runtime is not None
