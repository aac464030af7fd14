"""A scene as rows: every panel drawn into its place. Pure, so that a test needs no terminal."""

from __future__ import annotations

from dataclasses import replace

from ..sessions.records import Header
from . import monitor_layout
from .layout import SMALLEST, Place, plan
from .panels import bars, hardware, host, log, machine, overtime, percentiles, processes, runs, stages
from .panels.verdict import verdict
from .render.cells import EMPTY, Row, box, fit, rule
from .scene import Panel, Scene

_PANELS: dict[str, Panel] = {
    "latency": percentiles.PANEL,
    "stages": stages.PANEL,
    "stages-compact": stages.COMPACT,
    "runs": runs.PANEL,
    "overtime": overtime.PANEL,
    "gpu": hardware.GPU,
    "link": hardware.LINK,
    "host": host.PANEL,
    "no-gpu": hardware.NO_GPU,
    "events": log.PANEL,
    "overview": machine.OVERVIEW,
    "machine": machine.MACHINE,
    "cores": machine.CORES,
    "processes": processes.PANEL,
}


def paint(scene: Scene, width: int, height: int) -> list[Row]:
    """The whole screen, exactly `height` rows of `width` cells."""
    if width < SMALLEST[0] or height < SMALLEST[1]:
        return too_small(width, height)
    header = scene.view.header
    count, replay = len(header.gpus) if header is not None else 0, scene.cursor is not None
    places = (
        monitor_layout.plan(width, height, gpus=count, cores=_cores(header), replay=replay)
        if scene.monitor
        else plan(width, height, gpu=count > 0, replay=replay)
    )
    lines: list[list[tuple[int, Row]]] = [[] for _ in range(height)]
    over: dict[int, Row] = {}
    for place in places:
        drawn = _draw(scene, place)
        for y, row in enumerate(drawn[: place.height]):
            lines[place.y + y].append((place.x, fit(row, place.width)))
        # A message that needs more rows than there are for it lies over what is below, for as long as it stands.
        over |= {place.y + y: fit(row, width) for y, row in enumerate(drawn) if y >= place.height}
    return [
        over.get(y) or tuple(cell for _, row in sorted(parts, key=lambda part: part[0]) for cell in row)
        for y, parts in enumerate(lines)
    ]


def _cores(header: Header | None) -> int:
    return (host.core_count(header.host) or 1) if header is not None else 1


def _draw(scene: Scene, place: Place) -> list[Row]:
    """A place's rows, as many as it is high; of the verdict's, more where a message needs them."""
    width, height = place.width, place.height
    if place.frame == "bare":
        rows = _bare(scene, place)
        return (
            rows + [EMPTY] * (height - len(rows))
            if place.panel == "verdict"
            else (rows + [EMPTY] * height)[:height]
        )
    panel = _PANELS[place.panel]
    if place.frame == "box":
        body = panel.body(scene, width - 4, height - 2)
        return box(panel.title(scene), panel.right(scene), body[: height - 2], width, height, scene.glyphs)
    body = [((" ", "text"), *row) for row in panel.body(scene, width - 2, height - 1)]
    return [
        rule(panel.title(scene), panel.right(scene), width, scene.glyphs),
        *(body + [EMPTY] * height)[: height - 1],
    ]


def _bare(scene: Scene, place: Place) -> list[Row]:
    width = place.width
    if place.panel == "header":
        return [bars.header(scene, width)]
    if place.panel == "backends":
        return [bars.backends(scene, width)]
    if place.panel == "verdict":
        return verdict(scene, width)
    if place.panel == "notice":
        return [machine.notice(scene, width)]
    if place.panel == "timeline":
        return [bars.timeline(scene, width)]
    if place.panel == "ticker":
        return [log.one_line(scene, width)]
    if place.panel == "footer":
        return [bars.footer(scene, width)]
    return _PANELS[place.panel].body(scene, width, place.height)


def too_small(width: int, height: int) -> list[Row]:
    """What a terminal that is too small shows: what it has and what is needed."""
    lines = [
        f"infertop needs {SMALLEST[0]}×{SMALLEST[1]} cells",
        f"this terminal has {width}×{height}",
        "q quits",
    ]
    above = max(0, (height - len(lines)) // 2)
    rows: list[Row] = [EMPTY] * above + [((line.center(width), "text"),) for line in lines]
    return [fit(row, width) for row in (rows + [EMPTY] * height)[:height]]


def with_axes(scene: Scene, width: int) -> Scene:
    """The scene with its axes moved on from those that it has, by the values it shows."""
    before = scene.scales
    made = {
        "latency": overtime.scale_for(scene.view.history, width - overtime.LABELS - 2, before.get("latency")),
        "curve": percentiles.scale_for(scene, before.get("curve")),
    }
    return replace(scene, scales={name: scale for name, scale in made.items() if scale is not None})
