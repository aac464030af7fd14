"""Every action, declared once: the keys, the footer, the help, the palette and README's table are made from this list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..backends.configuration import Configuration
from ..sessions.view import View
from .compare import candidates
from .jobs import going
from .panels.device import gpus

LIVE, REPLAY, MONITOR = "live", "replay", "monitor"
BOTH = (LIVE, REPLAY)
CONTEXTS = (LIVE, REPLAY, MONITOR)
BATCH_LIMIT = 65_536


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides whether an action can be done: the picture, and the configuration that was asked for last."""

    view: View
    live: bool
    base: Configuration | None = None  # what a change starts from
    precisions: tuple[str, ...] = ()
    data_paths: tuple[str, ...] = ()
    monitor: bool = False  # nothing is measured in this session

    @property
    def context(self) -> str:
        return REPLAY if not self.live else MONITOR if self.monitor else LIVE


Objection = Callable[[Situation], str]
"""Why an action cannot be done now; empty where it can."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a person can do. `keys` are Textual's names, `shown` is how they read; the order of the list is the footer's."""

    id: str
    keys: tuple[str, ...]
    shown: str
    text: str  # for help and palette: a sentence's beginning
    short: str = ""  # for the footer; empty: not there
    group: str = "view"
    contexts: tuple[str, ...] = CONTEXTS
    objection: Objection = lambda situation: ""
    palette: bool = True


def _needs_model(situation: Situation) -> str:
    return "" if situation.base is not None else "no model is loaded: m chooses one"


def _needs_backends(situation: Situation) -> str:
    return "" if situation.view.backends else "the backends of this machine are not known yet"


def _batch(situation: Situation) -> str:
    run = situation.view.run
    if problem := _needs_model(situation):
        return problem
    if run is not None and run.inputs and run.configuration.batch is None:
        return "this model has no batch axis"
    return ""


def _more(situation: Situation) -> str:
    if problem := _batch(situation):
        return problem
    assert situation.base is not None
    return f"batch {BATCH_LIMIT} is the largest" if (situation.base.batch or 1) >= BATCH_LIMIT else ""


def _less(situation: Situation) -> str:
    if problem := _batch(situation):
        return problem
    assert situation.base is not None
    return "the batch is 1 already" if (situation.base.batch or 1) <= 1 else ""


def _chosen(situation: Situation) -> str:
    """Why a key that depends on the backend cannot be pressed yet."""
    backend = situation.base.backend if situation.base is not None else ""
    return "" if backend else "the backend is not chosen yet"


def _precision(situation: Situation) -> str:
    if problem := _needs_model(situation):
        return problem
    if problem := _chosen(situation):
        return problem
    if len(situation.precisions) < 2:
        only = situation.precisions[0] if situation.precisions else "its own precision"
        return f"this backend knows {only} alone"
    return ""


def _data_path(situation: Situation) -> str:
    if problem := _needs_model(situation) or _chosen(situation):
        return problem
    return "" if len(situation.data_paths) > 1 else "on the CPU there is one data path: pageable"


def _dims(situation: Situation) -> str:
    if problem := _needs_model(situation):
        return problem
    run = situation.view.run
    sizes = bool(situation.base and situation.base.dims) or bool(run and run.assumed)
    return "" if sizes else "this model has no free size but the batch"


def _has_header(situation: Situation) -> str:
    return "" if situation.view.header is not None else "the session has not started"


def _prove(situation: Situation) -> str:
    """Why the advice cannot be put to the proof."""
    view, run = situation.view, situation.view.run
    if problem := _idle(situation):
        return problem
    if run is None or run.phase != "measure":
        return "nothing is being measured: r starts a run"
    advice = view.verdict.advice if view.verdict is not None else None
    return "" if advice and advice.get("action") else "there is no advice to prove; v shows the evidence"


def _sweep(situation: Situation) -> str:
    return _needs_model(situation) or _needs_backends(situation) or _idle(situation)


def _observe(situation: Situation) -> str:
    run = situation.view.run
    if run is None or run.phase != "measure":
        return "nothing is being measured: r starts a run"
    return _idle(situation)


def _idle(situation: Situation) -> str:
    job = going(situation.view)
    return "" if job is None else f"a {job.kind} is going on: x cancels it"


def _has_run(situation: Situation) -> str:
    return "" if situation.view.run is not None else "nothing has been measured"


