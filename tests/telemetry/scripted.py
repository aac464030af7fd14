"""Windows as a scripted machine would give them: each bottleneck on an H100 with GPM and on a laptop's RTX 4050 without."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from infertop.telemetry.verdict_window import Choice, Gpu, Host, Link, Stages, Window, Work

MS = 1e6
GB = 1e9
INPUT = 32 * 3 * 224 * 224 * 4
"""Bytes of a batch of 32 pictures in float32."""


@dataclass(frozen=True)
class Machine:
    """What stays the same on a machine. `gpm`: whether its GPU has those counters."""

    name: str
    gpm: bool
    limit: float  # W
    clock: float  # MHz
    link: Link
    speed: float  # how long everything on the GPU takes, against the H100


H100 = Machine(
    "H100", True, 700.0, 1980.0, Link(52.3 * GB, 11.9 * GB, 52.0 * GB, 10.4 * GB, 14 * GB, 63 * GB), 1.0
)
RTX4050 = Machine(
    "RTX 4050 laptop",
    False,
    60.0,
    2370.0,
    Link(12.6 * GB, 5.9 * GB, 12.9 * GB, 5.5 * GB, 9 * GB, 15.8 * GB),
    1.5,
)
MACHINES = (H100, RTX4050)


def window(
    machine: Machine, stages: dict[str, float], gpu: dict[str, Any] | None = None, **other: Any
) -> Window:
    """Stages in ms. Copies are given in bytes of the H100's link and take longer on a slower one; `power` is a share of the limit."""
    given = dict(gpu or {})
    given["power"] = given.pop("power", 0.5) * machine.limit
    given.setdefault("clock", machine.clock)
    readings = Gpu(
        power_limit=machine.limit,
        clock_highest=machine.clock,
        power_capped=0.0,
        thermal_capped=0.0,
        reasons=0,
        quiet_util=0.0,
    )
    readings = replace(readings, **given)
    if not machine.gpm:
        readings = replace(
            readings,
            sm_active=None,
            tensor=None,
            fp16=None,
            fp32=None,
            fp64=None,
            dram=None,
            rx=None,
            tx=None,
        )
    timed = Stages(50, **{name: value * MS * machine.speed for name, value in stages.items()})
    choice = other.pop("choice", Choice("torch-eager", "fp32", 32, "pageable"))
    service = timed.service
    settings: dict[str, Any] = {
        "seconds": 1.0, "ticks": 4, "requests": max(4, round(1e9 / service)), "service": service, "busy": 0.98, "choice": choice, "stages": timed,
        "device": "cuda:0", "floats": "float32", "bytes_in": 4096, "bytes_out": 4096, "link": machine.link, "gpu": readings,
        "host": Host(16, 0.1, 1.0, 0.1, 0.0),
    }  # fmt: skip
    return Window(**(settings | other))


def on_cpu(machine: Machine, worker: float, threads: int = 8, **other: Any) -> Window:
    stages = {"host": 0.001, "compute": 4.0, "gap": 0.05}
    settings: dict[str, Any] = {
        "device": "cpu", "choice": Choice("onnxruntime-cpu", "fp32", 1, "pageable", threads), "gpu": None, "link": Link(),
        "host": Host(16, worker / 16 + 0.02, worker, 0.1, 0.01),
    }  # fmt: skip
    made = window(machine, stages, **(settings | other))
    return replace(made, gpu=None)


def _slow_in(m: Machine) -> Window:
    took = INPUT / (m.link.h2d_pageable or 1) * 1e3 / m.speed
    stages = {"host": 0.0, "h2d": took, "compute": 1.95, "d2h": 0.02, "gap": 0.09, "enqueue": 0.4}
    rate = 1e3 / (sum(stages.values()) - 0.4) / m.speed
    return window(
        m,
        stages,
        {"util": 58.0, "sm_active": 42.0, "fp32": 20.0, "dram": 14.0, "rx": 1.08 * INPUT * rate, "tx": 1e7},
        bytes_in=INPUT,
    )


