"""Records as an engine would write them, without an engine: for the tests of the log, and for its benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from infertop.backends.configuration import Configuration
from infertop.sessions import frames
from infertop.sessions.records import (
    FORMAT,
    AnyRecord,
    Clock,
    Event,
    Fault,
    Header,
    Metric,
    Record,
    Run,
    Tick,
)
from infertop.sessions.state import SessionState
from infertop.telemetry.histogram import Histogram

T = TypeVar("T")
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


def some(value: T | None) -> T:
    """The value, which a test knows to be there."""
    assert value is not None
    return value


def numbers(records: Iterable[Record]) -> list[int]:
    """The numbers of the ticks among the records."""
    return [record.n for record in records if isinstance(record, Tick)]


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


class Engine:
    """Makes the frames that an engine would write: ticks, a histogram a second, keys, runs from start to end."""

    def __init__(self, metrics: int = 3, key_every: float = 60.0, head: Header | None = None) -> None:
        self.header = head or header(metrics)
        self.batches: list[list[AnyRecord]] = []
        self.state = SessionState()
        self.state.apply(self.header)
        self.t = 0
        self.n = 0
        self.metrics = len(self.header.metrics)
        self.key_every = round(key_every * SECOND)
        self.run: Run | None = None
        self.runs = 0
        self.measured: list[int] = []  # service latencies, ns
        self.first = 0
        self._next_key = self.key_every
        self._second: dict[str, list[int]] = {}

    def write(self, *records: AnyRecord) -> None:
        for record in records:
            self.state.apply(record)
        self.batches.append(list(records))

    def key(self) -> None:
        clock = self.header.clock
        self.write(self.state.key(self.t, Clock(clock.monotonic + self.t, clock.unix + self.t)))

    def begin(self, chosen: Configuration | None = None, repeat: int = 0) -> None:
        self.runs += 1
        self.measured = []
        self.run = Run(
            t=self.t, run=self.runs, phase="start", configuration=chosen or configuration(), repeat=repeat
        )
        self.write(self.run)

    def enter(self, phase: str, **fields: Any) -> None:
        assert self.run is not None
        self.run = Run(t=self.t, run=self.runs, phase=phase, **fields)
        self.write(self.run)
        if phase == "measure":
            self.first = self.t
            self.key()

    def tick(self, latencies: Sequence[int] = (), values: list[float | int | None] | None = None) -> None:
        """A quarter of a second in which requests of these latencies were completed."""
        self.t += INTERVAL
        q = None
        if latencies:
            assert self.run is not None
            ordered = sorted(latencies)
            q = [ordered[(len(ordered) - 1) // 2], ordered[-1], ordered[-1]]
            measuring = self.run.phase == "measure"
            names = ("service", "compute", "gap") if measuring else ("warmup",)
            for name in names:
                share = {"compute": 0.9, "gap": 0.1}.get(name, 1.0)
                self._second.setdefault(name, []).extend(round(v * share) for v in latencies)
            if measuring:
                self.measured += latencies
        h = None
        if self.n % 4 == 3:
            h = {name: blob(v) for name, v in self._second.items()} or None
            self._second = {}
        self.write(self._tick(len(latencies), q, h, values))
        if self.t >= self._next_key:
            self._next_key += self.key_every
            self.key()

    def _tick(self, done: int, q: list[int] | None, h: dict[str, str] | None, values: Any) -> Tick:
        made = tick(
            self.n, self.t, self.metrics, run=self.runs if self.run else 0, done=done, q=q, h=h,
            **({} if values is None else {"m": values}),
        )  # fmt: skip
        self.n += 1
        return made

    def finish(self, status: str = "ok", error: Fault | None = None) -> None:
        """The run's last tick and its end."""
        if self._second:
            h = {name: blob(v) for name, v in self._second.items()}
            self._second = {}
            self.t += INTERVAL // 2
            self.write(self._tick(0, None, h, [None] * self.metrics))
        self.write(Run(t=self.t, run=self.runs, phase="end", result=self.result(status), error=error))
        self.run = None

    def result(self, status: str) -> dict[str, Any]:
        histogram = Histogram()
        histogram.record(np.array(self.measured, np.int64))
        n, seconds = histogram.n, (self.t - self.first) / 1e9
        names = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
        latency = {k: histogram.quantile(q) / 1e6 if n else None for k, q in names.items()}
        return {
            "run": self.runs,
            "status": status,
            "requests": n,
            "samples": n,
            "duration_s": seconds if n else None,
            "throughput": n / seconds if n and seconds else None,
            "latency_ms": latency | {"mean": histogram.mean / 1e6, "max": histogram.max / 1e6},
            "latency_ci95_ms": {"p50": [1.0, 2.0]},
            "latency_hdr": histogram.encode() if n else None,
            "stages_ms": {"compute": {"mean": 0.9, "p50": 0.9}, "h2d": None},
            "stage_n": n,
            "stability": "A",
            "stability_reasons": [],
            "dropped": 0,
        }

    @property
    def records(self) -> list[AnyRecord]:
        return [self.header, *(record for batch in self.batches for record in batch)]

    def until(self, t: int) -> list[AnyRecord]:
        """The header and the records up to a time."""
        return [r for r in self.records if isinstance(r, Header) or r.t <= t]

    def write_to(self, path: Path) -> Path:
        return write_segment(path, self.header, self.batches)
