"""Probes: what is usable in an interpreter, said without importing a runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import infertop
from infertop.backends import probes

PRELUDE = """
import sys
assert "torch" not in sys.modules and "onnxruntime" not in sys.modules
from infertop.backends import probes
probes.main()
loaded = {"torch", "torchvision", "onnxruntime", "onnx"} & set(sys.modules)
assert not loaded, loaded
"""


def probe_in(code: str, *flags: str) -> dict[str, dict[str, object]]:
    root = str(Path(infertop.__file__).parent)
    register = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("infertop", {root!r} + "/__init__.py", submodule_search_locations=[{root!r}])
sys.modules["infertop"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""
    done = subprocess.run(
        [sys.executable, *flags, "-c", register + code],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_what_is_installed_is_usable_and_nothing_is_imported_to_know_it() -> None:
    found = probe_in(PRELUDE)
    assert found["onnxruntime-cpu"]["usable"]
    assert found["onnxruntime-cpu"]["version"]
    assert found["torch-eager"]["usable"]


def test_a_bare_interpreter_is_told_what_to_install() -> None:
    # Without site-packages, as a fresh virtual environment would be; numpy is not needed to probe.
    found = probe_in(PRELUDE, "-S", "-E")
    assert not any(line["usable"] for line in found.values())
    assert found["torch-eager"]["reason"] == "torch is not installed"
    assert found["torch-eager"]["fix"] == "pip install 'infertop[torch]'"
    assert found["onnxruntime-cpu"]["fix"] == "pip install 'infertop[onnx]'"


def test_probes_come_in_the_registry_s_order() -> None:
    assert [found.name for found in probes.probe_all()][:2] == ["torch-eager", "onnxruntime-cpu"]
