"""The backend `torch-compile`."""

from __future__ import annotations

from typing import Any

from . import cuda_words, loads
from .backend import Loaded, Report
from .configuration import Configuration
from .errors import MeasureError
from .registry import nearest
from .torch_eager import TorchEager
from .torch_watch import Watch

MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


class TorchCompile(TorchEager):
    """`torch.compile` of the module, for one shape at a time; the first request compiles."""

    name = "torch-compile"
    fuses = True

    def __init__(self) -> None:
        super().__init__()
        self._watch: Watch | None = None

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
        before = self._known.inputs if self._known is not None else None
        loaded = super().load(configuration, report)
        if before is not None and before != loaded.inputs:
            # Eight shapes are compiled, the ninth runs operator by operator in silence: forget the ones before.
            self._torch._dynamo.reset()
            assert self._watch is not None
            self._watch.begin()
        report("build")
        return loaded

    def runtime(self) -> dict[str, Any]:
        """What was compiled, and whether CUDA graphs are in use."""
        assert self._watch is not None
        assert self._configuration is not None
        mode = self._configuration.options.compile_mode or MODES[0]
        return self._watch.report(mode, self._configuration.device)

    def _wrapped(self, module: Any, configuration: Configuration) -> Any:
        self._watch = self._watch or Watch(self._torch)
        self._watch.begin()
        mode = configuration.options.compile_mode or MODES[0]
        return self._torch.compile(module, mode=mode, dynamic=False)

    def _explain(self, error: Exception) -> MeasureError:
        fault = cuda_words.explain(str(error), self.name)
        if fault is not None:
            return fault
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
