"""Synthetic sessions: pictures as the reducer would hand them out, made of a seed and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
from infertop.backends.configuration import Configuration
from infertop.sessions.records import (
    Clock,
    Event,
    Evidence,
    Fault,
    Header,
    Metric,
    Process,
    Processes,
    Verdict,
)
from infertop.sessions.view import (
    HEAT_BUCKETS,
    HEAT_LOWEST,
    HEAT_PER_DECADE,
    QUANTILES,
    BackendView,
    CallCost,
    History,
    Latency,
    Quantile,
    RunView,
    View,
)

UNIX = 1_780_000_000_000_000_000
S = 1_000_000_000

SAMPLER_METRICS = (
    Metric("sampler.cost", "ms", 0.001),
    Metric("sampler.cpu", "ms", 0.001),
    Metric("sampler.late", "ms", 0.001),
    Metric("sampler.calls", "1"),
)
HOST_METRICS = (
    *SAMPLER_METRICS,
    Metric("host.cpu", "%", 0.1),
    Metric("host.core0", "%", 0.1),
    Metric("host.core1", "%", 0.1),
    Metric("host.memory_used", "B", 1e6),
    Metric("host.load1", "1", 0.01),
    Metric("host.frequency", "MHz", status="absent", reason="the system does not tell the cores' frequency"),
    Metric("host.quota", "cores", 0.01, status="absent", reason="no CPU quota is set"),
    Metric("host.quota_throttled", "ns", counter=True, status="absent", reason="no CPU quota is set"),
    Metric("host.pressure_cpu", "%", 0.01),
    Metric("worker.cpu", "%", 0.1),
    Metric("worker.rss", "B", 1e6),
    Metric("worker.threads", "1"),
    Metric("worker.minor_faults", "1", counter=True),
    Metric("worker.major_faults", "1", counter=True),
    Metric("engine.cpu", "%", 0.1),
    Metric("engine.rss", "B", 1e5),
)
GPU_METRICS = (
    Metric("gpu0.util", "%"),
    Metric("gpu0.memory_util", "%"),
    Metric("gpu0.memory_used", "B"),
    Metric("gpu0.memory_total", "B"),
    Metric("gpu0.power", "W"),
    Metric("gpu0.power_instant", "W"),
    Metric("gpu0.power_limit", "W"),
    Metric("gpu0.energy", "mJ", counter=True),
    Metric("gpu0.temperature", "°C"),
    Metric("gpu0.clock_sm", "MHz"),
    Metric("gpu0.clock_max", "MHz"),
    Metric("gpu0.clock_memory", "MHz"),
    Metric("gpu0.reasons", "bits"),
    Metric("gpu0.throttle_power", "ns", counter=True),
    Metric("gpu0.throttle_sync", "ns", counter=True),
    Metric("gpu0.throttle_thermal", "ns", counter=True),
    Metric("gpu0.throttle_hw_thermal", "ns", counter=True),
    Metric("gpu0.throttle_brake", "ns", counter=True),
    Metric("gpu0.pcie_gen", "1"),
    Metric("gpu0.pcie_width", "lanes"),
    Metric("gpu0.pcie_gen_max", "1"),
    Metric("gpu0.pcie_width_max", "lanes"),
    Metric("gpu0.pcie_ceiling", "B/s"),
    Metric("gpu0.pcie_rx", "B/s", source="GPM"),
    Metric("gpu0.pcie_tx", "B/s", source="GPM"),
    Metric("gpu0.sm_active", "%", source="GPM"),
    Metric("gpu0.occupancy", "%", source="GPM"),
    Metric("gpu0.tensor_active", "%", source="GPM"),
    Metric("gpu0.dram_active", "%", source="GPM"),
    Metric("gpu0.processes", "1"),
    Metric("gpu0.other_memory", "B"),
)
_MEANS = {
    "sampler.cost": 0.41, "sampler.cpu": 0.2, "sampler.late": 0.06, "sampler.calls": 9,
    "host.cpu": 48, "host.core0": 12, "host.core1": 96, "host.memory_used": 6.2e9, "host.load1": 1.2, "host.pressure_cpu": 0.9,
    "worker.cpu": 96, "worker.rss": 4.1e8, "worker.threads": 9, "worker.minor_faults": 14, "worker.major_faults": 0,
    "engine.cpu": 0.9, "engine.rss": 1.1e8,
    "gpu0.util": 98, "gpu0.memory_util": 31, "gpu0.memory_used": 1.2e9, "gpu0.memory_total": 85.5e9, "gpu0.power": 358,
    "gpu0.power_instant": 361, "gpu0.power_limit": 700, "gpu0.energy": 361e3, "gpu0.temperature": 47, "gpu0.clock_sm": 1755,
    "gpu0.clock_max": 1980, "gpu0.clock_memory": 2619, "gpu0.reasons": 4, "gpu0.throttle_power": 4e7,
    "gpu0.throttle_sync": 0, "gpu0.throttle_thermal": 3e6,
    "gpu0.throttle_hw_thermal": 0, "gpu0.throttle_brake": 0, "gpu0.pcie_gen": 5, "gpu0.pcie_width": 16, "gpu0.pcie_gen_max": 5,
    "gpu0.pcie_width_max": 16, "gpu0.pcie_ceiling": 63.0e9, "gpu0.pcie_rx": 5.3e9, "gpu0.pcie_tx": 1.1e8, "gpu0.sm_active": 22,
    "gpu0.occupancy": 14, "gpu0.tensor_active": 11, "gpu0.dram_active": 14, "gpu0.processes": 1, "gpu0.other_memory": 0,
}  # fmt: skip
_STEADY = ("gpu0.memory_total", "gpu0.clock_max", "gpu0.power_limit", "gpu0.pcie_gen", "gpu0.pcie_width", "gpu0.pcie_gen_max", "gpu0.pcie_width_max",
           "gpu0.pcie_ceiling", "gpu0.reasons")  # fmt: skip

BACKENDS = (
    BackendView("torch-eager", "torch", True, version="2.14.0"),
    BackendView("torch-compile", "compile", True, version="2.14.0"),
    BackendView("onnxruntime-cpu", "ort-cpu", True, version="1.31.0"),
    BackendView(
        "tensorrt",
        "trt",
        False,
        "libnvinfer.so.10 is not on this machine",
        "pip install 'infertop[tensorrt]'",
    ),
)
GPU_BACKENDS = (
    *BACKENDS[:3],
    BackendView("onnxruntime-cuda", "ort-cuda", True, version="1.31.0"),
    dataclasses.replace(BACKENDS[3], name="onnxruntime-tensorrt", short="ort-trt"),
    BACKENDS[3],
    dataclasses.replace(
        BACKENDS[3],
        name="tensorrt-rtx",
        short="trt-rtx",
        reason="no GPU of compute capability 9.0 is among its targets",
    ),
)
CONFIGURATION = Configuration("onnxruntime-cpu", "resnet18", "fp32", 32)


def header(gpu: bool = False) -> Header:
    return Header(
        format="1.0",
        session="2026-11-22-resnet18-a1b2",
        segment=1,
        clock=Clock(0, UNIX),
        interval=S // 4,
        metrics=list(HOST_METRICS + (GPU_METRICS if gpu else ())),
        infertop="0.1.0",
        pid=4711,
        host={
            "hostname": "bench-1",
            "cpu": "AMD EPYC 9354 32-Core Processor",
            "allowed_cores": [0, 1],
            "memory": 16_600_000_000,
        },
        gpus=[{"index": 0, "name": "NVIDIA H100 80GB HBM3", "memory": 85_500_000_000}] if gpu else [],
        gpu_status="" if gpu else "no NVIDIA driver answers here: libnvidia-ml.so.1 was not found",
        driver="580.159" if gpu else None,
    )


def latency(p50: float, n: int, spread: float = 0.04) -> Latency:
    """A distribution around `p50` ns with a tail; n decides which intervals exist."""
    factors = dict(
        zip(QUANTILES, (1.0, 1 + spread * 0.8, 1 + spread, 1 + spread * 2.4, 1 + spread * 9), strict=True)
    )

    def quantile(q: float) -> Quantile:
        value = int(p50 * factors[q])
        beyond = n * (1 - q)
        low = int(value * (1 - 0.3 * spread / max(1.0, beyond**0.5))) if n >= 20 else None
        high = int(value * (1 + 0.3 * spread / max(1.0, beyond**0.5))) if n >= 20 and beyond >= 5 else None
        return Quantile(q, value, low, high)

    points = np.linspace(0, min(4.5, np.log10(max(n, 10))), 60)
    curve = tuple((float(1 - 10**-x), int(p50 * (1 - spread + spread * 1.3 * x**1.6))) for x in points)
    return Latency(n, p50 * 1.01, int(p50 * (1 + spread * 14)), tuple(quantile(q) for q in QUANTILES), curve)


def run(
    number: int = 1,
    configuration: Configuration = CONFIGURATION,
    phase: str = "measure",
    p50: float = 3.58e6,
    n: int = 8230,
    **more: object,
) -> RunView:
    batch = configuration.batch or 1
    seconds = n * p50 / 1e9
    values: dict[str, object] = {
        "run": number,
        "configuration": configuration,
        "phase": phase,
        "phase_since": 8 * S,
        "requests": n,
        "samples": n * batch,
        "measured_s": seconds,
        "throughput": batch * 1e9 / p50 if n else None,
        "latency": latency(p50, n) if n else None,
        "recent": latency(p50 * 1.002, max(1, n // 2)) if n else None,
        "stages": {"host": p50 * 0.05, "compute": p50 * 0.93, "gap": p50 * 0.02} if n else None,
        "stage_n": n // 20,
        "grade": "A" if n > 100 else None,
        "grade_reasons": ("medians agree within 1 %", "no throttling seen") if n > 100 else (),
        "threads": 1,
        "placement": {"CPUExecutionProvider": 49},
        "libraries": {"onnxruntime": "1.31.1"},
        "cold_start": {"import": 0.21, "load": 0.38, "build": None, "first": 0.02},
    }
    values.update(more)
    return RunView(**values)  # type: ignore[arg-type]


def history(
    seconds: int = 90,
    p50: float = 3.58e6,
    table: tuple[Metric, ...] = HOST_METRICS,
    change_at: int | None = None,
    earlier: float = 2.59e6,
    first_run: int = 1,
) -> History:
    """`seconds` columns; with `change_at`, that many of them belong to a run before, and 4 s lie between without a request."""
    random = np.random.default_rng(7)
    base = np.full(seconds, p50)
    runs = np.full(seconds, first_run)
    if change_at is not None:
        base[:change_at] = earlier
        runs[change_at:] = first_run + 1
    middle = base * (1 + 0.015 * random.standard_normal(seconds))
    worst = middle * (1.1 + 0.08 * np.abs(random.standard_normal(seconds)))
    worst[seconds // 2 : seconds // 2 + 1] *= 2.2
    if change_at is not None:
        middle[change_at : change_at + 4] = worst[change_at : change_at + 4] = np.nan
    heat = np.zeros((seconds, HEAT_BUCKETS))
    for i in range(seconds):
        if np.isfinite(middle[i]):
            draws = middle[i] * np.exp(0.03 * random.standard_normal(250))
            draws[0] = worst[i]
            places = np.floor(np.log10(draws / HEAT_LOWEST) * HEAT_PER_DECADE).astype(int)
            np.add.at(heat[i], np.clip(places, 0, HEAT_BUCKETS - 1), 1)
    columns = []
    for metric in table:
        if metric.status != "ok":
            columns.append(np.full(seconds, np.nan))
            continue
        noise = 0.0 if metric.id in _STEADY else 0.06
        values = _MEANS[metric.id] * (1 + noise * random.standard_normal(seconds))
        columns.append(np.clip(values, 0, 100 if metric.unit == "%" else None))
    metrics = np.column_stack(columns)
    done = np.where(np.isfinite(middle), 1e9 / np.nan_to_num(middle, nan=1e9), 0).astype(int)
    return History(
        np.arange(seconds), middle, worst, done, runs, np.isfinite(middle), metrics, lambda n: heat[-n:]
    )


EVENTS = (
    Event(t=1 * S, kind="backends", text="usable here: torch, compile, ort-cpu"),
    Event(t=7 * S, kind="warmup", text="warm-up ended after 212 requests and 1.1 s: medians agree", run=1),
    Event(t=41 * S, kind="telemetry", text="host can be read again", level="warn"),
)


CALLS = {
    "nvmlDeviceGetTotalEnergyConsumption": CallCost(93, 2.41, 4.6),
    "nvmlGpmSampleGet": CallCost(186, 0.98, 1.3),
    "nvmlDeviceGetClockInfo": CallCost(93, 1.62, 3.9),
    "nvmlDeviceGetPowerUsage": CallCost(372, 0.005, 0.02),
}


def view(gpu: bool = False, **more: object) -> View:
    """A session that measures; any field can be given otherwise."""
    now = 92 * S
    table = HOST_METRICS + (GPU_METRICS if gpu else ())
    values: dict[str, object] = {
        "header": header(gpu),
        "now": now,
        "unix": UNIX + now,
        "state": "live",
        "run": on_gpu() if gpu else run(),
        "before": None,
        "runs": (),
        "backends": GPU_BACKENDS if gpu else BACKENDS,
        "values": {m.id: float(_MEANS[m.id]) for m in table if m.status == "ok"},
        "ages": {},
        "metrics": table,
        "history": history(table=table),
        "events": EVENTS,
        "verdict": None,
        "since_request": 0.003,
        "gaps": 0,
        "bytes": 1_240_000,
        "calls": CALLS if gpu else {},
    }
    values.update(more)
    return View(**values)  # type: ignore[arg-type]


CUDA = Configuration("onnxruntime-cuda", "resnet18", "fp32", 32, device="cuda:0")
LINK = {
    "h2d_pinned": 52.3e9,
    "h2d_pageable": 8.1e9,
    "d2h_pinned": 50e9,
    "d2h_pageable": 10.2e9,
    "staging": 12e9,
}


def on_gpu(
    number: int = 1,
    configuration: Configuration = CUDA,
    phase: str = "measure",
    p50: float = 3.58e6,
    **more: Any,
) -> RunView:
    """A run of ONNX Runtime on the GPU: all five stages, the issuing beside them, the link measured."""
    parts = {"host": 0.002, "h2d": 0.425, "compute": 0.54, "d2h": 0.008, "gap": 0.025, "enqueue": 0.03}
    known: dict[str, Any] = {
        "stages": {name: p50 * part for name, part in parts.items()},
        "gpu": "gpu0",
        "link": LINK,
        "threads": None,
        "placement": {"CUDAExecutionProvider": 49},
        "libraries": {"onnxruntime-gpu": "1.31.1"},
    }
    return run(number, configuration, phase, p50, **{**known, **more})


def switched(gpu: bool = False) -> View:
    """A session whose configuration was changed: a run before, a mark in the graphs."""
    table = HOST_METRICS + (GPU_METRICS if gpu else ())
    if gpu:
        before = on_gpu(1, dataclasses.replace(CUDA, data_path="pinned"), "end", 2.59e6, n=14_000)
    else:
        before = run(1, dataclasses.replace(CONFIGURATION, batch=16), "end", 2.59e6, 14_000)
    return view(
        gpu,
        run=on_gpu(2) if gpu else run(2),
        before=before,
        runs=(before,),
        history=history(table=table, change_at=50),
    )


def monitored(gpu: bool = True) -> View:
    """A session that measures nothing: a GPU that two others work on, and what the host is busy with."""
    base = view(gpu)
    assert base.header is not None
    listed = [
        Process(40_112, "python train.py", {"gpu0": 61_300_000_000}, 103.0, 4_100_000_000),
        Process(40_377, "tritonserver", {"gpu0": 2_470_000_000}, 12.0, 1_900_000_000),
        Process(4711, "python -m infertop", {"gpu0": None} if gpu else {}, 0.9, 92_000_000, own=True),
        Process(2214, "node_exporter", {}, 0.4, 31_000_000),
    ]
    unknown = {"gpu0": "this container does not see the host's other processes"} if gpu else {}
    return dataclasses.replace(
        base,
        header=msgspec.structs.replace(base.header, monitor=True, recording=False),
        run=None,
        runs=(),
        backends=(),
        calls={},
        events=EVENTS[:1],
        processes=Processes(t=90 * S, processes=listed if gpu else listed[2:], unknown=unknown, count=231),
    )


def loading() -> View:
    """A switch on its way, with the results of the run before."""
    before = run(1, phase="end")
    torch = dataclasses.replace(CONFIGURATION, backend="torch-eager")
    loaded = run(
        2,
        torch,
        "import",
        n=0,
        phase_since=88 * S,
        cold_start=None,
        placement=None,
        libraries={},
        threads=None,
        stages=None,
    )
    return view(run=loaded, before=before, runs=(before,), since_request=None)


def failed() -> View:
    """A switch that failed, with the results of the run before."""
    before = run(1, phase="end")
    torch = dataclasses.replace(CONFIGURATION, backend="torch-eager", batch=4096)
    fault = Fault(
        "out-of-memory",
        "resnet18 with batch 4096 needs more memory than the machine has",
        "press B for a smaller batch",
        "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 13153337344 bytes.",
    )
    return view(
        run=run(2, torch, "end", n=0, error=fault, stages=None, cold_start=None),
        before=before,
        runs=(before,),
        since_request=None,
        events=(*EVENTS, Event(t=91 * S, kind="fault", text=fault.message, level="error")),
    )


def idle() -> View:
    """A session without a model."""
    return view(run=None, history=history(0, table=HOST_METRICS), events=EVENTS[:1], since_request=None)


def job(kind: str, text: str, t: int = 91 * S, **data: object) -> Event:
    """An event of a proof or a sweep."""
    return Event(t=t, kind=kind, text=text, data=dict(data))


ADVICE: dict[str, Any] = {
    "action": "data-path",
    "value": "pinned",
    "text": "pinned: about −1.1 ms, 31 %",
    "gain_ms": 1.1,
    "gain_share": 0.31,
    "most": False,
    "per": "request",
}


def advised(**changes: Any) -> View:
    """A run on a GPU with a verdict whose advice is ADVICE, but for the changes."""
    found = Verdict(
        t=1,
        run=1,
        kind="transfer-h2d",
        confidence=0.8,
        text="copying in takes 1.5 of 3.6 ms",
        evidence=[
            Evidence("removable", 30, "%", 20, 1.0),
            Evidence("copy at best", 0.4, "ms", 0.2, 1.0, "<="),
            Evidence("PCIe RX", 5.3e9, "B/s"),
        ],
        advice=ADVICE | changes,
    )
    return view(True, verdict=found)


def proving() -> View:
    """A proof of that advice on its way."""
    begun = job(
        "proof", "proving pinned: about −1.1 ms, 31 %: 8 blocks of 3 s", 70 * S, done=0, total=8, over=False
    )
    far = job("proof", "proof: 3 of 8 blocks done", done=3, total=8, over=False)
    present = advised()
    pinned = dataclasses.replace(CUDA, data_path="pinned")
    block = on_gpu(5, pinned, "measure", 2.5e6, n=400, phase_since=90 * S)
    blocks = history(table=present.metrics, change_at=88, earlier=3.58e6, p50=2.5e6, first_run=4)
    events = (*present.events, begun, far)
    return dataclasses.replace(present, run=block, history=blocks, verdict=None, events=events)


def depth() -> View:
    """Three in flight, copies beside compute."""
    return view(
        True, run=on_gpu(configuration=dataclasses.replace(CUDA, data_path="pinned", load="pipelined:3"))
    )


def opened() -> View:
    """An open loop that keeps its schedule but for a few."""
    configuration = dataclasses.replace(CUDA, load="open:140/s")
    return view(True, run=on_gpu(configuration=configuration, response=latency(5.2e6, 4000), backlog=7))
