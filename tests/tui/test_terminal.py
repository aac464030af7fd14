"""The app in a real terminal (tmux): it starts, follows the terminal's size, and leaves it as it was, however it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no tmux on Windows"),
]

PATIENCE_S = 30.0  # only a screen that never comes takes so long


class Tmux:
    """A tmux server of its own with one window that runs a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._socket = f"infertop-{uuid.uuid4().hex[:12]}"
        self.pid_file = folder / "pid"

    def run(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._socket, "-f", "/dev/null", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def start(self, scene: str = "gpu", size: tuple[int, int] = (80, 24), **environment: str) -> None:
        """Run the app in a shell; what its exit leaves is noted in files."""
        kept = {
            "TERM": "tmux-256color", "LC_ALL": "C.UTF-8", "INFERTOP_THEME": "dark", "PYTHONPATH": os.pathsep.join(sys.path),
            "INFERTOP_GLYPHS": "", "COLUMNS": "80", "LINES": "24", **environment,
        }  # fmt: skip
        settings = " ".join(f"{name}='{value}'" for name, value in kept.items())
        unset = "" if "NO_COLOR" in environment else "unset NO_COLOR;"
        script = self.folder / "run.sh"
        script.write_text(
            f"unset COLORTERM; {unset} cd {self.folder}\n"
            "stty -g > before\n"
            f"{settings} sh -c 'echo $$ > pid; exec {sys.executable} -m infertop.tests.tui.demo {scene}'\n"
            "echo $? > code; stty -g > after; echo the shell is back\n"
        )
        self.run("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), f"sh {script}; exec sh")

    def keys(self, *keys: str) -> None:
        self.run("send-keys", *keys)

    def screen(self, *more: str) -> str:
        return self.run("capture-pane", "-p", *more)

    def until(self, condition: Callable[[str], bool], *more: str) -> str:
        """The screen once it is as wanted."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            shown = self.screen(*more)
            if condition(shown):
                return shown
            time.sleep(0.05)
        raise AssertionError(f"never came; the screen shows\n{self.screen()}")

    def file(self, name: str) -> str:
        """What the script left under this name, once it is there."""
        path = self.folder / name
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if path.exists() and (text := path.read_text().strip()):
                return text
            time.sleep(0.05)
        raise AssertionError(f"{name} was never written; the screen shows\n{self.screen()}")


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    found = Tmux(tmp_path)
    yield found
    found.run("kill-server")


def test_it_starts_follows_the_size_and_leaves_results_on_the_ordinary_screen(tmux: Tmux) -> None:
    tmux.start()
    shown = tmux.until(lambda s: "MEASURING" in s and "q quit" in s)
    assert "resnet18" in shown.splitlines()[0]
    assert len(shown.splitlines()) == 24
    tmux.run("resize-window", "-x", "120", "-y", "40")
    shown = tmux.until(lambda s: "runs of this session" in s)
    assert len(shown.splitlines()[0]) > 100
    tmux.run("resize-window", "-x", "50", "-y", "12")
    tmux.until(lambda s: "needs 60×20" in s)
    tmux.run("resize-window", "-x", "80", "-y", "24")
    shown = tmux.until(lambda s: "MEASURING" in s and "q quit" in s)
    assert "runs of this session" not in shown, "nothing of the larger screen stays"
    tmux.keys("q")
    shown = tmux.until(lambda s: "the shell is back" in s)
    assert "infertop replay" in shown
    assert "infertop run resnet18" in shown
    assert tmux.file("code") == "0"
    assert tmux.file("after") == tmux.file("before")
    assert tmux.run("display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}").split() == [
        "0",
        "1",
        "0",
    ]


@pytest.mark.parametrize(("signal", "code"), [("TERM", "143"), ("HUP", "129"), ("INT", "130")])
def test_a_signal_leaves_the_terminal_as_it_was(tmux: Tmux, signal: str, code: str) -> None:
    tmux.start()
    tmux.until(lambda s: "MEASURING" in s)
    subprocess.run(["kill", f"-{signal}", tmux.file("pid")], check=True)
    assert tmux.file("code") == code
    assert tmux.file("after") == tmux.file("before")
    tmux.until(lambda s: "the shell is back" in s)
    assert tmux.run("display-message", "-p", "#{alternate_on} #{cursor_flag}").split() == ["0", "1"]


def test_ctrl_c_ends_it_with_130(tmux: Tmux) -> None:
    tmux.start()
    tmux.until(lambda s: "MEASURING" in s)
    tmux.keys("C-c")
    assert tmux.file("code") == "130"
    assert tmux.file("after") == tmux.file("before")


def test_a_terminal_that_goes_away_takes_the_app_with_it(tmux: Tmux) -> None:
    tmux.start()
    tmux.until(lambda s: "MEASURING" in s)
    pid = int(tmux.file("pid"))
    tmux.run("kill-server")
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and Path(f"/proc/{pid}").exists():
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_suspend_and_resume_bring_the_whole_screen_back(tmux: Tmux) -> None:
    script = tmux.folder / "app.sh"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} -m infertop.tests.tui.demo gpu\n")
    script.chmod(0o755)
    environment = (
        f"TERM=tmux-256color LC_ALL=C.UTF-8 INFERTOP_THEME=dark PYTHONPATH={os.pathsep.join(sys.path)}"
    )
    tmux.run("new-session", "-d", "-x", "80", "-y", "24", f"env {environment} bash --norc --noprofile -i")
    tmux.keys(f"{script}", "Enter")
    tmux.until(lambda s: "MEASURING" in s)
    tmux.keys("C-z")
    tmux.until(lambda s: "Stopped" in s and "MEASURING" not in s)
    tmux.keys("fg", "Enter")
    shown = tmux.until(lambda s: "MEASURING" in s and "q quit" in s)
    for words in ("resnet18", "latency, ms", "PCIe, memory, power"):
        assert words in shown
    assert "slow link" not in shown, "it was away, and the terminal is as quick as before"
    tmux.keys("q")
    tmux.until(lambda s: "infertop replay" in s)


def test_redraw_mends_what_another_program_left_on_the_screen(tmux: Tmux) -> None:
    tmux.start("gpu still")
    tmux.until(lambda s: "MEASURING" in s)
    with open(tmux.run("display-message", "-p", "#{pane_tty}").strip(), "w") as terminal:
        terminal.write("\x1b[5;10HWALL: the machine goes down")
    tmux.until(lambda s: "WALL" in s)
    tmux.keys("C-l")
    tmux.until(lambda s: "WALL" not in s and "latency, ms" in s)


def test_sixteen_colours_are_asked_of_a_terminal_that_has_no_more(tmux: Tmux) -> None:
    tmux.start(TERM="xterm", INFERTOP_THEME="")
    shown = tmux.until(lambda s: "MEASURING" in s, "-e")
    assert "38;5;" not in shown
    assert "38;2;" not in shown
    assert "\x1b[" in shown


def test_no_color_is_respected(tmux: Tmux) -> None:
    tmux.start(NO_COLOR="1", INFERTOP_THEME="")
    shown = tmux.until(lambda s: "MEASURING" in s, "-e")
    codes = {
        code for part in shown.split("\x1b[")[1:] if "m" in part for code in part.split("m")[0].split(";")
    }
    assert codes <= {"", "0", "1", "2", "7", "22", "27", "39", "49"}, "bold, dim and reverse alone"


def test_an_ascii_locale_gets_ascii(tmux: Tmux) -> None:
    tmux.start(LC_ALL="C")
    shown = tmux.until(lambda s: "MEASURING" in s)
    assert shown.isascii()
    assert "?" not in shown.replace("? help", "")
    tmux.keys("m")
    shown = tmux.until(lambda s: "choose a model" in s)
    assert shown.isascii()


def test_the_plain_driver_shows_the_same(tmp_path: Path) -> None:
    shown = []
    for driver in ("ours", "plain"):
        folder = tmp_path / driver
        folder.mkdir()
        tmux = Tmux(folder)
        try:
            tmux.start("gpu still", INFERTOP_DRIVER=driver)
            shown.append(tmux.until(lambda s: "MEASURING" in s and "q quit" in s))
        finally:
            tmux.run("kill-server")
    assert shown[0] == shown[1]


def test_without_a_terminal_it_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infertop.tests.tui.demo", "gpu"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the screen needs a terminal" in done.stderr
    assert "Traceback" not in done.stderr
