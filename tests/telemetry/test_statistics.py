"""Intervals hold what they promise on distributions whose quantiles are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from infertop.docs.statistics import Case, covered
from infertop.telemetry.buckets import index_of
from infertop.telemetry.histogram import Histogram
from infertop.telemetry.statistics import (
    MIN_BLOCKS,
    MIN_OUTSIDE,
    quantile_interval,
    rank_interval,
    rate_interval,
    repeat_interval,
    run_intervals,
    student_t,
)


def histogram(values: np.ndarray) -> Histogram:
    made = Histogram()
    made.record(values.astype(np.int64))
    return made


def binomial_cdf(k: int, n: int, p: float) -> float:
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@pytest.mark.parametrize(("q", "enough"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688)])
def test_the_smallest_sample_that_has_both_ends(q: float, enough: int) -> None:
    assert None not in rank_interval(enough, q)
    assert None in rank_interval(enough - 1, q)


def test_too_few_for_the_upper_end_still_have_a_lower_one() -> None:
    low, high = rank_interval(300, 0.99)
    assert high is None
    assert low is not None
    assert rank_interval(1, 0.5) == (None, None)
    assert rank_interval(0, 0.5) == (None, None)


def whole(n: int, q: float) -> tuple[int, int]:
    """The whole ranks around the interval."""
    low, high = rank_interval(n, q)
    assert low is not None
    assert high is not None
    return math.floor(low), math.ceil(high)


def test_published_ranks() -> None:
    assert whole(1000, 0.5) == (469, 532)
    assert whole(10_000, 0.5) == (4902, 5099)


@pytest.mark.parametrize("n", [6, 20, 100, 501])
@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_ranks_lie_between_those_that_hold_too_often_and_too_seldom(n: int, q: float) -> None:
    low, high = rank_interval(n, q)
    if low is None or high is None:
        return
    below, above = math.floor(low), math.ceil(high)
    assert binomial_cdf(below - 1, n, q) <= 0.025 < binomial_cdf(below, n, q)
    assert binomial_cdf(above - 2, n, q) < 0.975 <= binomial_cdf(above - 1, n, q)


def test_one_end_alone_has_all_of_the_error() -> None:
    low, high = rank_interval(20, 0.9)
    assert high is None
    assert low is not None
    assert binomial_cdf(math.floor(low) - 1, 20, 0.9) <= 0.05 < binomial_cdf(math.floor(low), 20, 0.9)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_the_approximation_for_many_meets_the_exact_ranks(q: float, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = rank_interval(99_999, q)
    monkeypatch.setattr("infertop.telemetry.statistics._EXACT_BELOW", 10)
    rough = rank_interval.__wrapped__(99_999, q)
    for a, b in zip(exact, rough, strict=True):
        assert a is not None
        assert b is not None
        assert abs(a - b) <= 1


@pytest.mark.parametrize("q", [0.0, 1.0, -0.5])
def test_quantiles_outside_are_refused(q: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        rank_interval(10, q)


@pytest.mark.parametrize(("seconds", "rate"), [(10, 100), (10, 300), (30, 50)])
def test_what_a_run_prints_covers_the_truth_95_times_in_100(seconds: int, rate: int) -> None:
    """10,000 runs of independent requests through what a run's intervals are made by, percentiles and throughput."""
    found = covered(Case(seconds, rate), 10_000)
    one_ended = {"p99_9"}  # too few requests: a bound from below, which holds at least so often
    assert {
        name: share for name, share in found.items() if not 0.94 <= share <= 0.96 and name not in one_ended
    } == {}
    assert found["p99_9"] >= 0.94


def test_runs_whose_requests_are_correlated_are_covered_by_their_seconds_and_not_by_ranks() -> None:
    case = Case(10, 200, rho=0.9)
    printed, ranks = covered(case, 1000), covered(case, 1000, naive=True)
    assert min(printed[name] for name in ("p50", "p90", "p95", "p99", "throughput")) > 0.9
    assert max(ranks[name] for name in ("p50", "p90", "p95", "p99")) < 0.8


def test_the_interval_in_ns_covers_the_true_quantile() -> None:
    generator = np.random.default_rng(3)
    truth = math.exp(13 + 0.3 * 1.2815515655446004)  # p90 of the lognormal below
    runs = 400
    inside = 0
    for values in generator.lognormal(13, 0.3, (runs, 1500)):
        low, high = quantile_interval(histogram(values), 0.9)
        assert low is not None
        assert high is not None
        inside += low <= truth <= high
    assert inside / runs >= 0.92  # 95 % less three standard errors of 400 runs


def test_the_value_lies_in_its_interval() -> None:
    made = histogram(np.random.default_rng(1).lognormal(15, 1, 5000))
    for q in (0.5, 0.9, 0.99):
        low, high = quantile_interval(made, q)
        assert low is not None
        assert high is not None
        assert low <= made.quantile(q) <= high
    assert quantile_interval(histogram(np.arange(1, 300)), 0.99)[1] is None
    assert quantile_interval(Histogram(), 0.5) == (None, None)


def seconds(generator: np.random.Generator, count: int, drift: float) -> list[Histogram]:
    """Seconds of 200 requests around 1 ms; `drift` is how much the seconds' own level moves."""
    levels = generator.normal(1_000_000, drift, count)
    return [histogram(generator.normal(level, 20_000, 200)) for level in levels]


def together(made: list[Histogram]) -> Histogram:
    return Histogram.of([second.compact() for second in made])


