"""What to do about a bottleneck, and what it would gain: a remedy that was not tried yet, bound to the action that tries it.

A gain is time saved in a request, or in a sample where the remedy changes the batch. `about`: copies from the rates that were measured here,
a halved precision from halved bytes where bytes or arithmetic are what it waits for. `at most`: a bound that follows from what was measured,
with what it assumes. Where neither can be had the advice says so and predicts nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from .verdict_signals import COPY_FLOOR_NS, Finding, ms, percent
from .verdict_stages import waits
from .verdict_window import Choice, Tried, Window

WORTH = 0.05
"""A remedy that would gain less than this share is no advice."""

DATA_PATHS = ("pinned", "pinned-ready", "device")
"""In the order in which they ask more of the caller: a copy more, an input that lies ready, a model fed from the GPU."""

LARGEST_BATCH = 65_536

LAUNCH_NS = 2_000
"""What a launch costs a quick host, on the low side, so that the bound stays one: products that are left keep theirs."""

FASTER_BACKENDS = {"torch-eager": "torch-compile"}
"""What issues the same model's work with less of the host."""

LOWER_PRECISION: dict[str, dict[str, tuple[str, ...]]] = {
    "torch-eager": {"float32": ("fp16", "bf16")},
    "torch-compile": {"float32": ("fp16", "bf16")},
    "onnxruntime-cuda": {"float32": ("tf32",)},
}
"""By backend and the type that the inputs have now. ONNX Runtime converts no files, but has TF32 for those in float32."""

LOWERED = ("tf32", "fp16", "bf16", "int8")


@dataclass(frozen=True, slots=True)
class Advice:
    """`action` is the id of the screen's action, `value` what it is to be set to; an empty action is advice that no key follows.

    `gain` is the predicted saving, ns, None where it cannot be told; `most`: it is the most that it can be; `assumed`: what has to be so for it.
    """

    action: str
    value: str | int | None
    choice: Choice | None
    text: str
    gain: float | None = None
    share: float | None = None
    most: bool = False
    per: str = "request"  # or "sample"
    assumed: str = ""


def advise(window: Window, finding: Finding, tried: Tried, usable: Collection[str] | None) -> Advice | None:
    """The first remedy for the finding that is possible here, was not tried, and is worth it; `usable` are the backends of this
    environment (None: not known).
    """
    unknown: Advice | None = None  # what is not told before is tried after what is
    for advice in _remedies(window, finding, usable):
        if advice.choice is None:
            return unknown or advice
        if advice.choice in tried or advice.choice == window.choice:
            continue
        if advice.share is None:
            unknown = unknown or advice
        elif advice.share >= WORTH:
            return advice
    return unknown


def _remedies(window: Window, finding: Finding, usable: Collection[str] | None) -> Iterator[Advice]:
    kind = finding.kind
    if kind.startswith("transfer-"):
        yield from _paths(window, DATA_PATHS)
        yield from _precision(
            window, (window.stages.h2d or 0.0) + (window.stages.d2h or 0.0), ("fp16", "bf16")
        )
        if window.choice.data_path != "device":
            yield _words("send fewer or smaller bytes, or keep the data on the GPU")
    elif kind == "launch":
        yield from _compiled(window, usable, *_fewer_launches(window))
        yield from _larger_batch(window, _twice_for_the_same(window), "if issuing stays the same")
    elif kind == "host":
        yield from _paths(window, ("pinned-ready", "device") if window.choice.data_path == "pinned" else ())
        yield _words("prepare the input before the request is made, or on the GPU")
    elif kind in ("compute", "memory-bandwidth"):
        if kind == "memory-bandwidth":
            yield from _compiled(window, usable, *_fewer_bytes(window))
        yield from _precision(window, window.stages.compute or 0.0, ("tf32", "fp16", "bf16"))
    elif kind == "device-bound":
        yield from _filled(window)
        yield from _precision(window, window.stages.compute or 0.0, ("tf32", "fp16", "bf16"), most=True)
        yield from _compiled(window, usable, None, "")
    elif kind == "cpu":
        if waits(window):
            yield _words("find what it waits for: a lock, a file, the network or another process")
        else:
            yield from _threads(window)
            yield from _larger_batch(window, None, "")
    else:
        yield from _told(window, kind)


