"""Advice, its proof, sweeps, comparisons and loads: what the keys send, and what the screen says of it."""

from __future__ import annotations

import dataclasses

import msgspec
from infertop.sessions.records import Event, Evidence
from infertop.sessions.standing import Standing
from infertop.sessions.view import BackendView, View
from infertop.tests.tui import synthetic
from infertop.tests.tui.fake_port import FakePort, FakeReplayPort, answered
from infertop.tests.tui.synthetic import ADVICE, CUDA, S, advised, job
from infertop.tests.tui.test_app import running, verbs
from infertop.tests.tui.test_paint import screen as text_of
from infertop.tui.compare import rows as compare_rows
from infertop.tui.loads import refusal


def with_events(view: View, *events: Event) -> View:
    return dataclasses.replace(view, events=(*view.events, *events))


# -- the advice and its proof


async def test_enter_proves_the_advice() -> None:
    port = FakePort(advised())
    async with running(port, size=(120, 40)) as screen:
        assert "→ d pinned: about −1.1 ms, 31 %  Enter proves it" in screen.lines[3]
        assert "Enter prove" in screen.lines[-1]
        await screen.press("enter")
        await screen.until(lambda: bool(port.sent))
    assert verbs(port) == ["prove"]


async def test_enter_needs_advice_that_an_action_follows_and_a_run_that_is_measured() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("enter")
        assert "there is no advice to prove" in screen.text
        await screen.press("w")  # any key takes the message away
        port.view = advised(action="", value=None, text="cool the machine")
        await screen.until(lambda: "→ cool the machine" in screen.text)
        assert "Enter" not in screen.text
        await screen.press("enter")
        assert "there is no advice to prove" in screen.text
        port.view = synthetic.view(run=synthetic.run(phase="end"), verdict=advised().verdict)
        await screen.until(lambda: screen.app.view is port.view)
        await screen.press("enter")
        assert "nothing is being measured" in screen.text
    assert port.sent == []


async def test_advice_names_the_key_that_tries_it() -> None:
    port = FakePort(advised())
    async with running(port) as screen:
        for action, value, key in (
            ("data-path", "pinned", "d"),
            ("batch-up", 64, "b"),
            ("precision", "fp16", "p"),
            ("backend", "torch-compile", "2"),
            ("threads", 8, "Enter"),
        ):
            port.view = advised(action=action, value=value, text=f"try {value}")
            await screen.until(lambda: screen.app.view is port.view)
            screen.app.paint()
            assert f"→ {key} try {value}" in screen.lines[3], action


async def test_what_a_remedy_gained_stands_beside_its_prediction() -> None:
    measured = {
        "action": "data-path",
        "value": "pinned",
        "gain_ms": 1.08,
        "gain_share": 0.3,
        "predicted_ms": 1.1,
        "predicted_share": 0.31,
    }
    port = FakePort(advised(action="", text="", measured=measured))
    async with running(port) as screen:
        assert "pinned gained 1.08 ms (30 %), predicted 1.10 ms (31 %)" in screen.lines[3]
        await screen.press("v")
        assert "pinned led to this run and gained 1.08 ms; predicted 1.10 ms" in screen.text


async def test_a_proof_shows_how_far_it_is_and_is_cancelled_by_x() -> None:
    port = FakePort(
        with_events(
            advised(),
            job("proof", "proving pinned: about −1.1 ms: 8 blocks of 3 s", done=0, total=8, over=False),
        )
    )
    async with running(port) as screen:
        assert "◆ PROVING  pinned: about −1.1 ms: 8 blocks" in screen.lines[2]
        port.view = with_events(
            port.view, job("proof", "proof: 3 of 8 blocks done", done=3, total=8, over=False)
        )
        await screen.until(lambda: "3 of 8 x cancels" in screen.lines[2])
        assert "◆ PROVING  pinned: about −1.1 ms" in screen.lines[2]
        assert screen.lines[-1].startswith(" x cancel")
        assert "now measuring ort" in screen.lines[3] or "now measuring onnxruntime-cuda" in screen.lines[3]
        for key in ("enter", "S"):
            await screen.press(key)
            assert "a proof is going on: x cancels it" in screen.lines[2]
        await screen.press("x")
        await screen.until(lambda: bool(port.sent))
    assert verbs(port) == ["stop"]


