"""What holds a model back: windows of measurements in, a verdict out. Pure, so that a recording gives the same verdicts again.

Placement and load are looked at before timing is judged: work that silently runs on the CPU, or beside somebody else's, makes every stage
say something else. A verdict needs two agreeing signals; else it is `unclear`, with what is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from . import verdict_device as device
from . import verdict_placement as placement
from . import verdict_stages as stages
from .verdict_advice import Advice, advise
from .verdict_signals import Finding, Signal, significant
from .verdict_window import Choice, Tried, Window, enough

KINDS = (
    "fallback", "contended", "underload", "transfer-h2d", "transfer-d2h", "launch", "host", "throttled-power", "throttled-thermal",
    "compute", "memory-bandwidth", "device-bound", "cpu", "balanced", "unclear",
)  # fmt: skip

CONSECUTIVE = 3
"""So many windows in a row must say something else before the verdict changes."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The bottleneck in a word and in a sentence, the signals behind it, and what to do about it."""

    kind: str
    confidence: float
    text: str
    evidence: tuple[Signal, ...] = ()
    advice: Advice | None = None

    @property
    def gain(self) -> float | None:
        """What the advice would save, ns; None where there is none, or where it cannot be told."""
        return self.advice.gain if self.advice else None


def diagnose(window: Window, tried: Tried | None = None, usable: Collection[str] | None = None) -> Verdict:
    """The verdict on one window. `tried` are the choices measured so far, `usable` the backends of this environment (None: not known)."""
    tried = tried or {}
    if not enough(window):
        return Verdict(
            "unclear", 0.0, f"{window.requests} requests in {window.ticks} ticks are too few to judge by"
        )
    found, suspects = _decide(window, tried)
    if found is None:
        return _unclear(window, suspects)
    return Verdict(
        found.kind, found.confidence, found.text, found.signals, advise(window, found, tried, usable)
    )


def _decide(window: Window, tried: Tried) -> tuple[Finding | None, list[Finding]]:
    """The finding that holds, and those that were looked at."""
    seen: list[Finding] = []
    for rule in (placement.fallback, placement.contended, placement.underload):
        found = rule(window)
        if found is not None:
            seen.append(found)
            if found.holds:
                return found, seen
    removable = [*stages.copies(window), *_some(stages.host(window))]
    standing = [found for found in removable if found.holds]
    for found, holds in (
        (placement.throttled(window), placement.held_down),
        (device.launch(window), device.launch_holds),
    ):
        if found is not None:
            removable.append(found)
            if holds(found):
                standing.append(found)
    seen += removable
    if standing:
        return max(standing, key=lambda found: found.score), seen
    doubled = _doubled(window, tried)
    by_counter = _some(device.compute(window, doubled), device.memory_bandwidth(window, doubled))
    by_stage = _some(device.device_bound(window, doubled), stages.cpu(window))
    for group in (by_counter, by_stage, _some(stages.balanced(window))):
        seen += group
        standing = [found for found in group if found.holds]
        if standing:
            return max(standing, key=lambda found: found.score), seen
    return None, seen


def _some(*found: Finding | None) -> list[Finding]:
    return [finding for finding in found if finding is not None]


def _doubled(window: Window, tried: Tried) -> float | None:
    """Time per sample at twice the batch ÷ that at this one, where both were measured."""
    choice = window.choice
    twice = Choice(
        choice.backend, choice.precision, 2 * (choice.batch or 1), choice.data_path, choice.threads
    )
    other = tried.get(twice)
    mine = window.service / 1e6 / (choice.batch or 1)
    return None if other is None or not mine else other / mine


def _unclear(window: Window, suspects: list[Finding]) -> Verdict:
    """What comes nearest, and why it does not hold."""
    if window.stages.n < 1:
        return Verdict("unclear", 0.0, "this backend does not say where a request's time goes")
    defined = [found for found in suspects if found.signals[0].agrees]
    nearest = max(defined, key=lambda found: (found.agreeing, found.score), default=None)
    if nearest is None:
        return Verdict("unclear", 0.0, "no signal stands out")
    against = next((signal for signal in nearest.signals if signal.agrees is False), None)
    unknown = next((signal for signal in nearest.signals if signal.value is None), None)
    why = "but no second signal agrees"
    if against is not None:
        unit = "" if against.unit == "1" else f" {against.unit}"
        why = f"but {against.name} is {significant(against.value or 0.0)}{unit}"
    elif unknown is not None:
        why = f"but {unknown.name} is not known here"
    return Verdict("unclear", 0.0, f"{nearest.kind} is possible, {why}", nearest.signals)


