"""Rules of the compute stage on a GPU: who issues the work, and what the device waits for while it does it.

GPM says what the pipes and the memory do. Without it the request's own operations and bytes (backends/cost.py, lower bounds both) over the time
that computing took are set against the GPU's peaks.
"""

from __future__ import annotations

from . import verdict_signals as at
from .verdict_signals import Finding, Signal, ms, percent, ratio, significant
from .verdict_window import Window


def launch(window: Window) -> Finding | None:
    """The host cannot issue work as fast as the GPU does it."""
    stages, gpu = window.stages, window.gpu
    share = window.share("compute")
    issued = ratio(stages.enqueue, stages.compute)
    if not window.cuda or share is None or issued is None or stages.enqueue is None or stages.compute is None:
        return None
    active = window.during(gpu.sm_active) if gpu else None
    power = ratio(gpu.power, gpu.power_limit) if gpu else None
    signals = [Signal("enqueue of compute", 100 * issued, "%", 100 * at.ENQUEUE)]
    if gpu is not None and gpu.gpm:
        signals.append(Signal("SM active", active, "%", at.SM_IDLE, "<="))
    each = per_operator(window)
    if each is not None:
        signals.append(Signal("host time per operator", each, "µs", at.OPERATOR, "<="))
    signals += [
        Signal("power of its limit", None if power is None else 100 * power, "%", 100 * at.POWER_LOW, "<="),
        Signal("worker cores", window.host.worker, "cores", at.CORE_BUSY),
    ]
    if gpu is None or not gpu.gpm:
        running = window.during(gpu.util) if gpu else None
        signals.append(Signal("GPU utilisation", running, "%", at.SM_IDLE, "<="))
    idle = 0.5 if active is None else 1 - active / 100
    sm = "" if active is None else f" · SMs {active:.0f} % active"
    text = f"issuing the work takes the host {ms(stages.enqueue)} of {ms(stages.compute)} ms of compute{sm}"
    return Finding("launch", share * idle, text, tuple(signals))


def launch_holds(finding: Finding) -> bool:
    """Operators that take the host long are not issued slowly: the model does something else between them.

    Without GPM a low power alone could be a small model, and a spinning core alone proves nothing: both are needed. Where no limit of the power
    was read yet, no kernel running half of the time says the same.
    """
    names = {signal.name: signal.agrees for signal in finding.signals}
    idle = names.get("SM active")
    if idle is None:
        power = names.get("power of its limit")
        waits = names.get("GPU utilisation") if power is None else power
        idle = waits is True and names.get("worker cores") is True
    return finding.holds and idle and names.get("host time per operator") is not False


def own_code(window: Window) -> Finding | None:
    """The model's own Python works within the call, for few operators, while the GPU waits."""
    each, stages, gpu = per_operator(window), window.stages, window.gpu
    issued, share = ratio(stages.enqueue, stages.compute), window.share("compute")
    running = window.during(gpu.util) if gpu else None
    if each is None or issued is None or share is None or stages.enqueue is None or stages.compute is None:
        return None
    if each <= at.OPERATOR or running is None or running > at.SM_IDLE:
        return None  # it may as well wait for the GPU, within the call
    signals = (
        Signal("host time per operator", each, "µs", at.OPERATOR),
        Signal("enqueue of compute", 100 * issued, "%", 100 * at.ENQUEUE),
        Signal("worker cores", window.host.worker, "cores", at.CORE_BUSY),
        Signal("GPU utilisation", running, "%", at.SM_IDLE, "<="),
    )
    text = (
        f"the model's own code keeps the host busy for {ms(stages.enqueue)} of {ms(stages.compute)} ms of compute"
        f", for {window.work.operators} operators"
    )
    return Finding("host", share * min(1.0, issued), text, signals)


def per_operator(window: Window) -> float | None:
    """µs of the host for each operator that is issued; None where they are not counted."""
    enqueue, operators = window.stages.enqueue, window.work.operators
    return None if enqueue is None or not operators else enqueue / operators / 1e3


def pipe(window: Window) -> tuple[str, float] | None:
    """The busiest arithmetic pipe while we computed, and how busy it was, %; None without GPM."""
    gpu = window.gpu
    if gpu is None or not gpu.gpm:
        return None
    found = {"tensor cores": gpu.tensor, "FP32": gpu.fp32, "FP16": gpu.fp16, "FP64": gpu.fp64}
    known = {name: value for name, reading in found.items() if (value := window.during(reading)) is not None}
    return max(known.items(), key=lambda item: item[1]) if known else None


