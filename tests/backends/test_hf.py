"""Directories of transformers: a BERT and a one-layer decoder with a past, made from configurations with random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

import torch  # noqa: E402
from infertop.backends import export, models, reference  # noqa: E402
from infertop.backends.backend import Loaded  # noqa: E402
from infertop.backends.configuration import Configuration, Options  # noqa: E402
from infertop.backends.errors import MeasureError  # noqa: E402
from infertop.backends.inputs import make_sets  # noqa: E402
from infertop.backends.ort import OnnxRuntimeCpu  # noqa: E402
from infertop.backends.torch_eager import TorchEager  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bert`, `llama` and a `cache`."""
    root = tmp_path_factory.mktemp("hf")
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 20, "num_hidden_layers": 1}
    bert = transformers.BertConfig(vocab_size=37, max_position_embeddings=64, num_labels=3, **shape)
    transformers.BertForSequenceClassification(bert).save_pretrained(root / "bert")
    llama = transformers.LlamaConfig(
        vocab_size=41, num_key_value_heads=2, max_position_embeddings=256, **shape
    )
    transformers.LlamaForCausalLM(llama).save_pretrained(root / "llama")
    return root


def asked(
    model: Path, *, cache: Path | None = None, options: dict[str, Any] | None = None, **fields: Any
) -> Configuration:
    given = Options(agreement=True, cache_directory=None if cache is None else str(cache), **(options or {}))
    return Configuration("torch-eager", str(model), options=given, **fields)


def ready(configuration: Configuration, backend: Any = None) -> tuple[Any, Loaded, list[Any]]:
    backend = backend or TorchEager()
    loaded = backend.load(configuration, lambda phase: None)
    sets = make_sets(loaded, configuration.options)
    backend.bind(sets, 1)
    return backend, loaded, sets


def outputs(backend: Any, index: int = 0) -> list[np.ndarray]:
    backend.issue(0, index, None)
    backend.complete(0, None)
    found: list[np.ndarray] = [np.array(array) for array in backend.outputs(0)]
    return found


def refused(configuration: Configuration) -> MeasureError:
    with pytest.raises(MeasureError) as caught:
        ready(configuration)
    return caught.value


def test_a_bert_in_any_batch_and_length(folder: Path) -> None:
    backend, loaded, sets = ready(asked(folder / "bert", batch=3, dims={"sequence_length": 9}))
    assert {item.name: item.shape for item in loaded.inputs} == dict.fromkeys(
        ("input_ids", "attention_mask", "token_type_ids"), (3, 9)
    )
    assert loaded.assumed == {}
    assert loaded.native == "fp32"
    assert max(int(given["input_ids"].max()) for given in sets) in range(30, 37), (
        "ids are drawn from the whole table, and from nothing beyond"
    )
    assert outputs(backend)[0].shape == (3, 3)
    backend.close()


def test_a_decoder_is_a_prefill_by_default_and_a_decode_step_by_its_dims(folder: Path) -> None:
    backend, loaded, _ = ready(asked(folder / "llama", batch=2))
    assert loaded.assumed == {"sequence_length": 128, "past_sequence_length": 0}
    assert [array.shape for array in outputs(backend)] == [(2, 128, 41), (2, 2, 128, 4), (2, 2, 128, 4)]
    configuration = asked(folder / "llama", batch=2, dims={"sequence_length": 1, "past_sequence_length": 5})
    _, loaded, _ = ready(configuration, backend)
    assert {item.name: item.shape for item in loaded.inputs} == {
        "input_ids": (2, 1), "attention_mask": (2, 6), "past_key_values.0.key": (2, 2, 5, 4), "past_key_values.0.value": (2, 2, 5, 4),
    }  # fmt: skip
    assert [array.shape for array in outputs(backend)] == [(2, 1, 41), (2, 2, 6, 4), (2, 2, 6, 4)]
    backend.close()


def test_a_decode_step_goes_on_where_the_prefill_ended(folder: Path) -> None:
    """Six tokens at once, or five and then one with the past of the five: the same last logits."""
    backend, _, _ = ready(asked(folder / "llama", dims={"sequence_length": 6}))
    step = backend._module
    ids = torch.arange(6)[None] + 3
    empty = (torch.zeros(1, 2, 0, 4), torch.zeros(1, 2, 0, 4))
    with torch.inference_mode():
        whole = step(ids, torch.ones(1, 6, dtype=torch.long), empty)[0][:, -1]
        _, *past = step(ids[:, :5], torch.ones(1, 5, dtype=torch.long), empty)
        last = step(ids[:, 5:], torch.ones(1, 6, dtype=torch.long), tuple(past))[0][:, -1]
    torch.testing.assert_close(last, whole)
    backend.close()


