"""The outputs that a configuration's own are compared with, computed once on the CPU by a process of its own.

Of its own, so that the worker neither imports a second runtime nor keeps a second model while it measures; and before
the warm-up, never beside it. Kept in the cache where the model's contents are known without running it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from . import agreement, boot, graph, models, precision, torch_files
from .backend import Backend, Input, Inputs, Loaded, versions
from .configuration import Configuration, Options
from .errors import MeasureError
from .inputs import input_file, make_sets
from .orphans import die_with

LIMIT_S = 180.0
"""A reference that takes longer is given up: the run would wait for it."""

BATCH_BYTES = 64 << 20
"""Outputs larger than this are compared for one batch only, and not kept."""

CACHE_BYTES = 512 << 20
"""What the cache may hold; the longest unused go first."""

_DISTRIBUTIONS = ("torch", "torchvision", "transformers", "onnxruntime", "onnxruntime-gpu", "numpy")


@dataclass(frozen=True)
class Reference:
    """`outputs` of each batch, flattened."""

    name: str
    outputs: list[list[np.ndarray]]


def check(
    configuration: Configuration, loaded: Loaded, sets: Sequence[Inputs], backend: Backend
) -> dict[str, Any]:
    """In the worker: the `agreement` of a loaded and bound backend. What cannot be compared has its reason, and is no fault."""
    try:
        reference = find(configuration, loaded)
    except MeasureError as error:
        return {
            "reference": None, "max_rel": None, "mean_abs": None, "cosine": None, "top1": None, "within_band": None,
            "reason": f"there is no reference: {error.message}",
        }  # fmt: skip
    options = configuration.options
    native = loaded.native or "fp32"
    band = agreement.band(configuration.precision, native, configuration.device, options.tolerance)
    measured = []
    for index in range(min(len(reference.outputs), len(sets))):
        backend.issue(0, index, None)
        backend.complete(0, None)
        # The next request may overwrite them.
        measured.append([np.array(array) for array in backend.outputs(0)])
    found = agreement.compare(measured, reference.outputs[: len(measured)], band)
    return {"reference": reference.name, **found}


def find(configuration: Configuration, loaded: Loaded) -> Reference:
    """The reference from the cache or from a process. Raises MeasureError where there can be none."""
    model = models.resolve(configuration.model, configuration.options.working_directory)
    wanted = _configuration(configuration, model, loaded)
    folder = configuration.options.cache_directory
    name = _key(wanted, configuration.options, model, loaded)
    if folder is None or name is None:
        with tempfile.TemporaryDirectory(prefix="infertop-reference-") as temporary:
            path = Path(temporary, "reference.npz")
            _compute(wanted, configuration.options, loaded, path)
            return _read(path)
    kept = Path(folder, "references", f"{name}.npz")
    with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
        found = _read(kept)
        os.utime(kept)
        return found
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = kept.with_name(f"{name}.{os.getpid()}.partial.npz")
    try:
        _compute(wanted, configuration.options, loaded, partial)
        found = _read(partial)
        if sum(array.nbytes for array in found.outputs[0]) <= BATCH_BYTES:
            partial.replace(kept)
            _tidy(kept.parent)
        return found
    finally:
        partial.unlink(missing_ok=True)


def main(parent: int) -> None:
    """The process: a request on standard input, the arrays to its `path`, an error or nothing on standard output."""
    die_with(parent)
    replies = os.dup(1)
    os.dup2(2, 1)  # what C++ runtimes print is not the answer
    request = json.load(sys.stdin)
    try:
        arrays = _arrays(
            Configuration.from_dict(request["configuration"]),
            Options(**request["options"]),
            [Input(i["name"], i["dtype"], tuple(i["shape"])) for i in request["inputs"]],
            request["tables"],
        )
        with open(request["path"], "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type] # numpy's own option is no array
    except MeasureError as error:
        os.write(replies, json.dumps(error.as_dict()).encode())


def _configuration(configuration: Configuration, model: models.Model, loaded: Loaded) -> Configuration:
    """What computes the reference: a file as it is under onnxruntime-cpu, a module in float32 under torch-eager (one that is
    quantised as it is).

    smallcnn's file comes with infertop, so that it needs no torch. Every size is given, since the other backend may have
    names of its own for its axes.
    """
    if model.kind == "engine":
        raise MeasureError("reference-failed", "a built engine has no other form that the CPU could compute")
    options = configuration.options
    shipped = model.name == "smallcnn" and model.kind == "zoo" and options.weights is None
    file = model.kind == "onnx" or (shipped and util.find_spec("onnxruntime") is not None)
    shapes = {
        item.name: "x".join(map(str, item.shape))
        + ("" if item.dtype.startswith(("float", "bfloat")) else f":{item.dtype}")
        for item in loaded.inputs
    }
    as_it_is = file or model.kind == "pt2" or loaded.native == "int8"
    return Configuration(
        backend="onnxruntime-cpu" if file else "torch-eager",
        model=configuration.model,
        precision="native" if as_it_is else "fp32",
        options=Options(
            seed=options.seed,
            input_shapes=shapes,
            weights=options.weights,
            working_directory=options.working_directory,
        ),
    )


def _key(wanted: Configuration, options: Options, model: models.Model, loaded: Loaded) -> str | None:
    """What the outputs depend on, as a short hash; None where a factory's contents are known only by running it."""
    if model.kind == "factory":
        return None
    files = [path for path in (torch_files.weights_path(options), input_file(options)) if path]
    parts = {
        "model": (model.kind, model.name),
        "reference": (wanted.backend, wanted.precision, wanted.options.input_shapes),
        "files": [models.digest(path) for path in (*_contents(model), *files)],
        "given": (options.weights is not None, options.inputs is not None),
        "seed": options.seed,
        "tables": sorted(loaded.tables.items()),
        "batches": agreement.BATCHES,
        "computed by": (__version__, versions(*_DISTRIBUTIONS)),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _contents(model: models.Model) -> list[str]:
    """The files that the model consists of, those of a graph's weights included."""
    if model.kind == "onnx" and model.path is not None:
        return precision.files(graph.read(model.path))
    return models.contents(model)


def _compute(wanted: Configuration, options: Options, loaded: Loaded, path: Path) -> None:
    """Have the process write the arrays to `path`."""
    request = {
        "configuration": wanted.as_dict(),
        "options": asdict(options),
        "inputs": [asdict(item) for item in loaded.inputs],
        "tables": loaded.tables,
        "path": str(path),
    }
    command = [sys.executable, "-X", "utf8", str(Path(boot.__file__)), "reference", str(os.getpid())]
    # It has no business on a GPU that is about to be measured.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(
            command, input=json.dumps(request).encode(), stdout=subprocess.PIPE, timeout=LIMIT_S, env=environment, check=False
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise MeasureError(
            "reference-failed", f"computing it on the CPU took more than {LIMIT_S:.0f} s"
        ) from error
    if done.stdout:
        raise MeasureError.from_dict(json.loads(done.stdout))
    if done.returncode:
        raise MeasureError(
            "reference-failed", f"the process that computes it ended with exit code {done.returncode}"
        )


def _arrays(
    wanted: Configuration, options: Options, inputs: Sequence[Input], tables: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """Load, feed the same seeded inputs and run, as a worker does."""
    from . import registry

    backend = registry.create(wanted.backend)
    loaded = backend.load(wanted, lambda phase: None)
    here, there = ([(item.name, item.shape) for item in items] for items in (loaded.inputs, inputs))
    if here != there:
        raise MeasureError(
            "reference-failed", f"{wanted.backend} knows the model's inputs by other names or sizes"
        )
    sets = make_sets(replace(loaded, tables=dict(tables)), options)[: agreement.BATCHES]
    backend.bind(sets, 1)
    arrays = {"name": np.array(f"{wanted.backend}/{wanted.precision}")}
    for index in range(len(sets)):
        backend.issue(0, index, None)
        backend.complete(0, None)
        if index == 0 and (settle := getattr(backend, "settle", None)) is not None:
            settle()
        outputs = backend.outputs(0)
        for number, array in enumerate(outputs):
            arrays[f"{index}.{number}"] = np.array(array)
        if sum(array.nbytes for array in outputs) > BATCH_BYTES:
            break
    return arrays


def _read(path: Path) -> Reference:
    """Raises OSError, ValueError, KeyError or BadZipFile where the file is not what `main` writes."""
    with np.load(path, allow_pickle=False) as archive:
        outputs: list[list[np.ndarray]] = []
        for key in archive.files:
            if key[0].isdigit():
                index = int(key.partition(".")[0])
                outputs += [[] for _ in range(index + 1 - len(outputs))]
                outputs[index].append(archive[key])
        return Reference(str(archive["name"]), outputs)


def _tidy(folder: Path) -> None:
    """Keep the cache within its bounds. Other workers may be doing the same."""
    files = []
    for path in folder.glob("*.npz"):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files)[:-1]:
        if total <= CACHE_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= size
