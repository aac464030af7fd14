"""Verdicts out of a session's records: when they are written, what a run's shares are, what a remedy gained, and the same again in a replay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from infertop.backends.configuration import Configuration
from infertop.sessions import frames
from infertop.sessions.diagnosis import Diagnosis, family_of, remedy, together, with_mixed
from infertop.sessions.records import AnyRecord, Clock, Event, Fault, Metric, Run, Tick, Verdict
from infertop.sessions.runs import merged
from infertop.sessions.session import Session
from infertop.sessions.windows import Windows
from infertop.telemetry.verdict_window import Window
from infertop.tests.sessions import gpu_log, kit
from infertop.tests.sessions.gpu_log import BUSY, IDLE, IN_COPIES, LAUNCHES, PICTURES, PINNED, Log, other_path
from infertop.tests.sessions.recorded import records_of, withheld

FIXTURES = Path(__file__).parents[1] / "fixtures" / "verdicts"


def replayed(records: list[AnyRecord]) -> list[AnyRecord]:
    """What a diagnosis says of a recording that has none of its own words in it."""
    diagnosis = Diagnosis()
    return [said for record in gpu_log.others(records) for said in diagnosis.take(record)]


def own(records: list[AnyRecord]) -> list[AnyRecord]:
    return [r for r in records if isinstance(r, Verdict) or (isinstance(r, Event) and r.kind == "verdict")]


def test_a_verdict_is_written_when_it_changes_and_every_five_seconds() -> None:
    log = Log()
    log.begin()
    log.measure(12, IN_COPIES, BUSY)
    log.measure(6, LAUNCHES, IDLE)
    said = [(round(v.t / 1e9), v.kind) for v in log.verdicts]
    # Three windows in a row say something else before it is believed.
    assert said == [(1, "transfer-h2d"), (6, "transfer-h2d"), (11, "transfer-h2d"), (15, "launch")]


def test_a_gpu_that_is_lost_bears_no_verdict_out() -> None:
    """Its last readings are not taken for the present; the power's limit and the like, which are seldom read, hold on."""
    log = Log()
    log.begin()
    log.measure(6, LAUNCHES, IDLE)
    assert log.verdicts[-1].kind == "launch"
    log.measure(20, LAUNCHES, {})
    last = log.verdicts[-1]
    assert last.kind == "unclear"
    known = {item.signal: item.value for item in last.evidence}
    assert known["power of its limit"] is None
    assert known["worker cores"] == pytest.approx(1.0)


def test_the_record_has_its_evidence_with_units_and_the_advice_with_its_prediction() -> None:
    log = Log()
    log.begin()
    log.measure(2, IN_COPIES, BUSY | {"pcie_rx": 5.6e9})
    (verdict,) = log.verdicts
    assert verdict.run == 1
    assert verdict.text.startswith(
        "copying in takes 1.62 of 3.68 ms, 1.25 removable · 12 of 52 GB/s · pageable"
    )
    evidence = {item.signal: item for item in verdict.evidence}
    assert evidence["removable"].unit == "%"
    assert evidence["removable"].value == pytest.approx(34, abs=0.5)
    assert (evidence["removable"].threshold, evidence["removable"].sense, evidence["removable"].window) == (
        20.0,
        ">=",
        1.0,
    )
    carried = evidence["PCIe RX off what requests carry"].value
    assert carried is not None
    assert carried < 40
    assert evidence["copy bound"].threshold is None
    assert verdict.advice is not None
    assert (verdict.advice["action"], verdict.advice["value"]) == ("data-path", "pinned-ready")
    assert verdict.advice["gain_ms"] == pytest.approx(1.26, abs=0.02)
    assert verdict.advice["gain_share"] == pytest.approx(0.34, abs=0.01)


def test_after_the_switch_the_measured_gain_stands_beside_the_prediction() -> None:
    log = Log()
    log.begin()
    log.measure(4, IN_COPIES, BUSY)
    log.end(3.68)
    log.begin(other_path("pinned-ready"))
    log.measure(4, PINNED, BUSY)
    (event,) = log.of(Event)
    assert event.kind == "verdict"
    assert event.text == "measured −1.25 ms (−34 %); predicted was pinned-ready: about −1.26 ms, 34 %"
    last = log.verdicts[-1]
    assert last.advice is not None
    measured = last.advice["measured"]
    assert measured["gain_ms"] == pytest.approx(1.25, abs=0.01)
    assert measured["predicted_ms"] == pytest.approx(1.26, abs=0.01)
    assert (measured["action"], measured["value"]) == ("data-path", "pinned-ready")


