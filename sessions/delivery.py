"""The end of `infertop run`: everything that was measured is printed and written, whatever became of the gates; then the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from ..backends.errors import MeasureError
from . import gates, output, results
from .lines import sentence
from .plan import Plan

Say = Callable[[str], None]


def deliver(
    measured: results.Measured,
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
    document = results.document(measured, plan)
    problems: list[MeasureError] = []
    judgements: list[gates.Judgement] = []
    if measured.interrupted is None:
        try:
            judgements = gates.judge(conditions, document["results"])
        except MeasureError as error:
            problems.append(error)
    document["gates"] = [judgement.as_dict() for judgement in judgements]
    forms: dict[str, Callable[[], str]] = {
        "json": lambda: output.as_json(document),
        "markdown": lambda: output.as_markdown(document, judgements),
        "csv": lambda: output.as_csv(document),
    }
    for form, target in targets.items():
        if target is not None and target != output.STDOUT:
            try:
                output.write(target, forms[form]())
            except MeasureError as error:
                problems.append(error)
    several = results.several_models(document["results"])
    for result in document["results"]:
        if result["error"]:
            say("\n".join([output.error_line(result, model=several), *output.detail_lines(result)]))
    to_stdout = next((form for form, target in targets.items() if target == output.STDOUT), None)
    if to_stdout is None:
        sys.stdout.write(output.as_text(document, judgements))
    else:
        for judgement in judgements:
            say(f"gate {output.gate_line(judgement)}")
        _documents_are_utf8()
        sys.stdout.write(forms[to_stdout]())
    sys.stdout.flush()
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


def _documents_are_utf8() -> None:
    """JSON, Markdown and CSV are UTF-8 wherever they go; what people read follows their locale."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8")
