"""onnxruntime-cpu with files like other people's: what runs without a flag, what a sentence says otherwise."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from infertop.backends import graph, ort_session
from infertop.backends.backend import Input, Loaded, StageTimes
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.inputs import make_sets
from infertop.backends.ort import OnnxRuntimeCpu
from infertop.tests.backends import onnx_zoo as zoo


def asked(model: str, options: dict[str, Any] | None = None, **fields: Any) -> Configuration:
    return Configuration("onnxruntime-cpu", model, options=Options(**(options or {})), **fields)


def request(
    configuration: Configuration, backend: OnnxRuntimeCpu | None = None
) -> tuple[Loaded, list[np.ndarray]]:
    """Load, bind and run once, as the worker does."""
    backend = backend or OnnxRuntimeCpu()
    loaded = backend.load(configuration, lambda phase: None)
    backend.bind(make_sets(loaded, configuration.options), 1)
    backend.issue(0, 0, None)
    backend.complete(0, None)
    return loaded, backend.outputs(0)


def refused(configuration: Configuration) -> MeasureError:
    with pytest.raises(MeasureError) as caught:
        request(configuration)
    return caught.value


def test_images_in_any_batch(tmp_path: Path) -> None:
    loaded, outputs = request(
        asked(zoo.images(tmp_path / "m.onnx"), batch=3, dims={"height": 16, "width": 8})
    )
    assert loaded.batch == 3
    assert loaded.assumed == {}
    assert loaded.inputs[0].shape == (3, 3, 16, 8)
    assert outputs[0].shape == (3, 4, 1, 1)
    assert loaded.placement == {"CPUExecutionProvider": 2}
    assert loaded.outputs == ["y"]
    assert "numpy" in loaded.libraries


def test_weights_for_a_file_that_has_its_own_are_refused(tmp_path: Path) -> None:
    error = refused(asked(zoo.images(tmp_path / "m.onnx"), {"weights": "w.pt"}))
    assert error.kind == "usage"
    assert "m.onnx brings its own" in error.message


def test_bert_like_integers_stay_in_their_tables(tmp_path: Path) -> None:
    loaded, outputs = request(asked(zoo.bert(tmp_path / "m.onnx", vocabulary=30), batch=2))
    assert loaded.tables == {"input_ids": 30, "token_type_ids": 2}
    assert loaded.assumed == {"sequence_length": 128}
    assert outputs[0].shape == (2, 128, 8)


def test_a_decoder_with_past_runs_without_a_flag_and_with_dims(tmp_path: Path) -> None:
    path = zoo.decoder(tmp_path / "m.onnx")
    loaded, outputs = request(asked(path))
    assert loaded.tables == {"input_ids": 50, "position_ids": 16}
    assert outputs[0].shape == (1, 1, 128, 8)
    _, outputs = request(asked(path, batch=2, dims={"past_sequence_length": 7, "sequence_length": 1}))
    assert outputs[0].shape == (2, 1, 8, 8)


def test_scalars_unnamed_axes_and_a_state(tmp_path: Path) -> None:
    path = zoo.scalar(tmp_path / "m.onnx")
    loaded, outputs = request(asked(path, {"input_shapes": {"input": "Bx512", "state": "2xBx8"}}, batch=4))
    assert [item.shape for item in loaded.inputs] == [(4, 512), (2, 4, 8), ()]
    assert outputs[1].shape == (2, 4, 8)
    assert request(asked(path))[0].assumed == {"input[1]": 1, "state[1]": 1}


def test_a_size_that_the_first_weights_demand_is_found(tmp_path: Path) -> None:
    loaded, outputs = request(asked(zoo.dense(tmp_path / "m.onnx", ("N", "features"), width=6)))
    assert loaded.inputs[0].shape == (1, 6)
    assert loaded.assumed == {}
    assert outputs[0].shape == (1, 2)
    loaded, _ = request(asked(zoo.images(tmp_path / "i.onnx", ("N", "channels", "h", "w"))))
    assert loaded.inputs[0].shape == (1, 3, 224, 224)


def test_no_batch_axis(tmp_path: Path) -> None:
    assert request(asked(zoo.dense(tmp_path / "m.onnx", ("sequence_length", 6))))[0].batch is None


@pytest.mark.parametrize(
    "kind",
    [onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.UINT8,
     onnx.TensorProto.INT32, onnx.TensorProto.BOOL],
)  # fmt: skip
def test_every_element_type_is_fed(kind: int, tmp_path: Path) -> None:
    loaded, outputs = request(asked(zoo.identity(tmp_path / "m.onnx", kind), batch=2))
    assert outputs[0].shape == (2, 4)
    assert loaded.inputs[0].dtype == graph.TYPES[kind]


def test_strings_are_refused_in_a_sentence(tmp_path: Path) -> None:
    error = refused(asked(zoo.identity(tmp_path / "m.onnx", zoo.STRING)))
    assert error.message == "input x takes strings, which infertop cannot feed"


def test_another_batch_keeps_the_session(tmp_path: Path) -> None:
    path = zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8))
    backend = OnnxRuntimeCpu()
    phases: list[str] = []
    backend.load(asked(path, batch=1), phases.append)
    assert phases == ["load", "build"]
    loaded, outputs = request(asked(path, batch=5), backend)
    assert outputs[0].shape[0] == loaded.batch == 5
    backend.load(asked(path, batch=2), phases.append)
    assert phases == ["load", "build", "load"]


def test_a_file_that_changed_is_loaded_again(tmp_path: Path) -> None:
    path = zoo.dense(tmp_path / "m.onnx", ("N", 6))
    backend = OnnxRuntimeCpu()
    request(asked(path), backend)
    zoo.dense(tmp_path / "m.onnx", ("N", 9), width=9)
    assert request(asked(path), backend)[0].inputs[0].shape == (1, 9)


def test_a_refused_shape_leaves_the_backend_usable(tmp_path: Path) -> None:
    path = zoo.dense(tmp_path / "m.onnx", (1, 6))
    backend = OnnxRuntimeCpu()
    with pytest.raises(MeasureError):
        backend.load(asked(path, batch=8), lambda phase: None)
    assert request(asked(path), backend)[1][0].shape == (1, 2)


def test_stages_of_a_request(tmp_path: Path) -> None:
    backend = OnnxRuntimeCpu()
    request(asked(zoo.images(tmp_path / "m.onnx", ("N", 3, 32, 32))), backend)
    times = StageTimes()
    backend.issue(0, 1, times)
    backend.complete(0, times)
    assert times.compute > 0
    assert times.host >= 0
    assert all(math.isnan(value) for value in (times.h2d, times.d2h, times.enqueue))


def test_outputs_are_those_of_the_set_that_was_asked_for(tmp_path: Path) -> None:
    backend = OnnxRuntimeCpu()
    configuration = asked(zoo.identity(tmp_path / "m.onnx", zoo.FLOAT), batch=2)
    loaded, _ = request(configuration, backend)
    sets = make_sets(loaded, configuration.options)
    for index in (0, 5):
        backend.issue(0, index, None)
        backend.complete(0, None)
        assert (backend.outputs(0)[0] == sets[index]["x"]).all()


def test_threads_are_taken_as_asked_and_reported(tmp_path: Path) -> None:
    path = zoo.dense(tmp_path / "m.onnx", ("N", 6))
    assert request(asked(path, {"threads": 3}))[0].threads == 3
    assert (request(asked(path))[0].threads or 0) >= 1


def test_backend_options_reach_the_session_and_unknown_ones_are_said(tmp_path: Path) -> None:
    path = zoo.images(tmp_path / "m.onnx", ("N", 3, 8, 8))
    options = {"graph_optimization_level": "disable", "session.intra_op.allow_spinning": "0"}
    assert request(asked(path, {"backend_options": options}))[1][0].shape == (1, 4, 1, 1)
    error = refused(asked(path, {"backend_options": {"graph_optimisation_level": "all"}}))
    assert error.kind == "usage"
    assert "graph_optimization_level" in error.fix
    assert "--threads" in refused(asked(path, {"backend_options": {"intra_op_num_threads": "2"}})).fix
    error = refused(asked(path, {"backend_options": {"execution_mode": "both"}}))
    assert "sequential, parallel" in error.fix
    for threads in ("99999999999", "two", "²"):
        error = refused(asked(path, {"backend_options": {"inter_op_num_threads": threads}}))
        assert (error.kind, error.fix) == ("usage", "give 0 to 1024")


def test_the_record_of_the_placement_is_not_switched_off_by_an_option(tmp_path: Path) -> None:
    options = {"session.record_ep_graph_assignment_info": "0"}
    error = refused(asked(zoo.dense(tmp_path / "m.onnx", ("N", 6)), {"backend_options": options}))
    assert (error.kind, error.fix) == ("usage", "leave it out")


def test_an_entry_that_the_runtime_ignores_is_remarked_on(tmp_path: Path) -> None:
    path = zoo.dense(tmp_path / "m.onnx", ("N", 6))
    options = {"session.intra_op.allow_spining": "0", "session.disable_prepacking": "1", "ep.cuda.any": "1"}
    (remark,) = request(asked(path, {"backend_options": options}))[0].runtime["notes"]
    assert remark.endswith("did you mean session.intra_op.allow_spinning?")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"precision": "fp16"}, "native, fp32 and int8"),
        ({"device": "cuda:0"}, "onnxruntime-cuda"),
        ({"data_path": "pinned"}, "no data path pinned"),
    ],
)
def test_what_it_cannot_do_is_said(fields: dict[str, Any], says: str) -> None:
    error = refused(asked("smallcnn", **fields))
    assert error.kind == "unsupported"
    assert says in error.message + error.fix


def test_fp32_of_a_file_in_another_type_is_refused(tmp_path: Path) -> None:
    path = zoo.dense(tmp_path / "m.onnx", ("N", 6), onnx.TensorProto.FLOAT16)
    assert "float16" in refused(asked(path, precision="fp32")).message
    assert request(asked(path))[0].inputs[0].dtype == "float16"


def test_sizes_that_were_assumed_wrongly_are_named_with_the_option(tmp_path: Path) -> None:
    nodes = [zoo.node("Add", ["x", "w"], ["y"])]
    path = zoo.save(
        tmp_path / "m.onnx", nodes, [zoo.value("x", zoo.FLOAT, "batch", "sequence_length")],
        [zoo.value("y", zoo.FLOAT, None, None)], [zoo.weight("w", 1, 77)],
    )  # fmt: skip
    error = refused(asked(path))
    assert error.kind == "shape"
    assert "x 1 x 128" in error.message
    assert "--dim sequence_length=N" in error.fix
    assert error.detail
    assert request(asked(path, dims={"sequence_length": 77}))[1][0].shape == (1, 77)


def test_inputs_of_a_file_are_fed(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", anything=np.arange(12, dtype=np.float32).reshape(3, 4))
    options = {"inputs": str(tmp_path / "in.npz")}
    loaded, outputs = request(asked(zoo.identity(tmp_path / "m.onnx", zoo.FLOAT), options))
    assert loaded.batch == 3
    assert (outputs[0] == np.arange(12).reshape(3, 4)).all()


def test_smallcnn_comes_with_the_package() -> None:
    loaded, outputs = request(asked("smallcnn", batch=2, precision="fp32"))
    assert loaded.inputs[0].shape == (2, 3, 32, 32)
    assert outputs[0].shape == (2, 10)


def unreadable(path: Path) -> MeasureError:
    error = refused(asked(str(path)))
    assert error.kind == "model-unreadable"
    assert path.name in error.message
    assert error.fix
    return error


def test_files_that_are_no_models_end_in_a_sentence(tmp_path: Path) -> None:
    for content, says in (
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"PK\x03\x04rest", "zip archive"),
        (bytes(range(1, 255)) * 9, "not an ONNX model"),
        (b"just a text file\n" * 20, "not an ONNX model"),
    ):
        path = tmp_path / "wrong.onnx"
        path.write_bytes(content)
        assert says in unreadable(path).message


def test_a_file_cut_off_anywhere_ends_in_a_sentence(tmp_path: Path) -> None:
    whole = Path(zoo.bert(tmp_path / "whole.onnx")).read_bytes()
    path = tmp_path / "cut.onnx"
    for size in range(1, len(whole) - 12, 41):
        path.write_bytes(whole[:size])
        unreadable(path)
    path.write_bytes(whole[: len(whole) // 2])
    assert "cut off" in unreadable(path).message


def test_weights_in_a_missing_file_are_named(tmp_path: Path) -> None:
    model = onnx.load(zoo.dense(tmp_path / "m.onnx", ("N", 6)))
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="m.bin", size_threshold=0)
    assert request(asked(str(tmp_path / "m.onnx")))[1][0].shape == (1, 2)
    (tmp_path / "m.bin").unlink()
    assert "m.bin" in unreadable(tmp_path / "m.onnx").message


def test_an_operator_that_the_runtime_lacks_is_said_with_its_own_words(tmp_path: Path) -> None:
    path = zoo.save(
        tmp_path / "m.onnx", [zoo.node("Teleport", ["x"], ["y"], domain="my.ops")],
        [zoo.value("x", zoo.FLOAT, "N", 4)], [zoo.value("y", zoo.FLOAT, "N", 4)], domains=["my.ops"],
    )  # fmt: skip
    error = unreadable(Path(path))
    assert "onnxruntime" in error.message
    assert "Teleport" in error.detail


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("BFCArena: Failed to allocate memory for requested buffer of size 1000", "out-of-memory"),
        ("CUDA failure 2: out of memory ; GPU=0", "out-of-memory"),
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", "cuda-fault"),
        ("Got invalid dimensions for input: x", "shape"),
    ],
)
def test_what_a_request_failed_with_is_told_apart(said: str, kind: str) -> None:
    error = ort_session.explain(
        RuntimeError(said), Loaded([Input("x", "float32", (1,))], 1), "onnxruntime-cuda"
    )
    assert error.kind == kind
    assert error.detail == said
