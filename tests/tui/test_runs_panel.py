"""The runs side by side: which of them may be called best."""

from __future__ import annotations

import dataclasses

from infertop.tests.tui import synthetic
from infertop.tui.panels import runs
from infertop.tui.render.cells import BRAILLE
from infertop.tui.scene import Scene


def test_what_differs_from_the_reference_is_never_best() -> None:
    view = synthetic.view()
    run = view.run
    assert run is not None
    assert run.throughput is not None
    fast = dataclasses.replace(
        run, run=90, throughput=2 * run.throughput, phase="end", result={"agreement": {"within_band": False}}
    )
    right = dataclasses.replace(run, run=91, phase="end", result={"agreement": {"within_band": True}})
    rows = runs.body(Scene(dataclasses.replace(view, run=right, runs=(fast, right)), BRAILLE), 100, 10)
    lines = ["".join(text for text, _ in row) for row in rows]
    assert "✕ differs" in lines[1]
    assert "best" in lines[2]
