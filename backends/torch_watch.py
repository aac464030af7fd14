"""What torch.compile turned out to do: graphs, graph breaks, recompilations, and CUDA graphs in use or skipped and why.

All of it from dynamo's and inductor's own counters, which say it nowhere but in their logs.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

from .backend import Fallback

CUDA_GRAPH_MODES = ("reduce-overhead", "max-autotune")
"""The modes of torch.compile that ask for CUDA graphs."""

EACH_S = 0.6
"""How often a compilation tells how far it is."""

_NO_GRAPHS = "use --compile-mode default or max-autotune-no-cudagraphs, which ask for none"
_METRICS = (
    "torch._inductor.metrics"  # imported by a compilation: looked at where it is, not imported for a look
)
_SKIPPED = "skipping cudagraphs due to "
_GAVE_UP = "torch._dynamo hit config."
"""How dynamo's warning begins where a function was compiled so often that it is from then on called as it is."""

_REASONS = 3  # of a kind, at most: a model may break its graph in a hundred places
_LENGTH = 160


class Watch:
    """From `begin` on, for one module in one shape."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._skips: list[str] = []
        self._limits: list[str] = []
        # Inductor says why it takes no CUDA graph, and dynamo that it gives a function up, on these loggers alone.
        _listen("torch._inductor.cudagraph_utils.__cudagraphs", self._skips)
        _listen("torch._dynamo.convert_frame", self._limits, _GAVE_UP)

    def begin(self) -> None:
        """Forget what was compiled before."""
        utils = self._torch._dynamo.utils
        utils.counters.clear()
        utils.clear_compilation_metrics()
        if (metrics := sys.modules.get(_METRICS)) is not None:
            metrics.reset()
        self._skips.clear()
        self._limits.clear()

    def report(self, mode: str, device: str) -> dict[str, Any]:
        """`compile_mode`, `graphs`, `graph_breaks`, `recompiles`, `cuda_graphs` with their reasons, `gave_up`, and `notes` worth telling."""
        utils = self._torch._dynamo.utils
        counters, compilations = utils.counters, utils.get_compilation_metrics()
        breaks = counters["graph_break"]
        recompiled = [str(c.recompile_reason) for c in compilations if getattr(c, "recompile_reason", None)]
        found: dict[str, Any] = {
            "compile_mode": mode,
            "graphs": int(counters["stats"]["unique_graphs"]),
            "graph_breaks": int(sum(breaks.values())),
            "graph_break_reasons": _shortened(breaks),
            "recompiles": len(recompiled),
            "recompile_reasons": _shortened(recompiled),
            "gave_up": bool(self._limits),
            "cuda_graphs": self._cuda_graphs(mode, device),
        }
        return found | {"notes": notes(found)}

    def fallback(self, mode: str, device: str, over: bool) -> Fallback | None:
        """What does not run as it was asked to: nothing was compiled, or the mode's CUDA graphs are not what runs.

        `over`: after the run, when no more of them are to come.
        """
        found = self.report(mode, device)
        if not found["graphs"]:
            return Fallback(
                "torch.compile compiled nothing: every operator is called by itself, as under torch-eager",
                "measure it with --backend torch-eager, or take away what keeps it out, such as @torch.compiler.disable",
                "; ".join(found["graph_break_reasons"]),
            )
        if found["gave_up"]:
            return Fallback(
                "torch.compile gave up a function after too many recompilations: it runs operator by operator, as under torch-eager",
                "take away what makes it compile again, as a number that changes with each call, or measure it with --backend torch-eager",
                "; ".join((*self._limits, *found["recompile_reasons"])),
            )
        if device == "cpu" or mode not in CUDA_GRAPH_MODES:
            return None
        graphs = found["cuda_graphs"]
        if graphs.startswith("skipped"):
            return Fallback(f"CUDA graphs were {graphs}", _NO_GRAPHS)
        if graphs.startswith("in use in part"):
            return Fallback(f"CUDA graphs are {graphs}", _NO_GRAPHS)
        if over and not graphs.startswith("in use"):
            return Fallback(
                f"CUDA graphs were not used: none was recorded, though mode {mode} asks for them", _NO_GRAPHS
            )
        return None

    def cached(self) -> str | None:
        """`hit` where all that was compiled came from inductor's cache on the disk, `miss` where any of it did not; None where it has none."""
        counters = self._torch._dynamo.utils.counters
        graphs, whole = counters["inductor"], counters["aot_autograd"]
        if graphs["fxgraph_cache_miss"] or graphs["fxgraph_cache_bypass"]:
            return "miss"
        return "hit" if graphs["fxgraph_cache_hit"] or whole["autograd_cache_hit"] else None

    def doing(self) -> str:
        """How far a compilation is, in words; asked from another thread."""
        counters = self._torch._dynamo.utils.counters
        traced = counters["stats"].get("calls_captured", 0)
        if not traced:
            return "tracing"
        inductor, metrics = dict(counters["inductor"]), sys.modules.get(_METRICS)
        timed = sum(count for name, count in inductor.items() if name.startswith("benchmarking."))
        parts = [
            (traced, "call traced"),
            (metrics.generated_kernel_count if metrics else 0, "kernel"),
            (inductor.get("select_algorithm_autotune", 0), "operator tuned"),
            (timed, "timing"),
            (counters["stats"].get("unique_graphs", 0), "graph done"),
        ]
        return ", ".join(_counted(count, word) for count, word in parts if count)

    def _cuda_graphs(self, mode: str, device: str) -> str:
        """`in use (n recorded)`, `skipped: why`, or why none was asked for."""
        if device == "cpu":
            return "none: on the CPU"
        if mode not in CUDA_GRAPH_MODES:
            return f"none: mode {mode} asks for none"
        recorded = self._recorded(int(device.partition(":")[2] or 0))
        skips = int(self._torch._dynamo.utils.counters["inductor"]["cudagraph_skips"])
        if recorded and not skips:
            return f"in use ({recorded} recorded)"
        reason = "; ".join(_shortened(self._skips)) or "inductor does not say why"
        if recorded:
            return f"in use in part ({recorded} recorded, {skips} skipped: {reason})"
        return f"skipped: {reason}" if skips else "none recorded so far"

    def _recorded(self, index: int) -> int:
        """Graphs that inductor's manager of that GPU has recorded."""
        from torch._inductor import cudagraph_trees

        manager = cudagraph_trees.get_manager(index, create_if_none_exists=False)
        if manager is None:
            return 0
        count, waiting = 0, [node for nodes in manager.roots.values() for node in nodes]
        while waiting:
            count += 1
            waiting += [child for children in waiting.pop().children.values() for child in children]
        return count


