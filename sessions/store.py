"""The sessions of this user: making one, finding one by what a person types, listing them."""

from __future__ import annotations

import contextlib
import difflib
import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..backends.errors import MeasureError
from . import pareto
from .latency import number
from .liveness import is_live
from .places import make_sessions_directory, runtime_directory, sessions_directory, socket_path
from .reader import SUFFIX, Segment, read_header
from .records import Header, Run
from .session import Session, segment_paths
from .texts import line
from .units import significant

_NAME_LIMIT = 100  # characters of a session's name
_SLUG_LIMIT = 40  # of it, of the model
_LAST = re.compile(r"last(?:~(\d{1,6}))?")
_SETTLED = 60.0  # s; what is younger may belong to an engine that is just starting, and has no lock yet


SAMPLES = Path(__file__).parent / "samples"
"""Recordings that come with the package, a directory each."""

FIRST_SAMPLE = "h100-resnet18"
"""The one that `replay --sample` plays when it is given no name."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine writes: the segment's path and number, the session's name, the socket. The segment is made by its writer."""

    name: str
    segment: int
    path: Path
    recording: bool
    sessions: Path  # the directory of recorded sessions

    @property
    def socket(self) -> Path:
        return socket_path(self.name)

    def move(self, recording: bool) -> Place:
        """The place of the next segment of this session, where it is recorded or where it is not."""
        return _place(self.name, self.sessions, recording, self.segment)

    def release(self) -> None:
        """To be called once the segment is closed: what was not to be recorded is deleted."""
        if not self.recording:
            with contextlib.suppress(OSError):
                self.path.unlink()
                self.path.parent.rmdir()


