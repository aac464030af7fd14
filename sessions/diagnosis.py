"""The verdicts of a session, out of its own records: in the engine as they are written, in a test out of a recording.

`take` is called with every record on the engine's main thread: a few µs for a tick, less than a millisecond for the second's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..backends.backend_options import fitted
from ..backends.configuration import Configuration, Options
from ..telemetry import bottleneck
from ..telemetry.bottleneck import Steady, diagnose
from ..telemetry.verdict_advice import Advice
from ..telemetry.verdict_window import Choice, Window
from . import units
from .records import AnyRecord, Event, Evidence, Header, Run, Tick, Verdict
from .runs import merged
from .windows import Windows, choice_of

REPEAT_NS = 5_000_000_000
"""A verdict that stands is written again so often, with fresh numbers."""

MIXED_BELOW = 0.6
"""Where no verdict stood for this share of the time the run as a whole is mixed."""

SETTLED_WINDOWS = 3
"""So many windows of a new configuration are compared with the one before it."""

DIGITS = 4  # that count in a piece of evidence

Family = tuple[object, ...]


@dataclass
class Shares:
    """How long a verdict stood in a run, s, and what was last said with it."""

    seconds: float = 0.0
    confidence: float = 0.0  # summed, times s
    last: Verdict | None = None


@dataclass
class Total:
    """The windows of a run so far."""

    windows: int = 0
    requests: int = 0
    service: float = 0.0  # summed, ns

    def add(self, window: Window) -> None:
        self.windows += 1
        self.requests += window.requests
        self.service += window.service * window.requests

    @property
    def mean(self) -> float:
        return self.service / self.requests if self.requests else 0.0


@dataclass(frozen=True)
class Advised:
    """The remedy that a run ended with, and what it was to improve: the run's mean service latency, ns."""

    family: Family
    advice: Advice
    before: float
    batch: int


class Diagnosis:
    """Follows a session. It holds the same however long that is, but for the configurations that were tried."""

    def __init__(self) -> None:
        self._windows = Windows()
        self._steady = Steady()
        self._tried: dict[Family, dict[Choice, float | None]] = {}
        self._usable: dict[str, frozenset[str]] = {}
        self._shares: dict[str, Shares] = {}
        self._total = Total()
        self._written: Verdict | None = None
        self._due = False  # a new segment has no verdict yet
        self._advice: Advice | None = None
        self._advised: Advised | None = None
        self._measured: dict[str, Any] | None = None

    def take(self, record: AnyRecord) -> list[Verdict | Event]:
        """The next record of the log; what is to be written because of it."""
        if isinstance(record, Tick):
            window = self._windows.take(record)
            return [] if window is None else self._judge(window, record.t)
        if isinstance(record, Run):
            self._enter(record)
        elif isinstance(record, Header):
            self._windows.begin(record)
            self._due = True
        elif isinstance(record, Event) and record.kind == "backends":
            self._learn(record)
        elif isinstance(record, Event) and record.data.get("telemetry") == "off":
            self._windows.forget()
        return []

    def shares(self) -> list[dict[str, Any]]:
        """The present run's verdicts by the share of its time, longest first; `mixed` before them where the first has too little."""
        total = sum(share.seconds for share in self._shares.values())
        if not total:
            return []
        return with_mixed([_summary(kind, share, total) for kind, share in self._shares.items()])

    @property
    def verdict(self) -> Verdict | None:
        """The one that stands, as it was written last."""
        return self._written

    # -- what happens

    def _learn(self, event: Event) -> None:
        """Which backends can be used, as the probe of an environment said."""
        found = event.data.get("backends")
        if isinstance(found, list):
            usable = frozenset(str(b.get("name")) for b in found if isinstance(b, dict) and b.get("usable"))
            self._usable[str(event.data.get("environment") or "")] = usable

    def _enter(self, record: Run) -> None:
        known = self._windows.run
        new = record.run != known.run
        run = record if new else merged(known, record)
        if new:
            self._steady, self._shares, self._total = Steady(), {}, Total()
            self._written = self._measured = self._advice = None
        if run.phase == "end" and known.phase != "end":
            self._remember(run)
        self._windows.enter(run)

    def _remember(self, run: Run) -> None:
        """A run has ended: what it measured counts as tried, and its advice may be followed now."""
        configuration, result = run.configuration, run.result or {}
        if configuration is None or (
            run.error is not None and run.error.kind == "stopped" and not self._total.windows
        ):
            return
        family, choice = family_of(configuration), choice_of(configuration)
        tried = self._tried.setdefault(family, {})
        if result.get("status") in ("ok", "fallback") and self._total.windows:
            p50 = (result.get("latency_ms") or {}).get("p50")
            tried[choice] = p50 / (configuration.batch or 1) if isinstance(p50, int | float) else None
        else:
            tried.setdefault(choice, None)
        if self._advice is not None and self._advice.choice is not None and self._total.windows:
            self._advised = Advised(family, self._advice, self._total.mean, configuration.batch or 1)

    def _judge(self, window: Window, t: int) -> list[Verdict | Event]:
        run = self._windows.run
        configuration = run.configuration
        if configuration is None:
            return []
        self._total.add(window)
        tried = self._tried.get(family_of(configuration), {})
        usable = self._usable.get(configuration.environment or "")
        fresh = diagnose(window, tried, usable)
        stands = self._steady.take(fresh)
        said: list[Verdict | Event] = list(self._compare(configuration, t))
        self._advice = stands.advice
        record = as_record(stands, t, run.run, window.seconds, self._measured)
        share = self._shares.setdefault(stands.kind, Shares())
        share.seconds += window.seconds
        share.confidence += stands.confidence * window.seconds
        share.last = record
        before = self._written
        if self._due or before is None or record.kind != before.kind or t - before.t >= REPEAT_NS or said:
            self._written, self._due = record, False
            said.append(record)
        return said

    def _compare(self, configuration: Configuration, t: int) -> list[Event]:
        """Once a remedy has been measured for a few seconds: what it gained beside what was predicted."""
        advised = self._advised
        if advised is None or self._total.windows != SETTLED_WINDOWS:
            return []
        self._advised = None
        if advised.family != family_of(configuration) or advised.advice.choice != choice_of(configuration):
            return []
        per_sample = advised.advice.per == "sample"
        before = advised.before / (advised.batch if per_sample else 1)
        now = self._total.mean / ((configuration.batch or 1) if per_sample else 1)
        gain = before - now
        predicted = advised.advice.gain
        self._measured = {
            "action": advised.advice.action,
            "value": advised.advice.value,
            "gain_ms": rounded(gain / 1e6),
            "gain_share": rounded(gain / before) if before else None,
            "predicted_ms": None if predicted is None else rounded(predicted / 1e6),
            "predicted_share": None if advised.advice.share is None else rounded(advised.advice.share),
        }
        change = f"{units.signed(-gain / 1e6)} ms"
        text = f"measured {change}{' a sample' if per_sample else ''} ({units.change(-gain / before)})"
        text += f"; predicted was {advised.advice.text}"
        return [Event(t=t, kind="verdict", text=text, run=self._windows.run.run, data=dict(self._measured))]


