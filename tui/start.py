"""Where the command line enters: the session is opened before the screen is imported, so that an engine starts beside it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .session_port import LivePort, ReplayPort
from .theme import color_depth

if TYPE_CHECKING:
    from ..sessions.settings import EngineSettings
    from ..sessions.store import Found
    from .port import SessionPort


def run_live(settings: EngineSettings) -> int:
    """Start an engine and watch it; without a task in the settings the model chooser comes first. Returns the exit code."""
    return _show(LivePort(settings), choose=settings.task is None)


def run_attached(found: Found) -> int:
    """Watch a session that is being measured."""
    return _show(LivePort(found=found))


def run_replay(found: Found) -> int:
    """Play a recording."""
    return _show(ReplayPort(found.path))


def _show(port: SessionPort, *, choose: bool = False) -> int:
    # Textual reads the depth and its animations once, when it is imported.
    if depth := color_depth():
        os.environ["TEXTUAL_COLOR_SYSTEM"] = depth
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    from .app import show

    return show(port, choose=choose)
