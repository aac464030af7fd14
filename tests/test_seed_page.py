"""docs/seed.md: the published figures are there as they were published, and what was measured stands beside them."""

from __future__ import annotations

from typing import Any

import pytest
from infertop.backends.configuration import Configuration
from infertop.docs import seed
from infertop.sessions.results import blank_result
from infertop.sessions.suite import SUITES


def result(model: str, backend: str, p50: float | None = None, **fields: Any) -> dict[str, Any]:
    blank = blank_result(Configuration(backend, model, "fp32", 32), "ok", run=1)
    throughput = None if p50 is None else 32e3 / p50
    return {**blank, "latency_ms": {"p50": p50}, "throughput": throughput, "stability": "A", **fields}


DOCUMENT = {
    "infertop": "0.1",
    "session": "s-1",
    "host": {"cpu": "A processor"},
    "gpus": [{"name": "A GPU"}],
    "results": [
        result("smallcnn", "torch-compile", 0.1),
        result("resnet18", "onnxruntime-cpu", 200.0),
        result("resnet18", "onnxruntime-cuda", 5.0),
        result("resnet18", "torch-eager", 4.0, libraries={"torch": "2.11.0"}),
        result(
            "mobilenet_v2",
            "torch-eager",
            status="failed",
            error={"kind": "x", "message": "it fell", "fix": ""},
        ),
    ],
    "skipped": [{"backend": "tensorrt", "reason": "tensorrt is not installed", "fix": ""}],
}


def test_the_published_rows_are_batches_of_32() -> None:
    """Latency and throughput of each row were published; they belong together."""
    for row in seed.PUBLISHED:
        assert row.throughput * row.latency_ms / 1e3 == pytest.approx(32, rel=2e-3)
    assert {row.model for row in seed.PUBLISHED} == set(SUITES[0].models)


def test_the_committed_page_has_every_published_figure() -> None:
    page = seed.PAGE.read_text("utf-8")
    for row in seed.PUBLISHED:
        assert f"{row.title} | {row.latency_ms:.2f} | {row.throughput:.2f} | `{row.backend}`" in page


def test_of_another_run_what_was_not_published_so_stays_out() -> None:
    other = [
        {**result("resnet18", "torch-eager", 1.0), "batch": 1},
        {**result("resnet18", "torch-eager", 2.0), "precision": "fp16"},
        result("resnet18", "torch-eager", 4.0),
        result("resnet18", "torch-compile", 3.0, runtime={"compile_mode": "default"}),
    ]
    page = seed.block({**DOCUMENT, "results": other})
    assert "PyTorch eager | 34.10 | 938.41 | `torch-eager` | 4.00 | 8 000 | A |" in page
    assert "max-autotune | 26.33 | 1215.34 | `torch-compile` default | 3.00 | 10 667 | A |" in page
    assert "precision fp32, data path" in page


def test_what_was_measured_stands_beside_its_published_row() -> None:
    page = seed.block(DOCUMENT)
    assert "ONNX Runtime CUDA | 301.79 | 106.03 | `onnxruntime-cuda` | 5.00 | 6 400 | A |" in page
    assert "PyTorch eager | 42.50 | 752.94 | `torch-eager` | – | – | failed |" in page
    assert "| SmallCNN |  |  |  | `torch-compile` | 0.100 | 320 000 | A |" in page
    assert "on A processor and A GPU, session s-1; precision fp32, data path pageable; torch 2.11.0." in page
    assert "* `tensorrt` was left out: tensorrt is not installed." in page
    assert "* `torch-eager`, MobileNetV2: it fell." in page
    # CPU ÷ CUDA and CUDA ÷ eager, published and measured.
    assert "| ResNet18 | 1.14 | 40.00 | 8.85 | 1.25 |" in page


def test_writing_the_page_anew_changes_its_figures_only() -> None:
    page = seed.PAGE.read_text("utf-8")
    anew = seed.filled(page, DOCUMENT)
    assert seed.filled(anew, DOCUMENT) == anew
    assert "session s-1" in anew
    for part in (0, -1):
        assert (
            anew.split(seed.END)[part].split(seed.BEGIN)[0] == page.split(seed.END)[part].split(seed.BEGIN)[0]
        )
    with pytest.raises(ValueError, match="lost its marks"):
        seed.filled("no marks", DOCUMENT)


def test_the_pages_arithmetic_holds() -> None:
    """What its sentences say of the published figures."""
    told = {(row.model, row.backend): row.latency_ms for row in seed.PUBLISHED}
    page = seed.PAGE.read_text("utf-8")
    for model in ("smallcnn", "mobilenet_v2", "resnet18"):
        less = 1 - told[model, "onnxruntime-cuda"] / told[model, "onnxruntime-cpu"]
        assert f"{less * 100:.1f} % ({seed.TITLES[model]})" in page
    cuda, eager = told["resnet18", "onnxruntime-cuda"], told["resnet18", "torch-eager"]
    assert f"{cuda / eager:.1f} times as fast on ResNet18" in page
    megabytes = 32 * 3 * 224 * 224 * 4 / 1e6
    assert f"{megabytes:.2f} MB in fp32" in page
    assert f"the {cuda - eager:.0f} ms" in page
    assert f"{megabytes / (cuda - eager) * 1e3:.0f} MB/s" in page


def test_without_a_measurement_the_places_are_empty_and_say_how_they_are_filled() -> None:
    page = seed.block(None)
    assert page.count("| – | – |  |") == len(seed.PUBLISHED)
    assert "infertop run --suite seed --json seed.json" in page