def test_precisions_cast_the_past_too(folder: Path) -> None:
    backend, loaded, _ = ready(asked(folder / "llama", precision="bf16", dims={"past_sequence_length": 2}))
    assert [item.dtype for item in loaded.inputs] == ["int64", "int64", "bfloat16", "bfloat16"]
    assert all(np.isfinite(array).all() for array in outputs(backend))
    backend.close()


def test_one_export_has_every_size_and_agrees_with_torch(folder: Path, tmp_path: Path) -> None:
    configuration = asked(
        folder / "llama", cache=tmp_path, batch=2, dims={"sequence_length": 4, "past_sequence_length": 3}
    )
    backend, loaded, sets = ready(configuration, OnnxRuntimeCpu())
    assert loaded.cache == "miss"
    assert loaded.tables == {"input_ids": 41}
    found = reference.check(configuration, loaded, sets, backend)
    assert found["reference"] == "torch-eager/fp32"
    assert found["within_band"] is True, found
    assert 0 < found["max_rel"] < 1e-5
    configuration = asked(
        folder / "llama", cache=tmp_path, dims={"sequence_length": 1, "past_sequence_length": 20}
    )
    backend, loaded, sets = ready(configuration, OnnxRuntimeCpu())
    assert loaded.cache == "hit"
    assert [array.shape for array in outputs(backend)] == [(1, 1, 41), (1, 2, 21, 4), (1, 2, 21, 4)]
    assert reference.check(configuration, loaded, sets, backend)["within_band"] is True


def test_weights_too_large_for_the_graph_lie_beside_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "INLINE_BYTES", 1000)
    named = tmp_path / "bert-v1.5"  # a dot that is no suffix
    shutil.copytree(folder / "bert", named)
    configuration = asked(named, cache=tmp_path / "cache", dims={"sequence_length": 4})
    backend, _, _ = ready(configuration, OnnxRuntimeCpu())
    assert outputs(backend)[0].shape == (1, 3)
    files = sorted(path.name for path in (tmp_path / "cache" / "exports").iterdir())
    assert [name.partition("-v1.5-")[2][16:] for name in files] == [".onnx", ".onnx.data"]


def test_a_sequence_beyond_the_model_s_positions_is_refused(folder: Path) -> None:
    error = refused(asked(folder / "bert", dims={"sequence_length": 65}))
    assert error.kind == "shape"
    assert "64 positions" in error.message
    assert (
        "past has 257"
        in refused(asked(folder / "llama", dims={"sequence_length": 1, "past_sequence_length": 256})).message
    )


def test_positions_that_begin_behind_padding_are_fewer_than_the_table_has(tmp_path: Path) -> None:
    """RoBERTa's 514 are for 512 tokens: one more is beyond the table, which a GPU answers with a lost context."""
    config = transformers.RobertaConfig(
        vocab_size=37, max_position_embeddings=34, hidden_size=16, num_attention_heads=4, intermediate_size=20, num_hidden_layers=1,
    )  # fmt: skip
    transformers.RobertaModel(config).save_pretrained(tmp_path / "roberta")
    backend, _, _ = ready(asked(tmp_path / "roberta", dims={"sequence_length": 32}))
    assert outputs(backend)[0].shape == (1, 32, 16)
    assert "32 positions" in refused(asked(tmp_path / "roberta", dims={"sequence_length": 33})).message


def test_a_folder_is_told_apart_by_what_it_holds(folder: Path, tmp_path: Path) -> None:
    assert models.resolve(str(folder / "bert")).kind == "hf"
    assert models.default_precision(models.resolve(str(folder / "bert"))) == "native"
    shutil.copytree(folder / "bert", tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(MeasureError, match="are not safetensors"):
        models.resolve(str(tmp_path / "pickled"))


def changed(folder: Path, target: Path, **values: Any) -> Path:
    """A copy of the BERT with another config.json."""
    shutil.copytree(folder / "bert", target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **values}))
    return target


def test_what_cannot_be_loaded_is_said_and_no_code_of_the_folder_runs(folder: Path, tmp_path: Path) -> None:
    other = changed(folder, tmp_path / "other", architectures=["BertForQuestionAnswering"])
    error = refused(asked(other))
    assert error.kind == "weights"
    assert "qa_outputs" in error.message
    code = changed(folder, tmp_path / "code", model_type="mine", auto_map={"AutoConfig": "mine.Config"})
    (code / "mine.py").write_text("raise SystemExit('this ran')")
    assert refused(asked(code)).kind == "model-unreadable"
    broken = changed(folder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no tensors")
    assert refused(asked(broken)).kind == "model-unreadable"
