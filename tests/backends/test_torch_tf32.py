"""TF32 under torch: the installed one's own switches, whatever a model's code has made of them, and those of an older torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from infertop.backends import cuda
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.torch_eager import TorchEager
from infertop.backends.torch_tf32 import Tf32
from infertop.tests.backends.fake_cuda import FakeCuda

OFF = {"matmul": False, "conv": False, "rnn": False}
ON = dict.fromkeys(OFF, True)


@pytest.fixture
def switches() -> Iterator[Tf32]:
    """Of this process, with nothing chosen yet, which has them as before afterwards."""
    found = Tf32(torch)
    before = found._read()
    found._write(replace(before, products="highest", cudnn=False, words=("none",) * len(before.words)))
    yield found
    found._write(before)


def legacy() -> None:
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True


def one_operator() -> None:
    torch.backends.cudnn.conv.fp32_precision = "tf32"


def everything() -> None:
    torch.backends.fp32_precision = "tf32"


def both_interfaces() -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.fp32_precision = "tf32"


def on_the_cpu() -> None:
    torch.backends.mkldnn.conv.fp32_precision = "bf16"


def by_word() -> None:
    torch.set_float32_matmul_precision("high")


NEW = pytest.mark.skipif(
    not hasattr(torch.backends.cudnn, "conv"), reason="this torch has no switch for each kind of operator"
)


@pytest.mark.parametrize(
    ("code", "device"),
    [
        (legacy, "cuda:0"),
        (by_word, "cuda:0"),
        *(pytest.param(code, "cuda:0", marks=NEW) for code in (one_operator, everything, both_interfaces)),
        *(pytest.param(code, "cpu", marks=NEW) for code in (on_the_cpu, by_word)),
    ],
)
def test_whatever_a_model_s_code_chose_fp32_and_tf32_are_what_they_say(
    code: Callable[[], None], device: str, switches: Tf32
) -> None:
    code()
    chosen = switches.state(device)
    assert any(chosen.values())
    for precision, state in (("fp32", OFF), ("tf32", ON), ("fp32", OFF)):
        switches.restore()
        switches.choose(precision, device)
        assert switches.state(device) == state
        # Inductor reads the old interface, which raises where the two differ.
        assert (
            torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is (precision == "tf32")
        )
        assert torch.get_float32_matmul_precision() == ("high" if precision == "tf32" else "highest")
    switches.restore()
    switches.choose("native", device)
    assert switches.state(device) == chosen


def test_a_model_that_switches_while_it_runs_is_a_fallback(switches: Tf32) -> None:
    switches.choose("fp32", "cuda:0")
    assert switches.other_than("fp32", "cuda:0") == ""
    legacy()
    assert switches.other_than("fp32", "cuda:0") == "matmul, conv, rnn"
    backend = TorchEager()
    backend._tf32 = switches
    for precision, device, falls_back in (
        ("fp32", "cuda:0", True),
        ("native", "cuda:0", False),
        ("fp32", "cpu", False),
    ):
        backend._configuration = Configuration(
            "torch-eager", "m", precision, device=device, options=Options()
        )
        found = backend.fallback(over=True)
        assert (found is not None) is falls_back
        assert found is None or "switched TF32 on for matmul, conv, rnn" in found.message


def older(keeps: bool) -> Any:
    """torch up to 2.8; `keeps`: the switch of cudnn does what it is told."""

    class Cudnn:
        def __init__(self) -> None:
            object.__setattr__(self, "allow_tf32", True)

        def __setattr__(self, name: str, value: bool) -> None:
            if keeps:
                object.__setattr__(self, name, value)

    words = ["highest"]
    return SimpleNamespace(
        __version__="2.4.0",
        backends=SimpleNamespace(cudnn=Cudnn()),
        get_float32_matmul_precision=lambda: words[-1],
        set_float32_matmul_precision=words.append,
    )


def test_an_older_torch_has_two_switches() -> None:
    found = Tf32(older(keeps=True))
    assert found.state("cuda:0") == {"matmul": False, "conv": True, "rnn": True}
    found.choose("fp32", "cuda:0")
    assert found.state("cuda:0") == OFF
    found.restore()
    assert found.state("cuda:0") == {"matmul": False, "conv": True, "rnn": True}


def test_what_torch_does_not_keep_is_refused() -> None:
    with pytest.raises(MeasureError, match="does not switch TF32 off for conv, rnn") as caught:
        Tf32(older(keeps=False)).choose("fp32", "cuda:0")
    assert caught.value.kind == "unsupported"


@pytest.mark.parametrize(
    ("precision", "capability", "override", "refused"),
    [
        ("tf32", (9, 0), None, False),
        ("tf32", (8, 0), None, False),
        ("tf32", (7, 5), None, True),
        ("bf16", (7, 0), None, True),
        ("fp16", (7, 0), None, False),
        ("fp32", (7, 5), None, False),
        ("tf32", (9, 0), "0", True),
        ("fp32", (9, 0), "0", False),
        ("fp32", (9, 0), "1", True),
        ("native", (7, 5), "1", False),
    ],
)
def test_a_precision_that_gpu_or_environment_do_not_give_is_refused(
    precision: str,
    capability: tuple[int, int],
    override: str | None,
    refused: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(cuda.TF32_OVERRIDE, raising=False)
    if override is not None:
        monkeypatch.setenv(cuda.TF32_OVERRIDE, override)
    if not refused:
        cuda.refuse_precision("torch-eager", precision, capability)
    else:
        with pytest.raises(MeasureError, match=f"torch-eager cannot measure {precision}") as caught:
            cuda.refuse_precision("torch-eager", precision, capability)
        assert caught.value.kind == "unsupported"
        assert caught.value.fix
    assert bool(cuda.override_notes(precision)) is (precision == "native" and override is not None)


@pytest.mark.parametrize(
    ("precision", "native", "capability", "said"),
    [
        ("fp32", "fp32", (8, 0), True),
        ("fp32", "fp32", (7, 5), False),
        ("fp32", "bf16", (9, 0), False),
        ("native", "fp32", (9, 0), False),
        ("tf32", "fp32", (9, 0), False),
    ],
)
def test_that_fp32_is_not_what_a_plain_script_gets_is_said_where_the_gpu_has_tf32(
    precision: str, native: str, capability: tuple[int, int], said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeCuda()
    fake.capability = capability
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(fake))
    backend = TorchEager()
    backend._tf32 = Tf32(torch)
    backend._built = SimpleNamespace(native=native)  # type: ignore[assignment]
    found = backend._settings(Configuration("torch-eager", "m", precision, device="cuda:0"))["notes"]
    assert found == (
        ["TF32 is off: a plain script has it on for convolutions, which --precision native measures"]
        if said
        else []
    )
