"""The reducer: what a person sees at any moment follows from the records alone, in bounded memory."""

from __future__ import annotations

import dataclasses
import gc
import sys
import types
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from infertop.backends.configuration import Configuration, Options
from infertop.sessions.records import Clock, End, Event, Fault, Key, Record, Run, Tick, Verdict
from infertop.sessions.runs import same_configuration
from infertop.sessions.state import SessionState
from infertop.sessions.view import Latency, RunView, View
from infertop.telemetry.histogram import Histogram
from infertop.tests.sessions.synthetic import (
    INTERVAL,
    SECOND,
    Engine,
    blob,
    configuration,
    event,
    header,
    some,
    start,
    tick,
)

MS = 1_000_000


def folded(records: Iterable[Record], since: int | None = None) -> SessionState:
    state = SessionState(since)
    for record in records:
        state.apply(record)
    return state


def shown(state: SessionState, now: int | None = None) -> RunView:
    """The present run."""
    return some(state.view(now).run)


def latency(run: RunView) -> Latency:
    return some(run.latency)


def measuring(
    seconds: int = 4, latencies: Sequence[int] = (1 * MS, 2 * MS, 3 * MS), batch: int | None = 1
) -> Engine:
    engine = Engine()
    engine.begin(configuration(batch=batch))
    engine.tick()
    engine.enter("warmup", configuration=configuration(batch=batch), threads=1)
    for _ in range(7):
        engine.tick([9 * MS])
    engine.enter("measure", cold_start={"import": 0.2, "load": 0.1, "build": None, "first": 0.01})
    for _ in range(4 * seconds):
        engine.tick(latencies)
    return engine


def test_before_a_header_there_is_nothing() -> None:
    view = SessionState().view()
    assert view.state == "waiting"
    assert view.run is None
    assert len(view.history.second) == 0


def test_a_run_goes_through_its_phases() -> None:
    engine = Engine()
    engine.begin()
    state = folded(engine.records)
    state.apply(Run(t=2 * SECOND, run=1, phase="load", progress=0.5, note="reading weights"))
    run = shown(state)
    assert (run.phase, run.phase_since, run.progress, run.note) == (
        "load",
        2 * SECOND,
        0.5,
        "reading weights",
    )
    state.apply(Run(t=3 * SECOND, run=1, phase="load", progress=0.9))
    assert (shown(state).phase_since, shown(state).progress) == (2 * SECOND, 0.9)
    state.apply(Run(t=4 * SECOND, run=1, phase="warmup", threads=3, placement={"CPU": 9}))
    run = shown(state)
    assert (run.phase, run.progress, run.threads, run.placement) == ("warmup", None, 3, {"CPU": 9})
    assert run.configuration == configuration()


def test_the_whole_run_is_the_sum_of_its_seconds_without_the_warm_up() -> None:
    engine = measuring(seconds=5)
    run = shown(engine.state)
    assert run.requests == 5 * 4 * 3
    assert latency(run).n == 60
    assert latency(run).max == pytest.approx(3 * MS, rel=1e-3)
    assert latency(run).mean == pytest.approx(2 * MS, rel=1e-3)
    assert [q.q for q in latency(run).quantiles] == [0.5, 0.9, 0.95, 0.99, 0.999]
    assert latency(run).quantiles[0].value == pytest.approx(2 * MS, rel=1e-3)
    assert latency(run).quantiles[3].high is None, "60 requests are too few for an upper bound of p99"
    assert run.stages == pytest.approx({"compute": 1.8 * MS, "gap": 0.2 * MS}, rel=1e-3)
    assert run.stage_n == 60


def test_throughput_is_samples_over_the_time_from_warm_up_to_the_last_request() -> None:
    run = shown(measuring(seconds=5, batch=8).state)
    assert run.samples == run.requests * 8
    assert run.measured_s == pytest.approx(5.0)
    assert run.throughput == pytest.approx(run.samples / 5.0)


def test_no_batch_axis_means_a_sample_is_a_request() -> None:
    run = shown(measuring(batch=None).state)
    assert run.samples == run.requests


def test_requests_kept_out_of_the_histogram_still_count() -> None:
    """Instrumented requests are left out of the service histogram, and the boundary second holds warm-up requests too."""
    state = folded([header(), start(1, 0), Run(t=0, run=1, phase="measure")])
    state.apply(tick(0, run=1, done=100, q=[MS, MS, MS]))
    state.apply(
        tick(1, run=1, done=20, q=[MS, MS, MS], h={"service": blob([MS] * 90), "warmup": blob([MS] * 20)})
    )
    run = shown(state)
    assert (run.requests, latency(run).n) == (100, 90)


