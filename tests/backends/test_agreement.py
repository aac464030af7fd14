"""Agreement: the numbers of the comparison, and what a worker says of real models beside their reference."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from infertop.backends import agreement, reference
from infertop.backends.agreement import BANDS, Band, band, compare
from infertop.backends.backend import Input, Loaded
from infertop.backends.configuration import Configuration, Options
from infertop.backends.inputs import make_sets
from infertop.backends.ort import OnnxRuntimeCpu
from infertop.tests.backends import onnx_zoo as zoo

RANDOM = np.random.default_rng(0)


def batches(*outputs: np.ndarray) -> list[list[np.ndarray]]:
    return [list(outputs)]


def test_the_error_is_the_largest_difference_by_the_largest_number() -> None:
    theirs = np.array([[1.0, -4.0, 2.0]], np.float32)
    found = compare(batches(theirs + np.float32(0.02)), batches(theirs), BANDS["fp16"])
    assert found["max_rel"] == pytest.approx(0.005, rel=1e-3)
    assert found["mean_abs"] == pytest.approx(0.02, rel=1e-3)
    assert found["top1"] == 1.0
    assert found["within_band"] is True
    assert found["reason"] == ""
    found = compare(batches(theirs + np.float32(0.02)), batches(theirs), BANDS["fp32"])
    assert found["within_band"] is False
    assert "0.005 of the largest number, where 0.0001 is allowed" in found["reason"]


def test_the_worst_output_of_the_worst_batch_decides() -> None:
    good = RANDOM.standard_normal((4, 8)).astype(np.float32)
    bad = good.copy()
    bad[3, 7] += 1.0
    found = compare([[good, good], [good, bad]], [[good, good]] * 2, BANDS["bf16"])
    assert found["max_rel"] == pytest.approx(1 / np.abs(good).max(), rel=1e-5)
    assert found["within_band"] is False
    assert found["batches"] == 2


def test_a_direction_that_turned_is_seen_by_the_cosine_alone() -> None:
    theirs = np.full((1, 1000), 0.05, np.float32)
    theirs[0, 0] = 10
    ours = -theirs
    ours[0, 0] = 10
    found = compare(batches(ours), batches(theirs), Band(0.05, 0.999))
    assert found["max_rel"] <= 0.05
    assert found["cosine"] < 0.96
    assert "cosine" in found["reason"]
    assert compare(batches(ours), batches(theirs), Band(0.05, None))["within_band"] is True


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_fails(value: float) -> None:
    theirs = np.ones((2, 3), np.float32)
    ours = theirs.copy()
    ours[0, 1] = value
    found = compare(batches(ours), batches(theirs), BANDS["int8"])
    assert found["within_band"] is False
    assert found["max_rel"] is None
    assert found["reason"] == "1 number is not finite"


def test_a_nan_in_both_fails_and_the_same_infinity_does_not() -> None:
    values = np.array([[1.0, np.nan]], np.float32)
    assert compare(batches(values), batches(values), BANDS["fp32"])["within_band"] is False
    values = np.array([[1.0, -np.inf]], np.float32)
    assert compare(batches(values), batches(values), BANDS["fp32"])["within_band"] is True


def test_integers_differ_by_the_share_of_their_numbers() -> None:
    theirs = np.arange(10)
    ours = theirs.copy()
    ours[4] = 1000
    found = compare(batches(ours), batches(theirs), BANDS["fp32"])
    assert (found["max_rel"], found["cosine"], found["mean_abs"]) == (0.1, None, None)
    assert found["within_band"] is False


def test_shapes_and_counts_that_do_not_match_are_said() -> None:
    found = compare(batches(np.ones((2, 3))), batches(np.ones((2, 4))), BANDS["fp32"])
    assert found["within_band"] is False
    assert "2 x 3 instead of 2 x 4" in found["reason"]
    found = compare(batches(np.ones(2)), batches(np.ones(2), np.ones(2)), BANDS["fp32"])
    assert found["within_band"] is None
    assert "1 and 2" in found["reason"]


def test_zeros_in_the_reference_make_the_error_absolute() -> None:
    found = compare(batches(np.full(3, 5e-5)), batches(np.zeros(3)), BANDS["fp32"])
    assert found["max_rel"] == 5e-5
    assert found["cosine"] == 0.0


def test_the_band_is_that_of_what_is_computed_in() -> None:
    assert band("fp16", "fp32", "cuda:0", None) == BANDS["fp16"]
    assert band("native", "bf16", "cuda:0", None) == BANDS["bf16"]
    assert band("native", "fp32", "cpu", None) == BANDS["fp32"]
    # ONNX Runtime has TF32 on where nobody says otherwise.
    assert band("native", "fp32", "cuda:0", None) == BANDS["tf32"]
    assert band("fp32", "fp32", "cuda:0", None) == BANDS["fp32"]
    assert band("fp32", "fp32", "cpu", 0.5) == Band(0.5, None)


class Skewed(OnnxRuntimeCpu):
    """A backend whose outputs are off by a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def outputs(self, slot: int) -> list[np.ndarray]:
        return [array * np.float32(self.factor) for array in super().outputs(slot)]


