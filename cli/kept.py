"""The commands about sessions that are there: watched, played, ended, listed."""

from __future__ import annotations

import click

from .needs import needs_terminal
from .options import RECORDING, options
from .printing import print_table, say
from .screen import promptly


@click.command(short_help="Watch a session that is being measured.")
@click.argument("session", default="last")
@options(RECORDING[1:2])
@promptly
def attach(session: str, sessions_dir: str | None) -> int:
    """Watch a SESSION that is being measured (a name, the beginning of one, or last)."""
    from ..sessions import store

    place = store.resolve(session, sessions_dir)
    store.must_live(place)
    needs_terminal("infertop ls")
    from ..tui.start import run_attached

    return run_attached(place)


@click.command(short_help="Play a recorded session.")
@click.argument("session", required=False)
@click.option(
    "--sample",
    is_flag=True,
    help="Play a recording that comes with infertop: h100-resnet18, or the one named.",
)
@options(RECORDING[1:2])
@promptly
def replay(session: str | None, sample: bool, sessions_dir: str | None) -> int:
    """Play a recorded SESSION: a path, a name, the beginning of one, last (the default) or last~1."""
    from ..sessions import store

    place = store.sample(session) if sample else store.resolve(session, sessions_dir)
    needs_terminal("infertop ls")
    from ..tui.start import run_replay

    return run_replay(place)


@click.command(short_help="End the engine of a session.")
@click.argument("session", default="last")
@options(RECORDING[1:2])
def stop(session: str, sessions_dir: str | None) -> int:
    """End the engine of a SESSION that is being measured; what it recorded stays."""
    from ..sessions import store
    from ..sessions.commands import Client

    place = store.resolve(session, sessions_dir)
    store.must_live(place)
    client = Client(place.socket)
    client.send("end")
    client.close()
    say(f"{place.name} ends")
    return 0


@click.command(name="ls")
@options(RECORDING[1:2])
def ls(sessions_dir: str | None) -> int:
    """List the sessions, newest first."""
    from ..sessions import store, units

    rows = [
        (
            info.name,
            info.state,
            info.started,
            units.duration(info.duration_s),
            units.size(info.bytes),
            str(info.runs),
            info.headline,
        )
        for info in store.listing(sessions_dir)
    ]
    if not rows:
        say("there are no sessions yet; infertop MODEL and infertop run MODEL make one")
        return 0
    heading = ("session", "state", "started", "time", "size", "runs", "fastest, or what is wrong")
    return print_table(heading, rows, right=("time", "size", "runs"))
