"""Records as an engine writes them on a machine with an H100: runs whose stages and counters are given, for the diagnosis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from infertop.backends.configuration import Configuration, Options
from infertop.sessions.diagnosis import Diagnosis
from infertop.sessions.records import AnyRecord, Event, Fault, Header, Metric, Run, Tick, Verdict
from infertop.tests.sessions import synthetic

SECOND = 1_000_000_000
TICK = SECOND // 4
PICTURES = 32 * 3 * 224 * 224 * 4
LINK = {
    "h2d_pinned": 52.3e9,
    "h2d_pageable": 11.9e9,
    "d2h_pinned": 52e9,
    "d2h_pageable": 10e9,
    "staging": 14e9,
}
CONFIGURATION = Configuration(
    "torch-eager", "resnet18", "fp32", 32, device="cuda:0", options=Options(threads=None)
)

GPU = (
    "util",
    "sm_active",
    "tensor_active",
    "fp16",
    "fp32",
    "fp64",
    "dram_active",
    "pcie_rx",
    "pcie_tx",
    "power",
    "power_limit",
    "clock_sm",
)
COUNTERS = ("throttle_power", "throttle_thermal")
HOST = ("host.cpu", "worker.cpu", "engine.cpu")

IN_COPIES = {
    "host": 1_000,
    "h2d": 1_620_000,
    "compute": 1_950_000,
    "d2h": 20_000,
    "gap": 90_000,
    "enqueue": 400_000,
}
PINNED = IN_COPIES | {"h2d": 370_000}
LAUNCHES = {
    "host": 1_000,
    "h2d": 20_000,
    "compute": 1_600_000,
    "d2h": 15_000,
    "gap": 50_000,
    "enqueue": 1_560_000,
}

BUSY = {
    "util": 60,
    "sm_active": 42.0,
    "fp32": 20.0,
    "dram_active": 14.0,
    "power": 361.0,
    "power_limit": 700.0,
    "clock_sm": 1980,
}
IDLE = {
    "util": 60,
    "sm_active": 9.0,
    "fp32": 3.0,
    "dram_active": 4.0,
    "power": 140.0,
    "power_limit": 700.0,
    "clock_sm": 1980,
}


def header(**fields: Any) -> Header:
    table = [Metric(name, "%") for name in HOST]
    table += [Metric(f"gpu0.{name}", "1") for name in GPU]
    table += [Metric(f"gpu0.{name}", "ns", counter=True) for name in COUNTERS]
    made = synthetic.header(**fields)
    return Header(
        **{n: getattr(made, n) for n in made.__struct_fields__}
        | {"metrics": table, "host": {"allowed_cores": list(range(16))}}
    )


class Log:
    """Feeds a diagnosis with records, and keeps all of them, its own among them."""

    def __init__(self) -> None:
        self.diagnosis = Diagnosis()
        self.records: list[AnyRecord] = []
        self.t = 0
        self.n = 0
        self.run = 0
        self.head = header()
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.write(self.head)

    def write(self, record: AnyRecord) -> None:
        self.records.append(record)
        for said in self.diagnosis.take(record):
            self.write(said)

    def begin(self, configuration: Configuration = CONFIGURATION, **known: Any) -> None:
        self.run += 1
        self.write(Run(t=self.t, run=self.run, phase="start", configuration=configuration))
        given: dict[str, Any] = {
            "gpu": "gpu0",
            "link": LINK,
            "bytes_in": PICTURES,
            "bytes_out": 128_000,
        } | known
        inputs = [{"name": "x", "dtype": "float32", "shape": [32, 3, 224, 224]}]
        self.write(
            Run(t=self.t, run=self.run, phase="warmup", configuration=configuration, inputs=inputs, **given)
        )
        self.write(Run(t=self.t, run=self.run, phase="measure"))

    def end(self, p50_ms: float | None = 3.0, error: Fault | None = None) -> None:
        result = {"status": "ok" if error is None else "failed", "latency_ms": {"p50": p50_ms}}
        self.write(Run(t=self.t, run=self.run, phase="end", result=result, error=error))

    def idle(self, seconds: float, readings: Mapping[str, float]) -> None:
        for _ in range(round(4 * seconds)):
            self._tick(0, None, readings, 0)

    def measure(
        self, seconds: int, stages: Mapping[str, int], readings: Mapping[str, float], spread: float = 0.01
    ) -> None:
        """So many seconds of requests one after another."""
        service = sum(stages.values()) - stages["enqueue"]
        each = round(0.25e9 / service)
        for second in range(seconds):
            draw = np.random.default_rng(second)
            for quarter in range(4):
                blobs = None
                if quarter == 3:
                    blobs = {
                        name: synthetic.blob(_around(draw, value, spread, 50))
                        for name, value in stages.items()
                    }
                    blobs["service"] = synthetic.blob(_around(draw, service, spread, 4 * each))
                self._tick(each, blobs, readings, self.run)

    def _tick(self, done: int, blobs: dict[str, str] | None, readings: Mapping[str, float], run: int) -> None:
        self.t += TICK
        given = {"host.cpu": 8.0, "worker.cpu": 100.0, "engine.cpu": 3.0}
        given |= {f"gpu0.{name}": value for name, value in readings.items() if name not in COUNTERS}
        for name in COUNTERS:
            self.counters[name] += round(readings.get(name, 0.0) * TICK)
            given[f"gpu0.{name}"] = self.counters[name]
        values = [given.get(metric.id) for metric in self.head.metrics]
        self.write(Tick(t=self.t, n=self.n, run=run, done=done, q=None, m=values, h=blobs))
        self.n += 1

    def of(self, kind: type[Any]) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]

    @property
    def verdicts(self) -> list[Verdict]:
        return self.of(Verdict)


def _around(draw: np.random.Generator, value: int, spread: float, count: int) -> np.ndarray:
    return np.maximum(draw.normal(value, spread * value, count), 1).astype(np.int64)


def others(records: list[AnyRecord]) -> Iterator[AnyRecord]:
    """What was recorded, without what the diagnosis itself wrote."""
    for record in records:
        if not isinstance(record, Verdict) and not (isinstance(record, Event) and record.kind == "verdict"):
            yield record


def other_path(path: str) -> Configuration:
    return replace(CONFIGURATION, data_path=path)