def _slow_out(m: Machine) -> Window:
    size = 40_000_000
    took = size / (m.link.d2h_pageable or 1) * 1e3 / m.speed
    stages = {"host": 0.0, "h2d": 0.05, "compute": 1.5, "d2h": took, "gap": 0.1, "enqueue": 0.1}
    rate = 1e3 / (sum(stages.values()) - 0.1) / m.speed
    return window(
        m,
        stages,
        {"util": 30.0, "sm_active": 25.0, "dram": 20.0, "rx": 1e7, "tx": 1.08 * size * rate},
        bytes_out=size,
    )


def _full_link(m: Machine) -> Window:
    took = INPUT / (0.95 * (m.link.h2d_pinned or 1)) * 1e3 / m.speed
    stages = {"host": 0.0, "h2d": took, "compute": 0.15, "d2h": 0.01, "gap": 0.03, "enqueue": 0.05}
    rate = 1e3 / (sum(stages.values()) - 0.05) / m.speed
    choice = Choice("onnxruntime-cuda", "fp32", 32, "pinned-ready")
    gpu = {"util": 30.0, "sm_active": 20.0, "dram": 10.0, "rx": 1.08 * INPUT * rate, "tx": 1e7}
    return window(m, stages, gpu, bytes_in=INPUT, choice=choice)


def _launch(m: Machine) -> Window:
    stages = {"host": 0.0, "h2d": 0.02, "compute": 1.6, "d2h": 0.02, "gap": 0.05, "enqueue": 1.55}
    choice = Choice("torch-eager", "fp32", 1, "pageable")
    gpu = {"util": 70.0, "sm_active": 9.0, "fp32": 3.0, "dram": 4.0, "power": 0.22}
    return window(m, stages, gpu, choice=choice, work=Work(operators=180, products=60))


def _launch_uncounted(m: Machine) -> Window:
    """A runtime whose operators nobody counts, before the power's limit was read."""
    base = _launch(m)
    assert base.gpu is not None
    return replace(base, work=Work(), gpu=replace(base.gpu, power_limit=None, util=30.0))


def _own_code(m: Machine) -> Window:
    """Python prepares features inside `forward`: long for each of a few operators."""
    stages = {"host": 0.0, "h2d": 0.02, "compute": 5.0, "d2h": 0.02, "gap": 0.05, "enqueue": 4.9}
    gpu = {"util": 1.0, "sm_active": 0.2, "fp32": 0.1, "dram": 0.1, "power": 0.17}
    return window(m, stages, gpu, work=Work(operators=5, products=1))


def _compute(m: Machine) -> Window:
    stages = {"host": 0.0, "h2d": 0.1, "compute": 8.0, "d2h": 0.1, "gap": 0.1, "enqueue": 0.1}
    choice = Choice("torch-eager", "fp16", 8, "pageable")
    gpu = {"util": 98.0, "sm_active": 93.0, "tensor": 81.0, "fp16": 3.0, "dram": 31.0, "power": 0.9}
    took = 8.0 * MS * m.speed
    work = Work(
        flop=1e12,
        flop_ns=0.62 * took,
        bytes=3e8,
        bytes_ns=0.1 * took,
        fused_ns=0.1 * took,
        operators=16,
        products=8,
    )
    return window(m, stages, gpu, choice=choice, floats="float16", work=work)


def _compute_uncounted(m: Machine) -> Window:
    return replace(_compute(m), work=Work())


def _memory(m: Machine) -> Window:
    stages = {"host": 0.0, "h2d": 0.2, "compute": 8.0, "d2h": 0.2, "gap": 0.1, "enqueue": 0.3}
    took = 8.0 * MS * m.speed
    work = Work(
        flop=1e9,
        flop_ns=0.01 * took,
        bytes=2e10,
        bytes_ns=0.85 * took,
        fused_ns=0.1 * took,
        operators=9,
        products=1,
    )
    gpu = {"util": 98.0, "sm_active": 92.0, "fp32": 8.0, "dram": 83.0, "power": 0.75}
    return window(m, stages, gpu, work=work)


def _device(m: Machine) -> Window:
    stages = {"host": 0.0, "h2d": 0.1, "compute": 3.0, "d2h": 0.1, "gap": 0.1, "enqueue": 0.2}
    return window(m, stages, {"util": 96.0, "sm_active": 35.0, "fp32": 18.0, "dram": 22.0, "power": 0.45})


