"""torch-eager on the CPU: zoo, torchvision, factories, programs, weights, and what goes wrong in words."""

from __future__ import annotations

import math
import shutil
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from infertop.backends import cuda, torch_gpu, torch_precision, torch_watch
from infertop.backends.backend import Loaded, StageTimes
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.inputs import make_sets
from infertop.backends.ort import OnnxRuntimeCpu
from infertop.backends.staged import Staged
from infertop.backends.torch_compile import TorchCompile
from infertop.backends.torch_eager import TorchEager
from infertop.backends.torch_module import arrays
from infertop.backends.torch_paths import CUDA_STEPS, HostPath
from infertop.backends.torch_watch import Watch
from infertop.tests.backends.fake_cuda import FakeCuda

FACTORIES = '''
import torch
from torch import nn

class Net(nn.Module):
    """Ids in a table of 11, scaled per sample; a dict and a list come out."""
    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(11, 4), nn.Linear(4, 3)
    def forward(self, ids, scale, extra=None):
        return {"scores": self.out(self.words(ids)) * scale[:, None, None], "seen": [ids]}

def positional(): return Net(), (torch.ones(2, 5, dtype=torch.long), torch.rand(2))
def by_name(): return Net(), {"scale": torch.rand(2), "ids": torch.ones(2, 5, dtype=torch.long)}
def convolution(): return nn.Conv2d(3, 4, 3)
def raises(): raise ValueError("no weights here")
def leaves(): raise SystemExit(3)
def number(): return 3
def trains():
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.9))
    return module.train(), torch.ones(1, 4)
class Gate(nn.Module):
    def forward(self, x): return x * torch.sigmoid(x) + 1
def gate(): return Gate(), torch.ones(1, 64)
def halves(): return nn.Linear(4, 6).bfloat16(), torch.ones(1, 4, dtype=torch.bfloat16)
class Normalises(nn.Module):
    def forward(self, x): return x.sub_(1).div_(0.25) + 0
def normalises(): return Normalises(), {"x": torch.ones(2, 8)}
class Clips(nn.Module):
    def forward(self, x): return torch.relu_(x)
def clips(): return Clips(), {"x": torch.ones(2, 8)}
class Mixes(nn.Module):
    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second.half()
    def forward(self, x): return self.second(self.first(x).half())
def mixes(): return Mixes(nn.Linear(8, 8), nn.Linear(8, 2)), torch.ones(2, 8)
def mixes_images(): return Mixes(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)), torch.ones(2, 3, 4, 4)
class Counting(Gate):
    calls = 0
    def forward(self, x):
        self.calls += 1
        return super().forward(x) * self.calls
def counting(): return Counting(), torch.ones(1, 64)
class Broken(nn.Module):
    def forward(self, x):
        x = x * 2
        torch._dynamo.graph_break()
        return torch.sigmoid(x)
def broken(): return Broken(), torch.ones(1, 8)
class Disabled(nn.Module):
    @torch.compiler.disable
    def forward(self, x): return torch.sigmoid(x) * 2
def disabled(): return Disabled(), torch.ones(1, 8)
constant = 7
'''


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A working directory with factories, which leaves sys.path and sys.modules as they were."""
    (tmp_path / "factories.py").write_text(FACTORIES)
    (tmp_path / "broken.py").write_text("raise RuntimeError('half written')")
    (tmp_path / "needy.py").write_text("import a_library_that_nobody_has")
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    for name in ("factories", "broken", "needy"):
        sys.modules.pop(name, None)


needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="inductor needs a C++ compiler on the CPU"
)


def asked(
    model: str, folder: Path | None = None, options: dict[str, Any] | None = None, **fields: Any
) -> Configuration:
    given = Options(working_directory=str(folder or "."), **(options or {}))
    return Configuration("torch-eager", model, options=given, **fields)


def request(configuration: Configuration, backend: Any = None) -> tuple[Loaded, list[np.ndarray]]:
    backend = backend or TorchEager()
    try:
        loaded = backend.load(configuration, lambda phase: None)
        backend.bind(make_sets(loaded, configuration.options), 1)
        backend.issue(0, 0, None)
        backend.complete(0, None)
        return loaded, backend.outputs(0)
    finally:
        backend.close()


def refused(configuration: Configuration, backend: Any = None) -> MeasureError:
    with pytest.raises(MeasureError) as caught:
        request(configuration, backend)
    return caught.value


def test_smallcnn_is_the_same_model_in_torch_and_in_its_onnx_file() -> None:
    _, ours = request(asked("smallcnn", batch=4, precision="fp32"))
    _, file = request(asked("smallcnn", batch=4, precision="fp32"), OnnxRuntimeCpu())
    assert ours[0].shape == (4, 10)
    assert np.abs(ours[0]).max() > 0.1
    np.testing.assert_allclose(ours[0], file[0], rtol=1e-4, atol=1e-5)


def test_random_weights_follow_the_seed() -> None:
    first, again, other = (request(asked("mobilenet_v2", options={"seed": seed}))[1][0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_torchvision_s_names_and_a_wrong_one() -> None:
    assert request(asked("torchvision:squeezenet1_1"))[1][0].shape == (1, 1000)
    assert "torchvision:squeezenet1_0" in refused(asked("torchvision:squeezenet")).fix


def test_another_batch_keeps_the_module_and_stages_are_timed() -> None:
    backend = TorchEager()
    backend.load(asked("smallcnn"), lambda phase: None)
    module = backend._module
    configuration = asked("smallcnn", batch=6)
    loaded = backend.load(configuration, lambda phase: None)
    assert backend._module is module
    backend.bind(make_sets(loaded, configuration.options), 1)
    times = StageTimes()
    backend.issue(0, 0, times)
    backend.complete(0, times)
    assert backend.outputs(0)[0].shape == (6, 10)
    assert times.compute > 0
    assert all(math.isnan(value) for value in (times.h2d, times.d2h, times.enqueue))
    backend.close()
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("name", ["positional", "by_name"])
def test_a_factory_s_example_inputs_give_names_types_and_batch(name: str, folder: Path) -> None:
    loaded, outputs = request(asked(f"factories:{name}", folder))
    assert {item.name: (item.shape, item.dtype) for item in loaded.inputs} == {
        "ids": ((2, 5), "int64"),
        "scale": ((2,), "float32"),
    }
    assert loaded.batch == 2
    assert loaded.tables == {"ids": 11}
    assert [array.shape for array in outputs] == [(2, 5, 3), (2, 5)]
    assert request(asked(f"factories:{name}", folder, batch=7))[1][0].shape == (7, 5, 3)


def test_a_factory_is_put_into_evaluation_mode(folder: Path) -> None:
    loaded, outputs = request(asked("factories:trains", folder))
    assert loaded.inputs[0].name == "input"
    assert (outputs[0] != 0).all()


def test_a_factory_without_example_inputs_needs_a_shape(folder: Path) -> None:
    error = refused(asked("factories:convolution", folder))
    assert error.kind == "shape"
    assert "--input-shape input=" in error.fix
    shape = {"input_shapes": {"x": "Bx3x8x8"}}
    assert request(asked("factories:convolution", folder, shape, batch=3))[1][0].shape == (3, 4, 6, 6)
    error = refused(asked("factories:convolution", folder, {"input_shapes": {"x": "Bx5x8x8"}}))
    assert error.kind == "shape"
    assert "x 1 x 5 x 8 x 8" in error.message


@pytest.mark.parametrize(
    ("model", "kind", "says"),
    [
        ("factories:raises", "factory-failed", "ValueError: no weights here"),
        ("factories:leaves", "factory-failed", "SystemExit"),
        ("factories:number", "factory-failed", "type int"),
        ("factories:constant", "import-failed", "not a function"),
        ("factories:convolutoin", "import-failed", "convolution"),
        ("factorys:number", "import-failed", "factories"),
        ("broken:make", "import-failed", "half written"),
        ("needy:make", "import-failed", "a_library_that_nobody_has"),
    ],
)
def test_what_goes_wrong_in_a_factory_is_one_sentence(model: str, kind: str, says: str, folder: Path) -> None:
    error = refused(asked(model, folder))
    assert error.kind == kind
    assert says in error.message + error.fix
    assert "Traceback" not in error.message


def test_the_end_of_a_factory_s_traceback_is_kept(folder: Path) -> None:
    assert "in raises" in refused(asked("factories:raises", folder)).detail


def test_precisions_cast_module_and_inputs(folder: Path) -> None:
    for precision, dtype in (("fp16", "float16"), ("bf16", "bfloat16")):
        loaded, outputs = request(asked("factories:trains", folder, precision=precision))
        assert loaded.inputs[0].dtype == dtype
        assert np.isfinite(outputs[0]).all()
    error = refused(asked("smallcnn", precision="tf32"))
    assert error.kind == "unsupported"
    assert "fp16" in error.fix


def test_a_model_whose_own_code_sets_types_is_not_cast(folder: Path) -> None:
    for model, precision in (("mixes", "fp32"), ("mixes", "bf16"), ("mixes_images", "fp32")):
        error = refused(asked(f"factories:{model}", folder, precision=precision))
        assert (error.kind, error.fix) == ("unsupported", "use --precision native")
        assert f"cannot be cast to {precision}" in error.message
        assert np.isfinite(request(asked(f"factories:{model}", folder))[1][0]).all()


@needs_compiler
def test_a_model_whose_own_code_sets_types_is_not_cast_under_torch_compile_either(folder: Path) -> None:
    error = refused(asked("factories:mixes", folder, precision="fp32"), TorchCompile())
    assert (error.kind, error.fix) == ("unsupported", "use --precision native")


def test_what_is_copied_out_is_counted_in_the_module_s_own_type(folder: Path) -> None:
    """numpy has no bfloat16, so that outputs come back twice as wide."""
    backend = TorchEager()
    for model, size in (("halves", 2), ("gate", 4)):
        configuration = asked(f"factories:{model}", folder)
        loaded = backend.load(configuration, lambda phase: None)
        backend.bind(make_sets(loaded, configuration.options), 1)
        backend.issue(0, 0, None)
        backend.complete(0, None)
        assert backend.outputs(0)[0].dtype == np.float32
        assert backend.bytes_out(0) == size * backend.outputs(0)[0].size
    backend.close()


@pytest.mark.parametrize("model", ["normalises", "clips"])
def test_a_module_that_writes_into_its_input_gets_the_same_one_each_time(model: str, folder: Path) -> None:
    backend = TorchEager()
    configuration = asked(f"factories:{model}", folder)
    loaded = backend.load(configuration, lambda phase: None)
    sets = make_sets(loaded, configuration.options)
    given = [array.copy() for array in (sets[0]["x"], sets[1]["x"])]
    backend.bind(sets, 1)
    for number, index in enumerate((0, 0, 1, 0, 1)):
        backend.issue(0, index, None)
        backend.complete(0, None)
        if number == 0:
            backend.settle()
        wanted = (given[index] - 1) / 0.25 if model == "normalises" else np.maximum(given[index], 0)
        np.testing.assert_allclose(backend.outputs(0)[0], wanted, rtol=1e-5)
    assert loaded.runtime["notes"] == [
        "the model writes into its input: each request is given a copy, which is part of its time"
    ]
    times = StageTimes()
    backend.issue(0, 0, times)
    assert times.host > 0
    backend.close()
    loaded = backend.load(asked("factories:gate", folder), lambda phase: None)
    backend.bind(make_sets(loaded, Options()), 1)
    backend.issue(0, 0, None)
    backend.complete(0, None)
    backend.settle()
    assert "notes" not in loaded.runtime
    backend.close()


def test_where_the_input_stays_on_the_gpu_a_copy_is_what_is_written_into() -> None:
    sets = [[torch.randn(3, 4)] for _ in range(2)]
    before = [given[0].clone() for given in sets]
    steps = CUDA_STEPS["device"](torch, torch.relu_, lambda given: (tuple(given), {}), sets, "cpu")
    steps.fresh = True
    for index in (0, 1, 0):
        steps.copy_in(index)
        steps.compute(index)
        steps.copy_out()
        assert torch.equal(steps.result, before[index].relu())
    assert all(torch.equal(given[0], was) for given, was in zip(sets, before, strict=True))


def test_channels_last_is_taken_recorded_and_refused_where_it_is_nothing(folder: Path) -> None:
    backend = TorchEager()
    plain = request(asked("smallcnn", batch=2))[1][0]
    loaded, outputs = request(
        asked("smallcnn", batch=2, options={"backend_options": {"channels_last": "1"}}), backend
    )
    assert loaded.runtime["channels_last"] is True
    np.testing.assert_allclose(outputs[0], plain, rtol=1e-4, atol=1e-5)
    configuration = asked("smallcnn", options={"backend_options": {"channels_last": "true"}})
    backend.bind(make_sets(backend.load(configuration, lambda phase: None), configuration.options), 1)
    holder = backend._holders[0]
    assert isinstance(holder, HostPath)
    (positional, _), *_ = holder._arguments
    assert positional[0].is_contiguous(memory_format=torch.channels_last)
    assert backend._module.block1.conv.weight.is_contiguous(memory_format=torch.channels_last)
    backend.close()
    for option, says in (
        ({"channel_last": "1"}, "did you mean channels_last"),
        ({"channels_last": "2"}, "use one of 1"),
    ):
        error = refused(asked("smallcnn", options={"backend_options": option}))
        assert error.kind == "usage"
        assert says in error.fix
    error = refused(asked("factories:trains", folder, {"backend_options": {"channels_last": "1"}}))
    assert "no input of the model has 4 axes" in error.message


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_quantised_module_is_int8_and_nothing_else(folder: Path) -> None:
    quantised = torch.ao.quantization.quantize_dynamic(
        torch.nn.Sequential(torch.nn.Linear(4, 4)), dtype=torch.qint8
    )
    weights = torch.nn.Module()
    weights.w = torch.nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False)
    for module, native in (
        (quantised, "int8"),
        (weights, "int8"),
        (torch.nn.Linear(4, 4), "fp32"),
        (torch.nn.Linear(4, 4).half(), "fp16"),
    ):
        assert torch_precision.native(module) == native
    counts = torch.nn.Module()
    counts.n = torch.nn.Parameter(torch.ones(2, dtype=torch.int64), requires_grad=False)
    assert torch_precision.native(counts) == "fp32"
    for precision in ("fp32", "tf32", "fp16", "bf16"):
        with pytest.raises(MeasureError, match="is quantised, so it cannot be measured as") as caught:
            torch_precision.refuse_cast(None, "int8", precision)
        assert caught.value.kind == "unsupported"
    torch_precision.refuse_cast(None, "int8", "native")


def test_weights_are_loaded_and_misfits_said(tmp_path: Path) -> None:
    from infertop.backends.zoo import smallcnn

    module = smallcnn()
    with torch.no_grad():
        module.classify.weight.zero_()
        module.classify.bias.fill_(3)
    torch.save({"state_dict": module.state_dict()}, tmp_path / "good.pt")
    torch.save({"x": torch.ones(1)}, tmp_path / "other.pt")
    torch.save(module, tmp_path / "pickle.pt")
    for backend in (TorchEager(), OnnxRuntimeCpu()):
        _, outputs = request(asked("smallcnn", tmp_path, {"weights": "good.pt"}), backend)
        assert (outputs[0] == 3).all()
    for name, says in (
        ("other.pt", "do not fit"),
        ("pickle.pt", "not a file of weights"),
        ("none.pt", "no file"),
    ):
        assert says in refused(asked("smallcnn", tmp_path, {"weights": name})).message


def test_an_exported_program_keeps_its_open_batch(tmp_path: Path) -> None:
    module = torch.nn.Linear(4, 2)
    program = torch.export.export(
        module, (torch.ones(2, 4),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    torch.export.save(program, tmp_path / "net.pt2")
    loaded, outputs = request(asked("net.pt2", tmp_path, batch=5))
    assert loaded.batch == 5
    assert outputs[0].shape == (5, 2)
    assert "cannot be cast" in refused(asked("net.pt2", tmp_path, precision="fp16")).message
    (tmp_path / "wrong.pt2").write_bytes(b"nothing")
    assert refused(asked("wrong.pt2", tmp_path)).kind == "model-unreadable"


def test_what_torch_cannot_take_is_said(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"x")
    assert "onnxruntime" in refused(asked("net.onnx", tmp_path)).fix
    assert "no data path" in refused(asked("smallcnn", data_path="pinned")).message
    assert "--data-path" in refused(asked("smallcnn", data_path="pinned")).fix


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_without_a_gpu_cuda_is_refused_in_a_sentence() -> None:
    error = refused(asked("smallcnn", device="cuda:0"))
    assert error.kind in ("no-driver", "no-gpu")
    assert error.fix
    assert refused(asked("smallcnn", device="gpu")).kind == "usage"


@pytest.fixture
def ordinary_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that cannot be page-locked without a driver."""

    def plain(function: Any) -> Any:
        return lambda *arguments, pin_memory=False, **named: function(*arguments, **named)

    monkeypatch.setattr(torch, "empty", plain(torch.empty))
    monkeypatch.setattr(torch, "empty_like", plain(torch.empty_like))