def test_another_switch_than_the_advised_is_not_compared() -> None:
    log = Log()
    log.begin()
    log.measure(4, IN_COPIES, BUSY)
    log.end()
    log.begin(other_path("device"))
    log.measure(4, PINNED, BUSY)
    assert not log.of(Event)


def test_what_was_tried_is_not_advised_again() -> None:
    log = Log()
    log.begin(other_path("pinned-ready"))
    log.measure(2, PINNED, BUSY)
    log.end(2.4)
    log.begin(other_path("device"))
    log.end(None, Fault("unsupported", "no such path here"))
    log.begin()
    log.measure(2, IN_COPIES, BUSY)
    advice = log.verdicts[-1].advice
    assert advice is not None
    assert advice["value"] not in ("pinned-ready", "device")
    elsewhere = replace(gpu_log.CONFIGURATION, model="mobilenet_v2")
    log.end()
    log.begin(elsewhere)
    log.measure(2, IN_COPIES, BUSY)
    advice = log.verdicts[-1].advice
    assert advice is not None
    assert advice["value"] == "pinned-ready", "another model has its own tries"


def test_a_backend_that_the_probe_refuses_is_not_advised() -> None:
    log = Log()
    found = [{"name": "torch-eager", "usable": True}, {"name": "torch-compile", "usable": False}]
    log.write(Event(t=0, kind="backends", text="", data={"backends": found, "environment": ""}))
    log.begin()
    log.measure(2, LAUNCHES, IDLE)
    (verdict,) = log.verdicts
    assert verdict.kind == "launch"
    assert verdict.advice is not None
    assert (verdict.advice["action"], verdict.advice["value"]) == ("batch-up", 64)


def test_shares_of_the_time_and_mixed_below_sixty_percent() -> None:
    log = Log()
    log.begin()
    assert log.diagnosis.shares() == []
    log.measure(6, IN_COPIES, BUSY)
    log.measure(4, LAUNCHES, IDLE)
    shares = {item["kind"]: item["share"] for item in log.diagnosis.shares()}
    assert shares == {"transfer-h2d": 0.8, "launch": 0.2}, "two seconds of launches were not believed yet"
    log.measure(5, LAUNCHES, IDLE)
    first, *rest = log.diagnosis.shares()
    assert first["kind"] == "mixed"
    assert first["text"] == "transfer-h2d 53 %, launch 47 %"
    assert sum(item["share"] for item in rest) == pytest.approx(1.0, abs=1e-3)
    assert all(item["evidence"] and item["confidence"] > 0 for item in rest)


def test_repeats_are_weighed_by_their_time() -> None:
    def item(kind: str, share: float) -> dict[str, Any]:
        return {"kind": kind, "share": share, "confidence": 0.8, "text": kind, "evidence": [], "advice": None}

    found = together(
        [
            ([item("launch", 1.0)], 10.0),
            (with_mixed([item("host", 0.5), item("launch", 0.5)]), 30.0),
            ([], 5.0),
        ]
    )
    assert [(i["kind"], i["share"]) for i in found] == [("launch", 0.625), ("host", 0.375)]


def test_a_gpu_that_was_busy_before_the_run_is_contended() -> None:
    log = Log()
    log.begin(quiet={"util": 97.0})
    busy = BUSY | {"util": 100}
    log.measure(3, IN_COPIES, busy)
    assert log.verdicts[-1].kind == "contended"
    assert "97 % busy before the run" in log.verdicts[-1].text
    log.end()
    log.begin(quiet={"util": 0.0})
    log.measure(3, IN_COPIES, BUSY)
    assert log.verdicts[-1].kind == "transfer-h2d", "a run does not inherit what was busy before another"


def windows_of(log: Log) -> list[Window]:
    """What the diagnosis looked at."""
    windows, found = Windows(), []
    windows.begin(log.head)
    for record in log.records:
        if isinstance(record, Run):
            windows.enter(merged(windows.run, record) if record.run == windows.run.run else record)
        elif isinstance(record, Event) and record.data.get("telemetry") == "off":
            windows.forget()
        elif isinstance(record, Tick):
            found.append(windows.take(record))
    return [window for window in found if window is not None]


