"""The host: whether it can measure at all, and what would make its numbers worse."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...backends.errors import MeasureError
from ...telemetry import host
from .. import units
from ..places import make_sessions_directory, runtime_directory
from .checks import Check

_BUSY = 0.5  # of the cores, by the load of the last minute
_LEAST_DISK = 1e9  # bytes; an hour's session takes 15 MB, an exported model what it weighs


def checks(sessions_dir: str | None, root: Path = Path("/")) -> Iterator[Check]:
    """`root` is where /proc and /sys are looked for."""
    facts = host.facts(root)
    measuring = sys.platform == "linux"
    yield Check(
        "host.system", "ok" if measuring else "fail", f"{facts['os']}, kernel {facts['kernel']}, Python {facts['python']}",
        "" if measuring else "measuring runs on Linux and WSL2 only; infertop replay works here",
    )  # fmt: skip
    yield _cores(facts)
    yield _load(facts)
    yield Check(
        "host.memory", "ok", f"{units.size(facts['memory'])}"
        + (f", of which this place may use {units.size(facts['memory_limit'])}" if facts["memory_limit"] else ""),
    )  # fmt: skip
    if (governor := _governor(root)) is not None:
        steady = governor == "performance"
        yield Check(
            "host.governor", "ok" if steady else "warn", f"the cores' clocks are set by {governor}",
            "" if steady else "cpupower frequency-set -g performance keeps clocks, and with them latencies, steady",
        )  # fmt: skip
    if facts["container"]:
        yield Check("host.container", "ok", f"inside {facts['container']}")
    yield from _places(sessions_dir)


def _cores(facts: Mapping[str, Any]) -> Check:
    allowed, quota = len(facts["allowed_cores"]), facts["quota"]
    text = f"{facts['cpu'] or 'an unknown processor'}, {allowed} cores that may be used"
    if quota is not None and quota < allowed:
        fix = f"give --threads {max(1, int(quota))}, or raise the container's CPU limit"
        return Check(
            "host.cores", "warn", f"{text}, but a quota of {quota:g}: more threads are held back", fix
        )
    if allowed < 2:
        return Check("host.cores", "warn", f"{text}: infertop itself runs on the core that it measures on")
    return Check("host.cores", "ok", text)


def _load(facts: Mapping[str, Any]) -> Check:
    if not hasattr(os, "getloadavg"):
        return Check("host.load", "absent", "this system has no load average")
    load, cores = os.getloadavg()[0], len(facts["allowed_cores"])
    if load > _BUSY * cores:
        fix = "wait, or end what else computes: infertop --monitor shows it"
        return Check(
            "host.load", "warn", f"load {load:.2f} on {cores} cores: something else is computing", fix
        )
    return Check("host.load", "ok", f"load {load:.2f} on {cores} cores")


def _governor(root: Path) -> str | None:
    try:
        return (root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _places(sessions_dir: str | None) -> Iterator[Check]:
    """Where sessions, sockets and exported models go."""
    try:
        sessions = make_sessions_directory(sessions_dir)
        free = shutil.disk_usage(sessions).free
    except MeasureError as error:
        yield Check("host.sessions", "fail", error.message, error.fix)
    except OSError as error:
        yield Check(
            "host.sessions",
            "fail",
            f"the sessions' directory cannot be used: {error.strerror}",
            "give --sessions-dir",
        )
    else:
        writable, text = os.access(sessions, os.W_OK), f"{sessions}, {units.size(free)} free"
        if not writable:
            yield Check(
                "host.sessions",
                "fail",
                f"{sessions} cannot be written",
                "give --sessions-dir a directory that can",
            )
        elif free < _LEAST_DISK:
            yield Check(
                "host.sessions", "warn", text, "make room: a full disk ends the recording, not the run"
            )
        else:
            yield Check("host.sessions", "ok", text)
    try:
        yield Check("host.runtime", "ok", f"{runtime_directory()} for sockets and what is not recorded")
    except MeasureError as error:
        yield Check("host.runtime", "fail", error.message, error.fix)
