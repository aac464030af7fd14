"""How the recordings that come with the package look at three sizes; README's pictures are two of them.

`make snapshots` draws them anew, README's by `python -m infertop.docs.pictures`.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pytest
from infertop.docs.pictures import HERE, PICTURES, SIZE, draw, moment
from infertop.tests.tui.test_snapshots import PINNED, SIZES

FOLDER = Path(__file__).parent / "recorded"

pytestmark = pytest.mark.skipif(
    version("textual") != PINNED, reason=f"snapshots are drawn by Textual {PINNED}"
)


def place(name: str, size: str) -> Path:
    """Where a picture is kept."""
    return HERE / f"{name}.svg" if SIZES[size] == SIZE else FOLDER / f"{name}-{size}.svg"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PICTURES)
async def test_a_recording_looks_as_it_was_looked_at(name: str, size: str) -> None:
    shown = PICTURES[name]
    drawn = await draw(shown.sample, moment(shown), SIZES[size])
    kept = place(name, size)
    if os.environ.get("INFERTOP_SNAPSHOTS") == "update" and SIZES[size] != SIZE:
        FOLDER.mkdir(exist_ok=True)
        kept.write_text(drawn)
    assert kept.exists(), "draw it with INFERTOP_SNAPSHOTS=update, and look at it"
    if drawn != kept.read_text():
        differs = FOLDER / f"{kept.stem}.new.svg"
        differs.write_text(drawn)
        pytest.fail(f"{kept.name} looks different: compare it with {differs.name}")
