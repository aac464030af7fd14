"""The reducer: records in, one frozen View out for each paint. What it holds has the same size after an hour as after a minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from . import company, lineup
from .history import HistoryRing, Row
from .records import Clock, End, Event, Fault, Header, Key, Processes, Record, Run, Tick, Verdict
from .runs import RunState, merged, same_configuration
from .standing import Standing, standing
from .texts import cleaned
from .view import BackendView, CallCost, Company, RunView, View

RUNS = 64
EVENTS = 200
STANDINGS = 128
"""The most changes of the verdict that are kept."""

PROCESSES = 256
"""The most processes of a table that are shown."""

METRICS = 4096
"""The most metrics of a table that are followed."""

_WORKER_GONE = 3_000_000_000  # ns; a worker that lives is read at every tick
_WAITING = 256  # ticks that are taken together into the history
_DATA_LIMIT = 4096  # bytes of an event's data that are kept
_LOST = Fault("engine-lost", "the engine ended before this run did", "run it again")
_UNSEEN = Fault("unknown", "how this run ended is not in the recording")


class SessionState:
    """The state of a session after the records applied so far.

    Records come in the order of the log, a segment's `header` first. The session's time is ns since the first segment's clock pair; a
    later segment begins where the wall clock says, but never before the end of the one before.
    """

    def __init__(self, since: int | None = None) -> None:
        """`since` is the first second of the history, for a state that begins within a session."""
        self.header: Header | None = None
        self.offset = 0
        """Where the present segment's clock pair lies in the session's time, ns."""
        self.now = 0
        """Session time of the newest record, ns."""
        self.end: End | None = None
        """The present segment's `end`, once it has come."""
        self._first: Clock | None = None
        self._run: RunState | None = None
        self._ended: deque[tuple[Run, RunView]] = deque(maxlen=RUNS)
        self._ring = HistoryRing(since=since)
        self._rows: list[Row] = []
        self._events: deque[Event] = deque(maxlen=EVENTS)
        self._backends: tuple[BackendView, ...] = ()
        self._verdict: Verdict | None = None
        self._standings: deque[Standing] = deque(maxlen=STANDINGS)
        self._level = "full"
        self._company: dict[str, Company] = {}
        self._calls: dict[str, CallCost] = {}
        self._processes: Processes | None = None
        self._apply = {
            Tick: self._tick, Run: self._run_record, Event: self._event, Verdict: self._take_verdict,
            Key: self._resume, End: self._close, Header: self._begin, Processes: self._take_processes,
        }  # fmt: skip

    def apply(self, record: Record) -> None:
        """Take the next record of the log."""
        self._apply[type(record)](record)  # type: ignore[operator]

    def begin(self, header: Header, offset: int) -> None:
        """Take the header of a segment that lies at `offset` in the session's time, ns."""
        self._flush()
        before, self.header = self.header, cleaned(header)
        self._first = self._first or header.clock
        self.offset, self.end = offset, None
        self._level = self.header.telemetry
        self._ring.change_table(self.header.metrics[:METRICS])
        if before is not None and before.pid != header.pid:
            self._abandon(_LOST)
            self._company, self._calls = {}, {}

    def _begin(self, header: Header) -> None:
        first = self._first or header.clock
        self.begin(header, max(header.clock.unix - first.unix, self.now))

    def _at(self, t: int) -> int:
        t += self.offset
        self.now = max(self.now, t)
        return t

    # -- ticks

    def _tick(self, tick: Tick) -> None:
        t = self._at(tick.t)
        run = self._run
        measuring = False
        if run is not None and run.number == tick.run and run.phase != "end":
            run.tick(tick, t)
            measuring = run.phase == "measure"
        self._rows.append(Row(t, tick, measuring))
        if len(self._rows) >= _WAITING:
            self._flush()

    def _flush(self) -> None:
        self._ring.extend(self._rows)
        self._rows.clear()

    # -- runs

    def _run_record(self, record: Run) -> None:
        record = cleaned(record)
        t = self._at(record.t)
        self._count(record.calls)
        if self._run is not None and record.run == self._run.number:
            was = self._run.phase
            self._run.update(record, t)
            if record.phase == "end" or was == "end":
                self._settle(self._run)
        elif self._run is not None and record.run < self._run.number:
            self._correct(record)
        else:
            self._abandon(_UNSEEN)
            self._run = RunState(record, t)
            self._verdict = None
            if record.phase == "end":
                self._settle(self._run)

    def _count(self, calls: Mapping[str, list[float]] | None) -> None:
        """What driver calls have cost so far."""
        if calls is not None:
            known = {name: figures for name, figures in calls.items() if len(figures) == 3}
            self._calls = {name: CallCost(int(n), mean, most) for name, (n, mean, most) in known.items()}

    def _settle(self, run: RunState) -> None:
        """Put an ended run among the ended ones, or there anew."""
        if self._ended and self._ended[-1][0].run == run.number:
            self._ended.pop()
        self._ended.append((run.record, run.view(self.now)))

    def _correct(self, record: Run) -> None:
        """A late record of an earlier run."""
        for i, (known, _) in enumerate(self._ended):
            if known.run == record.run:
                run = RunState(merged(known, msgspec.structs.replace(record, phase="end")), known.t)
                self._ended[i] = (run.record, run.view(self.now))

    def _abandon(self, fault: Fault) -> None:
        """The present run will get no `end` of its own any more."""
        run = self._run
        if run is not None and run.phase != "end":
            run.update(Run(t=0, run=run.number, phase="end", error=fault), self.now)
            self._settle(run)

    def _take_verdict(self, verdict: Verdict) -> None:
        verdict = cleaned(msgspec.structs.replace(verdict, t=self._at(verdict.t)))
        begins = standing(self._standings[-1] if self._standings else None, verdict.t, verdict)
        if begins is not None:
            self._standings.append(begins)
        if self._run is not None and verdict.run == self._run.number:
            self._run.verdict = self._verdict = verdict
            if self._run.phase == "end":
                self._settle(self._run)

    def _take_processes(self, record: Processes) -> None:
        record = cleaned(record)
        listed = record.processes[:PROCESSES]
        self._processes = msgspec.structs.replace(record, t=self._at(record.t), processes=listed)

    # -- events and ends

    def _event(self, event: Event) -> None:
        event = cleaned(msgspec.structs.replace(event, t=self._at(event.t)))
        if (found := lineup.told(event)) is not None and (lineup.own(event) or not self._backends):
            self._backends = found
        if event.kind == "telemetry" and isinstance(level := event.data.get("telemetry"), str):
            self._level = level
        if event.kind == company.KIND:
            self._company |= company.read(event.data)
            if not event.text:
                return  # of infertop's own processes alone: for the picture, not for the list of events
        if event.data and len(msgspec.json.encode(event.data)) > _DATA_LIMIT:
            event = msgspec.structs.replace(event, data={})
        self._events.append(event)

    def _close(self, end: End) -> None:
        self._at(end.t)
        self.end = cleaned(end)

    # -- keys

    def key(self, t: int, clock: Clock) -> Key:
        """What a reader needs to go on from here, as a record of segment time `t`; best right after a tick with histograms."""
        self._flush()
        run, before = self._run, self._before_record()
        return Key(
            t=t,
            run=run.number if run else 0,
            phase=run.phase if run else "",
            clock=clock,
            requests=run.requests if run else 0,
            start=None if run is None or run.start is None else run.start - self.offset,
            last=None if run is None or run.covered is None else run.covered - self.offset,
            h=run.totals() if run and run.phase != "end" else {},
            m=self._ring.newest(),
            s=run.grade if run and run.phase != "end" else None,
            opened=self._local(run.record) if run else None,
            before=self._local(before) if before else None,
        )

    def _local(self, record: Run) -> Run:
        return msgspec.structs.replace(record, t=record.t - self.offset)

    def _resume(self, key: Key) -> None:
        key = cleaned(key)
        self._count(key.calls)
        t = self._at(key.t)
        self._flush()
        self._ring.recall(key.m, t)
        if key.before is not None and not self._ended and self._run is None:
            before = msgspec.structs.replace(key.before, t=key.before.t + self.offset, phase="end")
            self._ended.append((before, RunState(before, before.t).view(t)))
        if key.opened is None:
            return
        run = self._run
        if (
            run is None
            or key.run > run.number
            or (key.run == run.number and run.phase not in (key.phase, "end"))
        ):
            self._run_record(key.opened)
        if self._run is not None and key.run == self._run.number and self._run.phase != "end":
            self._run.resume(key, self.offset)

    # -- the picture

    def _before_record(self) -> Run | None:
        """The newest ended run with requests whose configuration is another than the present run's."""
        run = self._run
        if run is None or run.record.configuration is None:
            return None
        for record, view in reversed(self._ended):
            if record.run == run.number or view.latency is None or record.configuration is None:
                continue
            if not same_configuration(record.configuration, run.record.configuration):
                return record
        return None

    def view(self, now: int | None = None, *, alive: bool = True, gaps: int = 0, size: int = 0) -> View:
        """The picture at session time `now` (ns; that of the newest record by default).

        `alive`, `gaps` and `size` are the source's knowledge: whether more may come, how many damaged places it has skipped, and how many
        bytes it has read.
        """
        self._flush()
        now = self.now if now is None else now
        before = self._before_record()
        views = {record.run: view for record, view in self._ended}
        run = self._run
        return View(
            header=self.header,
            now=now,
            unix=now - self.offset + self.header.clock.unix if self.header else 0,
            state=self._state(alive),
            run=(views.get(run.number) or run.view(now)) if run else None,
            before=views[before.run] if before else None,
            runs=tuple(views.values()),
            backends=self._backends,
            **self._readings(now),
            history=self._ring.view(),
            events=tuple(self._events),
            verdict=self._verdict,
            standings=tuple(self._standings),
            processes=self._processes,
            since_request=_since_request(run, now),
            gaps=gaps,
            bytes=size,
            telemetry=self._level,
            company=dict(self._company),
            calls=dict(self._calls),
        )

    def _state(self, alive: bool) -> str:
        if self.header is None:
            return "waiting"
        if self.end is not None and self.end.next is None:
            return "ended"
        return "live" if alive else "lost"

    def _readings(self, now: int) -> dict[str, Any]:
        ring = self._ring
        if self._level == "off":  # what was read last says nothing of now
            return {"values": {}, "ages": {}, "metrics": ring.metrics}
        known = np.array(
            [i for i in np.flatnonzero(~np.isnan(ring.values)) if not self._gone(int(i), now)], np.intp
        )
        names = [ring.metrics[i].id for i in known]
        ages = np.maximum(now - ring.read[known], 0) / 1e9
        return {
            "values": dict(zip(names, ring.values[known].tolist(), strict=True)),
            "ages": dict(zip(names, ages.tolist(), strict=True)),
            "metrics": ring.metrics,
        }

    def _gone(self, i: int, now: int) -> bool:
        """Whether this reading is of a worker that runs no more."""
        ring = self._ring
        return ring.metrics[i].id.startswith("worker.") and now - ring.read[i] > _WORKER_GONE


def _since_request(run: RunState | None, now: int) -> float | None:
    if run is None or run.phase != "measure":
        return None
    last = run.last if run.last is not None else run.start
    return None if last is None else max(now - last, 0) / 1e9
