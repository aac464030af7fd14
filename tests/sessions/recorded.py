"""Recordings as the diagnosis sees them: their records, their windows, and the same with the GPU's performance monitor withheld."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from infertop.sessions.reader import Segment
from infertop.sessions.records import AnyRecord, Header, Run, Tick
from infertop.sessions.runs import merged
from infertop.sessions.windows import Windows
from infertop.telemetry.verdict_window import Window

GPM = "GPM"
"""The source of a metric that only GPUs with the performance monitor have."""


def records_of(path: Path) -> list[AnyRecord]:
    """Everything in a segment, its header first."""
    with Segment(path) as segment:
        assert segment.header is not None
        return [segment.header, *segment.range(0, segment.last + 1)]


def withheld(records: Iterable[AnyRecord]) -> Iterator[AnyRecord]:
    """The same recording on a GPU without GPM: what it read is null in every tick. RX and TX come from GPM where it is there."""
    places: set[int] = set()
    for record in records:
        if isinstance(record, Header):
            places = {i for i, metric in enumerate(record.metrics) if metric.source == GPM}
        elif isinstance(record, Tick):
            values = [None if i in places else value for i, value in enumerate(record.m)]
            record = msgspec.structs.replace(record, m=values)
        yield record


def windows_of(records: Iterable[AnyRecord], run: int | None = None) -> Iterator[Window]:
    """Every window of every run, or of one."""
    windows = Windows()
    for record in records:
        if isinstance(record, Header):
            windows.begin(record)
        elif isinstance(record, Run):
            windows.enter(record if record.run != windows.run.run else merged(windows.run, record))
        elif isinstance(record, Tick):
            window = windows.take(record)
            if window is not None and run in (None, windows.run.run):
                yield window
