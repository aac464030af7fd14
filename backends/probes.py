"""Is a backend usable here? Answered from installed files, without importing a runtime: importing torch takes seconds.

Run by the interpreter that would run the worker, so that the answer is that environment's.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from . import libraries, trt_bindings
from .errors import MeasureError
from .registry import BackendInfo, all_backends

ONNXRUNTIME_DISTRIBUTIONS = ("onnxruntime-gpu", "onnxruntime")
"""Both install the package `onnxruntime`; the one installed last overwrites the other's files."""


@dataclass(frozen=True)
class Availability:
    """What the probe of one backend found. `reason` is empty where it is usable, `fix` too unless there is a `warning`."""

    name: str
    short: str
    usable: bool
    reason: str = ""
    fix: str = ""
    version: str | None = None
    # Where it measures when nobody names a device: the first GPU, if it could use one here.
    device: str = "cpu"
    falls_back: bool = False  # not usable, but its runtime would start, and run on the CPU instead
    warning: str = ""  # usable, but not for everything


@dataclass(frozen=True)
class _Finding:
    reason: str = ""
    fix: str = ""
    version: str | None = None
    device: str = "cpu"
    falls_back: bool = False
    warning: str = ""


def probe_all() -> list[Availability]:
    """Every backend that this interpreter knows, in the registry's order."""
    return [probe(info) for info in all_backends()]


def any_usable() -> bool:
    """Whether anything can be measured under this interpreter. What needs no look at the GPU is asked first: that takes a third of a second."""
    if util.find_spec("torch") is not None or not _onnxruntime().reason:
        return True
    return any(probe(info).usable for info in all_backends())


def probe(info: BackendInfo) -> Availability:
    """One backend. A backend of another distribution counts as usable until its import says otherwise."""
    finding = _PROBES.get(info.name, _foreign)()
    if not finding.reason and util.find_spec("numpy") is None:
        finding = _Finding("numpy is not installed", "pip install numpy")
    return Availability(
        info.name,
        info.short,
        not finding.reason,
        finding.reason,
        finding.fix,
        finding.version,
        finding.device,
        finding.falls_back,
        finding.warning,
    )


def main() -> None:
    """Print what was found, a JSON object a line."""
    for found in probe_all():
        sys.stdout.write(json.dumps(dataclasses.asdict(found)) + "\n")


def version_of(*distributions: str) -> str | None:
    """The version of the first of these that is installed."""
    from importlib import metadata  # 20 ms, which a screen's first paint need not wait for

    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _torch() -> _Finding:
    if util.find_spec("torch") is None:
        return _Finding("torch is not installed", "pip install 'infertop[torch]'")
    device = "cpu" if _torch_is_for_cpus() or isinstance(_gpus(), _Finding) else "cuda:0"
    return _Finding(version=version_of("torch"), device=device)


def _torch_is_for_cpus() -> bool:
    """Whether this torch was built without CUDA, as its own version file says."""
    spec = util.find_spec("torch")
    file = Path(spec.origin).with_name("version.py") if spec is not None and spec.origin else None
    if file is None or not file.is_file():
        return True
    return re.search(r"^cuda\b[^=]*= '", file.read_text(encoding="utf-8"), re.MULTILINE) is None


def _gpus() -> int | _Finding:
    """How many GPUs CUDA's driver sees, or what is wrong."""
    if util.find_spec("numpy") is None:
        return _Finding("numpy is not installed", "pip install numpy")
    # Here, and not above: cuda needs numpy, which a bare interpreter lacks.
    from . import cuda

    try:
        count = cuda.load().count()
    except MeasureError as error:
        return _Finding(error.message, error.fix)
    return count or _Finding("CUDA sees no GPU", "see what nvidia-smi lists")


def _onnxruntime() -> _Finding:
    spec = util.find_spec("onnxruntime")
    if spec is None:
        return _Finding("onnxruntime is not installed", "pip install 'infertop[onnx]'")
    if spec.origin is None:
        # A folder without __init__.py: what a removal leaves, or somebody's own folder of that name.
        return _Finding(
            "onnxruntime is installed incompletely", "pip install --force-reinstall --no-deps onnxruntime"
        )
    return _Finding(version=onnxruntime_facts().get("__version__") or version_of(*ONNXRUNTIME_DISTRIBUTIONS))


def onnxruntime_facts() -> dict[str, str]:
    """What the installed onnxruntime says of its own build (`package_name`, `__version__`, `cuda_version`), read, not imported."""
    folder = onnxruntime_folder()
    facts = folder / "build_and_package_info.py" if folder else None
    if facts is None or not facts.is_file():
        return {}
    return dict(re.findall(r"^(\w+) = '([^']*)'", facts.read_text(encoding="utf-8"), re.MULTILINE))


def cuda_version() -> str:
    """The CUDA that the installed onnxruntime was built for; empty where it does not say."""
    return onnxruntime_facts().get("cuda_version", "")


def onnxruntime_folder() -> Path | None:
    """Where the installed onnxruntime keeps its libraries."""
    spec = util.find_spec("onnxruntime")
    return Path(spec.origin).parent / "capi" if spec is not None and spec.origin else None


