"""Who watches a serving engine: its socket, and the commands that come through it."""

from __future__ import annotations

import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from . import commands

LINE_LIMIT = 1 << 20


class Connection:
    """One viewer."""

    def __init__(self, peer: socket.socket) -> None:
        self.socket = peer
        self.pending = b""


class Viewers:
    """Listens at `path`, on the selector's thread; each command goes to `obey`, what is none to `complain`."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        path: Path,
        obey: Callable[[commands.Command], None],
        complain: Callable[[str], None],
    ) -> None:
        self.seen = False  # one was there
        self._selector = selector
        self._path = path
        self._obey = obey
        self._complain = complain
        self._present: set[Connection] = set()
        self._left = time.monotonic()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))  # in a directory that is 0700
        path.chmod(0o600)
        self._listener.listen(8)
        self._listener.setblocking(False)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    @property
    def alone_s(self) -> float:
        """How long nobody has been there; 0 while somebody is."""
        return 0.0 if self._present else time.monotonic() - self._left

    def close(self) -> None:
        for viewer in list(self._present):
            self._leave(viewer)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        peer, _ = self._listener.accept()
        if not same_user(peer):
            peer.close()
            return
        peer.setblocking(False)
        viewer = Connection(peer)
        self._present.add(viewer)
        self.seen = True
        self._selector.register(peer, selectors.EVENT_READ, lambda: self._hear(viewer))

    def _hear(self, viewer: Connection) -> None:
        try:
            data = viewer.socket.recv(65536)
        except OSError:
            data = b""
        if not data or len(viewer.pending) > LINE_LIMIT:
            self._leave(viewer)
            return
        *lines, viewer.pending = (viewer.pending + data).split(b"\n")
        for line in lines:
            try:
                self._obey(commands.decode(line))
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                self._complain(f"a viewer sent what is no command: {error}")

    def _leave(self, viewer: Connection) -> None:
        self._selector.unregister(viewer.socket)
        viewer.socket.close()
        self._present.discard(viewer)
        self._left = time.monotonic()


def same_user(peer: socket.socket) -> bool:
    """Whether the other end of a unix socket belongs to this process's user."""
    if sys.platform != "linux":
        return True  # the socket's directory is 0700
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return bool(uid == os.getuid())
