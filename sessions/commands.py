"""Commands to an engine: JSON lines over its unix socket. Absolute and idempotent; what became of one is an event in the log with its id."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from ..backends.configuration import Configuration
from ..backends.errors import MeasureError
from ..telemetry.metrics import Level

Verb = Literal[
    "configure",
    "stop",
    "start",
    "record",
    "no-record",
    "end",
    "stay",
    "sweep",
    "prove",
    "telemetry",
    "wait",
    "share",
    "again",
    "cancel",
    "observe",
    "no-observe",
]


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """`configure`: measure this from now on (a loaded one goes on as it is). `stop`: end the load, keep the worker. `start`: run the
    present configuration where nothing runs. `again`: end the present run and measure the same anew. `cancel`: give up what is being loaded
    and go on with what was measured before. `record`, `no-record`: from now on keep the session, or do not. `end`: end the session and the engine.
    `stay`: outlive this connection. `sweep`: measure `configurations` one after another, `duration_s` each, or with `dry` only
    say how long that takes; `stop` and `configure` end it. `prove`: put the present verdict's advice to the proof in alternating blocks,
    then go on. `telemetry`: read so much of the machine from now on, `level` `off`, `light` or `full`.
    `wait`, `share`: begin what was refused because another infertop measures on its GPU: once that is free, or beside it.
    `observe`: measure what telemetry and a screen cost the run that goes on, for `duration_s`; `no-observe`: no longer."""

    do: Verb
    id: str
    configuration: Configuration | None = None
    configurations: list[Configuration] = []
    duration_s: float | None = None
    dry: bool = False
    level: Level | None = None


class Client:
    """A viewer's control connection. While one is open the engine counts a viewer."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise MeasureError(
                "engine-gone",
                f"no engine answers at {path}: {error.strerror}",
                "infertop ls shows which sessions are live",
            ) from error
        self._numbers = itertools.count(1)

    def send(self, do: Verb, configuration: Configuration | None = None) -> str:
        """Send a command; the id returned is that of the event which will say what became of it."""
        return self._send(Command(do, self._id(), configuration))

    def sweep(
        self, configurations: Sequence[Configuration], *, duration_s: float | None = None, dry: bool = False
    ) -> str:
        """Have them measured one after another, or with `dry` only be told how long that takes; returns the id of the event that says so."""
        return self._send(
            Command("sweep", self._id(), None, list(configurations), duration_s=duration_s, dry=dry)
        )

    def telemetry(self, level: Level) -> str:
        """Have so much of the machine read from now on; the event of the id returned says when that is so."""
        return self._send(Command("telemetry", self._id(), level=level))

    def observe(self, seconds: float | None = None) -> str:
        """Measure what telemetry and a screen cost the present run; the event of the id returned says that it began, or why not."""
        return self._send(Command("observe", self._id(), duration_s=seconds))

    def _id(self) -> str:
        return f"{os.getpid()}-{next(self._numbers)}"

    def _send(self, command: Command) -> str:
        try:
            self._socket.sendall(msgspec.json.encode(command) + b"\n")
        except OSError as error:
            raise MeasureError(
                "engine-gone", "the engine has ended", "press q; infertop replay shows what was recorded"
            ) from error
        return command.id

    def close(self) -> None:
        self._socket.close()


def decode(line: bytes) -> Command:
    """Raises msgspec.ValidationError or msgspec.DecodeError on anything that is not a command."""
    return msgspec.json.decode(line, type=Command)
