"""Files of /proc and /sys that are read again and again: they stay open, since opening one takes longer than reading it."""

from __future__ import annotations

import os
from pathlib import Path


class KeptFile:
    """A file that is read anew from its beginning each time. Raises OSError where what it tells of is gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, size: int) -> bytes:
        """At most so much as the kernel gives at once: the whole, but of files that tell of many things in turn."""
        return os.pread(self._descriptor, size, 0)

    def read_on(self, size: int) -> bytes:
        """So much, in as many parts as the kernel gives; less where the file ends."""
        text = b""
        while part := os.pread(self._descriptor, size - len(text), len(text)):
            text += part
        return text

    def close(self) -> None:
        os.close(self._descriptor)


def keep(path: Path | str) -> KeptFile | None:
    """The file, open; None where there is none or it may not be read."""
    try:
        return KeptFile(os.open(path, os.O_RDONLY))
    except OSError:
        return None