@pytest.mark.parametrize(
    ("path", "copies"), [("pageable", True), ("pinned", True), ("pinned-ready", True), ("device", False)]
)
@pytest.mark.usefixtures("ordinary_memory")
def test_the_steps_of_a_cuda_request_give_what_the_module_gives(path: str, copies: bool) -> None:
    """On the device "cpu": torch's own copies, with a fake driver's events."""
    module = torch.nn.Linear(4, 2).eval()
    sets = [[torch.randn(3, 4)] for _ in range(2)]
    steps = CUDA_STEPS[path](torch, module, lambda given: (tuple(given), {}), sets, "cpu")
    device = cuda.Device(cuda.Driver(FakeCuda()), 0)
    staged = Staged(steps, device, device.stream())
    for index in (0, 1):
        times = StageTimes()
        with torch.inference_mode():
            staged.issue(index, times)
        staged.complete(times)
        np.testing.assert_allclose(arrays(torch, steps.result)[0], module(sets[index][0]).detach().numpy())
        assert times.compute > 0
        assert times.enqueue > 0
        assert math.isnan(times.h2d) != copies


def test_a_pageable_request_leaves_nothing_on_the_gpu() -> None:
    """As a script's `module(x.cuda()).cpu()`: a second input's memory is not needed."""
    there: list[weakref.ref[Any]] = []

    class Host:
        def to(self, device: str) -> torch.Tensor:
            copied = torch.ones(2)
            there.append(weakref.ref(copied))
            return copied

    steps = CUDA_STEPS["pageable"](
        torch, lambda x: x * 2, lambda given: (tuple(given), {}), [[Host()]], "cpu"
    )
    device = cuda.Device(cuda.Driver(FakeCuda()), 0)
    staged = Staged(steps, device, device.stream())
    for times in (None, StageTimes()):
        staged.issue(0, times)
        assert there.pop()() is None
        assert steps.result[0].tolist() == [2, 2]