class Ticker:
    """Says from time to time what is being done, from a thread of its own, until it is stopped."""

    def __init__(self, doing: Callable[[], str], tell: Callable[[str], None]) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(doing, tell), name="progress", daemon=True)
        self._thread.start()

    def _run(self, doing: Callable[[], str], tell: Callable[[str], None]) -> None:
        while not self._over.wait(EACH_S):
            tell(doing())

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


class _Listener(logging.Handler):
    """Keeps the messages of a logger, or those that begin as given; each once."""

    def __init__(self, kept: list[str], beginning: str) -> None:
        super().__init__(logging.WARNING)
        self._kept, self._beginning = kept, beginning

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith(self._beginning) and (said := text.removeprefix(_SKIPPED)) not in self._kept:
            self._kept.append(said)


def _listen(name: str, kept: list[str], beginning: str = "") -> None:
    logging.getLogger(name).addHandler(_Listener(kept, beginning))


def notes(found: dict[str, Any]) -> list[str]:
    """What of a report a person should know without asking."""
    said = []
    for count, noun, reasons in (
        ("graph_breaks", "broke the graph", "graph_break_reasons"),
        ("recompiles", "compiled again", "recompile_reasons"),
    ):
        if found[count]:
            times = "once" if found[count] == 1 else f"{found[count]} times"
            said.append(f"torch.compile {noun} {times}: {'; '.join(found[reasons])}")
    if found["cuda_graphs"].startswith(("skipped", "in use in part")):
        said.append(f"CUDA graphs {found['cuda_graphs']}")
    return said


def _counted(count: int, word: str) -> str:
    noun, _, rest = word.partition(" ")
    return " ".join(filter(None, (str(count), noun + "s" * (count != 1), rest)))


def _shortened(reasons: Any) -> list[str]:
    """The first lines of the first few."""
    first = [(str(reason).strip().splitlines() or [""])[0][:_LENGTH] for reason in reasons]
    return list(dict.fromkeys(first))[:_REASONS]
