"""The two lines that say how things stand: the phase, the state or the verdict, and what to do."""

from __future__ import annotations

from ...sessions.gpu_lock import BUSY
from ...sessions.runs import same_configuration
from ...sessions.view import RunView, View
from ..jobs import Job, going, outcome, stopped
from ..naming import differences, facts, short_backend
from ..render.cells import EMPTY, Row, clean, fit, spread
from ..render.meter import meter
from ..render.numbers import count, number, seconds, span
from ..scene import Message, Scene, baseline, shown_run
from . import endings
from .diagnosis import diagnosis, key_for, pressing
from .states import PHASE_WORDS, answered, headed, last_answer, sentence

MESSAGE_ROWS = 5  # at most; the verdict's place has two, and a message lies over what is below
_REMEMBERED_S = 30.0  # s for which the failure of a switch stays on the screen

_UNBEGUN = {
    BUSY: ("▲ NOT BEGUN", "r asks again, m chooses another model"),
    "wait": ("◌ WAITING", "x gives it up"),
    "stop": ("○ STOPPED", "x starts it"),
}
"""Why there is no run yet, by what became of the newest command."""

_ROOMY = 100  # cells from which there is room for more than what is needed

_STEPS = ("import", "load", "warmup", "measure")
_PASSING = ("export", "build", "check", "control", "quiet")
_STEP_NAMES = {"warmup": "warm-up", "check": "compare outputs", "control": "plain call", "quiet": "idle GPU"}
_GRADES = {"A": "steady", "B": "fair", "C": "unsteady"}


def grade_words(grade: str | None) -> str:
    """The stability of a run as shown."""
    return f"{grade} {_GRADES.get(grade, '')}".strip() if grade else "stability –"


def verdict(scene: Scene, width: int) -> list[Row]:
    """Two rows. What the screen has to say itself comes first, then failures, then the run."""
    if scene.message is not None:
        return _message(scene.message, width)
    if scene.failure is not None:
        return _message(scene.failure, width)
    view, run = scene.view, scene.view.run
    if view.state == "lost":
        return sentence(
            headed("✕ ENGINE LOST", "bad"),
            "the engine ended without a word; all that it had written is here",
            "q leaves; infertop starts a new session" if scene.live else "",
            width,
        )
    if (job := going(view)) is not None:
        if (
            job.kind == "sweep"
            and run is not None
            and run.phase == "measure"
            and (view.verdict or run.fallback)
        ):
            return _swept(scene, job, run, width)
        return _going(scene, job, run, width)
    if run is not None and view.state == "live" and stopped(view, run):
        return endings.stopped_by_hand(scene, run, width)
    if run is not None and (failed := just_failed(view)) is not None:
        return endings.stood_in_for(scene, failed, run, width)
    if run is not None and run.error is not None and view.state != "ended":
        return endings.failed(scene, run, width)
    if (found := outcome(view)) is not None and view.state == "live":
        return _outcome(scene, found, width)
    if view.state == "ended":
        return endings.ended(scene, width)
    if run is None:
        return _nothing_yet(scene, width)
    if run.phase == "end":
        return endings.done(scene, run, width)
    if run.phase != "measure":
        return _phase(scene, run, width)
    if view.verdict is not None or run.fallback:
        return diagnosis(scene, run, width)
    return _measuring(scene, run, width)


def _nothing_yet(scene: Scene, width: int) -> list[Row]:
    """Before the first run: what was asked for is on its way, or nothing was."""
    view = scene.view
    if (answer := last_answer(view)) is not None and (known := _UNBEGUN.get(answered(answer))) is not None:
        head, fix = known
        return sentence(headed(head, "two-strong"), answer.text, fix if scene.live else "", width)
    if scene.awaited is not None:
        c = scene.awaited
        name = [short_backend(view, c)] if c.backend else []
        what = " · ".join([*facts(c)[:1], *name, *facts(c)[1:]])
        doing = (
            "the engine is starting" if view.state == "waiting" else "looking which backends this machine has"
        )
        return sentence(headed("◌ STARTING", "two-strong"), what, doing, width)
    if view.state == "waiting":
        return sentence(headed("◌ STARTING", "two-strong"), "the engine is starting", "", width)
    fix = "m chooses one" if scene.live else ""
    return sentence(headed("○ IDLE", "one-strong"), "no model is loaded", fix, width)


def just_failed(view: View) -> RunView | None:
    """The run that failed and in whose place the present one carries on; forgotten once that has been measured for a while, or has ended."""
    run = view.run
    if view.state != "live" or run is None or run.phase == "end" or run.measured_s > _REMEMBERED_S:
        return None
    last = next((r for r in reversed(view.runs) if r.run < run.run), None)
    if last is None or last.run != run.run - 1 or last.error is None or last.error.kind == "stopped":
        return None
    # The same once more, or what was chosen since, is what the person asked for, and no stand-in.
    return None if same_configuration(last.configuration, run.configuration) or _chosen(view, last) else last


def _chosen(view: View, failed: RunView) -> bool:
    """Whether what came after that failure came by a person's command; what the engine does by itself has no command's id."""
    events = iter(view.events)
    ended = any(event.kind == "run" and event.run == failed.run for event in events)  # as far as that
    after = next((event for event in events if event.kind == "command"), None)
    return ended and after is not None and after.id is not None


def _message(message: Message, width: int) -> list[Row]:
    heads = {"info": ("·", "one-strong"), "warn": ("▲", "two-strong"), "error": ("✕", "bad")}
    head: Row = ((" ", "text"), heads[message.level], (" ", "text"))
    return sentence(head, message.text, message.fix, width, "strong", "text", MESSAGE_ROWS)