async def test_the_outcome_of_a_proof_stands_until_something_else_is_chosen() -> None:
    text = "pinned helps: −1.08 ms (−30.0 %, 95 % −31.0 to −29.0 %) over 4 pairs; predicted was about −1.1 ms"
    over = job(
        "proof", text, t=80 * S, over=True, verdict="helps", **{k: ADVICE[k] for k in ("action", "value")}
    )
    block = synthetic.run(8, CUDA, "end", phase_since=79 * S)
    after = synthetic.run(9, CUDA, "measure")
    port = FakePort(with_events(dataclasses.replace(advised(), run=after, runs=(block,)), over))
    async with running(port) as screen:
        assert "◆ PROOF  pinned helps: −1.08 ms" in screen.lines[2]
        assert "predicted was about −1.1 ms" in screen.lines[3]
        assert "→ d takes it" in screen.lines[3]
        port.view = dataclasses.replace(port.view, run=synthetic.run(10, CUDA, "measure"))
        await screen.until(lambda: "TRANSFER-H2D" in screen.lines[2])
        port.view = dataclasses.replace(port.view, run=after)
        await screen.until(lambda: "◆ PROOF" in screen.lines[2])
        port.view = dataclasses.replace(port.view, now=141 * S)
        await screen.until(lambda: "TRANSFER-H2D" in screen.lines[2])


async def test_the_evidence_says_what_agrees_the_links_rates_and_what_reading_costs() -> None:
    view = advised()
    assert view.verdict is not None
    ratio = Evidence("copies beside requests", 1.07, "1", 1.0)
    verdict = msgspec.structs.replace(view.verdict, evidence=[*view.verdict.evidence, ratio])
    port = FakePort(dataclasses.replace(view, verdict=verdict))
    async with running(port, size=(120, 80)) as screen:
        await screen.press("v")
        rows = {
            name: next(line for line in screen.lines if name in line)
            for name in (
                "removable",
                "copy at best",
                "PCIe RX ",
                "copies beside",
                "RX, host",
                "to the GPU, pinned",
                "tick's deadline",
                "GetTotalEnergyConsumption",
            )
        }
        assert "≥ 20.0 %  ✓ agrees" in rows["removable"]
        assert "≤ 0.20 ms  ✕ against" in rows["copy at best"]
        assert "beside" in rows["PCIe RX "]
        assert "confidence 80 %" in screen.text
        assert "52.3 GB/s" in screen.text
        assert rows["copies beside"].split("beside requests")[1].split()[:3] == ["1.07", "≥", "1.00"], (
            "no unit"
        )
        assert "5.3 GB/s  GPM" in rows["RX, host"]
        assert "52.3 GB/s       83 %" in rows["to the GPU, pinned"]
        assert "the link in theory" in screen.text
        assert "what reading the counters costs, 0.080 % of a core" in screen.text
        assert "0.060 ms" in rows["tick's deadline"]
        assert rows["GetTotalEnergyConsumption"].split()[2:] == ["93", "2.41", "ms", "4.60", "ms", "│"]


async def test_the_evidence_has_no_number_for_what_is_not_known_and_no_unit_for_a_ratio() -> None:
    found = advised().verdict
    assert found is not None
    evidence = [
        Evidence("schedule kept", None, "%", 97.0, 1.0),
        Evidence("response over service", 0.97, "1", 1.3, 1.0),
    ]
    view = dataclasses.replace(advised(), verdict=msgspec.structs.replace(found, evidence=evidence))
    async with running(FakePort(view), size=(120, 40)) as screen:
        await screen.press("v")
        unknown = next(line for line in screen.lines if "schedule kept" in line).split()
        assert unknown[3:4] == ["–"]
        assert "not known here" in " ".join(unknown)
        ratio = next(line for line in screen.lines if "response over" in line).split()
        assert ratio[4:8] == ["0.97", "≥", "1.30", "✕"]


async def test_the_evidence_sets_a_requests_work_beside_the_peaks() -> None:
    work = {"flop": {"fp16": 1.1e12, "fp32": 2e6}, "bytes": 9_660_000_000, "operators": 16, "products": 8}
    run = synthetic.run(configuration=CUDA, work=work, peaks={"fp16": 780e12, "bandwidth": 2.8e12})
    async with running(FakePort(dataclasses.replace(advised(), run=run)), size=(120, 40)) as screen:
        await screen.press("v")
        rows = [line.strip("│ ").split() for line in screen.lines]
    assert ["fp16", "1.10", "TFLOP", "780", "TFLOP/s"] in rows
    assert ["fp32", "2.00", "MFLOP", "–"] in rows
    assert ["memory", "9.7", "GB", "2.8", "TB/s"] in rows


