"""Whether a segment's engine lives: it holds a lock on the file for as long as it writes, and the kernel lets go when it dies."""

from __future__ import annotations

import os
import time
from pathlib import Path

_RECENT = 10.0  # s; where files cannot be locked, one that grew this recently is taken for live


def hold(descriptor: int) -> bool:
    """Lock the open segment for this process's life. False where the system or the file system has no such locks."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        # Readers only ever probe for microseconds, so this waits for nobody.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def is_live(path: Path) -> bool:
    """Whether an engine is writing this segment. False on systems that cannot measure, and for a file that is gone."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return time.time() - os.fstat(descriptor).st_mtime < _RECENT
    finally:
        os.close(descriptor)
    return False
