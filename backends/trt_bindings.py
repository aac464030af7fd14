"""TensorRT's Python modules: which of the two, what they support, and their log kept for the sentences that need it."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from . import libraries
from .errors import MeasureError

RTX_CAPABILITIES = ((7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1))
"""Compute capabilities that TensorRT-RTX builds for; the runtime also takes later ones. 9.0 (Hopper) is not among them.

Release 1.7's `ComputeCapability`; known here so that a probe need not import 230 MB of library. A test compares them.
"""

_KEPT = 200  # messages of the log


@dataclass(frozen=True)
class Flavour:
    """One of the two libraries, which have one interface."""

    name: str  # of the backend
    modules: tuple[str, ...]  # import names, the first that is there
    distributions: tuple[str, ...]  # what may bring the version
    library: str  # its shared library, without the version
    fix: str
    ahead: bool  # whether it builds for GPUs that are not here


TENSORRT = Flavour(
    "tensorrt",
    ("tensorrt", "tensorrt_bindings"),
    ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu13-bindings", "tensorrt-cu12-bindings"),
    "libnvinfer.so",
    "pip install 'infertop[tensorrt]'",
    ahead=False,
)
RTX = Flavour(
    "tensorrt-rtx",
    ("tensorrt_rtx", "tensorrt_rtx_bindings"),
    ("tensorrt-rtx", "tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu12-bindings"),
    "libtensorrt_rtx.so",
    "pip install 'infertop[tensorrt-rtx]'",
    ahead=True,
)


def load(flavour: Flavour) -> Any:
    """The module. Raises MeasureError kind "backend-missing" with the library that could not be loaded."""
    said = ""
    for name in flavour.modules:
        try:
            module = import_module(name)
            module.Builder  # noqa: B018 - what a removal leaves imports, and has nothing in it
        except (ImportError, OSError, AttributeError) as error:
            said = said or ("" if isinstance(error, ModuleNotFoundError) else str(error))
            continue
        if int(str(module.__version__).split(".")[0]) < 10 and not flavour.ahead:
            raise MeasureError(
                "backend-missing",
                f"{flavour.name} {module.__version__} is too old: networks have to be strongly typed, which came with 10",
                "pip install --upgrade tensorrt",
            )
        return module
    lacking = libraries.lack(said)
    raise MeasureError(
        "backend-missing",
        f"{flavour.name} cannot be imported" + (f": {lacking.words}" if lacking else ""),
        flavour.fix,
        said,
    )


def refuse_gpu(flavour: Flavour, capability: tuple[int, int], gpu: str) -> None:
    """Raises MeasureError kind "unsupported" where the runtime would not take an engine on that GPU."""
    reason = cannot_run(flavour, capability)
    if reason:
        raise MeasureError(
            "unsupported",
            f"{flavour.name} {reason} (it is a {gpu})",
            "use --backend onnxruntime-cuda or tensorrt",
        )


def cannot_run(flavour: Flavour, capability: tuple[int, int]) -> str:
    """Why that compute capability is none for this library; empty where it is one."""
    if not flavour.ahead or capability in RTX_CAPABILITIES or capability > RTX_CAPABILITIES[-1]:
        return ""
    known = ", ".join(map(dotted, RTX_CAPABILITIES))
    return f"does not run on a GPU of compute capability {dotted(capability)}: it supports {known} and later"


def dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def target_name(capability: tuple[int, int]) -> str:
    """As `--target` has it: sm_89."""
    return f"sm_{capability[0]}{capability[1]}"


def parse_target(text: str) -> tuple[int, int]:
    """`sm_89` as (8, 9). Raises MeasureError kind "usage"."""
    found = re.fullmatch(r"sm_?(\d{1,2})(\d)", text.strip().lower())
    capability = (int(found[1]), int(found[2])) if found else None
    if capability not in RTX_CAPABILITIES:
        known = ", ".join(map(target_name, RTX_CAPABILITIES))
        raise MeasureError(
            "usage", f"--target {text} is none that tensorrt-rtx builds for", f"use one of {known}"
        )
    return capability


@functools.cache
def logger(trt: Any) -> Any:
    """The process's one logger of that module, which keeps warnings and errors; `begin` forgets what was before.

    The library takes one alone while anything made with it lives, and sends the messages of what was given another to the first.
    """
    kept = {int(getattr(trt.ILogger, name)): name for name in ("INTERNAL_ERROR", "ERROR", "WARNING")}

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[tuple[str, str]] = []

        def log(self, severity: Any, message: str) -> None:
            name = kept.get(int(severity))
            if name is not None:
                self.lines.append((name, message))
                del self.lines[:-_KEPT]

        def begin(self) -> None:
            self.lines.clear()

        def errors(self) -> list[str]:
            return [message for name, message in self.lines if name != "WARNING"]

        def text(self) -> str:
            return "\n".join(f"{name}: {message}" for name, message in self.lines)

    return Log()


def make_monitor(trt: Any, progress: Any) -> Any:
    """An IProgressMonitor that calls `progress` with the share of the build that is done, 0 to 1; None where there is none.

    The outermost phase counts; a step of it is refined by the phases inside. Shares never go back.
    """
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.phases: dict[str, tuple[str | None, int, int]] = {}  # name -> parent, steps, done
            self.best = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.phases[phase_name] = (parent_phase, max(1, num_steps), 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self.phases:
                parent, steps, _ = self.phases[phase_name]
                self.phases[phase_name] = (parent, steps, step + 1)
                share = self.share(phase_name)
                if share > self.best:
                    self.best = share
                    progress(share)
            return True

        def phase_finish(self, phase_name: str) -> None:
            self.phases.pop(phase_name, None)

        def share(self, name: str) -> float:
            inner, at = 0.0, name
            for _ in range(len(self.phases)):
                parent, steps, done = self.phases[at]
                inner = min(1.0, (done + inner) / steps)
                if parent is None or parent not in self.phases:
                    return inner if parent is None else 0.0
                at = parent
            return 0.0

    return Monitor()


def plain(message: str) -> str:
    """The part of a message of TensorRT's that is for people: without codes, conditions and places in its sources."""
    text = " ".join(message.split())
    found = re.search(r"Error Code \d+: [^(]*\((.*)\)\.?$", text)
    text = found[1] if found else text
    text = re.sub(r"\s*In \S+ at /?\S+(?=\s|$).*", "", text)
    text = re.sub(r"^\[\S+:\s*\d+: \w+\]\s*", "", text)
    quoted = re.search(r'&& "([^"]+)"', text)
    if quoted:
        return quoted[1].rstrip(".")
    return re.sub(r"^Assertion failed: (?:.*?: )?(?=\S)", "", text).strip().rstrip(".")[:300]


def first_plain(messages: Sequence[str]) -> str:
    return plain(messages[0]) if messages else "it gave no reason"
