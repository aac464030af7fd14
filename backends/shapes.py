"""Shapes as a person writes them: `NAME=AxBxC[:DTYPE]`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import MeasureError
from .registry import nearest

BATCH = "B"
"""How `--input-shape` writes the batch axis."""

_SPEC = re.compile(r"(?P<sizes>(?:(?:\d+|B)(?:x(?:\d+|B))*)?)(?::(?P<dtype>\w+))?")
_COLON = re.compile(r"(?P<name>.+?):(?P<spec>(?:\d+|B)(?:x(?:\d+|B))*(?::\w+)?)")
_DTYPES = {"float": "float32", "half": "float16", "double": "float64", "bf16": "bfloat16", "fp16": "float16",
           "fp32": "float32", "fp64": "float64", "int": "int32", "long": "int64"}  # fmt: skip
DTYPES = ("float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16",
          "uint32", "uint64", "bool")  # fmt: skip
"""The element types of inputs that infertop can generate, by numpy's names (and bfloat16)."""


@dataclass(frozen=True)
class Given:
    """The shape that a person gave for an input; "B" is the batch."""

    sizes: tuple[int | str, ...]
    dtype: str | None
    source: str  # the option that it came from
    samples: bool = False  # axis 0 holds samples, of which a batch takes some (--inputs)


def parse_input_shape(text: str) -> tuple[str, str]:
    """`NAME=AxBxC[:DTYPE]`, `NAME:AxBxC[:DTYPE]` or `AxBxC[:DTYPE]` as (name, rest); the name is empty in the last."""
    name, equals, spec = text.rpartition("=")
    if not equals:
        colon = _COLON.fullmatch(text)
        name, spec = (colon["name"], colon["spec"]) if colon else ("", text)
    parse_spec(spec, name)
    return name, spec


def parse_spec(spec: str, name: str = "") -> Given:
    """`AxBxC[:DTYPE]`; nothing behind a name is a scalar. Raises MeasureError kind "usage"."""
    option = f"--input-shape {name}={spec}" if name else f"--input-shape {spec}"
    match = _SPEC.fullmatch(spec.strip())
    dtype = _DTYPES.get(match["dtype"], match["dtype"]) if match and match["dtype"] else None
    if match is None or not (name or spec.strip()):
        raise MeasureError(
            "usage", f"{option} is not a shape", "write it like NAME=Bx3x224x224 or NAME=Bx128:int64"
        )
    if dtype is not None and dtype not in DTYPES:
        near = nearest(dtype, DTYPES)
        raise MeasureError(
            "usage",
            f"{option}: {dtype} is no element type",
            f"did you mean {near[0]}?" if near else f"the types are {', '.join(DTYPES)}",
        )
    sizes = tuple(size if size == BATCH else int(size) for size in match["sizes"].split("x") if size)
    return Given(sizes, dtype, "--input-shape")


def show(sizes: Sequence[int | str | None]) -> str:
    """A shape as a person reads it: `batch x 3 x ? x 224`."""
    return " x ".join("?" if size is None else str(size) for size in sizes) or "a scalar"


def casts(source: str, target: str) -> bool:
    """Whether an array of one type may stand for another: floats for floats, integers and booleans for integers."""
    floats = ("float", "bfloat")
    return source.startswith(floats) == target.startswith(floats)
