"""How the sizes of a model's inputs are found: by rule, by option, or a sentence that names both input and option."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from infertop.backends import dims, shapes, signature
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.shapes import Given
from infertop.backends.signature import Declared


def asked(shapes: dict[str, str] | None = None, **fields: Any) -> Configuration:
    return Configuration("onnxruntime-cpu", "net.onnx", options=Options(input_shapes=shapes or {}), **fields)


def shapes_of(found: signature.Signature) -> dict[str, tuple[int, ...]]:
    return {item.name: item.shape for item in found.inputs}


def images(*sizes: int | str | None, dtype: str = "float32") -> list[Declared]:
    return [Declared("images", dtype, sizes)]


BERT = [
    Declared(name, "int64", ("batch_size", "sequence_length"))
    for name in ("input_ids", "attention_mask", "token_type_ids")
]
DECODER = [
    Declared("input_ids", "int64", ("batch", "sequence_length")),
    Declared("attention_mask", "int64", ("batch", "past_sequence_length + sequence_length")),
    Declared("past_key", "float32", ("batch", 4, "past_sequence_length", 16)),
]


def test_the_first_axis_is_the_batch_and_images_are_224() -> None:
    found = signature.resolve(images("N", 3, "H", "W"), asked(batch=8))
    assert shapes_of(found) == {"images": (8, 3, 224, 224)}
    assert found.batch == 8
    assert found.dims == found.assumed == {"H": 224, "W": 224}


def test_without_a_batch_asked_for_it_is_1() -> None:
    found = signature.resolve(BERT, asked())
    assert found.batch == 1
    assert found.assumed == {"sequence_length": 128}
    assert set(shapes_of(found).values()) == {(1, 128)}


@pytest.mark.parametrize("sizes", [(None, 3, None, None), ("unk__1", 3, "unk__2", "unk__3")])
def test_unnamed_axes_of_an_image_file_are_understood(sizes: tuple[int | str | None, ...]) -> None:
    assert shapes_of(signature.resolve(images(*sizes), asked(batch=2))) == {"images": (2, 3, 224, 224)}


def test_images_with_channels_last() -> None:
    found = signature.resolve(images(None, None, None, 3, dtype="uint8"), asked())
    assert shapes_of(found) == {"images": (1, 224, 224, 3)}


def test_dims_bind_and_sums_follow() -> None:
    found = signature.resolve(
        DECODER, asked(batch=2, dims={"sequence_length": 1, "past_sequence_length": 31})
    )
    assert shapes_of(found) == {
        "input_ids": (2, 1),
        "attention_mask": (2, 32),
        "past_key": (2, 4, 31, 16),
    }
    assert found.assumed == {}
    assert found.dims == {"sequence_length": 1, "past_sequence_length": 31}


def test_an_unbound_past_is_empty() -> None:
    found = signature.resolve(DECODER, asked())
    assert shapes_of(found)["past_key"] == (1, 4, 0, 16)
    assert shapes_of(found)["attention_mask"] == (1, 128)
    assert found.assumed == {"sequence_length": 128, "past_sequence_length": 0}


def test_a_total_length_follows_past_and_present() -> None:
    declared = [*DECODER, Declared("mask", "int64", ("batch", "total_sequence_length"))]
    found = signature.resolve(declared, asked(dims={"past_sequence_length": 16}))
    assert shapes_of(found)["mask"] == (1, 144)


def test_sizes_that_the_weights_demand_are_known_not_assumed() -> None:
    declared = [Declared("x", "float32", ("batch", "features"), known={1: 784})]
    found = signature.resolve(declared, asked())
    assert shapes_of(found) == {"x": (1, 784)}
    assert found.dims == {"features": 784}
    assert found.assumed == {}


def test_a_scalar_has_no_axes_and_does_not_hinder_the_batch() -> None:
    found = signature.resolve([*images("N", 4), Declared("rate", "int64", ())], asked(batch=3))
    assert shapes_of(found) == {"images": (3, 4), "rate": ()}


def test_no_batch_axis_means_that_a_request_is_a_sample() -> None:
    assert signature.resolve(images(3, 224, 224), asked()).batch is None
    assert signature.resolve(images("sequence_length", 80), asked()).batch is None
    assert signature.resolve(images(3, 224, 224), asked(batch=1)).batch is None


def test_a_fixed_first_axis_equal_to_the_batch_asked_for_is_the_batch() -> None:
    declared = [*images(4, 3, 8, 8), Declared("mask", "bool", (4, 8))]
    assert signature.resolve(declared, asked(batch=4)).batch == 4


def refused(declared: list[Declared], configuration: Configuration, **more: Any) -> MeasureError:
    with pytest.raises(MeasureError) as caught:
        signature.resolve(declared, configuration, **more)
    return caught.value


def test_a_batch_that_does_not_fit_names_input_and_option() -> None:
    error = refused(images(1, 3, 224, 224), asked(batch=8))
    assert error.kind == "shape"
    assert error.message == "axis 0 of input images is fixed at 1, so --batch 8 does not fit"
    assert "--batch 1" in error.fix


def test_a_batch_without_any_batch_axis_names_the_input() -> None:
    error = refused([Declared("audio", "float32", ("length", 80))], asked(batch=8))
    assert "audio" in error.message
    assert "--batch" in error.fix
    assert "--input-shape audio=128xB" in error.fix


def test_a_batch_axis_behind_the_steps_is_known_by_its_name() -> None:
    recurrent = [
        Declared("x", "float32", ("sequence_length", "batch", 80)),
        Declared("h", "float32", (2, "batch", 16)),
    ]
    found = signature.resolve(recurrent, asked(batch=8))
    assert found.batch == 8
    assert shapes_of(found) == {"x": (128, 8, 80), "h": (2, 8, 16)}
    assert found.assumed == {"sequence_length": 128}


def test_an_unknown_dim_gets_the_near_one() -> None:
    error = refused(BERT, asked(dims={"sequence_lenght": 64}))
    assert error.kind == "usage"
    assert error.fix == "did you mean sequence_length?"


def test_the_batch_may_be_bound_as_a_dim_but_not_twice() -> None:
    assert signature.resolve(BERT, asked(dims={"batch_size": 4})).batch == 4
    error = refused(BERT, asked(batch=2, dims={"batch_size": 4}))
    assert "--dim batch_size=4" in error.message
    assert "--batch 2" in error.message


def test_several_axes_named_as_batches_are_one_batch() -> None:
    declared = [
        Declared("input_ids", "int64", ("text_batch_size", "sequence_length")),
        Declared("pixel_values", "float32", ("image_batch_size", 3, "height", "width")),
    ]
    assert shapes_of(signature.resolve(declared, asked(batch=4)))["pixel_values"] == (4, 3, 224, 224)


@pytest.mark.parametrize(
    ("text", "name", "spec"),
    [
        ("images=Bx3x64x64", "images", "Bx3x64x64"),
        ("images:4x3x64x64", "images", "4x3x64x64"),
        ("input:0=Bx128:int64", "input:0", "Bx128:int64"),
        ("Bx3x64x64", "", "Bx3x64x64"),
        ("ids:Bx128:int64", "ids", "Bx128:int64"),
    ],
)
def test_input_shapes_are_read_in_both_spellings(text: str, name: str, spec: str) -> None:
    assert shapes.parse_input_shape(text) == (name, spec)


@pytest.mark.parametrize("text", ["images=3x", "images=axb", "images=3x4:flaot32", "images"])
def test_what_is_no_shape_is_said_with_an_example(text: str) -> None:
    with pytest.raises(MeasureError) as caught:
        shapes.parse_input_shape(text)
    assert caught.value.kind == "usage"
    assert caught.value.fix


def test_a_given_shape_binds_axes_and_with_one_input_any_name_does() -> None:
    found = signature.resolve(images("N", 3, "H", "W"), asked({"whatever": "Bx3x64x96"}, batch=2))
    assert shapes_of(found) == {"images": (2, 3, 64, 96)}
    assert found.assumed == {}
    assert signature.resolve(images("N", 3, "H", "W"), asked({"images": "4x3x64x96"})).batch == 4


def test_b_in_a_shape_marks_the_batch_where_no_rule_would() -> None:
    state = [Declared("state", "float32", (2, None, 64))]
    found = signature.resolve(state, asked({"state": "2xBx64"}, batch=8))
    assert shapes_of(found) == {"state": (2, 8, 64)}
    assert found.batch == 8


@pytest.mark.parametrize(
    ("shape", "says"),
    [("Bx4x8x8", "axis 1 of input images is fixed at 3"), ("3x8x8", "4 axes"), ("Bx3x8x8:int64", "float32")],
)
def test_a_given_shape_that_does_not_fit_names_the_input(shape: str, says: str) -> None:
    error = refused(images("N", 3, 8, 8), asked({"images": shape}))
    assert error.kind == "shape"
    assert says in error.message
    assert "images" in error.message


def test_an_input_without_any_shape_asks_for_one() -> None:
    declared = [Declared("x", "float32", None)]
    assert "--input-shape x=" in refused(declared, asked()).fix
    assert shapes_of(signature.resolve(declared, asked({"x": "Bx7"}, batch=2))) == {"x": (2, 7)}


@pytest.mark.parametrize(
    ("dtype", "says"), [("string", "strings"), ("sequence", "sequence"), ("float8e5m2", "float8e5m2")]
)
def test_inputs_that_are_no_numbers_are_refused_in_words(dtype: str, says: str) -> None:
    error = refused([Declared("text", dtype, ("N",))], asked())
    assert error.kind == "unsupported"
    assert "text" in error.message
    assert says in error.message


def test_example_inputs_share_their_first_axis_as_the_batch() -> None:
    declared = [Declared("x", "float32", (2, 5)), Declared("scale", "float32", (2,))]
    assert signature.resolve(declared, asked(), flexible=True).batch == 2
    assert shapes_of(signature.resolve(declared, asked(batch=7), flexible=True)) == {
        "x": (7, 5),
        "scale": (7,),
    }


def test_arrays_of_a_file_bind_sizes_and_are_cut_into_batches() -> None:
    arrays = {"images": Given((64, 3, 32, 48), "float32", "--inputs", samples=True)}
    found = signature.resolve(images("N", 3, "H", "W"), asked(batch=8), arrays)
    assert shapes_of(found) == {"images": (8, 3, 32, 48)}
    assert signature.resolve(images("N", 3, "H", "W"), asked(), arrays).batch == 64
    error = refused(images("N", 3, "H", "W"), asked(batch=128), from_file=arrays)
    assert "64 samples" in error.message


def test_a_file_without_an_input_s_array_is_said() -> None:
    arrays = {"ids": Given((4, 8), "int64", "--inputs", samples=True)}
    error = refused(BERT, asked(), from_file=arrays)
    assert "input_ids" in error.message
    assert "ids" in error.fix


SIZES = st.dictionaries(st.sampled_from(["a", "b_c", "past_length", "s0"]), st.integers(1, 50), min_size=4)


@given(SIZES, st.integers(0, 9))
def test_sums_come_to_what_python_says(values: dict[str, int], number: int) -> None:
    text = f"a + b_c*({number} + past_length) - s0 // 2"
    assert dims.evaluate(text, values) == eval(text, {}, dict(values))
    assert dims.symbols(text) == ["a", "b_c", "past_length", "s0"]


@pytest.mark.parametrize("name", ["a b", "x +", "Max(a, b", "3 4", "images/x?", "("])
def test_a_name_that_is_no_sum_is_one_symbol(name: str) -> None:
    assert dims.symbols(name) == [name]
    assert dims.evaluate(name, {name: 7}) == 7
