"""The package as it is installed: what the list in pyproject.toml, the wheel and the entry point hold."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from infertop import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def folders() -> Iterator[Path]:
    """The package's folders, relative to the root: those with an __init__.py, but for tests and what is hidden."""
    yield Path()
    for top in sorted(ROOT.iterdir()):
        if top.is_dir() and not top.name.startswith(".") and top.name not in ("tests", "build", "dist"):
            yield from (path.parent.relative_to(ROOT) for path in sorted(top.rglob("__init__.py")))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy: building leaves folders behind."""
    copy = tmp_path_factory.mktemp("wheel") / "source"
    ignored = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=ignored)
    subprocess.run(
        [sys.executable, "-c", "import setuptools.build_meta as b; b.build_wheel('dist')"],
        cwd=copy,
        check=True,
        capture_output=True,
    )
    [built] = (copy / "dist").glob("*.whl")
    return zipfile.ZipFile(built)


def test_every_folder_with_code_is_listed() -> None:
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert listed == {".".join(["infertop", *folder.parts]) for folder in folders()}
    code = {path.parent.relative_to(ROOT) for folder in folders() for path in (ROOT / folder).glob("*.py")}
    below = {
        path.parent.relative_to(ROOT)
        for folder in folders()
        if folder.parts
        for path in (ROOT / folder).rglob("*.py")
    }
    assert code >= below, "a folder with modules but without an __init__.py would be left out of the wheel"


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {name.split("/")[0] for name in names} == {"infertop", f"infertop-{__version__}.dist-info"}
    assert not [name for name in names if "/tests/" in name or name.startswith("infertop/docs")]


def test_the_wheel_holds_every_module_and_the_files_beside_them(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    modules = {
        str(Path("infertop", folder, path.name))
        for folder in folders()
        for path in (ROOT / folder).glob("*.py")
    }
    assert modules <= names
    assert {"infertop/py.typed", "infertop/backends/smallcnn.onnx"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_command_is_installed(wheel: zipfile.ZipFile) -> None:
    points = configparser.ConfigParser()
    points.read_string(wheel.read(f"infertop-{__version__}.dist-info/entry_points.txt").decode())
    assert dict(points["console_scripts"]) == {"infertop": "infertop.cli:main"}
    assert "infertop.backends" not in points, "our own backends are known without being installed"


def test_the_extras_are_there(wheel: zipfile.ZipFile) -> None:
    metadata = wheel.read(f"infertop-{__version__}.dist-info/METADATA").decode()
    extras = {line.split(": ")[1] for line in metadata.splitlines() if line.startswith("Provides-Extra: ")}
    assert {"torch", "onnx", "hf", "tensorrt", "tensorrt-rtx", "pycuda", "all", "test"} <= extras
    assert "License-Expression: Apache-2.0" in metadata