async def test_that_a_request_may_move_nothing_is_not_said_as_0_bytes() -> None:
    work = {"flop": {"fp32": 3.6e9}, "bytes": 0, "operators": 68, "products": 21}
    run = synthetic.run(configuration=CUDA, work=work, peaks={"bandwidth": 2.8e12})
    async with running(FakePort(dataclasses.replace(advised(), run=run)), size=(120, 40)) as screen:
        await screen.press("v")
        rows = [line.strip("│ ").split() for line in screen.lines]
    assert ["memory", "may", "stay", "in", "its", "cache", "2.8", "TB/s"] in rows


async def test_the_evidence_lists_which_verdicts_stood() -> None:
    changes = [("transfer-h2d", 1, 0), ("launch", 1, 20), ("transfer-h2d", 2, 95)]
    standings = tuple(Standing(t * S, kind, run) for kind, run, t in changes)
    view = dataclasses.replace(advised(), standings=standings, now=100 * S)
    async with running(FakePort(view), size=(120, 40)) as screen:
        await screen.press("v")
        words = [line.strip("│ ").split() for line in screen.lines]
    listed = [tuple(row[1:]) for row in words if row[1:2] in (["launch"], ["transfer-h2d"]) and len(row) == 4]
    assert listed == [
        ("transfer-h2d", "2", "00:05"),
        ("launch", "1", "01:15"),
        ("transfer-h2d", "1", "00:20"),
    ]


async def test_the_evidence_explains_the_gap_and_says_what_trtexec_would_show() -> None:
    view = advised()
    run = synthetic.run(
        configuration=CUDA,
        stages={"h2d": 1.5e6, "compute": 1.6e6, "d2h": 1e5, "gap": 4e5, "enqueue": 4e5},
        outside={"issue": 3e5, "sync": 8e4},
        placement={"CUDAExecutionProvider": 49},
        control={"p50_ms": 3.5, "steps_p50_ms": 3.9, "difference": 0.11, "marked": True},
        runtime={
            "compile_mode": "default",
            "graphs": 2,
            "graph_breaks": 1,
            "recompiles": 0,
            "cuda_graphs": "none",
        },
    )
    async with running(FakePort(dataclasses.replace(view, run=run)), size=(120, 60)) as screen:
        await screen.press("v")
        assert "0.400 of 3.60 ms (11 %) lie outside the stages" in screen.text
        row = next(line for line in screen.lines if "Python" in line and "8.3 %" in line)
        assert "0.300 ms" in row
        assert "trtexec calls h2d + compute + d2h its latency: 3.20 of these 3.60 ms" in screen.text
        assert (
            "the split into stages is ≈: plain run() takes 3.50 ms, the same in steps 3.90 (+11 %)"
            in screen.text
        )
        assert (
            "compiled in mode default: 2 graphs, 1 graph break, no recompilations; CUDA graphs none"
            in screen.text
        )


async def test_whether_the_build_came_from_a_cache_is_read_whatever_the_phases_need() -> None:
    for cold, row in (
        ({"import": 2.19, "load": 0.8, "build": 12.7, "first": 0.02}, "torch"),
        ({"import": 2.19, "build": 12.7}, "cold start"),
    ):
        run = synthetic.run(cache="miss", cold_start=cold, libraries={"torch": "2.14.1"})
        async with running(FakePort(dataclasses.replace(advised(), run=run)), size=(120, 60)) as screen:
            line = next(line for line in screen.lines if "cache miss" in line)
            assert row in line
            assert any("build 12.7" in line for line in screen.lines)


# -- sweeps


