"""The observer effect: the plan of its blocks, what a block is, and what its statistics say of effects that are known."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from infertop.backends.errors import MeasureError
from infertop.sessions import observer
from infertop.sessions.observer import ARMS, BLOCK_S, LEAST_TRIPLES, SETTLE_S, SHORTEST_S, Block

MS = 1_000_000


def blocks(
    seed: int, triples: int = 12, effect: float = 0.0, noise: float = 0.004, drift: float = 0.0
) -> list[Block]:
    """Blocks of 1 ms requests: `effect` slows those that are on, each block differs by `noise`, and every triple is slower by `drift`."""
    draw = np.random.default_rng(seed)
    made = []
    for triple in range(triples):
        for arm in ARMS:
            took = (
                MS
                * (1 + effect * (arm == "on"))
                * (1 + drift * triple)
                * (1 + noise * draw.standard_normal())
            )
            made.append(Block(arm, triple, round(2e9 / took), 2.0, took, took * 1.2))
    return made


def test_every_triple_has_each_arm_once_in_an_order_of_its_own() -> None:
    order = observer.schedule(90.0, seed=1)
    assert len(order) * (BLOCK_S + SETTLE_S) <= 90.0
    triples = [[arm for t, arm in order if t == triple] for triple in range(len(order) // 3)]
    assert all(sorted(arms) == sorted(ARMS) for arms in triples)
    assert len(Counter(map(tuple, triples))) > 2, "shuffled"
    assert order == observer.schedule(90.0, seed=1)
    assert order != observer.schedule(90.0, seed=2)


def test_a_time_that_is_too_short_is_refused_with_the_shortest() -> None:
    assert len(observer.schedule(SHORTEST_S, 0)) == 3 * LEAST_TRIPLES
    with pytest.raises(MeasureError, match="too short"):
        observer.schedule(SHORTEST_S - 1, 0)


def test_a_block_is_the_requests_that_lie_within_it() -> None:
    start = np.arange(0, 1000 * MS, MS, dtype=np.int64)
    service = np.full(1000, MS, np.int64)
    service[500] = 3 * MS // 2
    found = observer.cut("on", 3, start, service, 100 * MS, 700 * MS)
    assert found.requests == 600
    assert found.seconds == pytest.approx(0.6)
    assert found.throughput == pytest.approx(1000.0)
    assert found.p50 == MS
    few = observer.cut("on", 3, start, service, 100 * MS, 150 * MS)
    assert few.requests == 50
    assert few.p99 is None, "a hundred requests have one beyond their p99"
    nothing = observer.cut("off", 0, start, service, 5000 * MS, 6000 * MS)
    assert (nothing.requests, nothing.throughput, nothing.p50) == (0, None, None)


def test_an_effect_is_found_with_its_size_and_its_control_is_none() -> None:
    found = observer.outcome(blocks(1, effect=0.05))
    p50 = found["effects"]["p50"]
    assert p50["change"] == pytest.approx(0.05, abs=0.006)
    assert p50["ci95"][0] < 0.05 < p50["ci95"][1]
    assert p50["control_ci95"][0] < 0 < p50["control_ci95"][1]
    assert p50["verdict"] == "exceeded"
    throughput = found["effects"]["throughput"]
    assert throughput["change"] == pytest.approx(-0.048, abs=0.006)
    assert throughput["verdict"] == "exceeded"
    assert throughput["off"] == pytest.approx(1000, rel=0.01), "requests/s"
    assert p50["off"] == pytest.approx(1.0, rel=0.01), "ms"
    assert found["verdict"] == "exceeded"
    assert found["triples"] == 12


def test_what_gets_slower_meanwhile_harms_all_arms_alike() -> None:
    found = observer.outcome(blocks(1, drift=0.02, noise=0.001))
    assert all(effect["verdict"] == "kept" for effect in found["effects"].values())


def test_restless_blocks_prove_nothing_either_way() -> None:
    found = observer.outcome(blocks(4, noise=0.08))
    assert found["effects"]["p50"]["verdict"] == "not shown"
    assert "differ too much" in observer.words(found["effects"]["p50"])


def test_the_interval_holds_what_is_true_as_often_as_it_says() -> None:
    """400 experiments on blocks whose effect is 1 %: the share that holds it lies within three deviations of 95 %."""
    true = 0.01
    held = 0
    for seed in range(400):
        low, high = observer.outcome(blocks(seed, triples=6, effect=true))["effects"]["p50"]["ci95"]
        held += low <= true <= high
    assert 0.95 - 3 * (0.95 * 0.05 / 400) ** 0.5 <= held / 400 <= 0.95 + 3 * (0.95 * 0.05 / 400) ** 0.5


@pytest.mark.parametrize(
    ("worse", "verdict"),
    [
        ((-0.004, 0.006), "kept"),
        ((0.002, 0.006), "kept"),
        ((-0.03, 0.02), "not shown"),
        ((0.002, 0.02), "exceeded"),
        ((0.02, 0.03), "exceeded"),
    ],
)
def test_a_verdict_is_what_the_interval_allows(worse: tuple[float, float], verdict: str) -> None:
    assert observer.judge(worse, 0.01) == verdict


def test_a_gain_is_never_above_the_budget() -> None:
    """Faster with the screen on would be odd, but harms nobody."""
    found = observer.outcome(blocks(1, effect=-0.05))
    assert found["verdict"] == "kept"


def test_a_machine_that_is_busy_otherwise_is_suspected() -> None:
    made = [
        Block(b.arm, b.triple, b.requests, b.seconds, b.p50 * (1.1 if b.arm == "again" else 1.0), b.p99)  # type: ignore[operator]
        for b in blocks(1)
    ]
    found = observer.outcome(made)["effects"]
    assert "something else was going on" in observer.words(found["p50"])
    assert "something else" not in observer.words(found["throughput"])


def test_few_triples_are_unknown_and_say_why() -> None:
    found = observer.outcome(blocks(1, triples=2), "its screen ended")
    assert found["verdict"] == "unknown"
    assert found["effects"]["p50"]["change"] is None
    assert "too few" in observer.words(found["effects"]["p50"])
    assert observer.sentence(found) == "the observer effect is not known: its screen ended"


def test_a_triple_that_was_cut_short_does_not_count() -> None:
    assert observer.outcome(blocks(1)[:-1])["triples"] == 11


def test_slow_requests_have_no_p99_and_the_rest_all_the_same() -> None:
    made = [Block(b.arm, b.triple, 40, 2.0, b.p50, None) for b in blocks(1)]
    found = observer.outcome(made)
    assert found["effects"]["p99"]["verdict"] == "unknown"
    assert "a block needs 100 requests" in observer.words(found["effects"]["p99"])
    assert found["effects"]["p50"]["verdict"] == "kept"
    assert found["verdict"] == "kept"


def test_the_sentence_has_the_numbers() -> None:
    text = observer.sentence(observer.outcome(blocks(1, effect=0.05)))
    assert text.startswith("telemetry and screen change throughput by −4.")
    assert text.endswith(": above the budget")
