"""What a request asks of a GPU: the same product counted in a graph and in a module, caches that hold what is small, and peaks by capability."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from infertop.backends import cost, cuda, peaks, torch_cost, worker
from infertop.backends.configuration import Configuration
from infertop.backends.inputs import make_sets
from infertop.backends.torch_compile import TorchCompile
from infertop.backends.torch_eager import TorchEager
from infertop.tests.backends.fake_cuda import FakeCuda
from infertop.tests.models import bottlenecks
from onnx import TensorProto, helper

NO_CACHE = 0
MIB = 1 << 20
SMALLCNN = Path(cost.__file__).with_name("smallcnn.onnx")


def counted(
    module: torch.nn.Module, *given: torch.Tensor, cache: int = NO_CACHE, fuses: bool = False
) -> cost.Work:
    with torch.inference_mode():
        found = torch_cost.count(torch, lambda: module(*given), cache, fuses)
    assert found is not None
    return found


def file(
    tmp_path: Path, nodes: list[onnx.NodeProto], x: list[str | int], weights: dict[str, list[int]]
) -> str:
    """A graph from `x` to `y` with weights of zeros."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            helper.make_tensor(n, TensorProto.FLOAT, d, bytes(4 * torch.Size(d).numel()), raw=True)
            for n, d in weights.items()
        ],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


def test_a_module_is_counted_operator_by_operator() -> None:
    module, (x,) = bottlenecks.launches()
    work = counted(module, x)
    assert work.operators == 400
    assert work.products == 200
    assert work.flop == {"fp32": 200 * 2 * 64 * 64}
    weights = 200 * (64 * 64 + 64) * 4
    assert work.fused_bytes >= weights
    assert work.bytes > work.fused_bytes


@pytest.mark.usefixtures("_small")
def test_each_elementwise_operator_moves_its_tensor_there_and_back() -> None:
    module, (x,) = bottlenecks.elementwise()
    size = 128 * 128 * 8 * 4
    work = counted(module, x, cache=size // 2)
    assert work.flop == {}
    # Nine operators read it and write it; fused, it is read once.
    assert work.bytes == pytest.approx(18 * size, rel=0.05)
    assert work.fused_bytes == pytest.approx(size - size // 2, rel=0.05)
    assert counted(module, x, cache=size // 2, fuses=True).bytes == work.fused_bytes


@pytest.mark.usefixtures("_small")
def test_what_the_cache_holds_is_not_moved() -> None:
    module, (x,) = bottlenecks.elementwise()
    assert counted(module, x, cache=64 * MIB).bytes == 0


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bottlenecks, "SIZE", 128)


def test_products_are_counted_on_the_pipe_of_their_type(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = torch.nn.Linear(32, 16).to(torch.bfloat16)
    assert counted(layer, torch.randn(4, 32, dtype=torch.bfloat16)).flop == {"bf16": 2 * 4 * 32 * 16}
    convolution = torch.nn.Conv2d(3, 8, 3)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # as torch has it
    assert counted(convolution, torch.randn(2, 3, 10, 10)).flop == {"tf32": 2 * 2 * 8 * 8 * 8 * 3 * 9}


def test_operators_that_launch_many_kernels_are_no_count_of_launches() -> None:
    layer = torch.nn.TransformerEncoderLayer(64, 4, batch_first=True).eval()
    assert counted(layer, torch.randn(2, 16, 64)).operators is None


def test_a_module_that_does_not_bear_being_watched_is_not_known() -> None:
    class Refuses(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("not again")

    assert torch_cost.count(torch, lambda: Refuses()(torch.ones(1)), NO_CACHE, fuses=False) is None


def test_graph_and_module_agree_on_convolutions_and_products(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "filters"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=2),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "head"], ["y"], transB=1),
    ]
    path = file(tmp_path, nodes, ["batch", 4, 16, 16], {"filters": [8, 2, 3, 3], "head": [10, 8]})
    work = cost.of_onnx(path, {"x": (3, 4, 16, 16)}, tf32=False, cache=NO_CACHE)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(4, 8, 3, padding=1, groups=2, bias=False),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 10, bias=False),
    )
    twin = counted(module, torch.randn(3, 4, 16, 16))
    assert work is not None
    assert sum(work.flop.values()) == sum(twin.flop.values()) == 2 * 3 * (8 * 16 * 16 * 2 * 9 + 8 * 10)
    assert set(work.flop) == {"fp32"}
    assert (work.products, work.operators) == (2, None)


