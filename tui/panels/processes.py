"""Who is on the GPUs, with how much of their memory, and the busiest of the host; what cannot be seen from here is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...sessions.records import Process, Processes
from ...sessions.view import View
from ..render.cells import EMPTY, Row, clean, wrap
from ..render.numbers import UNKNOWN, share, size
from ..render.table import Cell, Column, table
from ..scene import Panel, Scene
from .device import gpus
from .states import said


def title(scene: Scene) -> Row:
    return (
        ("processes", "title"),
        (" by GPU memory, then by CPU" if gpus(scene.view) else " by CPU", "dim"),
    )


def right(scene: Scene) -> Row:
    found = scene.view.processes
    if found is None:
        return EMPTY
    on = sum(1 for process in found.processes if process.gpus)
    words = [f"{on} on GPUs"] if gpus(scene.view) else []
    words += [f"{found.count} on this host"] if found.count is not None else []
    return ((" · ".join(words), "dim"),)


def body(scene: Scene, width: int, height: int) -> list[Row]:
    found = scene.view.processes
    if found is None:
        return said("the processes have not been looked at yet", width, height)
    rows = _blindness(scene.view, found, width)[: max(0, height - 2)]
    on = [process for process in found.processes if process.gpus]
    rest = [process for process in found.processes if not process.gpus]
    if gpus(scene.view) and not on and not found.unknown:
        rows.append((("no process holds memory of a GPU", "dim"),))
    room = max(0, height - len(rows) - 1)
    hidden = len(on) - room
    if hidden > 0:
        rows.append(((f"{hidden + 1} more hold memory of a GPU than there is room for", "dim"),))
        on = on[: max(0, room - 1)]
        rest = []
    listed = [*on, *rest][:room]
    if listed:
        rows += _table(scene.view, listed, width)
    return rows


def _blindness(view: View, found: Processes, width: int) -> list[Row]:
    """Why there may be more than is listed: once for each reason, with the GPUs that it holds for, and what MIG hides."""
    reasons: dict[str, list[str]] = {}
    for gpu, why in found.unknown.items():
        reasons.setdefault(clean(why), []).append(gpu.removeprefix("gpu"))
    every = len(gpus(view))
    texts = [
        f"{why}" if len(where) == every else f"GPU {', '.join(where)}: {why}"
        for why, where in reasons.items()
    ]
    texts += [
        _divided(gpu, i) for i, gpu in enumerate(view.header.gpus if view.header else []) if gpu.get("mig")
    ]
    return [
        ((("▲ " if i == 0 else "  "), "two"), (line, "dim"))
        for text in texts
        for i, line in enumerate(wrap(text, width - 2))
    ]


def _divided(gpu: Mapping[str, Any], place: int) -> str:
    """What MIG has made of a GPU: its slices by name, and what is not told of them."""
    slices = gpu.get("slices")
    listed = slices if isinstance(slices, list) else []
    names = [clean(str(part.get("name") or "?")) for part in listed if isinstance(part, Mapping)]
    into = f" into {', '.join(names)}" if names else ""
    return (
        f"GPU {gpu.get('index', place)} is divided by MIG{into}: readings are the whole GPU's, there is no utilisation, "
        "and which slice a process is on is not told"
    )


def _table(view: View, listed: Sequence[Process], width: int) -> list[Row]:
    numbers = gpus(view)
    columns = [Column("pid"), Column("name", right=False, flexible=True), Column("CPU"), Column("memory")]
    if numbers:
        columns[2:2] = [Column("GPU memory"), Column("of it"), Column("on GPU")]
    return table(columns, [_row(view, process, bool(numbers)) for process in listed], width)


def _row(view: View, process: Process, with_gpus: bool) -> list[Cell]:
    look = "dim" if process.own else "text"
    name = clean(process.name) or UNKNOWN
    texts = [
        str(process.pid),
        f"{name} (infertop)" if process.own else name,
        *(_held(view, process) if with_gpus else ()),
        share(process.cpu),
        size(None if process.rss is None else float(process.rss)),
    ]
    return [(text, look) for text in texts]


def _held(view: View, process: Process) -> tuple[str, str, str]:
    """Memory on all its GPUs, the share of theirs that it is, and which they are; blank for a process on none."""
    if not process.gpus:
        return "", "", ""
    where = ",".join(gpu.removeprefix("gpu") for gpu in process.gpus)
    known = [used for used in process.gpus.values() if used is not None]
    if len(known) < len(process.gpus):
        return UNKNOWN, UNKNOWN, where
    totals = [view.values.get(f"{gpu}.memory_total") for gpu in process.gpus]
    whole = sum(total for total in totals if total is not None)
    part = share(100.0 * sum(known) / whole) if whole and None not in totals else UNKNOWN
    return size(float(sum(known))), part, where


PANEL = Panel(title, body, right)
