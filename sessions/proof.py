"""Whether a remedy helps: present and remedy measured in alternating blocks, and the change with its interval.

What drifts while one waits (temperature, clocks, somebody else) then harms both alike; each pair of neighbouring blocks gives one change,
and their spread the interval (Student's t).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..backends.configuration import Configuration
from ..telemetry.statistics import repeat_interval
from ..telemetry.verdict_advice import remedy_name
from . import units
from .diagnosis import remedy, rounded
from .plan import Task
from .results import Result

KIND = "proof"

LEAST_PAIRS = 2


@dataclass(frozen=True, slots=True)
class Terms:
    """A block is measured for 3 s after its warm-up; four pairs take half a minute and bound a change of 1 % where blocks differ by 0.6 %."""

    pairs: int = 4
    block_s: float = 3.0
    warmup: str = "0.5s"


STANDARD = Terms()


class Proof:
    """One proof: hands out its blocks as tasks, in the order ABAB…, takes their results, and says what came of it."""

    def __init__(self, present: Task, advice: Mapping[str, Any], terms: Terms = STANDARD) -> None:
        """Raises ValueError where no action follows the advice."""
        changed = remedy(present.configuration, advice)
        if changed is None:
            raise ValueError(f"no configuration follows from {advice.get('text') or 'this advice'}")
        self.present, self.advice = present, dict(advice)
        self._blocks = [
            self._block(c, pair, terms)
            for pair in range(terms.pairs)
            for c in (present.configuration, changed)
        ]
        self._results: list[Result] = []
        self.failure: str | None = None

    def _block(self, configuration: Configuration, pair: int, terms: Terms) -> Task:
        # What the first block compared with the reference need not be compared again.
        options = replace(configuration.options, agreement=False)
        return Task(replace(configuration, options=options), pair, terms.warmup, terms.block_s)

    @property
    def done(self) -> int:
        """Blocks measured so far."""
        return len(self._results)

    @property
    def count(self) -> int:
        return len(self._blocks)

    def next(self) -> Task | None:
        """The next block; None where there is none left, or one could not be measured."""
        return None if self.failure is not None or self.done >= self.count else self._blocks[self.done]

    def take(self, result: Result) -> None:
        """The result of the block that `next` gave."""
        if result["status"] not in ("ok", "fallback") or not (result["latency_ms"] or {}).get("p50"):
            error = result["error"] or {}
            which = "the remedy" if self.done % 2 else "the present configuration"
            self.failure = f"{which} could not be measured: {error.get('message') or 'no requests'}"
            return
        self._results.append(result)

    def give_up(self, why: str) -> None:
        """No further block; what was measured counts."""
        self.failure = self.failure or why

    def outcome(self) -> dict[str, Any]:
        """The change of p50 (of a sample's share of it where the batch changes), its 95 % interval, and what was predicted; ms."""
        values = [self._value(result) for result in self._results]
        pairs = list(zip(values[::2], values[1::2], strict=False))
        found = _unproven(self.advice, self.failure) | {
            "blocks": [{"present_ms": rounded(a), "remedy_ms": rounded(b)} for a, b in pairs]
        }
        if len(pairs) < LEAST_PAIRS:
            return found
        changes = [b / a - 1 for a, b in pairs]
        low, high = repeat_interval(changes)
        before, after = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
        return found | {
            "present_ms": rounded(before),
            "remedy_ms": rounded(after),
            "change_ms": rounded(after - before),
            "change_share": rounded(sum(changes) / len(changes)),
            "change_share_ci95": [rounded(low), rounded(high)],
            "verdict": "helps" if high < 0 else "harms" if low > 0 else "changes nothing surely",
        }

    def _value(self, result: Result) -> float:
        batch = (result["batch"] or 1) if self.advice.get("per") == "sample" else 1
        return float(result["latency_ms"]["p50"]) / batch


def _unproven(advice: Mapping[str, Any], why: str | None) -> dict[str, Any]:
    """An outcome without a number."""
    return {
        "action": advice.get("action"),
        "value": advice.get("value"),
        "advice": advice.get("text", ""),
        "per": advice.get("per", "request"),
        "predicted_ms": advice.get("gain_ms"),
        "predicted_share": advice.get("gain_share"),
        "most": bool(advice.get("most")),
        "blocks": [],
        "present_ms": None, "remedy_ms": None, "change_ms": None, "change_share": None, "change_share_ci95": None,
        "verdict": "unknown", "error": why,
    }  # fmt: skip


def nothing(result: Result) -> dict[str, Any]:
    """The outcome where the verdicts of a run lead to no remedy that can be switched to."""
    advices = [verdict["advice"]["text"] for verdict in result["verdicts"] if verdict["advice"]]
    if not result["verdicts"]:
        why = "the run was too short for a verdict"
    elif advices:
        why = f"what is advised is for a person to do: {advices[0]}"
    else:
        why = f"no remedy is known for {result['verdicts'][0]['kind']}"
    return _unproven({}, why)


def sentence(outcome: Mapping[str, Any]) -> str:
    """`pinned helps: −1.08 ms (−30.0 %, 95 % −31.0 to −29.0 %) over 4 pairs; predicted was about −1.1 ms`."""
    if not outcome["action"]:
        return f"nothing to prove: {outcome['error']}"
    name = remedy_name(outcome["action"], outcome["value"])
    if outcome["change_share"] is None:
        return f"{name}: nothing is proven: {outcome['error'] or 'too few blocks'}"
    low, high = outcome["change_share_ci95"]
    unit = " a sample" if outcome["per"] == "sample" else ""
    share = f"{100 * outcome['change_share']:+.1f} %, 95 % {100 * low:+.1f} to {100 * high:+.1f} %"
    text = f"{units.signed(outcome['change_ms'])} ms{unit} ({share}) over {len(outcome['blocks'])} pairs"
    if outcome["predicted_ms"] is not None:
        about = "at most" if outcome["most"] else "about"
        text += f"; predicted was {about} {units.signed(-outcome['predicted_ms'])} ms{unit}"
    return f"{name} {outcome['verdict']}: {text.replace('-', '−')}"


def first_advice(result: Result) -> Mapping[str, Any] | None:
    """The advice of the verdict that stood longest, of those that an action follows; None where there is none."""
    advices = (verdict["advice"] for verdict in result["verdicts"])
    return next((advice for advice in advices if advice and advice.get("action")), None)
