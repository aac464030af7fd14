"""What leaves `run`: tables, CSV, Markdown, and files that are whole or not there."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from infertop.backends.configuration import Configuration, Options
from infertop.backends.errors import MeasureError
from infertop.sessions import csv_rows, gap, output, tables
from infertop.sessions.gates import Judgement
from infertop.sessions.results import blank_result


def result(backend: str = "onnxruntime-cpu", **fields: Any) -> dict[str, Any]:
    return {
        **blank_result(Configuration(backend, "smallcnn", "fp32", 8), "ok", run=1),
        "requests": 12345,
        "throughput": 2345.6,
        "throughput_ci95": [2300.0, 2400.0],
        "latency_ms": {
            "mean": 3.41,
            "p50": 3.4,
            "p90": 3.6,
            "p95": 3.7,
            "p99": 4.123,
            "p99_9": 7.5,
            "max": 9.0,
        },
        "latency_ci95_ms": {"p50": [3.39, 3.41], "p90": [3.5, 3.7], "p99": [4.0, 4.3], "p99_9": [6.9, None]},
        "stages_ms": {"host": {"mean": 0.1, "p50": 0.1}, "h2d": None},
        "ci_method": "block bootstrap",
        "stability": "A",
        "telemetry": {"host.cpu": 51.5},
        **fields,
    }


def document(*results: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": "infertop.run/1",
        "infertop": "0",
        "session": "s-1",
        "host": {},
        "gpus": [],
        "results": list(results),
        "gates": [],
    }


def test_where_nothing_was_measured_there_is_no_head_of_a_table() -> None:
    assert tables.as_text(document()) == "nothing was measured\n"


FAILED = result("torch-eager", status="failed", error={"kind": "x", "message": "it | \x1b[31mfell", "fix": "lift it"}, requests=0,
                throughput=None, latency_ms={}, latency_ci95_ms={}, stability=None)  # fmt: skip


def test_the_table_fits_80_columns_and_aligns_numbers() -> None:
    assert tables.as_text(document(result(), FAILED)) == (
        "configuration           p50 ms  p99 ms  p99.9 ms  samples/s       n  stability  status\n"
        "onnxruntime-cpu/fp32/8    3.40    4.12    ≥ 6.90      2 346  12 345  A          ok\n"
        "torch-eager/fp32/8           –       –         –          –       0  –          failed\n"
    )
    assert all(len(line) <= 80 for line in tables.as_text(document(result())).splitlines())


def test_what_tells_rows_apart_has_a_column() -> None:
    plain = tables.as_markdown(document(result()))
    assert not any(word in plain for word in ("dims", "data path", "load", "status"))
    varied = tables.as_markdown(document(result(dims={"seq": 64}, data_path="pinned", load="closed:2")))
    assert all(word in varied for word in ("dims", "seq=64", "data path", "pinned", "closed:2"))


def test_too_few_requests_are_marked() -> None:
    few = result(latency_ci95_ms={"p50": [3.0, 4.0], "p99": [None, None]})
    row = tables.as_text(document(few)).splitlines()[1]
    assert "3.40" in row
    assert "≈ 4.12" in row
    assert "≈ 7.50" in row


def test_reasons_and_gates_stand_below_the_table() -> None:
    lowered = result(stability="B", stability_reasons=["spread 12 %", "3 of 4 cores"])
    judgement = Judgement("p99<4ms", "onnxruntime-cpu/fp32/8", "failed", 4.123, (4.0, None), "why")
    lines = tables.as_text(document(lowered), [judgement]).splitlines()
    assert lines[2] == "onnxruntime-cpu/fp32/8: stability B: spread 12 %; 3 of 4 cores"
    assert lines[3] == "gate failed: p99<4ms (onnxruntime-cpu/fp32/8: 4.123, [4.000, –]; why)"


def swept() -> list[dict[str, Any]]:
    """Three results of a GPU sweep, one of which computes something else."""
    agreement = {"reference": "onnxruntime-cpu", "max_rel": 1.23e-3, "within_band": True}
    fast = result("onnxruntime-cuda", agreement=agreement, energy_j_per_sample=0.01234, pareto=True)
    differs = {**agreement, "max_rel": 0.5, "within_band": False, "reason": "the error is 0.5"}
    off = result("torch-compile", agreement=differs, pareto=False)
    return [fast, off, result("torch-eager", throughput=10.0, pareto=False)]


def test_a_sweep_shows_agreement_energy_and_the_front() -> None:
    assert tables.as_text(document(*swept())) == (
        "configuration            p50 ms  p99 ms  samples/s       n  outputs  mJ/sample  stability  Pareto\n"
        "onnxruntime-cuda/fp32/8    3.40    4.12      2 346  12 345  agrees        12.3  A          *\n"
        "torch-compile/fp32/8       3.40    4.12      2 346  12 345  differs          –  A\n"
        "torch-eager/fp32/8         3.40    4.12      10.00  12 345  –                –  A\n"
        "* on the Pareto front: nothing else here of this model and size has a lower p50 and more samples/s\n"
        "torch-compile/fp32/8: outputs differ from onnxruntime-cpu: the error is 0.5\n"
    )
    rows = list(csv.DictReader(io.StringIO(csv_rows.as_csv(document(*swept())))))
    assert [r["pareto"] for r in rows] == ["True", "False", "False"]
    assert [r["agreement_within_band"] for r in rows] == ["True", "False", ""]
    assert "| Pareto |" in tables.as_markdown(document(*swept()))


def test_results_of_several_models_are_named_with_them() -> None:
    failed = FAILED | {"model": "resnet18"}
    lowered = result(stability="B", stability_reasons=["spread 12 %"])
    text = tables.as_text(document(lowered, failed))
    assert text.startswith("model     configuration")
    assert "\nsmallcnn onnxruntime-cpu/fp32/8: stability B: spread 12 %\n" in text
    markdown = tables.as_markdown(document(lowered, failed))
    assert markdown.startswith("### smallcnn, resnet18\n")
    assert "- resnet18: torch-eager: it" in markdown


def test_csv_has_a_row_a_result_and_no_word_for_unknown() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_rows.as_csv(document(result(), FAILED)))))
    assert [r["backend"] for r in rows] == ["onnxruntime-cpu", "torch-eager"]
    first, second = rows
    assert (first["p50_ms"], first["p50_low_ms"], first["p50_high_ms"]) == ("3.4", "3.39", "3.41")
    assert (first["p99_9_low_ms"], first["p99_9_high_ms"]) == ("6.9", "")
    assert (first["host_mean_ms"], first["h2d_mean_ms"], first["host.cpu"]) == ("0.1", "", "51.5")
    assert (second["p50_ms"], second["throughput"]) == ("", "")
    assert "\x1b" not in second["error"]


def test_markdown_escapes_what_models_say() -> None:
    text = tables.as_markdown(document(result(), FAILED), [Judgement("p99<4ms", "a/b", "passed", 1.0, None)])
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1, "every row has the same columns"
    assert "3.40 \\[3.39, 3.41\\]" in text
    assert "2 346 \\[2 300, 2 400\\]" in text
    assert "95 % intervals (block bootstrap)" in text
    assert "it \\|" in text
    assert "\x1b" not in text
    assert "gate passed: p99\\<4ms" in text


def test_json_has_no_nan() -> None:
    text = output.as_json(document(result(throughput=float("nan"))))
    assert json.loads(text)["results"][0]["throughput"] is None
    assert "NaN" not in text


def test_only_one_may_go_to_standard_output() -> None:
    output.check_targets({"--json": "-", "--csv": None, "--markdown": None})
    with pytest.raises(MeasureError, match="--json and --csv cannot both") as caught:
        output.check_targets({"--json": "-", "--csv": "-", "--markdown": None})
    assert caught.value.kind == "usage"


def test_places_are_checked_before_anything_is_measured(tmp_path: Path) -> None:
    output.check_targets({"--json": str(tmp_path / "new.json"), "--csv": os.devnull})
    for target, says in ((tmp_path, "is a directory"), (tmp_path / "no" / "x.json", "no folder")):
        with pytest.raises(MeasureError, match=says):
            output.check_targets({"--json": str(target)})
    with pytest.raises(MeasureError, match="the same file"):
        output.check_targets({"--json": str(tmp_path / "x"), "--csv": str(tmp_path / "." / "x")})


def test_a_file_is_replaced_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")
    path.chmod(0o640)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    output.write(str(link), "new")
    assert path.read_text() == "new"
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.json", "out.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MeasureError, match="No space left on device"):
        output.write(str(path), "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    output.write(os.devnull, "text")
    assert not Path(os.devnull).is_file()


def test_a_split_that_costs_time_itself_is_said() -> None:
    control = {
        "p50_ms": 3.58,
        "steps_p50_ms": 3.9,
        "difference": 0.0894,
        "interval": [0.08, 0.1],
        "marked": True,
    }
    text = tables.as_text(document(result(control=control)))
    assert "the split into stages is ≈: plain run() takes 3.58 ms, the same in steps 3.90 (+9 %)" in text
    unmarked = tables.as_text(document(result(control={**control, "marked": False})))
    assert "plain run() takes 3.58 ms, the same in steps 3.90 (+9 %)" in unmarked
    assert "≈" not in unmarked


def test_a_language_model_has_its_tokens_beside_its_samples() -> None:
    text = tables.as_text(document(result(tokens_per_s=51_200.0)))
    assert "tokens/s" in text
    assert "51 200" in text
    assert "tokens/s" not in tables.as_text(document(result()))


TIMED = {
    "host": {"mean": 0.0001, "p50": 0.0},
    "h2d": {"mean": 2.56, "p50": 2.5},
    "compute": {"mean": 4.85, "p50": 4.8},
    "d2h": {"mean": 0.0531, "p50": 0.05},
    "gap": {"mean": 0.6, "p50": 0.6},
    "enqueue": {"mean": 1.2, "p50": 1.2},
}


def on_gpu(**fields: Any) -> dict[str, Any]:
    found = result("torch-eager", device="cuda:0", stages_ms=TIMED, stage_n=204, **fields)
    return found | {"gap": gap.of_result(found, {"issue": 0.4, "sync": 0.15})}


def test_stages_and_a_notable_gap_have_their_lines() -> None:
    instrumented = {"apart": True, "n": 204, "cost_ms": 0.1}
    lines = tables.as_text(document(on_gpu(instrumented=instrumented))).splitlines()
    scope = "torch-eager/fp32/8: "
    assert lines[2] == (
        scope
        + "host 0.00 + h2d 2.56 + compute 4.85 + d2h 0.0531 + gap 0.600 = 8.06 ms, enqueue 1.20 beside; "
        "means, n 204, which take 0.100 longer for being timed"
    )
    assert lines[3] == scope + (
        "0.600 of 8.06 ms (7.4 %) lie outside the stages: Python 0.400, synchronisation 0.150, instrumentation 0.0500"
    )
    assert lines[4].startswith(
        scope + "Python 0.400 ms: the host works while the GPU has nothing of this request"
    )
    assert lines[5].startswith(scope + "synchronisation 0.150 ms: ")
    assert lines[6].startswith(scope + "trtexec calls h2d + compute + d2h its latency: 7.46 of these 8.06 ms")
    small = on_gpu()
    small["gap"] = gap.of_result({**small, "stages_ms": {**TIMED, "gap": {"mean": 0.05, "p50": 0.05}}}, {})
    assert "outside the stages" not in tables.as_text(document(small)), (
        "seven thousandths of it are nothing to explain"
    )


def test_markdown_and_csv_have_the_stages_too() -> None:
    markdown = tables.as_markdown(document(on_gpu(), result()))
    assert "| host | h2d | compute | d2h | gap |" in markdown
    assert "| 0.00 | 2.56 | 4.85 | 0.0531 | 0.600 |" in markdown
    assert "| – | – | – | – | – |" in markdown
    assert "| host |" not in tables.as_markdown(document(result()))
    row = next(csv.DictReader(io.StringIO(csv_rows.as_csv(document(on_gpu())))))
    assert (row["gap_mean_ms"], row["gap_issue_ms"], row["gap_sync_ms"]) == ("0.6", "0.4", "0.15")


def test_what_was_set_and_what_the_runtime_did_are_said() -> None:
    options = Options(
        backend_options={"graph_optimization_level": "basic"}, compile_mode="max-autotune", threads=2, inputs="/a/b/x.npz", seed=7
    )  # fmt: skip
    runtime = {
        "compile_mode": "max-autotune", "graphs": 2, "graph_breaks": 1, "graph_break_reasons": ["a print"], "recompiles": 0,
        "recompile_reasons": [], "cuda_graphs": "skipped: mutated inputs",
        "notes": ["torch.compile broke the graph once: a print", "CUDA graphs skipped: mutated inputs", "the environment decides"],
    }  # fmt: skip
    blank = blank_result(Configuration("torch-compile", "smallcnn", "fp32", 8, options=options), "ok")
    found = result("torch-compile", options=blank["options"], runtime=runtime, threads=2)
    text = tables.as_text(document(found))
    assert (
        "/8: set: graph_optimization_level=basic, inputs x.npz, compile mode max-autotune, threads 2, seed 7\n"
        in text
    )
    assert (
        "/8: compiled in mode max-autotune: 2 graphs, 1 graph break (a print), no recompilations; CUDA graphs skipped: mutated inputs\n"
        in text
    )
    assert "/8: the environment decides\n" in text
    assert "broke the graph" not in text, "the sentence before has it"
    row = next(csv.DictReader(io.StringIO(csv_rows.as_csv(document(found)))))
    assert row["options"].startswith("graph_optimization_level=basic")
    assert row["threads"] == "2"
    assert "set:" not in tables.as_text(document(result())), "defaults are not worth a line"
    beside = tables.as_text(document(result(options={"compile_mode": "max-autotune"})))
    assert "set:" not in beside, "nothing is compiled"


def test_an_engine_is_said_with_what_it_was_built_by() -> None:
    runtime = {
        "memory": "pycuda",
        "engine_bytes": 46_800_000,
        "cuda_graph": True,
        "optimization_level": 5,
        "workspace": 1 << 30,
    }
    text = tables.as_text(document(result("tensorrt", runtime=runtime)))
    assert (
        "engine of 46.8 MB: optimisation level 5, workspace 1.1 GB, replayed as a CUDA graph; memory by pycuda"
        in text
    )
