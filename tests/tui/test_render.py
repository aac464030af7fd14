"""Drawing functions: values in, cells out."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from infertop.tui.render import numbers
from infertop.tui.render.axis import Scale, next_scale, next_top, spike_limit, step_down, step_up, ticks
from infertop.tui.render.cells import (
    ASCII,
    BRAILLE,
    Glyphs,
    Row,
    box,
    clean,
    cut,
    fit,
    lay,
    length,
    part,
    rule,
    spread,
    wrap,
)
from infertop.tui.render.curve import curve, decades, quantile_axis
from infertop.tui.render.events import lines, ticker, whole
from infertop.tui.render.graph import changes, graph, seconds_axis
from infertop.tui.render.heat import heat
from infertop.tui.render.meter import columns, meter
from infertop.tui.render.numbers import (
    change,
    count,
    duration,
    number,
    part_of,
    quantity,
    share,
    size,
    span,
    unit_for,
)
from infertop.tui.render.stages import bar, legend, parts
from infertop.tui.render.table import Column, table

NAN = math.nan


def text(row: Row) -> str:
    return "".join(t for t, _ in row)


def array(*values: float) -> np.ndarray:
    return np.array(values, float)


# -- numbers


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (NAN, "–"), (0, "0.00"), (0.021, "0.021"), (3.584, "3.58"), (9.999, "10.0"), (12.44, "12.4"), (143.4, "143"),
     (8779.2, "8 779"), (-4.2, "−4.20")],
)  # fmt: skip
def test_numbers_have_three_digits(value: float | None, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("ns", "shown"),
    [
        (None, "–"),
        (850, "850 ns"),
        (143_200, "143 µs"),
        (3_580_000, "3.58 ms"),
        (12.4e9, "12.4 s"),
        (9.9e9, "9 900 ms"),
    ],
)
def test_latencies_choose_their_unit(ns: float | None, shown: str) -> None:
    assert duration(ns) == shown


def test_a_unit_can_be_given_so_that_a_row_agrees() -> None:
    assert duration(850_000, numbers.MILLISECONDS, name=False) == "0.85"
    assert unit_for(None).name == "ms"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (720, "720 B"),
        (999_700, "1.0 MB"),
        (1_240_000, "1.2 MB"),
        (85.5e9, "85.5 GB"),
        (123e9, "123 GB"),
        (None, "–"),
    ],
)
def test_sizes_are_decimal(value: float | None, shown: str) -> None:
    assert size(value) == shown


def test_other_quantities() -> None:
    assert share(0.44) == "0.4 %"
    assert share(97.6) == "98 %"
    assert quantity(5.3e9, "B/s") == "5.3 GB/s"
    assert quantity(1755, "MHz") == "1755 MHz"
    assert quantity(361.4, "W") == "361 W"
    assert quantity(None, "%") == "–"
    assert count(8230) == "8 230"
    assert span(192) == "03:12"
    assert span(3723) == "1:02:03"
    assert change(3.58, 2.59) == "+38 %"
    assert change(2.59, 3.58) == "−28 %"
    assert change(50.0, 1.0) == "×50.0"
    assert change(None, 1.0) == "–"


# -- text and rows


@pytest.mark.parametrize(
    ("now", "before", "shown", "sure"),
    [
        ((3.58, 3.57, 3.59), (2.59, 2.585, 2.595), "+38 % (38–39)", True),
        ((36.4, 36.1, 36.7), (1.0, 0.995, 1.005), "×36.4 (35.9–36.9)", True),
        ((3.43, 3.42, 3.44), (3.58, 3.57, 3.59), "−4.2 % (3.6–4.7)", True),
        ((1.0, 0.99, 1.01), (40.0, 39.5, 40.5), "−97.5 % (97.4–97.6)", True),
        ((2000.0, 1980.0, 2010.0), (1.0, 0.98, 1.02), "×2 000 (1 941–2 051)", True),
        ((1.0, 0.9, 1.1), (1.05, 0.9, 1.2), "−4.8 %", False),
        ((1.0, 0.9, None), (2.0, 1.9, 2.1), "−50 %", None),
    ],
)
def test_a_change_has_the_range_that_its_intervals_leave(
    now: tuple[float, float, float | None], before: tuple[float, float, float], shown: str, sure: bool | None
) -> None:
    assert numbers.sure_change(numbers.Measured(*now), numbers.Measured(*before)) == (shown, sure)


@given(st.tuples(*[st.floats(1e-3, 1e6)] * 2), st.tuples(*[st.floats(1.0, 1.5)] * 4))
def test_the_range_holds_the_change_that_it_stands_behind(
    values: tuple[float, float], factors: tuple[float, ...]
) -> None:
    now, before = (
        numbers.Measured(v, v / low, v * high)
        for v, low, high in zip(values, factors[:2], factors[2:], strict=True)
    )
    text, sure = numbers.sure_change(now, before)
    if sure:
        value, low, high = (
            float(n.replace(" ", "")) for n in re.findall(r"\d[\d ]*(?:\.\d+)?(?= %|[–)]| \()", text)
        )
        assert low <= value <= high


def test_untrusted_text_cannot_move_the_cursor_or_hide() -> None:
    assert clean("model\x1b[2J\r\nname\u202e\u200d") == "model[2J  name"
    assert clean("re\u0301seau") == "réseau"
    assert clean("漢字") == "漢字"


@given(
    st.lists(st.tuples(st.text(st.sampled_from("ab漢·█")), st.sampled_from(["text", "dim"])), max_size=6),
    st.integers(0, 30),
)
def test_a_fitted_row_is_exactly_as_wide(cells: list[tuple[str, str]], width: int) -> None:
    row = fit(tuple(cells), width)
    assert length(row) == width


@given(st.text(st.sampled_from("ab漢字c"), max_size=12), st.integers(0, 20), st.integers(0, 10))
def test_a_part_of_a_row_is_exactly_as_wide(content: str, start: int, size: int) -> None:
    assert length(part(((content, "text"),), start, start + size)) == size


def test_cut_says_that_something_is_missing() -> None:
    assert cut("libnvinfer.so.10", 10) == "libnvinfe…"
    assert cut("short", 10) == "short"


def test_spread_keeps_the_right_side() -> None:
    assert text(spread((("a long left side", "text"),), (("right", "text"),), 14)) == "a long…  right"


def test_wrap_breaks_at_blanks_and_cuts_what_has_none() -> None:
    assert wrap("one two three", 7) == ["one two", "three"]
    assert wrap("abcdefghij", 4) == ["abcd", "efgh", "ij"]


def test_a_number_is_not_broken_where_its_digits_are_grouped() -> None:
    assert wrap("reaches 1 095/s", 10) == ["reaches", "1 095/s"]
    assert wrap("in 12 3456 ways", 9) == ["in 12", "3456 ways"]
    assert wrap("  ", 9) == []


@pytest.mark.parametrize("glyphs", [BRAILLE, ASCII])
def test_a_box_is_exactly_its_size(glyphs: Glyphs) -> None:
    drawn = box(
        (("a title that is longer than the box", "title"),),
        (("right", "dim"),),
        [(("x" * 50, "text"),)],
        20,
        5,
        glyphs,
    )
    assert [length(row) for row in drawn] == [20] * 5
    assert length(rule((("t", "title"),), (("r", "dim"),), 30, glyphs)) == 30


def test_a_heading_is_cut_before_what_stands_at_its_right_is_lost() -> None:
    row = text(
        rule(
            (("latency, ms  before: onnxruntime-cuda@old", "title"),),
            (("n 4 115 · A steady", "dim"),),
            50,
            BRAILLE,
        )
    )
    assert row.endswith("─ n 4 115 · A steady ─")
    assert row.startswith("─ latency, ms  before: onn…")


def test_a_block_is_laid_over_rows() -> None:
    rows = [(("abcdef", "text"),), (("漢字漢", "text"),)]
    over = [(("XY", "dim"),), (("Z", "dim"),)]
    assert [text(row) for row in lay(rows, 1, 0, over, 6)] == ["aXYdef", " Z字漢"]


def test_ascii_has_a_glyph_as_wide_for_everything_drawn() -> None:
    drawn = "·–…µ×≥±→▲●◌■▶‖✕✓░▒▓█─│┊╭╮╰╯└›"
    plain = ASCII.plain(drawn)
    assert plain.isascii()
    assert "?" not in plain
    assert len(plain) == len(drawn)
    assert ASCII.plain("漢") == "??"


# -- graphs


def test_a_graph_fills_from_the_right_on_a_fixed_scale() -> None:
    rows = [text(r) for r in graph(array(50, 100), 4, 2, 100.0, BRAILLE)]
    assert rows == ["   ⣿", "  ⣿⣿"]


def test_a_graph_of_one_row_has_eighths() -> None:
    assert text(graph(array(0, 12.5, 50, 100), 5, 1, 100.0, BRAILLE)[0]) == "  ▁▄█"


def test_what_is_above_zero_is_at_least_a_dot_and_what_is_unknown_is_nothing() -> None:
    assert text(graph(array(NAN, 0.0, 0.001), 3, 2, 100.0, BRAILLE)[1]) == "  ⣀"


def test_dots_stand_above_their_bar_and_a_spike_is_marked() -> None:
    rows = graph(array(25, 25), 2, 2, 100.0, BRAILLE, dots=array(75, 400))
    assert text(rows[0]) == "⠤▲"
    assert rows[0][0][1] == "two"
    assert text(rows[1]) == "⣤⣤"


def test_a_dot_inside_the_cell_of_its_bar_leaves_the_bar_its_colour() -> None:
    rows = graph(array(25), 1, 1, 100.0, BRAILLE, dots=array(50))
    assert rows[0] == (("⣤", "one"),)


def test_a_change_of_configuration_leaves_a_mark_in_every_graph() -> None:
    run = np.array([1, 1, 2, 2])
    assert changes(run) == [2]
    for glyphs, mark in ((BRAILLE, "┊"), (ASCII, ":")):
        rows = graph(array(50, 50, NAN, 50), 6, 3, 100.0, glyphs, marks=changes(run))
        assert [text(row)[4] for row in rows] == [mark] * 3


def test_a_mark_shows_in_a_filled_column_too_and_hides_nothing() -> None:
    """A graph of one row has no empty cell: there its column alone says that another configuration began."""
    for height in (1, 3):
        rows = graph(array(100, 100, 100), 3, height, 100.0, BRAILLE, marks=[1])
        plain = graph(array(100, 100, 100), 3, height, 100.0, BRAILLE)
        assert [text(row) for row in rows] == [text(row) for row in plain]
        assert [[look for _, look in row] for row in rows] == [["one", "marked", "one"]] * height
    dotted = graph(array(25, 25), 2, 2, 100.0, BRAILLE, dots=array(75, 75), marks=[1])
    assert dotted[0][1] == ("⠤", "marked")


def test_marks_that_have_scrolled_out_are_gone() -> None:
    rows = graph(array(NAN, NAN, NAN, NAN), 2, 1, 1.0, BRAILLE, marks=[0, 3])
    assert text(rows[0]) == " ┊"


@given(
    st.lists(st.floats(0, 1e12) | st.just(NAN), max_size=40),
    st.integers(1, 30),
    st.integers(1, 6),
    st.sampled_from([BRAILLE, ASCII]),
)
def test_a_graph_is_exactly_its_size(values: list[float], width: int, height: int, glyphs: Glyphs) -> None:
    rows = graph(array(*values), width, height, 1e6, glyphs, dots=array(*values))
    assert [length(row) for row in rows] == [width] * height
    if glyphs.ascii:
        assert all(text(row).isascii() for row in rows)


def test_the_axis_below_names_what_began() -> None:
    row = text(seconds_axis(60, [(20, "torch")], BRAILLE))
    assert len(row) == 60
    assert row[20:26] == "┊torch"
    assert row.endswith(" now")
    assert "30 s" in row


def test_a_mark_at_the_right_edge_has_its_name_at_its_left() -> None:
    """The newest configuration is never nameless, and the name before it is not read as the present one's."""
    row = text(seconds_axis(60, [(20, "torch"), (57, "ort-cuda, batch 8")], BRAILLE))
    assert row[57] == "┊"
    assert row[:57].endswith("ort-cuda, batch 8")
    assert row[20:26] == "┊torch"


