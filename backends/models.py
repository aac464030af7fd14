"""What a person may name as a model: ours, torchvision's, a file, a factory; told apart without importing a runtime."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from .errors import MeasureError
from .registry import nearest

FILE_KINDS = {".onnx": "onnx", ".pt2": "pt2"}
ENGINE_SUFFIXES = (".plan", ".engine")
"""TensorRT engines: native code, so taken where they are named and trusted, and never offered."""

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_REGISTERED = re.compile(r'@register_model\((?:name="(\w+)")?\).*?\ndef (\w+)\(', re.DOTALL)
_LOOK_AT_MOST = 5000  # directory entries visited in search of files near by


@dataclass(frozen=True)
class ModelInfo:
    """A model that infertop knows by name."""

    name: str
    summary: str
    shape: tuple[int, ...]  # of one sample


@dataclass(frozen=True)
class Model:
    """What the person's text means."""

    text: str
    kind: str  # "zoo", "torchvision", "factory", "onnx", "pt2", "engine", or "hf": a transformers directory
    path: str | None  # absolute, for files and directories
    name: str  # short title: without folder, suffix and prefix


ZOO: tuple[ModelInfo, ...] = (
    ModelInfo("smallcnn", "three convolutions, 10 classes; its ONNX file comes with infertop", (3, 32, 32)),
    ModelInfo("resnet18", "torchvision's ResNet-18, random weights", (3, 224, 224)),
    ModelInfo("mobilenet_v2", "torchvision's MobileNetV2, random weights", (3, 224, 224)),
)


def listing() -> list[ModelInfo]:
    """The models known by name; torchvision's others come by `torchvision:NAME`."""
    return list(ZOO)


def resolve(text: str, working_directory: str = ".") -> Model:
    """What `text` names. Raises MeasureError kind "model-not-found" with names and files that are near.

    A known name wins over a file of that name (`./smallcnn` is the file). Whether a factory or one of torchvision's names
    exists is for the worker to say where this interpreter has no torchvision.
    """
    if any(text == info.name for info in ZOO):
        return Model(text, "zoo", None, text)
    if text.startswith("torchvision:"):
        return _torchvision(text)
    path = Path(working_directory, Path(text).expanduser())
    if path.is_dir():
        return _directory(text, path)
    if path.exists():
        engine = "engine" if path.suffix.lower() in ENGINE_SUFFIXES else None
        kind = FILE_KINDS.get(path.suffix.lower(), engine)
        if kind is None:
            raise MeasureError(
                "model-not-found",
                f"{text} is a file, but not an .onnx or .pt2 one",
                "export the model to ONNX, or name a factory as package.module:factory",
            )
        return Model(text, kind, str(path.resolve()), path.stem)
    if _FACTORY.fullmatch(text) and path.suffix.lower() not in FILE_KINDS:
        return Model(text, "factory", None, text.rpartition(":")[2])
    raise _not_found(text, working_directory)


def takes_weights(model: Model) -> bool:
    """Whether `--weights` is for such a model: others bring their own."""
    return model.kind in ("zoo", "torchvision")


def refuse_weights(model: Model, weights: str | None) -> None:
    """Raises MeasureError kind "usage" where weights are given for a model that brings its own."""
    if weights is not None and not takes_weights(model):
        raise MeasureError(
            "usage",
            f"--weights is for models known by name, and {model.text} brings its own",
            "leave --weights out",
        )


def default_backend(model: Model, usable: Iterable[str]) -> str:
    """The backend for a person who named none: ONNX Runtime for files and smallcnn, torch for torch's; CUDA before CPU."""
    usable = set(usable)
    wanted = ["torch-eager"]
    if model.kind == "onnx" or model.text == "smallcnn":
        wanted = ["onnxruntime-cuda", "onnxruntime-cpu"]
    if model.kind == "engine":
        wanted = ["tensorrt-rtx", "tensorrt"]
    if model.text == "smallcnn":
        wanted.append("torch-eager")
    return next(
        (name for name in wanted if name in usable), wanted[-1] if model.kind != "onnx" else wanted[1]
    )


def default_precision(model: Model) -> str:
    """`fp32` for models known by name, `native` for what somebody made himself."""
    return "fp32" if model.kind in ("zoo", "torchvision") else "native"


