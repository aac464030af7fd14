"""Open, deep and pipelined loads through engine and worker: what results, log and view say of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from infertop.backends.configuration import Configuration
from infertop.sessions import csv_rows, gates, load_words, tables
from infertop.sessions.backlog import Backlog
from infertop.sessions.merging import merge
from infertop.sessions.plan import Task
from infertop.sessions.records import AnyRecord, Event, Run, Tick
from infertop.sessions.results import blank_result
from infertop.sessions.session import Session
from infertop.sessions.view import RunView
from infertop.telemetry.histogram import Histogram
from infertop.tests.sessions import kit

MS = 1_000_000


@pytest.fixture(autouse=True)
def _plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])


def task(load: str, backend: str = "simulated", duration_s: float | None = None, **options: Any) -> Task:
    made = kit.task(backend, **options)
    made = replace(made, configuration=replace(made.configuration, load=load))
    return made if duration_s is None else replace(made, duration_s=duration_s, requests=None)


def run(tmp_path: Path, made: Task) -> tuple[dict[str, Any], list[AnyRecord], RunView]:
    """The result, the log, and the run as a reader of the log sees it at the last tick before its end."""
    measured, _ = kit.run(tmp_path, [made])
    with Session(tmp_path / measured.session) as session:
        records = [record for _, record in session.range(0, session.end + 1)]
        last = [r.t for r in records if isinstance(r, Tick) and r.h and "service" in r.h][-1]
        view = session.seek(last).view().run
    assert view is not None
    assert view.phase == "measure"
    return measured.results[0], records, view


def test_a_stall_is_felt_by_all_who_arrived_meanwhile(tmp_path: Path) -> None:
    """The stall of the design at a quarter of its length: 800/s, 0.5 ms each, 125 ms once in 4,000 requests.

    Everybody who arrives meanwhile waits, 0.75 ms less than the one before at best: p99 of the response is 125 − 40 · 0.75 = 95 ms or,
    where the machine itself is slower, more. Instrumented requests, about one in 20 ms, are kept apart: with ten of them among the slowest
    forty, of which 20 ms hold one, it is the fiftieth.
    """
    made = task("open:800/s", requests=4000, latency_us=500, stall_at=1500, stall_ms=125)
    result, records, view = run(tmp_path, made)
    assert result["status"] == "ok"
    assert result["requests"] == 4000
    assert result["response_ms"]["p99"] >= 125 - 50 * 0.75
    assert result["response_ms"]["max"] >= 123
    assert result["latency_ms"]["p99"] < result["response_ms"]["p99"] / 2
    low, high = result["response_ci95_ms"]["p50"]
    assert low <= result["response_ms"]["p50"] <= high
    loop = result["open_loop"]
    assert (loop["rate"], loop["unserved"], loop["unbounded"]) == (800.0, 0, None)
    assert loop["issue_delay_ms"]["max"] >= 125 - 1000 / 800
    total = Histogram()
    for record in records:
        if isinstance(record, Tick) and record.h and "response" in record.h:
            total.add(Histogram.decode(record.h["response"]))
    assert total.encode() == result["response_hdr"]
    assert view.response is not None
    assert view.response.n == total.n >= 3600
    assert view.response.max == total.max
    assert view.unbounded is None
    assert view.backlog is not None
    text = tables.as_text({"results": [result]})
    assert "response p99 ms" in text
    assert "open:800/s" in text
    assert csv_rows.as_csv({"results": [result]}).splitlines()[0].count("response_p99_low_ms") == 1


def test_a_backlog_that_grows_without_end_has_no_percentiles(tmp_path: Path) -> None:
    result, records, view = run(tmp_path, task("poisson:2000/s", duration_s=4.0, latency_us=1000))
    assert result["status"] == "ok"
    assert result["response_ms"] is result["response_ci95_ms"] is result["response_hdr"] is None
    assert result["latency_ms"]["p99"] is not None, "the service latency is known all the same"
    loop = result["open_loop"]
    assert loop["unbounded"].startswith("latency unbounded: at 2 000 requests/s the backlog kept growing")
    assert loop["unserved"] > 0
    assert view.response is None
    assert view.unbounded
    assert view.backlog is not None
    assert view.backlog > 100
    said = [r for r in records if isinstance(r, Event) and r.kind == "load"]
    assert len(said) == 1
    assert said[0].level == "warn"
    assert [r.unbounded for r in records if isinstance(r, Run) and r.unbounded] == [said[0].text]
    text = tables.as_text({"results": [result]})
    assert "unbounded" in text.splitlines()[1]
    assert loop["unbounded"] in text


@pytest.mark.parametrize(
    ("load", "backend", "says"),
    [
        ("closed:2", "simulated", "closed:2 is not possible: simulated blocks until a request is done"),
        ("pipelined:3", "simulated", "pipelined:3 is not possible: simulated blocks until a request is done"),
        ("closed:17", "simulated-async", "simulated-async holds at most 16 requests in flight"),
    ],
)
def test_what_a_backend_cannot_do_is_unavailable(tmp_path: Path, load: str, backend: str, says: str) -> None:
    measured, _ = kit.run(tmp_path, [task(load, backend)])
    (result,) = measured.results
    assert (result["status"], result["error"]["kind"], result["requests"]) == (
        "unavailable",
        "unsupported",
        0,
    )
    assert says in result["error"]["message"]


@pytest.mark.parametrize("load", ["closed:4", "pipelined:4"])
def test_requests_in_flight_wait_for_each_other(tmp_path: Path, load: str) -> None:
    """One in 2 ms at best, and each waits for three before it: what the device's arithmetic allows, and no better."""
    result, _, view = run(tmp_path, task(load, "simulated-async", in_us=500, compute_us=2000, out_us=500))
    assert result["status"] == "ok"
    assert result["requests"] == 200
    assert result["throughput"] <= 501
    assert result["latency_ms"]["p50"] >= 7.9
    assert result["open_loop"] is None
    assert view.response is None
    assert "latency at depth 4" in tables.as_text({"results": [result]})


