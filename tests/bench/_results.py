"""What `infertop run` measures, as a bench reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def results(*words: str) -> list[dict[str, Any]]:
    """Those of `infertop run WORDS`, what could not be measured among them."""
    command = [sys.executable, "-m", "infertop", "run", *words, "--no-record", "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"{' '.join(command[2:])} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    return found
