"""Where ONNX Runtime's GPU sessions have put a model: a provider that did not start, nodes that stayed on the CPU, copies between the two."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import libraries, ort_session, probes
from .backend import Fallback
from .errors import MeasureError
from .ort_model import ModelFile

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

_CALLED = {CUDA: ("CUDA", "cuda"), TENSORRT: ("TensorRT", "tensorrt")}
"""By provider: its name in sentences, and in that of its library."""

SHAPE_OPERATORS = {
    "Add", "And", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Expand", "Floor", "Gather",
    "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or",
    "Range", "ReduceMax", "ReduceMin", "ReduceProd", "Reshape", "Shape", "Size", "Slice", "Squeeze", "Sub", "Unsqueeze",
    "Where",
}  # fmt: skip
"""What computes shapes, which onnxruntime puts on the CPU on purpose: a few numbers, needed there anyway."""

NO_CPU = "session.disable_cpu_ep_fallback"
"""Session option that refuses a session with nodes on the CPU; onnxruntime has it from 1.15 on, and ignores what it does not know."""

_REFUSES_CPU_FROM = (1, 15)
_RECORD = "get_provider_graph_assignment_info"

_UNPROVEN = "where the nodes run is unknown: this onnxruntime keeps no record of it, and some are on the CPU, perhaps for shapes alone"
_FIX = (
    "measure what the CPU does by its own name, onnxruntime-cpu, or export the model without these operators"
)


def create(
    ort: Any, file: ModelFile, options: Callable[[], Any], providers: Sequence[Any]
) -> tuple[Any, str | None]:
    """A session, and what of its placement cannot be known, in a sentence. `options` makes new session options.

    A runtime without a record of its own is asked for a session that takes no node on the CPU: where it makes one, none is there.
    """
    if hasattr(ort.InferenceSession, _RECORD):
        return ort_session.create(ort, file, options(), providers), None
    version = tuple(int(number) for number in re.findall(r"\d+", str(ort.__version__))[:2])
    if version >= _REFUSES_CPU_FROM:
        strict = options()
        strict.add_session_config_entry(NO_CPU, "1")
        try:
            return ort_session.create(ort, file, strict, providers), None
        except MeasureError as error:
            if "CPU EP" not in error.detail:
                raise
    return ort_session.create(ort, file, options(), providers), _UNPROVEN


def not_started(session: Any, provider: str, instead: str, said: str | None) -> Fallback | None:
    """A provider that is not among the session's; `instead` says what runs everything. `said` is what onnxruntime has printed.

    Asking for the provider proves nothing: where its library cannot be loaded, onnxruntime warns and goes on without it.
    """
    if provider in session.get_providers():
        return None
    name, stem = _CALLED[provider]
    reason, fix, detail = _cause(f"libonnxruntime_providers_{stem}.so", said or "")
    return Fallback(f"the {name} provider did not start ({reason}): {instead}", fix, detail)


def fallen_back(session: Any, placement: dict[str, int] | None, said: str | None) -> Fallback | None:
    """What does not run on the GPU though it was asked to; None where all but shapes does, or nobody knows (see `create`)."""
    fallback = not_started(session, CUDA, "everything runs on the CPU", said)
    if fallback is not None or placement is None:
        return fallback
    on_cpu = ort_session.operators(session, CPU)
    working = {name: count for name, count in on_cpu.items() if name not in SHAPE_OPERATORS}
    total = sum(placement.values())
    if on_cpu and placement.get(CPU, 0) == total:
        # A model of nothing but shape operators is no model of shapes: somebody wants what it computes.
        working = dict(on_cpu)
    if not working:
        return None
    names = ", ".join(sorted(working, key=lambda name: -working[name])[:3])
    return Fallback(f"{sum(working.values())} of {total} nodes run on the CPU ({names})", _FIX)


def written() -> int | None:
    """How much is in the file behind descriptor 2, to which C++ writes its warnings; None where that is no file."""
    status = os.fstat(2)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def printed(begun: int | None) -> str | None:
    """What was written there since `begun`; None where it cannot be read."""
    end = written()
    if begun is None or end is None:
        return None
    try:
        return os.pread(2, max(0, end - begun), begun).decode(errors="replace")
    except OSError:
        return None  # the file is open for writing only


def copy_nodes(said: str | None) -> int | None:
    """Memcpy nodes of a session, from the warnings printed while it was made; None where they could not be read.

    onnxruntime adds them after it has placed the others, so that its record of the placement lacks them.
    """
    return None if said is None else sum(int(n) for n in re.findall(r"(\d+) Memcpy nodes are added", said))


def _cause(library: str, said: str) -> tuple[str, str, str]:
    """Why the provider's library was not loaded, what brings what it lacks, and onnxruntime's own words where it has printed any."""
    found = re.search(rf"Failed to load library \S*?({re.escape(library)}) with error: ([^\n\x1b]+)", said)
    if found is not None:
        words = f"Failed to load library {found[1]} with error: {found[2].strip()}"
        lacking = libraries.lack(found[2])
        if lacking is not None:
            return lacking.words, libraries.source(lacking.name, probes.cuda_version()), words
        return found[2].strip()[:200], "install the versions that this onnxruntime was built for", words
    folder = probes.onnxruntime_folder()
    path = folder / library if folder else Path()
    missing = libraries.missing(path) if path.is_file() else [library]
    if missing:
        return (
            f"{', '.join(missing)} cannot be loaded",
            libraries.source(missing[0], probes.cuda_version()),
            said.strip(),
        )
    return "onnxruntime does not say why", "infertop doctor says what this environment lacks", said.strip()
