"""Transformers: a directory with config.json and safetensors as a torch module with plain tensors in and out.

Local files only, no code from the directory, nothing unpickled. A decoder is one step with its past as inputs and the
longer past as outputs, as in its ONNX exports: a past of 0 is a prefill, a sequence of 1 a decode step.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .backend import Input
from .errors import MeasureError
from .models import Model
from .signature import Declared
from .torch_files import Call

BATCH, SEQUENCE, PAST = "batch", "sequence_length", "past_sequence_length"
"""The open axes, named as the ONNX exports of these models name them."""

_IDS = ("input_ids", "decoder_input_ids")
_LIMITS = ("max_position_embeddings", "n_positions")

_AFTER_PADDING = (
    "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod", "camembert", "longformer", "luke", "mpnet",
    "data2vec-text", "ibert", "layoutlmv3",
)  # fmt: skip
"""Kinds of model whose first token has the position behind that of padding, which their table of positions has too."""


def runtime() -> Any:
    """The module transformers, kept off the network. Raises MeasureError kind "backend-missing"."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import transformers
    except ImportError as error:
        raise MeasureError(
            "backend-missing", "transformers cannot be imported", "pip install 'infertop[hf]'", str(error)
        ) from error
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def build(model: Model) -> tuple[Any, list[Declared], Call, dict[str, int]]:
    """(module in the checkpoint's own types, inputs, how it is called, the tables that integers index)."""
    assert model.path is not None
    transformers = runtime()
    config = _config(transformers, model)
    loaded = _load(transformers, model, config)
    name = str(loaded.main_input_name)
    if name == "pixel_values":
        return _images(loaded, config)
    if name != "input_ids":
        raise MeasureError(
            "unsupported",
            f"{type(loaded).__name__} takes {name}, for which infertop has no rule",
            "write a factory that returns (module, example inputs), and name it as package.module:factory",
        )
    table = int(config.get_text_config().vocab_size)
    if config.is_encoder_decoder:
        return _encoder_decoder(loaded, table)
    if loaded.can_generate():
        heads = _past_heads(loaded)
        if heads is not None:
            return _decoder(transformers, loaded, heads, table)
    return _encoder(loaded, config, table)


def longest(folder: str) -> int | None:
    """The most positions that the model has, past included, as its config.json says; read without transformers."""
    try:
        found = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    inner = found.get("text_config")
    values = [part.get(key) for part in (found, inner if isinstance(inner, dict) else {}) for key in _LIMITS]
    limit = next((value for value in values if isinstance(value, int) and value > 0), None)
    if limit is None or found.get("model_type") not in _AFTER_PADDING:
        return limit
    padding = found.get("pad_token_id", 1)
    return limit - (padding if isinstance(padding, int) else 1) - 1


def refuse_long(model: Model, inputs: Sequence[Input]) -> None:
    """A sequence beyond the model's positions ends on a GPU in a lost context, and nowhere in an answer."""
    if model.kind != "hf":
        return
    assert model.path is not None
    limit = longest(model.path)
    lengths = [item.shape[-1] for item in inputs if item.name in (*_IDS, "attention_mask") and item.shape]
    if limit is not None and max(lengths, default=0) > limit:
        raise MeasureError(
            "shape",
            f"{model.name} has {limit} positions, and the sequence with its past has {max(lengths)}",
            f"use --dim {SEQUENCE}=N and --dim {PAST}=N of {limit} together at most",
        )