async def test_a_sweep_says_what_and_how_long_asks_and_begins() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("S")
        assert "[x] torch  [x] compile  [x] ort-cpu" in screen.text
        assert "[ ] native  [x] fp32" in screen.text
        assert "[ ] 1  [ ] 8  [ ] 16  [x] 32  [ ] 64  [ ] 128" in screen.text
        assert "data paths" not in screen.text, "on the CPU there is one"
        assert "2 configurations, the rest as it is now; outputs are compared" in screen.text
        assert "left out: compile has no fp32" in screen.text
        await screen.press("down", "space", "down", "right", "space")
        assert "10 configurations" in screen.text
        await screen.press("enter")
        await screen.until(lambda: bool(port.swept))
        [(asked, dry)] = port.swept
        assert dry
        assert {c.backend for c in asked} == {"torch-eager", "torch-compile", "onnxruntime-cpu"}
        assert {(c.precision, c.batch) for c in asked} == {
            ("native", 8),
            ("native", 32),
            ("fp32", 8),
            ("fp32", 32),
        }
        assert all(c.options.agreement for c in asked)
        tasks = [
            {"text": "onnxruntime-cpu · fp32 · batch 32", "seconds": 12.4, "whole": True},
            {"text": "torch-eager", "seconds": 10.0, "whole": False},
        ]
        answer = Event(
            t=port.view.now,
            kind="sweep",
            id="sweep-1",
            text="a sweep would measure 10",
            data={"dry": True, "tasks": tasks, "left_s": 95.0, "done": 0, "total": 10},
        )
        port.view = with_events(port.view, answer)
        await screen.until(lambda: "sweep: 10 configurations, at least 01:35" in screen.text)
        assert "about 12 s        onnxruntime-cpu · fp32 · batch 32" in screen.text
        assert "10 s and loading  torch-eager" in screen.text
        assert "and 8 more" in screen.text
        assert "left out: compile has no fp32" in screen.text
        await screen.press("escape")
        assert len(port.swept) == 1
        assert "MEASURING" in screen.text, "what was only asked about is not going on"
        assert "a sweep would measure" not in screen.lines[22], "and did not happen"
        await screen.press("S", "enter")
        await screen.until(lambda: len(port.swept) == 2)
        again = {"dry": True, "tasks": tasks[:1], "left_s": 25.0, "done": 0, "total": 2}
        port.view = with_events(port.view, msgspec.structs.replace(answer, id="sweep-2", data=again))
        await screen.until(lambda: "sweep: 2 configurations, about 00:25" in screen.text)
        await screen.press("enter")
        await screen.until(lambda: len(port.swept) == 3)
        assert port.swept[2] == (port.swept[1][0], False)
        assert screen.app.overlay is None


async def test_a_sweep_of_one_configuration_or_that_is_refused_says_why_in_place() -> None:
    port = FakePort()
    async with running(port) as screen:
        await screen.press("S", "a", "enter")
        assert "0 configurations" in screen.text
        assert "a sweep needs two configurations at least" in screen.text
        await screen.press("a", "enter")
        assert "a sweep needs" not in screen.text
        await screen.until(lambda: bool(port.swept))
        port.view = answered(port.view, "sweep-1", "a sweep is going on; stop it first")
        await screen.until(lambda: "a sweep is going on; stop it first" in screen.text)
        assert screen.app.overlay is not None


async def test_on_a_gpu_a_sweep_offers_data_paths_where_there_are_any() -> None:
    backends = (
        BackendView("onnxruntime-cpu", "ort-cpu", True, device="cpu"),
        BackendView("onnxruntime-cuda", "ort-cuda", True, device="cuda:0"),
    )
    pinned = dataclasses.replace(CUDA, data_path="pinned")
    port = FakePort(synthetic.view(gpu=True, run=synthetic.run(configuration=pinned), backends=backends))
    async with running(port) as screen:
        await screen.press("S")
        assert "[ ] pageable  [x] pinned  [ ] device" in screen.text
        assert "left out: ort-cpu has no pinned" in screen.text
        await screen.press("up", "a")
        assert "left out: ort-cpu has no pinned or device" in screen.text, "said once, not for each"
        await screen.press("enter")
        await screen.until(lambda: bool(port.swept))
        assert [(c.backend, c.data_path) for c in port.swept[0][0]] == [
            ("onnxruntime-cpu", "pageable"),
            ("onnxruntime-cuda", "pageable"),
            ("onnxruntime-cuda", "pinned"),
            ("onnxruntime-cuda", "device"),
        ]


async def test_a_sweep_shows_how_far_it_is_and_x_cancels_it_between_runs_too() -> None:
    run = synthetic.run(phase="end")
    view = synthetic.view(run=run, runs=(run,))
    port = FakePort(with_events(view, job("sweep", "2 of 6", done=2, total=6, left_s=42.0, over=False)))
    async with running(port) as screen:
        assert "◆ SWEEP  2 of 6 measured, about 00:41 left" in screen.lines[2], "a second after it was said"
        assert "now ended ort-cpu · fp32 · batch 32" in screen.lines[3]
        await screen.press("x")
        await screen.until(lambda: bool(port.sent))
        assert verbs(port) == ["stop"]
        await screen.press("w")  # any key takes the message away
        port.view = with_events(
            view, job("sweep", "the sweep is done: 6 measured", done=6, total=6, over=True)
        )
        await screen.until(lambda: "◆ SWEEP  the sweep is done: 6 measured" in screen.lines[2])
        assert "r or x goes on" in screen.lines[3]