def _compare(situation: Situation) -> str:
    return "" if candidates(situation.view) else "there is no other run with results to compare with"


def _gpus(situation: Situation) -> str:
    found = gpus(situation.view)
    if not found:
        return "this session has no GPU"
    return "" if len(found) > 1 else "there is one GPU"


def _is_loading(situation: Situation) -> str:
    run = situation.view.run
    if going(situation.view) is None and (run is None or run.phase in ("measure", "end")):
        return "nothing is being loaded"
    return ""


def _has_output(situation: Situation) -> str:
    runs = (situation.view.run, *reversed(situation.view.runs))
    if any(run is not None and run.error is not None for run in runs):
        return ""
    return "no run of this session failed: there is no captured output"


def _has_events(situation: Situation) -> str:
    return "" if situation.view.events else "nothing has happened yet"


DIGITS = tuple("123456789")

ACTIONS: tuple[Action, ...] = (
    Action(
        "backend",
        DIGITS,
        "1-9",
        "measure with that backend",
        "backend",
        "measure",
        (LIVE,),
        _needs_backends,
        palette=False,
    ),
    Action(
        "prove",
        ("enter",),
        "Enter",
        "prove the advice: now and the remedy in turns, then the change",
        "prove",
        "measure",
        (LIVE,),
        _prove,
    ),
    Action("batch-up", ("b",), "b", "double the batch", "batch", "measure", (LIVE,), _more),
    Action("batch-down", ("B",), "B", "halve the batch", "", "measure", (LIVE,), _less),
    Action("precision", ("p",), "p", "next precision", "prec", "measure", (LIVE,), _precision),
    Action("data-path", ("d",), "d", "next data path", "path", "measure", (LIVE,), _data_path),
    Action(
        "requests",
        ("l",),
        "l",
        "choose the load: how requests come",
        "load",
        "measure",
        (LIVE,),
        _needs_model,
    ),
    Action("dims", ("n",), "n", "choose the model's free sizes", "", "measure", (LIVE,), _dims),
    Action("model", ("m",), "m", "choose a model", "model", "measure", (LIVE,)),
    Action("again", ("r",), "r", "measure the same again", "again", "measure", (LIVE,), _needs_model),
    Action("load", ("x",), "x", "stop the load, or start it again", "stop", "measure", (LIVE,), _needs_model),
    Action(
        "cancel",
        ("escape",),
        "esc",
        "cancel what is being loaded (what was measured before goes on), a proof or a sweep",
        "",
        "measure",
        (LIVE,),
        _is_loading,
        palette=False,
    ),
    Action(
        "sweep",
        ("S",),
        "S",
        "measure several configurations in turn (says how long, asks)",
        "sweep",
        "measure",
        (LIVE,),
        _sweep,
    ),
    Action(
        "observer",
        (),
        "",
        "observer effect: what telemetry and a screen cost this run",
        "",
        "measure",
        (LIVE,),
        _observe,
    ),
    Action("record", ("R",), "R", "recording on or off (asks)", "", "measure", (LIVE, MONITOR), _has_header),
    Action("play", ("space",), "space", "play or pause", "play", "replay", (REPLAY,)),
    Action("seek-back", ("left",), "←", "5 s back", "", "replay", (REPLAY,)),
    Action("seek-on", ("right",), "→", "5 s on", "5 s", "replay", (REPLAY,)),
    Action("seek-back-minute", ("shift+left",), "shift+←", "60 s back", "", "replay", (REPLAY,)),
    Action("seek-on-minute", ("shift+right",), "shift+→", "60 s on", "", "replay", (REPLAY,)),
    Action("step-back", ("comma",), ",", "one tick back", "", "replay", (REPLAY,)),
    Action("step-on", ("full_stop",), ".", "one tick on", "tick", "replay", (REPLAY,)),
    Action("event-back", ("left_square_bracket",), "[", "the event before", "", "replay", (REPLAY,)),
    Action("event-on", ("right_square_bracket",), "]", "the next event", "event", "replay", (REPLAY,)),
    Action("slower", ("less_than_sign",), "<", "half the speed, down to 0.25", "", "replay", (REPLAY,)),
    Action("faster", ("greater_than_sign",), ">", "twice the speed, up to 64", "speed", "replay", (REPLAY,)),
    Action(
        "run-of",
        DIGITS,
        "1-9",
        "go to that backend's next run",
        "run",
        "replay",
        (REPLAY,),
        _needs_backends,
        palette=False,
    ),
    Action("go", ("g",), "g", "go to a time: 12:04:10, +90s, -3m, p99>20ms", "go to", "replay", (REPLAY,)),
    Action("end", ("G", "end"), "G End", "go to the end and follow it", "end", "replay", (REPLAY,)),
    Action(
        "freeze",
        ("space",),
        "space",
        "freeze the view; measuring goes on",
        "freeze",
        "view",
        (LIVE, MONITOR),
    ),
    Action(
        "window",
        ("w",),
        "w",
        "percentiles of the last 30 s or of the whole run",
        "window",
        contexts=BOTH,
        objection=_has_run,
    ),
    Action(
        "compare",
        ("c",),
        "c",
        "compare with another run of the session",
        "compare",
        contexts=BOTH,
        objection=_compare,
    ),
    Action("gpu", ("tab",), "tab", "the next GPU in the GPU's panels", "GPU", objection=_gpus),
    Action(
        "evidence",
        ("v",),
        "v",
        "the evidence of the verdict, the link's rates, what reading costs",
        "evidence",
        contexts=BOTH,
        objection=_has_header,
    ),
    Action("events", ("e",), "e", "all events", "events", objection=_has_events),
    Action(
        "output",
        ("o",),
        "o",
        "what the runtime printed when a run failed",
        "",
        contexts=BOTH,
        objection=_has_output,
    ),
    Action(
        "copy",
        ("y",),
        "y",
        "copy the infertop run … line that measures the same",
        "copy",
        contexts=BOTH,
        objection=_needs_model,
    ),
    Action("theme", (), "", "next theme: dark, light, ansi, mono"),
    Action("glyphs", (), "", "braille or ASCII"),
    Action("redraw", ("ctrl+l",), "ctrl+l", "draw the whole screen again", "", "program"),
    Action("suspend", ("ctrl+z",), "ctrl+z", "suspend; fg comes back", "", "program", palette=False),
    Action(
        "palette", ("colon", "ctrl+p"), ": ctrl+p", "find an action by name", "", "program", palette=False
    ),
    Action(
        "help", ("question_mark", "h", "f1"), "? h F1", "keys, and what the numbers mean", "help", "program"
    ),
    Action(
        "quit",
        ("q", "ctrl+q"),
        "q ctrl+q",
        "quit; the results stay on the ordinary screen",
        "quit",
        "program",
    ),
    Action("interrupt", ("ctrl+c",), "ctrl+c", "quit with exit code 130", "", "program", palette=False),
)

