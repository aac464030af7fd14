"""The processes of a session that monitors, as records of its log."""

from __future__ import annotations

from ..telemetry.process_table import ProcessTable
from .instruments import Instruments
from .records import Process, Processes


class Monitoring:
    """Belongs to the engine's main thread: the driver's own lists are read by the sampler's, and only looked up here."""

    def __init__(self) -> None:
        self._table = ProcessTable()

    def read(self, t: int, instruments: Instruments) -> list[Processes]:
        """The table at session time `t`, ns; none while it is not due, or telemetry is off."""
        if instruments.level == "off" or (found := self._table.read(instruments.tenants())) is None:
            return []
        instruments.look()  # for the next one
        rows = [
            Process(
                row.pid,
                row.name,
                dict(row.gpus),
                None if row.cpu is None else round(row.cpu, 1),
                row.rss,
                row.own,
            )
            for row in found.rows
        ]
        return [Processes(t=t, processes=rows, unknown=dict(found.unknown), count=found.count)]
