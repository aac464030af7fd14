"""Where documents go: to files or to standard output, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..backends.errors import MeasureError

STDOUT = "-"

Document = Mapping[str, Any]


def check_targets(targets: Mapping[str, str | None]) -> None:
    """Before anything is measured: option -> target. One may be `-`, and every file's folder must take a
    file."""
    named = {option: target for option, target in targets.items() if target is not None}
    to_stdout = [option for option, target in named.items() if target == STDOUT]
    if len(to_stdout) > 1:
        raise MeasureError(
            "usage",
            f"{' and '.join(to_stdout)} cannot both go to standard output",
            "give - to one of them and a file to the other",
        )
    places: dict[str, str] = {}
    for option, target in named.items():
        if target == STDOUT:
            continue
        path = os.path.realpath(target)
        if path in places:
            raise MeasureError(
                "usage",
                f"{places[path]} and {option} name the same file {target}",
                "give each a file of its own",
            )
        places[path] = option
        folder = Path(path).parent
        if Path(path).is_dir():
            raise MeasureError("usage", f"{option} {target} is a directory", "name a file in it")
        if not folder.is_dir():
            raise MeasureError("usage", f"{option} {target}: there is no folder {folder}", "make it first")
        if not os.access(folder if _replaceable(path) else path, os.W_OK):
            raise MeasureError(
                "usage", f"{option} {target} cannot be written", "choose a place that you may write to"
            )


def _replaceable(path: str) -> bool:
    """Whether a new file may take the place: devices and pipes are written to instead."""
    return not os.path.exists(path) or os.path.isfile(path)


def write(target: str, text: str, kept: str = "") -> None:
    """Write the whole file or leave the old one: no reader sees half of it. Raises MeasureError; `kept` says where the results are
    all the same."""
    path = os.path.realpath(target)
    try:
        if not _replaceable(path):
            Path(path).write_text(text, encoding="utf-8")
            return
        descriptor, temporary = tempfile.mkstemp(
            dir=os.path.dirname(path), prefix=f".{os.path.basename(path)}."
        )
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, _mode(path))
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise MeasureError(
            "output",
            f"{target} could not be written: {error.strerror}",
            kept,
        ) from error


def write_out(text: str, kept: str = "") -> None:
    """Write to standard output, all of it, now. Raises MeasureError, but BrokenPipeError where nobody reads any more."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MeasureError(
            "output", f"standard output could not be written: {error.strerror}", kept
        ) from error


def _mode(path: str) -> int:
    """The permissions of the file that is replaced, or those that a new file gets."""
    with contextlib.suppress(FileNotFoundError):
        return os.stat(path).st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def as_json(document: Document) -> str:
    """The document, indented. NaN and infinity have no place in JSON and become null."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
