"""The precision of a torch module: which one it was made in, and its cast to another, inputs included."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .backend import Input
from .errors import MeasureError
from .precision import of_types

CASTS = {"fp32": "float32", "tf32": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""Precision -> type of floating parameters and inputs. `native` casts nothing."""

_FEW_BITS = re.compile(r"\.(q?u?int[1-8]|quint4x2|quint2x4|float[48]_\w+|bits\w+)$")
"""Types of parameters that hold quantised weights."""

_QUANTISED = re.compile(r"torchao\.|torch\.(ao\.)?nn\.(intrinsic\.)?quantized")
"""Where the classes of modules and of parameters come from that are quantised."""

_TWO_TYPES = re.compile(
    r"must have the same dtype|should be the same|expected scalar type|same data type", re.IGNORECASE
)
"""How torch's operators say that they were given two types."""


def native(module: Any) -> str:
    """The precision in which a module was made; `int8` where anything in it is quantised, by torch itself or by torchao."""
    types = {str(value.dtype) for value in module.parameters()}
    if any(_FEW_BITS.search(name) for name in types) or any(
        _QUANTISED.match(type(part).__module__) for part in (*module.modules(), *module.parameters())
    ):
        return "int8"
    return of_types({name.removeprefix("torch.") for name in types})


def cast(inputs: Sequence[Input], precision: str) -> list[Input]:
    """The inputs with floats in the type of the precision."""
    target = CASTS.get(precision)
    return [replace(i, dtype=target) if target and _floating(i.dtype) else i for i in inputs]


def cast_module(torch: Any, module: Any, precision: str) -> Any:
    """The module with its floating parameters and buffers in the type of the precision."""
    target = CASTS.get(precision)
    return module.to(getattr(torch, target)) if target else module


def refuse_cast(program: Any, native: str, precision: str) -> None:
    """An exported program has its types written into it, and what is quantised is cast by nothing: only what it is can be asked for."""
    target = CASTS.get(precision)
    if target is not None and native == "int8":
        raise MeasureError(
            "unsupported",
            f"the model is quantised, so it cannot be measured as {precision}",
            "use --precision native, or the model that it was made from",
        )
    if program is None or target is None:
        return
    other = {str(value.dtype) for value in program.state_dict.values() if value.is_floating_point()}
    if other - {f"torch.{target}"}:
        raise MeasureError(
            "unsupported",
            f"an exported program cannot be cast, so it cannot be measured as {precision}",
            "use --precision native, or export the model in that precision",
        )


def own_types(error: Exception, precision: str) -> MeasureError | None:
    """Of a model that was cast and whose own code makes other types, so that an operator was given two; None for any other error."""
    said = str(error).strip()
    line = next((line.strip() for line in said.splitlines() if _TWO_TYPES.search(line)), None)
    if line is None or precision not in CASTS:
        return None
    return MeasureError(
        "unsupported",
        f"the model's own code sets types, so that it cannot be cast to {precision}: {line[:200]}",
        "use --precision native",
        said,
    )


def _floating(dtype: str) -> bool:
    return dtype.startswith(("float", "bfloat"))