def family_of(configuration: Configuration) -> Family:
    """What a remedy leaves as it is; runs of one family are comparable."""
    options = replace(configuration.options, threads=None, agreement=False)
    return (
        configuration.model, configuration.device, tuple(sorted(configuration.dims.items())), configuration.load, configuration.environment,
        repr(options),
    )  # fmt: skip


def as_record(
    verdict: bottleneck.Verdict, t: int, run: int, seconds: float, measured: Mapping[str, Any] | None
) -> Verdict:
    """As the log holds it: numbers with as many digits as count; of a signal that is not known here the value is null."""
    evidence = [
        Evidence(
            signal.name, None if signal.value is None else rounded(signal.value), signal.unit,
            None if signal.threshold is None else rounded(signal.threshold), rounded(seconds), signal.sense,
        )
        for signal in verdict.evidence
    ]  # fmt: skip
    advice: dict[str, Any] | None = None
    if verdict.advice is not None:
        given = verdict.advice
        advice = {
            "action": given.action,
            "value": given.value,
            "text": given.text,
            "gain_ms": None if given.gain is None else rounded(given.gain / 1e6),
            "gain_share": None if given.share is None else rounded(given.share),
            "most": given.most,
            "per": given.per,
            "assumed": given.assumed,
        }
    if measured is not None:
        advice = {
            **(advice or {"action": "", "value": None, "text": "", "gain_ms": None, "gain_share": None}),
            "measured": dict(measured),
        }
    return Verdict(
        t=t,
        run=run,
        kind=verdict.kind,
        confidence=verdict.confidence,
        text=verdict.text,
        evidence=evidence,
        advice=advice,
    )


def remedy(configuration: Configuration, advice: Mapping[str, Any]) -> Configuration | None:
    """The configuration that an advice leads to; None where no action follows it."""
    action, value = advice.get("action"), advice.get("value")
    if action == "data-path" and isinstance(value, str):
        return replace(configuration, data_path=value)
    if action == "precision" and isinstance(value, str):
        return replace(configuration, precision=value)
    if action == "backend" and isinstance(value, str):
        return fitted(replace(configuration, backend=value))
    if action == "batch-up" and isinstance(value, int):
        return replace(configuration, batch=value)
    if action == "threads" and isinstance(value, int):
        options: Options = replace(configuration.options, threads=value)
        return replace(configuration, options=options)
    return None


def rounded(value: float) -> float:
    """With DIGITS digits that count, so that a log holds no noise."""
    return float(f"{value:.{DIGITS}g}")


def with_mixed(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Verdicts by their share, largest first, and `mixed` before them where the first has too little."""
    ordered = sorted(found, key=lambda item: (-item["share"], item["kind"]))
    if not ordered or ordered[0]["share"] >= MIXED_BELOW:
        return ordered
    parts = ", ".join(f"{item['kind']} {100 * item['share']:.0f} %" for item in ordered)
    return [
        {"kind": "mixed", "share": 1.0, "confidence": 0.0, "text": parts, "evidence": [], "advice": None},
        *ordered,
    ]


def together(repeats: list[tuple[list[dict[str, Any]], float]]) -> list[dict[str, Any]]:
    """The verdicts of repeats as one list, each repeat with its measured time, s, as weight; the words are those of the first."""
    total = sum(seconds for verdicts, seconds in repeats if verdicts)
    found: dict[str, dict[str, Any]] = {}
    for verdicts, seconds in repeats:
        for item in verdicts:
            if item["kind"] != "mixed" and total:
                share = item["share"] * seconds / total
                known = found.setdefault(item["kind"], {**item, "share": 0.0})
                known["share"] += share
    return with_mixed([{**item, "share": round(item["share"], 4)} for item in found.values()])


def _summary(kind: str, share: Shares, total: float) -> dict[str, Any]:
    """An element of a result's `verdicts`."""
    last = share.last
    return {
        "kind": kind,
        "share": round(share.seconds / total, 4),
        "confidence": round(share.confidence / share.seconds, 2) if share.seconds else 0.0,
        "text": last.text if last else "",
        "evidence": [_plain(item) for item in last.evidence] if last else [],
        "advice": last.advice if last else None,
    }


def _plain(evidence: Evidence) -> dict[str, Any]:
    return {name: getattr(evidence, name) for name in Evidence.__struct_fields__}
