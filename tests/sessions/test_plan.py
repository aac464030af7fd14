"""The plan: every combination once, repeats in rounds, an order that the seed decides."""

from __future__ import annotations

from collections import Counter

from infertop.backends.configuration import Configuration
from infertop.sessions.plan import Choice, Task, combine, make_tasks


def _configurations() -> tuple[Configuration, ...]:
    return combine("smallcnn", [Choice("onnxruntime-cpu"), Choice("torch-eager")], ["fp32"], [1, 8, 32])


def test_lists_are_multiplied_the_last_fastest_and_each_combination_is_there_once() -> None:
    found = combine(
        "m.onnx", [Choice("onnxruntime-cpu")], ["native", "fp32"], [1, 8, 1], {"seq": [64, 128], "past": [0]}
    )
    assert [(c.precision, c.batch, c.dims["seq"], c.dims["past"]) for c in found] == [
        (precision, batch, seq, 0)
        for precision in ("native", "fp32")
        for batch in (1, 8)
        for seq in (64, 128)
    ]


def test_an_environment_is_part_of_the_configuration() -> None:
    old, own, plain = combine(
        "smallcnn",
        [Choice("onnxruntime-cpu", environment="old"), Choice("onnxruntime-cpu", environment="onnxruntime-cpu"), Choice("onnxruntime-cpu")],
        ["fp32"],
    )  # fmt: skip
    assert [c.label for c in (old, own, plain)] == [
        "onnxruntime-cpu@old",
        "onnxruntime-cpu",
        "onnxruntime-cpu",
    ]


def test_repeats_are_rounds_and_each_round_holds_every_configuration_once() -> None:
    configurations = _configurations()
    tasks = make_tasks(configurations, repeats=5, seed=3)
    rounds = [tasks[i : i + 6] for i in range(0, 30, 6)]
    for number, tour in enumerate(rounds):
        assert {task.repeat for task in tour} == {number}
        assert Counter(describe(t) for t in tour) == Counter((c.backend, c.batch) for c in configurations)
    orders = {tuple(describe(t) for t in tour) for tour in rounds}
    assert len(orders) > 1, "every round has the same order: it was not shuffled"


def describe(task: Task) -> tuple[str, int | None]:
    return task.configuration.backend, task.configuration.batch


def test_the_seed_decides_the_order_alone() -> None:
    configurations = _configurations()
    assert make_tasks(configurations, repeats=3, seed=1) == make_tasks(configurations, repeats=3, seed=1)
    assert make_tasks(configurations, repeats=3, seed=1) != make_tasks(configurations, repeats=3, seed=2)