@dataclass(frozen=True, slots=True)
class Found:
    """A session that exists: its name, its directory (or the one segment that was named), and where its engine would listen."""

    name: str
    path: Path

    @property
    def socket(self) -> Path:
        return socket_path(self.name)

    @property
    def live(self) -> bool:
        """Whether an engine is writing it."""
        return any(is_live(path) for path in segments_of(self)[-1:])


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A line of `infertop ls`."""

    name: str
    path: Path
    state: str  # "live", "ended", "lost" (its engine was killed), "unreadable"
    started: str  # local time; empty where it is not known
    unix: int  # the same, ns; 0 where it is not known
    duration_s: float
    bytes: int
    models: tuple[str, ...]
    backends: tuple[str, ...]
    runs: int  # that were begun
    headline: str  # its fastest result, or why it cannot be read

    @property
    def model(self) -> str:
        return ", ".join(self.models)


def create(
    model: str, sessions_dir: str | Path | None = None, name: str | None = None, *, recording: bool = True
) -> Place:
    """A place for a new engine's segment: of a new session, or the next one of the session `name`.

    Raises MeasureError where the name cannot be one, an engine is writing that session, or the directory cannot be made.
    """
    sessions = make_sessions_directory(sessions_dir) if recording else sessions_directory(sessions_dir)
    _sweep()
    if name is None:
        name = _new_name(model, sessions)
    else:
        _check_name(name)
        found = Found(name, sessions / name)
        if found.live:
            raise MeasureError(
                "session-live",
                f"the session {name} is being measured",
                f"infertop attach {name} shows it; or give another --name",
            )
    place = _place(name, sessions, recording, 0)
    with contextlib.suppress(FileNotFoundError):
        place.socket.unlink()  # of an engine that was killed
    return place


def _place(name: str, sessions: Path, recording: bool, after: int) -> Place:
    directory = (sessions if recording else runtime_directory()) / name
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise MeasureError(
            "disk",
            f"{directory} cannot be made: {error.strerror}",
            "give --sessions-dir a directory that can be written",
        ) from error
    numbers = [_number(path) for path in segments_of(Found(name, sessions / name))]
    segment = max([after, *numbers]) + 1
    return Place(name, segment, directory / f"{segment:04}{SUFFIX}", recording, sessions)


def _number(path: Path) -> int:
    digits = path.name.removesuffix(SUFFIX)
    return int(digits) if digits.isdecimal() else 0


def _new_name(model: str, sessions: Path) -> str:
    """Start and model, `20261122-104503-resnet18`; with a number behind it where that is taken."""
    stem = Path(model.rsplit(":", 1)[-1]).name
    stem = stem.removesuffix(".onnx").removesuffix(".pt2")
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:_SLUG_LIMIT] or "session"
    base = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug}"
    name, number = base, 1
    # An engine of another sessions directory has its socket beside ours.
    while any(path.exists() for path in (sessions / name, runtime_directory() / name, socket_path(name))):
        number += 1
        name = f"{base}-{number}"
    return name


def _check_name(name: str) -> None:
    if (
        not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name)
        or len(name) > _NAME_LIMIT
        or _LAST.fullmatch(name)
    ):
        raise MeasureError(
            "usage",
            f"{line(name, 60)!r} cannot be a session's name",
            f"use letters, digits, '.', '_' and '-', at most {_NAME_LIMIT}, and not 'last'",
        )


def _sweep() -> None:
    """Delete unrecorded segments whose engine was killed before it could."""
    settled = time.time() - _SETTLED
    for directory in _directories(runtime_directory()):
        with contextlib.suppress(OSError):
            for path in segment_paths(directory):
                if path.stat().st_mtime < settled and not is_live(path):
                    path.unlink()
            if directory.stat().st_mtime < settled:
                directory.rmdir()  # fails where something is left in it


def segments_of(found: Found) -> list[Path]:
    """The segments of a session in order, those included that are not recorded."""
    paths = segment_paths(found.path) if found.path.exists() else []
    if not found.path.is_file():
        beside = runtime_directory() / found.name
        if beside != found.path and beside.is_dir():
            paths += segment_paths(beside)
    return sorted(paths, key=_number)


def _directories(parent: Path) -> Iterator[Path]:
    try:
        yield from (entry for entry in parent.iterdir() if entry.is_dir())
    except OSError:
        return


def sessions(sessions_dir: str | Path | None = None) -> list[Found]:
    """All sessions that have a segment, the one begun last first."""
    places: dict[str, Found] = {}
    for parent in (sessions_directory(sessions_dir), runtime_directory()):
        for directory in _directories(parent):
            places.setdefault(directory.name, Found(directory.name, directory))
    begun = [(_began(paths[-1]), found) for found in places.values() if (paths := segments_of(found))]
    begun.sort(key=lambda entry: (entry[0], entry[1].name), reverse=True)
    return [found for _, found in begun]


def _began(path: Path) -> int:
    """When a segment was begun, ns since 1970: by its header, else by the file."""
    header = read_header(path)
    if header is not None:
        return header.clock.unix
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def last_run(place: Place) -> int:
    """The number of the newest run in the segments that the session of `place` has already; 0 where there is none."""
    newest = 0
    for path in segments_of(Found(place.name, place.sessions / place.name)):
        with contextlib.suppress(MeasureError), Segment(path) as segment:
            newest = max([newest, *(record.run for record in segment.runs)])
    return newest


def resolve(text: str | None = None, sessions_dir: str | Path | None = None) -> Found:
    """The session that a person means: a name, the beginning of one, a path, `last` (the default) or `last~1`.

    Raises MeasureError with suggestions where there is none, or more than one.
    """
    text = text or "last"
    known = sessions(sessions_dir)
    where = sessions_directory(sessions_dir)
    if match := _LAST.fullmatch(text):
        back = int(match[1] or 0)
        if back < len(known):
            return known[back]
        raise MeasureError(
            "session-not-found",
            f"{text} needs {back + 1} session{'s' if back else ''}, and {where} holds {len(known) or 'none'}",
            "infertop run MODEL or infertop MODEL makes one",
        )
    exact = [found for found in known if found.name == text]
    if exact:
        return exact[0]
    path = Path(text).expanduser()
    if path.is_file() or (path.is_dir() and segment_paths(path)):
        path = path.absolute()
        return Found(path.parent.name if path.is_file() else path.name, path)
    beginning = [found for found in known if found.name.startswith(text)]
    if len(beginning) == 1:
        return beginning[0]
    if beginning:
        first = ", ".join(found.name for found in beginning[:3])
        more = f" and {len(beginning) - 3} more" if len(beginning) > 3 else ""
        raise MeasureError(
            "session-not-found", f"{text} is the beginning of {first}{more}", "type more of the name"
        )
    names = [found.name for found in known]
    near = [name for name in names if text in name] or difflib.get_close_matches(text, names, 3, 0.5)
    raise MeasureError(
        "session-not-found",
        f"there is no session {line(text, 100)} in {where}",
        f"did you mean {' or '.join(near[:3])}?" if near else "infertop ls lists the sessions",
    )


def sample(name: str | None = None) -> Found:
    """A recording that comes with infertop; README's first where none is named. Raises MeasureError with their names."""
    known = sorted(path.name for path in SAMPLES.iterdir() if path.is_dir()) if SAMPLES.is_dir() else []
    name = FIRST_SAMPLE if name is None else name
    if name not in known:
        raise MeasureError(
            "session-not-found",
            f"there is no sample {name}",
            f"the samples are {', '.join(known) or 'not installed'}",
        )
    return Found(name, SAMPLES / name)


