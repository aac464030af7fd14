"""`--load open:auto --slo`: the search against queues whose answer is known, its words, and the whole way through an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from infertop.backends.errors import MeasureError
from infertop.sessions import load_words, options
from infertop.sessions.options import Words
from infertop.sessions.records import Run
from infertop.sessions.session import Session
from infertop.sessions.slo import MOST_WINDOWS, PRECISION, WINDOW_REQUESTS, Search
from infertop.tests.sessions import kit

MS = 1e6


def queue(rate: float | None, services: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Response latency and issue delay, ns, of requests that arrive evenly and are served one after another (Lindley)."""
    if rate is None:
        return services, np.zeros(len(services), np.int64)
    gap, wait, delays = 1e9 / rate, 0.0, []
    for service in services:
        delays.append(wait)
        wait = max(0.0, wait + service - gap)
    waits = np.array(delays).astype(np.int64)
    return waits + services, waits


def search(limit_ms: float, service: Callable[[int], np.ndarray]) -> Search:
    found = Search(limit_ms)
    while not found.done:
        found.take(*queue(found.rate, service(found.requests)))
    return found


def test_a_server_of_fixed_speed_holds_up_to_its_capacity() -> None:
    """2 ms each, evenly: no request ever waits below 500/s, and above the queue has no end."""
    found = search(10.0, lambda n: np.full(n, 2 * MS, np.int64))
    assert found.found is not None
    assert 500 * (1 - PRECISION) <= found.found < 500
    assert found.high == pytest.approx(500)
    assert all(window.within and window.sure for window in found.windows)
    assert all(window.requests >= WINDOW_REQUESTS >= 368 for window in found.windows)
    assert found.windows[-1].requests > 4 * WINDOW_REQUESTS, "near saturation windows are longer"


def test_the_rate_found_is_the_one_at_which_p99_crosses_the_limit() -> None:
    """Every tenth request takes 20 ms, the others 2 ms (263/s at most): the queue from one slow one to the next decides."""
    pattern = np.full(10, 2 * MS, np.int64)
    pattern[3] = 20 * MS

    def services(n: int) -> np.ndarray:
        return np.resize(pattern, n)

    limit = 22.5
    found = search(limit, services)
    assert found.found is not None
    assert found.high is not None

    def p99(rate: float) -> float:
        return float(np.sort(queue(rate, services(20_000))[0])[19_799]) / MS

    assert p99(found.found * 0.99) <= limit * 1.001
    assert p99(found.high * 1.01) > limit
    assert found.high - found.found <= PRECISION * found.high


def test_a_window_in_which_the_queue_grows_is_over_though_its_p99_is_not() -> None:
    """Requests grow slower, so that one after another promises more than can be held: 400 of them do not reach the limit yet."""
    found = Search(100.0)
    found.take(*queue(None, np.full(500, 2 * MS, np.int64)))
    assert found.rate == pytest.approx(250)
    found.take(*queue(found.rate, np.full(400, 4.2 * MS, np.int64)))
    assert found.windows[-1].p99_ms < 100
    assert not found.windows[-1].within
    assert found.high == pytest.approx(250)


def test_a_limit_that_no_rate_keeps_is_said_after_one_window() -> None:
    found = search(1.5, lambda n: np.full(n, 2 * MS, np.int64))
    assert (found.found, len(found.windows)) == (None, 1)
    assert "p99 is 2.00 ms even where no request waits" in found.refusal
    assert found.result()["reason"] == found.refusal


@pytest.mark.parametrize("service_ms", [0.05, 0.4, 2.0, 30.0])
def test_windows_are_long_in_time_too(service_ms: float) -> None:
    """What disturbs a machine four times a second is in every window, however fast the requests are."""
    found = search(1e3, lambda n: np.full(n, service_ms * MS, np.int64))
    closed = [w for w in found.windows if w.rate is None][-1]
    assert closed.requests * service_ms >= 900
    tried = [w for w in found.windows if w.rate is not None]
    assert all(w.requests / w.rate >= 0.99 for w in tried if w.rate)
    nearest = max(tried, key=lambda w: w.rate or 0)
    assert nearest.rate
    assert nearest.requests / nearest.rate >= 2, "near capacity"


