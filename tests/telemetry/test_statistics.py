"""Intervals hold what they promise on distributions whose quantiles are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from infertop.telemetry.histogram import Histogram, index_of
from infertop.telemetry.statistics import (
    MIN_BLOCKS,
    block_bootstrap,
    quantile_interval,
    rank_interval,
    repeat_interval,
    run_intervals,
    student_t,
    throughput_bootstrap,
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


def test_published_ranks() -> None:
    assert rank_interval(1000, 0.5) == (469, 532)
    assert rank_interval(10_000, 0.5) == (4902, 5099)


@pytest.mark.parametrize("n", [6, 20, 100, 501])
@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_ranks_are_binomial_quantiles(n: int, q: float) -> None:
    low, high = rank_interval(n, q)
    if low is not None:
        assert binomial_cdf(low - 1, n, q) < 0.025 <= binomial_cdf(low, n, q)
    if high is not None:
        assert binomial_cdf(high - 2, n, q) < 0.975 <= binomial_cdf(high - 1, n, q)


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


@pytest.mark.parametrize(
    ("q", "n"), [(0.5, 1000), (0.9, 5000), (0.95, 20_000), (0.99, 50_000), (0.999, 200_000)]
)
def test_intervals_of_independent_requests_cover_the_truth_95_times_in_100(q: float, n: int) -> None:
    # Sorted uniform values: the q quantile is q, whatever the distribution, since ranks alone count.
    low, high = rank_interval(n, q)
    assert low is not None
    assert high is not None
    below = np.random.default_rng(7).binomial(n, q, size=40_000)  # values below the true quantile, per run
    covered = float(np.mean((low <= below) & (below < high)))
    assert 0.94 <= covered <= 0.96


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


def test_the_bootstrap_is_repeatable_and_contains_the_quantile() -> None:
    made = seconds(np.random.default_rng(1), 60, 30_000)
    whole = made[0].copy()
    for second in made[1:]:
        whole.add(second)
    first = block_bootstrap(made, (0.5, 0.9, 0.99), seed=5)
    assert first == block_bootstrap([second.compact() for second in made], (0.5, 0.9, 0.99), seed=5)
    assert first != block_bootstrap(made, (0.5, 0.9, 0.99), seed=6)
    for q, (low, high) in first.items():
        assert low is not None
        assert high is not None
        assert low <= whole.quantile(q) <= high


def test_the_bootstrap_sees_that_seconds_differ_where_order_statistics_do_not() -> None:
    made = seconds(np.random.default_rng(2), 60, 100_000)
    whole = made[0].copy()
    for second in made[1:]:
        whole.add(second)
    low, high = block_bootstrap(made, (0.5,), seed=0)[0.5]
    inner_low, inner_high = quantile_interval(whole, 0.5)
    assert low is not None
    assert high is not None
    assert inner_low is not None
    assert inner_high is not None
    assert high - low > 2 * (inner_high - inner_low)


def test_the_bootstrap_covers_the_median_of_drifting_seconds() -> None:
    generator = np.random.default_rng(4)
    runs = 150
    inside = 0
    for run in range(runs):
        low, high = block_bootstrap(seconds(generator, 30, 50_000), (0.5,), seed=run, resamples=300)[0.5]
        assert low is not None
        assert high is not None
        inside += low <= 1_000_000 <= high
    assert 0.87 <= inside / runs <= 1.0  # 30 blocks fall a little short of 95 %


def test_the_bootstrap_of_too_few_has_no_upper_end() -> None:
    made = [histogram(np.arange(1, 30) * 1000) for _ in range(12)]  # 348 requests
    result = block_bootstrap(made, (0.5, 0.99, 0.999), seed=0)
    assert None not in result[0.5]
    assert result[0.99][0] is not None
    assert result[0.99][1] is None
    assert result[0.999][1] is None
    with pytest.raises(ValueError, match="no request"):
        block_bootstrap([Histogram()], (0.5,), seed=0)


def test_identical_seconds_give_the_bucket_of_the_value() -> None:
    made = [histogram(np.full(100, 1_000_000)) for _ in range(20)]
    low, high = block_bootstrap(made, (0.5,), seed=0)[0.5]
    assert low is not None
    assert high is not None
    assert low <= 1_000_000 <= high
    assert index_of(np.array([low]))[0] == index_of(np.array([high]))[0]


def test_the_method_follows_the_number_of_seconds() -> None:
    made = seconds(np.random.default_rng(1), MIN_BLOCKS, 0)
    method, intervals = run_intervals([*made, Histogram()], (0.5,), seed=1)
    assert method == f"block bootstrap over {MIN_BLOCKS} seconds"
    assert intervals == block_bootstrap(made, (0.5,), seed=1)
    method, intervals = run_intervals(made[:-1], (0.5, 0.99), seed=1)
    whole = made[0].copy()
    for second in made[1:-1]:
        whole.add(second)
    assert method.startswith("order statistics")
    assert intervals == {q: quantile_interval(whole, q) for q in (0.5, 0.99)}
    assert run_intervals([], (0.5,), seed=1)[1] == {0.5: (None, None)}


def test_throughput_covers_the_rate() -> None:
    generator = np.random.default_rng(11)
    inside = 0
    for run in range(200):
        counts = [*generator.poisson(500, 39), generator.poisson(250)]
        low, high = throughput_bootstrap(counts, [1.0] * 39 + [0.5], seed=run)
        inside += low <= 500 <= high
    assert 180 <= inside <= 200
    with pytest.raises(ValueError, match="as many durations"):
        throughput_bootstrap([1, 2], [1.0], seed=0)


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
