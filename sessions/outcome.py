"""The result of one run, as `infertop run --json` and the log's `end` record hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..backends.errors import MeasureError
from ..telemetry.numa import nearness
from ..telemetry.stability import Conditions, Course, grade, window_medians
from ..telemetry.statistics import MIN_BLOCKS, mean_interval, rate_interval, run_intervals
from . import energy, gap, response, tokens, units
from .conditions import Card, Means, clock_reasons, on_cpu, on_gpu
from .plan import Instead, Task
from .readings import Readings
from .records import Fault
from .results import QUANTILES, Result, all_on_cpu, blank_result, options_of
from .runner import Runner


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else goes into a result: the readings while it measured, the host's facts and the GPUs'."""

    readings: Readings
    host: Mapping[str, Any]
    gpus: Sequence[Mapping[str, Any]] = ()
    level: str | None = None  # how much was read at its end


def card(runner: Runner, around: Surroundings) -> Card:
    """The GPU that the run is on."""
    node = next((gpu.get("numa") for gpu in around.gpus if f"gpu{gpu.get('index')}" == runner.gpu), None)
    host, options = around.host, runner.facts.configuration.options
    cores = options.cpu_affinity or host.get("allowed_cores") or ()
    near = nearness(node, cores, host.get("numa") or {}, host.get("numa_distances") or {})
    return Card(runner.gpu, runner.slice, runner.quiet, near, runner.beside, around.level != "off")


def conditions(runner: Runner, around: Surroundings, means: Means) -> Conditions:
    """Where the run takes place, as its grade sees it."""
    loaded = runner.facts.loaded
    if runner.facts.configuration.device.startswith("cuda"):
        at = on_gpu(card(runner, around), means, around.readings)
    else:
        at = on_cpu(means, around.host, loaded.get("threads"))
    return replace(at, notes=(*at.notes, loaded["unproven"])) if loaded.get("unproven") else at


def live_grade(runner: Runner, around: Surroundings, course: Course) -> list[str]:
    """The grade of a run that is measuring, from its windows so far, and the reasons."""
    service = runner.measurement.service
    at = conditions(runner, around, around.readings.means())
    apart = runner.measurement.requests - service.n
    found = grade(course.medians(), service.variation, service.n, at, apart)
    return [found.letter, *found.reasons]


def fault(error: MeasureError | None) -> Fault | None:
    """The error as the log holds it."""
    return None if error is None else Fault(error.kind, error.message, error.fix, error.detail)


def refused(run: int, task: Task, error: MeasureError, status: str | None = None) -> Result:
    """Of a run that never had a worker."""
    result = blank_result(task.configuration, status, error, run)
    return result if task.instead is None else result | _in_place_of(task.instead, result, error)


def sentence(result: Result) -> tuple[str, str]:
    """How a run ended, as the level and the text of an event: `torch-eager ended: p50 3.58 ms, 8 779 samples/s, n 8 230`."""
    name, error, status = result["backend"], result["error"], result["status"]
    if status == "ok" or status == "fallback" or (error or {}).get("kind") == "stopped":
        p50 = (result["latency_ms"] or {}).get("p50")
        text = f"{name} ended without a measured request" if error is None else f"{name}: {error['message']}"
        if p50 is not None:
            rate = units.rate(result["throughput"])
            text = f"{result['measured_by'] or name} ended: p50 {units.milliseconds(p50)} ms, {rate} samples/s, n {units.count(result['requests'])}"
        if status == "fallback":
            return "warn", f"{text}, a fallback{f' for {name}' if result['measured_by'] else ''}"
        return "info", text
    message = (error or {}).get("message") or "no reason is known"
    return (
        ("warn", f"{name} is unavailable: {message}")
        if status == "unavailable"
        else ("error", f"{name} failed: {message}")
    )


