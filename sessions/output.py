"""How results leave `infertop run`: a table for people, Markdown, CSV and JSON, to files or to standard
output."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from ..backends.errors import MeasureError
from . import change, load_words, pareto, proof, result_lines, texts, units
from .gap import SUM
from .gates import Judgement, scope_of
from .lines import sentence, table
from .results import COLD_START, LATENCY, QUANTILES, USUAL, Result, several_models, stopped
from .units import milliseconds

STDOUT = "-"

DETAIL_LINES = 12
"""Of the end of a runtime's output or a traceback; the whole is in the JSON document and in the log."""

Document = Mapping[str, Any]


def check_targets(targets: Mapping[str, str | None]) -> None:
    """Before anything is measured: option -> target. One may be `-`, and every file's folder must take a
    file."""
    named = {option: target for option, target in targets.items() if target is not None}
    to_stdout = [option for option, target in named.items() if target == STDOUT]
    if len(to_stdout) > 1:
        raise MeasureError(
            "usage",
            f"{' and '.join(to_stdout)} cannot both go to standard output",
            "give - to one of them and a file to the other",
        )
    places: dict[str, str] = {}
    for option, target in named.items():
        if target == STDOUT:
            continue
        path = os.path.realpath(target)
        if path in places:
            raise MeasureError(
                "usage",
                f"{places[path]} and {option} name the same file {target}",
                "give each a file of its own",
            )
        places[path] = option
        folder = Path(path).parent
        if Path(path).is_dir():
            raise MeasureError("usage", f"{option} {target} is a directory", "name a file in it")
        if not folder.is_dir():
            raise MeasureError("usage", f"{option} {target}: there is no folder {folder}", "make it first")
        if not os.access(folder if _replaceable(path) else path, os.W_OK):
            raise MeasureError(
                "usage", f"{option} {target} cannot be written", "choose a place that you may write to"
            )


def _replaceable(path: str) -> bool:
    """Whether a new file may take the place: devices and pipes are written to instead."""
    return not os.path.exists(path) or os.path.isfile(path)


def write(target: str, text: str, kept: str = "") -> None:
    """Write the whole file or leave the old one: no reader sees half of it. Raises MeasureError; `kept` says where the results are
    all the same."""
    path = os.path.realpath(target)
    try:
        if not _replaceable(path):
            Path(path).write_text(text, encoding="utf-8")
            return
        descriptor, temporary = tempfile.mkstemp(
            dir=os.path.dirname(path), prefix=f".{os.path.basename(path)}."
        )
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, _mode(path))
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise MeasureError(
            "output",
            f"{target} could not be written: {error.strerror}",
            kept,
        ) from error


def write_out(text: str, kept: str = "") -> None:
    """Write to standard output, all of it, now. Raises MeasureError, but BrokenPipeError where nobody reads any more."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MeasureError(
            "output", f"standard output could not be written: {error.strerror}", kept
        ) from error


def _mode(path: str) -> int:
    """The permissions of the file that is replaced, or those that a new file gets."""
    with contextlib.suppress(FileNotFoundError):
        return os.stat(path).st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def as_json(document: Document) -> str:
    """The document, indented. NaN and infinity have no place in JSON and become null."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


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
    row["throughput_low"], row["throughput_high"] = _bounds(result.get("throughput_ci95"))
    for name in LATENCY:
        row[f"{name}_ms"] = (result["latency_ms"] or {}).get(name)
        if name in QUANTILES:
            row[f"{name}_low_ms"], row[f"{name}_high_ms"] = _interval(result, name)
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


def _interval(result: Result, name: str, which: str = "latency") -> tuple[float | None, float | None]:
    return _bounds((result[f"{which}_ci95_ms"] or {}).get(name))


