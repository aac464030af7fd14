"""What `--dry-run` says: how many runs, in which order, and how long."""

from __future__ import annotations

from infertop.backends.configuration import Configuration
from infertop.sessions.expected import Expected, Taken
from infertop.sessions.plan import Choice, Plan, combine, make_tasks
from infertop.sessions.preview import preview


def _configurations(model: str = "smallcnn") -> tuple[Configuration, ...]:
    return combine(model, [Choice("onnxruntime-cpu"), Choice("torch-eager")], ["fp32"], [1, 8, 32])


def test_it_says_how_many_in_which_order_and_how_long() -> None:
    configurations = _configurations()
    tasks = make_tasks(configurations, repeats=2, seed=0, warmup="5s", duration_s=10)
    lines = preview(Plan(configurations, tasks)).splitlines()
    assert lines[0] == "12 runs of 6 configurations of smallcnn"
    assert lines[1] == "time: at least 3 min 00 s, and loading"
    assert len(lines) == 14
    first = tasks[0].configuration
    assert (
        lines[2]
        == f" 1  ≥ 15 s  {first.backend} · fp32 · batch {first.batch} · pageable · closed:1 · repeat 1"
    )
    assert lines[13].endswith("repeat 2")


def test_a_warm_up_that_ends_by_itself_makes_a_range() -> None:
    configurations = _configurations()
    text = preview(Plan(configurations, make_tasks(configurations)))
    assert "time: 1 min 18 s to about 7 min 00 s, as warm-up takes, and loading" in text
    assert "repeat" not in text


def test_counted_requests_take_nobody_knows_how_long() -> None:
    configurations = _configurations()[:1]
    text = preview(Plan(configurations, make_tasks(configurations, duration_s=None, requests=500)))
    assert text.splitlines() == [
        "1 run of 1 configuration of smallcnn",
        "time: unknown (500 requests a run), and loading",
        "1  –  onnxruntime-cpu · fp32 · batch 1 · pageable · closed:1",
    ]


def test_what_earlier_sessions_took_is_counted_in() -> None:
    configurations = _configurations()
    plan = Plan(configurations, make_tasks(configurations, duration_s=10))
    expected = Expected()
    expected.learn(configurations[0], Taken(load=2.0, warmup=6.0, rate=100.0))
    # Loading and warm-up of a backend are alike at every batch; torch is not known yet.
    text = preview(plan, expected)
    assert text.count("  18 s  onnxruntime-cpu") == 3
    assert text.count("≥ 13 s  torch-eager") == 3
    assert "time: at least 1 min 33 s; loading is known of 3 of 6 runs" in text
    expected.learn(configurations[3], Taken(load=20.0, warmup=1.0, rate=None))
    assert "time: about 2 min 33 s, loading included" in preview(plan, expected)


def test_a_known_rate_tells_how_long_requests_take() -> None:
    (configuration,) = configurations = _configurations()[:1]
    plan = Plan(configurations, make_tasks(configurations, duration_s=None, requests=500, warmup="100x"))
    expected = Expected()
    expected.learn(configuration, Taken(load=1.0, warmup=None, rate=50.0))
    assert "time: about 13 s" in preview(plan, expected)


def test_the_search_for_a_rate_is_no_part_of_the_time_until_one_was_timed() -> None:
    searching, plain = combine(
        "smallcnn", [Choice("onnxruntime-cpu")], ["fp32"], loads=["open:auto", "closed:1"]
    )
    plan = Plan((searching,), make_tasks([searching]))
    assert preview(plan).splitlines()[1] == "time: at least 13 s, and loading and the search for the rate"
    expected = Expected()
    expected.learn(plain, Taken(load=2.0, warmup=4.0, rate=100.0))
    assert "≥ 16 s" in preview(plan, expected)
    expected.learn(searching, Taken(load=2.0, warmup=40.0, rate=80.0))
    assert "time: about 52 s" in preview(plan, expected)
    assert "time: about 16 s" in preview(Plan((plain,), make_tasks([plain])), expected), "not its warm-up"


def test_models_are_named_where_there_are_several() -> None:
    configurations = (*_configurations(), *_configurations("resnet18"))
    lines = preview(Plan(configurations, make_tasks(configurations))).splitlines()
    assert lines[0] == "12 runs of 12 configurations of smallcnn, resnet18"
    assert sum("resnet18 · torch-eager" in line for line in lines) == 3


def test_what_is_measured_already_takes_no_time() -> None:
    configurations = _configurations()
    plan = Plan(configurations, make_tasks(configurations, warmup="5s", duration_s=10))
    lines = preview(plan, done=4).splitlines()
    assert lines[1:3] == ["measured already: 4 of 6", "time: at least 30 s, and loading"]
    assert [line.split()[1] for line in lines[3:]] == ["measured"] * 4 + ["≥"] * 2
    assert "time:" not in preview(plan, done=6)
