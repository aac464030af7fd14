"""Proofs: alternating blocks, the change with its interval, and what cannot be proven; headless and under a live engine."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from infertop.backends.configuration import Configuration
from infertop.backends.errors import MeasureError
from infertop.sessions import headless, proof, proving, result_lines, store
from infertop.sessions.diagnosis import Diagnosis
from infertop.sessions.engine import Engine
from infertop.sessions.plan import Task
from infertop.sessions.proof import Proof, Terms, first_advice, sentence
from infertop.sessions.records import Event, Run, Verdict
from infertop.sessions.results import blank_result
from infertop.sessions.session import Session
from infertop.sessions.settings import EngineSettings
from infertop.tests.sessions import kit
from infertop.tests.sessions.served import Served

TASK = Task(Configuration("torch-eager", "resnet18", "fp32", 32, device="cuda:0"))
PINNED = {
    "action": "data-path",
    "value": "pinned",
    "text": "pinned: about −1.1 ms, 31 %",
    "gain_ms": 1.1,
    "gain_share": 0.31,
    "per": "request",
    "most": False,
}
TWICE = {
    "action": "batch-up",
    "value": 2,
    "text": "batch 2: about −0.1 ms a sample, 45 %",
    "gain_ms": 0.1,
    "gain_share": 0.45,
    "per": "sample",
    "most": False,
}


def result(task: Task, p50: float | None, status: str = "ok") -> dict[str, Any]:
    error = None if status == "ok" else MeasureError("out-of-memory", "the GPU's memory is full")
    made = blank_result(task.configuration, status, error)
    return {**made, "latency_ms": {**made["latency_ms"], "p50": p50}}


def through(values: list[float], advice: dict[str, Any] = PINNED) -> Proof:
    made = Proof(TASK, advice, Terms(pairs=len(values) // 2))
    for value in values:
        block = made.next()
        assert block is not None
        made.take(result(block, value))
    return made


def test_blocks_alternate_and_differ_by_the_remedy_alone() -> None:
    made = Proof(TASK, PINNED)
    blocks = []
    while (block := made.next()) is not None:
        blocks.append(block)
        made.take(result(block, 3.0))
    assert [b.configuration.data_path for b in blocks] == ["pageable", "pinned"] * 4
    assert all(replace(b.configuration, data_path="pageable") == TASK.configuration for b in blocks)
    assert {b.duration_s for b in blocks} == {3.0}


def test_a_sure_change_has_its_interval_and_stands_beside_the_prediction() -> None:
    found = through([3.60, 2.50, 3.62, 2.52, 3.58, 2.49, 3.61, 2.51]).outcome()
    assert found["verdict"] == "helps"
    assert found["change_ms"] == pytest.approx(-1.0975, abs=1e-3)
    low, high = found["change_share_ci95"]
    assert low < found["change_share"] < high < 0
    assert (
        sentence(found)
        == "pinned helps: −1.1 ms (−30.5 %, 95 % −30.6 to −30.3 %) over 4 pairs; predicted was about −1.1 ms"
    )


def test_drift_that_both_share_does_not_spoil_the_interval() -> None:
    """The machine slows by a third while one waits: neighbouring blocks still differ by 5 %."""
    values = [value for pair in range(4) for value in (3.0 + 0.3 * pair, 0.95 * (3.0 + 0.3 * pair))]
    assert through(values).outcome()["verdict"] == "helps"


def test_noise_is_no_proof_and_harm_is_said() -> None:
    assert (
        through([3.0, 3.1, 3.1, 3.0, 3.0, 3.05, 3.1, 3.08]).outcome()["verdict"] == "changes nothing surely"
    )
    assert through([3.0, 3.3, 3.1, 3.4, 3.0, 3.28, 3.1, 3.38]).outcome()["verdict"] == "harms"


def test_another_batch_is_compared_by_the_sample() -> None:
    advice = TWICE | {"value": 64}
    made = Proof(TASK, advice, Terms(pairs=2))
    for value in (3.2, 3.3, 3.2, 3.32):
        block = made.next()
        assert block is not None
        made.take(result(block, value))
    found = made.outcome()
    assert found["present_ms"] == pytest.approx(0.1)
    assert found["remedy_ms"] == pytest.approx(0.0517, abs=1e-4)
    assert sentence(found).startswith("batch 64 helps: −0.0483 ms a sample (−48.")


def test_what_cannot_be_measured_proves_nothing() -> None:
    made = Proof(TASK, PINNED)
    for value, status in ((3.0, "ok"), (None, "failed")):
        block = made.next()
        assert block is not None
        made.take(result(block, value, status))
    assert made.next() is None
    assert (
        sentence(made.outcome())
        == "pinned: nothing is proven: the remedy could not be measured: the GPU's memory is full"
    )


def test_an_interruption_keeps_the_pairs_that_are_whole() -> None:
    made = through([3.0, 2.0, 3.0, 2.0, 3.0, 2.0])
    made.give_up("it was interrupted")
    assert made.next() is None
    assert made.outcome()["verdict"] == "helps"
    assert made.outcome()["error"] == "it was interrupted"


def test_an_advice_that_no_action_follows_is_refused() -> None:
    with pytest.raises(ValueError, match="no configuration follows from wait"):
        Proof(TASK, {"action": "", "value": None, "text": "wait"})
    assert (
        first_advice({"verdicts": [{"advice": None}, {"advice": {"action": ""}}, {"advice": PINNED}]})
        == PINNED
    )
    assert first_advice({"verdicts": []}) is None


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short blocks, and an advice that does not depend on what else this machine does just now."""
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])
    monkeypatch.setattr(proof, "first_advice", lambda result: TWICE)


