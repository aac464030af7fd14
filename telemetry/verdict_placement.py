"""Rules that come before timing: where it runs, who else computes there, what holds the clocks down, and how much is asked of it."""

from __future__ import annotations

from . import verdict_signals as at
from .verdict_signals import Finding, Signal, percent, ratio, significant
from .verdict_window import Gpu, Window


def fallback(window: Window) -> Finding | None:
    """The runtime's own word. That its work is on the CPU shows in what the GPU or the worker's cores do."""
    if not window.fallback:
        return None
    gpu, host = window.gpu, window.host
    text = (
        window.fallback
        if window.on_cpu is None
        else f"{window.fallback} · {percent(window.on_cpu)} of the nodes"
    )
    return Finding(
        "fallback",
        1.0,
        text,
        (
            Signal("said by the runtime", 1.0, "1", 1.0),
            Signal("nodes on the CPU", None if window.on_cpu is None else 100 * window.on_cpu, "%", 0.1),
            Signal("GPU utilisation", gpu.util if gpu else None, "%", at.UTIL_BUSY, "<="),
            Signal("worker cores", host.worker, "cores", at.CORE_BUSY),
        ),
    )


def throttled(window: Window) -> Finding | None:
    """The share of the time in which the clocks were held down, by the exact counters; where there are none, how far they are down.

    A GPU that is held down from the start was never seen at a higher clock, so a clock that seems whole speaks against it only where it is known
    what it could be.
    """
    gpu = window.gpu
    if gpu is None or not window.cuda:
        return None
    thermal = (gpu.thermal_capped or 0.0) > (gpu.power_capped or 0.0)
    share = gpu.thermal_capped if thermal else gpu.power_capped
    mask = at.THERMAL_REASONS if thermal else at.POWER_REASONS
    if share is None and not gpu.reasons:
        return None
    if share is None and gpu.reasons is not None and gpu.reasons & at.THERMAL_REASONS:
        thermal, mask = True, at.THERMAL_REASONS
    kept = ratio(gpu.clock, gpu.clock_highest)
    whole = kept is not None and kept >= at.CLOCK_KEPT
    if whole and gpu.clock_rated:
        return None
    clock = None if whole else kept
    kind = "throttled-thermal" if thermal else "throttled-power"
    lost = 0.0 if clock is None else (1.0 - clock) * (window.share("compute") or 0.0)
    return Finding(
        kind, lost, _held(window, thermal, share, clock), _held_signals(gpu, thermal, share, clock, mask)
    )


def held_down(finding: Finding) -> bool:
    """Counter and reason are one witness, and it was seen to name the power cap all the time at two thirds of the limit and 99 % of the clock
    (H100): where it can be known, the clock or the power has to bear it out.
    """
    known = {signal.name: signal for signal in finding.signals}
    clock, power = known["clock held down"], known.get("power of its limit")
    far = power is not None and power.value is not None and power.value < 100 * at.POWER_NEAR
    return finding.holds and (clock.agrees is True or not far)


def _held_signals(
    gpu: Gpu, thermal: bool, share: float | None, clock: float | None, mask: int
) -> tuple[Signal, ...]:
    """What defines it first: the exact counter where there is one."""
    reason = None if gpu.reasons is None else float(bool(gpu.reasons & mask))
    power = ratio(gpu.power, gpu.power_limit)
    signals = [
        Signal("throttled time", None if share is None else 100 * share, "%", 100 * at.CAPPED),
        Signal("clock held down", None if clock is None else 100 * clock, "%", 100 * at.CLOCK_LOST, "<="),
        Signal("clock event reason", reason, "1", 1.0),
    ]
    if share is None:
        signals[:2] = signals[1::-1]
    if not thermal:
        signals.append(
            Signal("power of its limit", None if power is None else 100 * power, "%", 100 * at.POWER_FULL)
        )
    return tuple(signals)


