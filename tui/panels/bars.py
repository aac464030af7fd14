"""The rows across the whole screen: header, backends, the tick of a replay, and the keys at the foot."""

from __future__ import annotations

from ...sessions.view import BackendView
from ..naming import facts, short_name
from ..render.cells import EMPTY, Row, clean, cut, fit, length, spread
from ..render.numbers import clock, size, span
from ..scene import Scene
from .host import core_count


def header(scene: Scene, width: int) -> Row:
    """What is measured, where, and whether it is recorded."""
    view = scene.view
    state = _state(scene)
    room = width - length(state) - 1
    name: Row = ((" infertop ", "head-one"), (" ", "head"))
    run = view.run
    configuration = run.configuration if run is not None else scene.awaited
    if scene.monitor:
        name = (*name, ("monitor", "head-strong"))
    elif configuration is None:
        name = (*name, ("no model", "head-dim"))
    else:
        parts = facts(configuration)
        name = (*name, (parts[0], "head-strong"))
        for part in parts[1:]:
            if length(name) + 3 + len(part) > room:
                break
            name = (*name, (" · ", "head-dim"), (part, "head"))
    if machine := _machine(scene):
        left = room - length(name) - 3
        shown = next((words for words in machine if len(words) <= left), machine[-1])
        if left >= min(len(shown), 16):
            name = (*name, (f"   {cut(shown, left)}", "head-dim"))
    return spread(name, state, width, "head")


def _machine(scene: Scene) -> tuple[str, ...]:
    """What it is measured on, in full and then shorter."""
    header = scene.view.header
    if header is None:
        return ()
    if header.gpus:
        names = [clean(str(gpu.get("name", "GPU"))).removeprefix("NVIDIA ") for gpu in header.gpus]
        counted = ((name, names.count(name)) for name in dict.fromkeys(names))
        name = " + ".join(name if count == 1 else f"{count} × {name}" for name, count in counted)
        return (f"{name}  drv {clean(header.driver)}", name) if header.driver else (name,)
    cores = core_count(header.host)
    host = clean(str(header.host.get("hostname", "")))
    return (" · ".join(part for part in (host, f"{cores} cores" if cores else "", "no GPU") if part),)


def _state(scene: Scene) -> Row:
    view, cursor = scene.view, scene.cursor
    out: Row = EMPTY
    if scene.slow_link:
        out = (("slow link", "head-two"), ("  ", "head"))
    if scene.frozen:
        out = (*out, ("‖ frozen", "head-two"), ("  ", "head"))
    if view.gaps:
        out = (*out, (f"{view.gaps} gap{'s' if view.gaps > 1 else ''}", "head-two"), ("  ", "head"))
    time = span(max(0, view.now) / 1e9)
    if cursor is not None:
        glyph = "●" if cursor.following else "▶" if cursor.playing else "‖"
        what = "following" if cursor.following else f"{cursor.speed:g}×" if cursor.playing else "paused"
        if view.state in ("ended", "lost") and not cursor.playing:
            glyph, what = "■", f"at its end, {view.state}" if view.state == "lost" else "at its end"
        return (*out, (f"{glyph} replay {what} ", "head-strong"), (f" {clock(view.unix)} ", "head"))
    if view.state == "waiting":
        return (*out, ("starting ", "head-dim"))
    if view.state == "lost":
        return (*out, ("✕ engine lost ", "head-two"), (f"{time} ", "head"))
    if view.state == "ended":
        return (*out, ("■ ended ", "head-strong"), (f"{time} ", "head"))
    if view.header is not None and not view.header.recording:
        return (*out, ("○ not recorded ", "head-strong"), (f"{time} ", "head"))
    return (*out, ("● REC ", "head-strong"), (f"{time}  {size(view.bytes)} ", "head"))


def backends(scene: Scene, width: int) -> Row:
    """A digit and a short name for each backend; the present one stands out, one that cannot be used has a cross and its reason."""
    view = scene.view
    if not view.backends:
        return (
            ((" looking which backends this machine has", "dim"),) if scene.live else _measured(scene, width)
        )
    present = view.run.configuration.backend if view.run is not None else None
    row: Row = EMPTY
    # The reasons go first where there is no room, then the blanks.
    for reason_room, pad in ((28, " "), (16, " "), (0, " "), (0, "")):
        row = ((" ", "text"),)
        for number, backend in enumerate(view.backends, start=1):
            reason = clean(backend.reason) if backend.usable is False and reason_room else ""
            why = f" {cut(reason, reason_room)}" if reason else ""
            row = (*row, *_backend(backend, number, backend.name == present, why, pad), (" ", "text"))
        if length(row) <= width:
            break
    return fit(row, width)


