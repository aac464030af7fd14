"""`--backend-option [BACKEND:]KEY=VALUE`: who takes what, and every mistake before anything is measured."""

from __future__ import annotations

from typing import Any

import pytest
from infertop.backends import backend_options
from infertop.backends.backend_options import check, fitted, notes, parse
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError


def configurations(*backends: str, asked: list[str], precision: str = "native") -> list[Configuration]:
    options = Options(asked_options=[parse(word).text for word in asked])
    return [Configuration(backend, "smallcnn", precision, options=options) for backend in backends]


def taken(found: list[Configuration]) -> list[dict[str, str]]:
    return [fitted(configuration).options.backend_options for configuration in found]


def test_an_option_goes_to_the_backends_that_know_it_and_that_is_said() -> None:
    found = configurations("torch-eager", "onnxruntime-cpu", "torch-compile", asked=["channels_last=1"])
    check(found)
    assert taken(found) == [{"channels_last": "1"}, {}, {"channels_last": "1"}]
    assert notes(found) == [
        "--backend-option channels_last=1: onnxruntime-cpu has no such option and is measured without it"
    ]


def test_a_scope_names_the_one_backend_and_has_the_last_word() -> None:
    asked = ["ort-cuda:graph_optimization_level=basic", "graph_optimization_level=all"]
    found = configurations("onnxruntime-cuda", "onnxruntime-cpu", asked=asked)
    check(found)
    assert taken(found) == [{"graph_optimization_level": "basic"}, {"graph_optimization_level": "all"}]
    assert not notes(found)


def test_a_switch_of_the_backend_finds_its_own_options_again() -> None:
    (torch,) = map(
        fitted, configurations("torch-eager", asked=["channels_last=1", "execution_mode=parallel"])
    )
    (cpu,) = map(fitted, [Configuration("onnxruntime-cpu", "m", options=torch.options)])
    (back,) = map(fitted, [Configuration("torch-eager", "m", options=cpu.options)])
    assert cpu.options.backend_options == {"execution_mode": "parallel"}
    assert back.options.backend_options == {"channels_last": "1"}


def test_what_was_put_into_a_configuration_without_being_asked_for_stays() -> None:
    own = Configuration("simulated", "m", options=Options(backend_options={"latency_us": "5"}))
    assert fitted(own) is own


@pytest.mark.parametrize(
    ("backends", "asked", "says", "fix"),
    [
        (["torch-eager"], "chanels_last=1", "is not known to torch-eager", "did you mean channels_last?"),
        (["torch-eager", "onnxruntime-cpu"], "nonsense=1", "any of torch-eager, onnxruntime-cpu", "known are"),
        (["onnxruntime-cpu"], "torch:channels_last=1", "is for torch-eager, which is not measured", "measured: onnx"),
        (["onnxruntime-cpu"], "ort-cpu:channels_last=1", "is not known to onnxruntime-cpu", "known are"),
        (["onnxruntime-cpu"], "intra_op_num_threads=2", "is what --threads sets", "--threads N"),
        (["onnxruntime-cpu"], "graph_optimization_level=fast", "is not known", "use one of disable, basic"),
        (["onnxruntime-cuda"], "prefer_nhwc=perhaps", "is not known", "use one of 1, 0"),
        (["tensorrt"], "builder_optimization_level=9", "is not known", "give 0 to 5"),
        (["torch-compile"], "channels_last=maybe", "is not known", "use one of 1, 0"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_before_anything_is_measured(
    backends: list[str], asked: str, says: str, fix: str
) -> None:
    with pytest.raises(MeasureError, match=says) as caught:
        check(configurations(*backends, asked=[asked]))
    assert caught.value.kind == "usage"
    assert fix in caught.value.fix


@pytest.mark.parametrize("word", ["a", "=1", ":a=1", "nobody:a=1"])
def test_what_is_no_option(word: str) -> None:
    with pytest.raises(MeasureError) as caught:
        parse(word)
    assert caught.value.kind == "usage"


def test_a_backend_that_is_left_open_or_out_may_still_take_it() -> None:
    check(configurations("", asked=["channels_last=1"]))
    check(configurations("torch-eager", asked=["trt:cuda_graph=1"]), skipped=["tensorrt"])


def test_anothers_backend_takes_what_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = configurations("simulated", "onnxruntime-cpu", asked=["latency_us=5"])
    check(found)
    assert taken(found) == [{"latency_us": "5"}, {}]


def test_every_name_that_is_known_is_taken_by_its_runtime() -> None:
    """The names are those that the backends themselves refuse others by."""
    onnxruntime: Any = pytest.importorskip("onnxruntime")
    from infertop.backends import ort_session

    values = {"graph_optimization_level": "all", "execution_mode": "sequential", "inter_op_num_threads": "2"}
    asked = {name: values.get(name, "1") for name in ort_session.SESSION_OPTIONS}
    options = ort_session.session_options(onnxruntime, asked, 1)
    assert options.inter_op_num_threads == 2
    assert options.enable_mem_pattern is True
    assert all(backend_options.knows("onnxruntime-cpu", name) for name in asked)
