"""The gap explained: what a request's stages leave of its service latency, in numbers and words, and what trtexec would call its latency.

Pure. docs/stages.md defines the parts; backends.backend.StageTimes.outside measures them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from .load_words import depth
from .records import OUTSIDE, STAGES
from .results import all_on_cpu
from .units import milliseconds
from .view import RunView

SUM = ("host", "h2d", "compute", "d2h", "gap")
"""The stages that add up to the service latency."""

NOTABLE_SHARE, NOTABLE_MS = 0.05, 0.02
"""From both on the gap of a GPU's run is worth a block of its own where results are printed."""

NOTHING = 0.005
"""Of the gap: what was not measured itself and is less than that is rounding."""

NAMED_SHARE, WORTH_SHARE = 0.01, 0.2
"""Of the gap: from where on a part is named with its number, and gets its sentence."""

LAUNCH_BOUND = 0.8
"""Enqueue ÷ compute from which on trtexec calls a model bound by its launches."""

_LABELS = {"issue": "Python", "queue": "queueing", "sync": "synchronisation", "instrumentation": "instrumentation",
           "remainder": "not told apart"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """Of which request: its full backend, the device that computes it, data path and load."""

    backend: str
    device: str
    data_path: str
    load: str

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the gap: mean ms, its share of the service latency, what it is, and what to do about it (empty: nothing)."""

    name: str  # of OUTSIDE, "instrumentation" or "remainder"
    ms: float
    share: float
    text: str
    advice: str = ""

    @property
    def label(self) -> str:
        return _LABELS[self.name]


@dataclass(frozen=True, slots=True)
class Gap:
    """Means over the instrumented requests, ms; `share` is the gap's of `service_ms`, their mean service latency."""

    ms: float
    share: float
    service_ms: float
    notable: bool
    parts: tuple[Part, ...]
    waiting_ms: float | None = None  # open loop: from the arrival until the service began; no part of the gap
    ideal_ms: float | None = None  # h2d + compute + d2h, trtexec's "latency"; None on the CPU
    trtexec: str = ""  # the two compared in words

    def as_dict(self) -> dict[str, Any]:
        """As a result holds it."""
        return asdict(self) | {"parts": [asdict(part) for part in self.parts], "text": sentence(self)}

    @property
    def worth(self) -> tuple[Part, ...]:
        """The parts that deserve their sentence, largest first."""
        found = [part for part in self.parts if part.ms >= WORTH_SHARE * self.ms]
        return tuple(sorted(found, key=lambda part: -part.ms))


_FIELDS = tuple(field.name for field in fields(Gap) if field.name != "parts")


def explain(
    stages: Mapping[str, float | None],
    outside: Mapping[str, float],
    request: Request,
    waiting_ms: float | None = None,
) -> Gap | None:
    """`stages` and `outside` are means in ms by the names of STAGES and OUTSIDE; None where no gap was measured."""
    gap = stages.get("gap")
    if gap is None:
        return None
    service = sum(stages.get(name) or 0.0 for name in SUM)
    if service <= 0:
        return None
    known = {name: outside[name] for name in OUTSIDE if name in outside}
    rest = gap - sum(known.values())
    # Where the host's part and the wait's are known, only the reading of clocks and the recording of events is left.
    known["instrumentation" if "issue" in known and "sync" in known else "remainder"] = max(0.0, rest)
    parts = tuple(
        Part(name, ms, ms / service, *_words(name, request))
        for name, ms in known.items()
        if name in OUTSIDE or ms >= NOTHING * gap
    )
    share = gap / service
    ideal = sum(stages.get(name) or 0.0 for name in ("h2d", "compute", "d2h")) if request.on_gpu else None
    notable = request.on_gpu and share >= NOTABLE_SHARE and gap >= NOTABLE_MS
    words = "" if ideal is None else _trtexec(stages, service, ideal, request)
    return Gap(gap, share, service, notable, parts, waiting_ms, ideal, words)


def of_result(result: Mapping[str, Any], outside: Mapping[str, float]) -> dict[str, Any] | None:
    """The field `gap` of a result that has its other fields."""
    stages = result.get("stages_ms")
    if not stages:
        return None
    means = {name: (stages.get(name) or {}).get("mean") for name in STAGES}
    device = "cpu" if all_on_cpu(result.get("placement")) else result["device"]
    request = Request(result["backend"].partition("@")[0], device, result["data_path"], result["load"])
    response, service = ((result.get(f"{which}_ms") or {}).get("mean") for which in ("response", "latency"))
    waiting = None if response is None or service is None else max(0.0, response - service)
    found = explain(means, outside, request, waiting)
    return None if found is None else found.as_dict()


def of_run(run: RunView) -> Gap | None:
    """The gap of a run on the screen, live or recorded; a recording that lacks the parts has one that nobody can tell apart."""
    if not run.stages:
        return None
    configuration = run.configuration
    device = "cpu" if all_on_cpu(run.placement) else configuration.device
    request = Request(configuration.backend, device, configuration.data_path, configuration.load)
    waiting = None
    if run.response is not None and run.latency is not None:
        waiting = max(0.0, (run.response.mean - run.latency.mean) / 1e6)
    stages = {name: ns / 1e6 for name, ns in run.stages.items()}
    return explain(stages, {name: ns / 1e6 for name, ns in (run.outside or {}).items()}, request, waiting)


def explained(result: Mapping[str, Any]) -> list[str]:
    """The lines of a result whose gap is notable; none of any other."""
    found = result.get("gap")
    if not found or not found["notable"]:
        return []
    return lines(
        Gap(**{name: found[name] for name in _FIELDS}, parts=tuple(Part(**part) for part in found["parts"]))
    )


def sentence(gap: Gap) -> str:
    """`0.21 of 3.60 ms (6 %) lie outside the stages: Python 0.12, synchronisation 0.05, queueing 0.04`."""
    text = head(gap)
    named = [part for part in sorted(gap.parts, key=lambda p: -p.ms) if part.ms >= NAMED_SHARE * gap.ms]
    parts = ", ".join(f"{part.label} {milliseconds(part.ms)}" for part in named)
    return f"{text}: {parts}" if parts else text


def head(gap: Gap) -> str:
    """`0.21 of 3.60 ms (5.8 %) lie outside the stages`."""
    return f"{milliseconds(gap.ms)} of {milliseconds(gap.service_ms)} ms ({_percent(gap.share)}) lie outside the stages"


def waiting_words(gap: Gap) -> str:
    """What an open loop's requests waited before their service; empty elsewhere."""
    if gap.waiting_ms is None:
        return ""
    return (
        f"before that a request waits {milliseconds(gap.waiting_ms)} ms in the mean from its arrival until its service begins: "
        "the response latency less the service latency"
    )


def lines(gap: Gap) -> list[str]:
    """The whole explanation, a sentence each: the sum, the parts that count, the wait before the service, trtexec."""
    found = [sentence(gap)]
    for part in gap.worth:
        advice = f" → {part.advice}" if part.advice else ""
        found.append(f"{part.label} {milliseconds(part.ms)} ms: {part.text}{advice}")
    return found + [text for text in (waiting_words(gap), gap.trtexec) if text]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def _words(name: str, request: Request) -> tuple[str, str]:
    """What a part is, and what to do about it."""
    several = depth(request.load) is not None
    if name == "issue":
        if not request.on_gpu:
            return (
                "the way into the runtime's call and out of it, and the clocks read around it",
                "a larger --batch makes it count less",
            )
        path = "--data-path pinned " if request.data_path == "pageable" else ""
        return (
            "the host works while the GPU has nothing of this request: the calls before its first copy, and after its last work",
            "a larger --batch makes it count less"
            if several
            else f"{path}--load closed:2 issues the next request meanwhile; a larger --batch makes it count less",
        )
    if name == "queue":
        return (
            "others in flight were before it on the GPU, or it was done before its turn to be collected came: the price of throughput",
            "--load closed:1 for the latency of a request alone",
        )
    if name == "sync":
        if not request.on_gpu:
            return "from the end of the runtime's call until the host took the time", ""
        return (
            "the GPU was done and the host did not know yet: the wait wakes up and its call returns",
            "" if several else "more requests in flight hide it",
        )
    if name == "instrumentation":
        return (
            "reading clocks and recording an event, which requests that are not timed by stage do without",
            "",
        )
    return (
        f"{request.backend} does not say when its device was done, or the recording is from before that was kept",
        "",
    )


def _trtexec(stages: Mapping[str, float | None], service: float, ideal: float, request: Request) -> str:
    """Why trtexec is faster: NVIDIA/TensorRT, samples/common/sampleReporting.cpp and sampleInference.cpp."""
    compute, enqueue = stages.get("compute") or 0.0, stages.get("enqueue")
    copies = stages.get("h2d") is not None or stages.get("d2h") is not None
    text = f"trtexec calls h2d + compute + d2h its latency: {milliseconds(ideal)} of these {milliseconds(service)} ms"
    if copies:
        text += f", and from version 11 on it copies nothing unless told to: {milliseconds(compute)}"
    text += "; it issues one request ahead and spins while it waits, so that Python and synchronisation cost it no throughput"
    if enqueue is not None and enqueue >= LAUNCH_BOUND * compute > 0:
        text += (
            f"; here the GPU waits for the host inside compute as well (issuing it takes {milliseconds(enqueue)} of "
            f"{milliseconds(compute)} ms), where trtexec 11 replays a CUDA graph"
        )
    nearest = "--data-path device --load closed:2"
    same = request.data_path == "device" and depth(request.load) is not None
    return text if same else f"{text} → {nearest} comes nearest to what it measures; compare throughput"
