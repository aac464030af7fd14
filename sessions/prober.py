"""Asks an interpreter which backends it can run, without importing a runtime anywhere."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from ..backends import boot
from ..backends.errors import MeasureError
from ..backends.probes import Availability

_PIP = re.compile(r"\bpip(?= (?:un)?install\b)")

TIMEOUT_S = 30.0
"""A probe imports nothing heavy; one that takes longer hangs (a dead network file system under site-packages)."""


def probe(python: str | None = None) -> list[Availability]:
    """What each backend's probe says under `python` (None: this interpreter).

    Raises MeasureError when that interpreter cannot be started or its probe fails.
    """
    command = [python or sys.executable, "-X", "utf8", str(Path(boot.__file__)), "probe"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except OSError as error:
        raise MeasureError(
            "python-missing",
            f"the interpreter {command[0]} cannot be started: {error.strerror}",
            "give --python a Python 3.10 or later",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise MeasureError(
            "probe-failed",
            f"{command[0]} did not say within {TIMEOUT_S:.0f} s which backends it has",
            "check that its site-packages can be read",
        ) from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise MeasureError(
            "probe-failed",
            f"{command[0]} could not be asked for its backends: {last[:300]}",
            "it must be Python 3.10 or later with numpy",
            done.stderr,
        )
    found = [Availability(**json.loads(line)) for line in done.stdout.splitlines() if line.strip()]
    if python is None:
        return found
    pip = f"{shlex.quote(python)} -m pip"  # a remedy installs where it is lacking
    return [dataclasses.replace(a, fix=_PIP.sub(lambda _: pip, a.fix)) for a in found]
