"""The machine beside the GPU: its cores one by one, the worker, memory, clocks and limits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..render.cells import Row, beside, clean
from ..render.meter import columns
from ..render.numbers import UNKNOWN, count, quantity, share, size
from ..scene import Panel, Scene
from .readings import LABEL, Line, Reading, Words, find, joined, readings, words_row
from .states import said, unread_host

_TWO_COLUMNS = 72  # cells from which graphs and facts stand side by side
_CORE = re.compile(r"host\.core(\d+)")


def title(scene: Scene) -> Row:
    header = scene.view.header
    if header is None:
        return (("host", "title"),)
    model = clean(str(header.host.get("cpu") or ""))
    cores = core_count(header.host)
    words = " · ".join(part for part in (f"{cores} cores" if cores else "", model) if part)
    return (("host", "title"), (f" {words}", "dim"))


def core_count(host: Mapping[str, Any]) -> int | None:
    """How many cores the engine may use."""
    allowed = host.get("allowed_cores")
    if isinstance(allowed, list):
        return len(allowed)
    return int(allowed) if isinstance(allowed, int) else None


def body(scene: Scene, width: int, height: int) -> list[Row]:
    header = scene.view.header
    if header is None:
        return said("waiting for the session", width, height)
    cores = core_count(header.host)
    total = _memory(header.host)
    graphs: list[Line] = [
        Reading("CPU", ("host.cpu",)),
        Reading("worker", ("worker.cpu",), 100.0 * (cores or 1), "two"),
        Reading("memory", ("host.memory_used",), total, said=total is not None),
        Reading("· worker", ("worker.rss",), total, "two"),
        Reading("engine", ("engine.cpu",), 100.0, "three"),
    ]
    if width >= _TWO_COLUMNS:
        half = width // 2
        left = readings(scene, graphs, half - 2, height)
        right = [words_row(line, width - half) for line in _facts(scene, cores, width - half)]
        rows = beside([(left, half), (right, width - half)], height) if left else []
    else:
        cells, *rest = _facts(scene, cores, width)
        rows = readings(scene, [graphs[0], cells, *graphs[1:3], *rest, *graphs[3:]], width, height)
    return rows or said(unread_host(scene), width, height)


def _memory(host: Mapping[str, Any]) -> float | None:
    """What there is of it, or what of it may be used."""
    known = [float(v) for v in (host.get("memory"), host.get("memory_limit")) if isinstance(v, int | float)]
    return min((v for v in known if math.isfinite(v) and v > 0), default=None)


def _facts(scene: Scene, cores: int | None, width: int) -> list[Words]:
    """Cores, the worker's memory and threads, load, clock, limits."""
    values = scene.view.values
    room = width - LABEL

    def told(name: str, text: str) -> str:
        """What is said of a reading; where there can be none, why."""
        entry = find(scene, (name,))
        if entry is None or (entry[1].status == "ok" and name not in values):
            return ""
        return text if entry[1].status == "ok" else f"{UNKNOWN}  {clean(entry[1].reason)}"

    def rate(name: str) -> str:
        return count(values.get(name, 0.0))

    of_cores = f" of {cores} core{'s' if cores > 1 else ''}" if cores else ""
    worker = [
        told("worker.rss", size(values.get("worker.rss"))),
        told("worker.threads", f"{rate('worker.threads')} threads"),
    ]
    faults = [
        told("worker.minor_faults", f"{rate('worker.minor_faults')} page faults/s"),
        told("worker.major_faults", f"{rate('worker.major_faults')} from disk"),
    ]
    held = told("host.quota_throttled", f"held {share(values.get('host.quota_throttled', 0.0) / 1e7)}")
    quota = told("host.quota", f"quota {quantity(values.get('host.quota'), 'cores')}")
    limits = [quota, held] if "host.quota" in values else [quota.removeprefix(f"{UNKNOWN}  ")]
    limits.append(told("host.pressure_cpu", f"tasks waited {share(values.get('host.pressure_cpu'))}"))
    load = told("host.load1", f"{values.get('host.load1', 0.0):.2f}{of_cores}")
    clock = Words("clock", told("host.frequency", quantity(values.get("host.frequency"), "MHz")) or UNKNOWN)
    bound = Words("limits", joined(limits, room, ", ") or UNKNOWN)
    return [
        Words("cores", _cores(scene, room), "one"),
        *_worker(worker, faults, room),
        Words("load", load or UNKNOWN),
        *((bound, clock) if "host.quota" in values else (clock, bound)),
    ]


def _worker(worker: Sequence[str], faults: Sequence[str], room: int) -> list[Words]:
    """The worker's memory and threads, and its page faults, in one row where there is room."""
    if not any(worker):
        return [Words("· worker", f"{UNKNOWN}  no worker runs")]
    whole = ", ".join(text for text in (*worker, *faults) if text)
    if len(whole) <= room:
        return [Words("· worker", whole)]
    apart = [text.replace(" page faults/s", " a second") for text in faults]
    return [Words("· worker", joined(worker, room, ", ")), Words("· faults", joined(apart, room, ", "))]


def _cores(scene: Scene, room: int) -> str:
    """One bar a core; of many cores the busiest of each group, so that one that is full stays seen."""
    names = [metric.id for metric in scene.view.metrics if _CORE.fullmatch(metric.id)]
    found = [scene.view.values.get(name) for name in names]
    return columns(found, 100.0, room, scene.glyphs) if found else UNKNOWN


PANEL = Panel(title, body)