def _told(window: Window, kind: str) -> Iterator[Advice]:
    """What a person has to do elsewhere."""
    placed = "infertop backends says what is missing; onnxruntime-cpu measures the CPU by its own name"
    words = {
        "fallback": placed if window.on_cpu else "the event of the fallback says what to ask for instead",
        "throttled-power": "raise the power limit if you may, or compare at this clock",
        "throttled-thermal": "cool the machine; what is measured meanwhile is its cooling",
        "contended": "wait for the others, or choose another device",
        "underload": "a higher rate costs no latency yet",
    }
    if kind in words:
        yield _words(words[kind])


def _words(text: str) -> Advice:
    return Advice("", None, None, text)


def remedy_name(action: str, value: str | int) -> str:
    """What a remedy leads to: `pinned`, `batch 64`, `8 threads`."""
    if action == "batch-up":
        return f"batch {value}"
    if action == "threads":
        return f"{value} thread{'' if str(value) == '1' else 's'}"
    return str(value)


def _remedy(
    window: Window,
    action: str,
    value: str | int,
    choice: Choice,
    gain: float | None,
    *,
    most: bool = False,
    per: str = "request",
    assumed: str = "",
) -> Advice:
    """With the prediction in the words: `pinned: about −1.1 ms, 31 %`."""
    whole = window.service / (window.choice.batch or 1) if per == "sample" else window.service
    name = remedy_name(action, value)
    unit = " a sample" if per == "sample" else ""
    if gain is None:
        return Advice(action, value, choice, f"{name}: what it gains cannot be told before", per=per)
    gain = min(gain, whole)
    share = gain / whole if whole else 0.0
    text = f"{name}: {'at most' if most else 'about'} −{ms(gain)} ms{unit}, {percent(share)}"
    return Advice(action, value, choice, text, gain, share, most, per, assumed)


def _paths(window: Window, paths: tuple[str, ...]) -> Iterator[Advice]:
    """Data paths that cost less, from the rates measured here."""
    stages = window.stages
    now = (stages.host or 0.0) + (stages.h2d or 0.0) + (stages.d2h or 0.0)
    for path in paths:
        after = _path_cost(window, path)
        if after is not None and window.choice.data_path != path:
            yield _remedy(
                window, "data-path", path, replace(window.choice, data_path=path), max(0.0, now - after)
            )


def _path_cost(window: Window, path: str) -> float | None:
    """ns that host and copies would take on a data path; None where a rate for it is not known."""
    if path == "device":
        return 0.0
    link = window.link
    into, out = link.ceiling("h2d"), link.ceiling("d2h")
    if window.bytes_in is None or not into or not out:
        return None
    took = max(window.bytes_in / into * 1e9, COPY_FLOOR_NS)
    took += max((window.bytes_out or 0) / out * 1e9, COPY_FLOOR_NS) if window.stages.d2h is not None else 0.0
    if path == "pinned":
        # The copy into the pinned buffer comes on top, at the rate of this machine's memory.
        rate = link.staging or link.h2d_pageable
        if rate is None:
            return None
        took += window.bytes_in / rate * 1e9
    return took


def _precision(
    window: Window, part: float, wanted: tuple[str, ...], *, most: bool = False
) -> Iterator[Advice]:
    """Half the bytes and at least twice the arithmetic: about half of what the part takes now, where it waits for those."""
    if window.choice.precision in LOWERED:
        return
    for precision in LOWER_PRECISION.get(window.choice.backend, {}).get(window.floats or "", ()):
        if precision in wanted:
            choice = replace(window.choice, precision=precision)
            yield _remedy(window, "precision", precision, choice, part / 2, most=most)