def torchvision_names() -> list[str]:
    """Names that `torchvision:NAME` takes, read from the installed sources: importing torchvision takes seconds. Empty without it."""
    spec = util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return []
    names: set[str] = set()
    for source in Path(next(iter(spec.submodule_search_locations)), "models").rglob("*.py"):
        for given, function in _REGISTERED.findall(source.read_text(encoding="utf-8", errors="replace")):
            names.add(given or function)
    return sorted(names)


def files_near(directory: str, depth: int = 3) -> list[str]:
    """The .onnx and .pt2 files below `directory`, relative to it, nearest first; hidden folders are left out."""
    found: list[str] = []
    seen = 0
    for folder, folders, files in os.walk(directory):
        below = Path(folder).relative_to(directory)
        folders[:] = sorted(
            f for f in folders if not f.startswith(".") and f not in ("node_modules", "__pycache__")
        )
        if len(below.parts) >= depth:
            folders.clear()
        found += [str(below / name) for name in sorted(files) if Path(name).suffix.lower() in FILE_KINDS]
        seen += len(files) + len(folders)
        if seen > _LOOK_AT_MOST:
            break
    return sorted(found, key=lambda name: name.count(os.sep))


def fingerprint(path: str) -> tuple[str, int, int]:
    """A file as it is now: one that changed must be loaded again. Raises MeasureError kind "model-not-found"."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise MeasureError(
            "model-not-found", f"there is no file {path}", "check the path", str(error)
        ) from error
    return path, status.st_size, status.st_mtime_ns


def contents(model: Model) -> list[str]:
    """The files that a model is, as far as it is files."""
    if model.path is None:
        return []
    if model.kind != "hf":
        return [model.path]
    return [
        str(file) for file in sorted(Path(model.path).iterdir()) if file.suffix in (".json", ".safetensors")
    ]


def digest(path: str) -> str:
    """SHA-256 of a file's contents. Raises MeasureError kind "model-not-found"."""
    fingerprint(path)
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def _torchvision(text: str) -> Model:
    name = text.partition(":")[2]
    known = torchvision_names()
    if known and name not in known:
        near = nearest(name, known)
        raise MeasureError(
            "model-not-found",
            f"torchvision has no model named {name}"
            if name
            else "torchvision: needs a model's name behind it",
            f"did you mean torchvision:{', torchvision:'.join(near)}?"
            if near
            else "try torchvision:resnet50",
        )
    return Model(text, "torchvision", None, name)


def _directory(text: str, path: Path) -> Model:
    described = (path / "config.json").is_file()
    if described and any(path.glob("*.safetensors")):
        return Model(text, "hf", str(path.resolve()), path.resolve().name)
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".onnx")
    if len(files) == 1:
        return Model(text, "onnx", str(files[0].resolve()), files[0].stem)
    if files:
        names = ", ".join(str(Path(text, file.name)) for file in files[:4])
        raise MeasureError(
            "model-not-found", f"the folder {text} holds {len(files)} ONNX files", f"name one: {names}"
        )
    if described and any(file.suffix in (".bin", ".h5", ".msgpack") for file in path.iterdir()):
        raise MeasureError(
            "model-not-found",
            f"the weights in the folder {text} are not safetensors, and nothing else is opened",
            "write them again with save_pretrained, which makes model.safetensors",
        )
    raise MeasureError(
        "model-not-found",
        f"{text} is a folder without an ONNX file, and without config.json and safetensors",
        "name the model file itself",
    )


def _not_found(text: str, working_directory: str) -> MeasureError:
    near = nearest(text, [info.name for info in ZOO])
    known = torchvision_names()
    exact = [f"torchvision:{text}"] if text in known else []
    files = files_near(working_directory)
    by_name = {Path(file).name: file for file in reversed(files)}
    near_files = [by_name[name] for name in nearest(Path(text).name, by_name)]
    if Path(text).suffix.lower() in FILE_KINDS:
        suggestions = near_files or files[:3]
        message = f"there is no file {text}"
    else:
        suggestions = exact + near + near_files + [f"torchvision:{name}" for name in nearest(text, known)]
        message = f"no model is named {text}, and there is no such file"
    suggestions = list(dict.fromkeys(suggestions))[:4]
    fix = (
        f"did you mean {', '.join(suggestions)}?"
        if suggestions
        else (
            "known are "
            + ", ".join(info.name for info in ZOO)
            + ", torchvision:NAME, FILE.onnx and package.module:factory"
        )
    )
    return MeasureError("model-not-found", message, fix)
