"""Fills docs/seed.md: the published figures of the seed's table beside those of `infertop run --suite seed --json FILE`.

`python -m infertop.docs.seed FILE` fills in what was measured; without FILE the places stay empty. FILE may be another run's: its results at
batch 32 and fp32 are taken.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infertop.sessions import lines, units

PAGE = Path(__file__).with_name("seed.md")


@dataclass(frozen=True)
class Published:
    """A row of the published table: a batch of 32 on an RTX 4050."""

    model: str
    title: str
    backend: str  # ours, which measures what the row names
    latency_ms: float
    throughput: float  # samples/s


PUBLISHED = (
    Published("smallcnn", "PyTorch eager", "torch-eager", 14.40, 2222.22),
    Published("smallcnn", "ONNX Runtime CUDA", "onnxruntime-cuda", 14.55, 2197.97),
    Published("smallcnn", "ONNX Runtime CPU", "onnxruntime-cpu", 14.68, 2179.07),
    Published("resnet18", "PyTorch compiled, max-autotune", "torch-compile", 26.33, 1215.34),
    Published("resnet18", "PyTorch eager", "torch-eager", 34.10, 938.41),
    Published("resnet18", "ONNX Runtime CUDA", "onnxruntime-cuda", 301.79, 106.03),
    Published("resnet18", "ONNX Runtime CPU fallback", "onnxruntime-cpu", 343.79, 93.08),
    Published("mobilenet_v2", "PyTorch eager", "torch-eager", 42.50, 752.94),
    Published("mobilenet_v2", "ONNX Runtime CUDA", "onnxruntime-cuda", 95.56, 334.85),
    Published("mobilenet_v2", "ONNX Runtime CPU", "onnxruntime-cpu", 96.62, 331.17),
)

TITLES = {"smallcnn": "SmallCNN", "resnet18": "ResNet18", "mobilenet_v2": "MobileNetV2"}

BEGIN, END = "<!-- figures -->", "<!-- end of the figures -->"
"""What lies between them on the page is written by this module, the rest by hand."""

Document = Mapping[str, Any]


def published(model: str, backend: str) -> Published | None:
    """The published row of a model under one of our backends."""
    return next((p for p in PUBLISHED if (p.model, p.backend) == (model, backend)), None)


def _results(document: Document | None) -> list[Mapping[str, Any]]:
    """Those that can stand beside the published ones."""
    found = (document or {}).get("results", ())
    return [r for r in found if (r["batch"], r["precision"]) == (32, "fp32")]


def _backend(name: str, result: Mapping[str, Any] | None) -> str:
    """The backend, and the mode in which torch.compile compiled."""
    mode = ((result or {}).get("runtime") or {}).get("compile_mode")
    return f"`{name}`" + (f" {mode}" if mode else "")


def rows(document: Document | None) -> list[list[str]]:
    """The published rows with what was measured, then what was measured beyond them."""
    results = _results(document)
    found = []
    for row in PUBLISHED:
        result = next((r for r in results if (r["model"], r["backend"]) == (row.model, row.backend)), None)
        known = [TITLES[row.model], row.title, f"{row.latency_ms:.2f}", f"{row.throughput:.2f}"]
        found.append([*known, _backend(row.backend, result), *_measured(result)])
    for result in results:
        if published(result["model"], result["backend"]) is None:
            title = TITLES.get(result["model"], result["model"])
            found.append([title, "", "", "", _backend(result["backend"], result), *_measured(result)])
    order = list(TITLES.values())
    return sorted(found, key=lambda row: order.index(row[0]) if row[0] in order else len(order))


def _measured(result: Mapping[str, Any] | None) -> list[str]:
    """p50, throughput, stability; what was not measured says so."""
    if result is None:
        return [units.UNKNOWN, units.UNKNOWN, ""]
    if result["status"] != "ok":
        return [units.UNKNOWN, units.UNKNOWN, result["status"]]
    differs = (result["agreement"] or {}).get("within_band") is False
    return [
        units.milliseconds(result["latency_ms"]["p50"]),
        units.rate(result["throughput"]),
        (result["stability"] or "") + (", outputs differ" if differs else ""),
    ]


def factors(document: Document | None) -> list[list[str]]:
    """How many times as fast as ONNX Runtime on the CPU it is said to be on the GPU, and PyTorch eager against both."""
    measured = {
        (r["model"], r["backend"]): r["latency_ms"]["p50"] for r in _results(document) if r["status"] == "ok"
    }
    told = {(p.model, p.backend): p.latency_ms for p in PUBLISHED}
    return [
        [
            title,
            *(
                _factor(source, model, pair)
                for pair in (("onnxruntime-cpu", "onnxruntime-cuda"), ("onnxruntime-cuda", "torch-eager"))
                for source in (told, measured)
            ),
        ]
        for model, title in TITLES.items()
    ]


def _factor(latency: Mapping[tuple[str, str], float | None], model: str, pair: tuple[str, str]) -> str:
    slow, fast = (latency.get((model, backend)) for backend in pair)
    return f"{slow / fast:.2f}" if slow and fast else units.UNKNOWN


def table(heading: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    """A Markdown table; `right` are the columns of numbers."""
    rule = ["---:" if i in right else "---" for i in range(len(heading))]
    return ["| " + " | ".join(row) + " |" for row in (heading, rule, *cells)]


def machine(document: Document | None) -> str:
    """Where and with what was measured, one sentence."""
    if document is None:
        return (
            "The columns of what was measured are empty: nothing has been measured for this page yet. "
            "`infertop run --suite seed --json seed.json` and `python -m infertop.docs.seed seed.json` fill them."
        )
    gpus = ", ".join(str(gpu.get("name")) for gpu in document["gpus"]) or "no GPU"
    cpu = document["host"].get("cpu") or "unknown processor"
    told = [
        ", ".join(dict.fromkeys(r[name] for r in _results(document))) for name in ("precision", "data_path")
    ]
    versions: dict[str, str] = {}
    for result in _results(document):
        versions |= result.get("libraries") or {}
    libraries = ", ".join(f"{name} {versions[name]}" for name in sorted(versions))
    return (
        f"Measured with infertop {document['infertop']} on {cpu} and {gpus}, session {document['session']}; "
        f"precision {told[0]}, data path {told[1]}{'; ' if libraries else ''}{libraries}."
    )


def left_out(document: Document | None) -> list[str]:
    """The backends that could not be measured there, and what failed."""
    document = document or {}
    found = [f"* `{s['backend']}` was left out: {s['reason']}." for s in document.get("skipped", ())]
    for result in _results(document):
        if result["status"] != "ok":
            message = (result["error"] or {}).get("message", "")
            found.append(
                f"* `{result['backend']}`, {TITLES.get(result['model'], result['model'])}: {message}."
            )
    return [lines.sentence(line, "") for line in found]


def block(document: Document | None) -> str:
    """What stands between the page's marks."""
    heading = ["model", "published as", "ms", "samples/s", "backend here", "p50 ms", "samples/s", "stability"]
    ratios = ["model", "ORT CPU ÷ ORT CUDA, published", "measured", "ORT CUDA ÷ eager, published", "measured"]
    lacking = left_out(document)
    text = [
        machine(document),
        "",
        *table(heading, rows(document), (2, 3, 5, 6)),
        "",
        *([*lacking, ""] if lacking else []),
        "Ratios of the latencies:",
        "",
        *table(ratios, factors(document), (1, 2, 3, 4)),
    ]
    return "\n".join(text)


def filled(page: str, document: Document | None) -> str:
    """The page with its block made anew. Raises ValueError where the marks are gone."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"the page has lost its marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{block(document)}\n\n{END}{after}"


def main(arguments: Sequence[str]) -> int:
    """Write the page anew."""
    document = json.loads(Path(arguments[0]).read_text("utf-8")) if arguments else None
    PAGE.write_text(filled(PAGE.read_text("utf-8"), document), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
