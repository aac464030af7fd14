"""The backend `onnxruntime-cuda`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import control, cost, cuda, loads, ort_options, ort_placement, ort_session
from .backend import Fallback, Inputs, Loaded, Report, StageTimes
from .bound import BoundSteps
from .configuration import Configuration
from .errors import MeasureError
from .ort_model import OrtModel
from .ort_placement import CUDA, fallen_back
from .overlapped import AheadOfTime, Overlapped, lanes, preparer, staged, streams_needed
from .precision import native, refuse_other_types
from .staged import Staged, refuse_path

GRAPH_ID = "gpu_graph_id"
"""Run option that tells one recorded CUDA graph from another; -1 records none."""


class OnnxRuntimeCuda(AheadOfTime):
    """ONNX Runtime's CUDA provider over bound buffers, on a stream of ours. Where it fell back to the CPU it says so."""

    slots = 1  # where it fell back to the CPU
    overlaps = True

    def __init__(self) -> None:
        self._ort: Any = None
        self._model = OrtModel()
        self._session: Any = None
        # One for each slot of a deep closed loop: a session computes on one stream.
        self._sessions: list[Any] = []
        self._device: cuda.Device | None = None
        self._stream: cuda.Stream | None = None
        self._known: Loaded | None = None
        self._path = "pageable"
        self._load = loads.Load("closed")
        self._steps: list[BoundSteps] = []
        self._staged: list[Staged | Overlapped] = []
        self._feeds: list[dict[str, Any]] = []
        self._result: Any = None
        self._sets: Sequence[Inputs] = ()
        self._graphs = False  # requests are replays of CUDA graphs
        self._said: str | None = None  # what onnxruntime printed while the newest session was made
        self._unproven: str | None = None
        self._control: tuple[object, dict[str, Any]] | None = None

    def load(self, configuration: Configuration, report: Report) -> Loaded:
        """A session for the model; another batch, other dims or another data path keep it."""
        self._release()
        _refuse(configuration)
        options, precision = configuration.options, configuration.precision
        index = cuda.index_of(configuration.device)
        driver = cuda.load()
        if index < driver.count():
            cuda.refuse_precision(configuration.backend, precision, driver.capability(index))
        self._ort = ort_session.runtime()
        key = (index, precision, tuple(options.backend_options.items()))
        self._load = loads.parse(configuration.load)
        ort_options.checked(options.backend_options, precision)
        self._graphs = ort_options.uses_graphs(options.backend_options)
        wanted = 1 if self._load.overlaps else self._load.slots
        if self._sessions and len(self._sessions) < wanted:
            self._model.close()  # its file may be gone: it is made again, with all sessions
        if self._model.open(configuration, key, report):
            self._sessions = []
        report("load")
        graph, file = self._model.graph, self._model.file
        refuse_other_types(graph, file.name, precision)
        for item in graph.outputs:
            if item.dtype in ("sequence", "map", "optional", "sparse tensor", "string"):
                raise MeasureError(
                    "unsupported",
                    f"output {item.name} of {file.name} is a {item.dtype}, which cannot lie in GPU memory",
                    "measure it with --backend onnxruntime-cpu",
                )
        signature = self._model.signature(configuration)
        if not self._sessions:
            self._session = None
            self._close_device()
            self._device = cuda.Device(driver, index)
            report("build")
            made = []
            for stream in self._device.streams(wanted):
                self._stream = stream
                made.append(self._create(configuration))
            self._sessions = made
            self._model.drop_file()
        del self._sessions[wanted:]  # their memory would be counted in
        self._session = self._sessions[0]
        self.slots = loads.MAX_IN_FLIGHT if self._on_gpu() else 1
        self._path = configuration.data_path
        placement = ort_session.placement(self._session)
        fallback = self._fallback(placement)
        copies = ort_placement.copy_nodes(self._said)
        if placement is not None and self._on_gpu() and copies is not None:
            placement["Memcpy"] = copies
        doubt = None if fallback else self._doubt(placement)
        self._known = ort_session.loaded(
            graph, signature, file, placement=placement, fallback=fallback, unproven=doubt
        )
        self._known.runtime.update(self._settings())
        self._known.runtime["notes"] = [
            *self._notes(),
            *cuda.override_notes(precision),
            *(cuda.fp32_notes(precision, driver.capability(index)) if self._on_gpu() else ()),
            *ort_session.unheard(options.backend_options),
        ]
        self._refuse_tf32(precision)
        return self._known

    def bind(self, sets: Sequence[Inputs], slots: int) -> None:
        assert self._known is not None
        assert self._device is not None
        if not self._on_gpu():
            # Nothing is on the GPU: the plain call on the CPU, which is what a script gets that does not look.
            values = ort_session.needs_values(self._model.graph)
            self._feeds = ort_session.feeds(self._ort, self._known, sets, values)
            return
        self._sets = sets
        options, at_once = self._ort.RunOptions(), self._ort.RunOptions()
        # The worker synchronises the stream itself, so that the copy out, or another request, can follow at once.
        at_once.add_run_config_entry("disable_synchronize_execution_providers", "1")
        # Where nothing follows a request's computation, onnxruntime's own synchronisation is 3 % sooner (ResNet18, batch 32, H100).
        waits = self._path == "device" and self._load.slots == 1 and not self._load.overlaps
        # Nothing is recorded: not where there are no graphs, and not while buffers are tried before they are settled. Said, since
        # onnxruntime 1.31's `run_with_iobinding` looks it up, and where it is not set that is an exception of C++: 50 to 100 µs
        # a request on an H100's host, 4 % of ResNet18 at batch 32.
        for one in (options, at_once):
            one.add_run_config_entry(GRAPH_ID, "-1")
        on_slots = lanes(self._load, self._lane_streams())
        self._ahead = preparer(self._load, self._path)
        try:
            for number, on in enumerate(on_slots):
                session = self._sessions[0 if self._load.overlaps else number]
                steps = BoundSteps(
                    session, options if waits else at_once, self._device, on, self._known.inputs, self._known.outputs, sets, self._path,
                    first=self._steps[0] if self._steps else None, replays=self._replays(len(sets), number),
                    at_once=at_once if waits else None,
                )  # fmt: skip
                self._steps.append(steps)
                self._staged.append(staged(steps, self._device, on, ahead=self._ahead))
        except MeasureError:
            raise
        except Exception as error:  # onnxruntime's own exceptions share no base but this
            raise ort_session.explain(error, self._known, "onnxruntime-cuda") from error

    def _replays(self, sets: int, slot: int) -> list[Any]:
        """Run options for each set of buffers of a slot, each with a CUDA graph of its own; none where there are no graphs."""
        if not self._graphs:
            return []
        found = []
        for number in range(sets if self._path == "device" else 1):
            options = self._ort.RunOptions()
            options.add_run_config_entry("disable_synchronize_execution_providers", "1")
            # 0 is onnxruntime's own.
            options.add_run_config_entry(GRAPH_ID, str(1 + slot * sets + number))
            found.append(options)
        return found

    def controllable(self) -> bool:
        """Whether the plain `run()`, which hides its copies, does what the pageable request does in steps."""
        plain_load = self._load.slots == 1 and not self._load.overlaps and not self._load.scheduled
        pageable = bool(self._staged) and self._path == "pageable"
        return (
            pageable and plain_load and not self._graphs and not ort_session.needs_values(self._model.graph)
        )

    def control(self) -> dict[str, Any]:
        """The plain `run()` beside the same request in steps; timed once for a session and its shapes."""
        assert self._known is not None
        known = (id(self._session), tuple(self._known.inputs))
        if self._control is None or self._control[0] != known:
            names, feeds, run = self._known.outputs, self._sets, self._session.run

            def steps(index: int) -> None:
                self.issue(0, index, None)
                self.complete(0, None)

            self._control = (
                known,
                control.compare(lambda index: run(names, feeds[index]), steps, len(feeds)),
            )
        return self._control[1]

    def work(self, cache: int) -> cost.Work | None:
        """What a request asks of the GPU, counted in the file's graph. TF32 is on where nobody asked for fp32."""
        assert self._known is not None
        if not self._staged:
            return None
        tf32 = self._settings().get("provider_options", {}).get("use_tf32") != "0"
        return cost.of_onnx(
            self._model.file.path, {item.name: item.shape for item in self._known.inputs}, tf32, cache
        )

    def _notes(self) -> list[str]:
        """What a person should know of how the model is computed, without asking."""
        if native(self._model.graph) == "int8" and "DequantizeLinear" in self._model.graph.operators:
            return ["the CUDA provider has no 8-bit kernels: it dequantises, and computes in float"]
        return []

    def _refuse_tf32(self, precision: str) -> None:
        """What was asked for must be what the provider says that it has."""
        wanted = {"fp32": "0", "tf32": "1"}.get(precision)
        has = self._known.runtime.get("provider_options", {}).get("use_tf32") if self._known else None
        if wanted and has not in (None, wanted):
            raise MeasureError(
                "unsupported",
                f"onnxruntime {self._ort.__version__} has use_tf32={has} though {precision} was asked for",
                "use --precision native",
            )

    def _settings(self) -> dict[str, Any]:
        """The provider's options as it has them, for the record."""
        if not self._on_gpu():
            return {}
        found = self._session.get_provider_options().get(CUDA, {})
        return {"provider_options": {name: found[name] for name in ort_options.NAMES if name in found}}

    def _lane_streams(self) -> list[cuda.Stream]:
        """The streams of `lanes`; the one that the first session computes on is the first, or, pipelined, the second one."""
        assert self._device is not None
        streams = self._device.streams(streams_needed(self._load))
        return [streams[1], streams[0], *streams[2:]] if self._load.overlaps else streams

    def issue(self, slot: int, index: int, times: StageTimes | None) -> None:
        try:
            if self._staged:
                self._staged[slot].issue(index, times)
                return
            assert self._known is not None
            values = ort_session.needs_values(self._model.graph)
            run = self._session.run_with_ort_values if values else self._session.run
            begun = time.perf_counter_ns()
            self._result = run(self._known.outputs, self._feeds[index])
            if times is not None:
                times.compute = time.perf_counter_ns() - begun
        except MeasureError:
            raise
        except Exception as error:  # onnxruntime's own exceptions share no base but this
            assert self._known is not None
            raise ort_session.explain(error, self._known, "onnxruntime-cuda") from error

    def complete(self, slot: int, times: StageTimes | None) -> None:
        if self._staged:
            self._staged[slot].complete(times)

    def outputs(self, slot: int) -> list[np.ndarray]:
        return self._steps[slot].outputs() if self._steps else ort_session.flatten(self._result)

    def bytes_out(self, slot: int) -> int:
        """In the types that the file gives, which `outputs` may widen; nothing where it fell back to the CPU."""
        return self._steps[slot].bytes_out if self._steps else 0

    def close(self) -> None:
        self._release()
        self._session, self._sessions = None, []
        self._model.close()
        self._close_device()

    def _create(self, configuration: Configuration) -> Any:
        assert self._stream is not None
        ort, asked = self._ort, configuration.options.backend_options
        for_provider = ort_options.checked(asked, configuration.precision)
        if hasattr(ort, "preload_dlls"):
            # From NVIDIA's wheels or torch's folder, which the loader does not search.
            ort.preload_dlls(msvc=False)
        provider = {
            "device_id": str(cuda.index_of(configuration.device)),
            "has_user_compute_stream": "1",
            "user_compute_stream": str(self._stream.address),
            **for_provider,
        }
        if configuration.precision in ("fp32", "tf32"):
            # On by default, where torch has it off for matrix products: said, so that the two can be compared.
            provider["use_tf32"] = "1" if configuration.precision == "tf32" else "0"
        for_session, _ = ort_session.split_options(asked, ort_options.NAMES)

        def options() -> Any:
            made = ort_session.session_options(ort, for_session, None, ort_options.NAMES)
            # Only a warning tells of the copies that it adds between providers.
            made.log_severity_level = 2
            return made

        return self._session_of(options, [(CUDA, provider)])

    def _session_of(self, options: Callable[[], Any], providers: Sequence[Any]) -> Any:
        """A session over these providers, with what it printed and what is not known of it kept."""
        begun = ort_placement.written()
        session, self._unproven = ort_placement.create(self._ort, self._model.file, options, providers)
        self._said = ort_placement.printed(begun)
        return session

    def _fallback(self, placement: dict[str, int] | None) -> Fallback | None:
        return fallen_back(self._session, placement, self._said)

    def _doubt(self, placement: dict[str, int] | None) -> str | None:
        """What of the placement is not known."""
        return self._unproven

    def _on_gpu(self) -> bool:
        return CUDA in self._session.get_providers()

    def _release(self) -> None:
        """Forget what was bound; the session and its stream stay."""
        self._stop_preparing()
        self._steps, self._staged, self._result = [], [], None
        self._feeds, self._sets = [], ()
        if self._device is not None:
            self._device.free()

    def _close_device(self) -> None:
        if self._device is not None:
            self._device.close()
        self._device = self._stream = None


def _refuse(configuration: Configuration) -> None:
    """What this backend cannot do is said, never replaced."""
    if configuration.device == "cpu":
        raise MeasureError(
            "unsupported", "onnxruntime-cuda needs a GPU", "use --device cuda:0, or --backend onnxruntime-cpu"
        )
    if configuration.precision == "int8":
        raise MeasureError(
            "unsupported",
            "onnxruntime-cuda has no 8-bit kernels: quantised operators would be computed in float, or on the CPU",
            "measure int8 with --backend onnxruntime-cpu, or use --precision fp16",
        )
    if configuration.precision not in ("native", "fp32", "tf32", "fp16"):
        raise MeasureError(
            "unsupported",
            f"onnxruntime-cuda measures native, fp32, tf32 and fp16, not {configuration.precision}",
            "use --precision native with a file in that precision",
        )
    refuse_path(configuration.data_path)