def _onnxruntime_cuda() -> _Finding:
    """The CUDA provider's library, the libraries that it needs, a driver and a GPU. Without a GPU nothing falls back: its worker asks
    the driver first."""
    finding = _onnxruntime()
    folder = onnxruntime_folder()
    if finding.reason or folder is None:
        return finding
    library, gpus = folder / "libonnxruntime_providers_cuda.so", _gpus()
    if not library.is_file():
        both = all(version_of(name) for name in ONNXRUNTIME_DISTRIBUTIONS)
        return _Finding(
            "onnxruntime hides onnxruntime-gpu: both are installed, in the same folder"
            if both
            else "this onnxruntime has no CUDA provider",
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu",
            finding.version,
            falls_back=not isinstance(gpus, _Finding),
        )
    if isinstance(gpus, _Finding):
        return dataclasses.replace(gpus, version=finding.version)
    lacking = libraries.missing(library)
    if lacking:
        return _Finding(
            f"{lacking[0]} cannot be loaded",
            libraries.source(lacking[0], cuda_version()),
            finding.version,
            falls_back=True,
        )
    from . import cuda, cuda_words

    has, needs = cuda.load().version(), cuda_version()
    if needs.partition(".")[0].isdigit() and has[0] < int(needs.partition(".")[0]):
        # It would not fall back: the provider loads, and its first call ends in "CUDA failure 35".
        reason, fix = cuda_words.too_old("onnxruntime-gpu", needs, ".".join(map(str, has)))
        return _Finding(reason, fix, finding.version)
    warning, fix = _without_cudnn(folder, library)
    return dataclasses.replace(finding, device="cuda:0", warning=warning, fix=fix)


def _without_cudnn(folder: Path, library: Path) -> tuple[str, str]:
    """What fails, and what to do, where the provider opens cuDNN only when a node needs it, and would find none; else empty.

    It asks for the names of `_CUDNN`, which `onnxruntime.preload_dlls` finds in NVIDIA's wheel beside onnxruntime, and the loader in the
    provider's own folder (its RUNPATH), or where it looks for any.
    """
    needs = libraries.needed(library)
    if not needs or any(name.startswith("libcudnn") for name in needs):
        return "", ""
    wheel = folder.parent.parent / "nvidia" / "cudnn" / "lib"
    if len(libraries.absent(_CUDNN, [wheel, folder])) < len(_CUDNN):
        return "", ""
    text = f"{_CUDNN[0]} cannot be loaded: a model with convolutions fails at its first request"
    return text, libraries.source(_CUDNN[0], cuda_version())


_CUDNN = ("libcudnn.so.9", "libcudnn.so")
"""As onnxruntime 1.31's provider asks for them, in this order."""


def _onnxruntime_tensorrt() -> _Finding:
    """The TensorRT provider's library and what it needs, beside all that the CUDA provider needs: it takes what that leaves."""
    finding = _onnxruntime_cuda()
    folder = onnxruntime_folder()
    library = folder / "libonnxruntime_providers_tensorrt.so" if folder else None
    if library is not None and library.is_file():
        lacking = libraries.missing(library)
        if lacking:
            return _Finding(
                f"{lacking[0]} cannot be loaded",
                libraries.source(lacking[0], cuda_version()),
                finding.version,
            )
    elif not finding.reason:
        return _Finding(
            "this onnxruntime has no TensorRT provider", "pip install onnxruntime-gpu", finding.version
        )
    # What would run instead is another backend's provider: nobody is served by measuring that under this name. TensorRT computes
    # convolutions without cuDNN.
    fix = "" if finding.warning else finding.fix
    return dataclasses.replace(finding, falls_back=False, warning="", fix=fix)


def _tensorrt(flavour: trt_bindings.Flavour) -> _Finding:
    """The module, a driver, and a GPU that the library supports."""
    if not any(util.find_spec(name) for name in flavour.modules):
        return _Finding(f"{flavour.name} is not installed", flavour.fix)
    version = version_of(*flavour.distributions)
    gpus = _gpus()
    if isinstance(gpus, _Finding):
        ahead = "; --build-only --target sm_89 builds engines here all the same" if flavour.ahead else ""
        return dataclasses.replace(gpus, fix=gpus.fix + ahead, version=version)
    from . import cuda

    capability = cuda.load().capability(0)
    reason = trt_bindings.cannot_run(flavour, capability)
    if reason:
        return _Finding(f"{flavour.name} {reason}", "use onnxruntime-cuda, or tensorrt", version)
    return _Finding(version=version, device="cuda:0")


def _foreign() -> _Finding:
    return _Finding()


_PROBES: dict[str, Callable[[], _Finding]] = {
    "torch-eager": _torch,
    "torch-compile": _torch,
    "onnxruntime-cpu": _onnxruntime,
    "onnxruntime-cuda": _onnxruntime_cuda,
    "onnxruntime-tensorrt": _onnxruntime_tensorrt,
    "tensorrt": lambda: _tensorrt(trt_bindings.TENSORRT),
    "tensorrt-rtx": lambda: _tensorrt(trt_bindings.RTX),
}