def _host(m: Machine) -> Window:
    stages = {"host": 2.4, "h2d": 0.37, "compute": 1.9, "d2h": 0.02, "gap": 0.1, "enqueue": 0.4}
    choice = Choice("onnxruntime-cuda", "fp32", 32, "pinned")
    gpu = {"util": 41.0, "sm_active": 33.0, "fp32": 17.0, "dram": 11.0, "rx": 4e9, "tx": 1e7, "power": 0.4}
    return window(
        m, stages, gpu, choice=choice, bytes_in=round(0.37e-3 * m.speed * 0.98 * (m.link.h2d_pinned or 1))
    )


def _between(m: Machine) -> Window:
    stages = {"host": 0.0, "h2d": 0.05, "compute": 1.0, "d2h": 0.02, "gap": 1.4, "enqueue": 0.3}
    return window(m, stages, {"util": 40.0, "sm_active": 20.0, "fp32": 10.0, "dram": 9.0, "power": 0.3})


def _capped(m: Machine) -> Window:
    base = _compute(m)
    assert base.gpu is not None
    return replace(
        base, gpu=replace(base.gpu, clock=0.7 * m.clock, power=m.limit, power_capped=0.9, reasons=0x4)
    )


def _capped_from_the_start(m: Machine) -> Window:
    """It was never seen at another clock, and does not say what its clock could be."""
    base = _capped(m)
    assert base.gpu is not None
    return replace(base, gpu=replace(base.gpu, clock_highest=base.gpu.clock))


def _hot(m: Machine) -> Window:
    base = _memory(m)
    assert base.gpu is not None
    return replace(
        base,
        gpu=replace(base.gpu, clock=0.6 * m.clock, power=0.6 * m.limit, thermal_capped=0.8, reasons=0x20),
    )


def _contended(m: Machine) -> Window:
    base = _device(m)
    assert base.gpu is not None
    assert base.stages.compute is not None
    return replace(
        base, gpu=replace(base.gpu, quiet_util=96.0, util=100.0), fastest_compute=base.stages.compute / 2
    )


def _beside(m: Machine) -> Window:
    """A neighbour that came after the run had begun, seen by its memory."""
    base = _compute(m)
    assert base.gpu is not None
    assert base.stages.compute is not None
    return replace(
        base, gpu=replace(base.gpu, other_memory=9 * GB), fastest_compute=base.stages.compute / 1.9
    )


def _fallen(m: Machine) -> Window:
    choice = Choice("onnxruntime-cuda", "fp32", 1, "pageable")
    base = window(
        m,
        {"gap": 5.0},
        {"util": 0.0, "sm_active": 0.0, "dram": 0.0, "power": 0.1},
        choice=choice,
        host=Host(16, 0.5, 7.5, 0.1, 0.0),
    )
    text = "the CUDA provider did not start (libcudnn.so.9 cannot be loaded): everything runs on the CPU"
    return replace(base, fallback=text, on_cpu=1.0, stages=Stages())


def _partly(m: Machine) -> Window:
    stages = {"host": 0.0, "h2d": 0.1, "compute": 9.0, "d2h": 0.1, "gap": 0.1, "enqueue": 8.8}
    base = window(
        m,
        stages,
        {"util": 31.0, "sm_active": 12.0, "dram": 8.0, "power": 0.25},
        choice=Choice("onnxruntime-cuda", "fp32", 8),
    )
    return replace(base, fallback="3 of 12 nodes run on the CPU (NonZero, Unique)", on_cpu=0.25)


def _idle(m: Machine) -> Window:
    base = _device(m)
    assert base.gpu is not None
    rate = 0.2e9 / base.service
    gpu = replace(
        base.gpu,
        util=19.0,
        sm_active=7.0 if m.gpm else None,
        fp32=3.6 if m.gpm else None,
        dram=4.4 if m.gpm else None,
    )
    return replace(
        base,
        busy=0.2,
        requests=max(3, round(rate * 10)),
        seconds=10.0,
        asked_rate=rate,
        response=base.service * 1.02,
        gpu=gpu,
    )