def _measured(scene: Scene, width: int) -> Row:
    """The backends that a recording measured, where it does not say which its machine had."""
    runs = [run for run in (*scene.view.runs, scene.view.run) if run is not None]
    names = [run.configuration.backend for run in runs]
    if scene.cursor is not None:
        names = [mark.backend for mark in scene.cursor.timeline.marks if mark.backend]
    present = scene.view.run.configuration.backend if scene.view.run is not None else None
    row: Row = ((" measured here ", "dim"),) if names else ((" no backends recorded", "dim"),)
    for name in dict.fromkeys(names):
        row = (*row, (f" {clean(short_name(name))} ", "active" if name == present else "text"), (" ", "text"))
    return fit(row, width)


def _backend(backend: BackendView, number: int, present: bool, why: str, pad: str) -> Row:
    digit, name = str(number) if number <= 9 else " ", clean(backend.short)
    if present:
        mark = f"{pad}✕" if backend.usable is False else ""
        return ((f"{pad}{digit} {name}{mark}{pad}", "active"),)
    if backend.usable is False:
        return ((f"{pad}{digit} {name}{pad}✕{why}{pad}", "dim"),)
    mark = f"{pad}…" if backend.usable is None else ""
    return ((f"{pad}{digit} ", "key"), (f"{name}{mark}{pad}", "dim" if mark else "text"))


def footer(scene: Scene, width: int) -> Row:
    """The keys of the context, as many as fit; help and quit always."""
    keys = list(scene.footer)
    last = [k for k in keys if k[1] in ("help", "quit")]
    first = [k for k in keys if k not in last]

    def part(key: str, text: str) -> Row:
        return ((f" {scene.glyphs.key(key)} ", "head-one"), (f"{text} ", "head-dim"))

    tail: Row = tuple(cell for key in last for cell in part(*key))
    row: Row = EMPTY
    for key in first:
        candidate = (*row, *part(*key))
        if length(candidate) + length(tail) >= width:  # a blank stays between
            break
        row = candidate
    return spread(row, tail, width, "head")


def timeline(scene: Scene, width: int) -> Row:
    """The recording from end to end: where the cursor is, where runs began, what else happened, and what is damaged."""
    cursor = scene.cursor
    if cursor is None:
        return EMPTY
    line, now = cursor.timeline, scene.view.now
    whole = max(1, line.end - line.start)
    left = f" {span((now - line.start) / 1e9)} "
    right = f" {span(whole / 1e9)} "
    room = max(4, width - len(left) - len(right))
    dash = "-" if scene.glyphs.ascii else "─"
    cells = [dash] * room
    place = min(room - 1, max(0, round((now - line.start) / whole * (room - 1))))
    looks = ["one" if x <= place else "frame" for x in range(room)]
    ranks = {"event": 1, "verdict": 2, "warn": 3, "run": 4, "error": 5}
    rank = [0] * room

    def column(t: int) -> int:
        return min(room - 1, max(0, round((t - line.start) / whole * (room - 1))))

    for start, end in line.gaps:  # damaged: nothing of these seconds can be shown
        for x in range(column(start), column(end) + 1):
            cells[x], looks[x] = "░", "two"
    for mark in line.marks:
        x = column(mark.t)
        if ranks.get(mark.kind, 0) > rank[x]:
            rank[x] = ranks[mark.kind]
            cells[x] = {"run": "┊", "error": "✕", "warn": "▴", "verdict": "◆"}.get(mark.kind, "·")
            looks[x] = {"run": "mark", "error": "bad", "warn": "two", "verdict": "two"}.get(mark.kind, "dim")
    cells[place], looks[place] = "●", "one-strong"
    row: list[tuple[str, str]] = [(left, "strong")]
    for cell, look in zip(cells, looks, strict=True):
        if row[-1][1] == look:
            row[-1] = (row[-1][0] + cell, look)
        else:
            row.append((cell, look))
    return (*row, (right, "dim"))
