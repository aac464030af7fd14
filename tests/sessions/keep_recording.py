"""Keep the beginning of a recorded session as a fixture of the verdicts.

`python -m infertop.tests.sessions.keep_recording SESSION [KIND@WHAT [SECONDS]]`, and `… keep_recording again` after rules have changed, which
writes into every fixture what the diagnosis says of it now.

SESSION is a directory or a segment, KIND the verdict that was provoked, WHAT and on which machine: `transfer-h2d@h100-large-input`; without it
the directory's own name serves, as `python -m infertop.tests.bench verdicts` gives it (KIND.WHAT). The first run is kept up to SECONDS (22) of
its measuring: twenty windows and two. What says where it was recorded (host name, command line, folders) is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
from infertop.backends.configuration import Options
from infertop.sessions import frames
from infertop.sessions.diagnosis import Diagnosis
from infertop.sessions.records import AnyRecord, Event, Header, Run, Tick, Verdict
from infertop.sessions.session import Session
from infertop.tests.sessions.recorded import records_of

FOLDER = Path(__file__).parents[1] / "fixtures" / "verdicts"
SECONDS = 22.0
FACTS = ("cpu", "allowed_cores", "quota", "os", "python")


def kept(session: Session, seconds: float) -> Iterator[AnyRecord]:
    """The header, and the records of the first run that the diagnosis reads."""
    header = session.header
    assert header is not None
    facts = {name: header.host.get(name) for name in FACTS}
    gpus = [{"name": gpu.get("name")} for gpu in header.gpus]
    yield msgspec.structs.replace(header, session="fixture", command=[], host=facts, gpus=gpus)
    end: float | None = None
    for t, record in session.range(0, session.end + 1):
        if end is not None and t > end:
            return
        if isinstance(record, Run):
            if record.run > 1 or record.phase == "end":
                return
            if record.phase == "measure":
                end = t + seconds * 1e9
            yield _anonymous(record)
        elif isinstance(record, Tick):
            yield record


def _anonymous(run: Run) -> Run:
    if run.configuration is None:
        return run
    options = Options(threads=run.configuration.options.threads, seed=run.configuration.options.seed)
    model = Path(run.configuration.model).name
    return msgspec.structs.replace(
        run, configuration=replace(run.configuration, model=model, options=options)
    )


def judged(records: Iterable[AnyRecord]) -> Iterator[AnyRecord]:
    """The records without what was said of them, and what the diagnosis says now."""
    diagnosis = Diagnosis()
    for record in records:
        if not isinstance(record, Verdict) and not (isinstance(record, Event) and record.kind == "verdict"):
            yield record
            yield from diagnosis.take(record)


def write(target: Path, records: Iterable[AnyRecord]) -> None:
    """Write the fixture, and say how large it is and what it shows."""
    header, *rest = judged(records)
    assert isinstance(header, Header)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(
        frames.encode_header(header) + b"".join(frames.encode_frame([record]) for record in rest)
    )
    kinds = [record.kind for record in rest if isinstance(record, Verdict)]
    print(f"{target.name}: {len(rest)} records, {target.stat().st_size} bytes, {', '.join(kinds)}")


def again() -> None:
    """Judge all fixtures anew."""
    for path in sorted(FOLDER.glob("*.itlog.zst")):
        write(path, records_of(path))


def main(session: str, name: str | None = None, seconds: str = str(SECONDS)) -> None:
    """Keep one recording."""
    name = name or Path(session).name.replace(".", "@", 1)
    with Session(Path(session)) as opened:
        write(FOLDER / f"{name}.itlog.zst", kept(opened, float(seconds)))


if __name__ == "__main__":
    if sys.argv[1:] == ["again"]:
        again()
    else:
        main(*sys.argv[1:])
