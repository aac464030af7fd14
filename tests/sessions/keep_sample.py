"""Keep a whole recorded session as a sample that comes with the package.

`python -m infertop.tests.sessions.keep_sample SESSION NAME`

Every record stays, in its frame; what says where it was recorded (host name, folders, the GPU's serial) is left out.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import msgspec
from infertop.backends.configuration import Configuration
from infertop.sessions import frames
from infertop.sessions.reader import Segment
from infertop.sessions.records import AnyRecord, Header, Key, Run
from infertop.sessions.store import SAMPLES


def header(found: Header, name: str) -> Header:
    """The header without the machine's own names."""
    gpus = [{**gpu, "uuid": None, "pci": None} for gpu in found.gpus]
    command = [word for word in found.command if "/" not in word]
    return msgspec.structs.replace(
        found, session=name, host={**found.host, "hostname": name}, gpus=gpus, command=command
    )


def anonymous(record: AnyRecord) -> AnyRecord:
    """A record without folders."""
    if isinstance(record, Key):
        return msgspec.structs.replace(
            record,
            opened=_run(record.opened) if record.opened else None,
            before=_run(record.before) if record.before else None,
        )
    return _run(record) if isinstance(record, Run) else record


def _run(run: Run) -> Run:
    if run.configuration is None:
        return run
    return msgspec.structs.replace(run, configuration=_configuration(run.configuration))


def _configuration(found: Configuration) -> Configuration:
    return replace(found, options=replace(found.options, working_directory=".", cache_directory=None))


def main(session: str, name: str) -> None:
    """Write the sample's segment, and say how large it is."""
    (path,) = sorted(Path(session).glob("*.zst"))
    place = SAMPLES / name / path.name
    place.parent.mkdir(parents=True, exist_ok=True)
    with Segment(path) as segment, place.open("wb") as file:
        assert segment.header is not None
        file.write(frames.encode_header(header(segment.header, name)))
        for index in range(len(segment)):
            file.write(frames.encode_frame([anonymous(record) for record in segment.frame(index)]))
    print(f"{name}: {place.stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
