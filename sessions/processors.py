"""The processors of a run: what `--cpu-affinity` and `--threads` mean here."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from ..backends.configuration import Configuration
from ..backends.cores import allowed_cores
from ..backends.errors import MeasureError
from . import units


def mask() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def affinity(text: str | None) -> list[int] | None:
    """`0-3,8` as cores. Raises MeasureError of kind `usage` where one is not allowed here."""
    if text is None:
        return None
    cores: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part)
        if found is None:
            raise MeasureError(
                "usage", f"--cpu-affinity {text!r} is not a list of cores", "write it like 0-3,8"
            )
        cores.update(range(int(found[1]), int(found[2] or found[1]) + 1))
    allowed = mask()
    if not cores or not cores <= set(allowed):
        raise MeasureError(
            "usage",
            f"--cpu-affinity {text!r} names cores that are not allowed here",
            f"allowed are {ranges(allowed)}",
        )
    return sorted(cores)


def ranges(cores: Sequence[int]) -> str:
    """[0, 1, 2, 5] as 0-2,5."""
    spans: list[list[int]] = []
    for core in cores:
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)


def notes(text: str | None, configurations: Sequence[Configuration]) -> list[str]:
    """That more threads were asked for than there are cores to run them."""
    for configuration in configurations:
        asked, cores = configuration.options.threads, configuration.options.cpu_affinity
        allowed = allowed_cores() if cores is None else len(cores)
        if text is not None and configuration.device == "cpu" and asked is not None and asked > allowed:
            return [
                f"--threads {text} is more than the {allowed} cores that are allowed here: threads will wait for each other"
            ]
    return []


def threads(text: str | None, cores: Sequence[int] | None) -> int | None:
    """A number, or `all`: the cores of the affinity, else those that this process may use."""
    if text is None:
        return None
    if text == "all":
        return allowed_cores() if cores is None else len(cores)
    return units.parse_count(text, "--threads")
