"""What an engine is told at its start; also the form in which a detached engine gets it."""

from __future__ import annotations

import msgspec

from ..telemetry.metrics import Level
from .plan import Task

WATCHED = "monitor"
"""What a session that monitors is called after."""


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`environments` maps the label of a configuration (None as the empty string) to its interpreter; absent ones run under our own."""

    environments: dict[str, str] = {}
    recording: bool = True
    sessions_dir: str | None = None
    name: str | None = None
    title: str = ""  # what a session without a name is called after; empty: the model
    interval_s: float = 0.25
    command: list[str] = []
    hang_s: float = 60.0
    fallback: bool = False
    """Serving: after a failed start go on with what ran before or with the model's default backend. `run`: measure the nearest
    backend in the place of one that cannot be used."""
    telemetry: Level = "full"
    monitor: bool = False  # nothing is measured: the session watches the machine and its processes
    task: Task | None = (
        None  # of a serving engine: what to measure first; a backend of "" leaves the choice to the engine
    )
    note: str = ""  # what a person should know from the start on, an event of the session
    stay: bool = False  # the person gave the run an end, so it goes on to it when the terminal hangs up

    def python(self, environment: str | None) -> str | None:
        """The interpreter of a configuration's environment; None is our own."""
        return self.environments.get(environment or "")


def watching(settings: EngineSettings, *, asked: bool, recorded: bool) -> EngineSettings:
    """The settings of a session that only watches the machine: where that was asked for, or where no backend can be used here. Else
    they stay as they are. What such a session shows is gone in a moment, so it is kept only where a person says so."""
    from ..backends import probes  # a model that was named needs none

    if not asked and probes.any_usable():
        return settings
    note = "no backend can be used here; infertop backends says why"
    return msgspec.structs.replace(
        settings, monitor=True, title=WATCHED, recording=recorded, note="" if asked else note
    )
