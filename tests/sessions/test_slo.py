"""`--load open:auto --slo`: the search against queues whose answer is known, its words, and the whole way through an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
from infertop.telemetry.histogram import Histogram
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
    found.take(*queue(None, np.full(400, 2 * MS, np.int64)))
    assert found.rate == pytest.approx(250)
    found.take(*queue(found.rate, np.full(400, 4.2 * MS, np.int64)))
    assert found.windows[-1].p99_ms < 100
    assert not found.windows[-1].within
    assert found.high == pytest.approx(250)


def test_a_limit_that_no_rate_keeps_is_said_after_one_window() -> None:
    found = search(1.5, lambda n: np.full(n, 2 * MS, np.int64))
    assert (found.found, len(found.windows)) == (None, 1)
    assert "p99 is 2.00 ms even where no request waits" in found.refusal
    assert found.result(None, None)["reason"] == found.refusal


def test_a_window_whose_interval_holds_the_limit_is_longer_before_p99_decides() -> None:
    """One request in a hundred is slow: p99 itself lies between fast and slow, whatever n is."""
    random = np.random.default_rng(2)
    found = search(5.0, lambda n: np.where(random.random(n) < 0.01, 9 * MS, 2 * MS).astype(np.int64))
    first = [window for window in found.windows if window.rate is None]
    assert [window.requests for window in first] == [400, 800, 1200, 1600]
    assert not any(window.sure for window in first)
    assert len(found.windows) <= MOST_WINDOWS


def of(values_ms: np.ndarray) -> Histogram:
    histogram = Histogram()
    histogram.record((values_ms * MS).astype(np.int64))
    return histogram


@pytest.mark.parametrize(
    ("values", "unbounded", "holds", "says"),
    [
        (np.full(1000, 3.0), None, True, "stays under 10.0 ms up to"),
        (np.full(1000, 30.0), None, False, "but in the run at that rate p99 was 30.0 ms"),
        (np.where(np.arange(1000) % 100 == 0, 12.0, 3.0), None, None, "its 95 % interval holds the limit"),
        (np.full(1000, 3.0), "latency unbounded: why", False, "the backlog kept growing"),
    ],
)
def test_the_run_at_the_rate_found_has_the_last_word(
    values: np.ndarray, unbounded: str | None, holds: bool | None, says: str
) -> None:
    found = search(10.0, lambda n: np.full(n, 2 * MS, np.int64)).result(of(values), unbounded)
    assert found["holds"] is holds
    assert says in load_words.slo(found)
    assert set(found) >= {"limit_ms", "rate", "low", "high", "windows", "p99_ms"}


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