def _compiled(
    window: Window, usable: Collection[str] | None, gain: float | None, assumed: str
) -> Iterator[Advice]:
    """Another way to run the same module. It can never save more of compute than the GPU idles in it."""
    backend = FASTER_BACKENDS.get(window.choice.backend)
    if backend is None or (usable is not None and backend not in usable):
        return
    choice = replace(window.choice, backend=backend)
    yield _remedy(window, "backend", backend, choice, gain, most=True, assumed=assumed)


def _fewer_launches(window: Window) -> tuple[float | None, str]:
    """All launches but those of the products may go, and the time in which the SMs work stays."""
    took, work = window.stages.compute, window.work
    if took is None or work.products is None:
        return None, ""
    busy = window.during(window.gpu.sm_active) if window.gpu else None
    stays = max(work.products * LAUNCH_NS, took * (busy or 0.0) / 100)
    return max(0.0, took - stays), f"if only {work.products} products are left to launch"


def _fewer_bytes(window: Window) -> tuple[float | None, str]:
    """What lies between products need not go through the memory."""
    work = window.work
    if work.bytes_ns is None or work.fused_ns is None:
        return None, ""
    return max(0.0, work.bytes_ns - work.fused_ns), "if all between products is one kernel"


def _larger_batch(
    window: Window, kept: float | None, assumed: str, *, most: bool = False
) -> Iterator[Advice]:
    """Twice the samples at once: `kept` is how much of a sample's time stays; None where that cannot be told."""
    batch = window.choice.batch or 1
    if not window.batched or 2 * batch > LARGEST_BATCH:
        return
    choice = replace(window.choice, batch=2 * batch)
    gain = None if kept is None else window.service / batch * (1 - kept)
    yield _remedy(window, "batch-up", 2 * batch, choice, gain, most=most, per="sample", assumed=assumed)


def _twice_for_the_same(window: Window) -> float:
    """Of a sample's time, where compute takes as long for twice the samples and everything else twice as long."""
    return 1 - (window.share("compute") or 0.0) / 2


def _filled(window: Window) -> Iterator[Advice]:
    """A GPU that is not full takes more samples at once: at most as many more as its SMs are idle."""
    active = window.during(window.gpu.sm_active) if window.gpu else None
    share = window.share("compute") or 0.0
    if active is None:
        yield from _larger_batch(window, None, "")
    else:
        free = min(0.5, 1 - active / 100)
        yield from _larger_batch(window, 1 - share * free, f"SMs {active:.0f} % active", most=True)


def _threads(window: Window) -> Iterator[Advice]:
    """As many as the container's quota and its cores let run, and no more; more of them where cores are left and those in use are full."""
    threads, host = window.choice.threads, window.host
    took = window.stages.compute or 0.0
    if threads is None:
        return
    quota = None if host.quota is None else max(1, int(host.quota))
    if quota is not None and threads > quota:
        choice = replace(window.choice, threads=quota)
        yield _remedy(window, "threads", quota, choice, took * (host.quota_held or 0.0), most=True)
        return
    each = None if host.worker is None else host.worker / threads
    free = host.allowed - 1
    if threads > host.allowed > 0:
        fits = max(1, free)
        yield _remedy(window, "threads", fits, replace(window.choice, threads=fits), None)
        return
    if each is not None and each >= 0.8 and free > threads:
        choice = replace(window.choice, threads=free)
        yield _remedy(window, "threads", free, choice, took * (1 - threads / free), most=True)
    elif each is not None and each <= 0.6 and threads > 1:
        fewer = max(1, round(threads * each))
        yield Advice(
            "threads",
            fewer,
            replace(window.choice, threads=fewer),
            f"{remedy_name('threads', fewer)}: the same, and cores stay free",
        )