def test_a_name_is_cut_only_where_neither_side_has_room() -> None:
    name = "infertop.tests.models:large_input, fp16, pinned-ready"
    assert f"┊{name}" in text(seconds_axis(120, [(20, name)], BRAILLE))
    row = text(seconds_axis(40, [(4, "torch"), (22, name)], BRAILLE))
    assert row[22:39].startswith("┊infertop.tests")
    assert "…" in row
    assert row[4:10] == "┊torch"


def test_no_name_runs_over_another_mark() -> None:
    row = text(seconds_axis(30, [(20, "torch, batch 8"), (25, "compile"), (28, "ort-cuda")], BRAILLE))
    assert [row[x] for x in (20, 25, 28)] == ["┊"] * 3


def test_a_latency_axis_has_round_ticks_with_their_unit() -> None:
    found = ticks(Scale(8e6), 10)
    assert {row: numbers.tick(value) for row, value in found.items()} == {0: "8ms", 5: "4ms", 10: "0"}
    found = ticks(Scale(20e6, 10e3, log=True), 12)
    assert [numbers.tick(found[row]) for row in sorted(found)] == ["20ms", "1ms", "100µs", "10µs"]
    assert numbers.tick(1.5e6) == "1.5ms"
    assert numbers.tick(1e6) == "1ms"
    assert numbers.tick(924e3) == "924µs"