@pytest.mark.usefixtures("ordinary_memory")
def test_another_thread_may_prepare_a_pinned_input() -> None:
    """Inference mode, under which a worker makes its buffers, holds for one thread."""
    module = torch.nn.Linear(4, 2).eval()
    with torch.inference_mode():
        sets = [[torch.randn(3, 4)] for _ in range(2)]
        steps = CUDA_STEPS["pinned"](torch, module, lambda given: (tuple(given), {}), sets, "cpu")
        with ThreadPoolExecutor(1) as beside:
            beside.submit(steps.prepare, 1).result()
        steps.copy_in(1)
        steps.compute(1)
        steps.copy_out()
        np.testing.assert_allclose(arrays(torch, steps.result)[0], module(sets[1][0]).numpy())


@pytest.mark.parametrize(
    ("built", "driver", "says", "kind", "words"),
    [
        (None, 13000, "", "unsupported", "was built without it"),
        ("13.0", 12040, "", "no-driver", "runs CUDA up to 12.4, and this torch is built for CUDA 13.0"),
        ("13.0", 13000, "No CUDA GPUs are available", "no-gpu", "CUDA sees no such GPU"),
        ("13.0", 13000, "Error 802: system not yet initialized", "cuda-fault", "are not ready"),
        ("13.0", 13000, "nobody knows", "no-gpu", "nobody knows"),
    ],
)
def test_why_torch_cannot_use_the_gpu_is_said(
    built: str | None, driver: int, says: str, kind: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeCuda()
    fake.version = driver
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(fake))

    def init() -> None:
        raise RuntimeError(says)

    version, api = SimpleNamespace(cuda=built), SimpleNamespace(init=init)
    error = torch_gpu.no_cuda(SimpleNamespace(__version__="2.14", version=version, cuda=api))
    assert error.kind == kind
    assert words in error.message
    assert error.fix


