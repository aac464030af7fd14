"""`infertop run`: measured without a screen, and printed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..backends.errors import MeasureError

if TYPE_CHECKING:
    from ..sessions.headless import Measured
    from ..sessions.plan import Plan
    from ..sessions.settings import EngineSettings
    from ..sessions.sweep import Resumed
from .needs import measuring_only_on_linux
from .options import BUILDING, RECORDING, WORDS, given, options, typed_words
from .printing import say


@click.command(short_help="Measure without a screen, and print.")
@click.argument("model", required=False)
@options(WORDS)
@options(BUILDING)
@options(RECORDING)
@click.option("--json", metavar="FILE|-", help="Write the results as JSON (schema infertop.run/1).")
@click.option("--markdown", metavar="FILE|-", help="Write them as Markdown tables.")
@click.option("--csv", metavar="FILE|-", help="Write them as CSV.")
@click.option(
    "--repeat",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Measure each so often, interleaved and shuffled.",
)
@click.option(
    "--suite",
    metavar="NAME",
    help="Instead of MODEL: seed measures smallcnn, resnet18 and mobilenet_v2, batch 32, everywhere.",
)
@click.option(
    "--resume",
    metavar="[SESSION]",
    is_flag=False,
    flag_value="last",
    help="Go on with the same command's interrupted session: what it measured is not measured again. [SESSION: last]",
)
@click.option(
    "--prove",
    is_flag=True,
    help="Put the advice to the proof: present and remedy in alternating blocks of 3 s, four each.",
)
@click.option(
    "--gate",
    metavar="COND",
    multiple=True,
    help="A condition that must hold, as 'p99<5ms' or 'ort-cpu/fp32/8: throughput>100/s'.",
)
@click.option(
    "--inconclusive",
    type=click.Choice(["fail", "pass"]),
    default="fail",
    show_default=True,
    help="What inconclusive gates do: fail is exit 4.",
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would be measured, in which order and how long, and stop."
)
def run(
    model: str | None, json: str | None, markdown: str | None, csv: str | None, repeat: int, suite: str | None, resume: str | None,
    prove: bool, gate: tuple[str, ...], inconclusive: str, dry_run: bool, record: bool, sessions_dir: str | None, name: str | None, **words: Any,
) -> int:  # fmt: skip
    """Measure MODEL, or a suite of models, without a screen, print the results and exit.

    Exit: 0 all was measured and every gate passed, 1 a gate failed, 2 usage, 3 something named could not be measured, 4 a gate was
    inconclusive, 70 internal error, 129, 130 or 143 on signals.
    """
    from ..sessions import gates, lines, output, prober
    from ..sessions import options as chosen

    building, target = _building(words)
    targets = {"json": json, "markdown": markdown, "csv": csv}
    output.check_targets({f"--{option}": target for option, target in targets.items()})
    with _documented({} if building or dry_run else targets, model or suite or "", words["backend"]):
        names, typed = _models(model, suite, typed_words(words))
        interval_s = chosen.interval(typed)
        planned, interpreters = chosen.plan(names, typed, prober.probe, repeat)
        if suite is None:
            chosen.check_compile_mode(typed, planned)
        if building:
            from ..sessions import building as engines

            return engines.run(planned.configurations, interpreters, target, json, say)
        conditions = [gates.parse(text, chosen.full_name) for text in gate]
        gates.check(conditions, planned.configurations)
        for skipped in planned.skipped:
            say(lines.sentence(f"{skipped.backend} is left out: {skipped.reason}", skipped.fix))
        for note in planned.notes:
            say(note)
        resumed = None
        if resume is not None:
            resumed = _resumed(resume, planned, interpreters, record, sessions_dir, name)
            planned = resumed.plan
        if dry_run:
            click.echo(_preview(planned, sessions_dir, len(resumed.results) if resumed else 0), nl=False)
            return 0
        measuring_only_on_linux()
        from ..sessions.settings import EngineSettings

        settings = EngineSettings(
            environments=interpreters, recording=record, sessions_dir=sessions_dir, name=name, title=suite or "", interval_s=interval_s,
            fallback=typed.fallback == "auto", telemetry=typed.telemetry,
            command=["infertop", *sys.argv[1:]],
        )  # fmt: skip
        measured = _measure(planned, settings, resumed, prove)
    from ..sessions.delivery import deliver

    return deliver(measured, planned, conditions, targets, pass_inconclusive=inconclusive == "pass", say=say)


@contextlib.contextmanager
def _documented(targets: Mapping[str, str | None], model: str, backend: str | None) -> Iterator[None]:
    """What fails before an engine begins ends in the documents that were asked for, as what fails after it does; wrong words do not."""
    try:
        yield
    except MeasureError as error:
        if error.kind != "usage":
            from ..backends import registry
            from ..sessions import delivery

            known = {name: info.name for info in registry.all_backends() for name in (info.name, info.short)}
            delivery.refuse(error, model, known.get(backend or "", backend), targets, say)
        raise


def _models(model: str | None, name: str | None, words: Any) -> tuple[Sequence[str], Any]:
    """What is measured: one model, or those of a suite with the words that it adds."""
    from ..sessions import suite

    if name is None:
        if model is None:
            raise click.UsageError("Missing argument 'MODEL'.", click.get_current_context())
        return [model], words
    if model is not None:
        raise MeasureError("usage", f"--suite {name} names its models itself", f"leave {model} out")
    found = suite.resolve(name)
    return found.models, suite.completed(found, words)


def _resumed(
    session: str,
    planned: Plan,
    interpreters: dict[str, str],
    record: bool,
    sessions_dir: str | None,
    name: str | None,
) -> Resumed:
    from ..sessions import sweep

    if not record:
        raise MeasureError("usage", "--resume and --no-record exclude each other", "leave --no-record out")
    resumed = sweep.resume(session, planned, interpreters, sessions_dir)
    if name not in (None, resumed.name):
        raise MeasureError(
            "usage", f"--resume goes on in the session {resumed.name}, not in {name}", "leave --name out"
        )
    return resumed


def _preview(planned: Plan, sessions_dir: str | None, done: int) -> str:
    from ..sessions.expected import earlier
    from ..sessions.preview import preview
    from ..telemetry.host import facts

    return preview(planned, earlier(sessions_dir, facts()), done)


def _measure(planned: Plan, settings: EngineSettings, resumed: Resumed | None, prove: bool) -> Measured:
    from ..sessions.headless import Measured, measure
    from ..sessions.progress import ProgressLine
    from ..sessions.proof import STANDARD

    known: Sequence[dict[str, Any]] = ()
    if resumed is not None:
        known = resumed.results
        say(f"{len(known)} of {len(planned.tasks)} runs are measured already, in {resumed.name}")
        if len(known) == len(planned.tasks):
            return Measured(resumed.name, resumed.header, known)
        settings = resumed.settings(settings)
    with ProgressLine(sys.stderr) as progress:
        return measure(
            planned.tasks, settings, progress, known, STANDARD if prove else None, progress.aside(say)
        )


def _building(words: dict[str, Any]) -> tuple[bool, str | None]:
    """Whether an engine is built only, and for which GPU; these two words leave `words`, and what says nothing to a build is refused."""
    building, target = words.pop("build_only"), words.pop("target")
    if not building:
        if target is not None:
            raise MeasureError(
                "usage", "--target needs --build-only beside it", "add it, or leave --target out"
            )
        return False, None
    for name in ("markdown", "csv", "gate", "repeat", "dry_run", "resume", "name", "duration", "requests"):
        if given(name):
            option = f"--{name.replace('_', '-')}"
            raise MeasureError("usage", f"{option} says nothing to --build-only", f"leave {option} out")
    # What builds engines ahead of their GPU is what a person means who names nothing.
    words["backend"] = words["backend"] or "tensorrt-rtx"
    return True, target
