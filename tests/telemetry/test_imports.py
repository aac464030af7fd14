"""Importing telemetry loads no user interface and no runtime, and works where Linux's own modules are
missing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import infertop.telemetry
import pytest

MODULES = sorted(
    path.stem for path in Path(infertop.telemetry.__file__).parent.glob("*.py") if path.stem != "__init__"
)

SCRIPT = """
import importlib, os, sys
import hdrh.histogram, numpy, psutil  # elsewhere they do without; here they may not

hidden = {"fcntl", "pwd", "termios", "resource", "grp"}

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in hidden:
            raise ModuleNotFoundError(name)

for name in hidden:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Hidden())
for name in ("sched_getaffinity", "getloadavg", "memfd_create", "sysconf"):
    if sys.argv[1] == "bare":
        vars(os).pop(name, None)
for name in sys.argv[2:]:
    importlib.import_module(f"infertop.telemetry.{name}")
heavy = {"textual", "rich", "torch", "onnxruntime", "infertop.sessions", "infertop.backends", "infertop.tui"}
sys.exit(", ".join(sorted(heavy & sys.modules.keys())) or 0)
"""


@pytest.mark.parametrize("system", ["this", "bare"])
def test_imports(system: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, system, *MODULES], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
