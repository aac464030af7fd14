"""The result of one run, as `infertop run --json` and the log's `end` record hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backends.errors import MeasureError
from ..telemetry.histogram import Histogram
from ..telemetry.stability import Conditions, grade, window_medians
from ..telemetry.statistics import MIN_BLOCKS, run_intervals, throughput_bootstrap
from .plan import Task
from .records import Fault
from .results import QUANTILES, Result, blank_result
from .runner import Runner

OTHERS_BUSY = 0.25
"""Cores' worth of other processes' work from which a CPU run was not alone."""


def fault(error: MeasureError | None) -> Fault | None:
    """The error as the log holds it."""
    return None if error is None else Fault(error.kind, error.message, error.fix, error.detail)


def refused(run: int, task: Task, error: MeasureError, status: str | None = None) -> Result:
    """Of a run that never had a worker."""
    return blank_result(task.configuration, status, error, run)


def measured(runner: Runner, telemetry: Mapping[str, float | None], host: Mapping[str, Any]) -> Result:
    """Of a run that has ended, well or not: what was measured until then is in it either way.

    `telemetry` are the means of the readings while it measured, `host` the header's facts.
    """
    measurement, facts = runner.measurement, runner.facts
    result = blank_result(facts.configuration, None, runner.error, runner.run)
    result["cold_start_s"] = {name: (facts.cold_start or {}).get(name) for name in result["cold_start_s"]}
    result["cache"] = facts.loaded.get("cache")
    result["placement"] = facts.loaded.get("placement")
    result["dropped"] = runner.worker.ring.dropped
    if facts.settled is not None:
        result["warmup"] = {
            "settled": facts.settled,
            "requests": measurement.warm_requests,
            "reason": facts.warmup_text,
        }
    if facts.loaded.get("fallback") and runner.error is None:
        fix = "infertop backends says what this environment lacks; onnxruntime-cpu measures the CPU by its own name"
        result |= {
            "status": "fallback",
            "error": {"kind": "fallback", "message": facts.loaded["fallback"], "fix": fix},
        }
    if not measurement.requests:
        return result
    samples = measurement.requests * (facts.configuration.batch or 1)
    method, intervals = run_intervals(
        measurement.seconds, list(QUANTILES.values()), facts.configuration.options.seed
    )
    service = measurement.service
    conditions = _conditions(runner, telemetry, host)
    stability = grade(window_medians(measurement.seconds), service.variation, service.n, conditions)
    return result | {
        "requests": measurement.requests,
        "samples": samples,
        "duration_s": measurement.measured_s,
        "throughput": samples / measurement.measured_s if measurement.measured_s else None,
        "throughput_ci95": _throughput(runner),
        "latency_ms": latency(service),
        "latency_ci95_ms": {
            name: [None if end is None else end / 1e6 for end in intervals[q]]
            for name, q in QUANTILES.items()
        },
        "ci_method": method,
        "latency_hdr": service.encode(),
        "stages_ms": measurement.stage_means(),
        "stage_n": measurement.instrumented,
        "telemetry": dict(telemetry),
        "stability": stability.letter,
        "stability_reasons": list(stability.reasons),
    }


def latency(service: Histogram) -> dict[str, float | None]:
    """Summaries of a distribution, ms; null where it is empty (every request was instrumented and kept apart)."""
    if not service.n:
        return {"mean": None, **dict.fromkeys(QUANTILES), "max": None}
    quantiles = service.quantiles(list(QUANTILES.values()))
    return {
        "mean": service.mean / 1e6,
        **{name: value / 1e6 for name, value in zip(QUANTILES, quantiles, strict=True)},
        "max": service.max / 1e6,
    }


def _throughput(runner: Runner) -> list[float] | None:
    """The interval of the throughput, samples/s, from the run's seconds."""
    blocks = [(requests, seconds) for requests, seconds in runner.measurement.blocks if seconds > 0]
    if len(blocks) < MIN_BLOCKS:
        return None
    batch = runner.facts.configuration.batch or 1
    seed = runner.facts.configuration.options.seed
    return list(throughput_bootstrap([n * batch for n, _ in blocks], [s for _, s in blocks], seed))


def _conditions(runner: Runner, telemetry: Mapping[str, float | None], host: Mapping[str, Any]) -> Conditions:
    """What the host's readings say of where the run took place."""
    gpu = runner.facts.configuration.device.startswith("cuda")
    threads, allowed = runner.facts.loaded.get("threads"), len(host.get("allowed_cores") or ())
    notes: list[str] = []
    if not gpu:
        others = _others(telemetry, allowed)
        if others is None:
            notes.append("how busy other processes were is unknown")
        elif others > OTHERS_BUSY:
            notes.append(f"other processes kept {others:.1f} cores busy")
        if threads and allowed and threads >= allowed > 1:
            notes.append("every core was measured on: p99 includes infertop itself")
    return Conditions(gpu=gpu, threads=threads, quota=host.get("quota"), notes=tuple(notes))


def _others(telemetry: Mapping[str, float | None], allowed: int) -> float | None:
    """Cores' worth of CPU that neither the worker nor the engine used; None where a reading is missing."""
    total, worker, engine = (telemetry.get(name) for name in ("host.cpu", "worker.cpu", "engine.cpu"))
    if total is None or worker is None or engine is None or not allowed:
        return None
    return max(0.0, (total * allowed - worker - engine) / 100)