def test_recent_is_the_last_thirty_seconds() -> None:
    engine = measuring(seconds=40, latencies=[1 * MS] * 3)
    for _ in range(40):
        engine.tick([5 * MS])
    run = shown(engine.state)
    assert some(run.recent).n == 20 * 4 * 3 + 40
    assert some(run.recent).max == pytest.approx(5 * MS, rel=1e-3)
    assert latency(run).n == 40 * 4 * 3 + 40
    later = shown(engine.state, engine.t + 25 * SECOND)
    assert some(later.recent).n == 5 * 4, "of another moment, another thirty seconds"
    assert shown(engine.state, engine.t + 60 * SECOND).recent is None


def test_the_result_of_the_end_overrides_what_was_added_up() -> None:
    engine = measuring()
    engine.finish()
    end = engine.records[-1]
    assert isinstance(end, Run)
    result = some(end.result)
    view = engine.state.view()
    run = some(view.run)
    assert run.phase == "end"
    assert run.requests == result["requests"]
    assert run.throughput == result["throughput"]
    assert latency(run).quantiles[0].value == round(result["latency_ms"]["p50"] * 1e6)
    assert (latency(run).quantiles[0].low, latency(run).quantiles[0].high) == (1 * MS, 2 * MS)
    assert run.stages == {"compute": 0.9 * MS}
    assert run.grade == "A"
    assert view.runs == (run,)


def test_a_late_result_corrects_an_ended_run() -> None:
    engine = measuring()
    engine.finish()
    late = engine.result("ok") | {"throughput": 77.0, "requests": 5}
    engine.begin(configuration("torch-eager"))
    engine.state.apply(Run(t=engine.t, run=1, phase="end", result=late))
    view = engine.state.view()
    assert view.runs[0].throughput == 77.0
    assert some(view.before).requests == 5
    assert some(view.run).run == 2


def test_a_failed_run_says_why() -> None:
    engine = measuring()
    engine.finish(
        "failed", Fault("worker-killed", "the worker was killed by SIGKILL", "try again", "line 1\nline 2")
    )
    run = engine.state.view().runs[0]
    assert some(run.error).message == "the worker was killed by SIGKILL"
    assert some(run.error).detail == "line 1\nline 2"


def test_before_is_the_last_measured_run_of_another_configuration() -> None:
    engine = Engine()

    def one(chosen: Configuration, measured: bool = True) -> None:
        engine.begin(chosen)
        engine.enter(
            "measure" if measured else "load",
            configuration=dataclasses.replace(chosen, batch=chosen.batch or 1),
        )
        for _ in range(4):
            engine.tick([MS] if measured else [])
        engine.finish("ok" if measured else "failed")

    first, second = configuration(batch=None), configuration("torch-eager", batch=4)
    one(first)
    engine.begin(first)
    assert engine.state.view().before is None, "only the same was measured so far, asked for in other words"
    engine.finish("failed")
    one(second)
    assert some(engine.state.view().before).configuration.backend == "onnxruntime-cpu"
    one(configuration("tensorrt"), measured=False)
    engine.begin(second)
    assert some(engine.state.view().before).run == 1
    engine.finish()
    engine.begin(first)
    assert some(engine.state.view().before).configuration.backend == "torch-eager"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"batch": None}, True),
        ({"batch": 2}, False),
        ({"dims": {"seq": 4}}, True),
        ({"data_path": "pinned"}, False),
        ({"environment": "old"}, False),
        ({"options": Options(agreement=True, tolerance=0.1, control=True, asked_options=["trt:x=1"])}, True),
        ({"options": Options(compile_mode="max-autotune")}, False),
    ],
)
def test_same_configuration(change: dict[str, Any], same: bool) -> None:
    base = configuration()
    assert same_configuration(base, dataclasses.replace(base, **change)) is same


def test_only_the_newest_sixty_four_runs_and_two_hundred_events_are_kept() -> None:
    state = folded([header()])
    for run in range(1, 101):
        state.apply(start(run, run))
        state.apply(Run(t=run, run=run, phase="end", result={"requests": run}))
    for n in range(300):
        state.apply(event(n, f"event {n}"))
    view = state.view()
    assert [run.run for run in view.runs] == list(range(37, 101))
    assert [e.text for e in view.events] == [f"event {n}" for n in range(100, 300)]


