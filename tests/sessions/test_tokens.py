"""Which of a model's sizes are tokens."""

from __future__ import annotations

from typing import Any

import pytest
from infertop.sessions import tokens


def ids(name: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "dtype": "int64", "shape": list(shape)}


@pytest.mark.parametrize(
    ("inputs", "dims", "batch", "expected"),
    [
        ([ids("input_ids", 4, 128), ids("attention_mask", 4, 128)], {"sequence_length": 128}, 4, 512),
        (
            [ids("input_ids", 4, 1), ids("attention_mask", 4, 512)],
            {"sequence_length": 1, "past_sequence_length": 511},
            4,
            4,
        ),
        (
            [ids("input_ids", 2, 9), ids("decoder_input_ids", 2, 4)],
            {"sequence_length": 9, "decoder_sequence_length": 4},
            2,
            18,
        ),
        ([ids("tokens", 2, 64)], {"seq": 64, "past_seq": 3, "total_seq": 67}, 2, 128),
        ([ids("tokens", 64)], {"seq_len": 64}, None, 64),
        ([ids("a", 2, 9), ids("b", 2, 4)], {"a_seq": 9, "b_seq": 4}, 2, None),
        ([ids("images", 2, 3, 224, 224)], {"height": 224, "width": 224}, 2, None),
    ],
)
def test_tokens_that_go_into_a_request(
    inputs: list[dict[str, Any]], dims: dict[str, int], batch: int | None, expected: int | None
) -> None:
    assert tokens.per_request(inputs, dims, batch) == expected


def test_tokens_a_second() -> None:
    loaded = {"inputs": [ids("input_ids", 4, 128)]}
    assert tokens.per_second(loaded, {}, 4, 100, 2.0) == 25_600
    assert tokens.per_second(loaded, {}, 4, 0, 0.0) is None
