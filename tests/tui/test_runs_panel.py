"""The runs side by side: which of them may be called best, which stand on the front, and what tells them apart."""

from __future__ import annotations

import dataclasses
from typing import Any

from infertop.backends.configuration import Options
from infertop.sessions.records import Fault
from infertop.sessions.view import RunView
from infertop.tests.tui import synthetic
from infertop.tui.compare import rows as compared
from infertop.tui.farewell import farewell
from infertop.tui.panels import percentiles, runs
from infertop.tui.render.cells import BRAILLE, Row
from infertop.tui.scene import Scene

FALLBACK = "the CUDA provider did not start: everything runs on the CPU"


def run(number: int, rate: float, p50: float = 3.58e6, **more: Any) -> RunView:
    """An ended run with this throughput, samples/s."""
    configuration = dataclasses.replace(synthetic.CONFIGURATION, **more.pop("changes", {}))
    return synthetic.run(number, configuration, "end", p50, throughput=rate, **more)


def scene(*ended: RunView) -> Scene:
    return Scene(synthetic.view(run=ended[-1], runs=ended, before=ended[0]), BRAILLE)


def lines(rows: list[Row]) -> list[str]:
    return ["".join(text for text, _ in row) for row in rows]


def panel(*ended: RunView, width: int = 110, height: int = 12) -> list[str]:
    return lines(runs.body(scene(*ended), width, height))


def cell(table: list[str], row: int, heading: str) -> str:
    """What stands under a heading; headings lean to the right."""
    end = table[0].index(heading) + len(heading)
    return table[row][:end].rsplit("  ", 1)[-1].strip()


def test_what_differs_from_the_reference_is_never_best() -> None:
    table = panel(
        run(90, 20_000, result={"agreement": {"within_band": False}}, agreement={"within_band": False}),
        run(91, 10_000, result={"agreement": {"within_band": True}}, agreement={"within_band": True}),
    )
    assert "✕ differs" in table[1]
    assert "✕ differ" in table[1].split("✕ differs")[1], "its outputs have a column of their own"
    assert cell(table, 2, "to best") == "best"
    assert "✓ agree" in table[2]


def test_a_long_option_does_not_cost_the_numbers_their_columns() -> None:
    options = Options(backend_options={"session.dump_to": "folder/" * 30})
    long = {"options": options, "backend": "onnxruntime-cuda"}
    table = panel(run(1, 20_000), run(2, 10_000, changes=long), width=60)
    assert cell(table, 2, "samples/s") == "10 000"
    assert cell(table, 2, "to best") == "−50 %"
    assert "ort-cuda  session." in table[2], "the longest is cut first"


def test_a_run_that_fell_back_is_never_best() -> None:
    """The seed's own trap: what ran on the CPU instead of CUDA was a little faster than the CPU's own run."""
    for fell in (run(1, 113_775, fallback=FALLBACK), run(1, 113_775, result={"status": "fallback"})):
        table = panel(fell, run(2, 109_738, result={"status": "ok"}))
        assert "▲ FALLBACK" in table[1]
        assert cell(table, 2, "to best") == "best"
        assert "◆" not in "".join(table), "a front of one says nothing"


def test_a_fallback_is_marked_wherever_it_is_compared() -> None:
    fell, right = run(1, 113_775, fallback=FALLBACK), run(2, 109_738, changes={"batch": 64})
    found = scene(fell, right)
    assert any(
        "before:" in line and "▲ FALLBACK 3.58" in line for line in lines(percentiles.body(found, 100, 12))
    )
    comparison = lines(compared(found.view, 1, 110))
    assert any("▲ FALLBACK  the CUDA provider did not start" in line for line in comparison)
    [first, second] = farewell(found.view).splitlines()[1:3]
    assert first.endswith("▲ FALLBACK")
    assert "FALLBACK" not in second


def test_gains_and_losses_of_a_comparison_differ_in_colour() -> None:
    """The intervals of p50 are known here, those of the throughput are not: that may be no change."""
    found = scene(run(1, 4_000, 7.2e6), run(2, 6_000, 4.8e6))

    def colours(other: int, now: RunView) -> dict[str, str]:
        view = dataclasses.replace(found.view, run=now)
        rows = [[(text.strip(), style) for text, style in row] for row in compared(view, other, 110)]
        return {
            row[0][0]: row[3][1] for row in rows if len(row) == 6 and row[0][0] in ("samples/s", "p50 ms")
        }

    assert colours(1, found.view.runs[1]) == {"samples/s": "text", "p50 ms": "one"}
    assert colours(2, found.view.runs[0]) == {"samples/s": "text", "p50 ms": "two"}


def test_best_and_unit_do_not_depend_on_the_height_and_the_best_stays_in_sight() -> None:
    ended = [run(1, 9_000, 0.4e6), *(run(n, 1_000.0 * n) for n in range(2, 8))]
    tall, small = panel(*ended, height=12), panel(*ended, height=4)
    assert len(tall) == 8
    assert [line.split()[0] for line in small[1:]] == ["1", "6", "7"]
    assert cell(small, 1, "to best") == "best"
    assert cell(small, 3, "to best") == "−22 %" == cell(tall, 7, "to best")
    assert "p50 µs" in small[0]
    assert "p50 µs" in tall[0]


def test_the_front_is_marked_over_all_runs_of_the_same_work() -> None:
    other = run(4, 99_000, 0.1e6, changes={"model": "smallcnn"})
    ended = (run(1, 900, 1e6), run(2, 8_000, 4e6), run(3, 7_000, 5e6), other)
    table = panel(*ended)
    assert [("◆" in line) for line in table[1:]] == [True, True, False, True]
    assert [cell(table, row, "to best") for row in (2, 4)] == ["best", "best"], (
        "another model's rate is no rival"
    )
    assert "none is better in both" in lines([runs.right(scene(*ended))])[0]


def test_what_runs_differ_in_has_a_column_and_nothing_else() -> None:
    paths = panel(
        *(run(n, 1000.0 * n, changes={"data_path": p}) for n, p in enumerate(("pageable", "pinned"), 1))
    )
    assert "pageable" in paths[1]
    assert "pinned" in paths[2]
    assert "load" not in paths[0]
    assert "mJ/sample" not in paths[0]
    loads = panel(
        run(1, 1000, result={"energy_j_per_sample": 0.041}), run(2, 2000, changes={"load": "open:100/s"})
    )
    assert "open:100/s" in loads[2]
    assert "path" not in loads[0]
    assert cell(loads, 1, "mJ/sample") == "41.0"
    graphs = Options(backend_options={"cuda_graph": "1"})
    assert "cuda_graph=1" in panel(run(1, 1000), run(2, 2000, changes={"options": graphs}))[2]


def test_the_throughput_of_an_open_loop_is_nobodys_rival() -> None:
    asked = run(1, 9_000, 0.1e6, changes={"load": "open:9000/s"})
    table = panel(asked, run(2, 5_000), run(3, 4_000, 5e6))
    assert [cell(table, row, "to best") for row in (1, 2, 3)] == ["–", "best", "−20 %"]
    assert [("◆" in line) for line in table[1:]] == [False, True, False]


def test_what_cannot_be_had_here_did_not_fail() -> None:
    fault = Fault("unsupported", "onnxruntime-cpu has no fp16", "use fp32")
    table = panel(run(1, 1000), run(2, 0, n=0, latency=None, error=fault))
    assert "unavailable" in table[2]
    assert "failed" not in table[2]
