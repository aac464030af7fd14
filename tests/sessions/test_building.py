"""`infertop run --build-only`, with TensorRT-RTX's real builder in a process of its own: no GPU is needed for it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from infertop import cli
from infertop.backends import boot, cuda
from infertop.backends.configuration import Configuration
from infertop.backends.errors import MeasureError
from infertop.sessions.options import Words, first_task
from infertop.tests.backends import onnx_zoo as zoo

RTX = pytest.importorskip(
    "tensorrt_rtx_bindings", reason="TensorRT-RTX's wheels exist for Linux on x86-64 only"
)

Infertop = Callable[..., SimpleNamespace]


@pytest.fixture
def infertop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Infertop:
    """Run a command in this process, away from the person's own cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache")

    def execute(*arguments: str) -> SimpleNamespace:
        code = cli.execute(arguments)
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return execute


def builds(done: SimpleNamespace) -> list[dict[str, Any]]:
    document = json.loads(done.out)
    assert document["schema"] == "infertop.build/1"
    found: list[dict[str, Any]] = document["builds"]
    return found


def test_engines_are_built_reported_and_kept(infertop: Infertop, tmp_path: Path) -> None:
    command = ("run", "smallcnn", "--build-only", "--target", "sm_89", "--batch", "1,8", "--json", "-")
    done = infertop(*command)
    assert done.code == 0, done.err
    first, second = builds(done)
    assert (first["backend"], first["status"], first["cache"], first["target"]) == (
        "tensorrt-rtx",
        "ok",
        "miss",
        "sm_89",
    )
    assert (first["batch"], second["batch"]) == (1, 8)
    assert second["inputs"] == {"input": [8, 3, 32, 32]}
    assert (first["version"], first["layers"], first["error"]) == (RTX.__version__, 13, None)
    assert first["build_s"] > 0
    path = Path(first["path"])
    assert path.parent == tmp_path / "cache" / "engines"
    assert path.stat().st_size == first["engine_bytes"]
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [build["cache"] for build in builds(infertop(*command))] == ["hit", "hit"]


def test_a_table_for_people(infertop: Infertop, tmp_path: Path) -> None:
    done = infertop(
        "run",
        "smallcnn",
        "--backend",
        "trt-rtx",
        "--build-only",
        "--target",
        "sm_120",
        "--json",
        "built.json",
    )
    heading, row = done.out.splitlines()
    assert heading.split("  ")[0] == "backend"
    assert re.match(r"tensorrt-rtx +smallcnn +fp32 +1 +sm_120 +[\d.]+ m?s +\d+ kB +13 +miss +/", row)
    assert json.loads((tmp_path / "built.json").read_text())["builds"][0]["status"] == "ok"


def test_what_cannot_be_built_is_a_sentence_and_the_rest_is_built(infertop: Infertop, tmp_path: Path) -> None:
    zoo.save(
        tmp_path / "odd.onnx", [zoo.node("FancyThing", ["x"], ["y"], domain="com.acme")],
        [zoo.value("x", zoo.FLOAT, "N", 4)], [zoo.value("y", zoo.FLOAT, "N", 4)], domains=["com.acme"],
    )  # fmt: skip
    done = infertop("run", "odd.onnx", "--build-only", "--target", "sm_89", "--json", "-")
    assert done.code == 3
    (build,) = builds(done)
    assert (build["status"], build["error"]["kind"], build["path"]) == ("failed", "model-unreadable", None)
    assert re.fullmatch(r"infertop: tensorrt-rtx · odd\.onnx · native: [^\n]*FancyThing[^\n]*\n", done.err)
    done = infertop("run", "smallcnn", "--build-only", "--target", "sm_75", "--precision", "fp32")
    assert (done.code, done.out) == (3, "")
    assert "FP32 GEMM is not supported" in done.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--target", "sm_89"), "--target needs --build-only beside it"),
        (("--build-only", "--target", "sm_90"), "--target sm_90 is none that tensorrt-rtx builds for"),
        (("--build-only", "--target", "sm_89", "--backend", "ort-cpu"), "onnxruntime-cpu builds no engine"),
        (
            ("--build-only", "--target", "sm_89", "--backend", "trt"),
            "tensorrt builds only on the GPU that runs the engine",
        ),
        (("--build-only", "--target", "sm_89", "--repeat", "3"), "--repeat says nothing to --build-only"),
        (("--build-only", "--target", "sm_89", "--gate", "p99<5ms"), "--gate says nothing to --build-only"),
        (("--build-only", "--target", "sm_89", "--dry-run"), "--dry-run says nothing to --build-only"),
    ],
)
def test_words_that_do_not_go_together(infertop: Infertop, words: tuple[str, ...], says: str) -> None:
    done = infertop("run", "smallcnn", *words)
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(rf"infertop: [^\n]*{re.escape(says)}[^\n]*\n", done.err), done.err


def test_without_a_gpu_the_target_has_to_be_named(infertop: Infertop) -> None:
    try:
        cuda.load()
    except MeasureError:
        done = infertop("run", "smallcnn", "--build-only")
        assert done.code == 3
        assert (
            "say for which GPU with --target, one of sm_75, sm_80, sm_86, sm_89, sm_120, sm_121" in done.err
        )
    else:
        pytest.skip("there is a driver here")


@pytest.mark.parametrize(
    "fate", ["os._exit(7)", "print('its last words', file=sys.stderr); os.kill(os.getpid(), 11)"]
)
def test_a_builder_that_crashes_costs_that_build_alone(
    infertop: Infertop, fate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = tmp_path / "boot.py"
    crash.write_text(f"import os, sys\nsys.stdin.readline()\nsys.stderr.flush()\n{fate}\n")
    monkeypatch.setattr(boot, "__file__", str(crash))
    done = infertop("run", "smallcnn", "--build-only", "--target", "sm_89", "--json", "-")
    assert done.code == 3
    (build,) = builds(done)
    assert "ended without an answer" in build["error"]["message"]
    assert ("its last words" in build["error"]["detail"]) == ("last words" in fate)


def test_an_interpreter_without_tensorrt_says_what_to_install(infertop: Infertop, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    site = next(path for path in sys.path if path.endswith("site-packages"))
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "numpy").symlink_to(Path(site, "numpy"))
    for libraries in Path(site).glob("numpy.libs"):
        (tmp_path / "only" / "numpy.libs").symlink_to(libraries)
    bare.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/only exec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    done = infertop("run", "smallcnn", "--build-only", "--target", "sm_89", "--python", str(bare))
    assert done.code == 3
    assert "tensorrt-rtx cannot be imported; pip install 'infertop[tensorrt-rtx]'" in done.err


def test_an_engine_is_no_model_to_build_from(infertop: Infertop, tmp_path: Path) -> None:
    (tmp_path / "mine.plan").write_bytes(b"an engine")
    done = infertop("run", "mine.plan", "--build-only", "--target", "sm_89")
    assert (done.code, done.out) == (2, "")
    assert "mine.plan is an engine already" in done.err


@pytest.mark.parametrize("trusted", [True, False])
def test_whether_an_engine_is_trusted_reaches_every_worker(trusted: bool, tmp_path: Path) -> None:
    (tmp_path / "mine.plan").write_bytes(b"an engine")
    words = Words(backend="trt", trust_engine=trusted, working_directory=str(tmp_path))
    task, _ = first_task("mine.plan", words)
    sent = Configuration.from_dict(json.loads(json.dumps(task.configuration.as_dict())))
    assert sent.options.trust_engine is trusted
