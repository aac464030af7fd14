"""The actions that open something or change how the screen looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backends.errors import MeasureError
from . import playback
from .actions import ACTIONS
from .help import rows as help_rows
from .naming import command
from .overlays import Choice, Pager, Picker, text_rows
from .panels.log import entries
from .render.cells import EMPTY, Row, clean
from .render.events import line
from .scene import Message
from .theme import THEMES

if TYPE_CHECKING:
    from .app import InfertopApp


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
        app.open(Pager("help", lambda width: help_rows(app.situation(), width)))
    elif name == "events":
        app.open(
            Pager(
                "events",
                lambda width: [line(e, width, app.glyphs) for e in entries(scene_of(app))],
                at_end=True,
            )
        )
    elif name == "output":
        output(app)
    elif name == "palette":
        app.open(palette(app))
    elif name == "model":
        choose_model(app)
    elif name == "go":
        app.open(go_to(app))


def scene_of(app: InfertopApp) -> Any:
    """The picture that the events are taken from: that of now, also where the view is frozen."""
    from .scene import Scene

    return Scene(app.view, app.glyphs)


def copy(app: InfertopApp) -> None:
    """The equivalent command, to the clipboard of the terminal (OSC 52) and onto the screen, where OSC 52 is not understood."""
    base = app.situation().base
    assert base is not None
    text = command(base)
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
            *(((f"→ {clean(fault.fix)}", "two"),),) * bool(fault.fix),
            EMPTY,
        ]
        return out + text_rows(fault.detail or "the runtime printed nothing")(width)

    app.open(Pager(f"{clean(run.configuration.label)}: {clean(fault.kind)}", rows))


def palette(app: InfertopApp) -> Picker:
    """Every action of this context by name; one that cannot be done now says why."""
    situation = app.situation()
    choices = [
        Choice(a.id, a.text, keys=a.shown, why_not=a.objection(situation))
        for a in ACTIONS
        if a.palette and situation.context in a.contexts
    ]

    def choose(name: str) -> bool:
        app.overlay = None
        app.perform(name)
        return False

    return Picker("actions", choices, choose, hint="type a word of what you want to do")


def go_to(app: InfertopApp) -> Picker:
    """Where to go in a recording."""
    examples = (
        ("12:04:10", "a time of day"),
        ("+90s", "later"),
        ("-3m", "earlier"),
        ("p99>20ms", "the next tick that is so slow"),
    )

    def choose(text: str) -> bool:
        assert app.port.replay is not None
        message = playback.go(app.port.replay, text)
        if message is not None:
            picker.problem = (message.text, message.fix)
            return False
        return True

    picker = Picker("go to", [Choice(t, t, n) for t, n in examples], choose, free="a time")
    return picker


def choose_model(app: InfertopApp) -> None:
    """The model chooser: what is known and what lies here, or anything typed."""

    def choose(text: str) -> bool:
        picker.busy = f"looking at {clean(text)}"

        def found(configuration: Any, error: MeasureError | None) -> None:
            picker.busy = ""
            if error is not None:
                picker.problem = (error.message, error.fix)
            elif app.overlay is picker:
                app.overlay = None
                app.say(app.control.model(app.view, configuration))
            app.paint()

        app.lookups.do(lambda: app.port.configuration(text), found)
        return False

    def listed(choices: Any, error: MeasureError | None) -> None:
        picker.busy = ""
        if error is not None:
            picker.problem = (error.message, error.fix)
        else:
            picker.choices = [Choice(c.text, c.text, f"{c.note}" or c.group) for c in choices]
        app.paint()

    picker = Picker(
        "choose a model",
        [],
        choose,
        free="a model",
        hint="a name, a .onnx or .pt2 file, or package.module:factory",
        busy="looking around",
    )
    app.lookups.do(app.port.models, listed)
    app.open(picker)