def test_values_keep_the_newest_reading_and_its_age() -> None:
    state = folded([header(3)])
    state.apply(tick(0, m=[1.5, None, 0]))
    state.apply(tick(1, m=[None, None, 7]))
    view = state.view()
    assert view.values == {"host.m0": 1.5, "host.m2": 7.0}
    assert view.ages == {"host.m0": 0.25, "host.m2": 0.0}


def test_a_worker_that_runs_no_more_has_no_readings() -> None:
    head = header(2)
    worker = msgspec.structs.replace(head.metrics[0], id="worker.cpu")
    state = folded([msgspec.structs.replace(head, metrics=[worker, head.metrics[1]])])
    state.apply(tick(0, m=[98.0, 1.0]))
    state.apply(tick(10, m=[None, None]))
    assert state.view().values == {"worker.cpu": 98.0, "host.m1": 1.0}, "a late tick or two is no end"
    state.apply(tick(20, m=[None, None]))
    assert state.view().values == {"host.m1": 1.0}


def test_counters_become_rates() -> None:
    head = header(1)
    head = msgspec.structs.replace(head, metrics=[msgspec.structs.replace(head.metrics[0], counter=True)])
    state = folded([head, tick(0, m=[1000])])
    assert state.view().values == {}, "one reading is no rate"
    state.apply(tick(1, m=[None]))
    state.apply(tick(2, m=[1500]))
    assert state.view().values == {"host.m0": pytest.approx(1000.0)}
    state.apply(tick(3, m=[100]))  # the counter began anew
    state.apply(tick(4, m=[150]))
    assert state.view().values == {"host.m0": pytest.approx(200.0)}


def test_history_has_one_column_a_second() -> None:
    engine = measuring(seconds=3)
    history = engine.state.view().history
    assert history.second.tolist() == [0, 1, 2, 3, 4]
    assert history.done.tolist() == [3, 4, 12, 12, 12]
    assert history.warm.tolist() == [False, False, True, True, True]
    assert history.run.tolist() == [1] * 5
    assert history.max[2:].tolist() == [3 * MS] * 3
    assert history.p50[2:].tolist() == [2 * MS] * 3
    assert history.metrics.shape == (5, 3)
    assert history.metrics[0].tolist() == pytest.approx(
        np.mean(np.array([tick(n).m for n in range(4)], float), axis=0).tolist()
    )


def test_a_hole_in_time_leaves_empty_columns() -> None:
    state = folded([header(1), tick(0, m=[3]), tick(1, t=4 * SECOND, m=[5])])
    history = state.view().history
    assert history.second.tolist() == [0, 1, 2, 3]
    assert np.isnan(history.metrics[1:3]).all()
    assert np.isnan(history.p50).all()


def test_a_slow_reading_stands_for_the_second_after_it_and_no_longer() -> None:
    """Read each second, a little late each time, it would leave a hole in every graph now and then."""
    state = folded([header(2)])
    for second, slow in enumerate([3, None, 5, None, None, 7]):
        state.apply(tick(second, t=(second + 1) * SECOND, m=[1, slow]))
    history = state.view().history
    assert np.nan_to_num(history.metrics[:, 1], nan=-1).tolist() == [3, 3, 5, 5, -1, 7]


def test_history_is_ten_minutes_long_whatever_happens() -> None:
    state = folded([header(1)])
    for n in range(700):
        state.apply(tick(n, t=(n + 1) * SECOND, m=[n]))
    history = state.view().history
    assert history.second.tolist() == list(range(100, 700))
    assert history.metrics[:, 0].tolist() == list(range(100, 700))
    state.apply(tick(701, t=10**6 * SECOND, m=[1]))
    assert len(state.view().history.second) == 600
    assert np.isnan(state.view().history.metrics[:-1]).all()


def test_since_request_counts_while_measuring_only() -> None:
    engine = measuring()
    for _ in range(6):
        engine.tick()
    assert engine.state.view().since_request == pytest.approx(1.5)
    engine.finish()
    assert engine.state.view().since_request is None


def test_backends_come_from_their_event() -> None:
    probes = [
        {
            "name": "onnxruntime-cpu",
            "short": "ort-cpu",
            "usable": True,
            "reason": "",
            "fix": "",
            "version": "1.31",
        },
        {
            "name": "tensorrt",
            "short": "trt",
            "usable": False,
            "reason": "no libnvinfer\x1b[2J",
            "fix": "install it",
        },
        "nonsense",
        {"name": 5, "usable": "yes"},
    ]
    state = folded([header(), event(1, "usable", "backends", data={"backends": probes})])
    backends = state.view().backends
    assert [b.usable for b in backends] == [True, False, None]
    assert backends[1].reason == "no libnvinfer"


