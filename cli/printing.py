"""What a command says, and the tables that it prints."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

import click


def say(text: str) -> None:
    """To the person, on standard error; where that takes no more there is nobody to tell."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"infertop: {text}\n")


def print_table(heading: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> int:
    from ..sessions import lines, texts

    cells = [heading, *([texts.line(cell) for cell in row] for row in rows)]
    for line in lines.table(cells, [name in right for name in heading]):
        click.echo(line)
    return 0
