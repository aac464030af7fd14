"""Where the command line enters: the session is opened before the screen is imported, so that an engine starts beside it."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..sessions.settings import EngineSettings
    from ..sessions.store import Found
    from .port import SessionPort


def run_live(settings: EngineSettings) -> int:
    """Start an engine and watch it; without a task in the settings the model chooser comes first, unless nothing is to be measured.
    Returns the exit code."""

    def port() -> SessionPort:
        from .session_port import LivePort

        return LivePort(settings)

    choose = settings.task is None and not settings.monitor
    return _show(port, choose=choose, monitor=settings.monitor)


def run_attached(found: Found) -> int:
    """Watch a session that is being measured."""

    def port() -> SessionPort:
        from .session_port import LivePort

        return LivePort(found=found)

    return _show(port)


def run_replay(found: Found) -> int:
    """Play a recording."""

    def port() -> SessionPort:
        from .session_port import ReplayPort

        return ReplayPort(found.path)

    return _show(port)


def _show(make: Callable[[], SessionPort], *, choose: bool = False, monitor: bool = False) -> int:
    port = make()
    from .theme import color_depth

    # Textual reads the depth and its animations once, when it is imported.
    if depth := color_depth():
        os.environ["TEXTUAL_COLOR_SYSTEM"] = depth
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    from .app import show

    # The command line has looked for no garbage until now. What was imported stays: later looks leave it out.
    gc.freeze()
    gc.enable()
    return show(port, choose=choose, monitor=monitor)
