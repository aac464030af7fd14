"""What infertop's own telemetry and screen cost a measurement: on and off in short blocks, in shuffled triples, and the change. Pure.

A triple is one block with both on and two with both off. On against off is the effect, off against off the control: what blocks differ by
when nothing is different. Each triple gives one change of either, and their spread the interval (Student's t), so that what drifts
meanwhile harms all alike.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends.errors import MeasureError
from ..telemetry.statistics import repeat_interval
from .diagnosis import rounded

KIND = "observer"
SCHEMA = "infertop.observer/1"

ON, OFF, AGAIN = "on", "off", "again"
ARMS = (ON, OFF, AGAIN)
"""`again` is off once more: the control."""

BLOCK_S, SETTLE_S = 2.0, 0.75
"""A block, and the time after a switch that belongs to none: a screen that comes back draws itself anew."""

LEAST_TRIPLES = 3
SHORTEST_S = LEAST_TRIPLES * len(ARMS) * (BLOCK_S + SETTLE_S)
DEFAULT_S = 90.0

LIMITS = {"throughput": 0.01, "p50": 0.01, "p99": 0.03}
"""The share that each may be worse by."""

FEW = 100
"""A block of fewer requests has no p99 to speak of."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block: whole requests within it, and the time from the first one's start to the last one's completion."""

    arm: str
    triple: int
    requests: int
    seconds: float
    p50: float | None  # ns
    p99: float | None  # ns; None where the requests are too few for one

    @property
    def throughput(self) -> float | None:
        """Requests/s."""
        return self.requests / self.seconds if self.requests and self.seconds > 0 else None


def cut(arm: str, triple: int, start: np.ndarray, service: np.ndarray, t0: int, t1: int) -> Block:
    """The block from `t0` to `t1` out of requests by start and service latency, monotonic ns each, shape (n,)."""
    inside = (start >= t0) & (start + service <= t1)
    start, service = start[inside], service[inside]
    n = len(start)
    if not n:
        return Block(arm, triple, 0, 0.0, None, None)
    seconds = (int((start + service).max()) - int(start.min())) / 1e9
    p50, p99 = (float(value) for value in np.quantile(service, (0.5, 0.99)))
    return Block(arm, triple, n, seconds, p50, p99 if n >= FEW else None)


def schedule(seconds: float, seed: int) -> list[tuple[int, str]]:
    """(triple, arm) of each block that fits into `seconds`, every triple in an order of its own. Raises MeasureError where too few fit."""
    triples = int(seconds / (len(ARMS) * (BLOCK_S + SETTLE_S)) + 1e-9)
    if triples < LEAST_TRIPLES:
        raise MeasureError(
            "usage",
            f"{seconds:g} s are too short for the observer effect",
            f"give it at least {SHORTEST_S:.0f}s",
        )
    shuffle = random.Random(seed).shuffle
    order: list[tuple[int, str]] = []
    for triple in range(triples):
        arms = list(ARMS)
        shuffle(arms)
        order += [(triple, arm) for arm in arms]
    return order


def outcome(blocks: Sequence[Block], error: str | None = None) -> dict[str, Any]:
    """The effect on throughput, p50 and p99 out of the blocks measured; `error` says why there are no more."""
    triples: dict[int, dict[str, Block]] = {}
    for block in blocks:
        triples.setdefault(block.triple, {})[block.arm] = block
    whole = [found for _, found in sorted(triples.items()) if len(found) == len(ARMS)]
    effects = {name: _effect(name, whole) for name in LIMITS}
    return {
        "triples": len(whole),
        "block_s": BLOCK_S,
        "effects": effects,
        "verdict": _overall([effect["verdict"] for effect in effects.values()]),
        "error": error,
    }


