"""What asks before it acts: pickers over the dashboard whose answers become commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..backends.errors import MeasureError
from ..sessions.records import Event
from . import playback
from .compare import candidates
from .compare import rows as compare_rows
from .loads import offers
from .naming import differences, short_backend
from .overlays import Choice, Pager, Picker
from .ranking import MARKS, discounted
from .render.cells import clean
from .render.numbers import duration, number, span
from .scene import Message, shown_run
from .sweeps import Scope, Sweepable
from .toggles import Toggle, Toggles

if TYPE_CHECKING:
    from .app import InfertopApp


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


def choose_load(app: InfertopApp) -> Picker:
    """How requests come: what is worth trying with the rate that is reached now, or anything typed; what cannot be had says why."""
    base, run = app.situation().base, app.view.run
    assert base is not None
    known = offers(base, run if run is not None and run.configuration.load == base.load else None)

    def choose(text: str) -> bool:
        app.say(app.control.requests(app.view, text))
        return True

    lines = [Choice(o.load, o.load, o.note, why_not=o.why_not) for o in known]
    return Picker("load", lines, choose, free="a load")


def choose_dims(app: InfertopApp) -> Picker:
    """The free sizes of the model, with other values to choose, or NAME=N typed."""
    base, run = app.situation().base, app.view.run
    sizes = {**(dict(run.assumed) if run is not None else {}), **(base.dims if base is not None else {})}
    choices = [
        Choice(f"{name}={value}", f"{name}={value}", f"now {size}")
        for name, size in sizes.items()
        for value in _others(size)
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


def _others(size: int) -> list[int]:
    """Sizes to go to from one; from a past of 0 those of decode steps."""
    return sorted({max(1, size // 2), size * 2, size * 4} - {size}) if size else [1, 128, 512]


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


def ask_gpu(app: InfertopApp, event: Event) -> Picker:
    """Another infertop measures on the GPU: whether to wait, to measure beside it, or to leave it."""

    def choose(text: str) -> bool:
        if text in ("wait", "share"):
            app.say(app.control.unblock(app.view, "wait" if text == "wait" else "share"))
        return True

    choices = [
        Choice("wait", "wait", "begin when it has left the GPU"),
        Choice("share", "measure beside it", "both will be slower; the grade says so"),
        Choice("no", "leave it", "nothing is begun"),
    ]
    return Picker("this GPU is in use", choices, choose, problem=(event.text, ""))


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


def choose_run(app: InfertopApp) -> None:
    """The other run of a comparison: the one before is first; where there is one alone it is taken."""
    found = candidates(app.view)

    def choose(text: str) -> bool:
        other = int(text)
        app.overlay = Pager("comparison", lambda width: compare_rows(app.view, other, width))
        return False

    if len(found) == 1:
        choose(str(found[0].run))
        return
    present = shown_run(app.view)
    assert present is not None
    lines = []
    for run in found:
        name = f"#{run.run} {short_backend(app.view, run.configuration)}"
        p50 = run.latency.quantiles[0].value if run.latency is not None and run.latency.quantiles else None
        note = differences(run.configuration, present.configuration, app.view, named=True)
        told = ", ".join(filter(None, (note, f"p50 {duration(p50)}", f"{number(run.throughput)}/s")))
        lines.append(Choice(str(run.run), name, f"{told} {MARKS.get(discounted(run), '')}".rstrip()))
    app.open(Picker("compare with", lines, choose))


def choose_sweep(app: InfertopApp) -> None:
    """What to measure one after another; the engine then says how long it takes, and that is asked about."""
    found = Sweepable(app.situation(), app.port)
    toggles = [
        (axis.name, [Toggle(value, text, value in axis.first) for value, text in axis.values])
        for axis in found.axes
    ]

    def choose(chosen: Mapping[str, Sequence[str]]) -> None:
        scope = found.scope(chosen)
        if len(scope.configurations) < 2:
            picker.problem = "a sweep needs two configurations at least"
            return
        picker.busy = "asking how long it takes"

        def answer(level: str, text: str, data: Mapping[str, Any]) -> None:
            picker.busy = ""
            if level != "info":
                picker.problem = text
            elif app.overlay is picker:
                app.overlay = confirm_sweep(app, scope, data)
            app.paint()

        app.control.sweep(scope.configurations, answer, dry=True)

    def summary(chosen: Mapping[str, Sequence[str]]) -> list[str]:
        scope = found.scope(chosen)
        count = len(scope.configurations)
        lines = [f"{count} configuration{'s' * (count != 1)}, the rest as it is now; outputs are compared"]
        return lines + [f"left out: {'; '.join(scope.left_out)}"] * bool(scope.left_out)

    picker = Toggles("sweep: what to measure", toggles, choose, summary)
    app.open(picker)


def confirm_sweep(app: InfertopApp, scope: Scope, data: Mapping[str, Any]) -> Picker:
    """What would be measured and how long that takes, before anything is stopped for it."""
    left = data.get("left_s")
    planned = data.get("tasks")
    known = [task for task in planned if isinstance(task, Mapping)] if isinstance(planned, list) else []
    whole = all(task.get("whole") for task in known)
    time = "how long is not known yet"
    if isinstance(left, int | float):
        time = f"{'about' if whole else 'at least'} {span(float(left))}"
    lines = [f"{_takes(task):<18}{clean(str(task.get('text')))}" for task in known]
    if known and len(scope.configurations) > len(known):
        lines.append(f"and {len(scope.configurations) - len(known)} more")
    lines += [f"left out: {clean(why)}" for why in scope.left_out]

    def choose(text: str) -> bool:
        if text == "yes":
            app.control.sweep(scope.configurations, begun, dry=False)
            app.say(Message("the sweep begins"))
        return True

    def begun(level: str, text: str, data: Mapping[str, Any]) -> None:
        if level != "info":
            app.say(Message(text, level=level))

    choices = [Choice("yes", "begin; what is measured now ends"), Choice("no", "leave it as it is")]
    title = f"sweep: {len(scope.configurations)} configurations, {time}"
    return Picker(title, choices, choose, lines=lines)


def _takes(task: Mapping[str, Any]) -> str:
    """How long one configuration takes: loading is in the time only where it is known."""
    found = task.get("seconds")
    if not isinstance(found, int | float):
        return "not known"
    return f"about {found:.0f} s" if task.get("whole") else f"{found:.0f} s and loading"


def observe(app: InfertopApp) -> None:
    """Measure the observer effect on the present run, with this screen standing still."""
    from .observed import ObserverDialog  # its statistics are of no use to a start

    def cancel() -> None:
        app.say(app.control.unobserve(app.view))

    def answered(level: str, text: str) -> None:
        if level != "info":
            dialog.refused = text
        app.paint()

    dialog = ObserverDialog(lambda: app.view, cancel)
    app.control.observe(answered)
    app.open(dialog)
