"""One run as the reducer follows it: what its `run` records say, merged, and what its ticks add up to."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..backends.configuration import Configuration
from ..telemetry.histogram import Counts, Histogram
from .latency import (
    count,
    number,
    of_result,
    outside_of_result,
    response_of_result,
    stages_of_result,
    summarise,
    unbounded_of_result,
)
from .records import OUTSIDE, PHASES, STAGES, Key, Run, Tick, Verdict
from .view import Latency, RunView

RECENT = 30_000_000_000
"""ns of the latency that counts as recent."""

UNKNOWN = Configuration(backend="?", model="?")
"""Of a run whose beginning lies in a gap."""

_STALE = Latency(0, 0.0, 0, ())  # stands for one that must be computed anew
_KEPT = ("service", "response", *STAGES, *OUTSIDE)  # histograms that add up over the run
_WAITING_LIMIT = 64  # seconds of blobs that may wait for being decoded
_FIELDS = tuple(
    name for name in Run.__struct_fields__ if name not in ("t", "run", "phase", "repeat", "progress", "calls")
)


def merged(known: Run, news: Run) -> Run:
    """What is known of a run after another record of it: absent fields keep their value, progress is the phase's own."""
    fresh = {name: value for name in _FIELDS if (value := getattr(news, name)) not in (None, "")}
    if news.progress is not None or news.phase != known.phase:
        fresh["progress"] = news.progress
    if news.phase != known.phase:
        fresh["t"] = news.t
        if known.phase == "build":
            fresh.setdefault("note", "")  # how far the build was
    return msgspec.structs.replace(known, phase=news.phase, repeat=known.repeat or news.repeat, **fresh)


_BESIDE = ("agreement", "tolerance", "control", "asked_options")
"""Options that change nothing of what is timed: what is done before, and what was asked of other backends."""


def same_configuration(a: Configuration, b: Configuration) -> bool:
    """Whether two configurations measure the same, one of them perhaps as asked and the other as it was resolved.

    What the engine or the loaded model resolves (device, batch, dims, threads) counts as equal where one side does not say.
    """
    if any(getattr(a, name) != getattr(b, name) for name in ("backend", "model", "precision", "data_path")):
        return False
    if (a.load, a.environment, a.batch or 1) != (b.load, b.environment, b.batch or 1):
        return False
    if a.device and b.device and a.device != b.device:
        return False
    if any(a.dims[name] != b.dims[name] for name in a.dims.keys() & b.dims.keys()):
        return False
    own, other = dict(vars(a.options)), dict(vars(b.options))
    if own["threads"] is None or other["threads"] is None:
        own["threads"] = other["threads"] = None
    for name in _BESIDE:
        own[name] = other[name]
    return own == other