def _balanced(m: Machine) -> Window:
    stages = {"host": 0.16, "h2d": 0.30, "compute": 0.40, "d2h": 0.10, "gap": 0.04, "enqueue": 0.1}
    choice = Choice("onnxruntime-cuda", "fp32", 4, "pinned")
    size = round(0.30e-3 * m.speed * 0.9 * (m.link.h2d_pinned or 1))
    return window(
        m,
        stages,
        {"util": 40.0, "sm_active": 30.0, "fp32": 12.0, "dram": 10.0, "tx": 1e7},
        choice=choice,
        bytes_in=size,
    )


CASES: dict[str, tuple[str, Callable[[Machine], Window], str | None]] = {
    "large input, pageable": ("transfer-h2d", _slow_in, "transfer-h2d"),
    "large output, pageable": ("transfer-d2h", _slow_out, "transfer-d2h"),
    "input at the link's rate": ("transfer-h2d", _full_link, "transfer-h2d"),
    "batch 1, eager": ("launch", _launch, "launch"),
    "operators that nobody counts": ("launch", _launch_uncounted, "launch"),
    "large matmul, fp16": ("compute", _compute, "compute"),
    "large matmul, not counted": ("compute", _compute_uncounted, "device-bound"),
    "element-wise": ("memory-bandwidth", _memory, "memory-bandwidth"),
    "kernels that fill a third": ("device-bound", _device, "device-bound"),
    "input prepared on the host": ("host", _host, "host"),
    "Python between the steps": ("host", _between, "host"),
    "Python inside the model": ("host", _own_code, "host"),
    "power cap": ("throttled-power", _capped, "throttled-power"),
    "power cap from the start": ("throttled-power", _capped_from_the_start, "throttled-power"),
    "too hot": ("throttled-thermal", _hot, "throttled-thermal"),
    "neighbour from before": ("contended", _contended, "contended"),
    "neighbour that came": ("contended", _beside, "contended"),
    "no CUDA provider": ("fallback", _fallen, "fallback"),
    "three operators on the CPU": ("fallback", _partly, "fallback"),
    "open loop at 20 %": ("underload", _idle, "underload"),
    "nothing stands out": ("balanced", _balanced, "balanced"),
    "CPU, all its cores full": ("cpu", lambda m: on_cpu(m, 7.9), "cpu"),
    "CPU, one of eight threads": ("cpu", lambda m: on_cpu(m, 1.1), "cpu"),
    "CPU beside a neighbour": (
        "contended",
        lambda m: on_cpu(m, 7.0, host=Host(16, 1.0, 7.0, 8.6, 0.4)),
        "contended",
    ),
}
"""What is provoked → the kind with GPM, the window, the kind without."""


def expected(case: str, machine: Machine) -> str:
    with_gpm, _, without = CASES[case]
    return with_gpm if machine.gpm else without or "unclear"


def jittered(base: Window, seed: int, count: int = 20, noise: float = 0.1) -> Iterator[Window]:
    """The window so often, with every reading drawn anew within ± `noise`."""
    draw = random.Random(seed)

    def moved(value: Any) -> Any:
        return value * draw.uniform(1 - noise, 1 + noise) if isinstance(value, float) else value

    def each(part: Any, kept: tuple[str, ...] = ()) -> Any:
        return replace(
            part, **{f.name: moved(getattr(part, f.name)) for f in fields(part) if f.name not in kept}
        )

    for _ in range(count):
        stages = each(base.stages)
        gpu = None if base.gpu is None else each(base.gpu, ("power_limit", "clock_highest", "reasons"))
        if gpu is not None:
            shares = ("util", "sm_active", "tensor", "fp16", "fp32", "fp64", "dram", "quiet_util")
            gpu = replace(gpu, **{n: min(v, 100.0) for n in shares if (v := getattr(gpu, n)) is not None})
            gpu = replace(
                gpu,
                power=min(gpu.power or 0.0, gpu.power_limit or 0.0),
                clock=min(gpu.clock or 0.0, gpu.clock_highest or 0.0),
            )
        host = each(base.host)
        yield replace(
            base, stages=stages, gpu=gpu, host=replace(host, busy=min(host.busy or 0.0, 1.0)), service=stages.service or moved(base.service),
            requests=round(base.requests * base.service / (stages.service or base.service)) if base.asked_rate is None else base.requests,
        )  # fmt: skip
