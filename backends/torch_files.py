"""Torch's own files: exported programs (.pt2) and weights; nothing but tensors is unpickled."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .configuration import Options
from .errors import MeasureError
from .models import Model
from .signature import Declared

Call = Callable[[Sequence[Any]], tuple[tuple[Any, ...], dict[str, Any]]]
"""The input tensors in declared order -> what the module is called with."""


def load_program(model: Model) -> tuple[Any, list[Declared], Call]:
    """FILE.pt2 as torch.export.save wrote it: the program, its inputs, and how it is called."""
    import torch

    assert model.path is not None
    try:
        program = torch.export.load(model.path)
    except (
        Exception
    ) as error:  # a zip error, a schema error, a version error: the file is no program of this torch
        raise MeasureError(
            "model-unreadable",
            f"torch {torch.__version__} cannot load {Path(model.path).name} as an exported program",
            "save it with torch.export.save under this version of torch",
            str(error),
        ) from error
    values = {n.name: n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder"}
    flat: list[Any] = []
    places, declared = [], []
    for index, name in enumerate(program.graph_signature.user_inputs):
        value = values.get(name) if isinstance(name, str) else name
        flat.append(value)
        if isinstance(value, torch.Tensor):
            places.append(index)
            sizes = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
            declared.append(Declared(name, str(value.dtype).removeprefix("torch."), sizes))
    spec = program.call_spec.in_spec

    def call(given: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        filled = list(flat)
        for place, tensor in zip(places, given, strict=True):
            filled[place] = tensor
        arguments: tuple[tuple[Any, ...], dict[str, Any]] = torch.utils._pytree.tree_unflatten(filled, spec)
        return arguments

    return program, declared, call


def weights_path(options: Options) -> str | None:
    """The file of `--weights`."""
    if options.weights is None:
        return None
    return os.path.join(options.working_directory, os.path.expanduser(options.weights))


def weigh(module: Any, model: Model, options: Options) -> None:
    """`--weights FILE`: a state dict, as torch.save or safetensors wrote it; nothing else is unpickled."""
    import torch

    path = weights_path(options)
    assert path is not None
    try:
        if path.endswith(".safetensors"):
            state = importlib.import_module("safetensors.torch").load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise MeasureError(
            "weights", f"{options.weights} needs safetensors", "pip install 'infertop[hf]'", str(error)
        ) from error
    except Exception as error:  # pickle's, zip's and the file system's errors
        missing = isinstance(error, FileNotFoundError)
        raise MeasureError(
            "weights",
            f"there is no file {options.weights}"
            if missing
            else f"{options.weights} is not a file of weights",
            "save it with torch.save(model.state_dict(), FILE)",
            str(error),
        ) from error
    if isinstance(state, dict):
        state = next(
            (state[key] for key in ("state_dict", "model") if isinstance(state.get(key), dict)), state
        )
        # DataParallel and torch.compile put these before every name.
        state = {
            str(key).removeprefix("module.").removeprefix("_orig_mod."): value for key, value in state.items()
        }
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise MeasureError(
            "weights",
            f"the weights in {options.weights} do not fit {model.text}",
            "give a state dict of that model",
            str(error),
        ) from error