def _config(transformers: Any, model: Model) -> Any:
    try:
        config = transformers.AutoConfig.from_pretrained(
            model.path, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # a key that is missing, a model that needs code of its own, no JSON
        raise MeasureError(
            "model-unreadable",
            f"transformers {transformers.__version__} cannot use the config.json of {model.name}: {_first(error)}",
            "upgrade transformers; code in a model's directory is never run",
            str(error),
        ) from error
    return config


def _load(transformers: Any, model: Model, config: Any) -> Any:
    """The architecture that the config names, with the directory's weights."""
    names = list(getattr(config, "architectures", None) or [])
    kind = next((getattr(transformers, name) for name in names if hasattr(transformers, name)), None)
    try:
        loaded, report = (kind or transformers.AutoModel).from_pretrained(
            model.path, config=config, local_files_only=True, use_safetensors=True, dtype="auto",
            output_loading_info=True, **({} if kind is not None else {"trust_remote_code": False}),
        )  # fmt: skip
    except Exception as error:  # transformers' own, safetensors' and torch's
        raise MeasureError(
            "model-unreadable",
            f"transformers {transformers.__version__} cannot load {model.name}: {_first(error)}",
            "its folder needs config.json and model.safetensors as save_pretrained writes them",
            str(error),
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise MeasureError(
            "weights",
            f"the weights of {model.name} lack {len(missing)} of {type(loaded).__name__}'s, {missing[0]} among them",
            "give a directory with the weights of the architecture that its config.json names",
        )
    return loaded.eval()


def _encoder(loaded: Any, config: Any, table: int) -> tuple[Any, list[Declared], Call, dict[str, int]]:
    names = ["input_ids", "attention_mask"]
    if getattr(config, "type_vocab_size", 0):
        names.append("token_type_ids")
    declared = [Declared(name, "int64", (BATCH, SEQUENCE)) for name in names]
    fixed = {"use_cache": False} if hasattr(config, "use_cache") else {}
    return _pass(loaded, names, fixed), declared, _together, {"input_ids": table}


def _encoder_decoder(loaded: Any, table: int) -> tuple[Any, list[Declared], Call, dict[str, int]]:
    """One pass over the whole of both sequences, without caches."""
    declared = [
        Declared("input_ids", "int64", (BATCH, SEQUENCE)),
        Declared("attention_mask", "int64", (BATCH, SEQUENCE)),
        Declared("decoder_input_ids", "int64", (BATCH, f"decoder_{SEQUENCE}")),
    ]
    module = _pass(loaded, [item.name for item in declared], {"use_cache": False})
    return module, declared, _together, dict.fromkeys(_IDS, table)


def _images(loaded: Any, config: Any) -> tuple[Any, list[Declared], Call, dict[str, int]]:
    vision = getattr(config, "vision_config", config)
    size = getattr(vision, "image_size", 224)
    sides = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
    declared = [Declared("pixel_values", "float32", (BATCH, int(getattr(vision, "num_channels", 3)), *sides))]
    return _pass(loaded, ["pixel_values"], {}), declared, _together, {}


def _decoder(
    transformers: Any, loaded: Any, heads: list[tuple[int, int]], table: int
) -> tuple[Any, list[Declared], Call, dict[str, int]]:
    declared = [
        Declared("input_ids", "int64", (BATCH, SEQUENCE)),
        Declared("attention_mask", "int64", (BATCH, f"{PAST} + {SEQUENCE}")),
    ]
    dtype = str(loaded.dtype).removeprefix("torch.")
    for layer, (count, width) in enumerate(heads):
        declared += [
            Declared(f"past_key_values.{layer}.{part}", dtype, (BATCH, count, PAST, width))
            for part in ("key", "value")
        ]
    return _step(transformers, loaded), declared, _with_past, {"input_ids": table}


def _past_heads(loaded: Any) -> list[tuple[int, int]] | None:
    """(heads, width) of each layer's keys, seen by running two tokens; None where the cache holds other things than those."""
    import torch

    with torch.inference_mode():
        out = loaded(input_ids=torch.zeros((1, 2), dtype=torch.long), use_cache=True)
    found = []
    for keys, values in _pairs(getattr(out, "past_key_values", None)):
        plain = (
            isinstance(keys, torch.Tensor)
            and isinstance(values, torch.Tensor)
            and keys.shape == values.shape
            and keys.dim() == 4
            and keys.shape[2] == 2
        )
        if not plain:
            return None
        found.append((int(keys.shape[1]), int(keys.shape[3])))
    return found or None


def _pairs(cache: Any) -> list[tuple[Any, Any]]:
    """A cache's keys and values by layer, as transformers 4 and 5 keep them."""
    if hasattr(cache, "layers"):
        return [(getattr(layer, "keys", None), getattr(layer, "values", None)) for layer in cache.layers]
    if hasattr(cache, "key_cache"):
        return list(zip(cache.key_cache, cache.value_cache, strict=True))
    return []


def _pass(loaded: Any, names: Sequence[str], fixed: dict[str, Any]) -> Any:
    """A module of one argument, the tensors in order, that gives the model's tensors in order."""
    import torch

    class Pass(torch.nn.Module):  # type: ignore[misc] # torch is not typed here
        def __init__(self) -> None:
            super().__init__()
            self.model = loaded

        def forward(self, given: tuple[Any, ...]) -> tuple[Any, ...]:
            out = self.model(**dict(zip(names, given, strict=True)), **fixed, return_dict=True)
            return tuple(value for value in out.values() if isinstance(value, torch.Tensor))

    return Pass()


def _step(transformers: Any, loaded: Any) -> Any:
    """A module of (ids, mask, past) that gives the logits and the longer past."""
    import torch

    class Step(torch.nn.Module):  # type: ignore[misc] # torch is not typed here
        def __init__(self) -> None:
            super().__init__()
            self.model = loaded
            # Since 5.24 it is `cache`, and the older name is to go.
            known = inspect.signature(loaded.forward).parameters
            self.named = "cache" if "cache" in known else "past_key_values"

        def forward(self, ids: Any, mask: Any, past: tuple[Any, ...]) -> tuple[Any, ...]:
            cache = transformers.DynamicCache()
            for layer in range(len(past) // 2):
                cache.update(past[2 * layer], past[2 * layer + 1], layer)
            given = {"input_ids": ids, "attention_mask": mask, self.named: cache}
            out = self.model(**given, use_cache=True, return_dict=True)
            longer = [tensor for pair in _pairs(out.past_key_values) for tensor in pair]
            return (out.logits if "logits" in out else out[0], *longer)

    return Step()


def _together(given: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (tuple(given),), {}


def _with_past(given: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (given[0], given[1], tuple(given[2:])), {}


def _first(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