def test_texts_are_cleaned_before_anyone_sees_them() -> None:
    engine = Engine()
    engine.begin(configuration("evil\x1b]0;owned\x07"))
    engine.state.apply(Event(t=1, kind="fault", text="a\x1b[31mb\nc" + "x" * 5000))
    engine.state.apply(Verdict(t=1, run=1, kind="host", confidence=1.0, text="\x9b2Jslow"))
    engine.state.apply(Run(t=2, run=1, phase="end", error=Fault("k", "m\x07", "f", "1\x00\n2\x1b[1m")))
    view = engine.state.view()
    assert some(view.run).configuration.backend == "evil"
    assert view.events[-1].text.startswith("ab cxxx")
    assert len(view.events[-1].text) == 1000
    assert some(view.verdict).text == "slow"
    assert some(view.run).error == Fault("k", "m", "f", "1\n2")


def test_the_verdicts_of_a_session_are_a_timeline_and_the_last_stays_when_its_run_has_ended() -> None:
    engine = measuring()
    for kind in ("host", "host", "launch", "launch"):
        engine.write(Verdict(t=engine.t, run=engine.runs, kind=kind, confidence=0.5, text=kind))
        engine.tick([MS])
    engine.finish("end", None)
    view = engine.state.view()
    assert [(s.kind, s.run) for s in view.standings] == [("host", 1), ("launch", 1)]
    assert some(view.verdict).kind == "launch"
    engine.begin()
    assert engine.state.view().verdict is None
    engine.write(Verdict(t=engine.t, run=engine.runs, kind="launch", confidence=0.5, text="again"))
    assert len(engine.state.view().standings) == 2, "the same stands on, whichever run it is of"


def test_states() -> None:
    state = SessionState()
    state.apply(header())
    assert state.view().state == "live"
    assert state.view(alive=False).state == "lost"
    state.apply(End(t=5, reason="recording off", next="0002.itlog.zst"))
    assert state.view().state == "live"
    state.apply(header(segment=2))
    state.apply(End(t=5, reason="quit"))
    assert state.view(alive=False).state == "ended"


def test_a_later_segment_goes_on_in_time_and_in_its_own_metrics() -> None:
    state = folded([header(2), tick(0, m=[1, 2])])
    later = msgspec.structs.replace(header(3, segment=2, unix=header().clock.unix + 100 * SECOND))
    later = msgspec.structs.replace(later, metrics=[later.metrics[2], later.metrics[1]])
    state.apply(later)
    state.apply(tick(0, m=[7, None]))
    view = state.view()
    assert view.now == 100 * SECOND + INTERVAL
    assert view.unix == later.clock.unix + INTERVAL
    assert view.values == {"host.m2": 7.0, "host.m1": 2.0}
    assert view.history.metrics.shape[1] == 2


def test_a_wall_clock_that_was_set_back_does_not_fold_time() -> None:
    state = folded([header(1), tick(39, m=[1])])
    state.apply(header(1, segment=2, unix=header().clock.unix - 1000 * SECOND))
    assert state.offset == 40 * INTERVAL


def test_a_run_that_lost_its_engine_is_ended_when_the_next_engine_begins() -> None:
    engine = measuring()
    engine.state.apply(header(segment=2, pid=99, unix=header().clock.unix + 100 * SECOND))
    view = engine.state.view()
    assert some(view.run).phase == "end"
    assert some(some(view.run).error).kind == "engine-lost"


def test_a_run_goes_on_where_recording_moved() -> None:
    engine = measuring()
    before = shown(engine.state)
    moved = header(segment=2, unix=header().clock.unix + engine.t)
    engine.state.apply(moved)
    assert shown(engine.state) == before


# -- keys


def comparable(view: View) -> dict[str, Any]:
    """A view as plain values; floats that were added up in another order are close, not equal."""
    out = {}
    for name in (
        "now",
        "unix",
        "state",
        "run",
        "before",
        "runs",
        "backends",
        "events",
        "verdict",
        "standings",
        "values",
    ):
        out[name] = getattr(view, name)
    out["since_request"] = view.since_request
    return out


