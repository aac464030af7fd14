"""Starts an engine of its own for the live screen, in its own session, so that it outlives a dropped connection."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..backends.errors import MeasureError
from .settings import EngineSettings

START_S = 20.0
"""An engine says where it writes before it does anything slow."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A running engine: where it writes and where it listens."""

    name: str
    segment: Path
    socket: Path
    pid: int


def launch(settings: EngineSettings) -> Launched:
    """Start it and return once it writes and listens. Raises MeasureError with its words when it cannot."""
    log = tempfile.TemporaryFile()  # noqa: SIM115 (the engine keeps it)
    process = subprocess.Popen(
        [sys.executable, "-m", "infertop.sessions.launch"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True, cwd=os.getcwd(),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(msgspec.json.encode(settings))
        process.stdin.close()
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    line = process.stdout.readline() if ready else b""
    process.stdout.close()
    answer = msgspec.json.decode(line) if line else {}
    if "error" in answer:
        raise MeasureError.from_dict(answer["error"])
    if not line:
        process.kill()
        log.seek(0)
        said = log.read().decode(errors="replace")
        last = (said.strip().splitlines() or ["it printed nothing"])[-1]
        raise MeasureError(
            "engine-failed",
            f"the engine did not start: {last}",
            "this is a bug: please report it with the detail",
            said,
        )
    return Launched(answer["name"], Path(answer["segment"]), Path(answer["socket"]), answer["pid"])


def main() -> int:
    """The engine process: settings on standard input, one line of where it is on standard output, then silence."""
    from . import store
    from .engine import Engine
    from .serving import Server

    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=EngineSettings)
    model = settings.title or (settings.task.configuration.model if settings.task else "session")
    try:
        place = store.create(model, settings.sessions_dir, settings.name, recording=settings.recording)
        engine = Engine(settings, place)
        server = Server(engine, place.socket)
    except MeasureError as error:
        answer(error=error.as_dict())
        return 3
    except OSError as error:
        answer(
            error=MeasureError(
                "disk",
                f"no session can be made: {error}",
                "give --sessions-dir a directory that can be written",
            ).as_dict()
        )
        return 3
    for name in ("SIGTERM", "SIGINT"):
        signal.signal(
            getattr(signal, name), lambda number, _: server.wake(f"ended by {signal.Signals(number).name}")
        )
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    answer(name=place.name, segment=str(place.path), socket=str(place.socket), pid=os.getpid())
    reason = "internal error"
    try:
        reason = server.serve()
    except Exception as error:
        # The viewers read the log, so that is where a failure of the engine itself must be said.
        text = f"the engine failed: {type(error).__name__}: {error}; this is a bug, please report it"
        engine.say("fault", text, level="error", detail=traceback.format_exc())
    finally:
        server.close()
        engine.close(reason)
    return 0


def answer(**fields: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(fields) + b"\n")
    sys.stdout.buffer.flush()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # nothing that a library prints later may reach a closed pipe
    os.close(null)


if __name__ == "__main__":
    sys.exit(main())
