"""The command without a name: it opens the screen."""

from __future__ import annotations

import difflib
import functools
import gc
import sys
from collections.abc import Callable
from typing import Any, ParamSpec

import click

from ..backends.errors import MeasureError
from .needs import measuring_only_on_linux, needs_terminal
from .options import RECORDING, WORDS, given, options, typed_words

LIVE = "[MODEL]"
"""Name of the command that opens the screen; nobody types it."""

P = ParamSpec("P")


class Live(click.Command):
    """The command without a name."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("infertop", "[MODEL] [OPTIONS]")


def promptly(command: Callable[P, int]) -> Callable[P, int]:
    """A command that opens the screen looks for no garbage until it is there.

    Imports make hundreds of thousands of objects and no garbage: looking for some takes a tenth of the start.
    """

    @functools.wraps(command)
    def run(*arguments: P.args, **words: P.kwargs) -> int:
        gc.disable()
        try:
            return command(*arguments, **words)
        finally:
            gc.enable()

    return run


@click.command(LIVE, cls=Live, hidden=True)
@click.argument("models", nargs=-1, metavar="[MODEL]")
@click.option("--monitor", is_flag=True, help="Measure nothing: watch GPUs, host and processes.")
@options(WORDS)
@options(RECORDING)
@promptly
def live(
    models: tuple[str, ...],
    monitor: bool,
    record: bool,
    sessions_dir: str | None,
    name: str | None,
    **words: Any,
) -> int:
    """Open the screen and measure MODEL; without one, choose there. It takes the options of infertop run.

    With --monitor, and where no backend can be used, it watches the machine: GPUs, host and processes, recorded only with --record.
    """
    from ..sessions import interpreters
    from ..sessions import options as chosen
    from ..sessions.settings import EngineSettings, watching

    if len(models) > 1:
        near = _near_command(models[0])
        raise MeasureError(
            "usage",
            f"there is no command {models[0]}",
            f"did you mean infertop {near}?" if near else "infertop --help lists the commands",
        )
    typed = typed_words(words)
    interval_s = chosen.interval(typed)
    task, environments = None, interpreters.environments(typed.python)
    useless = models[0] if models else chosen.about_a_model(typed)
    if monitor and useless:
        raise MeasureError(
            "usage",
            f"--monitor measures nothing: {useless} has no meaning beside it",
            "leave one of them out",
        )
    if models:
        try:
            task, environments = chosen.first_task(models[0], typed)
        except MeasureError as error:
            near = _near_command(models[0]) if error.kind == "model-not-found" else None
            if near is None:
                raise
            raise MeasureError(
                "usage", f"there is no command or model {models[0]}", f"did you mean infertop {near}?"
            ) from error
    elif needless := chosen.about_a_model(typed):
        raise MeasureError(
            "usage", f"{needless} needs a MODEL beside it", f"write infertop MODEL {needless} …"
        )
    measuring_only_on_linux()
    needs_terminal(f"infertop run {models[0]}" if models else "infertop run MODEL")
    settings = EngineSettings(
        environments=environments, recording=record, sessions_dir=sessions_dir, name=name, interval_s=interval_s,
        command=["infertop", *sys.argv[1:]], task=task, stay=typed.duration is not None or typed.requests is not None,
        fallback=typed.fallback != "none", telemetry=typed.telemetry,
    )  # fmt: skip
    if monitor or (task is None and not environments):
        settings = watching(settings, asked=monitor, recorded=given("record") and record)
    from ..tui.start import run_live

    return run_live(settings)


def _near_command(word: str) -> str | None:
    program = click.get_current_context().find_root().command
    assert isinstance(program, click.Group)
    near = difflib.get_close_matches(word, [name for name in program.commands if name != LIVE], 1, 0.6)
    return near[0] if near else None