def must_live(found: Found) -> None:
    """Raises MeasureError where no engine writes this session any more."""
    if not found.live:
        again = shlex.join(["infertop", "replay", *replay_words(found.path)])
        raise MeasureError(
            "session-ended",
            f"the session {found.name} has ended",
            f"{again} plays it; infertop ls shows which are live",
        )


def replay_words(path: Path) -> tuple[str, ...]:
    """What follows `infertop replay` to play the session in this directory, or this segment, from anywhere: a sample or a name where that
    is found without more, else its path."""
    path = path.absolute()
    if path.parent == SAMPLES:
        return "--sample", path.name
    if path.parent == sessions_directory():
        return (path.name,)
    return (str(path),)


def listing(sessions_dir: str | Path | None = None) -> list[SessionInfo]:
    """What is known of each session without reading its ticks, the one begun last first."""
    return [_info(found) for found in sessions(sessions_dir)]


def _info(found: Found) -> SessionInfo:
    try:
        session = Session(found.path)
    except MeasureError as error:
        size = sum(path.stat().st_size for path in segments_of(found))
        return SessionInfo(
            found.name, found.path, "unreadable", "", 0, 0.0, size, (), (), 0, line(error.message)
        )
    with session:
        header, parts = session.header, session.parts
        records = [r for _, r in session.runs]
        asked = [r.configuration for r in records if r.phase == "start" and r.configuration]
        closed = bool(parts) and parts[-1][0].end is not None
        unix = header.clock.unix if header else 0
        return SessionInfo(
            name=found.name,
            path=found.path,
            state="live" if found.live else "ended" if closed else "lost",
            started=_local(unix),
            unix=unix,
            duration_s=(session.end - session.start) / 1e9,
            bytes=session.size,
            models=tuple(dict.fromkeys(line(c.model, 100) for c in asked)),
            backends=tuple(dict.fromkeys(line(c.label, 100) for c in asked)),
            runs=len(asked),
            headline=_headline(records) or _failure(records) or _watched(header),
        )


def _local(unix: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix / 1e9)) if unix else ""
    except (OverflowError, ValueError, OSError):
        return ""


def _failure(runs: list[Run]) -> str:
    """Why the newest run that failed did, and how many of all failed; empty where none has."""
    labels = {run.run: run.configuration.label for run in runs if run.configuration is not None}
    failed = {run.run: run.error for run in runs if run.error is not None}
    if not failed:
        return ""
    newest = max(failed)
    several = f" ({len(failed)} of {len(labels)} runs failed)" if len(labels) > 1 else ""
    return line(f"✕ {labels.get(newest, '?')}: {line(failed[newest].message, 80)}{several}", 160)


def _watched(header: Header | None) -> str:
    """What a session that monitors has watched; empty for any other."""
    if header is None or not header.monitor:
        return ""
    gpus = [line(str(gpu.get("name") or "GPU"), 60).removeprefix("NVIDIA ") for gpu in header.gpus]
    counted = [
        f"{gpus.count(name)} × {name}" if gpus.count(name) > 1 else name for name in dict.fromkeys(gpus)
    ]
    return f"monitor: {', '.join(counted) or 'no GPU'}"


_UNTRUE = {"fallback": "a fallback", "differs": "outputs that differ"}


def _headline(runs: list[Run]) -> str:
    """The result with the most samples a second, in words; where nothing may be called fastest, why; empty where nothing was measured."""
    best: tuple[float, str] = (0.0, "")
    untrue: dict[str, None] = {}
    labels: dict[int, str] = {}
    for run in runs:
        if run.configuration is not None:
            labels[run.run] = line(run.configuration.label, 100)
        result = run.result or {}
        rate, why = number(result.get("throughput")), pareto.discounted(result)
        if rate is not None and why in _UNTRUE:
            untrue[_UNTRUE[why]] = None
        elif rate is not None and not why and rate > best[0]:
            best = (rate, f"{labels.get(run.run, '?')} {significant(rate)} samples/s")
    return best[1] or (f"nothing but {' and '.join(untrue)}" if untrue else "")
