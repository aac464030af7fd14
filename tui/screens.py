"""The actions that open something or change how the screen looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backends.errors import MeasureError
from ..sessions.view import View
from . import playback
from .actions import ACTIONS
from .help import rows as help_rows
from .naming import command
from .overlays import Choice, Pager, Picker, text_rows
from .panels.log import entries
from .render.cells import EMPTY, Row, clean, wrap
from .render.events import line
from .render.numbers import number
from .render.table import Cell, Column, table
from .scene import Message
from .theme import THEMES

if TYPE_CHECKING:
    from .app import InfertopApp


ASKING = ("model", "requests", "dims", "record")
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
    elif name == "evidence":
        app.open(Pager("evidence", lambda width: evidence(app.view, width)))
    elif name == "requests":
        app.open(choose_load(app))
    elif name == "dims":
        app.open(choose_dims(app))
    elif name == "record":
        app.open(ask_recording(app))


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


def evidence(view: View, width: int) -> list[Row]:
    """The verdict with the readings that it rests on."""
    found = view.verdict
    if found is None:
        return [(("the verdict has been withdrawn", "dim"),)]
    rows: list[Row] = [
        ((clean(found.kind).upper(), "two-strong"), (f"  confidence {found.confidence * 100:.0f} %", "dim"))
    ]
    rows += [((line_text, "text"),) for line_text in wrap(clean(found.text), width)]
    rows.append(EMPTY)
    cells: list[list[Cell]] = []
    for item in found.evidence:
        limit = "" if item.threshold is None else f"{item.sense} {number(item.threshold)} {clean(item.unit)}"
        window = "" if item.window is None else f"over {item.window:.1f} s"
        cells.append([clean(item.signal), f"{number(item.value)} {clean(item.unit)}", limit, window])
    columns = [
        Column("signal", right=False, flexible=True),
        Column("value", style="strong"),
        Column("threshold"),
        Column("window"),
    ]
    rows += table(columns, cells, width)
    if found.advice and (advice := clean(str(found.advice.get("text", "")))):
        rows += [EMPTY, *(((f"→ {piece}", "strong"),) for piece in wrap(advice, width - 2))]
    return rows


def choose_load(app: InfertopApp) -> Picker:
    """How requests come: known ways, with the rate that is reached now, or anything typed."""
    run = app.view.run
    rate = run.requests / run.measured_s if run is not None and run.measured_s > 0 else 100.0
    some = f"{rate * 0.8:.3g}".replace("e+0", "e")
    known = (
        ("closed:1", "the next request when the last is complete"), ("closed:2", "two in flight"), ("closed:4", "four in flight"),
        ("pipelined:2", "copies overlap computing"), (f"poisson:{float(some):g}/s", "random arrivals at 80 % of the rate now"),
        (f"open:{float(some):g}/s", "even arrivals at 80 % of the rate now"),
    )  # fmt: skip

    def choose(text: str) -> bool:
        app.say(app.control.requests(app.view, text))
        return True

    return Picker("load", [Choice(text, text, note) for text, note in known], choose, free="a load")


def choose_dims(app: InfertopApp) -> Picker:
    """The free sizes of the model, with other values to choose, or NAME=N typed."""
    base, run = app.situation().base, app.view.run
    sizes = {**(dict(run.assumed) if run is not None else {}), **(base.dims if base is not None else {})}
    choices = [
        Choice(f"{name}={value}", f"{name}={value}", f"now {size}")
        for name, size in sizes.items()
        for value in (max(1, size // 2), size * 2, size * 4)
    ]

    def choose(text: str) -> bool:
        name, _, size = text.partition("=")
        if not size.strip().isdigit() or name.strip() not in sizes:
            picker.problem = (
                f"{text} is no size of this model",
                f"write NAME=N; there are {', '.join(sizes)}",
            )
            return False
        app.say(app.control.dims(app.view, name.strip(), int(size)))
        return True

    picker = Picker("sizes", choices, choose, free="NAME=N")
    return picker


def ask_recording(app: InfertopApp) -> Picker:
    """Whether recording is to end, or to go on."""
    header = app.view.header
    recording = header is not None and header.recording
    question = "end the recording; what follows is not kept" if recording else "record from now on"

    def choose(text: str) -> bool:
        if text == "yes":
            app.say(app.control.record(app.view, not recording))
        return True

    return Picker("recording", [Choice("yes", question), Choice("no", "leave it as it is")], choose)


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
