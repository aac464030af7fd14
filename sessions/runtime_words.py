"""In words: what a person set of a run beside its configuration, and what its runtime turned out to do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from . import units

_PLAIN = {"seed": 0, "gc": "off"}
"""Settings whose value a person need not hear of."""


def settings(options: Mapping[str, Any]) -> list[str]:
    """`options` as a result holds them; those at their default are left out."""
    found = [f"{key}={value}" for key, value in (options.get("backend_options") or {}).items()]
    found += [f"input {name} {shape}" for name, shape in (options.get("input_shapes") or {}).items()]
    for name in ("inputs", "weights"):
        if options.get(name):
            found.append(f"{name} {os.path.basename(str(options[name]))}")
    if options.get("compile_mode"):
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
    return found


def _compiled(runtime: Mapping[str, Any]) -> str:
    """`compiled in mode default: 1 graph, no graph breaks, no recompilations; CUDA graphs none: mode default asks for none`."""
    parts = [_count(runtime["graphs"], "graph")]
    for count, noun, reasons in (
        ("graph_breaks", "graph break", "graph_break_reasons"),
        ("recompiles", "recompilation", "recompile_reasons"),
    ):
        why = "; ".join(map(str, runtime.get(reasons) or ()))
        parts.append(_count(runtime[count], noun) + (f" ({why})" if why else ""))
    return f"compiled in mode {runtime['compile_mode']}: {', '.join(parts)}; CUDA graphs {runtime['cuda_graphs']}"


def _engine(runtime: Mapping[str, Any]) -> str:
    """`engine of 46.8 MB: optimisation level 5, workspace 1.07 GB, CUDA graph; memory by pycuda`."""
    parts = []
    for name, words in (
        ("optimization_level", "optimisation level"),
        ("max_aux_streams", "auxiliary streams"),
    ):
        if runtime.get(name) is not None:
            parts.append(f"{words} {runtime[name]}")
    if runtime.get("workspace") is not None:
        parts.append(f"workspace {units.size(runtime['workspace'])}")
    parts.append("replayed as a CUDA graph" if runtime.get("cuda_graph") else "no CUDA graph")
    return f"engine of {units.size(runtime['engine_bytes'])}: {', '.join(parts)}; memory by {runtime.get('memory')}"


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
