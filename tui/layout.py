"""Where everything stands at a given size: pure arithmetic from width and height to boxes."""

from __future__ import annotations

from dataclasses import dataclass

SMALLEST = (60, 20)
READINGS = 7
"""The most readings of one panel."""

FRAMED = (100, 32)  # from here on panels have frames and stand side by side


@dataclass(frozen=True, slots=True)
class Place:
    """A panel's place. `frame`: "bare" rows, "rule" (a heading across), or "box"."""

    panel: str
    x: int
    y: int
    width: int
    height: int
    frame: str = "bare"


def plan(width: int, height: int, *, gpu: bool, replay: bool) -> list[Place]:
    """The places of all panels, without gaps or overlaps. The size must be at least SMALLEST."""
    framed = width >= FRAMED[0] and height >= FRAMED[1]
    places = [
        Place("header", 0, 0, width, 1),
        Place("backends", 0, 1, width, 1),
        Place("verdict", 0, 2, width, 2),
    ]
    bottom = height - 1
    places.append(Place("footer", 0, bottom, width, 1))
    if replay:
        bottom -= 1
        places.append(Place("timeline", 0, bottom, width, 1))
    return places + (_framed if framed else _ruled)(width, 4, bottom, gpu=gpu)


def _ruled(width: int, top: int, bottom: int, *, gpu: bool) -> list[Place]:
    """One below the other under headings: 80×24 and smaller."""
    room = bottom - top
    events = 1 if room >= 18 else 0
    latency = 4 if room >= 16 else 3
    machine = 5 if room >= 18 else 4
    stages = 2
    over = room - events - latency - stages - machine
    if over > 9:
        machine += min(3, (over - 9) // 2)
        over = room - events - latency - stages - machine
    y = top
    places = [Place("latency", 0, y, width, latency, "rule")]
    y += latency
    places.append(Place("stages-compact", 0, y, width, stages))
    y += stages
    places.append(Place("overtime", 0, y, width, over, "rule"))
    y += over
    half = width * 9 // 20 if gpu else width // 2  # readings beside their ceilings take more room
    left, right = ("gpu", "link") if gpu else ("host", "no-gpu")
    if gpu or width >= 80:
        places += [
            Place(left, 0, y, half, machine, "rule"),
            Place(right, half, y, width - half, machine, "rule"),
        ]
    else:
        places.append(Place("host", 0, y, width, machine, "rule"))
    y += machine
    if events:
        places.append(Place("ticker", 0, y, width, 1))
    return places


def _framed(width: int, top: int, bottom: int, *, gpu: bool) -> list[Place]:
    """Side by side in frames: 120×40 and larger."""
    room = bottom - top
    upper = max(11, round(room * 0.37))
    machine = min(10, max(6, round(room * 0.22)))
    events = max(3, room // 11)
    over = room - upper - machine - events
    left = width // 2 if width < 160 else width * 11 // 20
    y = top
    stages = 7
    places = [
        Place("latency", 0, y, left, upper, "box"),
        Place("stages", left, y, width - left, stages, "box"),
        Place("runs", left, y + stages, width - left, upper - stages, "box"),
    ]
    y += upper
    places.append(Place("overtime", 0, y, width, over, "box"))
    y += over
    if gpu:
        first, second = (
            round(width * 0.3),
            round(width * 0.38),
        )  # readings beside their ceilings take more room
        places += [
            Place("gpu", 0, y, first, machine, "box"),
            Place("link", first, y, second, machine, "box"),
            Place("host", first + second, y, width - first - second, machine, "box"),
        ]
    else:
        wide = width * 2 // 3
        places += [
            Place("host", 0, y, wide, machine, "box"),
            Place("no-gpu", wide, y, width - wide, machine, "box"),
        ]
    y += machine
    places.append(Place("events", 0, y, width, events, "box"))
    return places