def _bounds(interval: Sequence[float | None] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (interval[0], interval[1])


Column = tuple[str, Callable[[Result], str], bool]
"""Heading, cell, and whether it stands to the right as numbers do."""


def _quantile(name: str, which: str = "latency") -> Callable[[Result], str]:
    """The value; where n is too small for an upper bound only what it is at least, and ≈ where no interval is
    known at all."""

    def cell(result: Result) -> str:
        value = (result[f"{which}_ms"] or {}).get(name)
        low, high = _interval(result, name, which)
        if value is None and which == "response" and (result["open_loop"] or {}).get("unbounded"):
            return load_words.UNBOUNDED
        if value is None:
            return units.UNKNOWN
        if low is None:
            return f"≈ {milliseconds(value)}"
        return milliseconds(value) if high is not None else f"≥ {milliseconds(low)}"

    return cell


def _with_interval(name: str, which: str = "latency") -> Callable[[Result], str]:
    def cell(result: Result) -> str:
        low, high = _interval(result, name, which)
        text = _quantile(name, which)(result)
        return text if low is None or high is None else f"{text} [{milliseconds(low)}, {milliseconds(high)}]"

    return cell


def _throughput(result: Result) -> str:
    return units.rate(result["throughput"])


def _throughput_with_interval(result: Result) -> str:
    low, high = _bounds(result.get("throughput_ci95"))
    text = _throughput(result)
    return text if low is None or high is None else f"{text} [{units.rate(low)}, {units.rate(high)}]"


def _heading(name: str) -> str:
    return name.replace("_", ".") + " ms"


def _agreement(result: Result) -> str:
    """Whether the outputs agree with the reference's within the precision's band."""
    within = (result["agreement"] or {}).get("within_band")
    return units.UNKNOWN if within is None else "agrees" if within else "differs"


def agreement_line(result: Result) -> str:
    """Why outputs differ, or could not be compared; empty where they agree."""
    found = result["agreement"] or {}
    if not found.get("reason"):
        return ""
    name = (
        f"outputs differ from {found['reference']}: "
        if found.get("within_band") is False
        else "outputs not compared: "
    )
    return texts.line(name + found["reason"])


def _tokens(result: Result) -> str:
    return units.rate(result.get("tokens_per_s"))


def _notes(result: Result) -> list[str]:
    """What stands below the table of one result beside its stability and verdict."""
    agreement = agreement_line(result)
    return [*load_words.notes(result), *([agreement] if agreement else ()), *result_lines.lines(result)]


def _stage(name: str) -> Callable[[Result], str]:
    return lambda result: result_lines.stage(name, result_lines.means(result))


def _energy(result: Result) -> str:
    joules = result["energy_j_per_sample"]
    return units.significant(None if joules is None else joules * 1e3)


_MODEL: Column = ("model", lambda r: texts.line(r["model"]), False)

_CONFIGURATION: tuple[Column, ...] = (("configuration", lambda r: texts.line(scope_of(r)), False),)
"""In one column, as gates name it: a table for a terminal has 80."""

_PARTS: tuple[Column, ...] = (
    ("backend", lambda r: texts.line(r["backend"]), False),
    ("precision", lambda r: r["precision"], False),
    ("batch", lambda r: units.count(r["batch"]), True),
    ("dims", lambda r: texts.line(dims_text(r)), False),
)


def dims_text(result: Result) -> str:
    """`seq=128 past=0`."""
    return " ".join(f"{name}={size}" for name, size in (result["dims"] or {}).items())


def _columns(
    results: Sequence[Result],
    named: Sequence[Column],
    quantiles: Sequence[str],
    cell: Callable[..., Callable[[Result], str]],
    throughput: Callable[[Result], str],
    *,
    stages: bool,
) -> list[Column]:
    """The columns that tell something: those that would be empty, or hold defaults only, are left out."""
    columns = [_MODEL] if several_models(results) else []
    columns += [column for column in named if any(column[1](r) for r in results)]
    for name, usual in USUAL.items():
        if any(r[name] != usual for r in results):
            columns.append((name.replace("_", " "), itemgetter(name), False))
    columns += [(_heading(name), cell(name), True) for name in quantiles]
    if any(r.get("open_loop") for r in results):
        columns += [("response " + _heading(name), cell(name, "response"), True) for name in ("p50", "p99")]
    columns += [
        ("samples/s", throughput, True),
        *([("tokens/s", _tokens, True)] if any(r.get("tokens_per_s") for r in results) else []),
        ("n", lambda r: units.count(r["requests"]), True),
    ]
    if stages:
        columns += [
            (name, _stage(name), True) for name in SUM if any(name in result_lines.means(r) for r in results)
        ]
    if any(r["agreement"] for r in results):
        columns.append(("outputs", _agreement, False))
    if any(r["energy_j_per_sample"] is not None for r in results):
        columns.append(("mJ/sample", _energy, True))
    columns += [
        ("stability", lambda r: r["stability"] or units.UNKNOWN, False),
    ]
    if pareto.contested(results):
        columns.append(("Pareto", lambda r: "*" if r.get("pareto") else "", False))
    if any(r["status"] != "ok" or stopped(r) for r in results):
        columns.append(
            ("status", lambda r: stopped(r) if r["status"] == "ok" and stopped(r) else r["status"], False)
        )
    return columns


def as_text(document: Document, judgements: Sequence[Judgement] = ()) -> str:
    """The table that `run` prints: fits 80 columns but for long dims, other data paths and loads, and a sweep on a GPU."""
    results = document["results"]
    # Where there is a front to look at it is worth more than the far tail.
    quantiles = ("p50", "p99") if pareto.contested(results) else ("p50", "p99", "p99_9")
    columns = _columns(results, _CONFIGURATION, quantiles, _quantile, _throughput, stages=False)
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
    lines += [f"{scope_of(r, results)}: {note}" for r in results for note in _notes(r)]
    lines += [line for r in results for line in verdict_lines(r, scope_of(r, results))]
    lines += [f"gate {gate_line(judgement)}" for judgement in judgements]
    return "\n".join(lines) + "\n"


def verdict_lines(result: Result, scope: str) -> list[str]:
    """What holds a configuration back, for how much of the time, what to do, and what a proof of that gave."""
    lines = _named(result, scope) if result.get("verdicts") else []
    if result.get("proof"):
        lines.append(f"{scope}: proof: {texts.line(proof.sentence(result['proof']))}")
    return lines


def _named(result: Result, scope: str) -> list[str]:
    first = result["verdicts"][0]
    share = (
        ""
        if first["kind"] == "mixed" or first["share"] > 0.995
        else f" ({100 * first['share']:.0f} % of the time)"
    )
    given = first["advice"] or {}
    advice = ", ".join(str(part) for part in (given.get("text"), given.get("assumed")) if part)
    return [
        f"{scope}: {first['kind']}{share}: {texts.line(first['text'])}"
        + (f" → {texts.line(advice)}" if advice else "")
    ]


def as_markdown(document: Document, judgements: Sequence[Judgement] = ()) -> str:
    """Tables as GitHub draws them, with 95 % intervals where they are known, and the errors below."""
    results = document["results"]
    models = ", ".join(dict.fromkeys(r["model"] for r in results))
    columns = _columns(
        results, _PARTS, ("p50", "p90", "p99", "p99_9"), _with_interval, _throughput_with_interval,
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
    notes = [f"- {_escaped(f'{scope_of(r, results)}: {note}')}" for r in results for note in _notes(r)]
    notes += [f"- {_escaped(line)}" for line in change.lines(results, lambda r: scope_of(r, results))]
    errors = [f"- {_escaped(error_line(r, results))}" for r in results if r["error"]]
    gates = [f"- gate {_escaped(gate_line(judgement))}" for judgement in judgements]
    for block in (notes, errors, gates):
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


def error_line(result: Result, among: Sequence[Result] = ()) -> str:
    """`onnxruntime-cpu: message; fix` of a result that has an error; where the backend has other results too, by what tells it from them."""
    error = result["error"]
    message = error["message"]
    if sum(other["backend"] == result["backend"] for other in among) > 1:
        return sentence(f"{scope_of(result, among)}: {message}", error["fix"])
    named = message if message.startswith(result["backend"]) else f"{result['backend']}: {message}"
    return sentence(f"{result['model']}: {named}" if several_models(among) else named, error["fix"])


def detail_lines(result: Result) -> list[str]:
    """The end of the runtime's own words, set off from ours."""
    lines = texts.block(result["error"].get("detail", "")).rstrip().splitlines()
    return [f"  | {line}" for line in lines[-DETAIL_LINES:]]


def gate_line(judgement: Judgement) -> str:
    """`passed: p99<5ms (onnxruntime-cpu/fp32/1: 3.1, [3.0, 3.2])`."""
    value = units.significant(judgement.value, 4)
    if judgement.interval is not None:
        value += f", [{', '.join(units.significant(bound, 4) for bound in judgement.interval)}]"
    reason = f"; {judgement.reason}" if judgement.reason else ""
    return texts.line(f"{judgement.outcome}: {judgement.expr} ({judgement.scope}: {value}{reason})")
