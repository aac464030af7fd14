"""Where everything stands on a screen that monitors: the machine has all the room, and nothing is measured."""

from __future__ import annotations

from .layout import FRAMED, READINGS, Place

_OVERVIEW = 8  # GPUs that are listed at once


def plan(width: int, height: int, *, gpus: int, cores: int, replay: bool) -> list[Place]:
    """The places of all panels, without gaps or overlaps, for a machine of so many GPUs and cores. The size must be at least
    `layout.SMALLEST`."""
    places = [Place("header", 0, 0, width, 1), Place("notice", 0, 1, width, 1)]
    bottom = height - 1
    places.append(Place("footer", 0, bottom, width, 1))
    if replay:
        bottom -= 1
        places.append(Place("timeline", 0, bottom, width, 1))
    framed = width >= FRAMED[0] and height >= FRAMED[1]
    return places + (_framed if framed else _ruled)(width, 2, bottom, gpus, max(1, cores))


def _ruled(width: int, top: int, bottom: int, gpus: int, cores: int) -> list[Place]:
    """One below the other under headings: 80×24 and smaller."""
    room = bottom - top
    half = width // 2
    places: list[Place] = []
    y = top
    if gpus > 1 and room >= 20:
        high = 2 + min(gpus, 4)
        places.append(Place("overview", 0, y, width, high, "rule"))
        y += high
    device = 6 if room >= 18 else 5
    left, right = ("gpu", "link") if gpus else ("machine", "no-gpu")
    places += [
        Place(left, 0, y, half, device, "rule"),
        Place(right, half, y, width - half, device, "rule"),
    ]
    y += device
    # A core needs no more than a row; beside the host's panel there is room anyway.
    host = min(5, max(3, bottom - y - 4), 5 if gpus else 1 + cores)
    places += _host(gpus, y, width, host, "rule")
    y += host
    places.append(Place("processes", 0, y, width, bottom - y, "rule"))
    return places


def _host(gpus: int, y: int, width: int, high: int, frame: str) -> list[Place]:
    """The machine beside its cores; without a GPU the machine stands above already, and the cores have the row."""
    if not gpus:
        return [Place("cores", 0, y, width, high, frame)]
    half = width // 2
    return [Place("machine", 0, y, half, high, frame), Place("cores", half, y, width - half, high, frame)]


def _framed(width: int, top: int, bottom: int, gpus: int, cores: int) -> list[Place]:
    """Side by side in frames: 120×40 and larger."""
    room = bottom - top
    events = max(3, room // 11)
    half = width // 2
    places: list[Place] = []
    y = top
    if gpus > 1:
        high = 3 + min(gpus, _OVERVIEW)
        places.append(Place("overview", 0, y, width, high, "box"))
        y += high
    left = bottom - events - y
    # Readings are as many rows high as all of them can be.
    device = 2 + READINGS * max(1, (left // 2 - 2) // READINGS)
    host = max(6, round(left * 0.25))
    host = host if gpus else min(host, 2 + cores)
    first, second = ("gpu", "link") if gpus else ("machine", "no-gpu")
    wide = half if gpus else width * 2 // 3
    places += [
        Place(first, 0, y, wide, device, "box"),
        Place(second, wide, y, width - wide, device, "box"),
    ]
    y += device
    places += _host(gpus, y, width, host, "box")
    y += host
    places += [
        Place("processes", 0, y, width, bottom - events - y, "box"),
        Place("events", 0, bottom - events, width, events, "box"),
    ]
    return places