def test_a_stall_that_short_windows_would_miss_is_found() -> None:
    """0.1 ms a request, and twice a second 20 ms: at any rate three of a hundred arrive in the 15 ms that make them wait longer than 5."""

    def services(rate: float | None, n: int) -> np.ndarray:
        times = np.arange(n) / (rate or 10_000.0) + 0.3
        values = np.full(n, 0.1 * MS)
        values[np.flatnonzero(np.diff(times // 0.5, prepend=0))] += 20 * MS
        return values.astype(np.int64)

    found = Search(5.0)
    while not found.done:
        found.take(*queue(found.rate, services(found.rate, found.requests)))
    assert found.found is None
    assert all(window.sure and not window.within for window in found.windows if window.rate)


def test_a_window_whose_interval_holds_the_limit_is_longer_before_p99_decides() -> None:
    """One request in a hundred is slow: p99 itself lies between fast and slow, whatever n is."""
    random = np.random.default_rng(2)
    found = search(5.0, lambda n: np.where(random.random(n) < 0.01, 9 * MS, 2 * MS).astype(np.int64))
    first = [window for window in found.windows if window.rate is None]
    assert [window.requests for window in first] == [400, 800, 1200, 1600]
    assert not any(window.sure for window in first)
    assert len(found.windows) <= MOST_WINDOWS


@pytest.mark.parametrize(
    ("p99", "interval", "unbounded", "holds", "says"),
    [
        (3.0, [2.9, 3.1], None, True, "stays under 10.0 ms up to"),
        (
            30.0,
            [20.0, 40.0],
            None,
            False,
            "did not keep response p99 under 10.0 ms: in the run at that rate p99 was 30.0 ms",
        ),
        (9.0, [8.0, 12.0], None, None, "its 95 % interval holds the limit"),
        (9.0, [8.0, None], None, None, "of too few requests for an upper bound: measure for longer"),
        (None, None, None, None, "there was no request in the run"),
        (None, None, "latency unbounded: why", False, "the backlog kept growing"),
    ],
)
def test_the_run_at_the_rate_found_has_the_last_word(
    p99: float | None,
    interval: list[float | None] | None,
    unbounded: str | None,
    holds: bool | None,
    says: str,
) -> None:
    searched = search(10.0, lambda n: np.full(n, 2 * MS, np.int64))
    rates = [searched.found]
    while searched.confirm(p99, interval, unbounded):
        rates.append(searched.found)
    found = searched.result()
    assert found["holds"] is holds
    assert says in load_words.slo(found)
    assert set(found) >= {"limit_ms", "rate", "low", "high", "windows", "p99_ms"}
    assert [run["rate"] for run in found["confirmations"]] == rates
    lacking = holds is None and (interval or [None])[-1] is None
    assert len(rates) == (1 if holds or lacking else 4), "three steps down at most"
    assert all(b < a for a, b in pairwise(rates) if a and b)


def test_a_lower_rate_that_holds_is_the_answer_and_says_what_did_not() -> None:
    searched = search(10.0, lambda n: np.full(n, 2 * MS, np.int64))
    first = searched.found
    assert searched.confirm(65.0, [60.0, 70.0], None)
    assert first is not None
    assert searched.found == pytest.approx(first * 0.9)
    assert not searched.confirm(4.0, [3.9, 4.1], None)
    found = searched.result()
    assert (found["holds"], found["p99_ms"], found["high"]) == (True, 4.0, first)
    assert "did not keep it" in load_words.slo(found)


def test_a_rate_that_was_never_tried_is_not_said_to_fail() -> None:
    """2 ms each hold up to 500/s, which is what one after another gives; with slow ones among them rates below that fail."""
    even = search(10.0, lambda n: np.full(n, 2 * MS, np.int64))
    assert not even.confirm(2.0, [2.0, 2.0], None)
    assert "one request after another gives 500.0/s" in load_words.slo(even.result())
    bursts = search(10.0, lambda n: np.where(np.arange(n) % 50 < 5, 8 * MS, 2 * MS).astype(np.int64))
    assert not bursts.confirm(9.0, [8.9, 9.1], None)
    assert bursts.high in [window.rate for window in bursts.windows]
    assert f"it fails from {bursts.high:.1f}/s on" in load_words.slo(bursts.result())


def test_a_search_that_is_stopped_has_found_no_rate_yet() -> None:
    found = Search(10.0)
    for _ in range(3):
        found.take(*queue(found.rate, np.full(found.requests, 2 * MS, np.int64)))
    assert not found.done
    slo = found.result()
    assert (slo["rate"], slo["low"], slo["holds"]) == (None, found.low, None)
    assert found.low > 0
    assert f"the search did not end ({found.low:.1f} requests/s held)" in load_words.slo(slo)


def test_a_run_that_is_stopped_confirms_nothing() -> None:
    searched = search(10.0, lambda n: np.full(n, 2 * MS, np.int64))
    assert searched.result()["holds"] is None
    searched.confirm(65.0, [60.0, 70.0], None)
    assert searched.result()["reason"] == "the run at that rate did not end"


def plan(**words: Any) -> tuple[Any, ...]:
    return options.plan(["smallcnn"], Words(backend="onnxruntime-cpu", **words), lambda python: [])[
        0
    ].configurations


def test_the_limit_belongs_to_the_load_that_searches() -> None:
    closed, auto = plan(load="closed:1,open:auto", slo="10ms")
    assert (closed.options.slo_ms, auto.options.slo_ms, auto.load) == (None, 10.0, "open:auto")
    assert [c.load for c in plan(load="open:200, poisson:50/s,closed:02")] == [
        "open:200/s",
        "poisson:50/s",
        "closed:2",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"load": "open:auto"}, "needs a limit for p99"),
        ({"slo": "10ms"}, "--slo is for --load open:auto"),
        ({"load": "open:auto", "slo": "10"}, "has no unit"),
        ({"load": "open:auto", "slo": "0ms"}, "longer than 0"),
        ({"load": "open:0.05/s", "duration": "10s"}, "in 10 s no request arrives at --load open:0.05/s"),
        ({"load": ""}, "--load: the load '' is not known"),
        ({"load": "opn:5"}, "--load: the load 'opn:5' is not known"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(words: dict[str, str], says: str) -> None:
    with pytest.raises(MeasureError) as caught:
        plan(**words)
    assert caught.value.kind == "usage"
    assert says in caught.value.message
    assert caught.value.fix


def task(slo_ms: float, **more: Any) -> Any:
    made = kit.task(sleep_us=500, requests=400)
    chosen = replace(made.configuration.options, slo_ms=slo_ms)
    return replace(made, configuration=replace(made.configuration, load="open:auto", options=chosen), **more)


def test_the_search_through_engine_and_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that only a queue reaches, and one below what a request takes."""
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])
    measured, said = kit.run(tmp_path, [task(5000.0), task(0.4)])
    found, refused = measured.results
    slo = found["slo"]
    assert found["status"] == "ok"
    assert slo["limit_ms"] == 5000.0
    assert 0 < slo["rate"] < 2000, "no faster than one in 0.5 ms"
    assert slo["rate"] == found["open_loop"]["rate"] == slo["low"] < slo["high"]
    assert found["requests"] == 400, "of the run at the rate found; windows are not among them"
    assert slo["windows"][0]["rate"] is None
    assert slo["confirmations"][-1]["rate"] == slo["rate"]
    assert all(window["requests"] >= 368 for window in slo["windows"])
    assert found["response_ms"] is None or slo["p99_ms"] == pytest.approx(found["response_ms"]["p99"])
    assert any("p99 under 5 000 ms: trying" in progress.text for progress in said)
    assert (refused["status"], refused["error"]["kind"], refused["slo"]["rate"]) == (
        "failed",
        "slo-unreachable",
        None,
    )
    with Session(tmp_path / measured.session) as session:
        notes = [
            run.note for _, run in session.runs if isinstance(run, Run) and run.phase == "warmup" and run.note
        ]
    assert len(notes) >= len({(w["rate"], w["requests"]) for w in slo["windows"]})


def test_a_rate_that_its_run_refutes_is_measured_again_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run is made out to be too slow; what it measured is in no number of the result, live or replayed."""
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])
    confirm, said = Search.confirm, []

    def first_refused(self: Search, *found: Any) -> bool:
        said.append(found)
        return confirm(self, *((6000.0, [5500.0, 6500.0], None) if len(said) == 1 else found))

    monkeypatch.setattr(Search, "confirm", first_refused)
    measured, _ = kit.run(tmp_path, [task(5000.0)])
    (result,) = measured.results
    slo = result["slo"]
    first, second = (run["rate"] for run in slo["confirmations"])
    assert second == pytest.approx(first * 0.9)
    assert slo["rate"] == result["open_loop"]["rate"] == second
    assert (result["status"], result["requests"], result["complete"]) == ("ok", 400, True)
    with Session(tmp_path / measured.session) as session:
        phases = [run.phase for _, run in session.runs if run.phase in ("warmup", "measure")]
        assert "do not keep p99 under 5 000 ms" in " ".join(event.text for _, event in session.events)
        begun = [t for t, run in session.runs if run.phase == "measure"][-1]
        live = session.seek(begun).view().run
    assert phases.index("measure") < len(phases) - 1 - phases[::-1].index("warmup"), "back to the warm-up"
    assert live is not None
    assert live.requests <= 400 / 2, "the first run's 400 are not among them"
