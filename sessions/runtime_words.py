"""In words: what a person set of a run beside its configuration, and what its runtime turned out to do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from . import units
from .latency import count, number

_PLAIN = {"seed": 0, "gc": "off"}
"""Settings whose value a person need not hear of."""

_COMPILED = ("torch.compile ", "CUDA graphs ")
"""How remarks begin that the sentence of a compilation holds already."""


def settings(result: Mapping[str, Any]) -> list[str]:
    """The `options` of a result; those at their default are left out, and a mode of torch.compile where nothing is compiled."""
    options = result.get("options") or {}
    found = [f"{key}={value}" for key, value in (options.get("backend_options") or {}).items()]
    found += [f"input {name} {shape}" for name, shape in (options.get("input_shapes") or {}).items()]
    for name in ("inputs", "weights"):
        if options.get(name):
            found.append(f"{name} {os.path.basename(str(options[name]))}")
    if options.get("compile_mode") and result["backend"].partition("@")[0] == "torch-compile":
        found.append(f"compile mode {options['compile_mode']}")
    if options.get("threads"):
        found.append(f"threads {options['threads']}")
    if options.get("cpu_affinity"):
        found.append(f"cores {','.join(map(str, options['cpu_affinity']))}")
    for name, plain in _PLAIN.items():
        if options.get(name, plain) != plain:
            found.append(f"{name} {options[name]}")
    if options.get("tolerance") is not None:
        found.append(f"tolerance {options['tolerance']:g}")
    return found


def did(runtime: Mapping[str, Any]) -> list[str]:
    """A result's `runtime`, a sentence for each thing worth knowing."""
    found = []
    if "graph_breaks" in runtime:
        found.append(_compiled(runtime))
    if "engine_bytes" in runtime:
        found.append(_engine(runtime))
    if runtime.get("converted"):
        found.append(f"converted: {runtime['converted']}")
    notes = runtime.get("notes")
    if isinstance(notes, list):
        found += [
            str(note)
            for note in notes
            if "graph_breaks" not in runtime or not str(note).startswith(_COMPILED)
        ]
    return found


def control(found: Mapping[str, Any] | None) -> str:
    """The plain call beside the same request in steps; where they differ, that the split into stages is approximate."""
    plain, steps, difference = (
        number((found or {}).get(name)) for name in ("p50_ms", "steps_p50_ms", "difference")
    )
    if plain is None or steps is None or difference is None:
        return ""
    text = f"plain run() takes {units.milliseconds(plain)} ms, the same in steps {units.milliseconds(steps)} ({units.change(difference)})"
    return f"the split into stages is ≈: {text}" if (found or {}).get("marked") is True else text


def _compiled(runtime: Mapping[str, Any]) -> str:
    """`compiled in mode default: 1 graph, no graph breaks, no recompilations; CUDA graphs none: mode default asks for none`."""
    parts = [_count(runtime.get("graphs"), "graph")]
    for name, noun, reasons in (
        ("graph_breaks", "graph break", "graph_break_reasons"),
        ("recompiles", "recompilation", "recompile_reasons"),
    ):
        said = runtime.get(reasons)
        why = "; ".join(map(str, said)) if isinstance(said, list) else ""
        parts.append(_count(runtime.get(name), noun) + (f" ({why})" if why else ""))
    graphs = runtime.get("cuda_graphs") or "not known"
    return f"compiled in mode {runtime.get('compile_mode')}: {', '.join(parts)}; CUDA graphs {graphs}"


def _engine(runtime: Mapping[str, Any]) -> str:
    """`engine of 46.8 MB: optimisation level 5, workspace 1.1 GB, replayed as a CUDA graph; memory by pycuda`."""
    parts = []
    for name, words in (
        ("optimization_level", "optimisation level"),
        ("max_aux_streams", "auxiliary streams"),
    ):
        if runtime.get(name) is not None:
            parts.append(f"{words} {runtime[name]}")
    if (workspace := number(runtime.get("workspace"))) is not None:
        parts.append(f"workspace {units.size(workspace)}")
    parts.append("replayed as a CUDA graph" if runtime.get("cuda_graph") else "no CUDA graph")
    size = units.size(number(runtime.get("engine_bytes")))
    return f"engine of {size}: {', '.join(parts)}; memory by {runtime.get('memory')}"


def _count(value: object, noun: str) -> str:
    n = count(value)
    return f"{n or 'no'} {noun}{'' if n == 1 else 's'}"
