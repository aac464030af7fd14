"""A BERT-base-shaped model and a decoder step with its past, under PyTorch and ONNX Runtime: p50, tokens a second, agreement.

Made from configurations with random weights in a temporary directory. On a GPU at 1×128 and 32×512 (the decoder: a sequence of 1 and a
past of 511); a CPU is given smaller batches and fewer requests. Outputs are compared at batch 1: of 32×512 a reference on the CPU takes minutes.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infertop.sessions import lines, units
from infertop.telemetry.nvml import Nvml

from ._results import results

MODELS = """
import sys, torch, transformers
torch.manual_seed(0)
bert = transformers.BertConfig(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072)
transformers.BertModel(bert).save_pretrained(sys.argv[1] + "/bert-base")
decoder = transformers.LlamaConfig(
    vocab_size=32000, hidden_size=1024, num_hidden_layers=1, num_attention_heads=16, num_key_value_heads=4,
    intermediate_size=2816, max_position_embeddings=1024,
)
transformers.LlamaForCausalLM(decoder).save_pretrained(sys.argv[1] + "/decoder")
"""


@dataclass(frozen=True)
class Here:
    """What this machine is given to do. `shapes`: model, batch, sequence, past."""

    backends: str
    shapes: tuple[tuple[str, int, int, int], ...]
    words: tuple[str, ...]


GPU = Here(
    "torch-eager,onnxruntime-cuda",
    (("bert-base", 1, 128, 0), ("bert-base", 32, 512, 0), ("decoder", 1, 1, 511), ("decoder", 32, 1, 511)),
    ("--data-path", "device", "--warmup", "1s", "--duration", "3s"),
)
CPU = Here(
    "torch-eager,onnxruntime-cpu",
    (("bert-base", 1, 128, 0), ("bert-base", 2, 512, 0), ("decoder", 1, 1, 511), ("decoder", 4, 1, 511)),
    ("--warmup", "2x", "--requests", "12"),
)


def results_of(model: str, here: Here, batch: int, sequence: int, past: int) -> list[dict[str, Any]]:
    sizes = ["--dim", f"sequence_length={sequence}"]
    sizes += ["--dim", f"past_sequence_length={past}"] if past else []
    return results(
        model, "--backend", here.backends, "--precision", "fp32", "--batch", str(batch), *sizes, *here.words,
        *([] if batch == 1 else ["--no-agreement"]),
    )  # fmt: skip


def row(name: str, size: str, result: Mapping[str, Any]) -> list[str]:
    """p50, tokens a second, and whether the outputs agree; or why there is nothing."""
    start = [name, size, result["backend"]]
    if result["status"] != "ok":
        return [*start, units.UNKNOWN, units.UNKNOWN, f"{result['status']}: {result['error']['message']}"]
    found = result["agreement"] or {}
    said = {True: "agrees", False: "differs", None: "not compared"}[found.get("within_band")]
    if (error := found.get("max_rel")) is not None:
        said += f", largest error {error:.1e} of {found['reference']}'s largest number"
    return [*start, units.milliseconds(result["latency_ms"]["p50"]), units.rate(result["tokens_per_s"]), said]


def rows(here: Here, folder: str) -> Sequence[Sequence[str]]:
    """Of every model and size; each is also told as it comes."""
    found = []
    for name, batch, sequence, past in here.shapes:
        size = f"{batch}×{sequence}" + (f", past {past}" if past else "")
        measured = results_of(str(Path(folder, name)), here, batch, sequence, past)
        fresh = [row(name, size, result) for result in measured]
        for cells in fresh:
            print("  ".join(cells), flush=True)
        found += fresh
    return found


def main() -> None:
    """Makes the models, measures them and prints one table."""
    if importlib.util.find_spec("transformers") is None:
        print("not measured: transformers is not installed")
        return
    here = CPU if Nvml().reason() else GPU
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # the exported files and references go with the models
        subprocess.run([sys.executable, "-c", MODELS, folder], check=True, capture_output=True)
        cells = [["model", "batch×sequence", "backend", "p50 ms", "tokens/s", "outputs"], *rows(here, folder)]
    print(f"fp32, {' '.join(here.words)}")
    for line in lines.table(cells, [False, False, False, True, True, False]):
        print(line)


if __name__ == "__main__":
    main()
