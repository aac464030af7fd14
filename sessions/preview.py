"""What `--dry-run` prints: the runs, their order, and how long they take as far as anybody can know."""

from __future__ import annotations

from . import lines, texts, units
from .expected import Estimate, Expected, searches
from .plan import AUTO_WARMUP_S, Plan, describe


def preview(plan: Plan, expected: Expected | None = None, done: int = 0) -> str:
    """The plan in words; `expected` knows times of earlier sessions, and the first `done` tasks are measured already."""
    expected = expected or Expected()
    runs, kinds = len(plan.tasks), len(plan.configurations)
    models = list(dict.fromkeys(c.model for c in plan.configurations))
    named = texts.line(", ".join(models))
    said = [f"{runs} run{'s' * (runs > 1)} of {kinds} configuration{'s' * (kinds > 1)} of {named}"]
    if done:
        said.append(f"measured already: {done} of {runs}")
    if done < runs:
        estimates = [expected.of(task) for task in plan.tasks[done:]]
        said.append(f"time: {_time(plan, estimates)}")
    repeated = any(task.repeat for task in plan.tasks)
    rows = []
    for number, task in enumerate(plan.tasks, 1):
        model = f"{task.configuration.model} · " if len(models) > 1 else ""
        suffix = f" · repeat {task.repeat + 1}" if repeated else ""
        took = "measured" if number <= done else _each(expected.of(task))
        rows.append([str(number), took, texts.line(f"{model}{describe(task.configuration)}{suffix}")])
    said += lines.table(rows, [True, True, False]) if rows else []
    return "\n".join(said) + "\n"


def _each(estimate: Estimate) -> str:
    if estimate.seconds is None:
        return units.UNKNOWN
    return f"{'' if estimate.whole else '≥ '}{units.duration(round(estimate.seconds))}"


def _time(plan: Plan, estimates: list[Estimate]) -> str:
    task = plan.tasks[-1]
    seconds = [estimate.seconds for estimate in estimates]
    if None in seconds:
        return f"unknown ({units.count(task.requests)} requests a run), and loading"
    least = sum(s for s in seconds if s is not None)
    whole = sum(estimate.whole for estimate in estimates)
    if whole == len(estimates):
        return f"about {units.duration(round(least))}, loading included as it took in earlier sessions"
    if whole:
        return (
            f"at least {units.duration(round(least))}; loading is known of {whole} of {len(estimates)} runs"
        )
    if any(searches(task.configuration) for task in plan.tasks):
        return f"at least {units.duration(round(least))}, and loading and the search for the rate"
    if task.warmup != "auto":
        return f"at least {units.duration(least)}, and loading"
    most = least + len(estimates) * (AUTO_WARMUP_S[1] - AUTO_WARMUP_S[0])
    return f"{units.duration(least)} to about {units.duration(most)}, as warm-up takes, and loading"
