"""The progress line of `infertop run`: on standard error, and only where that is a terminal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from . import texts, units

if TYPE_CHECKING:
    from .headless import Progress

BAR = 20


class ProgressLine:
    """One line that is written over. A context manager: it is gone when the work is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = ""
        self._on = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._full, self._empty = ("█", "░") if "utf" in (stream.encoding or "").lower() else ("#", ".")

    def __call__(self, progress: Progress) -> None:
        if not self._on:
            return
        width = shutil.get_terminal_size().columns - 1
        text = self.line(progress)[:width]
        # Written only when it changes: a slow link is not filled with what it shows already.
        if text != self._shown:
            self._shown = text
            self._stream.write(f"\r{text}\x1b[K")
            self._stream.flush()

    def aside(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """`say` for where the line is not shown, or is written over."""

        def clear(text: str) -> None:
            self.__exit__()
            say(text)

        return clear

    def line(self, progress: Progress) -> str:
        """`2/6 ███░░░ 30 % 2 min 10 s left onnxruntime-cpu · fp32 · …: measuring`."""
        parts = [f"{progress.task_index + 1}/{progress.task_count}"] if progress.task_count > 1 else []
        if progress.fraction is not None:
            share = min(max(progress.fraction, 0.0), 1.0)
            done = round(share * BAR)
            parts.append(f"{self._full * done}{self._empty * (BAR - done)} {share * 100:3.0f} %")
        if progress.left_s is not None:
            parts.append(f"{units.duration(round(progress.left_s))} left")
        return " ".join([*parts, texts.line(progress.text)])

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = ""
