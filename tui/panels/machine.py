"""The panels of a screen that monitors, but for the processes: all GPUs at a glance, the host, its cores, and the line that says what this is."""

from __future__ import annotations

import math
from dataclasses import replace

from ...sessions.view import View
from ..render.cells import Row, clean, fit
from ..render.meter import columns, meter
from ..render.numbers import count, quantity, share, size
from ..render.table import Cell, Column, table
from ..scene import Panel, Scene
from . import host
from .device import gpus, shown_gpu
from .host import core_count
from .log import one_line
from .readings import Line, Reading, readings
from .states import said, unread_host

_CORE_WIDTH = 20  # of a core with its number, meter and share
_CORE = "host.core"


def notice(scene: Scene, width: int) -> Row:
    """One row: what the screen has to say itself, then what is wrong, then what happened last."""
    message = scene.message or scene.failure
    if message is not None:
        mark = {"info": ("·", "one-strong"), "warn": ("▲", "two-strong"), "error": ("✕", "bad")}[
            message.level
        ]
        fix = f" → {clean(message.fix)}" if message.fix else ""
        return fit(((" ", "text"), mark, (f" {clean(message.text)}", "strong"), (fix, "text")), width)
    view = scene.view
    if view.state == "waiting":
        return fit(((" ○ STARTING", "one-strong"), ("  looking at the machine", "text")), width)
    if view.state == "lost":
        text = "the engine ended without a word; all that it had written is here"
        return fit(((" ✕ ENGINE LOST", "bad"), (f"  {text}", "text")), width)
    head: Row = (
        ((" ■ ENDED ", "one-strong"),)
        if view.state == "ended"
        else ((" ● WATCHING", "one-strong"), (" ", "text"))
    )
    if view.events:
        return fit((*head, *one_line(scene, width - 13)), width)
    return fit((*head, (" nothing is measured: infertop MODEL does that", "dim")), width)


_HOST = (
    Reading("CPU", ("host.cpu",)),
    Reading("memory", ("host.memory_used",), None),
    Reading("load", ("host.load1",), None),
    Reading("waiting", ("host.pressure_cpu",), 100.0, "two"),
    Reading("clock", ("host.frequency",), None, "three"),
    Reading("infertop", ("engine.cpu",), 100.0, "three"),
)


def host_body(scene: Scene, width: int, height: int) -> list[Row]:
    header = scene.view.header
    if header is None:
        return said("waiting for the session", width, height)
    total = header.host.get("memory_limit") or header.host.get("memory")
    top = float(total) if isinstance(total, int | float) and math.isfinite(total) else None
    wanted: list[Line] = [
        replace(reading, top=top, said=top is not None) if reading.label == "memory" else reading
        for reading in _HOST
    ]
    return readings(scene, wanted, width, height) or said(unread_host(scene), width, height)


def cores_title(scene: Scene) -> Row:
    header = scene.view.header
    cores = core_count(header.host) if header is not None else None
    return (("cores", "title"), (f" {cores} that infertop may use" if cores else "", "dim"))


def cores_body(scene: Scene, width: int, height: int) -> list[Row]:
    """Each core: with its past where it gets a row, else as a meter, else as one block."""
    ids = [m.id for m in scene.view.metrics if m.id.startswith(_CORE) and m.id[len(_CORE) :].isdigit()]
    if not ids:
        return said("no reading of single cores is in the session", width, height)
    if len(ids) <= height:
        return readings(scene, [Reading(f"core {i[len(_CORE) :]}", (i,)) for i in ids], width, height)
    across = max(1, width // _CORE_WIDTH)
    if len(ids) <= height * across:
        rows = math.ceil(len(ids) / across)
        return [_meters(scene, ids[y::rows], width // across) for y in range(rows)]
    return _blocks(scene, ids, width, height)


def _meters(scene: Scene, ids: list[str], width: int) -> Row:
    row: Row = ()
    for name in ids:
        value = scene.view.values.get(name)
        bar = meter(value, 100.0, max(1, width - 13), scene.glyphs)
        row = (*row, (f"{name[len(_CORE) :]:>4} ", "dim"), *bar, (f"{share(value):>6}  ", "text"))
    return row


def _blocks(scene: Scene, ids: list[str], width: int, height: int) -> list[Row]:
    """A bar for each core, or for the busiest of neighbours where there are more cores than cells; the number of a row's first core
    before it."""
    label = 5
    together = math.ceil(len(ids) / (height * (width - label)))
    each = math.ceil(len(ids) / height / together) * together
    rows: list[Row] = []
    for first in range(0, len(ids), each):
        row = [scene.view.values.get(name) for name in ids[first : first + each]]
        bars = columns(row, 100.0, math.ceil(len(row) / together), scene.glyphs)
        rows.append(((f"{ids[first][len(_CORE) :]:>{label - 1}} ", "dim"), (bars, "one")))
    return rows


def overview_body(scene: Scene, width: int, height: int) -> list[Row]:
    """A row a GPU; the one whose readings are below stands out."""
    view = scene.view
    assert view.header is not None
    shown = shown_gpu(view, scene.gpu)
    names = gpus(view)
    columns = (
        Column("GPU", right=False),
        Column("name", right=False, flexible=True),
        *(Column(title) for title in ("util", "memory", "of", "power", "temp", "processes")),
    )
    rows = [_gpu_row(view, prefix, view.header.gpus[i], prefix == shown) for i, prefix in enumerate(names)]
    room = max(1, height - 1)
    # Around the shown one, where there are more than rows.
    first = min(max(0, names.index(shown) - room // 2) if shown in names else 0, max(0, len(rows) - room))
    return table(columns, rows[first : first + room], width)


def _gpu_row(view: View, prefix: str, gpu: dict[str, object], shown: bool) -> list[Cell]:
    def value(name: str, unit: str, *others: str) -> str:
        read = (view.values.get(f"{prefix}.{n}") for n in (name, *others))
        return quantity(next((v for v in read if v is not None), None), unit)

    look = "strong" if shown else "text"
    name = clean(str(gpu.get("name") or "GPU")).removeprefix("NVIDIA ") + (" (MIG)" if gpu.get("mig") else "")
    texts = [
        f"{'▸' if shown else ' '} {prefix.removeprefix('gpu')}", name, value("util", "%"), value("memory_used", "B"),
        size(view.values.get(f"{prefix}.memory_total")), value("power_instant", "W", "power"), value("temperature", "°C"),
        count(view.values.get(f"{prefix}.processes")),
    ]  # fmt: skip
    return [(text, look) for text in texts]


def _overview_title(scene: Scene) -> Row:
    return ((f"{len(gpus(scene.view))} GPUs", "title"), (" tab: which of them is shown below", "dim"))


MACHINE = Panel(host.title, host_body)
CORES = Panel(cores_title, cores_body)
OVERVIEW = Panel(_overview_title, overview_body)
