"""Records as an engine would write them, without an engine: for the tests of the log, and for its benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from infertop.backends.configuration import Configuration
from infertop.sessions import frames
from infertop.sessions.records import FORMAT, AnyRecord, Clock, Event, Header, Metric, Run, Tick
from infertop.telemetry.histogram import Histogram

SECOND = 1_000_000_000
INTERVAL = SECOND // 4
UNIX = 1_795_343_103 * SECOND  # 2026-11-22 10:45:03 UTC


def header(metrics: int = 3, segment: int = 1, unix: int = UNIX, pid: int = 4711, **fields: Any) -> Header:
    table = [Metric(f"host.m{i}", "%", 0.1) for i in range(metrics)]
    return Header(
        format=FORMAT,
        session="20261122-104503-smallcnn",
        segment=segment,
        clock=Clock(monotonic=5_000 * SECOND, unix=unix),
        interval=INTERVAL,
        metrics=table,
        infertop="0.1.0",
        pid=pid,
        host={"hostname": "box"},
        **fields,
    )


def tick(n: int, t: int | None = None, metrics: int = 3, **fields: Any) -> Tick:
    """Tick `n`, a quarter of a second after the one before it."""
    values: list[float | int | None] = [round(10 * i + n % 7 * 0.5, 1) for i in range(metrics)]
    return Tick(t=(n + 1) * INTERVAL if t is None else t, n=n, **{"m": values, **fields})


def configuration(backend: str = "onnxruntime-cpu", batch: int | None = 1, **fields: Any) -> Configuration:
    return Configuration(backend=backend, model="smallcnn", batch=batch, **fields)


def blob(values: Sequence[int] | np.ndarray) -> str:
    histogram = Histogram()
    histogram.record(np.asarray(values, np.int64))
    return histogram.encode()


def start(run: int, t: int, **fields: Any) -> Run:
    return Run(
        t=t, run=run, phase="start", configuration=fields.pop("configuration", configuration()), **fields
    )


def event(t: int, text: str = "power cap 4 % of the second", kind: str = "telemetry", **fields: Any) -> Event:
    return Event(t=t, kind=kind, text=text, **fields)


def segment_bytes(head: Header, batches: Sequence[Sequence[AnyRecord]]) -> bytes:
    return frames.encode_header(head) + b"".join(frames.encode_frame(batch) for batch in batches)


def write_segment(path: Path, head: Header, batches: Sequence[Sequence[AnyRecord]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(segment_bytes(head, batches))
    return path


def scan(data: bytes, piece: int | None = None) -> tuple[list[frames.Frame], frames.Scanner]:
    """All frames of `data`, fed whole or in pieces."""
    scanner = frames.Scanner()
    found: list[frames.Frame] = []
    for offset in range(0, len(data), piece or max(len(data), 1)):
        found += scanner.feed(data[offset : offset + (piece or len(data))])
    return found, scanner


def records_of(found: Sequence[frames.Frame]) -> Iterator[AnyRecord]:
    for frame in found:
        yield from frames.decode_frame(frame.body)