@pytest.mark.parametrize(
    ("value", "whole", "unit", "shown"),
    [
        (5.3e9, 52.3e9, "B/s", "5.3 of 52.3 GB/s"),
        (1.1e8, 52.3e9, "B/s", "0.11 of 52.3 GB/s"),
        (2e5, 52.3e9, "B/s", "<0.01 of 52.3 GB/s"),
        (0.0, 85.5e9, "B", "0 of 85.5 GB"),
        (361.2, 700.0, "W", "361 of 700 W"),
        (None, 700.0, "W", "– of 700 W"),
    ],
)
def test_a_reading_beside_its_ceiling_is_in_the_ceilings_unit(
    value: float | None, whole: float, unit: str, shown: str
) -> None:
    assert part_of(value, whole, unit) == shown


def test_axes_step_and_stand_still() -> None:
    assert step_up(3.1e6) == 4e6
    assert step_up(4e6) == 4e6
    assert step_down(3.58e6) == 3.55e6
    top = next_top(None, 3.1e6)
    assert next_top(top, 3.9e6) == top
    assert next_top(top, 2.1e6) == top, "a little less is no reason to move"
    assert next_top(top, 4.1e6) == 5e6
    assert next_top(top, 1.0e6) == 1e6
    assert next_top(top, NAN) == top


