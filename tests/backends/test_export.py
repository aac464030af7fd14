"""Torch models under ONNX Runtime: exported with an open batch, kept where their contents are known beforehand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from infertop.backends.backend import Loaded
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.backends.inputs import make_sets
from infertop.backends.ort import OnnxRuntimeCpu
from infertop.backends.torch_eager import TorchEager

FACTORIES = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.out = nn.Embedding(11, 4), nn.Linear(4, 3)
    def forward(self, ids, scale):
        return self.out(self.words(ids)) * scale[:, None, None], ids

class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

class Mixes(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2).half()
    def forward(self, x): return self.second(self.first(x).half())

def mixes(): return Mixes(), torch.ones(2, 4)
def net(): return Net(), {"scale": torch.rand(2), "ids": torch.ones(2, 5, dtype=torch.long)}
def branches(): return Branches(), torch.ones(2, 3)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "exported.py").write_text(FACTORIES)
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    sys.modules.pop("exported", None)


def request(
    backend: Any, model: str, folder: Path, **fields: Any
) -> tuple[Loaded, list[np.ndarray], list[str]]:
    phases: list[str] = []
    options = Options(working_directory=str(folder), cache_directory=str(folder / "cache"))
    loaded = backend.load(Configuration("", model, options=options, **fields), phases.append)
    backend.bind(make_sets(loaded, options), 1)
    backend.issue(0, 0, None)
    backend.complete(0, None)
    outputs = backend.outputs(0)
    backend.close()
    return loaded, outputs, phases


def test_a_model_known_by_name_is_exported_once_and_kept(tmp_path: Path) -> None:
    loaded, first, phases = request(OnnxRuntimeCpu(), "torchvision:squeezenet1_1", tmp_path, batch=3)
    assert loaded.cache == "miss"
    assert phases == ["export", "load", "build"]
    assert loaded.batch == 3
    loaded, again, phases = request(OnnxRuntimeCpu(), "torchvision:squeezenet1_1", tmp_path, batch=3)
    assert loaded.cache == "hit"
    assert phases == ["load", "build"]
    assert (first[0] == again[0]).all()
    assert [item.name for item in loaded.inputs] == ["input"]
    kept = list((tmp_path / "cache" / "exports").iterdir())
    assert [file.suffix for file in kept] == [".onnx"]
    assert str(tmp_path).encode() not in kept[0].read_bytes()
    assert b"site-packages" not in kept[0].read_bytes()
    _, torch_s, _ = request(TorchEager(), "torchvision:squeezenet1_1", tmp_path, batch=3)
    np.testing.assert_allclose(first[0], torch_s[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("open_batch", [True, False])
def test_a_program_is_exported_once_until_it_changes(open_batch: bool, tmp_path: Path) -> None:
    def save() -> None:
        shapes = ({0: torch.export.Dim("batch")},) if open_batch else None
        program = torch.export.export(torch.nn.Linear(4, 2), (torch.ones(3, 4),), dynamic_shapes=shapes)
        torch.export.save(program, tmp_path / "net.pt2")

    save()
    first, wanted, _ = request(OnnxRuntimeCpu(), "net.pt2", tmp_path)
    again, found, phases = request(OnnxRuntimeCpu(), "net.pt2", tmp_path)
    assert (first.cache, again.cache, phases) == ("miss", "hit", ["load", "build"])
    assert first.batch == again.batch == (1 if open_batch else None)
    assert (wanted[0] == found[0]).all()
    torch_s = request(TorchEager(), "net.pt2", tmp_path)[1]
    np.testing.assert_allclose(found[0], torch_s[0], rtol=1e-4, atol=1e-5)
    save()
    assert request(OnnxRuntimeCpu(), "net.pt2", tmp_path)[0].cache == "miss", "other weights"


def test_a_factory_has_the_same_inputs_and_outputs_under_both_runtimes(folder: Path) -> None:
    one, ours, _ = request(TorchEager(), "exported:net", folder)
    two, theirs, phases = request(OnnxRuntimeCpu(), "exported:net", folder)
    assert phases[0] == "export"
    assert two.cache is None
    assert one.inputs == two.inputs
    assert one.batch == two.batch == 2
    assert one.tables == two.tables == {"ids": 11}
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert request(OnnxRuntimeCpu(), "exported:net", folder, batch=9)[1][0].shape == (9, 5, 3)


def test_a_model_that_cannot_be_exported_says_so(folder: Path) -> None:
    with pytest.raises(MeasureError) as caught:
        request(OnnxRuntimeCpu(), "exported:branches", folder)
    assert caught.value.kind == "export-failed"
    assert "torch-eager" in caught.value.fix
    assert "\x1b" not in caught.value.message + caught.value.detail


def test_an_export_that_the_runtime_does_not_load_is_not_a_file_of_the_person_s(folder: Path) -> None:
    with pytest.raises(MeasureError, match="cannot load what torch exported of exported:mixes") as caught:
        request(OnnxRuntimeCpu(), "exported:mixes", folder, precision="fp32")
    assert caught.value.fix == "measure it with --backend torch-eager, or in another --precision"
