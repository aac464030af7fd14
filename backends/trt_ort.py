"""The backend `onnxruntime-tensorrt`: ONNX Runtime's TensorRT provider, with its CUDA provider for what that leaves."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from . import cuda, libraries, ort_session, probes
from .backend import Fallback, Loaded, Report
from .configuration import Configuration
from .errors import MeasureError
from .ort_cuda import OnnxRuntimeCuda
from .ort_placement import CUDA, TENSORRT, not_started
from .precision import native
from .trt_cache import EngineCache

PROVIDER_OPTIONS = (
    "trt_auxiliary_streams", "trt_build_heuristics_enable", "trt_builder_optimization_level", "trt_context_memory_sharing_enable",
    "trt_max_partition_iterations", "trt_max_workspace_size",
    "trt_min_subgraph_size", "trt_sparsity_enable",
)  # fmt: skip
"""Options of the provider that `--backend-option` passes on; caches, device and stream are set here."""

OF_PRECISION = ("trt_fp16_enable", "trt_bf16_enable", "trt_int8_enable")
"""Options that let TensorRT compute in another precision than the file's: what is measured has its name from --precision."""

GRAPHS = "trt_cuda_graph_enable"
"""Has the provider record one CUDA graph by itself, with the buffers of the request at hand, and replay that for those after it
(onnxruntime, tensorrt_execution_provider.cc: `CaptureEnd`, `ReplayGraph`)."""

PRECISIONS = ("native", "tf32", "fp16")
_LIBRARIES = ("libnvinfer.so.", "libnvonnxparser.so.", "libnvinfer_plugin.so.")


class OnnxRuntimeTensorRt(OnnxRuntimeCuda):
    """As `onnxruntime-cuda`, over bound buffers on a stream of ours; subgraphs that TensorRT takes are its engines."""

    def load(self, configuration: Configuration, report: Report) -> Loaded:
        """A session whose first provider is TensorRT; what that did not take is said to be a fallback."""
        _refuse(configuration)
        return super().load(configuration, report)

    def _fallback(self, placement: dict[str, int] | None) -> Fallback | None:
        return super()._fallback(placement) or left_out(self._session, placement, self._said)

    def _doubt(self, placement: dict[str, int] | None) -> str | None:
        if placement is not None:
            return self._unproven
        return "what TensorRT runs, and what the CUDA provider does, is unknown: this onnxruntime keeps no record of it"

    def _notes(self) -> list[str]:
        """TensorRT computes in 8 bits what is quantised."""
        return []

    def _create(self, configuration: Configuration) -> Any:
        assert self._stream is not None
        ort, options = self._ort, configuration.options
        for_session, for_provider = ort_session.split_options(options.backend_options, PROVIDER_OPTIONS)
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
        return self._session_of(
            lambda: ort_session.session_options(ort, for_session, None, PROVIDER_OPTIONS),
            [(TENSORRT, where | kept | self._of_file() | for_provider), (CUDA, where)],
        )

    def _of_file(self) -> dict[str, str]:
        """What lets TensorRT compute in the types that the file has: the provider's networks are weakly typed."""
        option = {"fp16": "trt_fp16_enable", "bf16": "trt_bf16_enable", "int8": "trt_int8_enable"}
        found = option.get(native(self._model.graph))
        return {} if found is None else {found: "1"}


def preload() -> None:
    """Load TensorRT from its wheel, whose folder the loader does not search; the provider then finds it by name."""
    folder = probes.onnxruntime_folder()
    library = folder / "libonnxruntime_providers_tensorrt.so" if folder else Path()
    needed = libraries.needed(library) if library.is_file() else []
    for path in libraries.found(name for name in needed if name.startswith(_LIBRARIES)):
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def left_out(session: Any, placement: dict[str, int] | None, said: str | None) -> Fallback | None:
    """What TensorRT does not run though it was asked to; None where it takes every node, or nobody knows."""
    fallback = not_started(session, TENSORRT, "the CUDA provider runs everything", said)
    others = (placement or {}).get(CUDA, 0)
    if fallback is not None or not others:
        return fallback
    # A subgraph that TensorRT took counts as one node, so that shares would mislead.
    return Fallback(
        f"{others} node{'s' if others != 1 else ''} run by the CUDA provider, not by TensorRT",
        "export the model without the operators that TensorRT lacks, or measure it with --backend onnxruntime-cuda",
    )


def refusal(option: str) -> MeasureError | None:
    """Why an option of the provider's is not passed on, where that is known."""
    if option == GRAPHS:
        return MeasureError(
            "usage",
            f"--backend-option {option}: the provider replays one CUDA graph for all requests, whose buffers differ",
            "use --backend tensorrt with cuda_graph=1, or onnxruntime-cuda with enable_cuda_graph=1",
        )
    if option not in OF_PRECISION:
        return None
    return MeasureError(
        "usage",
        f"--backend-option {option} is decided by --precision and the file",
        "use --precision fp16 for half precision, or --precision native with a file that is quantised",
    )


def _refuse(configuration: Configuration) -> None:
    """What this backend cannot do is said, never replaced. Device and data path are the CUDA provider's to judge."""
    for option in configuration.options.backend_options:
        if (error := refusal(option)) is not None:
            raise error
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