# -- comparisons, GPUs, loads


async def test_two_runs_are_compared_side_by_side() -> None:
    port = FakePort(synthetic.switched())
    async with running(port, size=(120, 40)) as screen:
        await screen.press("c")
        assert "then #1 ort-cpu  batch 16" in screen.text
        assert "now  #2 ort-cpu  batch 32" in screen.text
        p50 = next(line for line in screen.lines if "p50 ms" in line)
        assert "2.59" in p50
        assert "3.58" in p50
        assert "+38.2 % (38.2–38.3)" in p50
        assert any("compute ms" in line and "93 %" in line for line in screen.lines)
        assert any("samples/s" in line and "+45 %" in line for line in screen.lines)
        await screen.press("c")
        assert "now  #2" not in screen.text


async def test_of_several_runs_one_is_chosen_and_the_previous_is_first() -> None:
    view = synthetic.switched()
    assert view.before is not None
    earlier = synthetic.run(0, dataclasses.replace(synthetic.CONFIGURATION, batch=8), "end", 1.4e6)
    for port in (FakePort(), FakeReplayPort()):
        port.view = dataclasses.replace(view, runs=(earlier, view.before))
        async with running(port, size=(120, 40)) as screen:
            await screen.press("c")
            assert "compare with" in screen.text
            places = [
                next(i for i, line in enumerate(screen.lines) if f"#{n} ort-cpu" in line) for n in (1, 0)
            ]
            assert places == sorted(places)
            await screen.press("down", "enter")
            assert "then #0 ort-cpu  batch 8" in screen.text


async def test_a_run_that_differs_in_its_backend_is_offered_with_the_backend_named_once() -> None:
    view = synthetic.switched()
    assert view.before is not None
    torch = dataclasses.replace(synthetic.CONFIGURATION, backend="torch-eager", batch=8)
    same = dataclasses.replace(torch, batch=synthetic.CONFIGURATION.batch)
    port = FakePort()
    runs = [synthetic.run(n, c, "end", 1.4e6) for n, c in ((0, torch), (-1, same))]
    port.view = dataclasses.replace(view, before=runs[0], runs=tuple(runs), run=synthetic.run(2))
    async with running(port, size=(120, 40)) as screen:
        await screen.press("c")
        assert "#0 torch  batch 8, p50 1.40 ms" in screen.text
        assert "#-1 torch  p50 1.40 ms" in screen.text


async def test_without_another_run_there_is_nothing_to_compare() -> None:
    async with running() as screen:
        await screen.press("c")
        assert "no other run with results" in screen.text


async def test_tab_goes_through_the_gpus_and_the_one_under_test_is_marked() -> None:
    view = synthetic.view(gpu=True, run=synthetic.run(configuration=CUDA, gpu="gpu1"))
    assert view.header is not None
    gpus = [{"index": i, "name": f"NVIDIA H100-{i}"} for i in range(2)]
    second = [msgspec.structs.replace(m, id=m.id.replace("gpu0", "gpu1")) for m in synthetic.GPU_METRICS]
    values = {
        **view.values,
        "gpu0.util": 3.0,
        **{m.id: 77.0 for m in second},
        "gpu0.reasons": 1.0,
        "gpu1.reasons": 1.0,
    }
    header = msgspec.structs.replace(view.header, gpus=gpus)
    table = (*view.metrics, *second)
    history = synthetic.history(table=(*view.metrics,))
    wide = dataclasses.replace(view, header=header, metrics=table, values=values, history=history)
    async with running(FakePort(wide), size=(120, 40)) as screen:
        assert "GPU 1 of 2 ● under test  H100-1" in screen.text
        assert any("util" in line and "77 %" in line for line in screen.lines)
        await screen.press("tab")
        assert "GPU 0 of 2 ▲ power cap 4 %" in screen.text
        assert "PCIe, memory, power of GPU 0" in screen.text
        assert any("util" in line and "3.0 %" in line for line in screen.lines)
        await screen.press("tab")
        assert "GPU 1 of 2 ● under test" in screen.text
    async with running() as screen:
        await screen.press("tab")
        assert "this session has no GPU" in screen.text


