"""ONNX Runtime sessions: the file behind a model, options, what went wrong in words, where the nodes were placed."""

from __future__ import annotations

import ctypes
import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import cuda_words, graph, precision, probes
from .backend import Inputs, Loaded, versions
from .errors import MeasureError
from .ort_model import ModelFile
from .registry import nearest
from .shapes import show
from .signature import Signature

_LEVELS = {"disable": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED",
           "layout": "ORT_ENABLE_LAYOUT", "all": "ORT_ENABLE_ALL"}  # fmt: skip
_SWITCHES = ("enable_cpu_mem_arena", "enable_mem_pattern", "enable_mem_reuse", "use_deterministic_compute")
SESSION_OPTIONS = ("graph_optimization_level", "execution_mode", "inter_op_num_threads", *_SWITCHES)
SESSION_PREFIXES = ("session.", "optimization.", "memory.", "ep.")
"""Of keys that go to the session as they are."""

_OURS = "session.record_ep_graph_assignment_info"
"""Session entry by which onnxruntime records where it puts the nodes."""

_MOST_THREADS = 1024

_CHOICES = {
    "graph_optimization_level": _LEVELS,
    "execution_mode": {"sequential": "ORT_SEQUENTIAL", "parallel": "ORT_PARALLEL"},
    **{name: {"1": "1", "0": "", "true": "1", "false": ""} for name in _SWITCHES},
}
_ENTRY = re.compile(rb"(?<![\w.])(?:session|optimization|memory)\.[a-z0-9_.]+(?![\w.])")
"""Names of session entries in the library's own text."""

_NO_MEMORY = re.compile(
    r"out of memory|failed to allocate|cannot allocate|bad.?alloc|memory .* is smaller than requested",
    re.IGNORECASE,
)
"""How its arenas and the C++ library say it; its own sources have words like *allocation_planner* in their names."""


def runtime() -> Any:
    """The module onnxruntime. Raises MeasureError kind "backend-missing"."""
    try:
        import onnxruntime

        onnxruntime.InferenceSession  # noqa: B018 - a folder left by a removal imports, and has nothing in it
    except (ImportError, AttributeError) as error:
        raise MeasureError(
            "backend-missing",
            "onnxruntime cannot be imported",
            "pip install 'infertop[onnx]'",
            str(error),
        ) from error
    # 3: errors and worse. The rest would fill the captured output with remarks on every load.
    onnxruntime.set_default_logger_severity(3)
    return onnxruntime


def session_options(
    ort: Any, asked: Mapping[str, str], threads: int | None, others: Sequence[str] = ()
) -> Any:
    """SessionOptions from `--backend-option`s: those that DESIGN sets, and any `session.*` entry. Raises MeasureError "usage".

    `others` are the names that the provider takes, for the suggestion.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry(_OURS, "1")
    for key, value in check_session(asked, others).items():
        if key.startswith(SESSION_PREFIXES):
            options.add_session_config_entry(key, value)
        elif key == "graph_optimization_level":
            setattr(options, key, getattr(ort.GraphOptimizationLevel, value))
        elif key == "execution_mode":
            setattr(options, key, getattr(ort.ExecutionMode, value))
        elif key == "inter_op_num_threads":
            options.inter_op_num_threads = int(value)
        else:
            setattr(options, key, value == "1")
    return options


def check_session(asked: Mapping[str, str], others: Sequence[str] = ()) -> dict[str, str]:
    """The session's options with their values as onnxruntime spells them. Raises MeasureError "usage"; needs no onnxruntime."""
    found: dict[str, str] = {}
    for key, value in asked.items():
        if key == _OURS:
            raise MeasureError(
                "usage",
                f"--backend-option {key} is set by infertop, which reads from it where the nodes run",
                "leave it out",
            )
        if key == "inter_op_num_threads" and not (value.isdecimal() and int(value) <= _MOST_THREADS):
            raise MeasureError(
                "usage", f"--backend-option {key}={value} is not known", f"give 0 to {_MOST_THREADS}"
            )
        if key.startswith(SESSION_PREFIXES) or key == "inter_op_num_threads":
            found[key] = value
        elif key in _CHOICES:
            found[key] = _choice(key, value, _CHOICES[key])
        else:
            raise _unknown_option(key, value, others)
    return found


