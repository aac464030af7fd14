"""Playing a recording: a cursor that moves through a session like a clock, and the picture under it."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..backends.errors import MeasureError
from . import lineup, times
from .history import SECOND
from .liveness import is_live
from .records import End, Event, Run, Tick, Verdict
from .runs import UNKNOWN
from .session import HISTORY_S, Session
from .standing import Standing, standing
from .state import SessionState
from .texts import cleaned, line
from .view import BackendView, View

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)

_STRIDE = 10 * SECOND  # the cursor moves on record by record up to this far; farther is a seek
_GRACE = SECOND  # while playing, `previous` means the mark before the one just passed
_REFRESH = SECOND // 5  # ns of the clock between two looks at whether the recording grows


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, for the timeline: an event, or the start of a run."""

    t: int  # ns, session time
    kind: str  # "run", "event", "warn", "error", "verdict": another one stands from here on
    label: str = ""
    backend: str = ""  # of a run: its full name
    run: int = 0


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole recording: first and last instant, what happened between, and the times that are missing; ns of session time."""

    start: int
    end: int
    marks: tuple[Mark, ...] = ()
    gaps: tuple[tuple[int, int], ...] = ()


class ReplaySource:
    """A session and a cursor in it. Times are ns of session time. Every call returns at once and shows in the next `poll`."""

    def __init__(self, path: Path, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Open the session at its beginning, playing. `clock` gives ns. Raises MeasureError where there is none."""
        self.session = Session(path)
        if not self.session.parts:
            self.session.close()
            raise MeasureError(
                "not-a-session",
                f"{path} holds nothing that can be played yet",
                "infertop ls lists the sessions",
            )
        self._clock = clock
        self._at = clock()
        self._looked = self._at
        self._position = float(self.session.start)
        self._playing = True
        self._following = False
        self._speed = 1.0
        self._state: SessionState | None = None
        self._shown: int | None = None  # the position of the state
        self._complete: tuple[int, int] | None = None  # (segments, frames of the last) where that was the end
        self._view: View | None = None
        self._history_s = HISTORY_S
        self._timeline: tuple[int, Timeline] | None = None  # with the bytes that it was made of
        self._backends: tuple[int, tuple[BackendView, ...]] | None = None  # likewise

    def close(self) -> None:
        self.session.close()

    # -- the clock

    @property
    def playing(self) -> bool:
        return self._playing

    @property
    def speed(self) -> float:
        return self._speed

    @property
    def following(self) -> bool:
        """Whether the cursor stays at the end of a recording that still grows."""
        return self._following

    @property
    def position(self) -> int:
        """Where the cursor is."""
        self._advance()
        return round(self._position)

    def play(self) -> None:
        """Go on from here; at the end, from the beginning."""
        self._advance()
        if not self._playing and round(self._position) >= self.session.end:
            self._position = float(self.session.start)
        self._playing = True

    def pause(self) -> None:
        self._advance()
        self._playing = self._following = False

    def set_speed(self, speed: float) -> None:
        """Session seconds per second, between 0.25 and 64."""
        self._advance()
        self._speed = min(max(speed, SPEEDS[0]), SPEEDS[-1])

    def faster(self) -> None:
        self.set_speed(next((s for s in SPEEDS if s > self._speed), SPEEDS[-1]))

    def slower(self) -> None:
        self.set_speed(next((s for s in reversed(SPEEDS) if s < self._speed), SPEEDS[0]))

    def _advance(self) -> None:
        """Move the cursor to where the clock has brought it, at most to the end; there it pauses, and nothing is left."""
        now = self._clock()
        passed, self._at = now - self._at, now
        if self._following:
            self._position = float(self.session.end)
        elif self._playing:
            self._position += passed * self._speed
            if self._position >= self.session.end:
                self._position = float(self.session.end)
                self._playing = False

    # -- moving

    def seek(self, t: int) -> None:
        """Put the cursor at `t`, or at the end of the recording that is nearest to it."""
        self._advance()
        self._following = False
        self._position = float(min(max(t, self.session.start), self.session.end))

    def follow(self) -> None:
        """Go to the end, and stay there while the recording grows."""
        self._advance()
        self._following = self._playing = self._growing()
        self._position = float(self.session.end)

    def begin(self) -> None:
        """Go to where there is something to be seen: a second after measuring first began, or the start where nothing was measured."""
        first = next((t for t, run in self.session.runs if run.phase == "measure"), None)
        self.seek(self.session.start if first is None else first + SECOND)

    def step(self, ticks: int) -> None:
        """Pause, and move by so many ticks."""
        self.pause()
        t = round(self._position)
        for _ in range(abs(ticks)):
            found = self._next_tick(t) if ticks > 0 else self._previous_tick(t)
            if found is None:
                break
            t = found
        self.seek(t)

    def _next_tick(self, t: int, wanted: Callable[[Tick], bool] = lambda _: True) -> int | None:
        """The time of the first tick after `t` that is wanted."""
        found = (
            at for at, r in self.session.range(t + 1, self.session.end) if isinstance(r, Tick) and wanted(r)
        )
        return next(found, None)

    def _previous_tick(self, t: int) -> int | None:
        reach = SECOND
        while True:
            found = [at for at, r in self.session.range(t - reach, t - 1) if isinstance(r, Tick)]
            if found or t - reach < self.session.start:
                return found[-1] if found else None
            reach *= 8

    def next_mark(self) -> None:
        """Go to the next event or start of a run, if there is one."""
        moments = self._moments()
        after = bisect_right(moments, self.position)
        if after < len(moments):
            self.seek(moments[after])

    def previous_mark(self) -> None:
        """Go to the event or start of a run before; to the beginning where there is none."""
        moments = self._moments()
        before = bisect_left(moments, self.position - (_GRACE if self._playing else 0)) - 1
        self.seek(moments[before] if before >= 0 else self.session.start)

    def _moments(self) -> list[int]:
        return sorted(mark.t for mark in self.timeline().marks)

    def next_run(self, backend: str) -> None:
        """Go to the next run of a backend (its full name), after the last one to the first. Raises MeasureError where there is none."""
        runs = [mark.t for mark in self.timeline().marks if mark.kind == "run" and mark.backend == backend]
        if not runs:
            raise MeasureError("not-found", f"{line(backend, 60)} was not measured in this session")
        self.seek(next((t for t in runs if t > self.position), runs[0]))

    def go(self, text: str) -> None:
        """Go to `12:04:10`, `+90s`, `-3m`, `90s` or the next `p99>20ms`. Raises MeasureError with one sentence where that is nowhere."""
        target = times.parse(text)
        if isinstance(target, times.Offset):
            self.seek(self.position + target.ns)
        elif isinstance(target, times.FromStart):
            self.seek(self.session.start + target.ns)
        elif isinstance(target, times.TimeOfDay):
            self.seek(self._of_day(target, text))
        else:
            found = self._next_tick(self.position, lambda tick: tick.q is not None and target.holds(tick.q))
            if found is None:
                raise MeasureError(
                    "not-found",
                    f"from here on no tick has {line(text.strip(), 40)}",
                    "go back with 0s, or ask for less",
                )
            self.seek(found)

    def _of_day(self, target: times.TimeOfDay, text: str) -> int:
        """The first moment of the recording at that time of day."""
        first, last = self.session.unix(self.session.start), self.session.unix(self.session.end)
        day = time.localtime(first / 1e9)
        for later in range(2 + (last - first) // (86_400 * SECOND)):
            midnight = time.mktime((day.tm_year, day.tm_mon, day.tm_mday + later, 0, 0, 0, 0, 0, -1))
            unix = round((midnight + target.seconds) * 1e9)
            # A time is typed without its fraction: the second in which the recording begins is meant, not missed.
            if first - SECOND < unix <= last:
                return self.session.at(unix)
        words = [time.strftime("%H:%M:%S", time.localtime(unix / 1e9)) for unix in (first, last)]
        raise MeasureError(
            "not-found",
            f"{text.strip()} is outside of the recording",
            f"it goes from {words[0]} to {words[1]}",
        )

    # -- the picture

    def timeline(self) -> Timeline:
        """The recording as a whole, as far as it goes now."""
        session = self.session
        if self._timeline is None or self._timeline[0] != session.size:
            marks = [_event_mark(t, event) for t, event in session.events if event.text]
            marks += [_run_mark(t, run) for t, run in session.runs if run.phase == "start"]
            marks += _verdict_marks(session.verdicts)
            marks.sort(key=lambda mark: mark.t)
            self._timeline = (
                session.size,
                Timeline(session.start, session.end, tuple(marks), tuple(session.gaps)),
            )
        return self._timeline[1]

    def need(self, seconds: int) -> None:
        """Pictures need so many seconds of history: half as many, and a seek takes half as long. The present one is made anew for more."""
        if seconds > self._history_s:
            self._state = self._view = None
        self._history_s = float(seconds)

    def poll(self) -> View:
        """The picture under the cursor: the same object while nothing is new."""
        self._look()
        t = self.position
        parts = self.session.parts
        extent = (len(parts), len(parts[-1][0]))
        at_end = t >= self.session.end
        if self._view is not None and t == self._shown and (extent == self._complete or not at_end):
            return self._view
        self._state = self._state_at(t, extent if at_end else None)
        self._shown, self._complete = t, extent if at_end else None
        alive = not (at_end and self._lost())
        self._view = self._state.view(t, alive=alive, gaps=self.session.damaged, size=self.session.size)
        return self._view

    def backends(self) -> tuple[BackendView, ...]:
        """The backends of the whole recording, so that a digit means the same wherever the cursor stands."""
        session = self.session
        if self._backends is None or self._backends[0] != session.size:
            found = lineup.of_recording((e for _, e in session.events), (r for _, r in session.runs))
            self._backends = (session.size, found)
        return self._backends[1]

    def _state_at(self, t: int, extent: tuple[int, int] | None) -> SessionState:
        """The state at `t`, from the present one where that is near; `extent` is (segments, frames of the last) if `t` is the end."""
        state, shown, complete = self._state, self._shown, self._complete
        if state is None or shown is None:
            return self.session.seek(t, self._history_s)
        if extent and complete and extent[0] == complete[0]:
            # What was appended since, by its place: at the end two records may be of one instant.
            for records in self.session.parts[-1][0].read(complete[1], extent[1]):
                for record in records:
                    state.apply(record)
            return state
        if not 0 < t - shown <= _STRIDE or self._crosses(shown, t):
            return self.session.seek(t, self._history_s)
        for _, record in self.session.range(shown + 1, t):
            state.apply(record)
        return state

    def _crosses(self, t0: int, t1: int) -> bool:
        """Whether another segment begins between."""
        return self.session.index(t0) != self.session.index(t1)

    def _look(self) -> None:
        """Take in what a live recording has got since."""
        now = self._clock()
        if now - self._looked >= _REFRESH and self._growing():
            self._looked = now
            self.session.refresh()

    def _growing(self) -> bool:
        """Whether more may come."""
        end = self.session.parts[-1][0].end
        return not isinstance(end, End) or end.next is not None

    def _lost(self) -> bool:
        """Whether its engine ended without a word."""
        segment = self.session.parts[-1][0]
        return segment.end is None and not is_live(segment.path)


def _event_mark(t: int, event: Event) -> Mark:
    event = cleaned(event)
    return Mark(t, event.level if event.level in ("warn", "error") else "event", event.text, run=event.run)


def _run_mark(t: int, run: Run) -> Mark:
    configuration = cleaned(run).configuration or UNKNOWN
    return Mark(t, "run", configuration.label, configuration.backend, run.run)


def _verdict_marks(verdicts: Sequence[tuple[int, Verdict]]) -> list[Mark]:
    """Where another verdict stands than before."""
    stood: Standing | None = None
    found: list[Mark] = []
    for t, verdict in verdicts:
        begins = standing(stood, t, verdict)
        if begins is not None:
            stood = begins
            found.append(Mark(t, "verdict", begins.kind, run=begins.run))
    return found
