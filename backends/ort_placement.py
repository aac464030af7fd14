"""Where ONNX Runtime's CUDA sessions have put a model: nodes that stayed on the CPU, and copies between the two."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

from . import libraries, ort_session, probes

PROVIDER = "CUDAExecutionProvider"

SHAPE_OPERATORS = {
    "Add", "And", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Expand", "Floor", "Gather",
    "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or",
    "Range", "ReduceMax", "ReduceMin", "ReduceProd", "Reshape", "Shape", "Size", "Slice", "Squeeze", "Sub", "Unsqueeze",
    "Where",
}  # fmt: skip
"""What computes shapes, which onnxruntime puts on the CPU on purpose: a few numbers, needed there anyway."""


def fallen_back(session: Any, placement: dict[str, int] | None) -> str | None:
    """What does not run on the GPU though it was asked to, in a sentence; None where all but shapes does.

    Asking for the provider proves nothing: where its library cannot be loaded, onnxruntime warns and goes on on the CPU.
    """
    if PROVIDER not in session.get_providers():
        folder = probes.onnxruntime_folder()
        library = folder / "libonnxruntime_providers_cuda.so" if folder else Path()
        lacking = libraries.missing(library) if library.is_file() else ["its own library"]
        reason = f" ({', '.join(lacking)} cannot be loaded)" if lacking else ""
        return f"the CUDA provider did not start{reason}: everything runs on the CPU"
    if placement is None:
        return None
    on_cpu = ort_session.operators(session, "CPUExecutionProvider")
    working = {name: count for name, count in on_cpu.items() if name not in SHAPE_OPERATORS}
    if not working:
        return None
    names = ", ".join(sorted(working, key=lambda name: -working[name])[:3])
    return f"{sum(working.values())} of {sum(placement.values())} nodes run on the CPU ({names})"


def written() -> int | None:
    """How much is in the file behind descriptor 2, to which C++ writes its warnings; None where that is no file."""
    status = os.fstat(2)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def copy_nodes(begun: int | None) -> int | None:
    """Memcpy nodes of a session, from the warnings written since `begun`; None where they could not be read.

    onnxruntime adds them after it has placed the others, so that its record of the placement lacks them.
    """
    end = written()
    if begun is None or end is None:
        return None
    try:
        text = os.pread(2, max(0, end - begun), begun).decode(errors="replace")
    except OSError:
        return None  # the file is open for writing only
    return sum(int(count) for count in re.findall(r"(\d+) Memcpy nodes are added", text))
