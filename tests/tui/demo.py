"""`python -m infertop.tests.tui.demo SCENE [still] [choose]`: the real app on a synthetic session, for tests in a terminal and for looking.

With INFERTOP_DEMO_NOTE it leaves a file that says how late the event loop ever was and how many frames were skipped.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from infertop.backends.errors import MeasureError
from infertop.tests.tui.fake_port import SCENES, FakePort, FakeReplayPort
from infertop.tui import app


class WatchedApp(app.InfertopApp):
    """The app with a heartbeat that notes the longest lateness of its event loop."""

    stall = 0.0

    def on_mount(self) -> None:
        super().on_mount()
        self._beat = asyncio.create_task(self._heart())

    async def _heart(self) -> None:
        await asyncio.sleep(2.0)
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.02)
            self.stall = max(self.stall, time.monotonic() - began - 0.02)

    def on_unmount(self) -> None:
        note: dict[str, Any] = {
            "stall": round(self.stall, 2),
            "skipped": getattr(self._driver, "skipped", None),
        }
        Path(os.environ["INFERTOP_DEMO_NOTE"]).write_text(json.dumps(note))


def main() -> int:
    if "INFERTOP_DEMO_NOTE" in os.environ:
        app.InfertopApp = WatchedApp  # type: ignore[misc]
    name = sys.argv[1] if len(sys.argv) > 1 else "measuring"
    try:
        if name == "replay":
            return app.show(FakeReplayPort())
        return app.show(FakePort(SCENES[name](), moving="still" not in sys.argv), choose="choose" in sys.argv)
    except MeasureError as error:
        sys.stderr.write(f"{error.message}: {error.fix}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
