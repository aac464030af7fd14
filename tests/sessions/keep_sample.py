"""Keep a whole recorded session as a sample that comes with the package.

`python -m infertop.tests.sessions.keep_sample SESSION NAME`

Every record stays, in its frame, but for what lies in the middle of loading: where a phase before the warm-up took longer than PHASE_S, what is
beyond that is taken out, everything later moves forward by as much, and an event behind the last says how long all of it was. What says where it was
recorded (host name, kernel's build, folders, the GPU's serial) is left out.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from infertop.backends.configuration import Configuration
from infertop.sessions import frames
from infertop.sessions.reader import Segment
from infertop.sessions.records import AnyRecord, Clock, Event, Header, Key, Run, Tick, Verdict
from infertop.sessions.store import SAMPLES

PHASE_S = 0.5
"""So much of each phase of loading is kept, half from its beginning and half from its end."""

_FOLDER = re.compile(r"(^|=)(?:/|~|\.{1,2}/)\S*/")
_OWN = ("--name", "--sessions-dir", "--json", "--markdown", "--csv")
"""Where its outcome went is nothing that a person would repeat."""


@dataclass(frozen=True)
class Cut:
    """What is taken out, ns of the segment."""

    begin: int
    end: int
    told: int = 0  # behind a run's last: all that was taken out of its loading

    @property
    def length(self) -> int:
        return self.end - self.begin


def cuts(records: Iterable[AnyRecord]) -> list[Cut]:
    """The middle of each phase of loading that took longer than PHASE_S, in order."""
    found: list[Cut] = []
    half = round(PHASE_S / 2 * 1e9)
    run, phase, begun, own = 0, "", 0, list[Cut]()  # of what loads
    for record in records:
        if not isinstance(record, Run) or (record.phase != "start" and record.run != run):
            continue
        run = record.run
        if phase and phase != record.phase:
            cut = Cut(begun + half, record.t - half)
            own += [cut] if cut.length > 0 else []
        if phase != record.phase:
            phase, begun = record.phase, record.t
        if phase in ("warmup", "end"):
            if own:
                own[-1] = replace(own[-1], told=sum(cut.length for cut in own))
            found += own
            run, phase, own = 0, "", []
    return found


class Shortened:
    """Records as they stand after the cuts."""

    def __init__(self, made: Sequence[Cut]) -> None:
        self._cuts = made
        self._begins = [cut.begin for cut in made]
        self._said: set[Cut] = set()

    def moved(self, t: int) -> int:
        """Where a time of the segment comes to lie; all of a cut at its beginning."""
        before = self._cuts[: bisect_right(self._begins, t)]
        return t - sum(min(t, cut.end) - cut.begin for cut in before)

    def of(self, record: AnyRecord) -> list[AnyRecord]:
        """The record in its new place, and before the first one behind a cut what was taken out; nothing for what was measured in it."""
        if isinstance(record, Header):
            return [record]
        found: list[AnyRecord] = []
        behind = [cut for cut in self._cuts if cut.begin <= record.t and cut not in self._said]
        for cut in behind:
            self._said.add(cut)
            if cut.told:
                text = f"{cut.told / 1e9:.1f} s of loading are left out of this recording"
                found.append(Event(t=self.moved(cut.begin), kind="recording", text=text))
        inside = any(cut.begin <= record.t < cut.end for cut in self._cuts)
        if inside and isinstance(record, Tick | Key | Verdict):
            return found
        fields: dict[str, Any] = {"t": self.moved(record.t)}
        if isinstance(record, Key):
            earlier = record.t - fields["t"]
            fields["clock"] = Clock(record.clock.monotonic - earlier, record.clock.unix - earlier)
            fields |= {
                name: self.moved(t) for name in ("start", "last") if (t := getattr(record, name)) is not None
            }
            fields |= {
                name: msgspec.structs.replace(run, t=self.moved(run.t))
                for name in ("opened", "before")
                if (run := getattr(record, name)) is not None
            }
        return [*found, msgspec.structs.replace(record, **fields)]


def command(words: Sequence[str]) -> list[str]:
    """The command line as it would be typed elsewhere: files by their names, without where its outcome went."""
    found: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _OWN:
            skip = True
        elif word.partition("=")[0] not in _OWN:
            found.append(_FOLDER.sub(r"\1", word))
    return found


def header(found: Header, name: str) -> Header:
    """The header without the machine's own names."""
    gpus = [{**gpu, "uuid": None, "pci": None} for gpu in found.gpus]
    host = {**found.host, "hostname": name, "kernel": str(found.host.get("kernel")).partition("-")[0]}
    return msgspec.structs.replace(found, session=name, host=host, gpus=gpus, command=command(found.command))


def anonymous(record: AnyRecord) -> AnyRecord:
    """A record without folders."""
    if isinstance(record, Key):
        return msgspec.structs.replace(
            record,
            opened=_run(record.opened) if record.opened else None,
            before=_run(record.before) if record.before else None,
        )
    if isinstance(record, Event) and record.kind == "backends":
        # The interpreter by its path stands before the command that would install what is missing.
        backends = [{**found, "fix": _FOLDER.sub(r"\1", found["fix"])} for found in record.data["backends"]]
        return msgspec.structs.replace(record, data={**record.data, "backends": backends})
    return _run(record) if isinstance(record, Run) else record


def _run(run: Run) -> Run:
    if run.configuration is None:
        return run
    return msgspec.structs.replace(run, configuration=_configuration(run.configuration))


def _configuration(found: Configuration) -> Configuration:
    options = replace(found.options, working_directory=".", cache_directory=None)
    return replace(found, model=_FOLDER.sub("", found.model), options=options)


def keep(path: Path, place: Path, name: str) -> None:
    """Write what is kept of a segment."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with Segment(path) as segment, place.open("wb") as file:
        assert segment.header is not None
        batches = [segment.frame(index) for index in range(len(segment))]
        shortened = Shortened(cuts(record for batch in batches for record in batch))
        file.write(frames.encode_header(header(segment.header, name)))
        for batch in batches:
            kept = [anonymous(record) for was in batch for record in shortened.of(was)]
            if kept:
                file.write(frames.encode_frame(kept))


def main(session: str, name: str) -> None:
    """Write the sample's segment, say how large it is, and what still names a folder."""
    (path,) = sorted(Path(session).glob("*.zst"))
    place = SAMPLES / name / path.name
    keep(path, place, name)
    print(f"{name}: {place.stat().st_size} bytes")
    with Segment(place) as segment:
        lines = {
            found
            for index in range(len(segment))
            for record in segment.frame(index)
            for found in re.findall(
                r"/(?:home|root|tmp|usr|opt|work|mnt)/[^\"\s]*", msgspec.json.encode(record).decode()
            )
        }
    for line in sorted(lines):
        print(f"  names a folder: {line}")


if __name__ == "__main__":
    main(*sys.argv[1:])
