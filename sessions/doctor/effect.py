"""`infertop doctor --observer`: an engine, a run, and what telemetry and screen cost it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

from ... import __version__
from ...backends.errors import MeasureError
from .. import lines, observer, output, units
from ..commands import Client
from ..headless import Progress
from ..launch import launch
from ..observer import KIND
from ..plan import describe
from ..progress import ProgressLine
from ..records import AnyRecord, Event, Header, Run
from ..runner import PHASE_WORDS
from ..settings import EngineSettings
from ..source import FollowSource

POLL_S = 0.1
Result = dict[str, Any]


class Watching:
    """What the engine's log says, as it comes."""

    def __init__(
        self, source: FollowSource, command: Callable[[], str], progress: Callable[[Progress], None]
    ) -> None:
        self.document: Result = {"schema": observer.SCHEMA, "infertop": __version__}
        self.blocks: list[Result] = []
        self.found: Result | None = None
        self._source, self._ask, self._progress = source, command, progress
        self._asked: str | None = None
        self._title = ""

    def poll(self) -> None:
        """Take what is new. Raises MeasureError where the run or the observation failed."""
        records = self._source.poll()
        for record in records:
            self.take(record)
        if not records and not self._source.alive:
            raise MeasureError("engine-lost", "the engine ended before anything was found", "try it again")

    def take(self, record: AnyRecord) -> None:
        """One record of the log, as `poll`."""
        if isinstance(record, Header):
            self.document |= {"session": record.session, "host": record.host, "gpus": record.gpus}
        elif isinstance(record, Run):
            self._run(record)
        elif isinstance(record, Event) and record.kind == KIND:
            self._event(record)
        elif (
            isinstance(record, Event)
            and not self.blocks
            and (record.level == "error" or record.data.get("error"))
        ):
            # It could not begin: the backend is not here, or another infertop has the GPU.
            raise MeasureError("observer", record.text, str(record.data.get("fix") or ""))

    def _run(self, run: Run) -> None:
        if run.configuration is not None:
            self._title = describe(run.configuration)
            self.document |= {
                "backend": run.configuration.label, "device": run.configuration.device, "model": run.configuration.model,
                "precision": run.configuration.precision, "batch": run.configuration.batch, "data_path": run.configuration.data_path,
                "load": run.configuration.load,
            }  # fmt: skip
        if run.phase == "measure" and self._asked is None:
            self._asked = self._ask()
        elif run.phase == "end" and run.error is not None and not self.blocks:
            raise MeasureError(run.error.kind, run.error.message, run.error.fix, run.error.detail)
        elif self._asked is None:
            self._progress(Progress(f"{self._title}: {PHASE_WORDS[run.phase]}", None, 0, 1))

    def _event(self, event: Event) -> None:
        data = event.data
        if isinstance(data.get("block"), dict):
            self.blocks.append(data["block"])
        if data.get("over"):
            kept = ("triples", "block_s", "telemetry", "screen", "effects", "verdict", "error")
            self.found = {name: data.get(name) for name in kept}
            return
        done, total = data.get("done", 0), data.get("total") or 1
        self._progress(Progress(f"{self._title}: block {done + 1} of {total}", done / total, 0, 1))


def measure(settings: EngineSettings, seconds: float, progress: Callable[[Progress], None]) -> Result:
    """The document `infertop.observer/1` of the run that `settings` begin with. Raises MeasureError where it cannot be measured."""
    observer.schedule(seconds, 0)
    launched = launch(settings)
    client, source = Client(launched.socket), FollowSource(launched.segment)
    try:
        watching = Watching(source, lambda: client.observe(seconds), progress)
        while watching.found is None:
            watching.poll()
            time.sleep(POLL_S)
        return {**watching.document, **watching.found, "blocks": watching.blocks}
    finally:
        with contextlib.suppress(MeasureError):  # it has ended by itself
            client.send("end")
        client.close()
        source.close()


def table(found: Result) -> list[str]:
    """The effect in lines: with and without, the change with its interval beside the control's, and what that means."""
    rows: list[tuple[str, ...]] = [("", "off", "on", "change", "95 %", "off against off, 95 %")]
    for name, effect in found["effects"].items():
        unit = "/s" if name == "throughput" else " ms"
        cells = [
            units.UNKNOWN if effect[side] is None else f"{units.significant(effect[side], 4)}{unit}"
            for side in ("off", "on")
        ]
        if effect["change"] is None:
            cells += [units.UNKNOWN] * 3
        else:
            cells += [
                observer.percent(effect["change"]), observer.between(effect["ci95"]), observer.between(effect["control_ci95"]),
            ]  # fmt: skip
        rows.append((name, *cells))
    said = [f"{name}: {observer.words(effect)}" for name, effect in found["effects"].items()]
    return [*lines.table(rows, (False, True, True, True, True, True)), "", *said]


def heading(found: Result) -> str:
    """Two lines: what was measured, and how."""
    screen = found["screen"] or {}
    parts = (found.get(name) for name in ("backend", "model", "precision"))
    return (
        f"{' · '.join(str(part) for part in parts if part)}: {found['triples']} shuffled triples of {found['block_s']:g} s blocks\n"
        f"on: telemetry {found['telemetry']}, a screen of {screen.get('columns')}×{screen.get('lines')}; off: neither"
    )


def report(found: Result, json: str | None) -> int:
    """Print it; 1 where the effect is above its budget, 3 where it is not known, else 0."""
    text = output.as_json(found)
    if json == output.STDOUT:
        sys.stdout.write(text)
    else:
        if json is not None:
            output.write(json, text)
        sys.stdout.write("\n".join([heading(found), "", *table(found)]) + "\n")
    if found["error"]:
        sys.stderr.write(f"infertop: {lines.sentence('it ended early: ' + found['error'], '')}\n")
    return {"exceeded": 1, "unknown": 3}.get(found["verdict"], 0)


def run(settings: EngineSettings, duration: str | None, json: str | None) -> int:
    """The command with `--observer`."""
    seconds = observer.DEFAULT_S if duration is None else units.parse_duration(duration, "--duration")
    with ProgressLine(sys.stderr) as progress:
        found = measure(settings, seconds, progress)
    return report(found, json)
