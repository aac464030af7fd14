"""The end of `infertop run`: everything that was measured is printed and written, whatever became of the gates; then the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from ..backends.errors import MeasureError
from . import csv_rows, documents, gates, output, result_lines, tables
from .lines import sentence
from .plan import Plan
from .units import UNKNOWN

Say = Callable[[str], None]
Forms = Mapping[str, Callable[[], str]]

LOST = "nothing was recorded, so that the results are lost"

_NAMED = ("backend", "device", "precision", "data_path", "load")
"""What a table has to have a word for."""


def deliver(
    measured: documents.Measured,
    plan: Plan,
    conditions: Sequence[gates.Gate],
    targets: Mapping[str, str | None],
    *,
    pass_inconclusive: bool,
    say: Say,
) -> int:
    """`targets` says where the forms `json`, `markdown` and `csv` go; `say` takes what is for the person beside the data.

    Raises MeasureError where a gate matches nothing or a file cannot be written, when all else is done.
    """
    document = documents.document(measured, plan)
    problems: list[MeasureError] = []
    judgements: list[gates.Judgement] = []
    if measured.interrupted is None:
        try:
            judgements = gates.judge(conditions, document["results"])
        except MeasureError as error:
            problems.append(error)
    document["gates"] = [judgement.as_dict() for judgement in judgements]
    kept = f"{measured.session} holds the results" if measured.header.recording else LOST
    forms: Forms = {
        "json": lambda: output.as_json(document),
        "markdown": lambda: tables.as_markdown(document, judgements),
        "csv": lambda: csv_rows.as_csv(document),
    }
    problems += _files(targets, forms, kept)
    for result in document["results"]:
        if result["error"]:
            say(
                "\n".join(
                    [result_lines.error_line(result, document["results"]), *result_lines.detail_lines(result)]
                )
            )
    to_stdout = _to_stdout(targets)
    if to_stdout is not None:
        for judgement in judgements:
            say(f"gate {result_lines.gate_line(judgement)}")
        _documents_are_utf8()
    try:
        output.write_out(
            tables.as_text(document, judgements) if to_stdout is None else forms[to_stdout](), kept
        )
    except MeasureError as error:
        problems.append(error)
    if measured.header.recording:
        say(sentence(f"recorded as {measured.session}", ""))
    if measured.interrupted is not None:
        if measured.header.recording:
            say(f"the same command with --resume {measured.session} measures what is left")
        return 128 + measured.interrupted
    for problem in problems[1:]:
        say(sentence(problem.message, problem.fix))
    if problems:
        raise problems[0]
    return gates.exit_code(document["results"], judgements, pass_inconclusive=pass_inconclusive)


def refuse(
    error: MeasureError, model: str, backend: str | None, targets: Mapping[str, str | None], say: Say
) -> None:
    """The documents that were asked for, of a command that failed before an engine began; the error itself is for the caller to say."""
    document = documents.refused(error, model, backend)
    (result,) = document["results"]
    shown = {
        **document,
        "results": [
            {name: value if name not in _NAMED or value else UNKNOWN for name, value in result.items()}
        ],
    }
    forms: Forms = {
        "json": lambda: output.as_json(document),
        "markdown": lambda: tables.as_markdown(shown),
        "csv": lambda: csv_rows.as_csv(shown),
    }
    problems = _files(targets, forms, "")
    to_stdout = _to_stdout(targets)
    if to_stdout is not None:
        _documents_are_utf8()
        try:
            output.write_out(forms[to_stdout]())
        except MeasureError as failure:
            problems.append(failure)
    for problem in problems:
        say(sentence(problem.message, problem.fix))


def _files(targets: Mapping[str, str | None], forms: Forms, kept: str) -> list[MeasureError]:
    """Write those that go to files; what could not be written."""
    problems = []
    for form, target in targets.items():
        if target is not None and target != output.STDOUT:
            try:
                output.write(target, forms[form](), kept)
            except MeasureError as error:
                problems.append(error)
    return problems


def _to_stdout(targets: Mapping[str, str | None]) -> str | None:
    return next((form for form, target in targets.items() if target == output.STDOUT), None)


def _documents_are_utf8() -> None:
    """JSON, Markdown and CSV are UTF-8 wherever they go; what people read follows their locale."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8")