@needs_compiler
def test_torch_compile_gives_what_eager_gives_and_refuses_unknown_modes(folder: Path) -> None:
    phases: list[str] = []
    backend = TorchCompile()
    configuration = asked("factories:gate", folder, batch=2)
    loaded = backend.load(configuration, phases.append)
    assert phases == ["load", "build"]
    backend.bind(make_sets(loaded, configuration.options), 1)
    backend.issue(0, 0, None)
    compiled = backend.outputs(0)
    backend.close()
    np.testing.assert_allclose(compiled[0], request(configuration)[1][0], rtol=1e-4, atol=1e-5)
    report = backend.runtime()
    assert (report["graphs"], report["graph_breaks"], report["recompiles"], report["notes"]) == (1, 0, 0, [])
    assert report["cuda_graphs"] == "none: on the CPU"
    error = refused(asked("smallcnn", options={"compile_mode": "reduce-overheat"}), TorchCompile())
    assert error.kind == "usage"
    assert "reduce-overhead" in error.fix


@needs_compiler
def test_a_model_of_which_nothing_is_compiled_is_a_fallback(folder: Path) -> None:
    backend = TorchCompile()
    for model, falls_back in (("disabled", True), ("gate", False), ("disabled", True)):
        configuration = asked(f"factories:{model}", folder)
        loaded = backend.load(configuration, lambda phase: None)
        backend.bind(make_sets(loaded, configuration.options), 1)
        backend.issue(0, 0, None)
        backend.complete(0, None)
        for over in (False, True):
            found = backend.fallback(over)
            assert (found is not None) is falls_back
            if found is not None:
                assert found.message.startswith("torch.compile compiled nothing")
                assert "torch-eager" in found.fix
    backend.close()


