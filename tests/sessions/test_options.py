"""From words to a plan: what the command line accepts, and the sentences for what it does not."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from infertop.backends.backend_options import fitted
from infertop.backends.cores import allowed_cores
from infertop.backends.errors import MeasureError
from infertop.backends.probes import Availability
from infertop.sessions import options, processors
from infertop.sessions.options import Words
from infertop.sessions.plan import Plan

USABLE = Availability("onnxruntime-cpu", "ort-cpu", True, version="1.31")
TORCH = Availability("torch-eager", "torch", True, version="2.14")
NO_TORCH = Availability("torch-eager", "torch", False, "torch is not installed", "pip install torch")


class Probe:
    """Answers by interpreter and keeps who was asked."""

    def __init__(self, **by_interpreter: Sequence[Availability]) -> None:
        self._answers = by_interpreter
        self.asked: list[str | None] = []

    def __call__(self, python: str | None) -> Sequence[Availability]:
        self.asked.append(python)
        return self._answers.get(Path(python).name if python else "", [TORCH, USABLE])


def plan(probe: Probe | None = None, model: str = "smallcnn", **words: Any) -> tuple[Plan, dict[str, str]]:
    return options.plan([model], Words(**words), probe or Probe())


def refused(message: str, **words: Any) -> MeasureError:
    with pytest.raises(MeasureError, match=message) as caught:
        plan(**words)
    assert caught.value.kind == "usage"
    assert "\n" not in caught.value.message
    return caught.value


@pytest.fixture
def python(tmp_path: Path) -> str:
    """Another interpreter, as far as its path tells."""
    path = tmp_path / "old"
    path.symlink_to(sys.executable)
    return str(path)


def test_the_defaults() -> None:
    found, interpreters = plan()
    [task] = found.tasks
    configuration = task.configuration
    assert (configuration.backend, configuration.precision, configuration.batch) == (
        "onnxruntime-cpu",
        "fp32",
        None,
    )
    assert (configuration.data_path, configuration.load, configuration.device) == (
        "pageable",
        "closed:1",
        "cpu",
    )
    assert (task.duration_s, task.requests, task.warmup) == (10.0, None, "auto")
    assert configuration.options.seed == 0
    assert interpreters == {}


def test_the_default_backend_is_one_that_is_usable() -> None:
    found, _ = plan(
        Probe(**{"": [TORCH, Availability("onnxruntime-cpu", "ort-cpu", False, "not installed")]})
    )
    assert found.configurations[0].backend == "torch-eager"


def test_nobody_is_asked_where_the_name_says_all() -> None:
    probe = Probe()
    plan(probe, backend="ort-cpu,ort-cuda")
    plan(probe, backend="torch-eager", device="cpu")
    assert probe.asked == []


def test_a_backend_that_could_use_either_measures_where_its_probe_says() -> None:
    probe = Probe(**{"": [replace(TORCH, device="cuda:0"), USABLE]})
    found, _ = plan(probe, backend="torch,ort-cpu,ort-cuda,torch-compile")
    assert [c.device for c in found.configurations] == ["cuda:0", "cpu", "cuda:0", "cpu"]
    assert probe.asked == [None], "asked once"
    assert options.first_task("resnet18", Words(backend="torch"))[0].configuration.device == "", (
        "the engine chooses"
    )


def test_lists_become_combinations() -> None:
    found, _ = plan(
        backend="ort-cpu,torch", precision="native,fp32", batch="1,8", dim=("seq=64,128",), duration="2s"
    )
    assert len(found.configurations) == len(found.tasks) == 16
    assert {c.dims["seq"] for c in found.configurations} == {64, 128}
    assert {t.duration_s for t in found.tasks} == {2.0}


def test_all_takes_the_usable_and_lists_the_rest_with_their_reasons() -> None:
    found, _ = plan(Probe(**{"": [NO_TORCH, USABLE]}), backend="all")
    assert [c.backend for c in found.configurations] == ["onnxruntime-cpu"]
    assert [(s.backend, s.reason, s.fix) for s in found.skipped] == [
        ("torch-eager", "torch is not installed", "pip install torch")
    ]


def test_all_of_nothing_is_an_error_that_says_why() -> None:
    with pytest.raises(MeasureError, match="torch is not installed") as caught:
        plan(Probe(**{"": [NO_TORCH]}), backend="all")
    assert caught.value.kind == "backend-missing"


def test_one_python_for_all(python: str) -> None:
    probe = Probe()
    found, interpreters = plan(probe, python=(python,))
    assert interpreters == {"": python}, "a link stays a link: it is what makes a virtual environment"
    assert probe.asked == [python]
    assert found.configurations[0].label == "onnxruntime-cpu"


def test_a_python_for_one_backend(python: str) -> None:
    probe = Probe(old=[NO_TORCH, Availability("onnxruntime-cpu", "ort-cpu", False, "not there")])
    found, interpreters = plan(probe, python=(f"ort-cpu={python}",), backend="all")
    assert interpreters == {"onnxruntime-cpu": python}
    assert probe.asked == [None, python]
    assert [c.backend for c in found.configurations] == ["torch-eager"]
    assert [s.reason for s in found.skipped] == ["not there"]
    named, _ = plan(python=(f"ort-cpu={python}",), backend="onnxruntime-cpu,torch")
    assert [(c.label, c.environment) for c in named.configurations] == [
        ("onnxruntime-cpu", "onnxruntime-cpu"),
        ("torch-eager", None),
    ]


def test_two_environments_side_by_side(python: str) -> None:
    found, interpreters = plan(backend="ort-cpu,ort-cpu@old", python=(f"old={python}",))
    assert interpreters == {"old": python}
    assert [c.label for c in found.configurations] == ["onnxruntime-cpu", "onnxruntime-cpu@old"]
    assert (
        refused("@ol names no interpreter", backend="ort-cpu@ol", python=(f"old={python}",)).fix
        == "did you mean ort-cpu@old?"
    )
    assert "--python new=PATH" in refused("@new names no", backend="ort-cpu@new").fix


def test_wrong_interpreters(python: str, tmp_path: Path) -> None:
    refused("no program of that name", python=("/nosuch/python",))
    refused("twice", python=(python, python))
    refused("is no label", python=(f"a b={python}",))
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").touch()
    assert "bin/python" in refused("is a directory", python=(str(tmp_path / "venv"),)).fix


def test_names_that_nearly_match_are_suggested() -> None:
    assert "onnxruntime-cpu" in refused("no backend named onnxruntime-cpo", backend="onnxruntime-cpo").fix
    assert "native" in refused("--precision 'natve'", precision="natve").fix
    with pytest.raises(MeasureError) as caught:
        plan(model="smalcnn")
    assert caught.value.kind == "model-not-found"
    assert "smallcnn" in caught.value.fix


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("--device 'gpu'", {"device": "gpu"}),
        ("--batch '0'", {"batch": "0"}),
        ("--batch 'x'", {"batch": "1,x"}),
        ("is not NAME=N", {"dim": ("seq",)}),
        ("twice", {"dim": ("seq=1", "seq=2")}),
        ("has no unit", {"duration": "10"}),
        ("longer than 0", {"duration": "0s"}),
        ("exclude each other", {"duration": "1s", "requests": "5"}),
        ("--requests", {"requests": "many"}),
        ("--warmup", {"warmup": "lots"}),
        ("--load", {"load": "open:fast"}),
        ("--data-path", {"data_path": "pined"}),
        ("--compile-mode takes one mode, not 2", {"compile_mode": "default,max-autotune"}),
        (
            "--backend-option execution_mode is given twice",
            {"backend_option": ("execution_mode=parallel", "execution_mode=sequential")},
        ),
        ("is not a shape", {"input_shape": ("input",)}),
        ("is not a shape", {"input_shape": ("input=3xx4",)}),
        ("no such file", {"inputs": "/nosuch.npz"}),
        ("/dev/null is no file", {"inputs": "/dev/null"}),
        ("--threads", {"threads": "few"}),
        ("not a list of cores", {"cpu_affinity": "0-"}),
        ("not allowed here", {"cpu_affinity": "999999"}),
        (r"not \[BACKEND:\]KEY=VALUE", {"backend_option": ("arena",)}),
        ("arena=0 is not known to onnxruntime-cpu", {"backend_option": ("arena=0",)}),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(message: str, words: dict[str, Any]) -> None:
    refused(message, backend="ort-cpu", **words)


def test_a_device_is_taken_by_those_that_can_and_all_means_only_them() -> None:
    found, _ = plan(backend="torch,ort-cpu", device="cuda")
    assert [c.device for c in found.configurations] == ["cuda:0", "cuda:0"], (
        "what cannot, says so when it is loaded"
    )
    on_gpu, _ = plan(backend="all", device="cuda:1")
    assert [(c.backend, c.device) for c in on_gpu.configurations] == [("torch-eager", "cuda:1")]
    assert [(s.backend, s.reason) for s in on_gpu.skipped] == [
        ("onnxruntime-cpu", "it does not run on cuda:1")
    ]
    assert {c.device for c in plan(backend="all", device="cpu")[0].configurations} == {"cpu"}


def test_shapes_in_both_notations() -> None:
    found, _ = plan(backend="ort-cpu", input_shape=("input=Bx3x224x224", "ids:1x128:int64", "scale="))
    assert found.configurations[0].options.input_shapes == {
        "input": "Bx3x224x224",
        "ids": "1x128:int64",
        "scale": "",
    }


def test_options_are_recorded_with_the_configuration(tmp_path: Path) -> None:
    inputs = tmp_path / "inputs.npz"
    inputs.touch()
    core = processors.mask()[-1]
    found, _ = plan(
        backend="ort-cpu", threads="all", cpu_affinity=str(core), gc="on", seed=7, inputs=str(inputs), backend_option=("enable_mem_pattern=0",),
        working_directory=str(tmp_path), cache_directory="/cache",
    )  # fmt: skip
    chosen = found.configurations[0].options
    assert (chosen.threads, chosen.cpu_affinity, chosen.gc, chosen.seed) == (1, [core], "on", 7)
    assert (chosen.inputs, chosen.backend_options) == (str(inputs), {"enable_mem_pattern": "0"})
    assert (chosen.working_directory, chosen.cache_directory) == (str(tmp_path), "/cache")


def test_a_past_of_nothing_is_a_size_and_a_batch_of_nothing_is_none() -> None:
    """A prefill and a decode step in one sweep; and what `y` copies names the 0 that a run had."""
    words = Words(backend="ort-cpu", dim=("past_sequence_length=0,31",))
    found = options.plan(["smallcnn"], words, lambda python: [])[0].configurations
    assert [c.dims for c in found] == [{"past_sequence_length": 0}, {"past_sequence_length": 31}]
    assert "above 0" in refused("--batch '0'", batch="0", backend="ort-cpu").message
    assert refused("'-1' is not a whole number", dim=("past=-1",), backend="ort-cpu").kind == "usage"


def test_weights_are_for_models_that_have_none_of_their_own(tmp_path: Path) -> None:
    """Otherwise the result would say that they were set, and nobody had read them."""
    for name in ("m.onnx", "w.pt"):
        (tmp_path / name).touch()
    words = Words(backend="ort-cpu", weights=str(tmp_path / "w.pt"))
    assert options.plan(["resnet18"], words, lambda python: [])[0].configurations[0].options.weights
    with pytest.raises(MeasureError, match=r"m\.onnx brings its own") as caught:
        options.plan([str(tmp_path / "m.onnx")], words, lambda python: [])
    assert caught.value.kind == "usage"


def test_a_file_is_suggested_where_the_name_nearly_matches(tmp_path: Path) -> None:
    (tmp_path / "inputs.npz").touch()
    assert (
        str(tmp_path / "inputs.npz")
        in refused("no such file", inputs=str(tmp_path / "input.npz"), backend="ort-cpu").fix
    )


def test_the_tick_has_bounds() -> None:
    assert options.interval(Words(interval="100ms")) == pytest.approx(0.1)
    for bad in ("50ms", "2s", "250"):
        with pytest.raises(MeasureError):
            options.interval(Words(interval=bad))


def test_the_live_screen_starts_with_the_first_of_every_list(python: str) -> None:
    words = Words(backend="ort-cpu@old,torch", batch="8,1", python=(f"old={python}",))
    task, interpreters = options.first_task("smallcnn", words)
    assert (task.configuration.label, task.configuration.batch, task.duration_s) == (
        "onnxruntime-cpu@old",
        8,
        600,
    )
    assert interpreters == {"old": python}
    open_task, _ = options.first_task("smallcnn", Words(duration="30s"))
    assert (open_task.configuration.backend, open_task.duration_s) == ("", 30)


def test_every_core_that_is_allowed_is_known() -> None:
    assert processors.mask() == sorted(os.sched_getaffinity(0))


def test_what_a_person_should_know_before_it_is_measured_is_in_the_plan() -> None:
    allowed = allowed_cores()
    found, _ = plan(backend="ort-cpu,torch", threads="4096", backend_option=("channels_last=1",))
    assert found.notes == (
        "--backend-option channels_last=1: onnxruntime-cpu has no such option and is measured without it",
        f"--threads 4096 is more than the {allowed} cores that are allowed here: threads will wait for each other",
    )
    assert not plan(backend="ort-cpu", threads=str(allowed))[0].notes


def test_the_screen_takes_options_of_backends_that_a_key_leads_to() -> None:
    words = Words(backend="ort-cpu", backend_option=("torch:channels_last=1", "execution_mode=parallel"))
    task, _ = options.first_task("smallcnn", words)
    assert task.configuration.options.backend_options == {"execution_mode": "parallel"}
    assert fitted(replace(task.configuration, backend="torch-eager")).options.backend_options == {
        "channels_last": "1"
    }
    with pytest.raises(MeasureError, match="is not known"):
        options.first_task("smallcnn", replace(words, backend_option=("chanels_last=1",)))
