"""Results as CSV."""

from __future__ import annotations

import csv
import io

from . import load_words, result_lines, texts
from .columns import dims_text, ends, interval_of
from .output import Document
from .results import COLD_START, LATENCY, QUANTILES, Result


def as_csv(document: Document) -> str:
    """One line a result, one column a value; an unknown one is empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    rows = [_flat(result) for result in document["results"]]
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return buffer.getvalue()


def _cell(value: object) -> object:
    return "" if value is None else value


_PLAIN = ("run", "backend", "device", "model", "precision", "batch", "data_path", "load", "status")
_NUMBERS = ("requests", "samples", "duration_s", "throughput")
_REST = ("complete", "stage_n", "cache", "energy_j_per_sample", "stability", "dropped")


def _flat(result: Result) -> dict[str, object]:
    row: dict[str, object] = {name: result[name] for name in _PLAIN}
    row["dims"] = dims_text(result)
    row["error"] = texts.line((result["error"] or {}).get("message", ""))
    row |= {name: result[name] for name in _NUMBERS}
    row["throughput_low"], row["throughput_high"] = ends(result.get("throughput_ci95"))
    for name in LATENCY:
        row[f"{name}_ms"] = (result["latency_ms"] or {}).get(name)
        if name in QUANTILES:
            row[f"{name}_low_ms"], row[f"{name}_high_ms"] = interval_of(result, name)
    for stage, value in (result["stages_ms"] or {}).items():
        row[f"{stage}_mean_ms"] = (value or {}).get("mean")
    row |= {f"cold_start_{phase}_s": (result["cold_start_s"] or {}).get(phase) for phase in COLD_START}
    row |= {name: result[name] for name in _REST}
    row["tokens_per_s"] = result.get("tokens_per_s")
    for name in ("max_rel", "mean_abs", "cosine", "top1", "within_band"):
        row[f"agreement_{name}"] = (result["agreement"] or {}).get(name)
    row["pareto"] = result.get("pareto")
    row |= load_words.as_row(result) | result_lines.as_row(result)
    return row | dict(result["telemetry"] or {})
