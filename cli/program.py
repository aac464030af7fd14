"""The commands together, and the program's entry."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from .. import __version__
from . import doctor, kept, lists, run, screen
from .ending import ended
from .screen import LIVE


class Commands(click.Group):
    """`infertop smallcnn` is no command's name: whatever begins with none opens the screen."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names, "--version"):
            args = [LIVE, *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("infertop", "[MODEL] [OPTIONS]")
        formatter.write_usage("infertop", "COMMAND …", "       ")


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"infertop {__version__}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
def cli() -> None:
    """Measure a model under several runtimes, live: latency, throughput, and where the time goes.

    infertop MODEL opens the screen and measures; MODEL is a name (infertop models lists them), FILE.onnx, a directory with one, or
    package.module:factory. infertop run measures without a screen and prints. infertop --monitor measures nothing and watches the machine.
    """


for command in (
    run.run, screen.live, kept.attach, kept.replay, kept.stop, kept.ls, lists.backends, doctor.doctor, lists.models,
):  # fmt: skip
    cli.add_command(command)


def execute(arguments: Sequence[str]) -> int:
    """Run the command; every ending is an exit code and, where something is wrong, one sentence."""

    def command() -> object:
        # Not `cli.main`, which ends a broken pipe with 1: that would read as a failed gate.
        with cli.make_context("infertop", list(arguments)) as context:
            return cli.invoke(context)

    return ended(command)


def main() -> NoReturn:
    """The program's entry."""
    for stream in (sys.stdout, sys.stderr):
        # A locale that has no ≥ must not end a measurement.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    sys.exit(execute(sys.argv[1:]))
