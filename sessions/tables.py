"""Results as a table for people, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from . import change, pareto, texts
from .columns import (
    CONFIGURATION,
    PARTS,
    columns_of,
    quantile,
    throughput,
    throughput_with_interval,
    with_interval,
)
from .gates import Judgement, scope_of
from .lines import table
from .output import Document
from .result_lines import error_line, gate_line, notes, verdict_lines
from .results import Result


def as_text(document: Document, judgements: Sequence[Judgement] = ()) -> str:
    """The table that `run` prints: fits 80 columns but for long dims, other data paths and loads, and a sweep on a GPU."""
    results = document["results"]
    if not results:
        return "nothing was measured\n"
    # Where there is a front to look at it is worth more than the far tail.
    quantiles = ("p50", "p99") if pareto.contested(results) else ("p50", "p99", "p99_9")
    columns = columns_of(results, CONFIGURATION, quantiles, quantile, throughput, stages=False)
    rows = [[heading for heading, _, _ in columns], *([cell(r) for _, cell, _ in columns] for r in results)]
    lines = table(rows, [right for _, _, right in columns])
    if pareto.contested(results):
        lines.append(
            "* on the Pareto front: nothing else here of this model and size has a lower p50 and more samples/s"
        )
    lines += change.lines(results, lambda r: scope_of(r, results))
    lines += [
        f"{scope_of(r, results)}: stability {r['stability']}: {texts.line('; '.join(r['stability_reasons']))}"
        for r in results
        if r["stability_reasons"]
    ]
    lines += [f"{scope_of(r, results)}: {note}" for r in results for note in notes(r)]
    lines += [line for r in results for line in verdict_lines(r, scope_of(r, results))]
    lines += [f"gate {gate_line(judgement)}" for judgement in judgements]
    return "\n".join(lines) + "\n"


def as_markdown(document: Document, judgements: Sequence[Judgement] = ()) -> str:
    """Tables as GitHub draws them, with 95 % intervals where they are known, and the errors below."""
    results = document["results"]
    models = ", ".join(dict.fromkeys(r["model"] for r in results))
    columns = columns_of(
        results, PARTS, ("p50", "p90", "p99", "p99_9"), with_interval, throughput_with_interval,
        stages=True,
    )  # fmt: skip
    lines = [
        f"### {_escaped(models)}",
        "",
        "| " + " | ".join(heading for heading, _, _ in columns) + " |",
        "|" + "|".join("---:" if right else "---" for _, _, right in columns) + "|",
        *("| " + " | ".join(_escaped(cell(r)) for _, cell, _ in columns) + " |" for r in results),
        "",
        f"Service latency on the host's clock{_methods(results)}; "
        f"{_session(document['session'])}, infertop {document['infertop']}.",
    ]
    if pareto.contested(results):
        lines += [
            "",
            "Pareto: on the front of p50 against samples/s, which no other result here beats in both.",
        ]
    remarks = [f"- {_escaped(f'{scope_of(r, results)}: {note}')}" for r in results for note in notes(r)]
    remarks += [f"- {_escaped(line)}" for line in change.lines(results, lambda r: scope_of(r, results))]
    errors = [f"- {_escaped(error_line(r, results))}" for r in results if r["error"]]
    gates = [f"- gate {_escaped(gate_line(judgement))}" for judgement in judgements]
    for block in (remarks, errors, gates):
        lines += ["", *block] if block else []
    return "\n".join(lines) + "\n"


def _session(name: str | None) -> str:
    return "no session" if name is None else f"session {_escaped(name)}"


def _methods(results: Sequence[Result]) -> str:
    methods = list(dict.fromkeys(r["ci_method"] for r in results if r["ci_method"]))
    return f", 95 % intervals ({_escaped(', '.join(methods))})" if methods else ""


def _escaped(text: str) -> str:
    for character in "\\`*_<>|[]":
        text = text.replace(character, f"\\{character}")
    return texts.line(text)
