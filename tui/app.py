"""The app: polls a session, paints what is new, and routes keys to actions. What these do lies in the modules beside it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from textual import events
from textual.app import App
from textual.theme import Theme

from ..backends.errors import MeasureError
from ..sessions.view import View
from . import dialogs, playback, screens
from .actions import DIGITS, Situation, bound, footer, named
from .background import Background
from .control import Control
from .dashboard import Dashboard
from .driver import driver_class
from .overlays import Overlay
from .panels.device import gpus, shown_gpu
from .port import SessionPort, nothing
from .render.cells import ASCII, BRAILLE
from .scene import Message, Scene
from .theme import THEMES, default_glyphs, default_theme, ground, styles

POLL_S = 0.1
QUIET_S = 1.0  # between two looks at the session while it matters what this screen itself costs
PAINT_S = 0.225  # a little below a tick of 250 ms; faster ticks are not painted one by one
MESSAGE_S = 8.0
SLOW_LINK_S = 5.0  # how long a skipped frame is shown


class InfertopApp(App[int], inherit_bindings=False):
    """The live screen and the replay: the same but for the port and its keys."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "infertop"

    def __init__(self, port: SessionPort, *, choose: bool = False, monitor: bool = False) -> None:
        """With `choose` the model chooser comes first; with `monitor` the session is one that measures nothing."""
        super().__init__(driver_class=driver_class(), ansi_color=None)
        self.port = port
        self.view = nothing()
        self.control = Control(port)
        self.dashboard = Dashboard()
        self.overlay: Overlay | None = None
        self.message: Message | None = None
        self.failure: Message | None = None
        self.frozen: View | None = None
        self._still: View | None = None  # what stands behind an overlay that keeps the screen quiet
        self.whole = False
        self.gpu = ""  # the GPU asked for; empty: the run's
        self.look = default_theme(self.console.color_system)
        self.glyphs = default_glyphs()
        self.lookups = Background("infertop-lookups")
        self._choose = choose
        self._monitor = monitor
        self._message_until, self._message_at = 0.0, _stage(self.view)
        self._painted = self._polled = 0.0
        self._due = True  # something is new since the last paint
        self._skipped, self._slow_until = 0, 0.0

    def get_default_screen(self) -> Dashboard:
        return self.dashboard

    def on_mount(self) -> None:
        for name in THEMES:
            back, text = ground(name)
            ansi = back.startswith("ansi")
            # Textual's own style sheet asks for these of every ANSI theme.
            extra = {"ansi-background": back, "ansi-foreground": text} if ansi else {}
            theme = Theme(
                f"infertop-{name}", back, background=back, foreground=text, ansi=ansi, variables=extra
            )
            self.register_theme(theme)
        self.dress(self.look)
        if not self.is_headless:
            self._catch_signals()
        driver: Any = self._driver
        if hasattr(driver, "hung_up"):
            driver.hung_up = lambda: self.exit(129, return_code=129)
        self._poll()
        if self._choose:
            dialogs.choose_model(self)
        self.set_interval(POLL_S, self._poll)

    def _catch_signals(self) -> None:
        """A signal leaves the terminal as it was, with the exit code that shells expect of it."""
        for name, code in (("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)):
            number = getattr(signal, name, None)
            if number is None:
                continue
            leave: Callable[[], None] = lambda code=code: self.exit(code, return_code=code)  # type: ignore[misc]  # noqa: E731
            try:
                assert self._loop is not None
                self._loop.add_signal_handler(number, leave)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_, leave=leave: self.call_from_thread(leave))

    def _handle_exception(self, error: Exception) -> None:
        """A defect ends the screen in order; the command line says so in a sentence and keeps the traceback in its log."""
        self._return_code = 70
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()

    @property
    def defect(self) -> Exception | None:
        """What ended the screen against its will."""
        return self._exception

    # -- pictures

    def _poll(self) -> None:
        """Take the newest picture, and paint where something is new and the last paint is long enough ago."""
        quiet = self.overlay is not None and self.overlay.quiet
        if quiet and time.monotonic() - self._polled < QUIET_S:
            return
        self._polled = time.monotonic()
        before = self.failure
        try:
            view = self.port.poll()
            self.failure = None
        except MeasureError as error:
            view, self.failure = self.view, Message(error.message, error.fix, "error")
        if view is not self.view or self.failure != before:
            self._due = True
            self.view = view
            self.control.watch(view)
        if self.control.message is not None:
            self.say(self.control.message)
            self.control.message = None
        if self.control.blocked is not None and self.overlay is None:
            self.open(dialogs.ask_gpu(self, self.control.blocked))
            self.control.blocked = None
        now = time.monotonic()
        if self.message is not None and (now > self._message_until or self._overtaken(self.message)):
            self.message, self._due = None, True
        self._watch_link(now)
        if self._due and (self.frozen is None or quiet) and now - self._painted >= PAINT_S:
            self.paint()

    def _overtaken(self, message: Message) -> bool:
        """Whether the run has gone on to what matters more than the message."""
        if _stage(self.view) == self._message_at:
            return False
        failed = self.view.run is not None and self.view.run.error is not None
        return failed or message.level == "info"

    def _watch_link(self, now: float) -> None:
        skipped = getattr(self._driver, "skipped", 0)
        if skipped != self._skipped:
            self._skipped, self._slow_until = skipped, now + SLOW_LINK_S

    @property
    def monitor(self) -> bool:
        """Whether the session measures nothing; before it has begun, whether it was asked to."""
        return self._monitor if self.view.header is None else self.view.header.monitor

    def situation(self) -> Situation:
        return self.control.situation(self.view)

    def paint(self) -> None:
        """Draw now."""
        self._painted, self._due = time.monotonic(), False
        replay = self.port.replay
        if self.overlay is None or not self.overlay.quiet:
            self._still = None
        elif self._still is None:
            self._still = self.view
        scene = Scene(
            view=self.frozen or self._still or self.view,
            glyphs=self.glyphs,
            message=self.message,
            footer=footer(self.situation()),
            whole=self.whole,
            gpu=self.gpu,
            monitor=self.monitor,
            frozen=self.frozen is not None,
            slow_link=self._painted < self._slow_until,
            live=self.port.live,
            cursor=playback.cursor(replay) if replay is not None else None,
            failure=self.failure,
            awaited=self.control.awaited(self.view),
        )
        self.dashboard.show(scene, self.overlay)

    def say(self, message: Message | None) -> None:
        """Show a message on the verdict line for a while; None takes it away."""
        self.message = message
        self._message_until = time.monotonic() + MESSAGE_S
        self._message_at = _stage(self.view)
        self._due = True

    def open(self, overlay: Overlay | None) -> None:
        """Put an overlay in front, or close the one that is."""
        self.overlay = overlay
        self.paint()

    def dress(self, look: str) -> None:
        """Change the theme."""
        self.look = look
        self.theme = f"infertop-{look}"
        self.dashboard.dress(styles(look), self.glyphs)

    # -- keys

    async def on_key(self, event: events.Key) -> None:
        event.stop()
        key = event.key
        if key == "ctrl+c":
            self.exit(130, return_code=130)
        elif self.overlay is not None:
            # Terminals send esc and a key in quick succession as one key with alt: nothing here has a key with alt, so esc was meant.
            if key.startswith("alt+"):
                key = "escape"
            if self.overlay.press(key, event.character):
                self.overlay = None
            self.paint()
        else:
            action = bound(key, self.situation().context)
            if action is not None:
                self.perform(action.id, DIGITS.index(key) + 1 if key in DIGITS else 0)

    def on_paste(self, event: events.Paste) -> None:
        if self.overlay is not None:
            self.overlay.paste(event.text)
            self.paint()

    def perform(self, name: str, digit: int = 0) -> None:
        """Do an action, or say why it cannot be done."""
        action = named(name)
        self.say(None)
        if why := action.objection(self.situation()):
            self.say(Message(why, level="warn"))
        elif action.group == "measure" and name not in screens.ASKING:
            self.frozen = None
            self.say(self._measure(name, digit))
        elif action.group == "replay" and name != "go":
            assert self.port.replay is not None
            self.say(playback.perform(name, self.port.replay, self.view, digit))
            self._poll()
        else:
            screens.perform(self, name)
        if self.is_running:
            self.paint()

    def _measure(self, name: str, digit: int) -> Message | None:
        control, view = self.control, self.view
        if name == "backend":
            return control.backend(view, digit)
        if name in ("batch-up", "batch-down"):
            return control.batch(view, 2.0 if name == "batch-up" else 0.5)
        if name == "precision":
            return control.precision(view)
        if name == "data-path":
            return control.data_path(view)
        if name == "again":
            return control.again(view)
        if name == "cancel":
            return control.cancel(view)
        if name == "prove":
            return control.prove(view)
        return control.load(view)

    def toggle_freeze(self) -> None:
        self.frozen = None if self.frozen is not None else self.view

    def next_gpu(self) -> None:
        """Show the next GPU in the GPU's panels."""
        found = gpus(self.view)
        self.gpu = found[(found.index(shown_gpu(self.view, self.gpu)) + 1) % len(found)]

    def toggle_glyphs(self) -> None:
        self.glyphs = BRAILLE if self.glyphs.ascii else ASCII
        self.dress(self.look)

    def redraw(self) -> None:
        """Send every cell again."""
        forget = getattr(self._driver, "forget", None)
        if forget is not None:
            forget()
        else:
            self.refresh(layout=True)


def _stage(view: View) -> tuple[int, str]:
    """The run and its phase: once they change, what a key announced has come."""
    return (view.run.run, view.run.phase) if view.run is not None else (0, "")


def show(port: SessionPort, *, choose: bool = False, monitor: bool = False) -> int:
    """Run the screen on a session until it is left; returns the exit code. The session is closed, and the results are printed."""
    from .farewell import farewell

    if not (sys.stdin.isatty() and sys.stderr.isatty()):  # Textual reads the one and draws on the other
        raise MeasureError(
            "usage", "the screen needs a terminal", "infertop run MODEL prints results without one"
        )

    app = InfertopApp(port, choose=choose, monitor=monitor)
    try:
        app.run(mouse=False)
    finally:
        code = app.return_code or 0
        port.close(leave=code == 129)
    if app.defect is not None:
        raise app.defect
    text = farewell(app.view, port.replay_words)
    if text and code != 129:
        sys.stdout.write(text + "\n")
    return code