class Steady:
    """Holds a verdict until CONSECUTIVE windows in a row agree on another one; the numbers of the same kind are always the newest."""

    def __init__(self, consecutive: int = CONSECUTIVE) -> None:
        self.verdict: Verdict | None = None
        self._consecutive = consecutive
        self._other = ""
        self._count = 0

    def take(self, verdict: Verdict) -> Verdict:
        """The next window's verdict; returns the one that stands."""
        if self.verdict is None or verdict.kind == self.verdict.kind:
            self.verdict, self._count = verdict, 0
            return verdict
        self._count = self._count + 1 if verdict.kind == self._other else 1
        self._other = verdict.kind
        if self._count >= self._consecutive:
            self.verdict, self._count = verdict, 0
        return self.verdict


_COPY = ("removable", "copy share", "copy rate of the link", "copy at best", "copy bound")
_PLACED = ("said by the runtime", "nodes on the CPU", "GPU utilisation", "worker cores")
_BESIDE = (
    "memory of other processes", "GPU busy before the run", "GPU busy beyond our requests", "compute against this run's fastest",
)  # fmt: skip
_LOADED = ("busy with requests", "schedule kept", "response over service")
_HELD = ("throttled time", "clock held down", "clock event reason")
_HOST = ("host share", "time between the steps", "worker cores")
_DEVICE = ("compute share", "enqueue of compute", "GPU utilisation", "time per sample at twice the batch")
_REACHED = ("compute share", "GPU utilisation", "time per sample at twice the batch")
_IN_CALL = ("host time per operator", "enqueue of compute")
_BALANCED = ("largest stage", "explained by the stages")

NEVER = ()

SIGNALS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "fallback": (_PLACED, _PLACED, NEVER),
    "contended": (
        _BESIDE,
        _BESIDE,
        (
            "others' share of the cores",
            "cores busy",
            "tasks waiting for a core",
            "compute against this run's fastest",
        ),
    ),
    "underload": (_LOADED, _LOADED, _LOADED),
    "transfer-h2d": ((*_COPY, "PCIe RX off what requests carry"), _COPY, NEVER),
    "transfer-d2h": ((*_COPY, "PCIe TX off what requests carry"), _COPY, NEVER),
    "launch": (
        ("enqueue of compute", "SM active", "host time per operator", "power of its limit", "worker cores"),
        (
            "enqueue of compute",
            "host time per operator",
            "power of its limit",
            "worker cores",
            "GPU utilisation",
        ),
        NEVER,
    ),
    "host": ((*_HOST, *_IN_CALL, "GPU utilisation"), (*_HOST, *_IN_CALL, "GPU utilisation"), _HOST),
    "throttled-power": ((*_HELD, "power of its limit"), (*_HELD, "power of its limit"), NEVER),
    "throttled-thermal": (_HELD, _HELD, NEVER),
    "compute": (
        ("arithmetic pipe", "compute share", "SM active"),
        ("arithmetic of its peak", *_REACHED),
        NEVER,
    ),
    "memory-bandwidth": (
        ("DRAM active", "compute share", "SM active"),
        ("memory traffic of its peak", *_REACHED),
        NEVER,
    ),
    "device-bound": (_DEVICE, _DEVICE, NEVER),
    "cpu": (
        NEVER,
        NEVER,
        ("compute share", "worker cores of its threads", "worker cores", "held by the quota"),
    ),
    "balanced": (_BALANCED, _BALANCED, _BALANCED),
}
"""Kind → the signals that it may use on a GPU with GPM, on a GPU without, and on the CPU; none: it is never named there."""


def table() -> str:
    """The same as Markdown, for docs/verdicts.md."""

    def cell(names: Iterable[str]) -> str:
        return ", ".join(names) or "never named"

    lines = ["| verdict | GPU with GPM | GPU without | CPU |", "|---|---|---|---|"]
    lines += [
        f"| `{kind}` | " + " | ".join(cell(names) for names in columns) + " |"
        for kind, columns in SIGNALS.items()
    ]
    lines.append("| `unclear` | fewer than two signals of any of them agree | the same | the same |")
    return "\n".join(lines) + "\n"