async def test_a_latency_at_depth_says_so() -> None:
    port = FakePort()
    async with running(port) as screen:
        for load, words in (
            ("pipelined:3", "latency at depth 3, ms"),
            ("closed:4", "latency at depth 4, ms"),
            ("closed:1", "─ latency, ms"),
        ):
            configuration = dataclasses.replace(CUDA, load=load)
            port.view = synthetic.view(run=synthetic.run(configuration=configuration))

            def titled(words: str = words) -> bool:
                return words in screen.lines[4]

            await screen.until(titled)


async def test_an_open_loop_names_both_latencies_and_its_backlog() -> None:
    configuration = dataclasses.replace(CUDA, load="open:500/s")
    run = synthetic.run(configuration=configuration, response=synthetic.latency(5.2e6, 4000), backlog=7)
    port = FakePort(synthetic.view(run=run, verdict=advised().verdict))
    async with running(port, size=(120, 40)) as screen:
        assert "service latency" in screen.text
        row = next(line for line in screen.lines if "response p50 5.20" in line)
        assert "backlog 7" in row
        assert "backlog 7" in screen.lines[3], "beside the verdict too"
        port.view = synthetic.view(run=dataclasses.replace(run, response=None, unbounded="the queue grows"))
        await screen.until(lambda: "response latency unbounded: the queue grows" in screen.text)


def test_loads_that_cannot_be_had_say_why() -> None:
    cpu = synthetic.CONFIGURATION
    assert refusal(cpu, "closed:1") == ""
    assert "blocks until a request is done" in refusal(cpu, "closed:2")
    assert "ordinary host memory blocks" in refusal(CUDA, "closed:2")
    pinned = dataclasses.replace(CUDA, data_path="pinned")
    assert refusal(pinned, "pipelined:3") == ""
    assert "no copies to overlap" in refusal(dataclasses.replace(CUDA, data_path="device"), "pipelined:3")
    assert refusal(dataclasses.replace(cpu, backend="somebody-elses"), "closed:4") == "", "it alone can tell"
    assert refusal(cpu, "open:100/s") == ""


async def test_runs_show_their_verdict_where_there_is_room() -> None:
    view = synthetic.switched()
    result = {"verdicts": [{"kind": "memory-bandwidth"}, {"kind": "launch"}]}
    assert view.before is not None
    before = dataclasses.replace(view.before, result=result)
    port = FakePort(dataclasses.replace(view, before=before, runs=(before,)))
    async with running(port, size=(200, 60)) as screen:
        assert any("A" in line and "memory-bandwidth" in line for line in screen.lines)


def test_what_is_left_of_a_sweep_counts_down_within_a_run() -> None:
    far = job("sweep", "2 of 6", done=2, total=6, left_s=42.0, over=False)
    for seconds, left in ((1, "00:41"), (31, "00:11"), (90, "00:00")):
        view = with_events(synthetic.view(run=synthetic.run(phase="load")), far)
        view = dataclasses.replace(view, now=far.t + seconds * 10**9)
        assert f"2 of 6 measured, about {left} left" in text_of(view)[2]


def test_the_advice_within_a_sweep_is_not_cut() -> None:
    """It stands in full beside how far the sweep is."""
    far = job("sweep", "2 of 16 runs done", done=2, total=16, left_s=119.0, over=False)
    for width, tail in ((80, "sweep 2 of 16"), (120, "sweep 2 of 16, 01:58 left")):
        line = text_of(with_events(advised(), far), width, 40)[3]
        assert line.rstrip().endswith(tail)
        assert "…" not in line


def test_a_comparison_names_each_once_and_says_how_long_it_was_measured() -> None:
    view = synthetic.switched(gpu=True)
    assert view.before is not None
    other = dataclasses.replace(view.before.configuration, backend="torch-eager")
    before = dataclasses.replace(view.before, configuration=other, measured_s=0.84)
    view = dataclasses.replace(view, before=before, runs=(before,))
    lines = ["".join(t for t, _ in row) for row in compare_rows(view, before.run, 100)]
    assert lines[0] == "then #1 torch  pinned"
    assert lines[2] == "now  #2 ort-cuda  pageable"
    assert "in 0.8 s, grade" in lines[1]
