"""The loads worth offering for what is measured now, and why some cannot be had."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..backends import loads, registry
from ..backends.configuration import Configuration
from ..backends.errors import MeasureError
from ..sessions.view import RunView

_UNKNOWN_RATE = 100.0  # requests a second, where nothing has been measured yet


@dataclass(frozen=True, slots=True)
class Offer:
    """A load as it is typed, what it means, and why it cannot be had (empty: it can)."""

    load: str
    note: str
    why_not: str = ""


def offers(configuration: Configuration, run: RunView | None) -> list[Offer]:
    """Closed loops of one to four in flight, overlapped copies, and open loops at half of what is served now."""
    rate = run.requests / run.measured_s if run is not None and run.measured_s > 0 else None
    half = f"{float(f'{(rate or _UNKNOWN_RATE) / 2:.3g}'):g}/s"
    now = "at half the rate now" if rate else "at that rate"
    wanted = (
        ("closed:1", "the next request when the last is complete"),
        ("closed:2", "two in flight: latency at depth 2"),
        ("closed:4", "four in flight: latency at depth 4"),
        ("pipelined:3", "copies overlap computing: latency at depth 3"),
        (f"open:{half}", f"even arrivals {now}: response beside service"),
        (f"poisson:{half}", f"random arrivals {now}: response beside service"),
    )
    return [Offer(load, note, refusal(configuration, load)) for load, note in wanted]


def refusal(configuration: Configuration, load: str) -> str:
    """Why this load is not possible, in a sentence with the remedy; empty where it is, or where only the backend itself can tell.

    Our backends hold one request on the CPU and as many as are wanted on a GPU; of others it is not known before they have loaded.
    """
    known = any(info.name == configuration.backend for info in registry.BACKENDS)
    if not known or not configuration.device:
        return ""
    slots = 1 if configuration.device == "cpu" else loads.MAX_IN_FLIGHT
    try:
        loads.refuse(replace(configuration, load=load), slots, overlaps=slots > 1)
    except MeasureError as error:
        return error.message.partition(": ")[2] or error.message
    return ""
