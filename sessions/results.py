"""The result of a run, as `run --json` writes it, tables and gates read it, and a log keeps it: which fields there are.

Times are in ms where the name says nothing else; unknown is null. The engine makes it (`outcome`), `merging` one of repeats, and
`documents` what holds all of a command's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..backends.configuration import Configuration
from ..backends.errors import UNAVAILABLE, MeasureError
from . import units

Result = dict[str, Any]

Interval = list[float | None]

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
"""The quantiles of the service latency, by their name in `latency_ms`."""

MEAN = "mean"
"""Its interval stands beside the quantiles'."""

USUAL = {"data_path": "pageable", "load": "closed:1"}
"""What nobody needs to be told."""

LATENCY = ("mean", *QUANTILES, "max")

COLD_START = ("import", "export", "load", "build", "first")

SETTINGS = (
    "backend_options", "compile_mode", "threads", "cpu_affinity", "seed", "gc", "inputs", "input_shapes", "weights", "slo_ms",
    "tolerance", "trust_engine",
)  # fmt: skip
"""The options that say something of what was measured."""


def blank_result(
    configuration: Configuration,
    status: str | None = None,
    error: MeasureError | None = None,
    run: int | None = None,
) -> Result:
    """A result with every field, and nothing measured. Without `status` the error's kind decides between
    `unavailable` and `failed`."""
    if status is None:
        status = "ok" if error is None else "unavailable" if error.kind in UNAVAILABLE else "failed"
    return {
        "run": run,
        "backend": configuration.label,
        "device": configuration.device,
        "model": configuration.model,
        "precision": configuration.precision,
        "batch": configuration.batch,
        "dims": dict(configuration.dims),
        "data_path": configuration.data_path,
        "load": configuration.load,
        "options": options_of(configuration),
        "threads": None,
        "status": status,
        "error": None if error is None else error.as_dict(),
        "measured_by": None,
        "complete": None,
        "asked": None,
        "requests": 0,
        "samples": 0,
        "duration_s": None,
        "throughput": None,
        "throughput_ci95": None,
        "tokens_per_s": None,
        "latency_ms": dict.fromkeys(LATENCY),
        "latency_ci95_ms": dict.fromkeys((*QUANTILES, MEAN)),
        "ci_method": None,
        "latency_hdr": None,
        "response_ms": None,
        "response_ci95_ms": None,
        "response_hdr": None,
        "open_loop": None,
        "slo": None,
        "stages_ms": None,
        "stage_n": 0,
        "gap": None,
        "instrumented": None,
        "cold_start_s": dict.fromkeys(COLD_START),
        "cache": None,
        "native": None,
        "agreement": None,
        "telemetry": {},
        "telemetry_level": None,
        "energy_j_per_sample": None,
        "energy": None,
        "quiet": None,
        "clock_reasons": None,
        "numa": None,
        "verdicts": [],
        "proof": None,
        "stability": None,
        "stability_reasons": [],
        "warmup": None,
        "dropped": 0,
        "placement": None,
        "runtime": {},
        "libraries": {},
        "control": None,
        "repeats": [],
    }


def all_on_cpu(placement: Mapping[str, int] | None) -> bool:
    """Whether a model has all its nodes on the CPU, wherever it was asked to be."""
    return bool(placement) and all(name.startswith("CPU") for name in placement or ())


def options_of(configuration: Configuration) -> dict[str, Any]:
    """What was set beside the configuration, as asked; null, or empty, is the default."""
    found = asdict(configuration.options)
    return {name: found[name] for name in SETTINGS}


def several_models(results: Sequence[Result]) -> bool:
    """Whether results must be named with their model, as those of a suite."""
    return len({r["model"] for r in results}) > 1


def stopped(result: Result) -> str:
    """How far a result is that was stopped before all was measured, `stopped after 3.7 of 60 s`; empty for any other."""
    asked = result.get("asked") or {}
    if result.get("complete") is not False:
        return ""
    begun = max(len(result["repeats"]), 1)
    if begun < asked.get("repeats", 1):
        return f"stopped after {begun} of {asked['repeats']} repeats"
    last = next((r for r in result["repeats"] if r.get("complete") is False), result)
    if asked.get("requests"):
        return f"stopped after {units.count(last['requests'])} of {units.count(asked['requests'])} requests"
    if asked.get("duration_s"):
        return f"stopped after {last['duration_s'] or 0:.1f} of {asked['duration_s']:g} s"
    return "stopped"
