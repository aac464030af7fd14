"""What a GPU can do at most: FLOP/s by arithmetic pipe from its compute capability, bytes/s of its memory as a copy within it reaches them.

Rates a clock and multiprocessor, dense: FP32 from the CUDA C++ Programming Guide ("Arithmetic Instructions", throughput of 32-bit
multiply-add), tensor cores from NVIDIA's architecture whitepapers (Volta to Blackwell), whose TFLOPS they give at the boost clock: 4096 × 132
× 1.83 GHz are the H100's 989. Where GeForce and data-centre chips of one capability differ the higher rate stands.
"""

from __future__ import annotations

from functools import partial

from .cuda import Device
from .errors import MeasureError
from .link import best, timed

SIZE = 256 << 20
"""Bytes of the copy: several times any cache, and 0.2 ms on an H100."""

BUDGET_NS = 20_000_000

CLOCK_KHZ, MULTIPROCESSORS, CACHE = 13, 16, 38
"""CUdevice_attribute (cuda.h): the highest clock, the count of multiprocessors, bytes of the L2 cache."""

RATES: dict[tuple[int, int], tuple[int, int, int]] = {
    (6, 0): (128, 128, 256), (6, 1): (256, 256, 256), (7, 0): (128, 128, 1024), (7, 5): (128, 128, 1024),
    (8, 0): (128, 1024, 2048), (8, 6): (256, 512, 1024), (8, 7): (256, 512, 1024), (8, 9): (256, 512, 1024),
    (9, 0): (256, 2048, 4096), (10, 0): (256, 4096, 8192), (10, 3): (256, 4096, 8192), (12, 0): (256, 512, 1024),
    (12, 1): (256, 512, 1024),
}  # fmt: skip
"""Compute capability → FLOP a clock and multiprocessor in FP32, TF32 (FP32's where there is none) and FP16 (BF16 from 8.0 on)."""

Peaks = dict[str, float]


def measure(device: Device, size: int = SIZE, budget_ns: int = BUDGET_NS) -> Peaks:
    """`fp32`, `tf32`, `fp16`, `bf16` in FLOP/s, `bandwidth` in bytes/s, `cache` in bytes; what is not known is left out."""
    found: Peaks = {}
    capability = device.capability
    rates = RATES.get(capability)
    if rates is not None:
        clocks = device.attribute(MULTIPROCESSORS) * device.attribute(CLOCK_KHZ) * 1e3
        found = dict(zip(("fp32", "tf32", "fp16"), (rate * clocks for rate in rates), strict=True))
        if capability >= (8, 0):
            found["bf16"] = found["fp16"]
    found["cache"] = float(device.attribute(CACHE))
    bandwidth = _bandwidth(device, size, budget_ns)
    return found if bandwidth is None else found | {"bandwidth": bandwidth}


def _bandwidth(device: Device, size: int, budget_ns: int) -> float | None:
    """A copy reads and writes each byte; None where there is no room for it."""
    try:
        target, source = device.allocate(size), device.allocate(size)
    except MeasureError:
        return None
    stream = device.stream()
    copy = partial(device.copy_within, target, source, size, stream)
    return best(timed(device, stream, copy), 2 * size, budget_ns)
