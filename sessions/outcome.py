"""The result of one run, as `infertop run --json` and the log's `end` record hold it."""

from __future__ import annotations

from ..backends.errors import MeasureError
from ..telemetry.histogram import Histogram
from ..telemetry.stability import grade_run
from .plan import Task
from .records import Fault
from .results import Result, blank_result
from .runner import Runner

LEAST_BLOCKS = 5
"""Below this many seconds resampling them says nothing; the order statistics of the run serve instead."""


def fault(error: MeasureError | None) -> Fault | None:
    """The error as the log holds it."""
    return None if error is None else Fault(error.kind, error.message, error.fix, error.detail)


def refused(run: int, task: Task, error: MeasureError, status: str) -> Result:
    """Of a run that never had a worker."""
    return blank_result(task.configuration, status, error, run)


def measured(runner: Runner, telemetry: dict[str, float | None]) -> Result:
    """Of a run that has ended, well or not: what was measured until then is in it either way."""
    measurement, facts = runner.measurement, runner.facts
    result = blank_result(facts.configuration, None, runner.error, runner.run)
    result |= {
        "cold_start_s": {name: (facts.cold_start or {}).get(name) for name in result["cold_start_s"]},
        "cache": facts.loaded.get("cache"),
        "placement": facts.loaded.get("placement"),
        "dropped": runner.worker.ring.dropped,
        "warmup": None
        if facts.settled is None
        else {"settled": facts.settled, "requests": measurement.warm_requests, "text": facts.warmup_text},
    }
    if not measurement.requests:
        return result
    service = measurement.service
    samples = measurement.requests * (facts.configuration.batch or 1)
    seconds = [Histogram.decode(blob) for blob in measurement.seconds]
    intervals, throughput_interval, method = _intervals(service, seconds, samples)
    grade = grade_run(seconds, telemetry)
    return result | {
        "requests": measurement.requests,
        "samples": samples,
        "duration_s": measurement.measured_s,
        "throughput": samples / measurement.measured_s if measurement.measured_s else None,
        "throughput_ci95": throughput_interval,
        "latency_ms": _latency(service),
        "latency_ci95_ms": intervals,
        "ci_method": method,
        "latency_hdr": service.encode(),
        "stages_ms": measurement.stage_means(),
        "stage_n": measurement.instrumented,
        "telemetry": telemetry,
        "stability": grade.letter,
        "stability_reasons": list(grade.reasons),
    }
