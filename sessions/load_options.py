"""`--load` and `--slo`: what was typed, as configurations hold it, or a sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..backends import loads
from ..backends.configuration import Configuration
from ..backends.errors import MeasureError
from . import units

DEFAULT = "closed:1"


def parse(text: str | None) -> list[str]:
    """The parts of a comma list, each in its one spelling."""
    found = []
    for word in (DEFAULT if text is None else text).split(","):
        try:
            found.append(loads.parse(word).text)
        except MeasureError as error:
            raise MeasureError("usage", f"--load: {error.message}", error.fix) from error
    return found


def with_limit(configurations: Sequence[Configuration], slo: str | None) -> tuple[Configuration, ...]:
    """`--slo` goes to the configurations whose rate is to be found, and must be there for them, and for nothing else."""
    searches = any(loads.parse(c.load).auto for c in configurations)
    if slo is None:
        if searches:
            raise MeasureError(
                "usage", "--load open:auto needs a limit for p99", "write --slo 10ms beside it"
            )
        return tuple(configurations)
    if not searches:
        raise MeasureError(
            "usage", "--slo is for --load open:auto, which finds the rate", "add it, or leave --slo out"
        )
    seconds = units.parse_duration(slo, "--slo")
    if seconds <= 0:
        raise MeasureError("usage", "--slo must be longer than 0", "write it like 10ms")
    limit = float(f"{seconds * 1e3:.12g}")  # 10 ms is 10.000000000000002 after the way through seconds
    return tuple(
        dataclasses.replace(c, options=dataclasses.replace(c.options, slo_ms=limit))
        if loads.parse(c.load).auto
        else c
        for c in configurations
    )


def check_arrivals(configurations: Sequence[Configuration], duration_s: float | None) -> None:
    """An open loop in which not one request arrives while it is measured is a mistake in the command."""
    for configuration in configurations:
        rate = loads.parse(configuration.load).rate
        if rate is not None and duration_s is not None and rate * duration_s < 1:
            raise MeasureError(
                "usage",
                f"in {units.duration(duration_s)} no request arrives at --load {configuration.load}",
                f"give --duration {round(10 / rate)}s or longer",
            )
