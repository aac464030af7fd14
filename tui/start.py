"""Where the command line enters: the session is opened before the screen is imported, so that an engine starts beside it."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..sessions.settings import EngineSettings
    from ..sessions.store import Found
    from .port import SessionPort


def run_live(settings: EngineSettings) -> int:
    """Start an engine and watch it; without a task in the settings the model chooser comes first. Returns the exit code."""

    def port() -> SessionPort:
        from .session_port import LivePort

        return LivePort(settings)

    return _show(port, choose=settings.task is None)


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


def _show(make: Callable[[], SessionPort], *, choose: bool = False) -> int:
    with _without_collections():
        port = make()
        from .theme import color_depth

        # Textual reads the depth and its animations once, when it is imported.
        if depth := color_depth():
            os.environ["TEXTUAL_COLOR_SYSTEM"] = depth
        os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
        from .app import show

    return show(port, choose=choose)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Imports make hundreds of thousands of objects and no garbage: looking for some takes a tenth of the start, and of each later look."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