@needs_compiler
def test_a_function_that_torch_compile_gives_up_is_a_fallback(folder: Path) -> None:
    """Past the limit of recompilations the module's own operators are called, and nothing but a log says so."""
    backend = TorchCompile()
    configuration = asked("factories:counting", folder)
    loaded = backend.load(configuration, lambda phase: None)
    backend.bind(make_sets(loaded, configuration.options), 1)
    with torch._dynamo.config.patch(recompile_limit=2):
        for gave_up in (False, False, True):
            backend.issue(0, 0, None)
            backend.complete(0, None)
            assert backend.runtime()["gave_up"] is gave_up
    found = backend.fallback(over=True)
    assert found is not None
    assert found.message.startswith("torch.compile gave up a function")
    assert "recompile_limit" in found.detail
    backend.close()


@needs_compiler
def test_what_came_from_the_cache_of_compilations_is_told_from_what_did_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    backend, found = TorchCompile(), []
    for seed in (0, 1):
        configuration = asked("factories:gate", folder, {"seed": seed}, batch=5)
        loaded = backend.load(configuration, lambda phase: None)
        backend.bind(make_sets(loaded, configuration.options), 1)
        assert backend.cached() is None
        backend.issue(0, 0, None)
        found.append(backend.cached())
    assert found == ["miss", "hit"]
    backend.close()


