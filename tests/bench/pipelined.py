"""Pipelined throughput on a GPU beside 1 ÷ the longest stage: copies overlap compute, so that the longest alone should decide.

ResNet18, batch 32, on both pinned data paths; the stages are the means of the same run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infertop.telemetry.nvml import Nvml

from ._budgets import Budget, table
from ._results import results

BATCH = 32
DEPTH = 4
"""In flight: one in each of host, h2d, compute and d2h."""

MEASURED = ("--warmup", "2s", "--duration", "5s", "--no-agreement")
BACKENDS = "torch-eager,onnxruntime-cuda"
STAGES = ("host", "h2d", "compute", "d2h")
LOST = 5.0
"""Of the longest stage's rate, %."""


def longest(result: Mapping[str, Any]) -> tuple[str, float] | None:
    """The longest stage and its mean, ms; None where nothing was measured."""
    stages = {name: (result["stages_ms"] or {}).get(name) for name in STAGES}
    known = [(name, float(stage["mean"])) for name, stage in stages.items() if stage]
    return max(known, key=lambda stage: stage[1], default=None)


def report(found: Sequence[Mapping[str, Any]]) -> None:
    """Prints one row a result, and the budgets."""
    budgets = []
    for result in found:
        name = " ".join(result[key] for key in ("backend", "precision", "data_path"))
        stage = longest(result)
        if result["status"] != "ok" or stage is None:
            print(
                f"{name:44}  {result['status']}: {(result['error'] or {}).get('message', 'nothing was measured')}"
            )
            budgets.append(Budget(f"lost, {name}", None, LOST, "%"))
            continue
        share = result["throughput"] / BATCH * stage[1] / 1e3
        means = "  ".join(
            f"{key} {result['stages_ms'][key]['mean']:.3f}" for key in STAGES if result["stages_ms"].get(key)
        )
        print(
            f"{name:44}  {result['throughput']:8,.0f}/s × {stage[0]} {stage[1]:.3f} ms = {share:.3f} (budget 0.95)   "
            f"{means} ms, {result['stage_n']} timed, {result['stability']}"
        )
        budgets.append(Budget(f"lost, {name}", 100 * (1 - share), LOST, "%"))
    table(budgets)


def main() -> None:
    """Measures both backends, precisions and data paths in one session."""
    if reason := Nvml().reason():
        print(f"not measured: {reason}")
        return
    words = ["--backend", BACKENDS, "--precision", "fp32,tf32", "--data-path", "pinned,pinned-ready"]
    report(results("resnet18", *words, "--batch", str(BATCH), "--load", f"pipelined:{DEPTH}", *MEASURED))


if __name__ == "__main__":
    main()
