"""`onnxruntime-tensorrt`: whether its libraries are there, said by name; and what it refuses or leaves to other providers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from infertop.backends import backend_options, cuda, libraries, probes, registry, trt_ort
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.ort_placement import CUDA, TENSORRT
from infertop.tests.backends import onnx_zoo as zoo
from infertop.tests.backends.fake_cuda import FakeCuda


def probe() -> probes.Availability:
    return probes.probe(registry.resolve("ort-trt"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An onnxruntime-gpu with all its providers, on a machine with a GPU."""
    for name in ("cuda", "tensorrt"):
        (tmp_path / f"libonnxruntime_providers_{name}.so").touch()
    monkeypatch.setattr(probes, "onnxruntime_folder", lambda: tmp_path)
    monkeypatch.setattr(cuda, "load", lambda: cuda.Driver(FakeCuda()))
    monkeypatch.setattr(libraries, "missing", lambda path: [])
    return tmp_path


@pytest.mark.parametrize(
    ("library", "fix"),
    [
        ("libnvinfer.so.10", "pip install 'tensorrt>=10,<11'"),
        (
            "libcudnn.so.8",
            "pip install 'nvidia-cudnn-cu12>=8,<9', or an onnxruntime-gpu for the cuDNN that is here",
        ),
        (
            "libcudnn.so.9",
            "pip install 'nvidia-cudnn-cu13>=9,<10', or an onnxruntime-gpu for the cuDNN that is here",
        ),
        ("libcublasLt.so.13", "pip install 'onnxruntime-gpu[cuda,cudnn]'"),
    ],
)
def test_the_missing_library_is_named_with_what_brings_it(
    library: str, fix: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert probe().usable
    monkeypatch.setattr(libraries, "missing", lambda path: [library] if "tensorrt" in path.name else [])
    found = probe()
    assert not found.usable
    assert (found.reason, found.fix) == (f"{library} cannot be loaded", fix)
    assert not found.falls_back, "another provider's numbers are not this one's"


def test_the_installed_onnxruntime_s_own_provider_is_read() -> None:
    place = probes.onnxruntime_folder()
    library = place / "libonnxruntime_providers_tensorrt.so" if place else None
    if library is None or not library.is_file():
        pytest.skip("this onnxruntime has no TensorRT provider")
    needed = [name for name in libraries.needed(library) if name.startswith("libnvinfer.so")]
    assert len(needed) == 1
    if needed[0] in libraries.missing(library):
        assert probe().reason == f"{needed[0]} cannot be loaded"


def test_an_onnxruntime_without_the_provider_is_told(folder: Path) -> None:
    (folder / "libonnxruntime_providers_tensorrt.so").unlink()
    assert probe().reason == "this onnxruntime has no TensorRT provider"


@pytest.mark.parametrize(
    ("precision", "says"), [("fp32", "cannot switch TF32 off"), ("bf16", "native, tf32, fp16, not bf16")]
)
def test_what_it_cannot_do_is_said(precision: str, says: str) -> None:
    configuration = Configuration("onnxruntime-tensorrt", "smallcnn", precision, device="cuda:0")
    with pytest.raises(MeasureError, match=says):
        trt_ort.OnnxRuntimeTensorRt().load(configuration, print)


@pytest.mark.parametrize("option", ["trt_fp16_enable", "trt_bf16_enable", "trt_int8_enable"])
@pytest.mark.parametrize("precision", ["native", "tf32", "fp16"])
def test_no_option_makes_another_precision_of_it(option: str, precision: str) -> None:
    configuration = Configuration(
        "onnxruntime-tensorrt",
        "smallcnn",
        precision,
        device="cuda:0",
        options=Options(backend_options={option: "1"}),
    )
    with pytest.raises(MeasureError, match=f"{option} is decided by --precision") as caught:
        trt_ort.OnnxRuntimeTensorRt().load(configuration, print)
    assert caught.value.kind == "usage"


def test_a_graph_that_every_request_would_share_is_not_taken() -> None:
    """The provider records it with the first buffers that it sees, and looks at no others from then on."""
    for word in ("trt_cuda_graph_enable=1", "ort-trt:trt_cuda_graph_enable=1"):
        options = Options(asked_options=[backend_options.parse(word).text])
        with pytest.raises(MeasureError, match="replays one CUDA graph for all requests") as caught:
            backend_options.check([Configuration("onnxruntime-tensorrt", "smallcnn", options=options)])
        assert caught.value.kind == "usage"
    options = Options(backend_options={"trt_cuda_graph_enable": "1"})
    configuration = Configuration("onnxruntime-tensorrt", "smallcnn", device="cuda:0", options=options)
    with pytest.raises(MeasureError, match="replays one CUDA graph for all requests"):
        trt_ort.OnnxRuntimeTensorRt().load(configuration, print)


def test_tensorrt_may_compute_in_the_types_that_the_file_has(tmp_path: Path) -> None:
    """The provider's networks are weakly typed: without the switch a file in halves would be computed in float."""
    backend = trt_ort.OnnxRuntimeTensorRt()
    for kind, options in ((zoo.FLOAT, {}), (onnx.TensorProto.FLOAT16, {"trt_fp16_enable": "1"})):
        path = zoo.dense(tmp_path / f"{kind}.onnx", ("N", 6), kind)
        backend._model.open(Configuration("onnxruntime-tensorrt", path), None, print)
        assert backend._of_file() == options


def test_nodes_that_tensorrt_did_not_take_are_a_fallback() -> None:
    session = SimpleNamespace(get_providers=lambda: [TENSORRT, CUDA, "CPUExecutionProvider"])
    assert trt_ort.left_out(session, {TENSORRT: 1}, None) is None
    found = trt_ort.left_out(session, {TENSORRT: 1, CUDA: 3}, None)
    assert found is not None
    assert found.message == "3 nodes run by the CUDA provider, not by TensorRT"


def test_a_provider_that_did_not_start_is_said_in_onnxruntime_s_words() -> None:
    without = SimpleNamespace(get_providers=lambda: [CUDA, "CPUExecutionProvider"])
    said = (
        "[E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] /src/provider_bridge_ort.cc:2043 onnxruntime::Provider&"
        " onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library"
        " /env/onnxruntime/capi/libonnxruntime_providers_tensorrt.so with error: libnvinfer.so.10: cannot open shared object"
        " file: No such file or directory\n\x1b[m"
    )
    found = trt_ort.left_out(without, {}, said)
    assert found is not None
    assert found.message == (
        "the TensorRT provider did not start (libnvinfer.so.10 cannot be loaded): the CUDA provider runs everything"
    )
    assert found.fix == "pip install 'tensorrt>=10,<11'"
    assert found.detail == (
        "Failed to load library libonnxruntime_providers_tensorrt.so with error: libnvinfer.so.10: cannot open shared object"
        " file: No such file or directory"
    )


def test_without_a_record_of_the_placement_what_tensorrt_runs_is_unknown() -> None:
    backend = trt_ort.OnnxRuntimeTensorRt()
    assert "is unknown" in (backend._doubt(None) or "")
    assert backend._doubt({TENSORRT: 1}) is None