@needs_compiler
def test_the_same_model_again_counts_as_compiled(folder: Path) -> None:
    """Another seed makes another module of the same code, which what was compiled before would fit."""
    backend = TorchCompile()
    for seed in (0, 1):
        configuration = asked("factories:gate", folder, {"seed": seed})
        loaded = backend.load(configuration, lambda phase: None)
        backend.bind(make_sets(loaded, configuration.options), 1)
        backend.issue(0, 0, None)
        assert backend.runtime()["graphs"] == 1
        assert backend.fallback(over=True) is None
    backend.close()


@needs_compiler
def test_a_compilation_tells_how_far_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_watch, "EACH_S", 0.001)
    told: list[tuple[float | None, str]] = []
    backend = TorchCompile()
    backend.progress = lambda share, words: told.append((share, words))
    configuration = asked("factories:gate", folder, batch=3)
    loaded = backend.load(configuration, lambda phase: None)
    backend.bind(make_sets(loaded, configuration.options), 1)
    backend.issue(0, 0, None)
    backend.complete(0, None)
    count = len(told)
    assert {share for share, _ in told} == {None}
    assert "tracing" in {words for _, words in told}
    assert backend._watching.doing().endswith("1 graph done")
    backend.issue(0, 0, None)
    backend.complete(0, None)
    assert len(told) == count, "it is over with the first request"
    backend.close()


