"""`python -m infertop.tests.tui.demo SCENE [choose]`: the real app on a synthetic session; for the tests in a terminal and for looking."""

from __future__ import annotations

import sys

from infertop.tests.tui.fake_port import SCENES, FakePort, FakeReplayPort
from infertop.tui.app import show


def main() -> int:
    name = sys.argv[1] if len(sys.argv) > 1 else "measuring"
    if name == "replay":
        return show(FakeReplayPort())
    return show(FakePort(SCENES[name](), moving="still" not in sys.argv), choose="choose" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
