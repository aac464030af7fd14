"""The backend `onnxruntime-tensorrt`: ONNX Runtime's TensorRT provider, with its CUDA provider for what that leaves."""

from __future__ import annotations

import ctypes
import dataclasses
from pathlib import Path
from typing import Any

from . import cuda, libraries, ort_session, probes
from .backend import Loaded, Report
from .configuration import Configuration
from .errors import MeasureError
from .ort_cuda import OnnxRuntimeCuda
from .ort_placement import PROVIDER as CUDA
from .trt_cache import EngineCache

PROVIDER = "TensorrtExecutionProvider"
PROVIDER_OPTIONS = (
    "trt_auxiliary_streams", "trt_build_heuristics_enable", "trt_builder_optimization_level", "trt_context_memory_sharing_enable",
    "trt_cuda_graph_enable", "trt_fp16_enable", "trt_int8_enable", "trt_max_partition_iterations", "trt_max_workspace_size",
    "trt_min_subgraph_size", "trt_sparsity_enable",
)  # fmt: skip
"""Options of the provider that `--backend-option` passes on; caches, device and stream are set here."""

PRECISIONS = ("native", "tf32", "fp16")
_LIBRARIES = ("libnvinfer.so.", "libnvonnxparser.so.", "libnvinfer_plugin.so.")


class OnnxRuntimeTensorRt(OnnxRuntimeCuda):
    """As `onnxruntime-cuda`, over bound buffers on a stream of ours; subgraphs that TensorRT takes are its engines."""

    def load(self, configuration: Configuration, report: Report) -> Loaded:
        """A session whose first provider is TensorRT; what that did not take is said to be a fallback."""
        _refuse(configuration)
        loaded = super().load(configuration, report)
        fallback = loaded.fallback or left_out(self._session, loaded.placement)
        self._known = dataclasses.replace(loaded, fallback=fallback)
        return self._known

    def _create(self, configuration: Configuration) -> Any:
        assert self._stream is not None
        ort, options = self._ort, configuration.options
        for_session, for_provider = ort_session.split_options(options.backend_options, PROVIDER_OPTIONS)
        session = ort_session.session_options(ort, for_session, None)
        preload()
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls(msvc=False)
        where = {
            "device_id": str(cuda.index_of(configuration.device)),
            "has_user_compute_stream": "1",
            "user_compute_stream": str(self._stream.address),
        }
        cache = EngineCache(options.cache_directory).folder("onnxruntime")
        kept = {} if cache is None else {
            "trt_engine_cache_enable": "1", "trt_engine_cache_path": cache,
            "trt_timing_cache_enable": "1", "trt_timing_cache_path": cache,
        }  # fmt: skip
        providers = [(PROVIDER, where | kept | for_provider), (CUDA, where)]
        return ort_session.create(ort, self._model.file, session, providers)


def preload() -> None:
    """Load TensorRT from its wheel, whose folder the loader does not search; the provider then finds it by name."""
    folder = probes.onnxruntime_folder()
    library = folder / "libonnxruntime_providers_tensorrt.so" if folder else Path()
    needed = libraries.needed(library) if library.is_file() else []
    for path in libraries.found(name for name in needed if name.startswith(_LIBRARIES)):
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def left_out(session: Any, placement: dict[str, int] | None) -> str | None:
    """What TensorRT does not run though it was asked to, in a sentence; None where it takes every node."""
    if PROVIDER not in session.get_providers():
        folder = probes.onnxruntime_folder()
        library = folder / "libonnxruntime_providers_tensorrt.so" if folder else Path()
        lacking = libraries.missing(library) if library.is_file() else ["its own library"]
        reason = f" ({', '.join(lacking)} cannot be loaded)" if lacking else ""
        return f"the TensorRT provider did not start{reason}: the CUDA provider runs everything"
    others = sum(nodes for provider, nodes in (placement or {}).items() if provider == CUDA)
    if not others:
        return None
    # A subgraph that TensorRT took counts as one node, so that shares would mislead.
    return f"{others} node{'s' if others != 1 else ''} run by the CUDA provider, not by TensorRT"


def _refuse(configuration: Configuration) -> None:
    """What this backend cannot do is said, never replaced. Device and data path are the CUDA provider's to judge."""
    if configuration.precision == "fp32":
        raise MeasureError(
            "unsupported",
            "onnxruntime-tensorrt cannot switch TF32 off, which TensorRT has on for float32",
            "use --precision tf32, or --backend tensorrt, which can",
        )
    if configuration.precision not in PRECISIONS:
        raise MeasureError(
            "unsupported",
            f"onnxruntime-tensorrt measures {', '.join(PRECISIONS)}, not {configuration.precision}",
            "use --precision native with a file in that precision",
        )