def measured(runner: Runner, around: Surroundings, verdicts: Sequence[dict[str, Any]] = ()) -> Result:
    """Of a run that has ended, well or not: what was measured until then is in it either way."""
    measurement, facts = runner.measurement, runner.facts
    result = blank_result(facts.configuration, None, runner.error, runner.run)
    result["cold_start_s"] = {name: (facts.cold_start or {}).get(name) for name in result["cold_start_s"]}
    result["options"], result["threads"] = options_of(runner.task.configuration), facts.loaded.get("threads")
    result["cache"] = facts.loaded.get("cache")
    if facts.configuration.precision == "native":
        result["native"] = facts.loaded.get("native")
    result["placement"] = facts.loaded.get("placement")
    result["agreement"] = facts.loaded.get("agreement")
    result["control"] = facts.loaded.get("control")
    result["runtime"] = (facts.loaded.get("runtime") or {}) | facts.runtime
    result["libraries"] = facts.loaded.get("libraries") or {}
    result["dropped"] = runner.worker.ring.dropped
    result["quiet"] = runner.quiet
    near = card(runner, around).nearness
    result["numa"] = near and {
        "gpu_node": near.gpu_node,
        "worker_nodes": list(near.worker_nodes),
        "distance": near.distance,
    }
    result["complete"] = runner.error is None and not runner.stopped
    result["asked"] = {"duration_s": runner.task.duration_s, "requests": runner.task.requests}
    if facts.settled is not None:
        result["warmup"] = {
            "settled": facts.settled,
            "requests": measurement.warm_requests,
            "reason": facts.warmup_text,
        }
    if facts.fallback is not None and runner.error is None:
        result |= {"status": "fallback", "error": {"kind": "fallback"} | facts.fallback}
    if (instead := runner.task.instead) is not None:
        result |= _in_place_of(instead, result, runner.error)
    opened = response.fields(measurement, runner.unserved)
    if runner.trials is not None:
        result["slo"] = runner.trials.search.result()
    if not measurement.requests:
        return result
    samples = measurement.requests * (facts.configuration.batch or 1)
    method, intervals = run_intervals(measurement.seconds, list(QUANTILES.values()))
    service = measurement.service
    means = around.readings.means()
    seconds = measurement.measured_s
    throughput = samples / seconds if seconds else None
    at = conditions(runner, around, means)
    stability = grade(
        window_medians(measurement.seconds),
        service.variation,
        service.n,
        at,
        measurement.requests - service.n,
    )
    interval = _throughput(runner)
    # Where nothing ran on the GPU, what it drew says nothing of this run.
    gpu = None if all_on_cpu(result["placement"]) else runner.gpu
    joules = energy.per_sample(around.readings, gpu, throughput, interval, runner.quiet)
    result |= {
        "requests": measurement.requests,
        "samples": samples,
        "duration_s": seconds,
        "throughput": throughput,
        "tokens_per_s": tokens.per_second(
            facts.loaded, facts.configuration.dims, facts.configuration.batch, measurement.requests, seconds
        ),
        "throughput_ci95": interval,
        "latency_ms": response.latency(service),
        "latency_ci95_ms": response.milliseconds(intervals, mean_interval(measurement.seconds)),
        "ci_method": method,
        "latency_hdr": service.encode(),
        **opened,
        "stages_ms": measurement.stage_means(),
        "stage_n": measurement.instrumented,
        "instrumented": measurement.instrumentation(),
        "telemetry": means,
        "telemetry_level": around.level,
        "energy_j_per_sample": None if joules is None else joules["j_per_sample"],
        "energy": joules,
        "clock_reasons": clock_reasons(runner.gpu, means, around.readings),
        "verdicts": list(verdicts),
        "stability": stability.letter,
        "stability_reasons": list(stability.reasons),
    }
    result["gap"] = gap.of_result(result, measurement.outside())
    return result


def _in_place_of(instead: Instead, result: Result, failure: MeasureError | None) -> Result:
    """What a result says that has the name of something else than was measured; a failure of its own stays one."""
    named = {"backend": instead.asked.label, "measured_by": result["backend"]}
    if failure is None:
        return named
    message = f"{instead.cause}; {result['backend']} in its place failed: {failure.message}"
    return named | {"error": {**failure.as_dict(), "message": message}}


def _throughput(runner: Runner) -> list[float] | None:
    """The interval of the throughput, samples/s, from the run's seconds."""
    blocks = [(requests, seconds) for requests, seconds in runner.measurement.blocks if seconds > 0]
    if len(blocks) < MIN_BLOCKS:
        return None
    batch = runner.facts.configuration.batch or 1
    return list(rate_interval([n * batch for n, _ in blocks], [s for _, s in blocks]))