@pytest.mark.usefixtures("_quick")
def test_run_proves_and_keeps_one_result_a_configuration(tmp_path: Path) -> None:
    task = kit.task(latency_us=2000, requests=50, batch=1)
    measured = headless.measure(
        [task],
        EngineSettings(sessions_dir=str(tmp_path), interval_s=0.1),
        lambda progress: None,
        prove=Terms(2, 0.3, "5x"),
    )
    (only,) = measured.results
    assert only["requests"] == 50
    found = only["proof"]
    assert found["error"] is None
    assert len(found["blocks"]) == 2
    # A batch of two spins for as long as one: a sample takes at least half of its 2 ms, however busy this machine is.
    assert all(block["present_ms"] >= 2 and block["remedy_ms"] >= 1 for block in found["blocks"])
    changes = [block["remedy_ms"] / block["present_ms"] - 1 for block in found["blocks"]]
    assert found["change_share"] == pytest.approx(sum(changes) / 2, abs=2e-3)
    assert any(
        f"proof: {sentence(found)}" in line
        for line in result_lines.verdict_lines(
            {**only, "verdicts": [{"kind": "launch", "share": 1.0, "text": "", "advice": TWICE}]}, "x"
        )
    )
    with Session(tmp_path / measured.session) as session:
        starts = [r for _, r in session.runs if isinstance(r, Run) and r.phase == "start"]
        events = [e for _, e in session.events if e.kind == "proof"]
    assert [r.configuration.batch for r in starts if r.configuration] == [1, 1, 2, 1, 2]
    assert [r.note for r in starts[2:]] == ["parked worker, loaded already"] * 3, "a block loads nothing anew"
    (event,) = events
    assert isinstance(event, Event)
    assert event.data["change_share"] == found["change_share"]


@pytest.mark.usefixtures("_quick")
def test_without_prove_nothing_is_proven(tmp_path: Path) -> None:
    (only,) = kit.run(tmp_path, [kit.task(requests=20)])[0].results
    assert only["proof"] is None


def test_where_nothing_can_be_proven_it_is_said_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])
    measured, _ = kit.run(tmp_path, [kit.task(requests=20)], prove=Terms(2, 0.3, "5x"))
    (only,) = measured.results
    assert only["proof"]["error"] == "the run was too short for a verdict"
    line = "x: proof: nothing to prove: the run was too short for a verdict"
    assert result_lines.verdict_lines(only, "x") == [line]
    with Session(tmp_path / measured.session) as session:
        (event,) = [e for _, e in session.events if e.kind == "proof"]
    assert event.data["over"]
    assert event.text == "nothing to prove: the run was too short for a verdict"