def unheard(asked: Mapping[str, str]) -> list[str]:
    """A remark for each session entry whose name the installed library does not hold: it ignores those without a word.

    Names of `ep.` are the providers' own, and made of several parts.
    """
    keys = [key for key in asked if key.startswith(SESSION_PREFIXES) and not key.startswith("ep.")]
    found = []
    for key in keys:
        if (names := _entries()) and key not in names:
            near = nearest(key, names)
            guess = f": did you mean {near[0]}?" if near else ""
            found.append(
                f"onnxruntime {runtime().__version__} does not seem to have the entry {key}, and ignores what it does not have{guess}"
            )
    return found


@functools.cache
def _entries() -> frozenset[str]:
    """Names of session entries in the library's own text; none where it is not found."""
    folder = probes.onnxruntime_folder()
    library = next(folder.glob("onnxruntime_pybind11_state*.so"), None) if folder else None
    names = [] if library is None else _ENTRY.findall(library.read_bytes())
    return frozenset(name.decode() for name in names)


def split_options(asked: Mapping[str, str], provider: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """`--backend-option`s as (session's, provider's); a key that neither knows stays with the session's, which refuses it."""
    for_provider = {key: value for key, value in asked.items() if key in provider}
    return {key: value for key, value in asked.items() if key not in provider}, for_provider


def create(ort: Any, file: ModelFile, options: Any, providers: Sequence[Any]) -> Any:
    """An InferenceSession that never falls back in silence. Raises MeasureError kind "model-unreadable"."""
    try:
        session = ort.InferenceSession(file.path, options, providers=list(providers), enable_fallback=0)
    except MemoryError:
        raise
    except Exception as error:  # onnxruntime's own exceptions share no base but this
        raise _refused(ort, file, error) from error
    session.disable_fallback()
    return session


def placement(session: Any) -> dict[str, int] | None:
    """Nodes per provider, from the session's own record; None where this version of onnxruntime keeps none."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return dict(counts)


def operators(session: Any, provider: str) -> Counter[str]:
    """Operators of the nodes that a provider got."""
    counts: Counter[str] = Counter()
    if hasattr(session, "get_provider_graph_assignment_info"):
        for part in session.get_provider_graph_assignment_info():
            if part.ep_name == provider:
                counts.update(node.op_type for node in part.get_nodes())
    return counts


def loaded(found: graph.Graph, signature: Signature, file: ModelFile, **facts: Any) -> Loaded:
    """What the worker says of a loaded session."""
    return Loaded(
        inputs=signature.inputs,
        batch=signature.batch,
        dims=signature.dims,
        assumed=signature.assumed,
        tables=found.tables,
        outputs=[item.name for item in found.outputs],
        libraries=libraries(),
        cache=file.cache,
        native=precision.native(found),
        runtime={"converted": file.converted} if file.converted else {},
        **facts,
    )


def libraries() -> dict[str, str]:
    """The onnxruntime that was imported, which need not be the distribution whose metadata comes first: two may be installed."""
    facts = probes.onnxruntime_facts()
    name = facts.get("package_name", "onnxruntime")
    return {name: str(runtime().__version__), **versions("numpy")}


def explain(error: Exception, known: Loaded, backend: str) -> MeasureError:
    """A request that the runtime refused: most often a size that a rule had to assume, or an integer out of its table."""
    said = str(error)
    fault = cuda_words.explain(said, backend)
    if fault is not None:
        return fault
    if _NO_MEMORY.search(said):
        return MeasureError("out-of-memory", f"{backend} ran out of memory", "try a smaller batch", said)
    shapes = ", ".join(f"{item.name} {show(item.shape)}" for item in known.inputs)
    if known.assumed:
        sizes = ", ".join(f"{name}={size}" for name, size in known.assumed.items())
        return MeasureError(
            "shape",
            f"{backend} refused the inputs {shapes}, where {sizes} was assumed",
            f"give the size that the model needs: --dim {next(iter(known.assumed))}=N, or --input-shape",
            said,
        )
    return MeasureError(
        "shape",
        f"{backend} refused the inputs {shapes}",
        "give inputs that the model accepts with --inputs FILE.npz, or sizes with --dim or --input-shape",
        said,
    )


def flatten(value: Any) -> list[np.ndarray]:
    """Outputs as arrays in order: sequences and maps (as scikit-learn's converters write them) are gone through."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, Mapping):
        return [array for key in value for array in flatten(value[key])]
    if isinstance(value, (list, tuple)):
        return [array for item in value for array in flatten(item)]
    if hasattr(value, "data_ptr"):
        return [_array(value)]
    return [] if value is None else [np.asarray(value)]


def needs_values(found: graph.Graph) -> bool:
    """Whether requests need values of onnxruntime's own: numpy has no bfloat16, so arrays cannot carry it."""
    return any(item.dtype == "bfloat16" for item in (*found.inputs, *found.outputs))


def feeds(ort: Any, known: Loaded, sets: Sequence[Inputs], values: bool) -> list[dict[str, Any]]:
    """What a session takes: numpy arrays as they are, or with `values` as OrtValues."""
    if not values:
        return [dict(arrays) for arrays in sets]
    return [
        {
            item.name: ort.OrtValue.ortvalue_from_numpy_with_onnx_type(arrays[item.name], _BFLOAT16)
            if item.dtype == "bfloat16"
            else ort.OrtValue.ortvalue_from_numpy(arrays[item.name])
            for item in known.inputs
        }
        for arrays in sets
    ]


def _array(value: Any) -> np.ndarray:
    """An OrtValue in host memory as an array; bfloat16 widened to float32."""
    if value.element_type() != _BFLOAT16:
        array: np.ndarray = value.numpy()
        return array
    shape = value.shape()
    count = int(np.prod(shape, dtype=np.int64))
    bits = np.ctypeslib.as_array((ctypes.c_uint16 * count).from_address(value.data_ptr()))
    return (bits.astype(np.uint32) << 16).view(np.float32).reshape(shape)


_BFLOAT16 = next(number for number, name in graph.TYPES.items() if name == "bfloat16")


def _choice(key: str, value: str, choices: Mapping[str, str]) -> str:
    if value.lower() not in choices:
        raise MeasureError(
            "usage", f"--backend-option {key}={value} is not known", f"use one of {', '.join(choices)}"
        )
    return choices[value.lower()]


def _unknown_option(key: str, value: str, others: Sequence[str]) -> MeasureError:
    if key == "intra_op_num_threads":
        return MeasureError(
            "usage", f"--backend-option {key}={value} is what --threads sets", "use --threads N"
        )
    known = (*SESSION_OPTIONS, *others)
    near = nearest(key, known)
    return MeasureError(
        "usage",
        f"--backend-option {key}={value} is not known to onnxruntime's backends",
        f"did you mean {near[0]}?" if near else f"known are {', '.join(known)} and session.*",
    )


def _refused(ort: Any, file: ModelFile, error: Exception) -> MeasureError:
    said = str(error)
    fault = cuda_words.explain(said, f"onnxruntime {ort.__version__}")
    if fault is not None:
        return fault
    lower = said.lower()
    if "graph capture" in lower:
        return MeasureError(
            "unsupported",
            f"{file.name} cannot be replayed as a CUDA graph: parts of it do not run on the GPU, or choose their way by the input",
            "leave --backend-option enable_cuda_graph out",
            said,
        )
    unknown = re.search(r"Unknown provider option: \"(\w+)\"", said)
    if unknown is not None:
        return MeasureError(
            "unsupported",
            f"the provider of onnxruntime {ort.__version__} does not know the option {unknown[1]}",
            "upgrade onnxruntime-gpu, or use --precision native",
            said,
        )
    if "CPU EP" in said:
        return MeasureError(
            "unsupported",
            f"parts of {file.name} run on the CPU, which --backend-option session.disable_cpu_ep_fallback=1 forbids",
            "leave that option out, and see which operators they are",
            said,
        )
    if "able to be loaded" in said:
        # Up to 1.22, where CUDA_PATH is set; without it, and later, the session goes on without the provider.
        return MeasureError(
            "backend-missing",
            f"onnxruntime {ort.__version__} cannot load its GPU provider",
            "infertop doctor says which library is missing",
            said,
        )
    if file.converted and not _NO_MEMORY.search(said):
        return MeasureError(
            "convert-failed",
            f"onnxruntime {ort.__version__} cannot load what {file.converted.partition(',')[0]} made of {file.name}",
            "use --precision native, or a file that is in that precision already",
            said,
        )
    fix = (
        "measure it with --backend torch-eager, or in another --precision"
        if file.exported
        else "export the model again"
    )
    if "ir version" in lower or "opset" in lower:
        fix = "upgrade onnxruntime, or export the model with a lower opset"
    elif "not_implemented" in lower or "not implemented" in lower or "is not a registered" in lower:
        fix = "export the model without the operator that the detail names"
    elif _NO_MEMORY.search(said):
        return MeasureError(
            "out-of-memory", f"{file.name} does not fit in memory", "free some, or use a smaller model", said
        )
    what = f"what torch exported of {file.name}" if file.exported else file.name
    return MeasureError("model-unreadable", f"onnxruntime {ort.__version__} cannot load {what}", fix, said)