def _going(scene: Scene, job: Job, run: RunView | None, width: int) -> list[Row]:
    """How far a proof or a sweep is, and what it does just now."""
    word = {"proof": "PROVING", "sweep": "SWEEP"}.get(job.kind, "OBSERVER")
    text = job.text.removeprefix("proving ")
    right: Row = ((f"{job.done} of {job.total} ", "strong"),) if job.total else EMPTY
    if job.kind == "sweep":
        left = "" if job.left_s is None else f", about {span(job.left_s)} left"
        text = f"{job.done} of {job.total} measured{left}"
        right = EMPTY
    right = (*meter(float(job.done), float(max(1, job.total)), 12, scene.glyphs), (" ", "text"), *right)
    if scene.live:
        right = (*right, ("x", "key"), (" cancels ", "dim"))
    head: Row = ((f" ◆ {word}", "one-strong"), (f"  {clean(text)}", "text"))
    second: Row = EMPTY
    if run is not None:
        c = run.configuration
        phase = PHASE_WORDS.get(run.phase, clean(run.phase))
        what = " · ".join([short_backend(scene.view, c), *facts(c)[1:]])
        elapsed = seconds(max(0, scene.view.now - run.phase_since) / 1e9)
        second = ((f"   now {phase} ", "dim"), (what, "text"), (f"  {elapsed}", "dim"))
    return [spread(head, right, width), fit(second, width)]


def _swept(scene: Scene, job: Job, run: RunView, width: int) -> list[Row]:
    """What holds the present run of a sweep back is the news; how far the sweep is stands behind the advice."""
    left = "" if job.left_s is None or width < _ROOMY else f", {span(job.left_s)} left"
    return diagnosis(scene, run, width, ((f"sweep {job.done} of {job.total}{left} ", "dim"),))


def _outcome(scene: Scene, job: Job, width: int) -> list[Row]:
    """What a proof or a sweep has found, until something else is chosen."""
    fix = ""
    if job.kind == "sweep":
        fix = "c compares runs; r or x goes on with what was measured before" if scene.live else ""
    elif job.verdict == "helps" and (key := key_for(scene, job.action, job.value)):
        fix = f"{key} takes it"
    word = "PROOF" if job.kind == "proof" else "SWEEP"
    look = "one-strong" if job.well else "two-strong"
    return sentence(((f" ◆ {word}  ", look),), job.text, fix, width)


def _phase(scene: Scene, run: RunView, width: int) -> list[Row]:
    """A switch on its way: what it does, for how long, and what is still to come."""
    view = scene.view
    name = short_backend(view, run.configuration)
    elapsed = seconds(max(0, view.now - run.phase_since) / 1e9)
    word = PHASE_WORDS.get(run.phase, clean(run.phase))
    first: Row = (
        (" ◌ ", "two-strong"),
        (word.upper(), "two-strong"),
        (f"  {name}  ", "text"),
        (elapsed, "strong"),
    )
    if run.note:
        first = (*first, (f"  {clean(run.note)}", "dim"))
    if run.progress is not None:
        first = (
            *first,
            ("  ", "text"),
            *meter(run.progress, 1.0, 20, scene.glyphs),
            (f" {run.progress * 100:.0f} %", "text"),
        )
    cancel: Row = (("esc", "key"), (" cancels ", "dim")) if scene.live else EMPTY
    second = _steps(scene, run)
    if run.fallback:
        second = (("   ▲ FALLBACK", "two-strong"), (f"  {clean(run.fallback)}", "text"))
    return [spread(first, cancel, width), fit(second, width)]


def _steps(scene: Scene, run: RunView) -> Row:
    """The phases in order: done, present, to come. Those that not every run goes through stand there only while they last."""
    steps = list(_STEPS)
    if run.phase in _PASSING:
        steps.insert(1 if run.phase == "export" else 2, run.phase)
    at = steps.index(run.phase) if run.phase in steps else -1
    row: Row = (("   ", "text"),)
    for i, step in enumerate(steps):
        name = _STEP_NAMES.get(step, step)
        if i:
            row = (*row, (" › " if not scene.glyphs.ascii else " > ", "frame"))
        row = (*row, (f"✓ {name}", "dim") if i < at else (name, "two-strong") if i == at else (name, "dim"))
    return row


def _measuring(scene: Scene, run: RunView, width: int) -> list[Row]:
    view = scene.view
    head: Row = ((" ● ", "one-strong"), ("MEASURING", "one-strong"), ("  ", "text"))
    if run.throughput is not None:
        head = (*head, (number(run.throughput), "strong"), (" samples/s", "text"))
    head = (*head, (f"  for {span(run.measured_s)}", "text"))
    if said := pressing(view, run):
        head = (*head, ("  ", "text"), *said)
    if run.drops:
        head = (*head, (f"  {count(run.drops)} records dropped", "two"))
    right: Row = EMPTY
    if run.note:
        right = ((clean(run.note) + " ", "dim"),)
    if run.grade is not None:
        second = f"{grade_words(run.grade)}: {', '.join(clean(r) for r in run.grade_reasons)}".rstrip(": ")
    elif run.latency is not None:
        second = "stability is judged once there is enough to judge"
    else:
        second = "the first requests are under way"
    return [spread(head, right, width), fit((("   " + second, "dim"),), width)]


def compared(scene: Scene) -> str:
    """What the baseline had that the shown run has not."""
    run, before = shown_run(scene.view), baseline(scene.view)
    if run is None or before is None:
        return ""
    return differences(before.configuration, run.configuration, scene.view)
