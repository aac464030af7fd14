"""Directories: where sessions lie, and where sockets and unrecorded segments live as long as their engine."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from ..backends.errors import MeasureError

SOCKET_LIMIT = 107
"""Bytes of a unix socket's path (sun_path holds 108 with its zero)."""


def sessions_directory(chosen: str | Path | None = None) -> Path:
    """Where sessions are kept: as chosen, else INFERTOP_SESSIONS_DIR, else the user's state directory. It may not exist yet."""
    chosen = chosen or os.environ.get("INFERTOP_SESSIONS_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_state_path

    return user_state_path("infertop", appauthor=False) / "sessions"


def make_sessions_directory(chosen: str | Path | None = None) -> Path:
    """The same, made if need be, for this user alone. Raises MeasureError where that cannot be."""
    path = sessions_directory(chosen)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise MeasureError(
            "disk",
            f"{path} cannot be made: {error.strerror}",
            "give --sessions-dir a directory that can be written, or --no-record",
        ) from error
    return path


def runtime_directory() -> Path:
    """A directory of this user's alone for sockets and unrecorded segments: XDG_RUNTIME_DIR/infertop, else one below the temporary one.

    Raises MeasureError where somebody else has put something in its place.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.path.isabs(base) and _own(Path(base)):
        path = Path(base) / "infertop"
        # Names get a digest where they are long; a directory must leave room for that.
        if len(os.fsencode(path)) <= SOCKET_LIMIT - 32:
            return _private(path)
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return _private(Path(tempfile.gettempdir()) / f"infertop-{user}")


def _own(path: Path) -> bool:
    """Whether it is a directory, no link, of this user's."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())


def _private(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise MeasureError(
            "runtime-directory",
            f"{path} cannot be made: {error.strerror}",
            "set XDG_RUNTIME_DIR to a directory of yours",
        ) from error
    if not _own(path) or (hasattr(os, "getuid") and path.lstat().st_mode & 0o077):
        raise MeasureError(
            "runtime-directory",
            f"{path} is not yours alone, so that others could command the engine",
            "remove it, or set XDG_RUNTIME_DIR to a directory of yours",
        )
    return path


def socket_path(name: str) -> Path:
    """Where the engine of the session `name` listens; a long name is cut and told apart by a digest."""
    path = runtime_directory() / f"{name}.sock"
    if len(os.fsencode(path)) > SOCKET_LIMIT:
        room = SOCKET_LIMIT - len(os.fsencode(path.parent)) - len("/") - 8 - len("-.sock")
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        path = path.parent / f"{os.fsencode(name)[:room].decode(errors='ignore')}-{digest}.sock"
    return path