def assert_same(a: View, b: View) -> None:
    for name, value in comparable(a).items():
        other = getattr(b, name)
        if name == "values":
            assert value == pytest.approx(other), name
        else:
            assert value == other, name
    seconds, ours, theirs = np.intersect1d(a.history.second, b.history.second, return_indices=True)
    assert len(a.history.second) == 0 or len(seconds)
    for name in ("p50", "max", "done", "run", "warm", "metrics"):
        np.testing.assert_allclose(
            getattr(a.history, name)[ours], getattr(b.history, name)[theirs], rtol=1e-9
        )


def test_a_fresh_state_goes_on_from_a_key() -> None:
    engine = measuring(seconds=10)
    key = engine.state.key(engine.t, Clock(engine.t, engine.t))
    fresh = folded([engine.header, msgspec.json.decode(msgspec.json.encode(key), type=Key)])
    for n in range(80):
        engine.tick([MS * (1 + n % 5)] * 2)
        fresh.apply(engine.records[-1])
        assert shown(fresh, engine.t).latency == shown(engine.state, engine.t).latency
    for name in (
        "requests",
        "samples",
        "measured_s",
        "throughput",
        "stages",
        "phase",
        "phase_since",
        "configuration",
    ):
        assert getattr(shown(fresh), name) == getattr(shown(engine.state), name), name
    assert fresh.view().values == engine.state.view().values


def test_a_key_holds_the_run_before() -> None:
    engine = measuring()
    engine.finish()
    engine.begin(configuration("torch-eager"))
    engine.enter("measure")
    key = engine.records[-1]
    assert isinstance(key, Key)
    fresh = folded([engine.header, key])
    assert fresh.view().before == engine.state.view().before
    assert shown(fresh) == shown(engine.state)


def test_a_key_applied_to_the_state_that_made_it_changes_nothing() -> None:
    engine = measuring(seconds=10)
    before = engine.state.view()
    engine.key()
    assert_same(before, engine.state.view())


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["measure", "measure", "warm", "load", "end", "fail", "idle", "event", "verdict"]),
        st.integers(1, 120),
        st.integers(0, 5),
    ),
    min_size=2,
    max_size=8,
)


def session_of(steps: list[tuple[str, int, int]], key_every: float) -> Engine:
    """A random session: runs that begin, warm up, measure and end, for up to four minutes."""
    engine = Engine(key_every=key_every)
    backends = ["onnxruntime-cpu", "torch-eager", "tensorrt"]
    for kind, count, variant in steps:
        if kind in ("load", "warm", "measure"):
            if not engine.run:
                engine.begin(configuration(backends[variant % 3], batch=[None, 1, 8][count % 3]))
            if kind != "load" and some(engine.run).phase == "start":
                engine.enter("warmup", threads=variant or None)
            if kind == "measure" and some(engine.run).phase == "warmup":
                engine.tick([9 * MS] * variant)
                engine.enter("measure")
            for n in range(count):
                pause = (n // 9) % 3 == 2 or kind == "load"
                engine.tick([MS * (1 + (n * variant) % 7)] * (0 if pause else variant))
        elif kind in ("end", "fail") and engine.run:
            engine.finish(kind, Fault("x", "broke") if kind == "fail" else None)
        elif kind == "event":
            engine.write(event(engine.t, f"event {count}"))
        elif kind == "verdict" and engine.run:
            engine.write(
                Verdict(
                    t=engine.t,
                    run=engine.runs,
                    kind=("host", "launch", "cpu")[count % 3],
                    confidence=0.5,
                    text=f"v {count}",
                )
            )
        else:
            for _ in range(count):
                engine.tick()
    return engine


LONG = [("measure", 120, 3), ("measure", 120, 2), ("end", 1, 1), ("measure", 120, 4), ("measure", 100, 1)]


@settings(max_examples=60, deadline=None)
@example(LONG, 7.0, 0.5, 4.0)
@example(LONG, 7.3, 0.97, 20.0)
@example(LONG, 60.0, 1.0, 4.0)
@given(STEPS, st.sampled_from([3.0, 7.3, 60.0]), st.floats(0, 1), st.sampled_from([4.0, 20.0, 240.0]))
def test_seek_equals_the_fold_of_everything_before(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int, int]],
    key_every: float,
    where: float,
    history: float,
) -> None:
    from infertop.sessions.session import Session

    engine = session_of(steps, key_every)
    path = engine.write_to(tmp_path_factory.mktemp("session") / "s" / "0001.itlog.zst")
    t = round(where * engine.t)
    before = engine.until(t)
    with Session(path.parent) as session:
        sought = session.seek(t, history)
    assert_same(sought.view(t), folded(before).view(t))
    assert_same(sought.view(t), folded(r for r in before if not isinstance(r, Key)).view(t))