def test_what_was_read_before_telemetry_went_off_says_nothing_of_now() -> None:
    log = Log()
    log.begin()
    log.measure(1, IN_COPIES, BUSY)
    log.measure(1, IN_COPIES, {})
    log.write(Event(t=log.t, kind="telemetry", text="", data={"telemetry": "off"}))
    log.measure(1, IN_COPIES, {})
    utils = [window.gpu.util for window in windows_of(log) if window.gpu is not None]
    assert utils == [60.0, 60.0, None], "not read this tick: it still stands; off: nothing stands"


def test_a_clock_is_judged_by_what_it_could_be() -> None:
    log = Log()
    log.head = msgspec.structs.replace(log.head, metrics=[*log.head.metrics, Metric("gpu0.clock_max", "MHz")])
    log.begin()
    log.measure(1, IN_COPIES, BUSY | {"clock_sm": 1300, "clock_max": 1980})
    (window,) = windows_of(log)
    assert window.gpu is not None
    assert (window.gpu.clock, window.gpu.clock_highest) == (1300.0, 1980.0)


def test_a_clock_held_down_is_named_by_the_exact_counter() -> None:
    log = Log()
    compute = {
        "host": 1_000,
        "h2d": 20_000,
        "compute": 8_000_000,
        "d2h": 15_000,
        "gap": 50_000,
        "enqueue": 100_000,
    }
    full = {
        "util": 99,
        "sm_active": 95.0,
        "tensor_active": 85.0,
        "dram_active": 30.0,
        "power": 690.0,
        "power_limit": 700.0,
    }
    log.begin(bytes_in=4096, bytes_out=4096)
    log.measure(3, compute, full | {"clock_sm": 1980})
    assert log.verdicts[-1].kind == "compute"
    log.measure(4, compute, full | {"clock_sm": 1300, "throttle_power": 0.9})
    assert log.verdicts[-1].kind == "throttled-power"
    assert (
        log.verdicts[-1].text
        == "the power limit holds the GPU at 1300 of 1980 MHz for 90 % of the time · 690 of 700 W"
    )


def test_what_is_read_seldom_counts_from_the_first_window_on() -> None:
    """The power's limit is read at the session's start and then every ten seconds, when no run has said yet which GPU is its own."""
    log = Log()
    log.idle(1, {"power_limit": 700.0})
    log.begin()
    log.measure(1, LAUNCHES, {name: value for name, value in IDLE.items() if name != "power_limit"})
    (verdict,) = log.verdicts
    assert next(e.value for e in verdict.evidence if e.signal == "power of its limit") == pytest.approx(20.0)


def test_a_fallback_is_named_whatever_the_stages_say() -> None:
    log = Log()
    log.begin(
        fallback="2 of 40 nodes run on the CPU (NonZero)",
        placement={"CPUExecutionProvider": 2, "CUDAExecutionProvider": 38},
    )
    log.measure(2, IN_COPIES, BUSY)
    (verdict,) = log.verdicts
    assert verdict.kind == "fallback"
    assert verdict.text == "2 of 40 nodes run on the CPU (NonZero) · 5 % of the nodes"


def test_the_same_records_give_the_same_verdicts_bit_for_bit() -> None:
    log = Log()
    log.idle(2, {"util": 3})
    log.begin()
    log.measure(6, IN_COPIES, BUSY, spread=0.2)
    log.end()
    log.begin(other_path("pinned-ready"))
    log.measure(5, PINNED, BUSY, spread=0.2)
    log.end()
    through_the_log = [
        log.head,
        *(r for record in log.records[1:] for r in frames.decode_frame(frames.encode_frame([record])[32:])),
    ]
    assert own(log.records)
    assert replayed(through_the_log) == own(log.records)


def test_recording_that_moves_to_another_segment_goes_on() -> None:
    log = Log()
    log.begin()
    log.measure(3, IN_COPIES, BUSY)
    shift = log.t
    clock = log.head.clock
    moved = gpu_log.header(segment=2)
    log.head = type(moved)(
        **{n: getattr(moved, n) for n in moved.__struct_fields__}
        | {"clock": Clock(clock.monotonic + shift, clock.unix + shift)}
    )
    log.write(log.head)
    log.t = 0
    log.measure(2, IN_COPIES, BUSY)
    first = log.verdicts[-1]
    assert first.t == 1_000_000_000, "a reader of the new segment alone has a verdict at once"
    assert first.evidence[0].window == 1.0
    assert log.diagnosis.shares()[0]["share"] == 1.0


