"""How requests come, as a person writes it: `closed:4`, `pipelined:4`, `open:200/s`, `poisson:200/s`, `open:auto`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .configuration import Configuration
from .errors import MeasureError

MAX_IN_FLIGHT = 128
"""Each request in flight has a stream and buffers of its own; far below this a GPU has long been full."""

MIN_RATE, MAX_RATE = 0.001, 100_000.0
"""Requests a second: the issuing thread needs 5 to 10 µs of its own for each."""

_RATE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(/s)?")
_FORM = "write closed:N, pipelined:N, open:RATE/s, poisson:RATE/s or open:auto"
_KINDS = ("closed", "pipelined", "open", "poisson")


@dataclass(frozen=True)
class Load:
    """`slots` requests in flight at most; `rate` in requests a second where they come by a schedule, None elsewhere and for `open:auto`."""

    kind: str  # "closed", "pipelined", "open" or "poisson"
    slots: int = 1
    rate: float | None = None

    @property
    def scheduled(self) -> bool:
        """An open loop: requests come when the schedule says, whether or not those before are complete."""
        return self.kind in ("open", "poisson")

    @property
    def auto(self) -> bool:
        """The rate is to be found."""
        return self.scheduled and self.rate is None

    @property
    def overlaps(self) -> bool:
        """Copies run beside the computation of other requests."""
        return self.kind == "pipelined"

    @property
    def text(self) -> str:
        """The one way in which a configuration holds it."""
        if not self.scheduled:
            return f"{self.kind}:{self.slots}"
        return f"{self.kind}:auto" if self.rate is None else f"{self.kind}:{self.rate:.12g}/s"


def parse(text: str) -> Load:
    """Raises MeasureError kind "usage" on what is no load."""
    kind, colon, value = (part.strip() for part in text.strip().partition(":"))
    if kind not in _KINDS:
        raise MeasureError("usage", f"the load {text!r} is not known", _FORM)
    if not colon or not value:
        raise MeasureError("usage", f"the load {text!r} lacks its number", _FORM)
    if kind in ("closed", "pipelined"):
        return Load(kind, slots=_depth(kind, value))
    if value == "auto":
        if kind == "poisson":
            raise MeasureError("usage", "poisson:auto is not known", "open:auto finds the rate")
        return Load(kind)
    found = _RATE.fullmatch(value)
    if found is None:
        raise MeasureError(
            "usage",
            f"the rate {value!r} of {kind} is not one",
            f"write it in requests a second: {kind}:200/s",
        )
    rate = float(found[1])
    if not MIN_RATE <= rate <= MAX_RATE:
        raise MeasureError(
            "usage",
            f"the rate {value} is out of range",
            f"give {MIN_RATE:g} to {MAX_RATE:.0f} requests a second",
        )
    return Load(kind, rate=rate)


def _depth(kind: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise MeasureError(
            "usage", f"{kind}:{value}: the requests in flight are a whole number above 0", f"write {kind}:4"
        )
    slots = int(value)
    if slots > MAX_IN_FLIGHT:
        raise MeasureError("usage", f"{kind}:{value} is too deep", f"at most {MAX_IN_FLIGHT} are in flight")
    if kind == "pipelined" and slots == 1:
        raise MeasureError("usage", "pipelined:1 overlaps nothing", "write pipelined:4, or closed:1")
    return slots


def refuse(configuration: Configuration, slots: int, overlaps: bool) -> None:
    """Raises MeasureError kind "unsupported" where the load asks what cannot be; nothing is imitated with threads.

    `slots` and `overlaps` are the backend's, once it has loaded.
    """
    load, backend, fix = parse(configuration.load), configuration.backend, "use --load closed:1"
    if load.slots == 1:
        return
    if slots == 1:
        reason = f"{backend} blocks until a request is done, so it cannot hold {load.slots} in flight"
    elif load.slots > slots:
        reason, fix = f"{backend} holds at most {slots} requests in flight", f"use --load closed:{slots}"
    elif load.overlaps and not overlaps:
        reason, fix = f"{backend} does not overlap copies with compute", f"use --load closed:{load.slots}"
    elif configuration.device != "cpu" and configuration.data_path == "pageable":
        reason = "a copy to ordinary host memory blocks until the request is done"
        fix = "use --data-path pinned, pinned-ready or device"
    elif load.overlaps and configuration.data_path == "device":
        reason, fix = (
            "on the data path device there are no copies to overlap",
            f"use --load closed:{load.slots}",
        )
    else:
        return
    raise MeasureError("unsupported", f"{load.text} is not possible: {reason}", fix)