def checked(configuration: Configuration, backend: Any = None) -> dict[str, Any]:
    """As the worker does it."""
    backend = backend or OnnxRuntimeCpu()
    loaded = backend.load(configuration, lambda phase: None)
    sets = make_sets(loaded, configuration.options)
    backend.bind(sets, 1)
    return reference.check(configuration, loaded, sets, backend)


def asked(model: str, cache: Path | None = None, **fields: Any) -> Configuration:
    options = Options(
        agreement=True, cache_directory=None if cache is None else str(cache), **fields.pop("options", {})
    )
    return Configuration("onnxruntime-cpu", model, options=options, **fields)


def test_a_file_agrees_with_itself_and_a_skewed_backend_does_not(tmp_path: Path) -> None:
    path = zoo.bert(tmp_path / "m.onnx")
    configuration = asked(path, tmp_path / "cache", batch=3, dims={"sequence_length": 5})
    found = checked(configuration)
    assert found["reference"] == "onnxruntime-cpu/native"
    assert found["batches"] == agreement.BATCHES
    assert found["max_rel"] == 0.0
    assert found["within_band"] is True
    found = checked(configuration, Skewed(1.01))
    assert found["max_rel"] == pytest.approx(0.01, rel=1e-3)
    assert found["within_band"] is False
    assert (
        checked(asked(path, tmp_path / "cache", batch=3, options={"tolerance": 0.02}), Skewed(1.01))[
            "within_band"
        ]
        is True
    )


def test_the_reference_is_computed_once_and_again_for_other_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    compute = reference._compute

    def counted(*arguments: Any) -> None:
        computed.append(arguments[0].model)
        compute(*arguments)

    monkeypatch.setattr(reference, "_compute", counted)
    path = zoo.dense(tmp_path / "m.onnx", ("N", 6))
    cache = tmp_path / "cache"
    for fields in ({}, {}, {"batch": 2}, {"options": {"seed": 1}}, {"options": {"seed": 1}}):
        assert checked(asked(path, cache, **fields))["within_band"] is True
    assert len(computed) == 3
    kept = sorted((cache / "references").iterdir())
    assert len(kept) == 3
    zoo.dense(tmp_path / "m.onnx", ("N", 6), width=6, kind=onnx.TensorProto.DOUBLE)
    assert checked(asked(path, cache))["within_band"] is True
    assert len(computed) == 4
    for file in (cache / "references").iterdir():
        file.write_bytes(b"cut off")
    assert checked(asked(path, cache))["within_band"] is True
    assert len(computed) == 5


def test_the_inputs_of_a_file_are_fed_to_both(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=RANDOM.standard_normal((6, 4)).astype(np.float32))
    path = zoo.identity(tmp_path / "m.onnx", zoo.FLOAT)
    found = checked(asked(path, tmp_path / "cache", batch=2, options={"inputs": str(tmp_path / "in.npz")}))
    assert found["within_band"] is True
    assert found["batches"] == 3


def test_smallcnn_needs_no_torch_for_its_reference(tmp_path: Path) -> None:
    found = checked(asked("smallcnn", tmp_path, batch=2, precision="fp32"))
    assert found["reference"] == "onnxruntime-cpu/native"
    assert found["top1"] == 1.0


def test_without_a_reference_the_reason_is_said_and_nothing_fails() -> None:
    class Other:
        def load(self, configuration: Configuration, report: Any) -> Loaded:
            return Loaded([Input("x", "float32", (2, 4))], 2)

        def bind(self, sets: Any, slots: int) -> None: ...

    found = checked(asked("smallcnn"), Other())
    assert found["within_band"] is None
    assert "there is no reference: " in found["reason"]
    assert "4 axes" in found["reason"]


def test_the_cache_keeps_within_its_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "CACHE_BYTES", 250)
    for number, name in enumerate("abc"):
        (tmp_path / f"{name}.npz").write_bytes(bytes(100))
        os.utime(tmp_path / f"{name}.npz", (number, number))
    reference._tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.npz", "c.npz"]
