"""Rules of timing: which stage of a request takes the time on the link and on the host."""

from __future__ import annotations

from collections.abc import Iterator

from . import verdict_signals as at
from .verdict_device import own_code
from .verdict_signals import Finding, Signal, gigabytes, ms, percent, ratio
from .verdict_window import Window


def copies(window: Window) -> Iterator[Finding]:
    """Both directions, each as a slow path (what pinned memory would remove) or as a full link."""
    for direction, size in (("h2d", window.bytes_in), ("d2h", window.bytes_out)):
        took: float | None = getattr(window.stages, direction)
        ceiling = window.link.ceiling(direction)
        if window.cuda and took and size and ceiling:
            yield _copy(window, direction, took, size, ceiling)


def _copy(window: Window, direction: str, took: float, size: int, ceiling: float) -> Finding:
    """A copy of `size` bytes that takes `took` ns, where the link reaches `ceiling` bytes/s."""
    least = max(size / ceiling * 1e9, at.COPY_FLOOR_NS)
    removable = max(0.0, took - least) / window.whole
    share = took / window.whole
    used = size / (took / 1e9) / ceiling
    verb = "copying in" if direction == "h2d" else "copying out"
    where = "" if window.link.measured(direction) else " (theoretical)"
    rates = f"{gigabytes(used * ceiling)} of {gigabytes(ceiling)} GB/s{where} · {window.choice.data_path}"
    beside = (*_wire(window, direction, size), *_bounds(window, direction, size, least))
    full = used >= at.LINK_BOUND
    rate = Signal(
        "copy rate of the link",
        100 * used,
        "%",
        100 * (at.LINK_BOUND if full else at.SLOW_PATH),
        ">=" if full else "<=",
    )
    if full:
        text = f"{verb} takes {ms(took)} of {ms(window.whole)} ms at the link's own rate · {rates}"
        first = Signal("copy share", 100 * share, "%", 100 * at.LINK_SHARE)
        return Finding(f"transfer-{direction}", share, text, (first, rate, *beside))
    text = f"{verb} takes {ms(took)} of {ms(window.whole)} ms, {ms(removable * window.whole)} removable · {rates}"
    first = Signal("removable", 100 * removable, "%", 100 * at.REMOVABLE)
    return Finding(f"transfer-{direction}", removable, text, (first, rate, *beside))


def _wire(window: Window, direction: str, size: int) -> Iterator[Signal]:
    """Whether the link carries what the requests are said to copy; the GPU receives what goes in. Only GPM counts all the time."""
    gpu = window.gpu
    if gpu is not None and gpu.gpm:
        seen = gpu.rx if direction == "h2d" else gpu.tx
        off = None if seen is None or not window.rate else abs(seen / (size * window.rate) - 1)
        name = f"PCIe {'RX' if direction == 'h2d' else 'TX'} off what requests carry"
        yield Signal(name, None if off is None else 100 * off, "%", 100 * at.RX_OFF, "<=")


def _bounds(window: Window, direction: str, size: int, least: float) -> Iterator[Signal]:
    """The least and the most that copying so many bytes can cost here, ms."""
    yield Signal("copy at best", least / 1e6, "ms")
    slowest: float | None = getattr(window.link, f"{direction}_pageable")
    if slowest:
        yield Signal("copy bound", max(size / slowest * 1e9, at.COPY_FLOOR_NS) / 1e6, "ms")


