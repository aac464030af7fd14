"""Tokens a second: how a language model's throughput is told, whatever batch and length make it up."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..backends.dims import is_length_name

_BEFORE = re.compile("past|total|cache", re.IGNORECASE)
"""Lengths that a request does not bring along."""


def per_request(
    inputs: Sequence[Mapping[str, Any]], dims: Mapping[str, int], batch: int | None
) -> int | None:
    """Tokens that go into one request; None where the model has no sequence, or several and none of them `input_ids`.

    They are the numbers of `input_ids`, else the one length among the sizes times the batch. A past is not counted: its
    tokens went in before.
    """
    for item in inputs:
        if item["name"] == "input_ids" and item["shape"]:
            return int(math.prod(item["shape"]))
    lengths = [size for name, size in dims.items() if is_length_name(name) and not _BEFORE.search(name)]
    return lengths[0] * (batch or 1) if len(lengths) == 1 else None


def per_second(
    loaded: Mapping[str, Any], dims: Mapping[str, int], batch: int | None, requests: int, seconds: float
) -> float | None:
    """Tokens a second of a run; `loaded` is what the worker said of the model."""
    count = per_request(loaded.get("inputs") or (), dims, batch)
    return None if count is None or not seconds else requests * count / seconds
