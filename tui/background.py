"""Work that may wait for a disk or a socket, done one after the other beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from ..backends.errors import MeasureError

Answer = Callable[[Any, MeasureError | None], None]


class Background:
    """One daemon thread: a call that hangs keeps neither the screen nor the exit waiting."""

    def __init__(self, name: str) -> None:
        self._calls: queue.Queue[tuple[Callable[[], Any], Answer, asyncio.AbstractEventLoop]] = queue.Queue()
        self._name = name
        self._thread: threading.Thread | None = None

    def do(self, call: Callable[[], Any], then: Answer) -> None:
        """Call; `then` gets the value or the MeasureError, on the event loop that asked."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._calls.put((call, then, asyncio.get_running_loop()))

    def _run(self) -> None:
        while True:
            call, then, loop = self._calls.get()
            value, error = None, None
            try:
                value = call()
            except MeasureError as found:
                error = found
            except Exception as found:  # a defect; shown rather than lost with the thread
                error = MeasureError(
                    "internal", f"internal error: {type(found).__name__}: {found}", "please report it"
                )
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                loop.call_soon_threadsafe(then, value, error)
