"""Engines that were built before: kept under a key of everything that they depend on, in a folder of our own.

Deserialising an engine executes native code, so only what this user's infertop wrote is taken: the folder is 0700 and
the user's, files are plain and the user's, and their contents are those that were written.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import MeasureError

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Kept:
    """An engine from the cache."""

    blob: bytes
    path: str
    facts: dict[str, Any]  # what the build found out: seconds, layers


def key(parts: dict[str, Any]) -> str:
    """A short name for everything that an engine depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def digest(path: str, external: Sequence[str] = ()) -> str:
    """SHA-256 of a model: the file, then each file of weights beside it with its name."""
    total = hashlib.sha256()
    for name in ("", *sorted(external)):
        total.update(name.encode() + b"\0")
        with open(Path(path).parent / name if name else path, "rb") as file:
            while block := file.read(_BLOCK):
                total.update(block)
    return total.hexdigest()


class EngineCache:
    """A folder of engines, or none: then nothing is found and nothing kept."""

    def __init__(self, directory: str | None) -> None:
        self._folder = Path(directory, "engines") if directory else None

    def find(self, name: str) -> Kept | None:
        """The engine of that key; None where there is none, or a damaged one."""
        if self._folder is None or not self._folder.is_dir():
            return None
        self._check()
        path = self._folder / f"{name}.engine"
        try:
            facts = json.loads(_read(path.with_suffix(".json")))
            blob = _read(path)
        except (FileNotFoundError, ValueError):
            return None
        if not isinstance(facts, dict) or facts.get("sha256") != hashlib.sha256(blob).hexdigest():
            return None
        return Kept(blob, str(path), facts)

    def keep(self, name: str, blob: bytes, facts: dict[str, Any]) -> str | None:
        """Store an engine; its path, or None where nothing is kept."""
        if self._folder is None:
            return None
        path = self._folder / f"{name}.engine"
        facts = {**facts, "sha256": hashlib.sha256(blob).hexdigest(), "bytes": len(blob)}
        self.write(path.name, blob)
        # The description comes last: without it the engine does not count.
        self.write(path.with_suffix(".json").name, json.dumps(facts, sort_keys=True).encode())
        return str(path)

    def read(self, name: str) -> bytes:
        """Another file of the folder, as a timing cache; empty where there is none."""
        if self._folder is None or not self._folder.is_dir():
            return b""
        self._check()
        try:
            return _read(self._folder / name)
        except FileNotFoundError:
            return b""

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file or none: another worker may be reading it."""
        if self._folder is None:
            return
        try:
            self._ensure()
            descriptor, partial = tempfile.mkstemp(dir=self._folder, prefix=".partial-")
            with open(descriptor, "wb") as file:
                file.write(data)
            os.replace(partial, self._folder / name)
        except OSError as error:
            raise MeasureError(
                "cache",
                f"{self._folder} cannot be written: {error.strerror}",
                "free some space, or give yourself the folder",
            ) from error

    def folder(self, name: str) -> str | None:
        """A folder within for a runtime that keeps its own engines; None where nothing is kept."""
        if self._folder is None:
            return None
        self._ensure()
        place = self._folder / name
        place.mkdir(mode=0o700, exist_ok=True)
        return str(place)

    def _ensure(self) -> None:
        assert self._folder is not None
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check()

    def _check(self) -> None:
        """Raises MeasureError kind "cache" where somebody else could have put a file there."""
        assert self._folder is not None
        status = os.lstat(self._folder)
        if not stat.S_ISDIR(status.st_mode) or _foreign(status) or status.st_mode & 0o077:
            raise MeasureError(
                "cache",
                f"{self._folder} is open to others, and an engine from there would run their code",
                f"remove the folder, or chmod 700 {self._folder} if all in it is yours",
            )


def _read(path: Path) -> bytes:
    """A plain file of this user's. Raises FileNotFoundError for anything else, links included."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        raise FileNotFoundError(path) from error
    with open(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or _foreign(status):
            raise FileNotFoundError(path)
        return file.read()


def _foreign(status: os.stat_result) -> bool:
    return hasattr(os, "getuid") and status.st_uid != os.getuid()
