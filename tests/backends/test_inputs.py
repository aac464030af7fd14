"""The numbers that models are fed: by rule from a seed, or from a person's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from infertop.backends import inputs
from infertop.backends.backend import Input, Loaded
from infertop.backends.configuration import Options
from infertop.backends.errors import MeasureError


def one(item: Input, tables: dict[str, int] | None = None, seed: int = 0) -> np.ndarray:
    loaded = Loaded([item], item.shape[0] if item.shape else None, tables=tables or {})
    return inputs.make_sets(loaded, Options(seed=seed))[0][item.name]


def test_eight_sets_that_differ_and_the_same_seed_makes_the_same() -> None:
    loaded = Loaded([Input("x", "float32", (2, 3))], 2)
    first, again, other = (inputs.make_sets(loaded, Options(seed=seed)) for seed in (1, 1, 2))
    assert len(first) == 8
    assert len({arrays["x"].tobytes() for arrays in first}) == 8
    assert all((a["x"] == b["x"]).all() for a, b in zip(first, again, strict=True))
    assert (first[0]["x"] != other[0]["x"]).any()


def test_large_inputs_get_fewer_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "LIMIT_BYTES", 100)
    assert len(inputs.make_sets(Loaded([Input("x", "float32", (10,))], 10), Options())) == 2
    assert len(inputs.make_sets(Loaded([Input("x", "float32", (1000,))], 1000), Options())) == 1


def test_floats_are_standard_normal_in_every_float_type() -> None:
    for dtype in ("float32", "float16", "float64"):
        values = one(Input("x", dtype, (100, 100)))
        assert values.dtype == dtype
        assert abs(float(values.mean())) < 0.05
        assert abs(float(values.std()) - 1) < 0.05


def test_bfloat16_comes_as_its_bits() -> None:
    bits = one(Input("x", "bfloat16", (1000,)))
    assert bits.dtype == np.uint16
    values = (bits.astype(np.uint32) << 16).view(np.float32)
    exact = one(Input("x", "float32", (1000,)))
    assert np.abs(values - exact).max() <= np.abs(exact).max() / 256


def test_integers_stay_inside_their_table() -> None:
    assert set(np.unique(one(Input("ids", "int64", (4, 500)), {"ids": 5}))) == {0, 1, 2, 3, 4}
    assert set(np.unique(one(Input("ids", "int32", (4, 500))))) == {0, 1}
    assert one(Input("pixels", "uint8", (4, 8))).dtype == np.uint8


def test_names_say_what_integers_mean() -> None:
    assert (one(Input("attention_mask", "int64", (2, 6))) == 1).all()
    assert one(Input("encoder_mask", "bool", (2, 6))).all()
    assert (one(Input("token_type_ids", "int64", (2, 6))) == 0).all()
    assert (one(Input("position_ids", "int64", (2, 6))) == np.arange(6)).all()
    assert one(Input("position_ids", "int64", (2, 6)), {"position_ids": 4}).max() == 3
    assert not one(Input("use_cache", "bool", (1,))).any()


def test_scalars_and_empty_arrays() -> None:
    assert one(Input("rate", "int64", ())).shape == ()
    assert one(Input("past", "float32", (2, 4, 0, 8))).shape == (2, 4, 0, 8)


def test_a_file_s_samples_are_cut_into_sets(tmp_path: Path) -> None:
    images = np.arange(20, dtype=np.float64).reshape(10, 2)
    np.savez(tmp_path / "in.npz", images=images, rate=np.array(3))
    options = Options(inputs="in.npz", working_directory=str(tmp_path))
    loaded = Loaded([Input("images", "float32", (4, 2)), Input("rate", "int64", ())], 4)
    sets = inputs.make_sets(loaded, options)
    assert [arrays["images"].tolist() for arrays in sets] == [images[:4].tolist(), images[4:8].tolist()]
    assert sets[0]["images"].dtype == np.float32
    assert all(arrays["rate"] == 3 for arrays in sets)


def test_shapes_are_read_from_the_file_s_headers(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "in.npz", a=np.zeros((3, 2), np.float32), b=np.array(1))
    found = inputs.file_shapes(Options(inputs=str(tmp_path / "in.npz")))
    assert found is not None
    assert found["a"].sizes == (3, 2)
    assert found["a"].dtype == "float32"
    assert found["b"].sizes == ()


def test_files_that_are_not_arrays_end_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "words.npz", words=np.array(["a", "b"]))
    for name, says in (("text.npz", "not a readable"), ("words.npz", "not numbers"), ("none.npz", "no file")):
        with pytest.raises(MeasureError, match=says) as caught:
            inputs.file_shapes(Options(inputs=name, working_directory=str(tmp_path)))
        assert caught.value.kind == "inputs-unreadable"
