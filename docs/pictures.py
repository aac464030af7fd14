"""README's pictures, drawn from the recordings that come with the package: `python -m infertop.docs.pictures`.

They are drawn at one moment of a recording, so that a change of the screen is a change of the picture and nothing else is.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from infertop.sessions.session import Session
from infertop.sessions.store import SAMPLES
from infertop.tui.app import InfertopApp
from infertop.tui.session_port import ReplayPort

HERE = Path(__file__).parent
SIZE = (120, 40)


class Shown(NamedTuple):
    """A recording, and the run of it whose last second is drawn."""

    sample: str
    backend: str
    precision: str
    batch: int
    path: str


PICTURES = {
    "h100-resnet18": Shown("h100-resnet18", "onnxruntime-cuda", "fp32", 32, "pageable"),
    "gained": Shown("h100-keys", "onnxruntime-cuda", "fp32", 32, "pinned-ready"),
    "silent-fallback": Shown("h100-silent-fallback", "onnxruntime-cuda", "fp32", 32, "pageable"),
}


def moment(shown: Shown) -> int:
    """Half a second before that run's end, in session time, ns."""
    numbers = set()
    with Session(SAMPLES / shown.sample) as session:
        for t, run in session.runs:
            c = run.configuration
            if c is not None and (c.backend, c.precision, c.batch, c.data_path) == shown[1:]:
                numbers.add(run.run)
            if run.phase == "end" and run.run in numbers:
                return t - 500_000_000
    raise LookupError(f"{shown.sample} has no such run")


async def draw(sample: str, at: int, size: tuple[int, int] = SIZE) -> str:
    """The screen at that moment, as SVG."""
    port = ReplayPort(SAMPLES / sample)
    assert port.replay is not None
    port.replay.pause()
    port.replay.seek(at)
    app = InfertopApp(port)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        app.paint()
        await pilot.pause()
        svg = app.export_screenshot(title=f"infertop replay --sample {sample}", simplify=False)
    return re.sub(r"terminal-\d+", "terminal", svg)


def main() -> None:
    """Draw every picture beside this file, whatever terminal this is."""
    os.environ |= {"INFERTOP_THEME": "dark", "INFERTOP_GLYPHS": "braille", "TZ": "UTC"}
    time.tzset()
    for name, shown in PICTURES.items():
        svg = asyncio.run(draw(shown.sample, moment(shown)))
        (HERE / f"{name}.svg").write_text(svg, encoding="utf-8")
        print(f"{name}.svg: {len(svg)} bytes")


if __name__ == "__main__":
    main()
