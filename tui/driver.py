"""The driver that keeps a dashboard cheap on a slow link: changed cells only, and no frame while the terminal still reads the last.

`INFERTOP_DRIVER=plain`, and a platform without Textual's Linux driver, use Textual's own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from .grid import Grid

if TYPE_CHECKING:
    from textual.driver import Driver

_RETRY = 0.03  # s until a terminal that lags is asked again
_LAG = 0.2  # s for which a frame must have been on its way before one that waits for it counts as skipped
_SLOW = 0.05  # s: a frame that takes longer to leave tells the link's rate
_SHARE = 0.2  # s of a slow link's time that one frame may take, so that a key and `q` are soon answered
_LEAST = 512  # bytes of a frame on the slowest link


class Output:
    """The terminal as a file that knows what has left the process, and that swallows everything once the terminal is gone.

    Textual's writer thread writes here. Without the swallowing its queue fills after a hang-up and blocks the event loop for ever.
    """

    def __init__(self, file: TextIO, hung_up: Callable[[], None]) -> None:
        self._file = file
        self._hung_up = hung_up
        self.gone = False
        self.taken = 0  # characters
        self.left = 0
        self.left_at = 0.0  # monotonic s

    def write(self, text: str) -> None:
        self.taken += len(text)
        self._try(lambda: self._file.write(text))

    def flush(self) -> None:
        self._try(self._file.flush)
        self.left_at = time.monotonic()
        self.left = self.taken

    def fileno(self) -> int:
        return self._file.fileno()

    def _try(self, what: Callable[[], object]) -> None:
        if self.gone:
            return
        try:
            what()
        except (OSError, ValueError):  # EIO after a hang-up; closed at exit
            self.gone = True
            self._hung_up()


def driver_class() -> type[Driver] | None:
    """Our driver; None where Textual's own is to be used."""
    if os.environ.get("INFERTOP_DRIVER") == "plain":
        return None
    try:
        from textual.drivers.linux_driver import LinuxDriver
    except ImportError:  # no termios: Windows
        return None

    class DifferenceDriver(LinuxDriver):
        """Textual's driver behind a grid. `skipped` counts frames that were merged into a later one because the terminal lagged."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.skipped = 0
            self.hung_up: Callable[[], None] = lambda: (
                None
            )  # called on the event loop when the terminal has gone
            self._grid = Grid()
            assert self._file is not None  # sys.__stderr__; `app.run` refuses to start without a terminal
            self._output = Output(self._file, self._terminal_gone)
            self._file = self._output  # type: ignore[assignment]  # what the writer thread writes to
            self._queued = 0  # characters handed to the writer thread
            self._later: Any = None
            self._started = 0.0  # when the frame that is under way was handed over
            self._frame = 0  # its bytes; 0: none is timed
            self._rate: float | None = None  # bytes/s of a link that has been seen to be slow

        @property
        def behind(self) -> bool:
            """Whether something is still on its way to the terminal."""
            return self._queued > self._output.left and not self._output.gone

        def write(self, data: str) -> None:
            if passed := self._grid.feed(data):
                self._send(passed)

        def flush(self) -> None:
            if self._grid.dirty:
                if self.behind and time.monotonic() - self._started > _LAG:
                    self.skipped += 1
                self._show()

        def forget(self) -> None:
            """Send the whole screen again, whatever the terminal is believed to show (ctrl+l, a resize)."""
            self._grid.forget()
            self._show()

        def _get_terminal_size(self) -> tuple[int, int]:
            # Textual asks COLUMNS and LINES first. Where a shell exports them (`eval $(resize)`) they never change.
            for descriptor in (self._output.fileno(), self.fileno):
                with contextlib.suppress(OSError):
                    size = os.get_terminal_size(descriptor)
                    if size.columns and size.lines:
                        return size.columns, size.lines
            return super()._get_terminal_size()

        def start_application_mode(self) -> None:
            self._started = time.monotonic()  # how long the program was suspended says nothing of the link
            super().start_application_mode()  # type: ignore[no-untyped-call]
            textual = signal.getsignal(signal.SIGWINCH)

            def resized(number: int, frame: Any) -> None:
                # What the terminal kept of the old screen is unknown, also where the new size is the old one again.
                self._loop.call_soon_threadsafe(self.forget)
                if callable(textual):
                    textual(number, frame)

            signal.signal(signal.SIGWINCH, resized)

        def stop_application_mode(self) -> None:
            if self._later is not None:
                self._later.cancel()
                self._later = None
            super().stop_application_mode()

        def _send(self, text: str) -> None:
            if self._writer_thread is None or not self._writer_thread.is_alive():
                return  # suspended: the grid remembers, and the resume sends it
            self._queued += len(text)
            super().write(text)

        def _show(self) -> None:
            if not self._grid.alternate:
                return
            if self.behind:
                if self._later is None:
                    self._later = self._loop.call_later(_RETRY, self._again)
                return
            self._measure()
            width, height = self._get_terminal_size()
            limit = None if self._rate is None else max(_LEAST, int(self._rate * _SHARE))
            if frame := self._grid.difference(width, height, limit):
                self._started, self._frame = time.monotonic(), len(frame.encode())
                self._send(frame)
            if self._grid.dirty and self._later is None:
                self._later = self._loop.call_later(_RETRY, self._again)

        def _again(self) -> None:
            self._later = None
            if self._grid.dirty:
                self._show()

        def _measure(self) -> None:
            """Learn the link's rate from the frame that has left; a big frame that left at once means that the link is quick again."""
            if not self._frame:
                return
            seconds = self._output.left_at - self._started
            if seconds > _SLOW:
                self._rate = self._frame / seconds
            elif self._frame >= _LEAST:
                self._rate = None
            self._frame = 0

        def _terminal_gone(self) -> None:
            self._loop.call_soon_threadsafe(lambda: self.hung_up())

        def _run_input_thread(self) -> None:
            try:
                self.run_input_thread()
            except OSError:  # EIO: the terminal has gone
                self._terminal_gone()

    return DifferenceDriver