@pytest.mark.parametrize(
    ("verdicts", "why"),
    [
        (
            [{"kind": "contended", "advice": {"action": "", "text": "wait for the others"}}],
            "what is advised is for a person to do: wait for the others",
        ),
        ([{"kind": "balanced", "advice": None}], "no remedy is known for balanced"),
        ([], "the run was too short for a verdict"),
    ],
)
def test_an_advice_that_no_key_follows_is_named(verdicts: list[dict[str, Any]], why: str) -> None:
    assert sentence(proof.nothing({"verdicts": verdicts})) == f"nothing to prove: {why}"


def test_the_assumption_of_a_prediction_is_printed_behind_it() -> None:
    advice = {**TWICE, "assumed": "if issuing stays the same"}
    verdicts = [{"kind": "launch", "share": 1.0, "text": "issuing takes long", "advice": advice}]
    (line,) = result_lines.verdict_lines({"verdicts": verdicts}, "x")
    assert (
        line
        == "x: launch: issuing takes long → batch 2: about −0.1 ms a sample, 45 %, if issuing stays the same"
    )


class Proving(Served):
    """Proofs of what is measured on the simulated backend."""

    def __init__(self, tmp_path: Path) -> None:
        settings = EngineSettings(
            sessions_dir=str(tmp_path),
            interval_s=0.1,
            task=replace(kit.task(latency_us=2000, requests=None, batch=1), duration_s=60.0),
        )
        engine = Engine(settings, store.create("smallcnn", str(tmp_path), None))
        super().__init__(engine, tmp_path / "socket")

    def said(self, kind: str) -> list[Event]:
        return [event for event in self.events() if event.kind == kind]

    def batch(self) -> int | None:
        """Of the run that is being measured."""
        run = self.measured()
        return None if run is None else run.configuration.batch


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _quick: None) -> Iterator[Proving]:
    advised = Verdict(t=0, run=1, kind="launch", confidence=0.8, text="", advice=TWICE)
    monkeypatch.setattr(Diagnosis, "verdict", property(lambda self: advised))
    monkeypatch.setattr(proving, "Proof", functools.partial(Proof, terms=Terms(2, 0.3, "5x")))
    made = Proving(tmp_path)
    made.until(lambda: made.batch() == 1)
    yield made
    made.close()


def test_a_proof_under_a_viewer_ends_in_a_sentence_and_the_present_goes_on(served: Proving) -> None:
    sent = served.client.send("prove")
    served.until(lambda: any(event.data.get("over") for event in served.said("proof")))
    first, *between, last = served.said("proof")
    assert first.id == last.id == sent
    assert (first.data["done"], first.data["total"]) == (0, 4)
    assert [event.data["done"] for event in between] == [1, 2, 3]
    assert last.data["error"] is None
    assert last.text == sentence(last.data)
    runs = len(served.engine.results)
    served.until(lambda: served.batch() == 1)
    assert len(served.engine.results) == runs, "what was measured before runs again, and no further block"
    assert served.engine.runner is not None
    assert served.engine.runner.task.duration_s == 60.0


def test_another_command_ends_a_proof(served: Proving) -> None:
    served.client.send("prove")
    served.until(lambda: served.batch() == 2)
    served.client.send("configure", kit.task(latency_us=2000, requests=None, batch=8).configuration)
    served.until(lambda: served.batch() == 8)
    last = served.said("proof")[-1]
    assert last.data["over"]
    assert "batch 8" in last.data["error"]
    served.client.send("prove")
    served.client.send("stop")
    served.until(lambda: served.said("proof")[-1].data["error"] == "it was stopped")
    served.until(lambda: served.engine.runner is None)
    served.client.send("prove")
    served.until(lambda: served.said("command")[-1].level == "error")
    assert served.said("command")[-1].text == "nothing is being measured; start a run first"
