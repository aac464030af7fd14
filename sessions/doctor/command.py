"""The command without `--observer`: every check, as table or document."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from .. import output
from ..interpreters import environments
from ..prober import probe
from . import backends, bytecode, gpu, host, terminal
from .checks import Check, document, exit_code, table


def run(python: Sequence[str], sessions_dir: str | None, json: str | None) -> int:
    """Check everything and print it; 1 where something failed, else 0."""
    found = list(_all(python, sessions_dir))
    if json is not None:
        text = output.as_json(document(found))
        if json == output.STDOUT:
            sys.stdout.write(text)
            return exit_code(found)
        output.write(json, text)
    sys.stdout.write("\n".join(table(found)) + "\n")
    return exit_code(found)


def _all(python: Sequence[str], sessions_dir: str | None) -> Iterator[Check]:
    yield from host.checks(sessions_dir)
    yield from gpu.checks()
    yield from backends.checks(environments(python), probe)
    yield from bytecode.checks(os.environ, bytecode.installed())
    yield from terminal.checks(_terminal(), encoding=sys.stdout.encoding or "")


def _terminal() -> tuple[int, int] | None:
    """Columns and lines of the terminal that the screen would be drawn on."""
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):  # none, or replaced by something without a descriptor
        return None
    return size.columns, size.lines
