"""The verdict: every bottleneck named on a machine with GPM and on one without, and nothing named that two signals do not say."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from infertop.telemetry.bottleneck import KINDS, SIGNALS, Steady, Verdict, diagnose, table
from infertop.telemetry.verdict_placement import underload
from infertop.telemetry.verdict_window import Choice, Gpu, Host, Link, Stages, Tried, Window, Work
from infertop.tests.telemetry.scripted import (
    CASES,
    H100,
    MACHINES,
    RTX4050,
    Machine,
    expected,
    jittered,
    on_cpu,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "verdicts.md"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
@pytest.mark.parametrize("case", CASES)
def test_what_is_provoked_is_named_in_19_of_20_windows(case: str, machine: Machine) -> None:
    base = CASES[case][1](machine)
    assert diagnose(base).kind == expected(case, machine)
    seed = zlib.crc32(f"{case} {machine.name}".encode())
    named = Counter(diagnose(window).kind for window in jittered(base, seed))
    assert named[expected(case, machine)] >= 19, named


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
@pytest.mark.parametrize("case", CASES)
def test_only_the_signals_of_the_table_are_used(case: str, machine: Machine) -> None:
    window = CASES[case][1](machine)
    verdict = diagnose(window)
    allowed = SIGNALS[verdict.kind][2 if not window.cuda else 0 if machine.gpm else 1]
    assert {signal.name for signal in verdict.evidence} <= set(allowed)
    agreeing = [signal for signal in verdict.evidence if signal.agrees]
    assert len(agreeing) >= 2
    assert 0.3 <= verdict.confidence <= 0.95
    assert all(signal.unit for signal in verdict.evidence)


def test_every_kind_is_provoked_somewhere() -> None:
    named = {expected(case, machine) for case in CASES for machine in MACHINES}
    assert named | {"unclear"} == set(KINDS)
    assert set(SIGNALS) | {"unclear"} == set(KINDS)


def test_the_document_has_the_table_of_the_code() -> None:
    assert table() in DOCUMENT.read_text("utf-8")


def test_the_verdict_is_the_sentence_that_a_person_needs() -> None:
    verdict = diagnose(CASES["large input, pageable"][1](H100))
    assert verdict.text.startswith(
        "copying in takes 1.62 of 3.68 ms, 1.25 removable · 12 of 52 GB/s · pageable"
    )
    assert verdict.advice is not None
    assert (verdict.advice.action, verdict.advice.value) == ("data-path", "pinned-ready")
    assert verdict.gain == pytest.approx(1.25e6, rel=0.03)
    assert verdict.advice.text == "pinned-ready: about −1.26 ms, 34 %"
    at_best, bound = (
        next(s.value for s in verdict.evidence if s.name == name) for name in ("copy at best", "copy bound")
    )
    assert at_best == pytest.approx(0.368, rel=0.01)
    assert bound == pytest.approx(1.62, rel=0.01)


def test_pinned_is_advised_where_the_copy_into_it_is_quick() -> None:
    window = CASES["large input, pageable"][1](H100)
    quick = replace(window, link=replace(window.link, staging=60e9))
    advice = diagnose(quick).advice
    assert advice is not None
    assert advice.value == "pinned"


def test_a_full_link_is_no_slow_path() -> None:
    verdict = diagnose(CASES["input at the link's rate"][1](H100))
    assert "at the link's own rate" in verdict.text
    assert verdict.advice is not None
    assert verdict.advice.value == "device", "pinned memory would change nothing"


def test_a_tiny_copy_is_not_removable() -> None:
    """4 KB at 0.4 GB/s is slow against the link, but no copy takes less than its own start."""
    stages = Stages(50, host=0.0, h2d=10_000, compute=20_000, d2h=8_000, gap=2_000, enqueue=5_000)
    window = replace(CASES["kernels that fill a third"][1](H100), stages=stages, service=stages.service)
    assert not diagnose(window).kind.startswith("transfer")


def test_without_a_measured_ceiling_the_theoretical_one_serves_and_is_said() -> None:
    window = CASES["large input, pageable"][1](H100)
    window = replace(window, link=Link(theoretical=63e9))
    verdict = diagnose(window)
    assert verdict.kind == "transfer-h2d"
    assert "of 63 GB/s (theoretical)" in verdict.text
    assert diagnose(replace(window, link=Link())).kind != "transfer-h2d", (
        "without any ceiling nothing can be removable"
    )


def test_placement_goes_before_timing() -> None:
    """What made the copies look slow was a provider that had never started."""
    window = replace(
        CASES["large input, pageable"][1](H100), fallback="everything runs on the CPU", on_cpu=1.0
    )
    verdict = diagnose(window)
    assert verdict.kind == "fallback"
    assert "onnxruntime-cpu" in str(verdict.advice)
    other = diagnose(replace(window, fallback="CUDA graphs were skipped: mutated inputs", on_cpu=None))
    assert "onnxruntime" not in str(other.advice), "nothing is on the CPU"


def test_busy_SMs_are_no_launch_bottleneck() -> None:  # noqa: N802
    window = CASES["batch 1, eager"][1](H100)
    assert window.gpu is not None
    busy = replace(window, gpu=replace(window.gpu, sm_active=85.0, fp32=75.0))
    assert diagnose(busy).kind == "compute"


def test_a_spinning_core_alone_is_no_launch_bottleneck() -> None:
    """Waiting for the GPU spins a core too: without GPM only a low power makes it evidence."""
    window = CASES["batch 1, eager"][1](RTX4050)
    assert window.gpu is not None
    hard_at_work = replace(window, gpu=replace(window.gpu, power=55.0, util=60.0))
    verdict = diagnose(hard_at_work)
    assert verdict.kind == "unclear"
    assert verdict.text == "launch is possible, but power of its limit is 91.7 %"


def test_a_clock_that_is_whole_is_not_throttled_whatever_the_counter_says() -> None:
    """Where the GPU says what its clock could be, a cap that costs nothing is no verdict."""
    window = CASES["power cap from the start"][1](H100)
    assert window.gpu is not None
    assert diagnose(window).text.startswith("the power limit holds the GPU at 1386 MHz for 90 % of the time")
    rated = replace(window.gpu, clock_rated=True)
    assert diagnose(replace(window, gpu=rated)).kind == "compute"
    held = replace(rated, clock_highest=1980.0)
    assert diagnose(replace(window, gpu=held)).text.startswith(
        "the power limit holds the GPU at 1386 of 1980 MHz"
    )


def test_without_the_exact_counter_the_clock_has_to_be_down() -> None:
    window = CASES["power cap"][1](RTX4050)
    assert window.gpu is not None
    uncounted = replace(window, gpu=replace(window.gpu, power_capped=None, thermal_capped=None))
    verdict = diagnose(uncounted)
    assert verdict.kind == "throttled-power"
    assert verdict.evidence[0].name == "clock held down"
    start = replace(uncounted, gpu=replace(uncounted.gpu or Gpu(), clock_highest=0.7 * RTX4050.clock))
    assert diagnose(start).kind != "throttled-power"


def test_without_gpm_the_peaks_say_how_near_the_request_comes() -> None:
    compute = diagnose(CASES["large matmul, fp16"][1](RTX4050))
    assert compute.text == "computing takes 12 of 12.4 ms at 83.3 TFLOP/s, 62 % of its peak"
    memory = diagnose(CASES["element-wise"][1](RTX4050))
    assert "at 1 667 GB/s, 85 % of what a copy within the GPU's memory reaches" in memory.text
    assert memory.advice is not None
    assert (memory.advice.value, memory.advice.most) == ("torch-compile", True)
    assert memory.advice.text == "torch-compile: at most −9 ms, 71 %"
    assert memory.advice.assumed == "if all between products is one kernel"
    far = replace(
        CASES["large matmul, fp16"][1](RTX4050), work=Work(flop=1e11, flop_ns=1e6, bytes=1e9, bytes_ns=2e6)
    )
    assert diagnose(far).kind == "device-bound"
    assert diagnose(far).text.endswith("its arithmetic is at 8 %, its memory at 17 % of the peak")


def test_a_model_that_waits_for_the_gpu_within_its_call_is_not_its_own_code() -> None:
    """Few operators that take long may be Python, or a model that reads results back: the busy GPU tells them apart."""
    window = CASES["Python inside the model"][1](H100)
    assert diagnose(window).text.startswith(
        "the model's own code keeps the host busy for 4.9 of 5 ms of compute, for 5 operators"
    )
    assert window.gpu is not None
    busy = replace(window, gpu=replace(window.gpu, util=99.0, sm_active=90.0))
    assert diagnose(busy).kind == "device-bound"


def test_predictions_are_bounds_that_say_what_they_assume() -> None:
    def told(case: str, machine: Machine = H100, usable: set[str] | None = None) -> str:
        advice = diagnose(CASES[case][1](machine), usable=usable).advice
        return ", ".join(filter(None, (advice.text, advice.assumed))) if advice else ""

    # 60 products of 2 µs stay; the SMs' 9.6 % of compute would be more and stays too.
    assert (
        told("batch 1, eager")
        == "torch-compile: at most −1.44 ms, 85 %, if only 60 products are left to launch"
    )
    assert (
        told("operators that nobody counts")
        == "batch 2: about −0.8 ms a sample, 47 %, if issuing stays the same"
    )
    without = {"torch-eager"}
    assert (
        told("batch 1, eager", usable=without)
        == "batch 2: about −0.8 ms a sample, 47 %, if issuing stays the same"
    )
    assert (
        told("kernels that fill a third", usable=without)
        == "batch 64: at most −0.0469 ms a sample, 45 %, SMs 39 % active"
    )
    # A bound comes before what nobody can tell.
    assert told("kernels that fill a third", RTX4050) == "fp16: at most −2.25 ms, 45 %"
    halved = replace(CASES["kernels that fill a third"][1](RTX4050), floats="float16")
    unknown = diagnose(halved, usable=without).advice
    assert unknown is not None
    assert (unknown.text, unknown.gain) == ("batch 64: what it gains cannot be told before", None)


def test_a_cpu_backend_that_uses_no_core_waits() -> None:
    verdict = diagnose(on_cpu(H100, 0.03, threads=1))
    assert verdict.kind == "cpu"
    assert verdict.text == "the call takes 4 of 4.05 ms on 0.03 cores: it waits, and does not compute"
    assert verdict.advice is not None
    assert verdict.advice.action == "", "neither threads nor a larger batch help who waits"
    assert diagnose(on_cpu(H100, 0.9, threads=1)).text.startswith(
        "computing takes 4 of 4.05 ms on 0.9 of 1 core, which is full"
    )


def test_nothing_is_named_by_one_signal() -> None:
    stages = Stages(50, compute=3e6, gap=1e5)
    blind = Window(1.0, 4, 300, 3.1e6, 0.98, Choice("x"), stages, device="cuda:0")
    assert diagnose(blind).kind == "unclear"
    assert diagnose(replace(blind, device="cpu")).kind == "unclear"
    assert (
        diagnose(replace(blind, stages=Stages())).text
        == "this backend does not say where a request's time goes"
    )


@pytest.mark.parametrize(("ticks", "requests"), [(2, 100), (4, 2)])
def test_too_short_a_window_is_not_judged(ticks: int, requests: int) -> None:
    window = replace(CASES["element-wise"][1](H100), ticks=ticks, requests=requests)
    verdict = diagnose(window)
    assert verdict.kind == "unclear"
    assert verdict.confidence == 0
    assert "too few" in verdict.text


def test_a_fast_server_s_rates_have_no_exponent() -> None:
    """Two thousand a second asked of one that could do twenty."""
    window = replace(on_cpu(H100, 0.1, threads=1), asked_rate=2000.0, busy=0.1, response=None)
    window = replace(window, requests=round(2000 * window.seconds))
    found = underload(window)
    assert found is not None
    assert "2 000 requests/s keep it busy 10 % of the time: it could serve about 20 000/s" in found.text


def test_more_threads_than_cores_fill_the_cores_and_not_the_threads() -> None:
    """Sixteen cores are full with 64 threads as they are with 16; fewer threads are worth a try, and what that gains nobody knows."""
    verdict = diagnose(on_cpu(H100, 15.8, threads=64))
    assert verdict.kind == "cpu"
    assert "on 15.8 of 16 cores, which are full" in verdict.text
    assert verdict.advice is not None
    assert (verdict.advice.action, verdict.advice.value) == ("threads", 15)
    assert verdict.advice.gain is None


def test_a_quota_that_holds_back_is_advice_on_threads() -> None:
    window = CASES["CPU, all its cores full"][1](H100)
    window = replace(window, host=Host(16, 0.3, 4.0, 0.1, 0.0, quota=4.0, quota_held=0.4))
    verdict = diagnose(window)
    assert verdict.kind == "cpu"
    assert "quota holds it back 40 % of the time" in verdict.text
    assert verdict.advice is not None
    assert (verdict.advice.action, verdict.advice.value) == ("threads", 4)


def test_full_and_idle_cores_are_told_apart() -> None:
    full, idle = (
        diagnose(CASES[case][1](H100)) for case in ("CPU, all its cores full", "CPU, one of eight threads")
    )
    assert full.text.endswith("are full")
    assert idle.text.endswith("are not full")
    assert full.advice is not None
    assert (full.advice.action, full.advice.value) == ("threads", 15)
    assert idle.advice is not None
    assert idle.advice.value == 1


def test_advice_is_never_what_was_tried() -> None:
    """Remedies are gone through one after the other until none is left; each leads somewhere else."""
    for case, machine in ((case, machine) for case in CASES for machine in MACHINES):
        window = CASES[case][1](machine)
        tried: dict[Choice, float | None] = {window.choice: 1.0}
        for _ in range(30):
            advice = diagnose(window, tried).advice
            if advice is None or advice.choice is None:
                break
            assert advice.choice not in tried
            tried[advice.choice] = None if len(tried) % 2 else 1.0
        else:
            pytest.fail(f"{case}: the advice never ends")


def test_a_backend_that_cannot_be_used_is_not_advised() -> None:
    window = CASES["batch 1, eager"][1](H100)
    known = diagnose(window, usable={"torch-eager", "torch-compile"}).advice
    assert known is not None
    assert (known.action, known.value, known.most) == ("backend", "torch-compile", True)
    other = diagnose(window, usable={"torch-eager"}).advice
    assert other is not None
    assert (other.action, other.value, other.per) == ("batch-up", 2, "sample")
    assert diagnose(replace(window, batched=False), usable={"torch-eager"}).advice is None


def test_a_doubled_batch_that_was_measured_is_evidence() -> None:
    window = CASES["large matmul, fp16"][1](RTX4050)
    twice = replace(window.choice, batch=16)
    tried: Tried = {twice: window.service / 1e6 / 8 * 0.99}
    verdict = diagnose(window, tried)
    assert "time per sample at twice the batch" in [signal.name for signal in verdict.evidence]
    assert verdict.confidence > diagnose(window).confidence


def test_a_verdict_changes_after_three_windows_that_agree() -> None:
    steady = Steady()
    a, b, c = (Verdict(kind, 0.8, kind) for kind in ("launch", "compute", "host"))
    assert steady.take(a).kind == "launch"
    assert [steady.take(v).kind for v in (b, b, c, b, b)] == ["launch"] * 5, "no three in a row"
    assert steady.take(b).kind == "compute"
    fresher = Verdict("compute", 0.9, "fresher")
    assert steady.take(fresher).text == "fresher"
    assert [steady.take(v).kind for v in (a, a, fresher, a, a, a)] == ["compute"] * 5 + ["launch"]


def test_the_same_window_gives_the_same_verdict() -> None:
    for case in CASES:
        assert diagnose(CASES[case][1](H100)) == diagnose(CASES[case][1](H100))


def test_gpm_of_the_window_is_that_of_the_time_computing() -> None:
    window = Window(
        1.0, 4, 100, 4e6, 0.5, Choice("x"), Stages(9, h2d=2e6, compute=2e6, gap=0.0), gpu=Gpu(sm_active=20.0)
    )
    assert window.during(20.0) == pytest.approx(80.0)
    assert window.during(40.0) == 100.0
    assert window.during(None) is None