def host(window: Window) -> Finding | None:
    """The host prepares input, or does something between the steps, while the device waits."""
    share, gap = window.share("host"), window.share("gap")
    gpu = window.gpu
    waits = Signal("GPU utilisation", gpu.util if gpu else None, "%", 100 - 100 * at.HOST_SHARE / 2, "<=")
    core = Signal("worker cores", window.host.worker, "cores", at.CORE_BUSY)
    signals: tuple[Signal, ...]
    if share is not None and window.stages.host is not None and share >= at.HOST_SHARE:
        signals = (Signal("host share", 100 * share, "%", 100 * at.HOST_SHARE), core)
        text = f"preparing the input on the host takes {ms(window.stages.host)} of {ms(window.whole)} ms"
        found, text = share, f"{text} · {window.choice.data_path}" if window.cuda else text
    elif (gap is None or gap < at.GAP_SHARE) and (own := own_code(window)) is not None:
        return own
    elif gap is not None and window.stages.gap is not None:
        signals = (Signal("time between the steps", 100 * gap, "%", 100 * at.GAP_SHARE), core)
        text = f"{ms(window.stages.gap)} of {ms(window.whole)} ms lie between the steps, on the host"
        found = gap
    else:
        return None
    return Finding("host", found, text, (*signals, waits) if window.cuda else signals)


def cpu(window: Window) -> Finding | None:
    """A CPU backend computes: its cores are full, or they are not, which are two different things to do."""
    share, host = window.share("compute"), window.host
    threads = window.choice.threads
    if window.cuda or share is None:
        return None
    usable = min(threads or host.allowed, host.allowed or 1e9, host.quota or 1e9)
    each = ratio(host.worker, usable)
    if each is None:
        return Finding(
            "cpu",
            share,
            "computing on the CPU",
            (Signal("compute share", 100 * share, "%", 100 * at.MOSTLY),),
        )
    took = f"computing takes {ms(window.stages.compute or 0)} of {ms(window.whole)} ms"
    if waits(window):
        text = f"the call takes {ms(window.stages.compute or 0)} of {ms(window.whole)} ms on {host.worker:.2f} cores: it waits, and does not compute"
        idle = Signal("worker cores", host.worker, "cores", at.WAITING, "<=")
        return Finding("cpu", share, text, (Signal("compute share", 100 * share, "%", 100 * at.MOSTLY), idle))
    which = "core, which is" if round(usable) == 1 else "cores, which are"
    cores = f"{host.worker or 0:.1f} of {usable:.0f} {which}"
    first = Signal("compute share", 100 * share, "%", 100 * at.MOSTLY)
    held = Signal(
        "held by the quota",
        None if host.quota_held is None else 100 * host.quota_held,
        "%",
        100 * at.QUOTA_HELD,
    )
    quota = (held,) if held.agrees else ()
    if each >= at.SATURATED or quota:
        text = f"{took} on {cores} full"
        text += (
            f", and the container's quota holds it back {percent(host.quota_held or 0)} of the time"
            if quota
            else ""
        )
        return Finding(
            "cpu",
            share,
            text,
            (first, Signal("worker cores of its threads", 100 * each, "%", 100 * at.SATURATED), *quota),
        )
    text = f"{took} on {cores} not full"
    limit = at.UNSATURATED if each <= at.UNSATURATED else at.SATURATED
    return Finding(
        "cpu", share, text, (first, Signal("worker cores of its threads", 100 * each, "%", 100 * limit, "<="))
    )


def waits(window: Window) -> bool:
    """A CPU backend is in its call most of the time, and uses next to no core meanwhile: it sleeps, or waits for somebody else."""
    worker = window.host.worker
    return not window.cuda and worker is not None and window.busy >= at.UNDER and worker <= at.WAITING


def balanced(window: Window) -> Finding | None:
    """No stage stands out, and the stages explain the time."""
    shares = {name: window.share(name) for name in ("host", "h2d", "compute", "d2h")}
    known = {name: share for name, share in shares.items() if share is not None}
    gap = window.share("gap")
    if not known or gap is None:
        return None
    largest = max(known, key=lambda name: known[name])
    parts = ", ".join(
        f"{name} {percent(share)}" for name, share in sorted(known.items(), key=lambda item: -item[1])
    )
    return Finding(
        "balanced",
        0.0,
        f"no stage stands out: {parts}",
        (
            Signal("largest stage", 100 * known[largest], "%", 100 * at.MOSTLY, "<="),
            Signal("explained by the stages", 100 * (1 - gap), "%", 100 * at.EXPLAINED),
        ),
    )
