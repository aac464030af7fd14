"""The actions that open something or change how the screen looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import dialogs, evidence
from .actions import ACTIONS
from .help import rows as help_rows
from .overlays import Choice, Pager, Picker, text_rows
from .panels.log import entries
from .render.cells import EMPTY, Row, clean, wrap
from .render.events import whole
from .scene import Message, Scene
from .theme import THEMES

if TYPE_CHECKING:
    from .app import InfertopApp


ASKING = ("model", "requests", "dims", "record", "sweep", "observer")
"""Actions of measuring that ask first."""


def perform(app: InfertopApp, name: str) -> None:
    """Do an action that is neither a command to the session nor a movement in a recording."""
    if name in ("quit", "interrupt"):
        app.exit(0)
    elif name == "freeze":
        app.toggle_freeze()
    elif name == "window":
        app.whole = not app.whole
    elif name == "theme":
        app.dress(THEMES[(THEMES.index(app.look) + 1) % len(THEMES)])
        app.say(Message(f"theme {app.look}", f"INFERTOP_THEME={app.look} keeps it"))
    elif name == "glyphs":
        app.toggle_glyphs()
    elif name == "redraw":
        app.redraw()
    elif name == "suspend":
        app.action_suspend_process()
    elif name == "copy":
        copy(app)
    elif name == "help":
        app.open(Pager("help", lambda width: help_rows(app.situation(), width, app.glyphs)))
    elif name == "events":
        app.open(
            Pager(
                "events",
                lambda width: [row for e in entries(scene_of(app)) for row in whole(e, width, app.glyphs)],
                at_end=True,
            )
        )
    elif name == "output":
        output(app)
    elif name == "palette":
        app.open(palette(app))
    elif name == "model":
        dialogs.choose_model(app)
    elif name == "go":
        app.open(dialogs.go_to(app))
    elif name == "evidence":
        app.open(Pager("evidence", lambda width: evidence.rows(scene_of(app), width)))
    elif name == "requests":
        app.open(dialogs.choose_load(app))
    elif name == "dims":
        app.open(dialogs.choose_dims(app))
    elif name == "record":
        app.open(dialogs.ask_recording(app))
    elif name == "sweep":
        dialogs.choose_sweep(app)
    elif name == "observer":
        dialogs.observe(app)
    elif name == "compare":
        dialogs.choose_run(app)
    elif name == "gpu":
        app.next_gpu()


def scene_of(app: InfertopApp) -> Scene:
    """The picture that texts are taken from: that of now, also where the view is frozen."""
    return Scene(app.view, app.glyphs, gpu=app.gpu)


def copy(app: InfertopApp) -> None:
    """The equivalent command, to the clipboard of the terminal (OSC 52) and onto the screen, where OSC 52 is not understood."""
    from ..sessions.command_line import command  # the first paint need not wait for it

    base = app.situation().base
    assert base is not None
    text = command(base, header.command if (header := app.view.header) is not None else ())
    app.copy_to_clipboard(text)
    app.say(Message(f"copied: {text}"))


def output(app: InfertopApp) -> None:
    """What the runtime printed before the last failure, under the failure in full."""
    runs = [run for run in (*app.view.runs, app.view.run) if run is not None and run.error is not None]
    run = runs[-1]
    fault = run.error
    assert fault is not None

    def rows(width: int) -> list[Row]:
        out = [
            *text_rows(fault.message)(width),
            *(
                ((f"{'  ' if i else '→ '}{line}", "two"),)
                for i, line in enumerate(wrap(clean(fault.fix), width - 2))
            ),
            EMPTY,
        ]
        return out + text_rows(fault.detail or "the runtime printed nothing")(width)

    app.open(Pager(f"{clean(run.configuration.label)}: {clean(fault.kind)}", rows))


def palette(app: InfertopApp) -> Picker:
    """Every action of this context by name; one that cannot be done now says why."""
    situation = app.situation()
    choices = [
        Choice(a.id, a.text, keys=app.glyphs.key(a.shown), why_not=a.objection(situation))
        for a in ACTIONS
        if a.palette and situation.context in a.contexts
    ]

    def choose(name: str) -> bool:
        app.overlay = None
        app.perform(name)
        return False

    return Picker("actions", choices, choose, hint="type a word of what you want to do")
