"""What a command needs of the machine and of its terminal."""

from __future__ import annotations

import sys

from ..backends.errors import MeasureError


def measuring_only_on_linux() -> None:
    """Viewing works elsewhere; a worker needs what only Linux has."""
    if sys.platform != "linux":
        raise MeasureError("platform", "measuring runs on Linux and WSL2 only", "infertop replay works here")


def needs_terminal(instead: str) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise MeasureError("usage", "the screen needs a terminal", f"{instead} prints results without one")