def test_large_weights_count_without_their_numbers_being_read(tmp_path: Path) -> None:
    path = file(tmp_path, [helper.make_node("MatMul", ["x", "w"], ["y"])], ["batch", 512], {"w": [512, 2048]})
    work = cost.of_onnx(path, {"x": (8, 512)}, tf32=True, cache=MIB)
    assert work is not None
    assert work.flop == {"tf32": 2 * 8 * 512 * 2048}
    assert work.bytes == 512 * 2048 * 4 + 8 * 512 * 4 - MIB


def test_our_own_model_is_counted() -> None:
    work = cost.of_onnx(str(SMALLCNN), {"input": (32, 3, 32, 32)}, tf32=False, cache=NO_CACHE)
    assert work is not None
    assert work.products >= 3
    assert sum(work.flop.values()) > 1e6


@pytest.mark.parametrize("broken", ["gone", "integers"])
def test_what_cannot_be_counted_is_not_known(tmp_path: Path, broken: str) -> None:
    path = str(tmp_path / "model.onnx")
    if broken == "integers":
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "scale"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale"], ["y"]),
        ]
        path = file(tmp_path, nodes, ["batch", 4], {"scale": []})
    assert cost.of_onnx(path, {"x": (1, 4)}, tf32=False, cache=NO_CACHE) is None


def test_peaks_are_those_of_the_data_sheet_and_the_memory_is_measured() -> None:
    fake = FakeCuda()
    device = cuda.Device(cuda.Driver(fake), 0)
    found = peaks.measure(device, MIB, budget_ns=0)
    # An H100 SXM at 1.98 GHz; its data sheet has 989 TFLOPS in FP16 at 1.83.
    assert found["fp16"] * 1.83 / 1.98 == pytest.approx(989e12, rel=0.001)
    assert found["tf32"] * 2 == found["fp16"] == found["bf16"]
    assert found["fp32"] * 1.83 / 1.98 == pytest.approx(61.9e12, rel=0.01)
    assert found["cache"] == 50 * MIB
    assert 1e6 < found["bandwidth"] < 1e13
    device.close()
    assert not fake.live


@pytest.mark.parametrize("backend", [TorchEager, TorchCompile])
def test_a_loaded_backend_counts_the_same_work_as_its_models_file(backend: type[TorchEager]) -> None:
    """On the CPU, where a worker does not ask: what is counted does not depend on the device, and nothing is compiled for it."""
    made = backend()
    configuration = Configuration(made.name, "smallcnn", batch=4)
    loaded = made.load(configuration, lambda phase: None)
    made.bind(make_sets(loaded, configuration.options), 1)
    work, file = (
        made.work(NO_CACHE),
        cost.of_onnx(str(SMALLCNN), {"input": (4, 3, 32, 32)}, tf32=False, cache=NO_CACHE),
    )
    made.close()
    assert work is not None
    assert file is not None
    assert sum(work.flop.values()) == sum(file.flop.values())
    assert work.products == file.products
    assert (work.operators is None) == (backend is TorchCompile)
    assert work.bytes >= work.fused_bytes > 0


def test_the_worker_says_a_requests_work_and_measures_each_pipe_once() -> None:
    class Known:
        def __init__(self) -> None:
            self.asked: list[list[str]] = []

        def work(self, cache: int) -> cost.Work:
            return cost.Work({"fp16": 1e12}, cache, 1, 3, 2)

        def reached(self, pipes: list[str]) -> dict[str, float]:
            self.asked.append(pipes)
            return dict.fromkeys(pipes, 6e14)

    made, known = worker.Worker(None, -1), Known()  # type: ignore[arg-type]
    made._backend, made._peaks = known, {"cache": 50.0, "fp16": 1e15, "bandwidth": 2e12}  # type: ignore[assignment]
    for _ in range(2):
        said = made._capacity(Configuration("torch-eager", "x", device="cuda:0"))
        assert said["work"] == {
            "flop": {"fp16": 1e12},
            "bytes": 50,
            "fused_bytes": 1,
            "operators": 3,
            "products": 2,
        }
        assert said["peaks"] == {"cache": 50.0, "fp16": 6e14, "bandwidth": 2e12}
    assert known.asked == [["fp16"], []]
    assert made._capacity(Configuration("torch-eager", "x")) == {"work": None, "peaks": None}


def test_a_full_gpu_has_no_bandwidth_but_its_arithmetic() -> None:
    fake = FakeCuda()
    fake.fail["cuMemAlloc_v2"] = 2
    assert "bandwidth" not in (found := peaks.measure(cuda.Device(cuda.Driver(fake), 0), MIB))
    assert found["fp16"] > found["fp32"]
