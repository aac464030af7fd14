"""What stays on the ordinary screen after quitting: the results, the session's name, and the commands to go on with."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ..sessions.command_line import command
from ..sessions.lines import sentence
from ..sessions.view import RunView, View
from .naming import short_backend
from .ranking import MARKS, Ranking, discounted, every, last, measured, ranking, varying
from .render.cells import clean
from .render.numbers import UNKNOWN, count, duration, number

_RUNS = 8  # runs that are listed: the last ones, and the best


def farewell(view: View, replay: Sequence[str] = ()) -> str:
    """A few lines of plain text; empty where there is nothing to tell. `replay`: what follows `infertop replay` to play the session."""
    runs = measured(every(view.runs, view.run))
    lines: list[str] = []
    if runs:
        found, told_apart = ranking(runs), varying(runs)
        names = [name for name, _ in told_apart]
        heads = ("backend", *names, "batch", "n", "p50", "p99", "samples/s", "")
        left = {0, *range(1, 1 + len(names)), len(heads) - 1}
        rows = [
            (
                short_backend(view, run.configuration),
                *(clean(of(run)) for _, of in told_apart),
                *_numbers(run),
                _mark(run, found),
            )
            for run in last(runs, found, _RUNS)
        ]
        widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
        for row in (heads, *rows):
            cells = [
                c.ljust(w) if i in left else c.rjust(w)
                for i, (c, w) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        lines.append("")
    elif view.run is not None and view.run.error is not None and view.run.error.kind != "stopped":
        fault = view.run.error
        said = sentence(f"{short_backend(view, view.run.configuration)}: {fault.message}", fault.fix)
        lines += [clean(said), ""]
    if view.header is not None and view.header.recording and replay:
        again = shlex.join(["infertop", "replay", *replay])
        lines.append(f"session {clean(view.header.session)}: {clean(again)}")
    newest = runs[-1] if runs else view.run
    if newest is not None and newest.configuration.backend:
        recorded = view.header.command if view.header is not None else ()
        lines.append(f"the same without the screen: {clean(command(newest.configuration, recorded))}")
    return "\n".join(lines)


def _numbers(run: RunView) -> tuple[str, ...]:
    """Batch, n, p50, p99 and throughput."""
    assert run.latency is not None
    known = {q.q: q.value for q in run.latency.quantiles}
    batch = run.configuration.batch
    return (
        UNKNOWN if batch is None else str(batch),
        count(run.requests),
        duration(known.get(0.5)),
        duration(known.get(0.99)),
        number(run.throughput),
    )


def _mark(run: RunView, found: Ranking) -> str:
    """Which of several is the best, and which take part in no comparison."""
    best = found.leader(run)
    return MARKS.get(
        discounted(run), "best" if found.contested and best is not None and best.run == run.run else ""
    )
