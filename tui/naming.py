"""A configuration in words: as shown, and as it differs from another."""

from __future__ import annotations

from ..backends.configuration import Configuration
from ..backends.registry import BACKENDS
from ..sessions.view import BackendView, View
from .render.cells import clean

_SHORT = {info.name: info.short for info in BACKENDS}  # a recording may know none of its machine's backends


def short_name(backend: str) -> str:
    """The short name of one of our backends; another's own."""
    return _SHORT.get(backend, backend)


def short_backend(view: View, configuration: Configuration) -> str:
    """The backend's short name, with the environment where another interpreter runs it."""
    found: BackendView | None = next((b for b in view.backends if b.name == configuration.backend), None)
    name = found.short if found is not None else short_name(configuration.backend)
    return clean(f"{name}@{configuration.environment}" if configuration.environment else name)


def model_name(text: str) -> str:
    """The model as a title: a file by its name, anything else as typed."""
    if text.endswith((".onnx", ".pt2")) or "/" in text or "\\" in text:
        return clean(text.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1])
    return clean(text)


def facts(configuration: Configuration) -> list[str]:
    """What is measured, from the most to the least telling."""
    out = [model_name(configuration.model), configuration.precision]
    if configuration.batch is not None:
        out.append(f"batch {configuration.batch}")
    out += [f"{clean(name)}={size}" for name, size in configuration.dims.items()]
    return [*out, configuration.data_path, configuration.load]


def chosen_options(configuration: Configuration) -> list[str]:
    """The runtime's own settings that were asked for: `max-autotune`, `cuda_graph=1`."""
    options = configuration.options
    compiles = (
        configuration.backend == "torch-compile"
    )  # the mode is of the command, and nothing to the others
    mode = [options.compile_mode] if options.compile_mode and compiles else []
    return [*mode, *(f"{clean(name)}={clean(value)}" for name, value in options.backend_options.items())]


def differences(one: Configuration, other: Configuration, view: View, *, named: bool = False) -> str:
    """What `one` has that `other` has not, e.g. `torch, batch 8`; `named`: its backend stands before it already."""
    out = []
    if not named and (one.backend, one.environment) != (other.backend, other.environment):
        out.append(short_backend(view, one))
    if one.model != other.model:
        out.append(model_name(one.model))
    if one.precision != other.precision:
        out.append(one.precision)
    if one.batch is not None and one.batch != other.batch:
        out.append(f"batch {one.batch}")
    out += [f"{clean(k)}={v}" for k, v in one.dims.items() if other.dims.get(k) != v]
    if one.data_path != other.data_path:
        out.append(one.data_path)
    if one.load != other.load:
        out.append(one.load)
    out += [text for text in chosen_options(one) if text not in chosen_options(other)]
    if one.options.threads != other.options.threads and one.options.threads and other.options.threads:
        out.append(f"{one.options.threads} threads")
    return ", ".join(out) or ("" if named and one.backend != other.backend else "the same again")
