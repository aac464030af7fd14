"""The backend `torch-compile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import cuda_words, loads
from .backend import Fallback, Loaded, Report, StageTimes
from .configuration import Configuration
from .errors import MeasureError
from .registry import nearest
from .torch_eager import TorchEager
from .torch_precision import own_types
from .torch_watch import Ticker, Watch

MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


class TorchCompile(TorchEager):
    """`torch.compile` of the module, for one shape at a time; the first request compiles."""

    name = "torch-compile"
    fuses = True
    progress: Callable[[float | None, str], None] | None = None  # set by the worker

    def __init__(self) -> None:
        super().__init__()
        self._watch: Watch | None = None
        self._ticker: Ticker | None = None  # while the first request compiles

    def load(self, configuration: Configuration, report: Report) -> Loaded:
        mode = configuration.options.compile_mode or MODES[0]
        if mode not in MODES:
            near = nearest(mode, MODES)
            raise MeasureError(
                "usage",
                f"torch.compile has no mode {mode}",
                f"did you mean {near[0]}?" if near else f"use one of {', '.join(MODES)}",
            )
        _refuse_depth(configuration, mode)
        if mode == "reduce-overhead" and configuration.device == "cpu":
            raise MeasureError(
                "unsupported",
                "mode reduce-overhead replays CUDA graphs: on the CPU torch.compile takes it for mode default",
                "use --compile-mode default",
            )
        before = self._known.inputs if self._known is not None else None
        loaded = super().load(configuration, report)
        if before is not None and before != loaded.inputs:
            # Eight shapes are compiled, the ninth runs operator by operator in silence: forget the ones before.
            self._torch._dynamo.reset()
            self._watching.begin()
        report("build")
        if self.progress is not None:
            tell = self.progress
            self._ticker = Ticker(self._watching.doing, lambda words: tell(None, words))
        return loaded

    def complete(self, slot: int, times: StageTimes | None) -> None:
        super().complete(slot, times)
        if self._ticker is not None:
            self._stop_ticker()

    def fallback(self, over: bool) -> Fallback | None:
        """Nothing compiled, something given up, or CUDA graphs skipped that the mode asks for."""
        return super().fallback(over) or self._watching.fallback(*self._asked(), over)

    def runtime(self) -> dict[str, Any]:
        """What was compiled, and whether CUDA graphs are in use."""
        found = self._watching.report(*self._asked())
        before = self._known.runtime.get("notes", []) if self._known is not None else []
        return found | {"notes": [*before, *found["notes"]]}

    def cached(self) -> str | None:
        """Whether what was compiled came from the disk, where an earlier run may have left it."""
        return self._watching.cached()

    @property
    def _watching(self) -> Watch:
        assert self._watch is not None
        return self._watch

    def _asked(self) -> tuple[str, str]:
        """Mode and device."""
        assert self._configuration is not None
        return self._configuration.options.compile_mode or MODES[0], self._configuration.device

    def _stop_ticker(self) -> None:
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None

    def _leave(self) -> None:
        self._stop_ticker()
        super()._leave()

    def _wrapped(self, module: Any, configuration: Configuration) -> Any:
        if self._watch is None:
            self._watch = Watch(self._torch)
        else:
            # What was compiled for a module of the same code may fit this one: then nothing would be, and that be taken for a failure.
            self._torch._dynamo.reset()
        self._watch.begin()
        mode = configuration.options.compile_mode or MODES[0]
        return self._torch.compile(module, mode=mode, dynamic=False)

    def _explain(self, error: Exception) -> MeasureError:
        fault = cuda_words.explain(str(error), self.name)
        if fault is not None:
            return fault
        configuration = self._configuration
        if configuration is not None and (refused := own_types(error, configuration.precision)) is not None:
            return refused
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return MeasureError(
                "compile-failed",
                f"torch.compile failed: {said[:200]}",
                "measure the model with --backend torch-eager, or try another --compile-mode",
                str(error),
            )
        return super()._explain(error)


def _refuse_depth(configuration: Configuration, mode: str) -> None:
    """A CUDA graph has one set of buffers: the next replay would overwrite outputs that are still being copied."""
    load = loads.parse(configuration.load)
    if load.slots > 1 and configuration.device != "cpu" and mode in ("reduce-overhead", "max-autotune"):
        raise MeasureError(
            "unsupported",
            f"{load.text} is not possible: mode {mode} replays CUDA graphs, whose buffers hold one request",
            "use --compile-mode default or max-autotune-no-cudagraphs, or --load closed:1",
        )