def _effect(name: str, triples: Sequence[Mapping[str, Block]]) -> dict[str, Any]:
    """The change of one quantity as a share of what it is without, its interval, the control's, and what that means."""
    limit = LIMITS[name]
    found: dict[str, Any] = {
        "on": None, "off": None, "change": None, "ci95": None, "control": None, "control_ci95": None, "limit": limit,
        "verdict": "unknown", "reason": "",
    }  # fmt: skip
    rows = [tuple(getattr(triple[arm], name) for arm in ARMS) for triple in triples]
    known = [row for row in rows if None not in row]
    if len(known) < max(LEAST_TRIPLES, len(rows)):
        few = len(rows) < LEAST_TRIPLES
        found["reason"] = (
            f"{len(rows)} whole triples are too few"
            if few
            else f"a block needs {FEW} requests for it: measure faster requests"
        )
        return found
    on, off, again = (np.array(column, float) for column in zip(*known, strict=True))
    change, control = on / off - 1, again / off - 1
    low, high = repeat_interval(list(change))
    control_low, control_high = repeat_interval(list(control))
    scale = 1.0 if name == "throughput" else 1e-6  # requests/s, ms
    return found | {
        "on": rounded(float(on.mean()) * scale),
        "off": rounded(float(off.mean()) * scale),
        "change": rounded(float(change.mean())),
        "ci95": [rounded(low), rounded(high)],
        "control": rounded(float(control.mean())),
        "control_ci95": [rounded(control_low), rounded(control_high)],
        "verdict": judge((-high, -low) if name == "throughput" else (low, high), limit),
    }


def judge(worse: tuple[float, float], limit: float) -> str:
    """What the interval of how much worse it is says of the limit: `kept` where it ends below, `not shown` where it holds 0 but reaches
    beyond (the blocks differ too much to bound it), `exceeded` else."""
    low, high = worse
    return "kept" if high < limit else "not shown" if low <= 0 else "exceeded"


def _overall(verdicts: Sequence[str]) -> str:
    """The worst of those that are known."""
    for verdict in ("exceeded", "not shown", "kept"):
        if verdict in verdicts:
            return verdict
    return "unknown"


def as_dict(block: Block) -> dict[str, Any]:
    """A block as the log and the document have it; ms."""
    return {
        "triple": block.triple,
        "arm": block.arm,
        "requests": block.requests,
        "throughput": _known(block.throughput),
        "p50_ms": _known(block.p50, 1e-6),
        "p99_ms": _known(block.p99, 1e-6),
    }


def _known(value: float | None, scale: float = 1.0) -> float | None:
    return None if value is None else rounded(value * scale)


def percent(value: float) -> str:
    return f"{100 * value:+.2f} %".replace("-", "−")


def between(interval: Sequence[float]) -> str:
    """`−0.41 to +0.20 %`."""
    low, high = interval
    return f"{100 * low:+.2f} to {100 * high:+.2f} %".replace("-", "−")


WORDS = {
    "kept": "within {limit:.0f} %",
    "not shown": "no effect is shown, but the blocks differ too much to bound it by {limit:.0f} %",
    "exceeded": "more than {limit:.0f} % cannot be excluded, and some effect is certain",
    "unknown": "not known",
}


def words(effect: Mapping[str, Any]) -> str:
    """What an effect's verdict means; where off differs from off, that something else was going on."""
    said = str(effect["reason"]) or WORDS[effect["verdict"]].format(limit=100 * effect["limit"])
    low, high = effect["control_ci95"] or (0.0, 0.0)
    if low > effect["limit"] or high < -effect["limit"]:
        said += "; off against off differs too: something else was going on"
    return said


def sentence(found: Mapping[str, Any]) -> str:
    """`telemetry and screen change throughput by −0.12 % (95 % −0.41 to +0.17 %), p50 by …: within its budget`."""
    known = {name: effect for name, effect in found["effects"].items() if effect["change"] is not None}
    if not known:
        return f"the observer effect is not known: {found['error'] or 'too few blocks'}"
    parts = [f"{name} by {percent(e['change'])} (95 % {between(e['ci95'])})" for name, e in known.items()]
    end = {"kept": "within the budget", "not shown": "no effect is shown", "exceeded": "above the budget"}
    return f"telemetry and screen change {', '.join(parts)}: {end[found['verdict']]}"