def test_reduce_overhead_is_no_mode_of_the_cpu_s() -> None:
    error = refused(asked("smallcnn", options={"compile_mode": "reduce-overhead"}), TorchCompile())
    assert (error.kind, error.fix) == ("unsupported", "use --compile-mode default")


@needs_compiler
def test_torch_compile_reports_graph_breaks_and_recompilations(folder: Path) -> None:
    backend = TorchCompile()
    configuration = asked("factories:broken", folder)
    loaded = backend.load(configuration, lambda phase: None)
    backend.bind(make_sets(loaded, configuration.options), 1)
    backend.issue(0, 0, None)
    first = backend.runtime()
    assert (first["graphs"], first["graph_breaks"], first["recompiles"]) == (2, 1, 0)
    (note,) = first["notes"]
    assert note.startswith("torch.compile broke the graph once: Call to `torch._dynamo.graph_break()`")
    backend._module(torch.ones(5, 8))
    again = backend.runtime()
    assert again["recompiles"] == 2
    assert "size mismatch" in again["recompile_reasons"][0]
    assert len(again["notes"]) == 2
    backend.close()


def test_why_cuda_graphs_were_skipped_is_heard_and_said() -> None:
    from torch._inductor.cudagraph_utils import log_cudagraph_skip_and_bump_counter

    watch = Watch(torch)
    watch.begin()
    assert watch.report("default", "cuda:0")["cuda_graphs"] == "none: mode default asks for none"
    assert watch.report("max-autotune", "cuda:0")["cuda_graphs"] == "none recorded so far"
    log_cudagraph_skip_and_bump_counter("skipping cudagraphs due to mutated inputs (1 instances)")
    report = watch.report("reduce-overhead", "cuda:0")
    assert report["cuda_graphs"] == "skipped: mutated inputs (1 instances)"
    assert report["notes"] == ["CUDA graphs skipped: mutated inputs (1 instances)"]
    watch.begin()
    assert watch.report("reduce-overhead", "cuda:0")["notes"] == []


def test_cuda_graphs_that_the_mode_asks_for_and_that_are_not_in_use_are_a_fallback() -> None:
    from torch._inductor.cudagraph_utils import log_cudagraph_skip_and_bump_counter

    watch = Watch(torch)
    watch.begin()
    counters = torch._dynamo.utils.counters
    counters["stats"]["unique_graphs"] = 1
    assert watch.fallback("default", "cuda:0", over=True) is None
    assert watch.fallback("max-autotune-no-cudagraphs", "cuda:0", over=True) is None
    assert watch.fallback("reduce-overhead", "cuda:0", over=False) is None, (
        "the first requests come before the recording"
    )
    none = watch.fallback("reduce-overhead", "cuda:0", over=True)
    assert none is not None
    assert "none was recorded" in none.message
    log_cudagraph_skip_and_bump_counter("skipping cudagraphs due to mutated inputs (1 instances)")
    skipped = watch.fallback("max-autotune", "cuda:0", over=False)
    assert skipped is not None
    assert skipped.message == "CUDA graphs were skipped: mutated inputs (1 instances)"
    assert "max-autotune-no-cudagraphs" in skipped.fix
    watch.begin()