def follow(delays_ms: list[float], rate: float = 100.0) -> Backlog:
    """Of requests that come in ticks of ten."""
    backlog = Backlog(rate)
    for first in range(0, len(delays_ms), 10):
        backlog.add((np.array(delays_ms[first : first + 10]) * MS).astype(np.int64))
    return backlog


@pytest.mark.parametrize(
    ("delays", "grows"),
    [
        ([i * 1.0 for i in range(200)], True),  # too slow from the beginning
        ([0.0] * 60 + [i * 2.0 for i in range(140)], True),  # since a third of the run
        ([0.0] * 200, False),
        ([0.0] * 50 + [500 - 5.0 * i for i in range(100)] + [0.0] * 50, False),  # a stall, and caught up
        ([0.0] * 50 + [500 - 2.0 * i for i in range(150)], False),  # catching up still
        ([0.0] * 180 + [500 - 5.0 * i for i in range(20)], False),  # a stall near the end
        ([20.0 * (i % 20) for i in range(200)], False),  # bursts that are served
        ([50.0, 60.0, 70.0], False),  # too few to say
    ],
)
def test_a_backlog_grows_where_it_never_runs_empty_and_ends_higher(delays: list[float], grows: bool) -> None:
    assert (follow(delays).growing() is not None) == grows


def opened(values_ms: np.ndarray, unbounded: str | None = None) -> dict[str, Any]:
    histogram = Histogram()
    histogram.record((values_ms * 1e6).astype(np.int64))
    values = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
    found = {name: histogram.quantile(q) / 1e6 for name, q in values.items()}
    summary = {"mean": float(values_ms.mean()), **found, "max": histogram.max / 1e6}
    known = unbounded is None
    return {
        **blank_result(Configuration("simulated", "m", load="open:100/s"), "ok", run=1),
        "requests": len(values_ms), "samples": len(values_ms), "duration_s": 1.0,
        "latency_ms": summary, "latency_hdr": histogram.encode(),
        "response_ms": summary if known else None, "response_hdr": histogram.encode() if known else None,
        "response_ci95_ms": {name: [1.0, 2.0] for name in values} if known else None,
        "open_loop": {"rate": 100.0, "issue_delay_ms": {}, "backlog": 1, "unserved": 2, "unbounded": unbounded},
    }  # fmt: skip


def test_repeats_pool_the_response_and_one_without_bound_leaves_none() -> None:
    random = np.random.default_rng(0)
    first, second = (opened(random.exponential(3, 1000) + 1) for _ in range(2))
    pooled = Histogram.decode(first["response_hdr"])
    pooled.add(Histogram.decode(second["response_hdr"]))
    merged = merge([first, second])
    assert merged["response_hdr"] == pooled.encode()
    assert merged["response_ms"]["p99"] == pooled.quantile(0.99) / 1e6
    assert merged["response_ci95_ms"]["p50"] == [1.0, 2.0]
    assert merged["open_loop"]["unserved"] == 4
    broken = merge([first, opened(random.exponential(3, 1000) + 1, "latency unbounded: why"), second])
    assert broken["response_ms"] is broken["response_hdr"] is None
    assert broken["open_loop"]["unbounded"] == "latency unbounded: why"
    assert load_words.notes(broken) == ["latency unbounded: why"]


def searched(rate: float, holds: bool | None) -> dict[str, Any]:
    """A repeat of `open:auto` that found this rate."""
    found = opened(np.full(400, 3.0))
    return {
        **found,
        "load": "open:auto",
        "complete": True,
        "open_loop": {**found["open_loop"], "rate": rate},
        "slo": {
            "limit_ms": 10.0, "rate": rate, "low": rate, "high": rate * 1.1, "windows": [], "confirmations": [{"rate": rate}],
            "p99_ms": 9.0, "p99_ci95_ms": [8.0, 9.5], "holds": holds, "reason": "" if holds else "why",
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("repeats", "rate", "outcome"),
    [
        ([(300.0, True), (280.0, True), (310.0, True)], 280.0, "passed"),
        ([(300.0, True), (310.0, False)], 310.0, "failed"),
        ([(300.0, True), (320.0, None)], 320.0, "inconclusive"),
    ],
)
def test_of_repeated_searches_the_worst_counts(
    repeats: list[tuple[float, bool | None]], rate: float, outcome: str
) -> None:
    """The first alone would pass each of them."""
    merged = merge([searched(*repeat) for repeat in repeats])
    assert merged["slo"]["rate"] == rate
    assert merged["slo"]["rates"] == [found for found, _ in repeats]
    assert merged["open_loop"]["rate"] == min(found for found, _ in repeats)
    assert [j.outcome for j in gates.judge([], [merged])] == [outcome]
    if outcome == "passed":
        assert "the lowest of 3 repeats, 280.0 to 310.0/s" in load_words.slo(merged["slo"])
