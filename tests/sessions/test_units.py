"""Units: what people type and what they read."""

from __future__ import annotations

import pytest
from infertop.backends.errors import MeasureError
from infertop.sessions import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("500ms", 0.5), ("2m", 120), ("10min", 600), ("1h30m", 5400), ("1.5s", 1.5), ("250us", 250e-6), ("3µs", 3e-6), ("7ns", 7e-9)],
)  # fmt: skip
def test_durations_have_units(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["10", "1.5", "-3"])
def test_a_duration_without_a_unit_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(MeasureError, match="has no unit") as caught:
        units.parse_duration(text, "--duration")
    assert caught.value.kind == "usage"
    assert f"{text.lstrip('-')}s" in caught.value.fix


@pytest.mark.parametrize("text", ["", "s", "10 s", "10x", "1h30", "-5s", "nans", "10s5"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(MeasureError) as caught:
        units.parse_duration(text)
    assert caught.value.kind == "usage"


def test_counts_are_whole_and_positive() -> None:
    assert units.parse_counts("1, 8,32") == [1, 8, 32]
    for bad in ("0", "-1", "1.5", "eight", "", "1,,2", "²"):
        with pytest.raises(MeasureError):
            units.parse_counts(bad)


def test_rates_take_their_unit_or_none() -> None:
    assert (
        units.parse_rate("1000/s") == units.parse_rate("1000 samples/s") == units.parse_rate("1000") == 1000
    )
    with pytest.raises(MeasureError):
        units.parse_rate("1000/min")


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.5812, "3.58"), (0.041234, "0.0412"), (35.81, "35.8"), (12345.6, "12 346"), (9.996, "10.0"), (99.96, "100"),
     (0.0, "0"), (None, "–"), (float("nan"), "–"), (float("inf"), "–"), (-0.5, "-0.500")],
)  # fmt: skip
def test_values_show_significant_digits_and_never_exponents(value: float | None, text: str) -> None:
    assert units.significant(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250 ms"), (9.5, "9.5 s"), (59.96, "1 min 00 s"), (192, "3 min 12 s"), (3599.7, "1 h 00 min"), (3900, "1 h 05 min"), (None, "–")],
)  # fmt: skip
def test_durations_read_as_people_say_them(seconds: float | None, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(512, "512 B"), (1234, "1.2 kB"), (1.25e6, "1.2 MB"), (999_900_000, "1.0 GB"), (None, "–")],
)
def test_sizes_are_decimal(value: float | None, text: str) -> None:
    assert units.size(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.094, "+9 %"), (-0.013, "−1 %"), (-0.004, "0 %"), (0.004, "0 %"), (1.004, "+100 %")]
)
def test_a_change_has_its_sign_and_nothing_has_none(share: float, text: str) -> None:
    assert units.change(share) == text


@pytest.mark.parametrize(
    ("value", "shown"), [(-1.1, "−1.1"), (0.0412, "+0.0412"), (-1070.4, "−1 070"), (999.7, "+1 000")]
)
def test_a_difference_has_its_sign_and_never_an_exponent(value: float, shown: str) -> None:
    assert units.signed(value) == shown
