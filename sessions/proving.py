"""A proof under a live screen: the present verdict's advice against what is measured now, block by block; then the present goes on."""

from __future__ import annotations

from ..backends.errors import MeasureError
from . import proof
from .engine import Engine
from .plan import Task, describe
from .proof import Proof
from .runner import Runner


class Proving:
    """The proof of a serving engine; between proofs there is none."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._proof: Proof | None = None
        self._runner: Runner | None = None
        self._command: str | None = None

    @property
    def on(self) -> bool:
        return self._proof is not None

    def begin(self, command: str) -> None:
        """Begin to prove the advice of the verdict that stands; what runs is stopped for it. Raises MeasureError where there is none."""
        engine, runner = self._engine, self._engine.runner
        if self.on:
            raise MeasureError("usage", "a proof is going on", "stop it first")
        if runner is None or not runner.measuring:
            raise MeasureError("usage", "nothing is being measured", "start a run first")
        verdict = engine.diagnosis.verdict
        if verdict is None or not (verdict.advice or {}).get("action"):
            raise MeasureError("usage", "there is no advice to prove", "v shows the evidence")
        assert verdict.advice is not None
        try:
            self._proof = Proof(runner.task, verdict.advice)
        except ValueError as error:
            raise MeasureError("usage", str(error), "v shows the evidence") from error
        self._command = command
        text = (
            f"proving {verdict.advice['text']}: {self._proof.count} blocks of {proof.STANDARD.block_s:.0f} s"
        )
        engine.say(proof.KIND, text, command=command, done=0, total=self._proof.count, over=False)
        runner.stop()

    @property
    def present(self) -> Task | None:
        """What was measured when the proof began, and goes on after it."""
        return None if self._proof is None else self._proof.present

    def go_on(self) -> Runner | None:
        """Start the next block; None where the proof has just ended, which is said."""
        assert self._proof is not None
        block = self._proof.next()
        if block is not None:
            try:
                self._runner = self._engine.start(block, quiet=False)
            except MeasureError as error:
                self._proof.give_up(f"{describe(block.configuration)} could not be started: {error.message}")
            else:
                return self._runner
        self._end()
        return None

    def ended(self, runner: Runner) -> bool:
        """Take a run that ended; False where it was no block."""
        if self._proof is None or runner is not self._runner:
            return False
        self._runner = None
        self._proof.take(self._engine.results[-1])
        if self._proof.failure is None and self._proof.done < self._proof.count:
            text = f"proof: {self._proof.done} of {self._proof.count} blocks done"
            self._engine.say(proof.KIND, text, done=self._proof.done, total=self._proof.count, over=False)
        return True

    def cancel(self, why: str) -> bool:
        """End the proof where one is on, with what was measured; its present block is for the caller to stop."""
        if self._proof is None:
            return False
        self._proof.give_up(why)
        self._end()
        return True

    def _end(self) -> None:
        proving, self._proof, self._runner = self._proof, None, None
        assert proving is not None
        outcome = proving.outcome()
        level = "info" if outcome["change_share"] is not None else "warn"
        self._engine.say(
            proof.KIND, proof.sentence(outcome), level=level, command=self._command, over=True, **outcome
        )
