"""`--python PATH`: the worker under an interpreter that has no infertop, of another version than ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from infertop.sessions.prober import probe
from infertop.tests.sessions import kit

VERSIONS = ("3.10", "3.12", "3.13", "3.14", "3.11")
"""3.10, the oldest that workers must run under, first."""


def other_python() -> str | None:
    """An interpreter of another version that starts: on the path, or among pyenv's."""
    for version in VERSIONS:
        if version == f"3.{sys.version_info.minor}":
            continue
        installed = Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")
        for path in (shutil.which(f"python{version}"), *map(str, installed)):
            if (
                path
                and subprocess.run([path, "-c", "import venv"], capture_output=True, check=False).returncode
                == 0
            ):
                return path
    return None


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A venv of that Python with numpy and nothing else."""
    python = other_python()
    if python is None:
        pytest.skip("no other version of Python is installed here")
    place = tmp_path_factory.mktemp("bare")
    subprocess.run([python, "-m", "venv", place], check=True, capture_output=True)
    inside = str(place / "bin" / "python")
    subprocess.run(
        [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "numpy"],
        check=True,
        capture_output=True,
    )
    return inside


def test_the_probe_answers_for_that_interpreter(bare: str) -> None:
    found = {a.name: a for a in probe(bare)}
    assert not found["onnxruntime-cpu"].usable
    assert "onnxruntime is not installed" in found["onnxruntime-cpu"].reason
    assert found["onnxruntime-cpu"].fix.startswith(f"{bare} -m pip install"), "not into our own environment"


def test_the_worker_runs_there_and_a_runtime_that_it_lacks_is_named(
    bare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])
    measured, _ = kit.run(tmp_path, [kit.task(), kit.task("onnxruntime-cpu")], environments={"": bare})
    simulated, missing = measured.results
    assert simulated["status"] == "ok"
    assert missing["status"] == "unavailable"
    assert "onnxruntime is not installed" in missing["error"]["message"]
    assert missing["error"]["fix"]


def test_a_folder_in_the_working_directory_hides_no_library(
    bare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", kit.with_plugin()["PYTHONPATH"])
    measured, _ = kit.run(tmp_path, [kit.task()], environments={"": bare})
    assert measured.results[0]["status"] == "ok"