def compute(window: Window, doubled: float | None) -> Finding | None:
    """The arithmetic pipes are full: GPM says so, or the operations of a request over the time that they take."""
    found, share, gpu = pipe(window), window.share("compute"), window.gpu
    if not window.cuda or share is None or gpu is None:
        return None
    if found is None:
        work = window.work
        name, unit, most = "arithmetic of its peak", "TFLOP/s", "its peak"
        return _by_work(
            window,
            "compute",
            name,
            work.flop,
            work.flop_ns,
            at.PIPE_BUSY,
            1e12,
            f"{unit}, {{}} of {most}",
            doubled,
        )
    name, busy = found
    active = window.during(gpu.sm_active)
    signals = (
        Signal("arithmetic pipe", busy, "%", at.PIPE_BUSY),
        Signal("compute share", 100 * share, "%", 100 * at.MOSTLY),
        Signal("SM active", active, "%", at.SM_IDLE),
    )
    sm = "" if active is None else f", SMs {active:.0f} %"
    text = f"computing takes {ms(window.stages.compute or 0)} of {ms(window.whole)} ms, {name} {busy:.0f} % busy{sm}"
    return Finding("compute", share * busy / 100, text, signals)


def memory_bandwidth(window: Window, doubled: float | None) -> Finding | None:
    """The GPU's memory is what the kernels wait for: GPM says so, or the bytes of a request over the time that they take."""
    gpu, share = window.gpu, window.share("compute")
    dram = window.during(gpu.dram) if gpu else None
    if not window.cuda or gpu is None or share is None:
        return None
    if dram is None:
        work = window.work
        name, said = "memory traffic of its peak", "GB/s, {} of what a copy within the GPU's memory reaches"
        return _by_work(
            window, "memory-bandwidth", name, work.bytes, work.bytes_ns, at.DRAM_BUSY, 1e9, said, doubled
        )
    most = pipe(window)
    signals = (
        Signal("DRAM active", dram, "%", at.DRAM_BUSY),
        Signal("compute share", 100 * share, "%", 100 * at.MOSTLY),
        Signal("SM active", window.during(gpu.sm_active), "%", at.SM_IDLE),
    )
    pipes = f", {most[0]} {most[1]:.0f} %" if most else ""
    took = ms(window.stages.compute or 0)
    text = f"computing takes {took} of {ms(window.whole)} ms, the GPU's memory {dram:.0f} % busy{pipes}"
    return Finding("memory-bandwidth", share * dram / 100, text, signals)


def _by_work(
    window: Window, kind: str, name: str, amount: float | None, least: float | None, threshold: float, unit: float, said: str,
    doubled: float | None,
) -> Finding | None:  # fmt: skip
    """`amount` of a request, which takes `least` ns at the peak; None where nothing was counted."""
    took, share, gpu = window.stages.compute, window.share("compute"), window.gpu
    if not amount or least is None or not took or share is None or gpu is None:
        return None
    reached = least / took
    signals = [
        Signal(name, 100 * reached, "%", threshold),
        Signal("compute share", 100 * share, "%", 100 * at.MOSTLY),
        Signal("GPU utilisation", gpu.util, "%", at.UTIL_BUSY),
        *_at_twice(doubled),
    ]
    rate = significant(amount / took * 1e9 / unit)
    text = f"computing takes {ms(took)} of {ms(window.whole)} ms at {rate} {said.format(percent(min(1.0, reached)))}"
    return Finding(kind, share * min(1.0, reached), text, tuple(signals))


def _at_twice(doubled: float | None) -> list[Signal]:
    """A device that is full takes as long for a sample at twice the batch."""
    if doubled is None:
        return []
    return [Signal("time per sample at twice the batch", 100 * doubled, "%", 100 * at.SATURATED_BATCH)]


def device_bound(window: Window, doubled: float | None) -> Finding | None:
    """The device computes, and no counter says what for it waits. `doubled`: time per sample of twice the batch ÷ that of this one."""
    share, gpu = window.share("compute"), window.gpu
    if not window.cuda or share is None:
        return None
    issued = ratio(window.stages.enqueue, window.stages.compute)
    signals = [
        Signal("compute share", 100 * share, "%", 100 * at.MOSTLY),
        Signal("enqueue of compute", None if issued is None else 100 * issued, "%", 100 * at.ENQUEUE, "<="),
        Signal("GPU utilisation", gpu.util if gpu else None, "%", at.UTIL_BUSY),
        *_at_twice(doubled),
    ]
    if gpu is not None and gpu.gpm:
        active = window.during(gpu.sm_active)
        reason = "" if active is None else f"SMs {active:.0f} % active, "
        reason += "neither pipes nor memory full"
    else:
        reason = "no counter that is read here tells what for" + _reached(window)
    took = ms(window.stages.compute or 0)
    text = f"computing on the GPU takes {took} of {ms(window.whole)} ms; {reason}"
    return Finding("device-bound", share, text, tuple(signals))


def _reached(window: Window) -> str:
    """How near a request comes to the GPU's peaks, where it was counted."""
    took, work = window.stages.compute, window.work
    parts = [
        f"{name} at {percent(least / took)}"
        for name, least in (("its arithmetic is", work.flop_ns), ("its memory", work.bytes_ns))
        if took and least is not None
    ]
    return f"; {', '.join(parts)} of the peak" if parts else ""
