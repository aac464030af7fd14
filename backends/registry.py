"""The backends by name: listed without importing them, created in the worker."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from .errors import MeasureError

if TYPE_CHECKING:
    from importlib import metadata

    # Probes import this module in interpreters that may lack numpy, which backend.py needs.
    from .backend import Backend

ENTRY_POINTS = "infertop.backends"
"""Entry-point group by which other distributions add a backend: name = "package.module:Class"."""


@dataclass(frozen=True)
class BackendInfo:
    """What is known of a backend without importing it."""

    name: str
    short: str
    summary: str
    device: str  # "cpu", "cuda", or "any": CUDA where it is asked for, else the CPU
    factory: str  # "module:Class"; a module that begins with a dot is one of this package


BACKENDS: tuple[BackendInfo, ...] = (
    BackendInfo("torch-eager", "torch", "PyTorch, operator by operator", "any", ".torch_eager:TorchEager"),
    BackendInfo(
        "torch-compile",
        "compile",
        "PyTorch, compiled by inductor",
        "any",
        ".torch_compile:TorchCompile",
    ),
    BackendInfo("onnxruntime-cpu", "ort-cpu", "ONNX Runtime, CPU provider", "cpu", ".ort:OnnxRuntimeCpu"),
    BackendInfo(
        "onnxruntime-cuda",
        "ort-cuda",
        "ONNX Runtime, CUDA provider",
        "cuda",
        ".ort_cuda:OnnxRuntimeCuda",
    ),
    BackendInfo(
        "onnxruntime-tensorrt",
        "ort-trt",
        "ONNX Runtime, TensorRT provider",
        "cuda",
        ".trt_ort:OnnxRuntimeTensorRt",
    ),
    BackendInfo("tensorrt", "trt", "NVIDIA TensorRT", "cuda", ".trt_backend:TensorRt"),
    BackendInfo(
        "tensorrt-rtx",
        "trt-rtx",
        "NVIDIA TensorRT for RTX",
        "cuda",
        ".trt_backend:TensorRtRtx",
    ),
)
"""Ours, in the order in which they are shown and get their digits."""


def all_backends() -> tuple[BackendInfo, ...]:
    """Ours, then those that other distributions offer by entry points, by name. Nothing is imported."""
    from importlib import metadata  # 20 ms, which a screen's first paint need not wait for

    names = {info.name for info in BACKENDS}
    found = metadata.entry_points(group=ENTRY_POINTS)
    others = {entry.name: entry for entry in found if entry.name not in names}
    return BACKENDS + tuple(
        BackendInfo(name, name, f"from {_distribution(entry)}", "any", entry.value)
        for name, entry in sorted(others.items())
    )


def resolve(name: str) -> BackendInfo:
    """The backend of that full or short name. Raises MeasureError kind "usage" with the nearest name."""
    known = all_backends()
    for info in known:
        if name in (info.name, info.short):
            return info
    suggestion = nearest(name, [word for info in known for word in (info.name, info.short)])
    names = ", ".join(info.name for info in known)
    raise MeasureError(
        "usage",
        f"there is no backend named {name}",
        f"did you mean {suggestion[0]}?" if suggestion else f"the backends are {names}",
    )


def create(name: str) -> Backend:
    """A new backend of that name. Only the worker calls this: a module of ours is cheap, another's may import its runtime."""
    info = resolve(name)
    module, _, attribute = info.factory.partition(":")
    try:
        loaded = import_module(module, __package__) if module.startswith(".") else import_module(module)
        factory = cast("Callable[[], Backend]", getattr(loaded, attribute))
    except (ImportError, AttributeError) as error:
        raise MeasureError(
            "backend-missing",
            f"the backend {name} could not be imported from {info.factory}",
            "infertop backends says what is installed",
            str(error),
        ) from error
    return factory()


def nearest(text: str, names: Iterable[str]) -> list[str]:
    """The names that look like `text`, at most three, best first: by letters, or because one contains the other; case counts last."""
    wanted = text.lower()
    by_lower: dict[str, list[str]] = {}
    for name in sorted(set(names), key=lambda name: name.islower() != text.islower()):
        by_lower.setdefault(name.lower(), []).append(name)
    close = difflib.get_close_matches(wanted, by_lower, n=3, cutoff=0.6)
    contained = sorted((n for n in by_lower if len(wanted) >= 3 and (wanted in n or n in wanted)), key=len)
    return [name for lower in dict.fromkeys(close + contained) for name in by_lower[lower]][:3]


def _distribution(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value