GROUPS = (("measure", "Measure"), ("replay", "Replay"), ("view", "View"), ("program", "Program"))


def bound(key: str, context: str) -> Action | None:
    """The action that a key stands for."""
    return next((a for a in ACTIONS if key in a.keys and context in a.contexts), None)


def named(name: str) -> Action:
    """The action with this id."""
    return next(a for a in ACTIONS if a.id == name)


def footer(situation: Situation) -> tuple[tuple[str, str], ...]:
    """The keys worth showing now, most important first: (keys, short text)."""
    # What goes on beside plain measuring is ended by most keys: the one meant for it comes first.
    ordered = (named("load"), *ACTIONS) if going(situation.view) is not None else ACTIONS
    return tuple(
        (_shown(action, situation.view), _short(action, situation.view))
        for action in dict.fromkeys(ordered)
        if action.short and situation.context in action.contexts and not action.objection(situation)
    )


def _shown(action: Action, view: View) -> str:
    if action.keys == DIGITS:
        return f"1-{min(9, len(view.backends))}"
    return action.shown.split(" ")[0]


def _short(action: Action, view: View) -> str:
    if action.id == "load" and going(view) is not None:
        return "cancel"
    if action.id == "load" and (view.run is None or view.run.phase == "end"):
        return "start"
    return action.short


def key_table() -> str:
    """README's table of keys, in Markdown."""
    lines = ["| key | what it does | where |", "|---|---|---|"]
    where = {CONTEXTS: "", (LIVE,): "live", (REPLAY,): "replay"}
    for action in ACTIONS:
        if action.keys:
            keys = " ".join(f"`{key}`" for key in action.shown.split(" "))
            lines.append(
                f"| {keys} | {action.text} | {where.get(action.contexts, ', '.join(action.contexts))} |"
            )
    return "\n".join(lines) + "\n"
