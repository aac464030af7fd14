"""The terminal: whether the screen can be drawn on it, and how."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from .checks import Check

SMALLEST = (60, 20)  # as the screen's layout needs


def checks(
    size: tuple[int, int] | None, environment: Mapping[str, str] = os.environ, encoding: str = ""
) -> Iterator[Check]:
    """`size` is that of the terminal, columns and lines; None: there is none."""
    if size is None:
        yield Check("terminal", "absent", "no terminal here: infertop run and infertop ls need none")
        return
    term = environment.get("TERM", "")
    columns, lines = size
    small = columns < SMALLEST[0] or lines < SMALLEST[1]
    if term in ("", "dumb"):
        yield Check(
            "terminal",
            "fail",
            f"TERM is {term or 'not set'}: the screen cannot be drawn",
            "set TERM, as xterm-256color",
        )
    elif small:
        fix = f"the screen needs {SMALLEST[0]}×{SMALLEST[1]}"
        yield Check("terminal", "warn", f"{term}, {columns}×{lines} cells", fix)
    else:
        yield Check("terminal", "ok", f"{term}, {columns}×{lines} cells")
    utf8 = "utf" in encoding.lower()
    yield Check(
        "terminal.glyphs", "ok" if utf8 else "warn", f"the locale's encoding is {encoding or 'not known'}",
        "" if utf8 else "graphs are drawn in ASCII; set LC_ALL=C.UTF-8 for braille",
    )  # fmt: skip
    if "NO_COLOR" in environment:
        yield Check("terminal.colour", "ok", "NO_COLOR is set: no colours")