def test_one_rare_spike_does_not_flatten_the_rest() -> None:
    assert spike_limit([4.0] * 50 + [100.0]) == 4.0
    assert spike_limit([4.0] * 50 + [12.0]) == 12.0


def test_an_axis_is_logarithmic_where_values_lie_decades_apart_and_keeps_to_it() -> None:
    assert next_scale(None, 3e6, 5e6) == Scale(5e6)
    wide = next_scale(None, 60e3, 16e6)
    assert wide == Scale(20e6, 10e3, log=True)
    assert wide.share(array(10e3, 20e6, NAN)).tolist()[:2] == [0.0, 1.0]
    assert wide.share(array(60e3))[0] == pytest.approx(0.2, abs=0.05), "a bar has a body"
    assert wide.at(0.5) == pytest.approx((10e3 * 20e6) ** 0.5)
    assert next_scale(wide, 60e3, 600e3).log, "ten times is no reason to go back"
    assert not next_scale(None, 60e3, 600e3).log
    assert not next_scale(wide, 60e3, 300e3).log


# -- meter, heat, curve, stages


def test_a_meter_is_exactly_as_wide_and_shows_the_share() -> None:
    assert text(meter(50, 100, 8, BRAILLE)) == "████····"
    assert text(meter(50, 100, 8, ASCII)) == "####...."
    assert text(meter(0.1, 100, 8, BRAILLE))[0] != "·"
    assert text(meter(None, 100, 8, BRAILLE)) == "········"
    assert text(meter(400, 100, 4, BRAILLE)) == "████"


def test_heat_shows_one_slow_request_among_many() -> None:
    counts = np.zeros((3, 4))
    counts[:, 0] = 10_000
    counts[1, 3] = 1
    rows = heat(counts, 4, 4, BRAILLE)
    assert [text(row) for row in rows] == ["  ░ ", "    ", "    ", " ███"]


def test_heat_has_the_mark_of_a_change_in_every_row() -> None:
    counts = np.zeros((4, 2))
    counts[[0, 2, 3], 0] = 5
    rows = heat(counts, 5, 2, BRAILLE, marks=[1, 2])
    assert [text(row) for row in rows] == ["  ┊┊ ", " █┊██"]
    assert ("█", "marked") in rows[1]