class RunState:
    """Follows one run. Times are session time, ns. The histograms are the same few however long the run is."""

    def __init__(self, record: Run, t: int) -> None:
        self.record = msgspec.structs.replace(record, t=t)
        self.drops = 0
        self.verdict: Verdict | None = None
        self.start: int | None = None  # end of the warm-up
        self.last: int | None = None  # newest tick with a request while measuring
        self.covered: int | None = None  # `last` when the newest histogram came: what `requests` go up to
        self.requests = 0
        self._unsettled = 0  # requests of ticks whose histogram has not come yet
        self._totals: dict[str, Histogram] = {}
        self._waiting: dict[str, list[_Blob]] = {}  # blobs by name, not yet in the totals
        self._recent: deque[tuple[int, _Blob]] = deque()
        self._latency: Latency | None = None
        self._response: Latency | None = None
        self.backlog: int | None = None
        self.grade: list[str] | None = None  # letter and reasons, as of the newest second
        self._window: tuple[tuple[int, int] | None, Latency | None] = (None, None)
        self._enter(record.phase, t)

    @property
    def number(self) -> int:
        return self.record.run

    @property
    def phase(self) -> str:
        return self.record.phase

    def _enter(self, phase: str, t: int) -> None:
        if phase == "measure" and self.start is None:
            self.start = t

    def update(self, record: Run, t: int) -> None:
        """Take another record of this run."""
        if self.phase == "measure" and record.phase == "warmup":
            self._anew()
        self._enter(record.phase, t)
        self.record = merged(self.record, msgspec.structs.replace(record, t=t))

    def _anew(self) -> None:
        """What was measured does not count: `open:auto` tries a lower rate."""
        self.record = msgspec.structs.replace(self.record, unbounded=None)
        self.start = self.last = self.covered = self.backlog = self._latency = self._response = None
        self.requests = self._unsettled = 0
        self._totals, self._waiting = {}, {}
        self._recent.clear()

    def tick(self, tick: Tick, t: int) -> None:
        """Take a tick of this run."""
        self.drops = tick.drops
        self.grade = tick.s or self.grade
        if tick.done:
            self.backlog = tick.backlog
        self._unsettled += tick.done
        if tick.done and self.phase == "measure":
            self.last = t
        if not tick.h:
            return
        # A tick's `done` includes the warm-up, and requests that were left out of the histogram for being instrumented.
        warm = 0
        if "warmup" in tick.h:
            warm = sum(counts.n for counts in _counts([_Blob(tick.h["warmup"])]))
        settled, self._unsettled = self._unsettled, 0
        if "service" not in tick.h:
            return
        self.requests += max(settled - warm, 0)
        self.covered = self.last or t
        for name in _KEPT:
            if name in tick.h:
                self._waiting.setdefault(name, []).append(_Blob(tick.h[name]))
        self._recent.append((t, self._waiting["service"][-1]))
        if len(self._waiting["service"]) > _WAITING_LIMIT:
            self._add_up()
        while self._recent and self._recent[0][0] <= t - RECENT:
            self._recent.popleft()
        self._latency = _STALE

    def _add_up(self) -> None:
        """Add the histograms that wait. They wait because a `key` often makes decoding them unnecessary."""
        for name, blobs in self._waiting.items():
            known = self._totals.get(name)
            self._totals[name] = Histogram.of([*([known.compact()] if known else ()), *_counts(blobs)])
        self._waiting = {}

    def resume(self, key: Key, offset: int) -> None:
        """Set the totals to what a `key` record says; `offset` is its segment's place in the session's time, ns."""
        self.requests = key.requests
        self.grade = key.s or self.grade
        self.start = None if key.start is None else key.start + offset
        self.covered = None if key.last is None else key.last + offset
        if self.covered is not None:
            self.last = max(self.covered, self.covered if self.last is None else self.last)
        self._totals = {}
        self._waiting = {name: [_Blob(key.h[name])] for name in _KEPT if name in key.h}
        self._latency = _STALE

    def totals(self) -> dict[str, str]:
        """The run's cumulative histograms, as a `key` record holds them."""
        self._add_up()
        return {name: histogram.encode() for name, histogram in self._totals.items()}

    def _whole(self) -> Latency | None:
        if self._latency is _STALE:
            self._add_up()
            service, response = self._totals.get("service"), self._totals.get("response")
            self._latency = summarise(service) if service else None
            self._response = summarise(response) if response else None
        return self._latency

    def _lately(self, now: int) -> Latency | None:
        """The service latency of the last 30 s before `now`."""
        times = [t for t, _ in self._recent if t > now - RECENT]
        span = (times[0], times[-1]) if times else None
        if self._window[0] != span:
            parts = _counts([blob for t, blob in self._recent if t > now - RECENT])
            self._window = (span, summarise(Histogram.of(parts)))
        return self._window[1]

    def view(self, now: int) -> RunView:
        """The run as it stands at `now`; an ended one by its result alone, which is the same however it was read."""
        record = self.record
        common: dict[str, Any] = {
            "run": record.run,
            "configuration": record.configuration or UNKNOWN,
            "phase": record.phase if record.phase in PHASES else "start",
            "phase_since": record.t,
            "progress": record.progress,
            "note": record.note,
            "inputs": tuple(record.inputs or ()),
            "assumed": record.assumed or {},
            "placement": record.placement,
            "agreement": _known(record, "agreement"),
            "fallback": record.fallback,
            "gpu": record.gpu,
            "quiet": record.quiet,
            "link": record.link,
            "work": record.work,
            "peaks": record.peaks,
            "libraries": record.libraries or {},
            "threads": record.threads,
            "cache": record.cache,
            "cold_start": record.cold_start,
            "runtime": _known(record, "runtime") or {},
            "control": _known(record, "control"),
            "verdict": self.verdict,
            "error": record.error,
        }
        if record.phase == "end":
            return RunView(**common, **_outcome(record.result or {}), result=record.result)
        latency = self._whole()  # brings the totals up to date
        measured = (self.covered - self.start) / 1e9 if self.covered and self.start is not None else 0.0
        samples = self.requests * (common["configuration"].batch or 1)
        stages = {name: self._totals[name] for name in STAGES if name in self._totals}
        outside = {name: self._totals[name].mean for name in OUTSIDE if name in self._totals}
        return RunView(
            **common,
            requests=self.requests,
            samples=samples,
            measured_s=max(measured, 0.0),
            throughput=samples / measured if measured > 0 else None,
            latency=latency,
            response=None if record.unbounded else self._response,
            unbounded=record.unbounded,
            backlog=self.backlog,
            recent=self._lately(now),
            stages={name: histogram.mean for name, histogram in stages.items()} or None,
            outside=outside or None,
            stage_n=max((histogram.n for histogram in stages.values()), default=0),
            **_graded(self.grade),
            drops=self.drops,
        )


