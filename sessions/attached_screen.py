"""A real screen attached to a session on a terminal of its own, whose bytes nobody sees: what a person's screen costs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

import psutil

from . import texts

COLUMNS, LINES = 120, 40
_TAKE_TERMINAL = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
"""Run by the new session's leader: with a terminal of its own it is hung up on when the engine dies, suspended or not."""

_TAIL = 4000  # bytes of what it drew last that are kept

PAINTED = 4000
"""A first picture has more bytes than this; what comes before it are settings of the terminal."""


class AttachedScreen:
    """`infertop attach` on a pseudo-terminal of 120×40. Linux, as measuring is. Raises OSError where none can be made."""

    def __init__(self, session: str, sessions_dir: str | None) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self.bytes = 0
        """What it has drawn so far."""
        self._tail = b""
        self._on = True
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        dropped = ("COLUMNS", "LINES", "NO_COLOR")
        environment = {name: value for name, value in os.environ.items() if name not in dropped}
        command = [sys.executable, "-c", _TAKE_TERMINAL, "-m", "infertop", "attach", session]
        command += [] if sessions_dir is None else ["--sessions-dir", sessions_dir]
        try:
            self._process = subprocess.Popen(
                command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                env=environment | {"TERM": "xterm-256color"},
            )  # fmt: skip
        except OSError:
            os.close(self._master)
            raise
        finally:
            os.close(slave)
        self._reader = threading.Thread(target=self._read, name="infertop-attached-screen", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the screen has ended
            while data := os.read(self._master, 1 << 16):
                self.bytes += len(data)
                self._tail = (self._tail + data)[-_TAIL:]

    @property
    def painted(self) -> bool:
        """Whether its first picture is there."""
        return self.bytes > PAINTED

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def last_words(self) -> str:
        """What it printed last; once it has ended, why."""
        lines = [texts.line(text, 300) for text in self._tail.decode(errors="replace").splitlines()]
        return next((text for text in reversed(lines) if text.strip()), "it printed nothing")

    def switch(self, on: bool) -> None:
        """Let it go on, or suspend it as ctrl+z does: it gives the terminal back and stops; when it goes on it draws everything anew."""
        if on == self._on:
            return  # a second signal would wait, and undo the next switch
        self._on = on
        if not self.ended:
            self._process.send_signal(signal.SIGCONT if on else signal.SIGTSTP)

    def is_on(self) -> bool:
        try:
            return psutil.Process(self._process.pid).status() != psutil.STATUS_STOPPED
        except psutil.Error:
            return False

    def end(self) -> None:
        """It is only a viewer: it goes at once, suspended or not."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._master)
