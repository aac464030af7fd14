"""`python -m infertop.tests.bench._watched …`: the command line, whose screen leaves a note of its worst lateness and its skipped frames."""

from __future__ import annotations

from infertop.cli import main
from infertop.tests.tui.demo import WatchedApp
from infertop.tui import app

if __name__ == "__main__":
    app.InfertopApp = WatchedApp  # type: ignore[misc]
    main()