def test_a_damaged_histogram_costs_its_window_alone() -> None:
    log = Log()
    log.begin()
    log.measure(2, IN_COPIES, BUSY)
    log._tick(50, {"service": "no blob", "compute": "none either"}, BUSY, 1)
    log.measure(3, IN_COPIES, BUSY)
    assert {v.kind for v in log.verdicts} == {"transfer-h2d"}


@pytest.mark.parametrize(
    ("advice", "changed"),
    [
        ({"action": "data-path", "value": "pinned"}, {"data_path": "pinned"}),
        ({"action": "precision", "value": "fp16"}, {"precision": "fp16"}),
        ({"action": "backend", "value": "torch-compile"}, {"backend": "torch-compile"}),
        ({"action": "batch-up", "value": 64}, {"batch": 64}),
    ],
)
def test_an_advice_leads_to_one_configuration(advice: dict[str, Any], changed: dict[str, Any]) -> None:
    assert remedy(gpu_log.CONFIGURATION, advice) == replace(gpu_log.CONFIGURATION, **changed)
    assert family_of(gpu_log.CONFIGURATION) == family_of(replace(gpu_log.CONFIGURATION, **changed))


def test_threads_are_an_option_and_words_lead_nowhere() -> None:
    found = remedy(gpu_log.CONFIGURATION, {"action": "threads", "value": 4})
    assert found is not None
    assert found.options.threads == 4
    assert remedy(gpu_log.CONFIGURATION, {"action": "", "value": None}) is None
    assert remedy(gpu_log.CONFIGURATION, {"action": "batch-up", "value": "many"}) is None
    assert family_of(gpu_log.CONFIGURATION) == family_of(found)
    assert family_of(gpu_log.CONFIGURATION) != family_of(Configuration("torch-eager", "other"))


@pytest.fixture
def _plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])


@pytest.mark.usefixtures("_plugin")
def test_a_real_recording_gives_its_verdicts_again_and_the_result_has_their_shares(tmp_path: Path) -> None:
    task = replace(kit.task(requests=None, latency_us=300), duration_s=2.5)
    measured, _ = kit.run(tmp_path, [task])
    (result,) = measured.results
    assert result["verdicts"]
    assert sum(v["share"] for v in result["verdicts"] if v["kind"] != "mixed") == pytest.approx(1.0, abs=1e-3)
    with Session(tmp_path / measured.session) as session:
        assert session.header is not None
        records = [session.header, *(record for _, record in session.range(0, session.end + 1))]
    assert own(records)
    assert replayed(records) == own(records)


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.itlog.zst")), ids=lambda path: path.name)
def test_a_kept_recording_is_named_as_its_name_says_and_bit_for_bit_as_it_was(path: Path) -> None:
    """`KIND@what-was-provoked.itlog.zst`: recordings of real machines."""
    records = records_of(path)
    assert replayed(records) == own(records)
    assert longest(records) == path.name.split("@")[0]


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.itlog.zst")), ids=lambda path: path.name)
def test_a_kept_recording_is_named_the_same_without_gpm(path: Path) -> None:
    """As most people's GPUs would have recorded it. What their device waits for is told by a request's work, where that was counted."""
    records = list(withheld(records_of(path)))
    kind = path.name.split("@")[0]
    counted = any(isinstance(record, Run) and record.work for record in records)
    if kind in ("compute", "memory-bandwidth") and not counted:
        kind = "device-bound"
    assert longest(records) == kind


def longest(records: list[AnyRecord]) -> str:
    """The verdict that stood longest."""
    diagnosis = Diagnosis()
    for record in gpu_log.others(records):
        diagnosis.take(record)
    return str(diagnosis.shares()[0]["kind"])


def test_pictures_are_what_the_prediction_is_made_from() -> None:
    assert PICTURES / gpu_log.LINK["h2d_pageable"] * 1e3 == pytest.approx(1.62, abs=0.01)
