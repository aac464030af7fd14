"""`package.module:factory`: a person's own function that makes the model, called without arguments in the worker."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import Any

from .configuration import Options
from .errors import MeasureError
from .registry import nearest

TRACEBACK_LINES = 30
"""How much of the end of a factory's traceback goes into the detail of the error."""


def make(text: str, options: Options) -> tuple[Any, Any]:
    """(module, example inputs or None) from the factory named `text`. torch must have been imported already.

    The working directory goes first on sys.path only now: a person's folder named like a library must not hide it
    from the runtime. Raises MeasureError kind "import-failed" or "factory-failed".
    """
    import torch

    module_name, _, path = text.rpartition(":")
    folder = str(Path(options.working_directory).resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    target = _attribute(_import(module_name, folder), text, path)
    if isinstance(target, torch.nn.Module):
        return target, None
    if not callable(target):
        raise MeasureError(
            "import-failed",
            f"{text} is a {type(target).__name__}, not a function",
            "name a function that returns the model",
        )
    try:
        made = target()
    except (Exception, SystemExit) as error:
        raise MeasureError(
            "factory-failed",
            f"the factory {text} raised {_named(error)}",
            "it is called without arguments, in the worker; its traceback says where",
            _last_lines(),
        ) from error
    module, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, torch.nn.Module):
        raise MeasureError(
            "factory-failed",
            f"the factory {text} returned {_kind(made)}, not a torch module",
            "return the module, or (module, example inputs as a tuple or a dict)",
        )
    if example is not None and not isinstance(example, (tuple, list, dict, torch.Tensor)):
        raise MeasureError(
            "factory-failed",
            f"the factory {text} returned example inputs of type {type(example).__name__}",
            "return them as a tuple or as a dict by the names of forward's parameters",
        )
    return module, (example,) if isinstance(example, torch.Tensor) else example


def _import(name: str, folder: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise MeasureError(
                "import-failed",
                f"{name} needs the module {error.name}, which is not installed here",
                "install it in this environment, or name another with --python",
                _last_lines(),
            ) from error
        near = nearest(name, [file.stem for file in Path(folder).glob("*.py")])
        raise MeasureError(
            "import-failed",
            f"there is no module {error.name} in {folder} or in this environment",
            f"did you mean {near[0]}?" if near else "start infertop where the module's file lies",
        ) from error
    except (Exception, SystemExit) as error:
        raise MeasureError(
            "import-failed",
            f"importing {name} raised {_named(error)}",
            "the end of its traceback tells where",
            _last_lines(),
        ) from error


def _attribute(module: Any, text: str, path: str) -> Any:
    found = module
    for name in path.split("."):
        if not hasattr(found, name):
            near = nearest(name, [word for word in dir(found) if not word.startswith("_")])
            raise MeasureError(
                "import-failed",
                f"{text.rpartition(':')[0]} has no {path}",
                f"did you mean {near[0]}?"
                if near
                else f"define a function {path} there that returns the model",
            )
        found = getattr(found, name)
    return found


def _kind(made: Any) -> str:
    if isinstance(made, tuple):
        return f"a tuple of {len(made)} ({', '.join(type(item).__name__ for item in made[:3])})"
    return "None" if made is None else f"an object of type {type(made).__name__}"


def _named(error: BaseException) -> str:
    said = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {said[:200]}" if said else type(error).__name__


def _last_lines() -> str:
    return "\n".join(traceback.format_exc().splitlines()[-TRACEBACK_LINES:])
