"""Bytes to the terminal, CPU of the screen, and how it stays usable on a slow link.

A pty stands in for the terminal; the session is a real one: an engine that measures the simulated backend at 500 requests a second, four ticks a
second. Budgets: 5 KB/s at 80×24, 8 KB/s at 120×40, 0 when frozen; `q` within 1 s at 8 KB/s. `key` is the time from a key to its first byte on
the screen, `q` until the shell is back, `stall` the longest lateness of the event loop, `skipped` frames that were merged into a later one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import sys
import tempfile
import termios
import time
from dataclasses import dataclass
from pathlib import Path

from infertop.tests.sessions.kit import with_plugin

from ._budgets import Budget, table

SIZES = ((80, 24), (120, 40), (200, 60))
_BUDGETS = {(80, 24): 5.0, (120, 40): 8.0}  # KB/s
START_S, SETTLE_S, WATCH_S = (
    12.0,
    4.0,
    10.0,
)  # import, load and warm-up; another program's first screen; what is measured
_PATIENCE_S = 10.0  # for a key or the exit
_SLICE = 0.02  # s between two reads of a throttled reader


@dataclass
class Terminal:
    """A program on a pty that is read at `rate` bytes/s (None: at once), its replies to queries included."""

    pid: int
    descriptor: int
    rate: float | None
    taken: int = 0
    _budget: float = 0.0
    _at: float = 0.0

    def watch(self, seconds: float, until: bytes | None = None) -> float | None:
        """Read for so long. With `until`: the seconds until these bytes came, None where they did not."""
        began = self._at = time.monotonic()
        tail = b""
        while (now := time.monotonic()) - began < seconds:
            if self.rate is not None:
                self._budget = min(self._budget + (now - self._at) * self.rate, self.rate / 4)
                self._at = now
                if self._budget < 1:
                    time.sleep(_SLICE)
                    continue
            ready, _, _ = select.select([self.descriptor], [], [], _SLICE)
            if not ready:
                continue
            try:
                data = os.read(self.descriptor, 65536 if self.rate is None else max(1, int(self._budget)))
            except OSError:
                return time.monotonic() - began
            self.taken += len(data)
            self._budget -= len(data)
            for _ in range(data.count(b"\x1b[6n")):
                os.write(self.descriptor, b"\x1b[1;1R")
            tail = (tail + data)[-4096:]
            if until is not None and until in tail:
                return time.monotonic() - began
        return None

    def press(self, keys: bytes) -> None:
        os.write(self.descriptor, keys)

    def cpu(self) -> float:
        """CPU seconds of the program so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait(self, seconds: float) -> float | None:
        """The seconds until it has ended, read on meanwhile; it is killed where that takes longer."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            self.watch(0.05)
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return time.monotonic() - began
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return None


@contextlib.contextmanager
def terminal(command: list[str], size: tuple[int, int], rate: float | None = None, **environment: str):  # type: ignore[no-untyped-def]
    """Run a command on a pty of this size, in 256 colours."""
    pid, descriptor = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", size[1], size[0], 0, 0))
        os.environ.pop("COLORTERM", None)
        os.environ.update(TERM="xterm-256color", LC_ALL="C.UTF-8", **environment)
        os.execvp(command[0], command)
    found = Terminal(pid, descriptor, rate)
    try:
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(descriptor)


@contextlib.contextmanager
def session(size: tuple[int, int], rate: float | None = None, driver: str = "ours"):  # type: ignore[no-untyped-def]
    """An engine that measures, and its screen on a terminal; yields it, and where its note will lie once it has quit."""
    command = [
        sys.executable,
        "-m",
        "infertop.tests.bench._watched",
        "smallcnn",
        "--backend",
        "simulated",
        "--backend-option",
        "sleep_us=2000",
    ]
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder, "note.json")
        places = dict.fromkeys(("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"), folder)
        places |= {
            "PYTHONPATH": with_plugin()["PYTHONPATH"],
            "INFERTOP_DRIVER": driver,
            "INFERTOP_DEMO_NOTE": str(note),
        }
        with terminal(command, size, rate, **places) as shown:
            shown.watch(START_S)
            yield shown, note


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def bytes_and_cpu() -> list[Budget]:
    """What a quick terminal gets."""
    budgets = []
    row("size", "live KB/s", "CPU %", "frozen B/s", "frozen CPU %", "q s")
    row(*["---"] * 6)
    for size in SIZES:
        with session(size) as (shown, _):
            cells = []
            for key, unit in ((b"", 1e3), (b" ", 1.0)):
                shown.press(key)
                shown.watch(1.0)
                taken, cpu = shown.taken, shown.cpu()
                shown.watch(WATCH_S)
                cells += [
                    f"{(shown.taken - taken) / WATCH_S / unit:.1f}",
                    f"{(shown.cpu() - cpu) / WATCH_S * 100:.1f}",
                ]
            shown.press(b"q")
            row("{}×{}".format(*size), *cells, _seconds(shown.wait(_PATIENCE_S)))
        if size in _BUDGETS:
            budgets.append(Budget("live at {}×{}".format(*size), float(cells[0]), _BUDGETS[size], "KB/s"))
        budgets.append(Budget("frozen at {}×{}".format(*size), float(cells[2]), 0, "B/s"))
    return budgets


def slow_links() -> list[Budget]:
    """What a throttled one gets; Textual's own driver beside ours at one rate."""
    budgets = []
    row("size", "link KB/s", "driver", "KB/s", "key s", "q s", "stall s", "skipped")
    row(*["---"] * 8)
    for size in SIZES:
        for rate, driver in ((30e3, "ours"), (8e3, "ours"), (8e3, "plain"), (3e3, "ours")):
            with session(size, rate, driver) as (shown, note):
                taken = shown.taken
                shown.watch(WATCH_S)
                speed = (shown.taken - taken) / WATCH_S / 1e3
                shown.press(b"w")
                key = shown.watch(_PATIENCE_S, b"whole")
                shown.press(b"q")
                leave = shown.wait(_PATIENCE_S)
                said = json.loads(note.read_text()) if note.exists() else {}
            stall = said.get("stall")
            row(
                "{}×{}".format(*size),
                f"{rate / 1e3:.0f}",
                driver,
                f"{speed:.1f}",
                _seconds(key),
                _seconds(leave),
                "–" if stall is None else stall,
                "–" if said.get("skipped") is None else said["skipped"],
            )
            if (rate, driver) == (8e3, "ours"):
                what = "q at {}×{} on 8 KB/s".format(*size)
                budgets.append(Budget(what, _PATIENCE_S if leave is None else leave, 1, "s"))
    return budgets


def others() -> None:
    """btop beside it, where it is installed."""
    if shutil.which("btop") is None:
        print("btop is not installed")
        return
    row("program", "size", "KB/s", "CPU %")
    row(*["---"] * 4)
    for size in SIZES[:2]:
        with terminal(["btop"], size) as shown:
            shown.watch(SETTLE_S)
            taken, cpu = shown.taken, shown.cpu()
            shown.watch(WATCH_S)
            speed = (shown.taken - taken) / WATCH_S / 1e3
            row("btop", "{}×{}".format(*size), f"{speed:.1f}", f"{(shown.cpu() - cpu) / WATCH_S * 100:.1f}")


def _seconds(value: float | None) -> str:
    return f"> {_PATIENCE_S:.0f}" if value is None else f"{value:.2f}"


def main() -> None:
    budgets = bytes_and_cpu()
    print()
    budgets += slow_links()
    print()
    others()
    table(budgets)


if __name__ == "__main__":
    main()
