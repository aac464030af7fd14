"""The backend `onnxruntime-cpu`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import cores, ort_session, precision
from .backend import Inputs, Loaded, Report, StageTimes
from .configuration import Configuration
from .errors import MeasureError
from .ort_model import OrtModel


class OnnxRuntimeCpu:
    """ONNX Runtime's CPU provider: `InferenceSession.run` with arrays in and arrays out is the request.

    The call returns when the request is done, so one request is in flight at a time.
    """

    slots = 1

    def __init__(self) -> None:
        self._ort: Any = None
        self._model = OrtModel()
        self._session: Any = None
        self._known: Loaded | None = None
        self._run: Any = None
        self._names: list[str] = []
        self._feeds: list[dict[str, Any]] = []
        self._result: Any = None

    def load(self, configuration: Configuration, report: Report) -> Loaded:
        """A session for the model; another batch or other dims of the same model keep it."""
        _refuse(configuration)
        self._ort = ort_session.runtime()
        options = configuration.options
        threads = cores.threads(options)
        if self._model.open(configuration, (threads, tuple(options.backend_options.items())), report):
            self._session = None
        report("load")
        graph, file = self._model.graph, self._model.file
        precision.refuse_other_types(graph, file.name, configuration.precision)
        signature = self._model.signature(configuration)
        if self._session is None:
            asked = ort_session.session_options(self._ort, options.backend_options, threads)
            report("build")
            self._session = ort_session.create(self._ort, file, asked, ["CPUExecutionProvider"])
            self._model.drop_file()
        self._known = ort_session.loaded(
            graph, signature, file, placement=ort_session.placement(self._session), threads=threads
        )
        self._known.runtime["notes"] = ort_session.unheard(options.backend_options)
        return self._known

    def bind(self, sets: Sequence[Inputs], slots: int) -> None:
        assert self._known is not None
        values = ort_session.needs_values(self._model.graph)
        self._feeds = ort_session.feeds(self._ort, self._known, sets, values)
        self._run = self._session.run_with_ort_values if values else self._session.run
        self._names = self._known.outputs

    def issue(self, slot: int, index: int, times: StageTimes | None) -> None:
        try:
            if times is None:
                self._result = self._run(self._names, self._feeds[index])
                return
            start = time.perf_counter_ns()
            feeds = self._feeds[index]
            begun = time.perf_counter_ns()
            self._result = self._run(self._names, feeds)
            times.compute = time.perf_counter_ns() - begun
            times.host = begun - start
        except Exception as error:  # onnxruntime's own exceptions share no base but this
            assert self._known is not None
            raise ort_session.explain(error, self._known, "onnxruntime-cpu") from error

    def complete(self, slot: int, times: StageTimes | None) -> None:
        """The request was complete when `issue` returned."""

    def outputs(self, slot: int) -> list[np.ndarray]:
        return ort_session.flatten(self._result)

    def close(self) -> None:
        self._session = self._run = self._result = None
        self._feeds = []
        self._model.close()


def _refuse(configuration: Configuration) -> None:
    """What this backend cannot do is said, never replaced."""
    if configuration.precision not in ("native", "fp32", "int8"):
        raise MeasureError(
            "unsupported",
            f"onnxruntime-cpu measures native, fp32 and int8, not {configuration.precision}",
            "TF32 is how NVIDIA GPUs multiply fp32: use --precision fp32 here"
            if configuration.precision == "tf32"
            else "use --precision native with a file in that precision",
        )
    if configuration.device != "cpu":
        raise MeasureError(
            "unsupported",
            f"onnxruntime-cpu runs on the CPU, not on {configuration.device}",
            "use --backend onnxruntime-cuda or --device cpu",
        )
    if configuration.data_path != "pageable":
        raise MeasureError(
            "unsupported",
            f"onnxruntime-cpu has no data path {configuration.data_path}: nothing is copied to a device",
            "use --data-path pageable",
        )