def test_each_core_has_a_bar_and_of_many_the_busiest_of_a_group_is_seen() -> None:
    assert columns([0, 50, 100, None], 100.0, 10, BRAILLE) == "▁▅█·"
    assert columns([0] * 7 + [100], 100.0, 4, BRAILLE) == "▁▁▁█"
    assert columns([0, 100], 100.0, 10, ASCII) == "_#"


def test_heat_of_a_second_without_requests_is_empty() -> None:
    assert text(heat(np.zeros((2, 4)), 3, 2, ASCII)[0]) == "   "


def test_the_curve_gives_each_decade_of_the_tail_the_same_room() -> None:
    points = [(0.0, 0.25), (0.9, 0.25), (0.99, 0.5), (0.999, 1.0)]
    assert decades(points) == pytest.approx(3.0)
    rows = [text(r) for r in curve([(points, "one")], 31, 5, 3.0, ASCII)]
    assert rows[0].rstrip()[-1] == "*"
    assert len(rows[0].rstrip()) == 31
    assert rows[3][:10] == "*" * 10, "the first decade is flat"
    axis = text(quantile_axis(31, 3.0))
    assert axis.startswith("p0")
    assert axis.index("p90") == 9
    assert axis.rstrip().endswith("p99.9")


def test_of_two_curves_the_later_is_in_front() -> None:
    flat = [(0.0, 0.5), (0.9, 0.5)]
    rows = curve([(flat, "dim"), (flat, "one")], 10, 3, 1.0, BRAILLE)
    assert "dim" not in {style for row in rows for _, style in row}


@given(st.lists(st.floats(0, 1e9), min_size=5, max_size=5), st.integers(6, 90))
def test_the_stage_bar_is_exactly_as_wide(values: list[float], width: int) -> None:
    stages = dict(zip(("host", "h2d", "compute", "d2h", "gap"), values, strict=True))
    assert length(bar(parts(stages, BRAILLE), width)) == width


def test_stages_tell_apart_without_colour_and_enqueue_is_no_part() -> None:
    stages = {"host": 1e6, "h2d": 2e6, "compute": 5e6, "d2h": 1e6, "gap": 1e6, "enqueue": 4e6}
    found = parts(stages, BRAILLE)
    assert [p.name for p in found] == ["host", "h2d", "compute", "d2h", "gap"]
    assert len({p.texture for p in found}) == 5
    assert text(bar(found, 10)) == "▒▓▓█████░╌"
    assert text(legend(found, numbers.MILLISECONDS)[2]) == "█ compute 5.00 50%"


def test_a_stage_that_takes_any_time_is_seen() -> None:
    assert text(bar(parts({"compute": 1e9, "gap": 1.0}, BRAILLE), 10)) == "█████████╌"


# -- tables and events


def test_a_table_leaves_out_its_last_columns_first() -> None:
    columns = [Column("#"), Column("backend", right=False, flexible=True), Column("p50"), Column("n")]
    rows: list[list[str | tuple[str, str]]] = [["1", "onnxruntime-cpu", ("3.58", "strong"), "8 230"]]
    assert text(table(columns, rows, 60)[1]) == "1  onnxruntime-cpu  3.58  8 230"
    assert text(table(columns, rows, 24)[1]) == "1  onnxrun…  3.58  8 230"
    assert text(table(columns, rows, 19)[1]).rstrip() == "1  onnxrun…  3.58"


def test_events_show_the_newest_and_mark_the_bad() -> None:
    entries = [(i * 10**9, "info", f"event {i}") for i in range(5)] + [(9 * 10**9, "error", "killed\x1b[2J")]
    shown = lines(entries, 40, 2, BRAILLE)
    assert "event 4" in text(shown[0])
    assert "✕ killed[2J" in text(shown[1])
    row = text(ticker(entries, 60, BRAILLE))
    assert row.index("killed") < row.index("event 4")
    assert "event 0" not in row


def test_an_event_in_full_goes_on_in_rows_of_its_own() -> None:
    rows = whole((0, "error", "the worker hangs while measuring: for 60 s it computed nothing"), 40, BRAILLE)
    assert [text(row)[9:] for row in rows] == [
        "✕ the worker hangs while",
        "measuring: for 60 s it computed",
        "nothing",
    ]
    assert all(not text(row)[:9].strip() for row in rows[1:])
