"""The line that repeats a configuration: whatever was measured, the command line makes the same of it."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from infertop import cli
from infertop.backends import models
from infertop.backends.backend_options import fitted, parse
from infertop.backends.configuration import Configuration, Options
from infertop.sessions import options
from infertop.sessions.command_line import command
from infertop.sessions.processors import mask

HERE = os.getcwd()
RECORDED = ("infertop", "smallcnn", "--python", sys.executable, f"--python=old={sys.executable}", "--python",
            f"ort-cuda={sys.executable}")  # fmt: skip
ASKED = (
    "channels_last=1",
    "torch-compile:channels_last=0",
    "session.intra_op.allow_spinning=0",
    "onnxruntime-cpu:graph_optimization_level=all",
    "workspace_mib=256",
    "tensorrt-rtx:workspace_mib=512",
)
FILES = {"inputs.npz": "--inputs", "weights.pt": "--weights", "my net.onnx": ""}


def parsed(line: str) -> tuple[Configuration, dict[str, Any]]:
    """What `infertop run` makes of the line, and its other options. Where the line leaves the backend or its device open this fails."""
    words = shlex.split(line)
    assert words[:2] == ["infertop", "run"]
    assert isinstance(cli.cli, click.Group)
    given = cli.cli.commands["run"].make_context("run", words[2:]).params
    model = given.pop("model")
    known = {name: value for name, value in given.items() if name in options.Words.__dataclass_fields__}

    def probe(python: str | None) -> Any:
        raise AssertionError("the line leaves something to the machine")

    plan, _ = options.plan([model], options.Words(**known), probe)
    options.check_compile_mode(options.Words(**known), plan)
    [configuration] = plan.configurations
    return configuration, given


def names(*characters: str) -> st.SearchStrategy[str]:
    return st.text(st.sampled_from("".join(characters)), min_size=1, max_size=6)


numbers = st.integers(1, 4096)


@st.composite
def configurations(draw: st.DrawFn, folder: Path) -> Configuration:
    backend, devices = draw(
        st.sampled_from(
            [
                ("torch-eager", ("cpu", "cuda:0", "cuda:1")),
                ("torch-compile", ("cpu", "cuda:0")),
                ("onnxruntime-cpu", ("cpu",)),
                ("onnxruntime-cuda", ("cuda:0", "cuda:2")),
                ("tensorrt-rtx", ("cuda:0",)),
            ]
        )
    )
    own = [None, "old"] if backend != "onnxruntime-cuda" else [backend, "old"]
    load = draw(
        st.sampled_from(["closed:1", "closed:4", "open:100/s", "poisson:12.5/s", "pipelined:3", "open:auto"])
    )
    model = draw(
        st.sampled_from(
            ["smallcnn", "resnet18", "torchvision:vgg11", "module:factory", str(folder / "my net.onnx")]
        )
    )
    known = models.takes_weights(models.resolve(model))
    maybe = st.one_of(st.none(), numbers)
    file = {name: st.sampled_from([None, str(folder / name)]) for name in FILES}
    chosen = Options(
        threads=draw(maybe),
        cpu_affinity=draw(
            st.one_of(st.none(), st.lists(st.sampled_from(mask()), min_size=1, unique=True).map(sorted))
        ),
        seed=draw(st.integers(0, 99)),
        slo_ms=draw(st.sampled_from([0.5, 10.0, 1234.5])) if load == "open:auto" else None,
        gc=draw(st.sampled_from(["off", "on"])),
        inputs=draw(file["inputs.npz"]),
        input_shapes=draw(
            st.dictionaries(names("ab_."), st.sampled_from(["Bx3x4", "1x2:int64"]), max_size=2)
        ),
        weights=draw(file["weights.pt"]) if known else None,
        compile_mode=draw(st.sampled_from([None, "default", "max-autotune"])),
        asked_options=draw(st.lists(st.sampled_from(ASKED), unique=True, max_size=5)),
        control=True,
        agreement=draw(st.booleans()),
        tolerance=draw(st.one_of(st.none(), st.floats(1e-6, 1.0))),
        trust_engine=draw(st.booleans()),
        working_directory=HERE,
    )
    whole = Configuration(
        backend,
        model,
        draw(st.sampled_from(options.KNOWN_PRECISIONS)),
        draw(maybe),
        draw(st.dictionaries(names("seqlen"), st.integers(0, 4096), max_size=2)),
        draw(st.sampled_from(options.DATA_PATHS)),
        load,
        draw(st.sampled_from(devices)),
        draw(st.sampled_from(own)),
        chosen,
    )
    return fitted(whole)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    for name in FILES:
        (made / name).write_bytes(b"")
    return made


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_line_is_parsed_as_the_same_configuration(folder: Path, data: st.DataObject) -> None:
    configuration = data.draw(configurations(folder))
    found, _ = parsed(command(configuration, RECORDED))
    # What was asked of other backends only is nothing to this one.
    own, backend = configuration.options, configuration.backend
    meant = [word for word in own.asked_options if parse(word).meant(backend)]
    mode = own.compile_mode if backend == "torch-compile" else None
    expected = dataclasses.replace(own, asked_options=meant, compile_mode=mode)
    assert found == dataclasses.replace(configuration, options=expected)


def test_options_that_nobody_typed_are_written_as_they_are() -> None:
    old = Options(backend_options={"use_tf32": "0"})
    line = command(Configuration("onnxruntime-cuda", "smallcnn", "fp32", device="cuda:0", options=old))
    assert "--backend-option use_tf32=0" in line


def test_what_is_the_default_is_left_out() -> None:
    plain = Options(agreement=True)
    assert command(Configuration("onnxruntime-cpu", "resnet18", "fp32", options=plain)) == (
        "infertop run resnet18 --backend onnxruntime-cpu"
    )
    native = Configuration("torch-eager", "smallcnn", device="cpu", options=plain)
    assert command(native) == "infertop run smallcnn --backend torch-eager --precision native --device cpu"
    elsewhere = Configuration("tensorrt", "/no/such/net.onnx", device="cuda:0", options=plain)
    assert command(elsewhere) == "infertop run /no/such/net.onnx --backend tensorrt --precision native"


def test_what_the_session_said_of_measuring_goes_along() -> None:
    recorded = ["infertop", "smallcnn", "--warmup", "2s", "--duration=90s", "--name", "mine", "--batch", "4"]
    configuration = Configuration("onnxruntime-cpu", "smallcnn", "fp32")
    _, given = parsed(command(configuration, recorded))
    assert (given["warmup"], given["duration"], given["name"]) == ("2s", "90s", None)


def test_a_label_whose_interpreter_is_not_known_stays_to_be_filled_in() -> None:
    labelled = Configuration("onnxruntime-cpu", "smallcnn", "fp32", environment="old")
    assert command(labelled).endswith("--backend onnxruntime-cpu@old --python old=PATH --no-agreement")