def test_the_interval_over_seconds_contains_the_quantile_however_the_seconds_are_kept() -> None:
    made = seconds(np.random.default_rng(1), 60, 30_000)
    method, found = run_intervals(made, (0.5, 0.9, 0.99))
    assert (method, found) == run_intervals([second.compact() for second in made], (0.5, 0.9, 0.99))
    for q, (low, high) in found.items():
        assert low is not None
        assert high is not None
        assert low <= together(made).quantile(q) <= high


def test_seconds_that_differ_widen_the_interval_as_their_spread_says() -> None:
    """Seconds of one value each: half of them are below the median, whatever they are, and t · s ÷ √B is known."""
    levels = np.arange(1, 17) * 1_000_000
    made = [histogram(np.full(50, level)) for level in levels]
    half = student_t(0.95, 15) * math.sqrt(0.25 * 16 / 15 / 16)  # a share of 0 or 1 in each of 16 seconds
    _, found = run_intervals(made, (0.5,))
    low, high = found[0.5]
    assert low is not None
    assert high is not None
    for end, rank in ((low, 800 * (0.5 - half) + 0.5), (high, 800 * (0.5 + half) + 0.5)):
        assert end == pytest.approx(levels[math.ceil(rank / 50) - 1], rel=2e-3)
    inner_low, inner_high = quantile_interval(together(made), 0.5)
    assert inner_low is not None
    assert inner_high is not None
    assert high - low > 3 * (inner_high - inner_low)


def test_seconds_of_which_the_last_is_a_fragment_weigh_what_they_hold() -> None:
    generator = np.random.default_rng(3)
    made = [histogram(generator.normal(1_000_000, 20_000, 200)) for _ in range(12)]
    odd = [*made, histogram(np.full(3, 5_000_000))]
    low, high = run_intervals(made, (0.5,))[1][0.5]
    odd_low, odd_high = run_intervals(odd, (0.5,))[1][0.5]
    assert low is not None
    assert high is not None
    assert odd_low == pytest.approx(low, rel=0.01)
    assert odd_high == pytest.approx(high, rel=0.01)


def test_identical_seconds_give_the_bucket_of_the_value() -> None:
    made = [histogram(np.full(100, 1_000_000)) for _ in range(20)]
    low, high = run_intervals(made, (0.5,))[1][0.5]
    assert low is not None
    assert high is not None
    assert low <= 1_000_000 <= high
    assert index_of(np.array([low]))[0] == index_of(np.array([high]))[0]


def test_the_method_says_what_each_interval_comes_from() -> None:
    made = seconds(np.random.default_rng(1), MIN_BLOCKS, 0)  # 1,000 requests
    method, found = run_intervals([*made, Histogram()], (0.5, 0.99, 0.999))
    assert method == f"t interval over {MIN_BLOCKS} seconds (Woodruff); order statistics for p99.9"
    assert MIN_OUTSIDE == 1000 * 0.01
    assert found[0.999] == quantile_interval(together(made), 0.999)
    assert found[0.99] != quantile_interval(together(made), 0.99)
    method, found = run_intervals(made[:-1], (0.5, 0.99))
    assert method == "order statistics within this run"
    assert found == {q: quantile_interval(together(made[:-1]), q) for q in (0.5, 0.99)}
    assert run_intervals([], (0.5,))[1] == {0.5: (None, None)}


def test_a_rate_is_its_blocks_sum_and_its_interval_their_spread() -> None:
    low, high = rate_interval([10, 20, 30, 5], [1.0, 1.0, 1.0, 0.5])
    rates, sizes = np.array([10, 20, 30, 10.0]), np.array([1, 1, 1, 0.5])
    mean = 65 / 3.5
    half = student_t(0.95, 3) * math.sqrt(float((sizes * (rates - mean) ** 2).sum()) / 3 / 3.5)
    assert (low, high) == pytest.approx((max(mean - half, 0), mean + half))
    assert rate_interval([7, 7], [1.0, 1.0]) == (7.0, 7.0)
    for samples, durations in (([1, 2], [1.0]), ([1], [1.0])):
        with pytest.raises(ValueError, match="as many durations"):
            rate_interval(samples, durations)


@pytest.mark.parametrize(
    ("degrees", "t95", "t99"),
    [
        (1, 12.7062, 63.6567),
        (2, 4.3027, 9.9248),
        (3, 3.1824, 5.8409),
        (4, 2.7764, 4.6041),
        (9, 2.2622, 3.2498),
        (29, 2.0452, 2.7564),
        (100, 1.9840, 2.6259),
    ],
)
def test_t_quantiles_are_those_of_the_tables(degrees: int, t95: float, t99: float) -> None:
    assert student_t(0.95, degrees) == pytest.approx(t95, abs=6e-5)
    assert student_t(0.99, degrees) == pytest.approx(t99, abs=6e-5)


def test_repeats_cover_their_mean() -> None:
    draws = np.random.default_rng(9).normal(10.0, 2.0, (4000, 5))
    means, deviations = draws.mean(axis=1), draws.std(axis=1, ddof=1)
    half = student_t(0.95, 4) * deviations / math.sqrt(5)
    assert 0.94 <= float(np.mean(np.abs(means - 10.0) <= half)) <= 0.96
    low, high = repeat_interval([float(v) for v in draws[0]])
    assert (low, high) == pytest.approx((means[0] - half[0], means[0] + half[0]))
    assert repeat_interval([3.0, 3.0]) == (3.0, 3.0)
    with pytest.raises(ValueError, match="at least two"):
        repeat_interval([1.0])