def weight(root: object) -> int:
    """Bytes of everything that can be reached from an object; of arrays, their memory."""
    seen, waiting, total = set(), [root], 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, type | types.ModuleType | types.FunctionType):
            continue
        seen.add(id(item))
        total += sys.getsizeof(item) if not isinstance(item, np.ndarray) else item.nbytes
        waiting += gc.get_referents(item)
    return total


def test_eight_hours_need_no_more_memory_than_one() -> None:
    head = header(40)
    state = folded([head, start(1, 0), Run(t=1, run=1, phase="measure")])
    blobs = {"service": blob(np.random.default_rng(1).lognormal(13, 0.1, 300).astype(np.int64))}
    values: list[float | int | None] = [float(i) for i in range(40)]

    def hour(number: int) -> None:
        for n in range(number * 14_400, (number + 1) * 14_400):
            h = blobs if n % 4 == 3 else None
            state.apply(Tick(t=(n + 1) * INTERVAL, n=n, run=1, done=75, q=[1, 2, 3], m=values, h=h))
            if n % 60 == 0:
                state.apply(event(n * INTERVAL, f"event {n}"))
        state.view()

    hour(0)
    hour(1)
    after_two = weight(state)
    for number in range(2, 8):
        hour(number)
    assert weight(state) < 1.01 * after_two + 10_000
    assert after_two > 600 * 40 * 8, "the history was weighed"
    assert shown(state).requests == 8 * 14_400 * 75


# -- hostile records


@pytest.mark.parametrize(
    "line",
    [
        b'{"k":"tick","t":250000000,"n":0,"run":1,"done":1,"q":[1,1,1],"m":[1e308,1' + b"0" * 400 + b"]}",
        b'{"k":"tick","t":250000000,"n":0,"run":1,"m":[],"h":{"service":"nonsense","compute":"AAAA"}}',
        b'{"k":"tick","t":250000000,"n":0,"run":1,"m":[1,2,3,4,5,6,7,8]}',
        b'{"k":"tick","t":-4000000000000000000,"n":0,"run":1,"m":[1]}',
        b'{"k":"tick","t":4000000000000000000,"n":0,"run":1,"m":[1]}',
        b'{"k":"run","t":1,"run":1,"phase":"dancing"}',
        b'{"k":"run","t":1,"run":1,"phase":"end","result":{"latency_hdr":5,"latency_ms":[],"stages_ms":{"h2d":7},"requests":"x"}}',
        b'{"k":"run","t":1,"run":1,"phase":"end","result":{"latency_ms":{"p50":1e300,"p99":-1},"requests":-1,"stability":[]}}',
        b'{"k":"run","t":1,"run":9,"phase":"measure"}',
        b'{"k":"key","t":5,"run":7,"phase":"measure","clock":{"monotonic":1,"unix":1},"m":["a"]}',
        b'{"k":"key","t":5,"run":1,"phase":"measure","clock":{"monotonic":1,"unix":1},"m":[1],"h":{"service":"x"},"last":3}',
        b'{"k":"event","t":1,"kind":"backends","text":"x","data":{"backends":{"a":1}}}',
        b'{"k":"verdict","t":1,"run":55,"kind":"x","confidence":1,"text":"y"}',
        b'{"k":"end","t":1,"reason":"x","next":"\\u0000/etc/passwd"}',
    ],
)
def test_no_record_breaks_the_reducer(line: bytes) -> None:
    from infertop.sessions.frames import decode_lines

    state = folded([header(), start(1, 0), Run(t=0, run=1, phase="measure")])
    for record in [*decode_lines(line), tick(1, run=1, done=2, q=[5, 6, 7])]:
        state.apply(record)
        state.view()
    state.key(10, Clock(1, 1))


def test_the_curve_reaches_as_far_as_the_requests() -> None:
    histogram = Histogram()
    histogram.record(np.arange(1, 1001) * 1000)
    from infertop.sessions.latency import summarise

    curve = some(summarise(histogram)).curve
    assert curve[0][0] == 0.0
    assert curve[-1][0] == pytest.approx(0.999)
    assert [ns for _, ns in curve] == sorted(ns for _, ns in curve)
