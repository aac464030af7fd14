"""Who imports what: heavy runtimes and Textual stay out of what must start at once, and viewing works on systems that are not Linux."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import infertop
import pytest

ROOT = Path(infertop.__path__[0])
HEAVY = ("textual", "rich", "torch", "torchvision", "onnxruntime", "onnx", "tensorrt", "pycuda")

MEASURING = {
    # The only modules that may need what Linux alone has: what starts engines and workers.
    "infertop.sessions.engine", "infertop.sessions.headless", "infertop.sessions.launch", "infertop.sessions.serving",
    "infertop.sessions.worker_process", "infertop.sessions.workers",
}  # fmt: skip


def modules(package: str) -> list[str]:
    """The package's modules by name, those of its subpackages included."""
    return [found.name for found in pkgutil.walk_packages([str(ROOT / package)], f"infertop.{package}.")]


def run(code: str) -> str:
    """The standard output of a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(*names: str) -> set[str]:
    """Top-level modules in sys.modules after importing these in a fresh interpreter."""
    code = f"import importlib, json, sys\nfor n in {names!r}: importlib.import_module(n)\nprint(json.dumps(sorted(sys.modules)))"
    return set(json.loads(run(code)))


def test_the_command_line_loads_nothing_heavy() -> None:
    loaded = loaded_by("infertop.cli")
    assert not loaded & {*HEAVY, "numpy", "msgspec", "hdrh", "psutil", "platformdirs"}
    assert not [name for name in loaded if name.startswith(("infertop.sessions.", "infertop.tui"))]


@pytest.mark.parametrize("package", ["sessions", "telemetry"])
def test_sessions_and_telemetry_load_neither_screen_nor_runtime(package: str) -> None:
    loaded = loaded_by(*modules(package))
    assert not loaded & set(HEAVY)
    assert not [name for name in loaded if name.startswith("infertop.tui")]


def test_the_worker_loads_no_runtime_before_it_is_asked() -> None:
    loaded = loaded_by("infertop.backends.worker", "infertop.backends.probes", "infertop.backends.models")
    assert not loaded & {*HEAVY, "msgspec", "psutil", "click", "platformdirs", "hdrh", "pynvml", "backports"}


def test_no_second_copy_of_the_package_is_loaded() -> None:
    names = {"backends", "sessions", "telemetry", "tui", "cli"}
    assert not loaded_by("infertop.cli", *modules("sessions"), *modules("tui")) & names


@pytest.mark.parametrize("package", ["sessions", "telemetry", "tui"])
def test_viewing_needs_nothing_that_only_linux_has(package: str) -> None:
    """As on Windows: neither our modules nor Textual's find those of Unix. (psutil has its own for each system.)"""
    viewing = [name for name in modules(package) if name not in MEASURING]
    code = f"""
import builtins, importlib
original = builtins.__import__
def without(name, globals=None, locals=None, fromlist=(), level=0):
    caller = str((globals or {{}}).get("__name__")).partition(".")[0]
    if caller in ("infertop", "textual") and name in ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"):
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    return original(name, globals, locals, fromlist, level)
builtins.__import__ = without
for name in {viewing!r}:
    importlib.import_module(name)
"""
    run(code)


def test_the_contracts_of_the_layers_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