def _known(record: Run, name: str) -> Mapping[str, Any] | None:
    """What the run's end says of it, else what was known when its requests began."""
    said = (record.result or {}).get(name)
    found: Mapping[str, Any] | None = said if isinstance(said, dict) and said else getattr(record, name)
    return found


def _graded(said: Sequence[str] | None) -> dict[str, Any]:
    """The grade and its reasons as fields of a RunView."""
    if not said or said[0] not in ("A", "B", "C"):
        return {}
    return {"grade": said[0], "grade_reasons": tuple(said[1:])}


def _outcome(result: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a RunView that the result of an ended run gives."""
    reasons = result.get("stability_reasons")
    grade = result.get("stability")
    return {
        "requests": count(result.get("requests")),
        "samples": count(result.get("samples")),
        "measured_s": number(result.get("duration_s")) or 0.0,
        "throughput": number(result.get("throughput")),
        "latency": of_result(result),
        "response": response_of_result(result),
        "unbounded": unbounded_of_result(result),
        "stages": stages_of_result(result),
        "outside": outside_of_result(result),
        "stage_n": count(result.get("stage_n")),
        "grade": grade if grade in ("A", "B", "C") else None,
        "grade_reasons": tuple(str(r) for r in reasons) if isinstance(reasons, list) else (),
        "drops": count(result.get("dropped")),
    }


class _Blob:
    """A histogram of the log, decoded once: the run's total and the last 30 s both add it up."""

    __slots__ = ("counts", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.counts: Counts | None = None


def _counts(blobs: Sequence[_Blob]) -> list[Counts]:
    """The counts of the blobs; of what is no blob none."""
    fresh = [blob for blob in blobs if blob.counts is None]
    try:
        decoded = Counts.decode_all([blob.text for blob in fresh])
    except ValueError:
        decoded = [_of_blob(blob.text) for blob in fresh]
    for blob, counts in zip(fresh, decoded, strict=True):
        blob.counts = counts
    return [blob.counts for blob in blobs if blob.counts is not None]


def _of_blob(text: str) -> Counts:
    try:
        return Counts.decode(text)
    except ValueError:
        return Counts.nothing()
