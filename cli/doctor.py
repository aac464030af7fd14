"""`infertop doctor`: what is wrong with this machine, and what infertop itself costs."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..backends.errors import MeasureError
from .needs import measuring_only_on_linux
from .options import RECORDING, WORDS, options, typed_words


@click.command(short_help="Check this machine, or measure what infertop itself costs.")
@click.argument("model", required=False)
@click.option(
    "--observer",
    is_flag=True,
    help="Measure what telemetry and the screen cost a run of MODEL: on and off in shuffled blocks.",
)
@click.option("--json", metavar="FILE|-", help="Write what was found as JSON.")
@options(WORDS)
@options(RECORDING[1:2])
def doctor(
    model: str | None, observer: bool, json: str | None, sessions_dir: str | None, **words: Any
) -> int:
    """Check the host, GPUs and driver, interpreters and backends, and the terminal: what is wrong, and what to do.

    With --observer: by how much telemetry and a screen change throughput, p50 and p99 of MODEL (smallcnn), with 95 % intervals beside
    a control; --duration is that of the whole [90s]. Exit: 0, 1 where a check failed or the effect is above its budget (1 %, p99 3 %), 3
    where it could not be measured.
    """
    from ..sessions import options as chosen
    from ..sessions import output

    output.check_targets({"--json": json})
    typed = typed_words(words)
    if not observer:
        if useless := model or chosen.about_a_model(typed):
            raise MeasureError("usage", f"{useless} needs --observer beside it", "add it, or leave it out")
        from ..sessions.doctor import command

        return command.run(typed.python, sessions_dir, json)
    measuring_only_on_linux()
    from ..sessions.doctor import effect

    settings = chosen.observed(model or "smallcnn", typed, sessions_dir, ["infertop", *sys.argv[1:]])
    return effect.run(settings, typed.duration, json)