def _held(window: Window, thermal: bool, share: float | None, clock: float | None) -> str:
    gpu = window.gpu
    assert gpu is not None
    held = "its clock" if gpu.clock is None else f"{gpu.clock:.0f} MHz"
    if gpu.clock is not None and gpu.clock_highest is not None and clock is not None:
        held = f"{gpu.clock:.0f} of {gpu.clock_highest:.0f} MHz"
    why = "the temperature" if thermal else "the power limit"
    often = f" for {percent(share)} of the time" if share is not None else ""
    watts = f" · {gpu.power:.0f} of {gpu.power_limit:.0f} W" if gpu.power and gpu.power_limit else ""
    return f"{why} holds the GPU at {held}{often}{watts}"


def contended(window: Window) -> Finding | None:
    """Somebody else computes here: seen before the run, beside it, or as our own work getting slower."""
    return _contended_gpu(window) if window.cuda else _contended_cpu(window)


def _contended_gpu(window: Window) -> Finding | None:
    gpu = window.gpu
    if gpu is None:
        return None
    own = 100 * (window.computing or 0.0)
    beyond = None if gpu.util is None or window.computing is None else gpu.util - own
    slower = ratio(window.stages.compute, window.fastest_compute)
    others = gpu.other_memory
    signals = (
        Signal("memory of other processes", None if others is None else others / 1e9, "GB", 0.1),
        Signal("GPU busy before the run", gpu.quiet_util, "%", at.QUIET_UTIL),
        Signal("GPU busy beyond our requests", beyond, "%", at.UTIL_BEYOND),
        Signal("compute against this run's fastest", slower, "1", at.SLOWER),
    )
    # None of these can be done without: which of them is known depends on what the container lets one see.
    ordered = tuple(sorted(signals, key=lambda signal: signal.agrees is not True))
    parts = []
    if gpu.quiet_util is not None and gpu.quiet_util >= at.QUIET_UTIL:
        parts.append(f"it was {gpu.quiet_util:.0f} % busy before the run")
    if beyond is not None and beyond >= at.UTIL_BEYOND and gpu.util is not None:
        parts.append(f"it is {gpu.util:.0f} % busy, of which our requests explain {own:.0f}")
    if slower is not None and slower >= at.SLOWER:
        parts.append(f"compute takes {slower:.1f} times what it took in this run's best second")
    if others:
        parts.append(f"others hold {others / 1e9:.1f} GB")
    score = max((beyond or 0.0) / 100, 1 - 1 / slower if slower else 0.0, (gpu.quiet_util or 0.0) / 100)
    return Finding("contended", score, "somebody else uses this GPU: " + ", ".join(parts), ordered)


def _contended_cpu(window: Window) -> Finding | None:
    host = window.host
    if host.others is None or not host.allowed:
        return None
    share = host.others / host.allowed
    signals = (
        Signal("others' share of the cores", 100 * share, "%", 100 * at.OTHERS_CPU),
        Signal("cores busy", None if host.busy is None else 100 * host.busy, "%", 100 * at.CPU_FULL),
        Signal(
            "tasks waiting for a core",
            None if host.pressure is None else 100 * host.pressure,
            "%",
            100 * at.PRESSURE,
        ),
        Signal(
            "compute against this run's fastest",
            ratio(window.stages.compute, window.fastest_compute),
            "1",
            at.SLOWER,
        ),
    )
    text = f"other processes keep {host.others:.1f} of {host.allowed} cores busy"
    return Finding("contended", share, text, signals)


def underload(window: Window) -> Finding | None:
    """An open loop that asks for less than the backend could do: latency is fine, and capacity lies idle."""
    if window.asked_rate is None:
        return None
    kept = ratio(window.rate, window.asked_rate)
    waits = ratio(window.response, window.service)
    capacity = window.rate / window.busy if window.busy else 0.0
    text = (
        f"{significant(window.asked_rate)} requests/s keep it busy {percent(window.busy)} of the time: "
        f"it could serve about {significant(capacity)}/s"
    )
    return Finding(
        "underload",
        1 - window.busy,
        text,
        (
            Signal("busy with requests", 100 * window.busy, "%", 100 * at.UNDER, "<="),
            Signal("schedule kept", None if kept is None else 100 * kept, "%", 100 * at.KEEPS_UP),
            Signal("response over service", waits, "1", at.NO_QUEUE, "<="),
        ),
    )
