"""How far a configuration's outputs lie from the reference's, and whether its precision explains that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

BATCHES = 4
"""Seeded batches that are compared: one alone may flatter."""


@dataclass(frozen=True)
class Band:
    """What a precision may differ by: the largest error as a share of the largest number, and the least cosine."""

    error: float
    cosine: float | None  # None: not looked at (a person gave the tolerance)


BANDS = {
    "fp64": Band(1e-4, 0.9999),  # beside a reference in float32
    "fp32": Band(1e-4, 0.9999),
    "tf32": Band(5e-3, 0.999),
    "fp16": Band(1e-2, 0.999),
    "bf16": Band(5e-2, 0.99),
    "int8": Band(0.1, 0.98),
}

Batches = Sequence[Sequence[np.ndarray]]
"""The outputs of each batch, flattened, in order."""


def band(precision: str, native: str, device: str, tolerance: float | None) -> Band:
    """The band of a configuration; `native` is the precision that the model itself has.

    A float32 model measured as it is on a GPU gets TF32's band: ONNX Runtime has TF32 on by default, torch for
    convolutions. A person's `tolerance` replaces the band.
    """
    if tolerance is not None:
        return Band(tolerance, None)
    if precision == "native":
        precision = "tf32" if native == "fp32" and device != "cpu" else native
    return BANDS[precision]


def compare(measured: Batches, reference: Batches, allowed: Band) -> dict[str, Any]:
    """The record's `agreement` without its reference: `max_rel`, `mean_abs`, `cosine`, `top1`, `within_band`, `reason`.

    `max_rel` is the worst output's max|a−b| ÷ max|reference| over all batches (of an output of integers: the share of
    numbers that differ), `mean_abs` the mean |a−b| of all floating numbers, `cosine` the worst output's, `top1` the
    share of rows of the first output of 2 or 3 axes whose largest number stands in the same place.
    """
    found: dict[str, Any] = {
        "max_rel": None, "mean_abs": None, "cosine": None, "top1": None, "within_band": None, "batches": len(measured),
        "tolerance": allowed.error, "least_cosine": allowed.cosine, "reason": "",
    }  # fmt: skip
    counts = {len(batch) for batch in (*measured, *reference)}
    if len(counts) != 1 or counts == {0}:
        several = " and ".join(str(count) for count in sorted(counts))
        return found | {"reason": f"the outputs cannot be paired: there are {several}"}
    outputs = [_Output() for _ in range(counts.pop())]
    for ours, theirs in zip(measured, reference, strict=True):
        for output, a, b in zip(outputs, ours, theirs, strict=True):
            if a.shape != b.shape:
                shapes = f"{_shape(a)} instead of {_shape(b)}"
                return found | {"within_band": False, "reason": f"an output has the shape {shapes}"}
            output.add(a, b)
    floats = [output for output in outputs if output.floating]
    count = sum(output.count for output in floats)
    bad = sum(output.bad for output in outputs)
    if not bad:
        found |= {
            "max_rel": max(output.error for output in outputs),
            "mean_abs": sum(output.total for output in floats) / count if count else None,
            "cosine": min((output.cosine for output in floats), default=None),
        }
    found["top1"] = next((output.top1 for output in outputs if output.top1 is not None), None)
    return found | _verdict(found, bad, allowed)


def _verdict(found: dict[str, Any], bad: int, allowed: Band) -> dict[str, Any]:
    if bad:
        numbers = "1 number is" if bad == 1 else f"{bad} numbers are"
        return {"within_band": False, "reason": f"{numbers} not finite"}
    reasons = []
    if found["max_rel"] > allowed.error:
        reasons.append(
            f"the error is {found['max_rel']:.2g} of the largest number, where {allowed.error:g} is allowed"
        )
    cosine = found["cosine"]
    if allowed.cosine is not None and cosine is not None and cosine < allowed.cosine:
        reasons.append(f"the cosine is {cosine:.5f}, where {allowed.cosine:g} is demanded")
    return {"within_band": not reasons, "reason": "; ".join(reasons)}


@dataclass
class _Output:
    """Sums over the batches of one output."""

    floating: bool = False
    count: int = 0
    bad: int = 0  # not finite, and not the same infinity in the reference
    total: float = 0.0  # of |a−b|
    _worst: float = 0.0
    _largest: float = 0.0
    _products: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # a·b, a·a, b·b
    _rows: int = 0
    _same: int = 0

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        self.count += a.size
        if not a.size:
            return
        if not (np.issubdtype(a.dtype, np.floating) or np.issubdtype(b.dtype, np.floating)):
            self.total += float(np.count_nonzero(a != b))
            return
        self.floating = True
        if a.ndim in (2, 3) and a.shape[-1] > 1:
            self._rows += a[..., 0].size
            self._same += int(np.count_nonzero(a.argmax(-1) == b.argmax(-1)))
        x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
        finite = np.isfinite(x) & np.isfinite(y)
        if not finite.all():
            # A mask's minus infinity is the same on both sides; NaN equals nothing.
            self.bad += int(np.count_nonzero(~finite & (x != y)))
            x, y = x[finite], y[finite]
        difference = np.abs(x - y)
        self.total += float(difference.sum())
        self._worst = max(self._worst, float(difference.max(initial=0.0)))
        self._largest = max(self._largest, float(np.abs(y).max(initial=0.0)))
        for place, product in enumerate((x @ y, x @ x, y @ y)):
            self._products[place] += float(product)

    @property
    def error(self) -> float:
        if not self.floating:
            return self.total / self.count if self.count else 0.0
        # All zeros in the reference: the error itself, since there is nothing to compare it with.
        return self._worst / (self._largest or 1.0)

    @property
    def cosine(self) -> float:
        both, ours, theirs = self._products
        if not (ours and theirs):
            return 1.0 if ours == theirs else 0.0
        return min(1.0, both / (math.sqrt(ours) * math.sqrt(theirs)))

    @property
    def top1(self) -> float | None:
        return self._same / self._rows if self._rows else None


def _shape(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape)) or "of a scalar"
