"""A configuration in words: as shown, as it differs from another, and as the command that measures it."""

from __future__ import annotations

import shlex

from ..backends.configuration import Configuration
from ..sessions.view import BackendView, View
from .render.cells import clean


def short_backend(view: View, configuration: Configuration) -> str:
    """The backend's short name, with the environment where another interpreter runs it."""
    found: BackendView | None = next((b for b in view.backends if b.name == configuration.backend), None)
    name = found.short if found is not None else configuration.backend
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


def differences(one: Configuration, other: Configuration, view: View) -> str:
    """What `one` has that `other` has not, e.g. `torch, batch 8`."""
    out = []
    if (one.backend, one.environment) != (other.backend, other.environment):
        out.append(short_backend(view, one))
    if one.model != other.model:
        out.append(model_name(one.model))
    if one.precision != other.precision:
        out.append(one.precision)
    if one.batch != other.batch:
        out.append("no batch axis" if one.batch is None else f"batch {one.batch}")
    out += [f"{clean(k)}={v}" for k, v in one.dims.items() if other.dims.get(k) != v]
    if one.data_path != other.data_path:
        out.append(one.data_path)
    if one.load != other.load:
        out.append(one.load)
    return ", ".join(out) or "the same again"


def command(configuration: Configuration) -> str:
    """The `infertop run …` line that measures this configuration; defaults are left out."""
    c, options, plain = configuration, configuration.options, Configuration("", "")
    words = ["infertop", "run", c.model, "--backend", c.backend]

    def option(name: str, value: object) -> None:
        words.extend((name, str(value)))

    if c.precision != plain.precision:
        option("--precision", c.precision)
    if c.batch is not None:
        option("--batch", c.batch)
    for name, size in c.dims.items():
        option("--dim", f"{name}={size}")
    if c.data_path != plain.data_path:
        option("--data-path", c.data_path)
    if c.load != plain.load:
        option("--load", c.load)
    if c.device not in ("cpu", "cuda:0"):
        option("--device", c.device)
    if options.threads is not None:
        option("--threads", options.threads)
    if options.seed:
        option("--seed", options.seed)
    if options.gc != "off":
        option("--gc", options.gc)
    if options.inputs:
        option("--inputs", options.inputs)
    for name, shape in options.input_shapes.items():
        option("--input-shape", f"{name}={shape}")
    if options.weights:
        option("--weights", options.weights)
    if options.compile_mode:
        option("--compile-mode", options.compile_mode)
    for name, value in options.backend_options.items():
        option("--backend-option", f"{name}={value}")
    return shlex.join(words)
